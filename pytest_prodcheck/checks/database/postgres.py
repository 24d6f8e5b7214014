"""A connection to PostgreSQL that only reads: all contact with psycopg.

Three walls, one behind the other: what a statement may be is looked at before it is sent;
every transaction begins as READ ONLY, and has taken its snapshot before a test's statement comes,
after which PostgreSQL refuses to change that; and no statement is sent on a connection whose
settings were changed. Nothing is set for the session: behind a pooler that shares sessions it
would stay with other clients.

Every round trip has a deadline on this side too: a server that is stopped keeps its promise of
`statement_timeout` no better than any other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg

from pytest_prodcheck.checks.database.socket_timeout import socket_timeout
from pytest_prodcheck.checks.database.statements import refusal
from pytest_prodcheck.version import __version__

GRACE = 2.0
"""Seconds that the server has, beyond the timeout, to say that it stopped a statement."""


class _Policed:
    """What a cursor may send; `connection` and the methods are psycopg's."""

    connection: Any

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        self._check(query)
        return super().execute(query, *args, **options)  # type: ignore[misc]

    def executemany(self, query: Any, *args: Any, **options: Any) -> Any:
        self._check(query)
        return super().executemany(query, *args, **options)  # type: ignore[misc]

    def stream(self, query: Any, *args: Any, **options: Any) -> Any:
        self._check(query)
        return super().stream(query, *args, **options)  # type: ignore[misc]

    def copy(self, statement: Any, *args: Any, **options: Any) -> Any:
        self._check(statement)
        return super().copy(statement, *args, **options)  # type: ignore[misc]

    def _check(self, query: Any) -> None:
        connection: ReadOnlyConnection = self.connection
        if connection.autocommit or connection.read_only is not True:
            why = "the connection was made a writable or autocommitting one"
        else:
            why = refusal(_text(query, self)) or ""
        if why:
            connection.refuse(why)


class _Cursor(_Policed, psycopg.Cursor[Any]):
    pass


class _ServerCursor(_Policed, psycopg.ServerCursor[Any]):
    pass


class ReadOnlyConnection(psycopg.Connection[Any]):
    """Opened by `connect`; `refuse` raises for what may not be sent."""

    refuse: Callable[[str], None]
    patience: float = math.inf

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for one round trip; cut the connection when its time is over."""
        if math.isinf(self.patience):
            return super().wait(gen, *args, **options)
        with socket_timeout(self.pgconn.socket, self.patience):
            return super().wait(gen, *args, **options)


def connect(url: str, timeout: float, refuse: Callable[[str], None]) -> ReadOnlyConnection:
    """Connect within *timeout* seconds; each statement may take as many.

    Raises psycopg.Error. The driver that the URL names is not used: the promises of this module
    hold for psycopg.
    """
    connection = ReadOnlyConnection.connect(
        plain_url(url),
        connect_timeout=max(1, math.ceil(timeout)),
        application_name=f"pytest-prodcheck/{__version__}",
        prepare_threshold=None,  # poolers that share sessions lose prepared statements
    )
    connection.cursor_factory = _Cursor
    connection.server_cursor_factory = _ServerCursor
    connection.refuse = refuse
    connection.patience = timeout + GRACE
    connection.read_only = True
    return connection


def begin(connection: ReadOnlyConnection, timeout: float) -> None:
    """Begin a transaction, bound its statements, and take its snapshot."""
    milliseconds = str(math.ceil(timeout * 1000))
    with psycopg.Cursor(connection) as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout', %(ms)s, true),"
            " set_config('lock_timeout', %(ms)s, true)",
            {"ms": milliseconds},
        )


def plain_url(url: str) -> str:
    """Return the URL as libpq reads it: without a driver's name and the options of other libraries.

    Prisma's `?schema=public&pgbouncer=true` and asyncpg's `?ssl=require` are among them.
    """
    split = urlsplit(url)
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    options = [
        ("sslmode", "require" if value in ("true", "1") else value)
        if name == "ssl"
        else (name, value)
        for name, value in parse_qsl(split.query, keep_blank_values=True)
    ]
    query = urlencode([(name, value) for name, value in options if name in known])
    scheme = re.sub(r"^postgres(ql)?(\+\w+)?$", "postgresql", split.scheme)
    return urlunsplit((scheme, split.netloc, split.path, query, ""))


def _text(query: Any, cursor: Any) -> str:
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    if isinstance(query, str):
        return query
    return str(psycopg.sql.as_string(query, cursor))
