"""What a request leaves in the record: everything a reader needs, and no credential.

A credential is told by its place (a header that is not known to be harmless, a cookie, a query
parameter or body field of a telling name); what stands there is masked here, and handed to
`learn` so that the redactor can mask it wherever else it shows up.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote_plus

from pytest_prodcheck.http import curl
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.sockets import Clock
from pytest_prodcheck.model import Exchange

MASK = "***"

SHOWN = 2000
"""Characters of an answer in the record."""

SHORTEST = 8
"""Characters a value must have to be learned: masking `1` everywhere would shred a report."""

HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "range",
        "traceparent",
        "transfer-encoding",
        "user-agent",
    }
)
"""Request headers whose values are shown."""

SENSITIVE_QUERY = frozenset(
    {
        "accesskey",
        "accesskeyid",
        "apikey",
        "auth",
        "authorization",
        "awsaccesskeyid",
        "bearer",
        "clientsecret",
        "code",
        "codeverifier",
        "connectionstring",
        "cookie",
        "credential",
        "credentials",
        "dsn",
        "hmac",
        "idtoken",
        "jwt",
        "key",
        "licensekey",
        "mac",
        "otp",
        "pass",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "pin",
        "privatekey",
        "pwd",
        "refreshtoken",
        "samlresponse",
        "secret",
        "secretkey",
        "session",
        "sessionid",
        "sid",
        "sig",
        "sign",
        "signature",
        "ticket",
        "token",
        "totp",
        "xsig",
    }
)
"""Query parameters whose values are masked, in lower case without `-`, `_` and `.`."""

_TELLING = re.compile(r"token|secret|passw|signature|credential|apikey|session|jwt|private")
"""In a name, these make it sensitive: X-Amz-Security-Token, x_goog_signature, user_password."""

_ANSWER_HEADERS = frozenset({"apikey", "auth", "authorization", "cookie", "key", "sid", "sig"})

_FIELD = re.compile(
    r'("[^"\\]{0,40}(?:password|passwd|secret|token|api_?-?key|authorization|credential'
    r'|private_?-?key)[^"\\]{0,40}"\s*:\s*")((?:[^"\\]|\\.)+)',
    re.IGNORECASE,
)
_FORM = re.compile(r"(^|[?&;])([^=&;\s]+)=([^&;\s]+)")
_COOKIE = re.compile(r"^([^=;]*=)?([^;]*)(.*)$", re.DOTALL)
_PLAIN = re.compile(r"(?:[A-Za-z][\w-]* )?[\s:;,=.-]*")
"""What may stand beside variables in a header: a scheme and separators."""

Learn = Callable[[str], None]
Redact = Callable[[str], str]
Added = tuple[tuple[str, str], ...]
"""Headers that the transport adds: name, and its value as a template (see `http.curl`)."""


class Masking:
    """Builds the records of one client; `learn` gets each credential that it masks."""

    def __init__(self, learn: Learn | None, redact: Redact | None) -> None:
        self._learn = learn
        self._redact = redact

    def exchange(
        self,
        request: httpx.Request,
        clock: Clock,
        added: Added,
        *,
        response: httpx.Response | None = None,
        kind: str | None = None,
        error: str | None = None,
    ) -> Exchange:
        """The record of one request: with its answer, or with the kind and text of its failure."""
        url = self.url(request.url)
        return Exchange(
            method=request.method,
            url=url,
            status=response.status_code if response is not None else None,
            elapsed_ms=round(clock.elapsed * 1000, 3),
            kind=kind,
            error=error,
            request_headers=self._request_headers(request.headers, added),
            response_headers={} if response is None else self._answer_headers(response.headers),
            body="" if response is None else self._excerpt(response.headers, clock),
            size=clock.size,
            curl=self._curl(request, added),
            traceparent=request.headers.get("traceparent", ""),
            retried=clock.retried,
        )

    def url(self, url: httpx.URL) -> str:
        """As it was asked for, without user information and with sensitive parameters masked."""
        if url.userinfo:
            for part in (url.username, url.password):
                self._tell(part)
        path = url.raw_path.decode("ascii", "replace")
        return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}{self._target(path)}"

    def _target(self, path: str) -> str:
        if "?" not in path:
            return path
        path, _, query = path.partition("?")
        return f"{path}?{self._parameters(query)}"

    def _parameters(self, query: str) -> str:
        return _FORM.sub(self._parameter, query)

    def _parameter(self, found: re.Match[str]) -> str:
        before, name, value = found.groups()
        if not _sensitive(unquote_plus(name)):
            return found[0]
        self._tell(value, unquote_plus(value))
        return f"{before}{name}={MASK}"

    def _request_headers(self, headers: httpx.Headers, added: Added) -> dict[str, str]:
        shown = {}
        for name, value in headers.items():
            if name in HARMLESS:
                shown[name] = value
            else:
                shown[name] = MASK
                self._tell(*_credentials_in(name, value))
        for name, _ in added:
            shown[name.lower()] = MASK
        return shown

    def _answer_headers(self, headers: httpx.Headers) -> dict[str, str]:
        shown: dict[str, str] = {}
        for name, value in headers.multi_items():
            if name == "set-cookie":
                value = self._cookie(value)
            elif name in ("location", "content-location", "link", "refresh"):
                value = self._target(_without_user(value))
            elif not _ANSWER_HEADERS.isdisjoint(name.split("-")) or _TELLING.search(name):
                self._tell(value)
                value = MASK
            shown[name] = f"{shown[name]}, {value}" if name in shown else value
        return shown

    def _cookie(self, value: str) -> str:
        match = _COOKIE.match(value)
        if not match or not match[2].strip():
            return value
        self._tell(match[2].strip())
        return f"{match[1] or ''}{MASK}{match[3]}"

    def _excerpt(self, headers: httpx.Headers, clock: Clock) -> str:
        if not clock.excerpt:
            return ""
        media = headers.get("content-type", "")
        if b"\0" in clock.excerpt[:SHOWN]:
            return f"({clock.size} bytes of {media or 'no declared type'})"
        return self._shown(_text(clock.excerpt, media))

    def _shown(self, text: str) -> str:
        """Masked first and cut after: a cut would hide half of a secret from the redactor."""
        text = _FIELD.sub(self._field, text)
        if self._redact:
            text = self._redact(text)
        return text[:SHOWN]

    def _field(self, found: re.Match[str]) -> str:
        self._tell(found[2])
        return f"{found[1]}{MASK}"

    def _curl(self, request: httpx.Request, added: Added) -> str:
        """One line for a shell; known credentials stand in it as variables."""
        words = ["curl", "-sS", "-i", "--compressed"]
        if request.method == "HEAD":
            words.append("--head")
        elif request.method != "GET":
            words += ["-X", curl.literal(request.method)]
        words += [f"-H {curl.template(self._configured(name, text))}" for name, text in added]
        words += [
            f"-H {self._header_word(name, value)}"
            for name, value in request.headers.items()
            if name not in _CURLS_OWN and (name, value) != ("accept", "*/*")
        ]
        before = ""
        if body := self._sent(request):
            before, data = curl.piped(body)
            words.append(f"--data-binary {data}")
        return before + " ".join([*words, *self._url_words(request.url, bool(body))])

    def _configured(self, name: str, template: str) -> str:
        """A header of the configuration, unless its literal text looks like a secret as well."""
        safe = self._redact is None or self._redact(template) == template
        return f"{name}: {template if safe else '<see headers in the configuration>'}"

    def _header_word(self, name: str, value: str) -> str:
        if name in HARMLESS:
            return curl.literal(f"{name}: {value}")
        if name != "cookie":
            return curl.template(f"{name}: {self._by_variables(value) or MASK}")
        crumbs = [crumb.strip().partition("=") for crumb in value.split(";")]
        shown = (f"{key}={self._by_variables(text) or MASK}" for key, _, text in crumbs)
        return curl.template(f"{name}: {'; '.join(shown)}")

    def _by_variables(self, value: str) -> str:
        """The template that gives *value*, if it is made of known variables; else ""."""
        template = self._redact(value) if self._redact else value
        known = template != value and curl.filled(template) == value
        return template if known and _PLAIN.fullmatch(curl.VARIABLE.sub("", template)) else ""

    def _url_words(self, url: httpx.URL, has_body: bool) -> list[str]:
        """The parameters that curl has to encode, and the URL with all the others."""
        place, mark, query = self.url(url).partition("?")
        sent = url.raw_path.decode("ascii", "replace").partition("?")[2]
        inline: list[str] = []
        encoded: list[str] = []
        for shown, (name, _, value) in zip(
            query.split("&"), (pair.partition("=") for pair in sent.split("&")), strict=True
        ):
            if template := self._by_variables(value):
                inline.append(f"{name}={template}")
            elif template := self._by_variables(unquote_plus(value)):
                encoded += _url_option(has_body), curl.template(f"{name}={template}")
            else:
                inline.append(shown.replace("${", "%24{"))  # no variable, whatever it looks like
        path = self._redact(place) if self._redact else place
        place = path if curl.filled(path) == place else place
        shown = f"{place}{mark}{'&'.join(inline)}"
        unglobbed = ["-g"] if set("[]{}").intersection(curl.VARIABLE.sub("", shown)) else []
        return [*encoded, *unglobbed, curl.template(shown)]

    def _sent(self, request: httpx.Request) -> str:
        """The request's body, if it is text and at hand."""
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return ""
        try:
            content = request.content
        except httpx.RequestNotRead:
            return MASK
        media = request.headers.get("content-type", "")
        if b"\0" in content or media.startswith("multipart/"):
            return MASK
        text = content.decode(errors="replace")
        if "urlencoded" in media:
            text = self._parameters(text)
        return self._shown(text)

    def _tell(self, *values: str) -> None:
        if self._learn:
            for value in values:
                if len(value) >= SHORTEST:
                    self._learn(value)


_CURLS_OWN = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "host",
        "traceparent",
        "transfer-encoding",
        "user-agent",
    }
)
"""Headers that curl sets itself; the trace of a repeated request is another one."""


def _sensitive(name: str) -> bool:
    plain = name.lower().translate(_SEPARATORS)
    return plain in SENSITIVE_QUERY or bool(_TELLING.search(plain))


_SEPARATORS = {ord(character): None for character in "-_.[]$ "}


def _credentials_in(name: str, value: str) -> Iterable[str]:
    """What in a header's value is worth hiding elsewhere too: the whole, and its parts."""
    yield value
    if name == "cookie":
        for pair in value.split(";"):
            yield pair.partition("=")[2].strip()
        return
    scheme, blank, rest = value.partition(" ")
    if not blank:
        return
    yield rest
    if scheme.lower() == "basic":
        try:
            plain = base64.b64decode(rest, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return
        yield plain
        yield plain.partition(":")[2]


def _without_user(location: str) -> str:
    return re.sub(r"^(<?[a-z][a-z0-9+.-]*://)[^/@?#]*@", r"\1", location, flags=re.IGNORECASE)


def _text(content: bytes, media: str) -> str:
    charset = re.search(r'charset="?([\w.:-]+)', media)
    try:
        return content.decode(charset[1] if charset else "utf-8", "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


def _url_option(has_body: bool) -> str:
    """The way to add an encoded parameter; the second needs curl 7.87 or newer."""
    return "--url-query" if has_body else "-G --data-urlencode"
