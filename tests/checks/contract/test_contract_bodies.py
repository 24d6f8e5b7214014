"""Answers that have no body by RFC 9110 are not judged by what the document says of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_prodcheck.checks.contract.schemathesis_adapter import Effort, SchemathesisAdapter
from pytest_prodcheck.checks.openapi.operations import operations
from pytest_prodcheck.config import Target
from tests.connection import connected
from tests.faulty import Behaviour, FaultyServer, answer, json_answer

THING = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
TYPED = {"description": "d", "content": {"application/json": {"schema": THING}}}


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


def checks_broken(
    server: FaultyServer, folder: Path, method: str, status: str, behaviour: Behaviour
) -> list[str]:
    server.on("/last", behaviour)
    spec: dict[str, Any] = {
        "openapi": "3.0.1",
        "info": {"title": "t", "version": "1"},
        "paths": {"/last": {method: {"responses": {status: TYPED}}}},
    }
    target = Target(name="t", base_url=server.url)
    (operation,) = operations(spec, target)
    effort = Effort(max_examples=1, negative=False, undeclared=False, seed=0)
    adapter = SchemathesisAdapter(spec, frozenset(), effort, folder)
    with connected(server.url) as client:

        def wire(prepared: Any, headers: Any, _without: frozenset[str]) -> httpx.Response:
            return client.send(httpx.Request(prepared.method, prepared.url, headers=dict(headers)))

        case = adapter.sample(operation)
        response = adapter.request(case, operation.base, wire)
        return [one.check for one in adapter.check(case, response, operation.base, {})]


@pytest.mark.parametrize(
    ("method", "status", "behaviour"),
    [
        pytest.param("get", "204", answer(b"", 204), id="204 with a documented type"),
        pytest.param("get", "204", answer(b"", 204, content_type="text/html"), id="204, labelled"),
        pytest.param("get", "2XX", answer(b"", 204), id="204 of a documented range"),
        pytest.param("get", "default", answer(b"", 204), id="204 of default"),
        pytest.param("get", "205", answer(b"", 205), id="205"),
        pytest.param("get", "304", answer(b"", 304), id="304"),
        pytest.param("delete", "204", answer(b"", 204), id="a deletion"),
        pytest.param("head", "200", answer(b"", 200), id="HEAD"),
        pytest.param("head", "404", answer(b"", 404), id="HEAD of nothing"),
        pytest.param("head", "200", json_answer({"m": 1}), id="HEAD with the type of GET"),
        pytest.param("get", "200", json_answer({"n": 1}), id="a body as documented"),
    ],
)
def test_an_answer_that_has_no_body_is_right(
    server: FaultyServer, tmp_path: Path, method: str, status: str, behaviour: Behaviour
) -> None:
    assert checks_broken(server, tmp_path, method, status, behaviour) == []


@pytest.mark.parametrize(
    ("method", "status", "behaviour", "broken"),
    [
        pytest.param("get", "200", answer(b""), "content_type_conformance", id="an empty 200"),
        pytest.param("get", "201", answer(b"", 201), "content_type_conformance", id="an empty 201"),
        pytest.param("get", "404", answer(b"", 404), "content_type_conformance", id="an empty 404"),
        pytest.param("get", "200", answer(b"", content_type="application/json"),
                     "response_schema_conformance", id="an empty 200 that is labelled JSON"),
        pytest.param("get", "200", json_answer({"m": 1}), "response_schema_conformance",
                     id="another body"),
        pytest.param("get", "205", json_answer({"m": 1}, 205), "response_schema_conformance",
                     id="205 with a body"),
        pytest.param("head", "200", answer(b"", content_type="text/html"),
                     "content_type_conformance", id="HEAD of another type"),
        pytest.param("get", "200", answer(b"", 204), "status_code_conformance",
                     id="204 that is not documented"),
    ],
)  # fmt: skip
def test_an_answer_that_lacks_its_body_is_broken(
    server: FaultyServer,
    tmp_path: Path,
    method: str,
    status: str,
    behaviour: Behaviour,
    broken: str,
) -> None:
    assert broken in checks_broken(server, tmp_path, method, status, behaviour)
