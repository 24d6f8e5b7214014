"""Imports that pytest leaves alone.

Its rewriting of assertions takes in every package with a plugin, Schemathesis and Hypothesis as a
whole, though they hold no test: two seconds in each process of a fresh environment, and a quarter
of one later.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PACKAGES = frozenset(("hypothesis", "pytest_prodcheck", "schemathesis"))

SUITES = "pytest_prodcheck.suites"
"""These are tests."""


class PlainFinder:
    """Finds what is in PACKAGES as Python itself does."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] not in PACKAGES or name.startswith(SUITES):
            return None
        return PathFinder.find_spec(name, path, target)


def import_plainly() -> Callable[[], None]:
    """From now on, until what is returned is called."""
    finder = PlainFinder()

    def end() -> None:
        if finder in sys.meta_path:  # pytester, for one, puts back an older list
            sys.meta_path.remove(finder)

    sys.meta_path.insert(0, finder)
    return end
