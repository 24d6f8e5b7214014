"""Made-up rows for every table of a scratch database, as far as its schema lets them in.

Parents come before their children. Types, NOT NULL, enums, lengths, uniqueness and simple CHECKs
are respected; a table whose rows are refused all the same is named, never passed over.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
import warnings
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.checks.database.connection import reason
from pytest_prodcheck.checks.migrations.snapshot import HISTORY

if TYPE_CHECKING:
    import sqlalchemy as sa

ROWS = 3
"""Made up for each table."""

_TRIES = 64
"""Combinations of values for the columns that CHECKs name."""

_START = datetime(2024, 1, 1, tzinfo=UTC)


def fill(connection: sa.Connection, tables: set[tuple[str, str]]) -> dict[str, str]:
    """Put rows into these tables. Returns those that stay empty, and what the database said."""
    refused: dict[str, str] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    for table in parents_first(connection, tables):
        rows[table.fullname], trouble = _fill(connection, table, rows)
        if trouble:
            refused[table.fullname] = trouble
    return refused


def parents_first(
    connection: sa.Connection, wanted: set[tuple[str, str]], *, with_parents: bool = False
) -> list[sa.Table]:
    """These tables, or with those that they refer to, in an order in which rows can be added."""
    import sqlalchemy as sa

    metadata = sa.MetaData()
    with warnings.catch_warnings():
        # Of types it does not know, expressions in indexes, and circles of foreign keys.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        for schema in sorted({schema for schema, _ in wanted}):
            names = [name for space, name in wanted if space == schema and name not in HISTORY]
            metadata.reflect(
                connection, schema=schema or None, only=names, resolve_fks=with_parents
            )
        return list(metadata.sorted_tables)


def _fill(
    connection: sa.Connection, table: sa.Table, rows: dict[str, list[dict[str, Any]]]
) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of one table, and the database's message if there are none."""
    import sqlalchemy as sa

    checks = checked_values(connection, table)
    parents = {
        constraint: rows.get(parent(constraint), []) for constraint in table.foreign_key_constraints
    }
    options = [candidates(table, number, parents, checks) for number in range(ROWS)]
    firsts = [next(each) for each in options]
    try:
        return _insert(connection, table, firsts), ""
    except sa.exc.SQLAlchemyError as error:
        unless_lost(error)
    made: list[dict[str, Any]] = []
    trouble = ""
    for first, others in zip(firsts, options, strict=True):
        for row in itertools.chain([first], others):
            try:
                made += _insert(connection, table, [row])
                break
            except sa.exc.SQLAlchemyError as error:
                unless_lost(error)
                trouble = reason(error)
    return made, "" if made else trouble


def _insert(
    connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Insert all of these rows or none; return them as they are afterwards."""
    connection.exec_driver_sql("BEGIN")
    try:
        result = connection.execute(table.insert().returning(*table.columns), rows)
        made = [dict(row) for row in result.mappings()]
    except BaseException:
        with contextlib.suppress(Exception):  # of a connection that is lost; the first one counts
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")
    return made


def unless_lost(error: Exception) -> None:
    if getattr(error, "connection_invalidated", False):
        raise error


def parent(constraint: Any) -> str:
    target: str = constraint.elements[0].target_fullname
    return target.rpartition(".")[0]


def candidates(
    table: sa.Table,
    number: int,
    parents: dict[Any, list[dict[str, Any]]],
    checks: dict[str, list[Any]],
) -> Iterator[dict[str, Any]]:
    """Rows to try, the likeliest first."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.computed is not None or column.identity is not None:
            continue
        if column.server_default is not None and column.name not in checks:
            continue
        row[column.name] = value(column, number)
    for constraint, known in parents.items():
        for element in constraint.elements:
            name, wanted = element.parent.name, element.target_fullname.rpartition(".")[2]
            if known and wanted in known[number % len(known)]:
                row[name] = known[number % len(known)][wanted]
            elif table.columns[name].nullable:
                row[name] = None  # its parent comes later, or is the table itself
    keys = {element.parent.name for one in parents for element in one.elements}
    checked = {name: values for name, values in checks.items() if name in row and name not in keys}
    options = [
        [row[name], *([None] if table.columns[name].nullable else ()), *values]
        for name, values in checked.items()
    ]
    for chosen in itertools.islice(itertools.product(*options), _TRIES):
        yield row | dict(zip(checked, chosen, strict=True))
    # What has a default of its own, and what may be NULL, may also be left out.
    yield {name: value for name, value in row.items() if not table.columns[name].nullable}


def value(column: Any, number: int) -> Any:
    """Return a value of the column's type, another for each row; None if none can be made up."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import postgresql as pg
    from sqlalchemy.dialects.postgresql.ranges import AbstractRange

    kind = column.type
    while isinstance(kind, pg.DOMAIN):
        kind = kind.data_type
    if isinstance(kind, sa.Enum):
        return kind.enums[number % len(kind.enums)] if kind.enums else None
    if isinstance(kind, sa.Boolean):
        return bool(number % 2)
    if isinstance(kind, sa.Integer):
        return number + 1
    if isinstance(kind, sa.Float):
        return number + 0.5
    if isinstance(kind, sa.Numeric):
        return Decimal(number + 1) / 10 ** (kind.scale or 0)
    if isinstance(kind, sa.Uuid):
        made = uuid.UUID(int=number + 1)
        return made if kind.as_uuid else str(made)
    if isinstance(kind, sa.LargeBinary):
        return bytes([number + 1])
    if isinstance(kind, sa.DateTime):
        return (_START + timedelta(days=number)).replace(tzinfo=UTC if kind.timezone else None)
    if isinstance(kind, sa.Date):
        return date(2024, 1, number + 1)
    if isinstance(kind, sa.Time):
        return time(number, tzinfo=UTC if kind.timezone else None)
    if isinstance(kind, sa.Interval | pg.INTERVAL):
        return timedelta(hours=number + 1)
    if isinstance(kind, sa.ARRAY):
        return []
    if isinstance(kind, sa.JSON):
        return {"made_up": number}
    if isinstance(kind, sa.String):
        text = f"{column.name} {number + 1}"
        return text if not kind.length or len(text) <= kind.length else str(number + 1)
    as_text = {
        pg.INET: f"192.0.2.{number + 1}",
        pg.CIDR: f"192.0.2.{number + 1}/32",
        pg.MACADDR: f"08:00:2b:01:02:0{number + 1}",
        pg.BIT: "1" * (getattr(kind, "length", 1) or 1),
        pg.MONEY: "1.00",
        pg.OID: number + 1,
        pg.TSVECTOR: f"word{number}",
    }
    if type(kind) in as_text:
        return as_text[type(kind)]
    return pg.Range(empty=True) if isinstance(kind, AbstractRange) else None


def checked_values(connection: sa.Connection, table: sa.Table) -> dict[str, list[Any]]:
    """Column -> values that the CHECKs of its table name, and those just beside."""
    import sqlalchemy as sa

    texts = [
        one["sqltext"]
        for one in sa.inspect(connection).get_check_constraints(table.name, schema=table.schema)
    ]
    kinds: list[tuple[str, Any]] = [(column.name, column.type) for column in table.columns]
    texts += [
        str(kind.check).replace("VALUE", name)
        for name, kind in kinds
        if getattr(kind, "check", None) is not None  # of a domain
    ]
    return values_of(connection.dialect.name, table, texts)


def values_of(dialect: str, table: sa.Table, texts: Iterable[str]) -> dict[str, list[Any]]:
    """Column -> values that these expressions name, and those just beside."""
    import sqlglot
    from sqlglot import exp

    found: dict[str, list[Any]] = {}
    for text in texts:
        try:
            tree = sqlglot.parse_one(text, read="postgres" if dialect == "postgresql" else "sqlite")
        except sqlglot.errors.SqlglotError:
            continue
        values: list[Any] = []
        for literal in tree.find_all(exp.Literal):
            if literal.is_string:
                values.append(literal.name)
            else:
                number = Decimal(literal.name)
                whole = int(number) if number == int(number) else number
                values += [whole, whole + 1, whole - 1]
        for named in tree.find_all(exp.Column):
            if named.name in table.columns:
                found.setdefault(named.name, []).extend(values)
    return {name: list(dict.fromkeys(values)) for name, values in found.items()}
