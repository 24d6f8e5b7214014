"""The client is httpx as everybody knows it: recorded, on one origin, its credentials unseen."""

import importlib.metadata
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_prodcheck import __version__
from pytest_prodcheck.config import Secret, Target
from pytest_prodcheck.errors import BudgetExhausted
from pytest_prodcheck.http.client import (
    NO_ADDRESS,
    LiveClient,
    LiveTransport,
    RedirectRefused,
    kind_of,
)
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.throttle import Throttle
from tests.connection import connected
from tests.faulty import FaultyServer, Visit, answer, hang_up, json_answer, redirect

TOKEN = Secret("Bearer value-of-the-token", "${PROD_TOKEN}", "Bearer ${PROD_TOKEN}")
KEY = Secret("value-of-the-key", "${PROD_KEY}", "${PROD_KEY}")
CREDENTIALS = {"Authorization": TOKEN, "X-Api-Key": KEY}


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def other() -> Iterator[FaultyServer]:
    """Another origin, which must see nothing."""
    with FaultyServer() as running:
        yield running.on("*", answer(b"other"))


# --- as httpx ------------------------------------------------------------------------------


def test_an_answer_is_httpx_own(server: FaultyServer) -> None:
    server.on("/api/health", json_answer({"status": "healthy"}, x_own="1"))
    with connected(server.url + "/api") as api:
        response = api.get("/health", params={"a": "b"})
        assert response.json() == {"status": "healthy"}
        assert response.text == '{"status": "healthy"}'
        assert response.headers["x-own"] == "1"
        assert response.http_version == "HTTP/1.1"
        assert response.reason_phrase == "Whatever"
        assert 0 < response.elapsed.total_seconds() < 5
        assert response.is_closed
    assert server.ledger[0].target == "/api/health?a=b"


def test_streaming_and_cookies_work(server: FaultyServer) -> None:
    server.on("/", answer(b"a\nb\n", set_cookie="seen=yes"))
    with connected(server.url) as api:
        with api.stream("GET", "/") as response:
            assert list(response.iter_lines()) == ["a", "b"]
        assert response.elapsed.total_seconds() > 0
        api.get("/")
    assert server.ledger[1].headers["cookie"] == "seen=yes"


def test_every_method_and_body_arrives(server: FaultyServer) -> None:
    server.on("*", answer(b"ok"))
    with connected(server.url) as api:
        api.post("/json", json={"a": 1})
        api.put("/stream", content=iter([b"a", b"b"]), headers={"content-length": "2"})
        api.options("/")
        api.delete("/")
    assert [(seen.method, seen.body) for seen in server.ledger] == [
        ("POST", b'{"a":1}'),
        ("PUT", b"ab"),
        ("OPTIONS", b""),
        ("DELETE", b""),
    ]


def test_closing_a_client_leaves_the_transport_to_the_others(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.on("/", answer(b"ok"))
    target = Target(name="t", base_url=server.url)
    with Throttle(tmp_path / "throttle", rate=None, budget=9) as throttle:
        transport = LiveTransport(target, throttle)
        for _ in range(3):
            with LiveClient(target, transport) as client:
                assert client.get("/").text == "ok"
        transport.close()
    assert server.connections == 1


# --- what every request carries ------------------------------------------------------------


def test_a_request_says_who_asks_and_can_be_traced(server: FaultyServer) -> None:
    server.on("/", answer(b"ok"))
    with connected(server.url) as api:
        api.get("/")
        api.send(httpx.Request("GET", server.url + "/"))
        api.get("/", headers={"User-Agent": "mine", "traceparent": "00-own"})
        traces = [exchange.traceparent for exchange in api.exchanges]
    first, bare, own = (seen.headers for seen in server.ledger)
    assert first["user-agent"] == bare["user-agent"] == f"pytest-prodcheck/{__version__}"
    assert own["user-agent"] == "mine"
    assert [first["traceparent"], bare["traceparent"], "00-own"] == traces
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", first["traceparent"])
    assert first["traceparent"] != bare["traceparent"]


def test_the_version_is_that_of_the_distribution() -> None:
    """It is written down twice, since to look it up costs every start milliseconds."""
    assert importlib.metadata.version("pytest-prodcheck") == __version__


def test_credentials_go_to_the_target_and_are_seen_nowhere(server: FaultyServer) -> None:
    server.on("/", answer(b"ok"))
    with connected(server.url, headers=CREDENTIALS) as api:
        response = api.get("/")
        exchange = api.exchanges[0]
    assert server.ledger[0].headers["authorization"] == "Bearer value-of-the-token"
    assert server.ledger[0].headers["x-api-key"] == "value-of-the-key"
    assert "authorization" not in response.request.headers
    assert "x-api-key" not in response.request.headers
    assert "value-of" not in repr(exchange)
    assert exchange.request_headers["authorization"] == "***"
    assert '-H "Authorization: Bearer $PROD_TOKEN" -H "X-Api-Key: $PROD_KEY"' in exchange.curl


def test_a_header_of_the_request_goes_before_the_configured_one(server: FaultyServer) -> None:
    server.on("/", answer(b"ok"))
    learned: list[str] = []
    with connected(server.url, headers=CREDENTIALS, learn=learned.append) as api:
        api.get("/", headers={"authorization": "Bearer of-another-user"})
    assert server.ledger[0].headers["authorization"] == "Bearer of-another-user"
    assert "of-another-user" in learned


def test_a_configured_header_that_is_no_credential_replaces_the_default(
    server: FaultyServer,
) -> None:
    server.on("/", answer(b"ok"))
    with connected(server.url, headers={"Accept": "text/csv", "X-Tenant": "acme"}) as api:
        api.get("/")
        assert api.exchanges[0].request_headers["accept"] == "text/csv"
        assert api.exchanges[0].request_headers["x-tenant"] == "***"
    assert server.ledger[0].headers["accept"] == "text/csv"
    assert server.ledger[0].headers["x-tenant"] == "acme"


def test_another_origin_gets_no_credentials(server: FaultyServer, other: FaultyServer) -> None:
    """A test may ask a host that `hosts` allows: it is told nothing of the target's."""
    with connected(server.url, headers=CREDENTIALS) as api:
        api.get(other.url + "/")
        api.get(f"http://localhost:{server.port}/")
        assert "authorization" not in api.exchanges[0].request_headers
        assert "PROD_TOKEN" not in api.exchanges[0].curl
    for seen in (*other.ledger, *server.ledger):
        assert "authorization" not in seen.headers
        assert "x-api-key" not in seen.headers


# --- the record ----------------------------------------------------------------------------


def test_exchanges_hold_answers_failures_and_what_was_withheld(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.on("/ok", answer(b"fine", 201, content_type="text/plain"))
    server.on("/gone", hang_up())
    with (
        Throttle(tmp_path / "throttle", rate=None, budget=2) as throttle,
        connected(server.url, throttle=throttle) as api,
    ):
        api.get("/ok")
        with pytest.raises(httpx.ReadError):
            api.get("/gone")
        with pytest.raises(BudgetExhausted):
            api.get("/ok")
        first, second, third = api.exchanges
    assert (first.method, first.url) == ("GET", server.url + "/ok")
    assert (first.status, first.kind, first.error) == (201, None, None)
    assert (first.body, first.size) == ("fine", 4)
    assert first.response_headers == {"content-length": "4", "content-type": "text/plain"}
    assert (second.status, second.kind) == (None, "transport")
    assert second.elapsed_ms > 0
    assert (third.status, third.kind, third.elapsed_ms) == (None, "withheld", 0.0)
    assert third.error is not None
    assert third.error.startswith("not run: the run has sent 2 requests, which is all of its")


@pytest.mark.fault(70)
def test_a_credential_that_the_server_echoes_can_be_cleaned_away(server: FaultyServer) -> None:
    """What is learned from request and answer is enough for a redactor, body included."""
    server.on(
        "/",
        answer(
            b"you sent my-own-token and value-of-the-token",
            set_cookie="sid=value-of-the-cookie",
            location="/next?token=value-of-a-parameter",
        ),
    )
    secrets = ["value-of-the-token"]

    def redact(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    with connected(server.url, headers=CREDENTIALS, learn=secrets.append, redact=redact) as api:
        api.get("/?sig=value-of-the-signature", headers={"X-Token": "my-own-token"})
        record = repr(api.exchanges[0])
    assert api.exchanges[0].body == "you sent *** and ***"
    for secret in ("my-own-token", "value-of"):
        assert secret not in record
    assert {"my-own-token", "value-of-the-cookie", "value-of-the-signature"} <= set(secrets)


def test_threads_may_share_a_client(server: FaultyServer) -> None:
    server.on("*", answer(b"ok"))
    with connected(server.url, concurrency=8) as api:

        def ask(number: int) -> None:
            for part in range(10):
                assert api.get(f"/{number}/{part}").text == "ok"

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len({exchange.url for exchange in api.exchanges}) == 80
        assert {exchange.status for exchange in api.exchanges} == {200}


# --- redirects -----------------------------------------------------------------------------


def test_redirects_are_not_followed_unless_asked_for(server: FaultyServer) -> None:
    server.on("/", redirect("/next"))
    with connected(server.url) as api:
        response = api.get("/")
    assert response.status_code == 302
    assert response.next_request is not None
    assert server.paths() == ["/"]


@pytest.mark.fault(86)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_origin_is_followed_with_credentials(
    server: FaultyServer, status: int
) -> None:
    server.on("/", redirect("/next", status))
    server.on("/next", answer(b"there"))
    with connected(server.url, headers=CREDENTIALS) as api:
        response = api.post("/", content=b"body", follow_redirects=True)
        assert response.text == "there"
        assert [one.status_code for one in response.history] == [status]
        assert [exchange.status for exchange in api.exchanges] == [status, 200]
        assert {exchange.traceparent for exchange in api.exchanges} == {
            server.ledger[0].headers["traceparent"]
        }
    last = server.ledger[1]
    kept = status in (307, 308)
    assert (last.method, last.body) == (("POST", b"body") if kept else ("GET", b""))
    assert last.headers["authorization"] == "Bearer value-of-the-token"


@pytest.mark.fault(86)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_origin_is_never_contacted_by_a_redirect(
    server: FaultyServer, other: FaultyServer, status: int
) -> None:
    """No header, no cookie, no body leaves, whatever was configured or set by the test."""
    server.on("/", redirect(other.url + "/next", status))
    with connected(server.url, headers=CREDENTIALS) as api:
        api.cookies.set("mine", "cookie")
        with pytest.raises(RedirectRefused) as refused:
            api.post("/", content=b"body", headers={"X-Own": "header"}, follow_redirects=True)
        first, second = api.exchanges
    assert other.connections == 0
    assert kind_of(refused.value) == "redirect"
    assert str(refused.value).endswith(
        f"{other.url}/next: it leads from {server.url} to {other.url}. Redirects are "
        "followed on the same origin only, so nothing was sent there. If that is the real "
        "address, set base_url to it."
    )
    assert (first.status, first.kind) == (status, None)
    assert (second.status, second.kind, second.error) == (None, "redirect", str(refused.value))


@pytest.mark.fault(86)
@pytest.mark.parametrize(
    "location",
    [
        "//127.0.0.1:{other}/",
        "http://127.0.0.1:{own}@127.0.0.1:{other}/",
        "http://localhost:{own}/",
        "https://127.0.0.1:{own}/",
        "HTTP://127.0.0.1:{other}/#http://127.0.0.1:{own}/",
    ],
)
def test_other_spellings_of_another_origin_are_refused(
    server: FaultyServer, other: FaultyServer, location: str
) -> None:
    server.on("/", redirect(location.format(own=server.port, other=other.port)))
    with (
        connected(server.url, headers=CREDENTIALS) as api,
        pytest.raises(RedirectRefused),
    ):
        api.get("/", follow_redirects=True)
    assert other.connections == 0
    assert server.paths() == ["/"]


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    ("location", "facts"),
    [
        ("", "the Location that led here is empty. Correct it at the server."),
        ("mailto:a@example.com", NO_ADDRESS),
        ("file:///etc/passwd", NO_ADDRESS),
        ("javascript:alert(1)", NO_ADDRESS),
    ],
)
def test_a_redirect_to_nowhere_is_a_failure(
    server: FaultyServer, location: str, facts: str
) -> None:
    server.on("/", redirect(location))
    with connected(server.url) as api:
        with pytest.raises(httpx.TooManyRedirects) as refused:
            api.get("/", follow_redirects=True)
        assert api.exchanges[-1].kind == "redirect"
    assert str(refused.value).endswith(f": {facts}")
    assert server.paths() == ["/"]


@pytest.mark.fault(19)
@pytest.mark.parametrize("follow", [True, False])
def test_a_location_that_is_no_url_is_a_failure(server: FaultyServer, follow: bool) -> None:
    server.on("/", redirect("http://127.0.0.1:port/"))
    with connected(server.url) as api:
        with pytest.raises(httpx.RemoteProtocolError, match="Invalid URL in location header"):
            api.get("/", follow_redirects=follow)
        assert api.exchanges[0].status == 302


@pytest.mark.fault(19)
@pytest.mark.parametrize("locations", [["/loop"], ["/{n}"]], ids=["loop", "endless"])
def test_at_most_five_redirects_are_followed(server: FaultyServer, locations: list[str]) -> None:
    steps = [redirect(locations[0].format(n=number)) for number in range(1, 20)]
    server.on("*", *steps)
    with connected(server.url) as api:
        with pytest.raises(RedirectRefused) as refused:
            api.get("/", follow_redirects=True)
        assert len(api.exchanges) == 7
        assert api.exchanges[-1].kind == "redirect"
    assert len(server.ledger) == 6
    assert str(refused.value).endswith(
        "5 redirects were followed, and none led to a final response."
    )


@pytest.mark.fault(19)
def test_a_location_that_is_no_address_is_told_even_when_not_followed(
    server: FaultyServer,
) -> None:
    """httpx alone raises InvalidURL here, which no `except httpx.HTTPError` catches."""
    server.on("/", redirect("mailto:a@example.com"))
    with connected(server.url) as api:
        with pytest.raises(RedirectRefused) as refused:
            api.get("/")
        assert [exchange.status for exchange in api.exchanges] == [302, None]
    assert str(refused.value) == (
        f"redirect: GET {server.url}/: the response's Location is not a web address. Correct it at "
        "the server."
    )


def test_five_redirects_may_lead_to_an_answer(server: FaultyServer) -> None:
    for number in range(5):
        server.on(f"/{number}", redirect(f"/{number + 1}"))
    server.on("/5", answer(b"there"))
    with connected(server.url) as api:
        api.follow_redirects = True
        response = api.get("/0")
        assert response.text == "there"
        assert len(response.history) == 5


# --- kinds and imports ---------------------------------------------------------------------


@pytest.mark.fault(20)
@pytest.mark.parametrize("together", [True, False])
def test_garbage_after_a_good_answer_is_not_taken_for_the_next_one(
    server: FaultyServer, together: bool
) -> None:
    """What arrives unasked, with an answer or after it, is no answer to the next request."""
    unasked = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    def behave(visit: Visit) -> None:
        visit.send(answered + unasked if together else answered)
        if not together:
            visit.sleep(0.05)
            visit.send(unasked)

    answered = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none"
    server.on("/", behave)
    server.on("/two", answer(b"two"))
    with connected(server.url) as api:
        for _ in range(20 if together else 1):
            assert api.get("/").text == "one"
            time.sleep(0 if together else 0.1)
            assert api.get("/two").text == "two"


def test_the_client_imports_nothing_heavy() -> None:
    """`import httpx` alone brings click and rich where they are installed: 60 ms."""
    code = (
        "import sys, pytest_prodcheck.http.client; "
        "heavy = 'click rich asyncio pydantic sqlalchemy hypothesis schemathesis httpx._main'; "
        "print([name for name in heavy.split() if name in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"
