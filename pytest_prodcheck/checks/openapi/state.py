"""The OpenAPI document of the target, and what else it shows of itself: looked for once a run."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_prodcheck.config import Target
from pytest_prodcheck.model import Document, Release

if TYPE_CHECKING:
    from pytest_prodcheck.checks.context import RunContext
    from pytest_prodcheck.checks.openapi.discovery import Discovery
    from pytest_prodcheck.store.last_good import LastGood

WELL_KNOWN_SPEC = "/openapi.json"
"""Where FastAPI and many others serve their document; tried when none is configured."""


class OpenApiState:
    """The first process of a run asks, and all of them work with what it was given."""

    def __init__(self, context: RunContext) -> None:
        self._context = context

    @cached_property
    def document(self) -> Document:
        """The document that is served, or that of the last good release where none is."""
        from pytest_prodcheck.checks.openapi.document import meaningless

        found = msgspec.convert(self._context.workspace.once("openapi.json", self._fetch), Document)
        options = self._context.settings.contract
        for key, entries in (("allow", options.allow), ("exclude", options.exclude)):
            if lost := meaningless(found.spec, key, entries):
                self._context.report_note(lost)
        return found

    @cached_property
    def described(self) -> Target:
        """The target, with what it shows of itself where nothing about it is declared."""
        from pytest_prodcheck.checks.openapi.discovery import is_undeclared, with_found

        target = self._context.target
        return with_found(target, self._discovered) if is_undeclared(target) else target

    @property
    def target(self) -> Target:
        """The target with a place of its document, be it only where many have one."""
        openapi = self.described.openapi or WELL_KNOWN_SPEC
        return msgspec.structs.replace(self.described, openapi=openapi)

    @cached_property
    def last_good(self) -> LastGood | None:
        """The last releases on this target that were promoted, as far as this folder knows."""
        from pytest_prodcheck.store.last_good import last_good

        return last_good(self._context.work.parents[1], self._context.target.name)

    @cached_property
    def _discovered(self) -> Discovery:
        from pytest_prodcheck.checks.openapi.discovery import Discovery, Explorer

        context = self._context

        def explore() -> Discovery:
            seen = context.release_seen
            with context.connect() as client:
                explorer = Explorer(client, context.target, context.settings.contract.exclude)
                return explorer.explore(lambda: seen is None or seen.release() != Release())

        return msgspec.convert(context.workspace.once("discovery.json", explore), Discovery)

    def _fetch(self) -> Document:
        from pytest_prodcheck.checks.openapi.discovery import is_undeclared
        from pytest_prodcheck.checks.openapi.document import NotServed, fetch_spec

        context = self._context
        spec: dict[str, Any] | str
        if is_undeclared(context.target):
            found = self._discovered
            if found.problem:
                return Document(problem=found.problem)
            spec = found.spec or NotServed()
        else:
            with context.connect() as client:
                spec = fetch_spec(client, self.target)
        if not isinstance(spec, str):
            return Document(spec=spec)
        last = self.last_good if isinstance(spec, NotServed) else None
        if last and last.newest.spec:
            return Document(spec=last.newest.spec, of=last.newest.source)
        return Document(problem=str(spec) if context.target.openapi else "")
