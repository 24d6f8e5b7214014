"""Every migration that this release brings can be applied, and taken back, before anybody tries.

The migrations are those of `[migrations]` that the target does not have yet. They are read without
a database, and rehearsed on a scratch database with the target's own schema: applied, applied
again, rolled back, and applied once more. The target itself is not touched.
"""

import pytest


@pytest.mark.rollback
@pytest.mark.offline
@pytest.mark.filterwarnings("default")  # minor findings are warnings, not failures
def test_reading(migration):
    """Check the SQL: it is in order, runs twice, names what it means, and drops nothing on
    upgrade."""
    migration.check_sql()


@pytest.mark.rollback
@pytest.mark.severity("critical")
@pytest.mark.offline
@pytest.mark.filterwarnings("default")
def test_rehearsal(migration):
    """Old rows survive it, a second time changes nothing, and its rollback leaves nothing."""
    migration.rehearse()


@pytest.mark.rollback
@pytest.mark.offline
@pytest.mark.filterwarnings("default")
def test_backward_compatible(migration):
    """Check that the release before, which still runs meanwhile, works with the migrated schema."""
    migration.check_backward_compatible()
