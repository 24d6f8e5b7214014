"""The way to the target: name, connection, TLS and bytes, all under one clock per request.

A timeout of httpx or httpcore is per read, so an answer that drips never ends. Here every wait
(resolver, connect, handshake, send, receive) asks the request's Clock how long it may still take.
"""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any, Literal

import httpcore

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.http import real_time
from pytest_prodcheck.http.certificates import CertificateChain, chain_of
from pytest_prodcheck.waiting import readable

MAX_HEAD = 64 * 1024
"""Bytes of an answer's header, 1xx answers before it included (as http.client's longest line)."""

KEEPALIVE = 4.0
"""Seconds an idle connection is kept: less than the 5 s of uvicorn and Node.js."""

Stage = Literal["start", "dns", "connect", "tls", "send", "header", "body"]


class Clock:
    """How long one request may still take, and how far it has come."""

    __slots__ = (
        "closed",
        "elapsed",
        "end",
        "excerpt",
        "head",
        "headed",
        "peer",
        "received",
        "retried",
        "reused",
        "seconds",
        "size",
        "stage",
        "started",
        "status",
        "stream",
    )

    def __init__(self) -> None:
        self.started = self.end = self.seconds = 0.0
        self.stage: Stage = "start"
        self.peer = ""
        self.headed = 0.0
        self.elapsed = 0.0
        self.received = 0
        """Bytes that came in, on this connection and for this request."""
        self.head: list[bytes] = []
        """What was received until the header was whole."""
        self.closed = False
        """The other side has ended the connection."""
        self.stream: Stream | None = None
        self.reused = False
        """The connection has served a request before."""
        self.retried = False
        self.status: int | None = None
        self.excerpt = b""
        self.size = 0

    def start(self, seconds: float) -> None:
        """The request leaves now and may take `seconds` in all."""
        self.seconds = seconds
        self.started = real_time.monotonic()
        self.end = self.started + seconds

    def again(self) -> None:
        """The same request once more, in what is left of its time."""
        self.retried = True
        self.stage, self.stream, self.reused = "start", None, False
        self.received, self.head, self.closed = 0, [], False

    def heads(self, status: int) -> None:
        """The header is there; what comes now is the body."""
        self.status, self.stage = status, "body"
        self.headed = real_time.monotonic() - self.started

    def stop(self) -> None:
        self.elapsed = real_time.monotonic() - self.started

    def left(self) -> float:
        """Seconds; raises httpcore.TimeoutException when there are none."""
        left = self.end - real_time.monotonic()
        if left <= 0:
            raise httpcore.TimeoutException
        return left


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Verifies certificate and host name, TLS 1.2 or newer; `ca_bundle` replaces certifi's.

    Made by hand: OpenSSL's own defaults would follow SSL_CERT_FILE, and httpx's would too.
    Raises UsageError for a bundle that cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_bundle is None:
        import certifi

        context.load_verify_locations(certifi.where())
        return context
    try:
        if os.path.isdir(ca_bundle):
            context.load_verify_locations(capath=ca_bundle)
        else:
            context.load_verify_locations(ca_bundle)
    except OSError as error:
        raise UsageError(
            f"ca_bundle {ca_bundle!r} cannot be used: {error.strerror or 'not found'}. "
            "Name a PEM file of certificates, or a folder of them made by `openssl rehash`."
        ) from None
    return context


class HeadTooLarge(Exception):
    """The answer's header passes MAX_HEAD."""


class Resolver:
    """Addresses of host names, looked up once for the run.

    `getaddrinfo` cannot be told to give up, so it runs in a daemon thread that can be left.
    """

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], _Lookup] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, port: int, clock: Clock) -> list[tuple[Any, Any]]:
        """(family, socket address) pairs; raises OSError, or TimeoutError after the deadline."""
        with self._lock:
            lookup = self._lookups.get((host, port))
            if lookup is None:
                lookup = self._lookups[host, port] = _Lookup(host, port)
        found = lookup.wait(clock)
        if isinstance(found, list):
            return found
        with self._lock:
            if self._lookups.get((host, port)) is lookup:
                del self._lookups[host, port]
        raise found


class _Lookup:
    def __init__(self, host: str, port: int) -> None:
        self._done = threading.Event()
        self._found: list[tuple[Any, Any]] | Exception = TimeoutError("no answer in time")
        try:
            self._look(host, port, socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            threading.Thread(
                target=self._look_up, args=(host, port), name="prodcheck-resolver", daemon=True
            ).start()

    def wait(self, clock: Clock) -> list[tuple[Any, Any]] | Exception:
        # Not `left()`: a silent resolver is a fault of its own, told apart from a slow target.
        self._done.wait(max(0.0, clock.end - real_time.monotonic()))
        return self._found

    def _look_up(self, host: str, port: int) -> None:
        try:
            self._look(host, port, 0)
        except (OSError, UnicodeError) as error:
            self._found = error
            self._done.set()

    def _look(self, host: str, port: int, flags: int) -> None:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
        self._found = [(family, address) for family, _, _, _, address in answers]
        self._done.set()


PACKET = 64 * 1024
"""Bytes of a request that are collected before they are sent."""


class Stream(httpcore.NetworkStream):
    """One connection, whose every wait is bounded by the clock of the lane's request."""

    def __init__(self, connection: socket.socket, lane: "Lane") -> None:
        self._socket = connection
        self._lane = lane
        self._request: Clock | None = None
        self._requests = 0
        self._unsent = bytearray()
        self._certificates: CertificateChain | None = None
        if isinstance(connection, ssl.SSLSocket):
            # Kept, because a closed connection no longer tells them.
            self._certificates = chain_of(connection)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        clock = self._lane.clock
        if self._unsent:
            # The server may have answered before it hung up: what it said is read all the same.
            with contextlib.suppress(httpcore.WriteError):
                self._send()
        heading = clock.stage != "body"
        if heading:
            clock.stage = "header"
            if clock.received >= MAX_HEAD:
                raise HeadTooLarge
        try:
            self._socket.settimeout(clock.left())
            data = self._socket.recv(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError as error:
            raise httpcore.ReadError(error) from None
        clock.received += len(data)
        clock.closed = not data
        if heading:
            clock.head.append(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        clock = self._lane.clock
        if clock is not self._request or clock.stream is None:
            self._request = clock
            self._requests += 1
            clock.stream = self
            clock.reused = self._requests > 1
        clock.stage = "send"
        # Head and body come one by one; a small request leaves in one packet.
        self._unsent += buffer
        if len(self._unsent) >= PACKET:
            self._send()

    def _send(self) -> None:
        unsent = memoryview(bytes(self._unsent))
        self._unsent.clear()
        try:
            while unsent:
                self._socket.settimeout(self._lane.clock.left())
                unsent = unsent[self._socket.send(unsent) :]
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except OSError as error:
            raise httpcore.WriteError(error) from None

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        clock = self._lane.clock
        clock.stage = "tls"
        try:
            # The timeout of a handshake is for the whole of it.
            self._socket.settimeout(clock.left())
            wrapped = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout from None
            if isinstance(error, OSError | ValueError):
                raise httpcore.ConnectError(error) from None
            raise
        clock.stage = "send"
        return Stream(wrapped, self._lane)

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks for; and `certificates`: a CertificateChain, or None without TLS."""
        if info == "is_readable":
            return self._readable()
        if info == "certificates":
            return self._certificates
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        if info == "socket":
            return self._socket
        if info == "server_addr":
            return self._socket.getpeername()
        if info == "client_addr":
            return self._socket.getsockname()
        return None

    def _readable(self) -> bool:
        """An idle connection with something to read has been closed by its server."""
        number = self._socket.fileno()
        if number < 0:
            return True
        return readable(number, 0)


class Lane(httpcore.NetworkBackend):
    """Room for one request at a time and its kept connection.

    A pool of one connection each is what keeps the cost of a request the same with 64 of them:
    httpcore's pool looks at all of its connections for every request.
    """

    def __init__(
        self,
        resolver: Resolver,
        tls: Callable[[], ssl.SSLContext],
        proxy: httpcore.Proxy | None,
    ) -> None:
        self.clock = Clock()
        self._resolver = resolver
        self._tls = tls
        self._proxy = proxy
        self._pools: dict[str, httpcore.ConnectionPool] = {}

    def pool(self, scheme: str) -> httpcore.ConnectionPool:
        """The pool for URLs of that scheme; a TLS context is only made for https."""
        if scheme not in self._pools:
            self._pools[scheme] = httpcore.ConnectionPool(
                ssl_context=self._tls() if scheme == "https" else None,
                proxy=self._proxy,
                max_connections=1,
                keepalive_expiry=KEEPALIVE,
                network_backend=self,
            )
        return self._pools[scheme]

    def drop(self) -> None:
        """Close what is kept, so that the next request makes a new connection."""
        for pool in self._pools.values():
            pool.close()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        clock = self.clock
        clock.stage, clock.peer = "dns", f"{host}:{port}"
        try:
            addresses = self._resolver.addresses(host, port, clock)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(error) from None
        clock.stage = "connect"
        connection = _connect(addresses, clock)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clock.stage = "send"
        return Stream(connection, self)


def _connect(addresses: list[tuple[Any, Any]], clock: Clock) -> socket.socket:
    """The first address that answers; a dead one may not use up the time of those after it."""
    failure: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectTimeout()
    for number, (family, address) in enumerate(addresses):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(clock.left() / (len(addresses) - number))
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            clock.peer = f"{host}:{address[1]}"
            connection.connect(address)
        except TimeoutError:
            connection.close()
            failure = httpcore.ConnectTimeout()
        except OSError as error:
            connection.close()
            failure = httpcore.ConnectError(error)
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure
