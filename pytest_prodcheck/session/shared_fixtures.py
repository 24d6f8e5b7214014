"""Requests of fixtures with a wider scope than one test: a login, an answer for several tests.

Such requests are not a test's own, whichever test happens to come first. But a test that is given
the answer as a fixture's value judges an answer of this run, so it is not empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prodcheck.checks.context import RunContext
from pytest_prodcheck.model import Exchange

if TYPE_CHECKING:
    from pytest_prodcheck.checks.evidence import TestEvidence


class SharedFixtures:
    """The wider fixtures of one process, and the clients that they hold."""

    def __init__(self, context: RunContext) -> None:
        self._guard = context.guard
        self._asked: set[Any] = set()
        """Definitions of fixtures that sent a request while they were set up."""
        self._clients = context.shared_clients
        self.under_way: TestEvidence | None = None
        """Of the test that is under way."""

    def take_new(self) -> list[Exchange]:
        """Return what the shared clients have exchanged since the last call, and forget it."""
        new = []
        for client in self._clients:
            new += client.exchanges
            client.exchanges.clear()
        return new

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Keep apart what a wider fixture sends from what the test sends itself."""
        if fixturedef.scope == "function" or self.under_way is None:
            return (yield)
        before = self._guard.requests
        own = before - self.under_way.requests
        try:
            return (yield)
        finally:
            if self._guard.requests > before:
                self._asked.add(fixturedef)
            # Also right for a fixture that another one has asked for meanwhile.
            self.under_way.requests = self._guard.requests - own

    def gave_answer(self, item: pytest.Item) -> bool:
        """Return True if an argument of the test has a value that a wider fixture fetched."""
        return any(
            _is_answer(definition) and not self._asked.isdisjoint(_closure(definition, item))
            for definition in map(_definitions(item).get, _arguments(item))
            if definition
        )

    def asked_for(self, item: pytest.Item) -> list[str]:
        """Return the names of the fixtures of *item* that have sent requests for several tests."""
        return [name for name, one in _definitions(item).items() if one in self._asked]


def _is_answer(definition: Any) -> bool:
    """Return True for a value that is evidence: a client is only a means, and None says nothing."""
    value, _, _ = definition.cached_result or (None, None, None)
    return value is not None and not callable(getattr(type(value), "request", None))


def _closure(definition: Any, item: pytest.Item) -> set[Any]:
    """*definition* and those it rests on."""
    found: set[Any] = set()
    waiting = [definition]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += filter(None, map(_definitions(item).get, one.argnames))
    return found


# pytest has no public way to ask; without these attributes a test has no fixtures.


def _definitions(item: pytest.Item) -> dict[str, Any]:
    """Return the fixtures that the test has used, by name."""
    return getattr(getattr(item, "_request", None), "_fixture_defs", {})


def _arguments(item: pytest.Item) -> tuple[str, ...]:
    return tuple(getattr(getattr(item, "_fixtureinfo", None), "argnames", ()))
