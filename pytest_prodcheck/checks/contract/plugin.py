"""Contract checks: one for each operation of the OpenAPI document, and one for sequences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_prodcheck.checks.context import CONTEXT, RunContext, context_of
from pytest_prodcheck.checks.evidence import CheckEvidence

if TYPE_CHECKING:
    from pytest_prodcheck.checks.contract.operation_check import ContractCheck, OperationCheck
    from pytest_prodcheck.checks.contract.state import ContractState
    from pytest_prodcheck.checks.contract.workflows import WorkflowCheck
    from pytest_prodcheck.model import Exchange, Failure

Exploring = TypeVar("Exploring", bound="ContractCheck")


@pytest.fixture
def operation(request: pytest.FixtureRequest) -> OperationCheck:
    """Return one operation of the OpenAPI document; a test that asks for it runs once for each."""
    context = context_of(request)
    from pytest_prodcheck.checks.contract.operation_check import OperationCheck

    return _explore(context, request, OperationCheck)


@pytest.fixture
def workflows(request: pytest.FixtureRequest) -> WorkflowCheck:
    """Return all operations of the OpenAPI document, to be sent in sequences:
    `workflows.check()`."""
    context = context_of(request)
    from pytest_prodcheck.checks.contract.workflows import WorkflowCheck

    return _explore(context, request, WorkflowCheck)


def _explore(
    context: RunContext, request: pytest.FixtureRequest, make: Callable[..., Exploring]
) -> Exploring:
    """Return the handle that a test asked for, whose evidence its reports show."""
    state = _state(context)
    latencies: list[float] = []
    connect = partial(state.connect, latencies)
    run = make(request.param, state.explorer, connect, state.accepted(request.node))
    context.add_evidence(request.node, ContractEvidence(run, state.changes_daily, latencies))
    return run


class ContractEvidence(CheckEvidence):
    """The cases that show each failure, and what fails none."""

    def __init__(self, run: ContractCheck, changes_daily: bool, latencies: list[float]) -> None:
        self._run = run
        self._latencies = latencies
        self.changes_daily = changes_daily

    def exchanges(self) -> Sequence[Exchange]:
        return self._run.evidence

    def latencies_ms(self) -> Sequence[float]:
        return self._latencies

    def remarks(self) -> Sequence[Failure]:
        return self._run.remarks


def _state(context: RunContext) -> ContractState:
    from pytest_prodcheck.checks.contract.state import ContractState

    return context.state(ContractState)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (context := metafunc.config.stash.get(CONTEXT, None)) is None:
        return
    from pytest_prodcheck.checks.parameters import parametrize

    parametrize(metafunc, "operation", lambda: _operations(context, metafunc), indirect=True)
    parametrize(metafunc, "workflows", lambda: _workflows(context, metafunc), indirect=True)


def _operations(context: RunContext, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """Return each operation of the document, unless `-m` leaves the test out."""
    from pytest_prodcheck.checks.markers import wrong_arguments
    from pytest_prodcheck.checks.openapi.operations import matches
    from pytest_prodcheck.checks.parameters import Withheld, is_wanted
    from pytest_prodcheck.redaction.sanitize import text

    if not is_wanted(metafunc):
        return []
    if wrong := wrong_arguments(metafunc.definition, ()):
        context.refusals.append(wrong)
        return []
    chosen = _state(context).operations
    for mark in metafunc.definition.iter_markers("operations"):
        pattern = re.compile(mark.kwargs.get("regex", ""))
        for entry in mark.args:
            if chosen and not any(matches(one, entry) for one in chosen):
                name = metafunc.definition.nodeid
                context.report_problem(
                    f"operations({entry!r}) on {name} means none of the operations that are tested"
                )
        chosen = tuple(
            one
            for one in chosen
            if pattern.search(one.id)
            and (not mark.args or any(matches(one, entry) for entry in mark.args))
        )
    return [
        pytest.param(
            Withheld(reason=text(one.withheld)) if one.withheld else one,
            id=one.id,
            marks=[pytest.mark.writes] if one.writes else [],
        )
        for one in chosen
    ]


def _workflows(context: RunContext, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """Return one for the whole document, where something can be made and asked for again."""
    from pytest_prodcheck.checks.parameters import is_wanted

    if not is_wanted(metafunc):
        return []
    chosen = [one for one in _state(context).operations if not one.obstacle and not one.withheld]
    makes = any(one.method in ("POST", "PUT") for one in chosen)
    leads = any("{" in one.path for one in chosen)
    return [pytest.param(tuple(chosen), id="all")] if makes and leads else []


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say how long operations may take: they take most of a run's time."""
    context = config.stash.get(CONTEXT, None)
    if context is None or context.target.time_budget:
        return
    from pytest_prodcheck.checks.parameters import asks_for
    from pytest_prodcheck.counting import counted

    operations = sum(asks_for(item, "operation") for item in items)
    seconds = context.settings.contract.time_per_operation
    if operations:
        context.report_note(
            f"{counted(operations, 'operation')} of up to {seconds:g} s each: up to"
            f" {ceil(operations * seconds / 60)} min; `time_budget` of the target sets an end"
        )


def pytest_prodcheck_order(item: pytest.Item) -> int | None:
    """Drills need the data that the probes know, so what changes it comes after them."""
    from pytest_prodcheck.checks.parameters import asks_for

    return 2 if asks_for(item, "operation", "workflows") else None
