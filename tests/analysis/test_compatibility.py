"""What breaks the clients of an old OpenAPI document: each rule, in its direction and no other."""

import copy
import time

import pytest

from pytest_prodcheck.analysis.openapi_diff import RULES, Change, breaking_changes

JSON = "application/json"

REQUEST, RESPONSE = "POST /pets · request body", "POST /pets · response 200"
PARAMETER, HEADER = "POST /pets · query parameter q", "POST /pets · response 200 · header X-Rate"


def document(operation=None, *, path="/pets", method="post", schemas=None, **more) -> dict:
    operation = {"responses": {"204": {}}} if operation is None else operation
    paths = {path: {method: operation}}
    return {"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas or {}}} | more


def sent(schema, **more) -> dict:
    return document({"requestBody": {"content": {JSON: {"schema": schema}}}}, **more)


def received(schema, **more) -> dict:
    return document({"responses": {"200": {"content": {JSON: {"schema": schema}}}}}, **more)


def parameter(schema, **more) -> dict:
    return document({"parameters": [{"name": "q", "in": "query", "schema": schema, **more}]})


def header(schema, **more) -> dict:
    headers = {"X-Rate": {"schema": schema, **more}}
    return document({"responses": {"200": {"headers": headers}}})


def holding(schema) -> dict:
    """An object with `schema` as its property."""
    return {"type": "object", "properties": {"p": schema}}


def told(old, new) -> list[tuple[str, str]]:
    return [(each.rule, each.place) for each in breaking_changes(old, new)]


def ref(name) -> dict:
    return {"$ref": f"#/components/schemas/{name}"}


# --- schemas: each aspect, of each subject, in both directions

TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
LIST = {"type": "array", "items": {}}
OBJECT = {"type": "object"}

ASPECTS = [
    # what narrows a request, what widens a response when undone, wide, narrow
    ("type-changed", "type-changed", {"type": "number"}, COUNT),
    ("type-changed", "type-changed", {}, COUNT),
    ("type-changed", "type-changed", {"type": ["boolean", "integer"]}, COUNT),
    ("type-changed", "type-changed", TEXT, TEXT | {"format": "uuid"}),
    ("type-changed", "type-changed", COUNT | {"format": "int64"}, COUNT | {"format": "int32"}),
    ("became-not-nullable", "became-nullable", {"type": ["string", "null"]}, TEXT),
    ("became-enum", "enum-value-added", TEXT, TEXT | {"enum": ["a"]}),
    ("enum-value-removed", "enum-value-added", TEXT | {"enum": ["a", "b"]}, TEXT | {"enum": ["a"]}),
    ("enum-value-removed", "enum-value-added", TEXT | {"enum": ["a", "b"]}, TEXT | {"const": "a"}),
    ("pattern-added", "pattern-removed", TEXT, TEXT | {"pattern": "^a"}),
    ("unique-items-required", "unique-items-dropped", LIST, LIST | {"uniqueItems": True}),
    ("one-of-removed", "one-of-added", {"oneOf": [FLAG, COUNT]}, {"oneOf": [COUNT]}),
    ("any-of-removed", "any-of-added", {"anyOf": [FLAG, COUNT, OBJECT]}, {"anyOf": [FLAG, OBJECT]}),
    ("additional-properties-forbidden", None, OBJECT, OBJECT | {"additionalProperties": False}),
    ("additional-properties-forbidden", None, OBJECT, OBJECT | {"unevaluatedProperties": False}),
    *(
        (f"{name}-decreased", f"{name}-increased", kind | {keyword: 9}, kind | {keyword: 5})
        for name, keyword, kind in (
            ("max", "maximum", COUNT),
            ("max", "exclusiveMaximum", COUNT),
            ("max-length", "maxLength", TEXT),
            ("max-items", "maxItems", LIST),
            ("max-properties", "maxProperties", OBJECT),
        )
    ),
    *(
        (f"{name}-increased", f"{name}-decreased", kind | {keyword: 5}, kind | {keyword: 9})
        for name, keyword, kind in (
            ("min", "minimum", COUNT),
            ("min", "exclusiveMinimum", COUNT),
            ("min-length", "minLength", TEXT),
            ("min-items", "minItems", LIST),
            ("min-properties", "minProperties", OBJECT),
        )
    ),
    *(
        (f"{name}-set", f"{name}-unset", kind, kind | {keyword: 5})
        for name, keyword, kind in (
            ("max", "maximum", COUNT),
            ("max-length", "maxLength", TEXT),
            ("max-items", "maxItems", LIST),
            ("max-properties", "maxProperties", OBJECT),
            ("min", "minimum", COUNT),
            ("min-length", "minLength", TEXT),
            ("min-items", "minItems", LIST),
            ("min-properties", "minProperties", OBJECT),
        )
    ),
    ("max-decreased", "max-increased", COUNT | {"maximum": 5}, COUNT | {"exclusiveMaximum": 5}),
]

SUBJECTS = [
    # subject, how a schema gets there, its place, sent in a request
    ("request-body", sent, f"{REQUEST} · $", True),
    ("request-property", lambda schema: sent(holding(schema)), f"{REQUEST} · $.p", True),
    ("request-parameter", parameter, PARAMETER, True),
    ("response-body", received, f"{RESPONSE} · $", False),
    ("response-property", lambda schema: received(holding(schema)), f"{RESPONSE} · $.p", False),
    ("response-header", header, HEADER, False),
]


@pytest.mark.parametrize(("narrowed", "widened", "wide", "narrow"), ASPECTS)
@pytest.mark.parametrize(("subject", "put", "place", "is_sent"), SUBJECTS)
def test_requests_break_when_narrowed_and_responses_when_widened(
    subject, put, place, is_sent, narrowed, widened, wide, narrow
):
    narrowing, widening = told(put(wide), put(narrow)), told(put(narrow), put(wide))
    if is_sent:
        assert (narrowing, widening) == ([(f"{subject}-{narrowed}", place)], [])
    elif widened is None:
        assert (narrowing, widening) == ([], [])
    else:
        assert (narrowing, widening) == ([], [(f"{subject}-{widened}", place)])


@pytest.mark.parametrize(("subject", "put", "place", "is_sent"), SUBJECTS)
def test_another_pattern_may_break_both(subject, put, place, is_sent):
    old, new = put(TEXT | {"pattern": "^a"}), put(TEXT | {"pattern": "^b"})
    assert told(old, new) == [(f"{subject}-pattern-changed", place)]


# --- properties


def thing(*required, **properties) -> dict:
    return {"type": "object", "required": list(required), "properties": properties}


PROPERTIES = [
    # old, new, in a request, in a response
    (thing(), thing("p", p=TEXT), "new-required-request-property", None),
    (
        thing(),
        thing("p", p=TEXT | {"default": ""}),
        "new-required-request-property-with-default",
        None,
    ),
    (thing(p=TEXT), thing("p", p=TEXT), "request-property-became-required", None),
    (
        thing(p=TEXT),
        thing("p", p=TEXT | {"default": ""}),
        "request-property-became-required-with-default",
        None,
    ),
    (thing("p", p=TEXT), thing(p=TEXT), None, "response-property-became-optional"),
    (
        thing("p", p=TEXT),
        thing(),
        "request-property-removed",
        "response-required-property-removed",
    ),
    (thing(p=TEXT), thing(), "request-property-removed", "response-optional-property-removed"),
    (thing(), thing(p=TEXT), None, None),
    # what does not count in a direction
    (thing(), thing("p", p=TEXT | {"readOnly": True}), None, None),
    (
        thing(p=TEXT | {"readOnly": True}),
        thing(),
        None,
        "response-optional-property-removed",
    ),
    (thing(p=TEXT | {"writeOnly": True}), thing(), "request-property-removed", None),
    (
        thing(p=TEXT),
        thing(p=TEXT | {"writeOnly": True}),
        None,
        "response-optional-property-removed",
    ),
    (
        thing(p=TEXT | {"readOnly": True}),
        thing(p=COUNT | {"readOnly": True}),
        None,
        "response-property-type-changed",
    ),
    # required, but described nowhere
    (thing(), thing("p"), "new-required-request-property", None),
]


@pytest.mark.parametrize(("old", "new", "of_request", "of_response"), PROPERTIES)
def test_properties_break_in_their_direction(old, new, of_request, of_response):
    assert told(sent(old), sent(new)) == ([(of_request, f"{REQUEST} · $.p")] * bool(of_request))
    assert told(received(old), received(new)) == (
        [(of_response, f"{RESPONSE} · $.p")] * bool(of_response)
    )


# --- operations


def asking(*alternatives, schemes=None, **more) -> dict:
    operation = {"security": list(alternatives), "responses": {"204": {}}}
    return document(operation, components={"securitySchemes": schemes or {}}, **more)


def taking(*kinds, **body) -> dict:
    return document({"requestBody": {"content": {kind: {} for kind in kinds}, **body}})


def answering(*statuses) -> dict:
    return document({"responses": {status: {} for status in statuses}})


def returning(*kinds) -> dict:
    return document({"responses": {"200": {"content": {kind: {} for kind in kinds}}}})


NO_BODY = document({"responses": {}})
NOTHING = {"openapi": "3.1.0", "paths": {}}
NO_PARAMETER = document({"parameters": []})
OPTIONAL, REQUIRED = parameter(TEXT), parameter(TEXT, required=True)
DEPRECATED = document({"deprecated": True})
NO_HEADER = document({"responses": {"200": {}}})

OPERATIONS = [
    (document(), NOTHING, "api-path-removed-without-deprecation", "/pets"),
    (DEPRECATED, NOTHING, "api-path-removed-with-deprecation", "/pets"),
    (document(), document(method="get"), "api-removed-without-deprecation", "POST /pets"),
    (DEPRECATED, document(method="get"), "api-removed-with-deprecation", "POST /pets"),
    (NO_PARAMETER, REQUIRED, "new-required-request-parameter", PARAMETER),
    (OPTIONAL, REQUIRED, "request-parameter-became-required", PARAMETER),
    (OPTIONAL, NO_PARAMETER, "request-parameter-removed", PARAMETER),
    (
        parameter(LIST),
        parameter(LIST, explode=False),
        "request-parameter-serialization-changed",
        PARAMETER,
    ),
    (
        parameter(COUNT | {"default": 1}),
        parameter(COUNT | {"default": 2}),
        "request-parameter-default-value-changed",
        PARAMETER,
    ),
    (NO_BODY, taking(JSON, required=True), "request-body-added-required", REQUEST),
    (taking(JSON), taking(JSON, required=True), "request-body-became-required", REQUEST),
    (taking(JSON), NO_BODY, "request-body-removed", REQUEST),
    (
        taking(JSON, "text/csv"),
        taking(JSON),
        "request-body-media-type-removed",
        f"{REQUEST} · text/csv",
    ),
    (answering("200", "404"), answering("201"), "response-success-status-removed", RESPONSE),
    (
        returning("text/csv", JSON),
        returning(JSON),
        "response-media-type-removed",
        f"{RESPONSE} · text/csv",
    ),
    (header(COUNT, required=True), NO_HEADER, "required-response-header-removed", HEADER),
    (header(COUNT), NO_HEADER, "optional-response-header-removed", HEADER),
    (
        header(COUNT, required=True),
        header(COUNT),
        "response-header-became-optional",
        HEADER,
    ),
    (asking(), asking({"key": []}), "api-security-added", "POST /pets"),
    (asking({}, {"key": []}), asking({"key": []}), "api-security-added", "POST /pets"),
    (asking({"key": []}, {"jwt": []}), asking({"key": []}), "api-security-removed", "POST /pets"),
    (asking({"key": []}), asking({"key": [], "jwt": []}), "api-security-removed", "POST /pets"),
    (
        asking({"oauth": ["read"]}),
        asking({"oauth": ["read", "write"]}),
        "api-security-scope-added",
        "POST /pets",
    ),
    (
        asking(schemes={"login": {"type": "http", "scheme": "basic"}}),
        asking(schemes={"login": {"type": "http", "scheme": "bearer"}}),
        "api-security-component-type-changed",
        "security scheme login",
    ),
]

BREAKS_BOTH_WAYS = {
    "response-success-status-removed",
    "api-security-component-type-changed",
    "request-parameter-default-value-changed",
    "request-parameter-serialization-changed",
    "api-removed-without-deprecation",
    "api-removed-with-deprecation",
}


@pytest.mark.parametrize(("old", "new", "rule", "place"), OPERATIONS)
def test_operations_break_in_one_direction(old, new, rule, place):
    assert told(old, new) == [(rule, place)]
    taken_back = {"request-parameter-removed", "request-body-removed"}
    undone = {each for each, _ in told(new, old)} - taken_back
    assert len(undone) == (rule in BREAKS_BOTH_WAYS)


def test_every_rule_is_produced_by_a_row_of_these_tables():
    produced = {rule for *_, rule, _ in OPERATIONS}
    produced |= {rule for _, _, *rules in PROPERTIES for rule in rules if rule}
    for subject, *_, is_sent in SUBJECTS:
        aspects = {narrowed if is_sent else widened for narrowed, widened, *_ in ASPECTS}
        produced |= {f"{subject}-{aspect}" for aspect in {*aspects, "pattern-changed"} - {None}}
    assert produced == RULES.keys()


# --- one meaning, however it is written


@pytest.mark.parametrize("put", [sent, received, lambda schema: sent(holding(schema))])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TEXT | {"nullable": True}, {"type": ["string", "null"]}),
        (TEXT | {"nullable": True}, {"anyOf": [TEXT, {"type": "null"}]}),
        (TEXT | {"x-nullable": True}, {"oneOf": [{"type": "null"}, TEXT]}),
        ({"nullable": True, "allOf": [TEXT]}, {"type": ["null", "string"]}),
        (
            {"enum": ["a", None], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (COUNT | {"minimum": 1, "exclusiveMinimum": True}, COUNT | {"exclusiveMinimum": 1}),
        (COUNT | {"maximum": 1, "exclusiveMaximum": False}, COUNT | {"maximum": 1}),
        (TEXT | {"const": "a"}, TEXT | {"enum": ["a"]}),
        ({"enum": ["b", "a"]}, {"type": "string", "enum": ["a", "b"]}),
        (thing(a=TEXT), {"properties": {"a": TEXT}}),
        (LIST, {"items": {}}),
        (TEXT | {"minLength": 0}, TEXT),
        (OBJECT, OBJECT | {"additionalProperties": True}),
        (TEXT | {"description": "a", "example": "b"}, TEXT | {"title": "c"}),
        ({"oneOf": [TEXT]}, TEXT),
        ({"oneOf": [TEXT, COUNT]}, {"oneOf": [COUNT, TEXT]}),
        (
            {"allOf": [thing("a", a=TEXT), thing("b", b=TEXT | {"maxLength": 9})]},
            thing("a", "b", a=TEXT, b=TEXT | {"maxLength": 9}),
        ),
        (
            {"allOf": [{"maxLength": 9, "enum": ["a", "b"]}, TEXT | {"maxLength": 5}]},
            TEXT | {"maxLength": 5, "enum": ["b", "a"]},
        ),
        ({"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, {"const": "b"}),
        ({"allOf": [{"type": "number"}, COUNT]}, COUNT),
        ({"allOf": [COUNT | {"maximum": 5}, {"maximum": 9}]}, COUNT | {"maximum": 5}),
        ({"allOf": [holding(TEXT), holding({"maxLength": 3})]}, holding(TEXT | {"maxLength": 3})),
    ],
)
def test_two_spellings_of_one_schema_are_no_change(put, one, other):
    assert told(put(one), put(other)) == []
    assert told(put(other), put(one)) == []


@pytest.mark.parametrize(
    ("pointer", "schemas"),
    [
        ("#/components/schemas/a~1b", {"a/b": TEXT}),
        ("#/components/schemas/a~0b", {"a~b": TEXT}),
        ("#/components/schemas/a%20b", {"a b": TEXT}),
        ("#/components/schemas/list/allOf/0", {"list": {"allOf": [TEXT]}}),
        ("#/components/schemas/a", {"a": {"$ref": "#/components/schemas/b"}, "b": TEXT}),
    ],
)
def test_references_are_followed(pointer, schemas):
    old = received({"$ref": pointer}, schemas=schemas)
    assert told(old, received(TEXT)) == []
    assert told(old, received(COUNT)) == [("response-body-type-changed", f"{RESPONSE} · $")]


def test_what_is_outside_the_document_or_missing_is_not_compared():
    for pointer in ("other.json#/a", "https://x.test/a", "#/components/schemas/none", 7):
        assert told(received({"$ref": pointer}), received(TEXT)) == []
        assert told(received(TEXT), received({"$ref": pointer})) == []


def test_parameters_bodies_responses_headers_and_paths_may_be_references():
    plain = document(
        {
            "parameters": [{"name": "q", "in": "query", "schema": TEXT}],
            "requestBody": {"content": {JSON: {"schema": TEXT}}},
            "responses": {"200": {"headers": {"X": {"schema": COUNT}}}},
        }
    )
    operation = plain["paths"]["/pets"]["post"]
    parts = {
        "q": operation["parameters"][0],
        "body": operation["requestBody"],
        "ok": {"headers": {"X": {"$ref": "#/x/header"}}},
        "header": {"schema": COUNT},
    }
    referring = {
        "parameters": [{"$ref": "#/x/q"}],
        "requestBody": {"$ref": "#/x/body"},
        "responses": {"200": {"$ref": "#/x/ok"}},
    }
    new = {
        "openapi": "3.0.3",
        "paths": {"/pets": {"$ref": "#/x/path"}},
        "x": parts | {"path": {"post": referring}},
    }
    assert told(plain, new) == told(new, plain) == []
    plain = copy.deepcopy(plain)
    parts["q"]["schema"], parts["header"]["schema"] = COUNT, TEXT
    assert [rule for rule, _ in told(plain, new)] == [
        "request-parameter-type-changed",
        "response-header-type-changed",
    ]


def test_changes_deep_inside_are_told_with_the_path_to_them():
    def journal(mood):
        entry = thing(mood={"enum": mood}, tags={"type": "object", "additionalProperties": COUNT})
        return received(
            thing(items={"type": "array", "items": ref("Entry")}), schemas={"Entry": entry}
        )

    old, new = journal(["good"]), journal(["good", "odd"])
    tags = new["components"]["schemas"]["Entry"]["properties"]["tags"]
    tags["additionalProperties"] = TEXT
    assert told(old, new) == [
        ("response-property-enum-value-added", f"{RESPONSE} · $.items[].mood"),
        ("response-property-type-changed", f"{RESPONSE} · $.items[].tags.*"),
    ]


def test_a_shared_schema_is_told_once_in_each_body_at_its_highest_place():
    def pets(address):
        person = thing(home=ref("Address"), work=ref("Address"), friend=ref("Person"))
        return received(ref("Person"), schemas={"Person": person, "Address": address})

    assert told(pets(thing(zip=TEXT)), pets(thing())) == [
        ("response-optional-property-removed", f"{RESPONSE} · $.home.zip")
    ]


@pytest.mark.parametrize(
    "schemas",
    [
        {"Tree": thing(kids={"type": "array", "items": ref("Tree")}, name=TEXT)},
        {"Tree": {"allOf": [ref("Tree"), thing(name=TEXT)]}},
        {"Tree": {"oneOf": [ref("Tree"), thing(name=TEXT)]}},
        {
            "Tree": {"allOf": [holding(ref("Tree")), holding(ref("Leaf")), thing(name=TEXT)]},
            "Leaf": {},
        },
        {"Tree": ref("Leaf"), "Leaf": ref("Tree")},
    ],
    ids=["items", "allOf", "oneOf", "merged", "circle"],
)
def test_recursive_schemas_end(schemas):
    changed = copy.deepcopy(schemas)
    for part in (
        changed["Tree"],
        *changed["Tree"].get("allOf", ()),
        *changed["Tree"].get("oneOf", ()),
    ):
        if "name" in part.get("properties", {}):
            part["properties"]["name"] = COUNT
    old, new = received(ref("Tree"), schemas=schemas), received(ref("Tree"), schemas=changed)
    assert told(old, copy.deepcopy(old)) == []
    rules = [rule for rule, _ in told(old, new)]
    assert rules == ["response-property-type-changed"] * (
        "Leaf" not in schemas or "allOf" in schemas["Tree"]
    )


def test_a_schema_told_for_one_operation_is_told_for_the_next():
    """Also where a media type without a change comes after it."""

    def spec(pet):
        content = {JSON: {"schema": ref("Pet")}, "text/csv": {"schema": thing(n=COUNT)}}
        get = {"responses": {"200": {"content": content}}}
        post = {"responses": {"200": {"content": {JSON: {"schema": ref("Pet")}}}}}
        paths = {"/pets": {"get": get, "post": post}}
        return {"openapi": "3.1.0", "paths": paths, "components": {"schemas": {"Pet": pet}}}

    assert told(spec(thing(a=TEXT)), spec(thing(a=COUNT))) == [
        ("response-property-type-changed", f"{method} /pets · response 200 · $.a")
        for method in ("GET", "POST")
    ]


def test_closing_a_map_in_a_response_and_opening_it_in_a_request_break_nothing():
    closed, counts = (
        OBJECT | {"additionalProperties": False},
        OBJECT | {"additionalProperties": COUNT},
    )
    assert told(received(counts), received(closed)) == []
    assert told(sent(closed), sent(counts)) == []


def test_another_type_is_told_alone_but_one_more_is_told_with_the_rest():
    old = thing("p", p=TEXT)
    assert told(received(old), received(TEXT)) == [
        ("response-body-type-changed", f"{RESPONSE} · $")
    ]
    assert told(received(old), received(thing() | {"type": ["object", "string"]})) == [
        ("response-body-type-changed", f"{RESPONSE} · $"),
        ("response-required-property-removed", f"{RESPONSE} · $.p"),
    ]


def test_any_type_includes_null():
    nothing_or_text = {"type": ["string", "null"]}
    assert told(sent(nothing_or_text), sent({})) == []
    assert told(received({}), received(nothing_or_text)) == []


def test_true_is_the_schema_of_any_value():
    old, new = sent(thing(p=True)), sent(thing(p=TEXT))
    assert told(old, new) == [("request-property-type-changed", f"{REQUEST} · $.p")]
    assert told(new, old) == []


# --- alternatives


def cats_and(*others, keyword="oneOf") -> dict:
    return {keyword: [ref("Cat"), *map(ref, others)]}


PETS = {"Cat": thing(name=TEXT), "Dog": thing(bark=COUNT), "Bird": thing(song=TEXT)}


def test_alternatives_are_matched_by_name_not_by_place():
    old, new = (
        {"oneOf": [ref(name) for name in names]} for names in (("Cat", "Dog"), ("Dog", "Cat"))
    )
    assert told(sent(old, schemas=PETS), sent(new, schemas=PETS)) == []
    changed = PETS | {"Dog": thing(bark=TEXT)}
    assert told(sent(old, schemas=PETS), sent(new, schemas=changed)) == [
        ("request-property-type-changed", f"{REQUEST} · $(Dog).bark")
    ]


@pytest.mark.parametrize("old", [ref("Cat"), {"anyOf": [ref("Cat"), {"type": "null"}]}])
@pytest.mark.parametrize("keyword", ["oneOf", "anyOf"])
def test_a_schema_may_become_one_of_several_in_requests_alone(old, keyword):
    new = cats_and("Dog", keyword=keyword)
    new[keyword].append({"type": "null"})
    old = holding(old)
    several = keyword.replace("O", "-o")
    assert told(sent(old, schemas=PETS), sent(holding(new), schemas=PETS)) == []
    rules = {
        rule for rule, _ in told(received(old, schemas=PETS), received(holding(new), schemas=PETS))
    }
    assert f"response-property-{several}-added" in rules
    assert rules <= {f"response-property-{several}-added", "response-property-became-nullable"}
    rules = {rule for rule, _ in told(sent(holding(new), schemas=PETS), sent(old, schemas=PETS))}
    assert f"request-property-{several}-removed" in rules


def test_any_value_to_one_of_several_narrows():
    new = cats_and("Dog")
    assert told(sent({}, schemas=PETS), sent(new, schemas=PETS)) == [
        ("request-body-type-changed", f"{REQUEST} · $")
    ]
    assert told(received({}, schemas=PETS), received(new, schemas=PETS)) == []
    assert told(sent(new, schemas=PETS), sent({}, schemas=PETS)) == []


# --- operations, in detail


def test_the_name_of_a_path_parameter_is_free():
    def item(name, schema):
        where = {"name": name, "in": "path", "required": True, "schema": schema}
        return document({"parameters": [where]}, path=f"/items/{{{name}}}", method="get")

    assert told(item("id", COUNT), item("item_id", COUNT)) == []
    assert told(item("id", TEXT), item("item_id", COUNT)) == [
        ("request-parameter-type-changed", "GET /items/{id} · path parameter id")
    ]


def test_describing_a_path_parameter_or_ceasing_to_is_no_break():
    where = {"name": "id", "in": "path", "required": True, "schema": TEXT}
    described = document({"parameters": [where]}, path="/items/{id}")
    silent = document({"parameters": []}, path="/items/{id}")
    assert told(described, silent) == told(silent, described) == []


def test_two_templates_of_one_shape_are_served_together():
    both = {"openapi": "3.0.0", "paths": {"/a/{x}": {"get": {}}, "/a/{y}": {"post": {}}}}
    one = {"openapi": "3.0.0", "paths": {"/a/{z}": {"get": {}, "post": {}}}}
    assert told(both, one) == told(one, both) == []


def test_a_parameter_of_the_path_is_replaced_by_the_operation_s():
    item = {"parameters": [{"name": "q", "in": "query", "required": True}], "post": {}}
    old = document({})
    new = old | {"paths": {"/pets": item}}
    assert told(old, new) == [("new-required-request-parameter", PARAMETER)]
    item["post"] = {"parameters": [{"name": "q", "in": "query"}]}
    assert told(old, new) == []


def test_names_of_headers_have_no_case_and_some_are_not_parameters():
    def sending(name, **more):
        return document({"parameters": [{"name": name, "in": "header", **more}]})

    assert told(sending("X-Key"), sending("x-key")) == []
    assert told(sending("X-Key"), sending("Accept", required=True)) == [
        ("request-parameter-removed", "POST /pets · header parameter X-Key")
    ]


def test_the_schema_of_a_parameter_may_be_that_of_its_content():
    def filtering(schema):
        return document(
            {"parameters": [{"name": "q", "in": "query", "content": {JSON: {"schema": schema}}}]}
        )

    assert told(filtering(thing(p=TEXT)), filtering(thing(p=COUNT))) == [
        ("request-parameter-type-changed", f"{PARAMETER} · $.p")
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (taking("application/json; charset=utf-8"), taking("Application/JSON")),
        (taking("image/png"), taking("image/*")),
        (taking("image/png"), taking("*/*")),
        (returning("image/*"), returning("image/png")),
        (returning(JSON), returning("*/*")),
        (answering("200"), answering("2XX")),
        (answering("2XX"), answering("2xx")),
        (answering("200", "404", "default"), answering("200", "201")),
        (asking({"oauth": ["read", "write"]}), asking({"oauth": ["read"]})),
        (asking({"key": [], "jwt": []}), asking({"key": []})),
        (asking({"key": []}), asking({"jwt": []}, {})),
        (document(security=[{"key": []}]), asking({"key": []})),
    ],
)
def test_what_includes_the_old_is_no_break(old, new):
    assert told(old, new) == []


def test_statuses_may_be_numbers_as_yaml_reads_them():
    assert told(document({"responses": {200: {}}}), answering("200")) == []


def test_a_schema_of_two_media_types_is_told_once_json_first():
    def returns(schema):
        content = {kind: {"schema": schema} for kind in ("application/xml", JSON)}
        return document({"responses": {"200": {"content": content}}}, schemas={"Pet": schema})

    def shared(schema):
        found = returns(schema)
        content = found["paths"]["/pets"]["post"]["responses"]["200"]["content"]
        content[JSON] = content["application/xml"] = {"schema": ref("Pet")}
        return found

    assert told(shared(thing(a=TEXT)), shared(thing(a=COUNT))) == [
        ("response-property-type-changed", f"{RESPONSE} · $.a")
    ]


# --- Swagger 2.0


def swagger(operation, **more) -> dict:
    return {"swagger": "2.0", "paths": {"/pets": {"post": operation}}} | more


SWAGGER_2 = swagger(
    {
        "consumes": [JSON],
        "parameters": [
            {"name": "q", "in": "query", "type": "integer", "required": True, "maximum": 9},
            {"name": "body", "in": "body", "schema": {"$ref": "#/definitions/Pet"}},
        ],
        "responses": {
            "200": {
                "schema": {"$ref": "#/definitions/Pet"},
                "headers": {"X-Rate": {"type": "integer"}},
            }
        },
    },
    produces=[JSON],
    definitions={"Pet": thing("name", name=TEXT)},
)
OPENAPI_3 = document(
    {
        "parameters": [
            {"name": "q", "in": "query", "required": True, "schema": COUNT | {"maximum": 9}}
        ],
        "requestBody": {"content": {JSON: {"schema": ref("Pet")}}},
        "responses": {
            "200": {
                "content": {JSON: {"schema": ref("Pet")}},
                "headers": {"X-Rate": {"schema": COUNT}},
            }
        },
    },
    schemas={"Pet": thing("name", name=TEXT)},
)


def test_one_service_in_2_0_and_in_3_1_is_no_change():
    assert told(SWAGGER_2, OPENAPI_3) == told(OPENAPI_3, SWAGGER_2) == []


def test_a_document_of_2_0_is_compared_as_any_other():
    new = copy.deepcopy(SWAGGER_2)
    new["definitions"]["Pet"] = thing("name", "age", name=COUNT, age=COUNT)
    operation = new["paths"]["/pets"]["post"]
    operation["consumes"] = ["text/csv", JSON]
    operation["parameters"][0]["maximum"] = 5
    operation["responses"]["200"]["headers"]["X-Rate"]["type"] = "string"
    assert told(SWAGGER_2, new) == [
        ("request-parameter-max-decreased", PARAMETER),
        ("new-required-request-property", f"{REQUEST} · $.age"),
        ("request-property-type-changed", f"{REQUEST} · $.name"),
        ("response-property-type-changed", f"{RESPONSE} · $.name"),
        ("response-header-type-changed", HEADER),
    ]
    new["produces"] = ["text/csv"]
    assert ("response-media-type-removed", f"{RESPONSE} · {JSON}") in told(SWAGGER_2, new)


def test_the_fields_of_a_form_are_the_properties_of_a_body():
    def form(*fields):
        return swagger({"parameters": [{"in": "formData", **field} for field in fields]})

    name, photo = {"name": "name", "type": "string"}, {"name": "photo", "type": "file"}
    assert told(form(name, photo), form(name, photo | {"required": True})) == [
        ("request-body-became-required", REQUEST),
        ("request-property-became-required", f"{REQUEST} · $.photo"),
    ]
    assert told(form(name, photo), form(name)) == [
        ("request-property-removed", f"{REQUEST} · $.photo")
    ]


def test_basic_login_of_2_0_is_that_of_3_0():
    old = swagger({}, securityDefinitions={"login": {"type": "basic"}})
    assert told(old, asking(schemes={"login": {"type": "http", "scheme": "Basic"}})) == []


# --- what a Change says


def test_a_change_tells_what_was_what_is_and_what_to_do():
    old, new = received(TEXT | {"maxLength": 5}), received(TEXT | {"maxLength": 9})
    assert breaking_changes(old, new) == [
        Change(
            rule="response-body-max-length-increased",
            place="POST /pets · response 200 · $",
            severity="minor",
            message="max-length was 5, is 9",
            remedy="have clients handle the wider responses first, or keep the old schema",
        )
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (received(TEXT), received(COUNT), "the type was string, is integer"),
        (sent(TEXT | {"format": "uuid"}), sent(COUNT), "the type was string (uuid), is integer"),
        (sent({"enum": ["a", "b"]}), sent({"enum": ["b"]}), '"a" was accepted, only "b" is'),
        (
            received({"enum": ["a"]}),
            received({"enum": ["a", "b"]}),
            'was one of "a", is "b" too',
        ),
        (
            sent(COUNT | {"minimum": 1}),
            sent(COUNT | {"exclusiveMinimum": 1}),
            "min was 1, is 1, exclusive",
        ),
        (answering("200"), answering("201"), "200 was an answer, only 201 is"),
        (asking(), asking({"o": ["w"]}), "no login was enough, o (w) is required"),
        (document(), NOTHING, "the path was served for POST, is gone"),
        (taking(JSON), taking("a/b"), "application/json was accepted, only a/b is"),
        (
            returning(JSON),
            NO_HEADER,
            "application/json was returned, only a response without a body is",
        ),
    ],
)
def test_messages(old, new, message):
    assert [each.message for each in breaking_changes(old, new)] == [message]


@pytest.mark.parametrize(
    ("old", "new", "severity"),
    [
        (received(thing("p", p=TEXT)), received(thing()), "critical"),
        (received(thing("p", p=TEXT | {"deprecated": True})), received(thing()), "major"),
        (received(thing(p=TEXT)), received(thing()), "major"),
        (received(thing(p=TEXT | {"deprecated": True})), received(thing()), "minor"),
        (sent(thing(p=TEXT)), sent(thing()), "minor"),
        (sent(thing(p=TEXT | {"deprecated": True})), sent(thing()), "minor"),
        (document(), NOTHING, "critical"),
        (DEPRECATED, NOTHING, "major"),
        (received(TEXT), received(COUNT), "critical"),
        (received(TEXT | {"format": "uuid"}), received(TEXT), "major"),
    ],
)
def test_what_was_deprecated_is_one_severity_lower(old, new, severity):
    assert [each.severity for each in breaking_changes(old, new)] == [severity]


def test_a_removed_property_is_worse_where_unknown_ones_are_refused():
    closed = {"additionalProperties": False}
    old, new = sent(thing(p=TEXT) | closed), sent(thing() | closed)
    assert [(each.severity, each.message) for each in breaking_changes(old, new)] == [
        ("major", "p was accepted, is refused")
    ]


def test_changes_are_sorted_and_each_is_told_once():
    old = document({"parameters": [{"name": n, "in": "query"} for n in "ba"], "responses": {}})
    new = {"openapi": "3.1.0", "paths": {"/pets": {"post": {"responses": {}}}}}
    found = told(old, new)
    assert found == sorted(set(found), key=lambda each: (each[1], each[0]))
    assert len(found) == 2


# --- documents as they come


@pytest.mark.parametrize(
    "spec", [SWAGGER_2, OPENAPI_3, {}, document(), sent(cats_and("Dog"), schemas=PETS)]
)
def test_a_document_is_compatible_with_itself(spec):
    assert breaking_changes(spec, spec) == []
    assert breaking_changes(spec, copy.deepcopy(spec)) == []


WRONG = [None, 7, "text", [], ["a", 1, None], {"a": 1}, {"$ref": 3}, {"$ref": "#/"}, True, 1.5]


def every_spot(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from every_spot(value[key], (*path, key))


def replaced(spec, path, value):
    if not path:
        return value
    spec = copy.deepcopy(spec)
    inner = spec
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return spec


RICH = document(
    {
        "deprecated": True,
        "security": [{"o": ["read"]}],
        "parameters": [
            {"name": "q", "in": "query", "required": True, "schema": COUNT | {"maximum": 9}}
        ],
        "requestBody": {
            "content": {
                JSON: {
                    "schema": {
                        "allOf": [ref("Cat"), thing("a", a=TEXT | {"enum": ["a"], "pattern": "a"})],
                        "oneOf": [ref("Dog"), ref("Bird")],
                        "additionalProperties": COUNT,
                        "items": {"type": ["string", "null"]},
                    }
                }
            }
        },
        "responses": {"200": {"headers": {"X": {"schema": TEXT}}, "content": {JSON: {}}}},
    },
    components={"schemas": PETS, "securitySchemes": {"o": {"type": "http", "scheme": "basic"}}},
)


@pytest.mark.parametrize("spec", [RICH, SWAGGER_2], ids=["3.1", "2.0"])
def test_a_malformed_document_raises_nothing(spec):
    """Each value of a document in turn is replaced by each kind of nonsense."""
    for path in every_spot(spec):
        for wrong in WRONG:
            broken = replaced(spec, path, wrong)
            breaking_changes(spec, broken)
            breaking_changes(broken, spec)
            assert breaking_changes(broken, broken) == []


def nested(schema, depth=5_000) -> dict:
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def test_a_deeply_nested_schema_is_walked_without_recursion():
    (change,) = breaking_changes(received(nested(TEXT)), received(nested(COUNT)))
    assert change.place == f"{RESPONSE} · ${'[]' * 5_000}"


@pytest.mark.parametrize("value", [nested(TEXT), {1: "a", "b": 2}, {"a"}, b"a", float("nan")])
def test_a_default_may_be_any_object(value):
    assert told(parameter({"default": value}), parameter({"default": value})) == []


def test_a_thousand_operations_take_less_than_two_seconds():
    def many(limit):
        schemas = {
            f"S{n}": thing(
                "a",
                a=TEXT | {"maxLength": limit},
                left=ref(f"S{(2 * n + 1) % 50}"),
                right={"type": "array", "items": ref(f"S{(2 * n + 2) % 50}")},
            )
            for n in range(50)
        }
        content = [{"content": {JSON: {"schema": ref(f"S{n}")}}} for n in range(50)]
        paths = {
            f"/p{n}": {
                "post": {"requestBody": content[n % 50], "responses": {"200": content[n % 7]}}
            }
            for n in range(1_000)
        }
        return {"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}}

    old, new = many(5), many(5)
    new["components"]["schemas"]["S49"]["properties"]["a"] = TEXT | {"maxLength": 4}
    start = time.process_time()
    assert len(breaking_changes(old, new)) == 1_000
    assert time.process_time() - start < 2
