"""Who is let in: the credential is left out where it is sent from, not where the document says."""

from collections.abc import Callable, Iterator, Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_prodcheck.checks.contract.schemathesis_adapter import Effort, SchemathesisAdapter
from pytest_prodcheck.checks.openapi.operations import operations
from pytest_prodcheck.config import Secret, Target
from pytest_prodcheck.http.transport import WITHOUT, cookie_names
from tests.connection import connected
from tests.faulty import FaultyServer, Seen, Visit, json_answer

BEARER = {"type": "http", "scheme": "bearer"}
BASIC = {"type": "http", "scheme": "basic"}
OPENID = {"type": "openIdConnect", "openIdConnectUrl": "https://id.example/.well-known"}
COOKIE = {"type": "apiKey", "in": "cookie", "name": "sid"}
KEY = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
COOKIE_HEADER = {"type": "apiKey", "in": "header", "name": "Cookie"}
MTLS = {"type": "mutualTLS"}

TOKEN = "Bearer hunter2-hunter2"
USER = "Basic dXNlcjpodW50ZXIy"
KEY_VALUE = "k3y-k3y-k3y-k3y"
SESSION = "s3ss10n-s3ss10n"

Door = Callable[[Seen], bool]


def header(name: str, value: str) -> Door:
    return lambda seen: seen.headers.get(name.lower()) == value


def cookie(name: str, value: str = SESSION) -> Door:
    def knows(seen: Seen) -> bool:
        jar = SimpleCookie(seen.headers.get("cookie", ""))
        return name in jar and jar[name].value == value

    return knows


def both(one: Door, other: Door) -> Door:
    return lambda seen: one(seen) and other(seen)


def either(one: Door, other: Door) -> Door:
    return lambda seen: one(seen) or other(seen)


def anybody(_: Seen) -> bool:
    return True


def anybody_with(name: str) -> Door:
    return lambda seen: name.lower() in seen.headers


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


def accused(
    server: FaultyServer,
    folder: Path,
    schemes: Mapping[str, Any],
    security: list[dict[str, list[str]]],
    headers: Mapping[str, str],
    door: Door,
    parameters: list[dict[str, Any]] | None = None,
) -> str | None:
    """The title of the failure, where `door` decides who is let in."""

    def behave(visit: Visit) -> None:
        known = door(visit.request)
        json_answer({}, 200 if known else 401, set_cookie=f"sid={SESSION}; Path=/")(visit)

    server.on("/mine", behave)
    get = {"security": security, "responses": {"200": {"description": "it"}}}
    spec = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "components": {"securitySchemes": dict(schemes)},
        "paths": {"/mine": {"get": {**get, "parameters": parameters or []}}},
    }
    secrets = {name: Secret(value, "${V}") for name, value in headers.items()}
    target = Target(name="t", base_url=server.url, headers=secrets)
    (operation,) = operations(spec, target)
    effort = Effort(max_examples=1, negative=False, undeclared=False, seed=0)
    adapter = SchemathesisAdapter(spec, frozenset(headers), effort, folder, cookie_names(target))
    with connected(server.url, headers=secrets) as client:

        def wire(prepared: Any, sent: Any, without: frozenset[str]) -> httpx.Response:
            request = httpx.Request(
                prepared.method, prepared.url, headers=dict(sent), extensions={WITHOUT: without}
            )
            return client.send(request)

        case = adapter.sample(operation)
        assert adapter.request(case, operation.base, wire).status_code == 200
        broken = adapter.check_auth_enforced(case, operation, wire)
    return broken.title if broken else None


COOKIES = f"theme=dark; sid={SESSION}; lang=en"


@pytest.mark.parametrize(
    ("schemes", "security", "headers", "door"),
    [
        pytest.param([BEARER], "a", {"Authorization": TOKEN}, header("authorization", TOKEN),
                     id="bearer"),
        pytest.param([BASIC], "a", {"authorization": USER}, header("authorization", USER),
                     id="basic, the header in small letters"),
        pytest.param([OPENID], "a", {"Authorization": TOKEN}, header("authorization", TOKEN),
                     id="openIdConnect"),
        pytest.param([KEY], "a", {"x-api-key": KEY_VALUE}, header("x-api-key", KEY_VALUE),
                     id="a key in a header of another case"),
        pytest.param([COOKIE], "a", {"Cookie": f"sid={SESSION}"}, cookie("sid"),
                     id="a cookie that is sent as a header"),
        pytest.param([COOKIE], "a", {"Cookie": COOKIES},
                     both(cookie("sid"), cookie("theme", "dark")),
                     id="a cookie among others"),
        pytest.param([COOKIE_HEADER], "a", {"Cookie": COOKIES}, cookie("sid"),
                     id="a header that is called Cookie"),
        pytest.param([BEARER, KEY], "ab", {"Authorization": TOKEN, "X-API-Key": KEY_VALUE},
                     both(header("authorization", TOKEN), header("x-api-key", KEY_VALUE)),
                     id="two at once"),
        pytest.param([BEARER, KEY], "a|b", {"X-API-Key": KEY_VALUE},
                     either(header("authorization", TOKEN), header("x-api-key", KEY_VALUE)),
                     id="one of two"),
        pytest.param([BEARER, KEY], "a|b", {"Authorization": TOKEN, "X-API-Key": KEY_VALUE},
                     either(header("authorization", TOKEN), header("x-api-key", KEY_VALUE)),
                     id="both of two of which one is enough"),
        pytest.param([BEARER, MTLS], "ab", {"Authorization": TOKEN},
                     header("authorization", TOKEN), id="a certificate and a token"),
        pytest.param([KEY], "a", {"Authorization": TOKEN}, header("authorization", TOKEN),
                     id="a credential that the document does not mention"),
        pytest.param([COOKIE], "a", {"Cookie": f"session={SESSION}"}, cookie("session"),
                     id="a cookie of another name"),
        pytest.param([BEARER], "a", {"Authorization": TOKEN, "X-Edge": KEY_VALUE},
                     both(header("authorization", TOKEN), header("x-edge", KEY_VALUE)),
                     id="a key of a proxy in front of it"),
        pytest.param([BEARER], "a", {"Authorization": TOKEN},
                     either(header("authorization", TOKEN), cookie("sid")),
                     id="a session that the server has begun meanwhile"),
    ],
)  # fmt: skip
def test_a_server_that_refuses_strangers_is_not_accused(
    server: FaultyServer,
    tmp_path: Path,
    schemes: list[Any],
    security: str,
    headers: dict[str, str],
    door: Door,
) -> None:
    named = dict(zip("ab", schemes, strict=False))
    asked = [{name: [] for name in names} for names in security.split("|")]
    assert accused(server, tmp_path, named, asked, headers, door) is None
    assert len(server.ledger) >= 3


OPEN = "API accepts requests without authentication"
CARELESS = "API accepts invalid authentication"


@pytest.mark.parametrize(
    ("schemes", "headers", "door", "title"),
    [
        pytest.param([BEARER], {"Authorization": TOKEN}, anybody, OPEN, id="bearer"),
        pytest.param([BEARER], {"Authorization": TOKEN}, anybody_with("authorization"), CARELESS,
                     id="any bearer"),
        pytest.param([BASIC], {"Authorization": USER},
                     lambda seen: seen.headers.get("authorization", "").startswith("Basic "),
                     CARELESS, id="any user"),
        pytest.param([KEY], {"X-API-Key": KEY_VALUE}, anybody_with("x-api-key"), CARELESS,
                     id="any key"),
        pytest.param([COOKIE], {"Cookie": COOKIES}, anybody, OPEN, id="cookie"),
        pytest.param([COOKIE], {"Cookie": COOKIES},
                     lambda seen: "sid" in SimpleCookie(seen.headers.get("cookie", "")), CARELESS,
                     id="any cookie of that name"),
        pytest.param([COOKIE], {"Cookie": COOKIES}, cookie("theme", "dark"), OPEN,
                     id="another cookie is enough"),
        pytest.param([KEY], {"Authorization": TOKEN}, anybody, OPEN,
                     id="open, with a credential that the document does not mention"),
        pytest.param([BEARER], {"Authorization": TOKEN, "X-Edge": KEY_VALUE},
                     header("x-edge", KEY_VALUE), OPEN, id="open behind a proxy with a key"),
        pytest.param([KEY], {}, anybody, OPEN, id="no credential at all"),
    ],
)  # fmt: skip
def test_a_server_that_lets_strangers_in_is_accused(
    server: FaultyServer,
    tmp_path: Path,
    schemes: list[Any],
    headers: dict[str, str],
    door: Door,
    title: str,
) -> None:
    named = dict(zip("ab", schemes, strict=False))
    assert accused(server, tmp_path, named, [{"a": []}], headers, door) == title


def test_other_cookies_of_a_case_are_sent_with_those_of_the_target(
    server: FaultyServer, tmp_path: Path
) -> None:
    colour = {"type": "string", "enum": ["red"]}
    parameters = [
        {"in": "cookie", "name": name, "required": True, "schema": colour}
        for name in ("colour", "theme")
    ]
    headers = {"Cookie": COOKIES}
    asked = [{"a": []}]
    found = accused(server, tmp_path, {"a": COOKIE}, asked, headers, cookie("sid"), parameters)
    assert found is None
    first, stranger, wrong = [SimpleCookie(seen.headers["cookie"]) for seen in server.ledger]
    ours = {"theme": "dark", "lang": "en", "colour": "red"}
    assert {name: one.value for name, one in first.items()} == {**ours, "sid": SESSION}
    assert {name: one.value for name, one in stranger.items()} == ours
    assert set(wrong) == {*ours, "sid"}
    assert wrong["sid"].value != SESSION
