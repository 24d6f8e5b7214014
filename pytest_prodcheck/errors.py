"""Everything prodcheck raises on purpose.

    ProdcheckError
    ├── UsageError       the configuration or the command line is wrong: exit 4, nothing was sent
    ├── Violation        something tried to send what the target's policy forbids
    └── NotAsked         a request was not sent, so its answer is unknown
        ├── TargetDown       the circuit breaker is open: the target stopped answering
        └── BudgetExhausted  the run has used its request budget

    AssertionError
    └── ContractBroken   the service, or its document, is not what it promised

Each message tells the facts first and the way out second.
"""

from collections.abc import Iterable

from pytest_prodcheck.model import Failure, Reason


class ProdcheckError(Exception):
    """Root of the tree."""


class UsageError(ProdcheckError):
    """The configuration or the command line is wrong; nothing has been sent."""


class Violation(ProdcheckError):
    """A request, or a connection, that the target's policy forbids; it did not leave."""


class NotAsked(ProdcheckError):
    """A request was withheld, so nothing is known about its answer."""


class TargetDown(NotAsked):
    """The target failed so often in a row that asking on would only harm it."""


class BudgetExhausted(NotAsked):
    """The run has used up `request_budget`."""


class ContractBroken(AssertionError):
    """What was promised does not hold; `failures` say what was found, each once.

    A title alone stands for a Failure with *reason*.
    """

    def __init__(
        self, message: str, failures: Iterable[Failure | str], reason: Reason = "assertion"
    ) -> None:
        super().__init__(message)
        self.failures = tuple(
            dict.fromkeys(
                Failure(title=one, reason=reason) if isinstance(one, str) else one
                for one in failures
            )
        )
