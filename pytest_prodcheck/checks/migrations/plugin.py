"""Checks of pending migrations, rehearsed on a database that is made for it and dropped."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_prodcheck.checks.context import CONTEXT, RunContext, context_of

if TYPE_CHECKING:
    from pytest_prodcheck.checks.migrations.migration_check import MigrationCheck


@pytest.fixture
def migration(request: pytest.FixtureRequest) -> MigrationCheck:
    """Return one migration that the target does not have yet; a test runs once for each."""
    context = context_of(request)
    from pytest_prodcheck.checks.migrations.migration_check import MigrationCheck
    from pytest_prodcheck.checks.migrations.state import MigrationsState

    library = context.state(MigrationsState).library
    (found,) = (one for one in library.plan.migrations if one.name == request.param)
    return MigrationCheck(
        found,
        library,
        server=context.target.scratch,
        live=context.target.database,
        measure=partial(context.measure, request.node),
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (context := metafunc.config.stash.get(CONTEXT, None)) is None:
        return
    from pytest_prodcheck.checks.parameters import parametrize

    parametrize(metafunc, "migration", lambda: _pending(context, metafunc), indirect=True)


def _pending(context: RunContext, metafunc: pytest.Metafunc) -> Iterable[str]:
    from pytest_prodcheck.checks.migrations.state import MigrationsState
    from pytest_prodcheck.checks.parameters import is_wanted

    if context.settings.migrations is None or not is_wanted(metafunc):
        return []
    return context.state(MigrationsState).pending
