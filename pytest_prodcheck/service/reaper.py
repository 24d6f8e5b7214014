"""Ends a service and all it started; run as a script, it does so when the run is killed.

    python -I -S reaper.py PARENT MARK < pipe

The run holds the write end of the pipe and first sends the service's process group. Nothing
can tell a SIGKILLed run to clean up, but the kernel closes its end of the pipe, and that is
what the script waits for. Standard library only, and little of it: it starts with every service.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable

MARK = "PRODCHECK_SERVICE"
"""Environment variable that a service hands down to whatever it starts."""

GRACE_OF_A_DEAD_RUN = 0.6
"""Seconds between SIGTERM and SIGKILL when nobody waits: the service is gone within 1 s."""

LOOK = 0.2
"""Seconds between looks at the parent, in case a fork of it still holds the pipe open."""


def members(group: int, mark: str) -> list[int]:
    """Process ids to signal, of what still lives: zombies do not count.

    With /proc: the group, and whatever carries our mark, as a daemon leaves its group.
    Elsewhere: the group alone, as one negative id.
    """
    if not os.path.isdir("/proc/self"):
        try:
            os.killpg(group, 0)
        except OSError:
            return []
        return [-group]
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                # The command's name, in parentheses, may itself hold blanks and parentheses.
                state, _parent, its_group = stat.read().rpartition(b")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if state not in b"ZX" and (int(its_group) == group or _carries(name, mark)):
            found.append(int(name))
    return found


def _carries(process: str, mark: str) -> bool:
    try:
        with open(f"/proc/{process}/environ", "rb") as environ:
            return f"{MARK}={mark}".encode() in environ.read().split(b"\0")
    except OSError:  # it has just ended, or belongs to somebody else
        return False


def end(group: int, mark: str, grace: float, look: Callable[[], object] = lambda: None) -> bool:
    """SIGTERM, up to `grace` seconds, then SIGKILL; True when nothing of the service is left.

    `look` is called between looks: the service's parent collects its exit status there.
    """
    term, kill = time.monotonic() + grace, time.monotonic() + grace + 2
    for each in members(group, mark):
        _signal(each, signal.SIGTERM)
    while left := members(group, mark):
        look()
        if time.monotonic() > kill:
            return False
        if time.monotonic() > term:
            for each in left:
                _signal(each, signal.SIGKILL)
        time.sleep(0.01)
    return True


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except OSError:  # it ended by itself meanwhile
        return


def main() -> None:
    """Wait for the parent's end, then end the service."""
    parent, mark = int(sys.argv[1]), sys.argv[2]
    # A TERM or HUP for everything of this user must not take the one that cleans up first.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    told = b""
    while os.getppid() == parent:
        if select.select([0], [], [], LOOK)[0]:
            read = os.read(0, 64)
            if not read:
                break
            told += read
    # Killed before it could tell the group: then the mark alone has to do (-1 is no group).
    end(int(told or -1), mark, GRACE_OF_A_DEAD_RUN)


if __name__ == "__main__":
    main()
