"""What the checks of the database work on: the connection, what is expected, and what is there."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_prodcheck.errors import CheckFailed, ProdcheckError
from pytest_prodcheck.session import parameters
from pytest_prodcheck.session.evidence import SEEN

if TYPE_CHECKING:
    from pytest_prodcheck.analysis.sql_schema.tables import Schema, Table
    from pytest_prodcheck.checks.database.connection import Database
    from pytest_prodcheck.checks.database.load import ConnectionsRun, QueryRun
    from pytest_prodcheck.checks.database.schema import TableRun
    from pytest_prodcheck.session.inspector import Inspector


class DatabaseChecks:
    """The live tables are read once in a run, and MetaData is imported once."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._settings = inspector.settings
        self._target = inspector.target
        self._work = inspector.work

    @property
    def statements(self) -> int:
        """How many this process has sent to the database."""
        return self.live.statements if "live" in self.__dict__ else 0

    @property
    def is_expected(self) -> bool:
        """Whether the configuration expects something of a database that this target names."""
        return self._settings.database is not None and self._target.database is not None

    @cached_property
    def live(self) -> Database:
        """Raises NotAsked when the target names none."""
        from pytest_prodcheck.checks.database.connection import Database

        return Database(self._target, self._inspector.guard.allow)

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Declared ones over those of the MetaData, which one process of the run imports."""
        from pytest_prodcheck.analysis.sql_schema.tables import Table, merged
        from pytest_prodcheck.checks.database.connection import dialect_of

        expected = self._settings.database
        assert expected
        if not expected.metadata:
            return expected.tables
        place, folder = expected.metadata, self._inspector.project

        def make() -> Any:
            from pytest_prodcheck.checks.database.metadata import load

            try:
                return msgspec.to_builtins(load(place, folder, dialect_of(self._target)))
            except ProdcheckError as error:
                return str(error)

        found = parameters.once(self._work / "metadata.json", make)
        if isinstance(found, str):
            self._inspector.plan.complain(found)
            return expected.tables
        return merged(msgspec.convert(found, tuple[Table, ...]), expected.tables)

    @cached_property
    def queries(self) -> Iterable[str]:
        """Names of the declared queries; one that does more than read ends the run."""
        from pytest_prodcheck.checks.database.statements import refused_queries

        expected = self._settings.database
        assert expected
        refused = parameters.once(
            self._work / "queries.json", lambda: refused_queries(expected.queries)
        )
        for name, why in refused.items():
            self._inspector.refusals.append(f"database.queries.{name}: {why}")
        return expected.queries

    @cached_property
    def schema(self) -> Schema | str:
        """The tables of the database, or why they cannot be had: read once for the whole run."""
        from pytest_prodcheck.analysis.sql_schema.tables import Schema

        def make() -> Any:
            from pytest_prodcheck.checks.database.tables import read

            names = [table.name for table in self.tables]
            try:
                with self.live.asked() as connection:
                    return msgspec.to_builtins(read(connection, names))
            except CheckFailed as failure:
                return str(failure)

        found = parameters.once(self._work / "schema.json", make)
        return found if isinstance(found, str) else msgspec.convert(found, Schema)

    def table(self, item: pytest.Item, table: Table) -> TableRun:
        from pytest_prodcheck.checks.database.schema import TableRun

        item.stash[SEEN].database = True
        wanted = [one.name for one in self.tables]
        return TableRun(table, lambda: self.schema, wanted)

    def connections(self, item: pytest.Item) -> ConnectionsRun:
        from pytest_prodcheck.checks.database.load import ConnectionsRun

        assert self._settings.database
        limit = self._settings.database.connections
        return ConnectionsRun(self.live, limit, self._inspector.measure_for(item))

    def query(self, item: pytest.Item, name: str) -> QueryRun:
        from pytest_prodcheck.checks.database.load import QueryRun

        expected = self._settings.database
        assert expected
        return QueryRun(
            self.live,
            name,
            expected.queries[name],
            expected.slow,
            self._inspector.measure_for(item),
        )
