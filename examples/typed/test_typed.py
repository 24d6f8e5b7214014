"""Checks with types, clean under `mypy --strict` and pyright."""

import pytest

from pytest_prodcheck import (
    DrillCheck,
    FlagsCheck,
    LiveClient,
    Measure,
    OperationCheck,
    ProbeCheck,
    Target,
)


@pytest.fixture(scope="session")
def logged_in(api_session: LiveClient) -> LiveClient:
    """Log in once for all checks; a password comes from the environment, not from here."""
    api_session.get("/login").raise_for_status()
    return api_session


@pytest.mark.smoke
@pytest.mark.severity("critical")
def test_health(api: LiveClient, target: Target, measure: Measure) -> None:
    response = api.get("/health")
    assert response.json()["status"] == "healthy"
    assert str(response.url).startswith(target.base_url)
    measure("health.seconds", response.elapsed.total_seconds())


@pytest.mark.smoke
def test_account(logged_in: LiveClient) -> None:
    assert logged_in.get("/account").status_code == 200


@pytest.mark.smoke
def test_declared(probe: ProbeCheck) -> None:
    result = probe.check()
    assert result.elapsed_s < 5


@pytest.mark.contract
@pytest.mark.operations("GET /**")
def test_operation(operation: OperationCheck) -> None:
    assert operation.path.startswith("/")
    operation.check()


@pytest.mark.rollback
def test_mode(flags: FlagsCheck) -> None:
    assert flags["ENABLE_CACHE"] or flags.mode == "READ_ONLY"


@pytest.mark.rollback
def test_drill(drill: DrillCheck) -> None:
    drill.steady_state()
    with drill.switched():
        drill.check()
    drill.steady_state()
