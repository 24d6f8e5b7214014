"""Rate, budget and breaker hold for all threads and processes that share the file."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_prodcheck.errors import BudgetExhausted, NotAsked, TargetDown
from pytest_prodcheck.http import throttle as module
from pytest_prodcheck.http.throttle import ERROR_LIMIT, SILENT_LIMIT, Throttle
from tests.faulty import FaultyServer, answer, delayed

Open = Callable[..., Throttle]


@pytest.fixture
def open_throttle(tmp_path: Path) -> Iterator[Open]:
    """Opens the one throttle file of the test, as often as asked."""
    throttles: list[Throttle] = []

    def open_it(rate: float | None = None, budget: int = 1000) -> Throttle:
        throttles.append(Throttle(tmp_path / "throttle", rate=rate, budget=budget))
        return throttles[-1]

    yield open_it
    for throttle in throttles:
        throttle.close()


def in_threads(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


# A process of a run: `threads` of them ask for `path`, `times` each, over one throttle file.
WORKER = """
import sys, threading
from pathlib import Path
from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.http.throttle import Throttle
from pytest_prodcheck.http.client import LiveClient, LiveTransport, httpx
url, path, rate, budget, threads, times = sys.argv[1:]
throttle = Throttle(Path(path), rate=float(rate) or None, budget=int(budget))
target = Target(name="t", base_url=url, timeout=2.0, concurrency=int(threads))
transport = LiveTransport(target, throttle)
refused = []
def work():
    with LiveClient(target, transport) as client:
        for _ in range(int(times)):
            try:
                client.get("/")
            except NotAsked as error:
                refused.append(type(error).__name__)
            except httpx.HTTPError:
                pass
sys.stdin.readline()
workers = [threading.Thread(target=work) for _ in range(int(threads))]
for one in workers: one.start()
for one in workers: one.join()
transport.close()
throttle.close()
print(len(refused), *sorted(set(refused)))
"""


def two_processes(
    url: str, path: Path, *, rate: float = 0, budget: int = 1000, threads: int = 2, times: int
) -> list[str]:
    """Run two workers that start at the same moment; what each says of its refusals."""
    words = [url, str(path), str(rate), str(budget), str(threads), str(times)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        return [worker.communicate(timeout=60)[0].strip() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


@pytest.mark.fault(91, 101)
def test_two_processes_share_one_rate(tmp_path: Path) -> None:
    """No second holds more than the limit and 5 %, counted where the requests arrive."""
    with FaultyServer() as server:
        server.on("/", answer(b"ok"))
        two_processes(server.url, tmp_path / "throttle", rate=40, threads=4, times=8)
        assert len(server.ledger) == 64
        assert server.busiest(1.0) <= 42


@pytest.mark.fault(91, 102)
def test_two_processes_share_one_budget(tmp_path: Path) -> None:
    with FaultyServer() as server:
        server.on("/", answer(b"ok"))
        told = two_processes(server.url, tmp_path / "throttle", budget=30, times=20)
        assert len(server.ledger) == 30
    refused = [int(one.split()[0]) for one in told]
    assert sum(refused) == 2 * 2 * 20 - 30
    assert {word for one in told for word in one.split()[1:]} == {"BudgetExhausted"}


@pytest.mark.fault(12, 103)
def test_an_opened_breaker_stops_both_processes_at_once(tmp_path: Path) -> None:
    """After the tenth 5xx only those arrive that were on their way: at most one per thread."""
    with FaultyServer() as server:
        server.on("/", delayed(0.02, answer(b"no", 500)))
        told = two_processes(server.url, tmp_path / "throttle", threads=4, times=25)
        assert ERROR_LIMIT <= len(server.ledger) <= ERROR_LIMIT + 2 * 4 - 1
    assert all(one.endswith("TargetDown") for one in told)


@pytest.mark.fault(103)
def test_failures_seen_by_one_process_stop_the_other(tmp_path: Path, open_throttle: Open) -> None:
    """This process has seen nothing wrong itself, and sends nothing."""
    throttle = open_throttle()
    with FaultyServer() as server:
        server.on("/", answer(b"no", 500))
        two_processes(server.url, tmp_path / "throttle", threads=1, times=10)
        arrived = len(server.ledger)
        assert ERROR_LIMIT <= arrived <= ERROR_LIMIT + 1
        with pytest.raises(TargetDown, match="10 responses in a row were 5xx"):
            throttle.acquire()
        assert throttle.sent == arrived


def test_two_throttles_on_one_file_count_together_in_threads_too(open_throttle: Open) -> None:
    """Nothing is lost between threads, whether they share the object or only the file."""
    throttles = [open_throttle(), open_throttle()]

    def work() -> None:
        for number in range(50):
            throttles[number % 2].acquire()

    in_threads(8, work)
    assert [throttle.sent for throttle in throttles] == [400, 400]


def test_closing_one_throttle_leaves_the_other_its_lock(open_throttle: Open) -> None:
    first, second = open_throttle(), open_throttle()
    first.acquire()
    second.close()
    second.close()
    first.acquire()
    assert first.sent == 2


def test_the_budget_is_exact_and_its_end_names_the_remedy(open_throttle: Open) -> None:
    throttle = open_throttle(budget=2)
    throttle.acquire()
    throttle.acquire()
    with pytest.raises(BudgetExhausted) as refused:
        throttle.acquire()
    assert str(refused.value) == (
        "not run: the run has sent 2 requests, which is all of its request_budget of 2. "
        "Raise `request_budget` of the target, or select fewer checks."
    )
    assert throttle.sent == 2


def test_three_requests_without_a_response_open_the_breaker(open_throttle: Open) -> None:
    throttle = open_throttle()
    for _ in range(SILENT_LIMIT - 1):
        throttle.acquire()
        throttle.record_result(False, transport_failure=True, detail="connect")
    assert throttle.down is None
    throttle.record_result(False, transport_failure=True, detail="connect")
    assert throttle.down == "3 requests in a row got no response (connect)"
    with pytest.raises(TargetDown) as refused:
        throttle.acquire()
    assert str(refused.value) == (
        "not run: target down: 3 requests in a row got no response (connect). Only one request "
        "every 5 s is sent until it responds. Check that the target runs and is reachable from "
        "here, then run again."
    )
    assert throttle.sent == SILENT_LIMIT - 1


@pytest.mark.parametrize("good", [True, False])
def test_any_response_ends_a_row_of_silence(open_throttle: Open, good: bool) -> None:
    throttle = open_throttle()
    for _ in range(3):
        throttle.record_result(False, transport_failure=True)
        throttle.record_result(False, transport_failure=True)
        throttle.record_result(good)
    assert throttle.down is None


def test_a_response_that_is_not_5xx_ends_a_row_of_them(open_throttle: Open) -> None:
    throttle = open_throttle()
    for _ in range(ERROR_LIMIT - 1):
        throttle.record_result(False)
    throttle.record_result(True)
    for _ in range(ERROR_LIMIT - 1):
        throttle.record_result(False)
    assert throttle.down is None
    throttle.record_result(False)
    assert throttle.down == "10 responses in a row were 5xx"


def test_one_probe_per_interval_goes_out_and_a_good_answer_closes_the_breaker(
    open_throttle: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_INTERVAL", 0.1)
    throttle = open_throttle()
    for _ in range(SILENT_LIMIT):
        throttle.record_result(False, transport_failure=True)
    with pytest.raises(TargetDown):
        throttle.acquire()
    for _ in range(2):
        time.sleep(0.11)
        throttle.acquire()
        with pytest.raises(TargetDown):
            throttle.acquire()
        throttle.record_result(False, transport_failure=True)
        assert throttle.down
    time.sleep(0.11)
    throttle.acquire()
    throttle.record_result(True)
    assert throttle.down is None
    throttle.acquire()
    assert throttle.sent == 4


def test_a_request_that_waits_when_the_breaker_opens_is_refused_and_not_counted(
    open_throttle: Open,
) -> None:
    throttle = open_throttle(rate=0.05)
    throttle.acquire()
    refused: list[Exception] = []

    def wait() -> None:
        try:
            throttle.acquire()
        except TargetDown as error:
            refused.append(error)

    waiting = threading.Thread(target=wait)
    began = time.monotonic()
    waiting.start()
    while throttle.sent < 2:
        time.sleep(0.001)
    for _ in range(SILENT_LIMIT):
        throttle.record_result(False, transport_failure=True)
    waiting.join(15)
    assert len(refused) == 1
    assert throttle.sent == 1
    assert time.monotonic() - began < 10, "it waited for its slot although nothing is sent"


def test_no_slot_before_the_deadline_is_reported_at_once(open_throttle: Open) -> None:
    throttle = open_throttle(rate=0.1)
    throttle.acquire()
    began = time.monotonic()
    with pytest.raises(NotAsked) as refused:
        throttle.acquire(deadline=time.monotonic() + 2)
    assert time.monotonic() - began < 1.8  # it would wait for 2 s, or for 10
    assert throttle.sent == 1
    assert str(refused.value) == (
        "not run: at 0.1 requests per second the next one may leave in 10.2 s, and the check "
        "has only 2.0 s left. Raise `rate` of the target, or select fewer checks."
    )


def test_a_thread_that_wakes_late_takes_a_new_slot(
    open_throttle: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a late request and the next one on time would come too close together."""
    now = 100.0
    oversleep = iter([0.05, 0.0, 0.0, 0.0, 0.0])

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds + next(oversleep)

    clock = SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    monkeypatch.setattr(module, "real_time", clock)
    throttle = open_throttle(rate=10)
    left = []
    for _ in range(3):
        throttle.acquire()
        left.append(now)
    gaps = [after - before for before, after in pairwise(left)]
    assert min(gaps) >= 0.1
    assert throttle.sent == 3


def test_without_a_rate_admission_costs_less_than_30_microseconds(open_throttle: Open) -> None:
    throttle = open_throttle(budget=10**9)

    def batch() -> float:
        began = time.perf_counter()
        for _ in range(100):
            throttle.acquire()
        return (time.perf_counter() - began) / 100

    assert min(batch() for _ in range(30)) < 30e-6
