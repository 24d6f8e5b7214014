"""Undoes a drill when the run that made it was killed.

    python -m pytest_prodcheck.checks.drills.watchdog PARENT JOURNAL LEASE_PATH LEASE READY < pipe

The run holds the write end of the pipe. A SIGKILLed run cannot undo anything, but the kernel
closes its end, and that is what this process waits for. It lives in a session of its own: what
ends the run's terminal or process group does not end it.

Through the pipe come, before anything is changed, the drill and its target as they are configured
(`checks.drills.kept`), and then each step of the drill. So it undoes what was begun, whatever
becomes of report, configuration and project meanwhile.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from pytest_prodcheck.checks.drills.kept import Kept, warm_up
from pytest_prodcheck.checks.drills.lease import Lease
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.waiting import readable

MODULE = "pytest_prodcheck.checks.drills.watchdog"
"""This one, also where it runs as `__main__`."""

LOOK = 0.2
"""Seconds between looks at the parent, in case a fork of it still holds the pipe open."""

START = 60.0
"""Seconds that it may take to start; a second on an idle machine."""


class Watchdog:
    """The run's handle on it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @classmethod
    def start(cls, journal: Path, lease: Lease, kept: Kept) -> Self:
        """Return when it has all it needs in memory. Raises NotAsked when it does not start."""
        ready, signalled = os.pipe()
        with os.fdopen(ready, "rb"), os.fdopen(signalled, "wb") as other_end:
            arguments = [os.getpid(), journal, lease.path, lease.file, signalled]
            process = subprocess.Popen(  # noqa: S603 - this very interpreter
                [sys.executable, "-P", "-m", MODULE, *map(str, arguments)],
                cwd=kept.root,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lease.file, signalled),
                start_new_session=True,
            )
            other_end.close()
            watchdog = cls(process)
            packed = kept.packed()
            watchdog.tell(len(packed).to_bytes(8) + packed)
            if not readable(ready, START) or not os.read(ready, 1):
                process.kill()
                watchdog.dismiss(START)
                raise NotAsked("not run: the watchdog that would undo this drill did not start")
        return watchdog

    def tell(self, line: bytes) -> None:
        """Send it a step. If it is gone, the drill goes on and is undone by the run itself."""
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def dismiss(self, seconds: float) -> bool:
        """Close the pipe; the watchdog gets so many seconds to end what the drill's steps left
        open.

        Returns whether it has ended.
        """
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            return True
        return False


def main() -> None:
    parent, journal = int(sys.argv[1]), Path(sys.argv[2])
    lease = Lease(Path(sys.argv[3]), int(sys.argv[4]))
    ready = int(sys.argv[5])
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)

    from pytest_prodcheck.checks.drills.undoing import undo
    from pytest_prodcheck.service.standalone import connected
    from pytest_prodcheck.store.undo_journal import UndoJournal

    kept = Kept.unpacked(_read(int.from_bytes(_read(8))))
    with connected(kept.settings) as there:
        site = kept.site(there)
        warm_up(site)
        steps = UndoJournal(journal, kept.mark, there.clean, spare=True)
        os.write(ready, b".")
        os.close(ready)
        for lines in _until_the_run_ends(parent):
            steps.take(lines)
        # What the run itself gave up on stays for `prodcheck drill restore`.
        if steps.rehearsal.leftovers and not steps.rehearsal.left:
            undo(kept.drill, site, steps, by="the watchdog")
        if os.getppid() != parent:
            lease.release()


def _until_the_run_ends(parent: int) -> Iterator[bytes]:
    """Yield what comes through the pipe until its other end is closed, or the parent is gone."""
    while True:
        gone = os.getppid() != parent
        if readable(0, 0 if gone else LOOK):
            if not (came := os.read(0, 65536)):
                return
            yield came
        elif gone:
            return


def _read(size: int) -> bytes:
    """Return exactly so many bytes of the pipe. Raises EOFError when it ends before."""
    read = b""
    while len(read) < size:
        if not (came := os.read(0, size - len(read))):
            raise EOFError
        read += came
    return read


if __name__ == "__main__":
    main()
