"""The migrations that the target does not have yet, found out by one process of a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.errors import NotAsked

if TYPE_CHECKING:
    from pytest_prodcheck.checks.context import RunContext
    from pytest_prodcheck.checks.migrations.migration_check import Library


class MigrationsState:
    """For a run whose configuration has migrations."""

    def __init__(self, context: RunContext) -> None:
        assert context.settings.migrations
        self._context = context
        self._migrations = context.settings.migrations

    @cached_property
    def _standing(self) -> dict[str, Any]:
        """What is pending; `trouble` when it cannot be known."""
        from pytest_prodcheck.checks.migrations.migration_check import standing

        def find() -> dict[str, Any]:
            try:
                return dict(standing(self._migrations, self._context.target.database))
            except NotAsked as error:
                return {"trouble": str(error).removeprefix("not run: ")}

        found: dict[str, Any] = self._context.workspace.once("migrations.json", find)
        return found

    @property
    def pending(self) -> Sequence[str]:
        """The names of pending migrations, in order."""
        if trouble := self._standing.get("trouble"):
            self._context.report_problem(f"no migration could be checked: {trouble}")
            return []
        names: list[str] = self._standing["pending"]
        return names

    @cached_property
    def library(self) -> Library:
        from pytest_prodcheck.checks.migrations.migration_check import Library, plan

        return Library(plan(self._migrations, self._standing))
