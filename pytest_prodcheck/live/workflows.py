"""Sequences of operations, each fed with the answers before it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.live.contract import SHOWN, Exploration, Explorer, broken
from pytest_prodcheck.live.operations import Operation
from pytest_prodcheck.model import Exchange

if TYPE_CHECKING:
    from pytest_prodcheck.live.client import LiveClient
    from pytest_prodcheck.live.generation import Case, Contract, Response

TIMES_LONGER = 3
"""All sequences together may take so many times the time of one operation."""


class WorkflowRun:
    """All operations of the document together, as a test sees them: `check()`."""

    def __init__(
        self,
        operations: Sequence[Operation],
        explorer: Explorer,
        connect: Callable[[], "LiveClient"],
    ) -> None:
        self.evidence: tuple[Exchange, ...] = ()
        self.requests = 0
        self._operations = {(one.method, one.path): one for one in operations}
        self._explorer = explorer
        self._connect = connect

    def check(self) -> Exploration:
        """Return when every step was as the document says, one of them a success.

        Raises AssertionError with all distinct failures, and NotAsked when nothing is proven.
        """
        __tracebackhide__ = True
        seconds = TIMES_LONGER * self._explorer.limits.time_per_operation
        with self._connect() as client:
            found = Exploration(self._explorer, client, seconds)
            found.run(lambda contract: self._walk(contract, found))
        self.requests = found.cases
        self.evidence = tuple(finding.exchange for finding in found.findings.values())[:SHOWN]
        if found.findings:
            raise broken(found, self._explorer.seed)
        if found.withheld:
            raise found.withheld
        if not found.proven:
            why = "; ".join(found.troubles) or found.stopped or "no step was a success"
            raise NotAsked(f"not run: workflows are not proven: {why}")
        return found

    def _walk(self, contract: "Contract", found: Exploration) -> None:
        def send(case: "Case") -> "Response | None":
            return found.send(case, self._operation(case))

        def judge(case: "Case", response: "Response", recorder: Any) -> None:
            found.judge(case, response, self._operation(case), recorder)

        contract.workflows(self._operations.keys(), send, judge)

    def _operation(self, case: "Case") -> Operation:
        """A case of a method that the path does not have belongs to a neighbour."""
        own = self._operations.get((case.method.upper(), case.path))
        return own or next(one for (_, path), one in self._operations.items() if path == case.path)

    def __repr__(self) -> str:
        return f"<workflows of {len(self._operations)} operations>"
