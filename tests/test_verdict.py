"""verdict.json and its gate: nothing but a fresh, finished pass of the right thing is 0."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.judge import judge
from pytest_prodcheck.model import Check, Release, Run, TargetInfo
from pytest_prodcheck.record.verdict import document, gate, requirement, text

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


@pytest.fixture
def stored(tmp_path):
    def store(run: Run, **changes) -> None:
        verdict = None if run.state == "running" else judge(run)
        (tmp_path / "verdict.json").write_text(text({**document(run, verdict), **changes}))
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
        "reason",
        "exchanges",
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
        "pass: promote (all well); read run r1, 5 min old, prod, 1.4.2 (3e68e18)",
    )


@pytest.mark.parametrize("commit", ["3e68e18", "3e68e18aabbccddeeff0011223344556677889900"])
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


@pytest.mark.parametrize("wrong", ["smoke", "smoke>10", "smoke>=ten", ">=10", "smoke >= 10 now"])
def test_a_requirement_that_is_none_is_refused(wrong):
    with pytest.raises(UsageError, match="is not a requirement; write it like smoke>=10"):
        requirement(wrong)


def test_a_part_of_a_run_is_let_through_by_no_gate(stored):
    code, sentence = gate(stored(a_run(shard="1/3")), max_age=HOUR, now=NOW)
    assert (code, sentence.split(" of ")[0]) == (6, "inconclusive: hold (part 1")


def test_times_without_a_zone_are_no_verdict(stored):
    run = msgspec.structs.replace(a_run(), started="2026-01-13T11:55:00")
    assert gate(stored(run), max_age=HOUR, now=NOW)[0] == 6
