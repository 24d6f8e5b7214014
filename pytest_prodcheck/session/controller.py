"""The process that decides: every result into the journal first, one verdict at the end."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import CATEGORIES, Document, Run, Verdict
from pytest_prodcheck.redaction import sanitize
from pytest_prodcheck.redaction.redactor import Redactor, scrub
from pytest_prodcheck.report import terminal
from pytest_prodcheck.report.verdict_json import document, text
from pytest_prodcheck.session import xdist_workers
from pytest_prodcheck.session.exit_guards import ExitGuards
from pytest_prodcheck.session.reporters import Reports
from pytest_prodcheck.session.run_log import RunLog
from pytest_prodcheck.session.watched_facts import WatchedFacts
from pytest_prodcheck.store.entries import (
    CollectReport,
    End,
    PartOnly,
    Plan,
    Report,
    WarningGiven,
)
from pytest_prodcheck.store.journal import fold
from pytest_prodcheck.store.run_directory import Folder
from pytest_prodcheck.verdict.judge import EXIT_BY_RULING

if TYPE_CHECKING:
    from pytest_prodcheck.http.throttle import Throttle
    from pytest_prodcheck.service.service import Service
    from pytest_prodcheck.session.guard_lifetime import GuardLife
    from pytest_prodcheck.session.release_query import ReleaseQuery

FOR_DEVELOPERS = (
    DeprecationWarning,
    PendingDeprecationWarning,
    ResourceWarning,
    ImportWarning,
    pytest.PytestWarning,
)
"""Warnings about code; all others are about the target, and reach every output."""

CATEGORY_MARK = re.compile(rf"\bmark\.({'|'.join(CATEGORIES)})\b")
"""Stands in every file with checks in it."""


class Controller:
    """The hooks of one run's main process, from its first journal entry to its exit code.

    `head` is the run without what is found out later; `for_workers` is what each xdist worker
    gets to know of the run. Raises UsageError when the report folder cannot be written.
    """

    def __init__(
        self,
        config: pytest.Config,
        folder: Folder,
        head: Run,
        redactor: Redactor,
        reports: Reports,
        service: Service | None,
        for_workers: dict[str, Any],
        throttle: Throttle,
        release: ReleaseQuery,
        life: GuardLife,
    ) -> None:
        self._config = config
        self._folder = folder
        self._redactor = redactor
        self._reports = reports
        self._for_workers = for_workers
        self._release = release
        self._life = life
        self._settings = head.settings
        self._session: pytest.Session | None = None
        self._published: Verdict | None = None
        self._verdict: tuple[Run, Verdict] | None = None
        self._forget: Callable[[], None] = lambda: None
        self._failed = 0
        """Reports of failures: those that pytest's own exit status is about."""
        self._uncaught_before: BaseException | None = None
        try:
            self._log = RunLog(folder.path / "journal.jsonl", head, redactor)
            self._write_verdict(fold(self._log.entries, "running"), None)
        except OSError as error:
            raise UsageError(
                f"{folder.path} cannot hold the report: {error.strerror}; "
                "make room, or name another folder with --prodcheck-report DIR"
            ) from error
        # A shard has a part of the plan: whoever joins the parts sees to the manifest.
        required = () if head.shard else head.policy.required
        self._facts = WatchedFacts(
            self._log, folder, redactor, throttle, service, release, required
        )
        self._exits = ExitGuards(
            lambda name: self._log.add("interrupted", f"interrupted at the end: {name}")
        )
        self._exits.install()

    # --- the start ---

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        self._sanitize_terminal()
        if self._release.at_once and not self._config.option.collectonly:
            self._release.start()

    def _sanitize_terminal(self) -> None:
        """Clean what pytest prints beside the reports: live logs, ids, source lines, crashes."""
        if not self._config.pluginmanager.has_plugin("terminalreporter"):
            return
        writer = self._config.get_terminal_writer()
        write = writer.write

        def write_sanitized(msg: str, *, flush: bool = False, **markup: bool) -> None:
            write(sanitize.printed(self._redactor.text(msg)), flush=flush, **markup)

        writer.write = write_sanitized  # type: ignore[method-assign]

    def pytest_report_header(self) -> list[str]:
        lines = [f"prodcheck: {line}" for line in self._settings]
        if hasattr(self._config.option, "target"):
            lines.append(
                "prodcheck: --target belongs to another plugin; --prodcheck-target is ours"
            )
        return lines

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass on to a worker which run it is part of; never a secret."""
        node.workerinput["prodcheck"] = self._for_workers

    # --- the plan ---

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Record tests that are written wrong: pytest prints why, and the verdict says so too."""
        try:
            return (yield)
        except pytest.UsageError as error:
            self._log.add("usage", str(error))
            raise

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        self._freeze_plan()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        self._freeze_plan()

    def _freeze_plan(self) -> None:
        """Record what the first process that collected has planned; the others plan the same."""
        plan = self._folder.work / "plan.json"
        if not plan.exists() or any(isinstance(entry, Plan) for entry in self._log.entries):
            return
        planned = msgspec.json.decode(plan.read_bytes())
        self._log.write(msgspec.convert(planned, Plan))
        if part := planned["part"]:
            self._log.write(PartOnly(**part))
        for problem in planned["problems"]:
            self._log.add(**problem)
        self._print_notes(planned["notes"])

    def _print_notes(self, notes: list[str]) -> None:
        """Print what the plan rests on: it is known only after pytest has printed the header."""
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if terminal and not self._config.get_verbosity() < 0:
            for note in notes:
                terminal.ensure_newline()
                terminal.write_line(f"prodcheck: {self._redactor.text(note)}")

    # --- results and problems ---

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """Record a result before anybody else sees it: then it cannot be lost or changed."""
        crashed = xdist_workers.is_crash(report)
        if crashed:
            report.when = "call"
            report.longrepr = scrub(str(report.longrepr), self._redactor)
        # As pytest itself counts them.
        self._failed += report.failed and not hasattr(report, "wasxfail")
        self._log.write(Report(data=self._serialized(report)))
        yield
        if crashed:
            teardown = xdist_workers.teardown_of(report)
            self._config.hook.pytest_runtest_logreport(report=teardown)

    def _serialized(self, report: pytest.CollectReport | pytest.TestReport) -> dict[str, Any]:
        """Return plain, clean data: other plugins may hang anything on a report."""
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        plain: dict[str, Any] = scrub(msgspec.to_builtins(data, enc_hook=repr), self._redactor)
        plain["nodeid"] = sanitize.text(plain["nodeid"])  # as the plan has it
        return plain

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed += 1
            what = report.nodeid or "the session"
            self._log.add("collection", f"{what} could not be collected")
            self._log.write(CollectReport(data=self._serialized(report)))
        elif report.skipped:
            self._note_lost(report.nodeid, f"{report.nodeid} was skipped as a whole")

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str) -> None:
        """Record what a check warns of, and a test class that pytest only warns it cannot
        collect."""
        message, category = str(warning_message.message), warning_message.category
        if issubclass(category, pytest.PytestCollectionWarning):
            self._note_lost(warning_message.filename, message)
        elif when == "runtest" and nodeid and not issubclass(category, FOR_DEVELOPERS):
            clean = scrub(message, self._redactor)
            self._log.write(WarningGiven(check=sanitize.text(nodeid), message=clean))

    def _note_lost(self, file: str, detail: str) -> None:
        """Record that a file with checks in it was not collected; helpers do not count."""
        path = self._config.rootpath / file.partition("::")[0]
        with contextlib.suppress(OSError):
            if CATEGORY_MARK.search(path.read_text("utf-8", "replace")):
                self._log.add("narrowed", detail)

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._log.add("internal", f"internal error: {excinfo.exconly()[:500]}")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record Ctrl-C or a signal; `pytest.exit`, and under xdist `-x`, come this way too."""
        reason = str(excinfo.value).strip()
        if type(excinfo.value) is KeyboardInterrupt:
            self._log.add("interrupted", f"interrupted: {reason or 'SIGINT'}")
        else:
            self._log.add("stopped", f"the run was stopped: {reason or 'no reason'}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if not error:
            return
        worker, why = node.gateway.id, str(error).strip()[:500]
        detail = f"worker {worker} died: {why}"
        if xdist_workers.stop_replacing_workers(self._config, node):
            detail = (
                f"worker {worker} died when all tests had ended: {why}. "
                "Look into pytest_sessionfinish and the teardown of session fixtures."
            )
        self._log.add("worker", detail)

    # --- the end of the session ---

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Judge, write each output, let the others finish, and judge again if they failed."""
        self._exits.closing = True
        self._session = session
        self._freeze_plan()
        self._facts.collect_last(
            may_ask=not self._config.option.collectonly
            and session.exitstatus != pytest.ExitCode.INTERRUPTED
        )
        self._publish(session, *self._judge())
        try:
            yield
        except BaseException as error:
            self._log.add("report", f"another plugin failed at the end: {error!r}")
        self._respect_other_plugins(session)
        self._publish(session, *self._judge())
        run, verdict = self._close()
        session.exitstatus = verdict.exit_code
        self._publish(session, run, verdict)  # what could not be stored, the files say too

    def _respect_other_plugins(self, session: pytest.Session) -> None:
        """Fail as well where another plugin fails a run without failures (`--cov-fail-under`)."""
        status = int(session.exitstatus)
        by_tests = status == pytest.ExitCode.TESTS_FAILED and session.testsfailed == self._failed
        if status == pytest.ExitCode.OK or (by_tests and self._failed):
            return
        if self._judge()[1].verdict == "pass":
            detail = (
                f"another plugin ended the run with exit status {status}, though the checks pass; "
                "its own output says why"
            )
            self._log.add("plugin", detail)

    def _judge(self) -> tuple[Run, Verdict]:
        """Return the run and the verdict on all that is known by now."""
        self._facts.collect()
        return self._log.judge()

    def _publish(self, session: pytest.Session, run: Run, verdict: Verdict) -> None:
        """Write the report files, unless they have this verdict already."""
        if self._published != verdict:
            self._published = verdict
            for problem in self._reports.write(session, run, verdict):
                self._log.add(problem.what, problem.detail)

    def _close(self) -> tuple[Run, Verdict]:
        """Store journal and verdict. What cannot be stored cannot be a pass."""
        self._facts.collect_service_log()
        run, verdict = self._judge()
        count = len(self._log.entries)
        self._log.write(End(finished=run.finished, duration_s=run.duration_s, entries=count))
        self._log.journal.close()
        if self._log.journal.failure:
            run, verdict = self._judge()
        try:
            self._write_verdict(run, verdict)
        except OSError as error:
            self._log.add("report", f"verdict.json could not be written: {error.strerror}")
            run, verdict = self._judge()
        self._verdict = run, verdict
        self._life.when_over(self.amend, self._folder.tidy)
        return self._verdict

    def _write_verdict(self, run: Run, verdict: Verdict | None) -> None:
        self._folder.write("verdict.json", text(document(run, verdict)), durable=bool(verdict))

    # --- after the session ---

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_unconfigure(self, config: pytest.Config) -> Generator[None, object, object]:
        """Print the verdict under everything else, also when another plugin fails here."""
        try:
            return (yield)
        except BaseException as error:
            if self._verdict:
                self._judge_again("report", f"another plugin failed at the end: {error!r}")
            self._uncaught_before = error  # the verdict has what pytest ends with
            raise
        finally:
            self._conclude(config)

    def _conclude(self, config: pytest.Config) -> None:
        """Remember a promoted release, and print what to do now."""
        self._exits.closing = True
        self._uncaught_before = self._uncaught_before or _uncaught()
        if self._verdict is None:
            self._log.add("internal", "the session ended before it began")
            self._close()
        self._remember()
        self._exits.remove()
        run, verdict = self._verdict or self._judge()
        if not config.pluginmanager.has_plugin("terminalreporter"):
            return  # `-p no:terminal`: whoever reads the output wants nothing of pytest there
        writer = config.get_terminal_writer()
        code = EXIT_BY_RULING["inconclusive"]
        if config.option.collectonly and verdict.exit_code == code:
            listed = f"{verdict.counts['planned']} checks of target {run.target.name} are listed"
            writer.line(f"prodcheck: inconclusive: {listed}; nothing is proven (exit code {code})")
            return
        width = writer.fullwidth if sys.stdout.isatty() else terminal.UNLIMITED
        lines = terminal.summary(run, verdict, folder=str(self._folder.path), width=width)
        with contextlib.suppress(OSError):
            for line, markup in lines:
                writer.line(line, **markup)

    def amend(self, refused: str) -> int | None:
        """Judge again after the end, for what happened since; return the exit code it means.

        refused: what the guard refused; empty: look into its ledger, and whether pytest ended with
        an error. None when nothing is new.
        """
        if refused:
            found = self._judge_again("violation", f"after the run: {refused}")
        elif (error := _uncaught()) is not self._uncaught_before:
            found = self._judge_again("report", f"pytest ended with an error: {error!r}")
        else:
            found = self._judge_again()
        if found is None:
            return None
        run, verdict = found
        print("\nprodcheck: something happened after the run, which changes its verdict:")
        folder = str(self._folder.path)
        lines = terminal.summary(run, verdict, folder=folder, width=terminal.UNLIMITED)
        print(*(line for line, _ in lines), sep="\n")
        return verdict.exit_code

    def _judge_again(self, what: str = "", detail: str = "") -> tuple[Run, Verdict] | None:
        """Rewrite the verdict for a problem and what the guard has refused; None if all is old."""
        log = self._log
        known = len(log.problems)
        with contextlib.suppress(OSError):
            log.journal.open()
        if what:
            log.add(what, detail)
        self._facts.collect_violations()
        log.journal.close()
        if len(log.problems) == known:
            return None
        self._verdict = run, verdict = log.judge()
        with contextlib.suppress(OSError):
            self._forget()
            self._write_verdict(run, verdict)
        if self._session:
            self._reports.write(self._session, run, verdict)
        return self._verdict

    def _remember(self) -> None:
        """Keep a promoted release: the next one is compared with it, and can be rolled back to."""
        from pytest_prodcheck.store.last_good import remember

        run, verdict = self._verdict or self._judge()
        if verdict.decision != "promote":
            return
        document = self._folder.work / "openapi.json"
        spec: dict[str, Any] = {}
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            if document.exists():
                read = msgspec.json.decode(document.read_bytes(), type=Document)
                spec = {} if read.of else self._redactor.data(read.spec)
            self._forget = remember(self._folder.path.parent, run, [run], spec)


def _uncaught() -> BaseException | None:
    """Return the error that nothing caught; pytest puts that of a failed test there, too."""
    return getattr(sys, "last_value", None)
