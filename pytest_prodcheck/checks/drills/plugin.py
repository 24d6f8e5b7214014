"""Drills: rehearsals of a switch and of the rollback, each alone on the target."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_prodcheck.checks.context import CONTEXT, RunContext, context_of

if TYPE_CHECKING:
    from pytest_prodcheck.checks.drills.drill import DrillCheck
    from pytest_prodcheck.config import Drill
    from pytest_prodcheck.http.transport import LiveTransport


@pytest.fixture
def drill(request: pytest.FixtureRequest) -> Generator[DrillCheck]:
    """Return one rehearsal of a switch; a test that asks for it runs once for each, alone."""
    with _rehearsal(context_of(request), request.node, request.param) as rehearsal:
        yield rehearsal


@contextmanager
def _rehearsal(context: RunContext, item: pytest.Item, drill: Drill) -> Generator[DrillCheck]:
    """Prepare one drill; the probes of this run have been answered before."""
    import msgspec

    from pytest_prodcheck.checks.drills.drill import DrillCheck
    from pytest_prodcheck.checks.drills.kept import Kept
    from pytest_prodcheck.checks.drills.restoring import Site
    from pytest_prodcheck.checks.probes.prober import ANSWERS
    from pytest_prodcheck.checks.probes.state import ProbesState
    from pytest_prodcheck.store.undo_journal import Begin

    probes = context.state(ProbesState)
    probes.measured()
    target, run = context.target, context.work.parent
    mark = f"prodcheck-drill-{secrets.token_hex(4)}"
    with (
        _connected(context, mark, target.request_budget) as transport,
        _connected(context, f"{mark}-back", None) as back,
    ):
        site = Site(
            target=target,
            connect=lambda: context.client(item, transport),
            flags=context.settings.flags,
            probes=probes.probes or (ANSWERS,),
            root=context.project,
            clean=context.redactor.text,
        )
        begin = Begin(
            drill=drill.name,
            mark=mark,
            run=run.name,
            choice=context.choice,
            target=target.name,
            base_url=target.base_url,
            root=str(context.root),
            switch=str(drill.switch),
            restore=str(drill.restore),
            own_service=target.start is not None,
        )
        rehearsal = DrillCheck(
            drill,
            site,
            msgspec.structs.replace(site, connect=lambda: context.client(item, back)),
            begin,
            run,
            partial(context.measure, item),
            Kept(
                settings=context.settings,
                drill=drill,
                probes=site.probes,
                root=site.root,
                mark=mark,
            ),
        )
        try:
            yield rehearsal
        finally:
            rehearsal.close()


@contextmanager
def _connected(context: RunContext, name: str, budget: int | None) -> Generator[LiveTransport]:
    """Open a way to the target without a breaker, for who makes it fail on purpose."""
    from pytest_prodcheck.http.throttle import Throttle
    from pytest_prodcheck.http.transport import LiveTransport

    throttle = Throttle(context.work / name, rate=context.target.rate, budget=budget, breaker=False)
    transport = LiveTransport(context.target, throttle)
    try:
        yield transport
    finally:
        transport.close()
        throttle.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (context := metafunc.config.stash.get(CONTEXT, None)) is None:
        return
    from pytest_prodcheck.checks.parameters import parametrize

    drills = (
        pytest.param(one, id=one.name, marks=pytest.mark.severity(one.severity))
        for one in context.settings.drills
    )
    parametrize(metafunc, "drill", lambda: drills, indirect=True)


def is_drill(item: pytest.Item) -> bool:
    """Return whether *item* changes the target under all others."""
    from pytest_prodcheck.checks.parameters import asks_for

    return asks_for(item, "drill")


def pytest_prodcheck_withheld(item: pytest.Item) -> str | None:
    if not is_drill(item):
        return None
    context = item.config.stash[CONTEXT]
    refusal = context.target.refuses_drills(datetime.now(UTC).date())
    if context.shard and not refusal:
        return "a drill changes the target under the other parts of this run"
    return refusal


def pytest_prodcheck_order(item: pytest.Item) -> int | None:
    return 1 if is_drill(item) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a drill wait until it is alone: it changes the target under every other test."""
    context = item.config.stash.get(CONTEXT, None)
    if context is None or not _has_drills(item.session):
        return (yield)
    with context.workspace.lock("drill", shared=not is_drill(item)):
        return (yield)


_HAS_DRILLS: pytest.StashKey[bool] = pytest.StashKey()


def _has_drills(session: pytest.Session) -> bool:
    if _HAS_DRILLS not in session.stash:
        session.stash[_HAS_DRILLS] = any(map(is_drill, session.items))
    return session.stash[_HAS_DRILLS]
