"""An answer that every path gets proves nothing about the path that was asked for."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pytest_prodcheck.checks.answers.catch_all import PREFIX, CatchAll
from pytest_prodcheck.checks.probes.prober import ask
from pytest_prodcheck.config import Probe, Target
from pytest_prodcheck.errors import BudgetExhausted
from pytest_prodcheck.http.client import LiveClient
from tests.connection import connected
from tests.faulty import NO_SUCH_PATH, Behaviour, FaultyServer, answer, json_answer, redirect
from tests.project import Project

SPA = "<!doctype html><div id=app></div><script src=/main.js></script>"
LAYOUT = "<html><nav>Home Orders Customers About</nav><main>{}</main><footer>Shop</footer></html>"


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture
def api(server: FaultyServer) -> Iterator[LiveClient]:
    with connected(server.url) as client:
        yield client


def catch_all_of(api: LiveClient, **settings: Any) -> CatchAll:
    target = Target(name="t", base_url="http://t", **settings)
    return CatchAll(target, api.get, lambda make: json.loads(json.dumps(make())))


def problems(api: LiveClient, catch_all: CatchAll, **settings: Any) -> tuple[str, ...]:
    probe = Probe(**{"method": "GET", "path": "/orders", "id": "p", **settings})
    return ask(api, probe, catch_all=catch_all).problems


def html(text: str, **headers: Any) -> Behaviour:
    return answer(text, content_type="text/html", **headers)


def echo(visit: Any) -> None:
    json_answer({"path": visit.request.path, "method": "GET"})(visit)


def with_nonce(visit: Any) -> None:
    html(f'<meta name=csrf-token content="{"aZ" * (len(visit.request.path) % 5)}">{SPA}')(visit)


@pytest.mark.parametrize(
    "every",
    [
        pytest.param(html(SPA), id="nginx try_files, S3, Netlify, Vercel"),
        pytest.param(html(f"{SPA}<i>Generated 2026-11-27 10:00:01</i>"), id="a time in it"),
        pytest.param(with_nonce, id="Rails csrf-token"),
        pytest.param(echo, id="an echo service"),
        pytest.param(json_answer({"status": "ok"}), id="a stub that answers everything"),
        pytest.param(html(LAYOUT.format("Not found")), id="a not-found page with 200"),
        pytest.param(answer(""), id="an empty answer"),
        pytest.param(answer("", 204), id="204"),
    ],
)
def test_a_probe_of_a_status_does_not_pass_on_what_every_path_gets(
    server: FaultyServer, api: LiveClient, every: Behaviour
) -> None:
    server.on("*", every)
    (problem,) = problems(api, catch_all_of(api))
    assert problem.startswith(
        f"body: expected an answer of its own, got what every path gets, even one that cannot "
        f"exist (GET {PREFIX}"
    )


@pytest.mark.parametrize(
    ("every", "own"),
    [
        pytest.param(html(SPA), json_answer([]), id="the API beside a single-page app"),
        pytest.param(html(SPA), html(f"{SPA}<p>Sign in</p>"), id="a page rendered by the server"),
        pytest.param(html(SPA), answer(SPA, content_type="text/plain"), id="another type"),
        pytest.param(html(SPA), answer(SPA, 201, content_type="text/html"), id="another status"),
        pytest.param(
            html(LAYOUT.format("Not found")), html(LAYOUT.format("Orders")), id="one layout"
        ),
        pytest.param(json_answer({"error": "no route"}), json_answer({"items": []}), id="JSON"),
        pytest.param(answer("no", 404), answer("yes"), id="404 for what does not exist"),
        pytest.param(html(SPA, status=404), html(SPA), id="the start page with 404"),
        pytest.param(redirect("/login"), html(SPA), id="a redirect to the login"),
        pytest.param(answer("oops", 500), answer("yes"), id="an error for what does not exist"),
    ],
)
def test_a_real_page_beside_another_for_every_path_passes(
    server: FaultyServer, api: LiveClient, every: Behaviour, own: Behaviour
) -> None:
    server.on("*", every).on("/orders", own)
    assert problems(api, catch_all_of(api)) == ()


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        ({"contains": "id=app"}, True),
        ({"matches": "main"}, True),
        ({"path": "/"}, True),
        ({"path": ""}, True),
        ({"path": "/index.html"}, True),
        ({"path": "/healthz"}, True),
        ({"method": "OPTIONS"}, True),
        ({"headers": {"content-type": "text/html"}}, False),
        ({"status": (200,)}, False),
        ({"method": "HEAD"}, False),
        ({"samples": 3}, False),
        ({"path": "/orders?limit=2"}, False),
    ],
)
def test_what_a_probe_expects_decides(
    server: FaultyServer, api: LiveClient, settings: dict[str, Any], passes: bool
) -> None:
    server.on("*", html(SPA))
    found = problems(api, catch_all_of(api, health="/healthz"), **settings)
    assert (found == ()) is passes


def test_a_probe_that_fails_anyway_says_only_that(server: FaultyServer, api: LiveClient) -> None:
    server.on("*", html(SPA))
    assert problems(api, catch_all_of(api), status=(404,)) == ("status: expected 404, got 200",)


@pytest.mark.parametrize("error", [httpx.ConnectError("gone"), BudgetExhausted("the budget is")])
def test_without_an_answer_to_compare_with_nothing_is_said(
    server: FaultyServer, api: LiveClient, error: Exception
) -> None:
    def fetch(_path: str) -> httpx.Response:
        raise error

    server.on("*", html(SPA))
    target = Target(name="t", base_url="http://t")
    assert problems(api, CatchAll(target, fetch, lambda make: make())) == ()


PROBES = """
    documentation = ["/docs"]

    [[probes]]
    get = "/api/orders"

    [[probes]]
    get = "/api/customers"
    """


@pytest.fixture
def project(pytester: pytest.Pytester, server: FaultyServer) -> Project:
    return Project(pytester, server)


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["one process", "xdist"])
def test_it_is_asked_once_in_a_run_of_any_number_of_processes(
    project: Project, options: tuple[str, ...]
) -> None:
    project.server.on("*", html(SPA))
    project.configure(PROBES)
    outcome = project.run("-m", "smoke", *options)
    assert outcome.exit == 1
    failed = {name for name, what in outcome.outcomes().items() if what == "failed"}
    assert failed == {
        "test_probe[GET /api/orders]",
        "test_probe[GET /api/customers]",
        "test_documentation[/docs]",
    }
    asked = [seen for seen in project.server.ledger if seen.path.startswith(NO_SUCH_PATH)]
    assert len(asked) == 1


def test_it_is_not_asked_where_no_check_needs_it(project: Project) -> None:
    project.configure('[[probes]]\nget = "/ok"\njson = { status = "healthy" }\n')
    assert project.run("-m", "smoke", "-k", "probe").exit == 6
    assert not [seen for seen in project.server.ledger if seen.path.startswith(NO_SUCH_PATH)]
