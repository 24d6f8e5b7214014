"""The texts that page, step summary and terminal share, so that all three agree.

All functions return plain text. Text from a target, a test id or a file passes `line` (or
`sanitize.text`) before it is shown, so that its control characters have no effect.
"""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from pytest_prodcheck.counting import counted
from pytest_prodcheck.model import SEVERITIES, Action, Check, Release, Run, Verdict, subject
from pytest_prodcheck.redaction import sanitize
from pytest_prodcheck.verdict.actions import seconds
from pytest_prodcheck.verdict.releases import release_setting
from pytest_prodcheck.verdict.remarks import shared_remarks

DECISIONS = {"promote": "PROMOTE", "hold": "HOLD", "rollback": "ROLL BACK"}

OUTCOMES = {
    "passed": "passed",
    "failed": "failed",
    "skipped": "skipped",
    "not_permitted": "not permitted",
    "not_run": "not run",
    "flaky": "flaky",
    "known": "known to fail",
}


def clip(text: str, limit: int) -> str:
    """Return *text* in at most *limit* characters; a cut one ends in an ellipsis."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def line(text: str, limit: int = 300) -> str:
    """Return *text* as one harmless line of at most *limit* characters."""
    # Cut before and after: before, to save time with 10 MB; after, because escaped control
    # characters make the text longer.
    joined = _BREAK.sub(" ", text[: limit * 2].strip())
    return clip(sanitize.text(joined), limit)


_BREAK = re.compile(r"[ \t\r]*\n\s*|\t")


def number(value: float) -> str:
    """Return *value* without trailing zeros and without an exponent: `100`, `93.75`."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def milliseconds(value: float) -> str:
    """Return a latency with two or three digits: `8.3 ms`, `420 ms`, `1.25 s`."""
    if value >= 1000:
        return f"{value / 1000:.3g} s" if value < 100_000 else f"{value / 1000:.0f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"


def score(run: Run, verdict: Verdict) -> str:
    """Return the score against its threshold, in words that cannot contradict the verdict."""
    bar = number(verdict.threshold)
    if verdict.score is None:
        return "no score"
    shown = number(verdict.score)
    if any(check.outcome == "not_run" for check in run.checks):
        return f"score {shown} so far, needs more than {bar}"
    if verdict.score > verdict.threshold:
        return f"score {shown} > {bar}"
    if verdict.verdict == "pass":  # above, by less than the digits that are displayed
        return f"score just above {bar}"
    return f"score {shown}, needs more than {bar}"


def release(run: Run) -> str:
    """Return `version 1.4.2, commit 3e68e18`, or "" if the target does not report them."""
    return _release(run.release)


def _release(release: Release) -> str:
    parts = []
    if release.version:
        parts.append(f"version {line(release.version, 60)}")
    if release.short_commit:
        parts.append(f"commit {line(release.short_commit, 60)}")
    return ", ".join(parts)


def release_hint(run: Run, verdict: Verdict) -> str:
    """Return the setting for a run that does not know the release it judged; "" if it does."""
    if run.release != Release() or verdict.score is None or "://" in run.target.name:
        return ""
    if any(problem.what == "target_down" for problem in run.problems):
        return ""  # it could not report anything
    setting = release_setting(run.target.name)
    return f"the target reports neither version nor commit; set {setting}"


def last_good(run: Run) -> str:
    """Return the release for a rollback: `version 1.4.2, commit 3e68e18 (run …)`; "" if unknown."""
    if not run.last_good:
        return ""
    release = _release(run.last_good.release)
    when = f"run {line(run.last_good.run_id, 60)}"
    if release:
        return f"{release} ({when})"
    return f"the release of {when}, which reported no version"


def label(check: Check, verdict: Verdict) -> str:
    """Return the label of a failed check: its veto or severity, in at most 12 characters."""
    if not check.category:
        return "unscored"
    return dict(_heaviest(verdict)).get(check.id, check.severity)


_BY_WEIGHT = ("critical", "regression")


def failure(check: Check, verdict: Verdict) -> str:
    """Return a line on a failure: `GET /orders passed on 1.4.1, fails now: …`."""
    message = gist(check.message)
    subject = since(check, verdict) or name(check.id)
    flaky = "flaky: " if check.outcome == "flaky" else ""
    return f"{subject}: {flaky}{message}" if message else subject


def since(check: Check, verdict: Verdict) -> str:
    """Return `GET /orders passed on 1.4.1 (3e68e18), fails now`; "" if it is not a regression."""
    for veto in verdict.vetoes:
        if veto.check == check.id and veto.kind == "regression":
            return f"{line(veto.text.removeprefix('regression: '))}, fails now"
    return ""


def warned(run: Run) -> list[str]:
    """Return a line for each warning, and for each remark that operations share.

    `test_certificate[…]: it expires in 12 days`, `400 is not documented on 19 operations`.
    """
    warnings = [f"{name(one.check)}: {gist(one.message)}" for one in run.warnings]
    return [*warnings, *map(line, shared_remarks(run.checks))]


def next_step(run: Run, verdict: Verdict) -> str:
    """Return what to do if no row of the decision matrix applies; "" if one does, or on a pass."""
    if verdict.decision == "promote" or any(not action.refused for action in verdict.actions):
        return ""
    if verdict.verdict == "fail":
        rollback = ", or roll back to the last good release" if run.last_good else ""
        return f"do not promote this release; fix the failures and run again{rollback}"
    if not _missing(run) and (run.part or run.shard):
        whole = "merge all parts" if run.shard else "run the whole plan"
        return f"{whole} before promoting"
    return "do not promote yet: something is unproven; resolve the reasons above, and run again"


def _missing(run: Run) -> bool:
    return any(check.outcome == "not_run" for check in run.checks)


def verification(verdict: Verdict) -> str:
    """Return the command that shows, after the actions and another run, if they helped."""
    return "prodcheck gate --after-rollback" if verdict.decision == "rollback" else ""


def refused(action: Action) -> str:
    """Return the reason not to carry out an action now; "" if it may be."""
    return f"not now: {line(action.refused, 600)}" if action.refused else ""


def failed(run: Run) -> list[Check]:
    """Return the failed and flaky checks, critical ones first, tests without a category last."""
    return [
        *_by_severity(c for c in run.checks if c.outcome in ("failed", "flaky")),
        *_by_severity(c for c in run.unscored if c.outcome in ("failed", "flaky")),
    ]


def without_result(run: Run) -> list[Check]:
    """Return the planned checks that were not run or skipped, critical ones first."""
    return _by_severity(c for c in run.checks if c.outcome in ("not_run", "skipped"))


def _by_severity(checks: Iterable[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: (SEVERITIES.index(check.severity), check.outcome))


def outcome(run: Run, verdict: Verdict) -> str:
    """Return the sentence beside the decision: verdict, score, facts, target and release."""
    deployed = release(run)
    return f"{verdict.verdict}: {facts(run, verdict)} on {line(run.target.name, 60)}" + (
        f" ({deployed})" if deployed else ""
    )


def facts(run: Run, verdict: Verdict) -> str:
    """Return the facts of it: `score 43.75, needs more than 90; 2 critical checks failed`."""
    failures = [check for check in failed(run) if check.outcome == "failed"]
    if verdict.verdict == "pass":
        planned = sum(category.planned for category in verdict.categories.values())
        passed = sum(category.passed for category in verdict.categories.values())
        parts = [f"{passed} of {counted(planned, 'check')} passed"]
        if failures:
            named = [name(check.id) for check in failures[:_NAMED]]
            more = ["…"] if len(failures) > _NAMED else []
            parts.append(f"{_failures(failures)} ({', '.join([*named, *more])})")
        for outcome in ("skipped", "flaky", "known"):
            count = sum(check.outcome == outcome for check in run.checks)
            parts += [f"{count} {OUTCOMES[outcome]}"] if count else []
        parts += [counted(len(run.warnings), "warning")] if run.warnings else []
        return f"{score(run, verdict)}; {', '.join(parts)}"

    if outweighed := _outweighed(verdict):
        return outweighed
    parts = [] if verdict.score is None else [score(run, verdict)]
    planned = verdict.counts["planned"]
    missing = sum(check.outcome == "not_run" for check in run.checks)
    critical = [check for check in failures if check.severity == "critical"]
    rest = []
    if missing:
        rest.append(f"{missing} of {counted(planned, 'planned check')} did not run")
    if failures:
        rest.append(_failures(critical or failures))
    if not rest and verdict.reasons and verdict.reasons[0].startswith("the score must be"):
        skipped = sum(check.outcome == "skipped" for check in run.checks)
        flaky = sum(check.outcome == "flaky" for check in run.checks)
        rest += [f"{counted(skipped, 'check')} skipped"] if skipped else []
        rest += [f"{counted(flaky, 'check')} flaky"] if flaky else []
    elif not rest and verdict.reasons:
        rest.append(line(verdict.reasons[0], 160))
    return "; ".join([*parts, *rest])


def _outweighed(verdict: Verdict) -> str:
    """Return why a release with a good score is bad: `score 98.24, outweighed by 2 regressions`."""
    if verdict.verdict != "fail" or verdict.score is None or verdict.score <= verdict.threshold:
        return ""
    kinds = Counter(label for _, label in _heaviest(verdict))
    named = [
        counted(count, "critical check" if kind == "critical" else kind)
        if kind in _BY_WEIGHT
        else f"{kind} at {counted(count, 'check')}"
        for kind, count in kinds.items()
    ]
    return f"score {number(verdict.score)}, outweighed by {', '.join(named)}" if named else ""


def _heaviest(verdict: Verdict) -> list[tuple[str, str]]:
    """Return each check that vetoes, with the most severe kind."""
    kinds: dict[str, list[str]] = {}
    for veto in verdict.vetoes:
        kinds.setdefault(veto.check, []).append(veto.kind)
    return [
        (check, next(kind for kind in (*_BY_WEIGHT, *found) if kind in found))
        for check, found in kinds.items()
    ]


_NAMED = 3
"""Failed checks that the first line of a pass names."""


def _failures(checks: list[Check]) -> str:
    """Return `2 critical checks failed`; the severity is named if all share it."""
    severities = {check.severity for check in checks}
    kind = f"{severities.pop()} check" if len(severities) == 1 else "check"
    return f"{counted(len(checks), kind)} failed"


def name(check_id: str) -> str:
    """Return a check's id without its file, in one line; for a probe or operation, its name."""
    return line(subject(check_id), 120)


def reasons(run: Run, verdict: Verdict) -> list[str]:
    """Return the judge's reasons that are not in `facts`, as single lines."""
    known = facts(run, verdict)
    vetoed = {line(veto.text) for veto in verdict.vetoes}  # listed with the failed checks
    return [
        reason
        for reason in map(line, verdict.reasons)
        if reason not in known and reason not in vetoed and reason != _bar(verdict)
    ]


def _bar(verdict: Verdict) -> str:
    return f"the score must be greater than {number(verdict.threshold)}"


def gist(message: str) -> str:
    """Return the first line of a check's message that is not empty."""
    return next((line(part) for part in message[:10_000].splitlines() if part.strip()), "")


def headline(run: Run, verdict: Verdict) -> str:
    """Return the decision and its facts in one line: `HOLD fail: score 80, …`."""
    return f"{DECISIONS[verdict.decision]}  {outcome(run, verdict)}"


def deadline(within: str, finished: str) -> str:
    """Return `within 5 min (by 21:11 UTC)`; without the time if one of both cannot be read."""
    if not within:
        return ""
    words = f"within {line(within, 40)}"
    due_in = seconds(within)
    try:
        end = datetime.fromisoformat(finished)
    except ValueError:
        return words
    if due_in is None or end.utcoffset() != timedelta(0):
        return words
    due = end + timedelta(seconds=due_in)
    day = "" if due.date() == end.date() else f"{due:%Y-%m-%d} "
    return f"{words} (by {day}{due:%H:%M} UTC)"
