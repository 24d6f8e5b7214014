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

    from pytest_prodcheck.checks.database.load import ConnectionsCheck, QueryCheck
    from pytest_prodcheck.checks.database.schema import TableCheck
    from pytest_prodcheck.checks.database.state import DatabaseState


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Generator[Connection]:
    """Return a read-only SQLAlchemy connection to the target's database; rolled back at the end."""
    with _state(context_of(request)).live.connect() as connection:
        yield connection


@pytest.fixture
def database_table(request: pytest.FixtureRequest) -> TableCheck:
    """Return one expected table of the database; a test that asks for it runs once for each."""
    context = context_of(request)
    from pytest_prodcheck.checks.database.schema import TableCheck

    state = _state(context)
    context.add_evidence(request.node, TableEvidence())
    return TableCheck(request.param, lambda: state.schema, [one.name for one in state.tables])


@pytest.fixture
def database_connections(request: pytest.FixtureRequest) -> ConnectionsCheck:
    """Return the number of connections to the database, and their limit."""
    context = context_of(request)
    from pytest_prodcheck.checks.database.load import ConnectionsCheck

    assert context.settings.database
    limit = context.settings.database.connections
    return ConnectionsCheck(_state(context).live, limit, partial(context.measure, request.node))


@pytest.fixture
def database_query(request: pytest.FixtureRequest) -> QueryCheck:
    """Return one declared query; a test that asks for it runs once for each."""
    context = context_of(request)
    from pytest_prodcheck.checks.database.load import QueryCheck

    expected = context.settings.database
    assert expected
    return QueryCheck(
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
    from pytest_prodcheck.checks.parameters import parametrize

    parametrize(metafunc, "database_table", lambda: _tables(context, metafunc), indirect=True)
    parametrize(metafunc, "database_connections", lambda: _in_use(context), indirect=True)
    parametrize(metafunc, "database_query", lambda: _queries(context, metafunc), indirect=True)


def _is_expected(context: RunContext) -> bool:
    """Return whether the configuration expects something of a database that the target names."""
    return context.settings.database is not None and context.target.database is not None


def _tables(context: RunContext, metafunc: pytest.Metafunc) -> Iterable[Any]:
    from pytest_prodcheck.checks.parameters import is_wanted

    if not _is_expected(context) or not is_wanted(metafunc):
        return []
    return [pytest.param(table, id=table.name) for table in _state(context).tables]


def _in_use(context: RunContext) -> Iterable[Any]:
    """Return one where the server has connections to count: SQLite has none."""
    from pytest_prodcheck.checks.database.connection import dialect_of

    counted = _is_expected(context) and dialect_of(context.target) == "postgresql"
    return [pytest.param(None, id="in use")] if counted else []


def _queries(context: RunContext, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """Return each declared query; a run with one that writes does not begin."""
    from pytest_prodcheck.checks.parameters import is_wanted

    if not _is_expected(context) or not is_wanted(metafunc):
        return []
    return [pytest.param(name, id=name) for name in _state(context).queries]
