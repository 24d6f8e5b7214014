"""The end of a service and of all its processes; as a script, after the run is killed.

    python -I -S reaper.py PARENT MARK < pipe

The run holds the write end of the pipe and first sends the service's process group. A run that
gets a SIGKILL cannot clean up, but the kernel closes its end of the pipe, and the script waits for
that. It uses little of the standard library and nothing else: it starts with every service.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable

MARK = "PRODCHECK_SERVICE"
"""Environment variable that all processes of a service inherit."""

GRACE_OF_A_DEAD_RUN = 0.6
"""Seconds between SIGTERM and SIGKILL after a kill, so that the service ends within 1 s."""

PARENT_CHECK_INTERVAL = 0.2
"""Seconds between checks of the parent, in case a fork of it still holds the pipe open."""


def members(group: int, mark: str) -> list[int]:
    """Return the process ids to signal, of processes that still run; zombies do not count.

    With /proc: the group, and all processes with our mark, because a daemon leaves its group.
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
                # The command's name, in parentheses, may itself contain blanks and parentheses.
                state, _parent, its_group = stat.read().rpartition(b")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if state not in b"ZX" and (int(its_group) == group or _has_mark(name, mark)):
            found.append(int(name))
    return found


def _has_mark(process: str, mark: str) -> bool:
    try:
        with open(f"/proc/{process}/environ", "rb") as environ:
            return f"{MARK}={mark}".encode() in environ.read().split(b"\0")
    except OSError:  # it has just ended, or belongs to somebody else
        return False


def end(group: int, mark: str, grace: float, poll: Callable[[], object] = lambda: None) -> bool:
    """Send SIGTERM, after `grace` seconds SIGKILL; return True when no process is left.

    `poll` is called in the meantime: the service's parent collects its exit status with it.
    """
    term, kill = time.monotonic() + grace, time.monotonic() + grace + 2
    for each in members(group, mark):
        _signal(each, signal.SIGTERM)
    while left := members(group, mark):
        poll()
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
    # A TERM or HUP to all processes of this user must not end the one that cleans up.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    group = b""
    while os.getppid() == parent:
        if select.select([0], [], [], PARENT_CHECK_INTERVAL)[0]:
            read = os.read(0, 64)
            if not read:
                break
            group += read
    # If the run was killed before it sent the group, the mark alone is used (-1 is not a group).
    end(int(group or -1), mark, GRACE_OF_A_DEAD_RUN)


if __name__ == "__main__":
    main()
