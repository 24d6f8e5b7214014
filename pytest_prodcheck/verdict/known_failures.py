"""Failures that a team has accepted for a while: each with a reason and a last day.

So an old API can have a gate today, and every entry is a debt with a date: once that is over, or
once the check passes, the entry itself is a failure.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from fnmatch import fnmatchcase

from pytest_prodcheck.model import Check, Record

NAME = "known.toml"
"""Beside the configuration."""


class Known(Record):
    """One entry of the file."""

    check: str
    """Id of a check; `*` stands for any text."""
    reason: str
    expires: date
    """The last day on which it is accepted."""
    failures: tuple[str, ...] = ()
    """Titles of what may fail (`Server error`); empty: whatever fails."""


class KnownFailures:
    """What the entries say of a check's result on the day *today*."""

    def __init__(self, entries: Iterable[Known], today: date) -> None:
        self._entries = tuple(entries)
        self._today = today

    def accepted(self, check_id: str, failures: Sequence[str]) -> str:
        """Why these failures are accepted, as a sentence; "" if one of them is not."""
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
        """What to say of a failure whose acceptance is over; "" if there was none."""
        over = [one for one in self._about(check_id) if one.expires < self._today]
        return "; ".join(f"expired in {NAME} on {one.expires} ({one.reason})" for one in over)

    def outdated(self, check_id: str) -> str:
        """Why a check that passes is a failure all the same; "" if it is none."""
        entries = [one for one in self._about(check_id) if "*" not in one.check]
        if not entries:
            return ""
        return (
            f"this check passes, and {NAME} says that it fails ({entries[0].reason}): take the "
            "entry out, so that nobody breaks it again unseen"
        )

    def _about(self, check_id: str) -> list[Known]:
        return [one for one in self._entries if _matches(check_id, one.check)]


def _matches(check_id: str, pattern: str) -> bool:
    """Brackets are part of ids, so only `*` is special."""
    return fnmatchcase(check_id, pattern.replace("[", "[[]").replace("?", "[?]"))


def entries_for(
    checks: Iterable[Check], existing: Sequence[Known], reason: str, expires: date, today: date
) -> list[Known]:
    """An entry for each failed contract check, with those of its failures that none accepts yet.

    Failures are known by their titles, their kind: the values in them differ from run to run.
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


def written(entries: Iterable[Known]) -> str:
    """Entries as TOML; its basic strings are those of JSON."""
    texts = []
    for one in entries:
        lines = ["[[known]]", f"check = {json.dumps(one.check)}"]
        if one.failures:
            lines.append(f"failures = {json.dumps(list(one.failures))}")
        lines += [f"reason = {json.dumps(one.reason)}", f"expires = {one.expires}"]
        texts.append("\n".join(lines) + "\n")
    return "\n".join(texts)
