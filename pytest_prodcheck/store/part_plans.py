"""The check that several runs are parts of one plan, and so prove the whole of it together."""

from collections.abc import Iterable, Sequence

import msgspec

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Planned, Run
from pytest_prodcheck.store.entries import Entry, Plan

NAMED = 3
"""Number of checks that a message names."""


def refuse_other_plans(runs: Sequence[Run], journals: Sequence[list[Entry]]) -> None:
    """Raise UsageError unless all *runs* had the same plan, and each ran all of it or its shard.

    A run that was killed before its plan was made has none to compare.
    """
    if len(runs) > 1 or runs[0].shard:
        for run in runs:
            if run.part and not run.part.chosen:
                raise UsageError(
                    f"run {run.run_id} is not a whole part: {run.part.text}. Run it again without "
                    "-k and similar options, then merge."
                )
    first = runs[0]
    for run in runs[1:]:
        if differs := _configuration_difference(first, run):
            raise UsageError(
                f"run {run.run_id} has another {differs} than run {first.run_id}. Only parts of "
                "one plan can be merged."
            )
    plans = [_plan(journal) for journal in journals]
    known = [(run, plan) for run, plan in zip(runs, plans, strict=True) if plan]
    for run, plan in known[1:]:
        if differs := _plan_difference(*known[0], run, plan):
            raise UsageError(f"{differs}. Only parts of one plan can be merged.")


def _configuration_difference(one: Run, other: Run) -> str:
    """Return the option or section in which *other* differs; "" if there is none."""
    if one.selection != other.selection:
        return f"-m ({other.selection or 'none'}, not {one.selection or 'none'})"
    names = {**one.configuration, **other.configuration}
    found = [name for name in names if one.configuration.get(name) != other.configuration.get(name)]
    return f"configuration of {', '.join(found)}" if found else ""


class _Plan(msgspec.Struct):
    """The checks that one run planned, and the ids that all its parts plan together."""

    checks: dict[str, Planned]
    whole: set[str]


def _plan(journal: list[Entry]) -> _Plan | None:
    """Return the plan of a journal; None for a run that made none."""
    plans = [entry for entry in journal if isinstance(entry, Plan)]
    if not plans:
        return None
    checks = {check.id: check for plan in plans for check in plan.checks}
    whole = {id_ for plan in plans for id_ in plan.whole}
    return _Plan(checks=checks, whole=whole or set(checks))


def _plan_difference(one: Run, ours: _Plan, other: Run, theirs: _Plan) -> str:
    """Return a sentence on how the plan of *other* differs; "" if it does not."""
    if lacking := ours.whole - theirs.whole:
        return f"run {one.run_id} planned {_first_of(lacking)}, and run {other.run_id} did not"
    if lacking := theirs.whole - ours.whole:
        return f"run {other.run_id} planned {_first_of(lacking)}, and run {one.run_id} did not"
    for id_ in ours.checks.keys() & theirs.checks.keys():
        here, there = ours.checks[id_], theirs.checks[id_]
        for name in ("category", "severity", "permitted"):
            if getattr(here, name) != getattr(there, name):
                return (
                    f"run {other.run_id} has another {name} of {id_} than run {one.run_id} "
                    f"({getattr(there, name)}, not {getattr(here, name)})"
                )
    return ""


def _first_of(ids: Iterable[str]) -> str:
    """Return the first NAMED ids as text, and how many more there are."""
    ordered = sorted(ids)
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return ", ".join(ordered[:NAMED]) + more
