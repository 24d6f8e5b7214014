"""Subtests as one outcome of their test, for reporters that show one row for each test.

Each subtest has a report of its own, with the id of its test. pytest's JUnit writer counts them
as tests, and pytest-html makes a row of each kind of outcome: a failed test would be a passed one
too. So they are kept until the report of the test itself comes, and go into that.
"""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from types import SimpleNamespace
from typing import Any

import pytest


class Subtests:
    """Keeps the reports of subtests, and puts them into those of their tests."""

    def __init__(self) -> None:
        self._kept: dict[str, list[pytest.TestReport]] = defaultdict(list)

    def folded(self, report: pytest.TestReport) -> list[pytest.TestReport]:
        """Return what a reporter gets instead of *report*: nothing for a subtest."""
        if _context(report) is not None:
            self._kept[report.nodeid].append(report)
            return []
        if report.when == "setup":  # of another attempt, perhaps
            self._kept.pop(report.nodeid, None)
            return [report]
        kept = self._kept.pop(report.nodeid, None)
        if not kept:
            return [report]
        if report.when == "call":
            return [_joined(report, kept)]
        # The run was killed within the test: nothing but its subtests is known.
        return [_joined(_call_of(kept[-1]), kept), report]


class _Texts(str):
    """What several reports say; JUnit shows the message of `reprcrash` first."""

    reprcrash: SimpleNamespace


def _joined(report: pytest.TestReport, subtests: list[pytest.TestReport]) -> pytest.TestReport:
    whole = copy(report)
    whole.sections = [section for one in (*subtests, report) for section in one.sections]
    extras = [extra for one in (*subtests, report) for extra in getattr(one, "extras", ())]
    whole.extras = extras  # type: ignore[attr-defined]
    failed = [one for one in subtests if one.failed]
    if failed:
        own = str(report.longrepr or "") if report.failed else ""
        texts = [f"{_name(one)}: {one.longreprtext}" for one in failed]
        if own and not own.startswith("contains "):  # pytest's own count of failed subtests
            texts.append(own)
        texts_shown = _Texts("\n\n".join(texts))
        texts_shown.reprcrash = SimpleNamespace(message="; ".join(map(_headline, failed)))
        whole.outcome, whole.longrepr = "failed", texts_shown
    elif report.passed and (left := [one for one in subtests if not one.passed]):
        whole.outcome, whole.longrepr = "skipped", left[0].longrepr
        if hasattr(left[0], "wasxfail"):
            whole.wasxfail = left[0].wasxfail
    return whole


def _call_of(subtest: pytest.TestReport) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=subtest.nodeid,
        location=subtest.location,
        keywords=subtest.keywords,
        outcome="skipped",
        longrepr=(subtest.location[0], subtest.location[1] or 0, "the test did not finish"),
        when="call",
        duration=subtest.duration,
    )


def _headline(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else report.longreprtext
    return f"{_name(report)}: {text.partition(chr(10))[0]}"


def _name(report: pytest.TestReport) -> str:
    context = _context(report)
    values = ", ".join(f"{name}={value}" for name, value in context.kwargs.items())
    parts = [f"[{context.msg}]" if context.msg else "", f"({values})" if values else ""]
    return " ".join(filter(None, parts)) or "(<subtest>)"


def _context(report: pytest.TestReport) -> Any:
    """Return a subtest's name; None for the report of a test, and of its teardown."""
    if type(report) is pytest.TestReport or report.when != "call":
        return None
    return getattr(report, "context", None)
