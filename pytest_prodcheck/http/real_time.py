"""The machine's clock and sleep, unaffected by tests that freeze or patch `time`.

freezegun replaces the clock functions in every loaded module, and a test may replace
`time.monotonic` or `time.sleep` itself. With a stopped clock, a limiter would wait for ever and
every response would seem to take 0 s. Neither freezegun nor time-machine replaces
`clock_gettime`, and freezegun does not search the attributes of a class.
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
