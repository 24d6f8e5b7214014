"""The probes of a run, and who sends them: all selected ones as soon as tests may run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.checks.openapi.state import OpenApiState
from pytest_prodcheck.config import Probe
from pytest_prodcheck.counting import counted
from pytest_prodcheck.model import Document

if TYPE_CHECKING:
    from httpx import Response

    from pytest_prodcheck.checks.answers.catch_all import CatchAll
    from pytest_prodcheck.checks.context import RunContext
    from pytest_prodcheck.checks.probes.prober import Prober
    from pytest_prodcheck.checks.probes.sender import Sender
    from pytest_prodcheck.store.tally import Measured


class ProbesState:
    """Declared probes, or those derived from the OpenAPI document; sent by threads of one process,
    or by a forked sender where the run has one process alone."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._openapi = context.state(OpenApiState)
        self._sender: Sender | None = None

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """Declared ones; without any, those that can be derived."""
        from pytest_prodcheck.checks.openapi.document import derive, out_of_reach

        context = self._context
        if context.target.probes:
            return context.target.probes
        document, target = self._document(), self._openapi.target
        options = context.settings.contract
        probes = derive(document.spec, target, options.allow, options.exclude)
        if problem := document.problem or out_of_reach(document.spec, target):
            context.report_problem(f"no probes could be derived: {problem}")
        if probes:
            context.report_note(f"{counted(len(probes), 'probe')} derived")
        return probes

    def withheld(self) -> dict[str, str]:
        """Return id and reason of what would be derived probes if they might be sent."""
        from pytest_prodcheck.checks.openapi.document import withheld

        if self._context.target.probes:
            return {}
        spec, options = self._document().spec, self._context.settings.contract
        return withheld(spec, self._openapi.target, options.allow, options.exclude)

    def _document(self) -> Document:
        """Return the document that is served now: an older one may name what is gone."""
        document = self._openapi.document
        if not document.of:
            return document
        named = self._context.target.openapi
        return Document(problem=f"{named} is not served any more" if named else "")

    def measured(self) -> list[Measured]:
        """Return all exchanges so far; the answers to the probes are waited for."""
        if "prober" in self.__dict__:
            self.prober.wait()
        return self._context.tally.measured()

    @cached_property
    def prober(self) -> Prober:
        return self._make_prober(shared=self._sender is not None or self._context.is_worker)

    def _make_prober(self, **options: Any) -> Prober:
        from pytest_prodcheck.checks.probes.prober import Prober

        context = self._context
        return Prober(
            context.target,
            context.connect,
            context.work,
            clean=context.redactor.text,
            tally=context.tally,
            catch_all=self.catch_all,
            **options,
        )

    @cached_property
    def catch_all(self) -> CatchAll:
        """The answer to a path that cannot exist, asked for once in a run."""
        from pytest_prodcheck.checks.answers.catch_all import CatchAll

        context = self._context

        def fetch(path: str) -> Response:
            with context.connect() as client:
                return client.get(path, follow_redirects=False)

        def once(make: Callable[[], Any]) -> Any:
            return context.workspace.once("catch-all.json", make)

        return CatchAll(context.target, fetch, once)

    def start(self, probes: Sequence[Probe]) -> None:
        """Send *probes*."""
        if self._sender:
            self._sender.start([probe.id for probe in probes])
        self.prober.start(probes)

    def fork_sender(self) -> None:
        """Have another process send the declared probes, so that pytest keeps its processor."""
        from pytest_prodcheck.checks.probes.sender import Sender

        self._sender = Sender.fork(self._context.work, self._send)

    def _send(self, lock: int, selected: Callable[[], Sequence[str]]) -> None:
        """Send in the forked process; the connection is made before the selection is known."""
        prober = self._make_prober(lock=lock)
        self._context.connect().close()
        probes = {probe.id: probe for probe in self._context.target.probes}
        # In the order of the items: the first of them is waited for first.
        prober.start([probes[chosen] for chosen in selected() if chosen in probes])
        prober.wait()

    def close(self) -> None:
        """End the sending."""
        if "prober" in self.__dict__:
            self.prober.close()
        if self._sender:
            self._sender.close()
