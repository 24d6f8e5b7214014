"""What is suspicious beside the last good release: a warning in every output, never a failure."""

from pathlib import Path

import msgspec
import pytest

from pytest_prodcheck.cli import main
from pytest_prodcheck.model import LastRelease, PassedBefore, Release, Run
from pytest_prodcheck.store.last_good import last_good, remembered
from pytest_prodcheck.verdict.last_run import compared, in_order
from tests.faulty import delayed, json_answer
from tests.project import Outcome, Project
from tests.sample_runs import a_run, passed

RELEASE = """
[targets.prod.release]
from = "/release"
version = "$.version"
commit = "$.commit"

[[probes]]
get = "/ok"
"""


def in_every_output(outcome: Outcome, text: str) -> bool:
    summary = (outcome.folder / "summary.md").read_text()
    messages = [warning["message"] for warning in outcome.verdict["warnings"]]
    outputs = (outcome.output, summary, outcome.page, outcome.junit, *messages)
    return bool(messages) and all(text in output for output in outputs)


def deploy(project: Project, version: str | None, commit: str | None = None) -> Outcome:
    """Let the target tell this release, and run the checks on it."""
    release = {"version": version, "commit": commit}
    project.server.on("/release", json_answer({k: v for k, v in release.items() if v}))
    outcome = project.run("-m", "smoke")
    assert outcome.ruling == ("pass", 0), outcome.output
    return outcome


def warnings(outcome: Outcome) -> list[tuple[str, str]]:
    return [(one["check"], one["message"]) for one in outcome.verdict["warnings"]]


def test_release_older_than_the_last_good_one_is_a_warning(project: Project, capsys) -> None:
    project.configure(RELEASE)
    assert warnings(deploy(project, "1.4.10", "a" * 40)) == []
    older = deploy(project, "1.4.2", "b" * 40)
    fact = "1.4.2 (bbbbbbb) is older than the last good release, 1.4.10 (aaaaaaa)"
    assert in_every_output(older, fact)
    ((check, message),) = warnings(older)
    assert check == "release"
    assert "`prodcheck gate --commit SHA` passes only for the commit that you deployed" in message
    capsys.readouterr()
    assert main(["gate", str(older.folder)]) == 0
    assert f"warning: release: {fact}" in capsys.readouterr().out
    # Whoever names the commit has said which release it must be.
    assert main(["gate", str(older.folder), "--commit", "b" * 40]) == 0
    assert "warning" not in capsys.readouterr().out
    # It is the last good release now: there is nothing more to warn of, nor of a newer one.
    assert warnings(deploy(project, "1.4.2", "b" * 40)) == []
    assert warnings(deploy(project, "1.4.10", "a" * 40)) == []


def test_commit_that_passed_before_the_last_good_one_is_a_warning(project: Project) -> None:
    project.configure(RELEASE)
    commits = [letter * 40 for letter in "abcd"]
    for commit in commits:
        assert warnings(deploy(project, None, commit)) == []
    stale = deploy(project, None, "a" * 40)
    assert in_every_output(stale, "aaaaaaa is the release of the earlier run ")
    assert "not of the last good one, ddddddd" in warnings(stale)[0][1]


def test_warning_is_in_what_merge_makes_of_the_run(project: Project, capsys) -> None:
    project.configure(RELEASE)
    deploy(project, "1.4.10")
    older = deploy(project, "1.4.2")
    merged = project.path / "merged"
    assert main(["merge", str(older.folder.resolve()), "--output", str(merged)]) == 0
    assert "1.4.2 is older than the last good release" in (merged / "verdict.json").read_text()


@pytest.mark.parametrize(
    ("version", "other", "order"),
    [
        ("0.2.19", "0.2.20", -1),
        ("v1.9.0", "1.10.0", -1),
        ("1.10.0", "1.9.0", 1),
        ("1.4.2", "v1.4.2", 0),
        ("2026.1.1", "2026.1.2", -1),
        ("1.4", "1.4.2", None),
        ("1.4.2", "1.4.10-rc1", None),
        ("1.0.0", "2026.1.1", None),
        ("123", "124", None),
        (None, "1.4.2", None),
    ],
)
def test_versions_of_one_scheme_are_compared(version, other, order) -> None:
    assert in_order(Release(version=version), Release(version=other)) == order


@pytest.mark.parametrize(
    ("release", "good", "warned"),
    [
        (Release(version="1.0.0"), ["1.1.0"], True),
        (Release(version="1.0.0"), [], False),
        (Release(version="1.1.0"), ["1.1.0", "1.0.0"], False),
        (Release(version="1.2.0"), ["1.1.0", "1.2.0"], False),
        (Release(version="green"), ["blue", "red", "green"], True),
        (Release(version="green"), ["blue", "red"], False),
        (Release(), ["1.1.0"], False),
    ],
    ids=["older", "first", "same", "newer, seen", "seen", "unknown", "untold"],
)
def test_order_of_versions_decides_before_what_was_seen(release, good, warned) -> None:
    known = tuple(LastRelease(run_id=f"r{v}", release=Release(version=v)) for v in good)
    assert bool(compared(a_run((), release=release, good=known))) is warned


def test_releases_that_passed_are_remembered_once_each(project: Project) -> None:
    project.configure(RELEASE)
    for letter in "abacb":
        deploy(project, None, letter * 40)
    found = remembered(project.path / "prodcheck-report", "prod")
    assert [one.release.commit[0] for one in found if one.release.commit] == ["b", "c", "a"]


def test_much_slower_check_is_a_warning(project: Project, capsys) -> None:
    project.configure(RELEASE)
    deploy(project, "1.4.1")
    project.server.on("/ok", delayed(1.3, json_answer({"status": "healthy"})))
    slower = deploy(project, "1.4.2")
    assert in_every_output(slower, "much slower than on 1.4.1: 95 % of its responses took up to 1.")
    assert warnings(slower)[0][0].endswith("::test_probe[GET /ok]")
    assert slower.check("test_probe[GET /ok]")["p95_ms"] > 1300
    capsys.readouterr()
    assert main(["gate", str(slower.folder)]) == 0
    assert "warning: GET /ok: much slower than on 1.4.1" in capsys.readouterr().out


def test_slower_operation_of_the_contract_suite_is_a_warning(project: Project) -> None:
    operation = {"responses": {"200": {"description": "fine"}}}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "paths": {"/ok": {"get": operation}},
    }
    project.server.on("/openapi.json", json_answer(document))
    project.configure("[contract]\nmax_examples = 1", openapi='"/openapi.json"')
    assert warnings(project.run("-m", "contract")) == []
    project.server.on("/ok", delayed(1.2, json_answer({"status": "healthy"})))
    slower = project.run("-m", "contract")
    assert [check.rpartition("::")[2] for check, _ in warnings(slower)] == [
        "test_operation[GET /ok]"
    ], slower.output


CHECK = passed("/ok", 1.0)
BEFORE = PassedBefore(run_id="r1", checks=(CHECK.id,), p95_ms={CHECK.id: 300.0})


def run_with(p95_ms: float | None, before: PassedBefore = BEFORE) -> Run:
    check = msgspec.structs.replace(CHECK, p95_ms=p95_ms)
    return a_run((check,), passed_before={"smoke": before})


@pytest.mark.parametrize(
    ("run", "warned"),
    [
        (run_with(1500), True),
        (run_with(1499), False),
        (run_with(1049, msgspec.structs.replace(BEFORE, p95_ms={CHECK.id: 50.0})), False),
        (run_with(1050, msgspec.structs.replace(BEFORE, p95_ms={CHECK.id: 50.0})), True),
        (run_with(None), False),
        (run_with(9000, msgspec.structs.replace(BEFORE, p95_ms={})), False),
    ],
    ids=["5 times", "less", "not 1 s", "1 s", "no response", "unknown"],
)
def test_slower_means_5_times_and_1_second(run, warned) -> None:
    assert bool(compared(run)) is warned


def test_slowest_check_comes_first() -> None:
    checks = [
        msgspec.structs.replace(CHECK, id=f"t.py::test_{ms}", p95_ms=float(ms))
        for ms in (2000, 9000, 4000)
    ]
    before = msgspec.structs.replace(BEFORE, p95_ms={check.id: 10.0 for check in checks})
    found = compared(a_run(tuple(checks), passed_before={"smoke": before}))
    assert [one.check for one in found] == [f"t.py::test_{ms}" for ms in (9000, 4000, 2000)]


def test_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    last = '{"run_id": "r1"}'
    old = f'{{"last": {last}, "spec_of": {last}, "spec": {{}}}}'
    passed = '{"local": {"smoke": {"run_id": "r1", "checks": ["a"]}}}'
    (tmp_path / "last-good-prod.json").write_text(f'{{"newest": {old}, "passed": {passed}}}')
    found = last_good(tmp_path, "prod")
    assert found
    assert found.passed["local"]["smoke"].p95_ms == {}
    assert found.earlier == ()
