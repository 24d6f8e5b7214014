"""What is deployed, as the target itself tells it: where the configuration says, or as is usual."""

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
"""Characters of a version or commit that are kept: a page is no version."""


USUAL_PATHS = re.compile(
    r"(health\w*|livez?|readyz?|status|version|info|about|build-?info)(\.json)?"
)
"""Last segments of the paths whose answers are about the service itself. In any other answer a
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
"""Tables of an answer that are about the service itself; the `version` in a table `database` is
another's. `git.commit.id` and `build.version` are those of Spring's `/actuator/info`."""

USUAL_HEADERS = {
    **dict.fromkeys((b"x-release", b"x-release-version", b"x-app-version"), "version"),
    **dict.fromkeys((b"x-service-version", b"x-version", b"x-build-version"), "version"),
    **dict.fromkeys((b"x-commit", b"x-commit-sha", b"x-git-commit", b"x-git-sha"), "commit"),
    **dict.fromkeys((b"x-revision", b"x-build-sha", b"x-source-commit"), "commit"),
}
"""Headers of any answer; `X-API-Version` is not among them: it is that of the interface."""

_VERSION = re.compile(r"(?=.*\d)[^\s<>{}]{1,100}")
_COMMIT = re.compile(r"(?=.*\d)[0-9a-f]{7,64}", re.IGNORECASE)


class Asking(Protocol):
    def get(self, url: str, /) -> httpx.Response: ...


def read(client: Asking, source: ReleaseSource | str, *, well: bool = False) -> Release:
    """Version and commit with one GET; what cannot be read is None, never an error.

    *source* may be a path alone: then they are read as services usually tell them.
    `well`: an answer that is no success tells nothing; a service that starts may tell its version.
    """
    try:
        answer = client.get(source if isinstance(source, str) else source.path)
    except (httpx.HTTPError, ProdcheckError):
        return Release()
    if well and not answer.is_success:
        return Release()
    if isinstance(source, str):
        return derived(answer)
    if source.header:
        return Release(version=_text(answer.headers.get(source.header)))
    try:
        body = strict_json(answer.content)
    except ValueError:
        return Release()
    return Release(
        version=_text(value_at(body, source.version)),
        commit=_text(value_at(body, source.commit)),
    )


def place_of_release(target: Target) -> str:
    """The path of *target* that may tell its release as is usual; "" if none is declared."""
    probes = (probe.path for probe in target.probes if probe.method == "GET")
    return target.health or next(filter(is_usual, probes), "")


def derived(answer: httpx.Response) -> Release:
    """Version and commit as many services tell them, in headers or in the body of *answer*.

    The body counts only where the path says that it is about the service (USUAL_PATHS).
    """
    told = _of_body(answer) if _is_about_the_service(answer) else Release()
    return _both(told, _of_headers(answer))


def is_usual(path: str) -> bool:
    """Whether what answers at *path* is likely about the service itself."""
    last = path.partition("?")[0].rstrip("/").rpartition("/")[2]
    return bool(USUAL_PATHS.fullmatch(last.lower()))


def _is_about_the_service(answer: httpx.Response) -> bool:
    return answer.status_code in (200, 503) and is_usual(answer.request.url.path)


def _both(one: Release, other: Release) -> Release:
    """What *one* tells, and what *other* tells beyond it."""
    return Release(version=one.version or other.version, commit=one.commit or other.commit)


def _of_headers(answer: httpx.Response) -> Release:
    found = {}
    for name, raw in answer.headers.raw:
        value = raw.decode("latin-1").strip()
        what = USUAL_HEADERS.get(name.lower())
        if what and (_COMMIT if what == "commit" else _VERSION).fullmatch(value):
            found[what] = value
    return Release(**found)


def _of_body(answer: httpx.Response) -> Release:
    try:
        body = strict_json(answer.content)
    except ValueError:
        whole = answer.request.url.path.endswith("version")  # `/version` answers `1.4.2`
        body = {"build": answer.content[:200].decode("latin-1").strip()} if whole else None
    if not isinstance(body, dict):
        return Release()
    tables = [table := {_plain(key): value for key, value in body.items()}]
    for key, value in table.items():
        if isinstance(value, dict) and key in USUAL_TABLES:
            tables.append({_plain(inner): part for inner, part in value.items()})
    values = [(key, value) for table in tables for key, value in table.items()]
    return Release(
        version=_first(values, USUAL_VERSIONS, _VERSION),
        commit=_first(values, USUAL_COMMITS, _COMMIT),
    )


def _first(
    values: Sequence[tuple[str, Any]], keys: Sequence[str], form: re.Pattern[str]
) -> str | None:
    """The first value of the most definite key that has the form; outer tables come first."""
    for wanted in keys:
        for key, value in values:
            text = _identity(value) if key == wanted else ""
            if form.fullmatch(text) and (key != "build" or _is_commit(text) is (form is _COMMIT)):
                return text
    return None


def _is_commit(text: str) -> bool:
    """Of `build` nobody says what it is: a number is not a commit."""
    return bool(_COMMIT.fullmatch(text)) and not text.isdecimal()


def _identity(value: Any) -> str:
    """The text that a value stands for: `{"id": {"full": "3e68e18…"}}` is the commit 3e68e18…"""
    for keys in (("id", "sha", "hash"), ("full",)):
        if isinstance(value, Mapping):
            value = next((value[key] for key in keys if key in value), None)
    return value.strip() if isinstance(value, str) else ""


def _plain(key: str) -> str:
    return re.sub(r"[-_. ]", "", key).lower()


class ReleaseSeen:
    """The release that any answer of the run has told, kept in *file* for all its processes.

    It costs no request: the health check asks where a release is told anyway.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = Release()

    def observe(self, answer: httpx.Response) -> None:
        """Note what *answer* tells beyond what is known."""
        if self._known.version and self._known.commit:
            return
        told = derived(answer)
        first = _is_about_the_service(answer) and not self.is_told
        if first or _both(self._known, told) != self._known:
            self._known = _both(self.release(), told)
            part = self._file.with_suffix(f".{os.getpid()}")
            part.write_bytes(msgspec.json.encode(self._known))
            part.replace(self._file)

    @property
    def is_told(self) -> bool:
        """Whether any process has had an answer about the service: asking again tells no more."""
        return self._file.exists()

    def release(self) -> Release:
        """What any process of the run has noted so far."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Release)
        except (OSError, msgspec.MsgspecError):
            return Release()


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)[:LONGEST] or None


def is_that(told: Release, wanted: Release) -> bool:
    """The version is that one, and the commit too: one may be the other's abbreviation."""
    if wanted.version is not None and told.version != wanted.version:
        return False
    return wanted.commit is None or same_commit(told.commit, wanted.commit)
