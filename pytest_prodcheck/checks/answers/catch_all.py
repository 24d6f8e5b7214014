"""The answer that every path gets, also one that cannot exist: it proves nothing.

Static hosts answer every path with the start page of a single-page app, also those of an API
that is not there. So what a path that cannot exist gets is asked for once in a run, and a check
that wants no more than a status does not pass on that very answer.
"""

import re
import secrets
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from pytest_prodcheck import errors
from pytest_prodcheck.checks.answers.expectations import Answer, Mismatch
from pytest_prodcheck.config import Probe, Target
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.model import Record

PREFIX = "/prodcheck-no-such-path-"
"""How the path begins that cannot exist, for whoever reads the target's log."""

COMPARED = 20_000
"""Characters of a page that are compared."""


class Page(Record):
    """An answer, as far as two are compared."""

    path: str
    status: int
    kind: str
    """Its content-type, without parameters."""
    size: int
    """Bytes of the body as its Content-Length has them, also after a HEAD."""
    text: str
    """Without the path and without what differs each time."""

    def same(self, other: "Page", *, head: bool = False) -> bool:
        """Return whether both are one page; of a HEAD, by its headers."""
        if (self.status, self.kind) != (other.status, other.kind):
            return False
        return self.size == other.size if head else self.text == other.text


class CatchAll:
    """What a path that cannot exist gets on this target.

    `fetch` asks for such a path; `once` runs a function once in a run and gives all processes its
    plain data. Safe for threads.
    """

    def __init__(
        self,
        target: Target,
        fetch: Callable[[str], httpx.Response],
        once: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._health = target.health
        self._fetch = fetch
        self._once = once
        self._lock = threading.Lock()
        self._known = False
        self._page: Page | None = None

    def page(self) -> Page | None:
        """Return the page; None where such a path gets no success, as it should."""
        with self._lock:
            if not self._known:
                self._page = msgspec.convert(self._once(self._ask), Page | None)
                self._known = True
            return self._page

    def wants(self, probe: Probe) -> bool:
        """Return whether *probe* asks for a status alone, of a path that an app need not have.

        Left out are the start page, and health, whose answer is read by a check of its own:
        many a worker answers every path with it.
        """
        if probe.json is not msgspec.UNSET or probe.contains is not None or probe.matches:
            return False
        return probe.method in ("GET", "HEAD") and not self._may_be_shared(probe.path)

    def mismatch(self, probe: Probe, answer: Answer) -> Mismatch | None:
        """Return what is wrong with an answer that is as *probe* expects it."""
        if not self.wants(probe) or not 200 <= answer.status < 300:
            return None
        common = self.page()
        head = probe.method == "HEAD"
        if common is None or not common.same(_page_of(probe.path, answer), head=head):
            return None
        return Mismatch(
            rule="body.catch_all",
            what="body",
            expected="an answer of its own",
            got=f"{_described(common)}; that it answers proves nothing. Correct the path or the "
            "deployment, or expect more than a status: json, contains or matches",
        )

    def problem(self, path: str, response: httpx.Response) -> str:
        """Return what is wrong with this page of the target; "" when it has one of its own."""
        if self._may_be_shared(path):
            return ""
        common, page = self.page(), page_of_response(path, response)
        if common is None or not common.same(page):
            return ""
        return f"body: expected a page of its own, got {_described(common)}"

    def _may_be_shared(self, path: str) -> bool:
        plain = path.partition("?")[0].strip("/")
        return plain in ("", "index.html") or path == self._health

    def _ask(self) -> Any:
        path = f"{PREFIX}{secrets.token_hex(12)}"
        try:
            response = self._fetch(path)
        except (httpx.HTTPError, errors.ProdcheckError):
            return None  # the checks themselves say that there is no answer
        if not response.is_success:
            return None
        return msgspec.to_builtins(page_of_response(path, response))


def _described(page: Page) -> str:
    kind = f" {page.kind}" if page.kind else ""
    return (
        f"what every path gets, even one that cannot exist (GET {page.path} -> {page.status}"
        f"{kind}, {page.size} bytes)"
    )


def page_of_response(path: str, response: httpx.Response) -> Page:
    """Return the answer that *path* got, as far as it is compared with others."""
    return _page_of(
        path,
        Answer(
            status=response.status_code,
            headers=tuple(response.headers.multi_items()),
            content=response.content,
            encoding=response.encoding or "utf-8",
        ),
    )


def _page_of(path: str, answer: Answer) -> Page:
    headers = {name.lower(): value for name, value in answer.headers}
    length = headers.get("content-length", "")
    return Page(
        path=path,
        status=answer.status,
        kind=headers.get("content-type", "").partition(";")[0].strip().lower(),
        size=int(length) if length.isdecimal() else len(answer.content),
        text=_comparable(answer, path),
    )


def _comparable(answer: Answer, path: str) -> str:
    """Return the text without its own path, tokens, times and numbers."""
    try:
        text = answer.content.decode(answer.encoding, errors="replace")
    except LookupError:
        text = answer.content.decode(errors="replace")
    text = text[:COMPARED]
    plain = path.partition("?")[0].strip("/")
    if plain:
        text = re.sub(rf"/*(?<!\w){re.escape(plain)}(?!\w)", "", text)
    return _CHANGING.sub("", _TOKEN.sub(r"\1", text))


_TOKEN = re.compile(
    r"""(?i)(\b(?:nonce|csrf[\w-]*|[\w-]*token)\b)["']?\s*"""
    r"""(?:content|value)?\s*[=:]\s*["']?[^\s"'<>]*"""
)
"""Attributes and keys whose value is another one each time."""
_CHANGING = re.compile(r"[\w/.+=:-]*\d[\w/.+=:-]*")
