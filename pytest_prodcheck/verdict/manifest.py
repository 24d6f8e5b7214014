"""The manifest of a run: the numbers of checks per category, and the checks, that it must plan."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import CATEGORIES, Check, Planned

_REQUIREMENT = re.compile(r"\s*(\w+)\s*>=\s*(\d+)\s*")


def requirement(text: str) -> tuple[str, int]:
    """Return `smoke>=10` as ("smoke", 10); raises UsageError for anything else."""
    match = _REQUIREMENT.fullmatch(text)
    if not match:
        raise UsageError(f"{text!r} is not a requirement. Write it like smoke>=10.")
    if match[1] not in CATEGORIES:
        close = get_close_matches(match[1], CATEGORIES, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UsageError(
            f"{match[1]!r} in {text!r} is not a category.{hint} Categories: {', '.join(CATEGORIES)}"
        )
    return match[1], int(match[2])


def missing(required: tuple[str, ...], planned: Sequence[Planned | Check]) -> list[str]:
    """Return a sentence for each requirement (`smoke>=10`, a glob over ids) that is not met."""
    lacking = []
    for wanted in required:
        if ">=" in wanted:
            category, number = requirement(wanted)
            found = sum(check.category == category for check in planned)
            if found < number:
                lacking.append(f"{category}>={number} is required, but {found} were planned")
        elif not any(fnmatchcase(check.id, wanted) for check in planned):
            lacking.append(f"required check {wanted} was not planned")
    return lacking
