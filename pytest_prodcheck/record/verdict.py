"""`verdict.json`: what it says, and how a gate reads it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.judge import EXIT_BY_RULING
from pytest_prodcheck.model import SCHEMA, Check, Planned, Run, Verdict
from pytest_prodcheck.record.journal import encode


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
        "score": verdict.score,
        "threshold": verdict.threshold,
        "verdict": verdict.verdict,
        "decision": verdict.decision,
        "reasons": verdict.reasons,
        "counts": verdict.counts,
        "categories": verdict.categories,
        "checks": run.checks,
        "unscored": run.unscored,
        "problems": run.problems,
        "findings": verdict.findings,
        "actions": verdict.actions,
        "metrics": run.metrics,
        "flags": run.flags,
    }
    return {**_plain(head), **_plain(ruling)}


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


def gate(
    run: Path,
    *,
    target: str | None = None,
    commit: str | None = None,
    max_age: timedelta,
    require: tuple[str, ...] = (),
    now: datetime | None = None,
) -> tuple[int, str]:
    """Exit code and one sentence for the verdict in folder or file *run*.

    Whatever is missing, old, of another target or commit, or unfinished is inconclusive.
    """
    wanted = [requirement(text) for text in require]
    file = run / "verdict.json" if run.is_dir() else run
    try:
        content = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        ruling, state = content["verdict"], content["state"]
        age = (now or datetime.now(UTC)) - datetime.fromisoformat(content["started"])
        told_target, told_commit = content["target"]["name"], content["release"]["commit"]
        categories = content.get("categories") or {}
        code = EXIT_BY_RULING[ruling]
        told = f"{ruling}: {content['decision']} ({'; '.join(content['reasons']) or 'all well'})"
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        return _unproven(f"{file} holds no verdict ({error.__class__.__name__}: {error})")
    if content.get("schema") != SCHEMA:
        return _unproven(f"{file} has schema {content.get('schema')}, this gate reads {SCHEMA}")
    if state == "running":
        return _unproven("the run has not finished, or was killed: see `prodcheck recover`")
    if target is not None and told_target != target:
        return _unproven(f"the verdict is about target {told_target!r}, not {target!r}")
    if commit is not None and not _same_commit(told_commit, commit):
        return _unproven(f"the verdict is about commit {told_commit}, not {commit}")
    if not timedelta(minutes=-1) <= age <= max_age:
        return _unproven(f"the verdict is of {content['started']}: older than {max_age}")
    for category, number in wanted:
        passed = categories.get(category, {}).get("passed", 0)
        if passed < number:
            return _unproven(f"{passed} {category} checks passed, {number} are required")
    if code == 0 and content["decision"] != "promote":
        return _unproven("; ".join(content["reasons"]))
    return code, told


def _unproven(reason: str) -> tuple[int, str]:
    return EXIT_BY_RULING["inconclusive"], f"inconclusive: {reason}"


def _same_commit(told: str | None, wanted: str) -> bool:
    """Equal, or one is the other's abbreviation (git's shortest is 4 digits; we want 7)."""
    if not told or min(len(told), len(wanted)) < 7:
        return told == wanted
    return told.startswith(wanted) or wanted.startswith(told)
