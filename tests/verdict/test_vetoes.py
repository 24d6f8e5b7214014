"""What a run has found is not promoted: vetoes, regressions, parts of a run, stale verdicts."""

import json

import pytest

from pytest_prodcheck.cli import main
from tests.faulty import json_answer
from tests.project import Outcome, Project

TWENTY = "\n".join(f'[[probes]]\nname = "fine {n}"\nget = "/ok"\n' for n in range(20))


def minor(path: str, extra: str = "") -> str:
    """Twenty probes that pass, and a minor one whose failure leaves a score of 98."""
    return f'{TWENTY}\n[[probes]]\nget = "{path}"\nseverity = "minor"\n{extra}'


def smoke(project: Project, *args: str) -> Outcome:
    return project.run("-m", "smoke", *args)


@pytest.mark.parametrize(
    ("status", "extra", "reason", "ruling"),
    [
        (500, "", "server_error", ("fail", 1)),
        (503, "", "server_error", ("fail", 1)),
        (503, "status = 503", None, ("pass", 0)),
        (404, "", "status", ("pass", 0)),
        (200, 'contains = "x"', "body", ("pass", 0)),
        (200, 'json = { status = "well" }', "body", ("pass", 0)),
        (200, 'headers = { content-type = "text/csv" }', "content_type", ("pass", 0)),
        (200, 'headers = { x-release = "1" }', "header", ("pass", 0)),
        (200, "within = 0.0000001", "latency", ("pass", 0)),
    ],
)
def test_a_minor_probe_fails_the_run_only_by_its_kind(project, status, extra, reason, ruling):
    project.server.on("/odd", json_answer({"status": "ill"}, status=status))
    project.configure(minor("/odd", extra))
    outcome = smoke(project)
    assert outcome.ruling == ruling
    assert outcome.check("[GET /odd]")["reason"] == reason
    if reason == "server_error":
        assert outcome.verdict["reasons"][0].startswith("server_error: GET /odd: ")
        assert "outweighed by server_error at 1 check" in outcome.output
        assert [veto["kind"] for veto in outcome.verdict["vetoes"]] == ["server_error"]


def test_a_kind_that_the_team_takes_out_of_the_veto_is_named_in_the_header(project):
    project.server.on("/odd", json_answer({}, status=500))
    project.configure(minor("/odd"))
    config = project.path / "prodcheck.toml"
    config.write_text(f'veto = ["auth", "exposed", "data_loss"]\n{config.read_text()}')
    outcome = smoke(project)
    assert outcome.ruling == ("pass", 0)
    assert "vetoes nothing: server_error, regression (prodcheck.toml)" in outcome.output
    assert "1 minor check failed (GET /odd)" in outcome.output


def test_a_check_that_passed_in_the_last_run_that_passed_must_not_fail_now(project):
    project.server.on("/odd", json_answer({}))
    project.configure(minor("/odd"), release='{ from = "/release", version = "$.version" }')
    project.server.on("/release", json_answer({"version": "1.4.1"}))
    assert smoke(project).ruling == ("pass", 0)

    project.server.on("/odd", json_answer({}, status=404))
    project.server.on("/release", json_answer({"version": "1.4.2"}))
    broken = smoke(project)
    assert broken.ruling == ("fail", 1)
    assert broken.verdict["reasons"] == ["regression: GET /odd passed on 1.4.1"]
    assert "regression    GET /odd passed on 1.4.1, fails now: status" in broken.output
    assert "GET /odd passed on 1.4.1, fails now" in broken.page
    assert "last good     version 1.4.1" in broken.output

    # A failed run is not what the next one is compared with.
    assert smoke(project).ruling == ("fail", 1)
    other = smoke(project, "--prodcheck-vantage=elsewhere")
    assert other.ruling == ("pass", 0), "another vantage has no past"


def test_a_new_check_is_not_a_regression(project):
    project.configure(TWENTY)
    assert smoke(project).ruling == ("pass", 0)
    project.server.on("/odd", json_answer({}, status=404))
    project.configure(minor("/odd"))
    assert smoke(project).ruling == ("pass", 0)


CHECKS = """
    import pytest

    @pytest.mark.smoke
    @pytest.mark.parametrize("n", range(4))
    def test_ok(api, n):
        assert api.get("/ok").status_code == 200

    @pytest.mark.smoke
    def test_other(api):
        assert api.get("/ok").status_code == 200
"""


@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.parametrize(
    ("args", "text", "code"),
    [
        (["test_a.py::test_ok[1]"], "1 of 5 checks was selected", 0),
        (["test_a.py::test_ok"], "4 of 5 checks were selected", 0),
        (["test_a.py"], "only chosen files were run, with 5 checks", 0),
        (["-k", "test_other"], "1 of 26 checks was selected", 6),
        (["--deselect", "test_a.py::test_other"], "25 of 26 checks were selected", 6),
    ],
)
def test_a_part_of_a_run_promotes_nothing_and_is_not_remembered(project, args, text, code, workers):
    project.write("test_a.py", CHECKS)
    project.configure(TWENTY)
    outcome = project.run(*args, *workers, typed=True)
    verdict = outcome.verdict
    assert verdict["part"] == text
    assert (verdict["verdict"], verdict["decision"], outcome.exit) == ("inconclusive", "hold", code)
    assert not list((project.path / "prodcheck-report").glob("last-good-*"))
    assert main(["gate", str(outcome.folder)]) == 6


def test_the_exit_code_of_chosen_checks_tells_whether_they_passed(project):
    project.write("test_a.py", CHECKS.replace("== 200", "== 201", 1))
    assert project.run("test_a.py::test_ok", typed=True).exit == 1
    assert project.run("test_a.py::test_other", typed=True).exit == 0


@pytest.mark.parametrize("failure", ["unknown option", "broken conftest", "unknown target"])
def test_a_start_that_fails_leaves_no_older_pass(project, failure):
    project.write("test_a.py", CHECKS)
    project.configure(TWENTY)
    first = project.outcome(project.start("--target=prod", "-m", "smoke"))
    assert first.ruling == ("pass", 0)
    assert main(["gate", str(first.folder)]) == 0
    args = ["--target=prod"]
    if failure == "broken conftest":
        project.write("conftest.py", "1 / 0")
    else:
        args += ["--no-such-option"] if failure == "unknown option" else ["--target=prodd"]
    assert project.outcome(project.start(*args)).exit != 0
    assert main(["gate", str(first.folder)]) == 6


def test_a_run_without_a_target_leaves_the_latest_verdict_alone(project):
    project.write("test_a.py", CHECKS)
    project.configure(TWENTY)
    first = project.run("-m", "smoke")
    assert first.ruling == ("pass", 0)
    project.outcome(project.start("--collect-only"))
    assert main(["gate", str(first.folder)]) == 0


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_a_warning_of_a_check_reaches_every_output(project, workers):
    project.write(
        "test_a.py",
        """
        import warnings
        import pytest

        @pytest.mark.smoke
        def test_disk(api):
            warnings.warn("the disk is nearly full")
            warnings.warn("old call", DeprecationWarning)
            assert api.get("/ok").status_code == 200
        """,
    )
    outcome = project.run("test_a.py", "-W", "default", *workers)
    assert outcome.ruling == ("pass", 0)
    assert outcome.verdict["warnings"] == [
        {"check": "test_a.py::test_disk", "message": "the disk is nearly full"}
    ]
    said = "test_disk: the disk is nearly full"
    assert f"warning       {said}" in outcome.output
    assert "1 warning on prod" in outcome.output
    for text in (outcome.page, outcome.junit, (outcome.folder / "summary.md").read_text()):
        assert said in text


def test_the_score_can_be_recomputed_from_the_verdict(project):
    project.server.on("/odd", json_answer({}, status=404))
    project.configure(minor("/odd"))
    verdict = json.loads(json.dumps(smoke(project).verdict))
    weights = verdict["weights"]
    planned = [c for c in verdict["checks"] if c["outcome"] not in ("not_permitted", "known")]
    total = sum(weights[check["severity"]] for check in planned)
    good = sum(weights[check["severity"]] for check in planned if check["outcome"] == "passed")
    assert int(10_000 * good / total) / 100 == verdict["score"]
    assert verdict["veto"] == ["server_error", "auth", "exposed", "data_loss", "regression"]


ELSEWHERE = """
    import pytest

    @pytest.mark.smoke
    @pytest.mark.targets("staging")
    def test_there(api):
        assert api.get("/ok").status_code == 200
"""


@pytest.mark.parametrize(
    ("checks", "args", "reason"),
    [
        (ELSEWHERE, [], "1 of the checks exist on other targets only: staging"),
        (CHECKS, ["-m", "rollback"], "-m 'rollback' leaves out all 5 checks that were collected"),
    ],
)
def test_a_run_that_plans_nothing_says_why(project, checks, args, reason):
    project.write("test_a.py", checks)
    config = project.path / "prodcheck.toml"
    config.write_text(f'{config.read_text()}\n[targets.staging]\nbase_url = "http://127.0.0.1:9"\n')
    outcome = project.run("test_a.py", *args)
    assert outcome.ruling == ("inconclusive", 6)
    assert reason in outcome.verdict["reasons"]
    assert reason in outcome.output
