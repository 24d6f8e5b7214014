"""Rows written as the new release may write them, and what a rollback makes of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.checks.migrations import filling, snapshot
from pytest_prodcheck.checks.migrations.loosened import (
    ELSEWHERE,
    Shape,
    Write,
    shapes,
    shown,
    some_row,
    writes,
)
from pytest_prodcheck.checks.migrations.snapshot import Table
from pytest_prodcheck.model import Record

if TYPE_CHECKING:
    import sqlalchemy as sa

_FIRST = filling.ROWS
"""Number of the first made-up row here; those before have the others."""

_NUMBERS = 12
"""Rows are numbered _FIRST to _FIRST + _NUMBERS - 1, and then from the beginning again."""

_CANDIDATES = 8
"""Rows to try for each value."""


class Written(Record, frozen=True):
    """A row that was written."""

    what: str
    """What is special about it, for messages; "" for a row that the schema before takes too."""
    table: Table
    key: dict[str, Any]
    """Its primary key; empty when it has none."""
    values: dict[str, Any]
    """Of the columns that are special."""


class Used(Record, frozen=True):
    """What the new release has written."""

    rows: tuple[Written, ...]
    missing: tuple[str, ...]
    """What it may write, but no row could be made up for."""


def use(connection: sa.Connection, before: dict[Table, Shape], new: set[Table]) -> Used:
    """Write what the new release may write into the tables of `before`, and fill `new` ones."""
    filling.fill(connection, new)
    after = shapes(connection, set(before) | new)
    rows: list[Written] = []
    missing: list[str] = []
    numbers = itertools.count()
    for table in [table for table in after if table in before]:
        name = snapshot.spelled(table)
        for write in writes(connection, before[table], after[table], name):
            number = _FIRST + next(numbers) % _NUMBERS
            new_table = after[table].table
            row = _write(connection, new_table, _led(connection, new_table, write), number)
            if row is not None:
                keys = [column.name for column in new_table.primary_key]
                values = {key: row[key] for key in write.values[0]}
                what = write.what
                if write.refused_by:
                    texts = (f"{shown(one)} in {name}.{key}" for key, one in values.items())
                    what = " with ".join(texts)
                rows.append(
                    Written(
                        what=what, table=table, key={key: row[key] for key in keys}, values=values
                    )
                )
            elif write.what:
                missing.append(write.what)
    return Used(rows=tuple(rows), missing=tuple(missing))


def _led(connection: sa.Connection, table: sa.Table, write: Write) -> Write:
    """Return the same row with a new row of the table that its reference points to now."""
    if write.refers is None:
        return write
    parent, keys = write.refers
    row = _write(connection, table.metadata.tables[parent], Write("", ({},)), ELSEWHERE)
    if row is None:
        return write
    (values,) = write.values
    led = {name: row[key] for name, key in zip(values, keys, strict=True)}
    return replace(write, values=(led,))


def _write(
    connection: sa.Connection, table: sa.Table, write: Write, number: int
) -> dict[str, Any] | None:
    """Return the row, new or else changed; None if the database accepts none."""
    for values in write.values:
        for row in _rows(connection, table, number):
            made = _try(connection, table.insert().values(row | values), table, write)
            if made:
                return made
        if values and (changed := _changed_row(connection, table)) is not None:
            made = _try(connection, table.update().where(changed).values(values), table, write)
            if made:
                return made
    return None


def _rows(connection: sa.Connection, table: sa.Table, number: int) -> Iterator[dict[str, Any]]:
    import sqlalchemy as sa

    parents = {}
    for key in table.foreign_key_constraints:
        schema, _, name = filling.parent(key).rpartition(".")
        columns: list[Any] = [
            sa.column(one.target_fullname.rpartition(".")[2]) for one in key.elements
        ]
        query = sa.select(*columns).select_from(sa.table(name, schema=schema or None))
        found = connection.execute(query.limit(filling.ROWS)).mappings()
        parents[key] = [dict(row) for row in found]
    checks = filling.checked_values(connection, table)
    return itertools.islice(filling.candidates(table, number, parents, checks), _CANDIDATES)


def _changed_row(connection: sa.Connection, table: sa.Table) -> Any:
    """Return the condition of one existing row; None for a table without a key, or without rows."""
    import sqlalchemy as sa

    keys = [column.name for column in table.primary_key]
    row = some_row(connection, table, keys) if keys else {}
    return sa.and_(*(table.columns[key] == row[key] for key in keys)) if row else None


def _try(
    connection: sa.Connection, statement: Any, table: sa.Table, write: Write
) -> dict[str, Any] | None:
    import sqlalchemy as sa

    connection.exec_driver_sql("BEGIN")
    try:
        made = connection.execute(statement.returning(*table.columns)).mappings().first()
        if made is not None and write.refused_by:
            place = snapshot.place((table.schema or "", table.name))
            query = f"SELECT count(*) FROM {place} WHERE NOT ({write.refused_by})"  # noqa: S608
            made = made if snapshot.run(connection, query).scalar_one() else None
    except sa.exc.SQLAlchemyError as error:
        filling.unless_lost(error)
        made = None
    connection.exec_driver_sql("COMMIT" if made is not None else "ROLLBACK")
    return dict(made) if made is not None else None


# --- what became of it ---


def counts(connection: sa.Connection, tables: Sequence[Table]) -> dict[Table, int]:
    """Return how many rows these tables have."""
    return {
        table: int(
            snapshot.run(connection, f"SELECT count(*) FROM {snapshot.place(table)}").scalar_one()  # noqa: S608
        )
        for table in tables
    }


def shortened(
    connection: sa.Connection, rows: Sequence[Written], before: dict[Table, Shape]
) -> Iterator[str]:
    """Yield a text for each row that kept only a part of a value."""
    import sqlalchemy as sa

    for row in rows:
        table = before[row.table].table
        if not (
            row.key
            and row.values
            and row.key.keys() | row.values.keys() <= set(table.columns.keys())
        ):
            continue
        same = (table.columns[name] == value for name, value in row.key.items())
        columns = [table.columns[name] for name in row.values]
        found = connection.execute(sa.select(*columns).where(*same)).mappings().first()
        for name, value in row.values.items():
            if found and _is_part(found[name], value):
                place = f"{snapshot.spelled(row.table)}.{name}"
                yield f"{row.what} is {shown(found[name])} afterwards ({place})"


def _is_part(now: Any, was: Any) -> bool:
    numbers = (int, float, Decimal)
    if isinstance(now, bool) or isinstance(was, bool) or now is None or was is None:
        return False
    if isinstance(now, numbers) and isinstance(was, numbers):
        return 0 < abs(Decimal(str(now)) - Decimal(str(was))) < 1
    return str(now) != str(was) and str(now) != "" and str(was).startswith(str(now))
