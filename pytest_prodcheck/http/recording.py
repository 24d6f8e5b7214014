"""The record of an exchange: everything a reader needs, and no credential.

A credential is recognized by its place: a header that is not known to be harmless, a cookie, a
query parameter or body field with a telltale name. The value there is masked here, and handed to
`learn` so that the redactor can mask it wherever else it appears.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote_plus

from pytest_prodcheck.http import curl
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.sockets import RequestDeadline
from pytest_prodcheck.model import Exchange

MASK = "***"

SHOWN = 2000
"""Characters of a response's body in the record."""

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

_TELLTALE = re.compile(r"token|secret|passw|signature|credential|apikey|session|jwt|private")
"""In a name, these make it sensitive: X-Amz-Security-Token, x_goog_signature, user_password."""

_SECRET_RESPONSE_HEADERS = frozenset(
    {"apikey", "auth", "authorization", "cookie", "key", "sid", "sig"}
)

_FIELD = re.compile(
    r'("[^"\\]{0,40}(?:password|passwd|secret|token|api_?-?key|authorization|credential'
    r'|private_?-?key)[^"\\]{0,40}"\s*:\s*")((?:[^"\\]|\\.)+)',
    re.IGNORECASE,
)
_FORM = re.compile(r"(^|[?&;])([^=&;\s]+)=([^&;\s]+)")
_COOKIE = re.compile(r"^([^=;]*=)?([^;]*)(.*)$", re.DOTALL)
_SCHEME_AND_SEPARATORS = re.compile(r"(?:[A-Za-z][\w-]* )?[\s:;,=.-]*")
"""The literal text that may stand beside variables in a header."""

Learn = Callable[[str], None]
Redact = Callable[[str], str]
Added = tuple[tuple[str, str], ...]
"""Headers that the transport adds: name, and its value as a template (see `http.curl`)."""


class Masking:
    """Builder of one client's records; `learn` gets each credential that it masks."""

    def __init__(self, learn: Learn | None, redact: Redact | None) -> None:
        self._learn = learn
        self._redact = redact

    def exchange(
        self,
        request: httpx.Request,
        deadline: RequestDeadline,
        added: Added,
        *,
        response: httpx.Response | None = None,
        kind: str | None = None,
        error: str | None = None,
    ) -> Exchange:
        """Return the record of one request: with its response, or its failure's kind and text."""
        url = self.url(request.url)
        return Exchange(
            method=request.method,
            url=url,
            status=response.status_code if response is not None else None,
            elapsed_ms=round(deadline.elapsed * 1000, 3),
            kind=kind,
            error=error,
            request_headers=self._request_headers(request.headers, added),
            response_headers={} if response is None else self._response_headers(response.headers),
            body="" if response is None else self._body_excerpt(response.headers, deadline),
            size=deadline.size,
            curl=self._curl(request, added),
            traceparent=request.headers.get("traceparent", ""),
            retried=deadline.retried,
        )

    def url(self, url: httpx.URL) -> str:
        """Return the URL without user information and with sensitive parameters masked."""
        if url.userinfo:
            for part in (url.username, url.password):
                self._learn_all(part)
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
        self._learn_all(value, unquote_plus(value))
        return f"{before}{name}={MASK}"

    def _request_headers(self, headers: httpx.Headers, added: Added) -> dict[str, str]:
        shown = {}
        for name, value in headers.items():
            if name in HARMLESS:
                shown[name] = value
            else:
                shown[name] = MASK
                self._learn_all(*_credentials_in(name, value))
        for name, _ in added:
            shown[name.lower()] = MASK
        return shown

    def _response_headers(self, headers: httpx.Headers) -> dict[str, str]:
        shown: dict[str, str] = {}
        for name, value in headers.multi_items():
            if name == "set-cookie":
                value = self._cookie(value)
            elif name in ("location", "content-location", "link", "refresh"):
                value = self._target(_without_user(value))
            elif not _SECRET_RESPONSE_HEADERS.isdisjoint(name.split("-")) or _TELLTALE.search(name):
                self._learn_all(value)
                value = MASK
            shown[name] = f"{shown[name]}, {value}" if name in shown else value
        return shown

    def _cookie(self, value: str) -> str:
        match = _COOKIE.match(value)
        if not match or not match[2].strip():
            return value
        self._learn_all(match[2].strip())
        return f"{match[1] or ''}{MASK}{match[3]}"

    def _body_excerpt(self, headers: httpx.Headers, deadline: RequestDeadline) -> str:
        if not deadline.excerpt:
            return ""
        media = headers.get("content-type", "")
        if b"\0" in deadline.excerpt[:SHOWN]:
            return f"({deadline.size} bytes of {media or 'no declared type'})"
        return self._masked_excerpt(_text(deadline.excerpt, media))

    def _masked_excerpt(self, text: str) -> str:
        """Return the first SHOWN characters of *text*, masked.

        It is cut after masking: a cut could hide half of a secret from the redactor.
        """
        text = _FIELD.sub(self._field, text)
        if self._redact:
            text = self._redact(text)
        return text[:SHOWN]

    def _field(self, found: re.Match[str]) -> str:
        self._learn_all(found[2])
        return f"{found[1]}{MASK}"

    def _curl(self, request: httpx.Request, added: Added) -> str:
        """Return a curl command on one line, with known credentials as variables."""
        words = ["curl", "-sS", "-i", "--compressed"]
        if request.method == "HEAD":
            words.append("--head")
        elif request.method != "GET":
            words += ["-X", curl.literal(request.method)]
        words += [
            f"-H {curl.template(self._configured_header(name, text))}" for name, text in added
        ]
        words += [
            f"-H {self._header_word(name, value)}"
            for name, value in request.headers.items()
            if name not in _SET_BY_CURL and (name, value) != ("accept", "*/*")
        ]
        before = ""
        if body := self._body_text(request):
            before, data = curl.piped(body)
            words.append(f"--data-binary {data}")
        return before + " ".join([*words, *self._url_words(request.url, bool(body))])

    def _configured_header(self, name: str, template: str) -> str:
        """Return a configured header, without its value if the literal text looks like a secret."""
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
        """Return the template that expands to *value*, if known variables make it up; else ""."""
        template = self._redact(value) if self._redact else value
        known = template != value and curl.filled(template) == value
        return (
            template
            if known and _SCHEME_AND_SEPARATORS.fullmatch(curl.VARIABLE.sub("", template))
            else ""
        )

    def _url_words(self, url: httpx.URL, has_body: bool) -> list[str]:
        """Return the parameters that curl has to encode, and the URL with all the others."""
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
                inline.append(shown.replace("${", "%24{"))  # literal text, not a variable
        path = self._redact(place) if self._redact else place
        place = path if curl.filled(path) == place else place
        shown = f"{place}{mark}{'&'.join(inline)}"
        unglobbed = ["-g"] if set("[]{}").intersection(curl.VARIABLE.sub("", shown)) else []
        return [*encoded, *unglobbed, curl.template(shown)]

    def _body_text(self, request: httpx.Request) -> str:
        """Return the request's body, masked; MASK if it is not text or was streamed."""
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
        return self._masked_excerpt(text)

    def _learn_all(self, *values: str) -> None:
        if self._learn:
            for value in values:
                if len(value) >= SHORTEST:
                    self._learn(value)


_SET_BY_CURL = frozenset(
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
"""Headers that curl sets itself; a repeated request has a trace of its own."""


def _sensitive(name: str) -> bool:
    plain = name.lower().translate(_SEPARATORS)
    return plain in SENSITIVE_QUERY or bool(_TELLTALE.search(plain))


_SEPARATORS = {ord(character): None for character in "-_.[]$ "}


def _credentials_in(name: str, value: str) -> Iterable[str]:
    """Yield the texts of a header's value to mask elsewhere too: the whole, and its parts."""
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
    """Return the way to add an encoded parameter; the second needs curl 7.87 or newer."""
    return "--url-query" if has_body else "-G --data-urlencode"
