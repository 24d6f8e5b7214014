"""Figures that a check measures, apart from its outcome."""

from typing import Protocol


class Measure(Protocol):
    """`measure("queue.length", 3)`: a figure for the report and for `[[actions]]`.

    Raises ValueError for a value that is not finite.
    """

    def __call__(self, name: str, value: float, /) -> None: ...
