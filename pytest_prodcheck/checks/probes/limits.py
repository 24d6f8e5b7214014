"""Limits over all requests of a run, and whether so few requests can prove them.

A limit says that at most a share of requests may be bad: `error_rate = 0.01` that 1 % may fail,
`p95 = 0.5` that 5 % may take longer than 0.5 s. To see few bad ones among few requests proves
little: none of 41 is quite likely at a true rate of 5 %. A limit is *held* only when the true
share is within it with 95 % confidence (exact binomial; for no bad one this is the rule of
three, n > 3 / share), *broken* when the share seen is over it, and else *not provable*.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from pytest_prodcheck.config import Limits
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.model import Record
from pytest_prodcheck.rules import failure
from pytest_prodcheck.store.tally import Measured

CONFIDENCE = 0.95

SLOW_SHARE = 0.05
"""What a p95 means: at most this share of requests is slower."""


class Ruling(Record):
    """What the measured requests say about a limit."""

    outcome: Literal["held", "broken", "not provable"]
    text: str


class Limit(Record):
    """One configured limit: `p95` in seconds, `error_rate` as a share."""

    name: Literal["p95", "error_rate"]
    value: float

    def judge(self, measured: Sequence[Measured]) -> Ruling:
        """Whether `measured` proves that the limit holds."""
        if self.name == "p95":
            considered = [one for one in measured if not one.refused]
            bad = [one for one in considered if one.status is None or self._slow(one)]
            share, seen = SLOW_SHARE, f"requests took longer than {self.value:g} s"
            if considered:
                seen += f" (p95 {_p95(considered) / 1000:.3g} s)"
        else:
            considered = list(measured)
            bad = [one for one in considered if one.failed]
            share, seen = self.value, "requests failed (5xx, or no answer)"
        seen = f"{len(bad)} of {len(considered)} {seen}"
        if len(bad) > share * len(considered):
            return Ruling(outcome="broken", text=f"{seen}; at most {_percent(share)} may")
        if _chance(len(bad), len(considered), share) <= 1 - CONFIDENCE:
            return Ruling(outcome="held", text=f"{seen}; at most {_percent(share)} may")
        if share <= 0:
            way_out = "no number of requests proves that none ever does; set a limit above 0"
        else:
            needed = requests_needed(share, len(bad))
            clean = f"requests of which {len(bad)} do" if bad else "clean requests"
            way_out = (
                f"{needed} {clean} are needed for 95 % confidence; send more with `samples` "
                "in the probes"
            )
        text = f"not provable: {seen}, and that at most {_percent(share)} do is a guess: {way_out}"
        return Ruling(outcome="not provable", text=text)

    def _slow(self, one: Measured) -> bool:
        return one.elapsed_ms > self.value * 1000


class LimitCheck:
    """One limit as a test sees it: its `id`, and `check()`.

    `measured` gives all exchanges of the run so far, when no probe is on its way any more.
    """

    def __init__(self, limit: Limit, measured: Callable[[], Sequence[Measured]]) -> None:
        self.limit = limit
        self.id: str = limit.name
        self._measured = measured

    def judge(self) -> Ruling:
        """Return whether the requests of this run prove that the limit holds."""
        return self.limit.judge(self._measured())

    def check(self) -> Ruling:
        """Return that the limit is proven to hold, or that it cannot be proven.

        Raises CheckFailed when they prove that it does not.
        """
        ruling = self.judge()
        if ruling.outcome == "broken":
            rule = f"limit.{self.id}"
            raise CheckFailed.of(failure(rule, f"limit {self.id}", ruling.text, title=""))
        return ruling


def configured(limits: Limits) -> tuple[Limit, ...]:
    """Return the limits that are set."""
    pairs: tuple[tuple[Literal["p95", "error_rate"], float | None], ...] = (
        ("p95", limits.p95),
        ("error_rate", limits.error_rate),
    )
    return tuple(Limit(name=name, value=value) for name, value in pairs if value is not None)


def requests_needed(share: float, bad: int = 0) -> int:
    """Return the fewest requests that prove `share` with 95 % confidence when `bad` of them are
    bad."""
    if share <= 0:
        raise ValueError("no number of requests proves a share of 0; set a limit above it")
    low, high = bad, bad + 1
    while _chance(bad, high, share) > 1 - CONFIDENCE:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if _chance(bad, middle, share) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _chance(bad: int, requests: int, share: float) -> float:
    """Probability of at most `bad` bad ones if the true share were just over the limit."""
    if share <= 0 or bad >= requests:
        return 1.0
    if share >= 1:
        return 0.0
    total = 0.0
    for k in range(bad + 1):
        choices = math.lgamma(requests + 1) - math.lgamma(k + 1) - math.lgamma(requests - k + 1)
        total += math.exp(choices + k * math.log(share) + (requests - k) * math.log1p(-share))
    return min(1.0, total)


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _p95(considered: Sequence[Measured]) -> float:
    """Milliseconds, nearest rank; an unanswered request counts with the time it was waited for."""
    times = sorted(one.elapsed_ms for one in considered)
    return times[math.ceil(0.95 * len(times)) - 1]
