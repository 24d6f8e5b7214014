"""What a target shows of itself when nothing about it is declared: its OpenAPI document, its health
and its release, at the places where most services have them."""

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from pytest_prodcheck.checks.answers.catch_all import PREFIX, Page, page_of_response
from pytest_prodcheck.checks.openapi.document import derive, fetch_spec
from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.http.errors import GONE
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.model import Record

DOCUMENTS = (
    "/openapi.json",  # FastAPI, Litestar, apiflask
    "/swagger.json",  # flask-restx, go-swagger
    "/v3/api-docs",  # springdoc
    "/swagger/v1/swagger.json",  # ASP.NET
    "/api/openapi.json",  # django-ninja, and APIs below a prefix
)
HEALTH = ("/health", "/healthz", "/actuator/health")
RELEASES = ("/version", "/actuator/info")
PREFIXES = ("/api", "/v1", "/api/v1")
"""Where operations are tried that are not where a document without `servers` puts them."""

MOST_ERRORS = 3
"""Answers of 5xx in a row after which no more is asked; after a request without any, nothing is."""

_HEALTH_WORDS = re.compile(r"/(.*/)?(health|healthz|healthcheck|health-check|health_check)/?")


class Asking(Protocol):
    def get(self, url: str, /) -> httpx.Response: ...


class Discovery(Record):
    """What was found; empty fields for what was not."""

    openapi: str = ""
    """The place of `spec` below `base_url`."""
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    health: str = ""
    problem: str = ""
    """A sentence: why the document that was found is of no use here."""


def is_undeclared(target: Target) -> bool:
    """Return True if the configuration says nothing of what the target should answer."""
    return not (target.probes or target.openapi or target.health)


def with_found(target: Target, found: Discovery) -> Target:
    """Return the target as if it had been declared with what was found."""
    return msgspec.structs.replace(
        target, openapi=found.openapi or target.openapi, health=found.health or target.health
    )


class Silence(Exception):
    """The target does not answer: more requests would show nothing, and may harm it."""


class Explorer:
    """One look at a target: each place is asked once, at most 14 GETs in all."""

    def __init__(self, client: Asking, target: Target, excluded: Sequence[str] = ()) -> None:
        """excluded: entries of `[contract] exclude`."""
        self._client = client
        self._target = target
        self._excluded = excluded
        self._errors = 0
        self._unknown: Page | None = None

    def explore(self, has_release: Callable[[], bool]) -> Discovery:
        """Return what the target shows of itself. Raises nothing where it shows nothing."""
        found = Discovery()
        try:
            # What a path that cannot exist gets: a single-page app answers everything with 200.
            unknown = f"{PREFIX}{secrets.token_hex(12)}"
            self._unknown = page_of_response(unknown, self._ask(unknown))
            found = self._document()
            found = msgspec.structs.replace(found, health=self._health(found))
            if found.spec:
                found = msgspec.structs.replace(found, problem=self._misplaced(found))
            for path in () if has_release() else RELEASES:
                self._ask(path)  # the client records the release that the response names
        except (Silence, NotAsked):
            pass
        return found

    def get(self, url: str, /) -> httpx.Response:
        """Send a GET for `fetch_spec`; the page that every path gets counts as 404."""
        response = self._ask(url)
        return response if self._exists(url, response) else httpx.Response(404)

    def _ask(self, path: str) -> httpx.Response:
        try:
            response = self._client.get(path)
        except httpx.DecodingError as failure:  # such as one that is too large: of no use here
            return httpx.Response(404, request=failure.request)
        except httpx.HTTPError as failure:
            raise Silence from failure
        self._errors = self._errors + 1 if response.status_code >= 500 else 0
        if self._errors == MOST_ERRORS:
            raise Silence
        return response

    def _exists(self, path: str, response: httpx.Response) -> bool:
        """Return True if this response differs from that of a path that cannot exist."""
        return self._unknown is None or not self._unknown.same(page_of_response(path, response))

    def _document(self) -> Discovery:
        for path in DOCUMENTS:
            spec = fetch_spec(self, msgspec.structs.replace(self._target, openapi=path))
            if not isinstance(spec, str):
                return Discovery(openapi=path, spec=spec)
        return Discovery()

    def _health(self, found: Discovery) -> str:
        """Return the health path of the document, else the first usual one that exists."""
        target = with_found(self._target, found)
        for probe in derive(found.spec, target, excluded=self._excluded):
            if _HEALTH_WORDS.fullmatch(probe.path):
                return probe.path
        for path in HEALTH:
            response = self._ask(path)
            if self._exists(path, response) and _is_health(response):
                return path
        return ""

    def _misplaced(self, found: Discovery) -> str:
        """Return a sentence if operations answer under another prefix than the document says."""
        target = msgspec.structs.replace(self._target, openapi=found.openapi)
        first = next(iter(derive(found.spec, target, excluded=self._excluded)), None)
        if first is None or self._is_there(first.path):
            return ""
        folder = found.openapi.rpartition("/")[0]
        for prefix in dict.fromkeys(filter(None, (folder, *PREFIXES))):
            if self._is_there(prefix + first.path):
                home = self._target.base_url.rstrip("/")
                return (
                    f"the document {found.openapi} has {first.path}, which is not there, but "
                    f"{prefix}{first.path} is: its `servers` do not say that its operations are "
                    f'under {prefix}. Set base_url = "{home}{prefix}" and '
                    f'openapi = "{home}{found.openapi}", or correct `servers`'
                )
        return ""

    def _is_there(self, path: str) -> bool:
        response = self._ask(path)
        return response.status_code not in GONE and self._exists(path, response)


def _is_health(response: httpx.Response) -> bool:
    """Return True for a health response: an unhealthy service may use 503; a web page is none."""
    page = "html" in response.headers.get("content-type", "")
    return not page and (response.is_success or response.status_code == 503)
