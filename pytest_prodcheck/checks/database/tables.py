"""The tables of a live database, read from its own catalogue: types as the server names them,
indexes with expressions and conditions, policies.

SQLAlchemy's inspection leaves out indexes on expressions, types that it does not know, what a
key of SQLite does on delete, and whether an index is valid.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_prodcheck.analysis.sql_schema import sql
from pytest_prodcheck.analysis.sql_schema.tables import (
    Column,
    ForeignKey,
    Index,
    Policy,
    RowSecurity,
    Schema,
    Table,
)
from pytest_prodcheck.analysis.sql_schema.types import ANY

if TYPE_CHECKING:
    from sqlalchemy import Connection

_TABLES = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind IN ('v', 'm') AS view,
    CASE WHEN NOT c.relrowsecurity THEN 'off' WHEN c.relforcerowsecurity THEN 'forced'
         ELSE 'on' END AS security
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (:schemas) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT c.relispartition
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'
        AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid)
ORDER BY n.nspname, c.relname
"""
"""Without partitions, which are as their table is, and without what belongs to an extension."""

_COLUMNS = """
SELECT a.attrelid AS oid, a.attname AS name, a.attnotnull AS required,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY (:oids) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

_KEYS = """
SELECT k.conrelid AS oid, k.contype AS type, pg_catalog.pg_get_constraintdef(k.oid) AS definition,
    ARRAY (SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY AS c (number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number
        ORDER BY c.place) AS columns
FROM pg_catalog.pg_constraint k
WHERE k.conrelid = ANY (:oids) AND k.contype IN ('p', 'f') ORDER BY k.conname
"""

_INDEXES = """
SELECT i.indrelid AS oid, i.indisunique AS unique, i.indisvalid AS valid,
    substr(pg_catalog.pg_get_indexdef(i.indexrelid), 1 + length(format(
        'CREATE %sINDEX %I ON %s%I.%I USING ', CASE WHEN i.indisunique THEN 'UNIQUE ' END,
        x.relname, CASE WHEN x.relkind = 'I' THEN 'ONLY ' END, n.nspname, t.relname
    ))) AS definition
FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE i.indrelid = ANY (:oids) AND NOT i.indisprimary ORDER BY x.relname
"""
"""What follows USING: the names before it may hold any word."""

_POLICIES = """
SELECT c.oid, p.policyname AS name, p.permissive = 'PERMISSIVE' AS permissive,
    p.roles::text[] AS roles, lower(p.cmd) AS command, p.qual, p.with_check
FROM pg_catalog.pg_policies p JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
WHERE c.oid = ANY (:oids) ORDER BY p.policyname
"""


def read(connection: Connection, names: Collection[str] = ()) -> Schema:
    """Read the default schema, and the schemas that qualify one of *names* (`audit.events`)."""
    if connection.dialect.name == "sqlite":
        return Schema(dialect="sqlite", default="main", tables=tuple(_sqlite(connection)))
    default: str = _rows(connection, "SELECT current_schema() AS name")[0].name or "public"
    schemas = {default, *(name.partition(".")[0] for name in names if "." in name)}
    tables = _postgres(connection, schemas, default)
    return Schema(dialect="postgresql", default=default, tables=tuple(tables))


def _postgres(connection: Connection, schemas: Collection[str], default: str) -> Iterator[Table]:
    found = _rows(connection, _TABLES, schemas=sorted(schemas))
    oids = [row.oid for row in found]
    columns, keys, indexes, policies = (
        _by_table(_rows(connection, query, oids=oids))
        for query in (_COLUMNS, _KEYS, _INDEXES, _POLICIES)
    )
    for row in found:
        security: RowSecurity = row.security
        yield Table(
            name=row.name if row.schema == default else f"{row.schema}.{row.name}",
            view=row.view,
            columns=tuple(
                Column(name=c.name, type=c.type, nullable=not c.required) for c in columns[row.oid]
            ),
            primary_key=next((tuple(k.columns) for k in keys[row.oid] if _type(k) == "p"), ()),
            foreign_keys=tuple(
                sql.foreign_key(k.definition) for k in keys[row.oid] if _type(k) == "f"
            ),
            indexes=tuple(_index(i) for i in indexes[row.oid]),
            row_security=security,
            policies=tuple(_policy(p) for p in policies[row.oid]),
        )


def _type(key: Any) -> str:
    """PostgreSQL's `"char"`, which drivers give as text or as bytes."""
    return key.type.decode() if isinstance(key.type, bytes) else str(key.type)


def _index(row: Any) -> Index:
    unique = "unique " if row.unique else ""
    return msgspec.structs.replace(sql.index(unique + row.definition), valid=row.valid)


def _policy(row: Any) -> Policy:
    return Policy(
        name=row.name,
        command=row.command,
        roles=tuple(row.roles),
        using=sql.bare(row.qual),
        check=sql.bare(row.with_check),
        permissive=row.permissive,
    )


def _by_table(rows: Collection[Any]) -> defaultdict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.oid].append(row)
    return found


# --- SQLite

_SQLITE_TABLES = """
SELECT name, type = 'view' AS view FROM sqlite_master
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name
"""

_SQLITE_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index'"


def _sqlite(connection: Connection) -> Iterator[Table]:
    for row in _rows(connection, _SQLITE_TABLES):
        columns = _pragma(connection, "table_xinfo", row.name)
        keys = sorted((c for c in columns if c.pk), key=lambda c: c.pk)
        yield Table(
            name=row.name,
            view=bool(row.view),
            columns=tuple(
                Column(name=c.name, type=c.type or ANY, nullable=not c.notnull) for c in columns
            ),
            primary_key=tuple(c.name for c in keys),
            foreign_keys=tuple(_sqlite_keys(connection, row.name)),
            indexes=tuple(_sqlite_indexes(connection, row.name)),
            row_security="off",
            policies=(),
        )


def _sqlite_keys(connection: Connection, table: str) -> Iterator[ForeignKey]:
    keys: defaultdict[int, list[Any]] = defaultdict(list)
    for row in _pragma(connection, "foreign_key_list", table):
        keys[row.id].append(row)
    for rows in keys.values():
        yield ForeignKey(
            columns=tuple(getattr(row, "from") for row in rows),
            table=rows[0].table,
            references=tuple(row.to for row in rows if row.to),
            on_delete=rows[0].on_delete.lower(),
            on_update=rows[0].on_update.lower(),
        )


def _sqlite_indexes(connection: Connection, table: str) -> Iterator[Index]:
    texts = {row.name: row.sql for row in _rows(connection, _SQLITE_INDEXES)}
    for row in _pragma(connection, "index_list", table):
        unique = "unique " if row.unique else ""
        if row.origin == "pk":
            continue
        if text := texts.get(row.name):
            yield sql.index(unique + text[text.index("(") :])
            continue
        columns = _pragma(connection, "index_info", row.name)
        yield sql.index(f"{unique}({', '.join(_quoted(c.name) for c in columns)})")


def _pragma(connection: Connection, name: str, about: str) -> list[Any]:
    """Run a PRAGMA as a statement: SQLite does not report its PRAGMA functions as reading only."""
    return list(connection.exec_driver_sql(f"PRAGMA {name}({_quoted(about)})"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _rows(connection: Connection, query: str, **values: Any) -> list[Any]:
    from sqlalchemy import text

    return list(connection.execute(text(query), values))
