"""What one test did so far: where its reports find what to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_prodcheck.guard.network import Guard
from pytest_prodcheck.model import Exchange, Planned

if TYPE_CHECKING:
    from pytest_prodcheck.checks.contract.operation_check import ContractRun
    from pytest_prodcheck.checks.modes.flags import FlagsRun
    from pytest_prodcheck.checks.probes.prober import ProbeRun
    from pytest_prodcheck.http.client import LiveClient


class Seen:
    """Each report of a test takes what is new."""

    def __init__(self, guard: Guard, statements: int) -> None:
        self.clients: dict[LiveClient, int] = {}
        """And how many exchanges of each have been reported."""
        self.probe: ProbeRun | None = None
        self.explored: ContractRun | None = None
        self.database = False
        """Whether a check of the database asks it, or the run did so for it."""
        self.measured: dict[str, float] = {}
        self.flags: FlagsRun | None = None
        self.requests = guard.requests
        self.statements = statements
        self.violations = len(guard.violations)

    def exchanges(self) -> list[Exchange]:
        return [exchange for client in self.clients for exchange in client.exchanges]

    def take(self) -> list[Exchange]:
        """Return the exchanges that are not reported yet."""
        new = []
        for client, reported in self.clients.items():
            new += client.exchanges[reported:]
            self.clients[client] = len(client.exchanges)
        return new


PLANNED: pytest.StashKey[Planned] = pytest.StashKey()
SEEN: pytest.StashKey[Seen] = pytest.StashKey()
