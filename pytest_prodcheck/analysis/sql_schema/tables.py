"""Tables, expected or live. A part that is not declared is None, and is not compared."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from pytest_prodcheck.model import Record

RowSecurity = Literal["off", "on", "forced"]
Dialect = Literal["postgresql", "sqlite"]


class Column(Record):
    """A column, with its name, type and nullability as stored: names are case-sensitive."""

    name: str
    type: str
    nullable: bool = True


class ForeignKey(Record):
    """Columns that refer to columns of a table; no `references` means its primary key."""

    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...] = ()
    on_delete: str = "no action"
    on_update: str = "no action"


class Index(Record):
    """An index or unique constraint, without its name, which differs between environments."""

    columns: str
    """Columns and expressions in their order, normalized: `lower(email), created_at desc`."""
    unique: bool = False
    method: str = "btree"
    include: str = ""
    where: str = ""
    nulls_distinct: bool = True
    valid: bool = True
    """False: building it failed, and PostgreSQL does not use it."""


class Policy(Record):
    """A row-level-security policy; `using` and `check` as PostgreSQL prints them."""

    name: str
    command: Literal["all", "select", "insert", "update", "delete"] = "all"
    roles: tuple[str, ...] = ("public",)
    using: str | None = None
    check: str | None = None
    permissive: bool = True


class Table(Record):
    """A table or view; its name has the schema in front (`audit.events`) unless it is the default.

    In a live table nothing is None.
    """

    name: str
    view: bool | None = None
    columns: tuple[Column, ...] = ()
    primary_key: tuple[str, ...] | None = None
    foreign_keys: tuple[ForeignKey, ...] | None = None
    indexes: tuple[Index, ...] | None = None
    row_security: RowSecurity | None = None
    policies: tuple[Policy, ...] | None = None


class Schema(Record):
    """The tables of a live database."""

    dialect: Dialect
    tables: tuple[Table, ...] = ()
    default: str = "public"
    """The schema whose tables need no schema in front."""

    def table(self, name: str) -> Table | None:
        """Return the table of that name, which may have the default schema in front."""
        wanted = name.removeprefix(f"{self.default}.")
        return next((table for table in self.tables if table.name == wanted), None)


def merged(base: Iterable[Table], over: Iterable[Table]) -> tuple[Table, ...]:
    """Return both together; if both declare a part, *over* takes precedence."""
    tables = {table.name: table for table in base}
    for table in over:
        under = tables.get(table.name)
        tables[table.name] = _merged(under, table) if under else table
    return tuple(tables.values())


def _merged(base: Table, over: Table) -> Table:
    written = {
        name: value
        for name in ("view", "primary_key", "foreign_keys", "indexes", "row_security", "policies")
        if (value := getattr(over, name)) is not None
    }
    columns = {column.name: column for column in (*base.columns, *over.columns)}
    return msgspec.structs.replace(base, columns=tuple(columns.values()), **written)
