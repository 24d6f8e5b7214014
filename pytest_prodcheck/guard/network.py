"""The process-wide guard: where the policy of a target is enforced, whatever library sends.

Two layers, the second of which cannot be taken out again:

1. HTTP clients are policed where they name method and host, before a connection is opened: httpcore
   and httpcore2 (below httpx and httpx2), http.client (below urllib, urllib3, requests and
   Schemathesis) and aiohttp; see `guard.patches`. Their requests wait for the rate of the run,
   count for its budget, and stop when the breaker is open.
2. An audit hook (PEP 578) sees every `connect` of the process. On a read-only target it lets only
   those pass that a policed client is opening, to the very host and port that was allowed; on a
   writable one also others to the target and the hosts that the configuration names. So a
   client that nobody thought of, or whose policing was undone, does not get out. The hook also
   reads each request head that http.client sends, and the names of programs that are started.

A guard without a policy refuses everything: it stands while pytest loads plugins and conftests.

A refusal is written to a ledger, one JSON line each, before `errors.Violation` is raised: threads,
forked and spawned children and pytest-xdist workers report to one file even when the exception is
swallowed.

What this cannot see, and a network rule around the run has to: code that connects without
Python's `socket` (libcurl, libpq, uvloop, ctypes, subinterpreters, which have hooks of their own),
other programs apart from well-known network tools, bytes that a test writes by hand on a
connection that a policed client opened, and tests that set out to break this module.
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
"""How the names of the threads begin that prodcheck itself sends from."""

RESOLVERS = Path("/etc/resolv.conf")
"""Names the resolvers of this machine: the hosts that a datagram to port 53 may go to."""

_DNS_PORT = 53
_LEDGER_LINE = 2000  # characters of a detail; one short write is one line, whoever else appends

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_KERNEL = tuple(getattr(socket, name, None) for name in ("AF_NETLINK", "AF_ALG"))
"""Families whose sockets lead to this machine's kernel alone."""

_LOG_SOCKETS = ("/dev/log", "/var/run/syslog", "/run/systemd/journal/")
"""Where `logging.handlers.SysLogHandler` and journald's handlers write."""


class Limits(Protocol):
    """Rate, budget and breaker of a run: `http.throttle` has them."""

    def admit(self) -> None: ...

    async def admit_async(self, sleep: Callable[[float], Awaitable[object]]) -> None: ...

    def observe(self, ok: bool, transport_failure: bool = False, detail: str = "") -> None: ...

    def close(self) -> None: ...


class Guard:
    """Keeps one process, and the processes it starts, to a policy.

    policy: what may leave; None: nothing, until `settle` says more. ledger: the file to which
    violations are appended, one JSON object a line: `test` (node id or ""), `detail`, `pid`,
    `time` (seconds since the epoch).
    limits: rate, budget and breaker, for requests that have not passed them on their way here.
    controller: port on this machine where the process that started this worker listens, if any;
    pytest-rerunfailures has its workers count their tries there.
    Pickled into a child process, a guard arrives there installed, without a controller.
    """

    def __init__(
        self,
        policy: Policy | None,
        ledger: Path | None,
        *,
        limits: Limits | None = None,
        controller: int | None = None,
    ) -> None:
        """Raises UsageError when one of the policy's hosts cannot be read."""
        self.ledger: Path | None = None
        self.controller: int | None = None
        self.limits: Limits | None = None
        self.violations: list[str] = []
        """What this process was refused. Children have lists of their own; the ledger has all."""
        self.on_violation: Callable[[str], None] | None = None
        """Called after each further violation: for the time when nobody reads the ledger."""
        self._seams = _seams  # kept: a reload of this module makes another one
        self._rules: Rules = NotKnownYet()
        self._unwritten: list[bytes] = []
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
        """Go by this policy from now on; what was refused before is written down too.

        Raises UsageError when one of the policy's hosts cannot be read.
        """
        rules = Rules(policy)
        self.ledger, self.limits, self.controller = ledger, limits, controller
        unwritten, self._unwritten = self._unwritten, []
        for line in unwritten:
            self._write(line)
        self._rules = rules

    @property
    def policy(self) -> Policy:
        return self._rules.policy

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
        undone = self._seams.patches.undone()
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
        with Opening(host, port):
            yield

    def allow(self, refusal: str | None) -> None:
        """Record and raise `refusal`, if there is one."""
        if refusal is not None:
            self._record(refusal)
            raise Violation(refusal)

    # What the policed clients ask.

    def check_request(
        self,
        method: str,
        scheme: str,
        host: str,
        port: int,
        target: str,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Raises Violation when the request may not leave."""
        refusal = self._rules.request(method, scheme, host, port, target) or self._rules.headers(
            method, scheme, host, port, headers
        )
        self.allow(refusal)

    def check_host(self, scheme: str, host: str, port: int) -> None:
        """Raises Violation when nothing may be sent there."""
        self.allow(self._rules.endpoint(f"A request to {host}:{port}", scheme, host, port))

    def count(self) -> None:
        if not threading.current_thread().name.startswith(OUR_THREADS):
            self._passed.append(0)

    def admit(self) -> None:
        """Return when the limits of the run let a request go. Raises NotAsked."""
        if self.limits is not None:
            self.limits.admit()

    async def admit_async(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Do the same as `admit` without blocking the event loop that `sleep` belongs to."""
        if self.limits is not None:
            await self.limits.admit_async(sleep)

    def observe(self, host: str, port: int, status: int | None, silence: str = "") -> None:
        """Tell the breaker what came of a request: its status, or the kind of silence.

        Other hosts than the target's say nothing about the target.
        """
        if self.limits is not None and self._rules.is_target(host, port):
            ok = status is not None and status < 500
            self.limits.observe(ok, transport_failure=status is None, detail=silence)

    # What the audit hook asks, by event. Arguments are those of Python's audit events table.

    def on_connect(self, sock: socket.socket, address: Any) -> None:
        if address is None or sock.family in _KERNEL:
            return
        if sock.family in _INTERNET:
            refusal = self._internet(sock, address)
        elif sock.family == socket.AF_UNIX:
            refusal = self._local(os.fsdecode(address))
        else:
            refusal = self._rules.family(_name_of(sock.family))
        if refusal is not None and sock.type == socket.SOCK_STREAM:
            sock.close()  # socket.create_connection would leave it to the garbage collector
        self.allow(refusal)

    def on_resolve(self, host: str | bytes | None, *_: Any) -> None:
        """A client that was allowed one host looks up no other name while it connects."""
        opening = patches.opening.get()
        if opening is None or not opening.live or not host:
            return
        name = normal_host(host if isinstance(host, str) else host.decode("latin-1"))
        if name != opening.host and name not in self._rules.names:
            self.allow(self._rules.connection(name, opening.port))

    def on_send(
        self, connection: http.client.HTTPConnection, heads: Sequence[patches.Head], stray: bool
    ) -> None:
        """Each block of bytes that http.client sends, as `patches.heads_in` has read it."""
        for head in heads:
            endpoint = patches.endpoint_of(connection)
            self.check_request(head.method, *endpoint, head.target, head.headers)
            self.count()
            if head.method != "CONNECT" and not patches.take_admission(connection, self):
                self.admit()
        if stray and self.policy.read_only:
            self.allow(self._rules.unreadable())

    def on_program(self, argv: Sequence[Any]) -> None:
        self.allow(self._rules.program([os.fsdecode(word) for word in argv]))

    def _internet(self, sock: socket.socket, address: Any) -> str | None:
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

    def _local(self, path: str) -> str | None:
        """Why a socket of this machine's file system is not connected to.

        Free are those that this process listens on itself, and those by which multiprocessing's
        processes find each other.
        """
        whole = path if path.startswith("\0") else os.path.abspath(path)
        if whole in self._seams.listening or whole.startswith(_LOG_SOCKETS) or _is_pythons(whole):
            return None
        return self._rules.local(whole)

    @cached_property
    def _resolvers(self) -> frozenset[str]:
        try:
            text = RESOLVERS.read_text("utf-8", "replace")
        except OSError:
            text = ""
        found = re.findall(r"^nameserver\s+(\S+)", text, re.MULTILINE)
        return frozenset(found or ("127.0.0.1",))  # what resolv.conf(5) says of an empty one

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
        self._write(json.dumps(entry).encode() + b"\n")
        if self.on_violation is not None:
            self.on_violation(detail)

    def _write(self, line: bytes) -> None:
        if self.ledger is None:
            self._unwritten.append(line)
            return
        try:
            file = os.open(self.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        except OSError:
            return  # a full disk must not turn a violation into what looks like a network error

    def __reduce__(self) -> Any:
        known = not isinstance(self._rules, NotKnownYet)
        return _installed, (self.policy if known else None, self.ledger, self.limits)


def _installed(policy: Policy | None, ledger: Path | None, limits: Limits | None) -> Guard:
    guard = Guard(policy, ledger, limits=limits)
    guard.install()
    return guard


class _Seams:
    """What is policed in this process, for all its guards: the patches and the audit hook."""

    def __init__(self) -> None:
        self.guards: list[Guard] = []
        self.patches = Patches(self.guards)
        self.listening: set[str] = set()
        """Sockets of the file system that this process has bound."""
        self._listens = False

    def add(self, guard: Guard) -> None:
        """Police for `guard` too, and put in every patch that does not stand."""
        if not self._listens:
            self._listens = True
            sys.addaudithook(self._hook())
        if guard not in self.guards:
            self.guards.append(guard)
        self.patches.put_in()

    def remove(self, guard: Guard) -> None:
        """Stop policing for `guard`; after the last one everything is as it was."""
        self.guards.remove(guard)
        if not self.guards:
            self.patches.take_out()

    def _bound(self, sock: socket.socket, address: Any) -> None:
        if sock.family == socket.AF_UNIX and address:
            path = os.fsdecode(address)
            self.listening.add(path if path.startswith("\0") else os.path.abspath(path))

    def _hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        """The audit hook; it holds what it needs, out of reach of a reload of this module."""
        guards, answers, bound = self.guards, _ANSWERS, self._bound
        asking, heads_in = patches.asking, patches.heads_in

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if not guards:
                return
            answer = answers.get(event)
            if answer is not None:
                for guard in asking(guards):
                    answer(guard, *args)
            elif event == "http.client.send":
                read = heads_in(*args)  # once: it knows what has gone over this connection
                for guard in asking(guards):
                    guard.on_send(args[0], *read)
            elif event == "socket.bind":
                bound(*args)

        return hook


_ANSWERS: dict[str, Callable[..., None]] = {
    "socket.connect": Guard.on_connect,
    "socket.sendto": Guard.on_connect,
    "socket.sendmsg": Guard.on_connect,
    "socket.getaddrinfo": Guard.on_resolve,
    "subprocess.Popen": lambda guard, program, argv, *_: guard.on_program([program, *argv[1:]]),
    "os.system": lambda guard, command: guard.on_program(["sh", "-c", command]),
    "os.exec": lambda guard, program, argv, _: guard.on_program([program, *argv[1:]]),
    "os.posix_spawn": lambda guard, program, argv, _: guard.on_program([program, *argv[1:]]),
}


def _is_pythons(path: str) -> bool:
    """Whether multiprocessing made this socket: in its own folder, or by its own abstract name."""
    return os.path.basename(os.path.dirname(path)).startswith("pymp-") or path.startswith(
        "\0listener-"
    )


def _name_of(family: int) -> str:
    try:
        return socket.AddressFamily(family).name
    except ValueError:
        return f"address family {family}"


_seams = _Seams()
