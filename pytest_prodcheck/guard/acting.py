"""The judgement which operations of an OpenAPI document may be sent to a read-only target.

No operation of a document may change a production service, and a safe method is not a promise: many
services act on `GET /delete/{id}`. The effect of an operation is read from its authors' words
(`guard.acting_words`): its path, its operation id, the first verb of its summary and description,
its parameters, and `x-mutating`. Requests that a team has written itself, in a probe or a test, are
not judged here. Pure: nothing is sent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urlencode

import msgspec

from pytest_prodcheck.analysis.openapi_refs import array, pointed, resolved, table
from pytest_prodcheck.config import Target
from pytest_prodcheck.guard import policy
from pytest_prodcheck.guard.acting_words import (
    AFTER_A_THING,
    MONEY,
    OBJECTS,
    VERBS,
    Sign,
    first_sentence,
    is_plural,
    names_things,
    parts_of,
    says_it_reads,
    sign_of_id,
    sign_of_name,
    sign_of_part,
    sign_of_text,
    word_set,
    words_of,
)
from pytest_prodcheck.guard.operation_selectors import selects

Declared: TypeAlias = tuple[str, Mapping[str, Any], Mapping[str, Any], str]
"""Path, path item, operation and method (in capitals) of an operation."""

_SUFFIXES = word_set("""
    action asp aspx cgi csv do htm html json jsp pdf php txt xml yaml yml
""")
"""Last parts of a path that name the response's format: `/logout.json`, `/delete.do`."""

_ACTIONS = word_set("act action cmd command do func function method op operation task verb")
"""Parameters that name an action: `?action=delete`."""

_ANY_ACTION = word_set("action cmd command")
"""Those that can name any action in a path, if their values are not listed."""

_FLAGS = word_set("""
    abort acknowledge cancel clear delete destroy drop erase expunge flush forget kill logout prune
    purge reboot rebuild reindex remove reset restart revoke shutdown signout terminate truncate
    uninstall unlink unsubscribe wipe
""")
"""Verbs that a boolean parameter may request: `?reset=true`."""

_AFTER_PARAMETER = re.compile(r"\}/([A-Za-z]+)(?:\.[A-Za-z]+)?/?$")
"""The last part of a path, after a parameter."""

_OPEN = re.compile(r"/([A-Za-z][\w-]*)/(open)(?:\.[a-z]+)?/?$", re.IGNORECASE)
"""A verb behind one thing, `/door/open`, and an adjective behind several, `/orders/open`."""

_ACTS = ("x-mutating", "x-mutates", "x-destructive", "x-side-effects", "x-unsafe")
_READS = ("x-read-only", "x-readonly", "x-safe")
"""Marks of an operation: it changes something if one of _ACTS is true or one of _READS false."""

_UNSAFE = word_set("post put patch delete")
_METHODS = _UNSAFE | word_set("get head options trace")


# --- the decision ---------------------------------------------------------------------------------


class Judgement(NamedTuple):
    """The effect of an operation of a document, and the permission to send it."""

    acts: str = ""
    """Evidence that it changes something, whatever its method; "" for none."""
    withheld: str = ""
    """The reason not to send it to this target, as a sentence; "" if it may be sent."""


def judge(
    spec: Mapping[str, Any], one: Declared, target: Target, allowed: Sequence[str], under: str = ""
) -> Judgement:
    """Judge an operation; one with an unsafe method only for a header that names another host.

    one: as `openapi.declared` returns it. allowed: entries of `[contract] allow`. under: the path
    that the document puts before that of the operation, below `base_url`.
    """
    path, item, operation, method = one
    parameters = list(_parameters(spec, item, operation))
    named = msgspec.json.encode([f"{method} {path[:200]}"]).decode()
    if header := _host_header(parameters):
        why = f"it asks for the header {header[:40]}, by which a server answers for another host"
        return Judgement(withheld=f"{why}; leave it out: [contract] exclude = {named}")
    if method not in policy.SAFE_METHODS:
        return Judgement()
    if how := _override(spec, operation, parameters):
        why = f"{how} can make another method of it, and target {target.name} is read-only"
        why += "; test it on a target with read_only = false"
        return Judgement(acts=how, withheld=why if target.read_only else "")
    if is_allowed(one, allowed):
        return Judgement()
    how = _effect(spec, one, parameters, under)
    if not how or not target.read_only:
        return Judgement(acts=how)
    why = f"it may change something ({how}), and target {target.name} is read-only"
    return Judgement(how, f"{why}; if it only reads, allow it: [contract] allow = {named}")


def is_allowed(one: Declared, allowed: Sequence[str]) -> bool:
    """Return True if the team has allowed this operation."""
    return any(names(entry, one) for entry in allowed)


def names(entry: str, one: Declared) -> bool:
    """Return True if an entry of `[contract] allow` or `exclude` names this operation."""
    path, _, operation, method = one
    identity = str(operation.get("operationId", ""))
    tags = [str(tag) for tag in array(operation.get("tags"))]
    return selects(entry, method, path, identity, tags)


def case_acts(path: Mapping[str, Any], query: Mapping[str, Any], *, allowed: bool) -> str:
    """Return the value of one request that requests a change; "" if none does.

    A value may name an action that the document does not: `?action=delete`, or a path in a path,
    `/items/..%2Flogout`. allowed: the team has allowed the operation.
    """
    given = [(name, str(value)) for name, value in query.items()]
    if how := policy.acting_query(urlencode(given)):
        return how
    if allowed:
        return ""
    for name, value in (*given, *((name, str(one)) for name, one in path.items())):
        if _names_an_action(name) and _is_action(value):
            return f"its parameter {name[:40]} is {value[:40]}"
    plain = (unquote(unquote(str(value))).replace("\\", "/") for value in path.values())
    parts = (_acting_part(one, reads=False, is_sure=False) for one in plain if "/" in one)
    part = next(filter(None, parts), "")
    return f'"{part[:40]}" in a value of its path' if part else ""


# --- what an operation does -----------------------------------------------------------------------


def _effect(
    spec: Mapping[str, Any],
    one: Declared,
    parameters: Sequence[Mapping[str, Any]],
    under: str,
) -> str:
    """Return the evidence that an operation changes something, worded for parentheses."""
    path, item, operation, _ = one
    if mark := next(_marks(operation), ""):
        return f"the document marks it {mark}"
    identity, summary, description = (
        str(operation.get(name) or "") for name in ("operationId", "summary", "description")
    )
    if not summary:
        summary, description = description, ""
    says = {
        f"its operationId is {identity[:80]}": sign_of_id(identity, path),
        f'its summary is "{first_sentence(summary)[:60]}"': sign_of_text(summary),
        f'its description is "{description.strip()[:60]}"': sign_of_text(description),
    }
    signs = list(says.values())
    reads = Sign.READS in signs
    # A sign that disagrees with the summary is a mistake of the document if a third sign agrees
    # with the summary, or if the path has another method for changes.
    other_method = not item.keys().isdisjoint(("put", "patch", "delete"))
    is_sure = signs[1] is Sign.READS and (other_method or signs.count(Sign.READS) > 1)
    for how, sign in says.items():
        if (sign is Sign.ACTS and not is_sure) or (sign is Sign.MAY_ACT and not reads):
            return how
    if part := _acting_part(under + path, reads=reads, is_sure=is_sure):
        return f'"{part[:80]}" in its path'
    if not reads and not says_it_reads(identity) and (part := _moves_money(path)):
        return f'"{part[:80]}" in its path'
    declared = {str(each.get("name")) for each in parameters}
    undeclared = [one for one in re.findall(r"\{([^{}]+)\}", path) if one not in declared]
    parameters = [*parameters, *({"name": name, "in": "path"} for name in undeclared)]
    acts = (_parameter_acts(spec, each, reads=reads) for each in parameters)
    return next(filter(None, acts), "")


def _moves_money(path: str) -> str:
    """Return the last part of a path if it may be a payment; "" if not."""
    last = ["", *_without_suffixes(path)][-1]
    return last if last.lower() in MONEY else ""


def _without_suffixes(path: str) -> list[str]:
    """Return the names in a path, without suffixes that name a format."""
    parts = list(parts_of(path))
    while len(parts) > 1 and parts[-1].lower() in _SUFFIXES:
        parts.pop()
    return parts


def _marks(operation: Mapping[str, Any]) -> Iterator[str]:
    """Yield each extension or tag that marks the operation as changing: `x-mutating: true`."""
    tags = array(operation.get("tags"))
    yield from (mark for mark in _ACTS if operation.get(mark) or mark in tags)
    yield from (f"{mark}: false" for mark in _READS if operation.get(mark) is False)


def _acting_part(path: str, *, reads: bool, is_sure: bool) -> str:
    """Return the part of a path that names an action, "" for none.

    reads, is_sure: one other sign, or more than one, shows that the operation only reads.
    """
    parts = _without_suffixes(path)
    last = words_of(parts[-1]) if parts else []
    if last == ["request"] and not reads:  # `/permissions/request`
        return parts[-1]
    after = _AFTER_PARAMETER.search(path)
    if after and after[1].lower() in AFTER_A_THING and not reads:
        return after[1]
    opened = _OPEN.search(path)
    if opened and not is_plural(opened[1].lower()) and not reads:
        return opened[2]
    for number, part in enumerate(parts, 1):
        if sign_of_part(part) < Sign.MAY_ACT:
            continue
        words = words_of(part)
        is_verb = len(words) == 1 and words[0] in VERBS
        if is_verb and number == len(parts):  # `/cache/clear`
            if not is_sure:
                return part
        elif len(words) == 1 and not is_verb and number < len(parts) and names_things(last[-1]):
            continue  # `/run/{id}/logs`
        elif not reads:
            return part
    return ""


# --- its parameters -------------------------------------------------------------------------------


def _parameters(
    spec: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Yield each parameter, the parts of exploded objects, and the parameters of credentials."""
    for one in (*array(item.get("parameters")), *array(operation.get("parameters"))):
        parameter = resolved(spec, one)
        yield parameter
        schema = resolved(spec, parameter.get("schema"))
        for name, part in table(schema.get("properties")).items():
            yield {"name": str(name), "in": parameter.get("in"), "schema": part}
    schemes = pointed(spec, "#/components/securitySchemes") or spec.get("securityDefinitions")
    for requirement in array(operation.get("security", spec.get("security"))):
        for name in table(requirement):
            scheme = resolved(spec, table(schemes).get(name))
            if scheme.get("type") == "apiKey":
                yield {"name": scheme.get("name"), "in": scheme.get("in")}


def _host_header(parameters: Sequence[Mapping[str, Any]]) -> str:
    """Return the declared header by which a server chooses the site, "" for none."""
    names = (str(one.get("name")) for one in parameters if one.get("in") == "header")
    return next(filter(policy.names_a_host, names), "")


def _override(
    spec: Mapping[str, Any],
    operation: Mapping[str, Any],
    parameters: Sequence[Mapping[str, Any]],
) -> str:
    """Return the part of the operation that can override its method, "" for none."""
    for one in parameters:
        place, name = one.get("in"), str(one.get("name"))
        if place in ("query", "header") and policy.is_override(name):
            return f"its parameter {name[:40]}"
        if place == "query" and name.lower() == "query":
            values = (urlencode({name: str(value)}) for value in _values(spec, one))
            if any(map(policy.acting_query, values)):
                return f"a value of its parameter {name[:40]}"
        if place == "header" and name.lower() == "content-type":
            values = (str(value).lower() for value in _values(spec, one))
            if any(value.startswith(policy.FORMS) for value in values):
                return "a form in its body"
    required = resolved(spec, operation.get("requestBody")).get("required") is True
    fields = (one.get("required") for one in parameters if one.get("in") == "formData")
    if (required and _forms(spec, operation)) or True in fields:
        return "a form in its body"
    return ""


def _forms(spec: Mapping[str, Any], operation: Mapping[str, Any]) -> list[str]:
    """Return the content types of its body that are forms."""
    content = table(resolved(spec, operation.get("requestBody")).get("content"))
    return [name for name in content if str(name).strip().lower().startswith(policy.FORMS)]


def without_forms(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document without the forms of operations with safe methods.

    They are never filled in. Stripe documents one for each of its GETs, and a form can override
    the method.
    """
    paths = {
        path: _item_without_forms(spec, item) for path, item in table(spec.get("paths")).items()
    }
    return {**spec, "paths": paths} if "paths" in spec else spec


def _item_without_forms(spec: Mapping[str, Any], item: Any) -> Any:
    """Return a path item without the forms of its operations with safe methods."""
    found = dict(resolved(spec, item))
    for method in map(str.lower, policy.SAFE_METHODS):
        operation = table(found.get(method))
        if forms := _forms(spec, operation):
            body = resolved(spec, operation["requestBody"])
            content = {name: one for name, one in body["content"].items() if name not in forms}
            found[method] = {k: v for k, v in operation.items() if k != "requestBody"}
            if content:
                found[method]["requestBody"] = {**body, "content": content}
        if any(_is_form(spec, one) for one in array(operation.get("parameters"))):
            kept = [one for one in operation["parameters"] if not _is_form(spec, one)]
            found[method] = {**operation, "parameters": kept}
    return found or item


def _is_form(spec: Mapping[str, Any], parameter: Any) -> bool:
    return resolved(spec, parameter).get("in") == "formData"


def _names_an_action(name: str) -> bool:
    return len(words := words_of(name)) == 1 and words[0] in _ACTIONS


def _is_action(value: str) -> bool:
    return value.lower() in _UNSAFE or sign_of_name(words_of(value)) >= Sign.MAY_ACT


def _parameter_acts(spec: Mapping[str, Any], parameter: Mapping[str, Any], *, reads: bool) -> str:
    """Return the evidence that a parameter makes the operation act, "" for none."""
    name, place = str(parameter.get("name", "")), parameter.get("in")
    if place not in ("query", "path"):
        return ""
    words = words_of(name)
    if _names_an_action(name) and not reads:
        values = [str(value) for value in _values(spec, parameter)]
        if place == "path" and words[0] in _ANY_ACTION and not values:
            return f"its parameter {name[:40]} can be any action"
        found = next(filter(_is_action, values), "")
        if found and not _are_methods({value.lower() for value in values}):
            return f"its parameter {name[:40]} can be {found[:40]}"
    asks = bool(words) and words[0] in _FLAGS and (len(words) == 1 or words[-1] in OBJECTS)
    if place == "query" and asks and _is_flag(spec, parameter):
        return f"its parameter {name[:40]} asks for it"
    return ""


def _are_methods(values: set[str]) -> bool:
    """Return True if the values are HTTP methods, which a service may list or filter by."""
    return "get" in values and values <= _METHODS


def _is_flag(spec: Mapping[str, Any], parameter: Mapping[str, Any]) -> bool:
    """Return True if a parameter is boolean."""
    schema = resolved(spec, parameter.get("schema")) or parameter
    values = [str(value).lower() for value in _values(spec, parameter)]
    return schema.get("type") == "boolean" or "true" in values


def _values(spec: Mapping[str, Any], parameter: Mapping[str, Any]) -> Iterator[Any]:
    """Yield every value that the document gives for a parameter."""
    schema = resolved(spec, parameter.get("schema"))
    for place in (parameter, schema, resolved(spec, schema.get("items"))):
        yield from array(place.get("enum"))
        yield from array(place.get("examples"))
        for one in table(place.get("examples")).values():
            yield table(one).get("value")
        for key in ("const", "default", "example", "x-example"):
            if key in place:
                yield place[key]
