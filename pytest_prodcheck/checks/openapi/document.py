"""The target's OpenAPI document (2.0 and 3.x): fetched with one GET, and the probes it implies."""

import re
import subprocess
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from pytest_prodcheck.analysis.openapi_refs import METHODS, array, resolved, table
from pytest_prodcheck.checks.openapi import yaml_process
from pytest_prodcheck.config import Probe, Target
from pytest_prodcheck.errors import ProdcheckError
from pytest_prodcheck.guard.acting import Declared, Judgement, judge, names
from pytest_prodcheck.http.body import BODILESS, strict_json
from pytest_prodcheck.http.errors import GONE, kind_of
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.model import Record

YAML_SECONDS = 60
"""Of a processor, for a document in YAML: 4 MB take one. What bounds it is `yaml_process`'s
count of keys and values; this only ends a parser that was made to hang."""

YAML_MEGABYTES = 256
"""Of memory; 4 MB of a document take about 60."""

NOT_SERVED = (401, 403, *GONE)


class Asking(Protocol):
    def get(self, url: str, /) -> httpx.Response: ...


# --- the document


_JSON = re.compile(rb'\s*(\[|\{\s*["}])')
"""How JSON begins; `{openapi: 3.1.0, …}` is the flow style of YAML."""


class NotServed(str):
    """The sentence where nobody is shown a document, as production often has it."""

    __slots__ = ()


def fetch_spec(client: Asking, target: Target) -> dict[str, Any] | str:
    """Return the document that `target.openapi` names, or a sentence that says why there is none.

    `/path` is on the target, `https://…` a URL, anything else a file. Sends at most one GET.
    """
    named = target.openapi
    if not named:
        return "the target has no `openapi`; set it to a path on the target, a URL or a file"
    if not named.startswith(("/", "http://", "https://")):
        return spec_from_file(named)
    try:
        response = client.get(named)
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        kind, text = kind_of(failure), str(failure)
        cause = text if text.startswith(f"{kind}: ") else f"{kind}: {text}"
        return f"the OpenAPI document {named} could not be read: {cause}"
    except ProdcheckError as refusal:
        return f"the OpenAPI document {named} was not asked for: {refusal}"
    if response.status_code != 200:
        why = NotServed if response.status_code in NOT_SERVED else str
        remedy = "set `openapi` of the target to where it is, or leave it out"
        if _is_file(named):
            remedy = (
                "it is a path on the target, and there is a file of this name on this machine: "
                f'to read that, write openapi = "{Path(named).as_uri()}"'
            )
        return why(f"the OpenAPI document {named} answers {response.status_code}; {remedy}")
    return _spec_from_bytes(response.content, named)


def _is_file(named: str) -> bool:
    try:
        return named.startswith("/") and Path(named).is_file()
    except (OSError, ValueError):
        return False


def spec_from_file(named: str) -> dict[str, Any] | str:
    """Return the document in a file (`file:///…` or a path), or a sentence that says why there is
    none."""
    path = Path(unquote(urlsplit(named).path) if named.startswith("file:") else named)
    try:
        return _spec_from_bytes(path.read_bytes(), named)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        return (
            f"the OpenAPI document {named} is read as a file: {reason}; "
            "a path on the target begins with a slash"
        )


def _spec_from_bytes(content: bytes, named: str) -> dict[str, Any] | str:
    content = content.removeprefix(BOM_UTF8)
    start = content.lstrip()[:100].lower()
    if not start:
        return f"the OpenAPI document {named} is empty"
    if start.startswith(b"<"):
        return (
            f"the OpenAPI document {named} is a page of HTML or XML, not JSON; "
            "set `openapi` to the document itself, often /openapi.json"
        )
    if not _JSON.match(content):
        converted = _json_of_yaml(content)
        if isinstance(converted, str):
            return f"the OpenAPI document {named} {converted}"
        content = converted
    try:
        spec = strict_json(content)
    except ValueError as problem:
        return f"the OpenAPI document {named} is not valid JSON: {problem}"
    if not isinstance(spec, dict) or not ("openapi" in spec or "swagger" in spec):
        return (
            f"{named} is not an OpenAPI document: it says neither `openapi` nor `swagger`; "
            "set `openapi` to the document itself"
        )
    _complete_version(spec)
    if not any(True for _ in declared(spec)):
        return f"the OpenAPI document {named} has no operations: its `paths` are empty"
    try:
        msgspec.json.encode(spec)  # as it goes to the other processes
    except (TypeError, ValueError) as problem:
        return f"the OpenAPI document {named} has what JSON does not have: {problem}"
    return spec


def _complete_version(spec: dict[str, Any]) -> None:
    """Make `3.1`, which YAML reads as a number, the text "3.1.0" that OpenAPI has."""
    for key, form in (("openapi", "{}.0"), ("swagger", "{}")):
        stated = spec.get(key)
        if isinstance(stated, int | float) and not isinstance(stated, bool):
            stated = str(float(stated))
        if isinstance(stated, str) and re.fullmatch(r"\d\.\d", stated):
            spec[key] = form.format(stated)


def _json_of_yaml(content: bytes) -> bytes | str:
    """Return the same document as JSON, or the rest of a sentence that says why it is not read."""
    limits = [str(YAML_SECONDS), str(YAML_MEGABYTES)]
    child = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-P", yaml_process.__file__, *limits],
        input=content,
        capture_output=True,
        check=False,
    )
    if child.returncode == 0:
        return child.stdout
    if child.returncode < 0:  # by a signal: SIGXCPU, or that of a parser that crashed
        return f"could not be read as YAML in {YAML_SECONDS} s of processor; serve it as JSON"
    return child.stderr.decode(errors="replace").strip()[-300:]


# --- the probes


def derive(
    spec: Mapping[str, Any],
    target: Target,
    allowed: Sequence[str] = (),
    excluded: Sequence[str] = (),
) -> tuple[Probe, ...]:
    """Return the probes of a target that declares none: its health, and every GET without
    parameters.

    `spec` may be empty. Left out is what cannot succeed as it stands or should not be sent:
    operations on another host, that need credentials while the target has no headers, that
    stream for ever, that *excluded* names, or that may change something, unless *allowed* names
    them.
    """
    health = target.health
    probes = {}
    if health:
        probe = Probe(method="GET", path=health, id=f"GET {health}", severity="critical")
        probes[probe.id] = probe
    for where, operation, judgement in _implied(spec, target, allowed, excluded):
        if judgement.acts or judgement.withheld:
            continue
        probe = Probe(
            method="GET", path=where, id=f"GET {where}", headers=_promised(spec, operation)
        )
        if health and where == health:
            probe = Probe(
                method="GET", path=where, id=probe.id, headers=probe.headers, severity="critical"
            )
        probes[probe.id] = probe
    return tuple(probes.values())


def withheld(
    spec: Mapping[str, Any],
    target: Target,
    allowed: Sequence[str] = (),
    excluded: Sequence[str] = (),
) -> dict[str, str]:
    """Return id -> reason of each probe that may not be sent to this target."""
    return {
        f"GET {where}": judgement.withheld
        for where, _, judgement in _implied(spec, target, allowed, excluded)
        if judgement.withheld
    }


def _implied(
    spec: Mapping[str, Any], target: Target, allowed: Sequence[str], excluded: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Any], Judgement]]:
    """Path below `base_url`, operation and judgement of each GET that needs no parameter."""
    for one in declared(spec):
        path, item, operation, method = one
        if method != "GET" or not _sendable(spec, path, item, operation, target):
            continue
        if any(names(entry, one) for entry in excluded):
            continue
        place = place_of(spec, path, item, operation, target)
        if not place.obstacle:
            judgement = judge(spec, one, target, allowed, under(place, target))
            yield _join(place.base, path, target), operation, judgement


def out_of_reach(spec: Mapping[str, Any], target: Target) -> str:
    """Return a sentence about would-be probes that the document puts outside of `base_url`; "" if
    there are none."""
    for path, item, operation, method in declared(spec):
        if method == "GET" and _sendable(spec, path, item, operation, target):
            place = place_of(spec, path, item, operation, target)
            if place.obstacle and place != ANOTHER_HOST:
                return f"GET {path} is not asked: {place.obstacle}"
    return ""


def meaningless(spec: Mapping[str, Any], key: str, entries: Sequence[str]) -> str:
    """Return a sentence about the entries of `[contract]` *key* that name nothing; "" for none."""
    found = list(declared(spec)) if entries else []
    paths = dict.fromkeys(path for path, *_ in found)
    # What is defined outside of the document, or by a method of no OpenAPI before 3.2.
    others = [str(path) for path in table(spec.get("paths")) if path not in paths]
    found += [(path, {}, {}, method.upper()) for path in others for method in METHODS]
    lost = [entry for entry in entries if found and not any(names(entry, one) for one in found)]
    if not lost:
        return ""
    shown = ", ".join(repr(entry[:80]) for entry in lost[:3])
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    return (
        f"[contract] {key} names no operation of the document by {shown}{more}: correct or "
        "remove what is misspelt or gone"
    )


def declared(spec: Mapping[str, Any]) -> Iterator[Declared]:
    """Path, path item, operation and method (in capitals) of each well-formed operation."""
    for path, item in table(spec.get("paths")).items():
        item = resolved(spec, item)
        for method, operation in item.items():
            if method in METHODS and isinstance(operation, Mapping):
                yield str(path), item, operation, method.upper()


def _sendable(
    spec: Mapping[str, Any],
    path: str,
    item: Mapping[str, Any],
    operation: Mapping[str, Any],
    target: Target,
) -> bool:
    if "{" in path or not path.startswith("/") or path.startswith("//"):
        return False
    parameters = {}
    for one in [*array(item.get("parameters")), *array(operation.get("parameters"))]:
        parameter = resolved(spec, one)
        if not parameter:
            # Defined where we do not look: it may well be required.
            return False
        # An operation's own definition replaces that of its path.
        parameters[parameter.get("in"), parameter.get("name")] = parameter
    if any(one.get("required") is True or one.get("in") == "path" for one in parameters.values()):
        return False
    if resolved(spec, operation.get("requestBody")).get("required") is True:
        return False
    if _media_types(spec, operation) == {"text/event-stream"}:
        return False
    security = array(operation.get("security", spec.get("security")))
    # An empty alternative means that the operation also answers without credentials.
    return bool(target.headers) or not security or {} in security


def _promised(spec: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, str]:
    """Return the content-type that a good response must have, where the document is definite about
    it.

    Definite: one JSON type with a schema that says something. Frameworks write the bare
    `application/json: {}` for whatever a handler may return. Where a response without a body is
    documented too, it may come without a type.
    """
    if any(str(status) in table(operation.get("responses")) for status in BODILESS):
        return {}
    types = _media_types(spec, operation, with_schema=True)
    json_types = {kind for kind in types if kind == "application/json" or kind.endswith("+json")}
    if len(types) == 1 and json_types and _media_types(spec, operation) == types:
        return {"content-type": json_types.pop()}
    return {}


def _media_types(
    spec: Mapping[str, Any], operation: Mapping[str, Any], *, with_schema: bool = False
) -> set[str]:
    """Documented types of 2xx answers; only those with a schema that says something, if asked."""
    found = set()
    for status, response in table(operation.get("responses")).items():
        if not str(status).startswith("2"):
            continue
        response = resolved(spec, response)
        if "swagger" in spec:
            if response.get("schema") or not with_schema:
                found.update(array(operation.get("produces", spec.get("produces"))))
        else:
            for kind, media in table(response.get("content")).items():
                if table(media).get("schema") or not with_schema:
                    found.add(kind)
    return {str(kind).partition(";")[0].strip().lower() for kind in found}


_DOTS = re.compile(r"/(\.|%2e){1,2}(?=[/?#]|$)", re.IGNORECASE)


class Place(Record):
    """Where the document puts an operation, as seen from the target."""

    base: str = ""
    """URL that its path is under; the whole lies under `base_url`. "" where nothing is sent."""
    obstacle: str = ""
    """Why nothing is sent there; the rest of a sentence about the operation."""


def under(place: Place, target: Target) -> str:
    """Return the path that the document puts before those of its operations, below `base_url`."""
    return urlsplit(place.base).path.removeprefix(urlsplit(target.base_url).path.rstrip("/"))


ANOTHER_HOST = Place(obstacle="its `servers` name another host, where nothing is sent")


def place_of(
    spec: Mapping[str, Any],
    path: str,
    item: Mapping[str, Any],
    operation: Mapping[str, Any],
    target: Target,
) -> Place:
    """Return where this operation is on the target. Of several servers the first that fits
    counts."""
    home = target.base_url.rstrip("/")
    if "swagger" in spec:
        prefix = spec.get("basePath")
        stated = isinstance(prefix, str) and prefix.strip("/")
        return _placed([f"/{stated}" if stated else ""], path, spec, home)
    document = _document_url(target)
    for level in (operation, item, spec):
        servers = [_server(server) for server in array(level.get("servers"))]
        if not servers:
            continue
        urls = [url for server in servers if (url := _url(document, server))]
        here = [urlsplit(url).path for url in urls if _origin(url) == _origin(home)]
        if here:
            return _placed(here, path, spec, home)
        # The document of production, read from staging, means staging. But an operation that
        # names a host of its own lives there.
        return _placed([""], path, spec, home) if level is spec else ANOTHER_HOST
    return _placed([""], path, spec, home)


def _placed(prefixes: Sequence[str], path: str, spec: Mapping[str, Any], home: str) -> Place:
    """Return the first of the prefixes (paths of this host) by which the operation is under
    *home*."""
    if _DOTS.search(path):
        return Place(obstacle='its path has "." or ".." as a segment, which leads elsewhere')
    own = urlsplit(home).path
    origin = home.removesuffix(own)
    for prefix in (one.rstrip("/") for one in prefixes):
        if not prefix:
            # A bare `/` is what a document without servers means as well: its paths are below
            # `base_url`, unless all of them repeat its prefix.
            repeated = own and is_under(path, own) and _all_repeat(own, spec)
            return Place(base=origin if repeated else home)
        if is_under(prefix + path, own):
            return Place(base=origin + prefix)
        if own.endswith(prefix):  # behind a proxy that adds what stands before it
            return Place(base=home)
    stated = prefixes[0].rstrip("/")
    return Place(
        obstacle=f"the document puts it under {stated}, and base_url is {home}, "
        "outside of which nothing is sent; correct base_url, or `servers` of the document"
    )


def _all_repeat(own: str, spec: Mapping[str, Any]) -> bool:
    paths = [str(path) for path in table(spec.get("paths"))]
    return bool(paths) and all(is_under(path, own) for path in paths)


def is_under(path: str, prefix: str) -> bool:
    """Return True if a path of a URL is *prefix* or below it; "" and "/" are above every path."""
    prefix = prefix.rstrip("/")
    return path == prefix or path.startswith(f"{prefix}/")


def _document_url(target: Target) -> str:
    """Return the document's URL, for relative references; the base URL if the document is
    elsewhere."""
    named = target.openapi or ""
    home = target.base_url.rstrip("/")
    if named.startswith("/"):
        return home + named
    if named.startswith(("http://", "https://")) and _origin(named) == _origin(home):
        return named
    return f"{home}/"


def _url(base: str, reference: str) -> str | None:
    """Return the reference as a whole URL; None if it is not one."""
    try:
        url = urljoin(base, reference)
        _origin(url)
    except ValueError:
        return None
    return url


def _server(server: Any) -> str:
    """URL of a server entry, its variables at their defaults."""
    stated = table(server)
    variables = table(stated.get("variables"))

    def default(match: re.Match[str]) -> str:
        return str(table(variables.get(match[1])).get("default", ""))

    return re.sub(r"\{([^{}]*)\}", default, str(stated.get("url", "/")))


def _join(base: str, path: str, target: Target) -> str:
    """`path` under `base`, as a path relative to the base URL of the target."""
    whole = urlsplit(base).path.rstrip("/") + path
    return whole.removeprefix(urlsplit(target.base_url).path.rstrip("/")) or "/"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port. Raises ValueError for anything but a URL."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port
