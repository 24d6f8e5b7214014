"""The names of the objects that a statement creates, drops and uses.

Names are compared as in the database: in lower case unless quoted, without a schema.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from pytest_prodcheck.analysis.migrations.reading import Statement
from pytest_prodcheck.model import Record

_KINDS = {
    *("TABLE", "VIEW", "FUNCTION", "PROCEDURE", "TRIGGER", "POLICY", "INDEX", "TYPE", "DOMAIN"),
    *("SCHEMA", "SEQUENCE", "EXTENSION", "AGGREGATE", "ROLE", "RULE", "PUBLICATION"),
}
_BEFORE_A_KIND = {
    *("OR", "REPLACE", "TEMP", "TEMPORARY", "UNIQUE", "MATERIALIZED", "UNLOGGED", "RECURSIVE"),
    *("CONSTRAINT", "FOREIGN", "EVENT", "VIRTUAL", "GLOBAL", "LOCAL"),
}
_ONE_KIND = {"PROCEDURE": "FUNCTION", "AGGREGATE": "FUNCTION"}


class Named(Record, frozen=True):
    """One object of a schema."""

    kind: str
    """`TABLE`, `COLUMN`, `CONSTRAINT`, …"""
    name: str
    table: str = ""
    """Table of a column, trigger or policy."""
    guarded: bool = False
    """With IF EXISTS, IF NOT EXISTS, OR REPLACE, or a condition."""
    cascade: bool = False
    renamed: bool = False
    """It existed with another name."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return kind, name and table, for comparison."""
        return self.kind, self.name, self.table

    def __str__(self) -> str:
        of = f" of {self.table}" if self.table else ""
        return f"{self.kind.lower()} {self.name}{of}"


def folded(identifier: str) -> str:
    """Return a name as the database stores it; `identifier` still has its quotes."""
    return identifier[1:-1] if identifier[:1] in ('"', "`") else identifier.lower()


def created(statement: Statement) -> tuple[Named, ...]:
    """Return the objects and columns that a statement creates."""
    return tuple(_created(statement))


def _created(statement: Statement) -> Iterator[Named]:
    from sqlglot import exp

    if statement.starts("CREATE"):
        yield from _header(statement)
    elif isinstance(statement.tree, exp.Alter) and statement.tree.args.get("kind") == "TABLE":
        table = name_of(statement.tree.this)
        for action in statement.tree.args.get("actions", ()):
            if isinstance(action, exp.ColumnDef):
                guarded = bool(action.args.get("exists")) or statement.guarded
                yield Named(kind="COLUMN", name=name_of(action), table=table, guarded=guarded)
            elif isinstance(action, exp.AddConstraint):
                for constraint in action.find_all(exp.Constraint):
                    name = name_of(constraint)
                    yield Named(
                        kind="CONSTRAINT", name=name, table=table, guarded=statement.guarded
                    )
            elif isinstance(action, exp.AlterRename):
                yield Named(
                    kind="TABLE", name=name_of(action.this), guarded=statement.guarded, renamed=True
                )
            elif isinstance(action, exp.RenameColumn):
                name = name_of(action.args["to"])
                yield Named(
                    kind="COLUMN",
                    name=name,
                    table=table,
                    guarded=statement.guarded,
                    renamed=True,
                )


def dropped(statement: Statement) -> tuple[Named, ...]:
    """Return the objects and columns that a statement drops."""
    return tuple(_dropped(statement))


def _dropped(statement: Statement) -> Iterator[Named]:
    from sqlglot import exp

    tree = statement.tree
    if isinstance(tree, exp.Drop):
        on = tree.args.get("cluster")
        for one in tree.args.get("tables") or ():
            yield Named(
                kind=_ONE_KIND.get(tree.args["kind"], tree.args["kind"]),
                name=name_of(one),
                table=name_of(on.this) if on else "",
                guarded=bool(tree.args.get("exists")) or statement.guarded,
                cascade=bool(tree.args.get("cascade")),
            )
    elif isinstance(tree, exp.Alter):
        table = name_of(tree.this)
        for action in tree.args.get("actions", ()):
            if isinstance(action, exp.Drop):
                for one in action.args.get("tables") or ():
                    yield Named(
                        kind=action.args["kind"],
                        name=name_of(one),
                        table=table,
                        guarded=bool(action.args.get("exists")) or statement.guarded,
                        cascade=bool(action.args.get("cascade")),
                    )
    elif statement.starts("DROP"):
        cascade = statement.words[-1].upper() == "CASCADE"
        for one in _header(statement):
            yield msgspec.structs.replace(one, cascade=cascade)


def _header(statement: Statement) -> Iterator[Named]:
    """Yield the object in the first words: `CREATE OR REPLACE FUNCTION f`, `DROP POLICY p ON t`."""
    words = statement.words
    upper = [word.upper() for word in words]
    position = 1
    while position < len(words) and upper[position] in _BEFORE_A_KIND:
        position += 1
    if position >= len(words) or upper[position] not in _KINDS:
        return
    kind = upper[position]
    guarded = statement.guarded or "REPLACE" in upper[1:position]
    position += 1
    while position < len(words) and upper[position] in ("IF", "NOT", "EXISTS", "CONCURRENTLY"):
        guarded = guarded or upper[position] == "EXISTS"
        position += 1
    if position >= len(words) or upper[position] == "ON":  # an index may have no name
        return
    while words[position + 1 : position + 2] == (".",) and position + 2 < len(words):
        position += 2
    table = ""
    if kind in ("TRIGGER", "POLICY") and "ON" in upper[position:]:
        at = upper.index("ON", position) + 1
        while words[at + 1 : at + 2] == (".",) and at + 2 < len(words):
            at += 2
        table = folded(words[at]) if at < len(words) else ""
    yield Named(
        kind=_ONE_KIND.get(kind, kind), name=folded(words[position]), table=table, guarded=guarded
    )


def used(statement: Statement) -> tuple[tuple[str, str], ...]:
    """Return kind and name of the objects that must exist before: tables (or views) and functions.

    The body of a function does not count, because it is resolved when the function is called.
    """
    return tuple(dict.fromkeys(_used(statement)))


def _used(statement: Statement) -> Iterator[tuple[str, str]]:
    from sqlglot import exp

    tree = statement.tree
    if tree is None or isinstance(tree, exp.Block):
        for one in _header(statement):
            if one.table:
                yield "TABLE", one.table
        upper = [word.upper() for word in statement.words]
        if statement.starts("ALTER", "TABLE"):
            names = [w for w, u in zip(statement.words[2:], upper[2:], strict=True) if _is_name(u)]
            yield from (("TABLE", folded(name)) for name in names[:1])
        return
    if isinstance(tree, exp.Drop) or (isinstance(tree, exp.Create) and _is_routine(tree)):
        return
    if isinstance(tree, exp.Create) and tree.args.get("kind") == "TRIGGER":
        properties = next(tree.find_all(exp.TriggerProperties), None)
        if properties is not None:
            yield "TABLE", name_of(properties.args["table"])
            for call in tree.find_all(exp.TriggerExecute):
                yield "FUNCTION", name_of(call.this)
        return
    own = {one.name for one in created(statement) if one.kind in ("TABLE", "VIEW", "TYPE")}
    own |= {folded_of(cte.args["alias"].this) for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.this and isinstance(table.this, exp.Identifier):
            name = name_of(table)
            if name not in own:
                yield "TABLE", name
    for call in tree.find_all(exp.Anonymous):
        yield "FUNCTION", name_of(call)


def _is_name(word: str) -> bool:
    return word not in ("IF", "EXISTS", "ONLY", "PUBLIC", ".", '"PUBLIC"')


def _is_routine(tree: Any) -> bool:
    return tree.args.get("kind") in ("FUNCTION", "PROCEDURE", "TYPE", "SEQUENCE", "SCHEMA")


def name_of(node: Any) -> str:
    """Return the folded name of a node of sqlglot: a table, a column, a constraint, a function."""
    from sqlglot import exp

    while not isinstance(node, exp.Identifier):
        inner = node.this if isinstance(node, exp.Expression) else node
        if isinstance(inner, str) or inner is None:
            return str(inner or node.name).lower()
        node = inner
    return folded_of(node)


def folded_of(identifier: Any) -> str:
    """Return the name of a sqlglot Identifier as the database stores it."""
    name: str = identifier.name
    return name if identifier.args.get("quoted") else name.lower()
