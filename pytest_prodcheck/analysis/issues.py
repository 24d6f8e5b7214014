"""What is wrong with one thing as lines: how bad, where, what, by which rule, and the way out."""

from collections.abc import Sequence
from typing import Protocol


class Listed(Protocol):
    """What breaking changes, drifts of a schema and flaws of a migration have in common."""

    @property
    def rule(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def remedy(self) -> str: ...
    @property
    def severity(self) -> str: ...


SHOWN = 50
"""So many are told; the rest is counted."""


def listing(title: str, found: Sequence[Listed], most: int | None = SHOWN) -> list[str]:
    """The title, and two lines for each of the first *most* (None: of all)."""
    lines = [title]
    for one in found[:most]:
        lines.append(f"{one.severity}: {one.place}: {one.message} [{one.rule}]")
        lines.append(f"   {one.remedy}")
    if most is not None and len(found) > most:
        lines.append(f"and {len(found) - most} more")
    return lines
