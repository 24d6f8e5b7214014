"""A raw HTTP server on 127.0.0.1 that misbehaves as told, and keeps a ledger of what reached it.

    with FaultyServer() as server:
        server.on("/health", json_answer({"status": "healthy"}))
        server.on("/slow", drip_body(b"x" * 100, every=0.05))
        server.on("/flaky", hang_up(), answer(b"fine"))      # in turn; the last one stays
        httpx.get(server.url + "/health")
        assert server.paths() == ["/health"]

A behaviour is any function of a `Visit`: it has the request (`visit.request`) and sends what it
likes. When it returns, the connection waits for the next request, unless it has been closed.
Paths that nobody told it of answer 404. Nothing is left behind after the `with` block.
"""

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

NO_SUCH_PATH = "/prodcheck-no-such-path-"
"""How the path begins that a run asks for to see what every path gets
(checks/answers/catch_all.py)."""


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    """Path and query, as they stood in the request line."""
    headers: dict[str, str]
    """Names in lower case; a repeated header's values are joined with a comma."""
    body: bytes
    at: float
    """`time.monotonic()` when its header was complete."""
    connection: int
    """Number of the connection it came on, from 1."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Gone(Exception):
    """The other side has closed, or the server is being stopped."""


class Visit:
    """One request on one connection, in the hands of a behaviour."""

    def __init__(self, server: "FaultyServer", connection: socket.socket, request: Seen) -> None:
        self.request = request
        self._server = server
        self._connection = connection

    def send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError:
            raise Gone from None

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the server lives."""
        if self._server.stopping.wait(seconds):
            raise Gone

    def close(self) -> None:
        """End the connection in the orderly way."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        raise Gone

    def reset(self) -> None:
        """End it with RST: the client sees `connection reset by peer`."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()
        raise Gone


Behaviour = Callable[[Visit], None]


# --- behaviours ---------------------------------------------------------------------------


def head(status: int = 200, **headers: str | int) -> bytes:
    """Status line and headers as bytes: `head(200, content_length=3)`."""
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(body: bytes | str = b"", status: int = 200, **headers: str | int) -> Behaviour:
    """A proper answer; `answer("<p>", content_type="text/html")`."""
    content = body.encode() if isinstance(body, str) else body

    def behave(visit: Visit) -> None:
        sent = b"" if visit.request.method == "HEAD" else content
        visit.send(head(status, content_length=len(content), **headers) + sent)

    return behave


def json_answer(value: Any, status: int = 200, **headers: str | int) -> Behaviour:
    """A proper JSON answer."""
    return answer(json.dumps(value), status, content_type="application/json", **headers)


def redirect(location: str, status: int = 302) -> Behaviour:
    return answer(b"", status, location=location)


def delayed(seconds: float, then: Behaviour) -> Behaviour:
    """Slow but valid."""

    def behave(visit: Visit) -> None:
        visit.sleep(seconds)
        then(visit)

    return behave


def raw(data: bytes) -> Behaviour:
    """Exactly these bytes, then the end of the connection."""

    def behave(visit: Visit) -> None:
        visit.send(data)
        visit.close()

    return behave


def silence() -> Behaviour:
    """Never answers."""
    return lambda visit: visit.sleep(3600)


def hang_up() -> Behaviour:
    """Closes without an answer."""
    return raw(b"")


def reset(after: bytes = b"") -> Behaviour:
    """Sends these bytes, then RST."""

    def behave(visit: Visit) -> None:
        visit.send(after)
        visit.sleep(0.05)  # RST overtakes bytes that have not been read yet
        visit.reset()

    return behave


def drip_head(every: float = 0.05) -> Behaviour:
    """A header that goes on for ever, one byte at a time."""

    def behave(visit: Visit) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\nx-drip: ")
        while True:
            visit.send(b"a")
            visit.sleep(every)

    return behave


def drip_body(every: float = 0.05) -> Behaviour:
    """A body that goes on for ever, one byte at a time."""

    def behave(visit: Visit) -> None:
        visit.send(head(200, content_length=1_000_000))
        while True:
            visit.send(b"a")
            visit.sleep(every)

    return behave


def endless(piece: bytes, before: bytes = b"") -> Behaviour:
    """`before` once, then `piece` as fast as it is taken, until the client has had enough."""

    def behave(visit: Visit) -> None:
        visit.send(before)
        while not visit._server.stopping.is_set():
            visit.send(piece)

    return behave


def endless_chunks(size: int = 64 * 1024) -> Behaviour:
    """An unbounded chunked body."""
    chunk = f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"
    return endless(chunk, before=head(200, transfer_encoding="chunked"))


def bomb(encoding: str, megabytes: int) -> Behaviour:
    """A small body, `gzip`, `deflate` or `raw` (deflate without its header), that becomes large."""
    zeros = bytes(1_000_000)
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush nothing refers back, so the piece can be repeated as it is.
    piece = engine.compress(zeros) + engine.flush(zlib.Z_FULL_FLUSH)
    content = piece * megabytes + b"\x03\x00"
    crc, adler = 0, 1
    for _ in range(megabytes):
        crc, adler = zlib.crc32(zeros, crc), zlib.adler32(zeros, adler)
    if encoding == "gzip":
        size = megabytes * len(zeros)
        content = bytes.fromhex("1f8b08000000000000ff") + content + struct.pack("<II", crc, size)
    elif encoding == "deflate":
        content = b"\x78\xda" + content + struct.pack(">I", adler)
    return answer(content, content_encoding="deflate" if encoding == "raw" else encoding)


# --- the server ---------------------------------------------------------------------------


@dataclass
class _Script:
    behaviours: list[Behaviour]
    turn: int = 0


@dataclass
class FaultyServer:
    """Started and stopped by `with`; `tls` makes it an https server."""

    tls: ssl.SSLContext | None = None
    ledger: list[Seen] = field(default_factory=list)
    """Every request that arrived, in order."""

    def __post_init__(self) -> None:
        self.stopping = threading.Event()
        self._scripts: dict[str, _Script] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def on(self, path: str, *behaviours: Behaviour) -> Self:
        """What `path` does: one behaviour for each request in turn, the last one from then on.

        `"*"` is for every path that is not named. Telling it anew starts over.
        """
        with self._lock:
            self._scripts[path] = _Script(list(behaviours))
        return self

    def paths(self) -> list[str]:
        """Paths of all requests, in order of arrival, without the one that cannot exist."""
        return [seen.path for seen in self.ledger if not seen.path.startswith(NO_SUCH_PATH)]

    def seen(self, path: str) -> list[Seen]:
        """The requests for one path."""
        return [seen for seen in self.ledger if seen.path == path]

    def busiest(self, seconds: float = 1.0) -> int:
        """The most requests that arrived within any window of so many seconds."""
        times = sorted(seen.at for seen in self.ledger)
        first = most = 0
        for last, at in enumerate(times):
            while times[first] <= at - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        # A listener that is merely closed leaves its thread in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            if self.tls:
                plain, connection = connection, self.tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open = (self._open - {plain}) | {connection}
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for request in self._requests(connection, number):
                self._behaviour(request.path)(Visit(self, connection, request))
        except (Gone, OSError, ValueError):
            pass  # hung up, or did not speak HTTP
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _requests(self, connection: socket.socket, number: int) -> Iterator[Seen]:
        with connection.makefile("rb") as stream:
            while line := stream.readline():
                method, target, version = line.decode("latin-1").split(" ", 2)
                if not version.startswith("HTTP/"):
                    raise ValueError(f"no request line: {line!r}")
                headers: dict[str, str] = {}
                while (line := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode("latin-1").partition(":")
                    name, value = name.strip().lower(), value.strip()
                    headers[name] = f"{headers[name]}, {value}" if name in headers else value
                at = time.monotonic()
                body = stream.read(int(headers.get("content-length", "0")))
                request = Seen(method, target, headers, body, at, number)
                self.ledger.append(request)
                yield request

    def _behaviour(self, path: str) -> Behaviour:
        with self._lock:
            script = self._scripts.get(path) or self._scripts.get("*")
            if script is None:
                return answer(b'{"detail":"Not Found"}', 404, content_type="application/json")
            turn = min(script.turn, len(script.behaviours) - 1)
            script.turn += 1
            return script.behaviours[turn]


# --- places where nobody answers ----------------------------------------------------------


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port where connecting never ends: its queue is full and nobody accepts."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def mute_port() -> Iterator[int]:
    """A port that takes connections and never says a word: a black hole for a TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def curt_port(says: bytes) -> Iterator[int]:
    """A port that says this to the first bytes of one connection, whatever they are, and closes."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(says)
                # What is still unread would turn the end into a reset, which discards the answer.
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5)
                while connection.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
