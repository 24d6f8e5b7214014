"""Lists of issues, as lines with severity, place, message, rule and remedy."""

from collections.abc import Sequence
from typing import Protocol


class Issue(Protocol):
    """The common fields of breaking changes, drifts of a schema and flaws of a migration."""

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
"""Issues that are listed; the others are counted."""


def issue_lines(title: str, found: Sequence[Issue], most: int | None = SHOWN) -> list[str]:
    """Return the title, and two lines for each of the first *most* issues (None: all)."""
    lines = [title]
    for one in found[:most]:
        lines.append(f"{one.severity}: {one.place}: {one.message} [{one.rule}]")
        lines.append(f"   {one.remedy}")
    if most is not None and len(found) > most:
        lines.append(f"and {len(found) - most} more")
    return lines
