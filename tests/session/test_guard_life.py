"""The guard stands from before the first conftest to the end of the process, and workers go by
what the controller has read."""

import json
import stat

import pytest

both = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])

FINE = """
import pytest

@pytest.mark.smoke
@pytest.mark.parametrize("number", range(4))
def test_fine(api, number):
    assert api.get("/ok").status_code == 200
"""

POST = "urllib.request.urlopen(urllib.request.Request(URL + '/thing', method='POST'))"

LATE = {
    "atexit": f"atexit.register(lambda: {POST})",
    "an exit handler of a fixture": (
        "@pytest.fixture(autouse=True, scope='session')\n"
        "def late():\n"
        f"    atexit.register(lambda: {POST})"
    ),
    "a thread": (
        "def wait():\n"
        "    threading.main_thread().join()\n"
        f"    {POST}\n"
        "threading.Thread(target=wait).start()"
    ),
    "the end of the configuration": f"def pytest_unconfigure(): {POST}",
    "a cleanup": f"def pytest_configure(config): config.add_cleanup(lambda: {POST})",
    "a socket": (
        "atexit.register(lambda: socket.create_connection(('127.0.0.1', int(URL.split(':')[2]))))"
    ),
}


def conftest(project, text: str) -> None:
    head = "import atexit, socket, threading, urllib.request\nimport pytest\n"
    project.write("conftest.py", f"{head}URL = {project.server.url!r}\n{text}\n")


def run(project, *args: str):
    """In a process of its own, whose end is what these tests are about."""
    return project.outcome(project.start("--target=prod", *args))


@pytest.mark.fault(127)
@pytest.mark.parametrize("late", LATE)
def test_what_is_refused_after_the_session_makes_the_verdict_fail(project, late):
    conftest(project, LATE[late])
    project.write("test_a.py", FINE)
    outcome = run(project, "test_a.py")
    assert outcome.ruling == ("fail", 1), outcome.output
    assert set(project.server.paths()) == {"/ok"}
    assert "violation" in (outcome.folder / "journal.jsonl").read_text()
    assert "PROMOTE" not in (outcome.folder / "summary.md").read_text()
    assert not (project.path / "prodcheck-report" / "last-good-prod.json").exists()
    assert not (outcome.folder / ".work").exists()


@pytest.mark.fault(127)
def test_what_is_refused_in_a_worker_after_its_session_makes_the_verdict_fail(project):
    conftest(project, LATE["an exit handler of a fixture"])
    project.write("test_a.py", FINE)
    outcome = run(project, "test_a.py", "-n2")
    assert outcome.ruling == ("fail", 1), outcome.output
    assert set(project.server.paths()) == {"/ok"}


@pytest.mark.fault(127)
def test_a_run_with_nothing_late_is_remembered_and_leaves_nothing_behind(project):
    conftest(project, "atexit.register(lambda: urllib.request.urlopen(URL + '/ok').close())")
    project.write("test_a.py", FINE)
    outcome = run(project, "test_a.py")
    assert outcome.ruling == ("pass", 0), outcome.output
    assert (project.path / "prodcheck-report" / "last-good-prod.json").exists()
    assert not (outcome.folder / ".work").exists()
    assert len(project.server.paths()) == 5


@pytest.mark.fault(127)
def test_the_release_before_stays_the_last_good_one(project):
    conftest(project, "")
    project.write("test_a.py", FINE)
    run(project, "test_a.py")
    stored = project.path / "prodcheck-report" / "last-good-prod.json"
    before = stored.read_bytes()
    conftest(project, LATE["atexit"])
    assert run(project, "test_a.py").ruling == ("fail", 1)
    assert stored.read_bytes() == before


EARLY = {
    "a request": "urllib.request.urlopen(URL + '/ok').close()",
    "a writing request": POST,
    "a request of httpx": "import httpx; httpx.get(URL + '/ok')",
    "a raw socket": "socket.create_connection(('127.0.0.1', int(URL.split(':')[2]))).close()",
}


@pytest.mark.fault(128)
@both
@pytest.mark.parametrize("early", EARLY)
def test_nothing_leaves_while_conftests_are_imported(project, early, workers):
    conftest(project, f"try:\n    {EARLY[early]}\nexcept Exception:\n    pass")
    project.write("test_a.py", FINE)
    outcome = run(project, "test_a.py", *workers)
    assert outcome.ruling == ("fail", 1), outcome.output
    assert "while pytest loads plugins and conftest files" in str(outcome.verdict["reasons"])
    assert project.server.connections == 0 or set(project.server.paths()) == {"/ok"}
    assert len(project.server.paths()) == 4


@pytest.mark.fault(128)
@pytest.mark.parametrize("how", ["PYTEST_PLUGINS", "-p", "PRODCHECK_TARGET", "addopts"])
def test_plugins_that_are_loaded_later_are_imported_under_the_guard(project, how):
    project.write(
        "late_plugin.py", f"import urllib.request\nURL = {project.server.url!r}\n{POST}\n"
    )
    project.write("test_a.py", FINE)
    project.environ["PYTHONPATH"] = str(project.path)
    args = ["--target=prod"]
    if how == "-p":  # in order: ours is named before
        args += ["-p", "pytest_prodcheck.plugin", "-p", "late_plugin"]
        project.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    else:
        project.environ["PYTEST_PLUGINS"] = "late_plugin"
    if how == "addopts":
        project.write("pytest.ini", "[pytest]\naddopts = --target=prod\n")
        args = []
    process = project.start(*args, "test_a.py") if how != "PRODCHECK_TARGET" else None
    if process is None:
        process = start_by_variable(project)
    output, _ = process.communicate(timeout=90)
    assert process.returncode != 0, output
    assert "refused while pytest loads plugins" in output
    assert project.server.connections == 0


def start_by_variable(project):
    from tests import project as module

    kept = module.SECRETLESS - {"PRODCHECK_TARGET"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SECRETLESS", kept)
        patch.setenv("PRODCHECK_TARGET", "prod")
        return project.start("test_a.py")


@pytest.mark.fault(128)
def test_exit_4_means_that_nothing_was_sent(project):
    project.configure(rte='"10/s"')
    conftest(project, f"atexit.register(lambda: {POST})\ntry:\n    {POST}\nexcept Exception: pass")
    project.write("test_a.py", FINE)
    process = project.start("--target=prod", "test_a.py")
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 4, output
    assert "did you mean" in output.lower()
    assert project.server.connections == 0


def test_a_target_option_of_a_conftest_leaves_everything_as_it_was(project):
    conftest(project, "def pytest_addoption(parser): parser.addoption('--target')")
    project.write(
        "test_a.py",
        f"""
        import urllib.request
        def test_posts():
            urllib.request.urlopen(
                urllib.request.Request({project.server.url!r} + "/ok", method="POST")
            ).close()
        """,
    )
    outcome = run(project, "test_a.py")
    assert outcome.exit == 0, outcome.output
    assert len(project.server.paths()) == 1


@pytest.mark.fault(128)
@both
def test_a_target_option_of_a_plugin_leaves_conftests_as_they_were(project, workers):
    project.write("their_plugin.py", "def pytest_addoption(parser): parser.addoption('--target')\n")
    project.environ |= {"PYTHONPATH": str(project.path), "PYTEST_PLUGINS": "their_plugin"}
    conftest(project, POST.replace("/thing", "/ok") + ".close()")
    project.write("test_a.py", "def test_nothing(): pass")
    outcome = run(project, "test_a.py", *workers)
    assert outcome.exit == 0, outcome.output
    assert len(project.server.paths()) == (1 if not workers else 3)


def test_without_a_target_no_module_of_the_guard_is_imported(project):
    project.write(
        "test_a.py",
        """
        import sys

        def test_nothing():
            assert "pytest_prodcheck.session.guard_lifetime" not in sys.modules
            assert "pytest_prodcheck.guard.network" not in sys.modules
        """,
    )
    process = project.start("test_a.py", "--target-like=x", "-p", "no:prodcheck-none")
    process.communicate(timeout=90)
    process = project.start("test_a.py")
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output


def test_a_program_that_calls_pytest_goes_on_unguarded(project):
    project.write("test_a.py", FINE)
    project.write(
        "program.py",
        f"""
        import sys, urllib.request
        import pytest
        code = pytest.main(["--target=prod", "-p", "no:randomly", "test_a.py"])
        URL = {project.server.url!r}
        urllib.request.urlopen(urllib.request.Request(URL + "/ok", method="POST")).close()
        sys.exit(code)
        """,
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=project.path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [seen.method for seen in project.server.ledger].count("POST") == 1


# --- workers ---


@pytest.mark.fault(131)
def test_workers_go_by_the_settings_of_the_controller(project):
    """The file changes before the first worker starts."""
    project.environ["PROD_TOKEN"] = "s3cret-of-the-run"
    project.configure(headers='{ Authorization = "Bearer ${PROD_TOKEN}", X-Key = "plain" }')
    conftest(
        project,
        """
import os, pathlib
def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):
        pathlib.Path("prodcheck.toml").write_text(
            '[targets.prod]\\nbase_url = "http://127.0.0.1:9"\\nread_only = false\\n'
        )
        os.environ["PROD_TOKEN"] = "another-value"
        os.environ["SEEN_BY_WORKERS"] = "1"
""",
    )
    project.write(
        "test_a.py",
        """
        import os, pytest

        @pytest.mark.smoke
        @pytest.mark.parametrize("number", range(4))
        def test_fine(api, target, number, request):
            assert os.environ["SEEN_BY_WORKERS"]
            assert target.read_only
            assert api.get("/ok").status_code == 200
            assert "s3cret-of-the-run" not in repr(request.config.workerinput)
        """,
    )
    outcome = run(project, "test_a.py", "-n2")
    assert outcome.ruling == ("pass", 0), outcome.output
    sent = {seen.headers["authorization"] for seen in project.server.ledger}
    assert sent == {"Bearer s3cret-of-the-run"}
    assert not (outcome.folder / ".work").exists()


@pytest.mark.fault(131)
def test_a_killed_run_leaves_no_secret_of_its_workers_on_the_disk(project):
    project.environ["PROD_TOKEN"] = "s3cret-of-the-run"
    project.configure(headers='{ Authorization = "Bearer ${PROD_TOKEN}" }')
    project.write(
        "test_a.py",
        """
        import os, signal, pytest

        @pytest.mark.smoke
        @pytest.mark.parametrize("number", range(2))
        def test_kills(api, number):
            assert api.get("/ok").status_code == 200
            os.kill(os.getppid(), signal.SIGKILL)
        """,
    )
    outcome = run(project, "test_a.py", "-n1")
    assert outcome.exit == -9
    files = [path for path in outcome.folder.rglob("*") if path.is_file()]
    sealed = [path for path in files if path.name == "secrets"]
    assert len(sealed) == 1
    assert stat.S_IMODE(sealed[0].stat().st_mode) == 0o600
    assert not [path for path in files if b"s3cret" in path.read_bytes()]


def test_settings_come_out_as_they_went_in(tmp_path):
    from pytest_prodcheck.config import load
    from pytest_prodcheck.session.worker_settings import pack, unpack

    (tmp_path / "prodcheck.toml").write_text(
        """
        threshold = 90.5
        [targets.prod]
        base_url = "https://api.example"
        drills = 2030-01-01
        read_only = false
        database = "${DB}"
        headers = { Authorization = "Bearer ${TOKEN}", Cookie = "sid=0123456789" }
        [[probes]]
        get = "/health"
        json = { a = [1, 2.5, "x"] }
        send = { X-Api-Key = "${TOKEN}" }
        """
    )
    environ = {"DB": "postgresql://u:hunter2222@db/x", "TOKEN": "0123456789abcdef"}
    settings = load("prod", root=tmp_path, environ=environ)
    packed = pack(settings, tmp_path / "sealed")
    again = unpack(packed, tmp_path / "sealed")

    def plain(value: object) -> object:
        import msgspec

        from pytest_prodcheck.config import Secret

        def enc(one: object) -> object:
            is_secret = isinstance(one, Secret)
            return [one.name, one.reveal(), one.template] if is_secret else str(one)

        return json.loads(msgspec.json.encode(value, enc_hook=enc))

    assert plain(again) == plain(settings)
    for secret in ("hunter2222", "0123456789abcdef"):
        assert secret.encode() not in packed["settings"]
        assert secret.encode() not in (tmp_path / "sealed").read_bytes()


def test_workers_that_vanish_at_their_end_are_not_started_again(project):
    project.write("test_a.py", FINE)
    conftest(
        project,
        """
import os
@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    if hasattr(session.config, "workerinput"):
        os._exit(3)
""",
    )
    outcome = run(project, "test_a.py", "-n2")
    assert outcome.exit in (1, 6), outcome.output
    assert "replacing crashed worker" not in outcome.output
    told = " ".join(outcome.verdict["reasons"])
    assert "died when all tests had ended" in told
    assert "pytest_sessionfinish" in told


@pytest.mark.fault(50)
def test_a_plugin_that_fails_at_the_end_of_a_worker_is_a_failure_of_the_run(project):
    project.write("test_a.py", FINE)
    conftest(
        project,
        """
def pytest_sessionfinish(session):
    if hasattr(session.config, "workerinput"):
        raise ValueError("only in workers")
""",
    )
    outcome = run(project, "test_a.py", "-n2")
    assert outcome.exit in (1, 6), outcome.output
    told = " ".join(outcome.verdict["reasons"])
    assert "failed at the end of worker gw" in told
    assert "only in workers" in told
