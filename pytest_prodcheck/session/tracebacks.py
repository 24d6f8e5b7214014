"""Tracebacks as the author of a test wants them: their own lines, and the message.

What happens between a test and the socket (httpx, httpcore, the guard) is left out wherever this
package or httpx takes part in it. `--full-trace` and `--tb=native` show all of it.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from pytest_prodcheck.checks.builtin import SUITES

_PACKAGE = Path(__file__).parents[1]
_CLIENTS = frozenset(("httpx", "httpcore", "httpx2", "httpcore2"))
_INSTALLED = frozenset(("site-packages", "dist-packages"))
_STANDARD = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})


def shorten(excinfo: pytest.ExceptionInfo[BaseException], item: pytest.Item) -> None:
    """Take the frames of libraries and of this package out of what *excinfo* will show."""
    options = item.config.option
    skipped = isinstance(excinfo.value, pytest.skip.Exception)  # pytest wants its own frame then
    if skipped or options.fulltrace or options.tbstyle == "native":
        return
    test = str(item.path)
    # pytest goes back to Python's own traceback to cut it, so that has to be the short one.
    linked = _linked(_kept(excinfo.traceback, test))
    if linked is None:
        return
    traceback = type(excinfo.traceback)(linked)
    if not _is_authors(str(traceback[-1].path), test):
        in_short = [entry.with_repr_style("short") for entry in traceback]
        traceback = type(traceback)(in_short)
    excinfo.traceback = traceback
    for error in _chained(excinfo.value):
        if error.__traceback__:
            entries = pytest.ExceptionInfo.from_exception(error).traceback
            error.__traceback__ = _linked(_kept(entries, test))


def _kept(entries: Sequence[Any], test: str) -> Sequence[Any]:
    """Return the entries of the author's code; all of them if neither this package nor httpx is
    there.

    Where none is the author's, return the last entry.
    """
    authors = [entry for entry in entries if _is_authors(str(entry.path), test)]
    later = entries[entries.index(authors[0]) :] if authors else entries
    if not any(_is_ours(str(entry.path)) or _is_clients(str(entry.path)) for entry in later):
        return entries
    return authors or entries[-1:]


def _is_authors(path: str, test: str) -> bool:
    return path == test or not (_is_ours(path) or _is_librarys(path))


@cache
def _is_ours(path: str) -> bool:
    place = Path(path)
    return place.is_relative_to(_PACKAGE) and not place.is_relative_to(SUITES)


@cache
def _is_clients(path: str) -> bool:
    return _is_librarys(path) and not _CLIENTS.isdisjoint(Path(path).parts)


@cache
def _is_librarys(path: str) -> bool:
    place = Path(path)
    installed = not _INSTALLED.isdisjoint(place.parts)
    return installed or path.startswith("<") or any(map(place.is_relative_to, _STANDARD))


def _chained(error: BaseException) -> Iterator[BaseException]:
    """Return the exceptions that pytest shows above *error*."""
    seen = {id(error)}
    following: BaseException | None = error
    while following is not None:
        hidden = following.__suppress_context__
        following = following.__cause__ or (None if hidden else following.__context__)
        if following is None or id(following) in seen:
            return
        seen.add(id(following))
        yield following


def _linked(entries: Sequence[Any]) -> TracebackType | None:
    """Return the same entries as Python's own traceback."""
    linked = None
    for entry in reversed(entries):
        raw = entry._rawentry
        linked = TracebackType(linked, raw.tb_frame, raw.tb_lasti, raw.tb_lineno)
    return linked
