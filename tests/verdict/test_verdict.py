"""verdict.json and its gate: nothing but a fresh, finished pass of the right thing is 0."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Check, Planned, Problem, Release, Run, TargetInfo
from pytest_prodcheck.report.gate import gate
from pytest_prodcheck.report.verdict_json import document, text
from pytest_prodcheck.service.release import is_that
from pytest_prodcheck.store.journal import encode
from pytest_prodcheck.verdict.judge import judge
from pytest_prodcheck.verdict.manifest import requirement
from pytest_prodcheck.verdict.releases import same_commit

NOW = datetime(2026, 1, 13, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_run(**facts) -> Run:
    checks = tuple(
        Check(id=f"t::{n}", category="smoke", severity="major", outcome="passed") for n in range(3)
    )
    return Run(
        **{
            "run_id": "r1",
            "target": TargetInfo(name="prod", base_url="https://x.test"),
            "release": Release(version="1.4.2", commit="3e68e18"),
            "state": "finished",
            "started": (NOW - timedelta(minutes=5)).isoformat(),
            "finished": NOW.isoformat(),
            "checks": checks,
            **facts,
        }
    )


def journal_of(run: Run) -> list[dict[str, Any]]:
    """The journal of a run that came out as *run*."""
    bare = msgspec.structs.replace(run, checks=(), unscored=(), problems=())
    plan = [
        Planned(id=check.id, category=check.category, severity=check.severity)
        for check in run.checks
    ]
    entries = [
        {"kind": "begin", **msgspec.to_builtins(bare)},
        {"kind": "planned", "checks": msgspec.to_builtins(plan)},
        {"kind": "release", "release": msgspec.to_builtins(run.release)},
    ]
    for check in run.checks:
        for when in ("setup", "call", "teardown"):
            outcome = check.outcome if when == "call" else "passed"
            told = {"nodeid": check.id, "when": when, "outcome": outcome, "duration": 0.0}
            entries.append({"kind": "report", "data": told})
    entries += [{"kind": "problem", **msgspec.to_builtins(one)} for one in run.problems]
    return [*entries, {"kind": "end", "finished": run.finished, "duration_s": run.duration_s}]


@pytest.fixture
def stored(tmp_path):
    def store(run: Run, **changes) -> Path:
        """The folder of *run*, whose `verdict.json` has been changed by hand."""
        verdict = None if run.state == "running" else judge(run)
        (tmp_path / "verdict.json").write_text(text({**document(run, verdict), **changes}))
        lines = (encode(entry) + b"\n" for entry in journal_of(run))
        (tmp_path / "journal.jsonl").write_bytes(b"".join(lines))
        return tmp_path

    return store


def test_the_document_has_what_the_interface_promises():
    run = a_run()
    content = json.loads(text(document(run, judge(run))))
    assert content["schema"] == 1
    assert content["state"] == "finished"
    assert content["target"] == {
        "name": "prod",
        "base_url": "https://x.test",
        "read_only": True,
        "vantage": "local",
    }
    assert content["release"] == {"version": "1.4.2", "commit": "3e68e18"}
    assert (content["score"], content["threshold"]) == (100.0, 90.0)
    assert (content["verdict"], content["decision"]) == ("pass", "promote")
    assert content["counts"] == {
        "planned": 3,
        "passed": 3,
        "failed": 0,
        "skipped": 0,
        "not_permitted": 0,
        "not_run": 0,
        "flaky": 0,
        "known": 0,
    }
    assert content["categories"] == {"smoke": {"score": 100.0, "planned": 3, "passed": 3}}
    assert set(content["checks"][0]) == {
        "id",
        "category",
        "severity",
        "outcome",
        "duration_s",
        "message",
        "failures",
        "details",
        "reason",
        "exchanges",
        "p95_ms",
    }
    assert set(content) >= {"run_id", "started", "finished", "duration_s", "reasons"}
    assert set(content) >= {"findings", "actions", "metrics"}


def test_a_running_document_is_not_a_pass():
    content = document(a_run(state="running"), None)
    assert (content["state"], content["verdict"]) == ("running", "inconclusive")


@pytest.mark.fault(99)
def test_the_text_is_strict_json_whatever_it_holds():
    odd = Check(
        id="t::\ud800\x00</script>",
        category="smoke",
        severity="major",
        outcome="failed",
        message="\x1b[31m" + "9" * 5000,
    )
    run = a_run(checks=(odd,))
    written = text(document(run, judge(run)))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads(written, parse_constant=refuse)
    written.encode("utf-8")


def test_a_fresh_pass_of_the_right_thing_is_zero(stored):
    code, sentence = gate(
        stored(a_run()), target="prod", commit="3e68e18", max_age=HOUR, require=("smoke>=3",),
        now=NOW,
    )  # fmt: skip
    assert (code, sentence) == (
        0,
        "pass: promote (no failures); read run r1, 5 min old, prod, 1.4.2 (3e68e18)",
    )


@pytest.mark.parametrize("commit", ["3e68e18", "3e68e18aabbccddeeff001122334455667788990"])
def test_an_abbreviated_commit_is_the_same_commit(stored, commit):
    assert gate(stored(a_run()), commit=commit, max_age=HOUR, now=NOW)[0] == 0


@pytest.mark.fault(56, 59)
@pytest.mark.parametrize(
    ("demand", "reason"),
    [
        ({"target": "staging"}, "the verdict is about target 'prod', not 'staging'"),
        ({"commit": "0264059"}, "the verdict is about commit 3e68e18, not 0264059"),
        ({"commit": "3e6"}, "the verdict is about commit 3e68e18, not 3e6"),
        ({"max_age": timedelta(minutes=4)}, "older than 0:04:00"),
        ({"now": NOW - timedelta(hours=2)}, "older than 1:00:00"),
        ({"require": ("smoke>=4",)}, "3 smoke checks passed, 4 are required"),
        ({"require": ("contract>=1",)}, "0 contract checks passed, 1 are required"),
    ],
)
def test_a_pass_of_something_else_is_inconclusive(stored, demand, reason):
    code, sentence = gate(stored(a_run()), **{"max_age": HOUR, "now": NOW, **demand})
    assert code == 6
    assert reason in sentence


@pytest.mark.fault(56)
def test_no_verdict_is_inconclusive(tmp_path):
    code, sentence = gate(tmp_path, max_age=HOUR)
    assert code == 6
    assert "holds no verdict" in sentence


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"verdict": "pass"}', '{"verdict": "great", "state": "x"}'],
)
def test_a_broken_verdict_is_inconclusive(tmp_path, content):
    (tmp_path / "verdict.json").write_text(content)
    assert gate(tmp_path, max_age=HOUR)[0] == 6


def test_a_running_verdict_and_one_of_another_schema_are_inconclusive(stored):
    assert "not finished" in gate(stored(a_run(state="running")), max_age=HOUR, now=NOW)[1]
    assert "schema 2" in gate(stored(a_run(), schema=2), max_age=HOUR, now=NOW)[1]


def test_a_fail_is_one_and_says_why(stored):
    failed = Check(id="t", category="smoke", severity="critical", outcome="failed")
    code, sentence = gate(stored(a_run(checks=(failed,))), max_age=HOUR, now=NOW)
    assert code == 1
    assert sentence.startswith("fail: hold (1 critical check failed; the score must be greater")


@pytest.mark.fault(148)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"score": 100.0}, "score 100.0, not 66.66"),
        ({"threshold": 50.0}, "threshold 50.0, not 90.0"),
        ({"veto": []}, "veto [], not ["),
        ({"weights": {"critical": 1, "major": 1, "minor": 1}}, "weights {"),
        ({"verdict": "pass", "decision": "promote"}, "verdict pass, not fail"),
        ({"decision": "promote"}, "decision promote, not hold"),
        ({"problems": []}, "missing: test_a: POST was refused"),
        ({"checks": []}, "t::0 missing, not passed (major, smoke)"),
        ({"counts": {"planned": 3, "passed": 3}}, "counts {"),
        ({"categories": {"smoke": {"score": 100.0, "planned": 3, "passed": 3}}}, "categories {"),
        ({"release": {"version": "1.4.3", "commit": "0264059"}}, "release {"),
        ({"run_id": "r2"}, "run_id r2, not r1"),
        ({"started": NOW.isoformat()}, f"started {NOW.isoformat()}, not "),
        ({"target": {"name": "eu", "base_url": "https://x.test"}}, "target {"),
        ({"part": "part 1/2"}, "part part 1/2, not null"),
    ],
)  # fmt: skip
def test_a_verdict_that_was_edited_is_refused_by_name(stored, change, says):
    checks = (*a_run().checks[:2], Check(id="t::2", category="smoke", severity="major",
                                         outcome="failed"))  # fmt: skip
    violation = Problem(what="violation", detail="test_a: POST was refused")
    folder = stored(a_run(checks=checks, problems=(violation,)), **change)
    code, sentence = gate(folder, max_age=HOUR, now=NOW)
    assert (code, sentence.split(":")[0]) == (1, "fail"), "what the journal proves stays proven"
    assert "verdict.json differs from its journal: " in sentence
    assert says in sentence


@pytest.mark.fault(148)
def test_a_pass_whose_journal_was_cut_is_refused(stored):
    folder = stored(a_run())
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for number in range(1, len(lines)):
        (folder / "journal.jsonl").write_bytes(b"".join(lines[:number]))
        code, sentence = gate(folder, max_age=HOUR, now=NOW)
        assert code == 6, sentence


@pytest.mark.fault(148)
@pytest.mark.parametrize("change", [{"state": "done"}, {"state": None}, {"problems": None},
                                    {"weights": {"critical": 5}}, {"categories": []},
                                    {"checks": [{"id": "t"}]}])  # fmt: skip
def test_a_verdict_with_what_no_run_writes_is_none(stored, change):
    code, sentence = gate(stored(a_run(), **change), max_age=HOUR, now=NOW)
    assert code == 6
    assert sentence.startswith("inconclusive: ")


@pytest.mark.fault(148)
def test_a_verdict_without_its_journal_is_refused_unless_somebody_says_so(stored):
    folder = stored(a_run())
    (folder / "journal.jsonl").unlink()
    code, sentence = gate(folder, max_age=HOUR, now=NOW)
    assert code == 6
    assert "a verdict without its journal may have been changed" in sentence
    assert gate(folder, max_age=HOUR, now=NOW, by_journal=False)[0] == 0


@pytest.mark.fault(148)
@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 100},
        {"problems": [{"what": "violation", "detail": "test_a: POST was refused"}]},
        {"checks": []},
    ],
)
def test_without_its_journal_a_verdict_must_agree_with_itself(stored, change):
    folder = stored(a_run(), **change)
    code, sentence = gate(folder, max_age=HOUR, now=NOW, by_journal=False)
    assert code == 6
    assert "contradicts itself: it says pass, but " in sentence


@pytest.mark.fault(148)
def test_what_the_disk_had_no_room_for_the_verdict_still_tells(stored):
    worse = msgspec.structs.replace(
        a_run(), problems=(Problem(what="journal", detail="the journal could not be written"),)
    )
    said = document(worse, judge(worse))
    code, sentence = gate(stored(a_run(), **said), max_age=HOUR, now=NOW)
    assert code == 1
    assert "the journal could not be written" in sentence


def test_a_gate_judges_a_thousand_checks_in_a_second(stored):
    checks = tuple(
        Check(id=f"t::{n}", category="smoke", severity="major", outcome="passed")
        for n in range(1000)
    )
    folder = stored(a_run(checks=checks))
    began = time.process_time()
    assert gate(folder, max_age=HOUR, now=NOW)[0] == 0
    assert time.process_time() - began < 1


@pytest.mark.fault(138)
@pytest.mark.parametrize(
    ("told", "wanted", "same"),
    [
        ("3e68e18", "3e68e18b8c1a4f0f9a2d0b7e6c5d4f3a2b1c0d9e", True),
        ("3E68E18", "3e68e18", True),
        ("3e68e18b", "3e68e18", True),
        ("1234567", "12345678", False),
        ("1234567", "1234567" + "0" * 33, True),
        ("build-1234", "build-12345", False),
        ("3e68e18", "3e68e18-dirty", False),
        ("3e68e18-dirty", "3e68e18-dirty", True),
        ("3e68e1", "3e68e18", False),
        ("v1.2.30", "v1.2.3", False),
        ("release-2026-01", "release-2026-01-13", False),
        ("3e68e18 ", "3e68e18", False),
        ("3e68e18" * 6, "3e68e18", False),
        ("", "3e68e18", False),
        (None, "3e68e18", False),
    ],
)  # fmt: skip
def test_only_a_hash_of_git_is_abbreviated(told, wanted, same):
    assert same_commit(told, wanted) is same
    assert same_commit(wanted, told) is same
    assert is_that(Release(commit=told), Release(commit=wanted)) is same


@pytest.mark.fault(148)
@pytest.mark.parametrize("wrong", ["smokes>=1", "Smoke>=1", "unit>=1"])
def test_a_requirement_of_an_unknown_category_is_refused(wrong):
    with pytest.raises(UsageError, match=r"is not a category.*Categories: smoke, contract"):
        requirement(wrong)


@pytest.mark.parametrize("wrong", ["smoke", "smoke>10", "smoke>=ten", ">=10", "smoke >= 10 now"])
def test_a_requirement_that_is_none_is_refused(wrong):
    with pytest.raises(UsageError, match=r"is not a requirement\. Write it like smoke>=10"):
        requirement(wrong)


def test_a_part_of_a_run_is_let_through_by_no_gate(stored):
    code, sentence = gate(stored(a_run(shard="1/3")), max_age=HOUR, now=NOW)
    assert (code, sentence.split(" of ")[0]) == (6, "inconclusive: hold (part 1")


def test_times_without_a_zone_are_no_verdict(stored):
    run = msgspec.structs.replace(a_run(), started="2026-01-13T11:55:00")
    assert gate(stored(run), max_age=HOUR, now=NOW)[0] == 6
