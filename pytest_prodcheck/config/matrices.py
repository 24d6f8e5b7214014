"""Ready-made decision matrices: `matrix = "database-flags"`.

`database-flags` is the matrix of a service with two switches, ENABLE_DATABASE_WRITES and
ENABLE_FILE_FALLBACK (the project's requirements, fact 71). "Medium" there is "major" here. Where
the source gives several limits for one thing (80, 90 and 100 % CPU), its matrix counts.
"""

from pytest_prodcheck.model import Action

MATRICES: dict[str, tuple[Action, ...]] = {
    "database-flags": (
        Action(
            when="database.unreachable",
            severity="critical",
            action="set ENABLE_DATABASE_WRITES=false",
            within="5 min",
            verify="the mode is FILE_ONLY, and writes are answered",
        ),
        Action(
            when="database.query_ms > 1000",
            severity="major",
            action="set ENABLE_FILE_FALLBACK=true, and investigate the slow queries",
            within="1 h",
            verify="database.query_ms is back under 1000",
        ),
        Action(
            when="database.schema_drift",
            severity="critical",
            action="set ENABLE_DATABASE_WRITES=false, fix the migration, deploy it, switch back",
            within="15 min",
            verify="pytest -m contract finds no drift, then one write is read back",
        ),
        Action(
            when="process.out_of_memory",
            severity="major",
            action="restart the service, and watch its memory",
            within="30 min",
            verify="no restart in the next half hour",
        ),
        Action(
            when="storage.full",
            severity="major",
            action="set ENABLE_FILE_FALLBACK=false, and make room",
            within="1 h",
            verify="the mode is DATABASE_ONLY, and writes are answered",
        ),
        Action(
            when="database.cpu > 90",
            severity="major",
            action="set ENABLE_DATABASE_WRITES=true and ENABLE_FILE_FALLBACK=true (dual write), "
            "and optimise the queries",
            within="2 h",
            verify="the CPU of the database is under 80 %",
        ),
    ),
}
"""Name -> rows, as a team would write them."""

MODES: dict[str, dict[str, dict[str, bool]]] = {
    "database-flags": {
        "DATABASE_ONLY": {"ENABLE_DATABASE_WRITES": True, "ENABLE_FILE_FALLBACK": False},
        "DUAL_WRITE": {"ENABLE_DATABASE_WRITES": True, "ENABLE_FILE_FALLBACK": True},
        "FILE_ONLY": {"ENABLE_DATABASE_WRITES": False, "ENABLE_FILE_FALLBACK": True},
    },
}
"""Name -> the modes that its rows assume if the file declares none."""
