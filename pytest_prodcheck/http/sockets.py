"""Name resolution, connection, TLS and bytes, all under one deadline per request.

A timeout of httpx or httpcore is per read, so a response that drips never ends. Here every wait
(resolver, connect, handshake, send, receive) takes its time limit from the RequestDeadline.
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
"""Bytes of a response's header with 1xx responses before it (http.client's longest line)."""

KEEPALIVE = 4.0
"""Seconds an idle connection is kept: less than the 5 s of uvicorn and Node.js."""

Stage = Literal["start", "dns", "connect", "tls", "send", "header", "body"]


class RequestDeadline:
    """The time that is left for one request, and its progress."""

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
        """Bytes received on this connection for this request."""
        self.head: list[bytes] = []
        """The pieces received until the header was complete."""
        self.closed = False
        """The other side has closed the connection."""
        self.stream: Stream | None = None
        self.reused = False
        """The connection has served a request before."""
        self.retried = False
        self.status: int | None = None
        self.excerpt = b""
        self.size = 0

    def start(self, seconds: float) -> None:
        """Start the time of the request, which may take `seconds` in all."""
        self.seconds = seconds
        self.started = real_time.monotonic()
        self.end = self.started + seconds

    def restart(self) -> None:
        """Prepare to send the same request again, within the rest of its time."""
        self.retried = True
        self.stage, self.stream, self.reused = "start", None, False
        self.received, self.head, self.closed = 0, [], False

    def header_received(self, status: int) -> None:
        """Record the status; the body comes next."""
        self.status, self.stage = status, "body"
        self.headed = real_time.monotonic() - self.started

    def stop(self) -> None:
        self.elapsed = real_time.monotonic() - self.started

    def left(self) -> float:
        """Return the seconds left; raises httpcore.TimeoutException when there are none."""
        left = self.end - real_time.monotonic()
        if left <= 0:
            raise httpcore.TimeoutException
        return left


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return a context that verifies certificate and host name, with TLS 1.2 or newer.

    `ca_bundle` replaces certifi's certificates. The defaults of OpenSSL and httpx are not used,
    because both follow SSL_CERT_FILE. Raises UsageError for a bundle that cannot be read.
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
    """The response's header is larger than MAX_HEAD."""


class Resolver:
    """Addresses of host names, looked up once for the run.

    `getaddrinfo` has no timeout, so it runs in a daemon thread that can be abandoned.
    """

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], _Lookup] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, port: int, deadline: RequestDeadline) -> list[tuple[Any, Any]]:
        """Return (family, socket address) pairs.

        Raises OSError, or TimeoutError after the deadline.
        """
        with self._lock:
            lookup = self._lookups.get((host, port))
            if lookup is None:
                lookup = self._lookups[host, port] = _Lookup(host, port)
        found = lookup.wait(deadline)
        if isinstance(found, list):
            return found
        with self._lock:
            if self._lookups.get((host, port)) is lookup:
                del self._lookups[host, port]
        raise found


class _Lookup:
    def __init__(self, host: str, port: int) -> None:
        self._done = threading.Event()
        self._found: list[tuple[Any, Any]] | Exception = TimeoutError("no response in time")
        try:
            self._look(host, port, socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            threading.Thread(
                target=self._look_up, args=(host, port), name="prodcheck-resolver", daemon=True
            ).start()

    def wait(self, deadline: RequestDeadline) -> list[tuple[Any, Any]] | Exception:
        # Not `left()`: a silent resolver is reported as another fault than a slow target.
        self._done.wait(max(0.0, deadline.end - real_time.monotonic()))
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
"""Bytes of a request that are buffered before they are sent."""


class Stream(httpcore.NetworkStream):
    """A socket whose every wait is bounded by the deadline of the request it serves."""

    def __init__(self, sock: socket.socket, connection: "Connection") -> None:
        self._socket = sock
        self._connection = connection
        self._request: RequestDeadline | None = None
        self._requests = 0
        self._unsent = bytearray()
        self._certificates: CertificateChain | None = None
        if isinstance(sock, ssl.SSLSocket):
            # Kept, because a closed socket no longer has them.
            self._certificates = chain_of(sock)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        deadline = self._connection.deadline
        if self._unsent:
            # The server may have responded before it closed the connection: read that response.
            with contextlib.suppress(httpcore.WriteError):
                self._send()
        heading = deadline.stage != "body"
        if heading:
            deadline.stage = "header"
            if deadline.received >= MAX_HEAD:
                raise HeadTooLarge
        try:
            self._socket.settimeout(deadline.left())
            data = self._socket.recv(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError as error:
            raise httpcore.ReadError(error) from None
        deadline.received += len(data)
        deadline.closed = not data
        if heading:
            deadline.head.append(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        deadline = self._connection.deadline
        if deadline is not self._request or deadline.stream is None:
            self._request = deadline
            self._requests += 1
            deadline.stream = self
            deadline.reused = self._requests > 1
        deadline.stage = "send"
        # Header and body come separately; buffered, a small request is sent in one packet.
        self._unsent += buffer
        if len(self._unsent) >= PACKET:
            self._send()

    def _send(self) -> None:
        unsent = memoryview(bytes(self._unsent))
        self._unsent.clear()
        try:
            while unsent:
                self._socket.settimeout(self._connection.deadline.left())
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
        deadline = self._connection.deadline
        deadline.stage = "tls"
        try:
            # The timeout of a handshake is for the whole of it.
            self._socket.settimeout(deadline.left())
            wrapped = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout from None
            if isinstance(error, OSError | ValueError):
                raise httpcore.ConnectError(error) from None
            raise
        deadline.stage = "send"
        return Stream(wrapped, self._connection)

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """Return the value that httpcore wants by its name.

        `certificates` is our own: a CertificateChain, or None without TLS.
        """
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
        """Return True if there is something to read: the server has closed an idle connection."""
        number = self._socket.fileno()
        if number < 0:
            return True
        return readable(number, 0)


class Connection(httpcore.NetworkBackend):
    """One kept connection to the target, for one request at a time.

    Each has a pool of its own, so that a request costs the same with 64 of them: httpcore's pool
    looks at all of its connections for every request.
    """

    def __init__(
        self,
        resolver: Resolver,
        tls: Callable[[], ssl.SSLContext],
        proxy: httpcore.Proxy | None,
    ) -> None:
        self.deadline = RequestDeadline()
        self._resolver = resolver
        self._tls = tls
        self._proxy = proxy
        self._pools: dict[str, httpcore.ConnectionPool] = {}

    def pool(self, scheme: str) -> httpcore.ConnectionPool:
        """Return the pool for URLs of that scheme; only https makes a TLS context."""
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
        """Close the kept connection, so that the next request makes a new one."""
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
        deadline = self.deadline
        deadline.stage, deadline.peer = "dns", f"{host}:{port}"
        try:
            addresses = self._resolver.addresses(host, port, deadline)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(error) from None
        deadline.stage = "connect"
        sock = _connect(addresses, deadline)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        deadline.stage = "send"
        return Stream(sock, self)


def _connect(addresses: list[tuple[Any, Any]], deadline: RequestDeadline) -> socket.socket:
    """Return a socket to the first address that accepts.

    The time is shared out, so that a dead address does not use up that of those after it.
    """
    failure: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectTimeout()
    for number, (family, address) in enumerate(addresses):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.left() / (len(addresses) - number))
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            deadline.peer = f"{host}:{address[1]}"
            sock.connect(address)
        except TimeoutError:
            sock.close()
            failure = httpcore.ConnectTimeout()
        except OSError as error:
            sock.close()
            failure = httpcore.ConnectError(error)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure
