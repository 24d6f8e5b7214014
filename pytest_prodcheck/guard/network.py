"""The process-wide guard, which enforces a target's policy for every library that sends.

It has two layers, the second of which cannot be removed:

1. HTTP clients are policed where they know method and host, before a connection is opened:
   httpcore and httpcore2 (below httpx and httpx2), http.client (below urllib, urllib3, requests and
   Schemathesis) and aiohttp; see `guard.patches`. Their requests wait for the rate of the run,
   count for its budget, and stop when the breaker is open.
2. An audit hook (PEP 578) sees every `connect` of the process. On a read-only target it allows only
   connections that a policed client is opening, to exactly the host and port that was allowed; on
   a writable one also others to the target and the hosts that the configuration names. So a client
   that is not policed, or whose policing was undone, cannot connect. The hook also reads each
   request head that http.client sends, and the names of programs that are started.

A guard without a policy refuses everything; it is installed while pytest loads plugins and
conftests.

A refusal is written to a ledger, one JSON line each, before `errors.Violation` is raised: threads,
forked and spawned children and pytest-xdist workers report to one file even when the exception is
swallowed.

Some traffic is invisible here, and only a network rule around the run can stop it: code that
connects without Python's `socket` (libcurl, libpq, uvloop, ctypes, subinterpreters, which have
hooks of their own), other programs apart from well-known network tools, bytes that a test writes
by hand on a connection that a policed client opened, and tests that try to break this module.
"""

import http.client
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pytest_prodcheck.errors import Violation
from pytest_prodcheck.guard import patches
from pytest_prodcheck.guard.patches import Opening, Patches, trusting
from pytest_prodcheck.guard.policy import NotKnownYet, Policy, Rules, normal_host

__all__ = ["Guard", "Policy", "trusting"]

OUR_THREADS = "prodcheck-"
"""Prefix of the names of the threads in which prodcheck itself sends."""

RESOLVERS = Path("/etc/resolv.conf")
"""File that names this machine's resolvers, to which a datagram to port 53 may go."""

_DNS_PORT = 53
_LEDGER_LINE = 2000  # characters of a detail; one short write is one line, whoever else appends

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_KERNEL = tuple(getattr(socket, name, None) for name in ("AF_NETLINK", "AF_ALG"))
"""Address families whose sockets lead to this machine's kernel only."""

_LOG_SOCKETS = ("/dev/log", "/var/run/syslog", "/run/systemd/journal/")
"""Sockets to which `logging.handlers.SysLogHandler` and journald's handlers write."""


class Limits(Protocol):
    """The interface of a run's rate, budget and breaker (`http.throttle`)."""

    def acquire(self) -> None: ...

    async def acquire_async(self, sleep: Callable[[float], Awaitable[object]]) -> None: ...

    def record_result(
        self, ok: bool, transport_failure: bool = False, detail: str = ""
    ) -> None: ...

    def close(self) -> None: ...


class Guard:
    """The enforcement of a policy in one process and the processes it starts.

    policy: the rules of what may be sent; None forbids everything until `settle` is called.
    ledger: the file to which violations are appended, one JSON object a line: `test` (node id or
    ""), `detail`, `pid`, `time` (seconds since the epoch).
    limits: rate, budget and breaker, for requests that have not passed them already.
    controller: port on this machine where the process that started this worker listens, if any;
    pytest-rerunfailures has its workers count their attempts there.
    Unpickled in a child process, a guard is installed there, without a controller.
    """

    def __init__(
        self,
        policy: Policy | None,
        ledger: Path | None,
        *,
        limits: Limits | None = None,
        controller: int | None = None,
    ) -> None:
        """Apply *policy*, if given; raises UsageError if one of its hosts cannot be read."""
        self.ledger: Path | None = None
        self.controller: int | None = None
        self.limits: Limits | None = None
        self.violations: list[str] = []
        """Refusals of this process. Children have lists of their own; the ledger has all."""
        self.on_violation: Callable[[str], None] | None = None
        """Called after each further violation, for the time when the ledger is not read."""
        self._seams = _seams  # kept: a reload of this module makes another one
        self._rules: Rules = NotKnownYet()
        self._pending_lines: list[bytes] = []
        self._passed = bytearray()  # append is atomic, and no lock can be held across a fork
        self._addresses: dict[str, set[str]] = {}
        if policy is not None:
            self.settle(policy, ledger, limits=limits, controller=controller)

    def settle(
        self,
        policy: Policy,
        ledger: Path | None,
        *,
        limits: Limits | None = None,
        controller: int | None = None,
    ) -> None:
        """Apply this policy from now on, and write earlier refusals to its ledger.

        Raises UsageError when one of the policy's hosts cannot be read.
        """
        rules = Rules(policy)
        self.ledger, self.limits, self.controller = ledger, limits, controller
        pending, self._pending_lines = self._pending_lines, []
        for line in pending:
            self._write(line)
        self._rules = rules

    @property
    def policy(self) -> Policy:
        return self._rules.policy

    @property
    def requests(self) -> int:
        """Return how many requests of policed clients were allowed in this process.

        Requests that our own threads send beside the tests (probes, the release) are not counted:
        with them, a check that sends nothing would seem to have sent something.
        """
        return len(self._passed)

    def install(self) -> None:
        """Begin to police this process; of several guards, each has to agree."""
        self._seams.add(self)

    def uninstall(self) -> None:
        """Stop policing; after the last guard, no patch is left and the audit hook does nothing."""
        if self in self._seams.guards:
            self.verify()
            self._seams.remove(self)

    def verify(self) -> None:
        """Record a violation if a part of the guard was undone since, and restore the part.

        Called at the end of each test. A connection that is opened meanwhile is refused anyway.
        """
        undone = self._seams.patches.undone()
        if self not in self._seams.guards:
            undone = ["it was uninstalled", *undone]
        if undone:
            self._record(self._rules.tampering(undone))
            self._seams.add(self)

    @contextmanager
    def opening(self, host: str, port: int) -> Iterator[None]:
        """Allow connections to one host without an HTTP client within the block.

        For reading a certificate or a database: the bytes sent there are not policed.
        Raises Violation when the policy does not name `host:port`.
        """
        self.allow(self._rules.endpoint("The connection", None, host, port))
        with Opening(host, port):
            yield

    def allow(self, refusal: str | None) -> None:
        """Record and raise `refusal`, if there is one."""
        if refusal is not None:
            self._record(refusal)
            raise Violation(refusal)

    # Called by the policed clients.

    def check_request(
        self,
        method: str,
        scheme: str,
        host: str,
        port: int,
        target: str,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Raise Violation when the request may not be sent."""
        refusal = self._rules.request(method, scheme, host, port, target) or self._rules.headers(
            method, scheme, host, port, headers
        )
        self.allow(refusal)

    def check_host(self, scheme: str, host: str, port: int) -> None:
        """Raise Violation when nothing may be sent to this host and port."""
        self.allow(self._rules.endpoint(f"A request to {host}:{port}", scheme, host, port))

    def count(self) -> None:
        """Count a request, unless one of our own threads sends it."""
        if not threading.current_thread().name.startswith(OUR_THREADS):
            self._passed.append(0)

    def acquire(self) -> None:
        """Wait until the limits of the run allow a request; raises NotAsked."""
        if self.limits is not None:
            self.limits.acquire()

    async def acquire_async(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Wait as `acquire` does, without blocking the event loop that `sleep` belongs to."""
        if self.limits is not None:
            await self.limits.acquire_async(sleep)

    def record_result(
        self, host: str, port: int, status: int | None, failure_kind: str = ""
    ) -> None:
        """Report a request's result to the breaker: its status, or the kind of its failure.

        Requests to other hosts than the target's are ignored.
        """
        if self.limits is not None and self._rules.is_target(host, port):
            ok = status is not None and status < 500
            self.limits.record_result(ok, transport_failure=status is None, detail=failure_kind)

    # Called by the audit hook. The arguments are those of Python's table of audit events.

    def on_connect(self, sock: socket.socket, address: Any) -> None:
        """Raise Violation when a socket may not connect, or send, to this address."""
        if address is None or sock.family in _KERNEL:
            return
        if sock.family in _INTERNET:
            refusal = self._internet_refusal(sock, address)
        elif sock.family == socket.AF_UNIX:
            refusal = self._unix_refusal(os.fsdecode(address))
        else:
            refusal = self._rules.family(_family_name(sock.family))
        if refusal is not None and sock.type == socket.SOCK_STREAM:
            sock.close()  # socket.create_connection would leave it to the garbage collector
        self.allow(refusal)

    def on_resolve(self, host: str | bytes | None, *_: Any) -> None:
        """Raise Violation when a client that is connecting looks up another name than its host."""
        opening = patches.opening.get()
        if opening is None or not opening.live or not host:
            return
        name = normal_host(host if isinstance(host, str) else host.decode("latin-1"))
        if name != opening.host and name not in self._rules.names:
            self.allow(self._rules.connection(name, opening.port))

    def on_send(
        self, connection: http.client.HTTPConnection, heads: Sequence[patches.Head], stray: bool
    ) -> None:
        """Check the request heads of a block of bytes that http.client sends.

        heads, stray: as `patches.heads_in` returns them.
        """
        for head in heads:
            endpoint = patches.endpoint_of(connection)
            self.check_request(head.method, *endpoint, head.target, head.headers)
            self.count()
            if head.method != "CONNECT" and not patches.take_admission(connection, self):
                self.acquire()
        if stray and self.policy.read_only:
            self.allow(self._rules.unreadable())

    def on_program(self, argv: Sequence[Any]) -> None:
        """Raise Violation when this command line may not be started."""
        self.allow(self._rules.program([os.fsdecode(word) for word in argv]))

    def _internet_refusal(self, sock: socket.socket, address: Any) -> str | None:
        host, port = address[0], address[1]
        if not isinstance(host, str):
            host = bytes(host).decode("latin-1")
        if sock.type == socket.SOCK_DGRAM and port == _DNS_PORT and host in self._resolvers:
            return None
        undone = self._seams.patches.undone()
        if undone:
            return self._rules.tampering(undone)
        opening = patches.opening.get()
        if opening is not None and opening.leads_to(host, port):
            return None
        if (host, port) == ("127.0.0.1", self.controller):
            return None
        if not self.policy.read_only and self._is_allowed(host, port):
            return None
        return self._rules.connection(host, port)

    def _unix_refusal(self, path: str) -> str | None:
        """Return the reason not to connect to a Unix socket; None if it is allowed.

        Allowed are those on which this process itself listens, those of loggers, and those that
        multiprocessing's processes use among themselves.
        """
        whole = path if path.startswith("\0") else os.path.abspath(path)
        if (
            whole in self._seams.listening
            or whole.startswith(_LOG_SOCKETS)
            or _is_multiprocessing_socket(whole)
        ):
            return None
        return self._rules.local(whole)

    @cached_property
    def _resolvers(self) -> frozenset[str]:
        try:
            text = RESOLVERS.read_text("utf-8", "replace")
        except OSError:
            text = ""
        found = re.findall(r"^nameserver\s+(\S+)", text, re.MULTILINE)
        return frozenset(found or ("127.0.0.1",))  # the default by resolv.conf(5)

    def _is_allowed(self, host: str, port: int) -> bool:
        """Return True if `host` is an address of the target or of a named host with this port."""
        names = [name for name, at in self._rules.endpoints if at == port]
        if host in names:
            return True
        if any(host in self._addresses.get(name, ()) for name in names):
            return True
        for name in names:  # not found: looked up again, because a name's addresses change
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
        self._write(json.dumps(entry).encode() + b"\n")
        if self.on_violation is not None:
            self.on_violation(detail)

    def _write(self, line: bytes) -> None:
        if self.ledger is None:
            self._pending_lines.append(line)
            return
        try:
            file = os.open(self.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        except OSError:
            return  # a full disk must not make a violation look like a network error

    def __reduce__(self) -> Any:
        known = not isinstance(self._rules, NotKnownYet)
        return _installed, (self.policy if known else None, self.ledger, self.limits)


def _installed(policy: Policy | None, ledger: Path | None, limits: Limits | None) -> Guard:
    guard = Guard(policy, ledger, limits=limits)
    guard.install()
    return guard


class _Seams:
    """The patches and the audit hook of this process, for all its guards."""

    def __init__(self) -> None:
        self.guards: list[Guard] = []
        self.patches = Patches(self.guards)
        self.listening: set[str] = set()
        """Unix sockets that this process has bound."""
        self._hooked = False

    def add(self, guard: Guard) -> None:
        """Police for `guard` too, and apply every patch that is missing."""
        if not self._hooked:
            self._hooked = True
            sys.addaudithook(self._hook())
        if guard not in self.guards:
            self.guards.append(guard)
        self.patches.apply()

    def remove(self, guard: Guard) -> None:
        """Stop policing for `guard`; after the last one, restore everything."""
        self.guards.remove(guard)
        if not self.guards:
            self.patches.revert()

    def _bound(self, sock: socket.socket, address: Any) -> None:
        if sock.family == socket.AF_UNIX and address:
            path = os.fsdecode(address)
            self.listening.add(path if path.startswith("\0") else os.path.abspath(path))

    def _hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        """Return the audit hook.

        It holds references to all it needs, so that a reload of this module cannot change it.
        """
        guards, handlers, bound = self.guards, _HANDLERS, self._bound
        active_guards, heads_in = patches.active_guards, patches.heads_in

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if not guards:
                return
            handler = handlers.get(event)
            if handler is not None:
                for guard in active_guards(guards):
                    handler(guard, *args)
            elif event == "http.client.send":
                # Only once, because it keeps track of the connection's bytes.
                read = heads_in(*args)
                for guard in active_guards(guards):
                    guard.on_send(args[0], *read)
            elif event == "socket.bind":
                bound(*args)

        return hook


_HANDLERS: dict[str, Callable[..., None]] = {
    "socket.connect": Guard.on_connect,
    "socket.sendto": Guard.on_connect,
    "socket.sendmsg": Guard.on_connect,
    "socket.getaddrinfo": Guard.on_resolve,
    "subprocess.Popen": lambda guard, program, argv, *_: guard.on_program([program, *argv[1:]]),
    "os.system": lambda guard, command: guard.on_program(["sh", "-c", command]),
    "os.exec": lambda guard, program, argv, _: guard.on_program([program, *argv[1:]]),
    "os.posix_spawn": lambda guard, program, argv, _: guard.on_program([program, *argv[1:]]),
}


def _is_multiprocessing_socket(path: str) -> bool:
    """Return True if multiprocessing made this socket, by its folder or its abstract name."""
    return os.path.basename(os.path.dirname(path)).startswith("pymp-") or path.startswith(
        "\0listener-"
    )


def _family_name(family: int) -> str:
    try:
        return socket.AddressFamily(family).name
    except ValueError:
        return f"address family {family}"


_seams = _Seams()
