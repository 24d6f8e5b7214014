"""Checks of the target's database, which is only read."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prodcheck.checks.context import CONTEXT, RunContext, context_of
from pytest_prodcheck.checks.evidence import CheckEvidence

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pytest_prodcheck.checks.database.load import ConnectionsRun, QueryRun
    from pytest_prodcheck.checks.database.schema import TableRun
    from pytest_prodcheck.checks.database.state import DatabaseState


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Generator[Connection]:
    """A read-only SQLAlchemy connection to the target's database; rolled back at the end."""
    with _state(context_of(request)).live.connect() as connection:
        yield connection


@pytest.fixture
def database_table(request: pytest.FixtureRequest) -> TableRun:
    """One expected table of the database; a test that asks for it runs once for each."""
    context = context_of(request)
    from pytest_prodcheck.checks.database.schema import TableRun

    state = _state(context)
    context.add_evidence(request.node, TableEvidence())
    return TableRun(request.param, lambda: state.schema, [one.name for one in state.tables])


@pytest.fixture
def database_connections(request: pytest.FixtureRequest) -> ConnectionsRun:
    """The connections to the database against their limit."""
    context = context_of(request)
    from pytest_prodcheck.checks.database.load import ConnectionsRun

    assert context.settings.database
    limit = context.settings.database.connections
    return ConnectionsRun(_state(context).live, limit, partial(context.measure, request.node))


@pytest.fixture
def database_query(request: pytest.FixtureRequest) -> QueryRun:
    """One declared query; a test that asks for it runs once for each."""
    context = context_of(request)
    from pytest_prodcheck.checks.database.load import QueryRun

    expected = context.settings.database
    assert expected
    return QueryRun(
        _state(context).live,
        request.param,
        expected.queries[request.param],
        expected.slow,
        partial(context.measure, request.node),
    )


class TableEvidence(CheckEvidence):
    """The live tables, which one process reads for the whole run."""

    asks_the_target = True


def _state(context: RunContext) -> DatabaseState:
    from pytest_prodcheck.checks.database.state import DatabaseState

    return context.state(DatabaseState)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (context := metafunc.config.stash.get(CONTEXT, None)) is None:
        return
    from pytest_prodcheck.checks.parameters import is_wanted, parametrize

    if context.settings.database is None or context.target.database is None:
        expected = connections = False
    else:
        expected, connections = is_wanted(metafunc), _counts_connections(context)

    def tables() -> Iterable[Any]:
        found = _state(context).tables if expected else ()
        return [pytest.param(table, id=table.name) for table in found]

    def queries() -> Iterable[Any]:
        """A run with one that writes does not begin."""
        found = _state(context).queries if expected else ()
        return [pytest.param(name, id=name) for name in found]

    in_use = [pytest.param(None, id="in use")] if connections else []
    parametrize(metafunc, "database_table", tables, indirect=True)
    parametrize(metafunc, "database_connections", lambda: in_use, indirect=True)
    parametrize(metafunc, "database_query", queries, indirect=True)


def _counts_connections(context: RunContext) -> bool:
    """Return whether the server has connections to count: SQLite has none."""
    from pytest_prodcheck.checks.database.connection import dialect_of

    dialect: str = dialect_of(context.target)
    return dialect == "postgresql"
