"""A connection to SQLite that only reads: the file is opened so, and nothing else is prepared."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from pytest_prodcheck.errors import Violation

_READS = {
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_SAVEPOINT,
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_TRANSACTION,
}
_PRAGMAS = {
    *("foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_list"),
    *("read_uncommitted", "table_xinfo"),
}
"""Pragmas that read, if they get no value."""
_ABOUT_A_TABLE = _PRAGMAS - {"read_uncommitted"}
"""Their value is a table or index, and sets nothing."""
_STEPS = 10_000
"""Instructions of SQLite's virtual machine between two looks at the clock: some 0.1 ms."""


class ReadOnlyConnection(sqlite3.Connection):
    """Stops a statement that is not done by `until`, on the clock of `time.monotonic`."""

    until: float = float("inf")


def connect(path: str, timeout: float, refuse: Callable[[str], None]) -> ReadOnlyConnection:
    """Raises sqlite3.Error for a file that is not there: nothing is ever made.

    *refuse* is called for each attempt at more than reading; SQLite then raises DatabaseError.
    """
    place = f"file:{quote(str(Path(path).absolute()))}?mode=ro"
    connection = sqlite3.connect(
        place, uri=True, timeout=timeout, check_same_thread=False, factory=ReadOnlyConnection
    )

    def authorise(action: int, what: str | None, value: str | None, *_: str | None) -> int:
        if action in _READS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and (
            what in _ABOUT_A_TABLE or (what in _PRAGMAS and value is None)
        ):
            return sqlite3.SQLITE_OK
        with suppress(Violation):  # it is recorded; an exception here would not be seen
            refuse(f"SQLite was asked to do more than read (its action {action}, {what})")
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(authorise)
    connection.set_progress_handler(lambda: time.monotonic() > connection.until, _STEPS)
    return connection
