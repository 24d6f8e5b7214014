"""The origin of the values in a request: they exist, or they are invented.

A value exists when the document names it (an example, a default, a member of an enumeration), when
the configuration gives it, or when the service itself has returned it. A response to such values is
about the service's own data; any other response is about a value that the service never had.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

if TYPE_CHECKING:
    from pytest_prodcheck.checks.contract.cases import Case

Known: TypeAlias = Mapping[str, Mapping[str, Sequence[Any]]]
"""Values that exist, by place (`path_parameters`, `query`) and name of the parameter."""

PLACES = ("path_parameters", "query", "headers", "cookies")

OPEN = ("headers", "cookies")
"""Places with more than the document's parameters; the rest counts as the client's own."""


class Documented:
    """The values that the document names for one operation, as Schemathesis has read it."""

    def __init__(self, operation: Any) -> None:
        self._operation = operation

    @cached_property
    def _values(self) -> dict[tuple[str, str], set[str]]:
        """Return them by place and name of the parameter."""
        return {
            (place, parameter.name.lower()): {
                _text(value)
                for value in (*parameter.examples, *_named(parameter.definition.get("schema")))
            }
            | set(map(_text, _named(parameter.definition)))
            for place in PLACES
            for parameter in getattr(self._operation, place)
        }

    @cached_property
    def _bodies(self) -> set[str]:
        return {_text(value) for body in self._operation.body for value in body.examples}

    def invented(self, case: "Case", known: Known) -> bool:
        """Return True if anything in this request is neither documented nor *known* to exist."""
        if case.meta is not None and case.meta.generation.mode.is_negative:
            return True
        if case.method.upper() != self._operation.method.upper():
            return True
        for place in PLACES:
            for name, value in (getattr(case, place) or {}).items():
                named = self._values.get((place, name.lower()))
                if named is None and place in OPEN:
                    continue
                existing = (named or set()) | set(map(_text, known.get(place, {}).get(name, ())))
                if not _is_among(value, existing):
                    return True
        body = case.body
        return isinstance(body, (dict, list, str, bytes, int, float, bool)) and (
            _text(body) not in self._bodies
        )


def _named(schema: Any) -> Iterator[Any]:
    """Yield the values that a schema lists, in each of its alternatives."""
    if not isinstance(schema, Mapping):
        return
    yield from schema.get("enum") or ()
    yield from (schema[key] for key in ("const", "default", "example") if key in schema)
    examples = schema.get("examples")
    if isinstance(examples, list):
        yield from examples
    if "boolean" in (schema.get("type"), *_listed(schema.get("type"))):
        yield from (True, False)
    for key in ("anyOf", "oneOf", "allOf"):
        for alternative in _listed(schema.get(key)):
            yield from _named(alternative)
    yield from _named(schema.get("items"))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_among(value: Any, existing: set[str]) -> bool:
    """Return True if the value, or each of its items, is one of these; also as part of a URL."""
    if isinstance(value, list) and value:
        return all(_is_among(item, existing) for item in value)
    text = _text(value)
    return text in existing or unquote(text) in existing


def _text(value: Any) -> str:
    """Return a value as it goes over the wire, so that `3` and `"3"` are one."""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, default=str)
