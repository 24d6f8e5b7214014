"""Secrets and control characters, taken out of all that pytest shows of a run."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_prodcheck.redaction.redactor import Redactor, scrub

_SHOWN = {
    **dict.fromkeys(("longrepr", "sections", "user_properties", "wasxfail", "extras", "prodcheck")),
    "_subtest.context": "context",
}
"""What of a serialised report reaches a page, a file or a terminal; and its attribute's name,
where that is another."""


WORKERS_ENDS = "workers-ends.jsonl"
"""File in which workers leave what went wrong when their session ended."""


class Scrubber:
    """Cleans at the source: reports, warnings, usage errors, internal errors."""

    def __init__(self, config: pytest.Config, redactor: Redactor, work: Path) -> None:
        self._config = config
        self._redactor = redactor
        self._work = work

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Clean usage errors: pytest prints them itself, past its reporters."""
        try:
            return (yield)
        except pytest.UsageError as error:
            error.args = scrub(error.args, self._redactor)
            raise

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """Clean a subtest's report, which gets its output and its name after `makereport`."""
        if type(report) is not pytest.TestReport:
            self.clean(report)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: Any) -> None:
        warning_message.message = scrub(str(warning_message.message), self._redactor)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_internalerror(self, excrepr: Any) -> Generator[None, object, object]:
        clean = scrub(str(excrepr), self._redactor)
        excrepr.toterminal = lambda writer: writer.line(clean)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.failed:
            self.clean(report)
        return report

    def clean(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        """Take secrets and control characters out of all that the report will show."""
        if type(report) is pytest.TestReport and report.longrepr is None:
            # Most reports: they passed and say next to nothing, so they are not taken apart.
            shown = [getattr(report, name, None) for name in _SHOWN]
            if scrub(shown, self._redactor) is shown:
                return
        hook = self._config.hook
        data = hook.pytest_report_to_serializable(config=self._config, report=report)
        cleaned = scrub(data, self._redactor)
        changed = [name for name in _SHOWN if data.get(name) != cleaned.get(name)]
        if changed:
            clean = hook.pytest_report_from_serializable(config=self._config, data=cleaned)
            for name in changed:
                attribute = _SHOWN[name] or name
                setattr(report, attribute, getattr(clean, attribute))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Report why a worker stopped to the controller, which knows fewer secrets."""
        for name in ("shouldfail", "shouldstop"):
            if isinstance(why := getattr(session, name), str):
                setattr(session, name, scrub(why, self._redactor))
        try:
            yield
        except BaseException as error:
            self._record_failed_end(error)
            raise

    def _record_failed_end(self, error: BaseException) -> None:
        """pytest-xdist says nothing of a worker whose plugins fail at the end of its session."""
        worker = getattr(self._config, "workerinput", {}).get("workerid")
        if worker:
            detail = f"another plugin failed at the end of worker {worker}: {error!r}"
            with (self._work / WORKERS_ENDS).open("ab") as file:
                file.write(msgspec.json.encode(scrub(detail, self._redactor)) + b"\n")
