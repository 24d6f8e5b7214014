"""The files of a run when disk, reporters, neighbours or a kill are against them."""

import builtins
import html
import io
import json
import os
import random
import re
import signal
import time
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from pytest_prodcheck.store import journal as journal_module
from pytest_prodcheck.store.entries import ProblemFound
from tests.session.test_gate_integrity import wait_for

FILES = {"verdict.json", "report.html", "junit.xml", "summary.md", "journal.jsonl"}
WELL = """
    import pytest

    @pytest.mark.smoke
    @pytest.mark.parametrize("number", range(2))
    def test_ok(api, number):
        assert api.get("/ok").status_code == 200
"""


def whole(folder: Path, file: str) -> bool:
    """This file is there from its first byte to its last."""
    if not (folder / file).exists():
        return False
    content = (folder / file).read_text()
    if file == "report.html":
        return content.rstrip().endswith("</html>")
    if file == "junit.xml":
        return ElementTree.fromstring(content).tag == "testsuites"
    if file == "verdict.json":
        return json.loads(content)["schema"] == 1
    if file == "journal.jsonl":
        return json.loads(content.splitlines()[-1])["kind"] == "end"
    return content.endswith("\n")


def says_pass(folder: Path, file: str) -> bool:
    """A reader of this file alone would promote the release."""
    if not (folder / file).exists():
        return False
    content = (folder / file).read_text()
    if file == "report.html":
        return re.search(r"<title[^>]*>\s*promote", content, re.IGNORECASE) is not None
    if file == "junit.xml":
        return "<failure" not in content and "<error" not in content
    if file == "verdict.json":
        return json.loads(content)["verdict"] == "pass"
    return file == "summary.md" and "**PROMOTE**" in content.splitlines()[0]


def rows(folder: Path) -> set[str]:
    (blob,) = re.findall(r'data-jsonblob="([^"]*)"', (folder / "report.html").read_text())
    return set(json.loads(html.unescape(blob))["tests"])


def test_what_the_other_tests_take_for_a_pass_is_one(project):
    """Else they would find no pass where there is one."""
    project.write("test_a.py", WELL)
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("pass", 0)
    assert {path.name for path in outcome.folder.iterdir()} == FILES
    assert all(whole(outcome.folder, file) for file in FILES)
    assert {file for file in FILES if says_pass(outcome.folder, file)} == FILES - {"journal.jsonl"}


# --- a disk that is full --------------------------------------------------------------------


class FullDisk:
    """Every way of writing below *base* fails at the n-th time, or from then on."""

    def __init__(self, base: Path, *, at: int | None = None, for_good: bool = False) -> None:
        self._base = str(base)
        self._at = at
        self._for_good = for_good
        self.writes: list[str] = []

    def _count(self, what: str, path: object = "") -> None:
        self.writes.append(f"{what} {Path(str(path)).name}".strip())
        number = len(self.writes)
        if self._at is not None and (number == self._at or (self._for_good and number > self._at)):
            raise OSError(28, "No space left on device", str(path))

    def install(self, patch: pytest.MonkeyPatch) -> None:
        real_open, real_replace = io.open, Path.replace

        def opened(file, mode="r", *args, **options):
            if set(mode) & set("wax+") and str(file).startswith(self._base):
                self._count("open", file)
            return real_open(file, mode, *args, **options)

        def replaced(path, target):
            if str(path).startswith(self._base):
                self._count("replace", target)
            return real_replace(path, target)

        def write(descriptor, data):
            self._count("journal")
            return os.write(descriptor, data)

        def fsync(descriptor):
            self._count("sync journal")
            os.fsync(descriptor)

        shim = SimpleNamespace(**{**vars(os), "write": write, "fsync": fsync})
        patch.setattr(journal_module, "os", shim)
        patch.setattr(Path, "replace", replaced)
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)


def run_on(disk: FullDisk, project):
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        return project.run("test_a.py", "-p", "no:cacheprovider")


@pytest.mark.fault(107)
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
def test_no_write_that_fails_leaves_a_pass(project, for_good):
    project.write("test_a.py", WELL.replace("range(2)", "range(1)"))
    base = project.path / "prodcheck-report"
    healthy = FullDisk(base)
    assert run_on(healthy, project).exit == 0
    for word in ("journal", "replace verdict.json", "replace report.html", "replace junit.xml"):
        assert word in healthy.writes
    for number, write in enumerate(healthy.writes, 1):
        if "last-good" in write:
            continue  # for the next release: the verdict about this one stands already
        sent = len(project.server.paths())
        outcome = run_on(FullDisk(base, at=number, for_good=for_good), project)
        where = f"write {number}: {write}\n{outcome.output}"
        assert outcome.exit in (1, 3, 4), where
        assert "No space left on device" in outcome.output, where
        assert "PROMOTE" not in outcome.output, where
        assert not says_pass(outcome.folder, "verdict.json"), where
        # Either the run does not begin, or its last words are the verdict, whatever was stored.
        if outcome.exit == 4:
            assert "--prodcheck-report DIR" in outcome.output, where
            assert len(project.server.paths()) == sent, where
        else:
            told = outcome.output.splitlines()
            assert any(line.startswith("HOLD") for line in told), where
        for file in FILES - {"journal.jsonl"}:
            assert not says_pass(outcome.folder, file), f"{file}, {where}"


@pytest.mark.fault(107)
def test_a_journal_on_a_full_disk_stays_readable_up_to_there(tmp_path, monkeypatch):
    journal = journal_module.Journal(tmp_path / "journal.jsonl")
    journal.write(ProblemFound(what="report", detail="first"))

    def half(descriptor, data):
        """As the kernel does it: what still fits is written, then there is no space."""
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return os.write(descriptor, data[: len(data) - 10])

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "os", SimpleNamespace(**{**vars(os), "write": half}))
        journal.write(ProblemFound(what="report", detail="second"))
    journal.write(ProblemFound(what="report", detail="third, after somebody made space"))
    journal.close()
    assert journal.failure is not None
    assert [e.detail for e in journal_module.read(tmp_path / "journal.jsonl")] == ["first"]
    assert len(journal.entries) == 3


# --- a place that cannot hold reports -------------------------------------------------------


@pytest.mark.fault(108)
@pytest.mark.parametrize("kind", ["file", "link", "below a file", "latest is a folder"])
def test_a_place_that_cannot_hold_reports_is_refused_before_anything_is_sent(project, kind):
    project.write("test_a.py", WELL)
    place = project.path / "reports"
    elsewhere = project.path / "elsewhere"
    elsewhere.mkdir()
    option = place
    if kind == "link":
        place.symlink_to(elsewhere)
        says = f"reports is a link to {elsewhere}: reports are not written through links"
    elif kind == "latest is a folder":
        (place / "latest").mkdir(parents=True)
        says = "reports cannot hold the report: Is a directory"
    else:
        place.write_text("mine")
        says = "cannot hold the report: Not a directory"
        if kind == "below a file":
            option = place / "deeper"
    outcome = project.run("test_a.py", f"--prodcheck-report={option}")
    assert outcome.exit == 4
    assert says in outcome.output
    assert "Name a writable folder with --prodcheck-report DIR" in outcome.output
    assert project.server.paths() == []
    assert list(elsewhere.iterdir()) == []


@pytest.mark.fault(108)
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_place_is_refused_before_anything_is_sent(project):
    project.write("test_a.py", WELL)
    (project.path / "reports").mkdir(mode=0o500)
    outcome = project.run("test_a.py", "--prodcheck-report=reports")
    assert outcome.exit == 4
    assert "reports cannot hold the report: Permission denied" in outcome.output
    assert project.server.paths() == []


@pytest.mark.fault(108)
def test_a_missing_place_is_made(project):
    project.write("test_a.py", WELL)
    assert project.run("test_a.py", "--prodcheck-report=a/b").exit == 0
    assert whole(project.path / "a" / "b" / "latest", "report.html")


# --- reporters and plugins that fail --------------------------------------------------------

REPORTERS = {
    "report.html": "pytest_html.basereport.BaseReport",
    "junit.xml": "_pytest.junitxml.LogXML",
}


@pytest.mark.fault(109)
@pytest.mark.parametrize("hook", ["pytest_runtest_logreport", "pytest_sessionfinish"])
@pytest.mark.parametrize("file", REPORTERS)
def test_a_reporter_that_raises_takes_no_other_down(project, monkeypatch, file, hook):
    project.write("test_a.py", WELL)

    def fail(self, *_, **__):
        raise RuntimeError("broken reporter")

    monkeypatch.setattr(f"{REPORTERS[file]}.{hook}", fail)
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("fail", 1)
    reason = f"{file} is incomplete: RuntimeError('broken reporter')"
    assert reason in outcome.verdict["reasons"]
    assert "HOLD" in outcome.output
    for other in FILES - {file}:
        assert whole(outcome.folder, other), other
        assert not says_pass(outcome.folder, other), other
    assert not says_pass(outcome.folder, file)
    told = {
        "report.html": outcome.folder / "junit.xml",
        "junit.xml": outcome.folder / "report.html",
    }
    assert "incomplete" in told[file].read_text()
    assert "incomplete" in (outcome.folder / "summary.md").read_text()


@pytest.mark.fault(109)
@pytest.mark.parametrize(
    ("order", "workers"),
    [("tryfirst", ()), ("trylast", ()), ("wrapper", ()), ("trylast", ("-n2",))],
    ids=["tryfirst", "trylast", "wrapper", "n2"],
)
@pytest.mark.parametrize(
    "hook", ["pytest_sessionfinish(session)", "pytest_terminal_summary(terminalreporter)"]
)
def test_a_plugin_that_raises_at_the_end_is_a_failure_told_everywhere(
    project, hook, order, workers
):
    project.write("test_a.py", WELL)
    code = f"""
        import os
        import pytest

        @pytest.hookimpl({order}=True)
        def {hook}:
            {"yield" if order == "wrapper" else "pass"}
            if "PYTEST_XDIST_WORKER" not in os.environ:
                raise RuntimeError("clumsy plugin")
        """
    project.write("conftest.py", dedent(code))
    outcome = project.run("test_a.py", *workers)
    assert outcome.ruling == ("fail", 1), outcome.output
    reason = "another plugin failed at the end: RuntimeError('clumsy plugin')"
    assert outcome.verdict["reasons"] == [reason]
    assert set(outcome.outcomes().values()) == {"passed"}
    for file in FILES:
        assert whole(outcome.folder, file), file
        assert not says_pass(outcome.folder, file), file
    assert "clumsy plugin" in html.unescape(outcome.page)


@pytest.mark.fault(109)
def test_a_reporter_that_raises_keeps_a_failed_check_failed_in_the_others(project, monkeypatch):
    project.write("test_a.py", WELL + "\n    @pytest.mark.smoke\n    def test_bad(api):\n        "
                  "assert api.get('/gone').status_code == 200\n")  # fmt: skip

    def fail(*_, **__):
        raise RuntimeError("broken reporter")

    monkeypatch.setattr("pytest_prodcheck.report.markdown.summary", fail)
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("fail", 1)
    assert not (outcome.folder / "summary.md").exists()
    assert "test_a.py::test_bad" in rows(outcome.folder)
    failures = [case.get("name") for case in ElementTree.fromstring(outcome.junit).iter("testcase")
                if case.find("failure") is not None]  # fmt: skip
    assert failures == ["test_bad", "verdict"]


# --- two runs at once -----------------------------------------------------------------------


@pytest.mark.fault(105)
def test_two_runs_at_once_have_a_folder_each(project):
    project.write("test_a.py", WELL)
    processes = [project.start("--target=prod", "test_a.py") for _ in range(2)]
    outcomes = [project.outcome(process) for process in processes]
    assert [outcome.exit for outcome in outcomes] == [0, 0]
    base = project.path / "prodcheck-report"
    folders = [path for path in base.iterdir() if path.is_dir() and not path.is_symlink()]
    assert len(folders) == 2
    assert (base / "latest").resolve() in folders
    names = {"latest", "last-good-prod.json", *(path.name for path in folders)}
    assert {path.name for path in base.iterdir()} == names
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == FILES
        assert all(whole(folder, file) for file in FILES)
        content = json.loads((folder / "verdict.json").read_text())
        assert (content["run_id"], content["verdict"]) == (folder.name, "pass")
        assert content["counts"]["passed"] == 2
        assert content["metrics"]["requests"] == 2


# --- a kill at the end ----------------------------------------------------------------------

AT_THE_END = """
    import pytest

    @pytest.hookimpl(tryfirst=True, wrapper=True)
    def pytest_runtestloop():
        result = yield
        open("ending", "w").close()
        return result
"""


@pytest.mark.fault(112)
def test_a_kill_at_the_end_leaves_no_half_file_and_no_unfounded_pass(project):
    project.write("test_a.py", WELL)
    project.write("conftest.py", AT_THE_END)
    dice = random.Random(112)
    killed = 0
    for attempt in range(15):
        process = project.start("--target=prod", "test_a.py")
        wait_for((project.path / "ending").exists)
        time.sleep(attempt / 15 * 0.15 + dice.random() * 0.01)
        process.kill()
        outcome = project.outcome(process)
        (project.path / "ending").unlink()
        killed += outcome.exit == -signal.SIGKILL
        for file in ("report.html", "junit.xml", "summary.md"):
            assert whole(outcome.folder, file) or not (outcome.folder / file).exists()
        content = outcome.verdict
        assert content["verdict"] == "pass" or content["state"] == "running"
        if content["verdict"] == "pass":
            assert all(whole(outcome.folder, file) for file in FILES)
    assert killed


# --- ids that are written to hurt -----------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "]]>",
    "a\x00b",
    "\x1b[31m",
    "\ud800",
    '"><img src=x onerror=alert(1)>',
    "</testcase>",
    "&undefined;",
    "../../etc/passwd",
    "x" * 3000,
    "line\nbreak",
    "\\x",
    "\\N{",
    "\uffff\u202e",
    "{{ 7 * 7 }}",
]


@pytest.mark.fault(41, 93, 94)
def test_a_hostile_id_and_message_break_no_file(project):
    project.server.on("/bad", lambda visit: visit.close())
    project.write(
        "test_a.py",
        f"""
        import pytest

        HOSTILE = {HOSTILE!a}

        @pytest.mark.smoke
        @pytest.mark.parametrize("number", range(len(HOSTILE)), ids=HOSTILE)
        def test_hostile(api, number):
            assert api.get("/ok").status_code == 404, HOSTILE[number]
        """,
    )
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("fail", 1), outcome.output
    for file in FILES:
        assert whole(outcome.folder, file), file
    assert len(outcome.verdict["checks"]) == len(HOSTILE)
    assert set(outcome.outcomes().values()) == {"failed"}
    cases = list(ElementTree.fromstring(outcome.junit).iter("testcase"))
    assert len(cases) == len(HOSTILE) + 1
    assert all(case.find("failure") is not None for case in cases)
    assert "<script>alert(1)" not in outcome.page
    assert "<img src=x" not in outcome.page
    assert "\x1b[31m" not in outcome.page + outcome.junit
