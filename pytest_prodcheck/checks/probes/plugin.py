"""Smoke checks: probes, health, certificate, private paths and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from pytest_prodcheck.checks.context import CONTEXT, RunContext, context_of
from pytest_prodcheck.checks.evidence import CheckEvidence

if TYPE_CHECKING:
    from pytest_prodcheck.checks.answers.catch_all import CatchAll
    from pytest_prodcheck.checks.probes.prober import ProbeCheck
    from pytest_prodcheck.checks.probes.state import ProbesState
    from pytest_prodcheck.config import Probe, Target
    from pytest_prodcheck.model import Exchange

GENERIC = ("certificate", "limit", "private_paths")
"""Parameters of ready-made checks that know nothing of the service."""

NOTHING_DECLARED = (
    "nothing about this service is declared, and nothing was found at the usual places"
)


@pytest.fixture
def probe(request: pytest.FixtureRequest) -> ProbeCheck:
    """Return one declared or derived probe; a test that asks for it runs once for each."""
    context = context_of(request)
    from pytest_prodcheck.checks.probes.prober import ProbeCheck

    run = ProbeCheck(request.param, _state(context).prober)
    context.add_evidence(request.node, ProbeEvidence(run))
    return run


@pytest.fixture
def catch_all(request: pytest.FixtureRequest) -> CatchAll:
    """Return the response that every unknown path of the target gets, if there is one: it proves
    nothing."""
    return _state(context_of(request)).catch_all


class ProbeEvidence(CheckEvidence):
    """The answer to a probe, which another thread or process may have had."""

    asks_the_target = True

    def __init__(self, run: ProbeCheck) -> None:
        self._run = run

    def exchanges(self) -> Sequence[Exchange]:
        return self._run.result.exchanges if self._run.done else ()

    def duration_s(self) -> float | None:
        return self._run.result.elapsed_s if self._run.done else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (context := metafunc.config.stash.get(CONTEXT, None)) is None:
        return
    from pytest_prodcheck.checks.parameters import parametrize

    target = context.target
    parametrize(metafunc, "probe", lambda: _probes(context, metafunc), indirect=True)
    parametrize(metafunc, "health", lambda: _health(context, metafunc))
    parametrize(metafunc, "certificate", lambda: _certificate(target))
    parametrize(metafunc, "documentation", lambda: target.documentation)
    parametrize(metafunc, "metrics_page", lambda: target.metrics)
    parametrize(metafunc, "private_paths", lambda: _private_paths(target))
    parametrize(metafunc, "limit", lambda: _limits(context))


def _state(context: RunContext) -> ProbesState:
    from pytest_prodcheck.checks.probes.state import ProbesState

    return context.state(ProbesState)


def _probes(context: RunContext, metafunc: pytest.Metafunc) -> Iterable[Any]:
    from pytest_prodcheck.checks.parameters import Withheld, is_wanted
    from pytest_prodcheck.checks.probes.prober import ANSWERS
    from pytest_prodcheck.redaction.sanitize import text

    if not context.target.probes and not is_wanted(metafunc):
        return []  # deriving some would ask the target
    state = _state(context)
    probes = [
        pytest.param(one, id=one.id, marks=pytest.mark.severity(one.severity))
        for one in state.probes or (ANSWERS,)
    ]
    withheld = [
        pytest.param(Withheld(reason=text(reason)), id=name)
        for name, reason in state.withheld().items()
    ]
    return [*probes, *withheld]


def _health(context: RunContext, metafunc: pytest.Metafunc) -> Iterable[Any]:
    from pytest_prodcheck.checks.openapi.state import OpenApiState
    from pytest_prodcheck.checks.parameters import is_wanted

    if not context.target.health and not is_wanted(metafunc):
        return []  # looking for one would ask the target
    from pytest_prodcheck.checks.probes.health import HealthCheck

    target = context.state(OpenApiState).described
    return [pytest.param(HealthCheck(target), id=target.health)] if target.health else []


def _certificate(target: Target) -> Iterable[str]:
    """Return the host and port whose TLS certificate there is."""
    url = urlsplit(target.base_url)
    return [f"{url.hostname}:{url.port or 443}"] if url.scheme == "https" else []


def _private_paths(target: Target) -> Iterable[Any]:
    from pytest_prodcheck.checks.probes.private import private_paths

    paths = private_paths(target)
    return [pytest.param(paths, id="paths")] if paths else []


def _limits(context: RunContext) -> Iterable[Any]:
    from pytest_prodcheck.checks.probes.limits import LimitCheck, configured

    return [
        pytest.param(LimitCheck(limit, _state(context).measured), id=limit.name)
        for limit in configured(context.target.limits)
    ]


def pytest_prodcheck_prepare(context: RunContext) -> None:
    """Fork the sender, where one process runs the tests."""
    options = context.config.option
    alone = getattr(options, "dist", "no") == "no" and not options.collectonly
    if alone and context.target.probes:
        _state(context).fork_sender()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Send all selected probes as soon as tests may run, while the first one waits."""
    context = session.config.stash.get(CONTEXT, None)
    if context is None or session.config.option.collectonly:
        return
    if probes := _selected(session.items):
        _state(context).start(probes)


def _selected(items: Iterable[pytest.Item]) -> Sequence[Probe]:
    """Return the probes that the collected items stand for, each once."""
    from pytest_prodcheck.checks.parameters import parameter
    from pytest_prodcheck.config import Probe

    probes = (parameter(item, "probe") for item in items)
    return list({one.id: one for one in probes if isinstance(one, Probe)}.values())


def pytest_prodcheck_candidates(
    items: list[pytest.Item], counts: Callable[[pytest.Item], bool]
) -> None:
    """Drop the check whether the target answers at all, where there is another about it.

    A run without another proves next to nothing, and the plan says so.
    """
    from pytest_prodcheck.checks.builtin import is_builtin
    from pytest_prodcheck.checks.parameters import asks_for, parameter
    from pytest_prodcheck.checks.probes.prober import ANSWERS

    stand_ins = [item for item in items if parameter(item, "probe") is ANSWERS]
    if not stand_ins:
        return
    others = (item for item in items if item not in stand_ins)
    if any(counts(item) and not (is_builtin(item) and asks_for(item, *GENERIC)) for item in others):
        items[:] = [item for item in items if item not in stand_ins]
        return
    context = stand_ins[0].config.stash[CONTEXT]
    context.report_problem(NOTHING_DECLARED)
    context.report_problem(_how_to_declare(context.target))


def _how_to_declare(target: Target) -> str:
    """Return what to write, so that a run proves more than that the target answers."""
    if "://" not in target.name:
        return f'more: write health = "/health" into [targets.{target.name}], or [[probes]]'
    return (
        "more: write prodcheck.toml, [targets.prod] with "
        f'base_url = "{target.base_url}" and health = "/health", then --target=prod'
    )


def pytest_prodcheck_order(item: pytest.Item) -> int | None:
    """Limits judge what all other checks have sent."""
    from pytest_prodcheck.checks.parameters import asks_for

    return 3 if asks_for(item, "limit") else None
