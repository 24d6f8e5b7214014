"""Changes of a migration that break the previous release, which runs again after a rollback.

Additive and nullable changes are safe. Objects that the migration itself has created may change.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from pytest_prodcheck.analysis.migrations.flaw import Flaw, flaw
from pytest_prodcheck.analysis.migrations.names import created, dropped, folded, name_of
from pytest_prodcheck.analysis.migrations.reading import Statement
from pytest_prodcheck.analysis.migrations.rules import Text, added_columns, required

_GONE = ("TABLE", "VIEW", "COLUMN", "FUNCTION", "TYPE", "SCHEMA", "SEQUENCE", "DOMAIN")
_RENAMES = (
    ("RENAME", "TO"),
    ("RENAME", "VALUE"),
    ("RENAME", "ATTRIBUTE"),
    ("RENAME", "COLUMN"),
    ("SET", "SCHEMA"),
)
_WIDER = {
    "SMALLINT": ("INT", "BIGINT", "DECIMAL"),
    "INT": ("BIGINT", "DECIMAL"),
    "BIGINT": ("DECIMAL",),
    "FLOAT": ("DOUBLE",),
    "CHAR": ("VARCHAR", "TEXT"),
    "VARCHAR": ("TEXT",),
}


def breaking(text: Text, earlier: tuple[Text, ...] = ()) -> tuple[Flaw, ...]:
    """Return the breaking changes of a migration; `earlier` ones provide the types of columns."""
    return tuple(_breaking(text, earlier))


def _breaking(text: Text, earlier: tuple[Text, ...]) -> Iterator[Flaw]:
    own = {(one.kind, one.name) for each in text.statements for one in created(each)}
    columns = {(one.table, one.name) for each in text.statements for one in created(each)}
    tables = {name for kind, name in own if kind == "TABLE"}
    types = _types(earlier)
    for statement in text.statements:
        place = text.at(statement)
        for one in dropped(statement):
            new = (one.kind, one.name) in own if not one.table else one.table in tables
            if one.kind in _GONE and not new:
                yield flaw(
                    "migration.removed", place, f"drops {one}, which the previous release uses"
                )
        for table, column in added_columns(statement):
            if table not in tables and required(column):
                message = f"requires a value for the new column {name_of(column)} of {table}"
                yield flaw("migration.required", place, message)
        yield from _altered(statement, place, tables, columns, types)
        yield from _renamed(statement, place, {name for _, name in own})


def _altered(
    statement: Statement,
    place: str,
    tables: set[str],
    columns: set[tuple[str, str]],
    types: dict[tuple[str, str], Any],
) -> Iterator[Flaw]:
    from sqlglot import exp

    if not isinstance(statement.tree, exp.Alter):
        return
    if statement.tree.args.get("kind") not in ("TABLE", "VIEW"):
        return
    table = name_of(statement.tree.this)
    if table in tables:
        return
    for action in statement.tree.args.get("actions", ()):
        if isinstance(action, exp.AlterRename):
            message = f"renames {table} to {name_of(action.this)}"
            yield flaw("migration.renamed", place, message)
        elif isinstance(action, exp.RenameColumn):
            to = name_of(action.args["to"])
            message = f"renames column {name_of(action.this)} of {table} to {to}"
            yield flaw("migration.renamed", place, message)
        elif isinstance(action, exp.AlterColumn):
            column = name_of(action.this)
            if action.args.get("allow_null") is False:
                message = f"sets column {column} of {table} NOT NULL"
                yield flaw("migration.required", place, message)
            elif action.args.get("dtype"):
                before, after = types.get((table, column)), action.args["dtype"]
                if not _widens(before, after):
                    known = f" from {_sql(before)}" if before else ""
                    message = f"changes column {column} of {table}{known} to {_sql(after)}"
                    yield flaw("migration.narrowed", place, message)
        elif isinstance(action, exp.AddConstraint) and not _of_new_columns(action, table, columns):
            message = f"adds {_sql(action)[4:]} to {table}"
            yield flaw("migration.constrained", place, message)


def _renamed(statement: Statement, place: str, own: set[str]) -> Iterator[Flaw]:
    """Yield renames that sqlglot does not parse: `ALTER TYPE … RENAME VALUE`."""
    upper = [word.upper() for word in statement.words]
    if statement.tree is not None or upper[:1] != ["ALTER"]:
        return
    kind = next((word for word in upper[1:3] if word in _GONE), "")
    name = upper.index(kind) + 1 if kind else 0
    while upper[name : name + 1] and upper[name] in ("IF", "EXISTS", "ONLY"):
        name += 1
    pairs = itertools.pairwise(upper[name + 1 :])
    if (
        kind
        and any(pair in _RENAMES for pair in pairs)
        and folded(statement.words[name]) not in own
    ):
        text = " ".join(statement.text.split())
        yield flaw("migration.renamed", place, f"renames or moves an object in use: {text[:80]}")


def _of_new_columns(action: Any, table: str, columns: set[tuple[str, str]]) -> bool:
    from sqlglot import exp

    references = {id(name) for one in action.find_all(exp.Reference) for name in one.walk()}
    labels = {id(one.this) for one in action.find_all(exp.Constraint)}
    named = [
        name
        for name in action.find_all(exp.Identifier)
        if id(name) not in references and id(name) not in labels
    ]
    return all((table, name_of(name)) in columns for name in named)


def _types(texts: tuple[Text, ...]) -> dict[tuple[str, str], Any]:
    """Return the types of columns that earlier migrations declare."""
    from sqlglot import exp

    found: dict[tuple[str, str], Any] = {}
    for statement in (each for text in texts for each in text.statements):
        tree = statement.tree
        if isinstance(tree, exp.Create) and tree.args.get("kind") == "TABLE":
            for column in tree.find_all(exp.ColumnDef):
                found[name_of(tree.this), name_of(column)] = column.kind
        elif isinstance(tree, exp.Alter):
            for action in tree.args.get("actions", ()):
                if isinstance(action, exp.ColumnDef):
                    found[name_of(tree.this), name_of(action)] = action.kind
                elif isinstance(action, exp.AlterColumn) and action.args.get("dtype"):
                    found[name_of(tree.this), name_of(action)] = action.args["dtype"]
    return found


def _widens(before: Any, after: Any) -> bool:
    """Return True if every value of one type is a value of the other, in the same notation."""
    if before is None:
        return False
    old, new = before.this.name, after.this.name
    if old == new:
        lengths = [[int(one.name) for one in kind.expressions] for kind in (before, after)]
        if not lengths[1]:
            return True
        if not lengths[0]:
            return False
        return all(b >= a for a, b in zip(*lengths, strict=False))
    return new in _WIDER.get(old, ()) and (new != "VARCHAR" or not after.expressions)


def _sql(tree: Any) -> str:
    text: str = tree.sql(dialect="postgres")
    return text
