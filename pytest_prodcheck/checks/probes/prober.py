"""Every selected probe is sent at once, by one process of the run, each with its own result.

A check is waiting, not work: one process with threads beats many processes with one request
each. So all processes of a run share a folder. The one that holds its lock file sends, and
appends each result to a file as it comes; the others follow that file. When the sender dies,
the lock is free and another takes over what has no result yet.
"""

import contextlib
import fcntl
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from pytest_prodcheck import errors
from pytest_prodcheck.checks.answers.catch_all import CatchAll
from pytest_prodcheck.checks.answers.expectations import ANY_ANSWER, Answer, Clean, Mismatch, unmet
from pytest_prodcheck.config import Probe, Target, revealed
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.http import real_time
from pytest_prodcheck.http.errors import kind_of
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.model import Exchange, Failure, Record, reason_of_silence
from pytest_prodcheck.rules import RULES, failure
from pytest_prodcheck.store.tally import Tally

LOCK = "probes.lock"
"""The process that holds it sends."""

POLL = 0.004
"""Seconds between two looks of a following process at the results."""

GRACE = 10.0
"""Seconds on top of what the requests may take, for a busy machine."""

ANSWERS = Probe(method="GET", path="", id="GET /", severity="critical", status=ANY_ANSWER)
"""Whether the target answers at all: all there is to ask where nothing about it is declared."""

PASSED_ON = {
    kind.__name__: kind
    for kind in (errors.Violation, errors.NotAsked, errors.TargetDown, errors.BudgetExhausted)
}
"""Exceptions of ours that a check raises as they are, by name: results cross processes."""


class Connection(Protocol):
    """What a prober needs of a `LiveClient`; each of its threads has one of its own."""

    exchanges: list[Exchange]

    def request(self, method: str, url: str, /, *, headers: dict[str, str]) -> httpx.Response: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ProbeResult(Record):
    """What came of one probe, all its samples together."""

    id: str
    subject: str = ""
    """Its request: `GET /orders`."""
    exchanges: tuple[Exchange, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()
    elapsed_s: float = 0.0
    """Seconds that its requests took, without waiting for a turn."""
    error: str | None = None
    """Why a request had no usable answer (`"connect: refused"`)."""
    not_run: str | None = None
    """Why a request was withheld; what it would have shown is unknown."""
    raised: str = ""
    """Name in PASSED_ON of the exception that withheld it."""

    @property
    def failures(self) -> tuple[Failure, ...]:
        """All that is wrong; empty when every expectation held or was not tried."""
        subject = self.subject or self.id
        no_answer = []
        if self.error:
            silent = [exchange for exchange in self.exchanges if exchange.status is None]
            reason = reason_of_silence(silent[-1]) if silent else "transport"
            message = f"no answer: {self.error}"
            no_answer = [
                failure("exchange.unreachable", subject, message, title="no answer", reason=reason)
            ]
        crashed = any((exchange.status or 0) >= 500 for exchange in self.exchanges)
        wrong = [
            failure(
                one.rule,
                subject,
                str(one),
                title=one.what,
                status=one.status,
                reason="server_error" if crashed and one.rule == "status" else RULES[one.rule],
            )
            for one in self.mismatches
        ]
        return (*no_answer, *wrong)

    @property
    def problems(self) -> tuple[str, ...]:
        """The messages of `failures`, one line each."""
        return tuple(one.message for one in self.failures)


class Prober:
    """Sends probes in the background, in one process of the run, and hands out their results.

    `connect` makes a client for one thread. `work` is a folder that all processes of the run
    share and no other run uses. `clean` takes secrets out of texts that are shown or stored.
    `tally` counts the exchanges for the limits of the run. `catch_all` knows the answer that every
    path gets, on which no probe passes that asks for a status alone. `shared=False` is for a run
    of one process: then no result has to be written down. `lock` is the open lock file of a
    process that holds it already.
    """

    def __init__(
        self,
        target: Target,
        connect: Callable[[], Connection],
        work: Path,
        *,
        clean: Clean = str,
        tally: Tally | None = None,
        catch_all: CatchAll | None = None,
        shared: bool = True,
        lock: int | None = None,
    ) -> None:
        self._target = target
        self._connect = connect
        self._clean = clean
        self._tally = tally
        self._catch_all = catch_all
        self._shared = shared
        self._selected: dict[str, Probe] = {}
        self._done: dict[str, ProbeResult] = {}
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._closing = False
        self._missing = 0
        self._longest = 0
        self._progress_at = 0.0
        if lock is None:
            lock = os.open(work / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        self._lock = lock
        self._results = os.open(work / "probes.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._files = [self._lock, self._results]
        self._read_to = 0

    def start(self, selected: Sequence[Probe]) -> None:
        """Begin to send `selected`, unless another process of the run does so already."""
        self._selected = {probe.id: probe for probe in selected}
        self._longest = max((_requests(probe) for probe in selected), default=0)
        self._missing = sum(map(_requests, selected))
        self._progress_at = real_time.monotonic()
        self._send_unless_another_does()

    def result(self, probe_id: str) -> ProbeResult:
        """What came of that probe; waits for it. Raises ProdcheckError if it was not selected.

        Never waits for ever: when nothing has arrived for longer than all missing requests may
        take, the result is a failure that says so.
        """
        if probe_id not in self._selected:
            raise errors.ProdcheckError(
                f"probe {probe_id!r} was not among the {len(self._selected)} that were started; "
                "start the prober with every selected probe"
            )
        while True:
            with self._changed:
                if probe_id in self._done:
                    return self._done[probe_id]
                if self._closing:
                    raise errors.ProdcheckError(f"probe {probe_id!r} has no result: run is over")
                left = self._progress_at + self.bound - real_time.monotonic()
                if left <= 0:
                    return self._given_up(probe_id)
                if self._busy:
                    self._changed.wait(left)
                    continue
            if not self._read_results() and not self._send_unless_another_does():
                real_time.sleep(POLL)

    def has(self, probe_id: str) -> bool:
        """Return True if that probe's result has arrived in this process."""
        with self._changed:
            return probe_id in self._done

    def wait(self) -> None:
        """Return when every selected probe has its result."""
        for probe_id in self._selected:
            self.result(probe_id)

    def close(self) -> None:
        """Stop sending; requests on their way get one second to end."""
        self._closing = True
        until = real_time.monotonic() + 1
        # The first thread is joined first, so those that it still started are in the list.
        for thread in self._threads:
            thread.join(max(0.0, until - real_time.monotonic()))
        # A thread that still waits for the target writes its result later: leave it the files.
        while self._files and not any(thread.is_alive() for thread in self._threads):
            os.close(self._files.pop())

    # --- one process sends

    def _send_unless_another_does(self) -> bool:
        """Become the sender if no process is; False if one is."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._read_results()
        missing = [probe for probe in self._selected.values() if probe.id not in self._done]
        # The longest first, so that none of them is left to the end on its own.
        queue = deque(sorted(missing, key=lambda probe: -probe.samples))
        self._progress_at = real_time.monotonic()
        self._busy = 1
        # The first thread starts the others, since each start waits until the thread runs.
        first = self._thread(self._lead, queue)
        try:
            first.start()
        except RuntimeError:
            self._leave()
            raise
        self._threads.insert(0, first)
        return True

    def _thread(
        self, work: Callable[[deque[Probe]], None], queue: deque[Probe]
    ) -> threading.Thread:
        """Start a daemon thread: an interrupted run must not wait for a hanging target."""
        return threading.Thread(target=work, args=(queue,), daemon=True, name="prodcheck-probes")

    def _lead(self, queue: deque[Probe]) -> None:
        try:
            self._ask_for_the_catch_all(queue)
            for _ in range(min(self._target.concurrency, len(queue)) - 1):
                thread = self._thread(self._work_off, queue)
                with self._changed:
                    self._busy += 1
                try:
                    thread.start()
                except RuntimeError:
                    # A container may allow few threads: those that did start do all the work.
                    self._leave()
                    break
                self._threads.append(thread)
        finally:
            self._work_off(queue)

    def _ask_for_the_catch_all(self, queue: deque[Probe]) -> None:
        """Send it together with the first probes, if one of them needs it."""
        catch_all = self._catch_all
        if catch_all is None or not any(map(catch_all.wants, queue)):
            return
        thread = threading.Thread(target=catch_all.page, daemon=True, name="prodcheck-catch-all")
        # Without a thread for it, the first probe that needs it asks.
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._threads.append(thread)

    def _work_off(self, queue: deque[Probe]) -> None:
        try:
            self._ask_all(queue)
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._busy -= 1
            if not self._busy:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._changed.notify_all()

    def _ask_all(self, queue: deque[Probe]) -> None:
        with contextlib.ExitStack() as stack:
            client: Connection | None = None
            while not self._closing:
                try:
                    probe = queue.popleft()
                except IndexError:
                    break
                try:
                    client = client or stack.enter_context(self._connect())
                    result = ask(client, probe, self._clean, self._catch_all)
                    if self._tally:
                        self._tally.add(result.exchanges)
                    line = self._line(result)
                except Exception as problem:
                    # An item would wait in vain for a result that died with its thread.
                    error = self._clean(f"internal: {type(problem).__name__}: {problem}")
                    error = error.encode(errors="backslashreplace").decode()
                    result = ProbeResult(id=probe.id, error=error)
                    line = self._line(result)
                self._publish(result, line)

    def _line(self, result: ProbeResult) -> bytes:
        """Return the result as the other processes read it, between newlines: a line that a kill or
        a full disk cuts short spoils no other."""
        if not self._shared:
            return b""
        return f"\n{self._clean(msgspec.json.encode(result).decode())}\n".encode()

    def _publish(self, result: ProbeResult, line: bytes) -> None:
        if line:
            # Without room for it, a follower asks itself when this process is done.
            with contextlib.suppress(OSError):
                os.write(self._results, line)
        with self._changed:
            self._take_in(result)
            self._changed.notify_all()

    def _take_in(self, result: ProbeResult) -> None:
        probe = self._selected.get(result.id)
        if probe and result.id not in self._done:
            self._missing -= _requests(probe)
        self._done[result.id] = result
        self._progress_at = real_time.monotonic()

    # --- the others follow

    def _read_results(self) -> bool:
        """Take in what the sender has written since; True if that was anything."""
        with self._changed:
            new = os.pread(self._results, os.fstat(self._results).st_size, self._read_to)
            new = new[: new.rfind(b"\n") + 1]
            self._read_to += len(new)
            for line in new.splitlines():
                with contextlib.suppress(msgspec.MsgspecError):
                    self._take_in(msgspec.json.decode(line, type=ProbeResult))
            return bool(new)

    # --- nobody waits for ever

    @property
    def bound(self) -> float:
        """Seconds that the missing requests take at the very most, twice over for a retry each."""
        rounds = math.ceil(self._missing / self._target.concurrency) + self._longest
        paced = self._missing / self._target.rate if self._target.rate else 0.0
        return GRACE + 2 * (rounds * self._target.timeout + paced)

    def _given_up(self, probe_id: str) -> ProbeResult:
        missing = len(self._selected.keys() - self._done.keys())
        return ProbeResult(
            id=probe_id,
            error=f"nothing arrived for {self.bound:.0f} s, which is longer than the {missing} "
            "missing probes may take: the process that sends them hangs; run the tests again "
            "with -n0",
        )


def ask(
    client: Connection, probe: Probe, clean: Clean = str, catch_all: CatchAll | None = None
) -> ProbeResult:
    """Send all samples of a probe, one after the other, and compare the answers."""
    headers = revealed(probe.send)
    answers: list[Answer] = []
    failures: list[str] = []
    exchanges: list[Exchange] = []
    not_run, raised = None, ""
    for sample in range(_requests(probe)):
        client.exchanges.clear()
        answer = None
        try:
            response = client.request(probe.method, probe.path, headers=headers)
        except (errors.Violation, errors.NotAsked) as withheld:
            not_run, raised = str(withheld), type(withheld).__name__
        except httpx.HTTPError as failure:
            failures.append(_why(failure))
        else:
            answer = _answer(response, client.exchanges)
            answers.append(answer)
        # Further samples that are as they should be need no evidence beyond their times.
        slim = sample and answer and not unmet(probe, [answer])
        exchanges += map(_slim, client.exchanges) if slim else client.exchanges
        if not_run is not None:
            break
    mismatches = unmet(probe, answers, clean)
    if (
        catch_all
        and answers
        and not mismatches
        and (common := catch_all.mismatch(probe, answers[0]))
    ):
        mismatches = [common]
    error = failures[0] if failures else None
    if error and probe.samples > 1:
        error = f"{error} ({len(failures)} of {len(failures) + len(answers)} samples)"
    return ProbeResult(
        id=probe.id,
        subject=f"{probe.method} {probe.path}",
        exchanges=tuple(exchanges),
        mismatches=tuple(mismatches),
        elapsed_s=sum(exchange.elapsed_ms for exchange in exchanges) / 1000,
        error=error and clean(error),
        not_run=not_run and clean(not_run),
        raised=raised,
    )


def _requests(probe: Probe) -> int:
    return max(1, probe.samples)


def _answer(response: httpx.Response, hops: Sequence[Exchange]) -> Answer:
    return Answer(
        status=response.status_code,
        headers=tuple(response.headers.multi_items()),
        content=response.content,
        encoding=response.encoding or "utf-8",
        elapsed_s=sum(hop.elapsed_ms for hop in hops) / 1000,
    )


def _why(failure: httpx.HTTPError) -> str:
    kind, text = kind_of(failure), str(failure)
    return text if text.startswith(kind) else f"{kind}: {text}"


def _slim(exchange: Exchange) -> Exchange:
    empty: dict[str, Any] = {"request_headers": {}, "response_headers": {}, "body": "", "curl": ""}
    return msgspec.structs.replace(exchange, **empty)


class ProbeCheck:
    """One probe as a test sees it: its `id`, and `check()`."""

    def __init__(self, probe: Probe, prober: Prober) -> None:
        self.probe = probe
        self._prober = prober

    @property
    def id(self) -> str:
        return self.probe.id

    @property
    def done(self) -> bool:
        """Whether `result` is there without waiting."""
        return self._prober.has(self.id)

    @property
    def result(self) -> ProbeResult:
        """What came of it; waits until it is there."""
        return self._prober.result(self.id)

    def check(self) -> ProbeResult:
        """Return when every expectation held.

        Raises AssertionError with all that did not hold, Violation if policy forbids the
        request, and NotAsked if it was withheld.
        """
        result = self.result
        if result.raised == errors.Violation.__name__:
            raise errors.Violation(result.not_run)
        if result.problems:
            raise CheckFailed("\n".join(result.problems), result.failures)
        if result.not_run is not None:
            raise PASSED_ON.get(result.raised, errors.NotAsked)(result.not_run)
        return result

    def __repr__(self) -> str:
        return f"<probe {self.id}>"
