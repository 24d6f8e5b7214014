"""What a migration allows and the schema before refuses: a NULL, a longer text, a new label, …

The rows of the old release say nothing of it, so a rollback has to be tried with such values.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.checks.migrations import filling, snapshot
from pytest_prodcheck.checks.migrations.snapshot import Schema, Table

if TYPE_CHECKING:
    import sqlalchemy as sa

ELSEWHERE = 20
"""Number of a made-up value that no row has: it is in no made-up parent."""

_TRIES = 64
"""Combinations of values for the columns that a CHECK names."""

_MADE_UP = "made up"


@dataclass(frozen=True)
class Shape:
    """What a table lets in."""

    table: sa.Table
    checks: tuple[str, ...]
    """Expressions, as the database writes them."""
    unique: tuple[frozenset[str], ...]
    """Columns that are unique together."""
    parents: dict[tuple[str, ...], tuple[str, tuple[str, ...]]]
    """Columns -> the table that they refer to, and its columns."""


@dataclass(frozen=True)
class Write:
    """Something that a table takes now and did not take before."""

    what: str
    """`NULL in public.captures.mail`; "" for a row that both would take."""
    values: tuple[dict[str, Any], ...]
    """Values of columns to try, the likeliest first."""
    refused_by: str = ""
    """The CHECK of before that must be false for it."""
    refers: tuple[str, tuple[str, ...]] | None = None
    """Where a reference leads to now that led elsewhere before: table and columns."""


def changed(before: Schema, after: Schema) -> set[Table]:
    """Tables of both schemas that let in something else, or whose types do."""
    names = {
        name
        for name in before.objects.keys() | after.objects.keys()
        if before.objects.get(name) != after.objects.get(name)
    }
    places = {name.partition(" ")[2] for name in names}
    types = {name.removeprefix("type ") for name in names if name.startswith("type ")}
    types |= {name.removeprefix("public.") for name in types}
    found = set()
    for table in before.columns.keys() & after.columns.keys():
        own = snapshot.spelled(table)
        kinds = {
            after.definition(table, column).split(" ")[0].replace('"', "")
            for column in after.columns[table]
        }
        if kinds & types or any(f"{place}.".startswith(f"{own}.") for place in places):
            found.add(table)
    return found


def shapes(connection: sa.Connection, tables: set[Table]) -> dict[Table, Shape]:
    """Return the values that these tables accept."""
    import sqlalchemy as sa

    inspector = sa.inspect(connection)
    found = {}
    for table in filling.parents_first(connection, tables, with_parents=True):
        if (table.schema or "", table.name) not in tables:
            continue
        checks = inspector.get_check_constraints(table.name, schema=table.schema)
        found[table.schema or "", table.name] = Shape(
            table=table,
            checks=tuple(str(one["sqltext"]) for one in checks),
            unique=tuple(dict.fromkeys(_unique(table))),
            parents={
                tuple(one.parent.name for one in key.elements): (
                    filling.parent(key),
                    tuple(one.target_fullname.rpartition(".")[2] for one in key.elements),
                )
                for key in table.foreign_key_constraints
            },
        )
    return found


def _unique(table: sa.Table) -> Iterator[frozenset[str]]:
    import sqlalchemy as sa

    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint | sa.PrimaryKeyConstraint):
            names = frozenset(column.name for column in constraint.columns)
            if names:
                yield names
    for index in table.indexes:
        partial = any(
            index.dialect_kwargs.get(f"{name}_where") for name in ("postgresql", "sqlite")
        )
        names = frozenset(column.name for column in index.columns)
        if index.unique and names and not partial and len(index.expressions) == len(names):
            yield names


def writes(connection: sa.Connection, old: Shape, new: Shape, name: str) -> Iterator[Write]:
    """Yield a row that both schemas accept, then rows of the table `name` that only the new one
    accepts."""
    columns = new.table.columns
    yield Write("", ({},))
    for column in columns:
        was = old.table.columns.get(column.name)
        if was is None or column.computed is not None:
            continue
        place = f"{name}.{column.name}"
        if column.nullable and not was.nullable:
            yield Write(f"NULL in {place}", ({column.name: None},))
        for value in _beyond(was.type, column.type):
            yield Write(f"{shown(value)} in {place}", ({column.name: value},))
    for check in old.checks:
        if check not in new.checks and (values := _of_check(connection, old, new, check)):
            yield Write(f"what CHECK {check} refused in {name}", values, refused_by=check)
    for together in old.unique:
        known = together <= set(columns.keys())
        if known and not any(one <= together for one in new.unique):
            row = some_row(connection, new.table, sorted(together))
            if row:
                what = f"the same {', '.join(sorted(together))} in two rows of {name}"
                yield Write(what, (row,))
    for names, parent in old.parents.items():
        if new.parents.get(names) != parent and set(names) <= set(columns.keys()):
            apart = {each: filling.value(columns[each], ELSEWHERE) for each in names}
            what = f"{', '.join(names)} of {name} that no row of {parent[0]} has"
            yield Write(what, (apart,), refers=new.parents.get(names))


def _beyond(old: Any, new: Any) -> Iterator[Any]:
    """Return values of the one type that the other refuses, or keeps only a part of."""
    import sqlalchemy as sa

    old_labels = getattr(old, "enums", None) if isinstance(old, sa.Enum) else None
    if isinstance(new, sa.Enum):
        if old_labels is not None:
            yield from [label for label in new.enums if label not in old_labels][:1]
        return
    if isinstance(new, sa.String):
        if isinstance(old, sa.String) and old_labels is None:
            length = old.length
            if length and (new.length is None or new.length > length):
                yield "x" * (length + 1)
        elif type(old) is not type(new):
            yield _MADE_UP[: new.length or None]
    elif isinstance(old, sa.Boolean) and isinstance(new, sa.Integer):
        yield 2
    elif isinstance(old, sa.Integer) and isinstance(new, sa.Numeric | sa.Integer):
        if _bits(new) > _bits(old):
            yield 2 ** (_bits(old) - 1)
        if isinstance(new, sa.Numeric) and (new.scale is None or new.scale > 0):
            yield Decimal("1.5")
    elif isinstance(old, sa.Numeric) and isinstance(new, sa.Numeric) and old.precision:
        whole, scale = old.precision - (old.scale or 0), old.scale or 0
        if new.precision is None or new.precision - (new.scale or 0) > whole:
            yield Decimal(10) ** whole
        if new.precision is None or (new.scale or 0) > scale:
            yield Decimal(1) + Decimal(10) ** -(scale + 1)
    elif isinstance(old, sa.Date) and isinstance(new, sa.DateTime):
        yield datetime(2024, 1, 2, 3, 4, 5)


def _bits(kind: Any) -> int:
    import sqlalchemy as sa

    if isinstance(kind, sa.SmallInteger):
        return 16
    if isinstance(kind, sa.BigInteger):
        return 64
    return 32 if isinstance(kind, sa.Integer) else 65


def _of_check(
    connection: sa.Connection, old: Shape, new: Shape, check: str
) -> tuple[dict[str, Any], ...]:
    """Return values for the columns of a CHECK: those that it and its successors name, and
    others."""
    import sqlalchemy as sa

    dialect = connection.dialect.name
    values = filling.values_of(dialect, new.table, (*new.checks, *old.checks))
    of = filling.values_of(dialect, new.table, (check,))
    if any(
        type(old.table.columns[name].type) is not type(new.table.columns[name].type) for name in of
    ):
        return ()  # the CHECK cannot be asked of another type; its values are another change
    options: dict[str, list[Any]] = {}
    for name in of:
        column = new.table.columns[name]
        kind = column.type
        found: list[Any] = [*values[name], *(one for one in of[name] if one not in values[name])]
        if isinstance(kind, sa.String) and not isinstance(kind, sa.Enum):
            found += [_MADE_UP, "", *("x" * one for one in found if _is_length(one))]
            found = [one for one in found if isinstance(one, str)]
        elif isinstance(kind, sa.Boolean):
            found = [True, False]
        options[name] = [*found, *([None] if column.nullable else [])]
    chosen = itertools.islice(itertools.product(*options.values()), _TRIES)
    return tuple(dict(zip(options, each, strict=True)) for each in chosen) if options else ()


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and 0 < value <= 100_000


def some_row(connection: sa.Connection, table: sa.Table, names: list[str]) -> dict[str, Any]:
    """Return the values of one row that has them all; empty if there is none."""
    import sqlalchemy as sa

    columns = [table.columns[name] for name in names]
    query = sa.select(*columns).where(*(column.is_not(None) for column in columns)).limit(1)
    found = connection.execute(query).mappings().first()
    return dict(found) if found else {}


def shown(value: Any) -> str:
    """Return a value as messages name it."""
    if value is None:
        return "NULL"
    if isinstance(value, str) and set(value) == {"x"}:
        return f"a text of {len(value)} characters"
    return repr(value) if isinstance(value, str) else str(value)
