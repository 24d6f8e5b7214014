"""The ready-made smoke checks fail on what they are for, and on nothing else."""

import importlib.util
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trustme

from pytest_prodcheck.checks.answers.catch_all import CatchAll
from pytest_prodcheck.checks.probes.health import HealthCheck
from pytest_prodcheck.checks.probes.limits import Limit, LimitCheck
from pytest_prodcheck.checks.probes.private import USUAL, private_paths
from pytest_prodcheck.config import Probe, Target
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.http.client import LiveClient
from pytest_prodcheck.store.tally import Measured
from tests import ROOT
from tests.connection import connected
from tests.faulty import FaultyServer, answer, json_answer, redirect

SMOKE = ROOT / "suites" / "smoke"


def suite(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"suite_{name}", SMOKE / f"test_{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture
def api(server: FaultyServer) -> Iterator[LiveClient]:
    with connected(server.url) as client:
        yield client


def test_every_check_says_why_it_exists() -> None:
    files = sorted(SMOKE.glob("test_*.py"))
    assert len(files) == 6
    for file in files:
        module = suite(file.stem.removeprefix("test_"))
        assert module.__doc__
        checks = [value for name, value in vars(module).items() if name.startswith("test_")]
        assert checks
        for check in checks:
            assert check.__doc__
            assert "smoke" in [mark.name for mark in check.pytestmark]


# --- health: what its answers mean is in test_health.py


def check_health(api: LiveClient, **settings: Any) -> None:
    target = Target(name="t", base_url="http://t", health="/health", **settings)
    suite("health").test_health(api, HealthCheck(target))


@contextmanager
def failing(rule: str, subject: str, reason: str) -> Iterator[pytest.ExceptionInfo[CheckFailed]]:
    """The check fails for one thing alone."""
    with pytest.raises(CheckFailed) as caught:
        yield caught
    found = [(one.rule, one.subject, one.reason) for one in caught.value.failures]
    assert found == [(rule, subject, reason)]


def test_a_healthy_answer_passes(server: FaultyServer, api: LiveClient) -> None:
    server.on("/health", json_answer({"status": "ok", "database": "connected"}))
    check_health(api)
    assert server.ledger[0].headers["accept"].startswith("application/health+json")


def test_trouble_in_an_answer_of_200_fails_and_the_remedy_is_named(
    server: FaultyServer, api: LiveClient
) -> None:
    server.on("/health", json_answer({"status": "ok", "database": "down", "up": False}))
    with pytest.raises(CheckFailed) as caught:
        check_health(api)
    found = [(one.rule, one.subject, one.reason) for one in caught.value.failures]
    assert found == [("health.dependency", "GET /health", "body")] * 2
    first, second, *_ = str(caught.value).splitlines()
    assert first == '/health answers 200, but $.database is "down", $.up is false'
    assert second.startswith("Fix it, or accept it if it is intended: health = { path = ")


def test_accepted_trouble_passes(server: FaultyServer, api: LiveClient) -> None:
    server.on("/health", json_answer({"status": "ok", "db": "Not connected"}))
    check_health(api, health_accept=("$.db",))


def test_a_concern_passes_with_a_warning(server: FaultyServer, api: LiveClient) -> None:
    server.on("/health", json_answer({"status": "warn"}))
    with pytest.warns(UserWarning, match=r'^health: /health answers 200, but \$\.status is "warn"'):
        check_health(api)


def test_a_health_path_that_fails_is_a_failure(server: FaultyServer, api: LiveClient) -> None:
    server.on("/health", json_answer({"status": "ok"}, 503))
    with failing("status", "GET /health", "server_error") as caught:
        check_health(api)
    assert caught.value.failures[0].status == 503


@pytest.mark.fault(13)
def test_a_maintenance_page_is_no_health_answer(server: FaultyServer, api: LiveClient) -> None:
    server.on("/health", answer("<h1>Back soon</h1>", content_type="text/html"))
    with failing("health.unreadable", "GET /health", "body"):
        check_health(api)
    server.on("/health", answer("<h1>Back soon</h1>", content_type="application/json"))
    with failing("health.unreadable", "GET /health", "body"):
        check_health(api)


# --- documentation and metrics


def check_documentation(api: LiveClient, path: str) -> None:
    target = Target(name="t", base_url="http://t")
    catch_all = CatchAll(target, api.get, lambda make: make())
    suite("documentation").test_documentation(api, path, catch_all)


def test_documentation_is_followed_to_where_it_is(server: FaultyServer, api: LiveClient) -> None:
    server.on("/docs", redirect("/docs/")).on("/docs/", answer("<h1>API</h1>"))
    check_documentation(api, "/docs")


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (404, "x", ("status", "status")),
        (503, "x", ("status", "server_error")),
        (200, " \n", ("body.empty", "body")),
    ],
)
def test_documentation_that_is_gone_or_empty_fails(
    server: FaultyServer, api: LiveClient, status: int, body: str, failure: tuple[str, str]
) -> None:
    server.on("/docs", answer(body, status))
    rule, reason = failure
    with failing(rule, "GET /docs", reason):
        check_documentation(api, "/docs")


def test_documentation_that_is_the_start_page_of_every_path_fails(
    server: FaultyServer, api: LiveClient
) -> None:
    server.on("*", answer(PAGE.format("", "Welcome"), content_type="text/html"))
    with failing("body.catch_all", "GET /docs", "body"):
        check_documentation(api, "/docs")
    check_documentation(api, "/")


@pytest.mark.parametrize("body", ["# HELP up Whether.\nup 1\n", '{"requests": 12}'])
def test_metrics_with_a_number_pass(server: FaultyServer, api: LiveClient, body: str) -> None:
    server.on("/metrics", answer(body, content_type="text/plain"))
    suite("documentation").test_metrics(api, "/metrics")


@pytest.mark.parametrize(
    ("body", "kind", "status", "failure"),
    [
        ("", "text/plain", 200, ("metrics.no_number", "body")),
        ("# HELP up1 Whether 1.\n", "text/plain", 200, ("metrics.no_number", "body")),
        ("<h1>503</h1>", "text/html", 200, ("header.content_type", "content_type")),
        ("up 1", "text/plain", 500, ("status", "server_error")),
    ],
)
def test_metrics_that_say_nothing_fail(
    server: FaultyServer,
    api: LiveClient,
    body: str,
    kind: str,
    status: int,
    failure: tuple[str, str],
) -> None:
    server.on("/metrics", answer(body, status, content_type=kind))
    rule, reason = failure
    with failing(rule, "GET /metrics", reason):
        suite("documentation").test_metrics(api, "/metrics")


# --- private paths


def nothing_private(api: LiveClient, *paths: str, **settings: Any) -> None:
    target = Target(name="t", base_url="http://127.0.0.1", **settings)
    suite("private").test_nothing_private_is_public(api, target, paths)


def test_paths_that_are_closed_pass(server: FaultyServer, api: LiveClient) -> None:
    server.on("/.env", answer("no", 403)).on("/debug", redirect("/login"))
    server.on("/empty", answer("", 204)).on("/login", answer("who are you?"))
    nothing_private(api, "/.env", "/debug", "/empty", "/missing")
    assert "/login" not in server.paths()


@pytest.mark.parametrize("status", [200, 206])
def test_a_path_that_is_open_fails(server: FaultyServer, api: LiveClient, status: int) -> None:
    server.on("/debug/vars", json_answer({"dsn": "x"}, status))
    with failing("private.exposed", "GET /debug/vars", "exposed") as caught:
        nothing_private(api, "/.env", "/debug/vars")
    message = f"public without credentials: /debug/vars ({status}, 12 bytes)"
    assert str(caught.value).startswith(message)


def test_a_path_that_is_open_behind_its_slash_fails(server: FaultyServer, api: LiveClient) -> None:
    server.on("/debug", redirect("/debug/?a=b")).on("/debug/", answer("insides"))
    with failing("private.exposed", "GET /debug", "exposed"):
        nothing_private(api, "/debug")


PAGE = "<html><head><title>Shop</title></head><body nonce='{}'>{}</body></html>"


def test_the_start_page_that_every_path_gets_passes(server: FaultyServer, api: LiveClient) -> None:
    """Single-page apps answer all paths with one page, often with a token of its own each time."""
    pages = [
        answer(PAGE.format(f"a{number}f3", "Welcome"), content_type="text/html")
        for number in range(9)
    ]
    server.on("*", *pages)
    nothing_private(api, "/.env", "/debug")


def test_another_page_than_the_start_page_fails(server: FaultyServer, api: LiveClient) -> None:
    server.on("*", answer(PAGE.format("", "Welcome"), content_type="text/html"))
    server.on("/debug", answer(PAGE.format("", "routes: " + "x " * 90), content_type="text/html"))
    server.on("/.env", answer("KEY=value", content_type="text/html"))
    server.on("/raw", answer(PAGE.format("", "Welcome"), content_type="text/plain"))
    with pytest.raises(CheckFailed) as caught:
        nothing_private(api, "/.env", "/debug", "/raw", "/other")
    found = {one.subject: one.rule for one in caught.value.failures}
    assert found == dict.fromkeys(("GET /.env", "GET /debug", "GET /raw"), "private.exposed")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_no_clear_answer_is_no_pass(server: FaultyServer, api: LiveClient, status: int) -> None:
    server.on("/debug", answer("x", status))
    reason = "server_error" if status >= 500 else "status"
    with failing("private.unclear", "GET /debug", reason):
        nothing_private(api, "/debug")


def test_it_is_asked_without_the_credentials_of_the_target(server: FaultyServer) -> None:
    headers = {"Authorization": "Bearer hunter2-hunter2", "X-Key": "k3y-k3y-k3y"}
    with connected(server.url, headers=headers) as api:
        nothing_private(api, "/debug", headers=headers)
    assert len(server.ledger) == 2
    for seen in server.ledger:
        assert not {"authorization", "x-key"}.intersection(seen.headers)


def test_the_usual_places_are_asked_for_on_read_only_targets_alone() -> None:
    def paths(**settings: Any) -> tuple[str, ...]:
        return private_paths(Target(name="t", base_url="http://t", **settings))

    assert paths() == USUAL
    assert paths(read_only=False) == ()
    assert paths(read_only=False, private=("/internal",)) == ("/internal",)
    assert paths(private=("/internal", "/.env")) == (
        "/internal",
        "/.env",
        *(path for path in USUAL if path != "/.env"),
    )


def test_what_the_target_declares_is_not_private() -> None:
    debug = Probe(method="GET", path="/debug", id="debug")
    target = Target(
        name="t",
        base_url="http://t",
        health="/debug/info",
        documentation=("/_debug",),
        metrics=("/debug/vars",),
        probes=(debug,),
    )
    declared = {"/debug", "/debug/info", "/_debug", "/debug/vars"}
    assert set(private_paths(target)) == set(USUAL) - declared


# --- certificate


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize(
    ("days", "fails", "warns"),
    [(2.9, True, False), (3.1, False, True), (20.9, False, True), (21.1, False, False)],
)
def test_a_certificate_fails_under_3_days_and_warns_under_21(
    authority: trustme.CA, tmp_path: Path, days: float, fails: bool, warns: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expires = datetime.now(UTC) + timedelta(days)
    authority.issue_cert("127.0.0.1", not_after=expires).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = suite("certificate")
    with (
        FaultyServer(tls=context) as server,
        connected(server.url, ca_bundle=str(tmp_path / "ca.pem")) as api,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        if fails:
            with failing("certificate.expires", "certificate of host:1", "tls"):
                certificate.test_certificate(api, "host:1")
        else:
            certificate.test_certificate(api, "host:1")
    told = [str(warning.message) for warning in caught]
    assert bool(told) == warns
    assert all(text.startswith("the certificate of host:1 expires in ") for text in told)


# --- limits


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([200] * 299, None),
        ([200] * 41, pytest.skip.Exception),
        ([200] * 40 + [500], CheckFailed),
        ([], pytest.skip.Exception),
    ],
)
def test_a_limit_passes_only_when_it_is_proven(
    statuses: list[int], expected: type[BaseException] | None
) -> None:
    measured = [Measured(status=status, elapsed_ms=1) for status in statuses]
    limit = LimitCheck(Limit(name="error_rate", value=0.01), lambda: measured)
    check = suite("limits").test_limit
    if expected is None:
        check(limit)
    else:
        with pytest.raises(expected):
            check(limit)
