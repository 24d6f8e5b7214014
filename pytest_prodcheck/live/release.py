"""What is deployed, as the target itself tells it."""

from typing import Any, Protocol

from pytest_prodcheck.config import ReleaseSource
from pytest_prodcheck.errors import ProdcheckError
from pytest_prodcheck.jsonpath import value_at
from pytest_prodcheck.live.bodies import strict_json
from pytest_prodcheck.live.lean_httpx import httpx
from pytest_prodcheck.model import Release
from pytest_prodcheck.record.verdict import same_commit

LONGEST = 200
"""Characters of a version or commit that are kept: a page is no version."""


class Asking(Protocol):
    def get(self, url: str, /) -> httpx.Response: ...


def read(client: Asking, source: ReleaseSource, *, well: bool = False) -> Release:
    """Version and commit with one GET; what cannot be read is None, never an error.

    `well`: an answer that is no success tells nothing; a service that starts may tell its version.
    """
    try:
        answer = client.get(source.path)
    except (httpx.HTTPError, ProdcheckError):
        return Release()
    if well and not answer.is_success:
        return Release()
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


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)[:LONGEST] or None


def is_that(told: Release, wanted: Release) -> bool:
    """The version is that one, and the commit too: one may be the other's abbreviation."""
    if wanted.version is not None and told.version != wanted.version:
        return False
    return wanted.commit is None or same_commit(told.commit, wanted.commit)
