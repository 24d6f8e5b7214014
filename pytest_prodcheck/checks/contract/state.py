"""The operations under test, and the one explorer of a process that sends their cases."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_prodcheck.checks.evidence import PLANNED
from pytest_prodcheck.checks.openapi.state import OpenApiState
from pytest_prodcheck.counting import counted

if TYPE_CHECKING:
    import pytest

    from pytest_prodcheck.checks.context import RunContext
    from pytest_prodcheck.checks.contract.exploration import Accepted, Explorer
    from pytest_prodcheck.checks.openapi.operations import Operation
    from pytest_prodcheck.http.client import LiveClient
    from pytest_prodcheck.model import Exchange


class ContractState:
    """The document is fetched once in a run; Schemathesis is loaded when `explorer` is."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._options = context.settings.contract
        self._openapi = context.state(OpenApiState)

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Those of the document that the configuration does not leave out."""
        from pytest_prodcheck.checks.openapi.operations import chosen, is_switch, operations

        context, document = self._context, self._openapi.document
        if document.problem:
            context.report_problem(f"no operation could be tested: {document.problem}")
        found = operations(document.spec, self._openapi.target, self._options.allow)
        switches = [one for one in found if is_switch(one, context.settings.drills, context.target)]
        left = tuple(one for one in chosen(found, self._options.exclude) if one not in switches)
        if found:
            context.report_note(self._headline(len(found), len(left)))
        if left and self.changes_daily:
            context.report_note(f"contract seed {self._seed}, one for each day")
        if switches:
            names = ", ".join(one.id for one in switches)
            context.report_note(f"not tested, since a drill switches there: {names}")
        if found and not left:
            context.report_problem("no operation could be tested: `exclude` leaves out all of them")
        return left

    def _headline(self, found: int, left: int) -> str:
        """`openapi /openapi.json  26 operations, sha256 5f0c…`"""
        document = self._openapi.document
        encoded = msgspec.json.encode(document.spec, order="deterministic")
        digest = hashlib.sha256(encoded).hexdigest()
        operations = counted(found, "operation")
        tested = f"{left} of {operations}" if left < found else operations
        whose = f" of {document.of}, since the target serves none" if document.of else ""
        return f"openapi {self._openapi.target.openapi}{whose}  {tested}, sha256 {digest[:12]}"

    @cached_property
    def explorer(self) -> Explorer:
        from pytest_prodcheck.checks.contract.exploration import Explorer
        from pytest_prodcheck.checks.contract.parameter_values import RealValues
        from pytest_prodcheck.checks.contract.retry_after import RetryAfterGate

        context = self._context

        def once(name: str, make: Callable[[], Any]) -> Any:
            digest = hashlib.sha256(name.encode()).hexdigest()[:16]
            return context.workspace.once(f"{digest}.json", make)

        return Explorer(
            context.target,
            self._options,
            lambda: self._openapi.document.spec,
            RealValues(
                self._options.parameters,
                self.operations,
                once,
                changing=not context.target.read_only,
            ),
            RetryAfterGate(context.work / "retry-after"),
            self._hypothesis_home(),
            self._seed,
            lambda: context.workspace.lock("sequence"),
        )

    def _hypothesis_home(self) -> Path:
        """Return a folder of the run for what Hypothesis writes, except its tables of Unicode:
        they are the same every time and take seconds to make."""
        home = self._context.work / f"hypothesis-{os.getpid()}"
        home.mkdir()
        cache = getattr(self._context.config, "cache", None)
        if cache:
            (home / "unicode_data").symlink_to(cache.mkdir("prodcheck-unicode"))
        return home

    @property
    def changes_daily(self) -> bool:
        """True if another day has other cases."""
        return self._options.seed is None and not self._context.target.read_only

    @property
    def _seed(self) -> int:
        """Of all that is random: one for each day (UTC), so that what one run of a day finds, the
        next finds too, in each of its processes; and always the same on a read-only target."""
        if not self.changes_daily:
            return self._options.seed or 0
        day = self._context.work.parent.name.partition("T")[0]
        return int(day) if day.isdecimal() else 0

    def connect(self, latencies: list[float]) -> LiveClient:
        """Return a client whose exchanges no limit judges; the evidence alone is kept.

        The time of each response, in milliseconds, is added to *latencies*.
        """
        tally = self._context.tally

        def note(exchange: Exchange) -> None:
            tally.add([exchange], generated=True)
            if exchange.status is not None:
                latencies.append(exchange.elapsed_ms)

        return self._context.connect(note=note)

    def accepted(self, item: pytest.Item) -> Accepted:
        """Return what says which failures of *item* `known.toml` accepts."""
        return partial(self._context.known.accepted, item.stash[PLANNED].id)
