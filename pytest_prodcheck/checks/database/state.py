"""The connection to the database of the target, what is expected there, and what is there."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_prodcheck.errors import CheckFailed, ProdcheckError

if TYPE_CHECKING:
    from pytest_prodcheck.analysis.sql_schema.tables import Schema, Table
    from pytest_prodcheck.checks.context import RunContext
    from pytest_prodcheck.checks.database.connection import Database


class DatabaseState:
    """The live tables are read once in a run, and MetaData is imported once."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._settings = context.settings
        self._target = context.target

    @cached_property
    def live(self) -> Database:
        """Raises NotAsked when the target names none."""
        from pytest_prodcheck.checks.database.connection import Database

        database = Database(self._target, self._context.guard.allow)
        self._context.question_counters.append(lambda: database.statements)
        return database

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Declared ones over those of the MetaData, which one process of the run imports."""
        from pytest_prodcheck.analysis.sql_schema.tables import Table, merged
        from pytest_prodcheck.checks.database.connection import dialect_of

        expected = self._settings.database
        assert expected
        if not expected.metadata:
            return expected.tables
        place, folder = expected.metadata, self._context.project

        def make() -> Any:
            from pytest_prodcheck.checks.database.metadata import load

            try:
                return msgspec.to_builtins(load(place, folder, dialect_of(self._target)))
            except ProdcheckError as error:
                return str(error)

        found = self._context.workspace.once("metadata.json", make)
        if isinstance(found, str):
            self._context.report_problem(found)
            return expected.tables
        return merged(msgspec.convert(found, tuple[Table, ...]), expected.tables)

    @cached_property
    def queries(self) -> Iterable[str]:
        """Names of the declared queries; one that does more than read ends the run."""
        from pytest_prodcheck.checks.database.statements import refused_queries

        expected = self._settings.database
        assert expected
        refused = self._context.workspace.once(
            "queries.json", lambda: refused_queries(expected.queries)
        )
        for name, why in refused.items():
            self._context.refusals.append(f"database.queries.{name}: {why}")
        return expected.queries

    @cached_property
    def schema(self) -> Schema | str:
        """The tables of the database, or why they cannot be read: once for the whole run."""
        from pytest_prodcheck.analysis.sql_schema.tables import Schema

        def make() -> Any:
            from pytest_prodcheck.checks.database.tables import read

            names = [table.name for table in self.tables]
            try:
                with self.live.asked() as connection:
                    return msgspec.to_builtins(read(connection, names))
            except CheckFailed as failure:
                return str(failure)

        found = self._context.workspace.once("schema.json", make)
        return found if isinstance(found, str) else msgspec.convert(found, Schema)
