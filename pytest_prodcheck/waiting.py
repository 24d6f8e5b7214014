"""Waiting for something, with a limit."""

import select
import time
from collections.abc import Callable


def until(look: Callable[[], str], seconds: float, pause: float = 0.25) -> str:
    """Look until nothing is wrong, or time is up; return what was last found wrong.

    `pause` is the time in seconds between two looks. At least one look is taken.
    """
    deadline = time.monotonic() + seconds
    while (wrong := look()) and time.monotonic() < deadline:
        time.sleep(pause)
    return wrong


def readable(descriptor: int, seconds: float) -> bool:
    """Whether there is something to read, or the other end is closed, within `seconds`.

    Unlike select(), poll() takes any descriptor: a process may have more than 1,024 files open.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
