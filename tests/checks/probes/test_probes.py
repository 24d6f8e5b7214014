"""Probes are sent concurrently, by one process, and nobody waits for ever."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_prodcheck import errors
from pytest_prodcheck.checks.probes import prober as probes
from pytest_prodcheck.checks.probes.prober import ProbeCheck, Prober, ProbeResult
from pytest_prodcheck.config import Probe, Secret, Target
from pytest_prodcheck.http.client import LiveClient, LiveTransport
from pytest_prodcheck.http.throttle import Throttle
from pytest_prodcheck.model import Exchange
from pytest_prodcheck.store.tally import Tally


class Ledger:
    """What a server was asked, and how many requests it had on its hands at once."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    """`/sleep/0.1/x` answers after 0.1 s, `/status/503` with 503, all else with JSON."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    ledger: Ledger

    def do_GET(self) -> None:
        ledger = self.ledger
        with ledger.lock:
            ledger.asked[self.path] += 1
            ledger.headers.append(dict(self.headers))
            ledger.at_once += 1
            ledger.most_at_once = max(ledger.most_at_once, ledger.at_once)
        _, kind, value, *_ = [*self.path.split("/"), "", ""]
        if kind == "sleep":
            time.sleep(float(value))
        with ledger.lock:
            ledger.at_once -= 1
        body = json.dumps({"path": self.path, "token": "hunter2-hunter2"}).encode()
        try:
            self.send_response(int(value) if kind == "status" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server() -> Iterator[Ledger]:
    ledger = Ledger()
    handler = type("Serving", (Handler,), {"ledger": ledger})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        serving.daemon_threads = True
        ledger.url = f"http://127.0.0.1:{serving.server_port}"
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,))
        thread.start()
        yield ledger
        serving.shutdown()
        thread.join()


def probe(path: str, **more: Any) -> Probe:
    return Probe(method="GET", path=path, id=f"GET {path}", **more)


def sleeping(number: int, seconds: float = 0.1) -> list[Probe]:
    return [probe(f"/sleep/{seconds}/{n}") for n in range(number)]


@contextmanager
def live(url: str, work: Path, **more: Any) -> Iterator[Prober]:
    """A prober over the real client."""
    options = {key: more.pop(key) for key in ("clean", "tally", "shared") if key in more}
    target = Target(name="t", base_url=url, **more)
    with Throttle(work / "throttle", rate=target.rate, budget=target.request_budget) as throttle:
        transport = LiveTransport(target, throttle)
        prober = Prober(target, lambda: LiveClient(target, transport), work, **options)
        try:
            yield prober
        finally:
            prober.close()
            transport.close()


class StandIn:
    """A connection that answers as a test says."""

    def __init__(self, answer: Callable[[str], httpx.Response]) -> None:
        self.exchanges: list[Exchange] = []
        self._answer = answer

    def request(self, method: str, url: str, /, *, headers: dict[str, str]) -> httpx.Response:
        self.exchanges.append(Exchange(method=method, url=url, elapsed_ms=1.0))
        return self._answer(url)

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


@contextmanager
def standing_in(
    answer: Callable[[str], httpx.Response], work: Path, **more: Any
) -> Iterator[Prober]:
    target = Target(name="t", base_url="http://127.0.0.1:9", **more)
    prober = Prober(target, lambda: StandIn(answer), work)
    try:
        yield prober
    finally:
        prober.close()


def raising(error: Exception) -> Callable[[str], httpx.Response]:
    def answer(url: str) -> httpx.Response:
        raise error

    return answer


def started(prober: Prober, selected: Sequence[Probe]) -> list[ProbeResult]:
    prober.start(selected)
    return [prober.result(probe.id) for probe in selected]


# --- one process


def test_every_probe_has_its_own_result_and_time(server: Ledger, tmp_path: Path) -> None:
    slow, wrong = probe("/sleep/0.2/x"), probe("/status/503", status=(200,))
    fine = probe("/fine", json={"path": "/fine"}, within=5.0)
    with live(server.url, tmp_path) as prober:
        results = started(prober, [slow, wrong, fine])
    assert [result.id for result in results] == [slow.id, wrong.id, fine.id]
    assert [result.problems for result in results] == [
        (),
        ("status: expected 200, got 503",),
        (),
    ]
    assert results[0].elapsed_s >= 0.2
    assert results[2].elapsed_s < results[0].elapsed_s
    (exchange,) = results[1].exchanges
    assert (exchange.status, exchange.url) == (503, f"{server.url}/status/503")


def test_requests_are_sent_at_once_up_to_the_concurrency(server: Ledger, tmp_path: Path) -> None:
    """40 requests of 0.1 s take 4 s one by one, and 0.5 s with eight at once."""
    with live(server.url, tmp_path, concurrency=8) as prober:
        began = time.monotonic()
        results = started(prober, sleeping(40))
        took = time.monotonic() - began
    assert not any(result.problems for result in results)
    assert took < 3.5
    assert 4 <= server.most_at_once <= 8


def test_a_result_is_there_before_slower_ones_are(server: Ledger, tmp_path: Path) -> None:
    quick, slow = probe("/quick"), probe("/sleep/0.5/x")
    with live(server.url, tmp_path) as prober:
        prober.start([slow, quick])
        prober.result(quick.id)
        assert not prober.has(slow.id)
        prober.wait()
        assert prober.has(slow.id)


def test_start_returns_at_once(server: Ledger, tmp_path: Path) -> None:
    with live(server.url, tmp_path) as prober:
        began = time.monotonic()
        prober.start(sleeping(10, 3))
        assert time.monotonic() - began < 2.5
        prober.wait()


def test_nothing_selected_is_nothing_sent(server: Ledger, tmp_path: Path) -> None:
    with live(server.url, tmp_path) as prober:
        prober.start([])
        prober.wait()
    assert not server.asked


def test_an_unselected_probe_is_an_error_that_says_so(tmp_path: Path) -> None:
    with standing_in(lambda url: httpx.Response(200), tmp_path) as prober:
        prober.start([probe("/a")])
        with pytest.raises(errors.ProdcheckError) as caught:
            prober.result("GET /b")
    assert str(caught.value) == (
        "probe 'GET /b' was not among the 1 that were started; "
        "start the prober with every selected probe"
    )


def test_configured_headers_go_along_and_secrets_in_the_clear(
    server: Ledger, tmp_path: Path
) -> None:
    sent = {"X-Tenant": "acme", "X-Key": Secret("s3cret-value", "${KEY}")}
    with live(server.url, tmp_path) as prober:
        (result,) = started(prober, [probe("/a", send=sent)])
    assert (server.headers[0]["X-Tenant"], server.headers[0]["X-Key"]) == ("acme", "s3cret-value")
    assert "s3cret-value" not in str(result)


# --- failures


@pytest.mark.fault(1)
def test_a_refused_connection_is_an_error_and_the_rest_is_not_run(tmp_path: Path) -> None:
    with live("http://127.0.0.1:1", tmp_path, concurrency=1) as prober:
        results = started(prober, [probe(f"/{n}") for n in range(10)])
    assert "connect" in str(results[0].error)
    assert results[0].problems
    assert results[-1].error is None
    assert "target down" in str(results[-1].not_run)


@pytest.mark.parametrize("kind", [errors.NotAsked, errors.TargetDown, errors.BudgetExhausted])
def test_a_withheld_request_is_not_run_and_not_failed(
    kind: type[errors.NotAsked], tmp_path: Path
) -> None:
    with standing_in(raising(kind("because")), tmp_path) as prober:
        (result,) = started(prober, [probe("/a")])
        assert (result.not_run, result.problems) == ("because", ())
        with pytest.raises(kind, match=r"^because$"):
            ProbeCheck(probe("/a"), prober).check()


@pytest.mark.fault(79)
def test_a_violation_reaches_the_check(tmp_path: Path) -> None:
    with standing_in(raising(errors.Violation("forbidden")), tmp_path) as prober:
        prober.start([probe("/a")])
        with pytest.raises(errors.Violation, match=r"^forbidden$"):
            ProbeCheck(probe("/a"), prober).check()


@pytest.mark.fault(79)
def test_a_violation_is_told_before_a_mismatch(tmp_path: Path) -> None:
    answers = iter([httpx.Response(500)])

    def answer(url: str) -> httpx.Response:
        for response in answers:
            return response
        raise errors.Violation("forbidden")

    with standing_in(answer, tmp_path) as prober:
        prober.start([probe("/a", samples=2)])
        with pytest.raises(errors.Violation, match=r"^forbidden$"):
            ProbeCheck(probe("/a", samples=2), prober).check()


def test_a_budget_that_ends_midway_leaves_the_rest_not_run(server: Ledger, tmp_path: Path) -> None:
    with live(server.url, tmp_path, request_budget=3, concurrency=1) as prober:
        results = started(prober, [probe(f"/{n}") for n in range(5)])
    assert sum(server.asked.values()) == 3
    assert [result.not_run is None for result in results] == [True] * 3 + [False] * 2
    assert results[-1].raised == "BudgetExhausted"


def test_a_check_tells_every_mismatch_on_a_line_of_its_own(server: Ledger, tmp_path: Path) -> None:
    wrong = probe("/status/500", json={"path": "/x", "gone": 1})
    with live(server.url, tmp_path) as prober:
        prober.start([wrong])
        with pytest.raises(AssertionError) as caught:
            ProbeCheck(wrong, prober).check()
    assert str(caught.value).splitlines() == [
        "status: expected 2xx, got 500",
        'json $.path: expected "/x", got "/status/500"',
        "json $.gone: expected 1, got no such key (keys: path, token)",
    ]


def test_a_check_that_holds_gives_its_result(server: Ledger, tmp_path: Path) -> None:
    with live(server.url, tmp_path) as prober:
        prober.start([probe("/a")])
        run = ProbeCheck(probe("/a"), prober)
        assert run.check() == run.result
        assert run.done
        assert (run.id, repr(run)) == ("GET /a", "<probe GET /a>")


@pytest.mark.fault(74)
def test_secrets_are_in_neither_result_nor_file(server: Ledger, tmp_path: Path) -> None:
    def clean(text: str) -> str:
        return text.replace("hunter2-hunter2", "***")

    told = Probe(method="GET", path="/hunter2-hunter2", id="told", json={"token": "x"})
    with live(server.url, tmp_path, clean=clean) as prober:
        (result,) = started(prober, [told])
    assert result.problems[0] == 'json $.token: expected "x", got "***"'
    assert "hunter2" not in str(result.mismatches)
    stored = (tmp_path / "probes.jsonl").read_text()
    assert f"{server.url}/***" in stored
    assert "hunter2" not in stored


def test_a_run_of_one_process_writes_no_result_down(server: Ledger, tmp_path: Path) -> None:
    with live(server.url, tmp_path, shared=False) as prober:
        (result,) = started(prober, [probe("/a")])
    assert result.exchanges
    assert (tmp_path / "probes.jsonl").read_bytes() == b""


def test_an_unforeseen_exception_is_the_result_and_not_a_wait_for_ever(tmp_path: Path) -> None:
    with standing_in(raising(KeyError("oops \ud800")), tmp_path) as prober:
        (result,) = started(prober, [probe("/a")])
    assert result.error == "internal: KeyError: 'oops \\ud800'"


def test_a_connection_that_cannot_be_made_is_the_result(tmp_path: Path) -> None:
    def connect() -> StandIn:
        raise OSError("no more files")

    target = Target(name="t", base_url="http://127.0.0.1:9", concurrency=2)
    prober = Prober(target, connect, tmp_path)
    results = started(prober, [probe(f"/{n}") for n in range(5)])
    prober.close()
    assert {result.error for result in results} == {"internal: OSError: no more files"}


def test_few_threads_do_all_the_work_where_no_more_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, count = threading.Thread.start, Counter[str]()

    def scarce(thread: threading.Thread) -> None:
        count["threads"] += 1
        if count["threads"] > 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    with standing_in(lambda url: httpx.Response(200), tmp_path, concurrency=8) as prober:
        results = started(prober, [probe(f"/{n}") for n in range(20)])
    assert not any(result.problems for result in results)


def test_no_thread_at_all_is_an_error_and_leaves_the_sending_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with (
        standing_in(lambda url: httpx.Response(200), tmp_path) as first,
        standing_in(lambda url: httpx.Response(200), tmp_path) as second,
    ):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                first.start([probe("/a")])
        assert started(second, [probe("/a")])[0].problems == ()


def test_close_stops_sending(server: Ledger, tmp_path: Path) -> None:
    with live(server.url, tmp_path, concurrency=2) as prober:
        prober.start(sleeping(40))
        prober.result("GET /sleep/0.1/0")
        prober.close()
        assert sum(server.asked.values()) < 10
        with pytest.raises(
            errors.ProdcheckError, match=r"^probe 'GET /sleep/0\.1/39' has no result"
        ):
            prober.result("GET /sleep/0.1/39")


# --- samples


@pytest.mark.fault(14)
def test_samples_are_sent_that_often_and_all_must_match(server: Ledger, tmp_path: Path) -> None:
    with live(server.url, tmp_path) as prober:
        (result,) = started(prober, [probe("/sleep/0.02/x", samples=5, within=0.01)])
    assert server.asked["/sleep/0.02/x"] == 5
    assert len(result.exchanges) == 5
    (problem,) = result.problems
    assert problem.startswith("time: expected at most 0.01 s, got ")
    assert problem.endswith(" s (slowest of 5 samples)")


def test_evidence_is_kept_once_and_wherever_something_is_wrong(tmp_path: Path) -> None:
    statuses = iter([200, 200, 500, 200])

    class Showing(StandIn):
        def request(self, method: str, url: str, /, *, headers: dict[str, str]) -> httpx.Response:
            exchange = Exchange(method=method, url=url, elapsed_ms=1.0, body="shown", curl="curl")
            self.exchanges.append(exchange)
            return self._answer(url)

    target = Target(name="t", base_url="http://127.0.0.1:9")
    prober = Prober(target, lambda: Showing(lambda url: httpx.Response(next(statuses))), tmp_path)
    (result,) = started(prober, [probe("/a", samples=4)])
    prober.close()
    assert [exchange.body for exchange in result.exchanges] == ["shown", "", "shown", ""]
    assert result.problems == ("status: expected 2xx, got 500 (1 of 4 samples)",)
    assert result.elapsed_s == pytest.approx(0.004)


def test_samples_without_an_answer_are_counted(tmp_path: Path) -> None:
    answers = iter([True, False, False])

    def answer(url: str) -> httpx.Response:
        if next(answers):
            return httpx.Response(200)
        raise httpx.ReadTimeout("too late")

    with standing_in(answer, tmp_path) as prober:
        (result,) = started(prober, [probe("/a", samples=3)])
    assert result.problems == ("no answer: timeout: too late (2 of 3 samples)",)


def test_what_failed_before_the_rest_was_withheld_is_a_failure(tmp_path: Path) -> None:
    answers = iter([httpx.Response(500)])

    def answer(url: str) -> httpx.Response:
        try:
            return next(answers)
        except StopIteration:
            raise errors.TargetDown("down") from None

    with standing_in(answer, tmp_path) as prober:
        prober.start([probe("/a", samples=5)])
        with pytest.raises(AssertionError, match="status: expected 2xx, got 500"):
            ProbeCheck(probe("/a", samples=5), prober).check()


def test_every_exchange_is_counted_for_the_limits(server: Ledger, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    with live(server.url, tmp_path, tally=tally) as prober:
        started(prober, [probe("/a", samples=3), probe("/status/404")])
    assert sorted(one.status or 0 for one in tally.measured()) == [200, 200, 200, 404]


# --- several processes


SENDER = """
import sys
from pathlib import Path
from pytest_prodcheck.config import Probe, Target
from pytest_prodcheck.http.throttle import Throttle
from pytest_prodcheck.http.client import LiveClient, LiveTransport
from pytest_prodcheck.checks.probes.prober import Prober

url, work, *paths = sys.argv[1:]
target = Target(name="t", base_url=url, concurrency=2)
transport = LiveTransport(target, Throttle(Path(work) / "throttle", rate=None, budget=5000))
prober = Prober(target, lambda: LiveClient(target, transport), Path(work))
prober.start([Probe(method="GET", path=path, id=f"GET {path}") for path in paths])
print("started", flush=True)
prober.wait()
print("done", flush=True)
sys.stdin.read()
"""


@contextmanager
def other_process(url: str, work: Path, selected: Sequence[Probe]) -> Iterator[Any]:
    arguments = [sys.executable, "-c", SENDER, url, str(work), *[one.path for one in selected]]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "started\n"
            yield process
        finally:
            process.kill()


@pytest.mark.fault(101)
def test_one_of_several_processes_sends_for_all(server: Ledger, tmp_path: Path) -> None:
    selected = sleeping(12, 0.05)
    with (
        other_process(server.url, tmp_path, selected) as other,
        live(server.url, tmp_path) as prober,
    ):
        results = started(prober, selected)
        assert other.stdout.readline() == "done\n"
    assert not any(result.problems for result in results)
    assert set(server.asked.values()) == {1}
    assert len(server.asked) == 12


@pytest.mark.fault(47)
def test_when_the_sender_is_killed_another_sends_what_has_no_result(
    server: Ledger, tmp_path: Path
) -> None:
    selected = sleeping(20)
    with (
        other_process(server.url, tmp_path, selected) as other,
        live(server.url, tmp_path) as prober,
    ):
        prober.start(selected)
        prober.result(selected[3].id)
        os.kill(other.pid, signal.SIGKILL)
        prober.wait()
        assert not any(prober.result(one.id).problems for one in selected)
    again = [path for path, times in server.asked.items() if times > 1]
    # Only what was on its way when the sender died: it had two threads.
    assert len(again) <= 2
    assert set(again).isdisjoint(one.path for one in selected[:2])


@pytest.mark.fault(51)
def test_a_sender_that_hangs_is_a_failure_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "GRACE", 0.3)
    selected = [probe("/a"), probe("/b")]
    with (
        (tmp_path / "probes.lock").open("w") as held,
        standing_in(lambda url: httpx.Response(200), tmp_path, timeout=0.01) as prober,
    ):
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        results = started(prober, selected)
        assert 0.3 <= time.monotonic() - began < 20
    assert {result.error for result in results} == {
        "nothing arrived for 0 s, which is longer than the 2 missing probes may take: "
        "the process that sends them hangs; run the tests again with -n0"
    }


def test_a_hanging_thread_is_a_failure_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "GRACE", 0.3)
    held = threading.Event()

    def answer(url: str) -> httpx.Response:
        held.wait(20)
        return httpx.Response(200)

    with standing_in(answer, tmp_path, timeout=0.01) as prober:
        prober.start([probe("/a")])
        with pytest.raises(AssertionError, match="the process that sends them hangs"):
            ProbeCheck(probe("/a"), prober).check()
        held.set()


def test_the_bound_grows_with_samples_and_shrinks_with_the_rate(tmp_path: Path) -> None:
    def bound(selected: Sequence[Probe], **more: Any) -> float:
        held = threading.Event()

        def answer(url: str) -> httpx.Response:
            held.wait(20)
            return httpx.Response(200)

        with standing_in(answer, tmp_path, **more) as prober:
            prober.start(selected)
            try:
                return prober.bound
            finally:
                held.set()

    one = probe("/a")
    assert bound([one], timeout=10, concurrency=1) == 10 + 2 * (2 * 10)
    assert bound([probe("/b", samples=4)], timeout=10, concurrency=2) == 10 + 2 * (6 * 10)
    assert bound([probe("/c")], timeout=10, concurrency=1, rate=0.1) == 10 + 2 * (2 * 10 + 10)


def test_half_a_line_of_a_killed_process_spoils_no_result(tmp_path: Path) -> None:
    (tmp_path / "probes.jsonl").write_bytes(
        b'\n{"id":"GET /a","elapsed_s":1}\n\n{"id":"GET /b","el'
    )
    asked = []

    def answer(url: str) -> httpx.Response:
        asked.append(url)
        return httpx.Response(200)

    selected = [probe("/a"), probe("/b")]
    with standing_in(answer, tmp_path) as prober:
        results = started(prober, selected)
    with standing_in(answer, tmp_path) as later:
        assert started(later, selected) == results
    assert asked == ["/b"]
    assert results[0] == ProbeResult(id="GET /a", elapsed_s=1.0)


def test_shared_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    with standing_in(lambda url: httpx.Response(200), tmp_path) as prober:
        started(prober, [probe("/a")])
    for name in ("probes.lock", "probes.jsonl"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_a_full_disk_costs_the_followers_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that sends has its results in memory; another one sends for itself."""

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with (
        standing_in(lambda url: httpx.Response(200), tmp_path) as first,
        standing_in(lambda url: httpx.Response(200), tmp_path) as second,
    ):
        monkeypatch.setattr(probes.os, "write", full)
        assert started(first, [probe("/a")])[0].problems == ()
        assert started(second, [probe("/a")])[0].problems == ()
