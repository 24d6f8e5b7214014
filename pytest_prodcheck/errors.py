"""The exceptions that prodcheck raises on purpose.

    ProdcheckError
    ├── UsageError       the configuration or the command line is wrong: exit 4, nothing was sent
    ├── Violation        something tried to send what the target's policy forbids
    └── NotAsked         a request was not sent, so its response is unknown
        ├── TargetDown       the circuit breaker is open: the target stopped responding
        └── BudgetExhausted  the run has used its request budget

    AssertionError
    └── CheckFailed      a check found something wrong, as records

Each message has the facts first and the remedy second.
"""

from collections.abc import Iterable
from typing import Self

from pytest_prodcheck.model import Failure


class ProdcheckError(Exception):
    """Root of the tree."""


class UsageError(ProdcheckError):
    """The configuration or the command line is wrong; nothing has been sent."""


class Violation(ProdcheckError):
    """A request, or a connection, that the target's policy forbids; it was not sent."""


class NotAsked(ProdcheckError):
    """A request was withheld, so its response is unknown."""


class TargetDown(NotAsked):
    """The target failed so often in a row that more requests would only harm it."""


class BudgetExhausted(NotAsked):
    """The run has used up `request_budget`."""


class CheckFailed(AssertionError):
    """A check found something wrong; `failures` has each failure once."""

    def __init__(self, message: str, failures: Iterable[Failure]) -> None:
        super().__init__(message)
        self.failures = tuple(dict.fromkeys(failures))

    @classmethod
    def of(cls, failure: Failure) -> Self:
        """Return the exception for one failure, in its own words."""
        return cls(failure.message, [failure])
