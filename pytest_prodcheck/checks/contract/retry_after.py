"""429 and Retry-After, obeyed by all processes of a run."""

import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path

from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.http import real_time
from pytest_prodcheck.store.process_lock import process_lock

DEFAULT_PAUSE = 1.0
"""Seconds to wait after a 429 that does not say how long, or says it in words without meaning."""


class RetryAfterGate:
    """The time before which the target wants no request; one small file for the whole run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, headers: Mapping[str, Sequence[str]], deadline: float) -> None:
        """Record a 429, and wait. Raises NotAsked when it asks for more time than there is.

        *deadline* is of `real_time.monotonic`, which is the same for all processes of a machine.
        """
        seconds = retry_after("".join(headers.get("retry-after", ())[:1]))
        until = real_time.monotonic() + seconds
        with process_lock(self._path):
            part = self._path.with_suffix(".part")
            part.write_text(f"{max(until, self._until()):.3f}")
            part.replace(self._path)
        self.wait(deadline)

    def wait(self, deadline: float) -> None:
        """Return when requests are welcome. Raises NotAsked when that is after *deadline*."""
        while (left := (until := self._until()) - real_time.monotonic()) > 0:
            if until > deadline:
                raise NotAsked(
                    f"not run: the target answered 429 and asked for {left:.0f} s without "
                    "requests. Lower `rate` of the target, and run again then."
                )
            real_time.sleep(left)  # meanwhile another process may be asked for more

    def _until(self) -> float:
        try:
            return float(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return 0.0


def retry_after(text: str) -> float:
    """Return the seconds that a Retry-After asks for: a number, or a date (RFC 9110, 10.2.3)."""
    text = text.strip()
    if text.isdecimal():
        return float(text)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return DEFAULT_PAUSE
    return max(seconds, DEFAULT_PAUSE)
