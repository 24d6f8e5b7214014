"""The process-wide guard: where the policy of a target is enforced, whatever library sends.

Two layers, the second of which cannot be taken out again:

1. The HTTP clients that name method and host are policed: httpcore (below httpx) and http.client
   (below urllib, urllib3, requests and Schemathesis). What may not leave is refused before a
   connection is opened.
2. An audit hook (PEP 578) sees every `connect` of the process. On a read-only target it lets only
   those pass that a policed client is opening, to the very host and port that was allowed; on a
   writable one also others to the target and the hosts that the configuration names. So a
   client that nobody thought of, or whose policing was undone, does not get out. The hook also
   reads each request head that http.client sends, and the names of programs that are started.

A refusal is written to a ledger, one JSON line each, before `errors.Violation` is raised: threads,
forked and spawned children and pytest-xdist workers report to one file even when the exception is
swallowed.

What this cannot see, and a network rule around the run has to: code that connects without
Python's `socket` (libcurl, libpq, uvloop, ctypes, subinterpreters, which have hooks of their own),
other programs apart from well-known network tools, bytes that a test writes by hand on a
connection that a policed client opened, and tests that set out to break this module.
"""

import functools
import http.client
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import httpcore

from pytest_prodcheck.errors import Violation
from pytest_prodcheck.live.policy import Policy, Rules, normal_host

__all__ = ["Guard", "Policy"]

_REQUEST_LINE = re.compile(rb"(\S*) (.*) HTTP/\d[\d.]*\s*", re.IGNORECASE)
OUR_THREADS = "prodcheck-"
"""How the names of the threads begin that prodcheck itself sends from."""

_DNS_PORT = 53
_LEDGER_LINE = 2000  # characters of a detail; one short write is one line, whoever else appends


class _Opening:
    """The time in which a policed client may connect, to one host and port.

    allowed: the httpcore request that it is for; it was checked and needs not be again.
    """

    __slots__ = ("allowed", "host", "live", "port", "token")

    def __init__(self, host: str, port: int, allowed: httpcore.Request | None = None) -> None:
        self.host = normal_host(host)
        self.port = port
        self.allowed = allowed

    def __enter__(self) -> None:
        self.live = True
        self.token = _opening.set(self)

    def __exit__(self, *_: object) -> None:
        self.live = False  # tasks that were started in it keep a copy of the context
        _opening.reset(self.token)

    def leads_to(self, host: str, port: int) -> bool:
        """Whether a socket's address can be this opening's. (A name's addresses are DNS' word.)"""
        if not self.live or port != self.port:
            return False
        return host == self.host or (_is_ip(host) and not _is_ip(self.host))


_opening: ContextVar[_Opening | None] = ContextVar("prodcheck_opening", default=None)


class Guard:
    """Keeps one process, and the processes it starts, to a policy.

    policy: what may leave. ledger: the file to which violations are appended, one JSON object a
    line: `test` (node id or ""), `detail`, `pid`, `time` (seconds since the epoch).
    controller: port on this machine where the process that started this worker listens, if any;
    pytest-rerunfailures has its workers count their tries there.
    Pickled into a child process, a guard arrives there installed, without a controller.
    """

    def __init__(self, policy: Policy, ledger: Path, controller: int | None = None) -> None:
        """Raises UsageError when one of the policy's hosts cannot be read."""
        self.policy = policy
        self.ledger = ledger
        self.controller = controller
        self.violations: list[str] = []
        """What this process was refused. Children have lists of their own; the ledger has all."""
        self._seams = _seams  # kept: a reload of this module makes another one
        self._rules = Rules(policy)
        self._passed = bytearray()  # append is atomic, and no lock can be held across a fork
        self._addresses: dict[str, set[str]] = {}

    @property
    def requests(self) -> int:
        """How many requests of policed clients were let through in this process.

        What our own threads send beside the tests (probes, the release) is not counted: it
        would make a check that sends nothing look as if it had.
        """
        return len(self._passed)

    def install(self) -> None:
        """Begin to police this process. Several guards at once: each has to agree."""
        self._seams.add(self)

    def uninstall(self) -> None:
        """End it. With the last guard every patch is taken out, and the audit hook is inert."""
        if self in self._seams.guards:
            self.verify()
            self._seams.remove(self)

    def verify(self) -> None:
        """Record a violation if a part of the guard was undone since, and put the part back.

        For the end of each test. A connection that is opened meanwhile is refused anyway.
        """
        undone = self._seams.undone()
        if self not in self._seams.guards:
            undone = ["it was uninstalled", *undone]
        if undone:
            self._record(self._rules.tampering(undone))
            self._seams.add(self)

    @contextmanager
    def opening(self, host: str, port: int) -> Iterator[None]:
        """A block that may open connections to one allowed host without an HTTP client.

        For reading a certificate or a database: what is sent there is not policed.
        Raises Violation when the policy does not name `host:port`.
        """
        self.allow(self._rules.endpoint("The connection", None, host, port))
        with _Opening(host, port):
            yield

    def allow(self, refusal: str | None) -> None:
        """Record and raise `refusal`, if there is one."""
        if refusal is not None:
            self._record(refusal)
            raise Violation(refusal)

    def check_request(
        self, method: str, scheme: str, host: str, port: int, target: str, names: Sequence[bytes]
    ) -> None:
        """Raises Violation when the request may not leave; `names` are its header names."""
        refusal = self._rules.request(method, scheme, host, port, target) or self._rules.headers(
            method, host, port, names
        )
        self.allow(refusal)

    def check_host(self, scheme: str, host: str, port: int) -> None:
        """Raises Violation when nothing may be sent there."""
        self.allow(self._rules.endpoint(f"A request to {host}:{port}", scheme, host, port))

    def count(self) -> None:
        if not threading.current_thread().name.startswith(OUR_THREADS):
            self._passed.append(0)

    # What the audit hook asks, by event. Arguments are those of Python's audit events table.

    def on_connect(self, sock: socket.socket, address: Any) -> None:
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or address is None:
            return
        host, port = address[0], address[1]
        if sock.type == socket.SOCK_DGRAM and port == _DNS_PORT:
            return
        if not isinstance(host, str):
            host = bytes(host).decode("latin-1")
        refusal = self._connection(host, port)
        if refusal is not None and sock.type == socket.SOCK_STREAM:
            sock.close()  # socket.create_connection would leave it to the garbage collector
        self.allow(refusal)

    def on_resolve(self, host: str | bytes | None, *_: Any) -> None:
        """A client that was allowed one host looks up no other name while it connects."""
        opening = _opening.get()
        if opening is None or not opening.live or not host:
            return
        name = normal_host(host if isinstance(host, str) else host.decode("latin-1"))
        if name != opening.host and name not in self._rules.names:
            self.allow(self._rules.connection(name, opening.port))

    def on_send(self, connection: http.client.HTTPConnection, data: Any) -> None:
        """Every block of bytes that http.client sends; the first of a request is its head."""
        try:
            block = bytes(data)
        except (TypeError, ValueError):
            if self.policy.read_only:
                self.allow(self._rules.unreadable())
            return
        head, _, _ = block.lstrip(b"\r\n").partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        request = _REQUEST_LINE.fullmatch(line)
        if request is None:  # a body
            return
        method, target = (part.decode("latin-1") for part in request.groups())
        names = [field.partition(b":")[0] for field in fields]
        self.check_request(method, *_endpoint_of(connection), target, names)
        self.count()

    def on_program(self, argv: Sequence[Any]) -> None:
        self.allow(self._rules.program([os.fsdecode(word) for word in argv]))

    def _connection(self, host: str, port: int) -> str | None:
        undone = self._seams.undone()
        if undone:
            return self._rules.tampering(undone)
        opening = _opening.get()
        if opening is not None and opening.leads_to(host, port):
            return None
        if (host, port) == ("127.0.0.1", self.controller):
            return None
        if not self.policy.read_only and self._is_allowed(host, port):
            return None
        return self._rules.connection(host, port)

    def _is_allowed(self, host: str, port: int) -> bool:
        """Whether a raw connection leads to the target or a named host, by what they resolve to."""
        names = [name for name, at in self._rules.endpoints if at == port]
        if host in names:
            return True
        if any(host in self._addresses.get(name, ()) for name in names):
            return True
        for name in names:  # unknown: asked again, since a name's addresses change
            found = self._addresses.setdefault(name, set())
            try:
                found.update(str(entry[4][0]) for entry in socket.getaddrinfo(name, port))
            except OSError:
                continue
        return any(host in self._addresses[name] for name in names)

    def _record(self, detail: str) -> None:
        self.violations.append(detail)
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
        entry = {
            "test": test,
            "detail": detail[:_LEDGER_LINE],
            "pid": os.getpid(),
            "time": time.time(),
        }
        try:
            file = os.open(self.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, json.dumps(entry).encode() + b"\n")
            finally:
                os.close(file)
        except OSError:
            return  # a full disk must not turn a violation into what looks like a network error

    def __reduce__(self) -> Any:
        return _installed, (self.policy, self.ledger)


def _installed(policy: Policy, ledger: Path) -> Guard:
    guard = Guard(policy, ledger)
    guard.install()
    return guard


class _Seams:
    """The places that are policed, patched once for all guards of the process."""

    def __init__(self) -> None:
        self.guards: list[Guard] = []
        self._patches: list[tuple[Any, str, Any, Any]] = []
        """Owner, attribute, what was there, what stands there now."""
        self._listens = False

    def add(self, guard: Guard) -> None:
        """Police for `guard` too, and put in every patch that does not stand."""
        if not self._listens:
            self._listens = True
            sys.addaudithook(self._hook())
        if guard not in self.guards:
            self.guards.append(guard)
        if not self._patches:
            self._patches = [
                self._patch(httpcore.ConnectionPool, "handle_request", _sync),
                self._patch(httpcore.HTTPConnection, "handle_request", _sync),
                self._patch(httpcore.AsyncConnectionPool, "handle_async_request", _async),
                self._patch(httpcore.AsyncHTTPConnection, "handle_async_request", _async),
                self._patch(http.client.HTTPConnection, "__init__", _http_client),
            ]
        if "multiprocessing.spawn" in sys.modules:
            self._patch_spawn()
        for owner, name, _, policed in self._patches:
            if vars(owner).get(name) is not policed:
                setattr(owner, name, policed)

    def remove(self, guard: Guard) -> None:
        """Stop policing for `guard`; after the last one everything is as it was."""
        self.guards.remove(guard)
        if not self.guards:
            for owner, name, original, _ in self._patches:
                setattr(owner, name, original)
            self._patches = []

    def undone(self) -> list[str]:
        """The patches that somebody else has taken out or replaced, by name."""
        return [
            f"{policed.__module__}.{policed.__qualname__} was replaced"
            for owner, name, _, policed in self._patches
            if vars(owner).get(name) is not policed
        ]

    def _patch(
        self, owner: Any, name: str, police: Callable[..., Any]
    ) -> tuple[Any, str, Any, Any]:
        original = vars(owner)[name]
        return owner, name, original, police(self.guards, original)

    def _patch_spawn(self) -> None:
        """Once multiprocessing starts processes afresh, they begin with a guard of their own."""
        from multiprocessing import spawn

        if all(owner is not spawn for owner, *_ in self._patches):
            patch = self._patch(spawn, "get_preparation_data", _spawn)
            self._patches.append(patch)
            setattr(spawn, patch[1], patch[3])

    def _hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        """The audit hook; it holds what it needs, out of reach of a reload of this module."""
        guards, answers, patch_spawn = self.guards, _ANSWERS, self._patch_spawn

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if not guards:
                return
            answer = answers.get(event)
            if answer is not None:
                for guard in tuple(guards):
                    answer(guard, *args)
            elif event == "import" and args[0] in _SPAWNING_MODULES:
                patch_spawn()

        return hook


_SPAWNING_MODULES = ("multiprocessing.popen_spawn_posix", "multiprocessing.popen_forkserver")
"""Imported by multiprocessing when the first such process is started; they are not imported for
the guard's sake, since that costs every run 10 ms."""

_ANSWERS: dict[str, Callable[..., None]] = {
    "socket.connect": Guard.on_connect,
    "socket.sendto": Guard.on_connect,
    "socket.sendmsg": Guard.on_connect,
    "socket.getaddrinfo": Guard.on_resolve,
    "http.client.send": Guard.on_send,
    "subprocess.Popen": lambda guard, program, argv, *_: guard.on_program([program, *argv[1:]]),
    "os.system": lambda guard, command: guard.on_program(["sh", "-c", command]),
    "os.exec": lambda guard, program, argv, _: guard.on_program([program, *argv[1:]]),
    "os.posix_spawn": lambda guard, program, argv, _: guard.on_program([program, *argv[1:]]),
}


def _for_life(sender: Any, subclass: Callable[[Any], Any]) -> None:
    """Make a sender an instance of a policed subclass of its own class, as `subclass` makes it.

    For patches of its class can be undone while its connections are open, and subclasses override
    what is patched (urllib3's `connect`).
    """
    kind: Any = type(sender)
    if not hasattr(kind, "_prodcheck_policed"):
        sender.__class__ = subclass(kind)


def _policed(kind: Any, **methods: Callable[..., Any]) -> Any:
    body = {"__slots__": (), "__module__": kind.__module__, "_prodcheck_policed": True}
    return type(kind.__name__, (kind,), body | methods)


def _sync(guards: list[Guard], original: Callable[..., Any]) -> Callable[..., Any]:
    """`handle_request` of a pool or connection of httpcore, policed."""

    @functools.cache
    def subclass(kind: Any) -> Any:
        def handle_request(sender: Any, request: httpcore.Request) -> Any:
            with _allowed(guards, sender, request):
                return kind.handle_request(sender, request)

        return _policed(kind, handle_request=handle_request)

    @functools.wraps(original)
    def handle_request(sender: Any, request: httpcore.Request) -> Any:
        _for_life(sender, subclass)
        with _allowed(guards, sender, request):
            return original(sender, request)

    return handle_request


def _async(guards: list[Guard], original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """`handle_async_request`, likewise."""

    @functools.cache
    def subclass(kind: Any) -> Any:
        async def handle_async_request(sender: Any, request: httpcore.Request) -> Any:
            with _allowed(guards, sender, request):
                return await kind.handle_async_request(sender, request)

        return _policed(kind, handle_async_request=handle_async_request)

    @functools.wraps(original)
    async def handle_async_request(sender: Any, request: httpcore.Request) -> Any:
        _for_life(sender, subclass)
        with _allowed(guards, sender, request):
            return await original(sender, request)

    return handle_async_request


def _allowed(
    guards: list[Guard], sender: Any, request: httpcore.Request
) -> AbstractContextManager[None]:
    """The opening for a request; raises Violation instead.

    A pool hands the request on to a connection, which needs no second look at it. One to a proxy
    gets a request of its own (a CONNECT, or one for the whole URL), which does, but is not counted.
    """
    if not guards:
        return nullcontext()
    opening = _opening.get()
    handed_on = opening.allowed if opening is not None and opening.live else None
    if handed_on is request:
        return nullcontext()
    url = request.url
    origin = url.origin
    host, port = origin.host.decode("latin-1"), origin.port
    try:
        for guard in guards:
            guard.check_request(
                request.method.decode("latin-1"),
                origin.scheme.decode("latin-1"),
                host,
                port,
                url.target.decode("latin-1"),
                [name for name, _ in request.headers],
            )
            if handed_on is None:
                guard.count()
    except Violation:
        if isinstance(sender, (httpcore.HTTPConnection, httpcore.AsyncHTTPConnection)):
            sender._connect_failed = True  # else a pool would keep room for it for ever
        raise
    return _Opening(host, port, request)


def _http_client(guards: list[Guard], original: Callable[..., None]) -> Callable[..., None]:
    """`HTTPConnection.__init__`, which polices `connect` and `putrequest` of each connection."""

    @functools.cache
    def subclass(kind: Any) -> Any:
        def connect(connection: Any) -> None:
            scheme, host, port = _endpoint_of(connection)
            for guard in guards:
                guard.check_host(scheme, host, port)
            with _Opening(host, port):
                kind.connect(connection)

        def putrequest(connection: Any, method: str, url: str, *args: Any, **options: Any) -> None:
            for guard in guards:
                guard.check_request(str(method), *_endpoint_of(connection), str(url or "/"), ())
            kind.putrequest(connection, method, url, *args, **options)

        return _policed(kind, connect=connect, putrequest=putrequest)

    @functools.wraps(original)
    def initialise(connection: Any, *args: Any, **options: Any) -> None:
        original(connection, *args, **options)
        _for_life(connection, subclass)

    return initialise


def _spawn(guards: list[Guard], original: Callable[[str], dict[str, Any]]) -> Callable[..., Any]:
    """What multiprocessing hands to a spawned child, with the guards before all else."""

    @functools.wraps(original)
    def get_preparation_data(name: str) -> dict[str, Any]:
        return {"prodcheck_guards": list(guards), **original(name)}

    return get_preparation_data


def _endpoint_of(connection: Any) -> tuple[str, str, int]:
    scheme = "https" if connection.default_port == http.client.HTTPS_PORT else "http"
    return scheme, str(connection.host), int(connection.port)


def _is_ip(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


_seams = _Seams()
