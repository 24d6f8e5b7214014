"""The journal: written first, replayed to the same Run, and never wiser than its entries."""

import os
import subprocess
import sys

import msgspec
import pytest

from pytest_prodcheck.model import Failure, Planned, TargetInfo
from pytest_prodcheck.store.entries import (
    Begin,
    Plan,
    ProblemFound,
    Report,
    ServiceLog,
    TrafficCounted,
)
from pytest_prodcheck.store.journal import Journal, fold, read


def begin() -> Begin:
    return Begin(run_id="r", target=TargetInfo(name="prod", base_url="https://x.test"))


def planned(*ids: str, **facts) -> Plan:
    return Plan(checks=tuple(Planned(id=id_, category="smoke", **facts) for id_ in ids))


def report(when: str, outcome: str = "passed", id_: str = "a", **facts) -> Report:
    data = {"nodeid": id_, "when": when, "outcome": outcome, "duration": 0.5, **facts}
    return Report(data=data)


def phases(setup="passed", call="passed", teardown="passed", id_="a") -> list[Report]:
    outcomes = {"setup": setup, "call": call, "teardown": teardown}
    return [report(when, outcome, id_) for when, outcome in outcomes.items() if outcome]


def outcome_of(*entries: Report) -> str:
    (check,) = fold([begin(), planned("a"), *entries]).checks
    return check.outcome


@pytest.mark.parametrize(
    ("entries", "outcome"),
    [
        (phases(), "passed"),
        (phases(call="failed"), "failed"),
        (phases(setup="failed", call=None), "failed"),
        (phases(teardown="failed"), "failed"),
        (phases(call="skipped"), "skipped"),
        (phases(setup="skipped", call=None), "skipped"),
        ([], "not_run"),
        (phases(call=None), "not_run"),
        (phases(teardown=None), "not_run"),
        ([report("setup")], "not_run"),
        ([*phases(call=None, teardown=None), report("???", "failed")], "failed"),
        (phases() + phases(call="failed"), "failed"),
        (phases(call="failed") + phases(), "failed"),
        (phases(call="rerun") + phases(), "flaky"),
        (phases(call="rerun") + phases(call="failed"), "failed"),
        (phases(call="rerun"), "not_run"),
    ],
)
@pytest.mark.fault(60)
def test_the_outcome_of_a_check_is_the_worst_of_what_was_reported(entries, outcome):
    assert outcome_of(*entries) == outcome


@pytest.mark.fault(43)
@pytest.mark.parametrize("outcome", ["passed", "skipped"])
def test_expected_to_fail_is_never_passed(outcome):
    entries = phases()
    entries[1] = report("call", outcome, wasxfail="known")
    assert outcome_of(*entries) == "skipped"


def test_a_withheld_request_means_not_run_even_when_pytest_calls_it_skipped():
    entries = phases()
    entries[1] = report("call", "skipped", prodcheck={"not_run": "not run: target down"})
    (check,) = fold([begin(), planned("a"), *entries]).checks
    assert (check.outcome, check.message) == ("not_run", "not run: target down")


def test_what_is_not_permitted_stays_so_whatever_its_reports_say():
    (check,) = fold([begin(), planned("a", permitted=False, reason="why"), *phases()]).checks
    assert (check.outcome, check.message) == ("not_permitted", "why")


def test_a_report_that_nobody_planned_is_kept_with_the_category_it_tells():
    told = {"category": "smoke", "severity": "critical"}
    run = fold([begin(), report("call", "failed", prodcheck=told)])
    assert [(c.id, c.category, c.severity, c.outcome) for c in run.checks] == [
        ("a", "smoke", "critical", "failed")
    ]


def test_a_journal_without_a_beginning_is_refused():
    with pytest.raises(ValueError, match="no beginning"):
        fold([planned("a")])


def test_what_is_written_is_read_back(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(begin())
    journal.write(ProblemFound(what="worker", detail="gw0 died"))
    journal.close()
    assert fold(read(tmp_path / "journal.jsonl")) == fold(journal.entries)
    assert list(read(tmp_path / "journal.jsonl")) == journal.entries
    assert journal.failure is None


def test_a_torn_last_line_is_passed_over_and_a_torn_middle_is_not(tmp_path):
    path = tmp_path / "journal.jsonl"
    whole = b'{"kind": "service", "log": "x"}\n'
    path.write_bytes(whole + b'{"kind": "rep')
    assert list(read(path)) == [ServiceLog(log="x")]
    path.write_bytes(b'{"kind": "rep\n' + whole)
    with pytest.raises(msgspec.DecodeError):
        list(read(path))


OLD = r"""
{"kind":"begin","run_id":"r","target":{"name":"prod","base_url":"https://x.test"},"policy":{},"started":"t","command":"pytest","settings":["a"],"state":"running","unknown":1}
{"kind":"planned","checks":[{"id":"a","category":"smoke"}],"whole":[]}
{"kind":"part","text":"1 of 2 checks was selected","chosen":false}
{"kind":"release","release":{"version":"1","commit":null}}
{"kind":"collectreport","data":{"nodeid":"b.py","outcome":"failed"}}
{"kind":"report","data":{"nodeid":"a","when":"call","outcome":"failed","duration":1,"prodcheck":{"message":"m","failures":[{"title":"status","reason":"status","data_loss":false,"severity":null}]}}}
{"kind":"warning","check":"a","message":"w"}
{"kind":"problem","what":"worker","detail":"gw0 died"}
{"kind":"service","log":"l"}
{"kind":"traffic","requests":1,"failed":0,"steps":{"10":1}}
{"kind":"end","finished":"u","duration_s":2}
"""
"""As version 0.1.0 wrote it before failures had rules, and ends a number of entries."""


def test_an_older_journal_is_read(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(OLD.lstrip())
    run = fold(read(path))
    (failed,) = run.checks
    assert failed.failures == (Failure(title="status", reason="status"),)
    assert (failed.message, failed.reason) == ("m", "status")
    assert (run.release.version, run.service_log, run.finished) == ("1", "l", "u")
    assert (run.part.text, run.settings) == ("1 of 2 checks was selected", ("a",))
    assert [one.what for one in run.problems] == ["worker"]
    assert run.metrics.requests == 1


@pytest.mark.fault(55, 112)
def test_a_killed_writer_leaves_every_entry_that_write_returned_for(tmp_path):
    path = tmp_path / "journal.jsonl"
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pytest_prodcheck.store.entries import ServiceLog\n"
        "from pytest_prodcheck.store.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(10**9):\n"
        "    journal.write(ServiceLog(log=str(number)))\n"
        "    print(number, flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True
    )
    for _ in range(50):
        acknowledged = int(writer.stdout.readline())
    writer.kill()
    writer.communicate()
    numbers = [int(entry.log) for entry in read(path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > acknowledged


@pytest.mark.fault(107)
def test_a_full_disk_is_remembered_and_loses_nothing_in_memory(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._file)
    os.close(full)
    journal.write(begin())
    assert journal.failure is not None
    assert journal.failure.strerror == "No space left on device"
    assert journal.entries == [begin()]
    journal.close()


def test_metrics_of_a_run_that_counted_nothing_are_those_of_its_reports():
    """It was killed: what its reports tell of is all that is known."""
    sent = [{"method": "GET", "url": "u", "status": 200, "elapsed_ms": ms} for ms in range(1, 101)]
    lost = {"method": "GET", "url": "u", "kind": "timeout", "elapsed_ms": 9000.0}
    withheld = {"method": "GET", "url": "u", "kind": "withheld"}
    told = report("call", prodcheck={"exchanges": [*sent, lost, withheld]})
    metrics = fold([begin(), planned("a"), told]).metrics
    assert metrics.requests == 101
    assert metrics.error_rate == round(1 / 101, 6)
    assert metrics.latency_ms == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_metrics_are_those_that_the_run_counted_in_all_its_parts():
    parts = [
        TrafficCounted(requests=60, failed=3, steps={"10": 50, "20.5": 8}),
        TrafficCounted(requests=40, failed=0, steps={"10": 36, "1234": 4}),
    ]
    metrics = fold([begin(), *parts]).metrics
    assert (metrics.requests, metrics.error_rate) == (100, 0.03)
    assert metrics.latency_ms == {"p50": 10.0, "p95": 20.5, "p99": 1234.0}
