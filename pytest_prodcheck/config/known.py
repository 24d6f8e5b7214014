"""`known.toml`: accepted failures, beside the configuration."""

import os
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pytest_prodcheck.config.file import parse
from pytest_prodcheck.config.misfit import misfit
from pytest_prodcheck.config.reader import written_or
from pytest_prodcheck.config.tables import Table, Text, Texts
from pytest_prodcheck.known import NAME, Known


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
    """The entries of `known.toml` in *folder*; none without such a file.

    Raises UsageError with file, line and key for one that cannot be read or does not fit.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        return ()
    file, data = parse(path, os.path.relpath(path))
    try:
        contents = msgspec.convert(data, KnownContents)
    except msgspec.ValidationError as error:
        keys, facts = misfit(data, KnownContents) or ((), str(error))
        raise file.error(keys, facts) from error
    return tuple(
        Known(
            check=one.check,
            reason=one.reason,
            expires=one.expires,
            failures=tuple(written_or(one.failures, [])),
        )
        for one in contents.known
    )
