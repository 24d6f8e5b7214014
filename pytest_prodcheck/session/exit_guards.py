"""Ways out of a run that would skip its end: signals, and `os._exit`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from pytest_prodcheck.verdict.judge import EXIT_BY_RULING

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Each of them ends a run as Ctrl-C does: teardowns run, the files are written."""


class ExitGuards:
    """While they stand, a signal ends the run in order, and `os._exit(0)` cannot end it with 0.

    Once `closing` is set, a signal no longer interrupts: `on_late_signal` gets its name.
    """

    def __init__(self, on_late_signal: Callable[[str], object]) -> None:
        self.closing = False
        self._on_late_signal = on_late_signal
        self._handlers: dict[int, Any] = {}
        self._exit = os._exit

    def install(self) -> None:
        """Signals can only be handled in the main thread; elsewhere `os._exit` alone is guarded."""
        main = os.getpid()

        def leave(status: int) -> NoReturn:
            if os.getpid() == main and status == 0:
                status = EXIT_BY_RULING["inconclusive"]
            self._exit(status)

        os._exit = leave
        if threading.current_thread() is threading.main_thread():
            for number in ENDING_SIGNALS:
                self._handlers[number] = signal.signal(number, self._end_by_signal)

    def remove(self) -> None:
        """Restore what was there before."""
        os._exit = self._exit
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _end_by_signal(self, number: int, _frame: object) -> None:
        name = signal.Signals(number).name
        if not self.closing:
            raise KeyboardInterrupt(name)
        self._on_late_signal(name)
