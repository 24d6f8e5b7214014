"""What is asked for certain: each thing of a list, and a write without each optional field."""

import json
from typing import Any

import jsonschema_rs
import pytest

from tests.faulty import Visit, json_answer
from tests.project import Project

THING = {
    "type": "object",
    "required": ["id", "price"],
    "properties": {"id": {"type": "integer"}, "price": {"type": "number"}},
}
ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}


def answers(schema: Any, *statuses: str) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {
        "200": {"description": "d", "content": content},
        **{status: {"description": "d"} for status in statuses},
    }


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, **more}


PRODUCTS = document(
    {
        "/products": {"get": {"responses": answers({"type": "array"})}},
        "/products/{id}": {"get": {"parameters": [ID], "responses": answers(THING, "404")}},
    }
)


def shop(project: Project, count: int, broken: int | None, more: str = "", **keys: str) -> None:
    project.server.on("/openapi.json", json_answer(PRODUCTS))
    project.server.on("/products", json_answer([{"id": 100 + n} for n in range(count)]))
    for n in range(count):
        price = None if n == broken else 1.5
        project.server.on(f"/products/{100 + n}", json_answer({"id": 100 + n, "price": price}))
    project.configure(more, openapi='"/openapi.json"', rate='"1000/s"', **keys)


def asked(project: Project) -> list[int]:
    """The products that were asked for, in the order of the first requests."""
    paths = [path.rpartition("/")[2] for path in project.server.paths() if "/products/" in path]
    return list(dict.fromkeys(int(one) for one in paths if one in map(str, range(100, 200))))


@pytest.mark.parametrize("workers", [("-p", "no:xdist"), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize("broken", [0, 7, 11, None])
def test_a_null_in_one_of_twelve_products_is_found(project, broken, workers):
    shop(project, 12, broken, "[contract]\nmax_examples = 4\n")
    if workers == ("-n2",):
        outcome = project.outcome(project.start("--target=prod", "-m", "contract", *workers))
    else:
        outcome = project.run("-m", "contract", *workers)
    found = outcome.check("[GET /products/{id}]")
    assert found["outcome"] == ("passed" if broken is None else "failed"), outcome.output
    if broken is not None:
        assert f"/products/{100 + broken}" in found["message"]
        assert "Response violates schema" in found["failures"]
    assert asked(project) == [100 + n for n in range(12)]


@pytest.mark.parametrize(("count", "expected"), [(30, 30), (45, 30)])
def test_of_a_long_list_thirty_are_asked_for(project, count, expected):
    shop(project, count, None, "[contract]\nmax_examples = 1\n")
    project.run("-m", "contract", "-p", "no:xdist")
    assert len(asked(project)) == expected


def test_no_more_are_asked_for_than_a_quarter_of_the_budget_allows(project):
    shop(project, 30, None, "[contract]\nmax_examples = 1\n", request_budget="80")
    outcome = project.run("-m", "contract", "-p", "no:xdist")
    assert outcome.ruling == ("pass", 0), outcome.output
    assert asked(project)[:10] == [100 + n for n in range(10)]
    assert len(project.server.paths()) <= 80


def test_only_safe_methods_are_asked_for_each_thing(project):
    """A service may have a DELETE for each product: none is deleted one by one."""
    spec = json.loads(json.dumps(PRODUCTS))
    spec["paths"]["/products/{id}"]["delete"] = {
        "parameters": [ID],
        "responses": {"204": {"description": "gone"}, "404": {"description": "none"}},
    }
    shop(project, 12, None, "[contract]\nmax_examples = 1\n", read_only="true")
    project.server.on("/openapi.json", json_answer(spec))
    project.run("-m", "contract", "-p", "no:xdist")
    assert {seen.method for seen in project.server.ledger} <= {"GET", "HEAD", "OPTIONS"}


def test_a_seed_asks_the_same_again(project):
    shop(project, 12, None, "[contract]\nmax_examples = 4\n")
    ledgers = []
    for _ in range(2):
        project.server.ledger.clear()
        project.run("-m", "contract", "-p", "no:xdist")
        ledgers.append([seen.target for seen in project.server.ledger])
    assert ledgers[0] == ledgers[1]


# --- optional fields --------------------------------------------------------------------------

ORDER = {
    "type": "object",
    "required": ["sku"],
    "properties": {
        "sku": {"type": "string"},
        "note": {"type": "string"},
        "gift": {"type": "boolean"},
        "address": {
            "type": "object",
            "required": ["street"],
            "properties": {"street": {"type": "string"}, "floor": {"type": "integer"}},
        },
    },
    "additionalProperties": False,
}


def orders(schema: Any, *statuses: str, **more: Any) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    post = {"requestBody": body, "responses": answers({"type": "object"}, *statuses)}
    return document({"/orders": {"post": post}}, **more)


def run_orders(project: Project, spec: Any, misses: Any) -> Any:
    """A service that takes any order, but for those of which `misses(order)` gives a status."""

    def take(visit: Visit) -> None:
        if visit.request.method != "POST":
            return json_answer({}, 405, Allow="POST")(visit)
        try:
            order = json.loads(visit.request.body)
        except ValueError:
            return json_answer({}, 422)(visit)
        wrong = not jsonschema_rs.is_valid(ORDER, order)
        return json_answer({}, 422 if wrong else misses(order) or 200)(visit)

    project.server.on("/openapi.json", json_answer(spec)).on("/orders", take)
    project.configure(
        "[contract]\nmax_examples = 1\nseed = 3\n",
        openapi='"/openapi.json"',
        read_only="false",
        rate='"1000/s"',
    )
    return project.run("-m", "contract", "-k", "test_operation", "-p", "no:xdist")


WITHOUT = {
    "note": lambda order: "gift" in order and "address" in order and "note" not in order,
    "gift": lambda order: "note" in order and "address" in order and "gift" not in order,
    "address": lambda order: "note" in order and "gift" in order and "address" not in order,
    "floor": lambda order: (
        {"note", "gift", "address"} <= set(order) and "floor" not in order["address"]
    ),
}
"""Crashes where exactly one optional field is missing: neither all nor none of them are."""


@pytest.mark.parametrize("field", WITHOUT)
@pytest.mark.parametrize("referred", [False, True], ids=["inline", "ref"])
def test_a_crash_without_one_optional_field_is_found(project, field, referred):
    reference = {"$ref": "#/components/schemas/Order"}
    spec = (
        orders(reference, "422", components={"schemas": {"Order": ORDER}})
        if referred
        else orders(ORDER, "422")
    )
    outcome = run_orders(project, spec, lambda order: 500 if WITHOUT[field](order) else 0)
    found = outcome.check("[POST /orders]")
    assert (found["outcome"], found["severity"]) == ("failed", "critical"), outcome.output
    assert found["failures"][0] == "Server error"


def test_an_optional_field_that_is_demanded_is_major(project):
    outcome = run_orders(
        project, orders(ORDER, "422"), lambda order: 422 if WITHOUT["gift"](order) else 0
    )
    found = outcome.check("[POST /orders]")
    assert (found["outcome"], found["severity"]) == ("failed", "major"), outcome.output
    assert found["failures"][0] == "Schema-valid request rejected"


def test_a_name_that_is_taken_is_no_field_that_is_demanded(project):
    taken: set[str] = set()

    def misses(order: Any) -> int:
        known = order["sku"] in taken
        taken.add(order["sku"])
        return 422 if known else 0

    outcome = run_orders(project, orders(ORDER, "422"), misses)
    assert outcome.check("[POST /orders]")["outcome"] == "passed", outcome.output


def test_a_healthy_service_takes_orders_without_each_field(project):
    outcome = run_orders(project, orders(ORDER, "422"), lambda order: 0)
    assert outcome.check("[POST /orders]")["outcome"] == "passed", outcome.output
    bodies = []
    for seen in project.server.ledger:
        if seen.method == "POST" and seen.body.startswith(b"{"):
            order = json.loads(seen.body)
            bodies.append(
                {*order, *(order.get("address") if isinstance(order.get("address"), dict) else ())}
            )
    assert {"sku", "note", "gift", "address", "street"} in bodies
    everything = max(bodies, key=len)
    for field in everything - {"sku", "street"}:
        left = {field, "street", "floor"} if field == "address" else {field}
        assert everything - left in bodies
