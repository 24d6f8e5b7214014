"""Services we did not write, judged by a run as a user would: started, asked, reported, stopped.

The configurations are those of examples/, so what a user copies is what is tried here.
"""

import json
import shutil
import socket
import subprocess
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from tests import ROOT
from tests.project import Outcome, Project

EXAMPLES = ROOT / "examples"
PROCESSES = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])


def judged(project: Project, example: str, *workers: str, also: str = "") -> Outcome:
    """What `pytest --target=local -m smoke` leaves in a folder with this example's file."""
    configuration = project.path / "prodcheck.toml"
    shutil.copy(EXAMPLES / example / "prodcheck.toml", configuration)
    configuration.write_text(configuration.read_text() + also)
    return project.outcome(project.start("--target=local", "-m", "smoke", *workers))


def failures(outcome: Outcome) -> dict[str, str]:
    """Message of each check that did not pass."""
    checks = outcome.verdict["checks"]
    return {
        check["id"].rpartition("::")[2]: check["message"]
        for check in checks
        if check["outcome"] != "passed"
    }


def entries(outcome: Outcome, kind: str) -> list[dict[str, Any]]:
    lines = (outcome.folder / "journal.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


def is_stopped(outcome: Outcome) -> bool:
    """Nothing listens where the service was, and no process has its port among its arguments."""
    port = urlsplit(outcome.verdict["target"]["base_url"]).port
    with socket.socket() as caller:
        silent = caller.connect_ex(("127.0.0.1", port)) != 0
    running = subprocess.run(["ps", "-axwwo", "args="], capture_output=True, text=True, check=True)
    return silent and f"--port {port}" not in running.stdout


def assert_all_files_agree(outcome: Outcome, decision: str, failed: set[str]) -> None:
    """Page, JUnit file, summary and journal tell of the same checks as the verdict."""
    assert outcome.verdict["state"] == "finished"
    assert set(failures(outcome)) == failed
    cases = list(ElementTree.fromstring(outcome.junit).iter("testcase"))
    checks = [case for case in cases if case.get("classname") != "prodcheck"]
    assert {case.get("name") for case in checks} == set(outcome.outcomes())
    assert {case.get("name") for case in checks if case.find("failure") is not None} == failed
    assert len(cases) - len(checks) == (decision != "PROMOTE")  # the verdict as a red case
    assert decision in outcome.page
    assert decision in (outcome.folder / "summary.md").read_text()
    (planned,) = entries(outcome, "planned")
    assert len(planned["checks"]) == len(outcome.verdict["checks"])
    assert len(entries(outcome, "end")) == 1


@PROCESSES
def test_httpbin_as_it_is_passes_every_kind_of_probe(
    project: Project, workers: tuple[str, ...]
) -> None:
    outcome = judged(project, "httpbin", *workers)
    assert outcome.ruling == ("pass", 0), outcome.output
    assert outcome.output.count("PROMOTE  pass: score 100 > 90; 19 of 19 checks passed") == 1
    assert outcome.verdict["findings"] == []
    assert_all_files_agree(outcome, "PROMOTE", failed=set())

    sent = {
        name: outcome.check(f"::test_probe[{name}]")["exchanges"][0]["status"]
        for name in ("GET /gzip", "GET /status/418", "GET /redirect/1", "OPTIONS /get")
    }
    assert sent == {
        "GET /gzip": 200,
        "GET /status/418": 418,
        "GET /redirect/1": 302,
        "OPTIONS /get": 200,
    }
    (service,) = entries(outcome, "service")
    assert service["log"].count("Running on http://127.0.0.1:") == 1
    assert '"GET /status/418 HTTP/1.1" 418' in service["log"]
    assert is_stopped(outcome)


# The first alone breaks the rule that no critical check may fail; the others are the score's.
WRONG = """
[[probes]]
name = "a wrong value"
get = "/json"
json = { slideshow = { author = "Mine Truly", slides = [{ title = "Overview" }] } }
severity = "critical"

[[probes]]
get = "/no-such-page"

[[probes]]
name = "a status that is none of those allowed"
get = "/status/503"
status = [200, 204]

[[probes]]
name = "a header with another value"
get = "/gzip"
headers = { content-encoding = "br" }
"""


@PROCESSES
def test_httpbin_with_wrong_expectations_fails_in_exactly_these(
    project: Project, workers: tuple[str, ...]
) -> None:
    outcome = judged(project, "httpbin", *workers, also=WRONG)
    assert outcome.ruling == ("fail", 1), outcome.output
    wrong = {
        "test_probe[a wrong value]": (
            'json $.slideshow.author: expected "Mine Truly", got "Yours Truly"'
        ),
        "test_probe[GET /no-such-page]": "status: expected 2xx, got 404",
        "test_probe[a status that is none of those allowed]": (
            "status: expected 200 or 204, got 503"
        ),
        "test_probe[a header with another value]": (
            'header content-encoding: expected "br", got "gzip"'
        ),
    }
    assert failures(outcome) == wrong
    assert outcome.verdict["reasons"][0] == "1 critical check failed"
    assert_all_files_agree(outcome, "HOLD", failed=set(wrong))
    for name, message in wrong.items():
        shown = name.removeprefix("test_probe[").removesuffix("]")
        assert f"{shown}: {message}" in outcome.output
    # Not among them: the probe that wants a 500, and the private paths whose 404 is right.
    (finding,) = outcome.verdict["findings"]
    assert (finding["rule"], finding["evidence"]) == ("server.errors", ["5xx at /status/503"])
    assert is_stopped(outcome)


DERIVED = {
    f"test_probe[GET /api/4/{path}]"
    for path in (
        "all",
        "all/limits",
        "all/views",
        "args",
        "config",
        "help",
        "pluginslist",
        "processes/extended",
        "serverslist",
        "status",
    )
}


@PROCESSES
def test_glances_as_it_is_passes_the_probes_of_its_own_document(
    project: Project, workers: tuple[str, ...]
) -> None:
    outcome = judged(project, "glances", *workers)
    assert outcome.ruling == ("pass", 0), outcome.output
    assert {name for name in outcome.outcomes() if name.startswith("test_probe[")} == DERIVED
    assert outcome.check("::test_probe[GET /api/4/status]")["severity"] == "critical"
    assert outcome.verdict["release"]["version"].startswith("4.")
    assert_all_files_agree(outcome, "PROMOTE", failed=set())
    (service,) = entries(outcome, "service")
    assert service["log"].count("Glances RESTful API Server started") == 1
    assert is_stopped(outcome)


@PROCESSES
def test_glances_without_the_health_path_that_was_configured_fails_in_exactly_that(
    project: Project, workers: tuple[str, ...]
) -> None:
    moved = '\n[targets.moved]\nextends = "local"\nhealth = "/api/5/status"\n'
    configuration = EXAMPLES / "glances" / "prodcheck.toml"
    project.write("prodcheck.toml", configuration.read_text() + moved)
    outcome = project.outcome(project.start("--target=moved", "-m", "smoke", *workers))
    assert outcome.ruling == ("fail", 1), outcome.output
    wrong = {"test_health[/api/5/status]", "test_probe[GET /api/5/status]"}
    assert_all_files_agree(outcome, "HOLD", failed=wrong)
    for message in failures(outcome).values():
        assert message.splitlines()[0] == "status: expected 2xx, got 404"
    assert outcome.verdict["reasons"][0] == "2 critical checks failed"
    assert outcome.verdict["findings"] == []
    assert {name for name in outcome.outcomes() if name.startswith("test_probe[")} > DERIVED
    assert is_stopped(outcome)


@PROCESSES
def test_glances_is_held_to_its_own_document_by_reading_alone(
    project: Project, workers: tuple[str, ...]
) -> None:
    configuration = (EXAMPLES / "glances" / "prodcheck.toml").read_text()
    contract = '\n[contract]\nmax_examples = 5\nparameters = { plugin = ["version"] }\n'
    project.write("prodcheck.toml", configuration.replace("required =", "# ") + contract)
    outcome = project.outcome(project.start("--target=local", "-m", "contract", *workers))
    assert outcome.ruling == ("fail", 1), outcome.output
    outcomes = {name: how for name, how in outcome.outcomes().items() if "operation[" in name}
    # Its document allows process ids that are no numbers, and Glances 4.5 answers with a 500.
    assert outcomes["test_operation[GET /api/4/processes/{pid}]"] == "failed"
    assert outcomes["test_operation[GET /api/4/{plugin}]"] != "not_run"
    assert outcomes["test_operation[GET /api/4/status]"] == "passed"
    writing = {name for name in outcomes if "[POST " in name}
    assert {outcomes[name] for name in writing} == {"not_permitted"}
    (service,) = entries(outcome, "service")
    assert '"POST ' not in service["log"]
    assert "contract.broken" in {one["rule"] for one in outcome.verdict["findings"]}
    assert not (project.path / ".hypothesis").exists()
    assert is_stopped(outcome)


def test_a_service_that_dies_during_the_run_is_not_promoted_though_each_check_passed(
    project: Project,
) -> None:
    shutil.copy(EXAMPLES / "httpbin" / "prodcheck.toml", project.path)
    project.write(
        "test_last.py",
        """
        import os
        import signal
        import subprocess
        import time

        import pytest

        @pytest.mark.smoke
        def test_last(api, target):
            assert api.get("/get").is_success
            port = target.base_url.rpartition(":")[2]
            told = subprocess.run(["ps", "-axwwo", "pid=,args="], capture_output=True, text=True)
            (service,) = [line for line in told.stdout.splitlines() if f"--port {port}" in line]
            os.kill(int(service.split()[0]), signal.SIGKILL)
            time.sleep(0.2)
        """,
    )
    outcome = project.outcome(project.start("--target=local", "test_last.py"))
    assert outcome.ruling == ("fail", 1), outcome.output
    assert outcome.outcomes() == {"test_last": "passed"}
    assert outcome.verdict["reasons"] == [
        "the service that this run started was killed by SIGKILL before the run was over"
    ]
    assert is_stopped(outcome)
