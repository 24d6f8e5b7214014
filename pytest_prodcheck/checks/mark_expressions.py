"""What an expression of `-m` means, asked before pytest does."""

from __future__ import annotations

import re
from itertools import product

import pytest

from pytest_prodcheck.model import CATEGORIES


def names(expression: str) -> list[str]:
    """Return the markers that an expression of `-m` names."""
    without_arguments = re.sub(r"\([^()]*=[^()]*\)", "", expression)
    return [word for word in _WORD.findall(without_arguments) if word not in _OPERATORS]


def matches(expression: str, item: pytest.Item | pytest.Function) -> bool:
    """Return whether `-m` selects *item*. Marks with arguments (`m(x=1)`) count as if without."""
    return _truth(
        expression,
        {name: item.get_closest_marker(name) is not None for name in names(expression)},
    )


def may_plan(expression: str, category: str) -> bool:
    """Return whether `-m` can select a check of *category*, whatever other markers it has."""
    others = [name for name in names(expression) if name not in CATEGORIES]
    if len(others) > _MOST_NAMES:
        return True
    certain = {name: name == category for name in CATEGORIES}
    return any(
        _truth(expression, certain | dict(zip(others, values, strict=True)))
        for values in product((False, True), repeat=len(others))
    )


def _truth(expression: str, facts: dict[str, bool]) -> bool:
    without_arguments = re.sub(r"\([^()]*=[^()]*\)", "", expression)
    truths = _WORD.sub(
        lambda word: word[0] if word[0] in _OPERATORS else str(facts[word[0]]), without_arguments
    )
    return not truths.strip() or bool(eval(truths))  # noqa: S307 - True, False, and, or, not, ()


_MOST_NAMES = 10
"""Markers of an expression whose combinations are all tried."""

_WORD = re.compile(r"[\w.:+\-/\\\[\]]+")
_OPERATORS = ("and", "or", "not", "True", "False")
