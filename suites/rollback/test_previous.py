"""Going back to the release before is safe for those who have met this one.

The last release of this target that passed is remembered. Clients that were written, or cached an
answer, since the deploy talk to it again after a rollback: what both releases have they must
understand in the same way. Features that only this release has are gone then, as expected.
"""

import pytest


@pytest.mark.rollback
@pytest.mark.offline  # both documents are there already
def test_previous(previous):
    """Check that what this release and the one before share means the same to both."""
    previous.check()
