"""The guard: what is forbidden does not leave this process, whoever sends it.

The judge is a stub service in a process of its own: it notes every connection and every request
line that arrives.
"""

import asyncio
import contextlib
import contextvars
import functools
import gc
import http.client
import importlib
import itertools
import json
import multiprocessing
import os
import re
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import urllib.request
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import httpcore
import httpcore2
import httpx
import httpx2
import pytest
import requests
import urllib3

from pytest_prodcheck.errors import UsageError, Violation
from pytest_prodcheck.guard import network as module
from pytest_prodcheck.guard.commands import network_program
from pytest_prodcheck.guard.network import Guard, Policy, trusting
from pytest_prodcheck.guard.policy import Rules

STUB = """
import socketserver, sys
from urllib.parse import parse_qs, urlsplit

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline().strip():
            length = 0
            while (field := self.rfile.readline()) not in (b"\\r\\n", b"\\n", b""):
                name, _, value = field.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            self.rfile.read(length)
            note(line)
            query = parse_qs(urlsplit(line.split()[1].decode()).query)
            status, location = query.get("code", ["200"])[0], query.get("to", [""])[0]
            answer = f"HTTP/1.1 {status} X\\r\\nContent-Length: 2\\r\\n"
            answer += f"Location: {location}\\r\\n" if location else ""
            if line.startswith(b"HEAD"):
                answer = answer.replace("Length: 2", "Length: 0")
            self.wfile.write(answer.encode() + b"\\r\\n" + b"ok" * (not line.startswith(b"HEAD")))
            if line.startswith(b"CONNECT"):
                return  # no TLS here

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    def process_request(self, request, client_address):
        note(b"connection")  # not in the thread that handles it: the next test may have begun
        super().process_request(request, client_address)
    def handle_error(self, request, client_address):
        pass

notes = open(sys.argv[1], "ab", buffering=0)
note = lambda text: notes.write(text + b"\\n")
server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""

ODD_METHODS = ("POST", "PUT", "PATCH", "DELETE", "TRACE", "delete", "Patch", "PROPFIND", "QUERY")


class Stub:
    """A service that notes what arrives."""

    def __init__(self, process: subprocess.Popen[str], notes: Path) -> None:
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self._notes = notes
        self._seen = 0
        self._numbers = itertools.count()

    def forget(self) -> None:
        self._settle()
        self._seen = len(self._lines())

    def connections(self) -> int:
        """How many connections have arrived since `forget`, those on their way included."""
        self._settle()
        new = self._lines()[self._seen :]
        return new.count("connection") - sum(map(self._is_marker, new))

    def requests(self) -> list[str]:
        """`METHOD target` of each request that arrived since `forget`."""
        lines = [line for line in self._lines()[self._seen :] if line != "connection"]
        return [line.rpartition(" HTTP/")[0] for line in lines if not self._is_marker(line)]

    def _settle(self) -> None:
        """Wait for what is on its way: connections are accepted in the order they were made."""
        marker = f"MARK /{next(self._numbers)} HTTP/1.1"
        with trusting(), socket.create_connection(("127.0.0.1", self.port), timeout=60) as mark:
            mark.sendall(f"{marker}\r\n\r\n".encode())
            assert mark.recv(1), "the stub has gone"
        assert marker in self._lines()

    def _is_marker(self, line: str) -> bool:
        return line.startswith("MARK ")

    def _lines(self) -> list[str]:
        return self._notes.read_text("latin-1").splitlines()


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stub, Stub]]:
    folder = tmp_path_factory.mktemp("stubs")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STUB, str(folder / name)], stdout=subprocess.PIPE, text=True
        )
        for name in ("service", "other")
    ]
    service, other = (
        Stub(process, folder / name)
        for process, name in zip(processes, ("service", "other"), strict=True)
    )
    yield service, other
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def service(stubs: tuple[Stub, Stub]) -> Stub:
    """The target."""
    stubs[0].forget()
    return stubs[0]


@pytest.fixture
def other(stubs: tuple[Stub, Stub]) -> Stub:
    """A service that no configuration names."""
    stubs[1].forget()
    return stubs[1]


Install = Callable[..., Guard]


@pytest.fixture
def install(service: Stub, tmp_path: Path) -> Iterator[Install]:
    """Installs a guard on the stub service: read-only unless told otherwise."""
    guards: list[Guard] = []

    def install(**policy: Any) -> Guard:
        guard = Guard(a_policy(port=service.port, **policy), tmp_path / "violations.jsonl")
        guards.append(guard)
        guard.install()
        return guard

    yield install
    for guard in guards:
        guard.uninstall()


@pytest.fixture
def guard(install: Install) -> Guard:
    return install()


def a_policy(
    *,
    scheme: str = "http",
    host: str = "127.0.0.1",
    port: int = 80,
    read_only: bool = True,
    hosts: tuple[str, ...] = (),
) -> Policy:
    return Policy(target="prod", read_only=read_only, origin=(scheme, host, port), hosts=hosts)


def ledger(guard: Guard) -> list[dict[str, Any]]:
    return [json.loads(line) for line in guard.ledger.read_text().splitlines()]


# --- senders: each sends one request with its library ---

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx reads 140 certificates for a default one


def by_httpx(method: str, url: str) -> None:
    with httpx.Client(trust_env=False, verify=NO_TLS) as client:
        client.request(method, url)


def by_httpx_async(method: str, url: str) -> None:
    async def send() -> None:
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
            await client.request(method, url)

    asyncio.run(send())


def by_httpx2(method: str, url: str) -> None:
    with httpx2.Client(trust_env=False, verify=NO_TLS) as client:
        client.request(method, url)


def by_httpx2_async(method: str, url: str) -> None:
    async def send() -> None:
        async with httpx2.AsyncClient(trust_env=False, verify=NO_TLS) as client:
            await client.request(method, url)

    asyncio.run(send())


def by_httpcore2(method: str, url: str) -> None:
    with httpcore2.ConnectionPool() as pool:
        pool.request(method, url)


def by_httpcore(method: str, url: str) -> None:
    with httpcore.ConnectionPool() as pool:
        pool.request(method, url)


def by_httpcore_async(method: str, url: str) -> None:
    async def send() -> None:
        async with httpcore.AsyncConnectionPool() as pool:
            await pool.request(method, url)

    asyncio.run(send())


def by_httpcore_connection(method: str, url: str) -> None:
    origin = httpcore.URL(url).origin
    with httpcore.HTTPConnection(origin) as connection:
        connection.request(method, url)


def by_httpcore_async_connection(method: str, url: str) -> None:
    async def send() -> None:
        async with httpcore.AsyncHTTPConnection(httpcore.URL(url).origin) as connection:
            await connection.request(method, url)

    asyncio.run(send())


def by_requests(method: str, url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.request(method, url)


def by_urllib(method: str, url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, method=method)):
        pass


def by_urllib3(method: str, url: str) -> None:
    with urllib3.PoolManager() as pool:
        pool.request(method, url, retries=False)


def by_http_client(method: str, url: str) -> None:
    authority, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(authority)
    try:
        connection.request(method, "/" + path)
        connection.getresponse().read()
    finally:
        connection.close()


def by_aiohttp(method: str, url: str) -> None:
    async def send() -> None:
        async with aiohttp.ClientSession() as session, session.request(method, url) as response:
            await response.read()

    asyncio.run(send())


def by_asyncio(method: str, url: str) -> None:
    async def send() -> None:
        host = httpx.URL(url)
        reader, writer = await asyncio.open_connection(host.host, host.port)
        writer.write(f"{method} / HTTP/1.1\r\n\r\n".encode())
        await reader.readline()
        writer.close()
        await writer.wait_closed()

    asyncio.run(send())


def by_socket(method: str, url: str) -> None:
    host = httpx.URL(url)
    with socket.create_connection((host.host, host.port)) as connection:
        connection.sendall(f"{method} / HTTP/1.1\r\n\r\n".encode())
        connection.recv(100)


def by_socket_ex(method: str, url: str) -> None:
    host = httpx.URL(url)
    with socket.socket() as connection:
        assert connection.connect_ex((host.host, host.port)) == 0
        connection.sendall(f"{method} / HTTP/1.1\r\n\r\n".encode())
        connection.recv(100)


POLICED = [
    by_httpx,
    by_httpx_async,
    by_httpcore,
    by_httpcore_async,
    by_httpcore_connection,
    by_httpcore_async_connection,
    by_httpx2,
    by_httpx2_async,
    by_httpcore2,
    by_requests,
    by_urllib,
    by_urllib3,
    by_http_client,
    by_aiohttp,
]
UNPOLICED = [by_asyncio, by_socket, by_socket_ex]

named = pytest.mark.parametrize


# --- methods ---


@pytest.mark.fault(79, 80, 81)
@named("send", POLICED)
def test_read_only_lets_safe_methods_of_each_client_through(
    guard: Guard, service: Stub, send: Callable[[str, str], None]
) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        send(method, service.url + "/health")
    assert service.requests() == ["GET /health", "HEAD /health", "OPTIONS /health"]
    assert guard.requests == 3
    assert guard.violations == []


@pytest.mark.fault(79, 80, 81)
@named("send", POLICED)
def test_read_only_refuses_every_other_method_before_a_connection_is_opened(
    guard: Guard, service: Stub, send: Callable[[str, str], None]
) -> None:
    for method in ODD_METHODS:
        with pytest.raises(Violation, match="was not sent: target prod is read-only"):
            send(method, service.url + "/orders/1")
    assert service.connections() == 0
    assert guard.requests == 0
    assert len(ledger(guard)) == len(ODD_METHODS)


@pytest.mark.fault(80, 81)
@named("method", ["get", "Get", "GET ", " GET", "", "GET / HTTP/1.1\nDELETE"])
def test_only_exactly_the_safe_methods_are_safe(method: str) -> None:
    rules = Rules(a_policy())
    assert rules.request("GET", "http", "127.0.0.1", 80, "/") is None
    assert rules.request(method, "http", "127.0.0.1", 80, "/")


@pytest.mark.fault(80, 81, 82)
@named("method", ["GET", "POST"])
@named("send", UNPOLICED)
def test_read_only_refuses_connections_that_nobody_polices(
    guard: Guard, service: Stub, send: Callable[[str, str], None], method: str
) -> None:
    with pytest.raises(Violation, match="what is sent on a connection of one's own cannot"):
        send(method, service.url)
    assert service.connections() == 0
    assert ledger(guard)


@pytest.mark.fault(79, 80, 81)
def test_ten_thousand_attempts_leave_nothing(guard: Guard, service: Stub) -> None:
    rounds, refused = 2500, 0
    plain = http.client.HTTPConnection("127.0.0.1", service.port)
    with httpx.Client() as client, httpcore.ConnectionPool() as pool, urllib3.PoolManager() as man:
        client.get(service.url)  # kept-alive connections are there to be abused
        pool.request("GET", service.url)
        man.request("GET", service.url)
        plain.request("GET", "/")
        plain.getresponse().read()
        senders: list[Callable[[str], Any]] = [
            lambda method: client.request(method, service.url),
            lambda method: pool.request(method, service.url),
            lambda method: man.request(method, service.url),
            lambda method: plain.request(method, "/"),
        ]
        for number in range(rounds):
            for send in senders:
                try:
                    send(ODD_METHODS[number % len(ODD_METHODS)])
                except BaseException:
                    refused += 1
    plain.close()
    assert refused == len(guard.violations) == len(ledger(guard)) == 4 * rounds
    assert service.requests() == ["GET /"] * 4


@pytest.mark.fault(79, 80)
def test_a_writable_target_takes_any_method(install: Install, service: Stub) -> None:
    guard = install(read_only=False)
    for send in (*POLICED, by_asyncio):
        send("DELETE", service.url + "/")
    assert service.requests() == ["DELETE /"] * (len(POLICED) + 1)
    assert guard.violations == []


DISGUISES: dict[str, Callable[[str], Any]] = {
    "header": lambda url: httpx.get(url, headers={"X-HTTP-Method-Override": "DELETE"}),
    "header, small letters": lambda url: requests.get(url, headers={"x-method-override": "PUT"}),
    "header, short": lambda url: urllib3.request("GET", url, headers={"X-HTTP-METHOD": "PUT"}),
    "header, underscores": lambda url: httpx.get(url, headers={"X_HTTP_METHOD_OVERRIDE": "PUT"}),
    "header, httpx2": lambda url: httpx2.get(url, headers={"X-Http-Method-Override": "PUT"}),
    "path header": lambda url: httpx.get(url, headers={"X-Original-URL": "/logout"}),
    "query": lambda url: by_http_client("GET", url + "/orders?a=1&_method=delete"),
    "query, params": lambda url: httpx.get(url, params={"_method": "DELETE"}),
    "query, encoded": lambda url: httpx.get(url + "/?%5Fmethod=DELETE"),
    "query, encoded twice": lambda url: httpx.get(url + "/?%255Fmethod=DELETE"),
    "header, verb": lambda url: httpx.get(url, headers={"X-HTTP-Verb-Override": "DELETE"}),
    "header, other order": lambda url: httpx.get(url, headers={"X-Override-Method": "DELETE"}),
    "header, without X": lambda url: httpx.get(url, headers={"Method-Override": "DELETE"}),
    "header, path": lambda url: httpx.get(url, headers={"X-Override-URL": "/delete"}),
    "query, Salesforce": lambda url: httpx.get(url, params={"_HttpMethod": "PATCH"}),
    "query, Google": lambda url: httpx.get(url, params={"$httpMethod": "DELETE"}),
    "query, Google's headers": lambda url: by_http_client("GET", url + "/?%24httpHeaders=a"),
    "query, a list": lambda url: httpx.get(url, params={"_method[]": "DELETE"}),
    "query, semicolon": lambda url: by_http_client("GET", url + "/?a=1;_method=delete"),
    "query, header's name": lambda url: httpx.get(url, params={"X-HTTP-Method-Override": "PUT"}),
    "query, underscores": lambda url: httpx.get(url, params={"x_http_method_override": "PUT"}),
    "form": lambda url: requests.get(url, data={"_method": "DELETE"}),
    "form, aiohttp": lambda url: aiohttp_form(url),
    "form, multipart": lambda url: httpx.request("GET", url, files={"_method": b"DELETE"}),
    "form, a stream": lambda url: requests.get(
        url, data=iter([b"_method=PUT"]), headers={"Content-Type": FORM}
    ),
    "GraphQL": lambda url: httpx.get(url, params={"query": "mutation { deleteAll }"}),
    "GraphQL, named": lambda url: httpx.get(
        url, params={"query": "# x\nquery A { a } mutation B($i: ID = {a: 1}) @x { drop(id: $i) }"}
    ),
}
FORM = "application/x-www-form-urlencoded"


def aiohttp_form(url: str) -> None:
    async def send() -> None:
        async with aiohttp.ClientSession() as session:
            await session.get(url, data={"_method": "DELETE"})

    asyncio.run(send())


@pytest.mark.fault(80, 81, 87, 145)
@named("disguise", DISGUISES)
def test_methods_in_disguise_are_refused(guard: Guard, service: Stub, disguise: str) -> None:
    with pytest.raises(Violation, match="can turn it into another"):
        DISGUISES[disguise](service.url)
    assert service.requests() == []


HARMLESS: dict[str, dict[str, Any]] = {
    "a parameter called method": {"params": {"method": "x"}},
    "a filter by method": {"params": {"http_method": "DELETE", "headers": "all"}},
    "a header about payment": {"headers": {"X-Payment-Method": "card", "X-Localhost": "a"}},
    "what a proxy tells an authorizer": {"headers": {"X-Original-Method": "POST"}},
    "a word": {"params": {"query": "mutation"}},
    "a field called mutation": {
        "params": {"query": '{ a(text: "mutation {") { mutation { b } } }'}
    },
    "a body of JSON": {"json": {"query": {"match_all": {}}}},
    "a form's type without a form": {"headers": {"Content-Type": FORM}},
}


@pytest.mark.fault(145)
@named("request_", HARMLESS)
def test_what_only_looks_like_a_disguise_is_sent(
    guard: Guard, service: Stub, request_: str
) -> None:
    httpx.request("GET", service.url + "/search", **HARMLESS[request_])
    assert len(service.requests()) == 1


HOST_HEADERS = [
    ("Host", "evil.example"),
    ("Host", "evil.example:80"),
    ("host", "127.0.0.1:1"),
    ("Host", "127.0.0.1.evil.example"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Host", "127.0.0.1, evil.example"),
    ("X-Host", "evil.example"),
    ("X-Backend-Host", "evil.example"),
    ("X-Rewrite-Host", "evil.example"),
    ("Proxy-Host", "evil.example"),
    ("Forwarded", "for=1.2.3.4;host=evil.example"),
    ("Forwarded", 'for=1.2.3.4, by=x;Host="evil.example:80"'),
]


@pytest.mark.fault(133)
@named("read_only", [True, False])
@named(("name", "value"), HOST_HEADERS)
@named("library", ["httpx", "httpx2", "requests", "urllib3", "aiohttp"])
def test_a_header_that_names_another_host_is_refused(
    install: Install, service: Stub, library: str, name: str, value: str, read_only: bool
) -> None:
    install(read_only=read_only)
    get: dict[str, Callable[..., Any]] = {
        "httpx": httpx.get,
        "httpx2": httpx2.get,
        "requests": requests.get,
        "urllib3": functools.partial(urllib3.request, "GET"),
        "aiohttp": lambda url, headers: asyncio.run(aiohttp_get(url, headers)),
    }
    with pytest.raises(Violation, match=f"its header {name.lower()} names"):
        get[library](service.url, headers={name: value})
    assert service.requests() == []


async def aiohttp_get(url: str, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        await session.get(url, headers=headers)


@pytest.mark.fault(133)
def test_headers_that_name_the_target_or_a_named_host_are_sent(
    install: Install, service: Stub
) -> None:
    install(hosts=("cdn.example",))
    for headers in (
        {"Host": service.host},
        {"Host": "127.0.0.1"},
        {"X-Forwarded-Host": "CDN.example"},
        {"Forwarded": f'for=1.2.3.4;host="{service.host}"'},
        {"Forwarded": "for=1.2.3.4"},
    ):
        httpx.get(service.url, headers=headers)
    assert len(service.requests()) == 5


@pytest.mark.fault(81)
def test_request_lines_written_by_hand_through_http_client_are_read(
    guard: Guard, service: Stub
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    try:
        for head in (b"DELETE / HTTP/1.1\r\n\r\n", bytearray(b"\r\nPOST / HTTP/1.0\r\n\r\n")):
            with pytest.raises(Violation, match="is read-only"):
                connection.send(head)
        with pytest.raises(Violation, match="something other than a whole request head"):
            connection.send([b"DELETE / HTTP/1.1\r\n\r\n"])
        http.client.HTTPConnection.putrequest(connection, "PUT", "/")
        with pytest.raises(Violation, match="is read-only"):
            connection.endheaders()
    finally:
        connection.close()
    assert service.requests() == []


@pytest.mark.fault(145)
@named(
    "blocks",
    [
        [b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}DELETE / HTTP/1.1\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\n", b"{}DELETE / HTTP/1.1\r\n\r\n"],
        [b"GET / HTTP/1.1\r\n\r\n", b"DELETE / HTTP/1.1\r\n\r\n"],
        [b"PO", b"ST / HTTP/1.1\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nA: b\n\nPOST / HTTP/1.1\r\n\r\n"],
        [b"GET / HTTP/1.1\n\nPOST / HTTP/1.1\r\n\r\n"],
        [b"POST /\r\n\r\n"],
        [
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"0\r\n\r\nDELETE / HTTP/1.1\r\n\r\n",
        ],
    ],
)
def test_a_request_behind_another_is_read_too(
    guard: Guard, service: Stub, blocks: list[bytes]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    *before, last = blocks
    for block in before:
        with contextlib.suppress(Violation):
            connection.send(block)
    with pytest.raises(Violation, match="read-only"):
        connection.send(last)
    connection.close()
    assert [line for line in service.requests() if not line.startswith("GET")] == []


@pytest.mark.fault(145)
@named("send", [requests.get, urllib3.request], ids=["requests", "urllib3"])
def test_bodies_of_safe_requests_are_sent(
    guard: Guard, service: Stub, send: Callable[..., Any]
) -> None:
    first = (service.url,) if send is requests.get else ("GET", service.url)
    key = "data" if send is requests.get else "body"
    send(*first, **{key: b'{"query": {}}'}, headers={"Content-Type": "application/json"})
    send(*first)
    assert len(service.requests()) == 2
    assert guard.requests == 2


# --- hosts ---


@pytest.mark.fault(85, 90)
@named("read_only", [True, False])
@named("send", [*POLICED, *UNPOLICED])
def test_no_other_host_is_reached(
    install: Install, other: Stub, send: Callable[[str, str], None], read_only: bool
) -> None:
    guard = install(read_only=read_only)
    with pytest.raises(Violation, match=re.escape(other.host)):
        send("GET", other.url)
    assert other.connections() == 0
    assert len(ledger(guard)) == len(guard.violations) >= 1


@pytest.mark.fault(85, 90)
def test_http_client_connects_to_no_other_host_before_it_sends(guard: Guard, other: Stub) -> None:
    with pytest.raises(Violation, match=re.escape(other.host)):
        http.client.HTTPConnection(other.host).connect()
    assert other.connections() == 0


def test_a_policed_connection_is_freed_with_its_last_user(guard: Guard, service: Stub) -> None:
    """So that a forgotten socket closes as it does without the guard."""
    gc.disable()
    try:
        connection = http.client.HTTPConnection(service.host)
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
        forgotten = weakref.ref(connection)
        del connection
        assert forgotten() is None
    finally:
        gc.enable()


@pytest.mark.fault(90)
@named(
    ("scheme", "host", "port"),
    [
        ("https", "prod.example.evil.example", 443),
        ("https", "evilprod.example", 443),
        ("https", "example", 443),
        ("https", "evil.example#prod.example", 443),
        ("https", "prod.example@evil.example", 443),
        ("https", "prod.example\\.evil.example", 443),
        ("https", "prod.example%00.evil.example", 443),
        ("https", "pr\u043ed.example", 443),  # Cyrillic o
        ("https", "prod\u00e9.example", 443),
        ("https", "xn--prd-jed.example", 443),
        ("https", "prod.example:443", 443),
        ("https", "", 443),
        ("https", "." * 70 + "\u00e9", 443),  # no host name at all
        ("https", "prod.example", 8443),
        ("https", "prod.example", 80),
        ("http", "prod.example", 80),
        ("http", "prod.example", 443),
        ("ws", "prod.example", 443),
        ("http", "cdn.example", 80),
        ("https", "cdn.example", 8443),
        ("https", "login.example", 443),
        ("https", "127.1", 9000),
        ("https", "2130706433", 9000),
        ("https", "0:0:0:0:0:0:0:2", 9001),
    ],
)
def test_hosts_that_only_look_allowed_are_refused(scheme: str, host: str, port: int) -> None:
    hosts = ("cdn.example", "login.example:8443", "127.0.0.1:9000", "[::1]:9001")
    rules = Rules(a_policy(scheme="https", host="prod.example", port=443, hosts=hosts))
    assert rules.request("GET", scheme, host, port, "/")


@pytest.mark.fault(90)
@named(
    ("scheme", "host", "port"),
    [
        ("https", "prod.example", 443),
        ("wss", "prod.example", 443),
        ("https", "PROD.example.", 443),  # the same name to every resolver
        ("https", "cdn.example", 443),
        ("https", "login.example", 8443),
        ("http", "login.example", 8443),
        ("http", "127.0.0.1", 9000),
        ("http", "::1", 9001),
        ("http", "0:0:0:0:0:0:0:1", 9001),
        ("http", "[::1]", 9001),
    ],
)
def test_the_target_and_named_hosts_are_allowed(scheme: str, host: str, port: int) -> None:
    hosts = ("cdn.example", "login.example:8443", "127.0.0.1:9000", "[::1]:9001")
    rules = Rules(a_policy(scheme="https", host="prod.example", port=443, hosts=hosts))
    assert rules.request("GET", scheme, host, port, "/") is None


@pytest.mark.fault(90)
def test_a_host_without_port_means_80_as_well_when_the_target_is_plain_http() -> None:
    rules = Rules(a_policy(hosts=("cdn.example",)))
    assert rules.request("GET", "http", "cdn.example", 80, "/") is None
    assert rules.request("GET", "https", "cdn.example", 443, "/") is None
    assert rules.request("GET", "http", "cdn.example", 443, "/")


@pytest.mark.fault(90)
def test_a_named_host_cannot_loosen_the_targets_own_scheme() -> None:
    rules = Rules(
        a_policy(scheme="https", host="prod.example", port=443, hosts=("prod.example:443",))
    )
    assert rules.request("GET", "http", "prod.example", 443, "/")


@named(
    "host", ["https://cdn.example", "user@cdn.example", "cdn.example/x", "cdn.example:99999", ""]
)
def test_a_host_that_cannot_be_read_is_a_usage_error(host: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hosts: "):
        Guard(a_policy(hosts=(host,)), tmp_path / "ledger")


def test_a_configured_target_becomes_a_policy() -> None:
    from pytest_prodcheck.config import Secret, Target

    target = Target(
        name="prod",
        base_url="https://API.example.com/v1",
        hosts=("cdn.example.com",),
        proxy=Secret("http://user:hunter22@proxy.example:3128"),
    )
    assert Policy.of(target) == Policy(
        target="prod",
        read_only=True,
        origin=("https", "api.example.com", 443),
        hosts=("cdn.example.com", "proxy.example:3128"),
    )


@pytest.mark.fault(85, 86)
@named("code", [301, 302, 303, 307, 308])
@named("send", [by_requests, by_urllib, by_urllib3, by_httpx])
def test_redirects_stay_on_the_target(
    guard: Guard, service: Stub, other: Stub, send: Callable[[str, str], None], code: int
) -> None:
    def follow(location: str) -> None:
        url = f"{service.url}/?code={code}&to={location}"
        if send is by_httpx:
            httpx.get(url, follow_redirects=True, headers={"X-Api-Key": "k"})
        elif send is by_urllib3:
            urllib3.request("GET", url, headers={"X-Api-Key": "k"})
        else:
            send("GET", url)

    follow("/here")
    assert service.requests()[1:] == ["GET /here"]
    with pytest.raises(Violation, match=re.escape(other.host)):
        follow(other.url + "/there")
    assert other.connections() == 0


@pytest.mark.fault(85, 86)
@named("code", [307, 308])
def test_a_body_is_not_sent_on_to_another_host(
    install: Install, service: Stub, other: Stub, code: int
) -> None:
    install(read_only=False)
    url = f"{service.url}/?code={code}&to={other.url}/"
    with requests.Session() as session, pytest.raises(Violation, match="neither target prod"):
        session.post(url, data={"card": "4111"}, headers={"X-Api-Key": "k"})
    with pytest.raises(Violation, match="neither target prod"):
        httpx.post(url, data={"card": "4111"}, follow_redirects=True)
    assert [line.split()[0] for line in service.requests()] == ["POST", "POST"]
    assert other.connections() == 0


@pytest.mark.fault(86)
def test_no_downgrade_from_https_to_http(install: Install, service: Stub) -> None:
    install(scheme="https")
    for send in POLICED:
        with pytest.raises(Violation, match="is to be asked over https only"):
            send("GET", service.url)
    assert service.connections() == 0


@named(
    "send", [httpx.get, requests.get, urllib.request.urlopen], ids=["httpx", "requests", "urllib"]
)
def test_a_proxy_of_the_environment_is_another_host(
    guard: Guard,
    service: Stub,
    other: Stub,
    send: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url)
    # urllib reads the environment once and keeps what it found for the whole process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(Violation, match=re.escape(other.host)):
        send(service.url + "/")
    assert other.connections() == 0


def test_a_named_proxy_forwards_to_allowed_hosts_only(
    install: Install, service: Stub, other: Stub
) -> None:
    guard = install(hosts=(other.host,))
    with httpx.Client(proxy=other.url) as client:
        client.get(service.url + "/")
        assert guard.requests == 1
        for url in ("http://evil.example/", "http://prod.example:80/"):
            with pytest.raises(Violation, match="neither target prod"):
                client.get(url)
        with pytest.raises(Violation, match="is read-only"):
            client.delete(service.url + "/")
    assert other.requests() == [f"GET {service.url}/"]


@named("read_only", [True, False])
def test_a_tunnel_leads_to_allowed_hosts_only(
    install: Install, service: Stub, other: Stub, read_only: bool
) -> None:
    install(scheme="https", read_only=read_only, hosts=(other.host,))
    tunnel = f"CONNECT {service.host}"
    with httpx.Client(proxy=other.url) as client:
        with pytest.raises(httpx.TransportError):  # the stub speaks no TLS
            client.get(f"https://{service.host}/")
        with pytest.raises(Violation, match="neither target prod"):
            client.get("https://evil.example/")
    for host, refusal in ((service.host, OSError), ("evil.example", Violation)):
        connection = http.client.HTTPSConnection(other.host)
        connection.set_tunnel(host)
        with pytest.raises(refusal):
            connection.request("GET", "/")
        connection.close()
    assert other.requests() == [tunnel, tunnel]


@pytest.mark.fault(80)
def test_what_would_go_through_a_tunnel_is_policed(
    install: Install, service: Stub, other: Stub
) -> None:
    """Before the tunnel is asked for: what passes in it httpcore's connection does not see."""
    install(scheme="https", hosts=(other.host,))
    url = f"https://{service.host}/"

    async def delete() -> None:
        async with httpx.AsyncClient(proxy=other.url, verify=NO_TLS) as client:
            await client.delete(url)

    with httpx.Client(proxy=other.url, verify=NO_TLS) as client:
        for attempt in (lambda: client.delete(url), lambda: asyncio.run(delete())):
            with pytest.raises(Violation, match="is read-only"):
                attempt()
    assert other.connections() == 0


@pytest.mark.fault(90)
@named(
    "target", ["http://evil.example/", "http://127.0.0.1:80@evil.example/", "HTTP://evil.example"]
)
def test_a_url_as_request_target_names_an_allowed_host(target: str) -> None:
    rules = Rules(a_policy(hosts=("proxy.example:3128",)))
    assert rules.request("GET", "http", "proxy.example", 3128, "http://127.0.0.1/") is None
    assert rules.request("GET", "http", "proxy.example", 3128, target)
    assert rules.request("GET", "http", "127.0.0.1", 80, target)


def test_a_target_is_no_proxy_even_when_it_is_named_again() -> None:
    rules = Rules(
        a_policy(scheme="https", host="prod.example", port=443, hosts=("prod.example:443",))
    )
    refusal = rules.request("CONNECT", "https", "prod.example", 443, "prod.example:443")
    assert refusal is not None
    assert "is read-only" in refusal


@named("proxied", [False, True])
def test_a_refusal_takes_no_room_in_a_pool(guard: Guard, service: Stub, proxied: bool) -> None:
    """httpcore's pools forget a connection only when it says that it failed."""
    pool: httpcore.ConnectionPool
    if proxied:
        pool = httpcore.HTTPProxy("http://127.0.0.1:1", max_connections=1)
    else:
        pool = httpcore.ConnectionPool(max_connections=1)
    with pool:
        for url in (service.url, service.url.replace("http", "https")) * 2:
            with pytest.raises(Violation):
                pool.request("GET" if proxied else "PUT", url, extensions={"timeout": {"pool": 1}})
        assert pool.connections == []


# --- connections ---


@pytest.mark.fault(82, 129)
def test_datagrams_go_to_a_resolver_of_this_machine_only(
    guard: Guard, service: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolvers = tmp_path / "resolv.conf"
    resolvers.write_text("# a comment\nsearch example.com\nnameserver 127.0.0.1\n")
    monkeypatch.setattr(module, "RESOLVERS", resolvers)
    address = ("127.0.0.1", service.port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        for attempt in (
            lambda: datagrams.sendto(b"x", address),
            lambda: datagrams.sendmsg([b"x"], [], 0, address),
            lambda: datagrams.connect(address),
            lambda: datagrams.sendto(b"x", ("127.0.0.2", 53)),
        ):
            with pytest.raises(Violation, match="was not opened"):
                attempt()
        assert datagrams.sendto(b"x", ("127.0.0.1", 53)) == 1


def test_sockets_that_a_test_listens_on_itself_go_on_working(guard: Guard, tmp_path: Path) -> None:
    one, two = socket.socketpair()
    with one, two:
        one.sendall(b"x")
        assert two.recv(1) == b"x"
    with (
        socket.socket(socket.AF_UNIX) as server,
        socket.socket(socket.AF_UNIX) as client,
    ):
        server.bind(os.fspath(tmp_path / "s"))
        server.listen()
        client.connect(os.fspath(tmp_path / "s"))
    asyncio.run(asyncio.sleep(0))
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Violation):
        socket.create_connection(server.getsockname())
    assert len(guard.violations) == 1


def test_multiprocessing_goes_on_working(guard: Guard) -> None:
    for method in ("fork", "spawn"):
        with (
            warnings.catch_warnings(),
            multiprocessing.get_context(method).Manager() as manager,
        ):
            warnings.simplefilter("ignore", DeprecationWarning)
            shared = manager.dict(a=1)
            assert shared["a"] == 1
    assert guard.violations == []


LISTENER = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1]); server.listen()
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    connection.settimeout(5)
    head = b""
    while not head.endswith(b"\\r\\n\\r\\n"):
        more = connection.recv(1000)
        if not more: break
        head += more
    if head:
        print(head.decode().splitlines()[0], flush=True)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
    connection.close()
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    """Another process that listens on a socket of the file system, as a container engine does."""
    path = tmp_path / "engine.sock"
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER.replace("\\\\", "\\"), str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield path, process
    process.kill()
    process.communicate()


def over_a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(path))


def over_httpx(path: Path, url: str, method: str = "GET") -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=os.fspath(path), verify=NO_TLS)) as client:
        client.request(method, url)


@pytest.mark.fault(129)
@named("read_only", [True, False])
def test_sockets_of_other_processes_are_refused_unless_they_are_named(
    install: Install, service: Stub, foreign: Any, read_only: bool
) -> None:
    path, _ = foreign
    guard = install(read_only=read_only)
    attempts: list[Callable[[], Any]] = [
        lambda: over_a_socket(path),
        lambda: over_a_socket(Path(os.path.relpath(path))),
        lambda: over_httpx(path, service.url),
    ]
    for attempt in attempts:
        with pytest.raises(Violation, match=re.escape(f'hosts = ["unix:{path}"]')):
            attempt()
    assert len(ledger(guard)) == 3
    named_guard = install(read_only=read_only, hosts=(f"unix:{path}",))
    guard.uninstall()
    over_a_socket(path)
    over_httpx(path, service.url)
    assert named_guard.violations == []
    if read_only:
        with pytest.raises(Violation, match="is read-only"):
            over_httpx(path, service.url, "POST")


@pytest.mark.fault(129)
@pytest.mark.skipif(not hasattr(socket, "AF_VSOCK"), reason="needs Linux")
def test_a_family_that_names_no_host_is_refused(install: Install) -> None:
    install(read_only=False)
    try:
        client = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    except OSError:
        pytest.skip("this kernel has no AF_VSOCK")
    with client, pytest.raises(Violation, match="over AF_VSOCK was not opened"):
        client.connect((2, 80))


@pytest.mark.fault(129)
@named("url", ["postgresql:///shop?host=/run/pg&port=5433", "postgresql://%2Frun%2Fpg:5433/shop"])
def test_the_socket_of_the_configured_database_is_named(url: str) -> None:
    from pytest_prodcheck.config import Secret, Target

    policy = Policy.of(Target(name="prod", base_url="http://a.example", database=Secret(url)))
    rules = Rules(policy)
    assert rules.local("/run/pg/.s.PGSQL.5432")
    assert rules.local("/run/pg/.s.PGSQL.5433") is None


@pytest.mark.fault(82)
def test_a_writable_target_takes_raw_connections_to_what_its_hosts_resolve_to(
    install: Install, service: Stub, other: Stub
) -> None:
    install(read_only=False, hosts=(f"localhost:{other.port}",))
    by_socket("POST", service.url)
    by_socket("POST", other.url)
    by_aiohttp("POST", f"http://localhost:{other.port}/")
    assert service.requests() == ["POST /"]
    assert other.requests() == ["POST /", "POST /"]
    with pytest.raises(Violation, match=r'hosts = \["127\.0\.0\.1:1"\]'):
        by_socket("POST", "http://127.0.0.1:1")


@pytest.mark.fault(82)
def test_a_policed_client_that_is_led_elsewhere_is_stopped(
    guard: Guard, service: Stub, other: Stub
) -> None:
    class Astray(httpcore.NetworkBackend):
        def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> Any:
            socket.create_connection(("127.0.0.1", other.port))

    with (
        httpcore.ConnectionPool(network_backend=Astray()) as pool,
        pytest.raises(Violation, match=re.escape(other.host)),
    ):
        pool.request("GET", service.url)
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection._create_connection = lambda *_: socket.create_connection(("127.0.0.2", service.port))
    with pytest.raises(Violation, match=r"127\.0\.0\.2"):
        connection.request("GET", "/")
    connection.close()
    connection._create_connection = lambda *_: socket.create_connection(("evil.invalid", 80))
    with pytest.raises(Violation, match=r"evil\.invalid"):
        connection.request("GET", "/")
    connection.close()
    assert service.connections() == other.connections() == 0


def test_an_opening_is_for_one_allowed_host_and_ends(guard: Guard, service: Stub) -> None:
    with guard.opening("127.0.0.1", service.port):
        left_over = contextvars.copy_context()  # what a task that is started here lives in
        with socket.create_connection(("127.0.0.1", service.port)):
            pass
    with (
        guard.opening("127.0.0.1", service.port),
        socket.socket() as astray,
        pytest.raises(Violation, match=r"127\.0\.0\.2"),
    ):
        astray.connect(("127.0.0.2", service.port))  # a socket that asks no resolver
    with pytest.raises(Violation):
        left_over.run(socket.create_connection, ("127.0.0.1", service.port))
    with pytest.raises(Violation, match="neither target prod"), guard.opening("127.0.0.1", 1):
        pass


# --- threads, tasks, children ---


@pytest.mark.fault(89)
def test_threads_and_tasks_are_policed(guard: Guard, service: Stub) -> None:
    def one(number: int) -> None:
        try:
            by_httpcore("DELETE" if number % 2 else "GET", service.url + "/")
            by_socket("DELETE", service.url)
        except BaseException:
            return

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(40)))

    async def tasks() -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(
                *(client.delete(service.url) for _ in range(20)),
                *(client.get(service.url) for _ in range(20)),
                *(asyncio.open_connection("127.0.0.1", service.port) for _ in range(20)),
                return_exceptions=True,
            )

    asyncio.run(tasks())
    assert service.requests() == ["GET /"] * 40
    assert len(guard.violations) == len(ledger(guard)) == 40 + 40
    assert guard.requests == 40


@pytest.mark.fault(82, 89)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks_are_policed_and_share_the_ledger(guard: Guard, service: Stub) -> None:
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            for _ in range(100):
                try:
                    by_http_client("POST", service.url)
                except BaseException:
                    continue
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert service.connections() == 0
    pids = [entry["pid"] for entry in ledger(guard)]
    assert {pid: pids.count(pid) for pid in set(pids)} == dict.fromkeys(children, 100)


@pytest.mark.fault(82, 89)
@named("method", ["spawn", "forkserver"])
def test_processes_that_start_afresh_are_policed(
    install: Install, service: Stub, method: str
) -> None:
    importlib.import_module("multiprocessing.popen_spawn_posix")  # as if used before the run
    importlib.import_module("multiprocessing.popen_forkserver")
    guard = install()
    deletion = urllib.request.Request(service.url, method="DELETE")
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(urllib.request.urlopen, service.url + "/").exception() is not None
        with pytest.raises(Violation, match="is read-only"):
            pool.submit(urllib.request.urlopen, deletion).result()
        child = pool.submit(os.getpid).result()
    assert service.requests() == ["GET /"]  # its answer cannot be pickled, but it arrived
    (entry,) = ledger(guard)
    assert entry["pid"] == child
    assert "test_processes_that_start_afresh" in entry["test"]


# --- programs ---


@pytest.mark.fault(82)
@named(
    "command",
    [
        ["curl", "-X", "DELETE", "http://x"],
        ["/usr/bin/wget", "http://x"],
        ["env", "A=1", "curl", "x"],
        ["setsid", "curl", "x"],
        ["taskset", "1", "curl", "x"],
        ["sh", "-c", "eval curl x"],
        ["find", ".", "-maxdepth", "0", "-exec", "curl", "x", ";"],
        ["sh", "-c", "find . -execdir sh -c 'curl x' +"],
        ["fd", "-x", "curl"],
        ["sudo", "-u", "root", "nc", "x", "80"],
        ["timeout", "5", "xh", "x"],
        ["busybox", "wget", "x"],
        ["sh", "-c", "cd /tmp && A=1 curl x"],
        ["bash", "-ec", "true; echo $(curl x)"],
        ["bash", "-c", "if true\nthen curl x; fi"],
        ["sh", "-c", "git log | xargs curl"],
        ["sh", "-c", "bash -c 'curl x'"],
    ],
)
def test_network_tools_are_recognised(command: list[str]) -> None:
    assert network_program(command) in {"curl", "wget", "nc", "xh"}


@named(
    "command",
    [
        [],
        ["git", "commit", "-m", "curl"],
        ["find", ".", "-name", "curl"],
        ["find", ".", "-exec", "ls", "curl", ";"],
        ["env", "git", "log", "--grep", "curl"],
        ["sh", "-c", "git commit -m 'use curl'"],
        ["sh", "script.sh"],
        ["python", "-c", "1"],
        ["curlew"],
    ],
)
def test_other_programs_are_left_alone(command: list[str]) -> None:
    assert network_program(command) is None


@pytest.mark.fault(82)
def test_network_tools_are_not_started_beside_a_read_only_target(
    guard: Guard, service: Stub
) -> None:
    attempts: list[Callable[[], Any]] = [
        lambda: subprocess.run(["curl", "-X", "DELETE", service.url]),
        lambda: subprocess.run(f"true; curl -X DELETE {service.url}", shell=True),
        lambda: subprocess.run(["other"], executable="/usr/bin/curl"),
        lambda: os.system(f"curl -X DELETE {service.url}"),
        lambda: os.posix_spawn("/nowhere/curl", ["c", service.url], os.environ),
        lambda: os.execv("/nowhere/curl", ["c", service.url]),
        lambda: asyncio.run(asyncio.create_subprocess_exec("curl", service.url)),
    ]
    for attempt in attempts:
        with pytest.raises(Violation, match="curl was not started: target prod is read-only"):
            attempt()
    assert service.connections() == 0
    assert len(ledger(guard)) == len(attempts)
    assert subprocess.run([sys.executable, "-S", "-c", ""]).returncode == 0


def test_programs_are_free_beside_a_writable_target(install: Install) -> None:
    install(read_only=False)
    with pytest.raises(FileNotFoundError):
        subprocess.run(["/nowhere/curl"])


# --- tampering ---


@pytest.mark.fault(92)
@named(
    "tamper",
    [
        lambda patch, old: patch.setattr(httpcore.HTTPConnection, "handle_request", old[0]),
        lambda patch, old: patch.setattr(httpcore.ConnectionPool, "handle_request", old[1]),
        lambda patch, old: patch.setattr(http.client.HTTPConnection, "__init__", old[2]),
        lambda patch, old: patch.delattr(httpcore.HTTPConnection, "handle_request"),
        lambda patch, old: patch.delattr(http.client.HTTPConnection, "__init__"),
    ],
    ids=["httpcore", "pool", "http.client", "del httpcore", "del http.client"],
)
def test_a_patch_that_is_undone_blocks_every_connection(
    install: Install,
    service: Stub,
    tamper: Callable[[pytest.MonkeyPatch, list[Any]], None],
) -> None:
    old = [
        httpcore.HTTPConnection.handle_request,
        httpcore.ConnectionPool.handle_request,
        http.client.HTTPConnection.__init__,
    ]
    guard = install()
    with pytest.MonkeyPatch.context() as patch:
        tamper(patch, old)
        for send in (*POLICED, *UNPOLICED):
            for method in ("GET", "DELETE"):
                try:
                    send(method, service.url)
                except BaseException as error:
                    swallowed = error
                    assert not isinstance(swallowed, AssertionError)
    assert service.connections() == 0
    assert any("was tampered with" in text for text in guard.violations)
    by_httpx("GET", service.url)
    assert service.requests() == ["GET /"]


@pytest.mark.fault(92)
def test_a_connection_stays_policed_when_the_patches_of_its_class_are_undone(
    install: Install, service: Stub
) -> None:
    """No connection is opened here, so the audit hook alone would not see it."""
    old = (httpcore.HTTPConnection.handle_request, httpcore.ConnectionPool.handle_request)
    guard = install()
    with httpcore.ConnectionPool() as pool, pytest.MonkeyPatch.context() as patch:
        pool.request("GET", service.url)
        patch.setattr(httpcore.HTTPConnection, "handle_request", old[0])
        patch.setattr(httpcore.ConnectionPool, "handle_request", old[1])
        with pytest.raises(Violation, match="is read-only"):
            pool.request("DELETE", service.url)
    assert service.requests() == ["GET /"]
    guard.verify()
    assert len(guard.violations) == 1


@pytest.mark.fault(92)
def test_an_async_connection_stays_policed_likewise(install: Install, service: Stub) -> None:
    pools, connections = httpcore.AsyncConnectionPool, httpcore.AsyncHTTPConnection
    old = (pools.handle_async_request, connections.handle_async_request)
    install()

    async def attempt() -> None:
        async with pools() as pool:
            await pool.request("GET", service.url)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pools, "handle_async_request", old[0])
                patch.setattr(connections, "handle_async_request", old[1])
                with pytest.raises(Violation, match="is read-only"):
                    await pool.request("DELETE", service.url)

    asyncio.run(attempt())
    assert service.requests() == ["GET /"]


@pytest.mark.fault(92)
def test_what_was_undone_is_recorded_at_the_end_of_a_test_and_put_back(
    install: Install, service: Stub
) -> None:
    old = http.client.HTTPConnection.__init__
    guard = install()
    http.client.HTTPConnection.__init__ = old  # type: ignore[method-assign]
    guard.verify()
    guard.verify()
    assert guard.violations == [
        "The guard of target prod was tampered with: http.client.HTTPConnection.__init__ was"
        " replaced. Leave it in place; to answer for the service in a test, use"
        " httpx.MockTransport."
    ]
    by_http_client("GET", service.url)
    guard.uninstall()
    guard.verify()
    assert "it was uninstalled" in guard.violations[-1]
    with pytest.raises(Violation):
        by_socket("GET", service.url)


@pytest.mark.fault(82, 89, 92)
def test_reloads_and_late_imports_open_no_way_out(service: Stub, tmp_path: Path) -> None:
    """In a process of its own, since a reload cannot be undone."""
    script = tmp_path / "attempts.py"
    script.write_text(
        textwrap.dedent(
            """
            import http.client, importlib, json, sys, urllib.request
            from pathlib import Path

            URL = sys.argv[1]

            def attempt(send, *args):
                try:
                    send(*args)
                except BaseException:
                    pass

            def delete():
                urllib.request.urlopen(urllib.request.Request(URL, method="DELETE"))

            def by_hand():
                connection = http.client.HTTPConnection(URL.removeprefix("http://"))
                connection.request("DELETE", "/")

            if __name__ == "__main__":
                import pytest_prodcheck.guard.network as module
                policy = module.Policy(
                    target="prod", read_only=True, origin=("http", "127.0.0.1", int(sys.argv[2]))
                )
                guard = module.Guard(policy, Path(sys.argv[3]))
                guard.install()
                import httpcore
                assert "multiprocessing.spawn" not in sys.modules
                import multiprocessing
                child = multiprocessing.get_context("spawn").Process(target=attempt, args=(delete,))
                child.start(); child.join()
                importlib.reload(http.client)
                attempt(by_hand)
                importlib.reload(module)
                attempt(delete)
                attempt(by_hand)
                importlib.reload(sys.modules["httpcore._sync.connection"])
                attempt(httpcore.request, "DELETE", URL)
                connection = sys.modules["httpcore._sync.connection"].HTTPConnection
                attempt(connection(httpcore.URL(URL).origin).request, "DELETE", URL)
                importlib.reload(multiprocessing.spawn)
                guard.verify()
                print(json.dumps(guard.violations))
            """
        )
    )
    run = subprocess.run(
        [sys.executable, str(script), service.url, str(service.port), str(tmp_path / "ledger")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert service.requests() == []
    violations = json.loads(run.stdout)
    assert len(violations) == 6
    assert "multiprocessing.spawn.get_preparation_data was replaced" in violations[-1]
    assert len((tmp_path / "ledger").read_text().splitlines()) == 7  # with the spawned child's


# --- the ledger, messages, and the end ---


@pytest.mark.fault(92)
def test_a_swallowed_violation_stands_in_the_ledger(guard: Guard, service: Stub) -> None:
    try:
        httpx.post(service.url + "/orders?token=hunter22", headers={"Authorization": "hunter22"})
    except BaseException as error:
        swallowed = str(error)
    (entry,) = ledger(guard)
    assert entry["detail"] == swallowed == guard.violations[0]
    assert swallowed == (
        f"POST {service.url}/orders was not sent: target prod is read-only, and only GET, HEAD and"
        " OPTIONS may leave. Mark a test that writes with @pytest.mark.writes and run it against a"
        " target with read_only = false."
    )
    assert entry["test"].endswith("test_guard.py::test_a_swallowed_violation_stands_in_the_ledger")
    assert entry["pid"] == os.getpid()
    assert entry["time"] > 1.7e9


def test_messages_name_the_remedy(guard: Guard, service: Stub, other: Stub) -> None:
    for send in (by_httpx, by_socket):
        with pytest.raises(Violation):
            send("GET", other.url)
    with pytest.raises(Violation):
        subprocess.run(["curl"])
    target = f"target prod ({service.url})"
    assert guard.violations == [
        f"GET {other.url} was not sent: {other.host} is neither {target} nor a host that the"
        f" configuration names. If tests may reach it, add it to the target: hosts ="
        f' ["{other.host}"].',
        f"A connection to {other.host} was not opened: target prod is read-only, and what is sent"
        " on a connection of one's own cannot be policed. Use the `api` fixture, or httpx,"
        " requests, urllib or http.client with the target's hosts (others are named by hosts ="
        " [...]); the rest needs read_only = false.",
        "curl was not started: target prod is read-only, and what another program sends cannot be"
        " policed. Use the `api` fixture. Mark a test that writes with @pytest.mark.writes and run"
        " it against a target with read_only = false.",
    ]


def test_messages_show_control_characters_as_text() -> None:
    text = Rules(a_policy()).request("\x1b[2J\n::error::\u202e", "http", "127.0.0.1", 80, "/")
    assert text is not None
    assert text.isascii()
    assert text.isprintable()


def test_a_ledger_that_cannot_be_written_leaves_the_violation_as_it_is(
    service: Stub, tmp_path: Path
) -> None:
    guard = Guard(a_policy(port=service.port), tmp_path / "missing" / "ledger")
    guard.install()
    try:
        with pytest.raises(Violation):
            by_socket("GET", service.url)
    finally:
        guard.uninstall()
    assert len(guard.violations) == 1


def test_after_uninstall_everything_is_as_before(
    install: Install, service: Stub, other: Stub
) -> None:
    spawn = importlib.import_module("multiprocessing.spawn")
    places = [
        (httpcore.HTTPConnection, "handle_request"),
        (httpcore.ConnectionPool, "handle_request"),
        (httpcore.AsyncHTTPConnection, "handle_async_request"),
        (httpcore.AsyncConnectionPool, "handle_async_request"),
        (http.client.HTTPConnection, "__init__"),
        (spawn, "get_preparation_data"),
    ]
    before = [vars(owner)[name] for owner, name in places]
    first, second = install(), install(read_only=False)
    with httpcore.ConnectionPool() as pool:
        pool.request("GET", service.url)
        first.uninstall()
        with pytest.raises(Violation):
            by_httpx("GET", other.url)
        pool.request("POST", service.url)
        second.uninstall()
        assert [vars(owner)[name] for owner, name in places] == before
        pool.request("DELETE", service.url)  # a connection that was policed in its time
    for send in (*POLICED, *UNPOLICED):
        send("DELETE", other.url)
    assert service.requests() == ["GET /", "POST /", "DELETE /"]
    assert other.requests() == ["DELETE /"] * len(POLICED + UNPOLICED)
    assert (len(first.violations), len(second.violations)) == (0, 1)


def test_requests_are_counted_once_each_by_all_threads(guard: Guard, service: Stub) -> None:
    def send() -> None:
        for _ in range(25):
            by_http_client("GET", service.url)
            by_httpcore("GET", service.url)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard.requests == 200 == len(service.requests())
