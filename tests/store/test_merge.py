"""Journals made one: nothing is lost, nothing counts twice, and what is unclear stays unproven."""

import re

import msgspec
import pytest

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Action, Part, Planned, Policy, Release, Run, TargetInfo
from pytest_prodcheck.store.entries import (
    Begin,
    End,
    Entry,
    PartOnly,
    Plan,
    ProblemFound,
    ReleaseSeen,
    Report,
)
from pytest_prodcheck.store.journal import fold
from pytest_prodcheck.store.merge import merge, unfinished
from pytest_prodcheck.verdict.judge import judge


def journal(
    run_id: str = "r1",
    *,
    passed: str = "",
    failed: str = "",
    planned: str = "",
    vantage: str = "local",
    release: Release | None = None,
    ended: bool = True,
    problem: str = "",
    whole: str = "abcd",
    **head,
) -> list[Entry]:
    """A journal whose checks are called by single letters; *whole* is the plan of a shard."""
    target = TargetInfo(name="prod", base_url="https://x.test", vantage=vantage)
    run = Run(**{"run_id": run_id, "target": target, "started": "2026-01-13T12:00:00Z", **head})
    plan = [Planned(id=id_, category="smoke") for id_ in planned or passed + failed]
    entries: list[Entry] = [
        Begin(**msgspec.structs.asdict(run)),
        Plan(checks=tuple(plan), whole=tuple(sorted(whole)) if run.shard else ()),
    ]
    for id_ in passed + failed:
        for when in ("setup", "call", "teardown"):
            outcome = "failed" if id_ in failed and when == "call" else "passed"
            data = {"nodeid": id_, "when": when, "outcome": outcome, "duration": 0.1}
            entries.append(Report(data=data))
    if problem:
        entries.append(ProblemFound(what=problem, detail=f"{problem} happened"))
    if release:
        entries.append(ReleaseSeen(release=release))
    if ended:
        entries.append(End(finished="2026-01-13T12:01:00Z", duration_s=60.0))
    return entries


def merged(*journals: list[Entry]) -> Run:
    return fold(merge(journals, "whole"))


def ruling(run: Run) -> tuple[str, tuple[str, ...]]:
    verdict = judge(run)
    return verdict.verdict, verdict.reasons


def outcomes(run: Run) -> dict[str, str]:
    return {check.id: check.outcome for check in run.checks}


def test_one_journal_merged_is_the_run_itself():
    alone = journal(passed="abc")
    whole, before = merged(alone), fold(alone)
    assert whole == msgspec.structs.replace(before, run_id="whole")


def test_the_parts_become_the_whole():
    first = journal("r1", passed="ab", shard="1/3", started="2026-01-13T12:00:05Z")
    second = journal("r2", passed="c", shard="2/3", started="2026-01-13T12:00:01Z")
    third = journal("r3", passed="d", shard="3/3", started="2026-01-13T12:00:09Z")
    third[-1] = End(finished="2026-01-13T12:05:00Z", duration_s=300.0)
    run = merged(second, first, third)
    assert outcomes(run) == dict.fromkeys("abcd", "passed")
    assert (run.run_id, run.shard) == ("whole", None)
    assert (run.started, run.finished) == ("2026-01-13T12:00:01Z", "2026-01-13T12:05:00Z")
    assert run.duration_s == 300.0
    assert ruling(run) == ("pass", ())
    assert judge(run).decision == "promote"


@pytest.mark.fault(60)
def test_a_check_of_several_runs_counts_once_and_its_worst_outcome_wins():
    for order in (1, -1):
        journals = [journal("r1", passed="ab"), journal("r2", passed="b", failed="a")][::order]
        run = merged(*journals)
        assert outcomes(run) == {"a": "failed", "b": "passed"}


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    ("shards", "missing"),
    [
        (["1/2"], ["part 2/2 of the run is missing (local)"]),
        (["2/3"], [f"part {part}/3 of the run is missing (local)" for part in (1, 3)]),
        (["1/2", "1/2"], ["part 2/2 of the run is missing (local)"]),
        (["1/2", "2/3", "2/2", "3/3"], ["part 1/3 of the run is missing (local)"]),
        (["10/10", *(f"{part}/10" for part in range(1, 9))],
         ["part 9/10 of the run is missing (local)"]),
        (["1/1"], []),
        (["2/2", "1/2"], []),
        ([None, None], []),
    ],
)  # fmt: skip
def test_a_missing_part_is_named_and_leaves_the_run_unproven(shards, missing):
    journals = [journal(f"r{n}", passed="a", shard=shard) for n, shard in enumerate(shards)]
    verdict, reasons = ruling(merged(*journals))
    assert list(reasons) == missing
    assert verdict == ("inconclusive" if missing else "pass")


def test_each_vantage_needs_all_the_parts():
    run = merged(
        journal("r1", passed="a", shard="1/2", vantage="ci"),
        journal("r2", passed="b", shard="2/2", vantage="eu"),
    )
    assert ruling(run) == (
        "inconclusive",
        ("part 2/2 of the run is missing (ci)", "part 1/2 of the run is missing (eu)"),
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": TargetInfo(name="staging", base_url="https://x.test")},
         "another target than run r1 (staging, not prod)"),
        ({"target": TargetInfo(name="prod", base_url="https://y.test")},
         "another base_url than run r1 (https://y.test, not https://x.test)"),
        ({"target": TargetInfo(name="prod", base_url="https://x.test", read_only=False)},
         "another read_only than run r1 (False, not True)"),
        ({"policy": Policy(threshold="50")}, "another threshold than run r1 (50, not 90)"),
        ({"policy": Policy(weights={"critical": 1, "major": 1, "minor": 1})},
         "another weights than run r1 ({'critical': 1, "),
        ({"policy": Policy(actions=(Action(when="*", action="wait"),))},
         "another actions than run r1 ([{'when': '*', "),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared_are_refused(change, says):
    with pytest.raises(UsageError) as refused:
        merge([journal("r1", passed="a"), journal("r2", passed="b", **change)], "whole")
    assert str(refused.value).startswith(f"run r2 has {says}")
    assert str(refused.value).endswith(". Only runs on one target under one policy can be merged.")


PART = {"shard": "1/2"}
OTHER = {"shard": "2/2"}


@pytest.mark.fault(137)
@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ({**PART, "selection": "smoke"}, {**OTHER, "selection": "contract"},
         "run r2 has another -m (contract, not smoke) than run r1"),
        ({**PART, "selection": "smoke"}, OTHER, "another -m (none, not smoke)"),
        ({**PART, "whole": "abc"}, {**OTHER, "whole": "ab"},
         "run r1 planned c, and run r2 did not"),
        ({**PART, "whole": "a"}, {**OTHER, "whole": "abcdef"},
         "run r2 planned b, c, d and 2 more, and run r1 did not"),
        ({**PART, "configuration": {"probes": "1", "limits": "1"}},
         {**OTHER, "configuration": {"probes": "2", "limits": "1"}},
         "run r2 has another configuration of probes than run r1"),
        ({**PART, "configuration": {"probes": "1"}}, OTHER, "another configuration of probes"),
        ({**PART, "part": Part(text="2 of 18 checks were selected")}, OTHER,
         "run r1 is not a whole part: 2 of 18 checks were selected. Run it again without -k"),
        (PART, {**OTHER, "part": Part(text="2 of 18 checks were selected")},
         "run r2 is not a whole part"),
        ({"vantage": "ci", "planned": "ab"}, {"vantage": "eu", "planned": "a"},
         "run r1 planned b, and run r2 did not"),
        ({}, {"planned": "ab"}, "run r2 planned b, and run r1 did not"),
        ({"vantage": "ci"}, {"vantage": "eu", **PART}, "run r2 planned b, c, d, and run r1"),
    ],
)  # fmt: skip
def test_parts_of_different_plans_are_refused_by_name(one, other, says):
    journals = []
    for run_id, facts in (("r1", one), ("r2", other)):
        part = facts.get("part")
        head = {name: value for name, value in facts.items() if name != "part"}
        entries = journal(run_id, **{"passed": "a", **head})
        if part:
            entries.insert(2, PartOnly(text=part.text, chosen=part.chosen))
        journals.append(entries)
    with pytest.raises(UsageError) as refused:
        merge(journals, "whole")
    assert says in str(refused.value)


@pytest.mark.fault(137)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"severity": "minor"}, "another severity of a than run r1 (minor, not major)"),
        ({"permitted": False}, "another permitted of a than run r1 (False, not True)"),
        ({"category": "contract"}, "another category of a than run r1 (contract, not smoke)"),
    ],
)
def test_a_vantage_with_a_milder_plan_is_refused(change, says):
    one, other = (journal(f"r{n}", passed="a", vantage=name) for n, name in ((1, "ci"), (2, "eu")))
    checks = tuple(msgspec.structs.replace(check, **change) for check in other[1].checks)
    other[1] = Plan(checks=checks)
    with pytest.raises(UsageError, match=re.escape(f"run r2 has {says}")):
        merge([one, other], "whole")


def test_a_part_that_was_killed_before_its_plan_is_no_other_plan():
    killed = journal("r2", shard="2/2", ended=False)
    del killed[1]
    run = merged(journal("r1", passed="a", shard="1/2"), killed)
    assert ruling(run) == ("inconclusive", ("run r2 was killed before its end",))


def test_the_third_run_is_compared_too():
    journals = [journal(f"r{n}", passed="a") for n in (1, 2)]
    journals.append(journal("r3", passed="a", policy=Policy(threshold="1")))
    with pytest.raises(UsageError, match="run r3 has another threshold"):
        merge(journals, "whole")


@pytest.mark.fault(47)
def test_a_part_without_an_end_was_killed():
    killed = journal("r2", passed="b", planned="bc", shard="2/2", ended=False)
    (problem,) = unfinished(killed)
    assert (problem.what, problem.detail) == ("stopped", "run r2 was killed before its end")
    run = merged(journal("r1", passed="a", shard="1/2"), killed)
    assert outcomes(run) == {"a": "passed", "b": "passed", "c": "not_run"}
    verdict, reasons = ruling(run)
    assert verdict == "inconclusive"
    assert "run r2 was killed before its end" in reasons
    assert run.finished == "2026-01-13T12:01:00Z"


def test_all_killed_is_no_more_than_nothing():
    run = merged(journal("r1", ended=False), journal("r2", ended=False))
    assert (run.finished, run.duration_s) == ("", 0.0)
    assert ruling(run)[0] == "inconclusive"


def test_unfinished_is_said_of_none_that_ended():
    assert unfinished(journal(passed="a")) == []


def test_problems_of_each_part_are_those_of_the_whole():
    run = merged(journal("r1", passed="a", problem="violation"), journal("r2", passed="a"))
    assert [problem.what for problem in run.problems] == ["violation"]
    assert ruling(run)[0] == "fail"


# --- vantages -------------------------------------------------------------------------------


def test_from_several_vantages_each_check_stands_once_for_each():
    run = merged(
        journal("r1", passed="ab", vantage="eu-west"), journal("r2", passed="ab", vantage="ci")
    )
    assert list(outcomes(run)) == ["a @eu-west", "b @eu-west", "a @ci", "b @ci"]
    assert run.target.vantage == "ci, eu-west"
    assert ruling(run) == ("pass", ())


def test_from_one_vantage_ids_stay_as_they_are():
    run = merged(
        journal("r1", passed="a", vantage="ci", shard="1/2"),
        journal("r2", passed="b", vantage="ci", shard="2/2"),
    )
    assert list(outcomes(run)) == ["a", "b"]
    assert run.target.vantage == "ci"


@pytest.mark.parametrize(
    ("ci", "eu", "verdict", "reasons"),
    [
        ({"passed": "ab"}, {"passed": "a", "failed": "b"}, "inconclusive",
         ["the vantages disagree about b: passed from ci, failed from eu"]),
        ({"failed": "ab"}, {"passed": "ab"}, "inconclusive",
         ["the vantages disagree about a: failed from ci, passed from eu",
          "the vantages disagree about b: failed from ci, passed from eu"]),
        ({"failed": "ab"}, {"failed": "ab"}, "fail", ["the score must be greater than 90"]),
        ({"passed": "a", "planned": "ab"}, {"passed": "ab"}, "inconclusive",
         ["1 of 4 planned checks did not run"]),
    ],
)  # fmt: skip
def test_well_from_here_and_ill_from_there_is_unproven(ci, eu, verdict, reasons):
    run = merged(journal("r1", vantage="ci", **ci), journal("r2", vantage="eu", **eu))
    assert ruling(run) == (verdict, tuple(reasons))


# --- releases -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "reasons"),
    [
        (("1.4.2", "3e68e18"), ("1.4.2", "3e68e18"), ()),
        (("1.4.2", "3e68e18"), None, ()),
        (("1.4.2", "3e68e18"), ("1.4.2", "3e68e18b8c1a4f0f9a2d0b7e6c5d4f3a2b1c0d9e"), ()),
        (("1.4.2", "3e68e18"), ("1.5.0", "0264059"),
         ("the runs saw different releases: 1.4.2 (3e68e18) and 1.5.0 (0264059)",)),
    ],
)  # fmt: skip
def test_a_deploy_between_two_parts_leaves_the_whole_unproven(one, other, reasons):
    journals = [
        journal(f"r{n}", passed="a", release=Release() if seen is None else
                Release(version=seen[0], commit=seen[1]))
        for n, seen in enumerate((one, other))
    ]  # fmt: skip
    verdict, told = ruling(merged(*journals))
    assert told == reasons
    assert verdict == ("inconclusive" if reasons else "pass")
