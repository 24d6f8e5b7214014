"""No route makes a run say pass by accident: every way that lets the stock stack exit 0."""

import html
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from textwrap import dedent

import pytest

from tests.project import PLAIN, Outcome, Project

HEAD = """
    import os, signal, sys, time
    import pytest

    pytestmark = pytest.mark.smoke
"""
OK = """
    @pytest.mark.parametrize("number", range(4))
    def test_ok(api, number):
        assert api.get("/ok").status_code == 200
"""
WELL = HEAD + OK


def assert_not_a_pass(outcome: Outcome, ruling: str, *facts: str) -> None:
    """Exit, verdict, page, JUnit and terminal all say that this is no pass, and why."""
    verdict = outcome.verdict
    assert outcome.exit != 0
    assert verdict["verdict"] == ruling, verdict["reasons"]
    assert verdict["decision"] != "promote"
    told = " ".join(verdict["reasons"]) + str([c["message"] for c in verdict["checks"]])
    page = html.unescape(re.sub(r"<[^>]+>|\s+", " ", outcome.page))
    for fact in facts:
        assert fact in told
        assert fact.split("\n")[0] in page
    assert ruling in page.lower()
    failures = ElementTree.fromstring(outcome.junit).iter("failure")
    assert any(ruling in failure.get("message", "") for failure in failures)
    assert ruling in outcome.output
    assert "PROMOTE" not in outcome.output


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_healthy_run_passes(project, workers):
    project.write("test_a.py", WELL)
    outcome = project.run("test_a.py", *workers)
    assert outcome.ruling == ("pass", 0), outcome.output
    assert outcome.verdict["decision"] == "promote"
    assert outcome.verdict["counts"]["passed"] == 4
    assert outcome.verdict["metrics"]["requests"] == 4
    assert "PROMOTE" in outcome.output


FAILS_AT_THE_END = {
    "pytest_unconfigure": "def pytest_unconfigure(): raise OSError('no end')",
    "a cleanup": "def pytest_configure(config): config.add_cleanup(lambda: 1 / 0)",
    "an outer hook": """
        import pytest
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_sessionfinish():
            yield
            raise OSError("no end")
        """,
}


@pytest.mark.fault(109)
@pytest.mark.parametrize("failure", FAILS_AT_THE_END)
def test_a_conftest_that_fails_after_the_verdict_leaves_no_pass(project, failure):
    project.write("test_a.py", WELL)
    project.write("conftest.py", FAILS_AT_THE_END[failure])
    outcome = project.outcome(project.start("--target=prod", "test_a.py"))
    assert outcome.ruling == ("fail", 1), outcome.output
    error = "ZeroDivisionError" if failure == "a cleanup" else "OSError('no end')"
    assert error in " ".join(outcome.verdict["reasons"])
    lines = outcome.output.splitlines()
    told = [line for line in lines if line.startswith(("PROMOTE", "HOLD"))]
    assert told[-1].startswith("HOLD  fail"), "the last word counts"
    assert not list((project.path / "prodcheck-report").glob("last-good-*"))


@pytest.mark.fault(109)
def test_a_failed_minor_test_is_no_error_of_pytest(project):
    project.write("test_a.py", WELL + """
    @pytest.mark.severity("minor")
    def test_minor(api):
        assert api.get("/ok").status_code == 404
    """)  # fmt: skip
    outcome = project.outcome(project.start("--target=prod", "test_a.py"))
    assert outcome.ruling == ("pass", 0), outcome.output


ROUTES = [
    # row, code, options, verdict, exit, fact
    (42, "def test_s(api):\n    pytest.skip('no config')", (), "fail", 1, "no config"),
    (43, "@pytest.mark.xfail\ndef test_s(api):\n    assert 0", (), "fail", 1, "expected to fail"),
    (43, "@pytest.mark.xfail(strict=False)\ndef test_s(api):\n    assert api.get('/ok')", (),
     "fail", 1, "expected to fail"),
    (44, "", ("-k", "nothing_is_called_so"), "inconclusive", 6, "taken out of the run"),
    (44, "", ("-m", "rollback"), "inconclusive", 6, "nothing was planned that counts"),
    (44, "", ("--collect-only",), "inconclusive", 6, "4 of 4 planned checks did not run"),
    (44, "", ("--setup-only",), "inconclusive", 6, "4 of 4 planned checks did not run"),
    (44, "", ("--setup-plan",), "inconclusive", 6, "4 of 4 planned checks did not run"),
    (45, "", ("-k", "0 or 1"), "inconclusive", 6, "2 of 4 planned checks did not run"),
    (45, "", ("--deselect", "test_a.py::test_ok[1]"), "inconclusive", 6, "1 of 4 planned"),
    (46, "raise RuntimeError('boom')", (), "fail", 1, "could not be collected"),
    (53, "def test_s(api):\n    assert 0, 'first'\ntest_s.__test__ = True", ("--maxfail=1",),
     "inconclusive", 6, "did not run"),
    (54, "def test_s(api):\n    pytest.exit('enough', returncode=0)", (), "inconclusive", None,
     "did not run"),
    (54, "def test_s(api):\n    sys.exit(0)", (), "fail", 1, "SystemExit: 0"),
    (60, "def test_s(api):\n    assert 0, 'worse'\n\ndef pytest_generate_tests(metafunc): pass",
     (), "fail", 1, "worse"),
    (62, "def test_s():\n    assert True", (), "fail", 1, "this check sent no request"),
    (62, "def test_s(api):\n    api.get('/ok')", (), "fail", 1, "this check asserts nothing"),
]  # fmt: skip


@pytest.mark.fault(42, 43, 44, 45, 46, 53, 54, 60, 62)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize(
    ("row", "code", "options", "ruling", "exit_code", "fact"),
    ROUTES,
    ids=[f"row{route[0]}-{number}" for number, route in enumerate(ROUTES)],
)
def test_a_route_to_a_pass_by_accident_is_closed(
    project, row, code, options, ruling, exit_code, fact, workers
):
    project.write("test_a.py", dedent(HEAD) + code + dedent(OK))
    outcome = project.run("test_a.py", *options, *workers)
    assert_not_a_pass(outcome, ruling, fact)
    assert outcome.exit == exit_code or exit_code is None


@pytest.mark.fault(46)
def test_a_collection_error_fails_whatever_the_ratio(project):
    project.write("test_a.py", WELL.replace("range(4)", "range(100)"))
    project.write("test_b.py", "import nothing_of_that_name")
    outcome = project.run("test_a.py", "test_b.py", "--continue-on-collection-errors")
    assert_not_a_pass(outcome, "fail", "test_b.py could not be collected")
    assert outcome.verdict["score"] == 100.0


CRASH = """
    def test_crash(api):
        assert api.get("/ok").status_code == 200
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault(47)
def test_a_worker_killed_in_a_test_failed_that_test_everywhere(project):
    project.write("test_a.py", WELL + CRASH)
    outcome = project.run("test_a.py", "-n2")
    assert_not_a_pass(outcome, "fail", "worker 'gw")
    assert outcome.check("test_crash")["outcome"] == "failed"
    assert "test_crash" in outcome.page.partition("data-jsonblob")[2]
    names = [case.get("name") for case in ElementTree.fromstring(outcome.junit).iter("testcase")]
    assert "test_crash" in names


@pytest.mark.fault(48)
def test_what_a_lost_worker_left_undone_is_named(project):
    slow = WELL.replace("assert api", "time.sleep(0.3); assert api").replace("(4)", "(12)")
    project.write("test_a.py", slow + CRASH.replace("test_crash", "test_a_crash"))
    outcome = project.run("test_a.py", "-n1", "--max-worker-restart=0", "-p", "no:randomly")
    undone = [c for c in outcome.verdict["checks"] if c["outcome"] == "not_run"]
    assert outcome.check("test_a_crash")["outcome"] == "failed"
    assert len(outcome.verdict["checks"]) == 13
    if undone:
        assert_not_a_pass(outcome, "inconclusive", f"{len(undone)} of 13 planned checks did not")
    else:
        assert_not_a_pass(outcome, "fail", "died")


@pytest.mark.fault(49)
def test_a_worker_that_dies_at_its_end_is_a_failure_and_loses_nothing(project):
    project.write("test_a.py", WELL)
    project.write(
        "conftest.py",
        """
        import os

        def pytest_sessionfinish(session):
            if hasattr(session.config, "workerinput"):
                os._exit(0)
        """,
    )
    outcome = project.run("test_a.py", "-n2", "--max-worker-restart=0")
    assert outcome.exit != 0
    assert outcome.verdict["verdict"] != "pass"
    assert set(outcome.outcomes().values()) == {"passed"}


@pytest.mark.fault(50)
def test_a_conftest_that_fails_in_workers_only_is_not_a_pass(project):
    project.write("test_a.py", WELL)
    project.write(
        "conftest.py",
        """
        def pytest_configure(config):
            if hasattr(config, "workerinput"):
                raise RuntimeError("only here")
        """,
    )
    outcome = project.run("test_a.py", "-n2")
    assert outcome.exit in (1, 3, 6)
    assert outcome.verdict["verdict"] != "pass"


@pytest.mark.fault(52)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize("hook", ["pytest_runtest_logreport(report)", "pytest_sessionstart()"])
def test_an_internal_error_is_three_and_keeps_what_was_reported(project, hook, workers):
    project.write("test_a.py", WELL)
    where = "report.when == 'teardown'" if "report" in hook else "True"
    project.write(
        "conftest.py",
        f"""
        import os

        def {hook}:
            if 'PYTEST_XDIST_WORKER' not in os.environ and {where}:
                raise RuntimeError("boom")
        """,
    )
    outcome = project.run("test_a.py", *workers)
    assert outcome.exit == 3
    assert outcome.verdict["verdict"] == "inconclusive"
    assert outcome.verdict["state"] == "finished"
    if "report" in hook:
        assert_not_a_pass(outcome, "inconclusive", "internal error: RuntimeError: boom")
        assert "passed" in outcome.outcomes().values() or workers


@pytest.mark.fault(54)
def test_leaving_by_os_exit_is_not_zero_and_leaves_no_pass(project):
    project.write("test_a.py", WELL + "\n    def test_z(api):\n        os._exit(0)\n")
    outcome = project.outcome(project.start("--target=prod", "test_a.py"))
    assert outcome.exit == 6
    assert outcome.verdict["state"] == "running"
    assert outcome.verdict["verdict"] == "inconclusive"
    recovered = prodcheck(project, "recover", "prodcheck-report/latest")
    assert recovered.returncode == 6
    assert_not_a_pass(
        Outcome(6, recovered.stdout, outcome.folder), "inconclusive", "was killed before its end"
    )
    assert outcome.verdict["state"] == "recovered"
    assert outcome.verdict["counts"]["passed"] == 4


FORK = """
    def test_fork(api):
        assert api.get("/ok").status_code == 200
        pid = os.fork()
        if not pid:
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.fault(54)
def test_a_child_of_a_test_may_leave_by_os_exit(project):
    project.write("test_a.py", WELL + FORK)
    assert project.run("test_a.py").ruling == ("pass", 0)


def prodcheck(project: Project, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pytest_prodcheck.cli", *args],
        cwd=project.path,
        capture_output=True,
        text=True,
        timeout=60,
    )


SLOW = """
    import time
    import pytest

    @pytest.fixture(autouse=True)
    def witness(request):
        yield
        with open("teardowns", "a") as file:
            file.write(request.node.name + "\\n")

    @pytest.mark.smoke
    @pytest.mark.parametrize("number", range(20))
    def test_slow(api, number):
        assert api.get("/ok").status_code == 200
        time.sleep(0.15)
"""


@pytest.mark.fault(55)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_ends_the_run_in_order(project, number, workers):
    project.write("test_a.py", SLOW)
    process = project.start("--target=prod", "test_a.py", *workers)
    wait_for(lambda: len(project.server.paths()) > 2)
    process.send_signal(getattr(signal, number))
    outcome = project.outcome(process)
    assert outcome.exit == 2, outcome.output
    assert_not_a_pass(outcome, "inconclusive", f"interrupted: {number}")
    assert outcome.verdict["state"] == "finished"
    assert "passed" in outcome.outcomes().values()
    if not workers:
        started = {path for path in project.server.paths() if path == "/ok"}
        assert started
        assert (project.path / "teardowns").read_text().splitlines()


@pytest.mark.fault(55)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3])
def test_a_killed_run_leaves_a_journal_and_no_pass(project, workers, delay):
    project.write("test_a.py", SLOW)
    process = project.start("--target=prod", "test_a.py", *workers)
    wait_for(lambda: len(project.server.paths()) > 1)
    time.sleep(delay)
    process.kill()
    outcome = project.outcome(process)
    assert outcome.verdict["state"] == "running"
    assert outcome.verdict["verdict"] != "pass"
    recovered = prodcheck(project, "recover", "prodcheck-report/latest")
    assert recovered.returncode == 6, recovered.stderr
    assert len(outcome.verdict["checks"]) == 20
    gated = prodcheck(project, "gate", "prodcheck-report/latest")
    assert gated.returncode == 6


def wait_for(condition, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "gave up waiting"
        time.sleep(0.01)


@pytest.mark.fault(56, 59)
@pytest.mark.parametrize(
    "options",
    [("-p", "no:prodcheck"), ("-c", "other.ini")],
    ids=["blocked", "other-ini"],
)
def test_without_the_plugin_the_gate_has_nothing_to_let_through(project, options):
    project.write("test_a.py", "def test_nothing(): pass")
    project.write("other.ini", "[pytest]\naddopts = -p no:prodcheck\n")
    process = project.start("test_a.py", *options)
    assert project.outcome(process).exit == 0
    gated = prodcheck(project, "gate", "prodcheck-report/latest", "--target", "prod")
    assert gated.returncode == 6
    assert "holds no verdict" in gated.stdout


@pytest.mark.fault(59)
def test_a_run_that_cannot_begin_takes_the_older_pass_away(project):
    project.write("test_a.py", WELL)
    assert project.run("test_a.py").exit == 0
    assert prodcheck(project, "gate").returncode == 0
    assert project.run("test_a.py", target="prud").exit == 4
    assert prodcheck(project, "gate").returncode == 6


@pytest.mark.fault(59)
def test_while_a_run_is_under_way_the_older_pass_is_gone(project):
    project.write("test_a.py", WELL)
    assert project.run("test_a.py").exit == 0
    seen = len(project.server.paths())
    project.write("test_a.py", SLOW)
    process = project.start("--target=prod", "test_a.py")
    wait_for(lambda: len(project.server.paths()) > seen)
    assert prodcheck(project, "gate").returncode == 6
    process.terminate()
    assert project.outcome(process).exit == 2


@pytest.mark.fault(57)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_plugin_that_rewrites_outcomes_is_found_out(project, workers):
    project.write("test_a.py", WELL + "\n    def test_bad(api):\n        assert 0, 'truth'\n")
    project.write(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(item, call):
            outcome = yield
            outcome.get_result().outcome = "passed"

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(session):
            session.exitstatus = 0
        """,
    )
    outcome = project.run("test_a.py", *workers)
    assert_not_a_pass(outcome, "fail", "another plugin reported it as passed")


@pytest.mark.fault(64)
def test_a_pipeline_that_swallows_the_exit_code_is_caught_by_the_gate(project):
    project.write("test_a.py", WELL + "\n    def test_bad(api):\n        assert 0, 'truth'\n")
    process = project.start("--target=prod", "test_a.py")
    process.stdout.close()
    process.wait(60)
    gated = prodcheck(project, "gate")
    assert gated.returncode != 0


@pytest.mark.fault(45)
def test_a_fixture_of_the_users_with_a_name_of_ours_is_theirs(project):
    project.write(
        "test_a.py",
        """
        import pytest

        @pytest.fixture
        def health(api):
            return api.get("/ok").json()["status"]

        @pytest.mark.smoke
        def test_own(health):
            assert health == "never so"

        @pytest.mark.smoke
        @pytest.mark.parametrize("limit, probe", [(1, 2)])
        def test_limit(api, limit, probe):
            assert api.get("/ok").status_code == 200 + limit
        """,
    )
    outcome = project.run("test_a.py")
    assert outcome.outcomes() == {"test_own": "failed", "test_limit[1-2]": "failed"}


@pytest.mark.fault(42, 45)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_module_that_is_skipped_as_a_whole_is_not_passed_over(project, workers):
    project.write("test_a.py", WELL)
    project.write("test_b.py", "import pytest\npytest.importorskip('nope')\n" + dedent(WELL))
    outcome = project.run("test_a.py", "test_b.py", *workers)
    assert_not_a_pass(outcome, "inconclusive", "test_b.py was skipped as a whole")


def test_a_skipped_module_without_checks_is_no_matter(project):
    project.write("test_a.py", WELL)
    project.write("test_b.py", "import pytest\npytest.importorskip('nope')\n")
    assert project.run("test_a.py", "test_b.py").ruling == ("pass", 0)


@pytest.mark.fault(45)
def test_a_class_that_pytest_cannot_collect_is_not_passed_over(project):
    lost = """
    class TestLost:
        def __init__(self):
            pass

        def test_lost(self, api):
            assert 0
    """
    project.write("test_a.py", WELL + lost)
    outcome = project.run("test_a.py", "-W", "default")
    assert_not_a_pass(outcome, "inconclusive", "TestLost")


@pytest.mark.fault(45)
@pytest.mark.parametrize("expression", ["smoke", "smoke and not rollback"])
def test_a_hook_that_takes_a_check_out_is_found_out_whatever_m_says(project, expression):
    project.write("test_a.py", WELL)
    project.write(
        "conftest.py",
        """
        def pytest_collection_modifyitems(items):
            items[:] = items[:-1]
        """,
    )
    outcome = project.run("test_a.py", "-m", expression)
    assert_not_a_pass(outcome, "inconclusive", "1 of 4 planned checks did not run")


def test_marks_that_a_hook_adds_count(project):
    plain = WELL.replace("    pytestmark = pytest.mark.smoke\n", "")
    project.write("test_a.py", plain + "\n    def test_login(api):\n        pytest.skip('no')\n")
    project.write(
        "conftest.py",
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.smoke)
                if "login" in item.nodeid:
                    item.add_marker(pytest.mark.severity("critical"))
        """,
    )
    outcome = project.run("test_a.py", "-m", "smoke")
    assert_not_a_pass(outcome, "fail", "1 critical check did not prove anything")


@pytest.mark.fault(62)
def test_a_with_that_is_no_assertion_is_none(project):
    project.write(
        "test_a.py",
        """
        import httpx, pytest

        @pytest.mark.smoke
        def test_with(target):
            with httpx.Client() as client:
                client.get(f"{target.base_url}/ok").status_code == 500
        """,
    )
    assert_not_a_pass(project.run("test_a.py"), "fail", "this check asserts nothing")


def test_only_a_broken_plugin_before_ours_leaves_the_verdict_of_an_earlier_run(project):
    """pytest imports plugins that `-p` names in their order; docs/verdict.md says what to do."""
    latest = project.path / "prodcheck-report" / "latest"
    project.write("broken.py", "raise RuntimeError('broken')\n")
    project.environ["PYTHONPATH"] = str(project.path)
    project.write("test_a.py", WELL)
    assert project.run("test_a.py").ruling == ("pass", 0)
    before = project.outcome(project.start("--target=prod", "-p", "broken", "test_a.py"))
    assert before.exit != 0
    assert latest.exists()
    assert prodcheck(project, "gate", "--commit", "3e68e18").returncode == 6
    first = ("-p", "pytest_prodcheck.plugin")
    after = project.outcome(project.start("--target=prod", *first, "-p", "broken", "test_a.py"))
    assert after.exit != 0
    assert not latest.exists()


def test_dist_each_is_refused(project):
    project.write("test_a.py", WELL)
    outcome = project.run("test_a.py", "-n2", "--dist", "each")
    assert outcome.exit == 4
    assert "--dist each runs every check once per worker under one id" in outcome.output


OPTIMIZED = {"-O": (("-O",), {}), "PYTHONOPTIMIZE": ((), {"PYTHONOPTIMIZE": "1"})}


@pytest.mark.fault(134)
@pytest.mark.parametrize(("options", "environ"), OPTIMIZED.values(), ids=OPTIMIZED)
def test_without_assertions_nothing_runs(project, options, environ):
    project.write("test_a.py", WELL)
    command = [sys.executable, *options, "-m", "pytest", *PLAIN, "--target=prod"]
    ended = subprocess.run(
        command, cwd=project.path, env=os.environ | environ, capture_output=True, text=True
    )
    assert ended.returncode == 4
    assert "Python runs without assertions" in ended.stderr
    assert project.server.paths() == []
    assert not (project.path / "prodcheck-report" / "latest").exists()


@pytest.mark.fault(135)
@pytest.mark.parametrize("category", ["smoke", "contract", "rollback", "environment"])
def test_a_check_of_any_category_that_asserts_and_asks_nothing_fails(project, category):
    check = f"""
        import pytest

        @pytest.mark.{category}
        def test_empty():
            pass

        @pytest.mark.{category}
        @pytest.mark.offline
        def test_offline():
            assert 1 + 1 == 2
        """
    project.write("test_a.py", check)
    outcome = project.run("test_a.py")
    assert outcome.outcomes() == {"test_empty": "failed", "test_offline": "passed"}


@pytest.mark.fault(135)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize("category", ["smoke", "contract", "rollback"])
def test_a_check_that_asserts_but_asks_the_target_nothing_fails(project, category, workers):
    check = f"""
        import pytest

        @pytest.mark.{category}
        def test_sums():
            assert 1 + 1 == 2
        """
    project.write("test_a.py", check)
    outcome = project.run("test_a.py", *workers)
    assert outcome.outcomes() == {"test_sums": "failed"}
    assert "sent no request" in outcome.check("test_sums")["message"]


@pytest.mark.fault(135)
def test_what_holds_on_a_host_is_seen_without_a_request(project):
    project.write(
        "test_a.py",
        """
        import os, pytest

        @pytest.mark.environment
        def test_home():
            assert os.environ["PATH"]
        """,
    )
    assert project.run("test_a.py").outcomes() == {"test_home": "passed"}


@pytest.mark.fault(139)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize("order", ["", "tryfirst=True", "trylast=True", "wrapper=True"])
def test_a_check_that_is_taken_out_after_the_plan_is_named(project, workers, order):
    project.write("test_a.py", WELL)
    body = "session.items[:] = session.items[:-1]"
    body = f"yield; {body}" if "wrapper" in order else body
    project.write(
        "conftest.py",
        f"""
        import pytest

        @pytest.hookimpl({order})
        def pytest_collection_finish(session):
            {body}
        """,
    )
    outcome = project.run("test_a.py", *workers)
    assert_not_a_pass(outcome, "inconclusive", "1 of 4 planned checks did not run")
    (gone,) = [one for one in outcome.verdict["checks"] if one["outcome"] == "not_run"]
    assert gone["message"].removeprefix("not run: ").startswith("taken out of the run ")


LOSING = {
    "worker": """
        def pytest_configure(config):
            plugins = config.pluginmanager.get_plugins()
            for worker in [one for one in plugins if hasattr(one, "sendevent")]:
                send = worker.sendevent

                def lose(name, **facts):
                    data = facts.get("data") or {}
                    lost = name == "testreport" and "test_ok[2]" in data["nodeid"]
                    if not lost or data["when"] not in LOST:
                        send(name, **facts)

                worker.sendevent = lose
        """,
    "run": """
        def pytest_runtest_protocol(item):
            return True if "test_ok[2]" in item.nodeid else None
        """,
}


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    ("where", "phases", "workers"),
    [
        ("worker", ("setup", "call", "teardown"), ("-n2",)),
        ("worker", ("call",), ("-n2",)),
        ("worker", ("teardown",), ("-n2",)),
        ("run", (), ()),
    ],
)
def test_a_report_that_is_lost_on_the_way_is_named(project, where, phases, workers):
    project.write("test_a.py", WELL)
    project.write("conftest.py", f"LOST = {phases!r}\n{dedent(LOSING[where])}")
    outcome = project.run("test_a.py", *workers)
    assert_not_a_pass(outcome, "inconclusive", "1 of 4 planned checks did not run")
    (lost,) = [one for one in outcome.verdict["checks"] if one["outcome"] == "not_run"]
    assert lost["id"].endswith("test_ok[2]")


def test_a_line_that_is_lost_from_the_journal_is_noticed(project):
    project.write("test_a.py", WELL)
    journal = project.run("test_a.py").folder / "journal.jsonl"
    assert prodcheck(project, "gate").returncode == 0
    written = journal.read_bytes().splitlines(keepends=True)
    lines = [line for line in written if b'"kind":"traffic"' not in line]
    assert len(lines) < len(written)
    journal.write_bytes(b"".join(lines))
    gated = prodcheck(project, "gate")
    assert gated.returncode == 6
    assert f"has {len(lines) - 1} lines, and {len(written) - 1} were written" in gated.stdout


@pytest.mark.fault(147)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_without_pytests_own_reporters_the_verdict_is_as_ever(project, workers):
    project.write("test_a.py", WELL)
    for blocked in (["terminal"], ["metadata"], ["html"], ["terminal", "metadata", "html"]):
        options = [f"-pno:{name}" for name in blocked]
        process = project.start("--target=prod", "test_a.py", *options, *workers)
        outcome = project.outcome(process)
        assert outcome.ruling == ("pass", 0), (blocked, outcome.output)
        assert "INTERNALERROR" not in outcome.output
        assert ("PROMOTE" in outcome.output) == ("terminal" not in blocked)


@pytest.mark.fault(57)
@pytest.mark.parametrize(
    "body",
    [
        "def pytest_sessionfinish(session): session.exitstatus = 1",
        "def pytest_sessionfinish(session): session.exitstatus = 17",
        "@pytest.hookimpl(wrapper=True)\n"
        "        def pytest_runtestloop(session):\n"
        "            yield; session.testsfailed += 1; return True",
    ],
    ids=["at the end", "another status", "as pytest-cov does"],
)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_plugin_that_fails_a_passed_run_is_not_overruled(project, workers, body):
    project.write("test_a.py", WELL)
    project.write("conftest.py", f"import pytest\n\n        {body}\n".replace("        ", ""))
    outcome = project.run("test_a.py", *workers)
    assert_not_a_pass(outcome, "fail", "another plugin ended the run with exit status ")


def test_a_failed_minor_check_is_no_other_plugin(project):
    minor = """
    @pytest.mark.severity("minor")
    def test_minor(api):
        assert api.get("/gone").status_code == 200
    """
    project.write("test_a.py", WELL + minor)
    assert project.run("test_a.py", "--prodcheck-threshold=80").ruling == ("pass", 0)


@pytest.mark.parametrize(
    ("expression", "ruling"),
    [
        ("smoke", "inconclusive"),
        ("", "inconclusive"),
        ("not slow", "inconclusive"),
        ("slow", "inconclusive"),
        ("smoke or rollback", "inconclusive"),
        ("rollback", "pass"),
        ("not smoke", "pass"),
        ("rollback and slow", "pass"),
    ],
)
def test_a_requirement_applies_where_m_plans_its_category(project, expression, ruling):
    project.write("pytest.ini", "[pytest]\nmarkers = slow\n")
    project.configure()
    settings = (project.path / "prodcheck.toml").read_text()
    (project.path / "prodcheck.toml").write_text(f'required = ["smoke>=9"]\n{settings}')
    both = WELL.replace("= pytest.mark.smoke", "= []")
    checks = """
    @pytest.mark.{}
    @pytest.mark.slow
    def test_{}(api):
        assert api.get("/ok").status_code == 200
    """
    for name in ("smoke", "rollback"):
        both += checks.format(name, name)
    project.write("test_a.py", both)
    outcome = project.run("test_a.py", *(["-m", expression] if expression else []))
    assert outcome.verdict["verdict"] == ruling
    required = "smoke>=9 is required, but " in " ".join(outcome.verdict["reasons"])
    assert required == (ruling == "inconclusive")
