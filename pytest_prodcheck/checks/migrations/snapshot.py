"""What a database holds: its schema object by object, and its rows as counts and digests.

Two snapshots are equal when nothing that anybody could notice is different. The order of columns
is not: no database puts a restored column where it was.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.model import Record

if TYPE_CHECKING:
    import sqlalchemy as sa

HISTORY = ("alembic_version", "_prisma_migrations")
"""Tables in which tools write down what was applied: theirs, not the team's."""

_LONGEST = 80
"""Characters of a definition that are shown."""

Table = tuple[str, str]
"""Schema and name; SQLite has no schemas."""


class Schema(Record, frozen=True):
    """`column public.users.email` -> `text not null`, and so on for every object."""

    objects: dict[str, str]
    columns: dict[Table, tuple[str, ...]]
    """Of each table."""

    def definition(self, table: Table, column: str) -> str:
        """Return the definition of a column."""
        return self.objects.get(f"column {spelled(table)}.{column}", "")


class Difference(Record, frozen=True):
    """From one schema to another."""

    more: tuple[str, ...]
    less: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.more or self.less or self.changed)

    def __str__(self) -> str:
        parts = [
            f"{word} {', '.join(names)}"
            for word, names in (("more", self.more), ("less", self.less), ("other", self.changed))
            if names
        ]
        return "; ".join(parts)


def difference(before: Schema, after: Schema) -> Difference:
    """Return names with their definitions, without what belongs to a table that is named."""
    old, new = before.objects, after.objects
    more = [f"{name}{_in_brackets(new[name])}" for name in _outer(new.keys() - old)]
    less = [f"{name}{_in_brackets(old[name])}" for name in _outer(old.keys() - new)]
    changed = [
        f"{name} ({_short(old[name])} -> {_short(new[name])})"
        for name in sorted(old.keys() & new)
        if old[name] != new[name]
    ]
    return Difference(more=tuple(more), less=tuple(less), changed=tuple(changed))


def _in_brackets(definition: str) -> str:
    return f" ({_short(definition)})" if definition else ""


def _short(definition: str) -> str:
    """Return a definition, cut if it is long: the author of a function knows its body."""
    return definition if len(definition) <= _LONGEST else f"{definition[:_LONGEST]}…"


def _outer(names: set[str]) -> list[str]:
    tables = {name.partition(" ")[2] for name in names if name.startswith("table ")}
    return [
        name
        for name in sorted(names)
        if name.startswith("table ")
        or not any(name.partition(" ")[2].startswith(f"{table}.") for table in tables)
    ]


def spelled(table: Table) -> str:
    return ".".join(filter(None, table))


def schema(connection: sa.Connection) -> Schema:
    """Everything but what the database and its extensions bring along."""
    if connection.dialect.name == "sqlite":
        return _sqlite(connection)
    return _postgresql(connection)


def _postgresql(connection: sa.Connection) -> Schema:
    import sqlalchemy as sa

    objects: dict[str, str] = {}
    columns: dict[Table, tuple[str, ...]] = {}
    for kind, query in _CATALOG.items():
        for row in connection.execute(sa.text(query)):
            place, definition = row[0], row[1] or ""
            if not _is_history(place):
                objects[f"{kind} {place}"] = " ".join(definition.split())
    for space, name, names in connection.execute(sa.text(_COLUMNS)):
        if name not in HISTORY:
            columns[space, name] = tuple(names)
    return Schema(objects=objects, columns=columns)


def _is_history(place: str) -> bool:
    return any(part.startswith(HISTORY) for part in place.split(".")[:2])


_USER = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_OWN = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = {}.oid AND d.deptype = 'e')"

# The names of columns and tables are ours: nothing of the user is put into these.
_CATALOG = {
    "schema": f"SELECT n.nspname, '' FROM pg_namespace n WHERE {_USER}",  # noqa: S608
    "extension": "SELECT extname, extversion FROM pg_extension WHERE extname <> 'plpgsql'",
    "table": f"""
        SELECT n.nspname || '.' || c.relname,
               concat_ws(' ', CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
                         CASE WHEN c.relrowsecurity THEN 'row level security' END,
                         CASE WHEN c.relforcerowsecurity THEN 'forced' END, c.relacl::text,
                         pg_get_partkeydef(c.oid), obj_description(c.oid, 'pg_class'))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'f') AND {_USER} AND {_OWN.format("c")}""",  # noqa: S608
    "column": f"""
        SELECT n.nspname || '.' || c.relname || '.' || a.attname,
               concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                         CASE WHEN a.attnotnull THEN 'not null' END,
                         CASE WHEN a.attidentity <> '' THEN 'identity ' || a.attidentity::text END,
                         CASE WHEN a.attgenerated <> '' THEN 'generated' END,
                         'default ' || pg_get_expr(e.adbin, e.adrelid),
                         col_description(c.oid, a.attnum), a.attacl::text)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
        WHERE c.relkind IN ('r', 'p', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped
          AND {_USER} AND {_OWN.format("c")}""",  # noqa: S608
    "view": f"""
        SELECT n.nspname || '.' || c.relname,
               concat_ws(' ', CASE c.relkind WHEN 'm' THEN 'materialized' END,
                         pg_get_viewdef(c.oid), c.reloptions::text, c.relacl::text)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('v', 'm') AND {_USER} AND {_OWN.format("c")}""",  # noqa: S608
    "index": f"""
        SELECT n.nspname || '.' || t.relname || '.' || c.relname,
               pg_get_indexdef(c.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_USER} AND {_OWN.format("t")}""",  # noqa: S608
    "constraint": f"""
        SELECT n.nspname || '.' || coalesce(c.relname || '.', '') || k.conname,
               pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
        LEFT JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.contype <> 'n' AND {_USER} AND {_OWN.format("k")}""",  # noqa: S608
    "sequence": f"""
        SELECT n.nspname || '.' || c.relname, format_type(s.seqtypid, NULL) || ' by '
               || s.seqincrement || CASE WHEN s.seqcycle THEN ' cycle' ELSE '' END
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_USER} AND {_OWN.format("c")}""",  # noqa: S608
    "function": f"""
        SELECT n.nspname || '.' || p.proname
               || '(' || pg_get_function_identity_arguments(p.oid) || ')',
               concat_ws(' ', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
                         p.proacl::text)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_USER} AND {_OWN.format("p")}""",  # noqa: S608
    "trigger": f"""
        SELECT n.nspname || '.' || c.relname || '.' || t.tgname,
               pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT t.tgisinternal AND {_USER}""",  # noqa: S608
    "policy": f"""
        SELECT n.nspname || '.' || c.relname || '.' || p.polname,
               concat_ws(' ', p.polcmd, CASE WHEN p.polpermissive THEN 'permissive' END,
                         (SELECT string_agg(r::regrole::text, ',' ORDER BY r::text)
                          FROM unnest(p.polroles) r WHERE r <> 0),
                         'using ' || pg_get_expr(p.polqual, p.polrelid),
                         'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_USER}""",  # noqa: S608
    "type": f"""
        SELECT n.nspname || '.' || t.typname,
               concat_ws(' ', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain'
                                             WHEN 'r' THEN 'range' ELSE 'composite' END,
                         (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
                          FROM pg_enum e WHERE e.enumtypid = t.oid),
                         CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
                         END, CASE WHEN t.typnotnull THEN 'not null' END, t.typdefault)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c')
          AND {_USER} AND {_OWN.format("t")}""",  # noqa: S608
    "rule": f"""
        SELECT n.nspname || '.' || c.relname || '.' || r.rulename, pg_get_ruledef(r.oid)
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE r.rulename <> '_RETURN' AND {_USER}""",  # noqa: S608
}
"""Kind of object -> its name and what it is, as PostgreSQL itself writes it."""

_COLUMNS = f"""
    SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {_USER} AND {_OWN.format("c")}
    GROUP BY 1, 2"""  # noqa: S608


def _sqlite(connection: sa.Connection) -> Schema:
    """Return the parts of each table: its text changes with each ALTER TABLE."""
    import sqlalchemy as sa

    objects: dict[str, str] = {}
    columns: dict[Table, tuple[str, ...]] = {}
    listed = sa.text(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    )
    for kind, name, table, text in connection.execute(listed).all():
        if table in HISTORY:
            continue
        if kind != "table":
            place = name if kind == "view" else f"{table}.{name}"
            objects[f"{kind} {place}"] = " ".join(text.split())
            continue
        objects[f"table {name}"] = ", ".join(_checks(text))
        columns["", name] = ()
        for one in _pragma(connection, "table_xinfo", name):
            columns["", name] += (one["name"],)
            parts = [one["type"].lower(), "not null" if one["notnull"] else ""]
            parts.append("" if one["dflt_value"] is None else f"default {one['dflt_value']}")
            parts += ["primary key" if one["pk"] else "", "generated" if one["hidden"] > 1 else ""]
            objects[f"column {name}.{one['name']}"] = " ".join(filter(None, parts))
        for one in _pragma(connection, "foreign_key_list", name):
            place = f"constraint {name}.{one['from']}"
            objects[place] = f"references {one['table']}({one['to']}) {one['on_delete']}".lower()
        for one in _pragma(connection, "index_list", name):
            if one["origin"] == "u":
                names = [each["name"] for each in _pragma(connection, "index_info", one["name"])]
                objects[f"constraint {name}.unique({', '.join(names)})"] = ""
    return Schema(objects=objects, columns=columns)


def _pragma(connection: sa.Connection, pragma: str, name: str) -> Any:
    import sqlalchemy as sa

    query = sa.text(f"SELECT * FROM pragma_{pragma}(:name)")  # noqa: S608 - ours
    return connection.execute(query, {"name": name}).mappings().all()


def _checks(text: str) -> list[str]:
    """Return the CHECK constraints of a table, which SQLite keeps in its text alone."""
    from pytest_prodcheck.analysis.migrations.reading import statements

    (statement, *_) = statements(text, "sqlite")
    if statement.tree is None:
        return [" ".join(text.split())]
    from sqlglot import exp

    found = statement.tree.find_all(exp.CheckColumnConstraint)
    return sorted(one.sql(dialect="sqlite") for one in found)


class Rows(Record, frozen=True):
    """How many rows a table has, and a digest of what they hold in some columns."""

    count: int
    digest: str


_VALUE = """
    CASE pg_typeof({0})::text WHEN 'numeric' THEN trim_scale({0}::text::numeric)::text
    WHEN 'date' THEN {0}::text::date::timestamp::text ELSE {0}::text END"""
"""A value as text that stays the same when the type of its column gets wider: 1.50 is 1.5."""


def rows(connection: sa.Connection, columns: dict[Table, tuple[str, ...]]) -> dict[Table, Rows]:
    """Return a digest of each table over these of its columns; the order of rows does not count."""
    found = {}
    sqlite = connection.dialect.name == "sqlite"
    for table, names in columns.items():
        quoted = ", ".join(map(quote, names))
        if sqlite:
            content = connection.exec_driver_sql(f"SELECT {quoted or 1} FROM {place(table)}").all()  # noqa: S608
            digest = _digest(sorted(repr(tuple(row)) for row in content))
            found[table] = Rows(count=len(content), digest=digest)
            continue
        values = ", ".join(_VALUE.replace("{0}", quote(name)) for name in names)
        query = f"""
            SELECT count(*), md5(coalesce(string_agg(h, '' ORDER BY h COLLATE "C"), ''))
            FROM (SELECT md5(ROW({values})::text) AS h FROM {place(table)}) AS each"""  # noqa: S608
        count, digest = run(connection, query).one()
        found[table] = Rows(count=count, digest=digest)
    return found


def given(connection: sa.Connection, table: Table, column: str) -> int:
    """Rows of a table that have a value in a column."""
    query = f"SELECT count({quote(column)}) FROM {place(table)}"  # noqa: S608
    return int(run(connection, query).scalar_one())


def run(connection: sa.Connection, query: str) -> Any:
    """Return the result of a query without parameters; a % in a name is not one either."""
    if connection.dialect.name == "postgresql":
        query = query.replace("%", "%%")
    return connection.exec_driver_sql(query)


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def quote(name: str) -> str:
    """Return a name as SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def place(table: Table) -> str:
    return ".".join(map(quote, filter(None, table)))
