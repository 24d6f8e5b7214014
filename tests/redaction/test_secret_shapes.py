"""Secrets that nobody configured, in what anybody adds, in encodings of their own.

Every token here is random and made at run time: none stands in this file.
"""

import base64
import gzip
import html
import importlib.metadata
import json
import quopri
import random
import re
import string
import time
import urllib.parse
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_prodcheck.redaction import secret_shapes
from pytest_prodcheck.redaction.redactor import Redactor, from_environment, scrub
from tests import FOLDER
from tests.faulty import answer
from tests.project import Outcome, Project

ALPHANUMERIC = string.ascii_letters + string.digits
URL_SAFE = ALPHANUMERIC + "-_"
BASE64 = ALPHANUMERIC + "+/"
HEX = "0123456789abcdef"


def made(seed: str) -> Callable[[str, int], str]:
    """A source of random text that is the same in every run."""
    chance = random.Random(seed)

    def some(letters: str, length: int) -> str:
        # With a digit early and a letter last, as any token of some length has.
        return chance.choice(letters) + "7" + "".join(chance.choices(letters[:16], k=length - 2))

    return some


def base64_json(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def secrets() -> dict[str, tuple[str, str]]:
    """Kind -> a text as it is found in the wild, and the part of it that may not be shown."""
    some = made("141")
    whole = {
        **{f"GitHub gh{kind}": f"gh{kind}_" + some(ALPHANUMERIC, 36) for kind in "pousr"},
        "GitHub fine-grained": "github_" + "pat_" + some(ALPHANUMERIC + "_", 82),
        "GitLab personal": "glpat-" + some(URL_SAFE, 20),
        "GitLab runner": "glrt-" + some(URL_SAFE, 20),
        "GitLab job": "glcbt-64_" + some(URL_SAFE, 20),
        "Slack bot": f"xoxb-{some('0123456789', 12)}-{some('0123456789', 12)}-{some(HEX, 24)}",
        "Slack user": f"xoxp-{some('0123456789', 12)}-{some(HEX, 32)}",
        "Slack app": f"xapp-1-A{some('0123456789', 10)}-{some('0123456789', 13)}-{some(HEX, 64)}",
        "Slack rotated": f"xoxe.xoxp-1-{some(ALPHANUMERIC, 60)}",
        "AWS key id": "AKIA" + "QW7EZ2XK" + "JH4TNB5M",
        "AWS temporary key id": "ASIA" + "QW7EZ2XK" + "JH4TNB5M",
        "Stripe live": "sk_" + "live_" + some(ALPHANUMERIC, 24),
        "Stripe restricted": "rk_" + "live_" + some(ALPHANUMERIC, 99),
        "Stripe test": "sk_" + "test_" + some(ALPHANUMERIC, 24),
        "Stripe webhook": "whsec_" + some(ALPHANUMERIC, 32),
        "OpenAI project": "sk-proj-" + some(URL_SAFE, 74) + "T3BlbkFJ" + some(URL_SAFE, 74),
        "OpenAI": "sk-" + some(ALPHANUMERIC, 20) + "T3BlbkFJ" + some(ALPHANUMERIC, 20),
        "OpenRouter": "sk-or-v1-" + some(HEX, 64),
        "Anthropic": "sk-ant-api03-" + some(URL_SAFE, 93) + "AA",
        "Hugging Face": "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
        "Groq": "gsk_" + some(ALPHANUMERIC, 52),
        "npm": "npm_" + some(ALPHANUMERIC, 36),
        "PyPI": "pypi-AgEIcHlwaS5vcmc" + some(URL_SAFE, 150),
        "RubyGems": "rubygems_" + some(HEX, 48),
        "Docker": "dckr_pat_" + some(URL_SAFE, 27),
        "Google key": "AIza" + some(URL_SAFE, 35),
        "Google client": "GOCSPX-" + some(URL_SAFE, 28),
        "Google access": "ya29." + some(URL_SAFE, 120),
        "SendGrid": f"SG.{some(URL_SAFE, 22)}.{some(URL_SAFE, 43)}",
        "Twilio": "SK" + some(HEX, 32),
        "Mailgun": "key-" + some(HEX, 32),
        "DigitalOcean": "dop_v1_" + some(HEX, 64),
        "Shopify": "shpat_" + some(HEX, 32),
        "Databricks": "dapi" + some(HEX, 32),
        "Vault": "hvs." + some(URL_SAFE, 90),
        "New Relic": "NRAK-" + some(string.ascii_uppercase + string.digits, 27),
        "Grafana": f"glsa_{some(ALPHANUMERIC, 32)}_{some(HEX, 8)}",
        "Sentry": "sntryu_" + some(HEX, 64),
        "Linear": "lin_api_" + some(ALPHANUMERIC, 40),
        "JWT": f"{base64_json({'alg': 'HS256', 'typ': 'JWT'})}"
        f".{base64_json({'sub': '1742', 'admin': True})}.{some(URL_SAFE, 43)}",
        "JWT, unsigned": f"{base64_json({'alg': 'none'})}.{base64_json({'sub': '1742'})}.",
        "JWE": ".".join([base64_json({"alg": "dir"}), "", *(some(URL_SAFE, 22) for _ in range(3))]),
    }
    inside = {
        "URL": ("https://ann:{}@internal.local/x", some(URL_SAFE, 12)),
        "DSN": ("postgresql+psycopg://svc:{}@db.local:5432/app?sslmode=require", "hunter2"),
        "DSN without a user": ("redis://:{}@cache.local:6379/0", some(ALPHANUMERIC, 9)),
        "DSN with odd signs": ("mysql://root:{}@db/x", "p@:,+!$&*()=;%40w7"),
        "DSN of words": ("amqp://worker:{}@mq.local", "orange"),
        "token as a user": ("https://{}@git.local/a.git", some(ALPHANUMERIC, 40)),
        "token beside a word": ("https://{}:x-oauth-basic@git.local/a.git", some(ALPHANUMERIC, 40)),
        "Azure account": (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=x.net",
            some(BASE64, 86) + "==",
        ),
        "Azure bus": (
            "Endpoint=sb://a.local/;SharedAccessKeyName=Root;SharedAccessKey={}",
            some(BASE64, 43) + "=",
        ),
        "Azure SAS": (
            "https://a.local/c/b.txt?sv=2022-11-02&sr=b&sig={}&se=2030",
            some(ALPHANUMERIC, 41) + "%2B%3D",
        ),
        "AWS secret": ("aws_secret_access_key = {}", some(BASE64, 40)),
        "AWS secret in JSON": ('{{"SecretAccessKey": "{}"}}', some(BASE64, 40)),
        "ADO": ("Server=db;Database=app;User Id=sa;Password={};Encrypt=true", "hunter2!"),
        "ODBC": ("Driver=x;Server=db;Uid=sa;Pwd={};", some(ALPHANUMERIC, 12)),
        "libpq": ("host=db.local user=app password={} dbname=app", some(ALPHANUMERIC, 12)),
        "Slack webhook": (
            "https://hooks.slack.com/services/{}",
            f"T{some(ALPHANUMERIC, 8)}/B{some(ALPHANUMERIC, 8)}/{some(ALPHANUMERIC, 24)}",
        ),
        "Discord webhook": (
            "https://discord.com/api/webhooks/{}",
            f"{some('0123456789', 18)}/{some(URL_SAFE, 68)}",
        ),
        "Teams webhook": (
            "https://x.webhook.office.com/webhookb2/{}",
            f"{uuid.UUID(int=7)}@{uuid.UUID(int=9)}/IncomingWebhook/{some(HEX, 32)}/"
            f"{uuid.UUID(int=5)}",
        ),
        "Telegram": ("https://t.local/bot110201543:{}/getMe", "AA" + some(URL_SAFE, 33)),
        "Bearer": ("authorization: Bearer {}", some(ALPHANUMERIC, 32)),
        "Basic": (
            "Authorization: Basic YW5uO" + "{}",
            base64.b64encode(b"ann:" + some(ALPHANUMERIC, 18).encode()).decode()[5:],
        ),
    }
    inside["Basic"] = ("Authorization: Basic YW5uO{}", inside["Basic"][1])
    found = {name: (text, text) for name, text in whole.items()}
    return found | {name: (text.format(part), part) for name, (text, part) in inside.items()}


SECRETS = secrets()


def pem(kind: str = "PRIVATE KEY", gap: str = "\n") -> tuple[str, list[str]]:
    chance = random.Random(kind)
    lines = [base64.b64encode(chance.randbytes(48)).decode() for _ in range(25)]
    lines.append(base64.b64encode(chance.randbytes(7)).decode())
    return gap.join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"]), lines


def leaks(secret: str, shown: str) -> set[str]:
    """Pieces of eight characters of the secret that are shown."""
    size = min(8, len(secret))
    pieces = {secret[at : at + size] for at in range(len(secret) - size + 1)}
    return {piece for piece in pieces if piece.lower() in shown.lower()}


# --- shapes -----------------------------------------------------------------------------------

PLACES: dict[str, Callable[[str], str]] = {
    "alone": str,
    "in a sentence": lambda text: f"got {text}, which is wrong",
    "in JSON": lambda text: json.dumps({"a": [text]}),
    "in JSON in JSON": lambda text: json.dumps(json.dumps({"a": f"\n{text}\n"})),
    "in a repr": lambda text: repr({"a": f"x\n{text}"}),
    "in bytes": lambda text: repr(text.encode()),
    "in HTML": lambda text: f"<p title='{html.escape(text)}'>{html.escape(text)}</p>",
    "in a query": lambda text: "?next=" + urllib.parse.quote(text, safe=""),
    "in JavaScript": lambda text: '"' + text.replace("/", "\\/") + '"',
    "coloured": lambda text: f"\x1b[31m{text[:5]}\x1b[0m\x1b[1m{text[5:]}\x1b[0m",
    "in a line of a diff": lambda text: f"E   - {text}\nE   + None",
}


@pytest.mark.fault(141)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_known_by_its_shape(kind: str, place: str) -> None:
    text, secret = SECRETS[kind]
    shown = Redactor().text(PLACES[place](text))
    assert not leaks(secret, shown), shown
    assert "***" in shown


@pytest.mark.fault(141)
@pytest.mark.parametrize(
    "kind",
    [
        *("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"),
        *("ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"),
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\r\n", "\\n", "\\\\n", "\nE     ", "\n    ", '",\n "'])
def test_a_private_key_is_masked_with_all_its_lines(kind: str, gap: str) -> None:
    key, lines = pem(kind, gap)
    shown = Redactor().text(f'before "{key}" after')
    assert not [line for line in lines if line in shown], shown
    assert shown.startswith(f'before "-----BEGIN {kind}-----')
    assert shown.endswith(f'-----END {kind}-----" after')


@pytest.mark.fault(141)
def test_a_private_key_with_headers_or_without_an_end_is_masked() -> None:
    key, lines = pem("RSA PRIVATE KEY")
    headers = "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n"
    for text in (key.replace("-----\n", f"-----{headers}", 1), key[:700]):
        shown = Redactor().text(text)
        assert not [line for line in lines if line in shown], shown


@pytest.mark.fault(141)
def test_json_that_holds_secrets_stays_json() -> None:
    lines = pem()[0].splitlines()
    document = {"key": pem()[0], "lines": lines, "all": [text for text, _ in SECRETS.values()]}
    for text in (json.dumps(document), json.dumps(document, indent=1)):
        shown = json.loads(Redactor().text(text))
        assert shown.keys() == document.keys()
        assert len(shown["all"]) == len(SECRETS)
        assert len(shown["lines"]) == len(lines)


@pytest.mark.fault(141)
@pytest.mark.parametrize("kind", ["GitHub ghp", "JWT", "Stripe live", "Azure account", "Anthropic"])
def test_a_secret_known_by_its_shape_is_known_in_any_form_from_then_on(kind: str) -> None:
    text, secret = SECRETS[kind]
    redactor = Redactor()
    assert redactor.text(secret[12:30]) == secret[12:30]
    redactor.text(text)
    for form in (secret[12:30], secret.encode().hex(), secret.upper(), secret[::-1][:40]):
        assert not leaks(form, redactor.text(f"... {form} ..."))


@pytest.mark.fault(141)
def test_a_target_cannot_fill_the_memory_with_tokens() -> None:
    some = made("many")
    redactor = Redactor()
    tokens = [f"ghp_{some(ALPHANUMERIC, 36)}" for _ in range(2000)]
    for text in (" ".join(tokens), *tokens):
        shown = redactor.text(text)
        assert not re.search(r"ghp_\w", shown)
    assert len(redactor._masks) < 100_000


@pytest.mark.fault(141)
def test_a_variable_with_an_ordinary_name_is_masked_by_that_name() -> None:
    token, dsn = SECRETS["Stripe live"][0], SECRETS["ADO"][0].replace("hunter2!", "v8Kd02mSx7Qp")
    found = from_environment(
        {"CHECKOUT": token, "STORE": dsn, "HOME": "/home/ann", "SHA": "a" * 40}
    )
    assert found == [(token, "CHECKOUT"), ("v8Kd02mSx7Qp", "STORE")]
    shown = Redactor(found).text(f"{token} v8Kd02mSx7Qp")
    assert shown == "${CHECKOUT} ${STORE}"


INNOCENT = """
https://localhost:8080/a@b http://example.com:443/?q=a:b@c ssh://git@github.com/a/b mailto:a@b.c
postgresql://scott:tiger@localhost/test https://user:password@host https://user:pass@host/x
https://{user}:{password}@{host} https://${USER}:${PASSWORD}@host https://%s:%s@%s https://u:***@h
postgresql://<user>:<password>@<host>/<db> https://user:xxxx@host https://me:[password]@h
ghp_ sk_live_ sk-learn sk-container-id-label task-sk-1234567890abcdefghijkl AKIAIOSFODNN7EXAMPLE
ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx sk_live_**************** xoxb-your-token-goes-here
Authorization: Bearer <token> Authorization: Bearer realm="production" Basic authentication is off
bearer authentication-required basic understanding of cryptography Bearer ********************
-----BEGIN PRIVATE KEY----- and -----END PRIVATE KEY----- stand around a key
'-----BEGIN PRIVATE KEY-----\\n...\\n-----END PRIVATE KEY-----' in text
-----BEGIN CERTIFICATE-----
connect(host=host, user=user, password=password) connect(password=secret, host="db", port=5432)
ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4" W/"0815-33a64df551425fcc55e4d42a148795d9"
traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 and sha256~short
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9
123e4567-e89b-12d3-a456-426614174000 ACbc123 SKU0123456789 pk_live_51HCOXXAaYYbbiuYYuu990011
fingerprint 3a:7f:22:91:0c:de:44:18:9b:5e:60:aa:13:f0:27:cd [1, 2, 3, 4, 5, 6, 7, 8, 9, 255]
"""


@pytest.mark.fault(141)
def test_ids_hashes_and_placeholders_stay_as_they_are() -> None:
    redactor = Redactor([("v8Kd02mSx7QpL4zR", "PROD_TOKEN")])
    for line in INNOCENT.strip().splitlines():
        assert redactor.text(line) == line


CORPUS = ("starlette", "jinja2", "schemathesis", "fastapi", "requests", "pytest", "flask", "click")
"""Packages of the test environment with much prose, code and data."""


@pytest.mark.fault(141, 143)
@pytest.mark.parametrize("package", CORPUS)
def test_documentation_and_source_of_real_packages_lose_nothing(package: str) -> None:
    redactor = Redactor([("v8Kd02mSx7QpL4zR", "A"), ("postgresql://a:q8Zk20dMv7@db/x", "B")])
    files = importlib.metadata.files(package) or []
    words = 0
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix in {".py", ".md", ".rst", ".txt", ".json", ".toml", ""} and path.is_file():
            text = path.read_text("utf-8", "replace")
            words += len(text.split())
            shown = redactor.text(text)
            assert shown == text, [text[a - 30 : b + 9] for a, b in secret_shapes.places(text)]
    assert words > 10_000


@pytest.mark.fault(141, 143)
@pytest.mark.parametrize("name", ["litellm.json.gz", "jupyter_server.yaml.gz"])
def test_documents_of_real_services_lose_nothing(name: str) -> None:
    text = gzip.decompress((FOLDER / "documents" / name).read_bytes()).decode()
    assert len(text.split()) > 500
    redactor = Redactor([("v8Kd02mSx7QpL4zR", "PROD_TOKEN")])
    assert redactor.text(text) == text


@pytest.mark.fault(141, 143)
def test_ids_of_a_long_run_lose_nothing() -> None:
    chance = random.Random(141)
    texts = [
        text
        for _ in range(2000)
        for text in (
            str(uuid.UUID(bytes=chance.randbytes(16))),
            chance.randbytes(20).hex(),
            chance.randbytes(16).hex(":"),
            base64.b64encode(chance.randbytes(60)).decode(),
            base64.urlsafe_b64encode(chance.randbytes(33)).decode(),
            str(list(chance.randbytes(20))),
            f"00-{chance.randbytes(16).hex()}-{chance.randbytes(8).hex()}-01",
        )
    ]
    redactor = Redactor([("v8Kd02mSx7QpL4zR", "PROD_TOKEN")])
    assert [text for text in texts if redactor.text(text) != text] == []


HARD = [
    *("ghp_", "://", "://a:", "eyJ", f"eyJ{'a' * 20}.", ";Password=x", " sk-", "Bearer ", "?sig="),
    *(f"-----BEGIN PRIVATE KEY-----\n{'A' * 40}\n", "A" * 39 + "\n", "-----BEGIN ", "%3A", "&amp;"),
    *(f"sk-{'a' * 300} ", f"://{'a' * 250}:", "1 ", "1, ", "ff:", "0x", "\\n", "=\n", "xox"),
]


@pytest.mark.fault(141, 143)
@pytest.mark.parametrize("piece", HARD)
def test_the_time_is_linear_whatever_the_text_is_made_of(piece: str) -> None:
    redactor = Redactor([("v8Kd02mSx7QpL4zR", "PROD_TOKEN")])

    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        rounds = []
        for _ in range(3):
            start = time.process_time()
            redactor.text(text)
            rounds.append(time.process_time() - start)
        return min(rounds)

    assert seconds(160_000) < 16 * max(seconds(40_000), 0.005)  # 4 when linear, 16 when quadratic


# --- encodings --------------------------------------------------------------------------------


def twice(text: str) -> str:
    return base64.b64encode(base64.b64encode(text.encode())).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "colon-hex": lambda text: text.encode().hex(":"),
    "colon-hex in upper case": lambda text: text.encode().hex(":").upper(),
    "dash-hex": lambda text: text.encode().hex("-"),
    "list of hex": lambda text: str([hex(byte) for byte in text.encode()]).replace("'", ""),
    "C array": lambda text: ", ".join(f"0x{byte:02X}" for byte in text.encode()),
    "list of bytes": lambda text: str(list(text.encode())),
    "JSON list of bytes": lambda text: json.dumps(list(text.encode()), separators=(",", ":")),
    "list of bytes in lines": lambda text: json.dumps(list(text.encode()), indent=2),
    "bytes with blanks": lambda text: " ".join(map(str, text.encode())),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base32 of more": lambda text: base64.b32encode(b"id:" + text.encode() + b"!").decode(),
    "base32 in lower case": lambda text: base64.b32encode(text.encode()).decode().lower(),
    "base64 twice": twice,
    "base64 twice of more": lambda text: twice(f'{{"user": 1, "key": "{text}"}}'),
    "base64 twice, URL-safe": lambda text: (
        base64.urlsafe_b64encode(base64.urlsafe_b64encode(text.encode())).decode().rstrip("=")
    ),
    "base64 three times": lambda text: base64.b64encode(twice(text).encode()).decode(),
    "hex in base64": lambda text: base64.b64encode(text.encode().hex().encode()).decode(),
    "quoted-printable": lambda text: quopri.encodestring(f"ä={text}".encode()).decode(),
    "quoted-printable in lines": lambda text: quopri.encodestring(
        f"{'x' * 65} ={text}".encode()
    ).decode(),
    "gzip in base64": lambda text: base64.b64encode(gzip.compress(f"a {text}".encode())).decode(),
    "gzip in URL-safe base64": lambda text: base64.urlsafe_b64encode(
        gzip.compress(json.dumps({"key": text}).encode())
    ).decode(),
    "gzip in base64 in lines": lambda text: base64.encodebytes(
        gzip.compress((text + str(list(range(300)))).encode())
    ).decode(),
    "zlib in base64": lambda text: base64.b64encode(zlib.compress(text.encode())).decode(),
    "gzip in base64 twice": lambda text: base64.b64encode(
        base64.b64encode(gzip.compress(text.encode()))
    ).decode(),
}
KNOWN = {
    "alphanumeric": made("143")(ALPHANUMERIC, 24),
    "base64": made("144")(BASE64, 40) + "==",
    "odd": "zQ7/kP2+xW9=mN4&vB6é'8",
    "short": "v8Kd02mS",
}


@pytest.mark.fault(143)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("secret", KNOWN.values(), ids=KNOWN)
def test_a_known_secret_is_masked_in_more_encodings(secret: str, encoding: str) -> None:
    redactor = Redactor([(secret, "PROD_TOKEN")])
    written = ENCODINGS[encoding](secret)
    shown = redactor.text(f"before {written} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "${PROD_TOKEN}" in shown or "***" in shown
    kept = shown.removeprefix("before ").removesuffix(" after")
    longest = max(re.split(r"\*\*\*|\$\{PROD_TOKEN\}", kept), key=len)
    assert len(longest) < len(written) / 2 or len(longest) < 12 or "x" * 60 in longest, shown


@pytest.mark.fault(143)
def test_a_cut_piece_of_an_encoding_is_masked() -> None:
    secret = KNOWN["base64"]
    redactor = Redactor([(secret, "PROD_TOKEN")])
    for encoding in ("colon-hex", "list of bytes", "base32", "base64 twice"):
        written = ENCODINGS[encoding](secret)
        for at in range(3, 8):
            piece = written[at : at + 60]
            if encoding == "list of bytes":
                piece = piece.partition(" ")[2]
            shown = redactor.text(f"< {piece} >")
            assert not leaks(piece[4:-4], shown.replace("***", "")), (encoding, shown)


@pytest.mark.fault(143)
def test_a_compressed_bomb_takes_neither_time_nor_memory() -> None:
    bomb = base64.b64encode(gzip.compress(bytes(50_000_000))).decode()
    redactor = Redactor([("v8Kd02mSx7QpL4zR", "PROD_TOKEN")])
    start = time.process_time()
    assert redactor.text(bomb) is bomb
    assert time.process_time() - start < 5


# --- a whole run ------------------------------------------------------------------------------

CONFTEST = """
    import logging, os, sys, warnings
    import pytest
    from tokens import TOKENS

    def spill(kind):
        return f"{kind} is {TOKENS[kind]}"

    def pytest_html_report_title(report):
        report.title = spill("Stripe live")

    @pytest.hookimpl(trylast=True)
    def pytest_html_results_summary(prefix, summary, postfix):
        prefix.append(spill("GitHub ghp"))
        summary.append(spill("Slack bot"))
        postfix.append(spill("JWT"))

    def pytest_html_results_table_header(cells):
        cells.append(f"<th>{spill('AWS key id')}</th>")

    def pytest_html_results_table_row(report, cells):
        cells.append(f"<td>{spill('Azure account')}</td>")

    def pytest_html_results_table_html(report, data):
        data.append(spill("Google key"))

    def pytest_metadata(metadata):
        metadata["Plugins"] = {"vault": spill("Vault")}

    def pytest_report_header(config):
        return spill("npm")

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(terminalreporter):
        terminalreporter.section(spill("Twilio"))
        terminalreporter.write_line(spill("SendGrid"))
        terminalreporter.write_sep("=", spill("DSN"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(report):
        import pytest_html
        report.sections.append((spill("PyPI"), spill("PyPI")))
        report.user_properties.append((spill("Shopify"), spill("Shopify")))
        report.extras = [
            *getattr(report, "extras", []),
            pytest_html.extras.text(spill("Anthropic"), name=spill("Anthropic")),
            pytest_html.extras.json({"a": [spill("Groq")]}),
            pytest_html.extras.url("https://hook.local/" + TOKENS["Slack webhook"]),
            pytest_html.extras.html(spill("PEM")),
        ]
"""
TESTS = """
    import base64, logging, os, warnings
    import pytest
    from tokens import TOKENS, KNOWN, ENCODED

    @pytest.mark.smoke
    def test_answer(api):
        assert api.get("/leaky").text == ""

    @pytest.mark.smoke
    def test_everything(api, record_property, record_testsuite_property):
        api.get("/leaky")
        everything = "\\n".join(TOKENS.values())
        print(everything)
        print("\\n".join(ENCODED))
        logging.getLogger("app").warning(everything)
        warnings.warn(everything)
        record_property("all", everything)
        record_testsuite_property("all", everything)
        assert TOKENS == {}

    @pytest.mark.smoke
    def test_environment(api):
        api.get("/leaky")
        assert dict(os.environ) == {}

    @pytest.mark.smoke
    def test_chain(api):
        api.get("/leaky")
        try:
            raise ValueError(TOKENS["PEM"])
        except ValueError as error:
            raise OSError(TOKENS["DSN with odd signs"]) from error
"""
NAMES = ("journal.jsonl", "verdict.json", "report.html", "junit.xml", "summary.md")


@pytest.fixture
def leaky(project: Project) -> Project:
    tokens = {kind: text for kind, (text, _) in SECRETS.items()} | {"PEM": pem()[0]}
    body = json.dumps(tokens).encode()
    project.server.on("/leaky", answer(body, content_type="application/json"))
    known = KNOWN["alphanumeric"]
    encoded = [encode(known) for name, encode in ENCODINGS.items() if "printable" not in name]
    project.environ |= {f"V{at}": text for at, text in enumerate(tokens.values())}
    project.environ["PROD_TOKEN"] = known
    project.configure(headers='{ Authorization = "Bearer ${PROD_TOKEN}" }')
    project.write("tokens.py", f"TOKENS = {tokens!r}\nKNOWN = {known!r}\nENCODED = {encoded!r}\n")
    project.write("conftest.py", CONFTEST)
    project.write("test_leaky.py", dedent(TESTS))
    return project


def sinks(outcome: Outcome) -> dict[str, str]:
    return {"terminal": outcome.output} | {
        name: (outcome.folder / name).read_text("utf-8") for name in NAMES
    }


def readings(text: str) -> list[str]:
    plain = html.unescape(text)
    flat = re.sub(r"\x1b\[[\d;]*m|\nE +|\s", "", plain)
    decoded = [
        base64.b64decode(found + "=" * (-len(found) % 4)).decode("utf-8", "replace")
        for found in re.findall(r"base64,([A-Za-z0-9+/]+)", plain)
    ]
    return [text, plain, flat, plain.replace("\\", ""), *decoded]


@pytest.mark.fault(141, 142, 143)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_no_sink_of_a_run_shows_a_secret_that_has_a_shape(leaky: Project, workers) -> None:
    noise = ("-rA", "-vv", "--showlocals", "--log-level=DEBUG", "-o", "junit_logging=all")
    process = leaky.start("--target=prod", "test_leaky.py", *noise, "-W", "default", *workers)
    outcome = leaky.outcome(process)
    assert outcome.exit == 1, outcome.output
    parts = {kind: part for kind, (_, part) in SECRETS.items() if len(part) >= 12}
    parts |= {f"PEM, line {at}": line for at, line in enumerate(pem()[1][:-1])}
    for at, encode in enumerate(ENCODINGS.values()):
        written = encode(KNOWN["alphanumeric"])
        if "\n" not in written and len(written) > 20:
            parts[f"encoding {at}"] = written[len(written) // 4 : -len(written) // 4]
    found = [
        f"{name} shows {kind}"
        for name, text in sinks(outcome).items()
        for reading in readings(text)
        for kind, part in parts.items()
        if part in reading
    ]
    assert found == []
    for name in ("Stripe live is", "GitHub ghp is", "Slack bot is", "JWT is", "Google key is"):
        assert name not in outcome.output
    assert "Slack bot is ***" in outcome.page or "Slack bot is ${V" in outcome.page
    assert "SendGrid is $" in outcome.output


SERVICE = """
    import http.server, sys
    from tokens import TOKENS

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            print("\\n".join(TOKENS.values()), flush=True)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    address = ("127.0.0.1", int(sys.argv[1]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
LOCAL = """
    [targets.local]
    start = "{python} app.py {port}"
    base_url = "http://127.0.0.1:{port}"
"""


@pytest.mark.fault(141)
def test_the_log_of_a_service_shows_no_secret_that_has_a_shape(project: Project) -> None:
    tokens = {kind: text for kind, (text, _) in SECRETS.items()} | {"PEM": pem()[0]}
    project.write("tokens.py", f"TOKENS = {tokens!r}\n")
    project.write("app.py", SERVICE)
    project.write("prodcheck.toml", LOCAL)
    project.write(
        "test_ok.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_ok(api):
            assert api.get("/ok").status_code == 200
        """,
    )
    outcome = project.run("test_ok.py", target="local")
    assert outcome.exit == 0, outcome.output
    journal = (outcome.folder / "journal.jsonl").read_text()
    assert "-----BEGIN PRIVATE KEY-----" in journal
    found = [kind for kind, (_, part) in SECRETS.items() if len(part) > 8 and part in journal]
    assert found == []
    assert not [line for line in pem()[1][:-1] if line in journal]


def test_scrub_masks_shapes_in_keys_and_values() -> None:
    token = SECRETS["GitHub ghp"][0]
    assert scrub({token: [token, 1]}, Redactor()) == {"***": ["***", 1]}


@pytest.mark.fault(142)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_section_that_is_added_late_shows_no_secret(project: Project, workers) -> None:
    secret = "q7Xw92LmZp4TvB81kRc3"
    project.environ["PROD_TOKEN"] = secret
    project.write(
        "conftest.py",
        f"""
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(report):
            report.sections.append(("Captured log call", "late {secret}"))
        """,
    )
    project.write(
        "test_a.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_bad(api):
            assert api.get("/ok").status_code == 404
        """,
    )
    outcome = project.run("test_a.py", *workers)
    for shown in (outcome.output, outcome.page, outcome.junit):
        assert secret not in shown
    assert "late" in outcome.page
