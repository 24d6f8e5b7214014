"""The latency picture of a run, in numbers that a template draws."""

import math
from collections.abc import Callable
from urllib.parse import urlsplit

from pytest_prodcheck.counting import counted
from pytest_prodcheck.model import Check, Record, Run
from pytest_prodcheck.report import phrases


class Dot(Record):
    x: float
    good: bool
    """False: the check failed because of this response. An expected 404 is good."""
    note: str


class Strip(Record):
    name: str
    slowest: float
    dots: tuple[Dot, ...]


class Bar(Record):
    x: float
    width: float
    height: float
    note: str


class Mark(Record):
    x: float
    name: str
    value: float
    y: int = 0


class Picture(Record):
    """Percentages across the picture, on a logarithmic scale of milliseconds."""

    bars: tuple[Bar, ...]
    ticks: tuple[Mark, ...]
    marks: tuple[Mark, ...]
    strips: tuple[Strip, ...]
    count: int
    unanswered: int
    described: str


_BINS = 48
_MOST_STRIPS = 8
_MOST_DOTS = 200


def picture(run: Run) -> Picture | None:
    """Return the latencies of *run*, or None if no request had a response."""
    checks = [*run.checks, *run.unscored]
    answered = [e for c in checks for e in c.exchanges if e.status is not None]
    unanswered = sum(e.status is None for c in checks for e in c.exchanges)
    times = [max(e.elapsed_ms, 0.1) for e in answered if math.isfinite(e.elapsed_ms)]
    if not times:
        return None
    told = run.metrics.latency_ms
    low, high = _scale(min(times), max([*times, *told.values()]))

    def x(value: float) -> float:
        share = math.log(max(value, low) / low) / math.log(high / low)
        return round(100 * min(share, 1.0), 2)

    bins = [0] * _BINS
    for time in times:
        bins[min(int(x(time) / 100 * _BINS), _BINS - 1)] += 1
    tallest = max(bins)
    width = 100 / _BINS

    def edge(index: int) -> str:
        return phrases.milliseconds(low * (high / low) ** (index / _BINS))

    bars = tuple(
        Bar(
            x=round(n * width, 2),
            width=round(width * 0.86, 2),
            height=round(100 * count / tallest, 1),
            note=f"{counted(count, 'request')} of {edge(n)} to {edge(n + 1)}",
        )
        for n, count in enumerate(bins)
        if count
    )
    marks = tuple(
        Mark(x=x(told[name]), name=name, value=told[name], y=14 + 16 * n)
        for n, name in enumerate(name for name in ("p50", "p95", "p99") if name in told)
    )
    numbers = ", ".join(f"{m.name} {phrases.milliseconds(m.value)}" for m in marks)
    slowest = phrases.milliseconds(max(times))
    return Picture(
        bars=bars,
        ticks=tuple(Mark(x=x(t), name="", value=t) for t in _ticks(low, high)),
        marks=marks,
        strips=_strips(checks, x),
        count=len(times),
        unanswered=unanswered,
        described=f"{counted(len(times), 'answered request')}: {numbers or 'no figures'}; "
        f"the slowest took {slowest}.",
    )


def _strips(checks: list[Check], x: Callable[[float], float]) -> tuple[Strip, ...]:
    """Return the slowest checks, each with its requests as dots."""

    def slowest(check: Check) -> float:
        return max((e.elapsed_ms for e in check.exchanges if e.status is not None), default=-1)

    worst = sorted(checks, key=slowest, reverse=True)[:_MOST_STRIPS]
    return tuple(
        Strip(
            name=phrases.name(check.id),
            slowest=slowest(check),
            dots=tuple(
                Dot(
                    x=x(e.elapsed_ms),
                    good=not failed,
                    note=f"{phrases.milliseconds(e.elapsed_ms)}, status {e.status}",
                )
                for e, failed in zip(check.exchanges[:_MOST_DOTS], _failing(check), strict=False)
                if e.status is not None and math.isfinite(e.elapsed_ms)
            ),
        )
        for check in worst
        if slowest(check) >= 0
    )


def _failing(check: Check) -> list[bool]:
    """Return for each exchange of *check* whether the check failed because of it.

    A failure names a request and, where its status may be what was wrong, the status. Where it
    names a request that is not among the exchanges (`GET /orders/{id}`), it may be about any.
    """
    if check.outcome not in ("failed", "flaky", "known"):
        return [False] * len(check.exchanges)
    severe = [one for one in check.failures if one.severity != "minor"] or check.failures
    requests = [f"{e.method} {urlsplit(e.url).path or '/'}" for e in check.exchanges]
    return [
        any(
            (failure.subject not in requests or failure.subject == request)
            and failure.status in (None, exchange.status)
            for failure in severe
        )
        if severe
        else (exchange.status or 0) >= 400  # a journal of an older version names no failures
        for exchange, request in zip(check.exchanges, requests, strict=True)
    ]


def _scale(fastest: float, slowest: float) -> tuple[float, float]:
    """Return bounds at 1, 2 or 5 times a power of ten, at least a factor of five apart."""
    steps = [base * 10.0**power for power in range(-2, 9) for base in (1, 2, 5)]
    low = max(step for step in steps if step <= fastest)
    high = min((step for step in steps if step >= slowest * 1.02), default=slowest * 1.1)
    return low, max(high, low * 5)


def _ticks(low: float, high: float) -> list[float]:
    """Return about five tick marks, so that they can be read on a phone."""
    steps = [base * 10.0**power for power in range(-2, 9) for base in (1, 2, 5)]
    inside = [step for step in steps if low * 0.999 <= step <= high * 1.001]
    return inside[:: math.ceil(len(inside) / 6)]
