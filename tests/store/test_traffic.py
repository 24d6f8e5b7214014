"""What the requests of a run add up to."""

from math import ceil

import pytest

from pytest_prodcheck.model import Metrics
from pytest_prodcheck.store.traffic import Traffic


def test_no_request_is_no_figure():
    assert Traffic().metrics() == Metrics()


def test_requests_without_an_answer_have_no_latency():
    traffic = Traffic()
    traffic.count(None, True)
    assert traffic.metrics() == Metrics(requests=1, error_rate=1.0)


@pytest.mark.parametrize("number", [1, 2, 19, 20, 100, 101, 999])
def test_percentiles_are_of_the_nearest_rank(number):
    values = [7.0 + 1.1 * n for n in range(number)]
    traffic = Traffic()
    for value in values:
        traffic.count(value, False)
    expected = {f"p{p}": round(values[ceil(p * number / 100) - 1], 1) for p in (50, 95, 99)}
    assert traffic.metrics().latency_ms == pytest.approx(expected, rel=1e-3)


def test_parts_add_up_to_the_whole():
    whole, parts = Traffic(), [Traffic(), Traffic()]
    for n in range(1000):
        facts = (n / 7 + 1, n % 100 == 0)
        whole.count(*facts)
        parts[n % 3 == 0].count(*facts)
    joined = Traffic()
    for part in parts:
        joined.add(part.entry())
    assert joined.metrics() == whole.metrics()
    assert joined.entry() == whole.entry()


def test_the_room_is_bounded():
    traffic = Traffic()
    for n in range(200_000):
        traffic.count(10 + n * 0.0004, False)
    assert traffic.requests == 200_000
    assert len(traffic.steps) <= 9_000
