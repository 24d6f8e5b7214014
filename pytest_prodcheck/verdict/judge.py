"""The judgement of a Run, which results in a Verdict; no other module decides to pass.

Arithmetic is exact (`fractions.Fraction`): 9 of 10 is 90, and 90 is not greater than 90.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor

from pytest_prodcheck.counting import counted
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
    Veto,
    subject,
)
from pytest_prodcheck.verdict.actions import default_action, is_figure, matching
from pytest_prodcheck.verdict.remarks import shared_remarks
from pytest_prodcheck.verdict.vetoes import vetoes

EXIT_BY_RULING = {"pass": 0, "fail": 1, "inconclusive": 6}
EXIT_INTERRUPTED = 2
EXIT_INTERNAL = 3
EXIT_USAGE = 4

PROVES_FAILURE = {"violation", "collection", "target_down", "drill"}
"""Problems that prove the release bad, whatever else is unknown."""

UNCOUNTED = frozenset(("not_permitted", "known"))
"""Outcomes that do not count for the score."""

LEAVES_UNKNOWN = {
    "interrupted",
    "internal",
    "stopped",
    "narrowed",
    "required",
    "vantage",
    "usage",
}
"""Problems that leave something unproven; any other problem is a failure of its own."""


def judge(run: Run, findings: Iterable[Finding] = ()) -> Verdict:
    """Return the verdict on *run*: score, ruling, decision, reasons and exit code."""
    findings = tuple(findings)
    scored = [check for check in run.checks if check.outcome not in UNCOUNTED]
    threshold = Fraction(Decimal(run.policy.threshold))
    vetoed = vetoes(scored, run)
    rows = matching(run, findings)
    unknown = _unknown(run, scored)
    failures = [*_failures(run, vetoed), *_critical_figures(rows)]
    low = _low_scores(run, scored, threshold)

    ruling: Ruling
    if _is_proven_bad(run, vetoed, rows):
        ruling = "fail"
    elif unknown:
        ruling = "inconclusive"
    elif failures or low:
        ruling = "fail"
    else:
        ruling = "pass"
    if ruling == "fail":
        reasons = [*failures, *unknown, *low, *_part_reasons(run)]
    else:
        reasons = [*_part_reasons(run), *unknown, *(failures if unknown else _remarks(run))]

    exit_code = _exit_code(run, ruling, scored)
    if ruling == "pass" and _part_reasons(run):
        ruling = "inconclusive"
    actions = default_action(run, rows, vetoed) if ruling == "fail" else rows
    if ruling != "fail" and not unknown:
        actions = tuple(action for action in actions if is_figure(action))
    score = _score(scored, run)
    return Verdict(
        verdict=ruling,
        decision=_decision(ruling, actions),
        score=None if score is None else _display_score(score, threshold),
        threshold=float(threshold),
        reasons=tuple(reasons),
        exit_code=exit_code,
        counts=_counts(run.checks),
        categories=_categories(run, threshold),
        vetoes=vetoed,
        findings=findings,
        actions=actions,
    )


def _decision(ruling: Ruling, actions: Sequence[Action]) -> Decision:
    if ruling == "pass":
        return "promote"
    return "rollback" if any(action.severity == "critical" for action in actions) else "hold"


def _is_proven_bad(run: Run, vetoed: Sequence[Veto], actions: Sequence[Action]) -> bool:
    """Return True if the release is bad, whatever the result of checks that did not run."""
    problems = {problem.what for problem in run.problems}
    if problems & PROVES_FAILURE:
        return True
    if "vantage" in problems:  # it failed from one vantage only: the network may be at fault
        return False
    return bool(vetoed or _critical_figures(actions) or _failed_unscored(run))


def _low_scores(run: Run, scored: Sequence[Check], threshold: Fraction) -> list[str]:
    """Return a reason if the score, or else that of a category, is not above the threshold."""
    bar = f"the score must be greater than {_decimal_text(threshold)}"
    score = _score(scored, run)
    if score is not None and score <= threshold:
        return [bar]
    low = []
    for name in CATEGORIES:
        checks = [check for check in scored if check.category == name]
        score = _score(checks, run)
        if score is not None and score <= threshold:
            shown = f"{_display_score(score, threshold):g}"
            low.append(f"{bar} in each category: {name} has {shown}")
    return low


def _is_chosen(run: Run) -> bool:
    """Return True if files, ids or a shard were chosen, and nothing else narrows the run."""
    return bool(run.shard) if run.part is None else run.part.chosen


def _part_reasons(run: Run) -> list[str]:
    """Return the reasons why a part of a run cannot promote: the rest might not pass."""
    parts = [f"{run.part.text}: a part of a run never promotes"] if run.part else []
    if run.shard:
        part, _, whole = run.shard.partition("/")
        parts.append(f"part {part} of {whole}: `prodcheck merge` decides about the whole")
    return parts


def counts_as_passed(check: Check, run: Run) -> bool:
    """Return True if a check passed; one that passed only on a rerun counts on writable targets."""
    return check.outcome == "passed" or (check.outcome == "flaky" and not run.target.read_only)


def _score(checks: Sequence[Check], run: Run) -> Fraction | None:
    weights = run.policy.weights
    planned = sum(weights[check.severity] for check in checks)
    if not planned:
        return None
    passed = sum(weights[check.severity] for check in checks if counts_as_passed(check, run))
    return Fraction(100 * passed, planned)


def _unknown(run: Run, scored: Sequence[Check]) -> list[str]:
    """Return a sentence for each thing that is unproven; empty if the whole plan has run."""
    reasons = [p.detail for p in run.problems if p.what in LEAVES_UNKNOWN]
    if not scored:
        reasons.append("nothing was planned that counts: no check was proven")
        if run.unscored:
            tests = counted(len(run.unscored), "test")
            reasons.append(
                f"{tests} without a category: mark those that count, with @pytest.mark.smoke"
            )
    missing = [check for check in scored if check.outcome == "not_run"]
    if missing:
        reasons.append(f"{len(missing)} of {len(scored)} planned checks did not run")
    return reasons


def _failures(run: Run, vetoed: Sequence[Veto]) -> list[str]:
    """Return a sentence for each thing that is bad, apart from the score."""
    reasons = [p.detail for p in run.problems if p.what not in LEAVES_UNKNOWN]
    outcomes = {check.id: check.outcome for check in run.checks}
    critical = [outcomes[veto.check] for veto in vetoed if veto.kind == "critical"]
    reasons += [
        f"{counted(critical.count(outcome), 'critical check')} {_PHRASES[outcome]}"
        for outcome in ("failed", "skipped", "flaky")
        if outcome in critical
    ]
    reasons += [veto.text for veto in vetoed if veto.kind != "critical"]
    if unscored := _failed_unscored(run):
        reasons.append(f"{counted(len(unscored), 'test')} without a category failed")
    return reasons


def _failed_unscored(run: Run) -> list[Check]:
    return [check for check in run.unscored if check.outcome == "failed"]


def _critical_figures(actions: Sequence[Action]) -> list[str]:
    """Return a reason for each critical row about a figure, which counts like a critical check."""
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


def _remarks(run: Run) -> list[str]:
    """Return facts that a reader should know even of a pass."""
    remarks = shared_remarks(run.checks)
    for severity in SEVERITIES:
        for outcome in ("failed", "skipped", "flaky", "known"):
            found = [c for c in run.checks if c.severity == severity and c.outcome == outcome]
            if found:
                named = ", ".join(subject(check.id) for check in found[:_NAMED])
                more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
                checks = counted(len(found), f"{severity} check")
                remarks.append(f"{checks} {_PHRASES[outcome]}: {named}{more}")
    return remarks


_NAMED = 3
"""Checks that a remark names; the others are counted."""


def _categories(run: Run, threshold: Fraction) -> dict[str, Category]:
    categories = {}
    for name in CATEGORIES:
        scored = [c for c in run.checks if c.category == name and c.outcome not in UNCOUNTED]
        if scored:
            score = _score(scored, run)
            categories[name] = Category(
                score=None if score is None else _display_score(score, threshold),
                planned=len(scored),
                passed=sum(counts_as_passed(check, run) for check in scored),
            )
    return categories


def _counts(checks: Sequence[Check]) -> dict[str, int]:
    outcomes: list[str] = [check.outcome for check in checks]
    names = ("passed", "failed", "skipped", "not_permitted", "not_run", "flaky", "known")
    planned = sum(outcome not in UNCOUNTED for outcome in outcomes)
    return {"planned": planned, **{name: outcomes.count(name) for name in names}}


def _exit_code(run: Run, ruling: Ruling, scored: Sequence[Check]) -> int:
    problems = {problem.what for problem in run.problems}
    if "internal" in problems:
        return EXIT_INTERNAL
    if "interrupted" in problems:
        return EXIT_INTERRUPTED
    if "usage" in problems:
        return EXIT_USAGE
    if _is_chosen(run) and any(check.outcome in ("failed", "flaky") for check in scored):
        return EXIT_BY_RULING["fail"]
    if run.part and not run.part.chosen and ruling == "pass":
        return EXIT_BY_RULING["inconclusive"]
    return EXIT_BY_RULING[ruling]


def _display_score(score: Fraction, threshold: Fraction) -> float:
    """Return the score rounded down to two digits, or more if needed.

    The rounded score must be on the same side of the threshold as the exact one.
    """
    for digits in range(2, 12):
        rounded = Fraction(floor(score * 10**digits), 10**digits)
        if (rounded > threshold) == (score > threshold):
            break
    return float(rounded)


def _decimal_text(number: Fraction) -> str:
    return f"{float(number):g}"
