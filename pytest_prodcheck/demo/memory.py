"""The demo's memory: a dependency that may not answer, behind a circuit breaker.

Reading degrades to nothing while the breaker is open; writing goes on (a write-only mode).
"""

import re
import threading
import time
from collections.abc import Callable

from pytest_prodcheck.demo.storage import Row

FAILURES = 5
"""In a row, after which the breaker opens."""

COOL_DOWN = 0.5
"""Seconds until it lets one try through. A real service would wait a minute."""

PATIENCE = 0.02
"""Seconds that a memory which does not answer is waited for."""


class Breaker:
    """closed -> open after FAILURES in a row -> half-open after COOL_DOWN -> closed, or open."""

    def __init__(self, *, closes: bool) -> None:
        self._closes = closes
        self._failures = 0
        self._opened: float | None = None
        self._lock = threading.Lock()

    @property
    def state(self) -> str:
        with self._lock:
            if self._opened is None:
                return "closed"
            cool = time.monotonic() >= self._opened + COOL_DOWN
            return "half-open" if cool and self._closes else "open"

    def lets_through(self) -> bool:
        return self.state != "open"

    def observe(self, *, ok: bool) -> None:
        with self._lock:
            if ok:
                self._failures, self._opened = 0, None
                return
            self._failures += 1
            if self._failures >= FAILURES:
                self._opened = time.monotonic()


class Memory:
    """Finds what has words in common. `unplugged` is the service's own fault switch."""

    def __init__(self, *, closes: bool) -> None:
        self.unplugged = False
        self.breaker = Breaker(closes=closes)

    def query(self, text: str, rows: Callable[[], list[Row]]) -> list[Row]:
        """The rows that *text* brings to mind; none when the memory does not answer."""
        if not self.breaker.lets_through():
            return []
        if self.unplugged:
            time.sleep(PATIENCE)
            self.breaker.observe(ok=False)
            return []
        self.breaker.observe(ok=True)
        words = _words(text)
        return [row for row in rows() if words & _words(row["text"])]


def _words(text: str) -> set[str]:
    return {word.casefold() for word in re.findall(r"\w{3,}", text)}
