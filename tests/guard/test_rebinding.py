"""A name that changes its mind: a run stays with the addresses that it has found first.

The resolver is `socket.getaddrinfo` of this process, as the operating system's own would answer;
connections are real, on addresses of the loopback network.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from tests.connection import connected
from tests.faulty import FaultyServer, answer

HERE, ELSEWHERE, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.3"
Resolve = Callable[..., list[Any]]


def by_turns(*found: Sequence[str], asked: list[str]) -> Resolve:
    """A resolver that answers with other addresses each time, and in the end with the last."""
    look_up = socket.getaddrinfo

    def resolve(host: str, port: int, *_: Any, flags: int = 0, **options: Any) -> list[Any]:
        if flags or not host.endswith(".test"):
            return look_up(host, port, flags=flags, **options)
        addresses = found[min(len(asked), len(found) - 1)]
        asked.append(host)
        return [
            entry
            for address in addresses
            for entry in look_up(address, port, type=socket.SOCK_STREAM)
        ]

    return resolve


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as served:
        yield served


@pytest.fixture
def elsewhere(server: FaultyServer) -> Iterator[socket.socket]:
    """Whoever listens where the name points to later, on the port of the target."""
    with socket.socket() as listener:
        listener.bind((ELSEWHERE, server.port))
        listener.listen()
        listener.setblocking(False)
        yield listener


def reached(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.mark.fault(88)
@pytest.mark.parametrize(
    "later",
    [[ELSEWHERE], [ELSEWHERE, HERE], [HERE, ELSEWHERE], ["169.254.169.254"], ["::1"]],
    ids=["another", "another first", "another second", "metadata", "AAAA"],
)
def test_a_name_that_points_elsewhere_later_is_not_followed(
    server: FaultyServer, elsewhere: socket.socket, monkeypatch, later: list[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", by_turns([HERE], later, asked=asked))
    server.on("/", answer(b"ok", connection="close"))
    with connected(f"http://shop.test:{server.port}") as api:
        for _ in range(3):
            assert api.get("/").content == b"ok"
    assert len(server.ledger) == 3
    assert asked == ["shop.test"]
    assert not reached(elsewhere)


@pytest.mark.fault(88)
def test_a_target_that_is_gone_is_not_looked_for_elsewhere(
    elsewhere: socket.socket, server: FaultyServer, monkeypatch
) -> None:
    """The attack itself: the first address stops to answer, and the name moves on."""
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", by_turns([NOBODY], [ELSEWHERE], asked=asked))
    with connected(f"http://shop.test:{server.port}") as api:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                api.get("/")
    assert asked == ["shop.test"]
    assert not reached(elsewhere)


@pytest.mark.fault(88)
@pytest.mark.parametrize(
    "addresses", [[NOBODY, HERE], ["::1", HERE], [HERE, NOBODY]], ids=["A", "AAAA", "first"]
)
def test_a_second_address_of_the_first_answer_serves_where_the_first_is_dead(
    server: FaultyServer, monkeypatch, addresses: list[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", by_turns(addresses, asked=asked))
    server.on("/", answer(b"ok"))
    with connected(f"http://shop.test:{server.port}") as api:
        assert api.get("/").content == b"ok"


@pytest.mark.fault(88)
def test_a_canonical_name_is_not_asked_for_in_its_place(server: FaultyServer, monkeypatch) -> None:
    """What a CNAME leads to is the resolver's matter: Host and requests keep the target's name."""
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", by_turns([HERE], asked=asked))
    server.on("/", answer(b"ok"))
    with connected(f"http://shop.test:{server.port}") as api:
        api.get("/")
    (seen,) = server.ledger
    assert dict(seen.headers)["host"] == f"shop.test:{server.port}"
