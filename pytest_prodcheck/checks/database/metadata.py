"""The tables that SQLAlchemy MetaData of the project describes, as one dialect makes them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.analysis.sql_schema import sql
from pytest_prodcheck.analysis.sql_schema.tables import Column, Dialect, ForeignKey, Index, Table
from pytest_prodcheck.errors import ProdcheckError

if TYPE_CHECKING:
    import sqlalchemy as sa


def load(place: str, folder: Path, dialect: Dialect) -> tuple[Table, ...]:
    """Return the tables of `module:name`, imported in the project's folder. Raises
    ProdcheckError."""
    module, _, name = place.partition(":")
    sys.path.insert(0, str(folder))
    try:
        metadata = reduce(getattr, name.split("."), importlib.import_module(module))
        return tables(metadata, dialect)
    except Exception as error:
        raise ProdcheckError(
            f"database.metadata: {place} cannot be read: {type(error).__name__}: {error}. "
            "See whether it can be imported from the folder of the configuration, and is "
            "SQLAlchemy MetaData"
        ) from error
    finally:
        sys.path.remove(str(folder))


def tables(metadata: Any, dialect: Dialect) -> tuple[Table, ...]:
    """Return what `metadata.create_all` would create on that kind of database."""
    from sqlalchemy import MetaData
    from sqlalchemy.dialects import registry

    if not isinstance(metadata, MetaData):
        raise TypeError(f"it is a {type(metadata).__name__}")
    spoken = registry.load(dialect)()
    return tuple(_table(table, spoken) for table in metadata.sorted_tables)


def _table(table: sa.Table, dialect: Any) -> Table:
    """Return a table whose names are plain texts: SQLAlchemy has a type of its own."""
    return Table(
        name=str(table.fullname),
        view=False,
        columns=tuple(
            Column(
                name=str(column.name),
                type=str(column.type.compile(dialect=dialect)),
                nullable=bool(column.nullable),
            )
            for column in table.columns
        ),
        primary_key=tuple(str(column.name) for column in table.primary_key.columns),
        foreign_keys=tuple(
            ForeignKey(
                columns=tuple(map(str, key.column_keys)),
                table=str(key.elements[0].column.table.fullname),
                references=tuple(str(element.column.name) for element in key.elements),
                on_delete=(key.ondelete or "no action").lower(),
                on_update=(key.onupdate or "no action").lower(),
            )
            for key in sorted(table.foreign_key_constraints, key=lambda key: list(key.column_keys))
        ),
        indexes=tuple(_indexes(table, dialect)),
    )


def _columns(index: sa.Index) -> int:
    return len(index.expressions)


def _indexes(table: sa.Table, dialect: Any) -> Iterator[Index]:
    """Return indexes as the dialect writes them: `CREATE UNIQUE INDEX name ON table USING gin
    (tags)`."""
    from sqlalchemy import UniqueConstraint
    from sqlalchemy.schema import CreateIndex

    named = dialect.identifier_preparer.format_table(table)
    # One without columns, as projects have it by mistake, makes nothing anywhere.
    for index in sorted(filter(_columns, table.indexes), key=lambda index: str(index.name)):
        statement = str(CreateIndex(index).compile(dialect=dialect))
        _, _, definition = statement.partition(f" ON {named} ")
        yield sql.index(("unique " if index.unique else "") + definition)
    constraints = [one for one in table.constraints if isinstance(one, UniqueConstraint)]
    for names in sorted([column.name for column in one.columns] for one in constraints):
        quoted = ('"' + name.replace('"', '""') + '"' for name in names)
        yield sql.index(f"unique ({', '.join(quoted)})")
