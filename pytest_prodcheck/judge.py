"""The only place that says pass: a Run goes in, a Verdict comes out.

Arithmetic is exact (`fractions.Fraction`): 9 of 10 is 90, and 90 is not greater than 90.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor

from pytest_prodcheck.model import (
    CATEGORIES,
    SEVERITIES,
    Action,
    Category,
    Check,
    Decision,
    Finding,
    Ruling,
    Run,
    Verdict,
)
from pytest_prodcheck.remarks import remarks
from pytest_prodcheck.triggers import is_figure, matching

EXIT_BY_RULING = {"pass": 0, "fail": 1, "inconclusive": 6}
EXIT_INTERRUPTED = 2
EXIT_INTERNAL = 3
EXIT_USAGE = 4

PROVES_FAILURE = {"violation", "collection", "target_down", "drill"}
"""Problems after which the release is not good, whatever else is still unknown."""

UNCOUNTED = frozenset(("not_permitted", "known"))
"""Outcomes that are left out on both sides of the score."""

LEAVES_UNKNOWN = {
    "interrupted",
    "internal",
    "stopped",
    "narrowed",
    "required",
    "vantage",
    "usage",
}
"""Problems that leave something unproven. Any other problem is a failure of its own."""


def judge(run: Run, findings: Iterable[Finding] = ()) -> Verdict:
    """Decide on *run*: score, ruling, decision, reasons and exit code."""
    findings = tuple(findings)
    scored = [check for check in run.checks if check.outcome not in UNCOUNTED]
    score = _score(scored, run)
    threshold = Fraction(Decimal(run.policy.threshold))
    problems = {problem.what for problem in run.problems}

    actions = matching(run, findings)
    unknown = _unknown(run, scored, score)
    failures = [*_failures(run, scored), *_figures(actions)]
    too_low = score is not None and score <= threshold
    ruling: Ruling
    if problems & PROVES_FAILURE:
        ruling = "fail"
    elif unknown:
        ruling = "inconclusive"
    elif failures or too_low:
        ruling = "fail"
    else:
        ruling = "pass"

    reasons = [*unknown, *failures] if ruling == "inconclusive" else [*failures, *unknown]
    if too_low and ruling == "fail":
        reasons.append(f"the score must be greater than {_plain(threshold)}")
    if ruling == "pass":
        actions = tuple(action for action in actions if is_figure(action))
    return Verdict(
        verdict=ruling,
        decision=_decision(run, ruling, actions),
        score=None if score is None else _shown(score, threshold),
        threshold=float(threshold),
        reasons=tuple(reasons or [*_remarks(run), *_part(run)]),
        exit_code=_exit_code(ruling, problems),
        counts=_counts(run.checks),
        categories=_categories(run),
        findings=findings,
        actions=actions,
    )


def _decision(run: Run, ruling: Ruling, actions: Sequence[Action]) -> Decision:
    if ruling == "pass":
        return "hold" if run.shard else "promote"
    return "rollback" if any(action.severity == "critical" for action in actions) else "hold"


def _part(run: Run) -> list[str]:
    """A part that passes promotes nothing: the others may not."""
    if not run.shard:
        return []
    return [f"this is part {run.shard} of a run: `prodcheck merge` decides about the whole"]


def counts_as_passed(check: Check, run: Run) -> bool:
    """Passed; a check that passed only on a rerun does so on writable targets alone."""
    return check.outcome == "passed" or (check.outcome == "flaky" and not run.target.read_only)


def _score(checks: Sequence[Check], run: Run) -> Fraction | None:
    weights = run.policy.weights
    planned = sum(weights[check.severity] for check in checks)
    if not planned:
        return None
    passed = sum(weights[check.severity] for check in checks if counts_as_passed(check, run))
    return Fraction(100 * passed, planned)


def _unknown(run: Run, scored: Sequence[Check], score: Fraction | None) -> list[str]:
    """What stays unproven, as sentences; empty when all that was planned has run."""
    reasons = [p.detail for p in run.problems if p.what in LEAVES_UNKNOWN]
    if score is None:
        reasons.append("nothing was planned that counts: no check was proven")
        if run.unscored:
            some = _number(run.unscored, "test")
            reasons.append(f"{some} without a category: mark what counts, as @pytest.mark.smoke")
    missing = [check for check in scored if check.outcome == "not_run"]
    if missing:
        reasons.append(f"{len(missing)} of {len(scored)} planned checks did not run")
    return reasons


def _failures(run: Run, scored: Sequence[Check]) -> list[str]:
    """What is proven bad, as sentences; the score is not among them."""
    reasons = [p.detail for p in run.problems if p.what not in LEAVES_UNKNOWN]
    for severity in SEVERITIES:
        failed = [c for c in scored if c.severity == severity and _counts_against(c, run)]
        for outcome in ("failed", "skipped", "flaky"):
            some = [check for check in failed if check.outcome == outcome]
            if some and severity == "critical":
                reasons.append(f"{_number(some, 'critical check')} {_PHRASES[outcome]}")
    unscored = [check for check in run.unscored if check.outcome == "failed"]
    if unscored:
        reasons.append(f"{_number(unscored, 'test')} without a category failed")
    return reasons


def _figures(actions: Sequence[Action]) -> list[str]:
    """A critical row about a figure is a critical check: the team said what must be done then."""
    return [
        f"{action.evidence[0]}, and {action.when} calls for: {action.action}"
        for action in actions
        if action.severity == "critical" and is_figure(action)
    ]


_PHRASES = {
    "failed": "failed",
    "skipped": "did not prove anything (skipped or expected to fail)",
    "flaky": "passed only when run again",
    "known": "failed, which is accepted for now",
}


def _counts_against(check: Check, run: Run) -> bool:
    return not counts_as_passed(check, run) and check.outcome != "not_run"


def _remarks(run: Run) -> list[str]:
    """What a reader of a pass should know all the same."""
    return remarks(run.checks) + [
        f"{_number(some, 'check')} of severity {severity} {_PHRASES[outcome]}"
        for severity in SEVERITIES
        for outcome in ("failed", "skipped", "flaky", "known")
        if (
            some := [
                check
                for check in run.checks
                if check.severity == severity and check.outcome == outcome
            ]
        )
    ]


def _categories(run: Run) -> dict[str, Category]:
    categories = {}
    for name in CATEGORIES:
        scored = [c for c in run.checks if c.category == name and c.outcome not in UNCOUNTED]
        if scored:
            score = _score(scored, run)
            categories[name] = Category(
                score=None if score is None else floor(score * 100) / 100,
                planned=len(scored),
                passed=sum(counts_as_passed(check, run) for check in scored),
            )
    return categories


def _counts(checks: Sequence[Check]) -> dict[str, int]:
    outcomes: list[str] = [check.outcome for check in checks]
    names = ("passed", "failed", "skipped", "not_permitted", "not_run", "flaky", "known")
    planned = sum(outcome not in UNCOUNTED for outcome in outcomes)
    return {"planned": planned, **{name: outcomes.count(name) for name in names}}


def _exit_code(ruling: Ruling, problems: set[str]) -> int:
    if "internal" in problems:
        return EXIT_INTERNAL
    if "interrupted" in problems:
        return EXIT_INTERRUPTED
    if "usage" in problems:
        return EXIT_USAGE
    return EXIT_BY_RULING[ruling]


def _shown(score: Fraction, threshold: Fraction) -> float:
    """Rounded down to two digits, or to as many as show it on its side of the threshold."""
    for digits in range(2, 12):
        shown = Fraction(floor(score * 10**digits), 10**digits)
        if (shown > threshold) == (score > threshold):
            break
    return float(shown)


def _number(checks: Sequence[Check], noun: str) -> str:
    return f"{len(checks)} {noun}" + ("" if len(checks) == 1 else "s")


def _plain(number: Fraction) -> str:
    return f"{float(number):g}"
