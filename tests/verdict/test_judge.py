"""The judge: exact arithmetic, unknown is never pass, and the order of what counts."""

import random
from fractions import Fraction

import msgspec
import pytest

from pytest_prodcheck.model import (
    Action,
    Check,
    Failure,
    Finding,
    LastRelease,
    Part,
    PassedBefore,
    Policy,
    Problem,
    Release,
    Run,
    TargetInfo,
)
from pytest_prodcheck.verdict.judge import judge


def check(number: int, outcome: str = "passed", severity: str = "major", **facts) -> Check:
    return Check(id=f"t::{number}", category="smoke", severity=severity, outcome=outcome, **facts)


def run(*checks: Check, threshold: str = "90", read_only: bool = True, **facts) -> Run:
    return Run(
        run_id="r",
        target=TargetInfo(name="prod", base_url="https://x.test", read_only=read_only),
        policy=Policy(threshold=threshold, actions=facts.pop("actions", ())),
        checks=checks,
        state="finished",
        **facts,
    )


def some(passed: int, failed: int) -> list[Check]:
    outcomes = ["passed"] * passed + ["failed"] * failed
    return [check(number, outcome) for number, outcome in enumerate(outcomes)]


@pytest.mark.fault(61)
@pytest.mark.parametrize(
    ("passed", "failed", "threshold", "ruling"),
    [
        (9, 1, "90", "fail"),
        (90, 10, "90", "fail"),
        (899, 100, "90", "fail"),
        (901, 99, "90", "pass"),
        (1, 0, "90", "pass"),
        (1, 0, "100", "fail"),
        (900_000_001, 99_999_999, "90", "pass"),
        (2, 1, "66.66", "pass"),
        (2, 1, "66.67", "fail"),
    ],
)
def test_the_score_must_be_greater_than_the_threshold_exactly(passed, failed, threshold, ruling):
    if passed < 10_000:
        assert judge(run(*some(passed, failed), threshold=threshold)).verdict == ruling
    else:
        assert (Fraction(100 * passed, passed + failed) > Fraction(threshold)) == (ruling == "pass")


def test_ninety_is_not_shown_as_more_nor_a_pass_as_ninety():
    assert judge(run(*some(9, 1))).score == 90.0
    assert judge(run(*some(9001, 999))).score == 90.01
    assert judge(run(*some(90_001, 9_999))).score == 90.001
    assert judge(run(*some(899, 100))).score == 89.98


@pytest.mark.fault(44)
def test_nothing_planned_is_inconclusive():
    verdict = judge(run())
    assert (verdict.verdict, verdict.exit_code, verdict.score) == ("inconclusive", 6, None)
    assert verdict.reasons == ("nothing was planned that counts: no check was proven",)


def test_only_checks_that_policy_forbids_are_inconclusive():
    assert judge(run(check(1, "not_permitted"))).verdict == "inconclusive"


def test_what_is_not_permitted_counts_on_neither_side():
    verdict = judge(run(check(1), check(2, "not_permitted")))
    assert (verdict.verdict, verdict.score) == ("pass", 100.0)
    assert verdict.counts["planned"] == 1
    assert verdict.counts["not_permitted"] == 1


@pytest.mark.fault(42, 43)
@pytest.mark.parametrize("outcome", ["skipped", "failed"])
def test_a_critical_check_without_a_pass_is_never_a_pass(outcome):
    many = [check(number) for number in range(100)]
    verdict = judge(run(*many, check(100, outcome, "critical")))
    assert verdict.verdict == "fail"
    assert verdict.reasons[0].startswith("1 critical check ")


def test_a_failed_minor_check_under_a_good_score_is_a_pass_that_says_so():
    verdict = judge(run(*some(30, 0), check(31, "failed", "minor")))
    assert (verdict.verdict, verdict.exit_code, verdict.decision) == ("pass", 0, "promote")
    assert verdict.reasons == ("1 minor check failed: 31",)


@pytest.mark.fault(53)
def test_what_did_not_run_makes_the_run_inconclusive_however_good_the_rest():
    verdict = judge(run(*some(99, 0), check(100, "not_run")))
    assert (verdict.verdict, verdict.exit_code) == ("inconclusive", 6)
    assert verdict.reasons == ("1 of 100 planned checks did not run",)


@pytest.mark.fault(58)
@pytest.mark.parametrize(("read_only", "ruling"), [(True, "fail"), (False, "pass")])
def test_a_pass_on_a_rerun_counts_on_writable_targets_only(read_only, ruling):
    assert judge(run(check(1, "flaky"), read_only=read_only)).verdict == ruling


@pytest.mark.parametrize(
    ("what", "ruling", "code"),
    [
        ("violation", "fail", 1),
        ("collection", "fail", 1),
        ("target_down", "fail", 1),
        ("worker", "fail", 1),
        ("report", "fail", 1),
        ("journal", "fail", 1),
        ("a kind nobody thought of", "fail", 1),
        ("narrowed", "inconclusive", 6),
        ("required", "inconclusive", 6),
        ("stopped", "inconclusive", 6),
        ("vantage", "inconclusive", 6),
        ("interrupted", "inconclusive", 2),
        ("internal", "inconclusive", 3),
        ("usage", "inconclusive", 4),
    ],
)
def test_no_problem_of_the_run_lets_it_pass(what, ruling, code):
    verdict = judge(run(*some(50, 0), problems=(Problem(what=what, detail="the fact"),)))
    assert (verdict.verdict, verdict.exit_code) == (ruling, code)
    assert "the fact" in verdict.reasons
    assert verdict.decision == "hold"


def test_a_proven_failure_outweighs_what_is_unknown():
    problems = (Problem(what="target_down", detail="down"),)
    assert judge(run(check(1, "failed"), check(2, "not_run"), problems=problems)).verdict == "fail"


def test_a_failed_test_without_a_category_is_not_a_pass():
    lone = Check(id="t::u", category=None, severity="major", outcome="failed")
    verdict = judge(run(*some(50, 0), unscored=(lone,)))
    assert verdict.verdict == "fail"
    assert verdict.reasons == ("1 test without a category failed",)


def test_weights_count_by_severity():
    checks = [check(1, "passed", "critical"), check(2, "failed"), check(3, "passed", "minor")]
    assert judge(run(*checks)).score == 66.66  # (5 + 1) of 9, rounded down


@pytest.mark.parametrize(
    ("when", "severity", "decision"),
    [
        ("database.unreachable", "critical", "rollback"),
        ("database.*", "critical", "rollback"),
        ("t::1", "critical", "rollback"),
        ("*::1", "major", "hold"),
        ("t::2", "critical", "hold"),
        ("cache.*", "critical", "hold"),
    ],
)
def test_a_critical_row_of_the_matrix_that_matches_means_rollback(when, severity, decision):
    action = Action(when=when, severity=severity, action="switch writes off", within="5 min")
    finding = Finding(rule="database.unreachable", title="t", confidence="high")
    verdict = judge(run(check(1, "failed"), check(2), actions=(action,)), [finding])
    assert verdict.decision == decision


def test_an_id_with_brackets_is_matched_as_it_is():
    failed = check(1, "failed")
    failed = msgspec.structs.replace(failed, id="t::test_probe[GET /health]")
    action = Action(when="t::test_probe[GET /health]", severity="critical", action="roll back")
    assert judge(run(failed, actions=(action,))).decision == "rollback"


def test_a_pass_asks_for_no_action():
    action = Action(when="*", severity="critical", action="roll back")
    verdict = judge(run(*some(30, 0), check(31, "failed", "minor"), actions=(action,)))
    assert (verdict.decision, verdict.actions) == ("promote", ())


def test_a_shard_promotes_nothing_and_its_exit_code_tells_of_its_checks():
    verdict = judge(run(*some(3, 0), shard="1/3"))
    assert (verdict.verdict, verdict.decision, verdict.exit_code) == ("inconclusive", "hold", 0)
    assert verdict.reasons == ("part 1 of 3: `prodcheck merge` decides about the whole",)


@pytest.mark.parametrize(
    ("chosen", "outcomes", "ruling", "code"),
    [
        (True, ["passed"], "inconclusive", 0),
        (True, ["failed"], "fail", 1),
        (True, ["passed"] * 30 + ["failed"], "inconclusive", 1),
        (True, ["passed", "not_run"], "inconclusive", 6),
        (False, ["passed"], "inconclusive", 6),
        (False, ["passed", "not_run"], "inconclusive", 6),
        (False, ["passed", "not_run", "failed"], "inconclusive", 6),
    ],
)
def test_a_part_of_a_run_is_never_promoted(chosen, outcomes, ruling, code):
    checks = [check(number, outcome) for number, outcome in enumerate(outcomes)]
    part = Part(text="1 of 18 checks was selected", chosen=chosen)
    verdict = judge(run(*checks, part=part))
    assert (verdict.verdict, verdict.exit_code) == (ruling, code)
    assert verdict.decision != "promote"
    assert "1 of 18 checks was selected: a part of a run never promotes" in verdict.reasons


def found(reason: str, **facts) -> dict:
    return {"message": "the facts", "failures": (Failure(title="t", reason=reason, **facts),)}


@pytest.mark.parametrize("severity", ["major", "minor"])
@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (found("server_error"), "server_error"),
        (found("auth"), "auth"),
        (found("exposed"), "exposed"),
        (found("drill", data_loss=True), "data_loss"),
        (found("migration", data_loss=True), "data_loss"),
        (found("status"), None),
        (found("schema"), None),
        (found("latency"), None),
        (found("data"), None),
    ],
)
def test_some_kinds_of_failure_are_outweighed_by_no_score(severity, facts, kind):
    verdict = judge(run(*some(99, 0), check(100, "failed", severity, **facts)))
    assert verdict.verdict == ("fail" if kind else "pass")
    assert [veto.kind for veto in verdict.vetoes] == ([kind] if kind else [])
    if kind:
        assert verdict.reasons == (f"{kind}: 100: the facts",)


def test_a_team_may_take_a_kind_out_of_the_veto():
    policy = Policy(veto=("auth",))
    crashed = run(*some(99, 0), check(100, "failed", **found("server_error")))
    assert judge(msgspec.structs.replace(crashed, policy=policy)).verdict == "pass"


def test_an_accepted_failure_vetoes_nothing():
    assert judge(run(*some(9, 0), check(10, "known", **found("auth")))).verdict == "pass"


BEFORE = PassedBefore(
    release=Release(version="1.4.1", commit="3e68e18"), run_id="r0", checks=("t::7", "t::gone")
)


@pytest.mark.parametrize(
    ("number", "outcome", "ruling"),
    [
        (7, "failed", "fail"),
        (8, "failed", "pass"),
        (7, "passed", "pass"),
        (7, "known", "pass"),
        (7, "not_permitted", "pass"),
    ],
)
def test_what_passed_before_and_fails_now_is_a_regression(number, outcome, ruling):
    checks = [check(n) for n in range(100, 140)]
    now = run(*checks, check(number, outcome, "minor"), passed_before={"smoke": BEFORE})
    verdict = judge(now)
    assert verdict.verdict == ruling
    if ruling == "fail":
        assert verdict.reasons == ("regression: 7 passed on 1.4.1 (3e68e18)",)


def test_each_category_must_score_more_than_the_threshold():
    many = [check(number) for number in range(100)]
    contract = [
        Check(id=f"c::{n}", category="contract", severity="major", outcome=outcome)
        for n, outcome in enumerate(["passed", "passed", "failed"])
    ]
    verdict = judge(run(*many, *contract))
    assert (verdict.verdict, verdict.score) == ("fail", 99.02)
    assert verdict.reasons == (
        "the score must be greater than 90 in each category: contract has 66.66",
    )
    assert verdict.categories["smoke"].score == 100


def test_a_veto_stands_although_other_checks_did_not_run():
    verdict = judge(
        run(check(1, "failed", "critical"), *[check(n, "not_run") for n in range(2, 101)])
    )
    assert (verdict.verdict, verdict.exit_code) == ("fail", 1)
    assert verdict.reasons[:2] == (
        "1 critical check failed",
        "99 of 100 planned checks did not run",
    )


def test_what_only_one_vantage_sees_proves_nothing():
    problem = Problem(what="vantage", detail="the vantages disagree")
    verdict = judge(run(check(1, "failed", "critical"), check(2), problems=(problem,)))
    assert verdict.verdict == "inconclusive"


GOOD = LastRelease(run_id="r0", release=Release(version="1.4.1"))


@pytest.mark.parametrize(
    ("now", "good", "decision"),
    [
        (Release(version="1.4.2"), (GOOD,), "rollback"),
        (Release(version="1.4.1"), (GOOD,), "hold"),
        (Release(version="1.4.2"), (), "hold"),
        (Release(), (GOOD,), "hold"),
        (Release(version="1.4.2"), (LastRelease(run_id="r0"),), "hold"),
    ],
)
def test_without_a_matrix_a_critical_failure_calls_for_the_last_good_release(now, good, decision):
    verdict = judge(run(check(1, "failed", "critical"), release=now, good=good))
    assert verdict.decision == decision
    if decision == "rollback":
        assert verdict.actions[0].action == "roll back to 1.4.1, the last release that passed"


def test_no_run_that_is_not_all_good_and_all_proven_passes():
    """Random runs against the definition of a pass, written down a second time."""
    dice = random.Random(7)
    for _ in range(2000):
        checks = [
            check(
                number,
                dice.choice(["passed"] * 12 + ["failed", "skipped", "not_run", "not_permitted"]),
                dice.choice(["critical", "major", "minor"]),
            )
            for number in range(dice.randrange(12))
        ]
        problems = tuple(
            Problem(what=what, detail=what)
            for what in dice.choice([[], [], [], ["worker"], ["narrowed"]])
        )
        weights = {"critical": 5, "major": 3, "minor": 1}
        counted = [c for c in checks if c.outcome != "not_permitted"]
        total = sum(weights[c.severity] for c in counted)
        good = sum(weights[c.severity] for c in counted if c.outcome == "passed")
        passes = (
            not problems
            and total > 0
            and 10 * good > 9 * total
            and all(c.outcome != "not_run" for c in counted)
            and all(c.outcome == "passed" for c in counted if c.severity == "critical")
        )
        assert (judge(run(*checks, problems=problems)).verdict == "pass") == passes
