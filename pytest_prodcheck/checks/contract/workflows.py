"""Sequences of operations, each fed with the answers before it."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pytest_prodcheck.checks.contract.operation_check import (
    Accepted,
    ContractCheck,
    Exploration,
    Explorer,
)
from pytest_prodcheck.checks.contract.parameter_values import pick
from pytest_prodcheck.checks.openapi.operations import Operation
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.http.body import strict_json
from pytest_prodcheck.http.errors import GONE

if TYPE_CHECKING:
    from pytest_prodcheck.checks.contract.schemathesis_adapter import Case, Contract, Response
    from pytest_prodcheck.http.client import LiveClient

TRIES = 3
"""Things of a kind that are made until one could be followed through its whole life."""

TIMES_LONGER = 3
"""All sequences together may take so many times the time of one operation."""


class Life(NamedTuple):
    """Operations that make a thing, read it and delete it; *name* is their parameter for it."""

    create: Operation
    read: Operation
    delete: Operation
    name: str


def lives(operations: Mapping[tuple[str, str], Operation]) -> list[Life]:
    """Every `POST /things`, `GET /things/{id}`, `DELETE /things/{id}` of the document."""
    found = []
    for (method, path), create in operations.items():
        if method != "POST" or "{" in path:
            continue
        item = re.compile(re.escape(path.rstrip("/")) + r"/\{([^{}/]+)\}/?")
        for (other, item_path), read in operations.items():
            matched = item.fullmatch(item_path)
            delete = operations.get(("DELETE", item_path))
            if matched and delete and other == "GET":
                found.append(Life(create, read, delete, matched[1]))
    return found


def _identity(created: "Response", name: str) -> Any:
    """Which thing was made: told in the answer, or the last part of its Location."""
    if not 200 <= created.status_code < 300:
        return None
    try:
        body = strict_json(created.content)
    except ValueError:
        body = None
    told = pick(body, name) if isinstance(body, dict) else None
    if isinstance(told, str | int):
        return told
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
        found.run(lambda contract: self._walk(contract, found))

    def _walk(self, contract: "Contract", found: Exploration) -> None:
        from pytest_prodcheck.checks.contract.schemathesis_adapter import returned

        def send(case: "Case") -> "Response | None":
            return found.send(case, self._operation(case))

        def judge(case: "Case", response: "Response", recorder: Any) -> None:
            gone = response.status_code in GONE  # perhaps deleted by a step before
            known = {} if gone else returned(case, recorder)
            found.judge(case, response, self._operation(case), recorder, known=known)

        for life in lives(self._operations):
            for _ in range(TRIES):
                with found.undisturbed():
                    complete = self._live_through(life, contract, found)
                if complete:
                    break

        @contextlib.contextmanager
        def sequence() -> Iterator[None]:
            found.try_luck()
            with found.undisturbed():
                yield

        contract.workflows(self._operations.keys(), send, judge, sequence)

    def _live_through(self, life: "Life", contract: "Contract", found: Exploration) -> bool:
        """Create a thing, read it, delete it, read it again: not by chance, but for certain.

        False when the chain broke off; somebody else may have deleted the thing.
        """

        identity: dict[str, Any] = {}

        def ask(operation: Operation, *, judged: bool = True) -> "Response | None":
            case = contract.sample(operation)
            case.path_parameters = {**(case.path_parameters or {}), **identity}
            response = found.send(case, operation)
            if response is not None and judged:
                known = {"path_parameters": {name: [one] for name, one in identity.items()}}
                found.judge(case, response, operation, known=known)
            return response

        created = ask(life.create)
        told = None if created is None else _identity(created, life.name)
        if told is None:
            return False
        identity[life.name] = told
        read = ask(life.read)
        if read is None or read.status_code >= 400:
            return False
        deleted = ask(life.delete)
        if deleted is None or not 200 <= deleted.status_code < 300:
            return False
        response = ask(life.read, judged=False)
        if response is not None and 200 <= response.status_code < 300:
            found.note_last(
                "use_after_free",
                "Deleted resource still available",
                f"expected 404 or 410, got {response.status_code}\n"
                f"created by {life.create.id}, deleted by {life.delete.id}",
                life.read,
            )
        return response is not None

    def _operation(self, case: "Case") -> Operation:
        """A case of a method that the path does not have belongs to a neighbour."""
        own = self._operations.get((case.method.upper(), case.path))
        return own or next(one for (_, path), one in self._operations.items() if path == case.path)

    def __repr__(self) -> str:
        return f"<workflows of {len(self._operations)} operations>"
