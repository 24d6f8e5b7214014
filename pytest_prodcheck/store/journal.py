"""The journal of a run: one JSON line per fact, written before the fact is used anywhere else.

It is the only source of truth. A live run, a run of many workers, merged shards and a
killed run that is recovered are all entries (see `entries`), folded into a Run.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.model import (
    SEVERITIES,
    VETOES,
    Check,
    Exchange,
    Failure,
    FlagReading,
    Part,
    Planned,
    Problem,
    Reason,
    Release,
    Run,
    Severity,
    State,
    Warned,
)
from pytest_prodcheck.store.entries import (
    Begin,
    End,
    Entry,
    PartOnly,
    Plan,
    ProblemFound,
    ReleaseSeen,
    Report,
    ServiceLog,
    TrafficCounted,
    WarningGiven,
)
from pytest_prodcheck.store.traffic import Traffic
from pytest_prodcheck.verdict.last_run import compared

Data = dict[str, Any]
"""A report of pytest, as pytest itself serializes it."""


class Journal:
    """A file of entries, also kept in memory, so that a full disk cannot lose a verdict.

    `failure` is the first error of writing, if any: the run continues, but cannot pass.
    """

    def __init__(self, path: Path) -> None:
        self.entries: list[Entry] = []
        self.failure: OSError | None = None
        self._path = path
        self._file: int | None = None
        self.open()

    def open(self) -> None:
        """Open the file, also again after `close`; raises OSError."""
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, entry: Entry) -> None:
        """Add one entry, with one `write(2)` a line: a kill leaves at most one torn last line."""
        self.entries.append(entry)
        if self._file is None or self.failure:
            return  # after half a line, the next one would be unreadable too
        line = memoryview(encode(entry) + b"\n")
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            self.failure = self.failure or error

    def close(self) -> None:
        """Sync the file to the disk and close it; later entries are kept in memory only."""
        if self._file is None:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            self.failure = self.failure or error
        finally:
            os.close(self._file)
            self._file = None


def encode(data: Any) -> bytes:
    """Return strict JSON, also of text that is not Unicode (a lone surrogate becomes `?`)."""
    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:
        plain = json.dumps(msgspec.to_builtins(data), ensure_ascii=False, allow_nan=False)
        return plain.encode("utf-8", "replace")


_DECODER: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a journal; a last line that a kill has torn is skipped."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield _DECODER.decode(line)
            except msgspec.DecodeError:
                if line.endswith(b"\n"):
                    raise
                return


def fold(entries: Iterable[Entry], state: State = "finished") -> Run:
    """Return the facts of all entries as one Run.

    A check that reported several times (the same id twice, several vantages) has its worst
    outcome. Raises ValueError if there is no `begin`.
    """
    fold = _Fold()
    for entry in entries:
        fold.add(entry)
    return fold.run(state)


class _Fold:
    """The facts of the entries so far."""

    def __init__(self) -> None:
        self._head: Begin | None = None
        self._plan: dict[str, Planned] = {}
        self._reports: dict[str, list[Data]] = defaultdict(list)
        self._problems: dict[Problem, None] = {}
        self._warned: dict[Warned, None] = {}
        self._part: Part | None = None
        self._release = Release()
        self._service_log = ""
        self._traffic = Traffic()
        self._end = End(finished="", duration_s=0.0)

    def add(self, entry: Entry) -> None:
        match entry:
            case Begin():
                self._head = self._head or entry
            case Plan():
                for planned in entry.checks:
                    self._plan.setdefault(planned.id, planned)
            case Report():
                self._reports[entry.data["nodeid"]].append(entry.data)
            case ProblemFound():
                self._problems[Problem(what=entry.what, detail=entry.detail)] = None
            case PartOnly():
                self._part = Part(text=entry.text, chosen=entry.chosen)
            case WarningGiven():
                self._warned[Warned(check=entry.check, message=entry.message)] = None
            case ReleaseSeen():
                self._release = entry.release
            case ServiceLog():
                self._service_log = entry.log
            case TrafficCounted():
                self._traffic.add(entry)
            case End():
                self._end = entry

    def run(self, state: State) -> Run:
        """Return the Run; raises ValueError if there is no `begin`."""
        head = self._head
        if not head:
            raise ValueError("the journal has no beginning: it is empty or not a prodcheck journal")
        checks = [self._check(id_) for id_ in dict.fromkeys((*self._plan, *self._reports))]
        reports = [report for of_check in self._reports.values() for report in of_check]
        traffic = self._traffic if self._traffic.requests else _traffic(checks)
        run = Run(
            run_id=head.run_id,
            target=head.target,
            policy=head.policy,
            good=head.good,
            state=state,
            started=head.started,
            finished=self._end.finished,
            duration_s=self._end.duration_s,
            command=head.command,
            shard=head.shard,
            part=self._part,
            passed_before=head.passed_before,
            settings=head.settings,
            selection=head.selection,
            configuration=head.configuration,
            checks=tuple(check for check in checks if check.category is not None),
            unscored=tuple(check for check in checks if check.category is None),
            problems=tuple(self._problems),
            warnings=tuple(self._warned),
            metrics=msgspec.structs.replace(traffic.metrics(), measured=_measured(reports)),
            flags=_flags(reports),
            release=self._release,
            service_log=self._service_log,
        )
        return msgspec.structs.replace(run, warnings=(*run.warnings, *compared(run)))

    def _check(self, id_: str) -> Check:
        reports = self._reports.get(id_, [])
        return _check(self._plan.get(id_) or _unplanned(id_, reports), reports)


def _traffic(checks: Iterable[Check]) -> Traffic:
    """Return the totals by the reports alone, for a run that was killed before it could count."""
    traffic = Traffic()
    for check in checks:
        if check.category == "rollback":
            continue  # a drill's requests go to a target that it has made fail on purpose
        for one in check.exchanges:
            if one.kind != "withheld":
                answered = one.elapsed_ms if one.status is not None else None
                traffic.count(answered, one.status is None or one.status >= 500)
    return traffic


def _measured(reports: Iterable[Data]) -> dict[str, float]:
    """Return the largest value of each name in any report."""
    found: dict[str, float] = {}
    for report in reports:
        for name, value in (report.get("prodcheck") or {}).get("measured", {}).items():
            found[name] = max(value, found.get(name, value))
    return found


def _flags(reports: Iterable[Data]) -> FlagReading:
    """Return the flags of the last report that has any."""
    found = [flags for report in reports if (flags := _facts(report).get("flags"))]
    return msgspec.convert(found[-1], FlagReading) if found else FlagReading()


def _unplanned(id_: str, reports: list[Data]) -> Planned:
    """Return the plan of a check that was not planned, by its own reports.

    Its worker died before it could report its plan.
    """
    facts: Data = next((r["prodcheck"] for r in reports if r.get("prodcheck")), {})
    return Planned(id=id_, category=facts.get("category"), severity=facts.get("severity", "major"))


_WORST_FIRST = ("failed", "not_run", "known", "skipped", "flaky", "passed")


def _check(planned: Planned, reports: list[Data]) -> Check:
    """Return the outcome of a check from the reports of its phases, in order of arrival."""
    if not planned.permitted:
        return _check_of(planned, "not_permitted", planned.reason, [])
    attempts: list[list[Data]] = []
    for report in reports:
        if report["when"] == "setup" or not attempts:
            attempts.append([])
        attempts[-1].append(report)
    rerun = [a for a in attempts if any(r["outcome"] == "rerun" for r in a)]
    final = [a for a in attempts if a not in rerun]
    if not final:
        return _check_of(planned, "not_run", planned.reason or "did not run", reports)
    outcome, message = min(
        (_attempt(attempt) for attempt in final), key=lambda o: _WORST_FIRST.index(o[0])
    )
    if rerun and outcome == "passed":
        outcome, message = "flaky", f"passed after {len(rerun)} failed attempt(s)"
    return _check_of(planned, outcome, message, reports)


def _attempt(phases: list[Data]) -> tuple[Any, str]:
    """Return outcome and message of one attempt; to pass, setup, call and teardown must pass."""
    for report in phases:
        if report["outcome"] == "failed":
            return "failed", message_of(report)
    for report in phases:
        facts = _facts(report)
        for outcome in ("not_run", "known"):
            if facts.get(outcome):
                return outcome, facts[outcome]
    for report in phases:
        if report["outcome"] != "passed" or "wasxfail" in report:
            return "skipped", message_of(report)
    missing = {"setup", "call", "teardown"}.difference([report["when"] for report in phases])
    if missing:
        return "not_run", f"did not finish: no {' and no '.join(sorted(missing))}"
    return "passed", ""


def _facts(report: Data) -> Data:
    """Return our own facts in a report of pytest."""
    return report.get("prodcheck") or {}


def message_of(report: Data) -> str:
    """Return a sentence or two on why this report did not simply pass."""
    facts = _facts(report)
    if facts.get("message"):
        return str(facts["message"])
    if "wasxfail" in report:
        return f"expected to fail: {report['wasxfail']}".rstrip(": ")
    longrepr = report.get("longrepr")
    if isinstance(longrepr, dict):
        crash = longrepr.get("reprcrash") or {}
        return str(crash.get("message") or "failed")
    if isinstance(longrepr, list | tuple):
        return str(longrepr[-1])
    return str(longrepr or "failed")


def _check_of(planned: Planned, outcome: Any, message: str, reports: list[Data]) -> Check:
    found = [_facts(report) for report in reports]
    failures = tuple(
        msgspec.convert(failure, Failure)
        for facts in found
        for failure in facts.get("failures", ())
    )
    return Check(
        id=planned.id,
        category=planned.category,
        severity=_severity(planned, outcome, found),
        outcome=outcome,
        duration_s=round(sum(report.get("duration", 0.0) for report in reports), 6),
        message=message,
        reason=_reason(outcome, reports, failures),
        failures=failures,
        exchanges=tuple(
            msgspec.convert(exchange, Exchange)
            for facts in found
            for exchange in facts.get("exchanges", ())
        ),
        p95_ms=max(
            (p95 for facts in found if (p95 := facts.get("p95_ms")) is not None), default=None
        ),
    )


def _severity(planned: Planned, outcome: str, reported: list[Data]) -> Severity:
    """Return the severity of a check: that of its worst failure if it failed, else as planned.

    A check that a team has marked critical stays so.
    """
    if outcome not in ("failed", "flaky", "known") or planned.severity == "critical":
        return planned.severity
    found = [
        failure.get("severity") or planned.severity
        for facts in reported
        if "message" in facts
        for failure in facts.get("failures") or [{}]
    ]
    return min(found, key=SEVERITIES.index, default=planned.severity)


def _reason(outcome: str, reports: list[Data], failures: Sequence[Failure]) -> Reason | None:
    """Return the reason why a check has not passed: its worst failure's, else by the phase."""
    if outcome in ("passed", "not_permitted", "flaky"):
        return None
    if outcome in ("not_run", "skipped"):
        return "not_run" if outcome == "not_run" else "skipped"
    if failures:
        return min(failures, key=lambda one: not one.kinds.intersection(VETOES)).reason
    broken = [report["when"] for report in reports if report["outcome"] == "failed"]
    return "assertion" if "call" in broken else "setup"
