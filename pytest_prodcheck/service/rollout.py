"""Wait for a release, until enough answers prove that a share of the traffic comes from it.

Behind a load balancer one answer speaks for one replica. With K equal answers in a row, each over
a connection of its own, the share of the traffic that still goes elsewhere is at most
1 - 0.05 ** (1 / K) with 95 % confidence (exact binomial, no failure in K draws): 78 % for two
answers, 10 % for 29.
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
"""How sure the share is, over the whole wait, however often it begins anew."""

LATER = 1e-4
"""Probability that one of all attempts after the first succeeds by luck, within the 5 %."""

RECENT = 30
"""Answers that tell a rollout under way from one that has ended or was undone."""

State = Literal["live", "unproven", "flapping", "old", "silent", "unreachable"]


class Pace(Record):
    """Seconds between two questions."""

    first: float = 1.0
    growth: float = 1.5
    """Each question that changes nothing makes the pause so many times longer …"""
    longest: float = 10.0
    """… up to this."""
    jitter: float = 0.2
    """The pause is longer or shorter by a random share of at most this: several waits, or a
    replica with a rhythm of its own, are not to fall into step."""
    proving: float = 0.05
    """While the wanted release answers; the target's `rate` holds besides."""


PACE = Pace()


class Answer(Record):
    """What came of one question."""

    release: Release = Release()
    error: str = ""
    """Why there was no answer, or no successful one, in a few words: `status 502`."""
    detail: str = ""
    """The same in full."""

    def __str__(self) -> str:
        if self.error:
            return self.error
        return named(self.release) or "an answer without version and commit"


def ask(client: "LiveClient", source: ReleaseSource | str) -> Answer:
    """One question, with the release that was read from its answer."""
    release = read(client, source, well=True)
    asked = client.exchanges[-1] if client.exchanges else Exchange(method="GET", url="")
    if asked.status is None:
        kind = asked.kind or "withheld"
        return Answer(error=f"no answer ({kind})", detail=asked.error or "")
    if not 200 <= asked.status < 300:
        return Answer(error=f"status {asked.status}")
    return Answer(release=release)


class Outcome(Record):
    """What is known when the wait ends."""

    state: State
    last: Answer
    """The last answer."""
    share: float
    """The share of answers that was to be proven, 0 to 1."""
    equal: int
    """Answers of the wanted release in a row, up to the end."""
    needed: int
    """So many of them prove the share."""
    asked: int
    seconds: float
    others: dict[str, int]
    """Other releases and errors that were seen, with the number of answers of each."""

    @property
    def live(self) -> bool:
        return self.state == "live"


def answers_needed(share: float, chance: float = 1 - CONFIDENCE) -> int:
    """The answers in a row that come about with at most this *chance* where only *share* of the
    traffic is on the release (0 < share < 1)."""
    return math.ceil(math.log(chance) / math.log(share))


class Proof:
    """Counts equal answers until they prove the share.

    An answer of any other kind ends the attempt. Attempts without end would succeed by luck: with
    one stale replica of ten, 29 equal answers come about every 200 answers. So the first attempt
    may succeed by luck with `share ** needed`, and all later ones together with LATER: attempt j
    with 1 / (j (j - 1)) of it, which adds up to 1. The answer that begins an attempt is given,
    not drawn, and is not counted.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.needed = self._first = answers_needed(share, 1 - CONFIDENCE - LATER)
        self.equal = 0
        self._attempts = 1
        self._begun = False

    def add(self, *, wanted: bool) -> bool:
        """Count one answer; True when the share is proven."""
        if wanted:
            self.equal += self._begun
            self._begun = True
        elif self._begun:
            self.equal, self._begun = 0, False
            self._attempts += 1
            chance = LATER / (self._attempts * (self._attempts - 1))
            self.needed = max(self._first, answers_needed(self.share, chance))
        return self.equal >= self.needed


def wait(
    ask: Callable[[], Answer],
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
    """Ask until *share* of the answers is proven to come from *wanted*, or *seconds* are over.

    `ask` uses a new connection each time. `say` receives the progress as one line.
    """
    pace = pace or PACE
    proof, recent = Proof(share), deque[bool](maxlen=RECENT)
    others: Counter[str] = Counter()
    began, asked, pause = clock(), 0, pace.first
    before = None
    while True:
        answer = ask()
        asked += 1
        equal = not answer.error and is_that(answer.release, wanted)
        proven = proof.add(wanted=equal)
        recent.append(equal)
        if not equal:
            others[str(answer)] += 1
        passed = clock() - began
        state = "live" if proven else _state(answer, recent)
        say(_progress(state, answer, wanted, proof, passed))
        if equal:
            step, pause = pace.proving, pace.first
        else:
            pause = pace.first if answer != before else min(pause * pace.growth, pace.longest)
            step = pause
        before = answer
        step *= 1 + uniform(-pace.jitter, pace.jitter)
        if proven or passed + step > seconds:
            return Outcome(
                state=state,
                last=answer,
                share=share,
                equal=proof.equal,
                needed=proof.needed,
                asked=asked,
                seconds=round(passed, 3),
                others=dict(others.most_common()),
            )
        sleep(step)


def _state(answer: Answer, recent: deque[bool]) -> State:
    if any(recent):
        return "unproven" if all(recent) or _only_at_the_end(recent) else "flapping"
    if answer.error:
        return "unreachable"
    return "old" if named(answer.release) else "silent"


def _only_at_the_end(recent: deque[bool]) -> bool:
    """Whether the wanted release has answered throughout since it was first seen."""
    return all(list(recent)[list(recent).index(True) :])


def _progress(state: State, answer: Answer, wanted: Release, proof: Proof, passed: float) -> str:
    told = {
        "live": f"{named(wanted)} is live",
        "unproven": f"{named(wanted)} answers: {proof.equal} of {proof.needed} in a row",
        "flapping": f"not everywhere yet: {answer}, {proof.equal} of {proof.needed} in a row",
        "old": f"still {answer}",
        "silent": f"{answer}",
        "unreachable": f"no usable answer: {answer}",
    }
    return f"{passed:4.0f} s  {told[state]}"


def named(release: Release) -> str:
    """`version 1.4.2, commit 3e68e18`; "" when neither is known."""
    parts = [("version", release.version), ("commit", release.commit)]
    return ", ".join(f"{name} {value}" for name, value in parts if value)


def sentence(outcome: Outcome, wanted: Release) -> str:
    """What is proven, or why it is not and what to do."""
    percent = f"{outcome.share * 100:g} %"
    seen = [f"{name} ({count})" for name, count in list(outcome.others.items())[:5]]
    others = f"; also seen: {', '.join(seen)}" if seen else ""
    if outcome.live:
        return (
            f"live: at least {percent} of answers come from {named(wanted)} "
            f"({CONFIDENCE * 100:g} % confidence, {outcome.equal} answers in a row{others})"
        )
    what = {
        "unproven": (
            f"{named(wanted)} answers, but {outcome.equal} of {outcome.needed} answers in a row "
            f"do not prove {percent} yet{others}. Give it more time: --timeout."
        ),
        "flapping": (
            f"several releases answer: {named(wanted)}{others.replace('also seen: ', '')}. "
            "The rollout has not reached every replica; look for an instance that was not replaced."
        ),
        "old": (
            f"still the old release: {outcome.last}{others}. A health check that fails keeps the "
            "old deployment in place; look at the platform's deploy log."
        ),
        "silent": (
            f"the target answers, but tells neither version nor commit{others}. Look at what it "
            "answers, and at `release` of the target."
        ),
        "unreachable": (
            f"the target cannot be asked: {outcome.last.detail or outcome.last}{others}. See "
            "whether it runs, and whether base_url and the path of `release` are right."
        ),
    }
    return f"not live after {outcome.seconds:.0f} s: {what[outcome.state]}"


def record(outcome: Outcome, wanted: Release) -> dict[str, Any]:
    """The outcome as plain data, for `--json`."""
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
        "asked": outcome.asked,
        "others": outcome.others,
        "seconds": outcome.seconds,
    }
