"""Checks of feature flags and the operating mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_prodcheck.checks.context import CONTEXT, context_of
from pytest_prodcheck.checks.evidence import CheckEvidence

if TYPE_CHECKING:
    from pytest_prodcheck.checks.modes.flags import FlagsCheck
    from pytest_prodcheck.model import FlagReading


@pytest.fixture
def flags(request: pytest.FixtureRequest) -> FlagsCheck:
    """Feature flags and operating mode: `flags["ENABLE_CACHE"]`, `flags.mode`."""
    context = context_of(request)
    from pytest_prodcheck.checks.modes.flags import FlagsCheck

    run = FlagsCheck(request.param, lambda: context.client(request.node))
    context.add_evidence(request.node, FlagsEvidence(run))
    return run


class FlagsEvidence(CheckEvidence):
    """The flags as they were read last."""

    def __init__(self, run: FlagsCheck) -> None:
        self._run = run

    def flags(self) -> FlagReading | None:
        return self._run.plain()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (context := metafunc.config.stash.get(CONTEXT, None)) is None:
        return
    from pytest_prodcheck.checks.parameters import parametrize

    configured = context.settings.flags
    parametrize(
        metafunc,
        "flags",
        lambda: [pytest.param(configured, id=configured.source)] if configured else [],
        indirect=True,
    )
