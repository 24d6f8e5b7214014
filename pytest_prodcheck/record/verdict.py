"""`verdict.json`: what it says, and how a gate reads it."""

import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.judge import EXIT_BY_RULING
from pytest_prodcheck.model import SCHEMA, Check, Planned, Release, Run, Verdict
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
    """Return *check* as it stands in the file: its failures by their titles."""
    return {**msgspec.structs.asdict(check), "failures": check.titles}


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
    """Return exit code and one sentence for the verdict in folder or file *run*.

    Whatever is missing, old, of another target or commit, unfinished, or only a part of a run is
    inconclusive. The sentence ends with the run that was read.
    """
    now = now or datetime.now(UTC)
    code, sentence = _gate(run, target, commit, max_age, require, now)
    return code, f"{sentence}; {_identity(run, now)}"


def _identity(run: Path, now: datetime) -> str:
    """Return which run was read: its id, age, target and release."""
    try:
        content = _content(run)
        release = msgspec.convert(content["release"], Release).name or "release unknown"
        age = _age(now - datetime.fromisoformat(content["started"]))
        return f"read run {content['run_id']}, {age} old, {content['target']['name']}, {release}"
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return f"read {_file(run)}"


def _age(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _gate(
    run: Path,
    target: str | None,
    commit: str | None,
    max_age: timedelta,
    require: tuple[str, ...],
    now: datetime,
) -> tuple[int, str]:
    wanted = [requirement(text) for text in require]
    try:
        content = _content(run)
        ruling, state = content["verdict"], content["state"]
        age = now - datetime.fromisoformat(content["started"])
        told_target, told_commit = content["target"]["name"], content["release"]["commit"]
        categories = content.get("categories") or {}
        code = EXIT_BY_RULING[ruling]
        told = f"{ruling}: {content['decision']} ({'; '.join(content['reasons']) or 'all well'})"
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        return _unproven(f"{_file(run)} holds no verdict ({error.__class__.__name__}: {error})")
    if content.get("schema") != SCHEMA:
        return _unproven(
            f"{_file(run)} has schema {content.get('schema')}, this gate reads {SCHEMA}"
        )
    if state == "running":
        return _unproven("the run has not finished, or was killed: see `prodcheck recover`")
    if target is not None and told_target != target:
        return _unproven(f"the verdict is about target {told_target!r}, not {target!r}")
    if commit is not None and not told_commit:
        return _unproven(
            f"the target tells no commit, so nobody knows whether it is {commit}. Let its health "
            f"answer tell `commit`, or say where it stands: {release_setting(told_target)}"
        )
    if commit is not None and not same_commit(told_commit, commit):
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


def gate_after_rollback(run: Path, bad: Path | None) -> tuple[int, str]:
    """Whether *run*, which the gate has let pass, shows that the rollback after *bad* has helped.

    Without *bad* it is the newest earlier run on the same target, in the same folder, that said
    roll back. Then: release or operating mode are others than in *bad* (the release is the last
    good one, where that is known), and every check that failed then has passed now.
    """
    now_told = _content(run)
    bad = bad or _run_before(run, now_told)
    if bad is None:
        return _unproven("no earlier run on this target said roll back: name it after the option")
    try:
        then_told = _content(bad)
        if then_told["target"]["name"] != now_told["target"]["name"]:
            other = then_told["target"]["name"]
            return _unproven(f"{bad} is about target {other!r}, not {now_told['target']['name']!r}")
        if then_told["verdict"] == "pass":
            return _unproven(f"run {then_told['run_id']} passed: there was nothing to roll back")
        changed = _changed(then_told, now_told)
        failed = [check["id"] for check in then_told["checks"] if check["outcome"] == "failed"]
        passed = {check["id"] for check in now_told["checks"] if check["outcome"] == "passed"}
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        return _unproven(f"{bad} holds no finished verdict ({type(error).__name__}: {error})")
    if not changed:
        return _unproven(
            f"neither release ({_named(now_told['release'])}) nor operating mode is another than "
            f"in run {then_told['run_id']}, as far as the target tells"
        )
    good = (then_told.get("last_good") or {}).get("release") or {}
    if changed == "release" and any(good.values()) and now_told["release"] != good:
        return _unproven(
            f"the release is {_named(now_told['release'])}, the last good one {_named(good)}"
        )
    if missing_now := [id_ for id_ in failed if id_ not in passed]:
        return _unproven(
            f"{len(missing_now)} of {len(failed)} checks that failed then have not passed now, "
            f"as {missing_now[0]}"
        )
    where = now_told["flags"]["mode"] if changed == "mode" else _named(now_told["release"])
    again = f"{len(failed)} checks that failed in run {then_told['run_id']} passed"
    return 0, f"pass: rolled back to {where}; {again}"


def release_setting(target: str) -> str:
    """What to write into the configuration, so that runs on this target know the release."""
    places = 'from = "/health", version = "$.version" and commit = "$.commit"'
    return f"[targets.{target}.release] with {places}"


def _changed(then: dict[str, Any], now: dict[str, Any]) -> str:
    """What is another than before: `release`, `mode`, or nothing that both tell."""
    old, new = then["release"], now["release"]
    if all((old["version"], new["version"])) and old["version"] != new["version"]:
        return "release"
    if all((old["commit"], new["commit"])) and not same_commit(old["commit"], new["commit"]):
        return "release"
    modes = [told.get("flags", {}).get("mode") for told in (then, now)]
    return "mode" if all(modes) and modes[0] != modes[1] else ""


def _file(run: Path) -> Path:
    return run / "verdict.json" if run.is_dir() else run


def _content(run: Path) -> dict[str, Any]:
    return msgspec.json.decode(_file(run).read_bytes(), type=dict[str, Any])


def _run_before(run: Path, content: dict[str, Any]) -> Path | None:
    """The newest run before this one, on its target, that said roll back."""
    folder = (run if run.is_dir() else run.parent).resolve().parent
    earlier: list[tuple[str, Path]] = []
    for file in folder.glob("*/verdict.json"):
        with contextlib.suppress(OSError, msgspec.DecodeError, KeyError, TypeError):
            found = _content(file)
            same = found["target"]["name"] == content["target"]["name"]
            if same and found["decision"] == "rollback" and found["started"] < content["started"]:
                earlier.append((found["started"], file.parent))
    return max(earlier)[1] if earlier else None


def _named(release: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in release.items() if value) or "unknown"


def _unproven(reason: str) -> tuple[int, str]:
    return EXIT_BY_RULING["inconclusive"], f"inconclusive: {reason}"


def same_commit(told: str | None, wanted: str) -> bool:
    """Equal, or one is the other's abbreviation (git's shortest is 4 digits; we want 7)."""
    if not told or min(len(told), len(wanted)) < 7:
        return told == wanted
    return told.startswith(wanted) or wanted.startswith(told)
