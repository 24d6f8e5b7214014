"""The gate: a check that a run proves the release that is about to be promoted."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from pytest_prodcheck.model import Release, Warned
from pytest_prodcheck.report import phrases
from pytest_prodcheck.report.proof import Content, Unproven, proven, recorded, verdict_file
from pytest_prodcheck.verdict.judge import EXIT_BY_RULING
from pytest_prodcheck.verdict.last_run import RELEASE
from pytest_prodcheck.verdict.manifest import requirement
from pytest_prodcheck.verdict.releases import is_another, release_setting, same_commit, same_release

WARNINGS = 3
"""Warnings that the sentence of the gate names."""


def gate(
    run: Path,
    *,
    target: str | None = None,
    commit: str | None = None,
    max_age: timedelta,
    require: tuple[str, ...] = (),
    now: datetime | None = None,
    by_journal: bool = True,
) -> tuple[int, str]:
    """Return exit code and one sentence for the verdict in folder or file *run*.

    A verdict that is missing, changed, old, of another target or commit, unfinished, or of only a
    part of a run is inconclusive. The sentence ends with the run that was read. Without
    *by_journal* the verdict is accepted without its journal. Raises UsageError for an invalid
    requirement.
    """
    now = now or datetime.now(UTC)
    wanted = [requirement(text) for text in require]
    try:
        content = proven(run, by_journal=by_journal)
        _meet(content, target, commit, max_age, wanted, now)
    except Unproven as refused:
        code, sentence = EXIT_BY_RULING[refused.ruling], f"{refused.ruling}: {refused}"
    else:
        warnings = _warnings(content, commit)
        code, sentence = _result(content, "with warnings" if warnings else "no failures")
        sentence = "; ".join([sentence, *warnings])
    return code, f"{sentence}; {_identity(run, now)}"


def _result(content: Content, well: str) -> tuple[int, str]:
    reasons = "; ".join(content["reasons"])
    if content["verdict"] == "pass" and content["decision"] != "promote":
        return _unproven(reasons)
    ruling = content["verdict"]
    return EXIT_BY_RULING[ruling], f"{ruling}: {content['decision']} ({reasons or well})"


def _warnings(content: Content, commit: str | None) -> list[str]:
    """Return the first warnings of the run. Whoever names the *commit* knows how old it is."""
    warned = msgspec.convert(content.get("warnings", ()), tuple[Warned, ...])
    shown = [
        f"warning: {phrases.name(one.check)}: {phrases.gist(one.message)}"
        for one in warned
        if not (commit and one.check == RELEASE)
    ]
    more = [f"{len(shown) - WARNINGS} more warnings"] if len(shown) > WARNINGS else []
    return [*shown[:WARNINGS], *more]


def _meet(
    content: Content,
    target: str | None,
    commit: str | None,
    max_age: timedelta,
    wanted: list[tuple[str, int]],
    now: datetime,
) -> None:
    """Raise Unproven unless *content* meets the demands."""
    judged_target, judged_commit = content["target"]["name"], content["release"]["commit"]
    if target is not None and judged_target != target:
        raise Unproven(f"the verdict is about target {judged_target!r}, not {target!r}")
    if commit is not None and not judged_commit:
        raise Unproven(
            f"the target reports no commit, so it is unknown if it is {commit}. Add `commit` to "
            f"its health response, or set its place: {release_setting(judged_target)}"
        )
    if commit is not None and not same_commit(judged_commit, commit):
        raise Unproven(f"the verdict is about commit {judged_commit}, not {commit}")
    started = datetime.fromisoformat(content["started"])
    if started.tzinfo is None:
        raise Unproven(f"the verdict is of {content['started']}, a time without a time zone")
    if not timedelta(minutes=-1) <= now - started <= max_age:
        raise Unproven(f"the verdict is of {content['started']}: older than {max_age}")
    for category, number in wanted:
        passed = content["categories"].get(category, {}).get("passed", 0)
        if passed < number:
            raise Unproven(f"{passed} {category} checks passed, {number} are required")


def _identity(run: Path, now: datetime) -> str:
    """Return the run that was read: its id, age, target and release."""
    try:
        content = msgspec.json.decode(verdict_file(run).read_bytes(), type=Content)
        release = msgspec.convert(content["release"], Release).name or "release unknown"
        age = _age(now - datetime.fromisoformat(content["started"]))
        return f"read run {content['run_id']}, {age} old, {content['target']['name']}, {release}"
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return f"read {verdict_file(run)}"


def _age(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def gate_after_rollback(run: Path, bad: Path | None, *, by_journal: bool = True) -> tuple[int, str]:
    """Return exit code and a sentence on the success of the rollback after *bad*.

    *run* has passed the gate. Without *bad* it is the newest earlier run on the same target, in the
        same folder, that decided to roll back. The rollback has helped if release or operating mode
        differ from *bad* (the release is the last good one, if that is known), and every check that
        failed then has passed now.
    """
    now = proven(run, by_journal=by_journal)
    bad = bad or _run_before(run, now)
    if bad is None:
        return _unproven(
            "no earlier run on this target decided to roll back: name one after the option"
        )
    try:
        then = proven(bad, by_journal=by_journal)
        if then["target"]["name"] != now["target"]["name"]:
            other = then["target"]["name"]
            return _unproven(f"{bad} is about target {other!r}, not {now['target']['name']!r}")
        if then["verdict"] == "pass":
            return _unproven(f"run {then['run_id']} passed: there was nothing to roll back")
        changed = _changed(then, now)
        failed = [check["id"] for check in then["checks"] if check["outcome"] == "failed"]
        passed = {check["id"] for check in now["checks"] if check["outcome"] == "passed"}
    except Unproven as refused:
        return _unproven(str(refused))
    if not changed:
        return _unproven(
            f"neither release ({_named(now['release'])}) nor operating mode has changed since "
            f"run {then['run_id']}, by what the target reports"
        )
    good = (then.get("last_good") or {}).get("release") or {}
    if changed == "release" and any(good.values()) and not _is_same(now["release"], good):
        return _unproven(
            f"the release is {_named(now['release'])}, the last good one {_named(good)}"
        )
    if missing_now := [id_ for id_ in failed if id_ not in passed]:
        return _unproven(
            f"{len(missing_now)} of {len(failed)} checks that failed then have not passed now, "
            f"for example {missing_now[0]}"
        )
    where = now["flags"]["mode"] if changed == "mode" else _named(now["release"])
    again = f"{len(failed)} checks that failed in run {then['run_id']} passed"
    return 0, f"pass: rolled back to {where}; {again}"


def _changed(then: Content, now: Content) -> str:
    """Return what has changed: `release`, `mode`, or "" if neither did in both reports."""
    old, new = then["release"], now["release"]
    if is_another(Release(**old), Release(**new)):
        return "release"
    modes = [content.get("flags", {}).get("mode") for content in (then, now)]
    return "mode" if all(modes) and modes[0] != modes[1] else ""


def _is_same(one: Content, other: Content) -> bool:
    return same_release(Release(**one), Release(**other))


def _run_before(run: Path, content: Content) -> Path | None:
    """Return the newest run before this one, on its target, that decided to roll back."""
    folder = (run if run.is_dir() else run.parent).resolve().parent
    earlier: list[tuple[str, Path]] = []
    for file in folder.glob("*/verdict.json"):
        with contextlib.suppress(Unproven):
            found = recorded(file)
            same = found["target"]["name"] == content["target"]["name"]
            if same and found["decision"] == "rollback" and found["started"] < content["started"]:
                earlier.append((found["started"], file.parent))
    return max(earlier)[1] if earlier else None


def _named(release: Content) -> str:
    return ", ".join(f"{name} {value}" for name, value in release.items() if value) or "unknown"


def _unproven(reason: str) -> tuple[int, str]:
    return EXIT_BY_RULING["inconclusive"], f"inconclusive: {reason}"
