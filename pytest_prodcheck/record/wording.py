"""The words that page, step summary and terminal share, so that all three say the same.

Everything here returns plain text. What came from a target, a test id or a file passes
`line` (or `neutral.text`) before it is shown, so that no control character of it acts.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from pytest_prodcheck.model import SEVERITIES, Action, Check, Release, Run, Verdict
from pytest_prodcheck.record import neutral
from pytest_prodcheck.record.verdict import release_setting
from pytest_prodcheck.triggers import seconds

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
    """*text* in at most *limit* characters; what is cut off ends in an ellipsis."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def line(text: str, limit: int = 300) -> str:
    """*text* as one harmless line of at most *limit* characters."""
    # Cut before and after: before, so that 10 MB are not walked through; after, because
    # writing a control character out makes the text longer.
    joined = _BREAK.sub(" ", text[: limit * 2].strip())
    return clip(neutral.text(joined), limit)


_BREAK = re.compile(r"[ \t\r]*\n\s*|\t")


def number(value: float) -> str:
    """*value* without a tail of zeros and without an exponent: `100`, `93.75`."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def counted(count: int, noun: str) -> str:
    """`1 check`, `2 checks`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def milliseconds(value: float) -> str:
    """A latency, with as many digits as are worth reading: `8.3 ms`, `420 ms`, `1.25 s`."""
    if value >= 1000:
        return f"{value / 1000:.3g} s" if value < 100_000 else f"{value / 1000:.0f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"


def score(run: Run, verdict: Verdict) -> str:
    """The score against its threshold, in words that cannot contradict the verdict."""
    bar = number(verdict.threshold)
    if verdict.score is None:
        return "no score"
    shown = number(verdict.score)
    if any(check.outcome == "not_run" for check in run.checks):
        return f"score {shown} so far, needs more than {bar}"
    if verdict.score > verdict.threshold:
        return f"score {shown} > {bar}"
    if verdict.verdict == "pass":  # above, by less than the digits that are shown
        return f"score just above {bar}"
    return f"score {shown}, needs more than {bar}"


def release(run: Run) -> str:
    """`version 1.4.2, commit 3e68e18`, or an empty string when the target does not tell."""
    return _release(run.release)


def _release(release: Release) -> str:
    parts = []
    if release.version:
        parts.append(f"version {line(release.version, 60)}")
    if release.commit:
        commit = release.commit
        if re.fullmatch(r"[0-9a-f]{40}", commit):
            commit = commit[:7]
        parts.append(f"commit {line(commit, 60)}")
    return ", ".join(parts)


def release_hint(run: Run, verdict: Verdict) -> str:
    """What to do about a run that does not know what it judged; empty where it does."""
    if run.release != Release() or verdict.score is None or "://" in run.target.name:
        return ""
    return f"the target tells neither version nor commit; set {release_setting(run.target.name)}"


def last_good(run: Run) -> str:
    """Where to go back to: `version 1.4.2, commit 3e68e18 (run …)`; empty when nobody knows."""
    if not run.last_good:
        return ""
    told = _release(run.last_good.release)
    when = f"run {line(run.last_good.run_id, 60)}"
    return f"{told} ({when})" if told else when


def verification(verdict: Verdict) -> str:
    """The command that says, after the actions and another run, whether they helped."""
    return "prodcheck gate --after-rollback" if verdict.decision == "rollback" else ""


def refused(action: Action) -> str:
    """Why an action must not be carried out now; empty when it may be."""
    return f"not now: {line(action.refused, 600)}" if action.refused else ""


def failed(run: Run) -> list[Check]:
    """What failed, or was flaky, critical first; tests without a category last."""
    return [
        *_by_severity(c for c in run.checks if c.outcome in ("failed", "flaky")),
        *_by_severity(c for c in run.unscored if c.outcome in ("failed", "flaky")),
    ]


def unanswered(run: Run) -> list[Check]:
    """What was planned and gave no answer: not run or skipped, critical first."""
    return _by_severity(c for c in run.checks if c.outcome in ("not_run", "skipped"))


def _by_severity(checks: Iterable[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: (SEVERITIES.index(check.severity), check.outcome))


def outcome(run: Run, verdict: Verdict) -> str:
    """The sentence beside the decision: verdict, score, what it rests on, and where."""
    told = release(run)
    return f"{verdict.verdict}: {facts(run, verdict)} on {line(run.target.name, 60)}" + (
        f" ({told})" if told else ""
    )


def facts(run: Run, verdict: Verdict) -> str:
    """What the verdict rests on: `score 43.75, needs more than 90; 2 critical checks failed`."""
    failures = [check for check in failed(run) if check.outcome == "failed"]
    if verdict.verdict == "pass":
        planned = sum(category.planned for category in verdict.categories.values())
        passed = sum(category.passed for category in verdict.categories.values())
        said = [f"{passed} of {counted(planned, 'check')} passed"]
        said += [_failures(failures)] if failures else []
        for name in ("skipped", "flaky", "known"):
            count = sum(check.outcome == name for check in run.checks)
            said += [f"{count} {OUTCOMES[name]}"] if count else []
        return f"{score(run, verdict)}; {', '.join(said)}"

    said = [] if verdict.score is None else [score(run, verdict)]
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
    return "; ".join([*said, *rest])


def _failures(checks: list[Check]) -> str:
    """`2 critical checks failed`; the severity is named when all share it."""
    severities = {check.severity for check in checks}
    kind = f"{severities.pop()} check" if len(severities) == 1 else "check"
    return f"{counted(len(checks), kind)} failed"


def name(check_id: str) -> str:
    """A check's id without its file, in one line; of a probe or operation, its own alone."""
    test = check_id.partition("::")[2] or check_id
    kind, _, subject = test.partition("[")
    said = subject.removesuffix("]") if kind in _SAY_ENOUGH and test.endswith("]") else test
    return line(said, 120)


_SAY_ENOUGH = ("test_probe", "test_operation")
"""Tests whose parameter alone says what was checked."""


def reasons(run: Run, verdict: Verdict) -> list[str]:
    """The judge's reasons that `facts` does not give already, as single lines."""
    said = facts(run, verdict)
    return [
        reason
        for reason in map(line, verdict.reasons)
        if reason not in said and not reason.startswith("the score must be")
    ]


def gist(message: str) -> str:
    """The first line of a check's message that says something."""
    return next((line(part) for part in message[:10_000].splitlines() if part.strip()), "")


def headline(run: Run, verdict: Verdict) -> str:
    """The one line that a reader in a hurry needs: `HOLD  fail: score 80, …`."""
    return f"{DECISIONS[verdict.decision]}  {outcome(run, verdict)}"


def deadline(within: str, finished: str) -> str:
    """`within 5 min (by 21:11 UTC)`; without the clock if one of both cannot be read."""
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
