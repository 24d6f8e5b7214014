"""One contract in two spellings, as generators and their next versions write it: no break.

And beside each kind its contrary: what looks alike and breaks clients. The members are named by
who writes them so.
"""

from typing import Any

import pytest

from pytest_prodcheck.analysis.openapi_diff import breaking_changes

TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
NUMBER, NULL = {"type": "number"}, {"type": "null"}
ROLE = {"type": "string", "enum": ["user", "admin"]}


def thing(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


CARD = thing("kind", "pan", kind={"const": "card"}, pan=TEXT)
IBAN = thing("kind", "iban", kind={"const": "iban"}, iban=TEXT)
CASH = thing("kind", kind={"const": "cash"})
CAT, DOG = thing("name", name=TEXT, claws=COUNT), thing("name", name=TEXT, bark=TEXT)


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def several(*schemas: Any, keyword: str = "oneOf", **more: Any) -> dict[str, Any]:
    return {keyword: list(schemas), **more}


def listed(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def document(schema: Any, components: dict[str, Any] | None = None) -> dict[str, Any]:
    """An operation that takes and returns the schema in a property."""
    media = {"application/json": {"schema": thing(value=schema)}}
    operation = {"requestBody": {"content": media}, "responses": {"200": {"content": media}}}
    return {
        "openapi": "3.1.0",
        "paths": {"/orders": {"post": operation}},
        "components": {"schemas": components or {}},
    }


def told(old: Any, new: Any) -> list[str]:
    return [f"{each.rule} {each.place}" for each in breaking_changes(old, new)]


# --- alternatives that say the same

SAME = {
    "springdoc: nameless alternatives in another order": (
        document(several(CARD, IBAN)),
        document(several(IBAN, CARD)),
    ),
    "fastapi 0.102: components renamed for input and output": (
        document(several(ref("Card"), ref("Iban")), {"Card": CARD, "Iban": IBAN}),
        document(
            several(ref("Card-Input"), ref("Iban-Input")), {"Card-Input": CARD, "Iban-Input": IBAN}
        ),
    ),
    "renamed and in another order": (
        document(several(ref("A"), ref("B")), {"A": CARD, "B": IBAN}),
        document(several(ref("D"), ref("C")), {"C": CARD, "D": IBAN}),
    ),
    "names that have changed places": (
        document(several(ref("A"), ref("B")), {"A": CARD, "B": IBAN}),
        document(several(ref("A"), ref("B")), {"A": IBAN, "B": CARD}),
    ),
    "pydantic: an inline Literal becomes an Enum (oasdiff 930)": (
        document(several(ROLE, NULL, keyword="anyOf")),
        document(several(ref("Role"), NULL, keyword="anyOf"), {"Role": {**ROLE, "title": "Role"}}),
    ),
    "openapi-typescript: a reference is inlined": (
        document(several(ref("Card"), IBAN), {"Card": CARD}),
        document(several(CARD, ref("Iban")), {"Iban": IBAN}),
    ),
    "typebox and zod: literals one by one": (
        document(several({"const": "user"}, {"const": "admin"}, keyword="anyOf")),
        document(ROLE),
    ),
    "openapi 3.1: enumerations with a title each": (
        document(several({"const": 1, "title": "Low"}, {"const": 2, "title": "High"})),
        document({"type": "integer", "enum": [2, 1]}),
    ),
    "type lists and anyOf": (
        document({"type": ["string", "integer"]}),
        document(several(COUNT, TEXT, keyword="anyOf")),
    ),
    "type lists with null": (
        document({"type": ["string", "integer", "null"]}),
        document(several({**TEXT, "nullable": True}, COUNT, keyword="anyOf")),
    ),
    "stripe: anyOf and oneOf of what excludes itself": (
        document(several(CARD, IBAN)),
        document(several(CARD, IBAN, keyword="anyOf")),
    ),
    "nswag: alternatives of alternatives": (
        document(several(several(CARD, IBAN), CASH)),
        document(several(CARD, IBAN, CASH)),
    ),
    "a component that is itself alternatives": (
        document(several(ref("Online"), CASH), {"Online": several(CARD, IBAN)}),
        document(several(CASH, IBAN, CARD)),
    ),
    "utoipa: what all have stands beside the alternatives": (
        document(several(thing(a=TEXT), thing(b=TEXT), type="object", properties={"id": COUNT})),
        document(several(thing(a=TEXT, id=COUNT), thing(b=TEXT, id=COUNT))),
    ),
    "lists of different things in another order": (
        document(several(listed(CARD), listed(IBAN))),
        document(several(listed(IBAN), listed(CARD))),
    ),
    "things that differ deep inside only": (
        document(several(thing(data=thing(of=CARD)), thing(data=thing(of=IBAN)))),
        document(several(thing(data=thing(of=IBAN)), thing(data=thing(of=CARD)))),
    ),
    "constraints without a type in another order": (
        document(several({"required": ["a"]}, {"required": ["b"]}, **thing(a=TEXT, b=TEXT))),
        document(several({"required": ["b"]}, {"required": ["a"]}, **thing(a=TEXT, b=TEXT))),
    ),
    "a discriminator gets the mapping that was implied": (
        document(
            several(ref("Cat"), ref("Dog"), discriminator={"propertyName": "kind"}),
            {"Cat": thing("kind", kind=TEXT), "Dog": thing("kind", kind=TEXT, bark=TEXT)},
        ),
        document(
            several(
                ref("Puss"),
                ref("Hound"),
                discriminator={
                    "propertyName": "kind",
                    "mapping": {"Cat": ref("Puss")["$ref"], "Dog": "Hound"},
                },
            ),
            {"Puss": thing("kind", kind=TEXT), "Hound": thing("kind", kind=TEXT, bark=TEXT)},
        ),
    ),
    "a property moves into an allOf (oasdiff 766)": (
        document({"allOf": [ref("Lite"), thing(b=TEXT)]}, {"Lite": thing(a=TEXT)}),
        document({"allOf": [ref("Lite")]}, {"Lite": thing(a=TEXT, b=TEXT)}),
    ),
    "fastapi 0.115: the format of a file": (
        document({**TEXT, "format": "binary"}),
        document({**TEXT, "contentMediaType": "application/octet-stream"}),
    ),
    "descriptions, titles and examples": (
        document(several({**CARD, "title": "A"}, IBAN, description="x")),
        document(several({**CARD, "description": "B"}, {**IBAN, "examples": [{}]})),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_alternatives_that_say_the_same_are_no_break(name: str) -> None:
    one, other = SAME[name]
    assert told(one, other) == told(other, one) == []


# --- alternatives that say something else

BODY, ANSWER = "POST /orders · request body · $.value", "POST /orders · response 200 · $.value"
OTHER = {
    "one fewer": (
        several(CARD, IBAN),
        several(IBAN, CASH),
        f"request-property-one-of-removed {BODY}",
    ),
    "one that is received and was not known": (
        several(CARD, IBAN),
        several(IBAN, CARD, CASH),
        f"response-property-one-of-added {ANSWER}",
    ),
    "a value of the discriminating property": (
        several(CARD, IBAN),
        several(thing("kind", "pan", kind={"const": "credit"}, pan=TEXT), IBAN),
        f"request-property-one-of-removed {BODY}",
    ),
    "a type inside a renamed one": (
        several(CAT, DOG),
        several({**DOG, "title": "D"}, {**thing("name", name=TEXT, claws=FLAG), "title": "C"}),
        f"request-property-type-changed {BODY}(object).claws",
    ),
    "more that is required": (
        several(CAT, DOG),
        several(DOG, thing("name", "claws", name=TEXT, claws=COUNT)),
        f"request-property-became-required {BODY}(object).claws",
    ),
    "a literal fewer": (
        several({"const": "user"}, {"const": "admin"}, keyword="anyOf"),
        {"type": "string", "enum": ["user"]},
        f"request-property-enum-value-removed {BODY}(string)",
    ),
    "a type fewer": (
        {"type": ["string", "integer"]},
        several(TEXT, FLAG, keyword="anyOf"),
        f"request-property-any-of-removed {BODY}",
    ),
    "null no more": (
        several(CARD, IBAN, NULL),
        several(CARD, IBAN),
        f"request-property-became-not-nullable {BODY}",
    ),
    "a plain object becomes two that require more (oasdiff 702)": (
        thing(foo=TEXT, bar=TEXT),
        several(thing("foo", foo=TEXT, bar=TEXT), thing("bar", foo=TEXT, bar=TEXT)),
        f"request-property-became-required {BODY}(object).foo",
    ),
    "what stands beside the alternatives": (
        several(thing(a=TEXT), thing(b=TEXT), **thing("id", id=COUNT)),
        several(thing(a=TEXT, id=TEXT), thing(b=TEXT, id=TEXT)),
        f"response-property-type-changed {ANSWER}(object).id",
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_alternatives_that_say_something_else_are_a_break(name: str) -> None:
    old, new, rule = OTHER[name]
    found = told(document(old), document(new))
    assert rule in found


def test_the_implied_name_of_a_discriminator_is_on_the_wire() -> None:
    pets = {"Cat": thing("kind", kind=TEXT), "Dog": thing("kind", kind=TEXT, bark=TEXT)}
    by = {"propertyName": "kind"}
    old = document(several(ref("Cat"), ref("Dog"), discriminator=by), pets)
    renamed = {"Puss": pets["Cat"], "Dog": pets["Dog"]}
    new = document(several(ref("Puss"), ref("Dog"), discriminator=by), renamed)
    assert told(old, new) == [
        f"request-property-one-of-removed {BODY}",
        f"response-property-one-of-added {ANSWER}",
    ]


def test_two_unions_of_one_schema_are_both_compared() -> None:
    old = document({"allOf": [several(CARD, IBAN), several(thing(a=TEXT), thing(b=TEXT))]})
    new = document({"allOf": [several(CARD, IBAN), several(thing(a=COUNT), thing(b=TEXT))]})
    assert told(old, old) == []
    assert any(rule.startswith("request-property-type-changed") for rule in told(old, new))


# --- parameters and headers: text on the wire


def taking(schema: Any, where: str = "query", **more: Any) -> dict[str, Any]:
    parameter = {"name": "q", "in": where, "required": where == "path", "schema": schema, **more}
    path = "/things/{q}" if where == "path" else "/things"
    operation = {"parameters": [parameter], "responses": {"204": {}}}
    return {"openapi": "3.0.3", "paths": {path: {"get": operation}}}


def as_json(schema: Any) -> dict[str, Any]:
    spec = taking(schema, content={"application/json": {"schema": schema}})
    del spec["paths"]["/things"]["get"]["parameters"][0]["schema"]
    return spec


def swagger(**parameter: Any) -> dict[str, Any]:
    operation = {
        "parameters": [{"name": "q", "in": "query", **parameter}],
        "responses": {"204": {}},
    }
    return {"swagger": "2.0", "paths": {"/things": {"get": operation}}}


WIDER = {
    "fastapi: int to str": (taking(COUNT), taking(TEXT)),
    "path: int to slug": (taking(COUNT, "path"), taking(TEXT, "path")),
    "cookie: int to str": (taking(COUNT, "cookie"), taking(TEXT, "cookie")),
    "header: bool to str": (taking(FLAG, "header"), taking(TEXT, "header")),
    "number to str": (taking(NUMBER), taking(TEXT)),
    "uuid to str": (taking({**TEXT, "format": "uuid"}), taking(TEXT)),
    "int to number": (taking(COUNT), taking(NUMBER)),
    "asp.net: uint16 to int32": (
        taking({**COUNT, "format": "uint16"}),
        taking({**COUNT, "format": "int32"}),
    ),
    "int32 to double": (
        taking({**COUNT, "format": "int32"}),
        taking({**NUMBER, "format": "double"}),
    ),
    "int32 to int64": (taking({**COUNT, "format": "int32"}), taking({**COUNT, "format": "int64"})),
    "one to many": (taking(TEXT), taking(listed(TEXT))),
    "one to many, not exploded": (taking(COUNT), taking(listed(COUNT), explode=False)),
    "one to many in a path": (taking(COUNT, "path"), taking(listed(COUNT), "path")),
    "one int to many texts": (taking(COUNT), taking(listed(TEXT))),
    "one value to many of an enum": (taking(ROLE), taking(listed(ROLE))),
    "many in one text to a text": (taking(listed(COUNT), explode=False), taking(TEXT)),
    "numbers to the same as text": (
        taking({"type": "integer", "enum": [1, 2]}),
        taking({"type": "string", "enum": ["1", "2", "all"]}),
    ),
    "pydantic: optional int to optional str": (
        taking(several(COUNT, NULL, keyword="anyOf")),
        taking(several(TEXT, NULL, keyword="anyOf")),
    ),
    "int to int or word": (taking(COUNT), taking(several(COUNT, {"const": "all"}))),
    "any to text": (taking({}), taking(TEXT)),
    "swagger: one to many": (
        swagger(type="string"),
        swagger(type="array", items=TEXT, collectionFormat="multi"),
    ),
}

WITHOUT_CONTRARY = {"any to text", "numbers to the same as text", "many in one text to a text"}


@pytest.mark.parametrize("name", WIDER)
def test_a_parameter_that_takes_more_texts_is_no_break(name: str) -> None:
    old, new = WIDER[name]
    assert told(old, new) == []
    if name not in WITHOUT_CONTRARY:
        assert told(new, old) != []


BOTH_WAYS = {
    "swagger 2.0 to openapi 3: many parameters": (
        swagger(type="array", items=TEXT, collectionFormat="multi"),
        taking(listed(TEXT)),
    ),
    "swagger 2.0 to openapi 3: commas": (
        swagger(type="array", items=TEXT),
        taking(listed(TEXT), explode=False),
    ),
    "style written out": (taking(listed(TEXT)), taking(listed(TEXT), style="form", explode=True)),
    "connexion: a path converter": (taking(TEXT), taking({**TEXT, "format": "path"})),
    "a field shown as a password": (taking(TEXT), taking({**TEXT, "format": "password"})),
    "a style that does not matter to one value": (taking(TEXT), taking(TEXT, explode=False)),
    "an object in the query is its properties (oasdiff 711)": (
        taking(thing(page=COUNT, size=COUNT)),
        {
            "openapi": "3.0.3",
            "paths": {
                "/things": {
                    "get": {
                        "parameters": [
                            {"name": name, "in": "query", "schema": COUNT}
                            for name in ("size", "page")
                        ],
                        "responses": {"204": {}},
                    }
                }
            },
        },
    ),
}


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_a_parameter_in_another_spelling_is_no_break(name: str) -> None:
    one, other = BOTH_WAYS[name]
    assert told(one, other) == told(other, one) == []


NARROWER = {
    "str to int": (taking(TEXT), taking(COUNT), "type-changed"),
    "number to int": (taking(NUMBER), taking(COUNT), "type-changed"),
    "str to uuid": (taking(TEXT), taking({**TEXT, "format": "uuid"}), "type-changed"),
    "int to uuid": (taking(COUNT), taking({**TEXT, "format": "uuid"}), "type-changed"),
    "bool to int": (taking(FLAG), taking(COUNT), "type-changed"),
    "int to a pattern": (taking(COUNT), taking({**TEXT, "pattern": "^a"}), "pattern-added"),
    "int to an enum": (taking(COUNT), taking(ROLE), "became-enum"),
    "int to a long text": (taking(COUNT), taking({**TEXT, "minLength": 9}), "min-length-set"),
    "many to one": (taking(listed(TEXT)), taking(TEXT), "type-changed"),
    "one to at least two": (taking(TEXT), taking(listed(TEXT, minItems=2)), "min-items-set"),
    "one to many others": (taking(TEXT), taking(listed(COUNT)), "type-changed"),
    "a value fewer": (
        taking({"type": "integer", "enum": [1, 2]}),
        taking({"type": "string", "enum": ["1"]}),
        "enum-value-removed",
    ),
    "exploded no more": (
        taking(listed(TEXT)),
        taking(listed(TEXT), explode=False),
        "serialization-changed",
    ),
    "pipes": (
        taking(listed(TEXT), explode=False),
        taking(listed(TEXT), style="pipeDelimited"),
        "serialization-changed",
    ),
    "multi to csv": (
        swagger(type="array", items=TEXT, collectionFormat="multi"),
        swagger(type="array", items=TEXT, collectionFormat="csv"),
        "serialization-changed",
    ),
    "a filter as JSON stays JSON": (
        as_json(thing(a=COUNT)),
        as_json(thing(a=TEXT)),
        "type-changed",
    ),
}


@pytest.mark.parametrize("name", NARROWER)
def test_a_parameter_that_takes_fewer_texts_is_a_break(name: str) -> None:
    old, new, aspect = NARROWER[name]
    assert f"request-parameter-{aspect}" in " ".join(told(old, new))


def filling(kind: str, schema: Any) -> dict[str, Any]:
    media = {kind: {"schema": thing(n=schema)}}
    operation = {"requestBody": {"content": media}, "responses": {"204": {}}}
    return {"openapi": "3.0.3", "paths": {"/forms": {"post": operation}}}


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_fields_of_a_form_are_text_too(kind: str) -> None:
    assert told(filling(kind, COUNT), filling(kind, TEXT)) == []
    assert told(filling(kind, TEXT), filling(kind, COUNT)) != []
    assert told(filling(kind, thing(a=COUNT)), filling(kind, thing(a=TEXT))) != []


def test_a_number_in_json_is_not_a_text() -> None:
    kind = "application/json"
    assert told(filling(kind, COUNT), filling(kind, TEXT)) != []


def returning(schema: Any) -> dict[str, Any]:
    headers = {"X-Rate": {"schema": schema}}
    operation = {"responses": {"200": {"headers": headers}}}
    return {"openapi": "3.0.3", "paths": {"/things": {"get": operation}}}


def test_a_header_that_was_any_text_may_be_a_number() -> None:
    assert told(returning(TEXT), returning(COUNT)) == []
    assert told(returning(COUNT), returning(TEXT)) != []
    assert told(returning(listed(TEXT)), returning(TEXT)) == []
    assert told(returning(TEXT), returning(listed(TEXT))) == []


# --- statuses, logins


def answering(**responses: Any) -> dict[str, Any]:
    content = {
        key.strip("_"): {"content": {"application/json": {"schema": schema}}}
        for key, schema in responses.items()
    }
    return {"openapi": "3.0.3", "paths": {"/things": {"get": {"responses": content}}}}


ONE = thing("a", a=TEXT)
STATUSES = {
    "2XX to 200": (answering(_2XX=ONE), answering(_200=ONE)),
    "2xx to 201 and 200": (answering(_2xx=ONE), answering(_201=ONE, _200=ONE)),
    "200 to 2XX": (answering(_200=ONE), answering(_2XX=ONE)),
    "200 to default": (answering(_200=ONE), answering(default=ONE)),
    "2XX to default": (answering(_2XX=ONE), answering(default=ONE)),
    "404 to default": (answering(_200=ONE, _404=ONE), answering(_200=ONE, default=ONE)),
    "404 to 4XX": (answering(_200=ONE, _404=ONE), answering(_200=ONE, _4XX=ONE)),
    "default to 200": (answering(default=ONE), answering(_200=ONE)),
}


@pytest.mark.parametrize("name", STATUSES)
def test_a_status_may_be_written_as_its_class_or_the_default(name: str) -> None:
    old, new = STATUSES[name]
    assert told(old, new) == []


LOST = {
    "200 to 201": (answering(_200=ONE), answering(_201=ONE), "response-success-status-removed"),
    "2XX to 404": (answering(_2XX=ONE), answering(_404=ONE), "response-success-status-removed"),
    "200 to less by default": (
        answering(_200=ONE),
        answering(default=thing()),
        "response-required-property-removed",
    ),
    "2XX to less in one of two": (
        answering(_2XX=ONE),
        answering(_200=ONE, _202=thing()),
        "response-required-property-removed",
    ),
    "default to less": (
        answering(default=ONE),
        answering(_200=thing()),
        "response-required-property-removed",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_a_status_that_is_gone_or_says_less_is_a_break(name: str) -> None:
    old, new, rule = LOST[name]
    assert [each.split(" ")[0] for each in told(old, new)] == [rule]


def guarded(security: Any, **schemes: Any) -> dict[str, Any]:
    operation = {"responses": {"204": {}}, "security": security}
    return {
        "openapi": "3.0.3",
        "paths": {"/things": {"get": operation}},
        "components": {"securitySchemes": schemes},
    }


BEARER, KEY = {"type": "http", "scheme": "bearer"}, {"type": "apiKey", "in": "header", "name": "K"}


def test_a_security_scheme_is_what_it_does_not_its_name() -> None:
    old = guarded([{"HTTPBearer": []}, {"key": []}], HTTPBearer=BEARER, key=KEY)
    new = guarded([{"ApiKey": []}, {"bearerAuth": []}], bearerAuth=BEARER, ApiKey=KEY)
    assert told(old, new) == told(new, old) == []
    other = guarded([{"bearerAuth": []}], bearerAuth=BEARER, ApiKey=KEY)
    assert [each.split(" ")[0] for each in told(old, other)] == ["api-security-removed"]
