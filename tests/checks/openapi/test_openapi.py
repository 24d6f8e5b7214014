"""The probes that an OpenAPI document implies, and what is said when there is none."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_prodcheck.checks.openapi.document import derive, fetch_spec, out_of_reach
from pytest_prodcheck.checks.openapi.operations import operations
from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import BudgetExhausted

OK = {"responses": {"200": {"description": "fine"}}}


def target(**more: Any) -> Target:
    return Target(**{"name": "t", "base_url": "https://api.example.com", **more})


def spec(paths: Any, **more: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": paths, **more}


def derived(document: dict[str, Any], **more: Any) -> list[str]:
    return [probe.path for probe in derive(document, target(**more))]


class Asking:
    """A client that answers with one response, and notes what it was asked."""

    def __init__(self, response: httpx.Response | Exception) -> None:
        self.asked: list[str] = []
        self._response = response

    def get(self, url: str, /) -> httpx.Response:
        self.asked.append(url)
        if isinstance(self._response, Exception):
            raise self._response
        return self._response


def fetched(content: bytes, *, status: int = 200, **more: Any) -> Any:
    client = Asking(httpx.Response(status, content=content))
    return fetch_spec(client, target(openapi="/openapi.json", **more))


# --- which operations


def test_every_get_without_parameters_is_a_probe() -> None:
    document = spec({"/a": {"get": OK, "post": OK}, "/b": {"get": OK}, "/c": {"delete": OK}})
    probes = derive(document, target())
    assert [(probe.method, probe.id, probe.severity) for probe in probes] == [
        ("GET", "GET /a", "major"),
        ("GET", "GET /b", "major"),
    ]


def test_health_is_critical_and_there_without_a_document() -> None:
    (probe,) = derive({}, target(health="/health"))
    assert (probe.id, probe.severity) == ("GET /health", "critical")


def test_health_in_the_document_is_one_probe_and_still_critical() -> None:
    probes = derive(spec({"/a": {"get": OK}, "/health": {"get": OK}}), target(health="/health"))
    assert [(probe.path, probe.severity) for probe in probes] == [
        ("/health", "critical"),
        ("/a", "major"),
    ]


@pytest.mark.parametrize(
    "parameter",
    [
        {"name": "q", "in": "query", "required": True},
        {"name": "X-Tenant", "in": "header", "required": True},
        {"name": "id", "in": "path"},
        {"$ref": "#/components/parameters/Tenant"},
        {"$ref": "#/components/parameters/Missing"},
        {"$ref": "https://elsewhere.example.com/parameters.json"},
        {"$ref": "file:///etc/passwd"},
        "nonsense",
    ],
)
@pytest.mark.parametrize("level", ["operation", "path"])
def test_what_may_need_a_parameter_is_left_out(parameter: Any, level: str) -> None:
    tenant = {"name": "X-Tenant", "in": "header", "required": True}
    operation = {**OK, "parameters": [parameter]} if level == "operation" else OK
    item = {"get": operation} | ({"parameters": [parameter]} if level == "path" else {})
    document = spec({"/a": item}, components={"parameters": {"Tenant": tenant}})
    assert derived(document) == []


def test_optional_parameters_need_not_be_given() -> None:
    optional = [{"name": "q", "in": "query"}, {"name": "l", "in": "query", "required": False}]
    assert derived(spec({"/a": {"get": {**OK, "parameters": optional}}})) == ["/a"]


def test_an_operation_can_make_a_parameter_of_its_path_optional() -> None:
    item = {
        "parameters": [{"name": "q", "in": "query", "required": True}],
        "get": {**OK, "parameters": [{"name": "q", "in": "query", "required": False}]},
    }
    assert derived(spec({"/a": item})) == ["/a"]


def test_a_required_body_is_left_out() -> None:
    assert derived(spec({"/a": {"get": {**OK, "requestBody": {"required": True}}}})) == []
    body = {"name": "b", "in": "body", "required": True}
    document = {"swagger": "2.0", "paths": {"/a": {"get": {**OK, "parameters": [body]}}}}
    assert derived(document) == []


@pytest.mark.parametrize("path", ["/a/{id}", "relative", "//elsewhere.example.com/a", ""])
def test_paths_that_are_none_are_left_out(path: str) -> None:
    assert derived(spec({path: {"get": OK}})) == []


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/logout", {}),
        ("/auth/Sign-Out", {}),
        ("/cookies/delete", {}),
        ("/run", {"x-mutating": True}),
        ("/run", {"tags": ["x-mutating"]}),
    ],
)
def test_a_get_that_does_something_is_never_sent(path: str, operation: dict[str, Any]) -> None:
    assert derived(spec({path: {"get": {**OK, **operation}}})) == []


def test_endless_streams_are_left_out() -> None:
    responses = {"200": {"content": {"text/event-stream": {}}}}
    assert derived(spec({"/events": {"get": {"responses": responses}}})) == []


def test_what_needs_credentials_is_left_out_without_any() -> None:
    closed = {"get": {**OK, "security": [{"key": []}]}}
    optional = {"get": {**OK, "security": [{"key": []}, {}]}}
    public = {"get": {**OK, "security": []}}
    document = spec({"/c": closed, "/o": optional, "/p": public, "/d": {"get": OK}})
    document["security"] = [{"key": []}]
    assert derived(document) == ["/o", "/p"]
    assert derived(document, headers={"Authorization": "Bearer x"}) == ["/c", "/o", "/p", "/d"]


@pytest.mark.parametrize(
    "paths", [None, [], "x", {"/a": None}, {"/a": {"get": []}}, {"/a": {"$ref": "other.json"}}]
)
def test_odd_documents_give_no_probe_and_no_exception(paths: Any) -> None:
    assert derived(spec(paths)) == []


def test_references_in_a_circle_end() -> None:
    item = {"get": {**OK, "parameters": [{"$ref": "#/components/parameters/A"}]}}
    circle = {
        "A": {"$ref": "#/components/parameters/B"},
        "B": {"$ref": "#/components/parameters/A"},
    }
    assert derived(spec({"/a": item}, components={"parameters": circle})) == []


# --- where they are


@pytest.mark.parametrize(
    ("servers", "base_url", "path"),
    [
        ([], "https://api.example.com", "/a"),
        ([{"url": "/"}], "https://api.example.com", "/a"),
        ([{"url": "/v1"}], "https://api.example.com", "/v1/a"),
        ([{"url": "/v1/"}], "https://api.example.com", "/v1/a"),
        ([{"url": "/v1"}], "https://api.example.com/v1", "/a"),
        ([{"url": "/"}], "https://api.example.com/v1/", "/a"),
        ([{"url": "./"}], "https://api.example.com/v1", "/a"),
        ([{"url": "."}], "https://api.example.com/v1/", "/a"),
        ([{"url": "v3"}], "https://api.example.com/v1", "/v3/a"),
        ([{"url": "../v1"}], "https://api.example.com/v1", "/a"),
        ([{"url": "/v2"}, {"url": "/v1"}], "https://api.example.com/v1", "/a"),
        ([{"url": "https://api.example.com/v1"}], "https://api.example.com/v1", "/a"),
        ([{"url": "/v1"}], "https://api.example.com/shop/v1", "/a"),
        ([{"url": "http://api.example.com/v2"}], "https://api.example.com/v1", "/a"),
        ([{"url": "v3"}], "https://api.example.com", "/v3/a"),
        ([{"url": "https://API.example.com:443/v1"}], "https://api.example.com", "/v1/a"),
        ([{"url": "https://other.example.com/v1"}], "https://api.example.com", "/a"),
        ([{"url": "//other.example.com/v1"}], "https://api.example.com", "/a"),
        (
            [{"url": "https://other.example.com/x"}, {"url": "https://api.example.com/v1"}],
            "https://api.example.com",
            "/v1/a",
        ),
        (
            [
                {
                    "url": "https://{host}/{v}",
                    "variables": {"host": {"default": "api.example.com"}, "v": {"default": "v9"}},
                }
            ],
            "https://api.example.com",
            "/v9/a",
        ),
        ([{"url": "http://["}], "https://api.example.com", "/a"),
        (["nonsense"], "https://api.example.com", "/a"),
    ],
)
def test_the_base_path_of_a_server_on_the_target_counts(
    servers: Any, base_url: str, path: str
) -> None:
    document = spec({"/a": {"get": OK}}, servers=servers)
    assert derived(document, base_url=base_url, openapi="/openapi.json") == [path]


@pytest.mark.parametrize(
    ("servers", "base_url", "stated"),
    [
        ([{"url": "/shop/v1"}], "https://api.example.com/shop/v2", "/shop/v1"),
        ([{"url": "/shop/v1/"}], "https://api.example.com/shop/v2/", "/shop/v1"),
        ([{"url": "https://api.example.com/v1"}], "https://api.example.com/v2", "/v1"),
        ([{"url": "/v1"}, {"url": "/v3"}], "https://api.example.com/v2", "/v1"),
        ([{"url": "../v1"}], "https://api.example.com/v2", "/v1"),
        ([{"url": "/v"}], "https://api.example.com/v2", "/v"),
        ([{"url": "/2"}], "https://api.example.com/v2", "/2"),
        ([{"url": "/v2"}], "https://api.example.com/v2/shop", "/v2"),
    ],
)
@pytest.mark.parametrize("level", ["operation", "path", "document"])
def test_an_operation_outside_of_base_url_is_not_run_and_both_prefixes_are_named(
    servers: Any, base_url: str, stated: str, level: str
) -> None:
    document = spec({"/a": {"get": dict(OK)}})
    places = {
        "operation": document["paths"]["/a"]["get"],
        "path": document["paths"]["/a"],
        "document": document,
    }
    places[level]["servers"] = servers
    where = target(base_url=base_url, openapi="/openapi.json")
    assert derive(document, where) == ()
    (operation,) = operations(document, where)
    home = base_url.rstrip("/")
    assert operation.obstacle.startswith(
        f"the document puts it under {stated}, and base_url is {home}, "
    )
    assert out_of_reach(document, where) == f"GET /a is not asked: {operation.obstacle}"


@pytest.mark.parametrize(
    ("paths", "servers", "base_url", "expected"),
    [
        (["/api/v1/a", "/api/v1/b"], [], "https://x.example/api/v1", ["/a", "/b"]),
        (["/api/v1/a", "/api/v1"], [{"url": "/"}], "https://x.example/api/v1/", ["/a", "/"]),
        (["/api/v1/a", "/b"], [], "https://x.example/api/v1", ["/api/v1/a", "/b"]),
        (["/api/v10/a"], [], "https://x.example/api/v1", ["/api/v10/a"]),
        (["/v1/a", "/v2/b"], [{"url": "/api"}], "https://x.example/api/v1", ["/a"]),
    ],
)
def test_paths_that_repeat_the_prefix_of_base_url_are_below_it_once(
    paths: list[str], servers: Any, base_url: str, expected: list[str]
) -> None:
    document = spec({path: {"get": OK} for path in paths}, servers=servers)
    assert derived(document, base_url=base_url, openapi="/openapi.json") == expected


@pytest.mark.parametrize("path", ["/../a", "/a/..", "/%2e%2E/a", "/./a", "/a/.?x=1"])
def test_a_path_that_leads_elsewhere_is_left_out(path: str) -> None:
    assert derived(spec({path: {"get": OK}}), base_url="https://api.example.com/v1") == []


@pytest.mark.fault(33)
@pytest.mark.parametrize("level", ["operation", "path"])
@pytest.mark.parametrize("url", ["https://evil.example.com/v1", "//evil.example.com", "http://["])
def test_an_operation_on_another_host_is_left_out(level: str, url: str) -> None:
    servers = {"servers": [{"url": url}]}
    item = {"get": {**OK, **servers}} if level == "operation" else {"get": OK, **servers}
    assert derived(spec({"/a": item})) == []


@pytest.mark.parametrize(
    ("base_path", "path"), [("/v1", "/v1/a"), ("/v1/", "/v1/a"), ("/", "/a"), (None, "/a")]
)
def test_the_base_path_of_swagger_counts(base_path: str | None, path: str) -> None:
    document = {"swagger": "2.0", "paths": {"/a": {"get": OK}}, "basePath": base_path}
    assert derived(document) == [path]


@pytest.mark.parametrize(
    ("base_path", "base_url", "paths"),
    [
        ("/v1", "https://api.example.com/v1", ["/a"]),
        ("/v1/", "https://api.example.com/shop/v1", ["/a"]),
        ("/", "https://api.example.com/shop", ["/a"]),
        ("/shop/v1", "https://api.example.com/shop/v2", []),
    ],
)
def test_the_base_path_of_swagger_lies_under_base_url(
    base_path: str, base_url: str, paths: list[str]
) -> None:
    document = {"swagger": "2.0", "paths": {"/a": {"get": OK}}, "basePath": base_path}
    assert derived(document, base_url=base_url) == paths
    assert bool(out_of_reach(document, target(base_url=base_url))) is (not paths)


# --- what they expect


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (
            {"application/json": {"schema": {"type": "object"}}},
            {"content-type": "application/json"},
        ),
        (
            {"application/hal+json": {"schema": {"$ref": "#/x"}}},
            {"content-type": "application/hal+json"},
        ),
        ({"application/json": {"schema": {}}}, {}),
        ({"application/json": {}}, {}),
        ({"text/html": {"schema": {"type": "string"}}}, {}),
        ({"application/json": {"schema": {"type": "object"}}, "text/csv": {}}, {}),
    ],
)
def test_an_answer_that_is_promised_as_json_must_be_json(
    content: Any, headers: dict[str, str]
) -> None:
    responses = {"200": {"content": content}, "404": {"content": {"text/html": {}}}}
    (probe,) = derive(spec({"/a": {"get": {"responses": responses}}}), target())
    assert probe.headers == headers


@pytest.mark.parametrize("status", ["204", "205", "304"])
@pytest.mark.parametrize("content", [{}, {"content": {"application/json": {"schema": {"x": 1}}}}])
def test_where_an_answer_without_a_body_is_documented_no_type_is_promised(
    status: str, content: Any
) -> None:
    typed = {"content": {"application/json": {"schema": {"type": "object"}}}}
    responses = {"200": typed, status: {"description": "nothing yet", **content}}
    (probe,) = derive(spec({"/a": {"get": {"responses": responses}}}), target())
    assert probe.headers == {}


def test_swagger_promises_by_produces() -> None:
    typed = {"get": {"responses": {"200": {"schema": {"type": "object"}}}}}
    bare = {"get": {"responses": {"200": {}}}}
    document = {
        "swagger": "2.0",
        "produces": ["application/json"],
        "paths": {"/a": typed, "/b": bare},
    }
    assert [probe.headers for probe in derive(document, target())] == [
        {"content-type": "application/json"},
        {},
    ]


# --- fetching


def test_a_document_is_fetched_with_one_get() -> None:
    document = spec({"/a": {"get": OK}})
    client = Asking(httpx.Response(200, json=document))
    assert fetch_spec(client, target(openapi="/openapi.json")) == document
    assert client.asked == ["/openapi.json"]


def test_a_document_is_read_from_a_file(tmp_path: Path) -> None:
    document = spec({"/a": {"get": OK}})
    path = tmp_path / "open api.json"
    path.write_text(json.dumps(document))
    client = Asking(httpx.Response(500))
    assert fetch_spec(client, target(openapi=path.as_uri())) == document
    assert client.asked == []


def test_a_byte_order_mark_does_no_harm() -> None:
    assert fetched(b"\xef\xbb\xbf" + json.dumps(spec({"/a": {"get": OK}})).encode())["paths"]


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the OpenAPI document /openapi.json is empty"),
        (b" \n", "the OpenAPI document /openapi.json is empty"),
        (
            b"<!doctype html><html></html>",
            "the OpenAPI document /openapi.json is a page of HTML or XML, not JSON; "
            "set `openapi` to the document itself, often /openapi.json",
        ),
        (
            b'{"paths": {}}',
            "/openapi.json is not an OpenAPI document: it says neither `openapi` nor `swagger`; "
            "set `openapi` to the document itself",
        ),
        (
            b"[]",
            "/openapi.json is not an OpenAPI document: it says neither `openapi` nor `swagger`; "
            "set `openapi` to the document itself",
        ),
        (
            b'{"openapi": "3.1.0", "paths": {}}',
            "the OpenAPI document /openapi.json has no operations: its `paths` are empty",
        ),
        (
            b'{"openapi": "3.1.0", "openapi": "3.0.0"}',
            "the OpenAPI document /openapi.json is not valid JSON: "
            'the key "openapi" stands twice in one object',
        ),
    ],
)
def test_what_is_no_document_is_a_sentence(content: bytes, message: str) -> None:
    assert fetched(content) == message


@pytest.mark.fault(31)
def test_a_document_that_is_not_there_is_a_sentence() -> None:
    assert fetched(b"{}", status=404) == (
        "the OpenAPI document /openapi.json answers 404; "
        "set `openapi` of the target to where it is, or leave it out"
    )


@pytest.mark.fault(32)
def test_a_path_on_the_target_that_is_a_file_here_is_named_as_one(tmp_path: Path) -> None:
    path = tmp_path / "open api.json"
    path.write_text(json.dumps(spec({"/a": {"get": OK}})))
    client = Asking(httpx.Response(404))
    assert fetch_spec(client, target(openapi=str(path))) == (
        f"the OpenAPI document {path} answers 404; it is a path on the target, and there is a "
        "file of this name on this machine: to read that, write "
        f'openapi = "{path.as_uri()}"'
    )


def test_a_document_that_is_redirected_is_not_followed() -> None:
    assert "answers 302" in fetched(b"", status=302)


@pytest.mark.fault(1)
@pytest.mark.parametrize(
    "failure",
    [httpx.ConnectError("refused"), httpx.InvalidURL("odd"), BudgetExhausted("all used")],
)
def test_a_document_that_cannot_be_read_is_a_sentence(failure: Exception) -> None:
    client = Asking(failure)
    told = fetch_spec(client, target(openapi="/openapi.json"))
    assert isinstance(told, str)
    assert told.startswith("the OpenAPI document /openapi.json ")
    assert told.endswith(str(failure))
    assert len(client.asked) == 1


def test_a_file_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    told = fetch_spec(Asking(httpx.Response(200)), target(openapi=str(tmp_path.name)))
    assert told == (
        f"the OpenAPI document {tmp_path.name} is read as a file: No such file or directory; "
        "a path on the target begins with a slash"
    )


def test_no_document_configured_is_a_sentence() -> None:
    assert fetch_spec(Asking(httpx.Response(200)), target()) == (
        "the target has no `openapi`; set it to a path on the target, a URL or a file"
    )
