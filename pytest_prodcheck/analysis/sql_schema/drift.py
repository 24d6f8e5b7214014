"""The missing or different parts of a live table, compared with the expected one.

Additional parts of the database are not a drift, because another release may need them.
"""

from collections.abc import Collection, Iterator

import msgspec

from pytest_prodcheck.analysis.sql_schema.policies import policy_drift
from pytest_prodcheck.analysis.sql_schema.sql import same
from pytest_prodcheck.analysis.sql_schema.tables import ForeignKey, Index, Schema, Table
from pytest_prodcheck.analysis.sql_schema.types import same_type
from pytest_prodcheck.analysis.sql_schema.written import foreign_key_text, index_text
from pytest_prodcheck.model import Record, Severity

MIGRATE = "Run the migration that this release needs, or correct what the code expects."
_NEAR = 0.6
"""The similarity from which a name is suggested: `mood_score` for `mood_level` has 0.6."""


class Drift(Record):
    """One difference, with its place, severity and remedy."""

    rule: str
    place: str
    message: str
    severity: Severity = "critical"
    remedy: str = MIGRATE
    subject: str = ""
    """`table orders column id`"""


def drift(expected: Table, live: Schema, wanted: Collection[str] = ()) -> tuple[Drift, ...]:
    """Return every difference from the expected table; empty if there is none.

    *wanted*: the names of all expected tables, which are not suggested for this one.
    """
    found = live.table(expected.name)
    if found is None:
        others = [table.name for table in live.tables if table.name not in wanted]
        near = _similar_name(expected.name, others)
        kind = "view" if expected.view else "table"
        missing = _drift("table_missing", expected.name, f"this {kind} is not there{near}")
        return (_with_subject(missing, expected.name),)
    return tuple(_with_subject(one, expected.name) for one in _of_table(expected, found, live))


_PARTS = {
    "schema.column_missing": "column",
    "schema.type": "column",
    "schema.nullability": "column",
    "schema.foreign_key": "foreign key",
    "schema.index": "index",
    "schema.index_invalid": "index",
    "schema.policy_missing": "policy",
    "schema.policy_differs": "policy",
    "schema.policy_unexpected": "policy",
    "schema.policy_conflict": "policy",
}
"""Rule -> the part of a table to which it applies; the others apply to the table itself."""


def _with_subject(one: Drift, table: str) -> Drift:
    part = one.place.removeprefix(table).removeprefix(".")
    kind = _PARTS.get(one.rule)
    subject = f"table {table} {kind} {part}" if kind else f"table {table}"
    return msgspec.structs.replace(one, subject=subject)


def _of_table(expected: Table, live: Table, schema: Schema) -> Iterator[Drift]:
    if expected.view is not None and expected.view != live.view:
        kinds = ("a table", "a view")
        message = f"is {kinds[bool(live.view)]}, where {kinds[expected.view]} is expected"
        yield _drift("kind", expected.name, message)
    yield from _columns(expected, live, schema)
    key, there = expected.primary_key, live.primary_key or ()
    if key is not None and sorted(key) != sorted(there):
        message = f"has the primary key {_list(there)}, where "
        message += f"{_list(key)} is expected"
        yield _drift("primary_key", expected.name, message)
    yield from _foreign_keys(expected, live, schema)
    yield from _indexes(expected, live)
    for rule, place, message, remedy in policy_drift(expected, live):
        yield _drift(rule, place, message, remedy=remedy)


def _columns(expected: Table, live: Table, schema: Schema) -> Iterator[Drift]:
    names = {column.name: column for column in live.columns}
    wanted = {column.name for column in expected.columns}
    unexpected = [name for name in names if name not in wanted]
    keys = {*(expected.primary_key or ()), *(live.primary_key or ())}
    for column in expected.columns:
        place = f"{expected.name}.{column.name}"
        found = names.get(column.name)
        if found is None:
            near = _similar_name(column.name, unexpected)
            yield _drift("column_missing", place, f"this column is not there{near}")
            continue
        if not same_type(column.type, found.type, schema.dialect):
            message = f"is {found.type}, where {column.type} is expected"
            yield _drift("type", place, message)
        # A key is never null, even if that is not written; a view has no such information.
        if column.nullable == found.nullable or column.name in keys or live.view:
            continue
        message = (
            "may be null, where `not null` is expected"
            if found.nullable
            else "is not null, where null is allowed: storing nothing there will fail"
        )
        yield _drift("nullability", place, message, "major")


def _foreign_keys(expected: Table, live: Table, schema: Schema) -> Iterator[Drift]:
    there = [_unqualified(key, schema) for key in live.foreign_keys or ()]
    for key in expected.foreign_keys or ():
        wanted = _unqualified(key, schema)
        if any(_same_key(wanted, one) for one in there):
            continue
        place = f"{expected.name}({', '.join(key.columns)})"
        rivals = [one for one in there if one.columns == wanted.columns]
        other = f"; there is {foreign_key_text(rivals[0])}" if rivals else ""
        message = f"no foreign key {foreign_key_text(wanted)}{other}"
        yield _drift("foreign_key", place, message, "major")


def _unqualified(key: ForeignKey, schema: Schema) -> ForeignKey:
    """Return the key without the default schema in the table's name."""
    return msgspec.structs.replace(key, table=key.table.removeprefix(f"{schema.default}."))


def _same_key(wanted: ForeignKey, live: ForeignKey) -> bool:
    whole = wanted.references or live.references
    return all(
        getattr(wanted, name) == getattr(live, name)
        for name in ("columns", "table", "on_delete", "on_update")
    ) and whole in (live.references, ())


def _indexes(expected: Table, live: Table) -> Iterator[Drift]:
    there = live.indexes or ()
    for index in expected.indexes or ():
        text = index_text(index)
        place = f"{expected.name}({index.columns})"
        found = [one for one in there if _same_index(index, one)]
        if not found:
            rivals = [index_text(one) for one in there if same(one.columns, index.columns)]
            other = f"; there is {rivals[0]}" if rivals else ""
            yield _drift("index", place, f"no index {text}{other}", "major")
        elif not any(one.valid for one in found):
            yield _drift(
                "index_invalid",
                place,
                f"the index {text} is there, but invalid: PostgreSQL does not use it",
                "major",
                "Building it failed; drop it and build it again: CREATE INDEX CONCURRENTLY.",
            )


def _same_index(one: Index, other: Index) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("unique", "method", "nulls_distinct")
    ) and all(
        same(getattr(one, name), getattr(other, name)) for name in ("columns", "include", "where")
    )


def unexpected(expected: Table, live: Table) -> list[str]:
    """Return the columns that nothing expects, for a message; they are not a drift."""
    wanted = {column.name for column in expected.columns}
    return [column.name for column in live.columns if column.name not in wanted]


def _similar_name(name: str, others: Collection[str]) -> str:
    from difflib import get_close_matches  # slow to import, and rarely needed

    by_lower = {other.lower(): other for other in others}
    near = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=_NEAR)
    return f"; there is {by_lower[near[0]]}, which nothing expects" if near else ""


def _list(names: Collection[str]) -> str:
    return f"({', '.join(names)})" if names else "none"


def _drift(
    rule: str,
    place: str,
    message: str,
    severity: Severity = "critical",
    remedy: str = MIGRATE,
) -> Drift:
    return Drift(
        rule=f"schema.{rule}", place=place, message=message, severity=severity, remedy=remedy
    )
