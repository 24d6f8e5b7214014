"""The operations of a document: ids, what is left out, what cannot be tested."""

import time
from typing import Any

import pytest

from pytest_prodcheck.checks.openapi.operations import (
    LONGEST_ID,
    Operation,
    chosen,
    closed,
    is_switch,
    matches,
    operations,
)
from pytest_prodcheck.config import Drill, Request, Switch, Target

TARGET = Target(name="t", base_url="http://127.0.0.1:9")


def document(*names: str, **more: Any) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for name in names:
        method, _, path = name.partition(" ")
        paths.setdefault(path, {})[method.lower()] = {"responses": {}, **more}
    return {"openapi": "3.1.0", "paths": paths}


def ids(spec: dict[str, Any]) -> list[str]:
    return [one.id for one in operations(spec, TARGET)]


def test_ids_are_sorted_by_path_and_method_whatever_the_order_of_the_document() -> None:
    names = ["POST /b", "GET /b/{id}", "GET /a", "DELETE /b"]
    assert ids(document(*names)) == ["GET /a", "DELETE /b", "POST /b", "GET /b/{id}"]
    assert ids(document(*reversed(names))) == ids(document(*names))


@pytest.mark.fault(41)
@pytest.mark.parametrize("path", ["/a\nb", "/a\0b", "/a\x1b[31mb", "/\u202eab", "/" + "x" * 10_000])
def test_an_id_is_one_printable_line_of_bounded_length(path: str) -> None:
    (name,) = ids(document(f"GET {path}"))
    assert name.isprintable()
    assert len(name) <= LONGEST_ID


@pytest.mark.fault(41)
def test_ids_that_would_be_the_same_are_told_apart() -> None:
    names = ids(document("GET /a\0", "GET /a\1", f"GET /{'x' * 500}a", f"GET /{'x' * 500}b"))
    assert len(set(names)) == 4


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("DELETE /admin/**", ["DELETE /admin/users/{id}"]),
        ("/admin/**", ["DELETE /admin/users/{id}", "GET /admin"]),
        ("* /admin/*/{id}", ["DELETE /admin/users/{id}"]),
        ("GET /admin/*", []),
        ("get /admin", ["GET /admin"]),
        ("beta", ["GET /beta"]),
        ("listBeta", ["GET /beta"]),
        ("bet", []),
        ("/**", ["DELETE /admin/users/{id}", "GET /admin", "GET /beta"]),
    ],
)
def test_what_an_entry_means(entry: str, expected: list[str]) -> None:
    all_ = [
        Operation(id="DELETE /admin/users/{id}", method="DELETE", path="/admin/users/{id}"),
        Operation(id="GET /admin", method="GET", path="/admin"),
        Operation(
            id="GET /beta", method="GET", path="/beta", tags=("beta",), operation_id="listBeta"
        ),
    ]
    assert [one.id for one in all_ if matches(one, entry)] == expected
    assert [one.id for one in chosen(all_, [entry])] == [
        one.id for one in all_ if one.id not in expected
    ]


@pytest.mark.parametrize(
    ("name", "more", "writes"),
    [
        ("GET /a", {}, False),
        ("HEAD /a", {}, False),
        ("OPTIONS /a", {}, False),
        ("POST /a", {}, True),
        ("TRACE /a", {}, True),
        ("GET /logout", {}, True),
        ("GET /a", {"x-mutating": True}, True),
        ("GET /a", {"tags": ["x-mutating"]}, True),
    ],
)
def test_what_writes(name: str, more: dict[str, Any], writes: bool) -> None:
    (one,) = operations(document(name, **more), TARGET)
    assert one.writes is writes


@pytest.mark.fault(33)
@pytest.mark.parametrize("server", ["http://elsewhere.invalid", "//elsewhere.invalid/x"])
def test_an_operation_on_another_host_is_named_and_not_tested(server: str) -> None:
    (one,) = operations(document("GET /a", servers=[{"url": server}]), TARGET)
    assert one.obstacle == "its `servers` name another host, where nothing is sent"


@pytest.mark.fault(34, 35)
@pytest.mark.parametrize("reference", ["file:///etc/passwd", "http://x.invalid/a", "../b.json#/A"])
def test_a_reference_out_of_the_document_stops_those_that_lead_to_it(reference: str) -> None:
    spec = document("GET /inside")
    spec["components"] = {"schemas": {"A": {"items": {"$ref": "#/components/schemas/B"}}}}
    spec["components"]["schemas"]["B"] = {"$ref": reference}
    schema = {"schema": {"$ref": "#/components/schemas/A"}}
    content = {"content": {"application/json": schema}}
    spec["paths"]["/outside"] = {"get": {"responses": {"200": content}}}
    inside, outside = operations(spec, TARGET)
    assert inside.obstacle == ""
    assert reference in outside.obstacle
    assert "bundle the document into one file" in outside.obstacle
    assert reference not in str(closed(spec))


@pytest.mark.fault(34)
def test_examples_that_are_elsewhere_are_dropped() -> None:
    spec = {"examples": {"a": {"externalValue": "http://x.invalid"}, "b": {"value": 1}}}
    assert closed(spec) == {"examples": {"a": {}, "b": {"value": 1}}}
    property_ = {"properties": {"externalValue": {"type": "string"}}}
    assert closed(property_) == property_


@pytest.mark.fault(36)
def test_cycles_and_depth_are_no_trouble() -> None:
    spec = document("GET /a")
    deep: dict[str, Any] = {"$ref": "other.json"}
    for _ in range(900):
        deep = {"items": deep}
    spec["components"] = {"schemas": {"A": {"$ref": "#/components/schemas/A"}, "D": deep}}
    spec["paths"]["/a"]["get"]["responses"]["200"] = {"$ref": "#/components/schemas/A"}
    (one,) = operations(spec, TARGET)
    assert one.obstacle == ""


def test_a_thousand_operations_are_read_in_no_time() -> None:
    spec = document(*(f"GET /items/{n}" for n in range(1000)))
    schemas = {f"S{n}": {"$ref": f"#/components/schemas/S{(n + 1) % 500}"} for n in range(500)}
    spec["components"] = {"schemas": schemas}
    began = time.perf_counter()
    assert len(operations(spec, TARGET)) == 1000
    assert time.perf_counter() - began < 5  # 0.02 s; only against hanging


BEARER = {"type": "http", "scheme": "bearer"}
KEY = {"type": "apiKey", "in": "query", "name": "key"}


@pytest.mark.parametrize(
    ("schemes", "security", "expected"),
    [
        ({"a": BEARER}, [{"a": []}], (("header", "Authorization", "bearer"),)),
        ({"a": KEY}, [{"a": []}], (("query", "key", ""),)),
        ({"a": BEARER, "b": KEY}, [{"a": []}, {"b": []}],
         (("header", "Authorization", "bearer"), ("query", "key", ""))),
        ({"a": {"type": "http", "scheme": "Basic"}}, [{"a": []}],
         (("header", "Authorization", "basic"),)),
        ({"a": {"type": "basic"}}, [{"a": []}], (("header", "Authorization", "basic"),)),
        ({"a": {"type": "openIdConnect"}}, [{"a": []}], (("header", "Authorization", "bearer"),)),
        ({"a": BEARER, "b": {"type": "mutualTLS"}}, [{"a": [], "b": []}],
         (("header", "Authorization", "bearer"),)),
        ({"a": BEARER, "b": {"type": "mutualTLS"}}, [{"a": []}, {"b": []}], ()),
        ({"a": BEARER}, [{"a": []}, {}], ()),
        ({"a": BEARER}, [], ()),
        ({"a": {"type": "mutualTLS"}}, [{"a": []}], ()),
        ({}, [{"a": []}], ()),
        ({"a": {"type": "oauth2"}}, [{"a": ["read"]}],
         (("header", "Authorization", "bearer"),)),
        ([], [{"a": []}], ()),
    ],
)  # fmt: skip
def test_what_an_operation_asks_of_everybody(schemes: Any, security: Any, expected: Any) -> None:
    spec = document("GET /a", security=security)
    spec["components"] = {"securitySchemes": schemes}

    def told(one: Operation) -> Any:
        return tuple((part.place, part.name, part.scheme) for part in one.credentials)

    (one,) = operations(spec, TARGET)
    assert told(one) == expected
    spec["paths"]["/a"]["get"].pop("security")
    (one,) = operations({**spec, "security": security}, TARGET)
    assert told(one) == expected
    old = {"paths": spec["paths"], "swagger": "2.0", "securityDefinitions": schemes}
    (one,) = operations({**old, "security": security}, TARGET)
    assert told(one) == expected


def test_the_methods_of_openapi_3_2_are_not_passed_over() -> None:
    """QUERY is not among the methods that may be sent to a read-only target: it counts as one
    that may change something."""
    spec = document("GET /a", "QUERY /a")
    spec["paths"]["/a"]["additionalOperations"] = {"COPY": {"responses": {}}}
    found = {one.id: one for one in operations(spec, TARGET)}
    assert set(found) == {"GET /a", "QUERY /a", "COPY /a"}
    assert found["QUERY /a"].writes
    assert not found["QUERY /a"].obstacle
    assert "additionalOperations" in found["COPY /a"].obstacle


SWITCHES = [
    # path of the document, its base, path of the drill, whether it is the switch
    ("/admin/mode", "", "/admin/mode", True),
    ("/admin/mode/", "", "/admin/mode", True),
    ("/admin/{flag}", "", "/admin/mode", True),
    ("/admin/mode", "", "/admin/mode?on=1", True),
    ("/admin/mode", "", "/admin/{drill}", True),
    ("/mode", "/v1", "/mode", False),
    ("/v1/mode", "", "/mode", False),
    ("/admin", "", "/admin/mode", False),
    ("/admin/mode/now", "", "/admin/mode", False),
    ("/admin/modes", "", "/admin/mode", False),
]


@pytest.mark.parametrize(("path", "base", "switch", "expected"), SWITCHES)
def test_the_switch_of_a_drill_is_known_by_its_path(path, base, switch, expected):
    target = Target(name="prod", base_url="https://a.test")
    request = Request(method="POST", path=switch)
    drill = Drill(name="a", switch=Switch(request=request), restore=Switch(command="restore"))
    operation = Operation(id=f"GET {path}", method="GET", path=path, base=f"https://a.test{base}")
    assert is_switch(operation, [drill], target) is expected


@pytest.mark.fault(145)
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("query", "_method"),
        ("query", "_method[]"),
        ("header", "X-HTTP-Method-Override"),
        ("header", "X_HTTP_METHOD_OVERRIDE"),
        ("header", "X-Original-URL"),
    ],
)
def test_a_get_that_asks_for_an_override_counts_as_writing(place, name):
    spec = a_document_with({"parameters": [{"in": place, "name": name}]})
    (one,) = operations(spec, TARGET)
    assert one.writes
    assert not one.obstacle


@pytest.mark.fault(145)
def test_a_get_that_needs_a_form_counts_as_writing():
    form = {"required": True, "content": {"application/x-www-form-urlencoded": {}}}
    (one,) = operations(a_document_with({"requestBody": form}), TARGET)
    assert one.writes


@pytest.mark.fault(133)
@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host", "forwarded"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("read_only", [True, False])
def test_an_operation_that_asks_for_another_host_is_not_permitted(name, method, read_only):
    spec = document(f"{method} /things", parameters=[{"in": "header", "name": name}])
    target = Target(name="t", base_url="http://127.0.0.1:9", read_only=read_only)
    (one,) = operations(spec, target)
    assert one.withheld == (
        f"it asks for the header {name}, by which a server answers for another host; leave it out: "
        f'[contract] exclude = ["{method} /things"]'
    )


def test_other_parameters_are_no_obstacle():
    names = [("query", "method"), ("header", "X-Request-Id"), ("query", "host")]
    spec = a_document_with({"parameters": [{"in": place, "name": name} for place, name in names]})
    (one,) = operations(spec, TARGET)
    assert not one.writes
    assert not one.obstacle


def a_document_with(operation):
    return {"openapi": "3.1.0", "paths": {"/things": {"get": operation}}}
