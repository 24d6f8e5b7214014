"""Reports of tests: each carries what its test has asked and seen, as plain data."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import msgspec
import pytest

from pytest_prodcheck.checks.builtin import is_builtin
from pytest_prodcheck.checks.context import RunContext
from pytest_prodcheck.checks.evidence import EVIDENCE, PLANNED, TestEvidence
from pytest_prodcheck.errors import CheckFailed, NotAsked
from pytest_prodcheck.model import Failure
from pytest_prodcheck.session.outcomes import (
    asked_nothing,
    fail,
    fail_by_guard,
    failure_of,
    sentence,
)
from pytest_prodcheck.session.plan import TAKEN_OUT_LATE, Plan, asserts
from pytest_prodcheck.session.scrubbing import Scrubber
from pytest_prodcheck.session.shared_fixtures import SharedFixtures
from pytest_prodcheck.session.tracebacks import shorten
from pytest_prodcheck.store.traffic import percentile


class EvidenceReports:
    """Hooks of one process that runs tests."""

    def __init__(
        self, context: RunContext, plan: Plan, shared: SharedFixtures, scrubber: Scrubber
    ) -> None:
        self._context = context
        self._guard = context.guard
        self._plan = plan
        self._shared = shared
        self._scrubber = scrubber

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin the evidence of a test, unless it must not run."""
        item.stash[EVIDENCE] = self._shared.under_way = self._begin()
        planned = item.stash[PLANNED]
        if not planned.permitted:
            pytest.skip(f"not permitted: {planned.reason}")
        self._context.throttle.check_time()
        if self._plan.was_taken_out(item):
            raise NotAsked(f"not run: {TAKEN_OUT_LATE}")

    def _begin(self) -> TestEvidence:
        return TestEvidence(
            requests=self._guard.requests,
            questions=self._context.questions(),
            violations=len(self._guard.violations),
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give the report `prodcheck`: category, severity, failures, exchanges, figures."""
        if call.excinfo:
            shorten(call.excinfo, item)
        report = yield
        planned = item.stash[PLANNED]
        # A conftest's own setup hook may have ended the test before ours was reached.
        evidence = item.stash.setdefault(EVIDENCE, self._begin())
        facts: dict[str, Any] = {"category": planned.category, "severity": planned.severity}
        self._correct_outcome(item, call, report, facts)
        if report.when == "call" and not report.failed:
            remarks = [found for part in evidence.parts if (found := part.remarks()) is not None]
            if remarks:
                facts["failures"] = msgspec.to_builtins([one for found in remarks for one in found])
        facts["exchanges"] = self._new_exchanges(item, evidence, report)
        if report.when == "call" and planned.category != "rollback":
            facts["p95_ms"] = self._p95(evidence, facts["exchanges"])
        if evidence.measured:
            facts["measured"] = dict(evidence.measured)
        for part in evidence.parts:
            if flags := part.flags():
                facts["flags"] = msgspec.to_builtins(flags)
        report.prodcheck = facts  # type: ignore[attr-defined]
        self._scrubber.clean(report)
        return report

    def _correct_outcome(
        self,
        item: pytest.Item,
        call: pytest.CallInfo[None],
        report: pytest.TestReport,
        facts: dict[str, Any],
    ) -> None:
        """Correct what pytest alone would call passed, and say what went wrong in a sentence."""
        evidence = item.stash[EVIDENCE]
        error = call.excinfo.value if call.excinfo else None
        self._guard.verify()
        violations = self._guard.violations[evidence.violations :]
        evidence.violations += len(violations)
        if violations:
            fail_by_guard(item, report, facts, "\n".join(violations), error)
        elif isinstance(error, NotAsked):
            facts["not_run"] = f"not run: {str(error).removeprefix('not run: ')}"
            report.outcome = "skipped"
            report.longrepr = (str(item.path), report.location[1] or 0, facts["not_run"])
        elif error and report.passed and not hasattr(report, "wasxfail"):
            message = f"failed, but another plugin reported it as passed: {error}"
            fail(item, report, facts, "assertion", message)
        elif report.when == "call" and report.passed:
            if emptiness := self._emptiness(item, evidence):
                fail(item, report, facts, "check.proves_nothing", emptiness)
        elif report.failed and error:
            facts["message"] = sentence(call)
            failures: Sequence[Failure] = ()
            if isinstance(error, CheckFailed):
                failures = error.failures
            if not failures:
                exchanges = evidence.exchanges()
                failures = [failure_of(item, error, report, exchanges, facts["message"])]
            facts["failures"] = msgspec.to_builtins(failures)
        if report.when == "call" and not violations:
            self._compare_with_known(item, report, facts)

    def _compare_with_known(
        self, item: pytest.Item, report: pytest.TestReport, facts: dict[str, Any]
    ) -> None:
        """Let a failure pass that the team has accepted; fail for one that is gone meanwhile."""
        check, known = item.stash[PLANNED].id, self._context.known
        if report.failed:
            failures = facts.get("failures", ())
            titles = [one["title"] for one in failures if one["severity"] != "minor"]
            titles = titles or [one["title"] for one in failures]
            if accepted := known.accepted(check, titles):
                facts["known"] = f"{accepted}. {facts.get('message', '')}"
                report.outcome = "skipped"
                report.longrepr = (str(item.path), report.location[1] or 0, accepted)
            elif expired := known.expired(check):
                facts["message"] = f"{expired}: {facts.get('message', '')}"
        elif report.passed and (outdated := known.outdated(check)):
            if any(part.changes_daily for part in item.stash[EVIDENCE].parts):
                return  # each day has other cases, so a day without a failure says nothing
            fail(item, report, facts, "known.outdated", outdated)

    def _emptiness(self, item: pytest.Item, evidence: TestEvidence) -> str | None:
        """Return why a passed check proves nothing, if so."""
        category = item.stash[PLANNED].category
        if category is None:
            return None
        asked = (
            any(part.asks_the_target for part in evidence.parts)
            or evidence.exchanges()
            or self._guard.requests > evidence.requests
            or self._context.questions() > evidence.questions
            or self._shared.gave_answer(item)
        )
        # What is true of a container or host is seen there, without a request.
        apart = category == "environment" or item.get_closest_marker("offline")
        if not asked and not apart:
            return asked_nothing(self._shared.asked_for(item))
        # Reading sources takes time, and we know those of the ready-made checks.
        if not is_builtin(item) and not asserts(getattr(item, "function", None)):
            return "this check asserts nothing, so it cannot fail; assert what the answer must be"
        return None

    def _p95(self, evidence: TestEvidence, exchanges: list[dict[str, Any]]) -> float | None:
        """Return the 95th percentile of the latencies of a test's responses, in milliseconds."""
        apart = [time for part in evidence.parts for time in part.latencies_ms()]
        times = apart or [one["elapsed_ms"] for one in exchanges if one["status"] is not None]
        return percentile(times, 95) if times else None

    def _new_exchanges(
        self, item: pytest.Item, evidence: TestEvidence, report: pytest.TestReport
    ) -> list[dict[str, Any]]:
        """Return what was exchanged since this test's last report; in brief when all went well."""
        new = [*evidence.take_new(), *self._shared.take_new()]
        if item.stash[PLANNED].category != "rollback":  # a drill makes the target fail on purpose
            self._context.tally.add(new)
        if report.when == "call":
            for part in evidence.parts:
                new += part.exchanges()
                if (duration := part.duration_s()) is not None:
                    report.duration = duration
        if report.passed:
            empty: dict[str, Any] = {"request_headers": {}, "response_headers": {}, "body": ""}
            new = [msgspec.structs.replace(exchange, **empty) for exchange in new]
        plain: list[dict[str, Any]] = msgspec.to_builtins(new)
        return plain
