"""One process' hands on the target: what is planned here, asked here, and seen here.

It lives in the single process of a plain run and in each worker under xdist (the process
that decides has one too, for its guard). What it finds travels as plain data on the reports.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from math import ceil, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

import msgspec
import pytest

from pytest_prodcheck.config import Settings, Target
from pytest_prodcheck.counting import counted
from pytest_prodcheck.errors import CheckFailed, NotAsked, ProdcheckError
from pytest_prodcheck.guard.network import Guard
from pytest_prodcheck.guard.policy import Policy
from pytest_prodcheck.model import Exchange, Failure, Reason, reason_of_silence, subject
from pytest_prodcheck.redaction.redactor import Redactor, scrub
from pytest_prodcheck.rules import RULES, failure
from pytest_prodcheck.session import parameters
from pytest_prodcheck.session.builtin_suites import SUITES
from pytest_prodcheck.session.contract import ContractChecks
from pytest_prodcheck.session.database import DatabaseChecks
from pytest_prodcheck.session.evidence import PLANNED, SEEN, Seen
from pytest_prodcheck.session.partial_run import CHOSEN
from pytest_prodcheck.session.plan import TAKEN_OUT_LATE, Plan, asserts
from pytest_prodcheck.session.rollback import RollbackChecks
from pytest_prodcheck.session.shared_fixtures import SharedFixtures
from pytest_prodcheck.session.tracebacks import shorten
from pytest_prodcheck.store.process_lock import turn
from pytest_prodcheck.store.run_directory import Folder
from pytest_prodcheck.verdict.known_failures import KnownFailures

if TYPE_CHECKING:
    from httpx import Response

    from pytest_prodcheck.checks.answers.catch_all import CatchAll
    from pytest_prodcheck.checks.probes.prober import Prober, ProbeRun
    from pytest_prodcheck.checks.probes.sender import Sender
    from pytest_prodcheck.config import Probe
    from pytest_prodcheck.http.client import LiveClient, Note
    from pytest_prodcheck.http.throttle import Chain
    from pytest_prodcheck.http.transport import LiveTransport
    from pytest_prodcheck.measuring import Measure
    from pytest_prodcheck.service.release import ReleaseSeen
    from pytest_prodcheck.store.tally import Measured, Tally


_SHOWN = {
    **dict.fromkeys(("longrepr", "sections", "user_properties", "wasxfail", "extras", "prodcheck")),
    "_subtest.context": "context",
}
"""What of a serialised report reaches a page, a file or a terminal; and its attribute's name,
where that is another."""


WORKERS_ENDS = "workers-ends.jsonl"
"""File in which workers leave what went wrong when their session ended."""


class Inspector:
    """Collection, the connection, and the reports of one process."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        folder: Folder,
        redactor: Redactor,
        shard: str | None,
        choice: str,
        root: Path,
        guard: Guard,
    ) -> None:
        self.choice = choice
        self.root = root
        self.settings = settings
        self.target: Target = settings.target
        self.work = folder.work
        self.guard = guard
        guard.settle(
            Policy.of(settings.target),
            self.work / "violations.jsonl",
            limits=self.chain,
            controller=getattr(config, "workerinput", {}).get("sock_port"),
        )
        self.config = config
        self.redactor = redactor
        self.plan = Plan(config, settings, folder.work, shard)
        self.shared = SharedFixtures(self.guard)
        self._sender: Sender | None = None
        self._drills: bool | None = None
        self.refusals: list[str] = []
        """What of the configuration shows itself as wrong only where it is needed."""
        self.known = KnownFailures(settings.known, datetime.now(UTC).date())

    # --- collection: what this run sets out to do ---

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        parameters.generate(self, metafunc)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """A usage error of anybody is printed by pytest itself, past its reporters."""
        try:
            return (yield)
        except pytest.UsageError as error:
            error.args = scrub(error.args, self.redactor)
            raise

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        with self._refusing(items):
            if self.refusals:
                raise pytest.UsageError("\n".join(self.refusals))
            self._refuse_secrets_in_ids(items)
            self.plan.check_markers(items)
            parameters.drop_stand_in(self, items)
            self.plan.before_selection(items)
        yield
        with self._refusing(items):
            self.plan.after_selection(items)

    @contextmanager
    def _refusing(self, items: list[pytest.Item]) -> Generator[None]:
        try:
            yield
        except pytest.UsageError as error:
            items.clear()  # pytest goes on to `collection_finish`, and nobody shall see them
            # A worker's exception would reach nobody: the plan carries it to who decides.
            if not hasattr(self.config, "workerinput"):
                raise
            self.plan.refuse(str(error))

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makeitem(self) -> Generator[None, object, object]:
        made = yield
        if self.config.stash.get(CHOSEN, "") == "ids" and isinstance(made, list):
            self.plan.generated(made)
        return made

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.plan.deselected(items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            item.stash[PLANNED] = self.plan.planned(item)
        self._say_how_long(session.items)
        self.plan.freeze(session.items)

    def _say_how_long(self, items: list[pytest.Item]) -> None:
        """The contract suite takes most of a run's time; nobody should have to guess it."""
        operations = sum("operation" in getattr(item, "fixturenames", ()) for item in items)
        if not operations or self.target.time_budget:
            return
        seconds = self.settings.contract.time_per_operation
        self.plan.note(
            f"{counted(operations, 'operation')} of up to {seconds:g} s each: up to"
            f" {ceil(operations * seconds / 60)} min; `time_budget` of the target sets an end"
        )

    def _refuse_secrets_in_ids(self, items: list[pytest.Item]) -> None:
        for item in items:
            shown = self.redactor.text(item.nodeid)
            if shown != item.nodeid:
                raise pytest.UsageError(
                    f"the id of {shown} holds a secret, and ids are printed everywhere; "
                    "give its parameter another id: pytest.param(value, id='name')"
                )

    # --- the connection ---

    @cached_property
    def contract(self) -> ContractChecks:
        return ContractChecks(self)

    @cached_property
    def database(self) -> DatabaseChecks:
        return DatabaseChecks(self)

    @cached_property
    def rollback(self) -> RollbackChecks:
        return RollbackChecks(self)

    @cached_property
    def chain(self) -> Chain:
        from pytest_prodcheck.http.throttle import Chain

        target = self.target
        return Chain(
            self.work / "chain",
            rate=target.rate,
            budget=target.request_budget,
            time_budget=target.time_budget,
        )

    @cached_property
    def transport(self) -> LiveTransport:
        from pytest_prodcheck.http.client import LiveTransport

        return LiveTransport(self.target, self.chain)

    @cached_property
    def release_seen(self) -> ReleaseSeen | None:
        """What answers tell of the release, where the configuration does not say who tells it."""
        from pytest_prodcheck.service.release import ReleaseSeen

        return None if self.target.release else ReleaseSeen(self.work / "release.json")

    @cached_property
    def described(self) -> Target:
        """The target, with what it shows of itself where nothing about it is declared."""
        from pytest_prodcheck.checks.openapi.discovery import is_undeclared, with_found

        if not is_undeclared(self.target):
            return self.target
        return with_found(self.target, parameters.discovered(self))

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """Declared ones; without any, those that can be derived."""
        if self.target.probes:
            return self.target.probes
        probes, problem = parameters.derived(self)
        if problem:
            self.plan.complain(f"no probes could be derived: {problem}")
        if probes:
            self.plan.note(f"{counted(len(probes), 'probe')} derived")
        return probes

    def measure_for(self, item: pytest.Item) -> Measure:
        return partial(self.measure, item)

    def _seen(self) -> Seen:
        return Seen(self.guard, self.database.statements)

    @property
    def project(self) -> Path:
        """The folder that the configuration names things from."""
        file = self.settings.file
        return file.parent if file else self.config.invocation_params.dir

    def measure(self, item: pytest.Item, name: str, value: float) -> None:
        """A figure of this run, for the report and the decision matrix."""
        if not isfinite(value):
            raise ValueError(f"{name} is {value}, which is no figure")
        item.stash[SEEN].measured[name] = float(value)

    @cached_property
    def prober(self) -> Prober:
        shared = self._sender is not None or hasattr(self.config, "workerinput")
        return self._make_prober(shared=shared)

    def _make_prober(self, **options: Any) -> Prober:
        from pytest_prodcheck.checks.probes.prober import Prober

        return Prober(
            self.target,
            self.connect,
            self.work,
            clean=self.redactor.text,
            tally=self.tally,
            catch_all=self.catch_all,
            **options,
        )

    def fork_sender(self) -> None:
        """For a run of one process: another one that sends the declared probes."""
        from pytest_prodcheck.checks.probes.sender import Sender

        self._sender = Sender.fork(self.work, self._send_probes)

    def _send_probes(self, lock: int, selected: Callable[[], Sequence[str]]) -> None:
        """What the sender does; the connection is made before it is known what to ask."""
        prober = self._make_prober(lock=lock)
        self.connect().close()
        probes = {probe.id: probe for probe in self.target.probes}
        # In the order of the items: the first of them is waited for first.
        prober.start([probes[chosen] for chosen in selected() if chosen in probes])
        prober.wait()

    @cached_property
    def catch_all(self) -> CatchAll:
        """What a path that cannot exist gets, asked for once in a run."""
        from pytest_prodcheck.checks.answers.catch_all import CatchAll

        def fetch(path: str) -> Response:
            with self.connect() as client:
                return client.get(path, follow_redirects=False)

        once = partial(parameters.once, self.work / "catch-all.json")
        return CatchAll(self.target, fetch, once)

    @cached_property
    def tally(self) -> Tally:
        """Every exchange of the run, of all its processes."""
        from pytest_prodcheck.store.tally import Tally

        return Tally(self.work / "tally")

    def measured(self) -> list[Measured]:
        """All exchanges so far, the probes' among them: their answers are waited for."""
        if "prober" in self.__dict__:
            self.prober.wait()
        return self.tally.measured()

    def connect(
        self, transport: LiveTransport | None = None, note: Note | None = None
    ) -> LiveClient:
        from pytest_prodcheck.http.client import LiveClient

        return LiveClient(
            self.target,
            transport or self.transport,
            learn=self.redactor.learn,
            redact=self.redactor.text,
            observe=self.release_seen.observe if self.release_seen else None,
            note=note,
        )

    def connect_for_cases(self) -> LiveClient:
        """A client of the contract suite, which keeps the evidence alone of what it exchanges."""
        return self.connect(note=lambda exchange: self.tally.add([exchange], generated=True))

    def client(self, item: pytest.Item, transport: LiveTransport | None = None) -> LiveClient:
        """A client for one test; what it exchanges goes into that test's reports."""
        client = self.connect(transport)
        item.stash[SEEN].clients[client] = 0
        return client

    def shared_client(self) -> LiveClient:
        """A client for several tests; what it exchanges goes into the reports of the test that
        is under way."""
        return self.shared.add(self.connect())

    def probe(self, item: pytest.Item, probe: Probe) -> ProbeRun:
        from pytest_prodcheck.checks.probes.prober import ProbeRun

        run = ProbeRun(probe, self.prober)
        item.stash[SEEN].probe = run
        return run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """All selected probes are sent as soon as tests may run, while the first one waits."""
        self.plan.restore(session.items)
        probes = parameters.selected_probes(session.items)
        if probes and not self.config.option.collectonly:
            if self._sender:
                self._sender.start([probe.id for probe in probes])
            self.prober.start(probes)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """A drill changes the target under every other test, so it waits until it is alone."""
        if not self._has_drills(item.session):
            return (yield)
        with turn(self.work / "drill", shared=not parameters.is_drill(item)):
            return (yield)

    def _has_drills(self, session: pytest.Session) -> bool:
        if self._drills is None:
            self._drills = any(map(parameters.is_drill, session.items))
        return self._drills

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Why a worker stopped is told to the process that decides, which knows fewer secrets."""
        for name in ("shouldfail", "shouldstop"):
            if isinstance(why := getattr(session, name), str):
                setattr(session, name, scrub(why, self.redactor))
        try:
            yield
        except BaseException as error:
            self._tell_of_the_end(error)
            raise

    def _tell_of_the_end(self, error: BaseException) -> None:
        """pytest-xdist says nothing of a worker whose plugins fail at the end of its session."""
        worker = getattr(self.config, "workerinput", {}).get("workerid")
        if worker:
            detail = f"another plugin failed at the end of worker {worker}: {error!r}"
            with (self.work / WORKERS_ENDS).open("ab") as file:
                file.write(msgspec.json.encode(scrub(detail, self.redactor)) + b"\n")

    def close(self) -> None:
        for name in ("prober", "transport"):
            if name in self.__dict__:
                getattr(self, name).close()
        if self._sender:
            self._sender.close()

    # --- the reports ---

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.stash[SEEN] = self.shared.seen = self._seen()
        planned = item.stash[PLANNED]
        if not planned.permitted:
            pytest.skip(f"not permitted: {planned.reason}")
        self.chain.check_time()
        if self.plan.was_taken_out(item):
            raise NotAsked(f"not run: {TAKEN_OUT_LATE}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if call.excinfo:
            shorten(call.excinfo, item)
        report = yield
        planned = item.stash[PLANNED]
        # A conftest's own setup hook may have ended the test before ours was reached.
        seen = item.stash.setdefault(SEEN, self._seen())
        told: dict[str, Any] = {"category": planned.category, "severity": planned.severity}
        self._rule(item, call, report, told)
        if seen.explored and report.when == "call" and not report.failed:
            told["failures"] = msgspec.to_builtins(seen.explored.remarks)
        told["exchanges"] = self._new_exchanges(item, seen, report)
        if seen.measured:
            told["measured"] = dict(seen.measured)
        if seen.flags and (flags := seen.flags.plain()):
            told["flags"] = msgspec.to_builtins(flags)
        report.prodcheck = told  # type: ignore[attr-defined]
        self._clean(report)
        return report

    def _rule(
        self,
        item: pytest.Item,
        call: pytest.CallInfo[None],
        report: pytest.TestReport,
        told: dict[str, Any],
    ) -> None:
        """Correct what pytest alone would call passed, and say what went wrong in a sentence."""
        seen = item.stash[SEEN]
        error = call.excinfo.value if call.excinfo else None
        self.guard.verify()
        violations = self.guard.violations[seen.violations :]
        seen.violations += len(violations)
        if violations:
            _fail_by_guard(item, report, told, "\n".join(violations), error)
        elif isinstance(error, NotAsked):
            told["not_run"] = f"not run: {str(error).removeprefix('not run: ')}"
            report.outcome = "skipped"
            report.longrepr = (str(item.path), report.location[1] or 0, told["not_run"])
        elif error and report.passed and not hasattr(report, "wasxfail"):
            message = f"failed, but another plugin reported it as passed: {error}"
            _fail(item, report, told, "assertion", message)
        elif report.when == "call" and report.passed:
            emptiness = self._emptiness(item, seen)
            if emptiness:
                _fail(item, report, told, "check.proves_nothing", emptiness)
        elif report.failed and error:
            told["message"] = _sentence(call)
            failures: Sequence[Failure] = ()
            if isinstance(error, CheckFailed):
                failures = error.failures
            if not failures:
                failures = [_failure(item, error, report, seen.exchanges(), told["message"])]
            told["failures"] = msgspec.to_builtins(failures)
        if report.when == "call" and not violations:
            self._compare_with_known(item, report, told)

    def _compare_with_known(
        self, item: pytest.Item, report: pytest.TestReport, told: dict[str, Any]
    ) -> None:
        """A failure that the team has accepted is none; one that is gone has to leave the list."""
        check = item.stash[PLANNED].id
        if report.failed:
            failures = told.get("failures", ())
            titles = [one["title"] for one in failures if one["severity"] != "minor"]
            titles = titles or [one["title"] for one in failures]
            if accepted := self.known.accepted(check, titles):
                told["known"] = f"{accepted}. {told.get('message', '')}"
                report.outcome = "skipped"
                report.longrepr = (str(item.path), report.location[1] or 0, accepted)
            elif expired := self.known.expired(check):
                told["message"] = f"{expired}: {told.get('message', '')}"
        elif report.passed and (outdated := self.known.outdated(check)):
            if item.stash[SEEN].explored and self.contract.seed_changes:
                return  # each day has other cases, so a day without a failure says nothing
            _fail(item, report, told, "known.outdated", outdated)

    def _emptiness(self, item: pytest.Item, seen: Seen) -> str | None:
        """Why a passed check proves nothing, if so."""
        category = item.stash[PLANNED].category
        if category is None:
            return None
        asked = seen.probe or seen.exchanges() or self.guard.requests > seen.requests
        asked = asked or seen.database or self.database.statements > seen.statements
        asked = asked or self.shared.gave_answer(item)
        # What is true of a container or host is seen there, without a request.
        apart = category == "environment" or item.get_closest_marker("offline")
        if not asked and not apart:
            return _asked_nothing(self.shared.asked_for(item))
        ours = item.path.is_relative_to(SUITES)  # reading sources takes time, and we know these
        if not ours and not asserts(getattr(item, "function", None)):
            return "this check asserts nothing, so it cannot fail; assert what the answer must be"
        return None

    def _new_exchanges(
        self, item: pytest.Item, seen: Seen, report: pytest.TestReport
    ) -> list[dict[str, Any]]:
        """What was exchanged since this test's last report; in brief when all went well."""
        new = [*seen.take(), *self.shared.take()]
        if item.stash[PLANNED].category != "rollback":  # a drill makes the target fail on purpose
            self.tally.add(new)
        if seen.probe and report.when == "call" and seen.probe.done:
            new += seen.probe.result.exchanges
            report.duration = seen.probe.result.elapsed_s
        if seen.explored and report.when == "call":
            new += seen.explored.evidence
        if report.passed:
            empty: dict[str, Any] = {"request_headers": {}, "response_headers": {}, "body": ""}
            new = [msgspec.structs.replace(exchange, **empty) for exchange in new]
        plain: list[dict[str, Any]] = msgspec.to_builtins(new)
        return plain

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """A subtest's report gets its output and its name after `makereport`."""
        if type(report) is not pytest.TestReport:
            self._clean(report)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: Any) -> None:
        warning_message.message = scrub(str(warning_message.message), self.redactor)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_internalerror(self, excrepr: Any) -> Generator[None, object, object]:
        told = scrub(str(excrepr), self.redactor)
        excrepr.toterminal = lambda writer: writer.line(told)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.failed:
            self._clean(report)
        return report

    def _clean(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        """Take secrets and control characters out of all that the report will show."""
        if type(report) is pytest.TestReport and report.longrepr is None:
            # Most reports: they passed and say next to nothing, so they are not taken apart.
            told = [getattr(report, name, None) for name in _SHOWN]
            if scrub(told, self.redactor) is told:
                return
        hook = self.config.hook
        data = hook.pytest_report_to_serializable(config=self.config, report=report)
        cleaned = scrub(data, self.redactor)
        changed = [name for name in _SHOWN if data.get(name) != cleaned.get(name)]
        if changed:
            clean = hook.pytest_report_from_serializable(config=self.config, data=cleaned)
            for name in changed:
                attribute = _SHOWN[name] or name
                setattr(report, attribute, getattr(clean, attribute))


def _asked_nothing(shared: list[str]) -> str:
    """Why a check proves nothing that sent no request, but for those *shared* fixtures."""
    if not shared:
        return (
            "this check sent no request, so it proves nothing about the target; "
            "ask it with the `api` or `database` fixture, or mark the check `offline`"
        )
    names = " and ".join(f"`{name}`" for name in shared)
    return (
        f"this check sent no request of its own: {names} asked the target once for several checks, "
        "and this check takes no answer from there; send a request in the check, let a fixture "
        "return the answer that it judges, or mark the check `offline`"
    )


def _fail(
    item: pytest.Item, report: pytest.TestReport, told: dict[str, Any], rule: str, message: str
) -> None:
    report.outcome = "failed"
    report.longrepr = message
    _tell(item, report, told, rule, message)


def _tell(
    item: pytest.Item, report: pytest.TestReport, told: dict[str, Any], rule: str, message: str
) -> None:
    """Put one failure that has no title into the facts of a report."""
    told["message"] = message
    reason = RULES[rule] if report.when == "call" else RULES["setup"]
    found = failure(rule, subject(item.stash[PLANNED].id), message, title="", reason=reason)
    told["failures"] = [msgspec.to_builtins(found)]


def _failure(
    item: pytest.Item,
    error: BaseException,
    report: pytest.TestReport,
    exchanges: Sequence[Exchange],
    message: str,
) -> Failure:
    """Return what an exception without failures of its own stands for, by the last answer."""
    rule = "assertion" if report.when == "call" else "setup"
    if not exchanges:
        return failure(rule, subject(item.stash[PLANNED].id), message, title="")
    last = exchanges[-1]
    reason = RULES[rule]
    if last.status is None and last.kind in get_args(Reason):
        rule, reason = "exchange.unreachable", reason_of_silence(last)
    elif (last.status or 0) >= 500 and isinstance(error, AssertionError):
        reason = "server_error"
    request = f"{last.method} {urlsplit(last.url).path or '/'}"
    return failure(rule, request, message, title="", reason=reason, status=last.status)


def _fail_by_guard(
    item: pytest.Item,
    report: pytest.TestReport,
    told: dict[str, Any],
    message: str,
    error: BaseException | None,
) -> None:
    """Fail for what was refused, and show where: the traceback, or where the test begins."""
    add = getattr(report.longrepr, "addsection", None)
    if not report.failed or not add:
        path, line, _ = report.location
        _fail(item, report, told, "guard.violation", message)
        report.longrepr = f"{message}\n\n{path}:{(line or 0) + 1}: it was refused in this test"
        return
    _tell(item, report, told, "guard.violation", message)
    if message not in str(error):
        add("prodcheck", message)


def _sentence(call: pytest.CallInfo[None]) -> str:
    """What an exception says, without its traceback."""
    assert call.excinfo
    error = call.excinfo.value
    if isinstance(error, AssertionError | ProdcheckError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"
