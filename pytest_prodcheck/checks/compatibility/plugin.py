"""Checks of the OpenAPI document against its baseline, and of the rollback to it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prodcheck.checks.context import CONTEXT, RunContext, context_of

if TYPE_CHECKING:
    from pytest_prodcheck.checks.compatibility.baseline import CompatibilityCheck, PreviousCheck
    from pytest_prodcheck.checks.openapi.state import OpenApiState

NOTHING_LIVE = "the target serves no document that could be compared"


@pytest.fixture
def compatibility(request: pytest.FixtureRequest) -> CompatibilityCheck:
    """Return the live OpenAPI document and its baseline: `compatibility.check()`."""
    context_of(request)
    from pytest_prodcheck.checks.compatibility.baseline import CompatibilityCheck

    source, old, new = request.param
    return CompatibilityCheck(old, new, source)


@pytest.fixture
def previous(request: pytest.FixtureRequest) -> PreviousCheck:
    """Return the live OpenAPI document and that of the release to roll back to:
    `previous.check()`."""
    context_of(request)
    from pytest_prodcheck.checks.compatibility.baseline import PreviousCheck

    return PreviousCheck(*request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (context := metafunc.config.stash.get(CONTEXT, None)) is None:
        return
    from pytest_prodcheck.checks.parameters import parametrize

    parametrize(metafunc, "compatibility", lambda: _comparisons(context, metafunc), indirect=True)
    parametrize(metafunc, "previous", lambda: _previous(context, metafunc), indirect=True)


def _openapi(context: RunContext) -> OpenApiState:
    from pytest_prodcheck.checks.openapi.state import OpenApiState

    return context.state(OpenApiState)


def _comparisons(context: RunContext, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """Return the live document and an older one, where there are both."""
    from pytest_prodcheck.checks.parameters import Withheld, is_wanted

    if not is_wanted(metafunc):
        return []
    older, live = _baseline(context), _openapi(context).document
    if not older or not live.spec:
        return []
    spec = live.spec if context.settings.contract.baseline else _as_remembered(context, live.spec)
    value = Withheld(reason=NOTHING_LIVE) if live.of else (*older, spec)
    return [pytest.param(value, id="document")]


def _as_remembered(context: RunContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Return a document as it would be kept: without secrets. Else each of them is a change."""
    clean: dict[str, Any] = context.redactor.data(spec)
    return clean


def _baseline(context: RunContext) -> tuple[str, dict[str, Any]] | None:
    """Return what the document is compared with, and whose it is: a file, or the last good one."""
    from pytest_prodcheck.checks.openapi.document import spec_from_file

    if named := context.settings.contract.baseline:
        spec = spec_from_file(named)
        if isinstance(spec, str):
            context.report_problem(f"no document to compare with: {spec}")
            return None
        return Path(named).name, spec
    found = _openapi(context).last_good
    return (found.newest.source, found.newest.spec) if found and found.newest.spec else None


def _previous(context: RunContext, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """Return the live document and that of the last good release, where there are both."""
    from pytest_prodcheck.checks.parameters import Withheld, is_wanted

    if not is_wanted(metafunc):
        return []
    good = _openapi(context).last_good
    known = [one for one in (good.newest, good.older) if one and one.spec] if good else []
    if not known:
        return []
    live = _openapi(context).document
    if not live.spec:
        return []
    if live.of:
        return [pytest.param(Withheld(reason=NOTHING_LIVE), id="document")]
    spec = _as_remembered(context, live.spec)
    # Going back from a release to itself is not a rollback.
    before = next((one for one in known if one.spec != spec), known[-1])
    return [pytest.param((spec, before.spec, before.source), id="document")]
