"""`known.toml`: accepted failures, beside the configuration."""

import os
from datetime import date
from pathlib import Path
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from pytest_prodcheck.config.config_file import fitted, parse
from pytest_prodcheck.config.reader import written_or
from pytest_prodcheck.config.tables import Table, Text, Texts
from pytest_prodcheck.verdict.known_failures import NAME, Known


class KnownTable(Table):
    """A failure that is accepted for a while."""

    check: Text
    reason: Text
    expires: date
    failures: Annotated[Texts, Meta(min_length=1)] | UnsetType = UNSET


class KnownContents(Table):
    """All of the file."""

    known: list[KnownTable] = []  # noqa: RUF012 - msgspec copies it for each record


def known_failures(folder: Path) -> tuple[Known, ...]:
    """Return the entries of `known.toml` in *folder*; none without such a file.

    Raises UsageError with file, line and key if it cannot be read or is invalid.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        return ()
    contents = fitted(*parse(path, os.path.relpath(path)), KnownContents)
    return tuple(
        Known(
            check=one.check,
            reason=one.reason,
            expires=one.expires,
            failures=tuple(written_or(one.failures, [])),
        )
        for one in contents.known
    )
