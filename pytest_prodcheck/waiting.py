"""Waiting loops with a time limit."""

import select
import time
from collections.abc import Callable


def until(check: Callable[[], str], seconds: float, pause: float = 0.25) -> str:
    """Call `check` until it finds nothing wrong, or time is up; return its last finding.

    `pause` is the time in seconds between two calls. It is called at least once.
    """
    deadline = time.monotonic() + seconds
    while (wrong := check()) and time.monotonic() < deadline:
        time.sleep(pause)
    return wrong


def readable(descriptor: int, seconds: float) -> bool:
    """Return True if there is something to read, or the other end is closed, within `seconds`.

    Unlike select(), poll() accepts any descriptor: a process may have more than 1,024 open files.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
