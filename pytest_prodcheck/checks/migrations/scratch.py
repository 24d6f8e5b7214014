"""A database to try things on: made for one rehearsal, and dropped for certain.

PostgreSQL: created on the server that `scratch` names, under a name that says what it is. While it
lives, a session of its maker bears the same name, and the server ends it with the connection: a
database without such a session was left by a run that was killed, and the next one drops it.
SQLite: a temporary file.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.analysis.database_urls import Dialect
from pytest_prodcheck.checks.database.connection import reason
from pytest_prodcheck.checks.database.socket_timeout import socket_timeout
from pytest_prodcheck.errors import NotAsked

if TYPE_CHECKING:
    import sqlalchemy as sa

PREFIX = "prodcheck_scratch_"
CONNECT_TIMEOUT = 10
"""Seconds for a server to take a connection."""

GRACE = 5.0
"""Seconds beyond the limit of a statement until a server that does not answer is left."""

LONGEST = 120.0
"""Seconds for all that is done over one connection beside migrations: snapshots, made-up rows."""

OURS = re.compile(rf"{PREFIX}[0-9a-f]{{12}}")


class Scratch:
    """An empty database; `connect` as often as needed."""

    def __init__(self, engine: sa.Engine, dialect: Dialect, name: str) -> None:
        self.engine = engine
        self.dialect = dialect
        self.name = name

    @contextmanager
    def connect(self, limit: float, *, autocommit: bool = True) -> Iterator[sa.Connection]:
        """Return a connection on which no statement takes longer than `limit` seconds."""
        import sqlalchemy as sa

        connection = self.engine.connect()
        if autocommit:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            if self.dialect == "postgresql":
                milliseconds = int(limit * 1000)
                connection.execute(sa.text(f"SET statement_timeout = {milliseconds}"))
                connection.commit()
            with patience(connection, max(limit, LONGEST)):
                yield connection
        finally:
            with contextlib.suppress(sa.exc.SQLAlchemyError):  # of a server that is gone
                connection.close()


@contextmanager
def patience(connection: sa.Connection, seconds: float) -> Iterator[None]:
    """Interrupt SQLite after so long, and leave a PostgreSQL that is silent a little longer."""
    driver: Any = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        with socket_timeout(driver.fileno(), seconds + GRACE):
            yield
        return
    timer = threading.Timer(seconds, driver.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def scratch(server: str | None, dialect: Dialect) -> Iterator[Scratch]:
    """Create an empty database for the block; drop it afterwards, whatever happened.

    Raises NotAsked when there is no server for it, or it does not answer.
    """
    made = _sqlite() if dialect == "sqlite" else _postgresql(server)
    with made as database:
        yield database


@contextmanager
def _sqlite() -> Iterator[Scratch]:
    import sqlalchemy as sa

    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        engine = sa.create_engine(f"sqlite:///{Path(folder) / 'scratch.db'}", poolclass=sa.NullPool)
        try:
            yield Scratch(engine, "sqlite", "in a temporary file")
        finally:
            engine.dispose()


@contextmanager
def _postgresql(server: str | None) -> Iterator[Scratch]:
    import sqlalchemy as sa

    if server is None:
        raise NotAsked(
            "not run: no server to rehearse on is configured; name one where databases may be "
            'created, as scratch = "${SCRATCH_DATABASE_URL}" of the target'
        )
    name = f"{PREFIX}{secrets.token_hex(6)}"
    with _lost("the scratch server"):
        keeper = engine_of(server, application_name=name)
        with keeper.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _drop_leftovers(connection)
            try:
                _create(connection, name)
                engine = engine_of(sa.make_url(server).set(database=name))
                try:
                    yield Scratch(engine, "postgresql", name)
                finally:
                    engine.dispose()
            finally:
                try:
                    _drop(connection, name)
                except sa.exc.DBAPIError:  # the keeper's own connection was lost: once more
                    with keeper.connect().execution_options(
                        isolation_level="AUTOCOMMIT"
                    ) as another:
                        _drop(another, name)


def engine_of(url: str | sa.URL, **options: Any) -> sa.Engine:
    """Return an engine that keeps no connection, with the driver that we have."""
    import sqlalchemy as sa

    url = sa.make_url(url)
    if url.get_backend_name() == "sqlite":
        return sa.create_engine(url.set(drivername="sqlite"), poolclass=sa.NullPool)
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=sa.NullPool,
        connect_args={"connect_timeout": CONNECT_TIMEOUT, "prepare_threshold": None, **options},
    )


def _create(connection: sa.Connection, name: str) -> None:
    import sqlalchemy as sa

    try:
        # template0: what an administrator put into template1 is not the team's schema.
        with patience(connection, LONGEST):
            connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE template0"))
    except sa.exc.ProgrammingError as error:
        raise NotAsked(
            f"not run: the scratch server makes no database: {reason(error)}; "
            "give its user CREATEDB"
        ) from error


def _drop_leftovers(connection: sa.Connection) -> None:
    """Databases of runs that were killed: no session bears their name any more."""
    import sqlalchemy as sa

    # In this order: a database that is listed had its session before.
    found = connection.execute(sa.text("SELECT datname FROM pg_database")).scalars().all()
    query = sa.text("SELECT application_name FROM pg_stat_activity")
    alive = set(connection.execute(query).scalars())
    for name in filter(OURS.fullmatch, found):
        if name not in alive:
            # Another run may be dropping it, or it is another user's: no matter for this one.
            with contextlib.suppress(sa.exc.ProgrammingError, sa.exc.InternalError):
                _drop(connection, name)


def _drop(connection: sa.Connection, name: str) -> None:
    import sqlalchemy as sa

    with patience(connection, LONGEST):
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@contextmanager
def _lost(what: str) -> Iterator[None]:
    """Turn an error of a server that is gone into NotAsked: it says nothing about a migration."""
    import sqlalchemy as sa

    try:
        yield
    except sa.exc.DBAPIError as error:
        if not (error.connection_invalidated or isinstance(error, sa.exc.OperationalError)):
            raise
        raise NotAsked(f"not run: {what} does not answer: {reason(error)}") from error
