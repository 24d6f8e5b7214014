"""The process that decides: every result into the journal first, one verdict at the end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import pytest

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import (
    CATEGORIES,
    Document,
    Planned,
    Problem,
    Release,
    Run,
    Verdict,
)
from pytest_prodcheck.redaction import sanitize
from pytest_prodcheck.redaction.redactor import Redactor, scrub
from pytest_prodcheck.report import terminal
from pytest_prodcheck.report.verdict_json import document, text
from pytest_prodcheck.session.reporters import Reports
from pytest_prodcheck.session.scrubbing import WORKERS_ENDS
from pytest_prodcheck.store.entries import (
    Begin,
    CollectReport,
    End,
    PartOnly,
    Plan,
    ProblemFound,
    ReleaseSeen,
    Report,
    ServiceLog,
    TrafficCounted,
    WarningGiven,
)
from pytest_prodcheck.store.journal import Journal, fold
from pytest_prodcheck.store.run_directory import Folder
from pytest_prodcheck.store.undo_journal import left_behind, under_way
from pytest_prodcheck.verdict.diagnosis import diagnose
from pytest_prodcheck.verdict.judge import EXIT_BY_RULING, judge
from pytest_prodcheck.verdict.manifest import missing
from pytest_prodcheck.verdict.releases import is_another

if TYPE_CHECKING:
    from pytest_prodcheck.http.throttle import Throttle
    from pytest_prodcheck.service.service import Service
    from pytest_prodcheck.session.guard_lifetime import GuardLife
    from pytest_prodcheck.session.release_query import ReleaseQuery

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""All of them end a run the way Ctrl-C does: teardowns run, the files are written."""


WATCHDOGS = 10.0
"""Seconds that the end of a run waits for drills that a killed worker has left to its watchdog."""

SECOND_TRY = 1.0
"""Seconds until the target is asked once more what is deployed, when the run has ended."""

FOR_DEVELOPERS = (
    DeprecationWarning,
    PendingDeprecationWarning,
    ResourceWarning,
    ImportWarning,
    pytest.PytestWarning,
)
"""Warnings about code; all others are about the target, and reach every output."""

CATEGORY_MARK = re.compile(rf"\bmark\.({'|'.join(CATEGORIES)})\b")
"""What a file with checks in it says somewhere."""


class Recorder:
    """Journal, judge and outputs of one run."""

    def __init__(
        self,
        config: pytest.Config,
        folder: Folder,
        head: Run,
        redactor: Redactor,
        reports: Reports,
        service: Service | None,
        told: dict[str, Any],
        throttle: Throttle,
        release: ReleaseQuery,
        life: GuardLife,
    ) -> None:
        self._config = config
        self._life = life
        self._session: pytest.Session | None = None
        self._forget: Callable[[], None] = lambda: None
        # A part of a run has a part of the plan: whoever joins the parts sees to the manifest.
        self._required = () if head.shard else head.policy.required
        self._folder = folder
        self._redactor = redactor
        self._reports = reports
        self._service = service
        self._told = told
        self._release = release
        self._began = time.monotonic()
        self._problems: dict[Problem, None] = {}
        self._folded: tuple[int, Run] | None = None
        self._published: Verdict | None = None
        self._verdict: tuple[Run, Verdict] | None = None
        self._closing = False
        self._failed = 0
        """Reports of failures: those that pytest's own exit status is about."""
        self._uncaught_before: BaseException | None = None
        self._handlers: dict[int, Any] = {}
        self._exit = os._exit
        self._throttle = throttle
        try:
            self._settings = head.settings
            self._begin(head)
        except OSError as error:
            raise UsageError(
                f"{folder.path} cannot hold the report: {error.strerror}; "
                "make room, or name another folder with --prodcheck-report DIR"
            ) from error
        self._watch_the_exits()

    def _begin(self, head: Run) -> None:
        """Nothing has been sent yet: a run that cannot be told of had better not begin."""
        self.journal = Journal(self._folder.path / "journal.jsonl")
        self.journal.write(Begin(**msgspec.structs.asdict(head)))
        if self.journal.failure:
            raise self.journal.failure
        self._write_verdict(fold(self.journal.entries, "running"), None)

    # --- what happens, as it happens ---

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        self._sieve_the_terminal()
        if self._release.at_once and not self._config.option.collectonly:
            self._release.start()

    def _sieve_the_terminal(self) -> None:
        """For what pytest prints beside the reports: live logs, ids, source lines, crashes."""
        if not self._config.pluginmanager.has_plugin("terminalreporter"):
            return
        writer = self._config.get_terminal_writer()
        write = writer.write

        def write_sieved(msg: str, *, flush: bool = False, **markup: bool) -> None:
            write(sanitize.printed(self._redactor.text(msg)), flush=flush, **markup)

        writer.write = write_sieved  # type: ignore[method-assign]

    def pytest_report_header(self) -> list[str]:
        lines = [f"prodcheck: {line}" for line in self._settings]
        if hasattr(self._config.option, "target"):
            lines.append(
                "prodcheck: --target belongs to another plugin; --prodcheck-target is ours"
            )
        return lines

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """xdist starts a worker: tell it which run it is part of; never a secret."""
        node.workerinput["prodcheck"] = self._told

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Tests that are written wrong: pytest prints why, and the verdict says so too."""
        try:
            return (yield)
        except pytest.UsageError as error:
            self._add(Problem(what="usage", detail=str(error)))
            raise

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        self._freeze_plan()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        self._freeze_plan()

    def _freeze_plan(self) -> None:
        """Take over what the first process that collected has planned; the rest say the same."""
        plan = self._folder.work / "plan.json"
        if plan.exists() and not any(isinstance(e, Plan) for e in self.journal.entries):
            planned = msgspec.json.decode(plan.read_bytes())
            self.journal.write(msgspec.convert(planned, Plan))
            if part := planned["part"]:
                self.journal.write(PartOnly(**part))
            for problem in planned["problems"]:
                self._add(Problem(**problem))
            self._tell(planned["notes"])

    def _tell(self, notes: list[str]) -> None:
        """What the plan rests on is known when the header has been printed."""
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if terminal and not self._config.get_verbosity() < 0:
            for note in notes:
                terminal.ensure_newline()
                terminal.write_line(f"prodcheck: {self._redactor.text(note)}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """Before anybody else: what is in the journal cannot be lost or talked away."""
        crashed = report.when not in ("setup", "call", "teardown")
        if crashed:
            report.when = "call"
            report.longrepr = scrub(str(report.longrepr), self._redactor)
        # As pytest itself counts them.
        self._failed += report.failed and not hasattr(report, "wasxfail")
        self.journal.write(Report(data=self._plain(report)))
        yield
        if crashed:
            self._config.hook.pytest_runtest_logreport(report=teardown_of(report))

    def _plain(self, report: pytest.CollectReport | pytest.TestReport) -> dict[str, Any]:
        """What other plugins hang on a report may be anything; the journal holds plain data."""
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        plain: dict[str, Any] = scrub(msgspec.to_builtins(data, enc_hook=repr), self._redactor)
        plain["nodeid"] = sanitize.text(plain["nodeid"])  # as the plan has it
        return plain

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed += 1
            what = report.nodeid or "the session"
            self._add(Problem(what="collection", detail=f"{what} could not be collected"))
            self.journal.write(CollectReport(data=self._plain(report)))
        elif report.skipped:
            self._note_lost(report.nodeid, f"{report.nodeid} was skipped as a whole")

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str) -> None:
        """What a check warns of belongs to the verdict. Of a test class that it cannot collect,
        pytest only warns."""
        message, category = str(warning_message.message), warning_message.category
        if issubclass(category, pytest.PytestCollectionWarning):
            self._note_lost(warning_message.filename, message)
        elif when == "runtest" and nodeid and not issubclass(category, FOR_DEVELOPERS):
            clean = scrub(message, self._redactor)
            self.journal.write(WarningGiven(check=sanitize.text(nodeid), message=clean))

    def _note_lost(self, file: str, detail: str) -> None:
        """Checks were not planned because pytest did not get to see them; helpers are no loss."""
        path = self._config.rootpath / file.partition("::")[0]
        with contextlib.suppress(OSError):
            if CATEGORY_MARK.search(path.read_text("utf-8", "replace")):
                self._add(Problem(what="narrowed", detail=detail))

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._add(Problem(what="internal", detail=f"internal error: {excinfo.exconly()[:500]}"))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """A person's Ctrl-C or a signal; `pytest.exit`, and under xdist `-x`, come so too."""
        told = str(excinfo.value).strip()
        if type(excinfo.value) is KeyboardInterrupt:
            self._add(Problem(what="interrupted", detail=f"interrupted: {told or 'SIGINT'}"))
        else:
            self._add(Problem(what="stopped", detail=f"the run was stopped: {told or 'no reason'}"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            worker, why = node.gateway.id, str(error).strip()[:500]
            detail = f"worker {worker} died: {why}"
            if _stop_replacing_workers(self._config, node):
                detail = (
                    f"worker {worker} died when all tests had ended: {why}. "
                    "Look into pytest_sessionfinish and the teardown of session fixtures."
                )
            self._add(Problem(what="worker", detail=detail))

    def _add(self, problem: Problem) -> None:
        problem = msgspec.convert(scrub(msgspec.to_builtins(problem), self._redactor), type=Problem)
        if problem not in self._problems:
            self._problems[problem] = None
            self.journal.write(ProblemFound(what=problem.what, detail=problem.detail))

    # --- the end ---

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Judge, write each output, let the others finish, and judge again if they failed."""
        self._closing = True
        self._session = session
        self._freeze_plan()
        self._await_watchdogs()
        if not (
            self._release.at_once
            or self._config.option.collectonly
            or session.exitstatus == pytest.ExitCode.INTERRUPTED
        ):
            self._release.start()
        self._look_at_release_again()
        if traffic := self._traffic():
            self.journal.write(traffic)
        self._publish(session, *self._decide())
        try:
            yield
        except BaseException as error:
            self._add(Problem(what="report", detail=f"another plugin failed at the end: {error!r}"))
        self._heed_others(session)
        self._publish(session, *self._decide())
        run, verdict = self._close()
        session.exitstatus = verdict.exit_code
        self._publish(session, run, verdict)  # what could not be stored, the files tell too

    def _heed_others(self, session: pytest.Session) -> None:
        """Fail as well where another plugin fails a run without failures (`--cov-fail-under`)."""
        status = int(session.exitstatus)
        by_tests = status == pytest.ExitCode.TESTS_FAILED and session.testsfailed == self._failed
        if status == pytest.ExitCode.OK or (by_tests and self._failed):
            return
        if self._decide()[1].verdict == "pass":
            detail = (
                f"another plugin ended the run with exit status {status}, though the checks pass; "
                "its own output says why"
            )
            self._add(Problem(what="plugin", detail=detail))

    def _traffic(self) -> TrafficCounted | None:
        """What all processes have counted; nothing where no request was sent."""
        from pytest_prodcheck.store.tally import Tally

        path = self._folder.work / "tally"
        return Tally(path).traffic().entry() if path.exists() else None

    def _await_watchdogs(self) -> None:
        """A worker was killed in a drill: what is undone a second later is not left behind."""
        until = time.monotonic() + WATCHDOGS
        while under_way(self._folder.path) and time.monotonic() < until:
            time.sleep(0.1)

    def _look_at_release_again(self) -> None:
        """Ask once more what is deployed: of two releases, neither was checked as a whole.

        Asked twice where the first answer tells nothing: one lost answer is no deploy. A release
        that no configuration asks for may be told now and then; only another one is a deploy.
        """
        self._look_around()
        told = [entry.release for entry in self.journal.entries if isinstance(entry, ReleaseSeen)]
        began = told[-1] if told else Release()
        if began == Release() or self._is_ended_early():
            return
        ended = self._release.ask_again()
        if ended == Release() and self._release.at_once:
            time.sleep(SECOND_TRY)
            ended = self._release.ask_again()
        ended = msgspec.convert(scrub(msgspec.to_builtins(ended), self._redactor), Release)
        if is_another(began, ended):
            detail = (
                f"the release changed during the run, from {began.name} to {ended.name}: neither "
                "was checked as a whole; run again"
            )
        elif ended == Release() and self._release.at_once:
            detail = (
                f"the target told its release ({began.name}) when the run began, and not when it "
                "ended: a deploy may be under way; run again when it is over"
            )
        else:
            return
        self._add(Problem(what="required", detail=detail))

    def _is_ended_early(self) -> bool:
        """Return whether nothing was asked, or the target must not or cannot be asked more."""
        asked = any(isinstance(entry, Report) for entry in self.journal.entries)
        stopped = {"interrupted", "internal", "usage", "target_down"}
        return not asked or any(problem.what in stopped for problem in self._problems)

    def _publish(self, session: pytest.Session, run: Run, verdict: Verdict) -> None:
        """Write the report files, unless those that stand say the same already."""
        if self._published != verdict:
            self._published = verdict
            for problem in self._reports.write(session, run, verdict):
                self._add(problem)

    def _close(self) -> tuple[Run, Verdict]:
        """Journal and verdict onto the disk. What cannot be stored cannot be a pass."""
        if self._service:
            log = scrub(self._service.tail(200), self._redactor)
            self.journal.write(ServiceLog(log=log))
        run, verdict = self._decide()
        count = len(self.journal.entries)
        self.journal.write(End(finished=run.finished, duration_s=run.duration_s, entries=count))
        self.journal.close()
        if self.journal.failure:
            run, verdict = self._decide()
        try:
            self._write_verdict(run, verdict)
        except OSError as error:
            detail = f"verdict.json could not be written: {error.strerror}"
            self._add(Problem(what="report", detail=detail))
            run, verdict = self._decide()
        self._verdict = run, verdict
        self._life.when_over(self.amend, self._folder.tidy)
        return self._verdict

    def _decide(self) -> tuple[Run, Verdict]:
        """The run so far and the word on it; folded anew only when something was added."""
        self._look_around()
        if self._folded is None or self._folded[0] != len(self.journal.entries):
            self._folded = len(self.journal.entries), fold(self.journal.entries)
        run = msgspec.structs.replace(
            self._folded[1],
            finished=_now(),
            duration_s=round(time.monotonic() - self._began, 3),
        )
        return run, judge(run, diagnose(run))

    def _look_around(self) -> None:
        """Facts that no hook tells: what guard, breaker, service and journal have seen."""
        self._note_violations()
        ends = self._folder.work / WORKERS_ENDS
        for line in ends.read_bytes().splitlines() if ends.exists() else ():
            self._add(Problem(what="report", detail=msgspec.json.decode(line)))
        if release := self._release.take():
            told = scrub(msgspec.to_builtins(release), self._redactor)
            self.journal.write(ReleaseSeen(release=msgspec.convert(told, Release)))
        if self._service and (end := self._service.ended):
            detail = f"the service that this run started {end} before the run was over"
            self._add(Problem(what="target_down", detail=detail))
        if down := self._throttle.down:
            self._add(Problem(what="target_down", detail=down))
        for detail in left_behind(self._folder.path):
            self._add(Problem(what="drill", detail=detail))
        if failure := self.journal.failure:
            detail = f"the journal could not be written: {failure.strerror}"
            self._add(Problem(what="journal", detail=detail))
        for detail in missing(self._required, self._planned()) if self._required else ():
            self._add(Problem(what="required", detail=detail))

    def _note_violations(self) -> None:
        for violation in _violations(self._folder.work / "violations.jsonl"):
            where = violation["test"] or "outside any test"
            self._add(Problem(what="violation", detail=f"{where}: {violation['detail']}"))

    def _planned(self) -> list[Planned]:
        plans = [entry for entry in self.journal.entries if isinstance(entry, Plan)]
        return [check for plan in plans for check in plan.checks]

    def _write_verdict(self, run: Run, verdict: Verdict | None) -> None:
        self._folder.write("verdict.json", text(document(run, verdict)), durable=bool(verdict))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_unconfigure(self, config: pytest.Config) -> Generator[None, object, object]:
        """Print the verdict under everything else, also when another plugin fails here."""
        try:
            return (yield)
        except BaseException as error:
            if self._verdict:
                detail = f"another plugin failed at the end: {error!r}"
                self._judge_again(Problem(what="report", detail=detail))
            self._uncaught_before = error  # what pytest ends with is told now
            raise
        finally:
            self._conclude(config)

    def _conclude(self, config: pytest.Config) -> None:
        """Remember a promoted release, and print what to do now."""
        self._closing = True
        self._uncaught_before = self._uncaught_before or _uncaught()
        if self._verdict is None:
            self._add(Problem(what="internal", detail="the session ended before it began"))
            self._close()
        self._remember()
        self._unwatch_the_exits()
        run, verdict = self._verdict or self._decide()
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
        """Judge again after the end, for what happened since; the exit code it means.

        refused: what the guard refused; empty: look into its ledger, and whether pytest ended with
        an error. None when nothing is new.
        """
        problem = None
        if refused:
            problem = Problem(what="violation", detail=f"after the run: {refused}")
        elif (error := _uncaught()) is not self._uncaught_before:
            problem = Problem(what="report", detail=f"pytest ended with an error: {error!r}")
        found = self._judge_again(problem)
        if found is None:
            return None
        run, verdict = found
        print("\nprodcheck: something happened after the run, which changes its verdict:")
        folder = str(self._folder.path)
        lines = terminal.summary(run, verdict, folder=folder, width=terminal.UNLIMITED)
        print(*(line for line, _ in lines), sep="\n")
        return verdict.exit_code

    def _judge_again(self, problem: Problem | None) -> tuple[Run, Verdict] | None:
        """Rewrite the verdict for *problem* and what the guard has refused; None if all is old."""
        known = len(self._problems)
        with contextlib.suppress(OSError):
            self.journal.open()
        if problem:
            self._add(problem)
        self._note_violations()
        self.journal.close()
        if len(self._problems) == known:
            return None
        run = fold(self.journal.entries)
        verdict = judge(run, diagnose(run))
        self._verdict = run, verdict
        with contextlib.suppress(OSError):
            self._forget()
            self._write_verdict(run, verdict)
        if self._session:
            self._reports.write(self._session, run, verdict)
        return self._verdict

    def _remember(self) -> None:
        """A release that is promoted is what the next one can go back to, and is compared with."""
        from pytest_prodcheck.store.last_good import remember

        run, verdict = self._verdict or self._decide()
        if verdict.decision != "promote":
            return
        document = self._folder.work / "openapi.json"
        spec: dict[str, Any] = {}
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            if document.exists():
                read = msgspec.json.decode(document.read_bytes(), type=Document)
                spec = {} if read.of else scrub(read.spec, self._redactor)
            self._forget = remember(self._folder.path.parent, run, [run], spec)

    # --- ways out that would skip the end ---

    def _watch_the_exits(self) -> None:
        """A signal ends the run in order; `os._exit(0)` in a test cannot end it with 0."""
        main = os.getpid()

        def leave(status: int) -> NoReturn:
            if os.getpid() == main and status == 0:
                status = EXIT_BY_RULING["inconclusive"]
            self._exit(status)

        os._exit = leave
        if threading.current_thread() is threading.main_thread():
            for number in ENDING_SIGNALS:
                self._handlers[number] = signal.signal(number, self._end_by_signal)

    def _unwatch_the_exits(self) -> None:
        os._exit = self._exit
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _end_by_signal(self, number: int, _frame: object) -> None:
        name = signal.Signals(number).name
        if self._closing:
            self._add(Problem(what="interrupted", detail=f"interrupted at the end: {name}"))
            return
        raise KeyboardInterrupt(name)


def _uncaught() -> BaseException | None:
    """Return the error that nothing caught; pytest puts that of a failed test there, too."""
    return getattr(sys, "last_value", None)


def _violations(path: Path) -> list[dict[str, Any]]:
    """The guard's ledger; half a line, as a full disk leaves it, still tells of a violation."""
    found: list[dict[str, Any]] = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            found.append(msgspec.json.decode(line))
        except msgspec.DecodeError:
            found.append({"test": "", "detail": "a violation whose record is damaged"})
    return found


def teardown_of(report: pytest.TestReport) -> pytest.TestReport:
    """The end of a test whose process died: without it, reporters wait for it for ever."""
    teardown = copy(report)
    teardown.when = "teardown"
    teardown.outcome = "passed"
    teardown.longrepr = None
    return teardown


def _stop_replacing_workers(config: pytest.Config, node: Any) -> bool:
    """Have no worker started for one that died when there was nothing left for it to do.

    pytest-xdist starts up to four for each, which all die the same way: 50 s on an idle machine.
    Returns whether nothing was left to do.
    """
    session = config.pluginmanager.getplugin("dsession")
    schedule = getattr(session, "sched", None)
    if not getattr(schedule, "collection_is_completed", False):
        return False
    own = getattr(schedule, "node2pending", {}).get(node)
    left = getattr(schedule, "pending", ())
    if own or left or (own is None and getattr(schedule, "has_pending", True)):
        return False
    if hasattr(session, "_max_worker_restart"):  # a name of its own: without it, it takes longer
        session._max_worker_restart = 0
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
