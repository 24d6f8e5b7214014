"""Hooks for what a kind of check needs of the plan of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_prodcheck.checks.context import RunContext


def pytest_prodcheck_prepare(context: RunContext) -> None:
    """Called in the process that decides, when all is configured and before other plugins are:
    no thread has been started yet, so that a fork is safe."""


def pytest_prodcheck_candidates(
    items: list[pytest.Item], counts: Callable[[pytest.Item], bool]
) -> None:
    """Called with all collected items before any is selected; may take some out.

    counts: whether an item is a permitted check of this run.
    """


@pytest.hookspec(firstresult=True)
def pytest_prodcheck_withheld(item: pytest.Item) -> str | None:
    """Return why *item* is not permitted on this target; "" when it is; None for another's."""


@pytest.hookspec(firstresult=True)
def pytest_prodcheck_order(item: pytest.Item) -> int | None:
    """Return how late *item* runs, 0 first; None for another's."""
