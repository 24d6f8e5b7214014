"""One migration run on a scratch database as its tool would run it: time, locks, NOTICEs.

A file is one transaction, unless it says otherwise itself or holds what no transaction may: then
its statements are sent one by one, each in a transaction of its own where that is possible.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_prodcheck.analysis.migrations.reading import Statement, split
from pytest_prodcheck.checks.database.connection import reason
from pytest_prodcheck.checks.migrations.scratch import Scratch, patience
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.model import Record

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pytest_prodcheck.analysis.database_urls import Dialect

LOCKS = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""Of PostgreSQL, the strongest last: with it not even a SELECT gets through.
https://www.postgresql.org/docs/current/explicit-locking.html"""

_OWN = ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT")
"""First words of what begins or ends a transaction: a file with these has its own."""

_NEVER_INSIDE = (
    ("VACUUM",),
    ("PRAGMA",),
    ("ATTACH",),
    ("DETACH",),
    ("CREATE", "DATABASE"),
    ("DROP", "DATABASE"),
    ("ALTER", "DATABASE"),
    ("CREATE", "TABLESPACE"),
    ("DROP", "TABLESPACE"),
    ("ALTER", "SYSTEM"),
    ("CREATE", "SUBSCRIPTION"),
    ("DROP", "SUBSCRIPTION"),
    ("CREATE", "INDEX", "CONCURRENTLY"),
    ("CREATE", "UNIQUE", "INDEX", "CONCURRENTLY"),
    ("DROP", "INDEX", "CONCURRENTLY"),
    ("REINDEX",),
)
"""First words of what no transaction may hold (or, as PRAGMA, takes no effect in)."""


class Failure(Record, frozen=True):
    """Why a database refused; `line` of the file, if it is known."""

    message: str
    line: int | None = None
    timed_out: bool = False


class Outcome(Record, frozen=True):
    """What a run of one file was like."""

    seconds: float
    notices: tuple[str, ...] = ()
    lock: str = ""
    """`AccessExclusiveLock on users`: the strongest on what was there before."""
    failure: Failure | None = None


class _Watch:
    """NOTICEs and locks of one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        self.driver = driver
        self.postgresql = connection.dialect.name == "postgresql"
        self.notices: list[str] = []
        self.locks: dict[str, str] = {}
        self._old: set[int] = set()
        if self.postgresql:
            self.driver.add_notice_handler(self._note)
            query = "SELECT oid FROM pg_class WHERE relnamespace <> 'pg_catalog'::regnamespace"
            self._old = {oid for (oid,) in self.driver.execute(query).fetchall()}
            if not self.driver.autocommit:
                self.driver.rollback()

    def _note(self, diagnostic: Any) -> None:
        self.notices.append(diagnostic.message_primary)

    def look(self, *_: object) -> None:
        """Remember what is locked now: all that this transaction has locked so far."""
        if not self.postgresql:
            return
        query = """
            SELECT l.mode, c.oid, c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
            WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p', 'v', 'm')
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
        for mode, oid, name in self.driver.execute(query).fetchall():
            if oid in self._old:
                self.locks.setdefault(mode, name)

    @property
    def strongest(self) -> str:
        for mode in reversed(LOCKS):
            if mode in self.locks:
                return f"{mode} on {self.locks[mode]}"
        return ""


def run_file(scratch: Scratch, file: Path, limit: float) -> Outcome:
    """Run a file of SQL.

    Raises NotAsked when the server is lost meanwhile, and for what only a client could run.
    """
    try:
        blocks = _blocks(file.read_text(encoding="utf-8-sig"), scratch.dialect)
    except ValueError as error:
        raise NotAsked(
            f"not run: {file.name} is not only SQL, {error}; write it as SQL alone, so that it can "
            "be rehearsed"
        ) from None
    with scratch.connect(limit) as connection:
        watch = _Watch(connection)
        with _timed(connection, limit, watch) as outcomes:
            for block in blocks:
                _send(watch, block)
        return outcomes[0]


def run_script(connection: sa.Connection, text: str) -> None:
    """Run SQL that is not a migration: a dump, or rows of the team's own.

    Raises the driver's own error, and ValueError for what only a client like psql could run.
    """
    watch = _Watch(connection)
    for block in _blocks(text, "postgresql" if watch.postgresql else "sqlite"):
        _send(watch, block)


def run_revision(scratch: Scratch, folder: Path, name: str, limit: float, *, back: bool) -> Outcome:
    """Run one revision of Alembic, as `alembic upgrade` or `downgrade` would."""
    import sqlalchemy as sa

    from pytest_prodcheck.checks.migrations.revisions import run

    with scratch.connect(limit, autocommit=False) as connection:
        watch = _Watch(connection)
        sa.event.listen(connection, "commit", watch.look)
        with _timed(connection, limit, watch) as outcomes:
            run(folder, connection, name, back=back)
            connection.commit()
        return outcomes[0]


@contextmanager
def _timed(connection: sa.Connection, limit: float, watch: _Watch) -> Iterator[list[Outcome]]:
    """Fills in the Outcome at the end; what the database refuses is one."""
    outcomes: list[Outcome] = []
    failure = None
    started = time.monotonic()
    try:
        with patience(connection, limit):
            yield outcomes
    except NotAsked:
        raise
    except Exception as error:  # a revision of Alembic is any Python
        failure = _failure(error, connection)
    outcomes.append(
        Outcome(
            seconds=time.monotonic() - started,
            notices=tuple(watch.notices),
            lock=watch.strongest,
            failure=failure,
        )
    )


def _failure(error: Exception, connection: sa.Connection) -> Failure:
    """Raises NotAsked when the server, not the migration, is to blame."""
    cause: Any = getattr(error, "orig", None) or error
    driver: Any = connection.connection.driver_connection if not connection.invalidated else None
    if getattr(error, "connection_invalidated", False) or getattr(driver, "broken", False):
        raise NotAsked(
            f"not run: the scratch database was lost in the middle: {reason(error)}"
        ) from error
    timed_out = type(cause).__name__ == "QueryCanceled" or str(cause) == "interrupted"
    line = getattr(cause, "line", None)
    return Failure(message=reason(error), line=line, timed_out=timed_out)


class _Block(NamedTuple):
    """Statements that are sent together."""

    statements: tuple[Statement, ...]
    transaction: bool


def _blocks(text: str, dialect: Dialect) -> list[_Block]:
    """Raises ValueError, with the reason, for what only a client like psql could run."""
    statements = split(text, dialect)
    for one in statements:
        if one.client:
            raise ValueError(f"line {one.line}: {one.trouble}")
    if any(one.trouble for one in statements):  # the database says what is wrong with it
        return [_Block((Statement(text=text, line=1, words=()),), transaction=True)]
    own = any(one.starts(word) for one in statements for word in _OWN)
    alone = [_is_alone(one) for one in statements]
    if not own and not any(alone):
        return [_Block(statements, transaction=True)]
    return [
        _Block((one,), transaction=not (own or by_itself))
        for one, by_itself in zip(statements, alone, strict=True)
    ]


def _is_alone(statement: Statement) -> bool:
    return any(statement.starts(*words) for words in _NEVER_INSIDE) or (
        statement.starts("ALTER", "TABLE") and statement.words[-1].upper() == "CONCURRENTLY"
    )


def _send(watch: _Watch, block: _Block) -> None:
    if block.transaction:
        watch.driver.execute("BEGIN")
    for statement in block.statements:
        if statement.words[:1] and statement.words[0].upper() in ("COMMIT", "END"):
            watch.look()
        try:
            _execute(watch.driver, statement)
        except Exception as error:
            error.line = _line(statement, error)  # type: ignore[attr-defined]
            raise
    if block.transaction:
        watch.look()
        watch.driver.execute("COMMIT")


def _execute(driver: Any, statement: Statement) -> None:
    if statement.data is None:
        driver.execute(statement.text)
        return
    with driver.cursor() as cursor, cursor.copy(statement.text) as copy:
        copy.write(statement.data)


def _line(statement: Statement, error: Exception) -> int | None:
    """Return the line of the file that the database complains of."""
    position = getattr(getattr(error, "diag", None), "statement_position", None)
    if position:
        return statement.line + statement.text.count("\n", 0, int(position) - 1)
    return statement.line if statement.words else None
