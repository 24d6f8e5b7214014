"""Totals of the exchanges of a run, in little memory; those of several parts can be added."""

from collections import Counter
from collections.abc import Iterable

from pytest_prodcheck.model import Metrics
from pytest_prodcheck.store.entries import TrafficCounted


class Traffic:
    """Counts of requests, of failed ones, and of latencies rounded to four digits.

    There are at most 9,000 steps between 10 ms and 100 ms, as many up to 1 s, and so on: millions
    of requests take no more memory than thousands.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        """Requests without a response, or with a 5xx."""
        self.steps: Counter[str] = Counter()
        """Milliseconds (`"12.34"`) -> number of responses that took that long."""

    def count(self, answered_ms: float | None, failed: bool) -> None:
        """Count one exchange; `answered_ms` is None if there was no response."""
        self.requests += 1
        self.failed += failed
        if answered_ms is not None:
            self.steps[f"{answered_ms:.4g}"] += 1

    def add(self, counted: TrafficCounted) -> None:
        """Add the counts of another part of the run, as its `entry` returned them."""
        self.requests += counted.requests
        self.failed += counted.failed
        self.steps.update(counted.steps)

    def entry(self) -> TrafficCounted:
        """Return an entry for the journal."""
        return TrafficCounted(requests=self.requests, failed=self.failed, steps=dict(self.steps))

    def metrics(self) -> Metrics:
        """Return the number of requests, the share that failed, and percentiles (nearest rank)."""
        if not self.requests:
            return Metrics()
        ascending = sorted((float(step), times) for step, times in self.steps.items())
        answered = self.steps.total()
        latency = {f"p{p}": _percentile(ascending, answered, p) for p in (50, 95, 99)}
        return Metrics(
            requests=self.requests,
            error_rate=round(self.failed / self.requests, 6),
            latency_ms=latency if answered else {},
        )


def percentile(values: Iterable[float], percent: int) -> float:
    """Return the *percent*th percentile of *values*, by nearest rank; 0 without any."""
    ascending = sorted(values)
    return _percentile([(value, 1) for value in ascending], len(ascending), percent)


def _percentile(ascending: list[tuple[float, int]], answered: int, percent: int) -> float:
    """Return the smallest value, in milliseconds, that *percent* of all values do not exceed."""
    left = max(-(-percent * answered // 100), 1)
    for value, times in ascending:
        left -= times
        if left <= 0:
            return round(value, 1)
    return 0.0
