"""The parts of operations that are gone, or require more than before."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pytest_prodcheck.analysis.openapi_diff.document import (
    Alternative,
    Body,
    Document,
    Encoding,
    Nodes,
    Operation,
    Parameter,
    Response,
)
from pytest_prodcheck.analysis.openapi_diff.rules import Change, change
from pytest_prodcheck.analysis.openapi_diff.schema import Shape
from pytest_prodcheck.analysis.openapi_diff.schemas import Comparison, Step

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
"""Media types whose fields are text on the wire."""


def breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return every change from `old` to `new` that can break a client of `old`, by place and rule.

    Both are parsed OpenAPI documents (2.0, 3.0 or 3.1, not necessarily the same). Malformed parts
    count as absent; nothing is raised for them.
    """
    before, after = Document(old), Document(new)
    found = [*_security_schemes(before, after), *_operations(before, after)]
    unique = {(each.place, each.rule): each for each in reversed(found)}
    return [unique[key] for key in sorted(unique)]


def _operations(old: Document, new: Document) -> Iterator[Change]:
    served: dict[str, dict[str, Operation]] = defaultdict(dict)
    for operation in new.operations():
        served[_shape(operation.path)][operation.method] = operation
    wanted: dict[str, list[Operation]] = defaultdict(list)
    for operation in old.operations():
        wanted[operation.path].append(operation)
    comparison, logins = Comparison(old, new), _old_names(old, new)
    for path, operations in wanted.items():
        now = served.get(_shape(path))
        if now is None:
            yield _removed_path(path, operations)
            continue
        for was in operations:
            if was.method in now:
                yield from _operation(was, now[was.method], comparison, logins)
            else:
                yield _removed_operation(was)


def _shape(path: str) -> str:
    """Return the path without the names of its parameters, which no client sends."""
    return re.sub(r"\{[^{}]*\}", "{}", path)


def _removed_path(path: str, operations: list[Operation]) -> Change:
    deprecated = all(each.deprecated for each in operations)
    methods = ", ".join(each.method for each in operations)
    return change(
        f"api-path-removed-with{'' if deprecated else 'out'}-deprecation",
        path,
        f"the path was served for {methods}, is gone",
    )


def _removed_operation(was: Operation) -> Change:
    return change(
        f"api-removed-with{'' if was.deprecated else 'out'}-deprecation",
        f"{was.method} {was.path}",
        "the operation was served, is gone",
    )


def _operation(
    was: Operation, now: Operation, comparison: Comparison, logins: Mapping[str, str]
) -> Iterator[Change]:
    place = f"{was.method} {was.path}"
    renamed = ({logins.get(name, name): s for name, s in each.items()} for each in now.security)
    yield from _security(place, was.security, tuple(renamed))
    yield from _parameters(place, was.parameters, now.parameters, comparison)
    yield from _body(f"{place} · request body", was.body, now.body, comparison)
    for status, response in was.responses.items():
        here = f"{place} · response {status}"
        successors = _successors(status, was.responses, now.responses)
        for successor in successors:
            yield from _response(here, response, successor, comparison)
        if successors:
            continue
        if status.startswith("2") and now.responses:
            left = ", ".join(now.responses)
            yield change(
                "response-success-status-removed", here, f"{status} was an answer, only {left} is"
            )


# --- requests


def _parameters(
    place: str,
    old: Mapping[tuple[str, str], Parameter],
    new: Mapping[tuple[str, str], Parameter],
    comparison: Comparison,
) -> Iterator[Change]:
    for key, was in old.items():
        here = f"{place} · {was.label}"
        now = new.get(key)
        if now is not None:
            yield from _parameter(here, was, now, comparison)
        elif key[0] != "path":
            yield change(
                "request-parameter-removed",
                here,
                f"the {was.label} was accepted, is not known any more",
                milder=1 if was.deprecated else 0,
            )
    for key, now in new.items():
        if key not in old and now.required and key[0] != "path":
            yield change(
                "new-required-request-parameter",
                f"{place} · {now.label}",
                f"the {now.label} was not known, is required",
            )


def _parameter(
    place: str, was: Parameter, now: Parameter, comparison: Comparison
) -> Iterator[Change]:
    if now.required and not was.required:
        message = f"the {was.label} was optional, is required"
        yield change("request-parameter-became-required", place, message)
    before, after = comparison.old.shape(was.schema), comparison.new.shape(now.schema)
    if was.serialization != now.serialization and _both_hold_several(before, after):
        message = f"lists were written as {was.serialization}, are as {now.serialization}"
        yield change("request-parameter-serialization-changed", place, message)
    yield from comparison.changes(
        "request-parameter", place, was.schema, now.schema, encoding=was.encoding
    )
    if None not in (before.default, after.default) and before.default != after.default:
        message = f"the default was {before.default}, is {after.default}"
        yield change("request-parameter-default-value-changed", place, message)


def _both_hold_several(was: Shape, now: Shape) -> bool:
    """Return True for lists or objects: a single value is the same in every style."""
    return all(bool((shape.types or frozenset()) & {"array", "object"}) for shape in (was, now))


def _body(
    place: str, was: Body | None, now: Body | None, comparison: Comparison
) -> Iterator[Change]:
    if was is None:
        if now is not None and now.required:
            message = "there was no body, one is required"
            yield change("request-body-added-required", place, message)
        return
    if now is None:
        yield change("request-body-removed", place, "a body was accepted, is not known any more")
        return
    if now.required and not was.required:
        message = "the body was optional, is required"
        yield change("request-body-became-required", place, message)
    seen: set[Step] = set()
    for kind, schema in was.content.items():
        taken = _covering(kind, now.content)
        if taken is not None:
            here = _with_media_type(place, kind)
            encoding: Encoding = "form" if kind in FORMS else "json"
            yield from comparison.changes("request-body", here, schema, taken, seen, encoding)
        else:
            yield change(
                "request-body-media-type-removed",
                f"{place} · {kind}",
                f"{kind} was accepted, only {', '.join(now.content)} is",
            )


# --- responses


def _successors(
    status: str, old: Mapping[str, Response], new: Mapping[str, Response]
) -> list[Response]:
    """Return the new responses for `status`.

    These are its own, that of its class (`2XX`), the remaining ones if it was a class or the only
    success, or the default.
    """
    for key in (status, f"{status[:1]}XX"):
        if key in new:
            return [new[key]]
    only_success = status == "DEFAULT" and not any(key.startswith("2") for key in old)
    if status.endswith("XX") or only_success:
        first = "2" if only_success else status[0]
        if within := [one for key, one in new.items() if key.startswith(first)]:
            return within
    return [new["DEFAULT"]] if "DEFAULT" in new else []


def _response(place: str, was: Response, now: Response, comparison: Comparison) -> Iterator[Change]:
    seen: set[Step] = set()
    for kind, schema in was.content.items():
        given = _covering(kind, now.content) or _covered(kind, now.content)
        if given is not None:
            here = _with_media_type(place, kind)
            yield from comparison.changes("response-body", here, schema, given, seen)
        else:
            left = ", ".join(now.content) or "a response without a body"
            yield change(
                "response-media-type-removed",
                f"{place} · {kind}",
                f"{kind} was returned, only {left} is",
            )
    for name, header in was.headers.items():
        yield from _header(f"{place} · {header.label}", header, now.headers.get(name), comparison)


def _header(
    place: str, was: Parameter, now: Parameter | None, comparison: Comparison
) -> Iterator[Change]:
    promised = "always returned" if was.required else "returned"
    if now is None:
        yield change(
            f"{'required' if was.required else 'optional'}-response-header-removed",
            place,
            f"the {was.label} was {promised}, is not returned any more",
            milder=1 if was.deprecated else 0,
        )
        return
    if was.required and not now.required:
        message = f"the {was.label} was {promised}, is optional"
        yield change("response-header-became-optional", place, message)
    yield from comparison.changes(
        "response-header", place, was.schema, now.schema, encoding=now.encoding
    )


# --- media types


def _covering(kind: str, content: Mapping[str, Nodes]) -> Nodes | None:
    """Return the schema for `kind`, by its own name or a range such as `application/*`."""
    if kind in content:
        return content[kind]
    return next((content[other] for other in content if fnmatchcase(kind, other)), None)


def _covered(kind: str, content: Mapping[str, Nodes]) -> Nodes | None:
    """Return the schema of the first type that the range `kind` includes."""
    return next((content[other] for other in content if fnmatchcase(other, kind)), None)


def _with_media_type(place: str, kind: str) -> str:
    """Return the place with its media type, which is left out for JSON."""
    return place if kind in ("application/json", "*/*") else f"{place} · {kind}"


# --- security


def _old_names(old: Document, new: Document) -> dict[str, str]:
    """Return new name of a security scheme -> old one, for schemes that were only renamed."""
    before, after = old.security_schemes(), new.security_schemes()
    free = {kind: name for name, kind in before.items() if kind and name not in after}
    return {name: free[kind] for name, kind in after.items() if name not in before and kind in free}


def _security(
    place: str, old: Iterable[Alternative], new: tuple[Alternative, ...]
) -> Iterator[Change]:
    """Yield a change for each alternative that no longer grants access."""
    if not new:
        return
    for was in old:
        if any(_satisfies(was, now) for now in new):
            continue
        needed = " or ".join(sorted(_login(now) for now in new))
        rule = "api-security-removed"
        if not was:
            rule = "api-security-added"
        elif any(now.keys() <= was.keys() for now in new):
            rule = "api-security-scope-added"
        yield change(rule, place, f"{_login(was)} was enough, {needed} is required")


def _satisfies(was: Alternative, now: Alternative) -> bool:
    return all(name in was and scopes <= was[name] for name, scopes in now.items())


def _login(alternative: Alternative) -> str:
    if not alternative:
        return "no login"
    return " and ".join(
        f"{name} ({', '.join(sorted(scopes))})" if scopes else name
        for name, scopes in sorted(alternative.items())
    )


def _security_schemes(old: Document, new: Document) -> Iterator[Change]:
    kinds = new.security_schemes()
    for name, was in old.security_schemes().items():
        now = kinds.get(name, was)
        if was and now and was != now:
            yield change(
                "api-security-component-type-changed",
                f"security scheme {name}",
                f"{name} was {was}, is {now}",
            )
