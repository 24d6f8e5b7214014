"""The record of a request: everything a reader needs, and no credential."""

import base64
import subprocess
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.recording import MASK, SHOWN, Masking
from pytest_prodcheck.http.sockets import RequestDeadline
from pytest_prodcheck.model import Exchange
from pytest_prodcheck.redaction.redactor import Redactor

SECRET = "s3cr3t-value-of-mine"

# Forty names of parameters that carry credentials, as APIs and clouds spell them.
QUERY_NAMES = (
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "auth",
    "auth_token",
    "sig",
    "signature",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Goog-Signature",
    "X-Goog-Credential",
    "AWSAccessKeyId",
    "code",
    "pin",
    "otp",
    "totp",
    "jwt",
    "dsn",
    "key",
    "api_key",
    "apikey",
    "api-key",
    "x-api-key",
    "license_key",
    "secret",
    "client_secret",
    "password",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "session",
    "session_id",
    "sid",
    "ticket",
    "private_key",
    "SAMLResponse",
    "bearer",
    "hmac",
    "mac",
    "passcode",
    "credentials",
    "user[password]",
    "csrf_token",
)

HEADER_NAMES = (
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "X-Api-Key",
    "X-JWT",
    "X-Signature",
    "X-Sid",
    "X-Access",
    "X-Token",
    "X-Auth-Token",
    "X-Csrf-Token",
    "X-Amz-Security-Token",
    "X-Session",
    "X-Tenant",
    "X-Forwarded-User",
    "DPoP",
)


def record(
    method: str = "GET",
    url: str = "http://127.0.0.1/",
    answer: bytes = b"",
    answer_headers: list[tuple[str, str]] | None = None,
    added: tuple[tuple[str, str], ...] = (),
    **request: object,
) -> tuple[Exchange, list[str]]:
    """The exchange of such a request, and what was learned from it."""
    learned: list[str] = []
    deadline = RequestDeadline()
    deadline.excerpt, deadline.size = answer, len(answer)
    exchange = Masking(learned.append, None).exchange(
        httpx.Request(method, url, **request),  # type: ignore[arg-type]
        deadline,
        added,
        response=httpx.Response(200, headers=answer_headers or []),
    )
    return exchange, learned


@pytest.mark.fault(67, 70)
@pytest.mark.parametrize("name", QUERY_NAMES)
def test_a_sensitive_parameter_is_masked_and_learned(name: str) -> None:
    for spelling in (name, name.upper(), name.replace("_", "-")):
        exchange, learned = record(url=f"http://127.0.0.1/a?q=shown&{spelling}={SECRET}&n=1")
        told = httpx.URL(exchange.url).params
        assert SECRET not in exchange.url + exchange.curl
        assert (told["q"], told["n"]) == ("shown", "1")
        assert SECRET in learned


@pytest.mark.parametrize("name", ["q", "page", "sort", "monkey", "design", "decode", "author"])
def test_an_ordinary_parameter_is_shown(name: str) -> None:
    exchange, learned = record(url=f"http://127.0.0.1/a?{name}=everybody-may-see")
    assert exchange.url == f"http://127.0.0.1/a?{name}=everybody-may-see"
    assert learned == []


@pytest.mark.fault(67)
def test_an_encoded_value_is_learned_both_ways() -> None:
    _, learned = record(url="http://127.0.0.1/?token=a%2Bb%2Fcdefgh")
    assert {"a%2Bb%2Fcdefgh", "a+b/cdefgh"} <= set(learned)


@pytest.mark.fault(66, 70)
@pytest.mark.parametrize("name", HEADER_NAMES)
def test_a_request_header_that_is_not_known_to_be_harmless_is_masked(name: str) -> None:
    exchange, learned = record(headers={name: f"session={SECRET}"})
    assert exchange.request_headers[name.lower()] == MASK
    assert SECRET not in repr(exchange)
    assert any(SECRET in value for value in learned)


def test_harmless_request_headers_are_shown() -> None:
    shown = {
        "accept": "text/html",
        "range": "bytes=0-1",
        "if-none-match": '"abc"',
        "content-type": "text/plain",
        "cache-control": "no-cache",
        "user-agent": "pytest-prodcheck/0.1.0",
        "host": "127.0.0.1",
    }
    exchange, learned = record(headers=shown)
    assert exchange.request_headers == shown
    assert learned == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Authorization": "Bearer abcdefghijk"}, ["Bearer abcdefghijk", "abcdefghijk"]),
        ({"Cookie": "a=abcdefghijk; b=lmnopqrstuv"}, ["abcdefghijk", "lmnopqrstuv"]),
        (
            {"Authorization": "Basic " + base64.b64encode(b"me:open sesame").decode()},
            ["me:open sesame", "open sesame"],
        ),
    ],
    ids=["bearer", "cookies", "basic"],
)
def test_the_parts_of_a_header_are_learned_too(
    headers: dict[str, str], expected: list[str]
) -> None:
    _, learned = record(headers=headers)
    assert set(expected) <= set(learned)


@pytest.mark.fault(78)
def test_short_values_are_masked_but_not_learned() -> None:
    """To mask every `1` or `prod` elsewhere would shred the report."""
    exchange, learned = record(url="http://127.0.0.1/?pin=1234", headers={"X-Env": "prod"})
    assert exchange.url == "http://127.0.0.1/?pin=***"
    assert learned == []


@pytest.mark.fault(70)
def test_what_the_answer_sets_is_masked_and_learned() -> None:
    headers = [
        ("Set-Cookie", f"sid={SECRET}-1; Path=/; HttpOnly"),
        ("Set-Cookie", f"other={SECRET}-2"),
        ("Location", f"https://me:{SECRET}-3@127.0.0.1/next?token={SECRET}-4&n=1"),
        ("X-Auth-Token", f"{SECRET}-5"),
        ("Content-Type", "text/html"),
    ]
    exchange, learned = record(answer_headers=headers)
    assert exchange.response_headers == {
        "set-cookie": "sid=***; Path=/; HttpOnly, other=***",
        "location": "https://127.0.0.1/next?token=***&n=1",
        "x-auth-token": "***",
        "content-type": "text/html",
    }
    assert {f"{SECRET}-{n}" for n in (1, 2, 4, 5)} <= set(learned)


@pytest.mark.fault(71)
def test_user_information_of_a_url_is_left_out() -> None:
    exchange, learned = record(url=f"http://me:{SECRET}@127.0.0.1:81/a")
    assert exchange.url == "http://127.0.0.1:81/a"
    assert SECRET not in repr(exchange)
    assert SECRET in learned


@pytest.mark.fault(70)
def test_tokens_in_a_body_are_masked_by_the_name_of_their_field() -> None:
    body = f'{{"access_token": "{SECRET}", "code": "not_found", "user": {{"password":"{SECRET}"}}}}'
    exchange, learned = record(answer=body.encode())
    assert exchange.body == body.replace(SECRET, MASK)
    assert SECRET in learned
    sent, _ = record("POST", json={"api_key": SECRET, "name": "shown"})
    assert SECRET not in sent.curl
    assert "shown" in sent.curl
    form, _ = record("POST", data={"password": SECRET, "name": "shown"})
    assert SECRET not in form.curl
    assert "name=shown" in form.curl


def test_an_answer_is_cut_after_it_was_cleaned() -> None:
    """Or the first half of a secret at the cut would stay."""
    deadline = RequestDeadline()
    deadline.excerpt = b"x" * (SHOWN - 10) + SECRET.encode() + b"y" * 100
    masking = Masking(None, lambda text: text.replace(SECRET, MASK))
    exchange = masking.exchange(
        httpx.Request("GET", "http://127.0.0.1/"), deadline, (), response=httpx.Response(200)
    )
    assert exchange.body == "x" * (SHOWN - 10) + MASK + "y" * 7
    assert len(exchange.body) == SHOWN


def test_an_answer_is_read_in_its_own_character_set() -> None:
    latin = [("Content-Type", 'text/plain; charset="latin-1"')]
    assert record(answer=b"gr\xfcn", answer_headers=latin)[0].body == "grün"
    odd = [("Content-Type", "text/plain; charset=klingon")]
    assert record(answer="grün".encode(), answer_headers=odd)[0].body == "grün"
    assert record(answer=b"gr\xfcn")[0].body == "gr\N{REPLACEMENT CHARACTER}n"


def test_a_binary_answer_is_named_and_not_shown() -> None:
    exchange, _ = record(answer=b"\x89PNG\0\0", answer_headers=[("Content-Type", "image/png")])
    assert exchange.body == "(6 bytes of image/png)"


# --- curl ---------------------------------------------------------------------------------


def pasted(command: str, **variables: str) -> list[str]:
    """The arguments that curl gets when *command* is run by sh, where *variables* are set."""
    stub = 'curl() { printf "%s\\0" "$@"; }\n'
    shown = subprocess.run(
        ["sh", "-c", stub + command],
        env={**variables, "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    return shown.stdout.split("\0")[:-1]


def after(option: str, words: list[str]) -> list[str]:
    """The values of one option."""
    return [value for name, value in pairwise(words) if name == option]


def test_configured_credentials_stand_in_curl_as_their_variables() -> None:
    added = (("Authorization", "Bearer ${PROD_TOKEN}"), ("X-Tenant", MASK))
    exchange, _ = record(added=added, headers={"Accept": "application/json", "X-Own": SECRET})
    assert exchange.curl == (
        "curl -sS -i --compressed -H \"Authorization: Bearer $PROD_TOKEN\" -H 'X-Tenant: ***' "
        "-H 'accept: application/json' -H 'x-own: ***' http://127.0.0.1/"
    )
    assert exchange.request_headers["authorization"] == MASK


TEMPLATES = {
    "Bearer ${PROD_TOKEN}": "Bearer s3cr3t",
    "Token ${PROD_TOKEN}": "Token s3cr3t",
    "${PROD_TOKEN}": "s3cr3t",
    "${PROD_TOKEN}_suffix": "s3cr3t_suffix",
    "${PROD_USER}:${PROD_TOKEN}": "ann:s3cr3t",
    "${PROD_USER}${PROD_TOKEN}": "anns3cr3t",
    "key=${PROD_USER}; sign=${PROD_TOKEN}": "key=ann; sign=s3cr3t",
    'Digest "$x" `y` \\z ${PROD_TOKEN}': 'Digest "$x" `y` \\z s3cr3t',
    "Bang!! ${PROD_TOKEN}!": "Bang!! s3cr3t!",
    "it's ${PROD_TOKEN}": "it's s3cr3t",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_configured_header_can_be_pasted(template: str) -> None:
    exchange, _ = record(added=(("Authorization", template),))
    words = pasted(exchange.curl, PROD_TOKEN="s3cr3t", PROD_USER="ann")
    assert after("-H", words) == [f"Authorization: {TEMPLATES[template]}"]


VARIABLES = {"API_TOKEN": "t0k3n-0f-th3-api", "SIGNING_KEY": "k3y/with+odd&s1gns="}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Exchange]:
    """Records a request of a process whose environment holds two secrets."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    masking = Masking(None, Redactor((value, name) for name, value in VARIABLES.items()).text)

    def recorded(method: str = "GET", url: str = "http://127.0.0.1/", **request: Any) -> Exchange:
        asked = httpx.Request(method, url, **request)
        exchange = masking.exchange(asked, RequestDeadline(), (), response=httpx.Response(200))
        assert not [value for value in VARIABLES.values() if value in exchange.curl]
        return exchange

    return recorded


@pytest.mark.parametrize(
    "header",
    [
        ("authorization", "Bearer t0k3n-0f-th3-api"),
        ("x-api-key", "t0k3n-0f-th3-api"),
        ("x-signature", "t0k3n-0f-th3-api:k3y/with+odd&s1gns="),
        ("cookie", "sid=t0k3n-0f-th3-api; sign=k3y/with+odd&s1gns="),
    ],
    ids=lambda header: header[0],
)
def test_a_header_of_a_test_stands_in_curl_as_its_variable(known, header) -> None:
    exchange = known(headers=dict([header]))
    assert exchange.request_headers[header[0]] == MASK
    assert after("-H", pasted(exchange.curl, **VARIABLES)) == [": ".join(header)]


@pytest.mark.parametrize(
    "header",
    [
        ("authorization", "Bearer of-nobody-knows-what"),
        ("authorization", "Bearer t0k3n-0f-th3-api-and-more-that-is-secret"),
        ("x-api-key", "t0k3n-0f-th3"),
        ("cookie", "sid=of-nobody-knows-what"),
    ],
)
def test_what_is_not_made_of_known_variables_is_masked(known, header) -> None:
    (shown,) = after("-H", pasted(known(headers=dict([header])).curl, **VARIABLES))
    assert shown.endswith(MASK)
    assert "nobody" not in shown
    assert "more" not in shown


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_a_query_can_be_pasted(known, method) -> None:
    """What has to be encoded in a URL is encoded by curl, since a shell cannot."""
    sent = {"page": "1", "token": VARIABLES["API_TOKEN"], "sig": VARIABLES["SIGNING_KEY"]}
    content = b"a body" if method == "POST" else None
    exchange = known(method, "http://127.0.0.1/a", params=sent, content=content)
    words = pasted(exchange.curl, **VARIABLES)
    assert words[-1] == "http://127.0.0.1/a?page=1&token=t0k3n-0f-th3-api"
    option = "--url-query" if content else "--data-urlencode"
    assert after(option, words) == ["sig=k3y/with+odd&s1gns="]
    assert ("-G" in words) == (content is None)
    assert "t0k3n" not in exchange.url


def test_a_secret_in_a_path_can_be_pasted(known) -> None:
    exchange = known(url="http://127.0.0.1/hooks/t0k3n-0f-th3-api/x?q=${HOME}&a[]=1")
    words = pasted(exchange.curl, **VARIABLES, HOME="/home/ann")
    assert words[-2:] == ["-g", "http://127.0.0.1/hooks/t0k3n-0f-th3-api/x?q=%24{HOME}&a[]=1"]


def test_a_body_of_several_lines_can_be_pasted() -> None:
    body = "first 100 %\n\tsecond \\n it's $HOME\n"
    exchange, _ = record("POST", content=body, headers={"Content-Type": "text/plain"})
    assert exchange.curl.isprintable()
    sent = subprocess.run(
        ["sh", "-c", "curl() { cat; }\n" + exchange.curl], capture_output=True, text=True
    ).stdout
    assert sent == body


@pytest.mark.parametrize(
    ("method", "option"), [("HEAD", "--head"), ("DELETE", "-X DELETE"), ("POST", "-X POST")]
)
def test_curl_has_the_method(method: str, option: str) -> None:
    assert f"--compressed {option} " in record(method)[0].curl + " "


def test_curl_is_one_line_whose_shell_runs_nothing() -> None:
    """What a server or a test put into a URL, header or body stays text."""
    nasty = "';touch owned;'\"$(touch owned)`touch owned`#"
    exchange, _ = record(
        "POST",
        "http://127.0.0.1/a;b'c?d=$(touch%20owned)",
        content=nasty,
        headers={"Accept": "$(touch owned)'x"},
        added=(("X-Key", '$(touch owned)"`${KEY}\\'),),
    )
    assert exchange.curl.isprintable()
    words = pasted(exchange.curl, KEY="value")
    assert 'X-Key: $(touch owned)"`value\\' in words
    assert "accept: $(touch owned)'x" in words
    assert nasty in words
    assert words[-1] == "http://127.0.0.1/a;b'c?d=$(touch%20owned)"


def test_a_body_that_is_no_text_is_not_in_curl() -> None:
    upload, _ = record("POST", files={"f": ("name", b"file content")})
    assert "--data-binary '***'" in upload.curl
    stream, _ = record("POST", content=iter([b"a", b"b"]))
    assert "--data-binary '***'" in stream.curl
