"""The alternatives of a schema (`oneOf`, `anyOf`, several types), paired by their content.

Neither the name of an alternative nor its place is sent: frameworks rename components (`Card` to
`Card-Input`), inline them, and change their order. So equal alternatives are paired first, then the
most similar ones, and the rest has no counterpart. A pair that is compared without a finding proves
that its alternative is still understood, however it was paired; a poor pairing can only be too
severe.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pytest_prodcheck.analysis.openapi_diff.document import Nodes
from pytest_prodcheck.analysis.openapi_diff.schema import Key, Schemas, Shape, name_of
from pytest_prodcheck.analysis.openapi_refs import table

MAX_FEATURES = 400
"""Features of one alternative after which no deeper level is read."""

MAX_LEVELS = 6

MIN_SIMILARITY = 0.2
"""Share of common features from which two objects count as versions of one."""

SAME_NAME = 0.3
"""Added to that share if both have the same name: they may differ in everything else."""

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_ONLY: dict[str, dict[str, Any]] = {kind: {"type": kind} for kind in _TYPES}
_FOLLOWED = ("$ref", "allOf", "oneOf", "anyOf", "discriminator", "$defs", "definitions")
_NOTES = ("title", "description", "summary", "default", "example", "examples", "deprecated")
_MARKS = ("nullable", "x-nullable", "readOnly", "writeOnly", "xml", "externalDocs", "$comment")
_BESIDE = frozenset((*_FOLLOWED, *_NOTES, *_MARKS, "$id", "$schema"))
"""Keywords that do not restrict a value, or are followed separately."""


class Choice(NamedTuple):
    """One way to satisfy a schema that has several."""

    name: str
    """Unique name in its schema, for the report."""
    shape: Shape
    label: str
    """Its name in the document, if it has more than a type."""


class Profile(NamedTuple):
    """The content of an alternative, in a form that can be compared with another document's."""

    types: frozenset[str] | None
    features: frozenset[str]
    """`.name:string`, `.name!` for a required one, `.kind="card"`, `[]:integer` …"""
    tags: dict[str, frozenset[str]]
    """Property -> its allowed values, if they are listed."""


class Alternatives:
    """The alternatives of one document's schemas, each computed once."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._choices: dict[Key, tuple[Choice, ...]] = {}
        self._profiles: dict[Key, Profile] = {}

    def of(self, shape: Shape) -> tuple[Choice, ...]:
        """Return every alternative: nested ones too, one for each type, with enums joined."""
        found = self._choices.get(shape.key)
        if found is None:
            found = self._choices[shape.key] = tuple(self._computed(shape))
        return found

    def _computed(self, shape: Shape) -> Iterator[Choice]:
        flat = [each for one in self._flat(shape) for each in self._by_type(one)]
        seen: set[str] = set()
        for position, (name, nodes) in enumerate(self._with_enums_joined(flat)):
            unique = f"{name} {position}" if name in seen else name
            seen.add(unique)
            label = "" if set(name.split("/")) <= {*_TYPES, "any"} else name
            yield Choice(unique, self._schemas.shape(nodes), label)

    def _flat(self, shape: Shape) -> Iterator[tuple[str, Nodes]]:
        """Yield alternatives, nested ones too; one that leads back to itself adds nothing."""
        if not shape.union:
            yield shape.names[0], shape.nodes
            return
        entered = {shape.key}
        waiting = deque([(shape, each) for each in shape.union])
        while waiting:
            around, node = waiting.popleft()
            nodes = (*self._beside(around), *self._tagged(around, node), node)
            inner = self._schemas.shape(nodes)
            if inner.key in entered:
                continue
            if not inner.union:
                yield name_of(node), nodes
            else:
                entered.add(inner.key)
                waiting.extendleft((inner, each) for each in reversed(inner.union))

    def _beside(self, shape: Shape) -> Nodes:
        """Return the schemas that a value must satisfy in any alternative."""
        stated = ({k: v for k, v in p.items() if _constrains(k)} for p in shape.parts)
        return (*(each for each in stated if each), *shape.more_unions)

    def _tagged(self, shape: Shape, node: Any) -> Nodes:
        """Return the discriminator's value for this alternative, if it has none itself."""
        stated = next((p["discriminator"] for p in shape.parts if "discriminator" in p), None)
        name, reference = table(stated).get("propertyName"), table(node).get("$ref")
        if not isinstance(name, str) or not isinstance(reference, str):
            return ()
        inner = self._schemas.shape((node,))
        own = inner.properties.get(name, ())
        if inner.types is not None and "object" not in inner.types:
            return ()
        if own and self._schemas.shape(own).values is not None:
            return ()
        short = reference.rpartition("/")[2]
        mapping = table(table(stated).get("mapping"))
        values = [key for key, to in mapping.items() if to in (reference, short)]
        return ({"properties": {name: {"enum": values or [short]}}},)

    def _by_type(self, one: tuple[str, Nodes]) -> Iterator[tuple[str, Nodes]]:
        nodes = one[1]
        types = self._schemas.shape(nodes).types
        if types is None or len(types) < 2 or not types <= _ONLY.keys():
            yield one
        else:
            yield from ((kind, (*nodes, _ONLY[kind])) for kind in sorted(types))

    def _with_enums_joined(self, flat: list[tuple[str, Nodes]]) -> list[tuple[str, Nodes]]:
        """Return `enum: [a, b]` for `anyOf: [{const: a}, {const: b}]`."""
        listed: dict[tuple[str, ...], set[str]] = {}
        others = []
        for name, nodes in flat:
            shape = self._schemas.shape(nodes)
            if shape.values and shape.types and shape.is_leaf and not shape.patterns:
                listed.setdefault(tuple(sorted(shape.types)), set()).update(shape.values)
            else:
                others.append((name, nodes))
        return [
            *(
                (types[0], ({"type": list(types), "enum": _parsed(v)},))
                for types, v in listed.items()
            ),
            *others,
        ]

    def profile(self, shape: Shape) -> Profile:
        """Return the content of a shape, within MAX_LEVELS and MAX_FEATURES, outer levels first."""
        found = self._profiles.get(shape.key)
        if found is None:
            found = self._profiles[shape.key] = self._profiled(shape)
        return found

    def _profiled(self, shape: Shape) -> Profile:
        features: set[str] = set()
        level = [("", shape)]
        for depth in range(MAX_LEVELS):
            for path, each in level:
                features.update(_features(path, each, root=not depth))
            if len(features) > MAX_FEATURES:
                break
            # A whole level, or none of it, because the order of alternatives must not matter.
            level = [inner for path, each in level for inner in self._inside(path, each)]
        tags = {}
        for name, nodes in shape.properties.items():
            values = self._schemas.shape(nodes).values
            if values is not None:
                tags[name] = values
        return Profile(shape.types, frozenset(features), tags)

    def _inside(self, path: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
        if shape.union:
            yield from ((f"{path}|", choice.shape) for choice in self.of(shape))
            return
        for name in sorted(shape.properties):
            yield f"{path}.{name}", self._schemas.shape(shape.properties[name])
        if shape.items:
            yield f"{path}[]", self._schemas.shape(shape.items)
        if shape.additional:
            yield f"{path}.*", self._schemas.shape(shape.additional)


def _constrains(keyword: str) -> bool:
    return keyword not in _BESIDE and not keyword.startswith("x-")


def _parsed(values: Iterable[str]) -> list[Any]:
    return [json.loads(value) for value in sorted(values)]


def _features(path: str, shape: Shape, *, root: bool) -> Iterator[str]:
    if not root:
        yield path
        yield from (f"{path}:{kind}" for kind in shape.types or ())
    if shape.format:
        yield f"{path}~{shape.format}"
    yield from (f"{path}={value}" for value in shape.values or ())
    yield from (f"{path}.{name}!" for name in shape.required)
    yield from (f"{path}<{name} {limit.text}" for name, limit in shape.limits.items())
    yield from (f"{path}/{pattern}" for pattern in shape.patterns)


class Side(NamedTuple):
    """The alternatives of one document, and their reader."""

    choices: tuple[Choice, ...]
    alternatives: Alternatives


def paired(wanted: Side, offered: Side, *, as_text: bool) -> list[tuple[Choice, Choice | None]]:
    """Return each wanted alternative with its offered counterpart; None: there is none.

    `as_text`: the values are sent as text, so that any of them may be a string.
    """
    scores: list[tuple[float, int, int, int]] = []
    for i, one in enumerate(wanted.choices):
        mine = wanted.alternatives.profile(one.shape)
        for j, other in enumerate(offered.choices):
            score = _similarity(
                one, mine, other, offered.alternatives.profile(other.shape), as_text
            )
            if score is not None:
                scores.append((-score, abs(i - j), i, j))
    scores.sort()
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, i, j in scores:
        if i not in partner and j not in taken:
            partner[i] = j
            taken.add(j)
    for _, _, i, j in scores:  # several may have become one
        partner.setdefault(i, j)
    return [
        (one, offered.choices[partner[i]] if i in partner else None)
        for i, one in enumerate(wanted.choices)
    ]


def _similarity(
    one: Choice, mine: Profile, other: Choice, its: Profile, as_text: bool
) -> float | None:
    """Return the similarity, 2 and more if equal; None if they are not comparable."""
    named = bool(one.label) and one.label == other.label
    bonus = SAME_NAME if named else 0.0
    if mine.types is None or its.types is None:
        return (0.5 if mine.types is its.types else 0.01) + bonus if its.types is None else None
    if not _common_type(mine.types, its.types, as_text):
        return bonus or None
    if mine.features == its.features and mine.types == its.types:
        return 2.0 + bonus
    if not named and any(
        mine.tags[tag].isdisjoint(its.tags.get(tag, mine.tags[tag])) for tag in mine.tags
    ):
        return None
    every = mine.features | its.features
    share = len(mine.features & its.features) / len(every) if every else 0.5
    if mine.types == {"object"} == its.types and mine.features and its.features and not named:
        return share if share >= MIN_SIMILARITY else None
    return 0.1 + 0.8 * share + bonus + (0.05 if mine.types == its.types else 0)


def _common_type(one: frozenset[str], other: frozenset[str], as_text: bool) -> bool:
    numbers = {"integer", "number"}
    return bool(
        one & other or (one & numbers and other & numbers) or (as_text and "string" in other)
    )
