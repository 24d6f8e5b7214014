"""The process that sends the declared probes for a run of one process."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_prodcheck.checks.probes.sender import Sender
from tests.faulty import delayed, json_answer
from tests.project import Project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no sender elsewhere")

FAST, SLOW = 30, 0.05


def slow_probes(project: Project, seconds: float = SLOW) -> None:
    paths = [f"/slow/{n}" for n in range(FAST)]
    for path in paths:
        project.server.on(path, delayed(seconds, json_answer({"path": path})))
    probes = "".join(f'[[probes]]\nget = "{path}"\nwithin = 5\n' for path in paths)
    project.configure(f"concurrency = 2\n{probes}")


def eventually(found: Callable[[], object]) -> bool:
    """Whether it comes to hold; the limit only guards against hanging."""
    until = time.monotonic() + 30
    while not found():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def children(process: int) -> list[int]:
    try:
        return [
            int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()
        ]
    except FileNotFoundError:
        return []


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def suite(project: Project) -> Project:
    """A project with probes that take a while, and only the suite that sends them."""
    slow_probes(project)
    return project


def test_it_sends_each_selected_probe_once_and_is_gone_afterwards(suite: Project) -> None:
    process = suite.start("--target=prod", "-m", "smoke", "suites/smoke/test_probes.py", "-k", "1")
    assert eventually(suite.server.paths)
    (sender,) = children(process.pid)
    outcome = suite.outcome(process)
    chosen = {f"/slow/{n}" for n in range(FAST) if "1" in str(n)}
    assert sorted(suite.server.paths()) == sorted(chosen)
    assert gone(sender)
    ran = {name for name, how in outcome.outcomes().items() if how == "passed"}
    assert ran == {f"test_probe[GET {path}]" for path in chosen}


@pytest.mark.fault(47)
def test_killed_it_is_replaced_and_nothing_is_lost(suite: Project) -> None:
    process = suite.start("--target=prod", "-m", "smoke", "suites/smoke/test_probes.py")
    assert eventually(lambda: len(suite.server.paths()) > 5)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    outcome = suite.outcome(process)
    assert outcome.ruling == ("inconclusive", 0), outcome.output  # a part of a run, and it passed
    assert len(outcome.verdict["checks"]) == FAST
    assert len(suite.server.paths()) <= FAST + 2  # what was on its way is asked for again


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_the_process_that_runs_the_tests(suite: Project, number: int) -> None:
    slow_probes(suite, seconds=0.5)
    process = suite.start("--target=prod", "-m", "smoke", "suites/smoke/test_probes.py")
    assert eventually(suite.server.paths)
    (sender,) = children(process.pid)
    process.send_signal(number)
    suite.outcome(process)
    assert eventually(lambda: gone(sender))
    asked = len(suite.server.paths())
    time.sleep(1)
    assert len(suite.server.paths()) == asked < FAST


def test_an_interrupt_of_the_whole_terminal_leaves_a_verdict(suite: Project) -> None:
    slow_probes(suite, seconds=0.5)
    process = suite.start("--target=prod", "-m", "smoke", start_new_session=True)
    assert eventually(suite.server.paths)
    os.killpg(process.pid, signal.SIGINT)
    outcome = suite.outcome(process)
    assert outcome.ruling == ("inconclusive", 2)
    assert "Traceback" not in outcome.output


def test_a_failed_probe_has_the_same_evidence(suite: Project) -> None:
    suite.server.on("/no", json_answer({"detail": "no such thing"}, 404))
    with (suite.path / "prodcheck.toml").open("a") as file:
        file.write('[[probes]]\nget = "/no"\n')
    outcome = suite.outcome(suite.start("--target=prod", "-m", "smoke"))
    assert outcome.check("[GET /no]")["outcome"] == "failed"
    assert "404" in outcome.check("[GET /no]")["message"]
    assert "no such thing" in outcome.page


def test_the_limits_see_what_it_sent(suite: Project) -> None:
    text = (suite.path / "prodcheck.toml").read_text()
    (suite.path / "prodcheck.toml").write_text(f"{text}\n[targets.prod.limits]\np95 = 0.001\n")
    outcome = suite.outcome(suite.start("--target=prod", "-m", "smoke"))
    assert outcome.check("[p95]")["outcome"] == "failed"


def test_there_is_none_beside_other_threads(tmp_path: Path) -> None:
    rest = threading.Event()
    thread = threading.Thread(target=rest.wait)
    thread.start()
    try:
        assert Sender.fork(tmp_path, lambda lock, selected: None) is None
    finally:
        rest.set()
        thread.join()


def test_it_asks_in_the_order_of_the_items(suite: Project) -> None:
    """The first item waits for the first answer: in another order it waits for the last."""
    suite.configure(
        "concurrency = 1\n"
        + "".join(f'[[probes]]\nget = "/slow/{number}"\nwithin = 5\n' for number in range(FAST))
    )
    suite.write(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items):
            items.reverse()
        """,
    )
    output = suite.outcome(suite.start("--target=prod", "-m", "smoke", "-v")).output
    order = re.findall(r"test_probe\[GET (/slow/\d+)\] PASSED", output)
    assert len(order) == FAST
    assert [path for path in suite.server.paths() if path.startswith("/slow/")] == order
    assert order[0] == f"/slow/{FAST - 1}"
