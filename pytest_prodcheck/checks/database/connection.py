"""The one connection of a process to the target's database, over SQLAlchemy; it only reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.analysis import database_urls
from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import CheckFailed, NotAsked, Violation
from pytest_prodcheck.rules import failure

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import ExceptionContext


def unreachable(message: str) -> CheckFailed:
    """Return the exception for a database that cannot be used."""
    return CheckFailed.of(failure("database.unreachable", "database", message))


def refuse(refusal: str) -> None:
    """Raises Violation: for a connection that no guard keeps a ledger of."""
    raise Violation(refusal)


class Database:
    """Connections to the database of *target*, one at a time, opened for as long as one is used.

    allow: called with the reason when something is sent that may not be; records and raises it.
    """

    def __init__(self, target: Target, allow: Callable[[str], None] = refuse) -> None:
        """Raises NotAsked when the target names no database."""
        if target.database is None:
            raise NotAsked(
                f"target {target.name} names no database; write "
                'database = "${DATABASE_URL}" into it'
            )
        self._url = target.database.reveal()
        self._target = target.name
        self._timeout = target.timeout
        self._allow = allow
        self._down = ""
        self.dialect = dialect_of(target)
        self.statements = 0
        """How many were sent so far."""

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection in a read-only transaction, which is rolled back.

        Raises CheckFailed when none can be opened; later calls then raise it at once.
        """
        from sqlalchemy.exc import DBAPIError

        if self._down:
            raise unreachable(self._down)
        try:
            connection = self._engine.connect()
        except DBAPIError as error:
            self._down = self._unreachable(error)
            raise unreachable(self._down) from None
        try:
            yield connection
        finally:
            try:
                connection.close()
            finally:
                self._engine.dispose()

    @contextmanager
    def asked(self) -> Iterator[Connection]:
        """Connect as `connect` does, for checks of ours: an error of the database is a failure."""
        from sqlalchemy.exc import DBAPIError

        try:
            with self.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise unreachable(
                f"the database did not answer a query: {_cause(error)}. See whether its "
                "server restarted, and what the timeout of the target is"
            ) from None

    def _unreachable(self, error: Exception) -> str:
        return (
            f"the database of target {self._target} cannot be connected to: {_cause(error)}. "
            "See whether it runs, takes connections from here, and the URL is right"
        )

    @cached_property
    def _engine(self) -> Engine:
        try:
            from sqlalchemy import create_engine, event
            from sqlalchemy.pool import QueuePool
        except ImportError as error:
            raise _not_installed(error) from None
        scheme = "sqlite://" if self.dialect == "sqlite" else "postgresql+psycopg://"
        options = {} if self.dialect == "sqlite" else {"use_native_hstore": False}
        engine = create_engine(
            scheme,
            creator=self._open,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=self._timeout,
            **options,
        )
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "before_cursor_execute", self._count)
        event.listen(engine, "handle_error", self._judge)
        return engine

    def _open(self) -> Any:
        if self.dialect == "sqlite":
            from pytest_prodcheck.checks.database import sqlite

            return sqlite.connect(_file(self._url), self._timeout, self._refuse)
        try:
            from pytest_prodcheck.checks.database import postgres
        except ImportError as error:
            raise _not_installed(error) from None
        return postgres.connect(self._url, self._timeout, self._refuse)

    def _begin(self, connection: Connection) -> None:
        if self.dialect == "postgresql":
            from pytest_prodcheck.checks.database import postgres

            postgres.begin(_driver(connection), self._timeout)

    def _count(self, connection: Connection, *_: Any) -> None:
        self.statements += 1
        if self.dialect == "sqlite":
            _driver(connection).until = time.monotonic() + self._timeout

    def _judge(self, context: ExceptionContext) -> None:
        """Count a statement that the server refused to a reader as an attempt to write."""
        error = context.original_exception
        if getattr(error, "sqlstate", None) == READ_ONLY_REFUSED or "readonly database" in str(
            error
        ):
            self._refuse(f"the server refused it: {str(error).splitlines()[0]}")

    def _refuse(self, why: str) -> None:
        self._allow(
            f"A statement for the database of target {self._target} was stopped: {why}. The "
            "connection is a read-only one, whatever the target allows; send what reads."
        )


READ_ONLY_REFUSED = "25006"
"""PostgreSQL's SQLSTATE for a write in a read-only transaction."""


def dialect_of(target: Target) -> Any:
    """`postgresql` or `sqlite`; the configuration takes no other."""
    return database_urls.dialect(target.database.reveal()) if target.database else None


def _file(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).database or ""


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def reason(error: BaseException) -> str:
    """Return the database's own message in one line, without SQLAlchemy's frame and the
    statement."""
    text = str(getattr(error, "orig", None) or error).strip()
    return " ".join(text.split("\n")[0].split()) or type(error).__name__


def _cause(error: BaseException) -> str:
    """Return the message without its full stop: the sentence goes on."""
    return reason(error).rstrip(".")


def _not_installed(error: ImportError) -> NotAsked:
    return NotAsked(
        f"the database needs {error.name}, which is not installed; "
        "pip install 'pytest-prodcheck[database]'"
    )
