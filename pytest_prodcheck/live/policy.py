"""What may leave for a target: pure rules over methods and hosts. No socket is opened.

Every rule answers with the reason why something may not leave, or None when it may. A reason
tells the facts, then the way out, and never holds a query, userinfo or header value: it goes
to files and terminals, and those parts are where credentials stand.
"""

import re
import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pytest_prodcheck import urls
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.live.programs import network_program
from pytest_prodcheck.model import Record

if TYPE_CHECKING:
    from pytest_prodcheck.config import Target

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""The safe methods of RFC 9110, 9.2.1, without TRACE, which echoes credentials."""

_PLAIN_SCHEME = {"ws": "http", "wss": "https"}

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_PLAIN_URL = re.compile(r"(https?|wss?)://([^/?#@\\\s]+)(?:[/?]\S*)?", re.IGNORECASE)
_METHOD_PARAMETER = re.compile(r"[?&;]_method=", re.IGNORECASE)
_OVERRIDE_HEADERS = {b"x-http-method-override", b"x-method-override", b"x-http-method"}
"""Headers by which Rails, Django, Express and ASP.NET middleware turn a GET or POST into more."""

_WRITABLE = (
    "Mark a test that writes with @pytest.mark.writes and run it against a target with"
    " read_only = false."
)


class Policy(Record, frozen=True):
    """What a run may do to its target, as the configuration says.

    origin: scheme, host and port of the target; `("https", "api.example.com", 443)`.
    hosts: other `host` or `host:port` that may be reached. Without a port it is 443, and 80
    too when the target itself is plain http.
    """

    target: str
    """The target's name, for messages."""
    read_only: bool
    origin: tuple[str, str, int]
    hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, target: "Target") -> "Policy":
        """The policy that a configured target means. Its proxy, if it has one, is a host too."""
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
    """`host` as hosts are compared: lower case, IDNA, no root dot, IPv6 in its short form.

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
    """A Policy made ready to be asked, some microseconds a question."""

    def __init__(self, policy: Policy) -> None:
        """Raises UsageError when one of `policy.hosts` is neither `host` nor `host:port`."""
        self.policy = policy
        scheme, host, port = policy.origin
        origin = (normal_host(host), port)
        self.named: dict[tuple[str, int], tuple[str, ...]] = {}
        """Other endpoints that the configuration names, with the schemes that may go there."""
        for entry in policy.hosts:
            for endpoint, schemes in _endpoints(entry, scheme):
                if endpoint != origin:
                    self.named[endpoint] = schemes
        self.endpoints = self.named | {origin: (scheme,)}
        self.names = frozenset(name for name, _ in self.endpoints)

    def request(self, method: str, scheme: str, host: str, port: int, target: str) -> str | None:
        """Why this request may not leave; host and port are those of the connection.

        target: path and query, or for a proxy the whole URL or `host:port`.
        """
        scheme = _PLAIN_SCHEME.get(scheme, scheme)
        if scheme not in self.endpoints.get((host, port), ()):  # asked for every request: quick
            refused = self.endpoint(_request(method, scheme, host, port), scheme, host, port)
            if refused is not None:
                return refused
        read_only = self.policy.read_only
        if method == "CONNECT" and (not read_only or self._is_named(host, port)):
            what = f"{_request(method, scheme, host, port)} to {_shown(target)}"
            return self._authority(what, "https", target)
        path = target
        if method != "CONNECT" and not target.startswith("/") and _ABSOLUTE.match(target):
            match = _PLAIN_URL.fullmatch(target)
            if match is None:
                what = _request(method, scheme, host, port)
                return f"{what} was not sent: it asks for a URL that is not plainly readable."
            beyond = _PLAIN_SCHEME.get(match[1].lower(), match[1].lower())
            what = f"{_shown(method)} {beyond}://{_shown(match[2])} (through {_shown(host)}:{port})"
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
        if ("method=" in target.lower() or "%" in target) and _METHOD_PARAMETER.search(
            unquote(target)
        ):
            what = _request(method, scheme, host, port, path)
            return self._override(what, "the query parameter _method")
        return None

    def headers(self, method: str, host: str, port: int, names: Iterable[bytes]) -> str | None:
        """Why a request with these header names may not leave a read-only run."""
        if self.policy.read_only:
            for name in names:
                if name.lower().strip() in _OVERRIDE_HEADERS:
                    what = _shown(f"{method} to {host}:{port}")
                    return self._override(what, f"the header {_shown(name.decode('latin-1'))}")
        return None

    def endpoint(self, what: str, scheme: str | None, host: str, port: int) -> str | None:
        """Why nothing may be sent to `host:port`; `scheme` is None where it cannot be known."""
        try:
            name = normal_host(host)
        except UnicodeError:
            name = ""
        schemes = self.endpoints.get((name, port))
        if schemes is None:
            address = _shown(f"[{name}]:{port}" if ":" in name else f"{name or host}:{port}")
            return (
                f"{what} was not sent: {address} is neither target {self.policy.target}"
                f" ({self._origin()}) nor a host that the configuration names."
                f' If tests may reach it, add it to the target: hosts = ["{address}"].'
            )
        if scheme is not None and scheme not in schemes:
            return (
                f"{what} was not sent: target {self.policy.target} is {self._origin()},"
                f" and {_shown(host)}:{port} is to be asked over {' or '.join(schemes)} only."
                f" Use the `api` fixture, which keeps to the target's base_url."
            )
        return None

    def connection(self, host: str, port: int) -> str:
        """The reason for a connection that no policed HTTP client is opening."""
        address = _shown(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
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

    def unreadable(self) -> str:
        """The reason for a request that is sent as something other than bytes."""
        return (
            f"A request was not sent: target {self.policy.target} is read-only, and http.client"
            " was given something other than bytes, which cannot be read beforehand."
            " Give it bytes, or use the `api` fixture."
        )

    def tampering(self, undone: Iterable[str]) -> str:
        """The reason when test code has taken out or replaced a part of the guard."""
        return (
            f"The guard of target {self.policy.target} was tampered with:"
            f" {', '.join(undone)}."
            " Leave it in place; to answer for the service in a test, use httpx.MockTransport."
        )

    def program(self, argv: Sequence[str]) -> str | None:
        """Why this command line may not be started beside a read-only target."""
        if not self.policy.read_only:
            return None
        found = network_program(argv)
        if found is None:
            return None
        return (
            f"{_shown(found)} was not started: target {self.policy.target} is read-only, and"
            " what another program sends cannot be policed. Use the `api` fixture."
            f" {_WRITABLE}"
        )

    def _authority(self, what: str, scheme: str, authority: str) -> str | None:
        try:
            host, port = _split(authority)
        except UsageError:
            return f"{what} was not sent: {_shown(authority)} is not a plain host and port."
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
    """`host`, `host:port`, `[v6]` or `[v6]:port` in its parts. Raises UsageError on others."""
    host, _, port = urls.authority(authority).rpartition(":")
    if not host or port.endswith("]"):
        return urls.authority(authority).strip("[]"), None
    return host.strip("[]"), int(port)


def _authority_of(url: str) -> str:
    """`host:port` of a proxy's URL, without its credentials."""
    split = urlsplit(url)
    host = split.hostname or ""
    port = split.port or urls.DEFAULT_PORTS.get(split.scheme)
    return f"{f'[{host}]' if ':' in host else host}" + (f":{port}" if port else "")


def _database(target: "Target") -> tuple[str, ...]:
    """`host:port` of the target's database, for drivers that use Python's sockets.

    Like every other host it is reached by a connection of a test's own on a writable target only.
    """
    split = urlsplit(target.database.reveal() if target.database else "")
    try:
        host, port = split.hostname or "", split.port or 5432
        authority = f"{f'[{host}]' if ':' in host else host}:{port}"
        _split(authority)
    except (ValueError, UsageError):
        return ()  # a socket's folder, or several hosts
    return (authority,) if split.scheme.startswith("postgres") else ()


def _request(method: str, scheme: str, host: str, port: int, target: str = "") -> str:
    where = f"[{host}]" if ":" in host else host
    return _shown(f"{method} {scheme}://{where}:{port}{target.partition('?')[0]}")


def _shown(text: str) -> str:
    """`text` in printable ASCII, cut: it comes from test code and goes to terminals."""
    return ascii(text[:200])[1:-1]
