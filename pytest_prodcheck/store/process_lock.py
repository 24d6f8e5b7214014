"""Taking turns: what one process of a run does while no other does."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Have *path* (a file to be made) to oneself; with `shared`, together with all who share."""
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with path.with_suffix(".gate").open("a") as gate, path.with_suffix(".turn").open("a") as own:
        # Who waits at the gate for its turn is overtaken by nobody.
        fcntl.flock(gate, how)
        fcntl.flock(own, how)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
