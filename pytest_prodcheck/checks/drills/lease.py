"""One drill on a target at a time, as far as this machine goes.

A lock file, held by the run and by its watchdog: while either lives, nobody else begins.
"""

import fcntl
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self


class Lease:
    """Held from `take` to `release`; `file` is the descriptor that a child may inherit."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self.file = file

    @classmethod
    def take(cls, base_url: str) -> Self | None:
        """Return the lease of that target; None if somebody has it."""
        name = hashlib.sha256(base_url.encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"prodcheck-drill-{os.getuid()}-{name}"
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return None
            with suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(file).st_ino:
                    return cls(path, file)
            os.close(file)  # somebody removed it between our opening and our locking

    def release(self, *, still_held: bool = False) -> None:
        """Remove the file, then release the lock; a file that somebody else made since stays.

        `still_held`: the watchdog has it too, and leaves nothing behind when it ends.
        """
        with suppress(FileNotFoundError):
            if not still_held and os.stat(self.path).st_ino == os.fstat(self.file).st_ino:
                self.path.unlink()
        os.close(self.file)
