"""Columns and tables that a migration has renamed: what looks like one gone and one new."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_prodcheck.checks.migrations.snapshot import Schema, Table


def columns(before: Schema, after: Schema, old: Table, new: Table) -> dict[str, str]:
    """Old name -> new name of columns that may be one: defined alike, in the same order.

    Whether they are is proven by their values alone.
    """
    here, there = before.columns[old], after.columns[new]
    fresh = [name for name in there if name not in here]
    found = {}
    for name in here:
        if name in there:
            continue
        definition = before.definition(old, name)
        same = [one for one in fresh if after.definition(new, one) == definition]
        if same:
            found[name] = same[0]
            fresh.remove(same[0])
    return found


def tables(before: Schema, after: Schema) -> dict[Table, Table]:
    """Old name -> new name of tables that may be one: with the same columns."""
    fresh = [table for table in after.columns if table not in before.columns]
    found = {}
    for old, names in before.columns.items():
        if old in after.columns:
            continue
        same = [new for new in fresh if after.columns[new] == names]
        if same:
            found[old] = same[0]
            fresh.remove(same[0])
    return found
