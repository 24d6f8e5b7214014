"""The live document against an older one: would this release break its clients?"""

from collections.abc import Mapping
from typing import Any

from pytest_prodcheck.analysis.issues import issue_lines
from pytest_prodcheck.analysis.openapi_diff import Change, breaking_changes
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.rules import failure


class CompatibilityCheck:
    """Two documents as a test sees them: `check()`. *source* says whose the old one is."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any], source: str) -> None:
        self.old = old
        self.new = new
        self.source = source

    def check(self) -> None:
        """Return when nothing of more than minor severity would break a client of the old one.

        Raises CheckFailed with every breaking change.
        """
        changes = self.changes()
        if all(change.severity == "minor" for change in changes):
            return
        noun = "change breaks" if len(changes) == 1 else "changes break"
        lines = issue_lines(f"{len(changes)} {noun} clients of {self.source}", changes)
        raise CheckFailed(
            "\n".join(lines),
            [
                failure(
                    "compatibility.breaking",
                    change.place,
                    change.message,
                    title=change.rule,
                    severity=change.severity,
                )
                for change in changes
            ],
        )

    def changes(self) -> list[Change]:
        """Return what would break a client, the worst first."""
        return list(breaking_changes(self.old, self.new))

    def __repr__(self) -> str:
        return f"<compatibility with {self.source}>"


RESTRICTIONS = ("api-security-removed", "pattern-removed")
"""Rules about something removed that are about a restriction, not an addition."""


class PreviousCheck(CompatibilityCheck):
    """A rollback to the last release that passed, for clients that have used this one.

    What this release has more (operations, properties, values) is gone afterwards, which is what
    going back means: it does not count. What both have, and understand differently, does.
    """

    def __init__(self, live: Mapping[str, Any], before: Mapping[str, Any], source: str) -> None:
        super().__init__(live, before, f"this release, rolled back to {source}")

    def changes(self) -> list[Change]:
        # Read backwards, what is removed is what this release has added.
        return [
            one
            for one in super().changes()
            if "removed" not in one.rule or one.rule in RESTRICTIONS
        ]
