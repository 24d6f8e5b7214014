"""The flaws of a migration that are visible in its own statements."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_prodcheck.analysis.database_urls import Dialect
from pytest_prodcheck.analysis.migrations.flaw import Flaw, flaw
from pytest_prodcheck.analysis.migrations.names import Named, created, dropped, folded_of, name_of
from pytest_prodcheck.analysis.migrations.reading import Statement
from pytest_prodcheck.model import Record, Severity

_CAMEL = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z]|^[A-Z][a-z]")
_RECREATED = ("TRIGGER", "POLICY", "TYPE", "DOMAIN", "CONSTRAINT", "FUNCTION", "VIEW", "INDEX")
"""Kinds that a file may drop and create again, because no row is lost."""

_NO_GUARD = {
    "TRIGGER": "write DROP TRIGGER IF EXISTS before it, or CREATE OR REPLACE TRIGGER",
    "VIEW": "write CREATE OR REPLACE VIEW",
    "FUNCTION": "write CREATE OR REPLACE FUNCTION",
    "POLICY": "write DROP POLICY IF EXISTS before it: CREATE POLICY has no IF NOT EXISTS",
    "TYPE": "put it in a DO block that looks into pg_type: CREATE TYPE has no IF NOT EXISTS",
    "DOMAIN": "put it in a DO block that looks into pg_type: it has no IF NOT EXISTS",
    "CONSTRAINT": "write DROP CONSTRAINT IF EXISTS before it: ADD CONSTRAINT has no IF NOT EXISTS",
}
"""Remedies for the kinds that have no IF NOT EXISTS in PostgreSQL."""


class Text(Record, frozen=True):
    """The parsed SQL of one direction of a migration."""

    place: str
    """`migrations/003_tiers.sql`."""
    statements: tuple[Statement, ...]
    dialect: Dialect
    rollback: bool = False
    generated: bool = False
    """Alembic generated it, so its lines are not those of the file."""

    def at(self, statement: Statement) -> str:
        """Return the place of a statement, for messages."""
        if self.generated:
            return f"{self.place}: {' '.join(statement.text.split())[:60]}"
        return f"{self.place}:{statement.line}"


def flaws(text: Text, *, recorded: bool = False) -> tuple[Flaw, ...]:
    """Return the flaws of the statements of one file; `recorded`: its tool applies it only once."""
    return tuple(_flaws(text, recorded))


def _flaws(text: Text, recorded: bool) -> Iterator[Flaw]:
    before: list[Named] = []
    for number, statement in enumerate(text.statements):
        place = text.at(statement)
        if statement.trouble:
            yield flaw("migration.unread", place, statement.trouble)
        later = {one.key for each in text.statements[number:] for one in created(each)}
        for one in dropped(statement):
            yield from _of_dropped(one, text, place, later, recorded)
            before.append(one)
        for one in created(statement):
            yield from _of_created(one, text, place, before, recorded)
        if statement.tree is not None:
            yield from _not_null(statement, text, place)
            yield from _cascade(statement, place)
            if text.dialect == "postgresql":
                yield from _camel_case(statement, place)


def _of_dropped(
    one: Named, text: Text, place: str, later: set[tuple[str, str, str]], recorded: bool
) -> Iterator[Flaw]:
    anew = one.key in later and (one.kind in _RECREATED or text.dialect == "sqlite")
    if not text.rollback and not anew:
        yield flaw("migration.drop", place, f"drops {one} outside a rollback file")
    sqlite_column = text.dialect == "sqlite" and one.table
    if not (one.guarded or recorded or sqlite_column):
        yield flaw("migration.if_exists", place, f"drops {one} without IF EXISTS")
    if one.cascade:
        severity: Severity = "minor" if text.rollback else "major"
        message = f"drops {one} with CASCADE"
        yield flaw("migration.cascade", place, message, severity=severity)


def _of_created(
    one: Named, text: Text, place: str, before: list[Named], recorded: bool
) -> Iterator[Flaw]:
    cleared = any(each.key == one.key and each.guarded for each in before)
    # SQLite has no IF NOT EXISTS for the parts of a table.
    impossible = text.dialect == "sqlite" and (one.renamed or one.kind in ("COLUMN", "CONSTRAINT"))
    if one.guarded or cleared or recorded or impossible or _renamed(one, before):
        return
    remedy = _NO_GUARD.get(one.kind, "") if text.dialect == "postgresql" else ""
    if one.renamed:
        message = f"renames to {one}, which fails the second time"
        remedy = "put it in a DO block that looks into information_schema.columns first"
        yield flaw("migration.if_not_exists", place, message, remedy=remedy)
        return
    yield flaw(
        "migration.if_not_exists", place, f"creates {one} without IF NOT EXISTS", remedy=remedy
    )


def _renamed(one: Named, before: list[Named]) -> bool:
    """Return True if a table replaces one dropped before it, as SQLite changes tables."""
    return one.kind == "TABLE" and any(each.key == one.key for each in before)


def _not_null(statement: Statement, text: Text, place: str) -> Iterator[Flaw]:
    if text.rollback:
        return
    for table, column in added_columns(statement):
        if required(column):
            yield flaw(
                "migration.not_null",
                place,
                f"adds column {name_of(column)} to {table} as NOT NULL without a default: it fails "
                "on a table with rows, and the previous release cannot insert rows",
            )


def added_columns(statement: Statement) -> Iterator[tuple[str, Any]]:
    """Yield table and sqlglot's definition of each column that is added to a table."""
    from sqlglot import exp

    if isinstance(statement.tree, exp.Alter):
        for action in statement.tree.args.get("actions", ()):
            if isinstance(action, exp.ColumnDef):
                yield name_of(statement.tree.this), action


def required(column: Any) -> bool:
    """Return True if a column definition requires a value and has no default."""
    from sqlglot import exp

    kinds = [one.kind for one in column.args.get("constraints", ())]
    given = (
        exp.DefaultColumnConstraint,
        exp.GeneratedAsIdentityColumnConstraint,
        exp.ComputedColumnConstraint,
        exp.AutoIncrementColumnConstraint,
    )
    serial = "SERIAL" in (column.kind.this.name if column.kind else "")
    asked = any(
        isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null")
        for kind in kinds
    ) or any(isinstance(kind, exp.PrimaryKeyColumnConstraint) for kind in kinds)
    return asked and not serial and not any(isinstance(kind, given) for kind in kinds)


def _cascade(statement: Statement, place: str) -> Iterator[Flaw]:
    from sqlglot import exp

    if isinstance(statement.tree, exp.TruncateTable) and statement.tree.args.get("option"):
        yield flaw("migration.cascade", place, "empties a table with CASCADE")
    for reference in statement.tree.find_all(exp.Reference):
        if "ON DELETE CASCADE" in (reference.args.get("options") or ()):
            to = name_of(reference.this)
            yield flaw(
                "migration.cascade",
                place,
                f"deletes rows whenever their row of {to} is deleted (ON DELETE CASCADE)",
                severity="minor",
                remedy="write ON DELETE RESTRICT, unless these rows are useless without the other",
            )


def _camel_case(statement: Statement, place: str) -> Iterator[Flaw]:
    from sqlglot import exp

    seen = set()
    for identifier in statement.tree.find_all(exp.Identifier):
        name = identifier.name
        if identifier.args.get("quoted") or not _CAMEL.search(name) or name in seen:
            continue
        seen.add(name)
        yield flaw(
            "migration.camel_case",
            place,
            f"{name} is not quoted, so PostgreSQL takes it for {folded_of(identifier)}",
            remedy=f'write "{name}", or {folded_of(identifier)} if that is meant',
        )


def place_of(file: Path, root: Path) -> str:
    """Return a file's name for messages: with its folder of migrations in front."""
    return f"{root.name}/{file.relative_to(root).as_posix()}"
