"""Everything prodcheck raises on purpose.

    ProdcheckError
    ├── UsageError       the configuration or the command line is wrong: exit 4, nothing was sent
    ├── Violation        something tried to send what the target's policy forbids
    └── NotAsked         a request was not sent, so its answer is unknown
        ├── TargetDown       the circuit breaker is open: the target stopped answering
        └── BudgetExhausted  the run has used its request budget

Each message tells the facts first and the way out second.
"""


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
