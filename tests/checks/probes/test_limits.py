"""A limit holds only when the requests of the run prove it."""

import os
from pathlib import Path

import pytest

from pytest_prodcheck.checks.probes.limits import Limit, LimitCheck, configured, requests_needed
from pytest_prodcheck.config import Limits
from pytest_prodcheck.model import Exchange
from pytest_prodcheck.store.tally import Measured, Tally


def seen(number: int, status: int | None = 200, ms: float = 100) -> list[Measured]:
    return [Measured(status=status, elapsed_ms=ms)] * number


RATE = Limit(name="error_rate", value=0.01)
P95 = Limit(name="p95", value=0.5)


@pytest.mark.parametrize(
    ("share", "bad", "needed"),
    [
        # Exact binomial: the smallest n with P(at most `bad` of n) <= 5 %. For none it is
        # ln(0.05) / ln(1 - share), which the rule of three puts at 3 / share.
        (0.001, 0, 2995),
        (0.01, 0, 299),
        (0.05, 0, 59),
        (0.05, 1, 93),
        (0.01, 1, 473),
        (0.5, 0, 5),
    ],
)
def test_requests_that_a_share_needs(share: float, bad: int, needed: int) -> None:
    assert requests_needed(share, bad) == needed


def test_a_share_of_none_at_all_cannot_be_proven() -> None:
    with pytest.raises(ValueError, match="no number of requests proves a share of 0"):
        requests_needed(0)


def test_clean_requests_prove_an_error_rate_from_the_needed_number_on() -> None:
    assert RATE.judge(seen(299)).outcome == "held"
    assert RATE.judge(seen(298)).outcome == "not provable"


def test_what_is_not_provable_says_what_it_takes() -> None:
    ruling = Limit(name="error_rate", value=0.001).judge(seen(41))
    assert ruling.outcome == "not provable"
    assert ruling.text == (
        "not provable: 0 of 41 requests failed (5xx, or no answer), and that at most 0.1 % do is a "
        "guess: 2995 clean requests are needed for 95 % confidence; send more with `samples` in "
        "the probes"
    )


def test_some_failures_within_the_limit_need_more_requests() -> None:
    ruling = RATE.judge([*seen(299), *seen(1, 500)])
    assert ruling.outcome == "not provable"
    assert "473 requests of which 1 do are needed" in ruling.text
    assert RATE.judge([*seen(472), *seen(1, 500)]).outcome == "held"


@pytest.mark.parametrize("bad", [500, 503, None])
def test_a_rate_over_the_limit_is_broken_however_few_requests(bad: int | None) -> None:
    ruling = RATE.judge([*seen(40), *seen(1, bad)])
    assert ruling.outcome == "broken"
    assert ruling.text == "1 of 41 requests failed (5xx, or no answer); at most 1 % may"


def test_refusals_are_no_errors() -> None:
    assert RATE.judge(seen(299, 404)).outcome == "held"


def test_no_request_proves_nothing() -> None:
    assert RATE.judge([]).outcome == "not provable"
    assert P95.judge([]).outcome == "not provable"


def test_a_limit_of_zero_is_never_held() -> None:
    limit = Limit(name="error_rate", value=0.0)
    ruling = limit.judge(seen(5000))
    assert ruling.outcome == "not provable"
    assert ruling.text.endswith("set a limit above 0")
    assert limit.judge([*seen(5000), *seen(1, 500)]).outcome == "broken"


@pytest.mark.fault(14)
def test_a_p95_over_the_limit_is_broken() -> None:
    ruling = P95.judge([*seen(90), *seen(10, ms=900)])
    assert ruling.outcome == "broken"
    assert ruling.text == ("10 of 100 requests took longer than 0.5 s (p95 0.9 s); at most 5 % may")


def test_a_p95_is_held_from_59_fast_requests_on() -> None:
    assert P95.judge(seen(59, ms=500)).outcome == "held"
    assert P95.judge(seen(58, ms=500)).outcome == "not provable"


def test_unanswered_requests_count_as_slow_and_refusals_not_at_all() -> None:
    assert P95.judge([*seen(90), *seen(10, None, ms=1)]).outcome == "broken"
    assert P95.judge([*seen(9), *seen(1, ms=900), *seen(900, 404, ms=1)]).outcome == "broken"


def test_only_limits_that_are_set_exist() -> None:
    assert configured(Limits()) == ()
    assert configured(Limits(p95=0.5, error_rate=0.01)) == (P95, RATE)


def test_a_test_judges_what_was_measured_when_it_runs() -> None:
    measured: list[Measured] = []
    run = LimitCheck(RATE, lambda: measured)
    assert run.id == "error_rate"
    assert run.judge().outcome == "not provable"
    measured += seen(299)
    assert run.judge().outcome == "held"


@pytest.mark.fault(101)
def test_all_processes_of_a_run_count_together(tmp_path: Path) -> None:
    path = tmp_path / "tally"
    assert Tally(path).measured() == []
    child = os.fork()
    if not child:
        Tally(path).add([Exchange(method="GET", url="/", status=200, elapsed_ms=12.5)] * 100)
        os._exit(0)
    Tally(path).add([Exchange(method="GET", url="/", kind="timeout", elapsed_ms=300)] * 100)
    assert os.waitpid(child, 0)[1] == 0
    measured = Tally(path).measured()
    assert measured.count(Measured(status=200, elapsed_ms=12.5)) == 100
    assert measured.count(Measured(status=None, elapsed_ms=300)) == 100
    assert path.stat().st_mode & 0o077 == 0


def test_what_was_withheld_never_happened(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    tally.add([Exchange(method="GET", url="/", kind="withheld")])
    assert tally.measured() == []


def test_half_a_line_of_a_killed_process_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "tally"
    path.write_text("\n200 1.000 -\n\n20")
    Tally(path).add([Exchange(method="GET", url="/", status=500, elapsed_ms=2)])
    assert Tally(path).measured() == [*seen(1, ms=1), *seen(1, 500, ms=2)]


def test_cases_of_the_contract_are_traffic_but_no_limit_judges_them(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    tally.add([Exchange(method="GET", url="/", status=200, elapsed_ms=2)])
    tally.add([Exchange(method="GET", url="/", status=500, elapsed_ms=4)] * 3, generated=True)
    tally.add([Exchange(method="GET", url="/", kind="withheld")], generated=True)
    assert tally.measured() == seen(1, ms=2)
    metrics = tally.traffic().metrics()
    assert (metrics.requests, metrics.error_rate) == (4, 0.75)
    assert metrics.latency_ms == {"p50": 4.0, "p95": 4.0, "p99": 4.0}
