"""A process of its own that sends the declared probes, so that pytest keeps its processor.

It is forked before tests are collected, loads what a request needs meanwhile, and waits to be
told which probes were selected. From then on it is what any process of a run can be: the one
that holds the lock and writes results (see `checks.probes.prober`). Where it cannot be forked, or
when it dies, threads of the process that runs the tests send.
"""

import contextlib
import fcntl
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn, Self

import msgspec

from pytest_prodcheck.checks.probes.prober import LOCK

Send = Callable[[int, Callable[[], Sequence[str]]], None]
"""Given the lock's descriptor, and a function that waits for the ids of the selected probes."""

IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""They reach a whole process group; the process that runs the tests decides what they mean."""


class Sender:
    """The handle on that process: `start` sends it the work, `close` ends it."""

    def __init__(self, process: int, orders: int) -> None:
        self._process = process
        self._orders = orders

    @classmethod
    def fork(cls, work: Path, send: Send) -> Self | None:
        """Let a child of this process run *send*; None where a fork is not safe.

        Only one thread survives a fork, and what others had locked stays locked: with other
        threads about there is none, nor on macOS, whose own libraries do not survive one.
        """
        if sys.platform != "linux" or threading.active_count() > 1:
            return None
        lock = os.open(work / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Held by the child alone as soon as this process has closed its own descriptor.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            receiving, orders = os.pipe()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # threads not of Python
                process = os.fork()
            if not process:
                os.close(orders)
                _live(lock, receiving, send)
        except OSError:
            return None
        finally:
            os.close(lock)
        os.close(receiving)
        return cls(process, orders)

    def start(self, ids: Sequence[str]) -> None:
        """Tell it which probes to send; a child that died meanwhile needs no telling."""
        with contextlib.suppress(BrokenPipeError), os.fdopen(os.dup(self._orders), "wb") as pipe:
            pipe.write(msgspec.json.encode(ids) + b"\n")

    def close(self) -> None:
        """End it, whatever it is doing."""
        os.close(self._orders)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)


def _live(lock: int, receiving: int, send: Send) -> NoReturn:
    """Run the child until the parent closes the pipe; nothing of pytest's own ending may happen in
    it."""
    status = 1
    try:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with os.fdopen(receiving, "rb") as orders:

            def selected() -> list[str]:
                ids: list[str] = msgspec.json.decode(orders.readline() or b"[]")
                threading.Thread(target=_end_with_the_parent, args=(orders,), daemon=True).start()
                return ids

            send(lock, selected)
        status = 0
    finally:
        os._exit(status)


def _end_with_the_parent(orders: BinaryIO) -> None:
    orders.read()
    os._exit(1)
