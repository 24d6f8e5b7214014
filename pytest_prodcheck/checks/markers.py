"""The arguments of this package's markers: what they mean, and what is wrong with them.

A typo there would silently drop a check or change its weight, so it is refused before anything
is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from typing import cast

import pytest

from pytest_prodcheck.model import CATEGORIES, SEVERITIES, Severity


def wrong_arguments(item: pytest.Item | pytest.Function, targets: Collection[str]) -> str:
    """Return a sentence about the first marker of *item* whose arguments mean nothing, or "".

    *targets* are the names of configured targets; empty where no configuration is at hand.
    """
    for mark in item.iter_markers():
        check = _CHECKS.get(mark.name)
        if check and (wrong := check(mark, targets)):
            return f"{_written(mark)} on {item.nodeid}: {wrong}"
    return ""


def category(item: pytest.Item) -> str | None:
    """Return the category of *item*; None if it is not a check."""
    names = (mark.name for mark in item.iter_markers())
    return next((name for name in names if name in CATEGORIES), None)


def severity(item: pytest.Item) -> Severity:
    """Return the severity of *item*, whose markers have been checked."""
    mark = item.get_closest_marker("severity")
    return cast(Severity, mark.args[0]) if mark else "major"


def targets_of(item: pytest.Item) -> set[str]:
    """Return the names of the targets that the `targets` markers of *item* give."""
    return {name for mark in item.iter_markers("targets") for name in mark.args}


def exists_on(target: str, item: pytest.Item) -> bool:
    """Return whether *item* is a check of *target*: each `targets` on it has to name it."""
    return all(target in mark.args for mark in item.iter_markers("targets"))


def _severity(mark: pytest.Mark, _: Collection[str]) -> str:
    known = ", ".join(SEVERITIES)
    if len(mark.args) != 1 or mark.kwargs:
        return f'it takes one of {known}, as severity("critical")'
    given = mark.args[0]
    if given in SEVERITIES:
        return ""
    return f"{given!r} is not a severity; {_meant(given, SEVERITIES)}use one of {known}"


def _targets(mark: pytest.Mark, known: Collection[str]) -> str:
    names = f"; configured are {', '.join(known)}" if known else ""
    if mark.kwargs or not mark.args or not all(isinstance(name, str) for name in mark.args):
        return f'it takes names of targets, as targets("staging", "local"){names}'
    for name in mark.args:
        if known and name not in known:
            return f"there is no target {name!r}; {_meant(name, known)}{names.removeprefix('; ')}"
    return ""


def _operations(mark: pytest.Mark, _: Collection[str]) -> str:
    pattern = mark.kwargs.get("regex", "")
    if mark.kwargs.keys() - {"regex"} or not all(isinstance(one, str) for one in mark.args):
        return 'it takes operations, tags or ids, and regex=, as operations("GET /orders/**")'
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        return f"regex={pattern!r} is not a regular expression: {error}"
    return ""


def _nothing(mark: pytest.Mark, _: Collection[str]) -> str:
    return "it takes no arguments" if mark.args or mark.kwargs else ""


def _category(mark: pytest.Mark, _: Collection[str]) -> str:
    # pytest-smoke gives keyword arguments to a marker of the same name.
    if not mark.args:
        return ""
    return 'it takes no severity or other argument; write severity("critical") beside it'


_CHECKS: dict[str, Callable[[pytest.Mark, Collection[str]], str]] = {
    "severity": _severity,
    "targets": _targets,
    "operations": _operations,
    "writes": _nothing,
    "offline": _nothing,
    **dict.fromkeys(CATEGORIES, _category),
}
"""Marker -> what says what is wrong with its arguments; "" for nothing."""


def _written(mark: pytest.Mark) -> str:
    """Return the marker as its author wrote it, cut to fit into a sentence."""
    given = [repr(one) for one in mark.args]
    given += [f"{name}={value!r}" for name, value in mark.kwargs.items()]
    return f"{mark.name}({', '.join(given)})"[:100]


def _meant(word: object, known: Collection[str]) -> str:
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(str(word).lower(), by_lower, 1)
    return f"did you mean {by_lower[close[0]]!r}? " if close else ""
