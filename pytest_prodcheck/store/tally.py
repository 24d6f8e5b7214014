"""The count of a run's exchanges, shared by all of its processes."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_prodcheck.model import Exchange, Record
from pytest_prodcheck.store.traffic import Traffic


class Measured(Record):
    """One exchange as the limits see it; status None: there was no response."""

    status: int | None
    elapsed_ms: float

    @property
    def failed(self) -> bool:
        """Return True if there was no response, or a 5xx."""
        return self.status is None or self.status >= 500

    @property
    def refused(self) -> bool:
        """Return True for a 4xx, whose speed says nothing about the service."""
        return self.status is not None and 400 <= self.status < 500


class Tally:
    """The exchanges of all processes of a run, counted in one shared file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, exchanges: Iterable[Exchange], *, generated: bool = False) -> None:
        """Count these exchanges, except those that were withheld.

        `generated`: they are cases of the contract suite, to which no limit applies.
        """
        mark = "g" if generated else "-"
        lines = [
            f"\n{exchange.status or 0} {exchange.elapsed_ms:.3f} {mark}\n"
            for exchange in exchanges
            if exchange.kind != "withheld"
        ]
        if lines:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = os.open(self._path, flags, 0o600)
            # A single write, so that other processes cannot write in between.
            try:
                os.write(descriptor, "".join(lines).encode())
            finally:
                os.close(descriptor)

    def measured(self) -> list[Measured]:
        """Return every exchange so far to which limits apply, in the order of counting."""
        return [one for one, generated in self._read() if not generated]

    def traffic(self) -> Traffic:
        """Return the totals of all exchanges of the run, generated ones too."""
        traffic = Traffic()
        for one, _ in self._read():
            traffic.count(one.elapsed_ms if one.status is not None else None, one.failed)
        return traffic

    def _read(self) -> Iterator[tuple[Measured, bool]]:
        with contextlib.suppress(FileNotFoundError), self._path.open() as lines:
            for line in lines:
                # A process that was killed while writing leaves half a line.
                with contextlib.suppress(ValueError):
                    status, elapsed, mark = line.split()
                    one = Measured(status=int(status) or None, elapsed_ms=float(elapsed))
                    yield one, mark == "g"
