"""Rate limit, budgets and circuit breaker of a run, in a small file that its processes share.

The file is one fixed-size record, changed only under a lock, so the limits hold for all workers
together. Its times are those of `real_time.monotonic`, the same in all processes of a machine.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pytest_prodcheck.errors import BudgetExhausted, NotAsked, TargetDown
from pytest_prodcheck.http import real_time

SILENT_LIMIT = 3
"""Requests in a row without a response that open the breaker (the project's specification)."""

ERROR_LIMIT = 10
"""5xx responses in a row that open it (the project's specification; Envoy's default is 5)."""

PROBE_INTERVAL = 5.0
"""Seconds between two half-open probes (Hystrix: sleepWindowInMilliseconds, 5,000)."""

SPACING = 1.02
"""Two requests are this much further apart than `rate` says: room for JITTER in any second."""

JITTER = 0.01
"""Seconds a request may start after its slot; a later one takes a new slot, to avoid bursts."""

BREAKER_CHECK_INTERVAL = 0.25
"""Seconds between two checks of the breaker while a request waits for its slot."""

_RECORD = struct.Struct("=QdIIddd128s")

# A process holds an fcntl lock, not a thread: threads need a lock of their own too.
_thread_lock = threading.Lock()


def _renew_thread_lock() -> None:
    global _thread_lock
    _thread_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_thread_lock)


@dataclass(slots=True)
class _State:
    """The content of the file; `opened` is 0 while the breaker is closed, `ends` 0 without one."""

    sent: int = 0
    next_slot: float = 0.0
    silent: int = 0
    errors: int = 0
    opened: float = 0.0
    probe_at: float = 0.0
    ends: float = 0.0
    reason: str = ""


class Throttle:
    """The limits that each request of a run must pass, in every process.

    `path` is the shared file, created by the first process that needs it; `rate` is in requests
    per second, `budget` in requests of the whole run (None: no limit). `time_budget` is in
    seconds from now; it begins with the first process and binds the others too. `breaker=False`
    is for callers that make the target fail on purpose. Safe for threads. Unpickled in another
    process of this machine, a throttle opens the file again.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: float | None,
        budget: int | None,
        breaker: bool = True,
        time_budget: float | None = None,
    ) -> None:
        self._path = path
        self._breaker = breaker
        self._rate = rate
        self._interval = SPACING / rate if rate else 0.0
        self._budget = budget
        self._time_budget = time_budget
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with _Locked(self._file):
            if os.fstat(self._file).st_size < _RECORD.size:
                self._write(_State(ends=real_time.monotonic() + time_budget if time_budget else 0))

    def acquire(self, deadline: float | None = None) -> None:
        """Wait until the request may be sent; it then counts as sent.

        Raises BudgetExhausted, TargetDown, or NotAsked when `deadline` (of
        `real_time.monotonic`) or the end of the time budget comes before the next free slot.
        A refused request does not count.
        """
        for seconds in self._waits(deadline):
            real_time.sleep(seconds)

    async def acquire_async(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Wait as `acquire` does, without blocking the event loop that `sleep` belongs to.

        A request whose wait is cancelled has counted as sent.
        """
        for seconds in self._waits(None):
            await sleep(seconds)

    def check_time(self) -> None:
        """Raise NotAsked when the time budget of the run is used up."""
        if self._time_budget:
            self._refuse_when_over(self._read(), real_time.monotonic())

    def record_result(self, ok: bool, transport_failure: bool = False, detail: str = "") -> None:
        """Record the result of a request for the breaker.

        `ok`: there was a response, and not a 5xx. `transport_failure`: there was no response.
        `detail` is shown in the reason, so it must not contain a secret (`"connect"`).
        """
        if not self._breaker or (ok and self._has_no_failures()):
            return
        with _Locked(self._file):
            state = self._read()
            if transport_failure:
                state.silent += 1
            elif ok:
                state.silent = state.errors = 0
                state.opened, state.reason = 0.0, ""
            else:
                state.silent = 0
                state.errors += 1
            if not state.opened and (state.silent >= SILENT_LIMIT or state.errors >= ERROR_LIMIT):
                state.opened = real_time.monotonic()
                state.probe_at = state.opened + PROBE_INTERVAL
                state.reason = _reason(state, detail)
            self._write(state)

    @property
    def sent(self) -> int:
        """Return the number of requests that all processes of the run were allowed to send."""
        with _Locked(self._file):
            return self._read().sent

    @property
    def down(self) -> str | None:
        """Return the reason why the breaker is open; None while it is closed."""
        with _Locked(self._file):
            state = self._read()
        return state.reason if state.opened else None

    def close(self) -> None:
        """Close the file; other processes keep theirs open."""
        if self._file >= 0:
            # Closing any descriptor of a file drops all locks that this process has on it.
            with _thread_lock:
                os.close(self._file)
                self._file = -1

    def __reduce__(self) -> Any:
        limits = (self._rate, self._budget, self._breaker, self._time_budget)
        return _reopened, (self._path, *limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _book_slot(self, deadline: float | None) -> tuple[float, bool]:
        """Count the request; return its slot (0: now), and True if it is a half-open probe."""
        with _Locked(self._file):
            state = self._read()
            if self._budget is not None and state.sent >= self._budget:
                raise BudgetExhausted(
                    f"not run: the run has sent {state.sent} requests, which is all of its "
                    f"request_budget of {self._budget}. Raise `request_budget` of the target, "
                    "or select fewer checks."
                )
            now = real_time.monotonic()
            self._refuse_when_over(state, now)
            probing = not self._breaker or (bool(state.opened) and now >= state.probe_at)
            if state.opened and not probing:
                raise _target_down(state)
            slot = self._next_slot(state, now, deadline)
            if probing:
                state.probe_at = now + PROBE_INTERVAL
            state.sent += 1
            self._write(state)
        return slot, probing

    def _waits(self, deadline: float | None) -> Iterator[float]:
        """Book a slot, and yield the seconds to sleep until the request may be sent."""
        slot, probing = self._book_slot(deadline)
        while slot:
            while (left := slot - real_time.monotonic()) > 0:
                yield min(left, BREAKER_CHECK_INTERVAL)
                if self.down:
                    break
            slot = self._confirm_slot(slot, deadline, probing)

    def _refuse_when_over(self, state: _State, at: float) -> None:
        """Raise NotAsked if the time budget is used up at the time `at`."""
        if self._breaker and state.ends and at >= state.ends:
            raise NotAsked(
                f"not run: the time_budget of {self._time_budget or 0:g} s is used up. Raise "
                "`time_budget` of the target, or select fewer checks."
            )

    def _confirm_slot(self, slot: float, deadline: float | None, probing: bool) -> float:
        """Return 0 to send now, or a new slot if this thread woke up too late for its own."""
        with _Locked(self._file):
            state = self._read()
            try:
                if state.opened and not probing:
                    raise _target_down(state)
                now = real_time.monotonic()
                if now < slot:
                    return slot
                new = self._next_slot(state, now, deadline) if now > slot + JITTER else 0.0
            except NotAsked:
                state.sent -= 1
                raise
            finally:
                self._write(state)
        return new

    def _next_slot(self, state: _State, now: float, deadline: float | None) -> float:
        """Return the next free slot and take it (GCRA without a burst); 0 if that is now."""
        if not self._interval:
            return 0.0
        slot = max(now, state.next_slot)
        if deadline is not None and slot > deadline:
            raise NotAsked(
                f"not run: at {self._rate:g} requests per second the next one may leave in "
                f"{slot - now:.1f} s, and the check has only {max(0.0, deadline - now):.1f} s "
                "left. Raise `rate` of the target, or select fewer checks."
            )
        self._refuse_when_over(state, slot)
        state.next_slot = slot + self._interval
        return slot if slot > now else 0.0

    def _has_no_failures(self) -> bool:
        """Return True if no failure is counted, so that a good response changes nothing.

        A single read needs no lock.
        """
        state = self._read()
        return not (state.silent or state.errors or state.opened)

    def _read(self) -> _State:
        sent, next_slot, silent, errors, opened, probe_at, ends, reason = _RECORD.unpack(
            os.pread(self._file, _RECORD.size, 0)
        )
        text = reason.rstrip(b"\0").decode(errors="ignore") if opened else ""
        return _State(sent, next_slot, silent, errors, opened, probe_at, ends, text)

    def _write(self, state: _State) -> None:
        record = _RECORD.pack(
            state.sent,
            state.next_slot,
            state.silent,
            state.errors,
            state.opened,
            state.probe_at,
            state.ends,
            state.reason.encode(),
        )
        os.pwrite(self._file, record, 0)


def _reopened(
    path: Path, rate: float | None, budget: int | None, breaker: bool, time_budget: float | None
) -> Throttle:
    return Throttle(path, rate=rate, budget=budget, breaker=breaker, time_budget=time_budget)


class _Locked:
    """A lock that gives this thread the file alone; the kernel frees it when a process dies."""

    __slots__ = ("_file", "_held")

    def __init__(self, file: int) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._held = _thread_lock
        self._held.acquire()
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        except BaseException:
            self._held.release()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        finally:
            self._held.release()


def _reason(state: _State, detail: str) -> str:
    if state.silent >= SILENT_LIMIT:
        cause = f" ({detail})" if detail else ""
        return f"{state.silent} requests in a row got no response{cause}"
    return f"{state.errors} responses in a row were 5xx"


def _target_down(state: _State) -> TargetDown:
    return TargetDown(
        f"not run: target down: {state.reason}. Only one request every {PROBE_INTERVAL:g} s is "
        "sent until it responds. Check that the target runs and is reachable from here, then "
        "run again."
    )
