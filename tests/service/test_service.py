"""A service that the run starts answers, explains itself when it does not, and never stays."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.service import reaper
from pytest_prodcheck.service import service as service_module
from pytest_prodcheck.service.service import Service

# A server of a few lines: `serve.py PORT [deaf-health|stubborn|polite|family|ARGUMENT...]`.
SERVE = """
import os, signal, socket, sys, time

port, modes = int(sys.argv[1]), sys.argv[2:]
print("arguments", modes, flush=True)
if "stubborn" in modes:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "polite" in modes:
    def leave(number, frame):
        print("goodbye", flush=True)
        os._exit(0)
    signal.signal(signal.SIGTERM, leave)
if "family" in modes:
    for daemon in (False, True):
        if os.fork() == 0:
            if daemon:
                os.setsid()
                if os.fork():
                    os._exit(0)
            print("child", os.getpid(), flush=True)
            time.sleep(60)
            os._exit(0)
    time.sleep(0.1)

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", port))
server.listen()
held = []
while True:
    call, _ = server.accept()
    asked = call.recv(1000).split()[1].decode()
    print("asked", asked, flush=True)
    if "deaf-health" in modes and asked == "/api/health":
        held.append(call)
        continue
    call.sendall(b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n")
    call.close()
"""

Start = Callable[..., Service]


def a_target(
    start: str,
    *,
    base_url: str = "http://127.0.0.1:{port}",
    health: str | None = None,
    within: float = 10,
) -> Target:
    return Target(name="local", base_url=base_url, start=start, health=health, start_timeout=within)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "serve.py").write_text(SERVE)
    return tmp_path


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    started: list[Service] = []

    def start(target: Target | str, log: str = "service.log") -> Service:
        if isinstance(target, str):
            target = a_target(target)
        started.append(Service.start(target, cwd=project, log=project / log))
        return started[-1]

    yield start
    for each in started:
        each.stop(grace=0.2)


def lives(pid: int) -> bool:
    """A process that is not a zombie has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return said.stdout.strip()[:1] not in (b"", b"Z")


def gone_within(seconds: float, *pids: int) -> bool:
    deadline = time.monotonic() + seconds
    while any(lives(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def children(log: Path) -> list[int]:
    return [int(w.split()[1]) for w in log.read_text().splitlines() if w.startswith("child ")]


def status(service: Service, path: str = "/") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def wait_for(log: Path, line: str) -> None:
    deadline = time.monotonic() + 5
    while not (log.exists() and line in log.read_text()):
        assert time.monotonic() < deadline, f"{line!r} never came"
        time.sleep(0.02)


# --- it starts -----------------------------------------------------------------------------


def test_any_answer_is_an_answer_and_base_url_has_the_port(start: Start) -> None:
    service = start("{python} -I -S serve.py {port}")
    assert service.base_url == f"http://127.0.0.1:{service.port}"
    assert status(service) == 404
    assert service.ended is None
    assert lives(service.pid)


def test_the_health_path_is_asked_below_the_base_path(start: Start) -> None:
    service = start(
        a_target(
            "{python} -I -S serve.py {port}",
            base_url="http://127.0.0.1:{port}/api",
            health="/health",
        )
    )
    assert "asked /api/health" in service.tail()
    assert service.base_url.endswith("/api")


def test_a_health_page_that_hangs_does_not_hide_a_service_that_answers(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "FIRST_PATIENCE", 0.2)
    service = start(
        a_target(
            "{python} -I -S serve.py {port} deaf-health",
            base_url="http://127.0.0.1:{port}/api",
            health="/health",
        )
    )
    assert "asked /api/\n" in service.tail() + "\n"


def test_there_is_no_shell(start: Start, project: Path) -> None:
    service = start("{python} -I -S serve.py {port} '$HOME' '; touch stolen' \"a b\" {not_ours}")
    assert "arguments ['$HOME', '; touch stolen', 'a b', '{not_ours}']" in service.tail()
    assert not (project / "stolen").exists()


def test_a_program_beside_the_interpreter_is_found_without_an_activated_environment(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    beside = Path(sys.executable).name
    assert status(start(beside + " -I -S serve.py {port}")) == 404


def test_the_port_of_base_url_is_used_when_it_names_one(start: Start) -> None:
    port = service_module._free_port()
    target = a_target("{python} -I -S serve.py {port}", base_url=f"http://127.0.0.1:{port}")
    assert start(target).port == port


def test_two_at_once_have_ports_of_their_own_and_end_separately(start: Start) -> None:
    one = start("{python} -I -S serve.py {port}", log="one.log")
    two = start("{python} -I -S serve.py {port}", log="two.log")
    assert one.port != two.port
    one.stop()
    assert not lives(one.pid)
    assert status(two) == 404


def test_ctrl_c_at_the_terminal_is_for_the_run_alone(start: Start) -> None:
    """The service has a session and group of its own, so it is there while fixtures end."""
    service = start("{python} -I -S serve.py {port}")
    assert os.getsid(service.pid) == os.getpgid(service.pid) == service.pid


# --- ports ---------------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another process has, and that never answers."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(100)
        yield other.getsockname()[1]


def test_a_port_lost_to_another_process_is_replaced(
    start: Start, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "FIRST_PATIENCE", 0.1)
    ports = iter([taken, taken, service_module._free_port()])
    monkeypatch.setattr(service_module, "_free_port", lambda: next(ports))
    service = start("{python} -I -S serve.py {port}")
    assert service.port != taken
    assert status(service) == 404


def test_three_lost_ports_are_an_error(
    start: Start, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "FIRST_PATIENCE", 0.1)
    asked: list[int] = []
    monkeypatch.setattr(service_module, "_free_port", lambda: asked.append(taken) or taken)
    with pytest.raises(UsageError, match="Address already in use"):
        start("{python} -I -S serve.py {port}")
    assert asked == [taken] * 3


def test_a_command_that_fails_for_another_reason_is_not_tried_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    port = service_module._free_port()
    monkeypatch.setattr(service_module, "_free_port", lambda: asked.append(port) or port)
    with pytest.raises(UsageError, match="exited with code 7"):
        start("{python} -c 'raise SystemExit(7)' {port}")
    assert asked == [port]


def test_a_service_left_from_yesterday_is_not_taken_for_the_one_just_started(
    start: Start, taken: int
) -> None:
    target = a_target("{python} -I -S serve.py {port}", base_url=f"http://127.0.0.1:{taken}")
    with pytest.raises(UsageError) as refused:
        start(target)
    assert str(refused.value) == (
        f"local: another process already listens on port {taken} of 127.0.0.1.\n"
        "Stop it, or use {port} in both base_url and `start`, which picks a free port."
    )


# --- it does not start ---------------------------------------------------------------------


def test_a_missing_command_is_named_with_the_way_out(start: Start) -> None:
    with pytest.raises(UsageError) as refused:
        start(a_target("no-such-program --now", base_url="http://127.0.0.1:9"))
    assert str(refused.value) == (
        "local: `no-such-program --now` cannot be started: No such file or directory: "
        "no-such-program\n"
        "Install it, or correct `start` of [targets.local]; there is no shell, and {python} "
        "stands for the Python that runs pytest."
    )


def test_an_early_end_shows_code_and_last_twenty_lines(start: Start, project: Path) -> None:
    (project / "broken.py").write_text("for n in range(30): print('line', n)\nraise SystemExit(3)")
    with pytest.raises(UsageError) as refused:
        start("{python} -S broken.py {port}")
    said = str(refused.value).splitlines()
    assert said[0].startswith(f"`{sys.executable} -S broken.py ")
    assert "` exited with code 3 before it responded at http://127.0.0.1:" in said[0]
    assert said[1] == f"Its last output (all of it in {project / 'service.log'}):"
    assert said[2:-1] == [f"    line {n}" for n in range(10, 30)]
    assert said[-1] == "Make the command run by itself, then correct `start` of [targets.local]."


def test_an_end_by_signal_names_the_signal(start: Start) -> None:
    with pytest.raises(UsageError, match=r"` was killed by SIGKILL before it responded") as refused:
        start("{python} -S -c 'import os; os.kill(os.getpid(), 9)' {port}")
    assert "\nIt printed nothing.\n" in str(refused.value)


def test_silence_ends_at_start_timeout_and_leaves_no_process(
    start: Start, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    silent = "import os, time; print(os.getpid()); time.sleep(60)"  # and never flushes
    began = time.monotonic()
    with pytest.raises(UsageError) as refused:
        start(a_target(f"{{python}} -S -c '{silent}' {{port}}", health="/up", within=0.4))
    assert 0.4 <= time.monotonic() - began < 30  # it would sleep for 60
    said = str(refused.value).splitlines()
    assert "` did not respond at http://127.0.0.1:" in said[0]
    assert said[0].endswith("/up within 0.4 s.")
    assert said[-1] == (
        "Make it listen on 127.0.0.1:{port}, or raise `start_timeout` of [targets.local]."
    )
    assert gone_within(0, int((project / "service.log").read_text()))


def test_an_interrupt_while_waiting_leaves_no_process(
    start: Start, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Service, path: str, seconds: float) -> bool:
        wait_for(project / "service.log", "arguments")
        seen.append(self.pid)
        raise KeyboardInterrupt

    seen: list[int] = []
    monkeypatch.setattr(Service, "_responds", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start("{python} -I -S serve.py {port}")
    assert gone_within(0, *seen)


def test_a_service_that_takes_calls_and_never_answers_ends_at_start_timeout(
    start: Start, project: Path
) -> None:
    deaf = "import socket,sys,time; s=socket.create_server(('127.0.0.1',int(sys.argv[1]))); "
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"did not respond at .* within 0\.4 s"):
        start(a_target(f'{{python}} -I -S -c "{deaf} time.sleep(60)" {{port}}', within=0.4))
    assert time.monotonic() - began < 30  # likewise


@pytest.mark.parametrize(
    ("command", "base_url", "message"),
    [
        (
            "serve 'now",
            "http://127.0.0.1:{port}",
            "local: `start` cannot be read: No closing quotation: serve 'now\n"
            "Quote its words as for a shell, with every quote closed.",
        ),
        (
            "  ",
            "http://127.0.0.1:{port}",
            "local: `start` is empty.\n"
            'Write the command, as in start = "uvicorn app.main:app --port {port}".',
        ),
        (
            "serve --port 80",
            "http://127.0.0.1:{port}",
            "local: base_url has {port} but `start` does not: serve --port 80\n"
            "Pass {port} to the command, or write the port it listens on into base_url.",
        ),
    ],
    ids=["quote", "empty", "no port"],
)
def test_a_command_that_cannot_work_is_refused(
    start: Start, project: Path, command: str, base_url: str, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        start(a_target(command, base_url=base_url))
    assert str(refused.value) == message
    assert not (project / "service.log").exists()


def test_a_missing_directory_is_not_mistaken_for_a_missing_command(project: Path) -> None:
    nowhere = project / "nowhere"
    with pytest.raises(UsageError, match=rf"the directory {nowhere} .* does not exist"):
        Service.start(a_target("{python} {port}"), cwd=nowhere, log=project / "service.log")


# --- what it prints ------------------------------------------------------------------------


def test_tail_is_the_last_lines_without_control_characters(start: Start, project: Path) -> None:
    noise = r"print('\033[31mred\033[0m \033]0;title\007 bell\a\tend'); print('x' * 1000)"
    (project / "noisy.py").write_text(f"{noise}\n{SERVE}")
    service = start("{python} -I -S noisy.py {port}")
    lines = service.tail().splitlines()
    assert lines[0] == "red  bell?    end"
    assert lines[1] == "x" * 300
    assert service.tail(0) == ""
    assert len(service.tail(2).splitlines()) == 2


def test_the_log_outlives_the_service(start: Start, project: Path) -> None:
    service = start("{python} -I -S serve.py {port} polite", log="deep/down/service.log")
    service.stop()
    assert service.tail(1) == "goodbye"
    assert (project / "deep/down/service.log").read_text().endswith("goodbye\n")


# --- it stops ------------------------------------------------------------------------------


def test_stop_is_idempotent_and_ended_tells_how(start: Start) -> None:
    service = start("{python} -I -S serve.py {port}")
    service.stop()
    service.stop()
    assert service.ended == "was killed by SIGTERM"
    assert not lives(service.pid)


def test_a_service_that_died_meanwhile_says_so_and_stops_like_any_other(start: Start) -> None:
    service = start("{python} -I -S serve.py {port}")
    os.kill(service.pid, signal.SIGKILL)
    assert gone_within(1, service.pid)
    assert service.ended == "was killed by SIGKILL"
    service.stop()


def test_a_service_that_ignores_sigterm_is_killed_after_its_grace(start: Start) -> None:
    service = start("{python} -I -S serve.py {port} stubborn")
    began = time.monotonic()
    service.stop(grace=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert service.ended == "was killed by SIGKILL"


def test_children_end_with_it_also_a_daemon_that_left_the_group(
    start: Start, project: Path
) -> None:
    service = start("{python} -I -S serve.py {port} family stubborn")
    family = children(project / "service.log")
    assert len(family) == 2
    assert [os.getpgid(pid) == service.pid for pid in family].count(False) == 1
    service.stop(grace=0.2)
    assert not any(lives(pid) for pid in [service.pid, *family])


def test_a_zombie_is_not_waited_for() -> None:
    """In a container whose first process collects nobody, stopping would take the whole grace."""
    with subprocess.Popen(["true"], start_new_session=True) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert reaper.members(ended.pid, "no mark") == []


def test_nothing_watches_on_after_stop(start: Start) -> None:
    service = start("{python} -I -S serve.py {port}")
    watcher = service._watcher.pid
    assert lives(watcher)
    service.stop()
    assert not lives(watcher)


# --- the run is killed ---------------------------------------------------------------------

RUN = """
import os, sys, time
from pathlib import Path
from pytest_prodcheck.config import Target
from pytest_prodcheck.service.service import Service

here = Path(sys.argv[1])
if "fork" in sys.argv:
    real_start = Service._wait_for_response
    def and_fork(self, target):
        if os.fork() == 0:
            print("fork", os.getpid(), flush=True)
            time.sleep(20)
            os._exit(0)
        return real_start(self, target)
    Service._wait_for_response = and_fork
target = Target(name="local", base_url="http://127.0.0.1:{port}", start=sys.argv[2])
service = Service.start(target, cwd=here, log=here / "service.log")
print("pid", service.pid, flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def a_run(project: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that starts a service, as the run's controller does."""
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUN), str(project), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with run:
            yield run
    finally:
        run.kill()


def told(run: "subprocess.Popen[str]", what: str) -> int:
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith(what):
            return int(line.split()[1])
    raise AssertionError(f"the run ended without telling its {what}")


def test_a_killed_run_takes_its_service_along_within_a_second(project: Path) -> None:
    """Neither ignoring SIGTERM nor leaving the group saves a process."""
    with a_run(project, "{python} -I -S serve.py {port} family stubborn") as run:
        service = told(run, "pid")
        family = children(project / "service.log")
        assert len(family) == 2
        assert all(lives(pid) for pid in [service, *family])
        run.kill()
        assert gone_within(1, service, *family)


def test_a_killed_run_gives_its_service_time_to_say_goodbye(project: Path) -> None:
    with a_run(project, "{python} -I -S serve.py {port} polite") as run:
        service = told(run, "pid")
        run.kill()
        assert gone_within(1, service)
    assert (project / "service.log").read_text().endswith("goodbye\n")


def test_a_run_killed_while_it_waits_leaves_nothing(project: Path) -> None:
    silent = 'import os, time; print("pid", os.getpid(), flush=True); time.sleep(60)'
    with a_run(project, f"{{python}} -I -S -c '{silent}' {{port}}") as run:
        wait_for(project / "service.log", "pid ")
        service = int((project / "service.log").read_text().split()[1])
        assert lives(service)
        run.kill()
        assert gone_within(1, service)


def test_a_fork_of_the_run_that_lives_on_does_not_keep_the_service(project: Path) -> None:
    """The fork holds the pipe open, so its end is not all that is looked at."""
    with a_run(project, "{python} -I -S serve.py {port}", "fork") as run:
        fork, service = told(run, "fork"), told(run, "pid")
        try:
            run.kill()
            assert gone_within(1, service)
            assert lives(fork)
        finally:
            os.kill(fork, signal.SIGKILL)


def wait_until_ignored(pid: int, number: signal.Signals) -> None:
    if not os.path.isdir("/proc/self"):
        time.sleep(1)
        return
    ignored, deadline = 0, time.monotonic() + 5
    while not ignored & 1 << (number - 1):
        assert time.monotonic() < deadline, f"{number!r} is never ignored"
        time.sleep(0.01)
        shown = Path(f"/proc/{pid}/status").read_text()
        ignored = int(shown.partition("SigIgn:")[2].split()[0], 16)


def test_signals_to_the_watcher_do_not_take_the_one_that_cleans_up(start: Start) -> None:
    service = start("{python} -I -S serve.py {port}")
    wait_until_ignored(service._watcher.pid, signal.SIGINT)  # the last it turns to
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(service._watcher.pid, number)
    time.sleep(0.05)
    assert lives(service._watcher.pid)
