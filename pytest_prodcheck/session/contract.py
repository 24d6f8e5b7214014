"""What the contract checks of one process work on: the document, its operations, older ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_prodcheck.counting import counted
from pytest_prodcheck.model import Document
from pytest_prodcheck.session import parameters
from pytest_prodcheck.session.evidence import PLANNED, SEEN

if TYPE_CHECKING:
    from pytest_prodcheck.checks.compatibility.baseline import CompatibilityRun, PreviousRun
    from pytest_prodcheck.checks.contract.operation_check import Accepted, Explorer, OperationRun
    from pytest_prodcheck.checks.contract.workflows import WorkflowRun
    from pytest_prodcheck.checks.openapi.operations import Operation
    from pytest_prodcheck.config import Target
    from pytest_prodcheck.http.client import LiveClient
    from pytest_prodcheck.session.inspector import Inspector
    from pytest_prodcheck.store.last_good import LastGood


class ContractChecks:
    """The document is fetched once in a run; Schemathesis is loaded when `explorer` is."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._settings = inspector.settings
        self._target = inspector.target
        self._work = inspector.work

    @cached_property
    def document(self) -> Document:
        return parameters.fetched(self._inspector)

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Those of the document that the configuration does not leave out."""
        from pytest_prodcheck.checks.openapi.operations import chosen, is_switch, operations

        document = self.document
        if document.problem:
            self._inspector.plan.complain(f"no operation could be tested: {document.problem}")
        allowed = self._settings.contract.allow
        all_ = operations(document.spec, parameters.with_openapi(self._inspector), allowed)
        drills = self._settings.drills
        switches = [one for one in all_ if is_switch(one, drills, self._target)]
        left = tuple(
            one for one in chosen(all_, self._settings.contract.exclude) if one not in switches
        )
        if all_:
            self._inspector.plan.note(
                _told(document, self._inspector.described, len(all_), len(left))
            )
        if left and self.seed_changes:
            self._inspector.plan.note(f"contract seed {self._seed}, one for each day")
        if switches:
            names = ", ".join(one.id for one in switches)
            self._inspector.plan.note(f"not tested, since a drill switches there: {names}")
        if all_ and not left:
            self._inspector.plan.complain(
                "no operation could be tested: `exclude` leaves out all of them"
            )
        return left

    @property
    def baseline(self) -> tuple[str, dict[str, Any]] | None:
        """What the document is compared with, and whose it is: a file, or the last that passed."""
        from pytest_prodcheck.checks.openapi.document import spec_from_file

        if named := self._settings.contract.baseline:
            spec = spec_from_file(named)
            if isinstance(spec, str):
                self._inspector.plan.complain(f"no document to compare with: {spec}")
                return None
            return Path(named).name, spec
        found = self.last_good
        return (found.newest.source, found.newest.spec) if found and found.newest.spec else None

    @cached_property
    def last_good(self) -> LastGood | None:
        """The last releases on this target that were promoted, as far as this folder knows."""
        from pytest_prodcheck.store.last_good import last_good

        return last_good(self._work.parents[1], self._target.name)

    @cached_property
    def explorer(self) -> Explorer:
        from pytest_prodcheck.checks.contract.operation_check import Explorer
        from pytest_prodcheck.checks.contract.parameter_values import RealValues
        from pytest_prodcheck.checks.contract.retry_after import Patience
        from pytest_prodcheck.store.process_lock import turn

        def once(name: str, make: Callable[[], Any]) -> Any:
            digest = hashlib.sha256(name.encode()).hexdigest()[:16]
            return parameters.once(self._work / f"{digest}.json", make)

        contract = self._settings.contract
        return Explorer(
            self._target,
            contract,
            lambda: self.document.spec,
            RealValues(
                contract.parameters,
                self.operations,
                once,
                changing=not self._target.read_only,
            ),
            Patience(self._work / "patience"),
            self._hypothesis_home(),
            self._seed,
            lambda: turn(self._work / "sequence"),
        )

    def _hypothesis_home(self) -> Path:
        """A folder of the run for what Hypothesis writes, except its tables of Unicode: they are
        the same every time and take seconds to make."""
        home = self._work / f"hypothesis-{os.getpid()}"
        home.mkdir()
        cache = getattr(self._inspector.config, "cache", None)
        if cache:
            (home / "unicode_data").symlink_to(cache.mkdir("prodcheck-unicode"))
        return home

    def compatibility(self, documents: tuple[str, Any, Any]) -> CompatibilityRun:
        from pytest_prodcheck.checks.compatibility.baseline import CompatibilityRun

        source, old, new = documents
        return CompatibilityRun(old, new, source)

    def previous(self, documents: tuple[Any, Any, str]) -> PreviousRun:
        from pytest_prodcheck.checks.compatibility.baseline import PreviousRun

        return PreviousRun(*documents)

    @property
    def seed_changes(self) -> bool:
        """Whether another day has other cases."""
        return self._settings.contract.seed is None and not self._target.read_only

    @property
    def _seed(self) -> int:
        """Of all that is random: one for each day (UTC), so that what one run of a day finds, the
        next finds too, in each of its processes; and always the same on a read-only target."""
        if not self.seed_changes:
            return self._settings.contract.seed or 0
        day = self._work.parent.name.partition("T")[0]
        return int(day) if day.isdecimal() else 0

    def operation(self, item: pytest.Item, operation: Operation) -> OperationRun:
        from pytest_prodcheck.checks.contract.operation_check import OperationRun

        run = OperationRun(operation, self.explorer, *self._with(item))
        item.stash[SEEN].explored = run
        return run

    def workflows(self, item: pytest.Item, operations: tuple[Operation, ...]) -> WorkflowRun:
        from pytest_prodcheck.checks.contract.workflows import WorkflowRun

        run = WorkflowRun(operations, self.explorer, *self._with(item))
        item.stash[SEEN].explored = run
        return run

    def _with(self, item: pytest.Item) -> tuple[Callable[[], LiveClient], Accepted]:
        """What a test asks with, and which of its failures `known.toml` accepts."""
        check = item.stash[PLANNED].id
        accepted = partial(self._inspector.known.accepted, check)
        return self._inspector.connect_for_cases, accepted


def _told(document: Document, target: Target, all_: int, left: int) -> str:
    """`openapi /openapi.json  26 operations, sha256 5f0c…`"""
    named = target.openapi or parameters.WELL_KNOWN_SPEC
    digest = hashlib.sha256(msgspec.json.encode(document.spec, order="deterministic")).hexdigest()
    operations = counted(all_, "operation")
    told = f"{left} of {operations}" if left < all_ else operations
    whose = f" of {document.of}, since the target serves none" if document.of else ""
    return f"openapi {named}{whose}  {told}, sha256 {digest[:12]}"
