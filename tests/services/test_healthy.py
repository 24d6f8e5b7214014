"""A target that is well is told so each time: no run of many cries wolf."""

import os
from typing import Any

import pytest

from tests.faulty import answer, json_answer, redirect
from tests.project import Project

PROBES = """
    [targets.prod.release]
    from = "/info"
    version = "$.version"

    [[probes]]
    get = "/ok"
    json = { status = "healthy" }
    severity = "critical"

    [[probes]]
    get = "/items?limit=2"
    json = [{ id = 1 }, { id = 2, tags = ["new"] }]

    [[probes]]
    get = "/info"
    headers = { content-type = "application/json" }
    samples = 5

    [[probes]]
    get = "/page"
    contains = "Sign in"
    headers = { content-type = "text/html" }

    [[probes]]
    get = "/old"
    status = 301
    headers = { location = "/page" }

    [[probes]]
    name = "an item that is gone"
    get = "/items/9"
    status = [404, 410]

    [[probes]]
    get = "/status.txt"
    matches = "^up [0-9]+ days$"
    within = 5

    [[probes]]
    head = "/page"
    """

CHECKS = """
    import pytest

    @pytest.mark.smoke
    @pytest.mark.severity("critical")
    def test_the_first_item_has_a_page(api):
        items = api.get("/items").json()
        assert api.get(f"/items/{items[0]['id']}").json()["id"] == 1

    @pytest.mark.contract
    @pytest.mark.parametrize("path", ["/ok", "/info"])
    def test_json_is_labelled(api, path):
        assert api.get(path).headers["content-type"] == "application/json"

    @pytest.mark.contract
    @pytest.mark.writes
    def test_an_item_can_be_made(api):
        assert api.post("/items", json={"id": 3}).status_code == 201

    def test_without_a_category(api):
        assert api.get("/page").is_success
    """

PLANNED = 13
"""Eight probes, health, private paths, and the three scored checks that may run."""


@pytest.fixture
def well(project: Project) -> Project:
    """A project as a user has it, with a target at which nothing is wrong."""
    answers: dict[str, Any] = {
        "/info": json_answer({"version": "1.4.2"}),
        "/items": json_answer([{"id": 1, "tags": []}, {"id": 2, "tags": ["old", "new"]}]),
        "/items/1": json_answer({"id": 1}),
        "/items/9": json_answer({"detail": "gone"}, status=410),
        "/page": answer("<html><h1>Sign in</h1></html>", content_type="text/html; charset=utf-8"),
        "/old": redirect("/page", status=301),
        "/status.txt": answer("up 12 days", content_type="text/plain"),
    }
    for path, behaviour in answers.items():
        project.server.on(path, behaviour)
    project.configure(PROBES, health='"/ok"')
    project.write("test_a.py", CHECKS)
    return project


def told(project: Project, *args: str) -> tuple[Any, ...]:
    """All of a run that must not differ from one to the next."""
    outcome = project.run(*args)
    verdict = outcome.verdict
    reasons, findings = verdict["reasons"], verdict["findings"]
    return (*outcome.ruling, verdict["score"], verdict["counts"], reasons, findings)


COUNTS = {
    "planned": PLANNED,
    "passed": PLANNED,
    "failed": 0,
    "skipped": 0,
    "not_permitted": 1,
    "not_run": 0,
    "flaky": 0,
    "known": 0,
}
ALL_IS_WELL = ("pass", 0, 100, COUNTS, [], [])


def test_many_runs_in_a_row_pass(well: Project) -> None:
    """PRODCHECK_ALL=1 makes fifty of them."""
    runs = 50 if os.environ.get("PRODCHECK_ALL") else 20
    for number in range(runs):
        assert told(well) == ALL_IS_WELL, f"run {number + 1}"
    assert {seen.method for seen in well.server.ledger} == {"GET", "HEAD"}
    reports = (well.path / "prodcheck-report").iterdir()
    assert sum(path.is_dir() and not path.is_symlink() for path in reports) == runs


def test_what_earlier_runs_left_is_not_searched_for_tests(well: Project) -> None:
    assert told(well) == ALL_IS_WELL
    well.write("prodcheck-report/latest/test_trap.py", "def test_trap(): assert 0")
    assert told(well) == ALL_IS_WELL


def test_three_runs_in_a_row_pass_with_workers(well: Project) -> None:
    for number in range(3):
        assert told(well, "-n2") == ALL_IS_WELL, f"run {number + 1}"
    assert {seen.method for seen in well.server.ledger} == {"GET", "HEAD"}


def test_a_plugin_whose_workers_call_its_controller_does_not_stop_a_healthy_run(
    well: Project,
) -> None:
    """pytest-rerunfailures: a connection to 127.0.0.1 from each worker, on a read-only target."""
    pytest.importorskip("pytest_rerunfailures")
    assert told(well, "-n2", "--reruns=1") == ALL_IS_WELL
