"""A release that changes while the run is under way: neither of the two was checked as a whole."""

import itertools
from collections.abc import Callable

import pytest

from pytest_prodcheck.cli import main
from tests.faulty import Visit, answer, json_answer
from tests.project import Project

CHECKS = """
    import pytest

    @pytest.mark.smoke
    @pytest.mark.parametrize("number", range(4))
    def test_ok(api, number):
        assert api.get("/ok").status_code == 200
"""
DEPLOYED_MEANWHILE = """
    import pytest

    @pytest.mark.smoke
    def test_health(api):
        assert api.get("/health").status_code == 200
        api.get("/deploy")
"""
RELEASE = """
[targets.prod.release]
from = "/version"
version = "$.version"
commit = "$.commit"
"""
OLD = json_answer({"version": "1.4.2", "commit": "3e68e18"})
NEW = json_answer({"version": "1.4.3", "commit": "0264059"})
REBUILT = json_answer({"version": "1.4.2", "commit": "0264059"})
SILENT = answer("starting", 503)
CHANGED = "the release changed during the run, from 1.4.2 (3e68e18) to 1.4.3 (0264059): neither "
UNSEEN = "the target named its release (1.4.2 (3e68e18)) when the run began, and none when it ended"


def in_turn(*answers: Callable[[Visit], None]) -> Callable[[Visit], None]:
    """One after the other, and the last for ever."""
    rest = itertools.chain(answers, itertools.repeat(answers[-1]))
    return lambda visit: next(rest)(visit)


@pytest.fixture
def deployed(project: Project) -> Project:
    project.configure(RELEASE)
    project.write("test_a.py", CHECKS)
    return project


@pytest.mark.fault(136)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize(
    ("answers", "reasons"),
    [
        ((OLD,), []),
        ((OLD, NEW), [CHANGED]),
        ((OLD, REBUILT), ["from 1.4.2 (3e68e18) to 1.4.2 (0264059): neither "]),
        ((OLD, SILENT, OLD), []),
        ((OLD, SILENT), [UNSEEN]),
        ((SILENT,), []),
    ],
    ids=["the same", "another", "another commit", "silent once", "silent", "never told"],
)
def test_the_release_is_asked_for_when_the_run_ends_too(deployed, workers, answers, reasons):
    deployed.server.on("/version", in_turn(*answers))
    outcome = deployed.run("test_a.py", *workers)
    assert outcome.verdict["verdict"] == ("inconclusive" if reasons else "pass"), outcome.output
    told = outcome.verdict["reasons"]
    assert len(told) == len(reasons)
    for reason, sentence in zip(reasons, told, strict=True):
        assert reason in sentence
        assert reason in outcome.output


@pytest.mark.fault(136)
@pytest.mark.parametrize("commit", ["3e68e18", "0264059"])
def test_no_gate_accepts_either_of_two_releases(deployed, capsys, commit):
    deployed.server.on("/version", in_turn(OLD, NEW))
    deployed.run("test_a.py")
    capsys.readouterr()
    assert main(["gate", "--commit", commit]) == 6
    assert main(["gate"]) == 6
    assert CHANGED in capsys.readouterr().out


@pytest.mark.fault(136)
def test_what_is_proven_bad_stays_so_on_two_releases(deployed):
    deployed.server.on("/version", in_turn(OLD, NEW))
    deployed.server.on("/ok", answer("broken", 500))
    outcome = deployed.run("test_a.py")
    assert outcome.verdict["verdict"] == "fail"


@pytest.mark.parametrize("options", [("--collect-only",), ("-m", "rollback")])
def test_a_run_that_asks_nothing_asks_for_no_release_at_its_end(deployed, options):
    deployed.server.on("/version", OLD)
    deployed.run("test_a.py", *options)
    assert deployed.server.paths().count("/version") <= 1


def test_a_run_costs_two_questions_for_the_release(deployed):
    deployed.server.on("/version", OLD)
    outcome = deployed.run("test_a.py")
    assert deployed.server.paths().count("/version") == 2
    assert outcome.verdict["metrics"]["requests"] == 4


@pytest.mark.fault(136)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize(("deployed", "verdict"), [(False, "pass"), (True, "inconclusive")])
def test_a_release_told_by_an_answer_of_the_run_is_looked_at_again(
    project: Project, deployed: bool, verdict: str, workers: tuple[str, ...]
) -> None:
    def health(visit: Visit) -> None:
        changed = deployed and "/deploy" in project.server.paths()
        (NEW if changed else OLD)(visit)

    project.server.on("/health", health)
    project.configure(health='"/health"')
    project.write("test_a.py", DEPLOYED_MEANWHILE)
    outcome = project.run("test_a.py", *workers)
    assert outcome.verdict["verdict"] == verdict, outcome.output
    changed = any(CHANGED in reason for reason in outcome.verdict["reasons"])
    assert changed is deployed
