"""The encoded forms of a secret, and a text with its escapes decoded.

The redactor uses both. `forms` writes a secret in the encodings that cannot be decoded character by
character (base64, hex, reversed). `Reading` decodes the others in the text itself: letter case,
white space and line wraps, terminal colours, and percent, JSON, Python and HTML escapes, also on
top of each other. Secret and text pass through the same reading, so they agree.
"""

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlsplit

MAX_LAYERS = 3
"""Nested escapes that are decoded: JSON in a Python repr in HTML is three."""

LONG = 8192
"""Characters above which a secret (a kubeconfig, a keystore) is searched for only as it is and in
base64: each form costs about 200 bytes of memory per character."""

# Text that may be inside a secret without being part of it. The line prefixes are those of
# pytest's tracebacks and diffs, and of boxes drawn around a text.
_NOISE = re.compile(
    r"""
      \x1b\[[0-?]*[ -/]*[@-~]                           # colours and cursor movements
    | \x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)           # OSC and the like, to their end
    | \x1b[ -/]*[0-~]                                   # any other escape sequence
    | \n(?:\x1b\[[\d;]*m)*(?:E[ \t]+(?:\x1b\[[\d;]*m)*(?:[-+?][ \t]+)?|[|>][ \t]+)
    | [\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f]
    | [\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0│┃║]
    """,
    re.VERBOSE,
)
# The same without terminal sequences: the target of a terminal hyperlink is text too.
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")

# Works on a folded text, so `\U0001f600` and `\u0001f600` look alike; the planes in use win. Each
# alternative begins with another character, so that a search skips all other text quickly.
_ESCAPE = re.compile(
    r"""(
      %[0-9a-f]{2}
    | \\(?:
          (?:x1b|u001b|033|e)\[[0-9;]*m                  # a colour that was escaped itself
        | u000[123][0-9a-f]{4} | u[0-9a-f]{4} | x[0-9a-f]{2} | [0-7]{3}
        | [abefnrtv"'/\\`$]
      )
    | \#x1b\[[0-9;]*m
    | \^\[\[[0-9;]*m
    | &(?:\#[0-9]{1,7}|\#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});
    | '(?:"'"'|\\'')                                    # a quote inside a shell's quotes
    )""",
    re.VERBOSE,
)


# RFC 2045: hex digits in upper case, and a line that continues after `=`.
_QUOTED_PRINTABLE = re.compile(r"=(?:([0-9A-F]{2})|\r?\n)")

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
# ASCII as URLs, JSON, Python and HTML escape it, once or several times.
_ASCII_ESCAPE = re.compile(
    r"""(
      %(?:25){0,3}[0-7][0-9a-fA-F]
    | \\{1,4}(?:(?:u00|x)[0-7][0-9a-fA-F]|[nrt/])
    | &(?:\#[xX][0-7]?[0-9a-fA-F]|\#(?:[0-9]{1,2}|1[01][0-9]|12[0-7])|amp|quot|lt|gt);
    )""",
    re.VERBOSE,
)
_NAMED = {"/": "/", "amp": "&", "quot": '"', "lt": "<", "gt": ">"}

_SIGNS = ("%", "\\", "&", "#x1b[", "^[[", "'\"'\"'")
"""Each escape contains one of these, and to search for them is quicker than the pattern."""


class _Meanings(dict[str, str]):
    """A cache of escapes and the texts they stand for, which `meaning` returns."""

    def __init__(self, meaning: Callable[[str], str]) -> None:
        self._meaning = meaning

    def __missing__(self, escape: str) -> str:
        if len(self) > _MOST_MEANINGS:  # any `&anything;` is an entry
            self.clear()
        self[escape] = meaning = self._meaning(escape)
        return meaning


_MOST_MEANINGS = 10_000


def _folded(escape: str) -> str:
    """Return the folded text that an escape stands for, empty for noise."""
    return fold(_NOISE.sub("", _unescape(escape)))


def _ascii(escape: str) -> str:
    """Return the character that an escape stands for, a line break if it cannot be printed."""
    body = escape.strip("&;%\\#")
    if escape[0] == "&" and escape[1] == "#":
        char = chr(int(body[1:], 16)) if body[0] in "xX" else chr(int(body))
    elif escape[0] == "&" or body in ("", "/", "n", "r", "t"):
        char = _NAMED.get(body, "\n")
    else:
        char = chr(int(body[-2:], 16))
    return char if char.isprintable() else "\n"


def _unescape(escape: str) -> str:
    if escape[0] == "&":
        return html.unescape(escape)
    if escape[0] == "'":
        return "'"
    if escape.endswith("m"):
        return ""
    if escape[0] == "%":
        return chr(int(escape[1:], 16))
    if escape[1] in "ux":
        return chr(int(escape[2:], 16))
    if len(escape) == 4:
        return chr(int(escape[1:], 8))
    return "" if escape[1] in "abefnrtv" else escape[1]


_MEANINGS = _Meanings(_folded)
_ASCII_MEANINGS = _Meanings(_ascii)


def fold(text: str) -> str:
    """Return `text` in lower case with the same length, which `str.casefold` does not keep."""
    folded = text.lower()
    if len(folded) != len(text):
        folded = "".join(low if len(low := char.lower()) == 1 else char for char in text)
    # A final sigma depends on its neighbours; fragments have others.
    return folded if folded.isascii() else folded.replace("\u03c2", "\u03c3")


Edit = tuple[re.Pattern[str], Callable[[re.Match[str]], str], str]
"""Pattern, function that returns the replacement, and the text before the edit."""


class Reading:
    """A decoded text, and the means to find a place of it in the original text."""

    __slots__ = ("_edits", "text")

    def __init__(self, text: str, edits: tuple[Edit, ...]) -> None:
        """Keep the `edits` that led from the original to `text`, first to last."""
        self.text = text
        self._edits = edits

    def origin(self, spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
        """Return `spans` (start, end, mask) of this reading as spans of the original text."""
        for edit in reversed(self._edits if spans else ()):
            spans = _before(edit, spans)
        return spans


def _before(edit: Edit, spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return `spans` of the text after an edit as spans of the text before it."""
    pattern, replacement, before = edit
    afters: list[int] = []
    """End of each replacement in the text after the edit."""
    places: list[tuple[int, int, int]] = []
    """Its length, and start and end of the replaced text."""
    shift = 0
    for match in pattern.finditer(before):
        start, end = match.span()
        length = len(replacement(match))
        shift += length - (end - start)
        afters.append(end + shift)
        places.append((length, start, end))

    def place(at: int) -> tuple[int, int]:
        """Return start and end of the text from which the character at `at` came."""
        index = bisect_right(afters, at)
        if index < len(afters) and at >= afters[index] - places[index][0]:
            return places[index][1:]
        if index == 0:
            return at, at + 1
        origin = places[index - 1][2] + at - afters[index - 1]
        return origin, origin + 1

    return [(place(start)[0], place(end - 1)[1], mask) for start, end, mask in spans]


def readings(text: str) -> Iterator[Reading]:
    """Yield each reading of `text`: without noise, then with one more layer of escapes decoded."""
    yield from _layers(text, _NOISE)
    if "\x1b" in text:
        yield from _layers(text, _BLANKS)
    if "=" in text and _QUOTED_PRINTABLE.search(text):
        plain = _QUOTED_PRINTABLE.sub(_printable, text)
        yield from _layers(plain, _NOISE, ((_QUOTED_PRINTABLE, _printable, text),))


def escapes_decoded(text: str) -> Iterator[Reading]:
    """Yield `text` without colours and with escaped ASCII decoded, in its letter case.

    Yields nothing if the text has neither.
    """
    edits: tuple[Edit, ...] = ()
    if "\x1b" in text:
        edits, text = ((_COLOUR, _nothing, text),), _COLOUR.sub("", text)
    if "\\" in text or "%" in text or "&" in text:
        read = _replaced(text, _ASCII_ESCAPE, _ASCII_MEANINGS)
        if read != text:
            edits, text = (*edits, (_ASCII_ESCAPE, _ascii_meaning, text)), read
    if edits:
        yield Reading(text, edits)


def _layers(text: str, noise: re.Pattern[str], before: tuple[Edit, ...] = ()) -> Iterator[Reading]:
    edits: tuple[Edit, ...] = (*before, (noise, _nothing, text))
    read = _without(noise, text)
    yield Reading(read, edits)
    for _ in range(MAX_LAYERS):
        if not any(sign in read for sign in _SIGNS):
            return
        unescaped = _replaced(read, _ESCAPE, _MEANINGS)
        if unescaped == read:
            return
        edits = (*edits, (_ESCAPE, _meaning, read))
        read = unescaped
        yield Reading(read, edits)


def _nothing(match: re.Match[str]) -> str:
    return ""


def _printable(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else ""


def _replaced(text: str, pattern: re.Pattern[str], meanings: _Meanings) -> str:
    """Return `text` with each match replaced, twice as fast as `Pattern.sub` with a function."""
    parts = pattern.split(text)
    parts[1::2] = map(meanings.__getitem__, parts[1::2])
    return "".join(parts)


def _ascii_meaning(match: re.Match[str]) -> str:
    return _ASCII_MEANINGS[match[0]]


def _meaning(match: re.Match[str]) -> str:
    return _MEANINGS[match[0]]


def _without(noise: re.Pattern[str], text: str) -> str:
    # str.split is ten times as fast as the pattern, and equivalent for most texts.
    packed = "".join(text.split())
    if (
        packed.isascii()
        and packed.isprintable()
        and not ("\nE" in text or "\n|" in text or "\n>" in text)
    ):
        return packed.lower()
    return fold(noise.sub("", text))


def forms(secret: str) -> set[str]:
    """Return the secret as it is, and in each encoding that a reading does not decode."""
    # Also UTF-8 bytes read as Latin-1 (as in HTTP headers), and JSON surrogate pairs.
    plain = {
        secret,
        secret.upper(),
        secret.lower(),
        secret.replace(" ", "+"),
        _bytes(secret).decode("latin-1"),
        "".join(_utf16(secret)),
    }
    if len(secret) > LONG:
        return plain | set(_base64(_bytes(secret)))
    found = plain | {secret[::-1]}
    written = {
        secret,
        quote(secret, safe="", errors="replace"),
        json.dumps(secret)[1:-1],
        html.escape(secret),
    }
    for raw in {_bytes(each) for each in written} | _latin1(secret):
        found.add(raw.hex())
        found.update(_base64(raw))
    found.update(_base32(_bytes(secret)))
    return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _latin1(text: str) -> set[bytes]:
    try:
        return {text.encode("latin-1")}
    except UnicodeEncodeError:
        return set()


def _utf16(text: str) -> Iterator[str]:
    raw = text.encode("utf-16-be", "surrogatepass")
    return (chr(raw[at] << 8 | raw[at + 1]) for at in range(0, len(raw), 2))


def _base64(raw: bytes) -> Iterator[str]:
    """Yield the characters that depend on `raw` alone, for each of three offsets in a triple."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        first = (before * 8 + 5) // 6
        end = (before + len(raw)) * 8 // 6
        yield encoded[first:end]
        yield encoded[first:end].translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")


def _base32(raw: bytes) -> Iterator[str]:
    """Yield the characters that depend on `raw` alone, for each of five offsets in a group."""
    for before in range(5):
        encoded = base64.b32encode(bytes(before) + raw).decode()
        yield encoded[(before * 8 + 4) // 5 : (before + len(raw)) * 8 // 5]


# --- the secret parts of a value ----------------------------------------------------

_CREDENTIAL = re.compile(
    r"""
      token|secret|passw|passphrase|credential|cookie|api_?key|access_?key|private_?key|webhook
    | (?:^|[^a-z])(?:pwd|pass|pw|key|dsn|auth|authorization|session|sig|signature|jwt|bearer
      |pat|otp)(?:[^a-z]|$)
    | pgpass|sshpass|dbpass|dbpwd
    """,
    re.VERBOSE,
)
_PAIR = re.compile(r"""([A-Za-z_][\w .-]*?)\s*=\s*("[^"]*"|'[^']*'|[^;\s]*)(?:[;\s]+|$)""")
# Keys of libpq, ODBC and ADO connection strings and attributes of cookies.
_ORDINARY_KEYS = re.compile(
    "host|hostaddr|port|dbname|db|database|user|username|uid|userid|user id|server|data source"
    "|driver|initial catalog|sslmode|encrypt|trustservercertificate"
    "|application_name|client_encoding|channel_binding|connect_timeout|fallback_application_name"
    "|gssencmode|keepalives|load_balance_hosts|options|passfile|sslcert|sslkey|sslrootcert"
    "|target_session_attrs|path|domain|expires|max-age|samesite|endpoint|accountname|defaultendpointsprotocol|endpointsuffix",
    re.IGNORECASE,
)
_DATABASE = re.compile(
    r"(?:cockroachdb|mariadb|mssql|mysql|oracle|postgres|postgresql|redshift|sqlite)(?:\+\w+)?"
)
"""Schemes of URLs whose user name is a role, and never a token."""
_SCHEME = re.compile(r"(?:bearer|token|basic|apikey|api-key)\s+(\S{8,})", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+(?:[-_. ][a-z]+)*|[A-Z]+(?:[-_. ][A-Z]+)*|[A-Z][a-z]+")


def is_credential_name(name: str) -> bool:
    """Return True if a variable, header, field or parameter of this name holds a credential."""
    return _CREDENTIAL.search(name.lower()) is not None


def is_plain_words(value: str) -> bool:
    """Return True for a setting rather than a secret: `production`, `auth.example.com`."""
    return _WORDS.fullmatch(value) is not None


def secret_parts(value: str) -> tuple[list[str], list[str]]:
    """Return the parts of `value` that are secret in any fragment, and those only in full.

    In a URL these are the password, credentials in the query, and without either, long path
    segments (webhooks); its scheme, host and database name occur in any report. A user name alone
    may be a token, but not a database's user name. In a connection string or a JSON document they
    are the values with a credential's name. Any other value is secret as a whole.
    """
    value = value.strip()
    if "://" in value:
        found = _parts_of_url(value)
    elif value.startswith("{"):
        found = _parts_of_json(value)
    elif scheme := _SCHEME.fullmatch(value):
        found = [scheme[1]], []
        if value[:5].lower() == "basic":
            found[0].extend(_basic_password(scheme[1]))
    else:
        found = _parts_of_pairs(value)
    return found if found[0] or found[1] else ([value], [])


def _parts_of_url(value: str) -> tuple[list[str], list[str]]:
    try:
        url = urlsplit(value)
    except ValueError:
        return [], []
    if not url.netloc and not url.query:
        return [], [value]
    database = _DATABASE.fullmatch(url.scheme) is not None
    alone: list[str] = []
    whole: list[str] = []
    userinfo = url.netloc.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    if len(password) < 8 or not _opaque_places(fold(password)):
        if password:  # `postgres:postgres@` is a login, but `postgres` occurs in any report
            logins = (userinfo, f"{userinfo}@", url.netloc)
            whole += [next((login for login in logins if len(login) >= 8), value)]
    else:
        alone.append(password)
    if not database and (len(user) >= 16 or (len(user) >= 8 and userinfo == user)):
        alone.append(user)  # `https://<token>@host`, `https://<token>:x-oauth-basic@host`
    for pair in url.query.split("&"):
        key, _, text = pair.partition("=")
        credential = is_credential_name(key)
        is_distinctive = len(text) >= 8 and not is_plain_words(text)
        if is_distinctive and (credential or (len(text) >= 16 and not database)):
            alone.append(text)
        elif credential and text and database:
            whole.append(pair)
    if not alone and not whole and not database:
        rest = [*url.path.split("/"), url.fragment]
        alone += [each for each in rest if len(each) >= 16 and not is_plain_words(each)]
    return (alone, whole) if alone or whole else ([], [value])


def _parts_of_json(value: str) -> tuple[list[str], list[str]]:
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return [], []
    fields = document.items() if isinstance(document, dict) else ()
    return [
        text
        for key, text in fields
        if isinstance(text, str)
        and len(text) >= 8
        and is_credential_name(key)
        and "://" not in text
        and not is_plain_words(text)
    ], []


def _parts_of_pairs(value: str) -> tuple[list[str], list[str]]:
    pairs = _PAIR.findall(value)
    if not pairs or _PAIR.sub("", value).strip():
        return [], []
    alone: list[str] = []
    for key, text in pairs:
        if is_credential_name(key):
            alone.append(text.strip("\"'"))
        elif not _ORDINARY_KEYS.fullmatch(key):
            return [], []
    if alone and all(len(text) >= 8 for text in alone):
        return alone, []
    return [text for text in alone if len(text) >= 8], [value]


def _basic_password(encoded: str) -> list[str]:
    try:
        login = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return []
    password = login.partition(":")[2]
    return [password] if len(password) >= 8 else []


# Words in the names of secrets, hosts and settings. A fragment of a secret that is little more
# than such a word reveals nothing, and masking it would make a report unreadable.
_ORDINARY = re.compile(
    r"""
      production|development|staging|localhost|postgresql|postgres|mysql|sqlite|redis|mongodb
    | database|password|username|authorization|bearer|application|service|account|example
    | internal|session|default|private|public|certificate|secret|access|github|gitlab|amazonaws
    | prodcheck|client|server|begin|security|internet|changeme|openssh|encrypted
    | (?<![a-z])(?:prod|live|test|demo|api|key|user|admin|token|end|rsa|https?|com|org|net|dev
      |www|app|sk|pk|db)(?![a-z])
    | (.)\1{3,}
    | [-_./:@=+ ]
    """,
    re.VERBOSE,
)


def _opaque_places(read: str) -> list[int]:
    """Return the positions of a folded text that are not part of an ordinary word."""
    ordinary: set[int] = set()
    for match in _ORDINARY.finditer(read):
        ordinary.update(range(*match.span()))
    return [at for at in range(len(read)) if at not in ordinary]


def revealing_windows(read: str, size: int, least: int) -> list[int] | None:
    """Return the starts of the windows of `size` characters that reveal a part of the secret.

    Such a window has `least` characters, or all that there are, outside of ordinary words.
    None: the text consists of ordinary words only.
    """
    opaque = _opaque_places(read)
    if not opaque:
        return None
    if len(opaque) == len(read):
        return list(range(len(read) - size + 1))
    least = min(least, len(opaque))
    marks = bytearray(len(read))
    for at in opaque:
        marks[at] = 1
    return [
        start
        for start in range(len(read) - size + 1)
        if marks.count(1, start, start + size) >= least
    ]
