"""`verdict.json`: what it says of a run, and the words in which a gate is asked."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import CATEGORIES, SCHEMA, Check, Planned, Release, Run, Verdict
from pytest_prodcheck.store.journal import encode


def document(run: Run, verdict: Verdict | None) -> dict[str, Any]:
    """The content of `verdict.json`; without a verdict, of a run that is still under way."""
    head = {
        "schema": SCHEMA,
        "run_id": run.run_id,
        "state": run.state,
        "target": run.target,
        "release": run.release,
        "last_good": run.last_good,
        "started": run.started,
        "finished": run.finished or None,
        "duration_s": run.duration_s,
    }
    if verdict is None:
        ruling: dict[str, Any] = {
            "score": None,
            "threshold": float(run.policy.threshold),
            "verdict": "inconclusive",
            "decision": "hold",
            "reasons": ["the run has not finished"],
        }
        return {**_plain(head), **ruling}
    ruling = {
        "part": _part(run),
        "score": verdict.score,
        "threshold": verdict.threshold,
        "weights": run.policy.weights,
        "veto": run.policy.veto,
        "verdict": verdict.verdict,
        "decision": verdict.decision,
        "reasons": verdict.reasons,
        "counts": verdict.counts,
        "categories": verdict.categories,
        "checks": [_check(check) for check in run.checks],
        "unscored": [_check(check) for check in run.unscored],
        "problems": run.problems,
        "vetoes": verdict.vetoes,
        "warnings": run.warnings,
        "findings": verdict.findings,
        "actions": verdict.actions,
        "metrics": run.metrics,
        "flags": run.flags,
    }
    return {**_plain(head), **_plain(ruling)}


def _part(run: Run) -> str | None:
    """Return what the run is a part of, if it is one."""
    return run.part.text if run.part else f"part {run.shard}" if run.shard else None


def _check(check: Check) -> dict[str, Any]:
    """Return *check* as it stands in the file: its failures by their titles, and in full."""
    facts = msgspec.structs.asdict(check)
    return {**facts, "failures": check.titles, "details": check.failures}


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(data)
    return plain


def text(content: dict[str, Any]) -> str:
    return msgspec.json.format(encode(content), indent=2).decode() + "\n"


_REQUIREMENT = re.compile(r"\s*(\w+)\s*>=\s*(\d+)\s*")


def requirement(text: str) -> tuple[str, int]:
    """`smoke>=10` as ("smoke", 10). Raises UsageError for anything else."""
    match = _REQUIREMENT.fullmatch(text)
    if not match:
        raise UsageError(f"{text!r} is not a requirement; write it like smoke>=10")
    if match[1] not in CATEGORIES:
        close = get_close_matches(match[1], CATEGORIES, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UsageError(
            f"{match[1]!r} in {text!r} is not a category.{hint} Categories: {', '.join(CATEGORIES)}"
        )
    return match[1], int(match[2])


def missing(required: tuple[str, ...], planned: Sequence[Planned | Check]) -> list[str]:
    """What the manifest demands (`smoke>=10`, or a glob over ids) and the plan lacks."""
    lacking = []
    for wanted in required:
        if ">=" in wanted:
            category, number = requirement(wanted)
            found = sum(check.category == category for check in planned)
            if found < number:
                lacking.append(f"required are {category}>={number}, planned were {found}")
        elif not any(fnmatchcase(check.id, wanted) for check in planned):
            lacking.append(f"required check {wanted} was not planned")
    return lacking


_ABBREVIATION = re.compile(r"[0-9a-f]{7,40}", re.IGNORECASE)
"""A commit of git, whole or abbreviated."""


def same_commit(told: str | None, wanted: str | None) -> bool:
    """Return whether both are the same commit, of which one may be git's abbreviation.

    Only 7 to 40 hexadecimal digits abbreviate. `build-1234`, `3e68e18-dirty`, and two numbers of
    which neither is a whole hash, are compared as they are.
    """
    if not told or not wanted or told == wanted:
        return told == wanted
    one, other = sorted((told.lower(), wanted.lower()), key=len)
    if not (_ABBREVIATION.fullmatch(one) and _ABBREVIATION.fullmatch(other)):
        return False
    if (one + other).isdecimal() and len(other) < 40:
        return False  # numbers of builds
    return other.startswith(one)


def same_release(one: Release, other: Release) -> bool:
    """Return whether version and commit are the same, the commit as in `same_commit`."""
    return one.version == other.version and same_commit(one.commit, other.commit)


def is_another(one: Release, other: Release) -> bool:
    """Return whether *one* and *other* differ in what both of them tell."""
    versions, commits = (one.version, other.version), (one.commit, other.commit)
    return (all(versions) and one.version != other.version) or (
        all(commits) and not same_commit(*commits)
    )


def release_setting(target: str) -> str:
    """Return what to write into the configuration, so that runs on *target* know the release."""
    places = 'from = "/health", version = "$.version" and commit = "$.commit"'
    return f"[targets.{target}.release] with {places}"
