"""The place of the ready-made checks."""

from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parents[1]
SUITES = next(
    folder for folder in (_PACKAGE / "suites", _PACKAGE.parent / "suites") if folder.is_dir()
)
"""In a wheel the suites lie inside the package, in a checkout beside it."""


def is_builtin(item: pytest.Item) -> bool:
    """Return whether *item* is one of our checks, and not the project's."""
    return item.path.is_relative_to(SUITES)
