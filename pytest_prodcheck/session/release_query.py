"""The question what is deployed, asked once or twice in a run."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pytest_prodcheck.checks.context import RunContext
from pytest_prodcheck.model import Release


class ReleaseQuery(threading.Thread):
    """The question what is deployed, asked while the tests run (`at_once`) or when they are over;
    its answer is taken once."""

    def __init__(
        self, ask: Callable[[], Release], ask_again: Callable[[], Release], *, at_once: bool
    ) -> None:
        super().__init__(name="prodcheck-release", daemon=True)
        self.at_once = at_once
        self.ask_again = ask_again
        self._ask = ask
        self._answer: Release | None = None

    @classmethod
    def of(cls, context: RunContext) -> ReleaseQuery:
        """Return the question of a run.

        Asked where the configuration says, at once; else by what the responses of the run say until
        its end, and if none was about the service, of its health.
        """
        target = context.target
        told_by_answers = False

        def ask() -> Release:
            from pytest_prodcheck.service.release import place_of_release

            nonlocal told_by_answers
            seen = context.release_seen
            told_by_answers = bool(seen and seen.has_response)
            if seen and (seen.has_response or not place_of_release(target)):
                return seen.release()
            return ask_anew()

        def ask_again() -> Release:
            return ask_anew() if target.release or told_by_answers else Release()

        def ask_anew() -> Release:
            from pytest_prodcheck.service.release import place_of_release, read

            if not (place := target.release or place_of_release(target)):
                return Release()
            with context.connect() as client:
                return read(client, place)

        return cls(ask, ask_again, at_once=target.release is not None)

    def run(self) -> None:
        self._answer = self._ask()

    def take(self) -> Release | None:
        """Wait for the answer and return it, once; the request has a deadline of its own."""
        if self.ident:
            self.join()
        answer, self._answer = self._answer, None
        return answer
