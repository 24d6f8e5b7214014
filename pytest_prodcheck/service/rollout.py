"""The wait for a release, until enough responses prove that a share of the traffic comes from it.

Behind a load balancer one response proves something about one replica only. With K equal
responses in a row, each over a connection of its own, the share of the traffic that still goes
elsewhere is at most 1 - 0.05 ** (1 / K) with 95 % confidence (exact binomial, no failure in K
draws): 78 % for two responses, 10 % for 29.
"""

import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pytest_prodcheck.config import ReleaseSource
from pytest_prodcheck.model import Exchange, Record, Release
from pytest_prodcheck.service.release import is_that, read

if TYPE_CHECKING:
    from pytest_prodcheck.http.client import LiveClient

CONFIDENCE = 0.95
"""Confidence in the share, over the whole wait, however often the count starts again."""

LATER = 1e-4
"""Probability that any attempt after the first succeeds at random; part of the 5 %."""

RECENT = 30
"""Responses that distinguish a rollout under way from one that has ended or was undone."""

State = Literal["live", "unproven", "flapping", "old", "silent", "unreachable"]


class Pace(Record):
    """Seconds between two requests."""

    first: float = 1.0
    growth: float = 1.5
    """Factor by which each response without a change makes the pause longer …"""
    longest: float = 10.0
    """… up to this."""
    jitter: float = 0.2
    """Largest random share by which a pause is longer or shorter, so that several waits, or a
    replica with a rhythm of its own, do not synchronize."""
    proving: float = 0.05
    """Pause while the wanted release responds; the target's `rate` applies too."""


PACE = Pace()


class Observation(Record):
    """The result of one request for the release."""

    release: Release = Release()
    error: str = ""
    """The reason for no response, or no successful one, in a few words: `status 502`."""
    detail: str = ""
    """The full reason."""

    def __str__(self) -> str:
        if self.error:
            return self.error
        return named(self.release) or "a response without version and commit"


def observe(client: "LiveClient", source: ReleaseSource | str) -> Observation:
    """Send one request, and return the release in its response or the error."""
    release = read(client, source, only_success=True)
    sent = client.exchanges[-1] if client.exchanges else Exchange(method="GET", url="")
    if sent.status is None:
        kind = sent.kind or "withheld"
        return Observation(error=f"no answer ({kind})", detail=sent.error or "")
    if not 200 <= sent.status < 300:
        return Observation(error=f"status {sent.status}")
    return Observation(release=release)


class Outcome(Record):
    """The state at the end of the wait."""

    state: State
    last: Observation
    """The last observation."""
    share: float
    """The share of responses that was to be proven, 0 to 1."""
    equal: int
    """Responses of the wanted release in a row, up to the end."""
    needed: int
    """Number of responses in a row that prove the share."""
    requests: int
    seconds: float
    others: dict[str, int]
    """Other releases and errors that were seen, with the number of responses of each."""

    @property
    def live(self) -> bool:
        return self.state == "live"


def responses_needed(share: float, probability: float = 1 - CONFIDENCE) -> int:
    """Return the number of responses in a row that prove the *share* (0 < share < 1).

    If only *share* of the traffic is on the release, so many come in a row with at most this
    *probability*.
    """
    return math.ceil(math.log(probability) / math.log(share))


class Proof:
    """A count of equal responses that prove the share.

    Any other response ends the attempt. With an unlimited number of attempts, one would succeed at
    random: with one stale replica of ten, 29 equal responses occur every 200 responses or so. So
    the first attempt may succeed at random with `share ** needed`, and all later ones together
    with LATER: attempt j with 1 / (j (j - 1)) of it, which adds up to 1. The response that begins
    an attempt is not a random draw, and is not counted.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.needed = self._first = responses_needed(share, 1 - CONFIDENCE - LATER)
        self.equal = 0
        self._attempts = 1
        self._begun = False

    def add(self, *, wanted: bool) -> bool:
        """Count one response; return True when the share is proven."""
        if wanted:
            self.equal += self._begun
            self._begun = True
        elif self._begun:
            self.equal, self._begun = 0, False
            self._attempts += 1
            probability = LATER / (self._attempts * (self._attempts - 1))
            self.needed = max(self._first, responses_needed(self.share, probability))
        return self.equal >= self.needed


def wait(
    observe: Callable[[], Observation],
    wanted: Release,
    share: float,
    *,
    seconds: float,
    pace: Pace | None = None,
    say: Callable[[str], object] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Outcome:
    """Observe until *share* of the traffic is proven to come from *wanted*, or *seconds* are over.

    `observe` uses a new connection each time. `say` receives the progress as one line.
    """
    pace = pace or PACE
    proof, recent = Proof(share), deque[bool](maxlen=RECENT)
    others: Counter[str] = Counter()
    began, requests, pause = clock(), 0, pace.first
    before = None
    while True:
        observation = observe()
        requests += 1
        equal = not observation.error and is_that(observation.release, wanted)
        proven = proof.add(wanted=equal)
        recent.append(equal)
        if not equal:
            others[str(observation)] += 1
        passed = clock() - began
        state = "live" if proven else _state(observation, recent)
        say(_progress(state, observation, wanted, proof, passed))
        if equal:
            step, pause = pace.proving, pace.first
        else:
            changed = observation != before
            pause = pace.first if changed else min(pause * pace.growth, pace.longest)
            step = pause
        before = observation
        step *= 1 + uniform(-pace.jitter, pace.jitter)
        if proven or passed + step > seconds:
            return Outcome(
                state=state,
                last=observation,
                share=share,
                equal=proof.equal,
                needed=proof.needed,
                requests=requests,
                seconds=round(passed, 3),
                others=dict(others.most_common()),
            )
        sleep(step)


def _state(observation: Observation, recent: deque[bool]) -> State:
    if any(recent):
        return "unproven" if all(recent) or _only_at_the_end(recent) else "flapping"
    if observation.error:
        return "unreachable"
    return "old" if named(observation.release) else "silent"


def _only_at_the_end(recent: deque[bool]) -> bool:
    """Return True if only the wanted release has responded since it was first seen."""
    return all(list(recent)[list(recent).index(True) :])


def _progress(
    state: State, observation: Observation, wanted: Release, proof: Proof, passed: float
) -> str:
    in_a_row = f"{proof.equal} of {proof.needed} in a row"
    texts = {
        "live": f"{named(wanted)} is live",
        "unproven": f"{named(wanted)} responds: {in_a_row}",
        "flapping": f"not everywhere yet: {observation}, {in_a_row}",
        "old": f"still {observation}",
        "silent": f"{observation}",
        "unreachable": f"no usable response: {observation}",
    }
    return f"{passed:4.0f} s  {texts[state]}"


def named(release: Release) -> str:
    """Return `version 1.4.2, commit 3e68e18`; "" if neither is known."""
    parts = [("version", release.version), ("commit", release.commit)]
    return ", ".join(f"{name} {value}" for name, value in parts if value)


def sentence(outcome: Outcome, wanted: Release) -> str:
    """Return a sentence on the proven share, or on the reason why it is not and the remedy."""
    percent = f"{outcome.share * 100:g} %"
    seen = [f"{name} ({count})" for name, count in list(outcome.others.items())[:5]]
    others = f"; also seen: {', '.join(seen)}" if seen else ""
    if outcome.live:
        return (
            f"live: at least {percent} of responses come from {named(wanted)} "
            f"({CONFIDENCE * 100:g} % confidence, {outcome.equal} responses in a row{others})"
        )
    reasons = {
        "unproven": (
            f"{named(wanted)} responds, but {outcome.equal} of {outcome.needed} responses in a row "
            f"do not prove {percent} yet{others}. Give it more time with --timeout."
        ),
        "flapping": (
            f"several releases respond: {named(wanted)}{others.replace('also seen: ', '')}. "
            "The rollout has not reached every replica; look for an instance that was not replaced."
        ),
        "old": (
            f"still the old release: {outcome.last}{others}. A failing health check keeps the old "
            "deployment in place; look at the platform's deploy log."
        ),
        "silent": (
            f"the target responds, but with neither version nor commit{others}. Look at its "
            "response, and at `release` of the target."
        ),
        "unreachable": (
            f"the target does not respond: {outcome.last.detail or outcome.last}{others}. Check "
            "that it runs, and that base_url and the path of `release` are right."
        ),
    }
    return f"not live after {outcome.seconds:.0f} s: {reasons[outcome.state]}"


def record(outcome: Outcome, wanted: Release) -> dict[str, Any]:
    """Return the outcome as plain data, for `--json`."""
    release = outcome.last.release
    return {
        "live": outcome.live,
        "state": outcome.state,
        "reason": sentence(outcome, wanted),
        "version": release.version,
        "commit": release.commit,
        "share": outcome.share,
        "confidence": CONFIDENCE,
        "answers": outcome.equal,
        "needed": outcome.needed,
        "asked": outcome.requests,
        "others": outcome.others,
        "seconds": outcome.seconds,
    }
