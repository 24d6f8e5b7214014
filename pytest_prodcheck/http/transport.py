"""The transport that all requests of a process share: limits of time, size, rate and trust."""

import queue
import re
import ssl
import threading
from collections.abc import Collection, Iterator
from copy import copy
from datetime import timedelta

import httpcore

from pytest_prodcheck.config import Secret, Target
from pytest_prodcheck.errors import NotAsked, UsageError
from pytest_prodcheck.guard.patches import PACED
from pytest_prodcheck.http.body import EXCERPT, BadBody, BodyOverflow, Inflation, codings
from pytest_prodcheck.http.errors import BodyTooLarge, UnknownEncoding, explain, kind_of
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.recording import HARMLESS, Added, Masking
from pytest_prodcheck.http.sockets import (
    Connection,
    HeadTooLarge,
    RequestDeadline,
    Resolver,
    tls_context,
)
from pytest_prodcheck.http.throttle import Throttle

MAX_HEADERS = 256
"""Header lines of a response (http.client takes 100; most servers send fewer than 40)."""

ENCODINGS = ("gzip", "deflate")

WITHOUT = "prodcheck.without"
"""Extension of a request: names (in lower case) of the target's headers that are left out, to
check that the request is refused without them; COOKIE and a name stand for one cookie. With this
extension, cookies of the request and of the target are sent together; without it, a Cookie header
of the request replaces the target's, as any header does."""

COOKIE = "cookie:"

_REPEATABLE = frozenset(("GET", "HEAD"))
_LEGAL_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class LiveTransport(httpx.BaseTransport):
    """A transport that keeps the limits of the run; one for the whole process, safe for threads.

    A request has `target.timeout` seconds in all (or those given with it), a response at most
    `target.max_body` bytes, raw and decoded. The environment is not consulted: proxy and
    certificates come from the target alone. The target's own headers are added here, on its
    own origin only, so that no request object ever carries a credential.
    Raises UsageError for a header, proxy or bundle that cannot be used.
    """

    def __init__(self, target: Target, throttle: Throttle) -> None:
        base = httpx.URL(target.base_url)
        self._target = target
        self._throttle = throttle
        self._origin = origin_of(base)
        self._headers = [_Header(target, name, value) for name, value in target.headers.items()]
        self._names = {header.raw[0].lower() for header in self._headers}
        self._tls: ssl.SSLContext | None = None
        self._tls_lock = threading.Lock()
        if base.scheme == "https":
            self._tls_context()
        resolver, proxy = Resolver(), _proxy(target)
        self._connections = [
            Connection(resolver, self._tls_context, proxy) for _ in range(target.concurrency)
        ]
        # Last in, first out: no more connections than needed, and the most recently used ones.
        self._free: queue.LifoQueue[Connection] = queue.LifoQueue()
        for connection in self._connections:
            self._free.put(connection)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request as `send` does, without a record of its progress."""
        return self.send(request, RequestDeadline())

    def send(self, request: httpx.Request, deadline: RequestDeadline) -> httpx.Response:
        """Return the response, received in full; `deadline` then has the progress and the time.

        Raises httpx.RequestError; NotAsked or Violation if the request was not sent. Waits
        while `target.concurrency` others are under way; neither that nor the wait for the
        rate counts as the request's own time.
        """
        if request.url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(
                f"withheld: {_described(request)}: only http and https requests are sent. Request "
                "a path below base_url.",
                request=request,
            )
        connection = self._free.get()
        try:
            self._throttle.acquire()
            deadline.start(self._seconds(request))
            try:
                response = self._send_with_retry(connection, deadline, request)
            except httpx.RequestError as failure:
                deadline.stop()
                self._record_failure(deadline, failure)
                raise
            deadline.stop()
            self._throttle.record_result(response.status_code < 500)
            return response
        finally:
            self._free.put(connection)

    def added_to(self, request: httpx.Request) -> Added:
        """Return the headers added to a request: name, and the value for a curl command."""
        return tuple((header.name, header.shown) for header in self._added(request))

    def close(self) -> None:
        """Close every connection; requests under way fail."""
        for connection in self._connections:
            connection.drop()

    def _added(self, request: httpx.Request) -> list["_Header"]:
        if not self._headers or origin_of(request.url) != self._origin:
            return []
        without = request.extensions.get(WITHOUT)
        added = []
        for header in self._headers:
            name = header.name.lower()
            if name == "cookie" and without is not None:
                header = header.without_cookies(without)
            elif name in request.headers:
                continue
            if header.raw[1] and name not in (without or ()):
                added.append(header)
        return added

    def _headers_to_send(self, request: httpx.Request) -> list[tuple[bytes, bytes]]:
        """Return the headers to send, the target's among them.

        An empty header of the request leaves out that of the target.
        """
        added = [header.raw for header in self._added(request)]
        written = []
        for name, value in request.headers.raw:
            if name.lower() == b"cookie" and (own := _cookie_of(added)):
                # A request has one Cookie header (RFC 6265, 5.4); a test case has no credential.
                value = _merged_cookies(value, own)
                added = [one for one in added if one[0].lower() != b"cookie"]
            if value or name.lower() not in self._names:
                written.append((name, value))
        return written + added

    def _seconds(self, request: httpx.Request) -> float:
        """Return the seconds for the whole request: the longest of httpx's four timeouts."""
        timeouts = request.extensions.get("timeout", {})
        given = [seconds for seconds in timeouts.values() if seconds is not None]
        return float(max(given, default=self._target.timeout))

    def _record_failure(self, deadline: RequestDeadline, failure: httpx.RequestError) -> None:
        if isinstance(failure, httpx.LocalProtocolError):
            return  # says nothing about the target
        if deadline.status is not None:
            self._throttle.record_result(deadline.status < 500)
        elif isinstance(failure, httpx.RemoteProtocolError):
            self._throttle.record_result(True)
        else:
            self._throttle.record_result(False, transport_failure=True, detail=kind_of(failure))

    def _send_with_retry(
        self, connection: Connection, deadline: RequestDeadline, request: httpx.Request
    ) -> httpx.Response:
        connection.deadline = deadline
        try:
            try:
                return self._send_once(connection, deadline, request)
            except (httpcore.NetworkError, httpcore.RemoteProtocolError):
                if not self._may_repeat(deadline, request):
                    raise
            # httpcore has closed the dead connection, so this makes a new one.
            deadline.restart()
            return self._send_once(connection, deadline, request)
        except (
            httpcore.TimeoutException,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.ProxyError,
            HeadTooLarge,
        ) as error:
            raise explain(error, deadline, request, _described(request)) from None

    def _may_repeat(self, deadline: RequestDeadline, request: httpx.Request) -> bool:
        """Return True if a kept connection was dead, so that the target never got the request."""
        if not deadline.reused or deadline.received or request.method not in _REPEATABLE:
            return False
        try:
            # The second attempt counts as a request like any other.
            self._throttle.acquire(deadline.end)
        except NotAsked:
            return False
        return True

    def _send_once(
        self, connection: Connection, deadline: RequestDeadline, request: httpx.Request
    ) -> httpx.Response:
        url = request.url
        raw = connection.pool(url.scheme).handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=self._headers_to_send(request),
                content=request.stream,
                extensions={PACED: True},
            )
        )
        if not deadline.received:
            # It came together with the previous response, so it does not belong to this request.
            raw.close()
            connection.drop()
            raise httpcore.RemoteProtocolError("a response came before its request was sent")
        try:
            deadline.header_received(raw.status)
            self._check_head(raw.headers, deadline, request)
            content = self._receive(raw, deadline, request)
        finally:
            raw.close()
        body = _Body(content, deadline)
        body.response = httpx.Response(
            raw.status,
            headers=[_with_known_codings(header) for header in raw.headers],
            stream=body,
            request=request,
            extensions=raw.extensions,
        )
        return body.response

    def _check_head(
        self, headers: list[tuple[bytes, bytes]], deadline: RequestDeadline, request: httpx.Request
    ) -> None:
        """Refuse a header that h11 accepts although two readers would read it differently."""
        wrong = None
        if len(headers) > MAX_HEADERS:
            wrong = f"has {len(headers)} header lines, and at most {MAX_HEADERS} are read"
        names = {name.lower() for name, _ in headers}
        if b"content-length" in names:
            lengths = _declared_lengths(b"".join(deadline.head))
            if b"transfer-encoding" in names:
                wrong = "has both Content-Length and Transfer-Encoding, so its end is ambiguous"
            elif len(lengths) > 1 or any(b"," in length for length in lengths):
                wrong = "has more than one Content-Length"
        if wrong:
            raise httpx.RemoteProtocolError(
                f"protocol: {_described(request)}: the response {wrong}. Look at the server, or at "
                "a proxy in front of it.",
                request=request,
            )

    def _receive(
        self, raw: httpcore.Response, deadline: RequestDeadline, request: httpx.Request
    ) -> bytes:
        """Return the body as it was sent, after a check that it fits when decoded too."""
        cap = self._target.max_body
        chunks: list[bytes] = []
        size = 0
        inflation: Inflation | None = None
        try:
            for chunk in raw.iter_stream():
                if not chunks:
                    inflation = self._inflation(raw.headers, request)
                    _refuse_declared_overflow(raw.headers, cap)
                chunks.append(chunk)
                size += len(chunk)
                if size > cap:
                    raise BodyOverflow
                if inflation:
                    inflation.feed(chunk)
            if inflation:
                inflation.finish()
        except BodyOverflow:
            raise BodyTooLarge(
                f"body: {_described(request)}: the response is larger than {cap} bytes"
                f"{' when decoded' if size <= cap and inflation else ''}. Request less, or raise "
                "`max_body` of the target.",
                request=request,
            ) from None
        except BadBody as error:
            raise httpx.DecodingError(
                f"body: {_described(request)}: the response cannot be decoded: {error}. Look at "
                "the server's compression, or at a proxy in front of it.",
                request=request,
            ) from None
        content = b"".join(chunks)
        deadline.excerpt = inflation.start if inflation else content[:EXCERPT]
        deadline.size = inflation.size if inflation else size
        return content

    def _inflation(
        self, headers: list[tuple[bytes, bytes]], request: httpx.Request
    ) -> Inflation | None:
        names = [
            coding
            for name, value in headers
            if name.lower() == b"content-encoding"
            for coding in codings(value.decode("latin-1"))
        ]
        if not names:
            return None
        if len(names) == 1 and names[0] in ENCODINGS:
            return Inflation(names[0], self._target.max_body)
        used = names[0][:40]
        if len(names) > 1:
            used = f"{len(names)} encodings on top of each other ({', '.join(names[:3])[:60]})"
        raise UnknownEncoding(
            f"protocol: {_described(request)}: the response is encoded with {used}, but only gzip "
            "or deflate was accepted. Make the server obey Accept-Encoding.",
            request=request,
        )

    def _tls_context(self) -> ssl.SSLContext:
        """Return the TLS context, made once, for https only: reading certificates takes 20 ms."""
        with self._tls_lock:
            if self._tls is None:
                self._tls = tls_context(self._target.ca_bundle)
            return self._tls


class _Body(httpx.SyncByteStream):
    """A body that was received in full, but not yet read by httpx.

    httpx sets `elapsed` to the time from its call of the transport to the closing of the body,
    then closes this stream, which corrects it: without the wait for a free connection.
    """

    response: httpx.Response

    def __init__(self, content: bytes, deadline: RequestDeadline) -> None:
        self._content = content
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        if self._content:
            yield self._content

    def close(self) -> None:
        self.response.elapsed = timedelta(seconds=self._deadline.elapsed)


class _Header:
    """A configured header: the bytes to send, and the text that may be shown."""

    __slots__ = ("name", "raw", "shown")

    def __init__(self, target: Target, name: str, value: str | Secret) -> None:
        plain = value.reveal() if isinstance(value, Secret) else value
        if not _LEGAL_VALUE.fullmatch(plain):
            raise UsageError(
                f"header {name} of target {target.name}: its value is empty or has characters "
                "that HTTP does not allow there. Look for a line break or a blank at its end, "
                "perhaps in the environment variable."
            )
        self.name = name
        self.raw = name.encode("ascii"), plain.encode("ascii")
        if isinstance(value, Secret):
            self.shown = value.template or f"<written in the configuration: {value.name}>"
        elif name.lower() in HARMLESS:
            self.shown = value
        else:
            self.shown = f"<written in the configuration: targets.{target.name}.headers.{name}>"

    def without_cookies(self, names: Collection[str]) -> "_Header":
        """Return this Cookie header without the cookies in *names*."""
        cookies = _cookies(self.raw[1])
        kept = [one for one in cookies if f"{COOKIE}{one[0]}" not in names]
        if kept == cookies:
            return self
        fewer = copy(self)
        fewer.raw = self.raw[0], "; ".join(map("=".join, kept)).encode("ascii")
        left_out = ", ".join(name for name, _ in cookies if f"{COOKIE}{name}" in names)
        fewer.shown = f"<{self.shown}, without {left_out}>"
        return fewer


def cookie_names(target: Target) -> frozenset[str]:
    """Return the names of the cookies in the target's headers."""
    values = [value for name, value in target.headers.items() if name.lower() == "cookie"]
    plain = [value.reveal() if isinstance(value, Secret) else value for value in values]
    return frozenset(name for value in plain for name, _ in _cookies(value.encode("ascii")))


def _cookies(value: bytes) -> list[tuple[str, str]]:
    """Return the name and value of each cookie in a Cookie header."""
    parts = (part.strip() for part in value.decode("latin-1").split(";"))
    return [(name, rest) for name, _, rest in (part.partition("=") for part in parts if part)]


def _cookie_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    return next((value for name, value in headers if name.lower() == b"cookie"), b"")


def _merged_cookies(written: bytes, added: bytes) -> bytes:
    """Return both together; of two with the same name, the target's (*added*) is kept."""
    theirs = _cookies(added)
    names = {name for name, _ in theirs}
    own = [one for one in _cookies(written) if one[0] not in names]
    return "; ".join(map("=".join, [*own, *theirs])).encode("latin-1")


def origin_of(url: httpx.URL) -> tuple[str, bytes, int | None]:
    """Return scheme, host and port; the port is None if it is the scheme's default."""
    return url.scheme, url.raw_host, url.port


def _described(request: httpx.Request) -> str:
    return f"{request.method} {Masking(None, None).url(request.url)}"


def _proxy(target: Target) -> httpcore.Proxy | None:
    if target.proxy is None:
        return None
    text = target.proxy.reveal() if isinstance(target.proxy, Secret) else target.proxy
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme != "http" or not url.host:
        raise UsageError(
            f"proxy of target {target.name} is not an http:// URL. Write http://HOST:PORT; an "
            "https or SOCKS proxy is not supported."
        )
    return httpcore.Proxy(
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/"),
        auth=(url.username, url.password) if url.username or url.password else None,
    )


def _with_known_codings(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return a header with x-gzip written as gzip: httpx leaves encodings it does not know."""
    name, value = header
    if name.lower() != b"content-encoding" or b"x-" not in value.lower():
        return header
    return name, ", ".join(codings(value.decode("latin-1"))).encode("latin-1")


def _declared_lengths(head: bytes) -> list[bytes]:
    """Return every Content-Length of the response as sent: h11 merges equal ones."""
    while head.startswith(b"HTTP/1.1 1"):
        head = head.partition(b"\r\n\r\n")[2]
    return _LENGTH.findall(head.partition(b"\r\n\r\n")[0])


def _refuse_declared_overflow(headers: list[tuple[bytes, bytes]], cap: int) -> None:
    for name, value in headers:
        if name.lower() == b"content-length" and int(value) > cap:
            raise BodyOverflow
