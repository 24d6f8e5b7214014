"""The merge of several journals: the shards of a run, or one run seen from several vantages."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import PassedBefore, Problem, Release, Run
from pytest_prodcheck.store.entries import (
    Begin,
    End,
    Entry,
    Plan,
    ProblemFound,
    Report,
    WarningGiven,
)
from pytest_prodcheck.store.journal import fold
from pytest_prodcheck.store.part_plans import refuse_other_plans
from pytest_prodcheck.store.undo_journal import left_behind
from pytest_prodcheck.verdict.manifest import missing
from pytest_prodcheck.verdict.releases import same_release


def merge(journals: Sequence[list[Entry]], run_id: str) -> list[Entry]:
    """Return the entries of one journal with the facts of all.

    Raises UsageError if they are not about the same target under the same policy, or do not
    belong to one plan.
    """
    runs = [fold(entries) for entries in journals]
    for run in runs[1:]:
        theirs = _shared_settings(run)
        for what, ours in _shared_settings(runs[0]).items():
            if theirs[what] != ours:
                raise UsageError(
                    f"run {run.run_id} has another {what} than run {runs[0].run_id} "
                    f"({theirs[what]}, not {ours}). Only runs on one target under one policy can "
                    "be merged."
                )
    refuse_other_plans(runs, journals)
    suffix = _suffixes(runs)
    several = len({run.target.vantage for run in runs}) > 1
    entries: list[Entry] = [_head(runs, run_id)]
    for run, journal in zip(runs, journals, strict=True):
        entries += [_renamed(e, suffix(run)) for e in journal if not isinstance(e, Begin | End)]
        entries += map(_entry, unfinished(journal))
    unclear = [*_missing_shards(runs), *_missing_required(runs), *_different_releases(runs)]
    unclear += _conflicts(runs) if several else []
    entries += map(_entry, unclear)
    ends = [entry for journal in journals for entry in journal if isinstance(entry, End)]
    entries.append(
        End(
            finished=max((end.finished for end in ends), default=""),
            duration_s=max((end.duration_s for end in ends), default=0.0),
            entries=len(entries),
        )
    )
    return entries


def by_vantage(run: Run, journals: Sequence[list[Entry]]) -> list[Run]:
    """Return the merged *run* as each vantage saw it, with the ids of its own runs."""
    parts = [fold(entries) for entries in journals]
    suffix = _suffixes(parts)
    views = {part.target.vantage: (part.target, suffix(part)) for part in parts}
    if len(views) == 1:
        return [run]
    return [
        msgspec.structs.replace(
            run,
            target=target,
            checks=tuple(
                msgspec.structs.replace(check, id=check.id.removesuffix(end))
                for check in run.checks
                if check.id.endswith(end)
            ),
        )
        for target, end in views.values()
    ]


def drills_left(run: Path) -> list[Problem]:
    """Return the changes that drills of a killed run may have left on the target."""
    return [Problem(what="drill", detail=detail) for detail in left_behind(run)]


def unfinished(journal: list[Entry]) -> list[Problem]:
    """Return the problem of a journal that is incomplete; none for a complete one.

    Without an end, the run was killed. The end has the number of lines before it.
    """
    run_id = journal[0].run_id if isinstance(journal[0], Begin) else ""
    for position, entry in enumerate(journal):
        if isinstance(entry, End):
            if entry.entries in (None, position):
                return []
            count = entry.entries
            detail = f"the journal of run {run_id} has {position} lines, and {count} were written"
            return [Problem(what="stopped", detail=detail)]
    return [Problem(what="stopped", detail=f"run {run_id} was killed before its end")]


def never_judged(run: Path) -> list[Problem]:
    """Return the problem of a run that was killed between its journal's end and its verdict.

    In that case no journal has the violations after the end.
    """
    try:
        content = msgspec.json.decode((run / "verdict.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return []
    if content.get("state") not in ("running", "recovered"):
        return []
    detail = f"run {content.get('run_id')} was killed before its verdict was written"
    return [Problem(what="stopped", detail=detail)]


def _shared_settings(run: Run) -> dict[str, Any]:
    """Return the settings that all runs must share, by the names that users know."""
    return {
        "target": run.target.name,
        "base_url": run.target.base_url,
        "read_only": run.target.read_only,
        "threshold": run.policy.threshold,
        "weights": run.policy.weights,
        "actions": [msgspec.to_builtins(action) for action in run.policy.actions],
        "veto": list(run.policy.veto),
        "required": list(run.policy.required),
    }


def _head(runs: list[Run], run_id: str) -> Begin:
    target = runs[0].target
    vantages = sorted({run.target.vantage for run in runs})
    head = msgspec.structs.replace(
        runs[0],
        run_id=run_id,
        target=msgspec.structs.replace(target, vantage=", ".join(vantages)),
        started=min(run.started for run in runs),
        passed_before=_passed_before(runs),
        checks=(),
        unscored=(),
        problems=(),
        shard=None,
        command=_whole_command(runs[0].command, keep_vantage=len(vantages) == 1),
    )
    return Begin(**msgspec.structs.asdict(head))


def _passed_before(runs: list[Run]) -> dict[str, PassedBefore]:
    """Return each part's record of the last run that passed, with the ids of the merged run."""
    suffix = _suffixes(runs)
    found: dict[str, PassedBefore] = {}
    for run in runs:
        for category, before in run.passed_before.items():
            ids = {f"{id_}{suffix(run)}": None for id_ in before.checks}
            known = found[category].checks if category in found else ()
            times = {f"{id_}{suffix(run)}": p95 for id_, p95 in before.p95_ms.items()}
            found[category] = msgspec.structs.replace(
                before,
                checks=tuple({**dict.fromkeys(known), **ids}),
                p95_ms={**(found[category].p95_ms if known else {}), **times},
            )
    return found


def _suffixes(runs: list[Run]) -> Callable[[Run], str]:
    """Return a function from a run to the suffix of its ids: "" if there is one vantage only."""
    several = len({run.target.vantage for run in runs}) > 1
    return lambda run: f" @{run.target.vantage}" if several else ""


def _whole_command(command: str, *, keep_vantage: bool) -> str:
    """Return the command that repeats the whole run rather than the part of *command*."""
    gone = "shard" if keep_vantage else "(?:shard|vantage)"
    return re.sub(rf" --prodcheck-{gone}[= ](?:'[^']*'|\S+)", "", command)


def _renamed(entry: Entry, suffix: str) -> Entry:
    if not suffix:
        return entry
    replace = msgspec.structs.replace
    match entry:
        case Plan():
            checks = tuple(replace(check, id=check.id + suffix) for check in entry.checks)
            return replace(entry, checks=checks)
        case WarningGiven():
            return replace(entry, check=entry.check + suffix)
        case Report():
            return Report(data={**entry.data, "nodeid": entry.data["nodeid"] + suffix})
    return entry


def _entry(problem: Problem) -> ProblemFound:
    return ProblemFound(what=problem.what, detail=problem.detail)


def _missing_shards(runs: list[Run]) -> list[Problem]:
    """Return a problem for each shard that is missing; each vantage needs all of them."""
    present = {(run.target.vantage, run.shard) for run in runs if run.shard}
    whole = {(vantage, shard.partition("/")[2]) for vantage, shard in present}
    return [
        Problem(what="required", detail=f"part {part}/{number} of the run is missing ({vantage})")
        for vantage, number in sorted(whole)
        for part in range(1, int(number) + 1)
        if (vantage, f"{part}/{number}") not in present
    ]


def _different_releases(runs: list[Run]) -> list[Problem]:
    """Return a problem if parts saw different releases, neither of which was checked as a whole."""
    seen: list[Release] = []
    for run in runs:
        if run.release != Release() and not any(same_release(run.release, one) for one in seen):
            seen.append(run.release)
    if len(seen) < 2:
        return []
    names = " and ".join(f"{release.version} ({release.commit})" for release in seen)
    return [Problem(what="required", detail=f"the runs saw different releases: {names}")]


def _missing_required(runs: list[Run]) -> list[Problem]:
    """Return a problem for each check that the manifest requires and no part planned."""
    if not any(run.shard for run in runs):
        return []
    planned = {check.id: check for run in runs for check in run.checks}
    required = runs[0].policy.required
    return [Problem(what="required", detail=d) for d in missing(required, [*planned.values()])]


def _conflicts(runs: list[Run]) -> list[Problem]:
    """Return a problem for each check that passed from one vantage and failed from another.

    The target may be healthy, but not reachable from everywhere.
    """
    outcomes: dict[str, dict[str, str]] = {}
    for run in runs:
        for check in run.checks:
            outcomes.setdefault(check.id, {})[run.target.vantage] = check.outcome
    return [
        Problem(
            what="vantage",
            detail=f"the vantages disagree about {id_}: "
            + ", ".join(f"{outcome} from {vantage}" for vantage, outcome in seen.items()),
        )
        for id_, seen in outcomes.items()
        if {"passed", "failed"} <= set(seen.values())
    ]
