"""`prodcheck wait`: what equal answers prove, and what it says when they do not."""

import contextlib
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_prodcheck.cli import main
from pytest_prodcheck.model import Release
from pytest_prodcheck.service import rollout
from pytest_prodcheck.service.rollout import (
    Observation,
    Outcome,
    Pace,
    Proof,
    responses_needed,
    wait,
)
from tests.faulty import answer, closed_port, hang_up, json_answer

OLD, NEW = Release(version="1", commit="a" * 10), Release(version="2", commit="b" * 10)
QUICK = Pace(first=0.01, longest=0.02, proving=0.0)


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def waited(draw: Callable[[], Observation], share: float = 0.9, seconds: float = 600.0) -> Outcome:
    clock = Clock()
    return wait(
        draw,
        Release(version="2"),
        share,
        seconds=seconds,
        clock=lambda: clock.now,
        sleep=clock.sleep,
        uniform=lambda low, high: 0.0,
    )


# --- the decision -----------------------------------------------------------------------------


# Exact binomial with no failure in K draws: the "rule of three" in its exact form (Hanley and
# Lippman-Hand, JAMA 1983); the figures are those of the issue.
@pytest.mark.parametrize(
    ("share", "needed"), [(0.22, 2), (0.37, 4), (0.5, 5), (0.74, 10), (0.9, 29), (0.95, 59)]
)
def test_responses_needed_for_a_share(share, needed):
    assert responses_needed(share) == needed
    assert 1 - 0.05 ** (1 / needed) <= 1 - share + 1e-9
    assert Proof(share).needed == needed


@pytest.mark.parametrize("attempts", [1, 2, 3, 10, 50])
def test_all_attempts_together_stay_within_five_percent(attempts):
    """Where exactly the share is live, each attempt succeeds by luck with share ** needed."""
    for share in (0.5, 0.8, 0.9, 0.95, 0.99):
        proof, total = Proof(share), 0.0
        for _ in range(attempts):
            total += share**proof.needed
            assert proof.add(wanted=True) is False
            proof.add(wanted=False)
        assert total <= 0.05 + 1e-12


def test_one_stale_replica_of_ten_is_missed_in_at_most_five_percent_of_1000_runs():
    """The share is then exactly 90 %, the worst case; 20 seconds hold some ten attempts."""
    generator = random.Random(20)
    runs = 1000

    def draw() -> Observation:
        return Observation(release=OLD if generator.random() < 0.1 else NEW)

    missed = sum(waited(draw, seconds=20).live for _ in range(runs))
    assert 0 < missed <= 50


def test_a_complete_rollout_is_proven_by_29_answers():
    outcome = waited(lambda: Observation(release=NEW))
    assert (outcome.state, outcome.equal, outcome.requests) == ("live", 29, 30)
    assert outcome.seconds < 2


def test_a_rollout_in_which_old_and_new_answer_by_turns_is_proven_in_the_end():
    generator = random.Random(1)
    total = 0

    def draw() -> Observation:
        nonlocal total
        total += 1
        return Observation(release=NEW if generator.random() < total / 100 else OLD)

    outcome = waited(draw)
    assert outcome.live
    assert 29 < outcome.equal < 150
    assert outcome.others["version 1, commit aaaaaaaaaa"] > 10


SEQUENCES: dict[str, tuple[list[Observation], str, str]] = {
    "old": ([Observation(release=OLD)], "old", "still the old release: version 1"),
    "undone": (
        [Observation(release=NEW)] * 3 + [Observation(release=OLD)] * 40,
        "old",
        "still the old release: version 1",
    ),
    "flapping": (
        [Observation(release=NEW), Observation(release=OLD)] * 40,
        "flapping",
        "several releases respond: version 2; version 1, commit aaaaaaaaaa (",
    ),
    "one error among many": (
        [*[Observation(release=NEW)] * 9, Observation(error="status 502")] * 9,
        "flapping",
        "status 502 (",
    ),
    "too little time": (
        [*[Observation(release=OLD)] * 12, *[Observation(release=NEW)] * 3],
        "unproven",
        "3 of 29 responses in a row do not prove 90 % yet",
    ),
    "down": (
        [Observation(error="no answer (connect)", detail="connect: GET /: refused")],
        "unreachable",
        "the target does not respond: connect: GET /: refused",
    ),
    "silent": ([Observation()], "silent", "with neither version nor commit"),
    "other commit of the same version": (
        [Observation(release=Release(version="3"))],
        "old",
        "still the old release: version 3",
    ),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_what_was_seen_is_told_apart(name):
    answers, state, said = SEQUENCES[name]
    left = iter(answers)
    clock = Clock()

    def ask() -> Observation:
        found = next(left, None)
        if found is None:
            clock.now = 1e9  # the same once more, and time is over
            return answers[-1]
        return found

    outcome = wait(
        ask,
        Release(version="2"),
        0.9,
        seconds=1e6,
        clock=lambda: clock.now,
        sleep=clock.sleep,
        uniform=lambda low, high: 0.0,
    )
    assert outcome.state == state
    assert said in rollout.sentence(outcome, Release(version="2"))


def test_the_pause_grows_with_jitter_and_is_short_while_the_release_is_being_proven():
    clock = Clock()
    answers = iter([Observation(release=OLD)] * 12 + [Observation(release=NEW)] * 30)
    outcome = wait(
        lambda: next(answers),
        Release(version="2"),
        0.9,
        seconds=600,
        clock=lambda: clock.now,
        sleep=clock.sleep,
        uniform=random.Random(4).uniform,
    )
    assert outcome.live
    slow, fast = clock.pauses[:12], clock.pauses[12:]
    assert 0.8 <= slow[0] <= 1.2
    assert 8 <= slow[-1] <= 12
    assert len(set(slow)) == len(slow)
    assert max(fast) < 0.1


# --- the command ------------------------------------------------------------------------------

RELEASE = '[targets.prod.release]\nfrom = "/ok"\nversion = "$.version"\ncommit = "$.commit"'


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.setattr(rollout, "PACE", QUICK)
    monkeypatch.chdir(project.path)
    project.configure(RELEASE, rate='"1000/s"')
    return project


def test_each_question_has_a_connection_of_its_own(here, capsys):
    here.server.on("/ok", json_answer({"version": "2", "commit": "bbbbbbbbbb"}))
    assert main(["wait", "prod", "--commit", "bbbbbbb", "--version", "2"]) == 0
    connections = [seen.connection for seen in here.server.ledger]
    assert len(connections) == len(set(connections)) == 30
    assert capsys.readouterr().out.splitlines()[-1] == (
        "live: at least 90 % of responses come from version 2, commit bbbbbbb "
        "(95 % confidence, 29 responses in a row)"
    )


def test_releases_seen_on_the_way_are_named(here, capsys):
    old = json_answer({"version": "1", "commit": "aaaaaaaaaa"})
    new = json_answer({"version": "2", "commit": "bbbbbbbbbb"})
    here.server.on("/ok", old, hang_up(), new, json_answer({}, 502), old, new)
    assert main(["wait", "prod", "--commit", "bbbbbbb", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["live"]
    assert told["answers"] == told["needed"] == 94
    assert told["share"] == 0.9
    assert told["others"] == {
        "version 1, commit aaaaaaaaaa": 2,
        "no answer (transport)": 1,
        "status 502": 1,
    }


def test_a_smaller_share_needs_fewer_answers(here):
    here.server.on("/ok", json_answer({"version": "2"}))
    assert main(["wait", "prod", "--version", "2", "--share", "50%"]) == 0
    assert len(here.server.ledger) == 6


def test_the_old_release_ends_undecided(here, capsys):
    here.server.on("/ok", json_answer({"version": "1"}))
    assert main(["wait", "prod", "--version", "2", "--timeout", "1s", "--json"]) == 6
    told = json.loads(capsys.readouterr().out)
    assert (told["live"], told["state"], told["exit_code"]) == (False, "old", 6)
    assert (told["version"], told["commit"]) == ("1", None)


def test_the_version_may_stand_in_a_header(here):
    here.configure('[targets.prod.release]\nfrom = "/ok"\nheader = "X-Release"', rate='"1000/s"')
    here.server.on("/ok", answer(b"fine", x_release="2"))
    assert main(["wait", "prod", "--version", "2", "--share", "50%"]) == 0


def test_the_release_may_stand_at_names_in_brackets(here):
    places = "version = \"$['build info'][0]['version']\"\ncommit = \"$['commit']\""
    here.configure(f'[targets.prod.release]\nfrom = "/ok"\n{places}', rate='"1000/s"')
    here.server.on("/ok", json_answer({"commit": "b" * 10, "build info": [{"version": "2"}]}))
    assert main(["wait", "prod", "--version", "2", "--commit", "bbbbbbb", "--share", "50%"]) == 0


def test_a_target_that_is_down_is_unreachable(here, capsys):
    with closed_port() as port:
        here.path.joinpath("prodcheck.toml").write_text(
            f'[targets.prod]\nbase_url = "http://127.0.0.1:{port}"\n{RELEASE}'
        )
        assert main(["wait", "prod", "--version", "2", "--timeout", "1s"]) == 6
    assert "the target does not respond: connect: GET" in capsys.readouterr().out


@pytest.mark.fault(149)
@pytest.mark.parametrize(
    ("configuration", "arguments", "said"),
    [
        (RELEASE, ["prod"], "wait for what? Give --commit SHA, --version V, or both"),
        (RELEASE, ["prod", "--version", ""], "wait for what? Give --commit SHA, --version V"),
        (
            "",
            ["prod", "--version", "2"],
            "has no `release`: a place that names what is deployed; write",
        ),
        (RELEASE, ["prodd", "--version", "2"], 'there is no target "prodd"'),
        (RELEASE, ["demo", "--version", "2"], "demo is started by each run itself, so there is no"),
        (
            '[targets.local]\nstart = "x --port {port}"\nbase_url = "http://127.0.0.1:{port}"',
            ["local", "--version", "2"],
            "local is started by each run itself, so there is no deploy to wait for",
        ),
        (
            '[targets.prod.release]\nfrom = "/ok"\nheader = "X-Release"',
            ["prod", "--commit", "bbbbbbb"],
            "--commit cannot be seen",
        ),
        (
            '[targets.prod.release]\nfrom = "/ok"\ncommit = "$.commit"',
            ["prod", "--version", "2"],
            "--version cannot be seen",
        ),
    ],
)
def test_wait_for_what_cannot_be_known_is_refused(here, capsys, configuration, arguments, said):
    here.configure(configuration)
    assert main(["wait", *arguments]) == 4
    assert said in capsys.readouterr().err
    assert here.server.paths() == []


@pytest.mark.parametrize("share", ["100%", "0%", "90", "0.9", "-5%", "nan%", "101%", "%"])
def test_a_share_that_cannot_be_proven_is_refused(here, capsys, share):
    with pytest.raises(SystemExit) as ended:
        main(["wait", "prod", "--version", "2", f"--share={share}"])
    assert ended.value.code == 4
    assert "write a percentage above 0% and below 100%" in capsys.readouterr().err
    assert here.server.paths() == []


# --- replicas behind a balancer of connections ------------------------------------------------

REPLICA = """
import http.server, json, sys

class Replica(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"version": sys.argv[1]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replica)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def replicas(*versions: str) -> Iterator[list[int]]:
    """Ports of real processes that keep their connections open."""
    with contextlib.ExitStack() as stack:
        ports = []
        for version in versions:
            process = subprocess.Popen(
                [sys.executable, "-c", REPLICA, version], stdout=subprocess.PIPE, text=True
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout
            stack.enter_context(process.stdout)
            ports.append(int(process.stdout.readline()))
        yield ports


@contextlib.contextmanager
def balancer(ports: list[int], seed: int) -> Iterator[int]:
    """A port that gives each connection to a replica at random, for as long as it lasts."""
    import socket

    generator = random.Random(seed)
    threads: list[threading.Thread] = []
    ended = threading.Event()

    def pump(source: Any, sink: Any) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve(connection: Any, port: int) -> None:
        with connection, socket.create_connection(("127.0.0.1", port)) as replica:
            back = threading.Thread(target=pump, args=(replica, connection))
            back.start()
            pump(connection, replica)
            back.join()

    def accept() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(connection, generator.choice(ports)))
            threads.append(thread)
            thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for thread in threads:
                thread.join(10)


@pytest.mark.parametrize(
    ("versions", "code", "said"),
    [
        (("2", "2", "2"), 0, "live: at least 90 % of responses come from version 2"),
        (("2", "2", "1"), 6, "several releases respond: version 2; version 1 ("),
    ],
    ids=["all new", "one of three old"],
)
def test_replicas_behind_a_balancer_of_connections(here, capsys, versions, code, said):
    with replicas(*versions) as ports, balancer(ports, seed=3) as port:
        here.path.joinpath("prodcheck.toml").write_text(
            f'[targets.prod]\nbase_url = "http://127.0.0.1:{port}"\nrate = "1000/s"\n{RELEASE}'
        )
        assert main(["wait", "prod", "--version", "2", "--timeout", "3s"]) == code
    assert said in capsys.readouterr().out
