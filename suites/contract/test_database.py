"""The database is as the code expects it, and keeps up.

A column that a migration did not rename, a policy that was switched off to debug something, an
index that was never built: the service starts, the health page is green, and the first user who
needs it gets a 500, or sees what is not theirs. Each table that `[database]` declares is compared
with the live one, and what is missing is named with its near miss. Connections in use and the
time of declared queries are held against limits. All of it only reads.
"""

import pytest


@pytest.mark.contract
@pytest.mark.severity("critical")
def test_table(database_table):
    """Columns, types, keys, indexes and policies are there, and no two policies conflict."""
    database_table.check()


@pytest.mark.contract
def test_connections(database_connections):
    """Check that connections in use stay below their limit: a leak shows long before the last
    one."""
    database_connections.check()


@pytest.mark.contract
def test_query(database_query):
    """Check that the database itself answers the query in time."""
    database_query.check()
