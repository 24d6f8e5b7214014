"""What the redactor must find, in whatever dress, and what it must leave alone."""

import base64
import html
import io
import json
import logging
import pprint
import random
import re
import shlex
import string
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from urllib.parse import quote, quote_plus, urlencode
from xml.sax.saxutils import escape as xml_escape
from xml.sax.saxutils import quoteattr

import pytest

from pytest_prodcheck.redaction.redactor import (
    SIZE,
    Redactor,
    from_environment,
    guard_logging,
    scrub,
)

ALPHABETS = {
    "alphanumeric": string.ascii_letters + string.digits,
    "hex": "0123456789abcdef",
    "base64": string.ascii_letters + string.digits + "+/",
    "url-safe": string.ascii_letters + string.digits + "-_",
    "punctuation": string.ascii_letters + string.digits + "!#$%&'()*+,/:;<=>?@[]^`{|}~\"\\",
    "letters of Europe": string.ascii_letters + "äöüßÄÖéèñçøłžΣσπЖя€",
}


def canaries() -> dict[str, str]:
    """72 random secrets: 12 from each alphabet, of 8 to 80 characters, the same in every run."""
    chance = random.Random(66)
    lengths = (8, 9, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80)
    return {
        f"CANARY_{name.upper().replace(' ', '_').replace('-', '_')}_{length}": "".join(
            chance.choices(letters, k=length)
        )
        for name, letters in ALPHABETS.items()
        for length in lengths
    }


CANARIES = canaries()


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def basic(text: str) -> str:
    return base64.b64encode(f"user:{text}".encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "swapped case": str.swapcase,
    "reversed": lambda text: text[::-1],
    "quote": lambda text: quote(text, safe=""),
    "quote, small hex digits": lambda text: quote(text, safe="").swapcase(),
    "quote_plus": quote_plus,
    "quote as a path": lambda text: quote(text, safe="/:@!$&'()*+,;="),
    "percent throughout": percent,
    "quoted twice": lambda text: quote(quote(text, safe=""), safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, second place": lambda text: base64.b64encode(b"x" + text.encode()).decode()[2:],
    "base64, third place": lambda text: base64.b64encode(b"xy" + text.encode()).decode()[3:],
    "URL-safe base64": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in a query": lambda text: quote_plus(base64.b64encode(text.encode())),
    "base64 in wrapped lines": lambda text: base64.encodebytes(b"x" * 50 + text.encode()).decode(),
    "base64 of its JSON": lambda text: base64.b64encode(json.dumps({"k": text}).encode()).decode(),
    "base64 of its query": lambda text: base64.b64encode(quote_plus(text).encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "upper-case hex": lambda text: text.encode().hex().upper(),
    "hex in pairs": lambda text: text.encode().hex(" "),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "JSON of JavaScript": lambda text: json.dumps(text, ensure_ascii=False)[1:-1].replace(
        "/", "\\/"
    ),
    "HTML": html.escape,
    "HTML, numeric": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML, hexadecimal": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "XML": xml_escape,
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "ascii": ascii,
    "repr of JSON": lambda text: repr(json.dumps(text)),
    "HTML of JSON": lambda text: html.escape(json.dumps(text)),
    "as a header": lambda text: text.encode().decode("latin-1"),
    "shell": shlex.quote,
}


def fragments(text: str) -> set[str]:
    """All pieces of `SIZE` characters, without letter case."""
    text = text.casefold()
    return {text[at : at + SIZE] for at in range(len(text) - SIZE + 1)}


def leaks(secret: str, shown: str) -> set[str]:
    return fragments(secret) & fragments(shown)


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor((value, name) for name, value in CANARIES.items())


@pytest.mark.fault(66, 67, 69, 70)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_canary_in_each_encoding_is_masked(encoding: str, redactor: Redactor) -> None:
    for name, value in CANARIES.items():
        written = ENCODINGS[encoding](value)
        shown = redactor.text(f"before § {written} § after")
        # What stands before the secret may stay, with the one character that they share.
        without = ENCODINGS[encoding]("")
        shared = next(at for at in range(len(written)) if without[at : at + 1] != written[at])
        assert not leaks(written[shared + 1 if shared else 0 :], shown), (name, shown)
        masks = re.fullmatch(r"before § (.*) § after", shown, re.DOTALL)
        assert masks, shown
        left = masks[1].replace(f"${{{name}}}", "", 1)
        assert left != masks[1]
        # What an encoding puts around the secret: quotes, or the rest of a base64 triple.
        assert len(left) <= shared + 8, (name, shown)


@pytest.mark.fault(66)
def test_a_password_inside_basic_credentials_is_masked(redactor: Redactor) -> None:
    for value in CANARIES.values():
        shown = redactor.text(f"Authorization: Basic {basic(value)}")
        assert not leaks(basic(value)[6:], shown)
        assert shown.startswith("Authorization: Basic dXNlc")


@pytest.mark.fault(74)
@pytest.mark.parametrize("encoding", ["raw", "quote", "base64", "hex", "JSON", "HTML", "reversed"])
def test_any_fragment_of_eight_characters_is_masked(encoding: str, redactor: Redactor) -> None:
    chance = random.Random(74)
    for value in CANARIES.values():
        for length in (8, 9, chance.randint(8, len(value)), len(value)):
            start = chance.randint(0, max(0, len(value) - length))
            piece = ENCODINGS[encoding](value[start : start + length])
            shown = redactor.text(f"<{piece}...>")
            assert not leaks(piece, shown), (value, piece, shown)


@pytest.mark.fault(74)
def test_fragments_of_seven_characters_may_stay() -> None:
    """Pins the limit that the documentation names."""
    redactor = Redactor([("mK4x9Qw2Zr7T", "TOKEN")])
    assert redactor.text("mK4x9Qw") == "mK4x9Qw"
    assert redactor.text("mK4x9Qw2") == "${TOKEN}"


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    "split",
    [
        "\n",
        "\r\n",
        "\n    ",
        "\nE   ",
        "\nE         - ",
        "\nE         + ",
        "\n> ",
        "\n| ",
        " │\n│ ",
        "\x1b[31m",
        "\x1b[1;38;5;208m",
        "\x1b[0m\n\x1b[31mE   ",
        "\x1b[2K",
        "\x1b(B",
        "\x1b]8;;http://x\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x9f",
        "\x00",
        "\x08",
        "\u200b",
        "\u00ad",
        "\u202e",
        "\ufeff",
        "\\n",
        "\\r\\n",
        "\\x1b[31m",
        "\\u001b[0m",
        "#x1B[31m",
        "^[[31m",
        "%0A",
        "&#10;",
        " ",
        "\t",
    ],
    ids=ascii,
)
def test_nothing_put_inside_a_secret_hides_it(split: str, redactor: Redactor) -> None:
    """Split in the middle of 14 characters neither half is long enough by itself."""
    chance = random.Random(split)
    for value in CANARIES.values():
        secret = value[:14]
        for at in {len(secret) // 2, chance.randint(1, len(secret) - 1)}:
            shown = redactor.text(f"[[{secret[:at]}{split}{secret[at:]}]]")
            assert secret[:at] not in shown or at < 3, (secret, shown)
            assert secret[at:] not in shown or len(secret) - at < 3, (secret, shown)


@pytest.mark.fault(74)
def test_text_wrapped_at_eighty_columns_hides_no_secret(redactor: Redactor) -> None:
    for value in CANARIES.values():
        for before in (60, 70, 75, 79):
            text = "x" * before + value + "y" * 30
            lines = [text[at : at + 80] for at in range(0, len(text), 80)]
            shown = redactor.text("\n".join(lines)).replace("\n", "")
            assert shown.startswith("x" * before)
            assert shown.endswith("y" * 30)
            # Two or three letters may stay where the neighbours look like the secret's.
            assert not leaks(value, shown)
            assert len(shown) < before + 30 + len("${CANARY_LETTERS_OF_EUROPE_80}") + 1


@pytest.mark.fault(74)
@pytest.mark.parametrize("width", [20, 40, 80])
def test_pretty_printed_and_filled_text_hides_no_secret(width: int, redactor: Redactor) -> None:
    for value in CANARIES.values():
        data = {"headers": {"x-token": value}, "list": ["a" * 30, value, {"deep": [value]}]}
        for text in (
            pprint.pformat(data, width=width),
            textwrap.fill(json.dumps(data), width, break_long_words=True),
        ):
            shown = redactor.text(text)
            assert not leaks(value, shown.replace("\n", ""))


@pytest.mark.fault(74)
def test_both_sides_of_a_link_of_the_terminal_are_searched(redactor: Redactor) -> None:
    value = CANARIES["CANARY_ALPHANUMERIC_24"]
    link = f"\x1b]8;;https://u:{value}@host/\x1b\\{value[:12]}\x1b[31m{value[12:]}\x1b]8;;\x1b\\"
    shown = redactor.text(link)
    assert not leaks(value, shown)
    assert shown.count("${CANARY_ALPHANUMERIC_24}") == 2


# --- where it is met ------------------------------------------------------------------------

SECRET = "zQ7/kP2+xW9=mN4&vB6 tR'8"
"""One that every encoding changes."""

HEADERS = (
    "Authorization Proxy-Authorization Cookie Set-Cookie X-Api-Key Api-Key X-Auth-Token X-Token "
    "X-Access-Token X-JWT X-Sid X-Access X-Signature X-Session X-Session-Id X-CSRF-Token "
    "X-XSRF-Token X-Secret X-Client-Secret X-Password X-Pin X-Otp X-Code X-Key X-Hub-Signature "
    "X-Hub-Signature-256 X-Amz-Security-Token X-Goog-Api-Key X-Vault-Token X-Consul-Token "
    "X-Gitlab-Token X-Shopify-Access-Token X-Figma-Token X-Ticket X-Grant X-Dsn X-Real-Thing "
    "X-Trace-Context X-Forwarded-For Location"
)

QUERY = (
    "sig code pin otp jwt dsn X-Amz-Signature X-Amz-Credential X-Amz-Security-Token token "
    "access_token id_token refresh_token api_key apikey key secret client_secret password passwd "
    "pwd pass auth authorization session sid sessionid state nonce assertion SAMLResponse ticket "
    "hash hmac signature sv se sp grant q"
)


@pytest.fixture(scope="module")
def one() -> Redactor:
    return Redactor([(SECRET, "PROD_TOKEN")])


@pytest.mark.fault(66)
def test_no_header_name_matters(one: Redactor) -> None:
    names = HEADERS.split()
    assert len(names) == 40
    for name in names:
        assert one.data({name: f"Bearer {SECRET}"}) == {name: "Bearer ${PROD_TOKEN}"}
        assert (
            one.text(f"{name.lower()}: {SECRET.swapcase()}") == f"{name.lower()}: ${{PROD_TOKEN}}"
        )


@pytest.mark.fault(67)
def test_no_query_parameter_matters(one: Redactor) -> None:
    names = QUERY.split()
    assert len(names) == 40
    for name in names:
        url = "https://api.example.com/a?" + urlencode({"page": "1", name: SECRET, "size": "20"})
        expected = f"https://api.example.com/a?page=1&{name}=${{PROD_TOKEN}}&size=20"
        assert one.text(url) == expected


@pytest.mark.fault(68)
@pytest.mark.parametrize("safe", ["", "/", "/:@!$&'()*+,;="])
def test_a_path_segment_is_masked(safe: str, one: Redactor) -> None:
    url = f"https://api.example.com/hooks/{quote(SECRET, safe=safe)}/send"
    assert one.text(url) == "https://api.example.com/hooks/${PROD_TOKEN}/send"


BODIES: dict[str, Callable[[str], str]] = {
    "JSON": lambda secret: json.dumps({"user": {"name": "ann", "keys": [{"value": secret}]}}),
    "form": lambda secret: urlencode({"name": "ann", "value": secret}),
    "multipart": lambda secret: (
        f'--b\r\nContent-Disposition: form-data; name="v"\r\n\r\n{secret}\r\n--b--'
    ),
    "XML": lambda secret: f"<user n={quoteattr(secret)}><v>{xml_escape(secret)}</v></user>",
    "CDATA": lambda secret: f"<v><![CDATA[{secret}]]></v>",
    "YAML": lambda secret: f"value: {json.dumps(secret)}\n",
    "HTML error page": lambda secret: f"<h1>403</h1><p>bad token {html.escape(secret)}</p>",
    "header echoed": lambda secret: (
        f"Set-Cookie: s={quote(secret)}; Path=/\r\nLocation: /?t={secret}"
    ),
    "repr of a request": lambda secret: repr({"headers": [(b"X-K", secret.encode())]}),
    "curl": lambda secret: f"curl -H {shlex.quote('X-K: ' + secret)} http://x/",
}


@pytest.mark.fault(69, 70)
@pytest.mark.parametrize("kind", BODIES)
def test_a_body_shows_no_secret(kind: str, one: Redactor) -> None:
    body = BODIES[kind](SECRET)
    shown = one.text(body)
    assert not leaks(SECRET, shown)
    assert "zQ7" not in shown
    assert "${PROD_TOKEN}" in shown


@pytest.mark.fault(69)
def test_a_body_that_was_json_still_is(redactor: Redactor) -> None:
    for name, value in CANARIES.items():
        document = {"a": [1, 2.5, None, True, {"k": value}], value: "x", "tail": f"{value}\n"}
        for text in (json.dumps(document), json.dumps(document, indent=2, ensure_ascii=False)):
            mask = f"${{{name}}}"
            expected = {"a": [1, 2.5, None, True, {"k": mask}], mask: "x", "tail": mask}
            shown = json.loads(redactor.text(text))
            shown["tail"] = shown["tail"].strip()
            assert shown == expected


@pytest.mark.fault(69)
def test_a_page_keeps_its_elements(redactor: Redactor) -> None:
    class Elements(HTMLParser):
        def __init__(self, page: str) -> None:
            super().__init__()
            self.seen: list[str] = []
            self.feed(page)
            self.close()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.append(f"{tag} {[name for name, _ in attrs]}")

        def handle_endtag(self, tag: str) -> None:
            self.seen.append(f"/{tag}")

    for value in CANARIES.values():
        quoted = html.escape(value)
        page = f'<p title="{quoted}">{quoted}</p><a href="?t={quote(value)}">{quoted[:12]}</a>'
        shown = redactor.text(page)
        assert Elements(shown).seen == ["p ['title']", "/p", "a ['href']", "/a"]
        assert not leaks(value, shown)


def test_data_keeps_its_shape_and_its_other_values(one: Redactor) -> None:
    exchange = {
        "url": f"https://h/?t={quote(SECRET)}",
        "status": 200,
        "elapsed_ms": 1.5,
        "headers": {SECRET: "a", f"{SECRET} ": "b", "accept": "*/*"},
        "location": ("tests/test_x.py", 3, SECRET),
        "none": None,
        "flag": True,
    }
    assert one.data(exchange) == {
        "url": "https://h/?t=${PROD_TOKEN}",
        "status": 200,
        "elapsed_ms": 1.5,
        "headers": {"${PROD_TOKEN}": "a", "${PROD_TOKEN} ": "b", "accept": "*/*"},
        "location": ("tests/test_x.py", 3, "${PROD_TOKEN}"),
        "none": None,
        "flag": True,
    }


def test_keys_that_become_equal_lose_no_entry() -> None:
    redactor = Redactor([("first-8f3kd92kd", "x y"), ("second-a93jd02lm", "x y")])
    shown = redactor.data({"first-8f3kd92kd": 1, "second-a93jd02lm": 2})
    assert shown == {"***": 1, "*** (2)": 2}


def test_clean_data_comes_back_as_the_same_object(one: Redactor) -> None:
    clean = {"a": ["b", {"c": (1, 2)}], "d": "e" * 50}
    dirty = {"left": clean, "right": SECRET}
    assert one.data(clean) is clean
    assert one.data(dirty)["left"] is clean
    assert one.text(text := "nothing to see") is text


def test_secrets_that_are_not_text_in_data_are_masked_too() -> None:
    redactor = Redactor([("8361940275", "PIN")])

    class Odd:
        def __repr__(self) -> str:
            return "Odd(8361940275)"

    odd = Odd()
    shown = redactor.data({"n": 8361940275, 8361940275: "k", "b": b"8361940275", "o": odd, "m": 83})
    assert shown == {"n": "${PIN}", "${PIN}": "k", "b": "b'${PIN}'", "o": "Odd(${PIN})", "m": 83}
    assert Redactor([("another-39fk20", "X")]).data([odd]) == [odd]
    huge = 10**5000
    assert redactor.data([huge]) == [huge]


def test_a_secret_below_any_depth_is_not_passed_on(one: Redactor) -> None:
    nested: object = SECRET
    for _ in range(5000):
        nested = [nested]
    shown = one.data(nested)
    assert "nested deeper than 100 levels: cut" in str(shown)
    assert not leaks(SECRET, str(shown))


@pytest.mark.fault(71)
@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (
            "postgresql://checkout:v8Kd02mSx7Qp@db.example.com:5432/orders?sslmode=require",
            [
                "could not connect to {}",
                "password authentication failed: v8Kd02mSx7Qp",
                "postgresql://checkout:v8Kd02mSx7Qp@other/x",
                "Basic Y2hlY2tvdXQ6djhLZDAybVN4N1Fw",
            ],
        ),
        ("https://8f0a6b1c2d3e4f5a@errors.example.com/42", ["DSN {}", "key=8f0a6b1c2d3e4f5a"]),
        (
            "https://hooks.example.com/services/T024BE7LD/B024BE7LE/aB3dE5fG7hJ9kL1mN3pQ5rS7",
            ["POST {}", "404 for /aB3dE5fG7hJ9kL1mN3pQ5rS7"],
        ),
        ("https://api.example.com/v1?api_key=q8Zk20dMv7&page=2", ["GET {}", "api_key=q8Zk20dMv7"]),
        ("Server=db;User Id=sa;Password=v8Kd02mSx7Qp;Encrypt=true", ["{}", "PWD=v8Kd02mSx7Qp"]),
        ("host=db user=app password='v8Kd02mSx7Qp'", ["{}", "v8kd02msx7qp"]),
        ("Bearer v8Kd02mSx7QpL4", ["{}", "token v8Kd02mSx7QpL4"]),
        ("Basic YW5uOnY4S2QwMm1TeDdRcA==", ["{}", "ann:v8Kd02mSx7Qp", "YW5uOnY4S2QwMm1TeDdRcA"]),
        ('{"type": "service_account", "private_key": "v8Kd02mSx7Qp"}', ["{}", "v8Kd02mSx7Qp"]),
    ],
    ids=["postgresql", "sentry", "webhook", "query", "ado", "libpq", "bearer", "basic", "json"],
)
def test_the_secret_part_of_a_longer_value_is_masked_alone(value: str, texts: list[str]) -> None:
    redactor = Redactor([(value, "THE_SECRET")])
    for text in texts:
        shown = redactor.text(text.format(value))
        assert "${THE_SECRET}" in shown, shown
        for piece in ("v8Kd02mS", "8f0a6b1c", "aB3dE5fG", "q8Zk20dM", "WTRTMlF3", "OnY4S2Qw"):
            assert piece.lower() not in shown.lower()


@pytest.mark.fault(71)
def test_a_whole_dsn_is_one_mask() -> None:
    dsn = "postgresql://checkout:v8Kd02mSx7Qp@db.example.com:5432/orders"
    redactor = Redactor([(dsn, "${PROD_DATABASE_URL}")])
    assert redactor.text(f"no route to {dsn}.") == "no route to ${PROD_DATABASE_URL}."


@pytest.mark.fault(71)
@pytest.mark.parametrize("login", ["postgres:postgres", "scott:tiger", "app:s3cret", "a:b"])
def test_a_short_or_ordinary_password_is_masked_within_its_login(login: str) -> None:
    redactor = Redactor([(f"postgresql://{login}@localhost:5432/orders", "DATABASE_URL")])
    assert f"{login}@" not in redactor.text(f"(postgresql://{login}@localhost:5432/orders)")
    assert redactor.text("postgres on localhost:5432") == "postgres on localhost:5432"
    if len(login) >= SIZE:
        assert redactor.text(f"tried {login}@replica") == "tried ${DATABASE_URL}replica"


@pytest.mark.fault(71)
def test_exceptions_with_their_causes_show_no_secret(one: Redactor) -> None:
    try:
        try:
            raise ConnectionError(f"refused: https://u:{quote(SECRET, safe='')}@h/")
        except ConnectionError as refused:
            try:
                raise KeyError(SECRET) from refused
            except KeyError:
                raise ValueError({"token": SECRET}) from None
    except ValueError as error:
        context = error.__context__
        assert context is not None
        text = "".join(traceback.format_exception(context)) + "".join(
            traceback.format_exception(error)
        )
    shown = one.text(text)
    assert text.count("zQ7") >= 3
    assert "zQ7" not in shown
    assert shown.count("${PROD_TOKEN}") == 3


@pytest.mark.fault(72)
def test_a_diff_of_mappings_shows_no_secret(one: Redactor) -> None:
    """As pytest writes it for `assert headers == {}` and with --showlocals."""
    left = pprint.pformat({"accept": "*/*", "x-key": SECRET}).splitlines()
    diff = "\n".join(
        ["E       AssertionError: assert " + repr({"x-key": SECRET})[:20] + "..." + SECRET[-9:]]
        + [f"E         - {line}" for line in left]
        + [f"E         \x1b[31m+ {line[:30]}\x1b[39;49;00m{line[30:]}\x1b[90m" for line in left]
        + [f"headers    = { ({'x-key': SECRET})!r}"]
    )
    shown = one.text(diff)
    assert not leaks(SECRET, shown)
    assert shown.count("\nE         - ") == diff.count("\nE         - ")


@pytest.mark.fault(76)
def test_a_command_line_shows_no_secret(one: Redactor) -> None:
    command = shlex.join(["pytest", "--target=prod", f"--header=X-Key: {SECRET}"])
    assert one.text(command).startswith("pytest --target=prod '--header=X-Key: ${PROD_TOKEN}")
    assert not leaks(SECRET, one.text(command))


@pytest.mark.fault(76)
def test_a_redactor_prints_and_pickles_no_secret(one: Redactor) -> None:
    import pickle

    assert repr(one) == "Redactor(1 names)"
    with pytest.raises(TypeError, match="a Redactor holds secrets and is not serialised"):
        pickle.dumps(one)


# --- what must stay readable ----------------------------------------------------------------


@pytest.mark.fault(78)
@pytest.mark.parametrize("value", ["prod", "1234", "", "       x       ", "seven77"])
def test_secrets_below_eight_characters_do_not_shred_the_report(value: str) -> None:
    text = "prod 1234 seven77 x " * 5
    assert Redactor([(value, "SHORT")]).text(text) is text


INNOCENT = """
tests/smoke/test_health.py::test_probe[GET /health] PASSED
production is up: https://api.example.com/health answered 200 in 12 ms
postgresql://localhost:5432/orders on db.example.com, postgresql+psycopg://db.example.com/orders
Authorization: Bearer ***  WWW-Authenticate: Bearer realm="production"
Basic authentication is off. bearer authentication is on. service_account, private_key, -----BEGIN
======================== 12 passed, 1 failed in 3.21s ========================
--------------------------------- Captured log call ----------------------------------
AAAAAAAAAAAAAAAA 0000000000000000 ffffffffffffffff ________________ ................
00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 2026-01-02T03:04:05.678901+00:00
{"status": "healthy", "config_loaded": true, "database": {"host": "db.example.com", "port": 5432}}
the session of the application: staging-api.internal.example.com, /api/v1/service/orders?page=2
E       assert 404 == 200, E         + where 404 = <Response [404 Not Found]>.status_code
eyJ is how a token begins; sk_live_ and api-key- and prod-api- are prefixes
Set-Cookie: session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600; Domain=example.com
C:\\new\\table\\users %41%42 &amp;&lt;&gt; \\u0041 \\x1b[0m ^[[31m äöü ✓ 日本語
"""


def everyday_secrets() -> list[tuple[str, str]]:
    """Values as they are found in real configurations, with words in them."""
    chance = random.Random(78)
    noise = "".join(chance.choices(string.ascii_letters + string.digits, k=64))
    pem = "\n".join(base64.b64encode(chance.randbytes(48)).decode() for _ in range(26))
    return [
        (f"postgresql://checkout:{noise[:14]}@db.example.com:5432/orders?sslmode=require", "DB"),
        (f"redis://:{noise[3:20]}@localhost:6379/0", "REDIS_URL"),
        (f"-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----", "PEM"),
        (f"sk_live_production_{noise[20:34]}", "STRIPE"),
        (f"production-{noise[34:44]}", "SUFFIXED"),
        (f"https://hooks.example.com/api/v1/service/{noise[40:64]}", "WEBHOOK_URL"),
        (f"Bearer {noise[5:35]}", "HEADER"),
        (f"session={noise[30:50]}; Path=/; Domain=example.com", "COOKIE"),
        (f"Server=db.example.com;Database=orders;User Id=app;Password={noise[8:22]}", "ADO"),
        (
            json.dumps(
                {
                    "type": "service_account",
                    "private_key": pem,
                    "client_email": "checkout@production.example.com",
                    "token_uri": "https://api.example.com/token",
                }
            ),
            "GOOGLE",
        ),
        ("https://api.example.com/health", "A_URL_WITHOUT_A_SECRET"),
    ]


def test_innocent_text_stays_as_it_is(redactor: Redactor) -> None:
    everyday = Redactor(everyday_secrets())
    for line in INNOCENT.strip().splitlines():
        if "https://api.example.com/health" not in line:
            assert everyday.text(line) == line
        assert redactor.text(line) == line
    assert everyday.data({"lines": INNOCENT.splitlines()[3:]}) == {
        "lines": INNOCENT.splitlines()[3:]
    }


def test_everyday_secrets_are_masked_all_the_same() -> None:
    everyday = everyday_secrets()[:-1]
    redactor = Redactor(everyday)
    for value, _ in everyday:
        lines = [line for line in value.splitlines() if len(line) > 30 or "\n" not in value]
        for line in lines:
            assert redactor.text(f"<{line}>") != f"<{line}>"
            assert len(redactor.text(f"<{line}>")) < 30 + len(line) / 2


def test_random_text_is_hardly_ever_masked_by_chance(redactor: Redactor) -> None:
    """Ids, hashes and base64 are what reports are full of; eight hex digits may coincide."""
    chance = random.Random(0)
    texts = [
        text
        for _ in range(50)
        for text in (
            chance.randbytes(500).hex(),
            base64.b64encode(chance.randbytes(800)).decode(),
            " ".join(str(chance.randrange(10**9)) for _ in range(100)),
        )
    ]
    assert sum(redactor.text(text) is not text for text in texts) <= 1


def test_a_secret_of_ordinary_words_is_masked_in_full_only() -> None:
    redactor = Redactor([("production-database", "ODD_PASSWORD")])
    assert redactor.text("it is production-database!") == "it is ${ODD_PASSWORD}!"
    assert redactor.text("the production database") == "the ${ODD_PASSWORD}".replace(
        "${ODD_PASSWORD}", "production database"
    )
    assert redactor.text("production") == "production"


def test_words_beside_the_secret_core_are_masked_with_it_and_stay_elsewhere() -> None:
    redactor = Redactor([("production-x7Kq29Lm", "KEY")])
    assert redactor.text("in production: production-x7Kq29Lm") == "in production: ${KEY}"
    assert redactor.text("production-like") == "production-like"
    padded = Redactor([("xxxxxxxxxxxxx7Kq29Lm", "KEY")])
    assert padded.text("xxxxxxxxxxxx, xxxxxxxxxxxxx7Kq29Lm") == "xxxxxxxxxxxx, ${KEY}"


# --- masks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("PROD_TOKEN", "${PROD_TOKEN}"),
        ("${PROD_TOKEN}", "${PROD_TOKEN}"),
        ("***", "***"),
        ("targets.prod.headers.X-Key", "***"),
        ("<b>", "***"),
        ('"', "***"),
        ("$(rm)", "***"),
        ("", "***"),
    ],
)
def test_a_mask_is_safe_in_every_sink(name: str, mask: str) -> None:
    assert Redactor([("k39fLw02mZpa", name)]).text("<k39fLw02mZpa>") == f"<{mask}>"


def test_a_name_that_is_part_of_its_secret_is_not_shown() -> None:
    redactor = Redactor([("prod_checkout_1", "PROD_CHECKOUT_1")])
    shown = redactor.text("id prod_checkout_1")
    assert shown == "id ***"


def test_secrets_side_by_side_keep_their_names() -> None:
    redactor = Redactor([("k39fLw02mZpa", "FIRST"), ("Q8vT5xN1rY6c", "SECOND")])
    assert redactor.text("k39fLw02mZpaQ8vT5xN1rY6c") == "${FIRST}${SECOND}"
    assert redactor.text("k39fLw02mZpak39fLw02mZpa") == "${FIRST}"


def test_redacting_twice_changes_nothing_more(redactor: Redactor) -> None:
    for value in CANARIES.values():
        once = redactor.text(f"a {value} b {quote(value)} {value[:10]}...{value[-9:]}")
        assert redactor.text(once) == once


def test_what_is_learnt_later_is_masked_from_then_on() -> None:
    redactor = Redactor()
    assert redactor.text("k39fLw02mZpa") == "k39fLw02mZpa"
    redactor.learn("k39fLw02mZpa", "LATE")
    redactor.learn("another-Q8vT5xN1")
    assert redactor.text("k39fLw02mZpa, another-Q8vT5xN1") == "${LATE}, ***"


@pytest.mark.parametrize(
    "value",
    [
        *("%", "\\" * 20, "&" * 30, "%%%%%%%%", "\\u00", "&#x110000;&#9999999;", "\x00" * 12),
        *("https://[", "{" * 20, "://@:@:@/", "a=b;c=d", "Basic !!!!!!!!", "İ" * 12),
        "\ud800\udc00" * 5,
    ],
    ids=ascii,
)
def test_odd_texts_and_odd_secrets_raise_nothing(value: str, redactor: Redactor) -> None:
    assert redactor.text(value) is value
    Redactor([(value, "ODD")]).text(value * 2)


@pytest.mark.parametrize(
    "value",
    ["İstanbul-9K2m", "ΑΣΑΣΟΔΥΣΣΕΥΣ", "k39f\U0001f600Lw02", "\u212a39fLw02m", "straße-9K2m"],
)
def test_letters_whose_case_is_odd_do_not_hide_a_secret(value: str) -> None:
    redactor = Redactor([(value, "ODD")])
    escaped = (json.dumps(value)[1:-1], ascii(value)[1:-1])
    for text in (value, value.lower(), value.upper(), value[:8], *escaped):
        assert redactor.text(f"İ ß {text} .") == "İ ß ${ODD} ."


# --- scrub ----------------------------------------------------------------------------------


@pytest.mark.fault(74, 95)
def test_scrub_redacts_then_neutralises_then_cuts(one: Redactor) -> None:
    assert scrub(f"a\x1b[31m{SECRET[:9]}\x1b[0m{SECRET[9:]}\x07", one) == "a${PROD_TOKEN}\\x07"
    # The cut falls into the secret: no prefix of it, however short, may be left.
    for before in range(60, 101):
        shown = scrub("x" * before + SECRET + "y" * 200, one, limit=200)
        assert "zQ" not in shown
        assert "'8" not in shown
        assert len(shown) <= 200


def test_scrub_leaves_a_clean_report_as_it_is(one: Redactor) -> None:
    report = {"nodeid": "t.py::test", "longrepr": None, "sections": [("out", "fine\n")], "n": 1.5}
    assert scrub(report, one) is report


def test_scrub_cleans_what_is_only_unsafe_or_only_secret(one: Redactor) -> None:
    assert scrub(["\x07"], one) == ["\\x07"]
    assert scrub([SECRET], one) == ["${PROD_TOKEN}"]
    assert scrub(["x" * 300], one, limit=100)[0].count("x") < 100


# --- environment ----------------------------------------------------------------------------


@pytest.mark.fault(71)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_TOKEN", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
        ("NPM_TOKEN", "npm_aB3dE5fG7h"),
        ("APP_SECRET", "aB3dE5fG7h"),
        ("DB_PASSWORD", "correct-horse-7"),
        ("PGPASSWORD", "v8Kd02mSx7Qp"),
        ("MYSQL_PWD", "v8Kd02mSx7Qp"),
        ("DB_PASSWD", "v8Kd02mSx7Qp"),
        ("DB_PASS", "v8Kd02mSx7Qp"),
        ("API_KEY", "aB3dE5fG7h"),
        ("APIKEY", "aB3dE5fG7h"),
        ("STRIPE_KEY", "sk_live_aB3dE5fG7h"),
        ("SENTRY_DSN", "https://8f0a6b1c2d3e4f5a@errors.example.com/42"),
        ("GOOGLE_CREDENTIALS", '{"private_key": "aB3dE5fG7h"}'),
        ("BASIC_AUTH", "ann:v8Kd02mSx7Qp"),
        ("SESSION_COOKIE", "aB3dE5fG7h9"),
        ("MY_SESSION", "aB3dE5fG7h9"),
        ("SLACK_WEBHOOK_URL", "https://hooks.example.com/services/T0/B0/aB3dE5fG7hJ9kL1mN3pQ"),
        ("DATABASE_URL", "postgresql://app:v8Kd02mSx7Qp@db/orders"),
        ("HTTPS_PROXY", "http://proxyuser:pw@proxy:3128"),
        ("PIP_INDEX_URL", "https://aB3dE5fG7hJ9kL1mN3pQ@packages.example.com/simple"),
        ("lower_case_token", "aB3dE5fG7h"),
    ],
)
def test_credentials_of_the_environment_are_found(name: str, value: str) -> None:
    assert from_environment({name: value}) == [(value, name)]
    assert Redactor(from_environment({name: value})).text(f"<{value}>") == f"<${{{name}}}>"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "/usr/bin:/bin"),
        ("PWD", "/home/ann/project"),
        ("OLDPWD", "/home/ann"),
        ("SSH_AUTH_SOCK", "/tmp/ssh-x/agent.1"),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1000/bus"),
        ("SESSION_MANAGER", "local/host:@/tmp/.ICE-unix/2"),
        ("TOKEN_FILE", "./secrets/token.txt"),
        ("TOKEN_LIFETIME", "86400000"),
        ("API_TOKEN", "short77"),
        ("AUTH_DOMAIN", "auth.example.com"),
        ("SESSION_DRIVER", "memcached"),
        ("SECRET_NAME", "production"),
        ("AUTH_ENABLED", "disabled"),
        ("AUTH_URL", "https://auth.example.com/login"),
        ("DATABASE_URL", "postgresql://localhost/orders"),
        ("GIT_URL", "ssh://git@github.com/example/project"),
        ("GIT_AUTHOR_NAME", "Ann Author the 3rd"),
        ("KEYBOARD_LAYOUT", "de-latin1-nodeadkeys"),
        ("MONKEY_BUSINESS", "aB3dE5fG7h"),
        ("GITHUB_SHA", "16c7e42f292c6912e7710c838347ae178b4a1234"),
    ],
)
def test_settings_of_the_environment_are_left_alone(name: str, value: str) -> None:
    assert from_environment({name: value}) == []


# --- logging --------------------------------------------------------------------------------


class WithArguments(logging.Formatter):
    """Writes what structured formatters write: the arguments, each by itself."""

    def format(self, record: logging.LogRecord) -> str:
        arguments = record.args.values() if isinstance(record.args, dict) else record.args or ()
        shown = [f"{each!s} {each!r}" for each in arguments]
        return f"{record.levelname} {super().format(record)} {shown}"


@pytest.fixture
def log(one: Redactor) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    logger = logging.getLogger("prodcheck-redact-test")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(WithArguments())
    logger.addHandler(handler)
    undo = guard_logging(one)
    yield logger, stream
    undo()
    logger.removeHandler(handler)


class Url:
    """Shows its password to `str`, not to `repr`, as some URL classes do."""

    def __str__(self) -> str:
        return f"https://u:{SECRET}@h/"

    def __repr__(self) -> str:
        return "Url()"


class Header:
    """The other way round."""

    def __str__(self) -> str:
        return "x-key"

    def __repr__(self) -> str:
        return f"Header({SECRET!r})"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.fault(73)
@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        (f"token {SECRET}", ()),
        (f"token {SECRET} 100 %", ()),
        ("headers %r", ([(b"x-key", SECRET.encode())],)),
        ("url %s", (Url(),)),
        ("url %r, hidden in the arguments", (Url(),)),
        ("header %s, hidden in the arguments", (Header(),)),
        ("only %.3s is formatted", (SECRET,)),
        ("%(key)s", ({"key": SECRET},)),
        ("wrong number of arguments %s %s", (SECRET,)),
        (Url(), ()),
        ("%s at %r", (SECRET, Unprintable)),
        ("basic %s", (basic(SECRET),)),
    ],
    ids=[
        *(
            "message",
            "percent",
            "repr",
            "str",
            "argument",
            "other argument",
            "precision",
            "mapping",
            "wrong number",
        ),
        *("object", "broken", "basic"),
    ],
)
def test_a_log_record_shows_no_secret(
    log: tuple[logging.Logger, io.StringIO],
    capsys: pytest.CaptureFixture[str],
    message: object,
    arguments: tuple[object, ...],
) -> None:
    logger, stream = log
    logger.debug(message, *arguments)
    written = stream.getvalue() + capsys.readouterr().err
    assert written.startswith("DEBUG ")
    assert not leaks(SECRET, written)
    assert not leaks(basic(SECRET)[6:], written)


@pytest.mark.fault(73)
def test_the_exception_and_the_stack_of_a_record_show_no_secret(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = log
    try:
        raise ValueError(SECRET) from KeyError(SECRET)
    except ValueError:
        logger.exception("it broke", stack_info=True)
    written = stream.getvalue()
    assert "zQ7" not in written
    assert "Traceback (most recent call last)" in written
    assert "ValueError: ${PROD_TOKEN}" in written
    assert "KeyError: " in written
    stack = f"Stack (most recent call last):\n  {SECRET}"
    make = logging.getLogRecordFactory()
    record = make("n", logging.INFO, "f.py", 1, "x", (), None, sinfo=stack)
    assert record.stack_info == "Stack (most recent call last):\n  ${PROD_TOKEN}"


@pytest.mark.fault(73)
def test_clean_records_keep_message_arguments_and_exception(one: Redactor) -> None:
    undo = guard_logging(one)
    try:
        raise ValueError("fine")
    except ValueError:
        record = logging.getLogRecordFactory()(
            "n", logging.INFO, "f.py", 1, "%s of %d", ("one", 2), sys.exc_info()
        )
    finally:
        undo()
    assert record.args == ("one", 2)
    assert record.getMessage() == "one of 2"
    assert record.exc_info is not None
    unprintable = logging.makeLogRecord({"msg": "x"})
    assert unprintable.getMessage() == "x"


def test_the_guard_of_logging_can_be_undone_in_any_order(one: Redactor) -> None:
    before = logging.getLogRecordFactory()

    def message() -> str:
        record = logging.getLogRecordFactory()("n", 20, "f", 1, SECRET, (), None)
        return record.getMessage()

    first, second = guard_logging(one), guard_logging(one)
    first()
    assert message() == "${PROD_TOKEN}"
    second()
    assert message() == SECRET
    logging.setLogRecordFactory(before)


# --- speed ----------------------------------------------------------------------------------


def fastest(action: Callable[[], object], times: int) -> float:
    """Seconds of processor time for one call, from the best of five rounds."""
    rounds = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(times):
            action()
        rounds.append((time.process_time() - start) / times)
    return min(rounds)


def test_a_passed_report_is_scrubbed_in_a_fraction_of_a_millisecond(redactor: Redactor) -> None:
    """About 0.1 ms; the bound leaves room for slow and busy machines."""
    report = {
        "nodeid": "tests/smoke/test_health.py::test_probe[GET /health]",
        "keywords": dict.fromkeys(["smoke", "test_health.py", "tests", "project", ""], 1),
        "sections": [["Captured log call", "INFO HTTP Request: GET http://h/ 200 OK"]],
        "prodcheck": {"exchanges": [{"url": "http://h/health", "body": '{"status": "ok"}' * 100}]},
    }
    assert fastest(lambda: scrub(report, redactor), 100) < 0.001


def test_a_long_text_is_searched_in_milliseconds(redactor: Redactor) -> None:
    """About 2 ms for 64 kB, 13 ms with a secret in it or full of escapes; ten times is allowed."""
    text = (INNOCENT * 100)[:64_000]
    with_secret = text[:30_000] + CANARIES["CANARY_HEX_40"] + text[30_000:]
    assert fastest(lambda: redactor.text(text), 1) < 0.2
    assert fastest(lambda: redactor.text(with_secret), 1) < 0.2
    assert fastest(lambda: redactor.text(json.dumps(json.dumps(text))), 1) < 0.2
