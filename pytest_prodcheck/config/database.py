"""`[database]`: the code's expectations of the target's database, and their schema file."""

import os
from collections.abc import Callable
from typing import TypeVar

from msgspec import UNSET

from pytest_prodcheck.analysis.sql_schema import sql
from pytest_prodcheck.analysis.sql_schema.tables import RowSecurity, Table
from pytest_prodcheck.config.config_file import ConfigFile, fitted, parse
from pytest_prodcheck.config.reader import Reader, written_or
from pytest_prodcheck.config.settings import Database
from pytest_prodcheck.config.tables import DatabaseTable, SchemaContents, SchemaTable, Tables
from pytest_prodcheck.config.validation import Keys

T = TypeVar("T")

_SECURITY: dict[bool | str, RowSecurity] = {True: "on", False: "off", "forced": "forced"}


def database(reader: Reader, table: DatabaseTable) -> Database:
    """Return the expectations; raises UsageError for invalid SQL, and for a table in two places."""
    keys: Keys = ("database", "tables")
    tables = _tables(reader.file, written_or(table.tables, {}), keys)
    if table.schema is not UNSET:
        path = reader.beside(table.schema, ("database", "schema"))
        file, data = parse(path, os.path.join(os.path.dirname(reader.file.label), table.schema))
        recorded = _tables(file, fitted(file, data, SchemaContents).tables, ("tables",))
        for name in tables.keys() & recorded.keys():
            raise reader.error((*keys, name), f"is in {file.label} too; keep one of the two")
        tables = recorded | tables
    return Database(
        tables=tuple(tables.values()),
        metadata=written_or(table.metadata, None),
        connections=written_or(table.connections, Database().connections),
        slow=float(written_or(table.slow, Database().slow)),
        queries=written_or(table.queries, {}),
    )


def _tables(file: ConfigFile, tables: Tables, keys: Keys) -> dict[str, Table]:
    return {name: _table(file, name, table, (*keys, name)) for name, table in tables.items()}


def _table(file: ConfigFile, name: str, table: SchemaTable, keys: Keys) -> Table:
    def read(make: Callable[..., T], *words: str, at: Keys) -> T:
        try:
            return make(*words)
        except ValueError as error:
            raise file.error((*keys, *at), str(error)) from None

    def each(key: str, texts: list[str], make: Callable[[str], T]) -> tuple[T, ...]:
        return tuple(read(make, text, at=(key, i)) for i, text in enumerate(texts))

    def named(key: str, texts: dict[str, str], make: Callable[[str, str], T]) -> tuple[T, ...]:
        return tuple(read(make, one, text, at=(key, one)) for one, text in texts.items())

    security = table.row_level_security
    return Table(
        name=name,
        view=written_or(table.view, None),
        columns=named("columns", written_or(table.columns, {}), sql.column),
        primary_key=None if table.primary_key is UNSET else tuple(table.primary_key),
        foreign_keys=None
        if table.foreign_keys is UNSET
        else each("foreign_keys", table.foreign_keys, sql.foreign_key),
        indexes=None if table.indexes is UNSET else each("indexes", table.indexes, sql.index),
        row_security=None if security is UNSET else _SECURITY[security],
        policies=None if table.policies is UNSET else named("policies", table.policies, sql.policy),
    )
