"""Parameters of checks: a test that asks for one runs once for each configured value.

A parameter with nothing configured behind it plans nothing: a check that could only be skipped
would count as not passed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pytest_prodcheck.checks import mark_expressions
from pytest_prodcheck.model import Record


class Unconfigured:
    """Stands for a parameter without a value until its item is dropped from the plan."""


UNCONFIGURED = Unconfigured()


class Withheld(Record):
    """Stands for a parameter whose check would prove nothing here."""

    reason: str


def parametrize(
    metafunc: pytest.Metafunc,
    name: str,
    values: Callable[[], Iterable[Any]],
    *,
    indirect: bool = False,
) -> None:
    """Run *metafunc* once for each of *values*, if it asks for our parameter *name*."""
    if name in metafunc.fixturenames and not _is_the_users(metafunc, name):
        found = list(values()) or [pytest.param(UNCONFIGURED, id="none")]
        metafunc.parametrize(name, found, indirect=indirect)


def _is_the_users(metafunc: pytest.Metafunc, name: str) -> bool:
    """Return True if the project defines *name* itself, by a fixture or by `parametrize`."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if name in (re.split(r"\s*,\s*", names) if isinstance(names, str) else names):
            return True
    # pytest has no public way to ask; without this attribute the name is taken for ours.
    fixtures = getattr(metafunc, "_arg2fixturedefs", {}).get(name, ())
    return any(not fixture.func.__module__.startswith("pytest_prodcheck.") for fixture in fixtures)


def is_wanted(metafunc: pytest.Metafunc) -> bool:
    """Return whether `-m` will keep the test: values that cost a request are not made in vain."""
    expression = metafunc.config.getoption("markexpr", "")
    return mark_expressions.matches(expression, metafunc.definition)


def asks_for(item: pytest.Item, *names: str) -> bool:
    """Return whether *item* has one of these fixtures or parameters."""
    return not set(names).isdisjoint(getattr(item, "fixturenames", ()))


def parameter(item: pytest.Item, name: str) -> Any:
    """Return the value that *item* runs for; None if it has no such parameter."""
    spec = getattr(item, "callspec", None)
    return spec.params.get(name) if spec else None


def is_configured(item: pytest.Item) -> bool:
    """Return whether there is something behind each of our parameters that *item* asks for."""
    spec = getattr(item, "callspec", None)
    return spec is None or UNCONFIGURED not in spec.params.values()


def withheld(item: pytest.Item) -> str:
    """Return why *item* cannot prove anything here; "" when it can."""
    spec = getattr(item, "callspec", None)
    found = [one for one in spec.params.values() if isinstance(one, Withheld)] if spec else []
    return found[0].reason if found else ""
