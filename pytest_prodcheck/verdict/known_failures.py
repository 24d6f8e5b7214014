"""Failures that a team accepts for a while, each with a reason and a last day.

So an old API can have a gate today, and every entry is a debt with a date: after that date, or once
the check passes, the entry itself is a failure.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from fnmatch import fnmatchcase

from pytest_prodcheck.model import Check, Record

NAME = "known.toml"
"""Name of the file, which is beside the configuration."""


class Known(Record):
    """One entry of the file."""

    check: str
    """Id of a check; `*` stands for any text."""
    reason: str
    expires: date
    """The last day on which it is accepted."""
    failures: tuple[str, ...] = ()
    """Titles of the failures that are accepted (`Server error`); empty: all."""


class KnownFailures:
    """The entries of the file, applied to the results of checks on the day *today*."""

    def __init__(self, entries: Iterable[Known], today: date) -> None:
        self._entries = tuple(entries)
        self._today = today

    def accepted(self, check_id: str, failures: Sequence[str]) -> str:
        """Return the reason why these failures are accepted; "" if one of them is not."""
        live = [one for one in self._about(check_id) if one.expires >= self._today]
        used: dict[Known, None] = {}
        for failure in failures or ("",):
            by = next((one for one in live if not one.failures or failure in one.failures), None)
            if by is None:
                return ""
            used[by] = None
        reasons = "; ".join(f"{one.reason} (until {one.expires})" for one in used)
        return f"known failure: {reasons}"

    def expired(self, check_id: str) -> str:
        """Return a remark on entries that have expired; "" if there are none."""
        over = [one for one in self._about(check_id) if one.expires < self._today]
        return "; ".join(f"expired in {NAME} on {one.expires} ({one.reason})" for one in over)

    def outdated(self, check_id: str) -> str:
        """Return the reason why a passing check fails for its entry; "" if it has none."""
        entries = [one for one in self._about(check_id) if "*" not in one.check]
        if not entries:
            return ""
        return (
            f"this check passes, but {NAME} says that it fails ({entries[0].reason}): remove the "
            "entry, so that a new failure is noticed"
        )

    def _about(self, check_id: str) -> list[Known]:
        return [one for one in self._entries if _matches(check_id, one.check)]


def _matches(check_id: str, pattern: str) -> bool:
    """Return True if an id matches; only `*` is special, because ids contain brackets."""
    return fnmatchcase(check_id, pattern.replace("[", "[[]").replace("?", "[?]"))


def entries_for(
    checks: Iterable[Check], existing: Sequence[Known], reason: str, expires: date, today: date
) -> list[Known]:
    """Return an entry for each failed contract check, with its failures not yet accepted.

    Failures are identified by their titles, because their values differ from run to run.
    """
    entries = []
    for check in checks:
        if check.category != "contract" or check.outcome != "failed":
            continue
        known = KnownFailures(existing, today)
        new = [title for title in check.titles if not known.accepted(check.id, [title])]
        if new or not (check.titles or known.accepted(check.id, ())):
            entries.append(
                Known(check=check.id, failures=tuple(new), reason=reason, expires=expires)
            )
    return entries


def to_toml(entries: Iterable[Known]) -> str:
    """Return entries as TOML, whose basic strings are like those of JSON."""
    texts = []
    for one in entries:
        lines = ["[[known]]", f"check = {json.dumps(one.check)}"]
        if one.failures:
            lines.append(f"failures = {json.dumps(list(one.failures))}")
        lines += [f"reason = {json.dumps(one.reason)}", f"expires = {one.expires}"]
        texts.append("\n".join(lines) + "\n")
    return "\n".join(texts)
