"""What the wire does to a request: each fault ends in time, in few bytes, under its own kind."""

import functools
import gzip
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from pytest_prodcheck.config import Secret, Target
from pytest_prodcheck.errors import BudgetExhausted, NotAsked, UsageError
from pytest_prodcheck.http import transport as module
from pytest_prodcheck.http.body import BadJson, strict_json
from pytest_prodcheck.http.client import (
    BodyTooLarge,
    DeadlineExceeded,
    LiveClient,
    LiveTransport,
    NameNotResolved,
    TlsRefused,
    UnknownEncoding,
    kind_of,
)
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.throttle import Throttle
from tests import ROOT
from tests.connection import connected
from tests.faulty import (
    Behaviour,
    FaultyServer,
    answer,
    black_hole,
    bomb,
    closed_port,
    curt_port,
    delayed,
    drip_body,
    drip_head,
    endless,
    endless_chunks,
    hang_up,
    head,
    json_answer,
    mute_port,
    raw,
    reset,
    silence,
)

DEADLINE = 0.4
SLACK = 10.0  # what is cut off would go on for ever, so this only guards against a hang
"""What faults.md grants on top of a deadline."""


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


def failure(client: LiveClient, path: str = "/", method: str = "GET") -> httpx.RequestError:
    """How the request fails; it must, and its exchange must say the same."""
    with pytest.raises(httpx.RequestError) as raised:
        client.request(method, path)
    exchange = client.exchanges[-1]
    assert exchange.status is None
    assert exchange.kind == kind_of(raised.value)
    assert exchange.error == str(raised.value)
    return raised.value


# --- nobody there -------------------------------------------------------------------------


@pytest.mark.fault(1)
def test_a_refused_connection_is_told_and_after_three_the_target_is_down() -> None:
    with closed_port() as port, connected(f"http://127.0.0.1:{port}") as api:
        for _ in range(3):
            error = failure(api, "/health")
            assert str(error) == (
                f"connect: GET http://127.0.0.1:{port}/health: 127.0.0.1:{port}: connection "
                "refused. Check that the service runs and that base_url names its host and port."
            )
            assert isinstance(error, httpx.ConnectError)
        with pytest.raises(NotAsked, match=r"^not run: target down: 3 requests in a row got no"):
            api.get("/health")
        assert [exchange.kind for exchange in api.exchanges] == ["connect"] * 3 + ["withheld"]


@pytest.mark.fault(2)
def test_a_name_that_does_not_resolve_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, flags: int = 0, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with connected("http://shop.invalid") as api:
        error = failure(api)
    assert isinstance(error, NameNotResolved)
    assert str(error) == (
        "dns: GET http://shop.invalid/: the host shop.invalid has no address: name or service "
        "not known. Check that base_url is right and that this machine's resolver works."
    )


@pytest.mark.fault(2)
def test_a_silent_resolver_is_waited_for_until_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()
    asked = []

    def silent(host: str, *_: object, flags: int = 0, **__: object) -> list[object]:
        if not flags:
            asked.append(host)
            over.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "late")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    with connected("http://shop.invalid", timeout=DEADLINE) as api:
        began = time.monotonic()
        error = failure(api)
        assert DEADLINE <= time.monotonic() - began < DEADLINE + SLACK
    over.set()
    assert kind_of(error) == "dns"
    assert "the resolver did not answer within 0.4 s" in str(error)
    assert asked == ["shop.invalid"]


def test_a_name_is_looked_up_once_for_the_run(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    look_up = socket.getaddrinfo

    def counted(host: str, port: int, type: int = 0, flags: int = 0) -> list[object]:
        if not flags:
            asked.append(host)
            host = "127.0.0.1"
        return look_up(host, port, type=type, flags=flags)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    server.on("/", answer(b"ok", connection="close"))
    with connected(f"http://shop.invalid:{server.port}") as api:
        threads = [threading.Thread(target=api.get, args=("/",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        api.get("/")
    assert len(server.ledger) == 9
    assert asked == ["shop.invalid"]


@pytest.mark.fault(3)
def test_a_connection_that_never_comes_about_ends_at_the_deadline() -> None:
    with black_hole() as port, connected(f"http://127.0.0.1:{port}", timeout=DEADLINE) as api:
        began = time.monotonic()
        error = failure(api)
        assert DEADLINE <= time.monotonic() - began < DEADLINE + SLACK
        assert isinstance(error, DeadlineExceeded)
        assert str(error) == (
            f"timeout: GET http://127.0.0.1:{port}/: no complete response within 0.4 s: "
            f"127.0.0.1:{port} did not accept the connection. Find out why it takes so long, or "
            "raise `timeout` of the target."
        )


@pytest.mark.fault(3)
def test_a_handshake_that_never_ends_ends_at_the_deadline() -> None:
    with mute_port() as port, connected(f"https://127.0.0.1:{port}", timeout=DEADLINE) as api:
        began = time.monotonic()
        error = failure(api)
        assert DEADLINE <= time.monotonic() - began < DEADLINE + SLACK
        assert kind_of(error) == "timeout"
        assert "did not finish the TLS handshake" in str(error)


# --- TLS ----------------------------------------------------------------------------------


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_bundle(tmp_path: Path) -> str:
    authority().cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def tls(*names: str, **options: datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*names, **options).configure_cert(context)
    return context


def old_tls() -> ssl.SSLContext:
    context = tls("127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def test_a_trusted_certificate_connects_and_can_be_looked_at(ca_bundle: str) -> None:
    with FaultyServer(tls=tls("127.0.0.1")) as server:
        server.on("/", answer(b"ok", connection="close"))
        with connected(server.url, ca_bundle=ca_bundle) as api:
            response = api.get("/")
            stream = response.extensions["network_stream"]
            chain = stream.get_extra_info("certificates")
    assert response.text == "ok"
    assert [one.role for one in chain.certificates] == ["leaf", "root"]


def yesterday() -> ssl.SSLContext:
    now = datetime.now(UTC)
    return tls("127.0.0.1", not_before=now - timedelta(9), not_after=now - timedelta(1))


@pytest.mark.fault(4)
@pytest.mark.parametrize(
    ("make", "trusted", "facts", "way_out"),
    [
        (lambda: tls("127.0.0.1"), False, "unable to get local issuer", "Set `ca_bundle` of the"),
        (yesterday, True, "certificate has expired", "Renew the certificate"),
        (lambda: tls("localhost"), True, "IP address mismatch", "Set base_url to a host name that"),
        (old_tls, True, "the TLS handshake failed: ", "speaks TLS 1.2 or newer"),
    ],
    ids=["unknown issuer", "expired", "wrong name", "old protocol"],
)
def test_a_certificate_that_proves_nothing_is_refused(
    make: "functools.partial[ssl.SSLContext]",
    trusted: bool,
    facts: str,
    way_out: str,
    ca_bundle: str,
) -> None:
    with FaultyServer(tls=make()) as server:
        settings = {"ca_bundle": ca_bundle} if trusted else {}
        with connected(server.url, **settings) as api:
            error = failure(api)
        assert server.ledger == []
    assert isinstance(error, TlsRefused)
    assert str(error).startswith(f"tls: GET {server.url}/: ")
    assert facts in str(error)
    assert way_out in str(error)


@pytest.mark.fault(4)
def test_a_port_without_tls_is_told_as_such() -> None:
    with curt_port(head(400)) as port, connected(f"https://127.0.0.1:{port}") as api:
        error = failure(api)
    assert kind_of(error) == "tls"
    assert "Check that this port speaks TLS 1.2 or newer." in str(error)


@pytest.mark.fault(4)
def test_verification_cannot_be_switched_off(tmp_path: Path) -> None:
    target = Target(name="t", base_url="https://127.0.0.1:1")
    with Throttle(tmp_path / "throttle", rate=None, budget=1) as throttle:
        transport = LiveTransport(target, throttle)
        with pytest.raises(TypeError, match="unexpected keyword argument 'verify'"):
            LiveClient(target, transport, verify=False)  # type: ignore[call-arg]
        context = transport._tls_context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


@pytest.mark.fault(30)
def test_the_environment_names_neither_proxy_nor_certificates_nor_passwords(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: FaultyServer, ca_bundle: str
) -> None:
    """The trap proxy sees nothing, the header stays what it was, TLS trusts nobody new."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password of-netrc\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, ca_bundle)
    with FaultyServer() as trap, FaultyServer(tls=tls("127.0.0.1")) as secure:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, trap.url)
            monkeypatch.setenv(name.upper(), trap.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        server.on("/", answer(b"straight"))
        token = Secret("Bearer from-the-configuration", "Bearer ${TOKEN}")
        with connected(server.url, headers={"Authorization": token}) as api:
            assert api.get("/").text == "straight"
        with connected(secure.url) as api:
            assert kind_of(failure(api)) == "tls"
        assert trap.connections == 0
    assert server.ledger[0].headers["authorization"] == "Bearer from-the-configuration"


def test_a_configured_proxy_is_used(server: FaultyServer) -> None:
    server.on("*", answer(b"by proxy"))
    proxy = Secret(f"http://user:word@127.0.0.1:{server.port}", "${PROXY}")
    with connected("http://shop.invalid", proxy=proxy) as api:
        assert api.get("/a").text == "by proxy"
    assert server.ledger[0].target == "http://shop.invalid/a"
    assert server.ledger[0].headers["proxy-authorization"] == "Basic dXNlcjp3b3Jk"


def test_a_proxy_that_opens_no_way_is_told(server: FaultyServer) -> None:
    server.on("*", answer(b"", 407))
    with connected("https://shop.invalid", proxy=server.url) as api:
        error = failure(api)
    assert kind_of(error) == "connect"
    assert str(error).endswith(
        f"the proxy 127.0.0.1:{server.port} did not connect to the target: 407 Whatever. "
        "Check `proxy` of the target."
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"proxy": "socks5://127.0.0.1:1"},
            "proxy of target t is not an http:// URL. Write http://HOST:PORT; an https or SOCKS "
            "proxy is not supported.",
        ),
        (
            {"ca_bundle": "/nowhere/ca.pem"},
            "ca_bundle '/nowhere/ca.pem' cannot be used: No such file or directory. Name a PEM "
            "file of certificates, or a folder of them made by `openssl rehash`.",
        ),
        (
            {"headers": {"X-Key": Secret("hidden\n", "${KEY}")}},
            "header X-Key of target t: its value is empty or has characters that HTTP does not "
            "allow there. Look for a line break or a blank at its end, perhaps in the environment "
            "variable.",
        ),
    ],
    ids=["proxy", "ca_bundle", "header"],
)
def test_settings_that_cannot_work_are_refused_before_the_first_request(
    settings: dict[str, object], told: str
) -> None:
    with (
        pytest.raises(UsageError) as refused,
        connected("https://127.0.0.1:1", **settings),
    ):
        pass
    assert str(refused.value) == told


# --- time ---------------------------------------------------------------------------------


@pytest.mark.fault(5, 6, 20)
@pytest.mark.parametrize(
    ("behaviour", "facts"),
    [
        (drip_head(0.02), "the header did not end ("),
        (drip_body(0.02), "but the body did not end ("),
        (silence(), "the request was sent, but no response came"),
        (endless(b"", before=head(200, content_length=9)), "but the body did not end ("),
    ],
    ids=["dripped header", "dripped body", "silence", "body that never comes"],
)
def test_what_never_ends_ends_at_the_deadline(
    server: FaultyServer, behaviour: Behaviour, facts: str
) -> None:
    server.on("/", behaviour)
    with connected(server.url, timeout=DEADLINE) as api:
        began = time.monotonic()
        error = failure(api)
        assert DEADLINE <= time.monotonic() - began < DEADLINE + SLACK
        assert api.exchanges[0].elapsed_ms == pytest.approx(DEADLINE * 1000, abs=SLACK * 1000)
    assert isinstance(error, DeadlineExceeded)
    assert str(error).startswith(f"timeout: GET {server.url}/: no complete response within 0.4 s: ")
    assert facts in str(error)


@pytest.mark.fault(6)
def test_a_flood_ends_at_the_deadline_too(server: FaultyServer) -> None:
    """Where no single wait is long, only the deadline shows it."""
    server.on("/", endless_chunks(1000))
    with connected(server.url, timeout=0.2, max_body=10**12) as api:
        began = time.monotonic()
        assert isinstance(failure(api), DeadlineExceeded)
        assert time.monotonic() - began < 0.2 + SLACK


def test_a_request_that_is_not_read_ends_at_the_deadline() -> None:
    with mute_port() as port, connected(f"http://127.0.0.1:{port}", timeout=DEADLINE) as api:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="the target did not read the whole request"):
            api.post("/", content=bytes(50_000_000))
        assert time.monotonic() - began < DEADLINE + SLACK


def test_a_timeout_given_with_a_request_is_for_the_whole_of_it(server: FaultyServer) -> None:
    server.on("/", drip_body(0.02))
    server.on("/slow", delayed(0.5, answer(b"late")))
    with connected(server.url, timeout=0.3) as api:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
            api.get("/", timeout=0.1)
        assert time.monotonic() - began < 0.1 + SLACK
        assert api.get("/slow", timeout=3).text == "late"
        with pytest.raises(DeadlineExceeded, match=r"within 0\.3 s"):
            api.get("/", timeout=None)


@pytest.mark.fault(14)
def test_slow_but_valid_is_an_answer_with_its_time(server: FaultyServer) -> None:
    server.on("/", delayed(0.2, json_answer({"status": "healthy"})))
    with connected(server.url) as api:
        response = api.get("/")
        assert response.json() == {"status": "healthy"}
        assert 0.2 <= response.elapsed.total_seconds() < 0.2 + SLACK
        exchange = api.exchanges[0]
        assert exchange.elapsed_ms == pytest.approx(response.elapsed.total_seconds() * 1000, abs=1)


# --- broken connections -------------------------------------------------------------------


@pytest.mark.fault(7, 22)
@pytest.mark.parametrize(
    ("behaviour", "facts"),
    [
        (
            reset(head(200, content_length=100) + b"abc"),
            "connection reset by peer after status 200",
        ),
        (raw(head(200, content_length=100) + b"abc"), "the connection was closed after status 200"),
        (raw(head(200, transfer_encoding="chunked") + b"5\r\nab"), "before the body was complete"),
        (raw(b"HTTP/1.1 200 OK\r\nserver: x"), "after 26 bytes, before the header was complete"),
        (hang_up(), "the connection was closed without a response from 127.0.0.1:"),
        (reset(), "connection reset by peer without a response from 127.0.0.1:"),
    ],
    ids=["reset", "short", "short chunk", "half a header", "empty reply", "reset at once"],
)
def test_an_answer_that_breaks_off_is_a_transport_failure(
    server: FaultyServer, behaviour: Behaviour, facts: str
) -> None:
    server.on("/", behaviour)
    with connected(server.url) as api:
        error = failure(api)
    assert kind_of(error) == "transport"
    assert facts in str(error)
    assert str(error).endswith("Look in the target's log for a crash or a restart at this time.")
    assert len(server.ledger) == 1, "it was sent once more, and the fault hidden"


@pytest.mark.fault(22)
def test_the_end_of_the_connection_may_end_a_body(server: FaultyServer) -> None:
    """HTTP/1.0, or no length at all: complete as far as HTTP goes; only its JSON can tell."""
    server.on("/whole", raw(b"HTTP/1.0 200 OK\r\n\r\n" + b'{"status": "healthy"}'))
    server.on("/cut", raw(b'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{"status": "heal'))
    with connected(server.url) as api:
        assert strict_json(api.get("/whole").content) == {"status": "healthy"}
        with pytest.raises(BadJson, match="Unterminated string"):
            strict_json(api.get("/cut").content)


@pytest.mark.fault(8)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("end", [hang_up(), reset()], ids=["closed", "reset"])
def test_a_stale_connection_is_replaced_once_and_that_is_recorded(
    server: FaultyServer, method: str, end: Behaviour
) -> None:
    server.on("/", answer(b"one"), end, answer(b"two"))
    with connected(server.url) as api:
        assert api.request(method, "/").status_code == 200
        assert api.request(method, "/").status_code == 200
        assert [exchange.retried for exchange in api.exchanges] == [False, True]
    assert [seen.connection for seen in server.ledger] == [1, 1, 2]


@pytest.mark.fault(8)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_never_sent_twice(server: FaultyServer, method: str) -> None:
    server.on("/", answer(b"one"), hang_up(), answer(b"two"))
    with connected(server.url) as api:
        api.get("/")
        assert kind_of(failure(api, method=method)) == "transport"
        assert not api.exchanges[-1].retried
    assert [seen.method for seen in server.ledger] == ["GET", method]


@pytest.mark.fault(8)
def test_the_second_sending_is_the_last_one(server: FaultyServer) -> None:
    server.on("/", answer(b"one"), hang_up(), hang_up(), answer(b"never"))
    with connected(server.url) as api:
        api.get("/")
        assert kind_of(failure(api)) == "transport"
        assert api.exchanges[-1].retried
    assert len(server.ledger) == 3


@pytest.mark.fault(8)
def test_a_connection_that_died_in_mid_answer_is_no_stale_one(server: FaultyServer) -> None:
    server.on("/", answer(b"one"), raw(head(200, content_length=9) + b"x"), answer(b"two"))
    with connected(server.url) as api:
        api.get("/")
        assert kind_of(failure(api)) == "transport"
    assert len(server.ledger) == 2


@pytest.mark.fault(8, 91)
def test_a_second_sending_counts_and_does_not_pass_the_budget(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.on("/", answer(b"one"), hang_up(), answer(b"two"))
    with Throttle(tmp_path / "throttle", rate=None, budget=2) as throttle:
        with connected(server.url, throttle=throttle) as api:
            api.get("/")
            assert kind_of(failure(api)) == "transport"
            with pytest.raises(BudgetExhausted):
                api.get("/")
        assert throttle.sent == 2
    assert len(server.ledger) == 2


# --- size ---------------------------------------------------------------------------------


# Asks for each path in a process of its own, whose peak memory nothing else has raised before.
MEASURED = """
import resource, sys
from tests.connection import connected
from pytest_prodcheck.http.client import httpx, kind_of
url, *paths = sys.argv[1:]
unit = 1 if sys.platform == "darwin" else 1024
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
with connected(url) as api:
    api.get("/ok")
    before = peak()
    for path in paths:
        try:
            api.get(path)
        except httpx.RequestError as error:
            print(kind_of(error), str(error).partition(": the ")[2])
    print((peak() - before) // 1_000_000)
"""


@pytest.mark.fault(15, 16)
def test_bodies_without_end_and_bombs_stop_at_the_cap_in_little_memory(
    server: FaultyServer,
) -> None:
    server.on("/ok", answer(b"ok"))
    server.on("/declared", endless(bytes(65536), before=head(200, content_length=2 * 10**9)))
    server.on("/chunked", endless_chunks())
    server.on("/until-close", endless(bytes(65536), before=head(200, connection="close")))
    for encoding in ("gzip", "deflate", "raw"):
        server.on(f"/{encoding}", bomb(encoding, megabytes=200))
    paths = ["/declared", "/chunked", "/until-close", "/gzip", "/deflate", "/raw"]
    child = subprocess.run(
        [sys.executable, "-c", MEASURED, server.url, *paths],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *told, grown = child.stdout.splitlines()
    way_out = "Request less, or raise `max_body` of the target."
    assert told == [
        *[f"body response is larger than 8388608 bytes. {way_out}"] * 3,
        *[f"body response is larger than 8388608 bytes when decoded. {way_out}"] * 3,
    ]
    assert int(grown) < 64


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
def test_a_bomb_below_the_cap_is_an_ordinary_answer(server: FaultyServer, encoding: str) -> None:
    server.on("/", bomb(encoding, megabytes=2))
    with connected(server.url) as api:
        assert api.get("/").content == bytes(2_000_000)


@pytest.mark.fault(15)
def test_a_body_that_is_announced_too_large_is_not_waited_for(server: FaultyServer) -> None:
    server.on("/", raw(head(200, content_length=2 * 10**9) + b"x"))
    with connected(server.url) as api:
        assert isinstance(failure(api), BodyTooLarge)


@pytest.mark.fault(15)
def test_the_cap_is_exact(server: FaultyServer) -> None:
    server.on("/fits", answer(bytes(5000)))
    server.on("/over", answer(bytes(5001)))
    server.on("/head", answer(bytes(5001)))
    with connected(server.url, max_body=5000) as api:
        assert len(api.get("/fits").content) == 5000
        assert isinstance(failure(api, "/over"), BodyTooLarge)
        assert api.head("/head").headers["content-length"] == "5001"


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_answer_is_read_as_httpx_reads_it(
    server: FaultyServer, encoding: str, compress: "functools.partial[bytes]"
) -> None:
    text = '{"text": "' + "ä" * 4000 + '"}'
    server.on(
        "/",
        answer(compress(text.encode()), content_encoding=encoding, content_type="application/json"),
    )
    with connected(server.url) as api:
        response = api.get("/")
        assert response.json() == {"text": "ä" * 4000}
        assert response.text == text
        assert response.headers["content-encoding"] == encoding
        assert api.exchanges[0].size == len(text.encode())
        assert api.exchanges[0].body == text[:2000]
    assert server.ledger[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("x-gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("GZip", gzip.compress),
        ("identity, x-gzip", gzip.compress),
        (" gzip ,, identity", gzip.compress),
        ("Deflate", zlib.compress),
        ("identity", bytes),
        ("Identity,identity", bytes),
        ("", bytes),
        (" , ", bytes),
    ],
)
def test_a_coding_is_read_however_it_is_spelled(
    server: FaultyServer, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """RFC 9110, 8.4: small or large letters, a list, and x-gzip for gzip."""
    server.on("/", answer(compress(b'{"ok": true}'), content_encoding=encoding))
    server.on("/empty", answer(b"", 204, content_encoding=encoding))
    with connected(server.url) as api:
        assert api.get("/").json() == {"ok": True}
        assert api.exchanges[0].size == 12
        assert api.get("/empty").content == b""
        assert api.head("/").content == b""


@pytest.mark.fault(16)
@pytest.mark.parametrize(
    ("encoding", "used"),
    [
        ("br", "br"),
        ("zstd", "zstd"),
        ("x-compress", "compress"),
        ("gzip, x-gzip", "2 encodings on top of each other (gzip, gzip)"),
        ("gzip, gzip", "2 encodings on top of each other (gzip, gzip)"),
        (", ".join(["gzip"] * 100), "100 encodings on top of each other (gzip, gzip, gzip)"),
    ],
)
def test_an_encoding_that_was_not_accepted_is_named(
    server: FaultyServer, encoding: str, used: str
) -> None:
    server.on("/", answer(gzip.compress(gzip.compress(b"x")), content_encoding=encoding))
    with connected(server.url) as api:
        error = failure(api)
    assert isinstance(error, UnknownEncoding)
    assert str(error) == (
        f"protocol: GET {server.url}/: the response is encoded with {used}, but only gzip or "
        "deflate was accepted. Make the server obey Accept-Encoding."
    )


@pytest.mark.fault(16)
def test_a_body_that_is_not_what_its_encoding_says_is_told(server: FaultyServer) -> None:
    server.on("/", answer(b"plain", content_encoding="gzip"))
    server.on("/cut", answer(gzip.compress(b"some text")[:-4], content_encoding="gzip"))
    server.on("/empty", answer(b"", content_encoding="gzip"))
    with connected(server.url) as api:
        error = failure(api)
        assert "cannot be decoded: its gzip data ends early." in str(failure(api, "/cut"))
        assert api.get("/empty").content == b""
        assert api.head("/").status_code == 200
    assert kind_of(error) == "body"
    assert str(error) == (
        f"body: GET {server.url}/: the response cannot be decoded: it is not valid gzip data. "
        "Look at the server's compression, or at a proxy in front of it."
    )


# --- protocol -----------------------------------------------------------------------------

LARGE = b"HTTP/1.1 200 OK\r\nx-large: " + b"a" * 200_000 + b"\r\n\r\n"
MANY = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(10_000)) + b"\r\n"
MANY_SHORT = b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 10_000 + b"\r\n"
TWO_WAYS = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.fault(17, 20, 21)
@pytest.mark.parametrize(
    ("sent", "facts"),
    [
        (LARGE, "the response's header is larger than 65536 bytes."),
        (MANY, "the response's header is larger than 65536 bytes."),
        (MANY_SHORT, "the response has 10000 header lines, and at most 256 are read."),
        (b"HTTP/1.1 200 OK\r\nx-nul: a\0b\r\n\r\n", "the response breaks HTTP/1.1: illegal header"),
        (b"HTTP/1.1 200 OK\r\nx-cr: a\rb\r\n\r\n", "the response breaks HTTP/1.1: illegal header"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "the response breaks HTTP/1.1: illegal header"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "is not HTTP/1.1; it begins with b'SSH-2.0-OpenSSH_9.6"),
        (b"<html>HTTP/0.9</html>", "is not HTTP/1.1; it begins with b'<html>HTTP/0.9</html>'."),
        (bytes(range(200, 256)) * 9, "is not HTTP/1.1; it begins with b'\\xc8\\xc9"),
        (TWO_WAYS + b"3\r\nabc\r\n0\r\n\r\n", "has both Content-Length and Transfer-Encoding"),
        (head(200, content_length=3)[:-2] + b"Content-Length: 4\r\n\r\nabcd", "conflicting"),
        (head(200, content_length=3)[:-2] + b"Content-Length: 3\r\n\r\nabc", "has more than one"),
        (head(200, content_length="3, 3") + b"abc", "has more than one Content-Length"),
        (head(200, content_length=-3) + b"abc", "bad Content-Length"),
        (head(200, content_length="9" * 30) + b"abc", "bad Content-Length"),
        (head(200, transfer_encoding="chunked") + b"zz\r\n", "illegal chunk header"),
    ],
    ids=[
        "large header",
        "many headers",
        "many short headers",
        "NUL",
        "CR",
        "no colon",
        "SSH",
        "HTTP/0.9",
        "binary",
        "CL and TE",
        "two CLs",
        "the same CL twice",
        "CL list",
        "negative CL",
        "huge CL",
        "bad chunk",
    ],
)
def test_what_is_not_http_is_a_protocol_failure(
    server: FaultyServer, sent: bytes, facts: str
) -> None:
    server.on("/", raw(sent))
    with connected(server.url, timeout=3) as api:
        error = failure(api)
    assert kind_of(error) == "protocol"
    assert isinstance(error, httpx.RemoteProtocolError)
    assert str(error).startswith(f"protocol: GET {server.url}/: the response")
    assert facts in str(error)


@pytest.mark.fault(20)
def test_interim_answers_without_end_are_a_protocol_failure(server: FaultyServer) -> None:
    server.on("/", endless(b"HTTP/1.1 102 Processing\r\n\r\n" * 20))
    with connected(server.url, timeout=3) as api:
        assert kind_of(failure(api)) == "protocol"


def test_interim_answers_before_an_answer_are_skipped(server: FaultyServer) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"
    server.on("/", raw(hint * 2 + head(200, content_length=2) + b"ok"))
    with connected(server.url) as api:
        assert api.get("/").text == "ok"


@pytest.mark.fault(20)
def test_an_answer_before_the_request_was_read_is_taken() -> None:
    """A server may refuse a large upload early and close; its reason is the answer."""

    says = head(413, content_length=9, connection="close") + b"too large"
    with curt_port(says) as port, connected(f"http://127.0.0.1:{port}") as api:
        response = api.post("/", content=b"x" * 100_000)
    assert (response.status_code, response.text) == (413, "too large")


def test_a_header_of_ours_that_is_no_http_is_refused_without_showing_it(
    server: FaultyServer,
) -> None:
    with connected(server.url) as api:
        with pytest.raises(httpx.LocalProtocolError) as refused:
            api.get("/", headers={"X-Key": "hidden\nX-Other: 1"})
        assert str(refused.value) == (
            f"protocol: GET {server.url}/: the request itself is not valid HTTP. Look for a "
            "line break or another control character in its headers."
        )
    assert server.ledger == []


# --- the run's limits ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "behaviour"),
    [(200, drip_body(0.02)), (None, raw(b"SSH-2.0\r\n"))],
    ids=["half an answer", "garbage"],
)
def test_whoever_says_anything_is_not_silent(
    server: FaultyServer, tmp_path: Path, status: int | None, behaviour: Behaviour
) -> None:
    """The breaker is for a target that is gone, not for one that answers badly."""
    server.on("/", behaviour)
    with Throttle(tmp_path / "throttle", rate=None, budget=9) as throttle:
        with connected(server.url, throttle=throttle, timeout=0.1) as api:
            for _ in range(4):
                failure(api)
        assert throttle.down is None


@pytest.mark.fault(12)
def test_ten_errors_in_a_row_end_the_run(server: FaultyServer) -> None:
    server.on("/", answer(b"no", 503))
    with connected(server.url) as api:
        for _ in range(10):
            assert api.get("/").status_code == 503
        with pytest.raises(NotAsked, match="target down: 10 responses in a row were 5xx"):
            api.get("/")
        assert api.exchanges[-1].kind == "withheld"
    assert len(server.ledger) == 10


def test_waiting_for_a_turn_is_no_time_of_the_request(server: FaultyServer, tmp_path: Path) -> None:
    """Neither the rate nor the concurrency makes an answer look slow, or end at its deadline."""
    server.on("/", delayed(0.1, answer(b"ok")))
    with (
        Throttle(tmp_path / "throttle", rate=20, budget=99) as throttle,
        connected(server.url, throttle=throttle, concurrency=2, timeout=30) as api,
    ):
        times = []
        began = time.monotonic()

        def ask() -> None:
            times.append(api.get("/").elapsed.total_seconds())

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        took = time.monotonic() - began
    assert len(times) == 12
    # Two are under way at once; with the wait for a turn it would be about six times as much.
    assert sum(times) <= 2 * took
    assert server.connections <= 2


def test_only_web_addresses_are_asked(server: FaultyServer) -> None:
    with connected(server.url) as api:
        assert kind_of(failure(api, "ftp://127.0.0.1/x")) == "withheld"
        assert api.exchanges[0].error == (
            "withheld: GET ftp://127.0.0.1/x: only http and https requests are sent. Request a "
            "path below base_url."
        )


def test_connections_are_kept_and_shared_by_threads(server: FaultyServer) -> None:
    server.on("/", answer(b"ok"))
    with connected(server.url, concurrency=4) as api:
        threads = [
            threading.Thread(target=lambda: [api.get("/") for _ in range(25)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert {exchange.status for exchange in api.exchanges} == {200}
    assert len(server.ledger) == 200
    assert server.connections <= 4


def test_no_tls_context_is_made_for_plain_http(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(_: object) -> ssl.SSLContext:
        raise AssertionError("a TLS context was made")

    monkeypatch.setattr(module, "tls_context", made)
    server.on("/", answer(b"ok"))
    with connected(server.url) as api:
        assert api.get("/").text == "ok"
