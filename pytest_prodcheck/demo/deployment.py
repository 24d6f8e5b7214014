"""How the demo is deployed: its release, configuration and operating mode. Light to import."""

import os
from collections.abc import Mapping
from pathlib import Path

from pytest_prodcheck.model import Record

DEFAULT_TOKEN = "demo-token"  # noqa: S105 - guards nothing: the demo listens on loopback only


class Flags(Record, frozen=True):
    """The operating mode, as two switches. Both off is a mode in which nothing can be stored."""

    database_writes: bool = True
    file_fallback: bool = True

    @property
    def mode(self) -> str:
        """DATABASE_ONLY, DUAL_WRITE, FILE_ONLY or INVALID."""
        if self.database_writes:
            return "DUAL_WRITE" if self.file_fallback else "DATABASE_ONLY"
        return "FILE_ONLY" if self.file_fallback else "INVALID"


class Deployment(Record, frozen=True):
    """Everything that differs between one deployment of the service and another."""

    version: str = "1.4.2"
    commit: str = "3e68e18"
    environment: str = "demo"
    config_loaded: bool = True
    database_reachable: bool = True
    flags: Flags = Flags()
    token: str = DEFAULT_TOKEN
    fallback_replays: bool = True
    """False: what was written to the files alone is forgotten when the database is back."""
    drifted: bool = False
    """Columns of the database have the names of an earlier release."""
    policies: bool = False
    """There is a PostgreSQL too, with row-level security: `pg` in the service's folder."""
    breaker_closes: bool = True
    """False: once open, the breaker of the memory stays open."""

    def database_url(self, directory: Path) -> str:
        """SQLite below `directory`; unreachable is a real failure to connect, not a pretence."""
        place = directory if self.database_reachable else directory / "unplugged"
        return f"sqlite:///{place / 'demo.db'}"


def from_environment(environment: Mapping[str, str] = os.environ) -> Deployment:
    """ENABLE_DATABASE_WRITES, ENABLE_FILE_FALLBACK and DEMO_TOKEN; unset ones have a default."""
    return Deployment(
        flags=Flags(
            database_writes=_switch(environment, "ENABLE_DATABASE_WRITES"),
            file_fallback=_switch(environment, "ENABLE_FILE_FALLBACK"),
        ),
        token=environment.get("DEMO_TOKEN") or DEFAULT_TOKEN,
    )


def _switch(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "true").strip().lower() in ("true", "1", "yes", "on")
