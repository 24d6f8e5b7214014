"""Detection of secrets by their form, independent of the variable's name.

Standards are the source for PEM (RFC 7468), JWT (RFC 7519), Bearer and Basic (RFC 6750, 7617) and
user information in URLs (RFC 3986). The prefixes of tokens are those that their issuers name in
their documentation. Few issuers promise a length or an alphabet: those below follow known examples
of tokens, with room on both sides, and are no list of what an issuer will make tomorrow.

Each shape has a hint: a fixed text without which it cannot occur. A text is searched for the
hints, and the pattern is tried only there. Every repetition in a pattern is bounded, so that the
time is linear in the length of the text, whatever stands in it.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from pytest_prodcheck.redaction.encodings import Reading, escapes_decoded

Place = tuple[int, int]


class Shape(NamedTuple):
    """The form of one kind of secret."""

    hint: str
    """A fixed text; matched in this letter case."""
    pattern: str
    """Regular expression that has to match where the hint starts. Its group is the secret; without
    a group all of the match is."""
    is_secret: Callable[[str], bool] = lambda secret: True
    """False for a placeholder with the form."""
    before: str = ""
    """Look-behind: the text allowed before the hint."""


_X = re.compile(r"[xX*.0_-]*")


def _varied(secret: str) -> bool:
    """Return True if it is more than a prefix followed by `xxxx`."""
    return not _X.fullmatch(secret[len(secret) // 3 :])


def _has_digit(secret: str) -> bool:
    return _varied(secret) and any(char.isdigit() for char in secret)


_PLACEHOLDER = re.compile(
    r"""
      \$?\{.*\}? | %\(?\w*\)?s? | <.* | \*+ | x+ | \.+ | \[.*\] | \$[A-Z][A-Z_]+ | \(.*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_EXAMPLE_LOGINS = frozenset(
    f"{user}:{password}"
    for user in ("user", "username", "usr", "u", "name", "login", "scott", "me")
    for password in ("pass", "password", "passwd", "pw", "pwd", "p", "tiger", "secret", "passw0rd")
)
"""Logins in documentation. SQLAlchemy's is Oracle's `scott:tiger` of 1979."""


def is_distinctive(secret: str) -> bool:
    """Return True if it cannot be anything else anywhere, as the password `postgres` could."""
    return len(secret) >= 12 and len(set(secret)) >= 6 and any(map(str.isdigit, secret))


def _is_login(login: str) -> bool:
    user, _, password = login.partition(":")
    return _is_password(password) and f"{user}:{password}" not in _EXAMPLE_LOGINS


def _is_password(secret: str) -> bool:
    return not _PLACEHOLDER.fullmatch(secret)


def _user_of_basic(encoded: str) -> bytes:
    """Return `user:` of the decoded `user:password` (RFC 7617); empty if it is not one.

    A word after `Basic` never decodes to one.
    """
    try:
        user, colon, _ = base64.b64decode(encoded + "=" * (-len(encoded) % 4)).partition(b":")
    except binascii.Error:
        return b""
    return user + colon if colon and user.isascii() else b""


def _is_basic(encoded: str) -> bool:
    return bool(_user_of_basic(encoded))


def _is_opaque(secret: str) -> bool:
    """Return True for a mix of letters and digits, which no word has."""
    return _has_digit(secret) and any(char.isalpha() for char in secret)


_KEY_LINE = r"[A-Za-z0-9+/=]"
_KEY_GAP = r"""(?:\\{1,4}[nrt]|[\s"',|>]|\nE\s)"""

TOKENS = (
    # Code hosts. Personal, OAuth, user-to-server, server-to-server and refresh tokens.
    *(Shape(f"gh{kind}_", r"gh._[A-Za-z0-9]{30,255}", _varied) for kind in "pousr"),
    Shape("github_pat_", r"github_pat_[A-Za-z0-9_]{36,255}", _varied),
    *(
        Shape(f"gl{kind}-", r"gl[a-z]{2,6}-[A-Za-z0-9_.-]{20,320}", _varied)
        for kind in (
            *("pat", "dt", "rt", "cbt", "ptt", "ft", "imt", "agent", "oas", "soat", "ffct", "rtr"),
        )
    ),
    Shape("ATATT3", r"ATATT3[A-Za-z0-9_=-]{60,300}"),  # Atlassian
    # Package registries and images.
    Shape("npm_", r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])", _varied),
    Shape("pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,1000}"),
    Shape("rubygems_", r"rubygems_[0-9a-f]{48}"),
    Shape("dckr_pat_", r"dckr_pat_[A-Za-z0-9_-]{20,64}", _varied),
    # Clouds.
    *(
        # AWS' own documentation has AKIAIOSFODNN7EXAMPLE.
        Shape(
            kind,
            r"A[A-Z0-9]{3}[A-Z2-7]{16}(?![A-Za-z0-9])",
            lambda secret: not secret.endswith("EXAMPLE"),
        )
        for kind in ("AKIA", "ASIA", "ABIA", "ACCA")
    ),
    Shape("AIza", r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])", _varied),
    Shape("GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{20,40}", _varied),
    *(Shape(f"do{kind}_v1_", r"do._v1_[a-f0-9]{64}") for kind in "opr"),
    Shape("dapi", r"dapi[a-h0-9]{32}(?![A-Za-z0-9])", _has_digit),  # Databricks
    *(
        Shape(f"pscale_{kind}_", r"pscale_[a-z]{2,5}_[A-Za-z0-9_.=-]{32,64}", _varied)
        for kind in ("tkn", "pw", "oauth")
    ),
    Shape("sbp_", r"sbp_[a-f0-9]{40}"),  # Supabase
    Shape("tskey-", r"tskey-[a-z]{3,8}-[A-Za-z0-9_-]{16,80}", _has_digit),  # Tailscale
    Shape("AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    # Messages and mail.
    Shape("xox", r"xox[a-z]-[A-Za-z0-9-]{10,300}", _has_digit),
    Shape("xapp-", r"xapp-\d-[A-Za-z0-9-]{20,200}", _varied),
    Shape("SK", r"SK[0-9a-f]{32}(?![A-Za-z0-9])"),  # Twilio
    Shape("key-", r"key-[0-9a-f]{32}(?![A-Za-z0-9])"),  # Mailgun
    # Payment, models, monitoring, tools.
    *(
        Shape(f"{kind}_{mode}_", r"[sr]k_[a-z]{4}_[A-Za-z0-9]{10,255}", _varied)
        for kind in ("sk", "rk")
        for mode in ("live", "test", "prod")
    ),
    Shape("whsec_", r"whsec_[A-Za-z0-9+/=]{24,100}", _varied),
    *(Shape(f"shp{kind}_", r"shp.._[a-fA-F0-9]{32}", _varied) for kind in ("at", "ca", "pa", "ss")),
    *(Shape(hint, r"sq0...-[A-Za-z0-9_-]{22,43}") for hint in ("sq0atp-", "sq0csp-")),
    # OpenAI, Anthropic, OpenRouter, DeepSeek and others.
    Shape("sk-", r"sk-[A-Za-z0-9_-]{20,300}", _is_opaque),
    Shape("hf_", r"hf_[A-Za-z]{34}(?![A-Za-z0-9])", _varied),
    Shape("gsk_", r"gsk_[A-Za-z0-9]{48,56}(?![A-Za-z0-9])", _varied),
    Shape("xai-", r"xai-[A-Za-z0-9]{70,90}", _varied),
    Shape("pplx-", r"pplx-[A-Za-z0-9]{40,56}", _varied),
    Shape("r8_", r"r8_[A-Za-z0-9]{37}(?![A-Za-z0-9])", _varied),
    Shape("glsa_", r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}", _varied),
    Shape("glc_", r"glc_[A-Za-z0-9+/]{32,400}={0,2}", _varied),
    Shape("NRAK-", r"NRAK-[A-Za-z0-9]{27}", _varied),
    Shape("sntrys_", r"sntrys_[A-Za-z0-9+/=_-]{40,400}", _varied),
    Shape("sntryu_", r"sntryu_[a-f0-9]{64}"),
    Shape("lin_api_", r"lin_api_[A-Za-z0-9]{40}", _varied),
    Shape("ntn_", r"ntn_\d{11}[A-Za-z0-9]{35}"),
    Shape("PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    # A JWS in three parts, also cut off or without a signature, and a JWE in five.
    Shape(
        "eyJ",
        r"eyJ[A-Za-z0-9_-]{10,4096}\.(?:eyJ[A-Za-z0-9_-]{6,8192}(?:\.[A-Za-z0-9_-]{0,2048})?"
        r"|[A-Za-z0-9_-]{0,2048}(?:\.[A-Za-z0-9_-]{8,8192}){3})",
    ),
)
"""Prefixes that stand at the start of a word of `WORD` or more letters, digits, `_` and `-`."""

OTHERS = (
    # RFC 7468, and OpenSSH, PGP and the older PEM with headers.
    Shape(
        "-----BEGIN ",
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        rf"(?:{_KEY_GAP}{{1,12}}[A-Za-z-]{{4,20}}: [^\n\\\"]{{1,100}}){{0,4}}"
        rf"({_KEY_GAP}{{0,12}}{_KEY_LINE}{{16,8192}}"
        rf"(?:{_KEY_GAP}{{1,12}}{_KEY_LINE}{{40,8192}}){{0,400}}"
        rf"(?:{_KEY_GAP}{{1,12}}{_KEY_LINE}{{1,76}}(?={_KEY_GAP}{{0,12}}-----END))?)",
    ),
    # RFC 3986: user information.
    Shape(
        "://",
        r"://([^\s/?#@:\"'<>\\{}`]{0,256}:[^\s/?#\"'<>\\`]{1,256})@",
        _is_login,
        r"(?<=[A-Za-z0-9])",
    ),
    Shape("://", r"://([A-Za-z0-9_-]{20,256})@", _is_opaque, r"(?<=[A-Za-z0-9])"),
    # RFC 6750 and 7617.
    Shape("earer ", r"earer ([A-Za-z0-9._~+/-]{16,4096}={0,2})", _is_opaque, r"(?<=[Bb])"),
    Shape("asic ", r"asic ([A-Za-z0-9+/]{8,4096}={0,2})", _is_basic, r"(?<=[Bb])"),
    # Connection strings of databases and of Azure.
    *(
        Shape(hint, rf"{hint}([^;\s\"'&,)]{{1,128}})", _is_password, r"(?<=[A-Za-z])")
        for hint in ("assword=", "ASSWORD=", "wd=")
    ),
    Shape("Key=", r"Key=([A-Za-z0-9+/]{20,200}={0,2})", _has_digit, r"(?<=Account|.Access)"),
    *(Shape(f"{sign}sig=", r".sig=([A-Za-z0-9%+/_-]{40,200}={0,2})", _has_digit) for sign in "?&"),
    *(
        Shape(
            hint,
            rf"{hint}\\{{0,4}}[\"']?\s{{0,3}}[:=]\s{{0,3}}\\{{0,4}}[\"']?([A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+])",
            lambda secret: not secret.endswith("EXAMPLEKEY"),
            rf"(?<={before})",
        )
        for before, hint in (
            ("ecret_", "access_key"),
            ("ECRET_", "ACCESS_KEY"),
            ("ecret", "AccessKey"),
        )
    ),
    # Webhooks: whoever knows the address may post.
    Shape(
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_-]{20,100})",
        _varied,
    ),
    Shape("/webhooks/", r"/webhooks/(\d{15,20}/[A-Za-z0-9_-]{20,100})", _varied),  # Discord
    Shape("/webhookb2/", r"/webhookb2/([A-Za-z0-9@/-]{40,300})", _varied),  # Teams
    Shape(
        "outlook.office.com/webhook/",
        r"outlook\.office\.com/webhook/([A-Za-z0-9@/-]{40,300})",
        _varied,
    ),
    Shape(":AA", r":(AA[A-Za-z0-9_-]{33})(?![A-Za-z0-9_-])", before=r"(?<=\d{8})"),  # Telegram
    # Tokens with dots in them.
    Shape("ya29.", r"ya29\.[A-Za-z0-9_-]{20,1000}", _varied),  # Google
    Shape("SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}", _varied),  # SendGrid
    *(Shape(f"hv{kind}.", r"hv.\.[A-Za-z0-9_-]{24,300}", _varied) for kind in "sb"),  # Vault
    Shape(".atlasv1.", r"\.atlasv1\.([A-Za-z0-9_=-]{60,70})"),  # Terraform
    Shape("dp.pt.", r"dp\.pt\.[A-Za-z0-9]{40,44}", _varied),  # Doppler
    Shape("xe.xox", r"xe\.xox[a-z]-[A-Za-z0-9-]{10,300}", _has_digit, r"(?<=xo)"),  # Slack
    Shape("sha256~", r"sha256~[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),  # OpenShift
)
"""Looked for anywhere."""

WORD = 16
"""Characters of the shortest token, with its prefix."""

_PAIRS = re.compile(
    r"(?:^|[;\s\"'])(?:host|server|data source|user id|uid|user|username|dbname|database|port"
    r"|initial catalog|driver)\s?=\s?[^\s;,()\"'=]{1,60}",
    re.IGNORECASE,
)
_NEAR = 120
"""Characters to either side of `password=` in which another key of a connection string stands."""

_HINTS: dict[str, list[Shape]] = {}
for _shape in OTHERS:
    _HINTS.setdefault(_shape.hint, []).append(_shape)
_STARTS: dict[bytes, list[tuple[bytes, Shape]]] = {}
"""First two letters of a token -> its prefix and shape."""
for _shape in TOKENS:
    _prefix = _shape.hint.encode()
    _STARTS.setdefault(_prefix[:2], []).append((_prefix, _shape))

_WORDS = bytes(
    code if (chr(code).isalnum() and code < 128) or chr(code) in "_-" else 32 for code in range(256)
)
"""For `bytes.translate`: what is not part of a word becomes a blank."""

_CUTS = re.compile(r"""["',]""")
_EDGES = re.compile(r"(?:\\{1,4}[nrt]|[\s|>]|E(?=\s))*(.*?)(?:\\{1,4}[nrt]|[\s|>\\])*", re.DOTALL)


@cache
def _compiled(shape: Shape) -> re.Pattern[str]:
    """Return the pattern, compiled at the first hint, because most runs have none."""
    return re.compile(shape.before + shape.pattern)


def places(text: str) -> list[Place]:
    """Return start and end of each secret in `text` with one of the shapes, in their order.

    They never contain a quotation mark around a text, so that masked JSON is still JSON.
    """
    found = list(_places(text))
    for reading in escapes_decoded(text):
        found += [(start, end) for start, end, _ in reading.origin(_marked(reading))]
    return found


def _marked(reading: Reading) -> list[tuple[int, int, str]]:
    return [(start, end, "") for start, end in _places(reading.text)]


def _places(text: str) -> Iterator[Place]:
    yield from _tokens(text)
    for hint, shapes in _HINTS.items():
        at = text.find(hint)
        while at >= 0:
            end = at + len(hint)
            for shape in shapes:
                for place in _at(shape, text, at):
                    yield place
                    end = max(end, place[1])
            at = text.find(hint, end)


def _tokens(text: str) -> Iterator[Place]:
    """Yield the tokens; splitting takes a third of the time of a search for each prefix."""
    if len(text) < WORD:
        return
    words = text.encode("latin-1", "replace").translate(_WORDS)
    end = 0
    for word in words.split():
        if len(word) < WORD or word[:2] not in _STARTS:
            continue
        for prefix, shape in _STARTS[word[:2]]:
            if word.startswith(prefix):
                at = words.index(word, end)
                end = at + len(word)
                yield from _at(shape, text, at)
                break


def _at(shape: Shape, text: str, at: int) -> Iterator[Place]:
    found = _compiled(shape).match(text, at)
    if not found:
        return
    group = found.lastindex or 0
    secret, (start, end) = found[group], found.span(group)
    if not shape.is_secret(secret):
        return
    if shape.hint == "://" and ":" in secret:
        user = secret.partition(":")[0]
        if len(user) >= 20 and _is_opaque(user):  # `https://<token>:x-oauth-basic@host`
            yield start, start + len(user)
        yield start + len(user) + 1, end
    elif shape.hint == "asic ":
        yield start + (len(_user_of_basic(secret)) * 8 + 5) // 6, end
    elif shape.hint == "-----BEGIN ":
        yield from _lines(text, start, end)
    elif shape.hint.lower() not in ("assword=", "wd=") or _in_connection_string(text, at, end):
        yield start, end


def _in_connection_string(text: str, at: int, end: int) -> bool:
    """Return True if `host=db user=app` or `Server=db;` is next to the password."""
    before = text[max(0, at - _NEAR) : at - 1].rpartition("\n")[2]
    if before.rstrip().endswith((",", "(")):
        return False  # an argument of a function
    after = text[end : end + _NEAR].partition("\n")[0]
    return bool(_PAIRS.search(before) or _PAIRS.match(after))


def _lines(text: str, start: int, end: int) -> Iterator[Place]:
    """Yield the key without the text around its lines in a list of texts."""
    at = start
    for cut in [*(match.start() for match in _CUTS.finditer(text, start, end)), end]:
        if at < cut and (match := _EDGES.fullmatch(text, at, cut)) and match[1]:
            yield match.span(1)
        at = cut + 1
