"""Values that exist, for parameters that nobody can guess."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pytest_prodcheck.checks.contract.parameter_values import RealValues, values_in
from pytest_prodcheck.checks.openapi.operations import Operation
from pytest_prodcheck.errors import NotAsked

LIST = Operation(id="GET /items", method="GET", path="/items", base="http://t")
ITEM = Operation(id="GET /items/{id}", method="GET", path="/items/{id}", base="http://t")


@pytest.mark.parametrize(
    ("answer", "name", "expected"),
    [
        ([{"id": 1}, {"id": 2}], "id", [1, 2]),
        ([{"id": 1}], "item_id", [1]),
        ([{"id": 1, "sku": "A"}], "sku", ["A"]),
        ([{"itemId": "x"}], "item-id", ["x"]),
        ([{"ITEM_ID": "x", "id": "y"}], "itemId", ["x"]),
        ([{"uuid": "u"}], "id", ["u"]),
        ({"total": 1, "items": [{"id": 7}]}, "id", [7]),
        ({"data": [{"id": 7}]}, "id", [7]),
        ({"tags": ["wrong"], "items": [{"id": 7}]}, "id", [7]),
        (["a", "b"], "name", ["a", "b"]),
        ([{"id": None}, {"id": True}, {"id": ""}, {"id": {"x": 1}}, {"other": 2}], "id", []),
        ([], "id", []),
        ({}, "id", []),
        (None, "id", []),
        ("text", "id", []),
        ([{"id": n} for n in range(100)], "id", list(range(30))),
    ],
)
def test_values_of_a_list(answer: Any, name: str, expected: list[Any]) -> None:
    assert values_in(answer, name, noun="items") == expected


class Client:
    """Answers as told, and counts."""

    def __init__(self, answer: Callable[[str], httpx.Response]) -> None:
        self.asked: list[str] = []
        self.exchanges: list[Any] = []
        self._answer = answer

    def get(self, url: str) -> httpx.Response:
        self.asked.append(url)
        self.exchanges.append(url)
        return self._answer(url)


def listing(*numbers: int) -> Client:
    return Client(lambda _: httpx.Response(200, json=[{"id": n} for n in numbers]))


def real(*, changing: bool = False, **configured: list[Any]) -> RealValues:
    kept: dict[str, Any] = {}

    def once(name: str, make: Callable[[], Any]) -> Any:
        if name not in kept:
            kept[name] = make()
        return kept[name]

    return RealValues(configured, [LIST, ITEM], once, changing=changing)


def test_the_configuration_comes_first_and_asks_nobody() -> None:
    client = listing(1)
    assert real(id=["x"]).of("id", ITEM, client, "path_parameters") == ["x"]
    assert real(q=["x"]).of("q", ITEM, client, "query") == ["x"]
    assert client.asked == []


def test_the_list_is_asked_once_and_its_answer_is_no_evidence() -> None:
    client, values = listing(1, 2), real()
    assert values.of("id", ITEM, client, "path_parameters") == [1, 2]
    assert values.of("id", ITEM, client, "path_parameters") == [1, 2]
    assert client.asked == ["http://t/items"]
    assert client.exchanges == []


def test_what_is_deleted_is_not_what_the_others_ask_for() -> None:
    client, values = listing(1, 2, 3, 4, 5, 6), real(changing=True)
    delete = Operation(id="DELETE /items/{id}", method="DELETE", path="/items/{id}", base="")
    assert values.of("id", ITEM, client, "path_parameters") == [1, 2, 3, 4]
    assert values.of("id", delete, client, "path_parameters") == [5, 6]
    assert len(client.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json=[{"id": 1}]),
        httpx.Response(200, text="<html>"),
        httpx.ConnectError("refused"),
        NotAsked("budget"),
    ],
)
def test_no_list_means_no_values(answer: Any) -> None:
    def answered(_: str) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert list(real().of("id", ITEM, Client(answered), "path_parameters")) == []


@pytest.mark.parametrize(
    ("path", "place"),
    [("/items/{id}", "query"), ("/others/{id}", "path_parameters"), ("/{id}", "path_parameters")],
)
def test_nobody_is_asked_where_there_is_no_list(path: str, place: str) -> None:
    client = listing(1)
    operation = Operation(id=f"GET {path}", method="GET", path=path)
    assert real().of("id", operation, client, place) == ()
    assert client.asked == []
