"""A lock between processes: held by one at a time, and fair to all who wait."""

import threading
import time
from pathlib import Path

from pytest_prodcheck.store.process_lock import process_lock


def test_the_lock_is_held_by_one_at_a_time_and_is_fair(tmp_path: Path) -> None:
    """The lock is of an open file, so that threads stand for processes here."""
    inside: list[str] = []
    order: list[str] = []
    over = threading.Event()

    def take(name: str, times: int) -> None:
        for _ in range(times):
            with process_lock(tmp_path / "t"):
                inside.append(name)
                order.append(name)
                time.sleep(0.01)
                assert inside == [name]
                inside.clear()

    def greedy() -> None:
        while not over.is_set():
            take("greedy", 1)

    busy = threading.Thread(target=greedy)
    busy.start()
    take("patient", 5)
    over.set()
    busy.join()
    assert order.count("patient") == 5
    assert order.count("greedy") < 50


def test_who_shares_does_not_wait_and_who_is_alone_does(tmp_path: Path) -> None:
    alone = threading.Event()

    def wait() -> None:
        with process_lock(tmp_path / "t"):
            alone.set()

    with process_lock(tmp_path / "t", shared=True), process_lock(tmp_path / "t", shared=True):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not alone.wait(0.1)
    assert alone.wait(10)
    waiting.join()
