"""A limit for work that may never come back by itself."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def time_limit(seconds: float, on_timeout: Callable[[], None]) -> Iterator[None]:
    """Call *on_timeout* inside the block after *seconds*; it should raise.

    By a timer of the process, which only the main thread has: elsewhere time is not limited.
    """
    if not _has_timer():
        yield
        return

    def over(_number: int, _frame: object) -> None:
        on_timeout()

    handler = signal.signal(signal.SIGALRM, over)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


def pause_time_limit() -> Callable[[], None]:
    """Stop the timer of `time_limit`; return a function that lets it go on."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0) if _has_timer() else (0.0, 0.0)

    def go_on() -> None:
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)

    return go_on


def _has_timer() -> bool:
    return threading.current_thread() is threading.main_thread()
