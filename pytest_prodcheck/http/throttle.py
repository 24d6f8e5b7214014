"""Rate, budgets and circuit breaker of a run: one small file that all its processes share.

The file is one fixed-size record, changed only under a lock, so the limits hold for all workers
together. Its times are of `real_time.monotonic`, which is the same for all processes of a machine.
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
"""Requests in a row without any answer that open the breaker (the project's specification)."""

ERROR_LIMIT = 10
"""5xx answers in a row that open it (the project's specification; twice Envoy's default of 5)."""

PROBE_INTERVAL = 5.0
"""Seconds between two half-open probes (Hystrix: sleepWindowInMilliseconds, 5,000)."""

SPACING = 1.02
"""Two requests are this much further apart than `rate` says: room for JITTER in any second."""

JITTER = 0.01
"""Seconds a request may start after its slot; later ones take a new slot, lest they bunch."""

LOOK = 0.25
"""Seconds between two looks at the breaker while a request waits for its slot."""

_RECORD = struct.Struct("=QdIIddd128s")

# fcntl locks are held by a process, not by a thread: threads need one of their own besides.
_threads = threading.Lock()


def _fresh_lock() -> None:
    global _threads
    _threads = threading.Lock()


os.register_at_fork(after_in_child=_fresh_lock)


@dataclass(slots=True)
class _State:
    """What the file holds. `opened` is 0 while the breaker is closed, `ends` 0 without an end."""

    sent: int = 0
    next_slot: float = 0.0
    silent: int = 0
    errors: int = 0
    opened: float = 0.0
    probe_at: float = 0.0
    ends: float = 0.0
    reason: str = ""


class Chain:
    """What one request of a run must pass, in whichever process it is made.

    `path` is the shared file, made by the first process that comes; `rate` is in requests per
    second, `budget` in requests of the whole run (None: no limit). `time_budget` is in seconds
    from now; it begins with the first process and binds the others too. `breaker=False` is for
    who makes the target fail on purpose. Safe for threads. Pickled into another process of this
    machine, a chain arrives there open.
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

    def admit(self, deadline: float | None = None) -> None:
        """Return when the request may leave; it then counts as sent.

        Raises BudgetExhausted, TargetDown, or NotAsked when `deadline` (of
        `real_time.monotonic`) or the end of the time budget comes before the next free slot.
        A refused request counts for nothing.
        """
        for seconds in self._waits(deadline):
            real_time.sleep(seconds)

    async def admit_async(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Do the same as `admit` without blocking the event loop that `sleep` belongs to.

        A wait that is cancelled has counted as sent.
        """
        for seconds in self._waits(None):
            await sleep(seconds)

    def check_time(self) -> None:
        """Raise NotAsked when the time budget of the run is used up."""
        if self._time_budget:
            self._refuse_when_over(self._read(), real_time.monotonic())

    def observe(self, ok: bool, transport_failure: bool = False, detail: str = "") -> None:
        """What came of an admitted request. `ok`: it was answered, and not with a 5xx.

        `transport_failure`: nothing answered. `detail` is shown in the reason, so it must hold
        nothing secret (`"connect"`).
        """
        if not self._breaker or (ok and self._untroubled()):
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
        """Requests that all processes of the run have been admitted to send."""
        with _Locked(self._file):
            return self._read().sent

    @property
    def down(self) -> str | None:
        """Why the breaker is open; None while it is closed."""
        with _Locked(self._file):
            state = self._read()
        return state.reason if state.opened else None

    def close(self) -> None:
        """Let go of the file; other processes keep theirs."""
        if self._file >= 0:
            # Closing any descriptor of a file drops all locks that this process has on it.
            with _threads:
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

    def _book(self, deadline: float | None) -> tuple[float, bool]:
        """Count the request, and give its slot (0: now) and whether it is a half-open probe."""
        with _Locked(self._file):
            state = self._read()
            if self._budget is not None and state.sent >= self._budget:
                raise BudgetExhausted(
                    f"not run: the run has sent {state.sent} requests, all of its "
                    f"request_budget of {self._budget}. Raise `request_budget` of the target, "
                    "or select fewer checks."
                )
            now = real_time.monotonic()
            self._refuse_when_over(state, now)
            probing = not self._breaker or (bool(state.opened) and now >= state.probe_at)
            if state.opened and not probing:
                raise _target_down(state)
            slot = self._slot(state, now, deadline)
            if probing:
                state.probe_at = now + PROBE_INTERVAL
            state.sent += 1
            self._write(state)
        return slot, probing

    def _waits(self, deadline: float | None) -> Iterator[float]:
        """Book a slot, and yield seconds to sleep until it has come; then the request may leave."""
        slot, probing = self._book(deadline)
        while slot:
            while (left := slot - real_time.monotonic()) > 0:
                yield min(left, LOOK)
                if self.down:
                    break
            slot = self._take(slot, deadline, probing)

    def _refuse_when_over(self, state: _State, at: float) -> None:
        if self._breaker and state.ends and at >= state.ends:
            raise NotAsked(
                f"not run: the time_budget of {self._time_budget or 0:g} s is used up. Raise "
                "`time_budget` of the target, or select fewer checks."
            )

    def _take(self, slot: float, deadline: float | None, probing: bool) -> float:
        """Leave now (0), or with a new slot if this thread woke up too late for its own."""
        with _Locked(self._file):
            state = self._read()
            try:
                if state.opened and not probing:
                    raise _target_down(state)
                now = real_time.monotonic()
                if now < slot:
                    return slot
                new = self._slot(state, now, deadline) if now > slot + JITTER else 0.0
            except NotAsked:
                state.sent -= 1
                raise
            finally:
                self._write(state)
        return new

    def _slot(self, state: _State, now: float, deadline: float | None) -> float:
        """Take the next free slot (GCRA without a burst); 0 if that is now."""
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

    def _untroubled(self) -> bool:
        """No failure is counted, so a good answer changes nothing. One read needs no lock."""
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
) -> Chain:
    return Chain(path, rate=rate, budget=budget, breaker=breaker, time_budget=time_budget)


class _Locked:
    """The file is this thread's alone; the kernel lets go when a process dies."""

    __slots__ = ("_file", "_held")

    def __init__(self, file: int) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._held = _threads
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
        return f"{state.silent} requests in a row got no answer{cause}"
    return f"{state.errors} answers in a row were 5xx"


def _target_down(state: _State) -> TargetDown:
    return TargetDown(
        f"not run: target down: {state.reason}. Only one probe every {PROBE_INTERVAL:g} s is "
        "sent until it answers. See whether the target runs and is reachable from here, then "
        "run again."
    )
