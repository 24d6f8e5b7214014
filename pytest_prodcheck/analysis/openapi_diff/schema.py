"""One model of schemas: the restrictions of a value, in any version's keywords.

`$ref` is followed and `allOf` merged into one Shape. All spellings of null (`nullable: true`,
`type: [.., "null"]`, `anyOf: [.., {type: null}]`), of exclusive bounds and of `const` are unified.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard

from pytest_prodcheck.analysis.openapi_diff.document import Document, Nodes
from pytest_prodcheck.analysis.openapi_refs import HOPS, array, table
from pytest_prodcheck.model import Record

Key = frozenset[int]
"""Identities of the parts of a schema, equal for equal places of one document."""


class Limit(NamedTuple):
    """A bound on a number, length or count; the greater of two limits is the tighter."""

    tightness: float
    exclusive: bool
    text: str


class Shape(Record):
    """The content of a schema, with everything that it refers to."""

    key: Key
    nodes: Nodes
    known: bool
    """False: a part is malformed or outside the document, so nothing can be compared."""
    types: frozenset[str] | None
    """Without null; None for any type."""
    format: str
    nullable: bool
    values: frozenset[str] | None
    """The enum as JSON texts, without null; None for any value."""
    limits: dict[str, Limit]
    """By their names in rules, like `max-length`."""
    patterns: frozenset[str]
    unique_items: bool
    properties: dict[str, Nodes]
    required: frozenset[str]
    additional: Nodes
    """Schemas of other properties; empty for any."""
    closed: bool
    """Other properties are not allowed."""
    items: Nodes
    keyword: str
    """`one-of` or `any-of` if there are alternatives."""
    union: Nodes
    """The alternatives as they are in the document, without null."""
    more_unions: Nodes
    """More sets of alternatives; a value must satisfy one of each."""
    parts: Nodes
    """All tables of which `nodes` are merged, referenced ones too."""
    names: tuple[str, ...]
    """Its names as an alternative."""
    default: str | None
    deprecated: bool
    read_only: bool
    write_only: bool

    @property
    def is_leaf(self) -> bool:
        return not (self.properties or self.items or self.additional or self.union)


class Schemas:
    """The shapes of one document, each computed once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._made: dict[tuple[int, ...], tuple[Nodes, Shape]] = {}
        self._names: dict[int, str] = {}

    def shape(self, nodes: Nodes) -> Shape:
        """Return the shape of a value that satisfies all `nodes`; equal references share one."""
        identities = tuple(map(id, nodes))
        made = self._made.get(identities)
        if made is None:
            followed = self._followed(nodes)
            shape = self._merged(nodes) if followed is nodes else self.shape(followed)
            # `nodes` is kept alive, so that no other object gets its identity.
            made = self._made[identities] = nodes, shape
        return made[1]

    def _followed(self, nodes: Nodes) -> Nodes:
        """Return the target of a node that is only a reference; otherwise the nodes."""
        for _ in range(HOPS):
            if len(nodes) != 1 or not isinstance(nodes[0], dict) or nodes[0].keys() != {"$ref"}:
                return nodes
            nodes = (self._target(nodes[0]),)
        return (None,)

    def _target(self, node: Mapping[str, Any]) -> Any:
        target = self._document.target(node["$ref"])
        if isinstance(target, Mapping):
            self._names.setdefault(id(target), name_of(node))
        return target

    def _merged(self, nodes: Nodes) -> Shape:
        parts: dict[int, Mapping[str, Any]] = {}
        known, nullable, keyword = True, False, ""
        unions: list[Nodes] = []
        waiting = list(reversed(nodes))
        while waiting:
            node = waiting.pop()
            if node is True or id(node) in parts:
                continue
            if not isinstance(node, Mapping):
                known = False
                continue
            parts[id(node)] = node
            if "$ref" in node:
                waiting.append(self._target(node))
            waiting += reversed(array(node.get("allOf")))
            for name in ("oneOf", "anyOf"):
                stated = array(node.get(name))
                options = [each for each in stated if not _is_null(each)]
                nullable = nullable or len(options) < len(stated)
                if len(options) == 1:
                    waiting.append(options[0])
                elif options:
                    unions.append(tuple(options))
                    keyword = keyword or {"oneOf": "one-of", "anyOf": "any-of"}[name]
        each_part = list(parts.values())
        types = _types(each_part)
        flags = {name for part in each_part for name in _FLAGS if part.get(name) is True}
        others = [_additional(part) for part in each_part]
        return Shape(
            key=frozenset(parts),
            nodes=nodes,
            known=known,
            types=None if types is None else types - {"null"},
            format=_format(each_part),
            nullable=nullable or "null" in (types or ()) or bool(flags & _NULLABLE),
            values=_values(each_part),
            limits=_limits(each_part),
            patterns=frozenset(
                part["pattern"] for part in each_part if isinstance(part.get("pattern"), str)
            ),
            unique_items="uniqueItems" in flags,
            properties=_properties(each_part),
            required=frozenset(
                name
                for part in each_part
                for name in array(part.get("required"))
                if isinstance(name, str)
            ),
            additional=tuple(other for other in others if isinstance(other, Mapping) and other),
            closed=any(other is False for other in others),
            items=tuple(
                part["items"] for part in each_part if isinstance(part.get("items"), Mapping)
            ),
            keyword=keyword,
            union=unions[0] if unions else (),
            more_unions=tuple({"anyOf": list(each)} for each in unions[1:]),
            parts=tuple(each_part),
            names=tuple(self._names.get(id(p)) or name_of(p) for p in each_part) or ("any",),
            default=next((text(p["default"]) for p in each_part if "default" in p), None),
            deprecated="deprecated" in flags,
            read_only="readOnly" in flags,
            write_only="writeOnly" in flags,
        )


_NULLABLE = {"nullable", "x-nullable"}
_FLAGS = {"deprecated", "readOnly", "writeOnly", "uniqueItems", *_NULLABLE}

_TYPE_OF = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}

_IMPLIED = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "items": "array",
}
"""Keywords that frameworks write without the type that they imply."""


def text(value: Any) -> str:
    """Return a value as JSON; the name of its type if it is not JSON."""
    try:
        return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__


def _is_null(node: Any) -> bool:
    return table(node).get("type") == "null"


def _types(parts: list[Mapping[str, Any]]) -> frozenset[str] | None:
    common: frozenset[str] | None = None
    for part in parts:
        stated = _stated_types(part)
        if stated is not None:
            common = stated if common is None else _common_types(common, stated)
    return common


def _stated_types(part: Mapping[str, Any]) -> frozenset[str] | None:
    stated = part.get("type")
    if stated == "file":
        return frozenset({"string"})
    if isinstance(stated, str):
        return frozenset({stated})
    if isinstance(stated, list):
        return frozenset(each for each in stated if isinstance(each, str))
    values = _enum(part)
    if values is not None:
        return frozenset(_TYPE_OF.get(type(value), "string") for value in values)
    # The `required: true` of a parameter in 2.0 does not imply a type.
    implied = {kind for word, kind in _IMPLIED.items() if isinstance(part.get(word), list | dict)}
    return frozenset(implied) or None


def _common_types(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """Return the types in both; an integer is a number."""
    integers = {"integer"} if "number" in one | other and "integer" in one | other else set()
    return (one & other) | integers


def _format(parts: list[Mapping[str, Any]]) -> str:
    if any(part.get("type") == "file" for part in parts):
        return "binary"
    stated = (part.get("format") or _encoding(part) for part in parts)
    return next((e for e in stated if e and isinstance(e, str) and e not in _FREE_FORMATS), "")


_FREE_FORMATS = frozenset(("password", "path", "slug", "string", "text", "textarea", "html"))
"""Formats that do not restrict a string: hints for editors or for routing."""


def _encoding(part: Mapping[str, Any]) -> str:
    """Return the format of OpenAPI 3.0 for a content keyword of JSON Schema."""
    if part.get("contentEncoding") in ("base64", "base64url"):
        return "byte"
    return "binary" if part.get("contentMediaType") == "application/octet-stream" else ""


def _enum(part: Mapping[str, Any]) -> list[Any] | None:
    if "const" in part:
        return [part["const"]]
    stated = part.get("enum")
    return stated if isinstance(stated, list) and stated else None


def _values(parts: list[Mapping[str, Any]]) -> frozenset[str] | None:
    common: frozenset[str] | None = None
    for part in parts:
        stated = _enum(part)
        if stated is not None:
            texts = frozenset(text(value) for value in stated if value is not None)
            common = texts if common is None else common & texts
    return common


_COUNTS = {
    "max-length": "maxLength",
    "max-items": "maxItems",
    "max-properties": "maxProperties",
    "min-length": "minLength",
    "min-items": "minItems",
    "min-properties": "minProperties",
}


def _limits(parts: list[Mapping[str, Any]]) -> dict[str, Limit]:
    limits: dict[str, Limit] = {}
    for part in parts:
        for name, limit in _stated_limits(part):
            if name not in limits or limit > limits[name]:
                limits[name] = limit
    return limits


def _stated_limits(part: Mapping[str, Any]) -> Iterator[tuple[str, Limit]]:
    for name, keyword, exclusive_keyword in (
        ("max", "maximum", "exclusiveMaximum"),
        ("min", "minimum", "exclusiveMinimum"),
    ):
        bound, exclusive = part.get(keyword), part.get(exclusive_keyword)
        if _is_number(bound):
            yield name, _limit(name, bound, exclusive=exclusive is True)
        if _is_number(exclusive):
            yield name, _limit(name, exclusive, exclusive=True)
    for name, keyword in _COUNTS.items():
        bound = part.get(keyword)
        # A minimum of 0 is the same as none.
        if _is_number(bound) and (bound > 0 or name.startswith("max")):
            yield name, _limit(name, bound, exclusive=False)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _limit(name: str, bound: float, *, exclusive: bool) -> Limit:
    words = f"{bound}, exclusive" if exclusive else f"{bound}"
    return Limit(-bound if name.startswith("max") else bound, exclusive, words)


def _properties(parts: list[Mapping[str, Any]]) -> dict[str, Nodes]:
    merged: dict[str, Nodes] = {}
    for part in parts:
        for name, node in table(part.get("properties")).items():
            merged[str(name)] = (*merged.get(str(name), ()), node)
    return merged


def _additional(part: Mapping[str, Any]) -> Any:
    if part.get("unevaluatedProperties") is False:
        return False
    return part.get("additionalProperties")


def name_of(node: Any) -> str:
    """Return the name of a schema for a reader: the end of its reference, its title or its type."""
    stated = table(node)
    for name in (str(stated.get("$ref", "")).rpartition("/")[2], stated.get("title")):
        if isinstance(name, str) and name:
            return name
    return "/".join(sorted(_stated_types(stated) or {"any"}))
