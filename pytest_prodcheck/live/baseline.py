"""The live document against an older one: would this release break its clients?"""

import re
from collections.abc import Mapping
from typing import Any

from pytest_prodcheck.compatibility import Change, breaking_changes
from pytest_prodcheck.errors import ContractBroken

SHOWN = 50
"""Changes that are told; the rest is counted."""


class CompatibilityRun:
    """Two documents as a test sees them: `check()`. *source* says whose the old one is."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any], source: str) -> None:
        self.old = old
        self.new = new
        self.source = source

    def check(self) -> None:
        """Return when nothing of more than minor severity would break a client of the old one.

        Raises ContractBroken with every breaking change.
        """
        __tracebackhide__ = True
        changes = self.changes()
        if all(change.severity == "minor" for change in changes):
            return
        noun = "change breaks" if len(changes) == 1 else "changes break"
        lines = [f"{len(changes)} {noun} clients of {self.source}"]
        for change in changes[:SHOWN]:
            lines.append(f"{change.severity}: {change.place}: {change.message} [{change.rule}]")
            lines.append(f"   {change.remedy}")
        if len(changes) > SHOWN:
            lines.append(f"and {len(changes) - SHOWN} more")
        raise ContractBroken("\n".join(lines), (change.rule for change in changes))

    def changes(self) -> list[Change]:
        """What would break a client, the worst first."""
        return list(breaking_changes(self.old, self.new))

    def __repr__(self) -> str:
        return f"<compatibility with {self.source}>"


ADDED = re.compile("removed")
"""Rules of what is in this release and not in the one before, read backwards."""

KEPT = ("api-security-removed", "pattern-removed")
"""Their like, but a restriction and no addition."""


class PreviousRun(CompatibilityRun):
    """The way back to the last release that passed, for clients that have met this one.

    What this release has more (operations, properties, values) is gone afterwards, which is what
    going back means: it does not count. What both have, and understand differently, does.
    """

    def __init__(self, live: Mapping[str, Any], before: Mapping[str, Any], source: str) -> None:
        super().__init__(live, before, f"this release, on the way back to {source}")

    def changes(self) -> list[Change]:
        return [one for one in super().changes() if not ADDED.search(one.rule) or one.rule in KEPT]
