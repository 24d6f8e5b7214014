"""The operations of an OpenAPI document, as this target has them: what there is to test.

Read from the document itself, without Schemathesis: it takes milliseconds, is the same in every
process, and leaves nothing out.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

from pytest_prodcheck.analysis.openapi_refs import array, pointed, resolved, table
from pytest_prodcheck.checks.openapi.document import declared, place_of, under
from pytest_prodcheck.config import Drill, Target
from pytest_prodcheck.guard import acting
from pytest_prodcheck.guard.operation_selectors import selects
from pytest_prodcheck.guard.policy import SAFE_METHODS
from pytest_prodcheck.model import Record

LONGEST_ID = 200
"""Characters of an id; a longer one is cut, and gets a hash."""


class Credential(Record):
    """Where a security scheme has its value in a request."""

    place: str
    """header, query or cookie."""
    name: str
    scheme: str = ""
    """Of an Authorization header, in small letters: bearer, basic, digest …"""

    @property
    def wrong(self) -> str:
        """A value of the right form that nobody has."""
        if self.scheme == "basic":
            return f"Basic {base64.b64encode(b'prodcheck:wrong-credentials').decode()}"
        value = "prodcheck-wrong-credentials"
        return f"{self.scheme.capitalize()} {value}" if self.scheme else value


class Operation(Record):
    """One method of one path."""

    id: str
    """`GET /journal/{id}`; unique in the document, printable, at most LONGEST_ID long."""
    method: str
    """In capitals."""
    path: str
    """As the document has it."""
    operation_id: str = ""
    tags: tuple[str, ...] = ()
    base: str = ""
    """URL that its path is under."""
    obstacle: str = ""
    """Why it cannot be tested, if so; the rest of a sentence."""
    writes: bool = False
    """It may change something."""
    withheld: str = ""
    """Why it is not permitted on this target although its method is; a sentence."""
    allowed: bool = False
    """Whether the team has said that it only reads."""
    credentials: tuple[Credential, ...] = ()
    """What it asks of everybody; empty: it is open, or asks for a client's certificate alone."""


def operations(
    spec: Mapping[str, Any], target: Target, allowed: Sequence[str] = ()
) -> tuple[Operation, ...]:
    """Return every operation of the document, in the order of paths, then methods.

    allowed: entries of `[contract] allow`, which name those that only read.
    """
    external = External(spec)
    found: dict[str, Operation] = {}
    for one in sorted(declared(spec), key=lambda one: (one[0], one[3])):
        path, item, operation, method = one
        place = place_of(spec, path, item, operation, target)
        obstacle = place.obstacle
        if not path.startswith("/"):
            # Behind an address it would become part of it: `@host`, `.host`.
            obstacle = "its path does not begin with a slash"
        elif obstacle:
            pass
        elif reference := external.within(operation) or external.within(item.get("parameters")):
            obstacle = (
                f"its definition is in {reference[:120]}, outside of the document, and is not "
                "followed; bundle the document into one file"
            )
        judgement = acting.judge(spec, one, target, allowed, under(place, target))
        name = _unique(_printable(f"{method} {path}"), found)
        found[name] = Operation(
            id=name,
            method=method,
            path=path,
            operation_id=str(operation.get("operationId", "")),
            tags=tuple(map(str, array(operation.get("tags")))),
            base=place.base,
            obstacle=obstacle,
            writes=method not in SAFE_METHODS or bool(judgement.acts),
            withheld=judgement.withheld,
            allowed=acting.is_allowed(one, allowed),
            credentials=_credentials(spec, operation),
        )
    for method, path in _of_other_methods(spec):
        name = _unique(_printable(f"{method} {path}"), found)
        obstacle = "its method is one of `additionalOperations`, of which no cases can be made"
        found[name] = Operation(id=name, method=method, path=path, obstacle=obstacle)
    for path, reference in _missing(spec):
        name = _unique(_printable(f"* {path}"), found)
        obstacle = f"its definition is in {reference[:120]}, which is not in the document"
        found[name] = Operation(id=name, method="*", path=path, obstacle=obstacle)
    return tuple(found.values())


def _of_other_methods(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Method and path of each operation that OpenAPI 3.2 lists beside those of known methods."""
    for path, item in sorted(table(spec.get("paths")).items()):
        for method in sorted(table(resolved(spec, item).get("additionalOperations"))):
            yield str(method), str(path)


def _missing(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Paths whose methods nobody knows, since they refer to what is not there; and to what."""
    for path, item in sorted(table(spec.get("paths")).items()):
        reference = table(item).get("$ref")
        if isinstance(reference, str) and not resolved(spec, item):
            yield str(path), reference


def chosen(all_: Iterable[Operation], excluded: Sequence[str]) -> tuple[Operation, ...]:
    """Return those that no entry of `[contract] exclude` matches."""
    return tuple(one for one in all_ if not any(matches(one, entry) for entry in excluded))


def is_switch(operation: Operation, drills: Iterable[Drill], target: Target) -> bool:
    """Return True if a drill switches something at the path of *operation*, or switches it back
    there.

    Methods do not matter: a case of another operation of that path may use any of them.
    """
    requests = (way.request for drill in drills for way in (drill.switch, drill.restore))
    ours = _segments(operation.base, operation.path)
    return any(
        _may_be_equal(ours, _segments(target.base_url, request.path.partition("?")[0]))
        for request in requests
        if request
    )


def _segments(base: str, path: str) -> list[str]:
    return [*urlsplit(base).path.split("/"), *path.split("/")]


def _may_be_equal(one: list[str], other: list[str]) -> bool:
    """Return True if two paths can be the same; a segment with a placeholder may be anything."""
    pairs = list(zip_longest(filter(None, one), filter(None, other), fillvalue=""))
    return all(a == b or (a and b and "{" in a + b) for a, b in pairs)


def matches(operation: Operation, entry: str) -> bool:
    """Return True if `METHOD /path`, a path (globs: `*` within a segment, `**` over any), a tag or
    an operation id means this operation."""
    return selects(entry, operation.method, operation.path, operation.operation_id, operation.tags)


def _credentials(spec: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[Credential, ...]:
    """Return the credentials of the security requirements; none where one of them demands
    nothing."""
    requirements = array(operation.get("security", spec.get("security")))
    schemes = pointed(spec, "#/components/securitySchemes") or spec.get("securityDefinitions")
    if not isinstance(schemes, Mapping):
        return ()
    found: dict[Credential, None] = {}
    for requirement in requirements:
        names = list(requirement) if isinstance(requirement, Mapping) else []
        named = [_credential(resolved(spec, schemes.get(name))) for name in names]
        if not any(named):
            return ()
        found |= dict.fromkeys(filter(None, named))
    return tuple(found)


def _credential(scheme: Mapping[str, Any]) -> Credential | None:
    kind = scheme.get("type")
    if kind in ("http", "basic", "oauth2", "openIdConnect"):
        how = {"http": str(scheme.get("scheme", "bearer")), "basic": "basic"}.get(kind, "bearer")
        return Credential(place="header", name="Authorization", scheme=how.lower())
    place, name = scheme.get("in"), scheme.get("name")
    if kind == "apiKey" and place in ("header", "query", "cookie") and isinstance(name, str):
        return Credential(place=str(place), name=name)
    return None  # a certificate of the client, for instance: not to be left out here


def _printable(name: str) -> str:
    """Paths come from a server: no line break, control character or megabyte gets into an id."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
    if len(clean) <= LONGEST_ID:
        return clean
    return f"{clean[: LONGEST_ID - 9]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _unique(name: str, taken: Mapping[str, Operation]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name} ({number})", number + 1
    return unique


class External:
    """References out of the document, wherever a definition leads to one."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec
        self._none = not self._first(spec, follow=False)

    def within(self, part: Any) -> str:
        """Return the first reference out of the document that *part* leads to; "" without one."""
        return "" if self._none else self._first(part, follow=True)

    def _first(self, part: Any, *, follow: bool) -> str:
        pending = [part]
        seen: set[str] = set()
        while pending:
            value = pending.pop()
            if isinstance(value, Mapping):
                reference = value.get("$ref")
                if isinstance(reference, str):
                    if not reference.startswith("#"):
                        return reference
                    if follow and reference not in seen:
                        seen.add(reference)
                        pending.append(pointed(self._spec, reference))
                pending.extend(value.values())
            elif isinstance(value, list):
                pending.extend(value)
        return ""


def closed(value: Any) -> Any:
    """Return the document without anything that makes its reader fetch: references out of it, and
    examples that are elsewhere."""
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            return {}
        return {key: closed(one) for key, one in value.items() if not _elsewhere(key, one)}
    if isinstance(value, list):
        return [closed(one) for one in value]
    return value


def _elsewhere(key: Any, value: Any) -> bool:
    return key == "externalValue" and isinstance(value, str)
