"""The last release that passed, for each target: for a rollback, and to compare the next one."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.model import LastRelease, PassedBefore, Record, Release, Run
from pytest_prodcheck.store.run_directory import Folder

EARLIER = 20
"""Releases that are remembered besides the last two, so that an old one is recognised."""


class Good(Record):
    """A release that passed, and the last OpenAPI document that one had until then."""

    last: LastRelease
    spec_of: LastRelease
    """The release whose document it is: not every run reads one."""
    spec: dict[str, Any]
    """Empty when no run has."""

    @property
    def source(self) -> str:
        """Return `release 1.4.2 (run 20260101T000000-abcdef)`."""
        run = f"run {self.spec_of.run_id}"
        release = self.spec_of.release.version or self.spec_of.release.commit
        return f"release {release} ({run})" if release else run


class LastGood(Record):
    """The last release that passed, and the last one before it that was another."""

    newest: Good
    older: Good | None = None
    earlier: tuple[LastRelease, ...] = ()
    """Releases that passed before these two, newest first, each once."""
    passed: dict[str, dict[str, PassedBefore]] = msgspec.field(default_factory=dict)
    """Vantage -> category -> the checks that passed in its last run that passed."""

    def followed_by(self, good: Good) -> "LastGood":
        """Return it with one more; a release that passes again does not displace the one before."""
        now, before = good.last.release, self.newest.last.release
        another = now != before and Release() not in (now, before)
        if not another:
            return msgspec.structs.replace(self, newest=good)
        past = (*([self.older.last] if self.older else []), *self.earlier)
        earlier = tuple(one for one in past if one.release not in (now, before))[:EARLIER]
        return LastGood(newest=good, older=self.newest, earlier=earlier, passed=self.passed)

    def with_passed(self, run: Run) -> "LastGood":
        """Return it with the checks that passed in *run*."""
        found: dict[str, PassedBefore] = {}
        for category in {check.category for check in run.checks if check.category}:
            checks = [c for c in run.checks if c.category == category and c.outcome == "passed"]
            found[category] = PassedBefore(
                release=run.release,
                run_id=run.run_id,
                checks=tuple(check.id for check in checks),
                p95_ms={c.id: c.p95_ms for c in checks if c.p95_ms is not None},
            )
        vantage = run.target.vantage
        passed = {**self.passed, vantage: {**self.passed.get(vantage, {}), **found}}
        return msgspec.structs.replace(self, passed=passed)


def remember(
    base: Path, run: Run, views: Sequence[Run], spec: dict[str, Any]
) -> Callable[[], None]:
    """Store below *base* that *run* was promoted; return the function that undoes it.

    *views* are the run as each vantage saw it. *spec* is the document that it read; empty: none,
    and the one known before stays. A run that ended after this one is not displaced.
    """
    target, last = (
        run.target.name,
        LastRelease(run_id=run.run_id, release=run.release, finished=run.finished),
    )
    before = last_good(base, target)
    if before and before.newest.last.finished > run.finished:
        return lambda: None
    spec_of = last
    if before and not spec:
        spec, spec_of = before.newest.spec, before.newest.spec_of
    good = Good(last=last, spec_of=spec_of, spec=spec)
    now = before.followed_by(good) if before else LastGood(newest=good)
    for view in views:
        now = now.with_passed(view)
    keep(base, target, now)
    return partial(put_back, base, target, before)


def keep(base: Path, target: str, found: LastGood) -> None:
    """Store *found* below *base*, the folder of all runs, in place of an older one."""
    Folder(base).write(_name(target), msgspec.json.encode(found).decode())


def put_back(base: Path, target: str, before: LastGood | None) -> None:
    """Undo `keep` by storing *before* again, or nothing."""
    if before:
        keep(base, target, before)
    else:
        (base / _name(target)).unlink(missing_ok=True)


def last_good(base: Path, target: str) -> LastGood | None:
    """Return the stored record of *target*; None if there is none that can be read.

    A damaged file is renamed, and the run continues as if there were none.
    """
    path = base / _name(target)
    try:
        return msgspec.json.decode(path.read_bytes(), type=LastGood)
    except OSError:
        return None
    except msgspec.MsgspecError:
        with suppress(OSError):
            path.replace(path.with_suffix(".damaged"))
        return None


def remembered(base: Path, target: str) -> tuple[LastRelease, ...]:
    """Return the last releases that passed, newest first."""
    found = last_good(base, target)
    if not found:
        return ()
    older = [found.older.last] if found.older else []
    return (found.newest.last, *older, *found.earlier)


def passed_before(base: Path, target: str, vantage: str) -> dict[str, PassedBefore]:
    """Return, by category, the checks that passed in the last passing run from *vantage*."""
    found = last_good(base, target)
    return found.passed.get(vantage, {}) if found else {}


def _name(target: str) -> str:
    return f"last-good-{re.sub(r'[^A-Za-z0-9._-]', '_', target)[:80]}.json"
