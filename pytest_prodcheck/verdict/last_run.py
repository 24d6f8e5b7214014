"""Comparison with the last good release: warnings of what is suspicious, and proves nothing bad.

An older release may be a deploy that did not arrive, or a rollback; slower responses may be a busy
day. So both are facts with a way out, and never a failure.
"""

import re
from collections.abc import Iterator

from pytest_prodcheck.model import LastRelease, Release, Run, Warned
from pytest_prodcheck.verdict.releases import same_release

RELEASE = "release"
"""`check` of the warning about an older release."""

TIMES_SLOWER = 5
SLOWER_BY_MS = 1000.0
"""A check is much slower when its 95th percentile is both: so many times, and so much more."""

_VERSION = re.compile(r"v?(\d{1,9}(?:\.\d{1,9})+)")
_FIRST_YEAR = 1900
"""From here on the first number of a version is a year."""


def compared(run: Run) -> tuple[Warned, ...]:
    """Return a warning for a release older than the last good one, and for each check that is much
    slower than it was then, the slowest first."""
    return (*_older(run), *_slower(run))


def version_numbers(version: str | None) -> tuple[int, ...]:
    """Return `(1, 4, 2)` for `1.4.2` or `v1.4.2`; nothing for what is not numbers with dots."""
    found = _VERSION.fullmatch(version or "")
    return tuple(int(number) for number in found[1].split(".")) if found else ()


def in_order(one: Release, other: Release) -> int | None:
    """Return -1, 0 or 1: the version of *one* is lower than, equal to or higher than that of
    *other*. None where they cannot be compared.

    Only versions of as many numbers are: `1.4.2` and `v1.4.10`, but neither `1.4.2` and
    `2026.1.1` nor `1.4.2` and `1.4.2-rc1`.
    """
    mine, theirs = version_numbers(one.version), version_numbers(other.version)
    if not mine or len(mine) != len(theirs):
        return None
    if (mine[0] < _FIRST_YEAR) != (theirs[0] < _FIRST_YEAR):
        return None
    return (mine > theirs) - (mine < theirs)


def _older(run: Run) -> Iterator[Warned]:
    """By the order of versions; where that says nothing, a release that passed here before the
    last good one did."""
    if not run.good or run.release == Release():
        return
    last, *before = run.good
    if same_release(run.release, last.release):
        return
    order = in_order(run.release, last.release)
    if order == -1:
        fact = f"{run.release.name} is older than the last good release, {_named(last)}"
    elif not order and (seen := _seen(run.release, before)):
        fact = (
            f"{run.release.name} is the release of the earlier run {seen.run_id}, not of the last "
            f"good one, {_named(last)}, or a newer one"
        )
    else:
        return
    way_out = (
        "unless it was rolled back on purpose, the deploy did not arrive. `prodcheck gate --commit "
        "SHA` passes only for the commit that you deployed"
    )
    yield Warned(check=RELEASE, message=f"{fact}: {way_out}")


def _seen(release: Release, before: list[LastRelease]) -> LastRelease | None:
    return next((one for one in before if same_release(release, one.release)), None)


def _named(last: LastRelease) -> str:
    return f"{last.release.name or 'which named no release'} (run {last.run_id})"


def _slower(run: Run) -> Iterator[Warned]:
    found: list[tuple[float, Warned]] = []
    for check in run.checks:
        before = run.passed_before.get(check.category or "")
        then, now = before.p95_ms.get(check.id) if before else None, check.p95_ms
        if not before or then is None or now is None:
            continue
        if now >= TIMES_SLOWER * then and now - then >= SLOWER_BY_MS:
            where = before.release.name or f"the release of run {before.run_id}"
            message = (
                f"much slower than on {where}: 95 % of its responses took up to {_seconds(now)}, "
                f"then {_seconds(then)}"
            )
            found.append((now, Warned(check=check.id, message=message)))
    yield from (warned for _, warned in sorted(found, key=lambda one: -one[0]))


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3g} s"
