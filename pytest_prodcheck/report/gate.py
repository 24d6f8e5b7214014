"""The gate: whether a run proves what somebody asks for before going on."""

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

    Whatever is missing, changed, old, of another target or commit, unfinished, or only a part of a
    run is inconclusive. The sentence ends with the run that was read. Without *by_journal* the
    verdict is taken without its journal. Raises UsageError for a requirement that is none.
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
        code, sentence = _told(content, "with warnings" if warnings else "all well")
        sentence = "; ".join([sentence, *warnings])
    return code, f"{sentence}; {_identity(run, now)}"


def _told(content: Content, well: str) -> tuple[int, str]:
    reasons = "; ".join(content["reasons"])
    if content["verdict"] == "pass" and content["decision"] != "promote":
        return _unproven(reasons)
    ruling = content["verdict"]
    return EXIT_BY_RULING[ruling], f"{ruling}: {content['decision']} ({reasons or well})"


def _warnings(content: Content, commit: str | None) -> list[str]:
    """Return the first warnings of the run. Whoever names the *commit* knows how old it is."""
    warned = msgspec.convert(content.get("warnings", ()), tuple[Warned, ...])
    told = [
        f"warning: {phrases.name(one.check)}: {phrases.gist(one.message)}"
        for one in warned
        if not (commit and one.check == RELEASE)
    ]
    more = [f"{len(told) - WARNINGS} more warnings"] if len(told) > WARNINGS else []
    return [*told[:WARNINGS], *more]


def _meet(
    content: Content,
    target: str | None,
    commit: str | None,
    max_age: timedelta,
    wanted: list[tuple[str, int]],
    now: datetime,
) -> None:
    """Raise Unproven unless *content* is about what was asked for."""
    told_target, told_commit = content["target"]["name"], content["release"]["commit"]
    if target is not None and told_target != target:
        raise Unproven(f"the verdict is about target {told_target!r}, not {target!r}")
    if commit is not None and not told_commit:
        raise Unproven(
            f"the target tells no commit, so nobody knows whether it is {commit}. Let its health "
            f"answer tell `commit`, or say where it stands: {release_setting(told_target)}"
        )
    if commit is not None and not same_commit(told_commit, commit):
        raise Unproven(f"the verdict is about commit {told_commit}, not {commit}")
    started = datetime.fromisoformat(content["started"])
    if started.tzinfo is None:
        raise Unproven(f"the verdict is of {content['started']}, which names no time zone")
    if not timedelta(minutes=-1) <= now - started <= max_age:
        raise Unproven(f"the verdict is of {content['started']}: older than {max_age}")
    for category, number in wanted:
        passed = content["categories"].get(category, {}).get("passed", 0)
        if passed < number:
            raise Unproven(f"{passed} {category} checks passed, {number} are required")


def _identity(run: Path, now: datetime) -> str:
    """Return which run was read: its id, age, target and release."""
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
    """Whether *run*, which the gate has let pass, shows that the rollback after *bad* has helped.

    Without *bad* it is the newest earlier run on the same target, in the same folder, that said
    roll back. Then: release or operating mode are others than in *bad* (the release is the last
    good one, where that is known), and every check that failed then has passed now.
    """
    now_told = proven(run, by_journal=by_journal)
    bad = bad or _run_before(run, now_told)
    if bad is None:
        return _unproven("no earlier run on this target said roll back: name it after the option")
    try:
        then_told = proven(bad, by_journal=by_journal)
        if then_told["target"]["name"] != now_told["target"]["name"]:
            other = then_told["target"]["name"]
            return _unproven(f"{bad} is about target {other!r}, not {now_told['target']['name']!r}")
        if then_told["verdict"] == "pass":
            return _unproven(f"run {then_told['run_id']} passed: there was nothing to roll back")
        changed = _changed(then_told, now_told)
        failed = [check["id"] for check in then_told["checks"] if check["outcome"] == "failed"]
        passed = {check["id"] for check in now_told["checks"] if check["outcome"] == "passed"}
    except Unproven as refused:
        return _unproven(str(refused))
    if not changed:
        return _unproven(
            f"neither release ({_named(now_told['release'])}) nor operating mode is another than "
            f"in run {then_told['run_id']}, as far as the target tells"
        )
    good = (then_told.get("last_good") or {}).get("release") or {}
    if changed == "release" and any(good.values()) and not _is_same(now_told["release"], good):
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


def _changed(then: Content, now: Content) -> str:
    """What is another than before: `release`, `mode`, or nothing that both tell."""
    old, new = then["release"], now["release"]
    if is_another(Release(**old), Release(**new)):
        return "release"
    modes = [told.get("flags", {}).get("mode") for told in (then, now)]
    return "mode" if all(modes) and modes[0] != modes[1] else ""


def _is_same(one: Content, other: Content) -> bool:
    return same_release(Release(**one), Release(**other))


def _run_before(run: Path, content: Content) -> Path | None:
    """The newest run before this one, on its target, that said roll back."""
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
