"""The machine's own clock and sleep, out of reach of tests that freeze or patch `time`.

freezegun replaces the clock functions in every loaded module, and a test may replace
`time.monotonic` or `time.sleep` themselves. A limiter on a clock that stands still waits for
ever, and an answer timed by it took 0 s. `clock_gettime` is replaced by neither freezegun nor
time-machine, and the attributes of a class are not searched by freezegun.
"""

import time


class _Real:
    clock_gettime = staticmethod(time.clock_gettime)
    sleep = staticmethod(time.sleep)
    CLOCK = time.CLOCK_MONOTONIC


def monotonic() -> float:
    """Return seconds of the system's monotonic clock: the same one in all its processes."""
    return _Real.clock_gettime(_Real.CLOCK)


def sleep(seconds: float) -> None:
    """Suspend this thread for at least `seconds`."""
    _Real.sleep(seconds)
