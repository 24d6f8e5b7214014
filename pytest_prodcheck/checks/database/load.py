"""How hard the database works: connections in use, and how long declared queries take."""

import json
import time
from collections.abc import Iterator
from typing import Any

from pytest_prodcheck.checks.database.connection import Database
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.measuring import Measure
from pytest_prodcheck.rules import failure

OURS = "pytest-prodcheck/"
"""How the application_name of our own connections begins."""

_CONNECTIONS = f"""
SELECT count(*) AS used,
    count(*) FILTER (WHERE state = 'idle') AS idle,
    count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS waiting
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND usesysid IS NOT NULL
    AND coalesce(backend_type, 'client backend') = 'client backend'
    AND application_name NOT LIKE '{OURS}%'
"""  # noqa: S608 - of constants
"""Of other users' connections PostgreSQL may hide the kind and the state, but not the row."""


class ConnectionsCheck:
    """The connections to a PostgreSQL database against a limit: `check()`."""

    def __init__(self, database: Database, limit: int, measure: Measure) -> None:
        self._database = database
        self._limit = limit
        self._measure = measure

    def check(self) -> None:
        """Return when at most so many are in use, ours not counted. Raises CheckFailed."""
        from sqlalchemy import text

        with self._database.asked() as connection:
            row = connection.execute(text(_CONNECTIONS)).one()
        self._measure("database.connections", row.used)
        if row.used > self._limit:
            message = (
                f"{row.used} connections to the database are in use; at most {self._limit} may be. "
                f"{row.idle} of them are idle, {row.waiting} idle in a transaction. Look for "
                "connections that are not given back, and at the size of each pool"
            )
            raise CheckFailed.of(failure("database.connections", "database", message))

    def __repr__(self) -> str:
        return "<connections>"


class QueryCheck:
    """One declared query against a limit of time: its `name`, and `check()`."""

    def __init__(
        self, database: Database, name: str, sql: str, slow: float, measure: Measure
    ) -> None:
        self._database = database
        self.name = name
        self._sql = sql
        self._slow = slow
        self._measure = measure

    def check(self) -> None:
        """Return when the database needs no longer for it than it may. Raises CheckFailed."""
        with self._database.asked() as connection:
            take = _explained if self._database.dialect == "postgresql" else _fetched
            milliseconds, scans = take(connection, self._sql)
        self._measure("database.query_ms", milliseconds)
        if milliseconds > self._slow * 1000:
            scanned = f" It reads whole tables: {', '.join(scans)}." if scans else ""
            message = (
                f"the query took {milliseconds:.0f} ms, limit {self._slow * 1000:.0f} ms."
                f"{scanned} Look at its plan (EXPLAIN) for a missing index, and at the load of the "
                "database"
            )
            raise CheckFailed.of(failure("database.slow_query", f"query {self.name}", message))

    def __repr__(self) -> str:
        return f"<query {self.name}>"


def _explained(connection: Any, sql: str) -> tuple[float, list[str]]:
    """Milliseconds that the server itself took to plan and run it, without sending its rows."""
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}"
    explained = connection.exec_driver_sql(explain).scalar_one()
    (plan,) = json.loads(explained) if isinstance(explained, str) else explained
    scans = [
        f"{node['Relation Name']} ({node.get('Actual Rows', 0):.0f} rows)"
        for node in _nodes(plan["Plan"])
        if node["Node Type"] == "Seq Scan"
    ]
    return plan["Planning Time"] + plan["Execution Time"], scans


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _fetched(connection: Any, sql: str) -> tuple[float, list[str]]:
    """Return milliseconds until the last row; SQLite runs in this process and measures none."""
    started = time.perf_counter()
    for _ in connection.exec_driver_sql(sql):
        pass
    return (time.perf_counter() - started) * 1000, []
