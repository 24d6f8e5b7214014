"""The plugin from a user's side: options, selection, markers, targets, and what it leaves alone."""

import json
import subprocess
import sys

import pytest

from tests.faulty import json_answer, redirect
from tests.project import PLAIN

SMOKE = """
    import pytest

    @pytest.mark.smoke
    def test_ok(api):
        assert api.get("/ok").json()["status"] == "healthy"
"""


def test_without_a_target_nothing_happens(pytester):
    pytester.makepyfile("def test_a(): pass")
    result = pytester.runpytest_inprocess(*PLAIN)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*prodcheck: *")
    assert not (pytester.path / "prodcheck-report").exists()


def test_without_a_target_a_check_says_what_it_needs(pytester):
    pytester.makepyfile(SMOKE)
    result = pytester.runpytest_inprocess(*PLAIN, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs a target: run pytest with --target=NAME*"])


def test_without_a_target_nothing_heavy_is_imported():
    script = (
        "import sys, pytest\n"
        "pytest.main(['--collect-only', '-q', '-p', 'no:schemathesis', '-c', '/dev/null', "
        "'-p', 'no:hypothesispytest', '-p', 'no:anyio', '/dev/null'])\n"
        "heavy = ('httpx', 'httpcore', 'msgspec', 'pytest_prodcheck.config')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert told.stdout.splitlines()[-1] == "[]"


@pytest.mark.fault(23)
def test_an_unknown_target_is_a_usage_error_and_sends_nothing(project):
    project.write("test_a.py", SMOKE)
    outcome = project.run("test_a.py", target="prd")
    assert outcome.exit == 4
    assert 'Did you mean "prod"?' in outcome.output
    assert project.server.paths() == []


@pytest.mark.fault(23)
def test_an_empty_target_is_a_usage_error_and_not_no_target(project):
    """`--target="$TARGET"` with the variable unset must not become a run without a verdict."""
    project.write("test_a.py", SMOKE)
    assert project.run("test_a.py", target="").exit == 4
    project.environ["PRODCHECK_TARGET"] = ""
    assert project.run("test_a.py").exit == 4


@pytest.mark.fault(24)
@pytest.mark.parametrize("threshold", ["nan", "inf", "-1", "0", "100.1", "90,0", "9e1", "0.9", ""])
def test_a_threshold_that_is_none_is_a_usage_error(project, threshold):
    project.write("test_a.py", SMOKE)
    outcome = project.run("test_a.py", f"--prodcheck-threshold={threshold}")
    assert outcome.exit == 4
    assert project.server.paths() == []


@pytest.mark.fault(29)
def test_two_targets_are_refused(project):
    project.environ["PRODCHECK_TARGET"] = "staging"
    outcome = project.run()
    assert outcome.exit == 4
    assert "PRODCHECK_TARGET" in outcome.output


def test_the_target_may_come_from_the_environment(project):
    project.write("test_a.py", SMOKE)
    project.environ["PRODCHECK_TARGET"] = "prod"
    assert project.run("test_a.py").ruling == ("pass", 0)


def test_the_header_tells_each_decisive_setting_with_its_origin(project):
    project.write("test_a.py", SMOKE)
    output = project.run("test_a.py", "--prodcheck-threshold=85").output
    assert f"prodcheck: target prod  {project.server.url} (prodcheck.toml)" in output
    assert "prodcheck: read-only (default)" in output
    assert "prodcheck: threshold 85 (command line)" in output


def test_a_project_with_only_a_configuration_gets_the_suites(project):
    project.configure("""
        [[probes]]
        get = "/ok"
        json = { status = "healthy" }
        """)
    outcome = project.run("-m", "smoke")
    assert outcome.ruling == ("pass", 0), outcome.output
    assert outcome.outcomes() == {
        "test_nothing_private_is_public[paths]": "passed",
        "test_probe[GET /ok]": "passed",
    }
    ids = [check["id"] for check in outcome.verdict["checks"]]
    assert "suites/smoke/test_probes.py::test_probe[GET /ok]" in ids


def test_one_probe_is_selected_by_the_id_that_reports_show(project):
    project.configure("""
        [[probes]]
        get = "/ok"
        [[probes]]
        get = "/gone"
        """)
    outcome = project.run("suites/smoke/test_probes.py::test_probe[GET /ok]")
    assert outcome.outcomes() == {"test_probe[GET /ok]": "passed"}
    assert project.server.paths() == ["/ok"]


def test_the_users_own_checks_and_the_suites_run_together(project):
    project.write("test_a.py", SMOKE)
    project.configure('[[probes]]\nget = "/ok"\n')
    assert set(project.run().outcomes()) > {"test_ok", "test_probe[GET /ok]"}


def test_a_url_is_a_read_only_target_without_any_configuration(project):
    (project.path / "prodcheck.toml").unlink()
    project.server.on("/", json_answer({}))
    outcome = project.run(target=project.server.url)
    assert outcome.verdict["target"]["read_only"] is True
    assert "test_probe[GET /]" in outcome.outcomes()
    assert outcome.ruling == ("inconclusive", 6)  # that it answers proves no release


def test_probes_come_from_the_openapi_document_when_none_is_declared(project):
    document = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "paths": {
            "/ok": {"get": {"responses": {"200": {"description": "fine"}}}},
            "/item/{id}": {"get": {"responses": {"200": {"description": "fine"}}}},
            "/make": {"post": {"responses": {"201": {"description": "made"}}}},
        },
    }
    project.server.on("/openapi.json", json_answer(document))
    project.configure(openapi='"/openapi.json"')
    for workers in ((), ("-n2",)):
        before = len(project.server.seen("/openapi.json"))
        outcome = project.run("-m", "smoke", *workers)
        assert outcome.exit == 0
        assert "test_probe[GET /ok]" in outcome.outcomes()
        assert not any("item" in name or "make" in name for name in outcome.outcomes())
        assert len(project.server.seen("/openapi.json")) == before + 1


@pytest.mark.fault(31)
def test_a_document_that_cannot_be_read_is_not_passed_over(project):
    project.configure(openapi='"/nowhere.json"', health='"/ok"')
    outcome = project.run("-m", "smoke")
    assert outcome.ruling == ("inconclusive", 6)
    assert "no probes could be derived" in outcome.verdict["reasons"][0]


@pytest.mark.fault(25)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_typo_in_a_marker_is_refused_before_anything_is_sent(project, workers):
    project.write("test_a.py", SMOKE.replace("mark.smoke", "mark.smok"))
    outcome = project.run("test_a.py", "-W", "default", *workers)
    assert outcome.exit == 4
    told = " ".join(outcome.verdict["reasons"]) if workers else outcome.output
    assert "unknown marker 'smok' on test_a.py::test_ok; did you mean 'smoke'?" in told
    assert project.server.paths() == []


@pytest.mark.fault(25)
def test_a_typo_after_m_is_refused(project):
    project.write("test_a.py", SMOKE)
    outcome = project.run("test_a.py", "-m", "smok")
    assert outcome.exit == 4
    assert "unknown marker 'smok' in -m; did you mean 'smoke'?" in outcome.output


def test_a_severity_that_is_none_is_refused(project):
    project.write(
        "test_a.py", SMOKE.replace("smoke\n", "smoke\n    @pytest.mark.severity('hgih')\n")
    )
    outcome = project.run("test_a.py")
    assert outcome.exit == 4
    assert "is not a severity; use one of critical, major, minor" in outcome.output


def test_severity_and_category_reach_the_verdict(project):
    text = SMOKE.replace("smoke\n", "smoke\n    @pytest.mark.severity('critical')\n")
    project.write("test_a.py", text)
    check = project.run("test_a.py").check("test_ok")
    assert (check["category"], check["severity"]) == ("smoke", "critical")


WRITING = """
    import pytest

    @pytest.mark.contract
    @pytest.mark.writes
    def test_write(api):
        assert api.post("/made", json={"a": 1}).status_code == 200

    @pytest.mark.smoke
    def test_ok(api):
        assert api.get("/ok").status_code == 200
"""


@pytest.mark.fault(79)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_check_that_writes_is_not_permitted_on_a_read_only_target(project, workers):
    project.write("test_a.py", WRITING)
    outcome = project.run("test_a.py", *workers)
    assert outcome.ruling == ("pass", 0)
    assert outcome.outcomes() == {"test_write": "not_permitted", "test_ok": "passed"}
    assert outcome.verdict["counts"]["planned"] == 1
    assert project.server.paths() == ["/ok"]


def test_a_check_that_writes_runs_where_that_is_allowed(project):
    project.server.on("/made", json_answer({}))
    project.configure(read_only="false")
    project.write("test_a.py", WRITING)
    assert set(project.run("test_a.py").outcomes().values()) == {"passed"}


def test_a_check_for_other_targets_is_not_planned(project):
    project.configure('[targets.staging]\nextends = "prod"\n')
    text = SMOKE + "\n    @pytest.mark.smoke\n    @pytest.mark.targets('staging')\n"
    project.write("test_a.py", text + "    def test_b(api):\n        assert 0\n")
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("pass", 0)
    assert list(outcome.outcomes()) == ["test_ok"]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_failure_carries_its_exchange_with_a_command_to_repeat_it(project, workers):
    project.server.on("/ok", json_answer({"status": "ill"}, 503))
    project.write("test_a.py", SMOKE)
    check = project.run("test_a.py", *workers).check("test_ok")
    (exchange,) = check["exchanges"]
    assert (exchange["method"], exchange["status"]) == ("GET", 503)
    assert exchange["url"] == f"{project.server.url}/ok"
    assert exchange["curl"].startswith("curl ")
    assert '"ill"' in exchange["body"]
    assert "'ill' == 'healthy'" in check["message"]
    assert exchange["traceparent"] == project.server.ledger[0].headers["traceparent"]


def test_a_test_without_a_category_is_not_scored_but_fails_the_run(project):
    project.write("test_a.py", SMOKE + "\n    def test_plain():\n        assert 0\n")
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("fail", 1)
    assert list(outcome.outcomes()) == ["test_ok"]
    assert outcome.verdict["unscored"][0]["id"] == "test_a.py::test_plain"


@pytest.mark.fault(45)
@pytest.mark.parametrize(
    ("required", "reason"),
    [
        ("smoke>=2", "smoke>=2 is required, but 1 were planned"),
        ("*::test_gone", "required check *::test_gone was not planned"),
    ],
)
def test_a_required_check_that_is_gone_is_inconclusive(project, required, reason):
    project.write("test_a.py", SMOKE)
    text = (project.path / "prodcheck.toml").read_text()
    (project.path / "prodcheck.toml").write_text(f'required = ["{required}"]\n{text}')
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("inconclusive", 6)
    assert reason in outcome.verdict["reasons"]


def test_somebody_elses_target_option_is_left_alone(project):
    project.write(
        "conftest.py",
        """
        def pytest_addoption(parser):
            parser.addoption("--target", default="theirs")
        """,
    )
    project.write(
        "test_a.py",
        SMOKE + "\n    def test_b(pytestconfig):\n"
        "        assert pytestconfig.getoption('--target') == 'theirs'\n",
    )
    result = project.pytester.runpytest_inprocess(*PLAIN, "test_a.py")
    result.assert_outcomes(passed=1, skipped=1)
    result = project.pytester.runpytest_inprocess(*PLAIN, "--prodcheck-target=prod", "-k", "ok")
    assert "--target belongs to another plugin; --prodcheck-target is ours" in result.stdout.str()
    assert project.server.paths()


def test_user_paths_of_html_and_junit_stay_theirs(project):
    project.write("test_a.py", SMOKE)
    outcome = project.run("test_a.py", "--html=mine.html", "--junitxml=mine.xml")
    assert (project.path / "mine.html").exists()
    assert (project.path / "mine.xml").exists()
    assert "PROMOTE" in outcome.page
    assert "prodcheck.verdict" in outcome.junit


@pytest.mark.fault(86)
def test_a_redirect_to_another_host_is_not_followed(project):
    project.server.on("/away", redirect("http://127.0.0.1:9/"))
    project.write(
        "test_a.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_away(api):
            assert api.get("/away", follow_redirects=True).status_code == 200
        """,
    )
    outcome = project.run("test_a.py")
    assert outcome.exit == 1
    assert "127.0.0.1:9" in outcome.check("test_away")["message"]


def test_a_service_is_started_once_and_stopped(project):
    (project.path / "app.py").write_text(
        "import http.server, sys\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.send_header('content-length', '2')\n"
        "        self.end_headers(); self.wfile.write(b'ok')\n"
        "print('started', flush=True)\n"
        "address = ('127.0.0.1', int(sys.argv[1]))\n"
        "http.server.ThreadingHTTPServer(address, Handler).serve_forever()\n"
    )
    project.write(
        "prodcheck.toml",
        """
        [targets.local]
        start = "{python} app.py {port}"
        base_url = "http://127.0.0.1:{port}"
        """,
    )
    project.write("test_a.py", SMOKE.replace('.json()["status"] == "healthy"', ".is_success"))
    for workers in ((), ("-n2",)):
        outcome = project.run("test_a.py", *workers, target="local")
        assert outcome.ruling == ("pass", 0), outcome.output
        journal = (outcome.folder / "journal.jsonl").read_text().splitlines()
        (log,) = (entry["log"] for entry in map(json.loads, journal) if entry["kind"] == "service")
        assert log.count("started") == 1


def test_a_service_that_does_not_start_is_a_usage_error_with_its_last_words(project):
    project.write(
        "prodcheck.toml",
        """
        [targets.local]
        start = "{python} -c 'raise SystemExit(\\"no database\\")' {port}"
        base_url = "http://127.0.0.1:{port}"
        """,
    )
    outcome = project.run(target="local")
    assert outcome.exit == 4
    assert "no database" in outcome.output


def test_rerun_failures_make_a_flaky_check(project):
    pytest.importorskip("pytest_rerunfailures")
    project.write(
        "test_a.py",
        """
        import pytest

        tries = []

        @pytest.mark.smoke
        def test_moody(api):
            tries.append(api.get("/ok").status_code)
            assert len(tries) > 1
        """,
    )
    outcome = project.run("test_a.py", "--reruns=2", "-p", "rerunfailures")
    assert outcome.check("test_moody")["outcome"] == "flaky"
    assert outcome.ruling == ("fail", 1)


def test_a_check_that_takes_a_probe_and_proves_nothing_fails(project):
    project.configure('[[probes]]\nget = "/ok"\n')
    project.write(
        "test_a.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_idle(probe):
            pass
        """,
    )
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("fail", 1)
    assert "this check asserts nothing" in outcome.check("test_idle[GET /ok]")["message"]


def test_a_conftest_that_ends_a_test_before_us_does_no_harm(project):
    (project.path / "inner").mkdir()
    project.write("inner/test_a.py", SMOKE)
    project.write(
        "inner/conftest.py",
        """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_setup(item):
            pytest.skip("not today")
        """,
    )
    outcome = project.run("inner/test_a.py")
    assert outcome.ruling == ("fail", 1)
    assert outcome.check("test_ok")["outcome"] == "skipped"


def test_a_manifest_holds_for_the_parts_of_a_run_together(project):
    from pytest_prodcheck.cli import main

    project.write("test_a.py", SMOKE)
    project.write("test_b.py", SMOKE)
    text = (project.path / "prodcheck.toml").read_text()
    parts = []
    for wanted in (2, 3):
        (project.path / "prodcheck.toml").write_text(f'required = ["smoke>={wanted}"]\n{text}')
        folders = []
        for part in ("1/2", "2/2"):
            outcome = project.run("test_a.py", "test_b.py", f"--prodcheck-shard={part}")
            assert (outcome.ruling, outcome.verdict["decision"]) == (("inconclusive", 0), "hold")
            folders.append(str(outcome.folder.resolve()))
        parts.append(main(["merge", *folders, "--output", str(project.path / f"m{wanted}")]))
    assert parts == [0, 6]


def test_the_command_of_a_failure_can_be_pasted_with_the_variable_it_was_configured_with(project):
    """A secret that stands in the configuration itself has no variable: its key is named."""
    project.server.on("/ok", json_answer({}, 503))
    written = '"Bearer ${CHECKER_PASS_PHRASE}", X-Api-Key = "a-literal-api-key"'
    project.configure(headers=f"{{ Authorization = {written}, X-Tenant = 'acme' }}")
    project.environ["CHECKER_PASS_PHRASE"] = "open-sesame-77"
    project.write("test_a.py", SMOKE)
    (exchange,) = project.run("test_a.py").check("test_ok")["exchanges"]
    assert '-H "Authorization: Bearer $CHECKER_PASS_PHRASE"' in exchange["curl"]
    key = "X-Api-Key: <written in the configuration: targets.prod.headers.X-Api-Key>"
    assert f"-H '{key}'" in exchange["curl"]
    tenant = "X-Tenant: <written in the configuration: targets.prod.headers.X-Tenant>"
    assert f"-H '{tenant}'" in exchange["curl"]
