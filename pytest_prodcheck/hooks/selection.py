"""What an expression of `-m` means, asked before pytest does."""

from __future__ import annotations

import re

import pytest


def names(expression: str) -> list[str]:
    """The markers that an expression of `-m` speaks of."""
    without_arguments = re.sub(r"\([^()]*=[^()]*\)", "", expression)
    return [word for word in _WORD.findall(without_arguments) if word not in _OPERATORS]


def matches(expression: str, item: pytest.Item | pytest.Function) -> bool:
    """What `-m` says of *item*. Marks with arguments (`m(x=1)`) count as if without."""
    without_arguments = re.sub(r"\([^()]*=[^()]*\)", "", expression)

    def truth(word: re.Match[str]) -> str:
        known = word[0] in _OPERATORS
        return word[0] if known else str(item.get_closest_marker(word[0]) is not None)

    truths = _WORD.sub(truth, without_arguments)
    return not truths.strip() or bool(eval(truths))  # noqa: S307 - True, False, and, or, not, ()


_WORD = re.compile(r"[\w.:+\-/\\\[\]]+")
_OPERATORS = ("and", "or", "not", "True", "False")
