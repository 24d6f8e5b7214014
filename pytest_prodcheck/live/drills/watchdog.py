"""Undoes a drill when the run that made it was killed.

    python -m pytest_prodcheck.live.drills.watchdog PARENT JOURNAL LEASE_PATH LEASE_FILE < pipe

The run holds the write end of the pipe. Nothing can tell a SIGKILLed run to go back, but the kernel
closes its end, and that is what this process waits for. It lives in a session of its own: what
ends the run's terminal or process group does not end it.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from pytest_prodcheck.live.drills.lease import Lease

LOOK = 0.2
"""Seconds between looks at the parent, in case a fork of it still holds the pipe open."""


class Watchdog:
    """The run's handle on it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @classmethod
    def start(cls, journal: Path, root: Path, lease: Lease) -> Self:
        """Returns at once: it need not be ready to notice that the pipe is closed."""
        arguments = [str(os.getpid()), str(journal), str(lease.path), str(lease.file)]
        process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-P", "-m", "pytest_prodcheck.live.drills.watchdog", *arguments],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lease.file,),
            start_new_session=True,
        )
        return cls(process)

    def dismiss(self, seconds: float) -> bool:
        """The drill is over; if its journal says otherwise, the watchdog gets so long to end it.
        Whether it has ended."""
        assert self._process.stdin
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            return True
        return False


def main() -> None:
    parent, journal = int(sys.argv[1]), Path(sys.argv[2])
    lease = Lease(Path(sys.argv[3]), int(sys.argv[4]))
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)

    from pytest_prodcheck.live.drills.undoing import finish
    from pytest_prodcheck.record.undo import rehearsals

    while os.getppid() == parent:
        if select.select([0], [], [], LOOK)[0] and not os.read(0, 64):
            break
    for rehearsal in rehearsals(journal).values():
        # What the run itself gave up on stays for `prodcheck drill restore`.
        if rehearsal.leftovers and not rehearsal.left:
            finish(journal, rehearsal, by="the watchdog")
    if os.getppid() != parent:
        lease.release()


if __name__ == "__main__":
    main()
