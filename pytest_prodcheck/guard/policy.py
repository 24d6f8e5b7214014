"""The rules for requests to a target, by methods and hosts. Pure: no socket is opened.

Every rule returns the reason why something may not be sent, or None if it may. A reason has the
facts, then the remedy, and never contains a query, userinfo or header value: it is written to
files and terminals, and these parts may be credentials.
"""

import re
import socket
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

from pytest_prodcheck import urls
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.guard.commands import network_program
from pytest_prodcheck.model import Record

if TYPE_CHECKING:
    from pytest_prodcheck.config import Target

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""The safe methods of RFC 9110, 9.2.1, without TRACE, which echoes credentials."""

UNIX = "unix:"
"""Prefix of an entry of `hosts` that names a Unix socket."""

_PLAIN_SCHEME = {"ws": "http", "wss": "https"}

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_PLAIN_URL = re.compile(r"(https?|wss?)://([^/?#@\\\s]+)(?:[/?]\S*)?", re.IGNORECASE)
_OVERRIDES = re.compile(
    r"x-(?:http-)?(?:method|verb)|(?:x-)?(?:http-)?(?:method|verb)-override"
    r"|x-(?:http-)?override-(?:method|verb)"
)
"""Headers by which Rails, Django, Express and ASP.NET middleware turn a GET or POST into more."""

_REWRITES = re.compile(r"x-(?:original|rewrite|override)-url")
"""Headers by which IIS and Symfony respond for another path than the requested one."""

_OVERRIDE_PARAMETERS = re.compile(r"[-$!]+(?:http-?)?(?:method|headers)")
"""Query parameters that do the same: `_method` is Rails', Laravel's and Symfony's, `_HttpMethod`
Salesforce's, `$httpMethod` and `$httpHeaders` are Google's."""

_HOST_HEADERS = re.compile(
    r"host|forwarded|x-forwarded-server|proxy-host"
    r"|x-(?:(?:backend|forwarded|http|original|override|proxy|real|rewrite|upstream)-)*host"
    r"(?:-override)?"
)
"""Headers by which a server or a proxy chooses the site that responds."""

_FORWARDED_HOST = re.compile(r"(?:^|[;,\s])host\s*=\s*\"?([^\";,\s]+)", re.IGNORECASE)
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

_GRAPHQL_NOISE = re.compile(r'"""[\s\S]*?"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*')
_GRAPHQL_BLOCK = re.compile(r"[{(][^{}()]*[})]")
_GRAPHQL_WRITE = re.compile(r"\b(mutation|subscription)\b")

_WRITABLE = (
    "Mark a test that writes with @pytest.mark.writes and run it against a target with"
    " read_only = false."
)


@lru_cache(1024)  # called for every header of every request
def is_override(name: str) -> bool:
    """Return True if a header or query parameter of this name can turn a GET into more."""
    plain = name.strip().lower().replace("_", "-").partition("[")[0]
    patterns = (_OVERRIDE_PARAMETERS, _OVERRIDES, _REWRITES)
    return any(pattern.fullmatch(plain) for pattern in patterns)


@lru_cache(1024)
def names_a_host(header: str) -> bool:
    """Return True if a header of this name can lead a request to another site."""
    return _HOST_HEADERS.fullmatch(header.strip().lower().replace("_", "-")) is not None


class Policy(Record, frozen=True):
    """The permissions of a run on its target, by the configuration.

    origin: scheme, host and port of the target; `("https", "api.example.com", 443)`.
    hosts: other `host` or `host:port` that may be reached, or `unix:/path` of a socket. Without a
    port it is 443, and 80 too when the target itself is plain http.
    """

    target: str
    """The target's name, for messages."""
    read_only: bool
    origin: tuple[str, str, int]
    hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, target: "Target") -> "Policy":
        """Return the policy of a configured target, whose proxy, if any, is a host too."""
        base = urls.address(target.base_url)
        proxy = target.proxy
        if proxy is not None and not isinstance(proxy, str):
            proxy = proxy.reveal()
        return cls(
            target=target.name,
            read_only=target.read_only,
            origin=(base.scheme, base.host, base.port),
            hosts=(*target.hosts, *([_authority_of(proxy)] if proxy else ()), *_database(target)),
        )


def normal_host(host: str) -> str:
    """Return `host` in the form for comparison: lower case, IDNA, no root dot, short IPv6.

    Raises UnicodeError when `host` cannot be a host name.
    """
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if ":" in host:
        try:
            return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host))
        except OSError:
            return host.lower()
    if not host.isascii():
        host = host.encode("idna").decode("ascii")  # the encoding that socket itself uses
    return host.lower().removesuffix(".")


class Rules:
    """A Policy prepared for quick decisions, some microseconds each."""

    def __init__(self, policy: Policy) -> None:
        """Prepare *policy*; raises UsageError if a host is neither `host` nor `host:port`."""
        self.policy = policy
        scheme, host, port = policy.origin
        origin = (normal_host(host), port)
        self.named: dict[tuple[str, int], tuple[str, ...]] = {}
        """Other endpoints that the configuration names, with the schemes that may go there."""
        self.sockets = tuple(
            entry.removeprefix(UNIX) for entry in policy.hosts if entry.startswith(UNIX)
        )
        for entry in policy.hosts:
            if entry.startswith(UNIX):
                continue
            for endpoint, schemes in _endpoints(entry, scheme):
                if endpoint != origin:
                    self.named[endpoint] = schemes
        self.endpoints = self.named | {origin: (scheme,)}
        self.names = frozenset(name for name, _ in self.endpoints)

    def request(self, method: str, scheme: str, host: str, port: int, target: str) -> str | None:
        """Return the reason not to send this request; host and port are those of the connection.

        target: path and query, or for a proxy the whole URL or `host:port`.
        """
        scheme = _PLAIN_SCHEME.get(scheme, scheme)
        if scheme not in self.endpoints.get((host, port), ()):  # for every request, so it is quick
            refused = self.endpoint(_request(method, scheme, host, port), scheme, host, port)
            if refused is not None:
                return refused
        read_only = self.policy.read_only
        if method == "CONNECT" and (not read_only or self._is_named(host, port)):
            what = f"{_request(method, scheme, host, port)} to {_printable(target)}"
            return self._authority(what, "https", target)
        path = target
        if method != "CONNECT" and not target.startswith("/") and _ABSOLUTE.match(target):
            match = _PLAIN_URL.fullmatch(target)
            if match is None:
                what = _request(method, scheme, host, port)
                return f"{what} was not sent: it asks for a URL that is not plainly readable."
            beyond = _PLAIN_SCHEME.get(match[1].lower(), match[1].lower())
            what = (
                f"{_printable(method)} {beyond}://{_printable(match[2])}"
                f" (through {_printable(host)}:{port})"
            )
            refused = self._authority(what, beyond, match[2])
            if refused is not None:
                return refused
            path = target[match.end(2) :]
        if not read_only:
            return None
        if method not in SAFE_METHODS:
            return (
                f"{_request(method, scheme, host, port, path)} was not sent: target"
                f" {self.policy.target} is read-only, and only GET, HEAD and OPTIONS may leave."
                f" {_WRITABLE}"
            )
        if "?" in target and (how := acting_query(target.partition("?")[2])):
            return self._override(_request(method, scheme, host, port, path), how)
        return None

    def headers(
        self, method: str, scheme: str, host: str, port: int, headers: Iterable[tuple[bytes, bytes]]
    ) -> str | None:
        """Return the reason not to send a request with these headers.

        On every target: they name another host. On a read-only one: they, or the form that they
        announce, can change the request's method or path.
        """
        read_only = self.policy.read_only
        form = body = False
        for raw, value in headers:
            name = raw.strip().lower().replace(b"_", b"-").decode("latin-1")
            if names_a_host(name):
                refused = self._other_site(method, scheme, host, port, name, value)
                if refused is not None:
                    return refused
            elif read_only and is_override(name):
                what = _printable(f"{method} to {host}:{port}")
                return self._override(what, f"the header {_printable(raw.decode('latin-1'))}")
            elif name == "content-type":
                form = value.strip().lower().decode("latin-1").startswith(FORMS)
            elif name == "transfer-encoding" or (
                name == "content-length" and value.strip() != b"0"
            ):
                body = True
        if read_only and form and body:
            return self._override(_printable(f"{method} to {host}:{port}"), "a form in its body")
        return None

    def _other_site(
        self, method: str, scheme: str, host: str, port: int, name: str, value: bytes
    ) -> str | None:
        text = value.decode("latin-1").strip()
        sites = _FORWARDED_HOST.findall(text) if name == "forwarded" else text.split(",")
        for site in filter(None, map(str.strip, sites)):
            try:
                named, at = _split(site)
                known = normal_host(named)
            except (UsageError, UnicodeError):
                known, at = "", None
            if known in self.names and (at is None or (known, at) in self.endpoints):
                continue
            what = _request(method, scheme, host, port)
            return (
                f"{what} was not sent: its header {name} names {_printable(site)}, which is neither"
                f" target {self.policy.target} ({self._origin()}) nor a host that the"
                " configuration names. Leave the header out, or add the host to the target's"
                " hosts = [...]."
            )
        return None

    def endpoint(self, what: str, scheme: str | None, host: str, port: int) -> str | None:
        """Return the reason not to send to `host:port`; `scheme` is None if it is unknown."""
        try:
            name = normal_host(host)
        except UnicodeError:
            name = ""
        schemes = self.endpoints.get((name, port))
        if schemes is None:
            address = _printable(f"[{name}]:{port}" if ":" in name else f"{name or host}:{port}")
            return (
                f"{what} was not sent: {address} is neither target {self.policy.target}"
                f" ({self._origin()}) nor a host that the configuration names."
                f' If tests may reach it, add it to the target: hosts = ["{address}"].'
            )
        if scheme is not None and scheme not in schemes:
            return (
                f"{what} was not sent: target {self.policy.target} is {self._origin()},"
                f" and {_printable(host)}:{port} is to be asked over {' or '.join(schemes)} only."
                f" Use the `api` fixture, which keeps to the target's base_url."
            )
        return None

    def connection(self, host: str, port: int) -> str:
        """Return the reason to refuse a connection that no policed HTTP client is opening."""
        address = _printable(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        if self.policy.read_only:
            return (
                f"A connection to {address} was not opened: target {self.policy.target} is"
                " read-only, and what is sent on a connection of one's own cannot be policed."
                " Use the `api` fixture, or httpx, requests, urllib or http.client with the"
                " target's hosts (others are named by hosts = [...]); the rest needs"
                " read_only = false."
            )
        return (
            f"A connection to {address} was not opened: it is neither target"
            f" {self.policy.target} ({self._origin()}) nor a host that the configuration names."
            f' If tests may reach it, add it to the target: hosts = ["{address}"].'
        )

    def local(self, path: str) -> str | None:
        """Return the reason not to connect to a Unix socket."""
        if path in self.sockets:
            return None
        shown = _printable(path)
        return (
            f"A connection to the socket {shown} was not opened: it is neither target"
            f" {self.policy.target} ({self._origin()}) nor named by the configuration."
            f' If tests may use it, add it to the target: hosts = ["{UNIX}{shown}"]; what is sent'
            " there cannot be policed."
        )

    def family(self, name: str) -> str:
        """Return the reason to refuse a kind of socket that does not lead to a named host."""
        return (
            f"A connection over {name} was not opened: only TCP to target {self.policy.target}"
            f" ({self._origin()}) and to named hosts may leave. Use the `api` fixture."
        )

    def is_target(self, host: str, port: int) -> bool:
        """Return True if this endpoint is the target's own."""
        _, own, at = self.policy.origin
        return port == at and normal_host(host) == normal_host(own)

    def unreadable(self) -> str:
        """Return the reason to refuse a request that cannot be read before it is sent."""
        return (
            f"A request was not sent: target {self.policy.target} is read-only, and http.client"
            " was given something other than a whole request head and its body, as bytes; that"
            " cannot be read beforehand. Let http.client make the request, or use the `api`"
            " fixture."
        )

    def tampering(self, undone: Iterable[str]) -> str:
        """Return the reason when test code has removed or replaced a part of the guard."""
        return (
            f"The guard of target {self.policy.target} was tampered with:"
            f" {', '.join(undone)}."
            " Leave it in place; to answer for the service in a test, use httpx.MockTransport."
        )

    def program(self, argv: Sequence[str]) -> str | None:
        """Return the reason not to start this command line beside a read-only target."""
        if not self.policy.read_only:
            return None
        found = network_program(argv)
        if found is None:
            return None
        return (
            f"{_printable(found)} was not started: target {self.policy.target} is read-only, and"
            " what another program sends cannot be policed. Use the `api` fixture."
            f" {_WRITABLE}"
        )

    def _authority(self, what: str, scheme: str, authority: str) -> str | None:
        try:
            host, port = _split(authority)
        except UsageError:
            return f"{what} was not sent: {_printable(authority)} is not a plain host and port."
        return self.endpoint(what, scheme, host, port or urls.DEFAULT_PORTS[scheme])

    def _is_named(self, host: str, port: int) -> bool:
        return (normal_host(host), port) in self.named

    def _override(self, what: str, how: str) -> str:
        return (
            f"{what} was not sent: {how} can turn it into another method, and target"
            f" {self.policy.target} is read-only. {_WRITABLE}"
        )

    def _origin(self) -> str:
        scheme, host, port = self.policy.origin
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


_NOTHING = Policy(target="", read_only=True, origin=("", "", 0))


class NotKnownYet(Rules):
    """The rules before the configuration has been read: nothing may be sent."""

    def __init__(self) -> None:
        super().__init__(_NOTHING)

    def request(self, method: str, scheme: str, host: str, port: int, target: str) -> str:
        return self._refused(_request(method, scheme, host, port, target))

    def endpoint(self, what: str, scheme: str | None, host: str, port: int) -> str:
        return self._refused(what)

    def connection(self, host: str, port: int) -> str:
        return self._refused(f"A connection to {_printable(f'{host}:{port}')}")

    def local(self, path: str) -> str:
        return self._refused(f"A connection to the socket {_printable(path)}")

    def family(self, name: str) -> str:
        return self._refused(f"A connection over {name}")

    def program(self, argv: Sequence[str]) -> str | None:
        found = network_program(argv)
        return self._refused(_printable(found)) if found else None

    def tampering(self, undone: Iterable[str]) -> str:
        return f"The guard was tampered with: {', '.join(undone)}. Leave it in place."

    def _refused(self, what: str) -> str:
        return (
            f"{what}: refused while pytest loads plugins and conftest files, when the target is not"
            " known yet. Move it from the top of the module into a fixture or a test."
        )


def acting_query(query: str) -> str | None:
    """Return the part of a query that can turn a GET into a write; None for most."""
    for pair in re.split("[&;]", query):
        name, _, value = pair.partition("=")
        name = unquote_plus(unquote_plus(name)).strip()
        if is_override(name):
            return f"the query parameter {_printable(name)}"
        if name.lower() == "query" and _writes_by_graphql(unquote_plus(unquote_plus(value))):
            return "the GraphQL mutation in its query"
    return None


def _writes_by_graphql(text: str) -> bool:
    """Return True if a GraphQL document has an operation that is more than a query."""
    if "{" not in text:
        return False
    text, previous = _GRAPHQL_NOISE.sub(" ", text), ""
    while text != previous:  # from the inside out, until operations' names are left
        text, previous = _GRAPHQL_BLOCK.sub(" ", text), text
    return bool(_GRAPHQL_WRITE.search(text))


def _endpoints(entry: str, origin_scheme: str) -> list[tuple[tuple[str, int], tuple[str, ...]]]:
    try:
        host, port = _split(entry)
    except UsageError as error:
        raise UsageError(f"hosts: {entry!r} {error}") from None
    if port is not None:
        return [((host, port), ("http", "https"))]
    plain = [((host, 80), ("http",))] if origin_scheme == "http" else []
    return [((host, 443), ("https",)), *plain]


def _split(authority: str) -> tuple[str, int | None]:
    """Return the parts of `host`, `host:port`, `[v6]` or `[v6]:port`; raises UsageError."""
    host, _, port = urls.authority(authority).rpartition(":")
    if not host or port.endswith("]"):
        return urls.authority(authority).strip("[]"), None
    return host.strip("[]"), int(port)


def _authority_of(url: str) -> str:
    """Return `host:port` of a proxy's URL, without its credentials."""
    split = urlsplit(url)
    host = split.hostname or ""
    port = split.port or urls.DEFAULT_PORTS.get(split.scheme)
    return f"{f'[{host}]' if ':' in host else host}" + (f":{port}" if port else "")


def _database(target: "Target") -> tuple[str, ...]:
    """Return `host:port` or socket of the target's database, for drivers with Python's sockets.

    As for every other host, a test's own connection may reach it on a writable target only.
    """
    split = urlsplit(target.database.reveal() if target.database else "")
    if not split.scheme.startswith("postgres"):
        return ()
    try:
        query = parse_qs(split.query)
        host = unquote(split.hostname or "")
        port = split.port or int(query.get("port", ["5432"])[0])
        folder = host or query.get("host", [""])[0]
        if folder.startswith("/"):
            return (f"{UNIX}{folder.rstrip('/')}/.s.PGSQL.{port}",)
        authority = f"{f'[{host}]' if ':' in host else host}:{port}"
        _split(authority)
    except (ValueError, UsageError):
        return ()  # several hosts
    return (authority,)


def _request(method: str, scheme: str, host: str, port: int, target: str = "") -> str:
    where = f"[{host}]" if ":" in host else host
    return _printable(f"{method} {scheme}://{where}:{port}{target.partition('?')[0]}")


def _printable(text: str) -> str:
    """Return `text` in printable ASCII, cut: it comes from test code and goes to terminals."""
    return ascii(text[:200])[1:-1]
