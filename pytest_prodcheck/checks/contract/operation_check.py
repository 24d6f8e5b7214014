"""The contract as a test sees it: one operation, and its `check()`."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pytest_prodcheck.checks.contract.exploration import Accepted, Exploration, Explorer
from pytest_prodcheck.checks.contract.violations import SHOWN, check_failed, remarks
from pytest_prodcheck.checks.openapi.operations import Operation
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.http.errors import GONE
from pytest_prodcheck.model import Exchange, Failure

if TYPE_CHECKING:
    from pytest_prodcheck.http.client import LiveClient


class ContractCheck:
    """The base of the checks of operations and sequences; reports show `evidence`."""

    def __init__(
        self, explorer: Explorer, connect: Callable[[], "LiveClient"], accepted: Accepted
    ) -> None:
        self.evidence: tuple[Exchange, ...] = ()
        self.remarks: tuple[Failure, ...] = ()
        """Findings that do not fail the check."""
        self._explorer = explorer
        self._connect = connect
        self._accepted = accepted

    def _explored(self, seconds: float, work: Callable[[Exploration], None]) -> Exploration:
        """Let *work* explore. Raises CheckFailed with all distinct failures that it found,
        unless they are minor."""
        with self._connect() as client:
            found = Exploration(self._explorer, client, seconds, self._accepted)
            work(found)
        self.evidence = tuple(one.exchange for one in found.violations.all)[:SHOWN]
        if found.violations.severe:
            raise check_failed(
                found.violations.all,
                found.cases,
                found.stopped,
                self._explorer.seed,
                only_crashes=found.only_crashes,
            )
        return found


class OperationCheck(ContractCheck):
    """One operation as a test sees it: its id, method, path and tags, and `check()`."""

    def __init__(
        self,
        operation: Operation,
        explorer: Explorer,
        connect: Callable[[], "LiveClient"],
        accepted: Accepted,
    ) -> None:
        super().__init__(explorer, connect, accepted)
        self.operation = operation

    @property
    def id(self) -> str:
        return self.operation.id

    @property
    def method(self) -> str:
        return self.operation.method

    @property
    def path(self) -> str:
        """As the document has it: `/journal/{id}`."""
        return self.operation.path

    @property
    def tags(self) -> tuple[str, ...]:
        return self.operation.tags

    def check(self) -> Exploration:
        """Return when every response was as the document says, one of them a success.

        Raises CheckFailed with all distinct failures, and NotAsked when nothing is proven.
        """
        operation = self.operation
        if operation.obstacle:
            raise NotAsked(f"not run: {operation.id} cannot be tested: {operation.obstacle}")
        seconds = self._explorer.limits.time_per_operation
        found = self._explored(seconds, lambda found: found.explore(operation))
        self.remarks = remarks(found.violations.all)
        if unproven := _why_unproven(operation, found):
            raise NotAsked(f"not run: {unproven}")
        return found

    def __repr__(self) -> str:
        return f"<operation {self.id}>"


def _why_unproven(operation: Operation, found: Exploration) -> str:
    """Return why this operation is not proven to be as the document says; "" if it is."""
    if found.withheld:
        return str(found.withheld).removeprefix("not run: ")
    if found.troubles:
        return f"{operation.id} cannot be tested in full: {'; '.join(found.troubles)}"
    if not found.cases or found.unsendable == found.cases:
        why = found.stopped or "no case could be made of its definition"
        if found.acting:
            why = f"its cases may change something ({found.acting}), and the target is read-only"
        return f"{operation.id} was not asked: {why}"
    if found.proven:
        return ""
    statuses = ", ".join(f"{status} ({n})" for status, n in found.statuses.most_common(5))
    return (
        f"{operation.id} is not proven: it never answered with a success in {found.cases} cases, "
        f"but {statuses}. {_way_out(operation, found.statuses)}"
    )


def _way_out(operation: Operation, statuses: Mapping[int, int]) -> str:
    most = max(statuses, key=lambda status: statuses[status], default=0)
    names = re.findall(r"\{([^{}]+)\}", operation.path)
    if most in (401, 403):
        return "Give credentials that may ask it: `headers` of the target."
    if most == 429:
        return "Lower `rate` of the target."
    if most in GONE and names:
        values = ", ".join(f"{name} = [...]" for name in names)
        return f"Give values that exist: {values} in [contract.parameters]."
    if most in (400, 404, 409, 422):
        return (
            "Give it data that it takes: an example in the document, or real values in "
            "[contract.parameters]; or leave it out: `exclude` in [contract]."
        )
    return "See what it answers, or leave it out: `exclude` in [contract]."
