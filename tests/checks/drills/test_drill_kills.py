"""A run that is killed in the middle of a drill: the way back is taken all the same.

Twelve points, before and after each step that a drill writes down. PRODCHECK_ALL=1 tries each
with SIGTERM and SIGKILL, with and without xdist (48 runs, some minutes); else a dozen of them.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pytest_prodcheck.cli import main
from pytest_prodcheck.store.undo_journal import rehearsals, unfinished
from tests.project import Project
from tests.switchboard import CONFIGURED, DRILL, WRITES, Switchboard

STEPS = ("switch", "switched", "write", "written", "restore", "restored")
POINTS = tuple(itertools.product(STEPS, ("before", "after")))
WAYS = tuple(itertools.product((signal.SIGTERM, signal.SIGKILL), ("-n0", "-n2")))

PULLING = """
import os
from pytest_prodcheck.store.undo_journal import UndoJournal

write = UndoJournal.write

def pulled(self, step, **facts):
    if step == "{step}" and "{when}" == "before":
        os.kill(os.getpid(), {number})
    write(self, step, **facts)
    if step == "{step}" and "{when}" == "after":
        os.kill(os.getpid(), {number})

UndoJournal.write = pulled
"""


def kills() -> Iterator[tuple[str, str, signal.Signals, str]]:
    everything = os.environ.get("PRODCHECK_ALL")
    for number, (step, when) in enumerate(POINTS):
        # Each point once, each way three times, and no way always at the same kind of point.
        ways = WAYS if everything else (WAYS[(number + number // 4) % 4],)
        for killed_by, workers in ways:
            yield step, when, killed_by, workers


@pytest.mark.fault(120, 121, 122)
@pytest.mark.parametrize(("step", "when", "killed_by", "workers"), list(kills()))
def test_a_killed_drill_is_undone_or_what_is_left_is_named(
    project: Project, step: str, when: str, killed_by: signal.Signals, workers: str
) -> None:
    project.configure(CONFIGURED + DRILL + WRITES)
    board = Switchboard(project.server)
    project.write("conftest.py", PULLING.format(step=step, when=when, number=int(killed_by)))
    process = project.start("--target=prod", "-m", "rollback", "-k", "test_drill", workers)
    outcome = project.outcome(process)
    ended = time.monotonic()
    reports = project.path / "prodcheck-report"
    while time.monotonic() < ended + 10 and any(
        rehearsal.switched or rehearsal.written for _, rehearsal in unfinished(reports)
    ):
        time.sleep(0.05)
    took = time.monotonic() - ended

    assert board.mode == "BOTH", outcome.output
    assert took < 5, f"the watchdog took {took:.1f} s"
    (drilled,) = rehearsals(outcome.folder / "drills.jsonl").values()
    for entry in board.entries.values():
        (named,) = drilled.leftovers
        assert named.endswith(f"it contains the text {entry['text'].removeprefix('written in ')}")
    assert outcome.exit not in (0, 5), "a killed run is no pass"
    assert outcome.verdict["decision"] != "promote"


VANISHING = """
import os, resource, shutil, signal
from pathlib import Path
from pytest_prodcheck.store.undo_journal import UndoJournal

write = UndoJournal.write
project = Path({project!r})

def pulled(self, step, **facts):
    write(self, step, **facts)
    if step == "written":
        what = {what!r}
        if what == "report":
            shutil.rmtree(project / "prodcheck-report")
        elif what == "project":
            shutil.rmtree(project)
        elif what == "disk":  # no journal can grow any more, as on a full disk
            full = self.path.stat().st_size
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    words = (process / "cmdline").read_bytes().split(b"\\0")
                except OSError:
                    continue
                if b"pytest_prodcheck.checks.drills.watchdog" in words:
                    if str(os.getpid()).encode() in words:
                        resource.prlimit(int(process.name), resource.RLIMIT_FSIZE, (full, full))
        elif what == "configuration":
            (project / "prodcheck.toml").unlink()
        else:
            for file in ("prodcheck.toml", "flip.py"):
                text = (project / file).read_text()
                (project / file).write_text(text.replace("/flags", "/nowhere"))
        os.kill(os.getpid(), signal.SIGKILL)

UndoJournal.write = pulled
"""
FLIP = """#!{python}
import json, urllib.request

BODY = {{"writes": True, "files": True}}


def back(client):
    assert client.put("/flags", json=BODY).status_code == 200


if __name__ == "__main__":
    url, body = "{url}/flags", json.dumps(BODY).encode()
    urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT"))
"""
WAYS_BACK = {
    "request": '{ put = "/flags", json = { writes = true, files = true } }',
    "function": '{ call = "flip.py::back" }',
    "script": '"./flip.py"',
    "interpreter": f'"{sys.executable} flip.py"',
}


@pytest.mark.fault(144)
@pytest.mark.parametrize(
    ("what", "way", "workers"),
    [
        ("project", "request", "-n0"),
        ("project", "request", "-n2"),
        ("project", "function", "-n0"),
        ("project", "script", "-n0"),
        ("project", "interpreter", "-n2"),
        ("report", "request", "-n0"),
        ("disk", "request", "-n0"),
        ("disk", "request", "-n2"),
        ("configuration", "request", "-n0"),
        ("changed", "request", "-n2"),
        ("changed", "function", "-n0"),
        ("changed", "script", "-n0"),
    ],
)
def test_a_killed_drill_is_undone_as_it_was_configured_when_it_began(
    project: Project, what: str, way: str, workers: str
) -> None:
    request = f"restore = {WAYS_BACK['request']}"
    assert request in DRILL
    project.configure(CONFIGURED + DRILL.replace(request, f"restore = {WAYS_BACK[way]}") + WRITES)
    board = Switchboard(project.server)
    flip = project.write("flip.py", FLIP.format(python=sys.executable, url=project.server.url))
    flip.chmod(0o755)
    project.write("conftest.py", VANISHING.format(project=str(project.path), what=what))
    process = project.start("--target=prod", "-m", "rollback", "-k", "test_drill", workers)
    output, _ = process.communicate(timeout=90)
    until = time.monotonic() + 30
    while time.monotonic() < until and (board.mode != "BOTH" or board.entries):
        time.sleep(0.05)
    assert (board.mode, board.entries) == ("BOTH", {}), output
    assert project.server.paths().count("/flags") == 2, "there and back"
    assert process.returncode != 0
    project.path.mkdir(exist_ok=True)  # pytester goes back to it


@pytest.mark.fault(144)
def test_a_watchdog_loads_no_module_once_it_is_ready(project: Project) -> None:
    """The packages of the interpreter may lie in the project that is gone by then."""
    project.configure(CONFIGURED + DRILL + WRITES)
    board = Switchboard(project.server)
    audit = """
        import os, sys

        if sys.orig_argv[-6].endswith("watchdog"):
            ready, loaded = int(sys.orig_argv[-1]), open({log!r}, "a", buffering=1)

            def note(event, args):
                if event == "import":
                    try:
                        os.fstat(ready)
                    except OSError:
                        loaded.write(args[0] + "\\n")

            sys.addaudithook(note)
        """
    log = project.path / "loaded"
    (project.path / "audit").mkdir()
    project.write("audit/sitecustomize.py", audit.format(log=str(log)))
    project.environ["PYTHONPATH"] = str(project.path / "audit")
    project.write(
        "conftest.py", PULLING.format(step="written", when="after", number=int(signal.SIGKILL))
    )
    process = project.start("--target=prod", "-m", "rollback", "-k", "test_drill")
    process.communicate(timeout=90)
    until = time.monotonic() + 30
    while time.monotonic() < until and (board.mode != "BOTH" or board.entries):
        time.sleep(0.05)
    assert (board.mode, board.entries) == ("BOTH", {})
    assert project.server.paths().count("/flags") == 2, "there and back"
    assert log.read_text() == ""


@pytest.mark.fault(123)
def test_a_restore_that_hangs_is_bounded_and_a_second_signal_drops_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.configure(CONFIGURED + DRILL)
    board = Switchboard(project.server)
    board.faults.add("restore hangs")
    process = project.start("--target=prod", "-m", "rollback", "-k", "test_drill")
    while board.mode == "BOTH":
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.7)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    outcome = project.outcome(process)
    assert time.monotonic() - began < 30
    assert outcome.exit == 2
    assert board.mode == "FILES_ONLY"
    (problem,) = (p for p in outcome.verdict["problems"] if p["what"] == "drill")
    assert problem["detail"].startswith("PUT /flags of drill 'files only' may still be in force")

    board.faults.clear()
    assert main(["drill", "restore", str(project.path / "prodcheck-report")]) == 0
    assert board.mode == "BOTH"


@pytest.mark.fault(122)
def test_a_killed_controller_takes_no_drill_with_it(project: Project) -> None:
    project.configure(CONFIGURED + DRILL + WRITES)
    board = Switchboard(project.server)
    project.write(
        "conftest.py",
        PULLING.format(step="written", when="after", number=int(signal.SIGKILL)).replace(
            "os.getpid()", "os.getppid()"
        ),
    )
    process = project.start("--target=prod", "-m", "rollback", "-k", "test_drill", "-n2")
    project.outcome(process)
    reports = project.path / "prodcheck-report"
    until = time.monotonic() + 15
    while time.monotonic() < until and (board.mode != "BOTH" or board.entries):
        time.sleep(0.05)
    assert (board.mode, board.entries) == ("BOTH", {})
    assert [one.leftovers for _, one in unfinished(reports) if one.switched] == []


def test_recover_names_what_a_dead_machine_left(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.configure(CONFIGURED + DRILL)
    board = Switchboard(project.server)
    board.faults.add("restore refused")
    project.run("-m", "rollback")
    run = project.path / "prodcheck-report" / "latest"
    journal = run / "journal.jsonl"
    lines = [
        line
        for line in journal.read_bytes().splitlines(keepends=True)
        if b'"kind":"problem"' not in line and b'"kind":"end"' not in line
    ]
    journal.write_bytes(b"".join(lines))
    assert main(["recover", str(run)]) != 0
    assert "PUT /flags of drill 'files only' may still be in force" in capsys.readouterr().out


def test_the_watchdog_ends_with_its_run(project: Project) -> None:
    project.configure(CONFIGURED + DRILL)
    Switchboard(project.server)
    project.run("-m", "rollback")
    listed = subprocess.run(
        [sys.executable, "-c", "import os; print(os.popen('ps -ef').read())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(project.path) not in listed.stdout
