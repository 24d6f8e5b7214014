"""The deployed release, as the target reports it: where configured, or in a usual place."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from pytest_prodcheck.config import ReleaseSource, Target
from pytest_prodcheck.errors import ProdcheckError
from pytest_prodcheck.http.body import strict_json
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.jsonpath import value_at
from pytest_prodcheck.model import Release
from pytest_prodcheck.verdict.releases import same_commit

LONGEST = 200
"""Characters of a version or commit that are kept: a page is not a version."""


USUAL_PATHS = re.compile(
    r"(health\w*|livez?|readyz?|status|version|info|about|build-?info)(\.json)?"
)
"""Last segments of the paths whose responses are about the service itself. In any other response a
`version` may be that of an order."""

USUAL_VERSIONS = (
    *("releaseid", "releaseversion", "release", "appversion", "applicationversion"),
    *("serviceversion", "buildversion", "version", "gitversion", "gittag", "imagetag", "tag"),
    "build",
)
USUAL_COMMITS = (
    *("commit", "commitsha", "commithash", "commitid", "gitcommit", "gitsha", "gitcommitsha"),
    *("gitcommithash", "githash", "gitrevision", "revision", "vcsrevision", "sha", "buildsha"),
    *("buildcommit", "sourcecommit", "build"),
)
"""Keys without case, dashes and underscores, the most definite first: in the format
`application/health+json` `version` is that of the API, and `releaseId` that of the release."""

USUAL_TABLES = ("app", "application", "build", "data", "git", "info", "meta", "release", "service")
"""Tables of a response that are about the service itself; in a table `database` the `version` is
another's. Spring's `/actuator/info` has `git.commit.id` and `build.version`."""

USUAL_HEADERS = {
    **dict.fromkeys((b"x-release", b"x-release-version", b"x-app-version"), "version"),
    **dict.fromkeys((b"x-service-version", b"x-version", b"x-build-version"), "version"),
    **dict.fromkeys((b"x-commit", b"x-commit-sha", b"x-git-commit", b"x-git-sha"), "commit"),
    **dict.fromkeys((b"x-revision", b"x-build-sha", b"x-source-commit"), "commit"),
}
"""Headers of any response; not `X-API-Version`, which is the version of the interface."""

_VERSION = re.compile(r"(?=.*\d)[^\s<>{}]{1,100}")
_COMMIT = re.compile(r"(?=.*\d)[0-9a-f]{7,64}", re.IGNORECASE)


class Getter(Protocol):
    """A client that sends GET requests."""

    def get(self, url: str, /) -> httpx.Response: ...


def read(client: Getter, source: ReleaseSource | str, *, only_success: bool = False) -> Release:
    """Return version and commit with one GET; None for one that cannot be read, never an error.

    *source* may be just a path: then they are read from the usual places of a response.
    `only_success`: another response counts for nothing, although a starting service may have its
    version there.
    """
    try:
        response = client.get(source if isinstance(source, str) else source.path)
    except (httpx.HTTPError, ProdcheckError):
        return Release()
    if only_success and not response.is_success:
        return Release()
    if isinstance(source, str):
        return derived(response)
    if source.header:
        return Release(version=_text(response.headers.get(source.header)))
    try:
        body = strict_json(response.content)
    except ValueError:
        return Release()
    return Release(
        version=_text(value_at(body, source.version)),
        commit=_text(value_at(body, source.commit)),
    )


def place_of_release(target: Target) -> str:
    """Return the path of *target* that may report its release; "" if none is declared."""
    probes = (probe.path for probe in target.probes if probe.method == "GET")
    return target.health or next(filter(is_usual, probes), "")


def derived(response: httpx.Response) -> Release:
    """Return version and commit from the usual headers or places in the body of *response*.

    The body counts only if the path shows that it is about the service (USUAL_PATHS).
    """
    in_body = _of_body(response) if _is_about_the_service(response) else Release()
    return _merged(in_body, _of_headers(response))


def is_usual(path: str) -> bool:
    """Return True if the response at *path* is likely about the service itself."""
    last = path.partition("?")[0].rstrip("/").rpartition("/")[2]
    return bool(USUAL_PATHS.fullmatch(last.lower()))


def _is_about_the_service(response: httpx.Response) -> bool:
    return response.status_code in (200, 503) and is_usual(response.request.url.path)


def _merged(one: Release, other: Release) -> Release:
    """Return *one*, with the missing parts from *other*."""
    return Release(version=one.version or other.version, commit=one.commit or other.commit)


def _of_headers(response: httpx.Response) -> Release:
    found = {}
    for name, raw in response.headers.raw:
        value = raw.decode("latin-1").strip()
        what = USUAL_HEADERS.get(name.lower())
        if what and (_COMMIT if what == "commit" else _VERSION).fullmatch(value):
            found[what] = value
    return Release(**found)


def _of_body(response: httpx.Response) -> Release:
    try:
        body = strict_json(response.content)
    except ValueError:
        # The body of `/version` may be just `1.4.2`.
        whole = response.request.url.path.endswith("version")
        body = {"build": response.content[:200].decode("latin-1").strip()} if whole else None
    if not isinstance(body, dict):
        return Release()
    tables = [table := {_normal_key(key): value for key, value in body.items()}]
    for key, value in table.items():
        if isinstance(value, dict) and key in USUAL_TABLES:
            tables.append({_normal_key(inner): part for inner, part in value.items()})
    values = [(key, value) for table in tables for key, value in table.items()]
    return Release(
        version=_first(values, USUAL_VERSIONS, _VERSION),
        commit=_first(values, USUAL_COMMITS, _COMMIT),
    )


def _first(
    values: Sequence[tuple[str, Any]], keys: Sequence[str], form: re.Pattern[str]
) -> str | None:
    """Return the first value of the most definite key with the form; outer tables come first."""
    for wanted in keys:
        for key, value in values:
            text = _identifier(value) if key == wanted else ""
            if form.fullmatch(text) and (key != "build" or _is_commit(text) is (form is _COMMIT)):
                return text
    return None


def _is_commit(text: str) -> bool:
    """Return True if the value of `build`, which may be either, is a commit: not a number."""
    return bool(_COMMIT.fullmatch(text)) and not text.isdecimal()


def _identifier(value: Any) -> str:
    """Return the identifier in a value: 3e68e18… in `{"id": {"full": "3e68e18…"}}`."""
    for keys in (("id", "sha", "hash"), ("full",)):
        if isinstance(value, Mapping):
            value = next((value[key] for key in keys if key in value), None)
    return value.strip() if isinstance(value, str) else ""


def _normal_key(key: str) -> str:
    return re.sub(r"[-_. ]", "", key).lower()


class ReleaseObserver:
    """The release in any response of the run, kept in *file* for all its processes.

    It costs no request: the health check requests a usual place anyway.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = Release()

    def observe(self, response: httpx.Response) -> None:
        """Record the version or commit in *response* that was not known yet."""
        if self._known.version and self._known.commit:
            return
        found = derived(response)
        first = _is_about_the_service(response) and not self.has_response
        if first or _merged(self._known, found) != self._known:
            self._known = _merged(self.release(), found)
            part = self._file.with_suffix(f".{os.getpid()}")
            part.write_bytes(msgspec.json.encode(self._known))
            part.replace(self._file)

    @property
    def has_response(self) -> bool:
        """Return True if any process has had a response about the service.

        Then another request would not show more.
        """
        return self._file.exists()

    def release(self) -> Release:
        """Return the release that the processes of the run have recorded so far."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Release)
        except (OSError, msgspec.MsgspecError):
            return Release()


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)[:LONGEST] or None


def is_that(found: Release, wanted: Release) -> bool:
    """Return True if version and commit are the wanted ones; a commit may be abbreviated."""
    if wanted.version is not None and found.version != wanted.version:
        return False
    return wanted.commit is None or same_commit(found.commit, wanted.commit)
