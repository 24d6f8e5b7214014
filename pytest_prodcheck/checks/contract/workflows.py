"""Sequences of operations, each with values from the responses before it."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pytest_prodcheck.checks.contract.exploration import Accepted, Exploration, Explorer
from pytest_prodcheck.checks.contract.operation_check import ContractCheck
from pytest_prodcheck.checks.contract.parameter_values import pick
from pytest_prodcheck.checks.openapi.operations import Operation
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.http.body import strict_json
from pytest_prodcheck.http.errors import GONE

if TYPE_CHECKING:
    from pytest_prodcheck.checks.contract.cases import Case, Response
    from pytest_prodcheck.checks.contract.schemathesis_adapter import SchemathesisAdapter
    from pytest_prodcheck.http.client import LiveClient

TRIES = 3
"""Items of a kind that are created until one could be read, deleted and read again."""

TIMES_LONGER = 3
"""All sequences together may take so many times the time of one operation."""


class CrudCycle(NamedTuple):
    """Operations that create an item, read it and delete it; *name* is their parameter for it."""

    create: Operation
    read: Operation
    delete: Operation
    name: str


def crud_cycles(operations: Mapping[tuple[str, str], Operation]) -> list[CrudCycle]:
    """Return every `POST /things`, `GET /things/{id}`, `DELETE /things/{id}` of the document."""
    found = []
    for (method, path), create in operations.items():
        if method != "POST" or "{" in path:
            continue
        item = re.compile(re.escape(path.rstrip("/")) + r"/\{([^{}/]+)\}/?")
        for (other, item_path), read in operations.items():
            matched = item.fullmatch(item_path)
            delete = operations.get(("DELETE", item_path))
            if matched and delete and other == "GET":
                found.append(CrudCycle(create, read, delete, matched[1]))
    return found


def _identity(created: "Response", name: str) -> Any:
    """Return the id of what was created: from the body, or the last part of its Location."""
    if not 200 <= created.status_code < 300:
        return None
    try:
        body = strict_json(created.content)
    except ValueError:
        body = None
    identity = pick(body, name) if isinstance(body, dict) else None
    if isinstance(identity, str | int):
        return identity
    location = "".join(created.headers.get("location", ())[:1])
    return urlsplit(location).path.rstrip("/").rpartition("/")[2] or None


class WorkflowCheck(ContractCheck):
    """All operations of the document together, as a test sees them: `check()`."""

    def __init__(
        self,
        operations: Sequence[Operation],
        explorer: Explorer,
        connect: Callable[[], "LiveClient"],
        accepted: Accepted,
    ) -> None:
        super().__init__(explorer, connect, accepted)
        self._operations = {(one.method, one.path): one for one in operations}

    def check(self) -> Exploration:
        """Return when every step was as the document says, one of them a success.

        Raises CheckFailed with all distinct failures, and NotAsked when nothing is proven.
        """
        seconds = TIMES_LONGER * self._explorer.limits.time_per_operation
        found = self._explored(seconds, self._explore)
        if found.withheld:
            raise found.withheld
        if not found.proven:
            why = "; ".join(found.troubles) or found.stopped or "no step was a success"
            raise NotAsked(f"not run: workflows are not proven: {why}")
        return found

    def _explore(self, found: Exploration) -> None:
        found.run(lambda adapter: self._send_all(adapter, found))

    def _send_all(self, adapter: "SchemathesisAdapter", found: Exploration) -> None:
        from pytest_prodcheck.checks.contract.cases import values_from_sequence

        def send(case: "Case") -> "Response | None":
            return found.send(case, self._operation(case))

        def judge(case: "Case", response: "Response", recorder: Any) -> None:
            gone = response.status_code in GONE  # perhaps deleted by a step before
            known = {} if gone else values_from_sequence(case, recorder)
            found.judge(case, response, self._operation(case), recorder, known=known)

        for cycle in crud_cycles(self._operations):
            for _ in range(TRIES):
                with found.undisturbed():
                    complete = self._run_crud_cycle(cycle, adapter, found)
                if complete:
                    break

        @contextlib.contextmanager
        def sequence() -> Iterator[None]:
            found.stop_if_saturated()
            with found.undisturbed():
                yield

        adapter.sequences(self._operations.keys(), send, judge, sequence)

    def _run_crud_cycle(
        self, cycle: CrudCycle, adapter: "SchemathesisAdapter", found: Exploration
    ) -> bool:
        """Create an item, read it, delete it, read it again: random sequences may miss that.

        Returns False when it broke off; somebody else may have deleted the item.
        """

        identity: dict[str, Any] = {}

        def send(operation: Operation, *, judged: bool = True) -> "Response | None":
            case = adapter.sample(operation)
            case.path_parameters = {**(case.path_parameters or {}), **identity}
            response = found.send(case, operation)
            if response is not None and judged:
                known = {"path_parameters": {name: [one] for name, one in identity.items()}}
                found.judge(case, response, operation, known=known)
            return response

        created = send(cycle.create)
        created_id = None if created is None else _identity(created, cycle.name)
        if created_id is None:
            return False
        identity[cycle.name] = created_id
        read = send(cycle.read)
        if read is None or read.status_code >= 400:
            return False
        deleted = send(cycle.delete)
        if deleted is None or not 200 <= deleted.status_code < 300:
            return False
        response = send(cycle.read, judged=False)
        if response is not None and 200 <= response.status_code < 300:
            found.note_last(
                "use_after_free",
                "Deleted resource still available",
                f"expected 404 or 410, got {response.status_code}\n"
                f"created by {cycle.create.id}, deleted by {cycle.delete.id}",
                cycle.read,
            )
        return response is not None

    def _operation(self, case: "Case") -> Operation:
        """Return the operation of a case; of a method that the path lacks, one of the same path."""
        own = self._operations.get((case.method.upper(), case.path))
        return own or next(one for (_, path), one in self._operations.items() if path == case.path)

    def __repr__(self) -> str:
        return f"<workflows of {len(self._operations)} operations>"
