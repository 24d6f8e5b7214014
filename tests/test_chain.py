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
from pytest_prodcheck.http.throttle import ERROR_LIMIT, SILENT_LIMIT, Chain
from tests.faulty import FaultyServer, answer, delayed

Open = Callable[..., Chain]


@pytest.fixture
def open_chain(tmp_path: Path) -> Iterator[Open]:
    """Opens the one chain file of the test, as often as asked."""
    chains: list[Chain] = []

    def open_it(rate: float | None = None, budget: int = 1000) -> Chain:
        chains.append(Chain(tmp_path / "chain", rate=rate, budget=budget))
        return chains[-1]

    yield open_it
    for chain in chains:
        chain.close()


def in_threads(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


# A process of a run: `threads` of them ask for `path`, `times` each, over one chain file.
WORKER = """
import sys, threading
from pathlib import Path
from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.http.throttle import Chain
from pytest_prodcheck.http.client import LiveClient, LiveTransport, httpx
url, path, rate, budget, threads, times = sys.argv[1:]
chain = Chain(Path(path), rate=float(rate) or None, budget=int(budget))
target = Target(name="t", base_url=url, timeout=2.0, concurrency=int(threads))
transport = LiveTransport(target, chain)
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
chain.close()
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
        two_processes(server.url, tmp_path / "chain", rate=40, threads=4, times=8)
        assert len(server.ledger) == 64
        assert server.busiest(1.0) <= 42


@pytest.mark.fault(91, 102)
def test_two_processes_share_one_budget(tmp_path: Path) -> None:
    with FaultyServer() as server:
        server.on("/", answer(b"ok"))
        told = two_processes(server.url, tmp_path / "chain", budget=30, times=20)
        assert len(server.ledger) == 30
    refused = [int(one.split()[0]) for one in told]
    assert sum(refused) == 2 * 2 * 20 - 30
    assert {word for one in told for word in one.split()[1:]} == {"BudgetExhausted"}


@pytest.mark.fault(12, 103)
def test_an_opened_breaker_stops_both_processes_at_once(tmp_path: Path) -> None:
    """After the tenth 5xx only those arrive that were on their way: at most one per thread."""
    with FaultyServer() as server:
        server.on("/", delayed(0.02, answer(b"no", 500)))
        told = two_processes(server.url, tmp_path / "chain", threads=4, times=25)
        assert ERROR_LIMIT <= len(server.ledger) <= ERROR_LIMIT + 2 * 4 - 1
    assert all(one.endswith("TargetDown") for one in told)


@pytest.mark.fault(103)
def test_what_one_process_saw_stops_the_other(tmp_path: Path, open_chain: Open) -> None:
    """This process has seen nothing wrong itself, and sends nothing."""
    chain = open_chain()
    with FaultyServer() as server:
        server.on("/", answer(b"no", 500))
        two_processes(server.url, tmp_path / "chain", threads=1, times=10)
        arrived = len(server.ledger)
        assert ERROR_LIMIT <= arrived <= ERROR_LIMIT + 1
        with pytest.raises(TargetDown, match="10 answers in a row were 5xx"):
            chain.admit()
        assert chain.sent == arrived


def test_two_chains_on_one_file_count_together_in_threads_too(open_chain: Open) -> None:
    """Nothing is lost between threads, whether they share the object or only the file."""
    chains = [open_chain(), open_chain()]

    def work() -> None:
        for number in range(50):
            chains[number % 2].admit()

    in_threads(8, work)
    assert [chain.sent for chain in chains] == [400, 400]


def test_closing_one_chain_leaves_the_other_its_lock(open_chain: Open) -> None:
    first, second = open_chain(), open_chain()
    first.admit()
    second.close()
    second.close()
    first.admit()
    assert first.sent == 2


def test_the_budget_is_exact_and_its_end_tells_the_way_out(open_chain: Open) -> None:
    chain = open_chain(budget=2)
    chain.admit()
    chain.admit()
    with pytest.raises(BudgetExhausted) as refused:
        chain.admit()
    assert str(refused.value) == (
        "not run: the run has sent 2 requests, all of its request_budget of 2. "
        "Raise `request_budget` of the target, or select fewer checks."
    )
    assert chain.sent == 2


def test_nothing_answering_three_times_opens_the_breaker(open_chain: Open) -> None:
    chain = open_chain()
    for _ in range(SILENT_LIMIT - 1):
        chain.admit()
        chain.observe(False, transport_failure=True, detail="connect")
    assert chain.down is None
    chain.observe(False, transport_failure=True, detail="connect")
    assert chain.down == "3 requests in a row got no answer (connect)"
    with pytest.raises(TargetDown) as refused:
        chain.admit()
    assert str(refused.value) == (
        "not run: target down: 3 requests in a row got no answer (connect). Only one probe "
        "every 5 s is sent until it answers. See whether the target runs and is reachable from "
        "here, then run again."
    )
    assert chain.sent == SILENT_LIMIT - 1


@pytest.mark.parametrize("good", [True, False])
def test_any_answer_ends_a_row_of_silence(open_chain: Open, good: bool) -> None:
    chain = open_chain()
    for _ in range(3):
        chain.observe(False, transport_failure=True)
        chain.observe(False, transport_failure=True)
        chain.observe(good)
    assert chain.down is None


def test_an_answer_that_is_no_5xx_ends_a_row_of_them(open_chain: Open) -> None:
    chain = open_chain()
    for _ in range(ERROR_LIMIT - 1):
        chain.observe(False)
    chain.observe(True)
    for _ in range(ERROR_LIMIT - 1):
        chain.observe(False)
    assert chain.down is None
    chain.observe(False)
    assert chain.down == "10 answers in a row were 5xx"


def test_one_probe_per_interval_goes_out_and_a_good_answer_closes_the_breaker(
    open_chain: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_INTERVAL", 0.1)
    chain = open_chain()
    for _ in range(SILENT_LIMIT):
        chain.observe(False, transport_failure=True)
    with pytest.raises(TargetDown):
        chain.admit()
    for _ in range(2):
        time.sleep(0.11)
        chain.admit()
        with pytest.raises(TargetDown):
            chain.admit()
        chain.observe(False, transport_failure=True)
        assert chain.down
    time.sleep(0.11)
    chain.admit()
    chain.observe(True)
    assert chain.down is None
    chain.admit()
    assert chain.sent == 4


def test_a_request_that_waits_when_the_breaker_opens_is_refused_and_not_counted(
    open_chain: Open,
) -> None:
    chain = open_chain(rate=0.05)
    chain.admit()
    refused: list[Exception] = []

    def wait() -> None:
        try:
            chain.admit()
        except TargetDown as error:
            refused.append(error)

    waiting = threading.Thread(target=wait)
    began = time.monotonic()
    waiting.start()
    while chain.sent < 2:
        time.sleep(0.001)
    for _ in range(SILENT_LIMIT):
        chain.observe(False, transport_failure=True)
    waiting.join(15)
    assert len(refused) == 1
    assert chain.sent == 1
    assert time.monotonic() - began < 10, "it waited for its slot although nothing is sent"


def test_no_slot_before_the_deadline_is_said_at_once(open_chain: Open) -> None:
    chain = open_chain(rate=0.1)
    chain.admit()
    began = time.monotonic()
    with pytest.raises(NotAsked) as refused:
        chain.admit(deadline=time.monotonic() + 2)
    assert time.monotonic() - began < 1.8  # it would wait for 2 s, or for 10
    assert chain.sent == 1
    assert str(refused.value) == (
        "not run: at 0.1 requests per second the next one may leave in 10.2 s, and the check "
        "has only 2.0 s left. Raise `rate` of the target, or select fewer checks."
    )


def test_a_thread_that_wakes_late_takes_a_new_slot(
    open_chain: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a late request and the next one on time would come too close together."""
    now = 100.0
    oversleep = iter([0.05, 0.0, 0.0, 0.0, 0.0])

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds + next(oversleep)

    clock = SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    monkeypatch.setattr(module, "real_time", clock)
    chain = open_chain(rate=10)
    left = []
    for _ in range(3):
        chain.admit()
        left.append(now)
    gaps = [after - before for before, after in pairwise(left)]
    assert min(gaps) >= 0.1
    assert chain.sent == 3


def test_without_a_rate_admission_costs_less_than_30_microseconds(open_chain: Open) -> None:
    chain = open_chain(budget=10**9)

    def batch() -> float:
        began = time.perf_counter()
        for _ in range(100):
            chain.admit()
        return (time.perf_counter() - began) / 100

    assert min(batch() for _ in range(30)) < 30e-6
