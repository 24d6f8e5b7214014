"""A lock between the processes of a run."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def process_lock(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock at *path*, a file that is made; `shared` ones may be held together."""
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with path.with_suffix(".gate").open("a") as gate, path.with_suffix(".turn").open("a") as own:
        # The gate makes the lock fair: whoever waits there cannot be overtaken.
        fcntl.flock(gate, how)
        fcntl.flock(own, how)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
