"""The evidence of one test: what its reports say about the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_prodcheck.http.client import LiveClient
    from pytest_prodcheck.model import Exchange, Failure, FlagReading, Planned


class CheckEvidence:
    """The part that one kind of check adds; each overrides what it knows."""

    asks_the_target = False
    """True if the run asks the target for this check, be it in another process."""

    changes_daily = False
    """True if another day has other cases, so that a day without a failure proves nothing."""

    def exchanges(self) -> Sequence[Exchange]:
        """Return exchanges that no client of the test has recorded."""
        return ()

    def remarks(self) -> Sequence[Failure] | None:
        """Return what was found that does not fail the check; None where that cannot be."""
        return None

    def latencies_ms(self) -> Sequence[float]:
        """Return the latencies of responses that are not among the exchanges."""
        return ()

    def duration_s(self) -> float | None:
        """Return the seconds that the check took where another process did its work."""
        return None

    def flags(self) -> FlagReading | None:
        """Return feature flags and operating mode as they were read."""
        return None


class TestEvidence:
    """What one test has asked and seen so far; each of its reports takes what is new."""

    __test__ = False

    def __init__(self, *, requests: int, questions: int, violations: int) -> None:
        """Take what the process has counted before the test began."""
        self.clients: dict[LiveClient, int] = {}
        """Each client, and how many of its exchanges have been reported."""
        self.parts: list[CheckEvidence] = []
        self.measured: dict[str, float] = {}
        self.requests = requests
        self.questions = questions
        self.violations = violations

    def exchanges(self) -> list[Exchange]:
        """Return all exchanges of the test's clients."""
        return [exchange for client in self.clients for exchange in client.exchanges]

    def take_new(self) -> list[Exchange]:
        """Return the exchanges that are not reported yet."""
        new = []
        for client, reported in self.clients.items():
            new += client.exchanges[reported:]
            self.clients[client] = len(client.exchanges)
        return new


PLANNED: pytest.StashKey[Planned] = pytest.StashKey()
EVIDENCE: pytest.StashKey[TestEvidence] = pytest.StashKey()
