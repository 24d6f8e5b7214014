"""One case of Schemathesis: facts about it, and smaller or other cases made from it.

Imported when a contract check runs, never earlier: Schemathesis takes half a second to import.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.generation.meta import TestPhase

from pytest_prodcheck.analysis.openapi_refs import array, resolved, table

Case: TypeAlias = schemathesis.Case[Any]
Response: TypeAlias = schemathesis.Response


def is_allowed(case: Case) -> bool:
    """Return True if the document allows this request."""
    return case.meta is None or not case.meta.generation.mode.is_negative


def is_random(case: Case) -> bool:
    """Return True if this case was drawn at random; others follow from the document."""
    return case.meta is not None and case.meta.phase.name is TestPhase.FUZZING


def takes_real_values(case: Case) -> bool:
    """Return True unless the path of this case is wrong on purpose, or what the case tests."""
    meta = case.meta
    if meta is None:
        return True
    place = getattr(meta.phase.data, "parameter_location", None)
    return place != ParameterLocation.PATH and not meta.is_negative_at(ParameterLocation.PATH)


def parameter_under_test(case: Case) -> str:
    """Return the name of the parameter that a case tests; "" if it tests none in particular."""
    data = getattr(getattr(case.meta, "phase", None), "data", None)
    return str(getattr(data, "parameter", "") or "")


def values_from_sequence(case: Case, recorder: Any) -> dict[str, dict[str, list[Any]]]:
    """Return the parameters of a step that earlier responses gave, by place and name."""
    node = recorder.cases.get(case.id)
    if node is None or node.transition is None:
        return {}
    return {
        place: {
            name: [one.value.ok()] for name, one in parameters.items() if isinstance(one.value, Ok)
        }
        for place, parameters in node.transition.parameters.items()
    }


def with_path_parameters(case: Case, values: Mapping[str, Any]) -> Case:
    """Return a copy with these parameters of the path."""
    copied: Case = case.derive(keep_auth=True)
    copied.path_parameters = {**(case.path_parameters or {}), **values}
    return copied


def optional_parameters(case: Case) -> list[tuple[str, str]]:
    """Return the parameters that the document does not require, as (place, name)."""
    found: list[tuple[str, str]] = []
    if None in (case.path_parameters, case.query, case.headers, case.cookies):
        return found  # made by a hook of the team; such a case cannot be copied
    for place in ("query", "headers", "cookies"):
        required = {one.name.lower(): one.is_required for one in getattr(case.operation, place)}
        given = getattr(case, place)
        found += [(place, name) for name in given if not required.get(name.lower(), True)]
    return found


def without_parameter(case: Case, place: str, name: str) -> Case:
    """Return a copy without that parameter."""
    smaller: Case = case.derive(keep_auth=True)
    getattr(smaller, place).pop(name, None)
    return smaller


def optional_fields(case: Case) -> list[tuple[str, ...]]:
    """Return the fields of the body that the document does not require, as paths into it."""
    schemas = [
        one.validation_schema for one in case.operation.body if one.media_type == case.media_type
    ]
    body: Any = case.body
    return list(_optional(table(schemas[0]), schemas[0], body)) if schemas else []


def without_field(case: Case, path: tuple[str, ...]) -> Case:
    """Return a copy without that field of the body."""
    smaller: Case = case.derive(keep_auth=True)
    body: Any = copy.deepcopy(case.body)
    smaller.body = body
    for name in path[:-1]:
        body = body[name]
    del body[path[-1]]
    return smaller


def _optional(
    root: Mapping[str, Any], schema: Any, body: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield optional fields of an object and of the objects in it, outer ones first."""
    found = resolved(root, schema)
    required = array(found.get("required"))
    properties = {name: one for name, one in table(found.get("properties")).items() if name in body}
    yield from ((*path, name) for name in properties if name not in required)
    for name, one in properties.items():
        if isinstance(body[name], dict):
            yield from _optional(root, one, body[name], (*path, name))
