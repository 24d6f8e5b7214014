"""The run as a check sees it: one `RunContext` for each process that runs tests.

It knows no kind of check. Each kind keeps what its checks share in a state of its own, which
`RunContext.state` makes on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_prodcheck.checks.evidence import EVIDENCE, CheckEvidence

if TYPE_CHECKING:
    from pytest_prodcheck.config import Settings, Target
    from pytest_prodcheck.guard.network import Guard
    from pytest_prodcheck.http.client import LiveClient, Note
    from pytest_prodcheck.http.throttle import Throttle
    from pytest_prodcheck.http.transport import LiveTransport
    from pytest_prodcheck.redaction.redactor import Redactor
    from pytest_prodcheck.service.release import ReleaseObserver
    from pytest_prodcheck.store.tally import Tally
    from pytest_prodcheck.verdict.known_failures import KnownFailures

State = TypeVar("State")


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The private folder of a run, which all its processes share."""

    path: Path

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return plain data that *make* returned in the first process of the run that came here."""
        import msgspec

        path = self.path / name
        with self.lock(name):
            if not path.exists():
                path.write_bytes(msgspec.json.encode(make()))
            return msgspec.json.decode(path.read_bytes())

    def lock(self, name: str, *, shared: bool = False) -> AbstractContextManager[None]:
        """Return a lock that one process holds at a time; a *shared* one many."""
        from pytest_prodcheck.store.process_lock import process_lock

        return process_lock(self.path / name, shared=shared)


@dataclass(frozen=True, kw_only=True, eq=False)
class RunContext:
    """All that a check may use of the run.

    `choice` and `root` are what the target was chosen by, and from where, so that another process
    can load the same settings. `report_problem` says what should have been planned and could not
    be; `report_note` a line for the header.
    """

    config: pytest.Config
    settings: Settings
    workspace: Workspace
    guard: Guard
    redactor: Redactor
    choice: str
    root: Path
    shard: str | None
    known: KnownFailures
    report_problem: Callable[[str], None]
    report_note: Callable[[str], None]
    refusals: list[str] = field(default_factory=list)
    """Usage errors that show themselves only where a setting is needed."""
    shared_clients: list[LiveClient] = field(default_factory=list)
    """Clients of several tests."""
    question_counters: list[Callable[[], int]] = field(default_factory=list)
    """Counters of what this process has asked past any HTTP client, such as a database."""
    _states: dict[Callable[[RunContext], Any], Any] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        return self.settings.target

    @property
    def work(self) -> Path:
        return self.workspace.path

    @property
    def project(self) -> Path:
        """The folder that the configuration names things from."""
        file = self.settings.file
        return file.parent if file else self.config.invocation_params.dir

    @property
    def is_worker(self) -> bool:
        """True in a process of pytest-xdist, whose controller decides."""
        return hasattr(self.config, "workerinput")

    def state(self, make: Callable[[RunContext], State]) -> State:
        """Return what *make* returned for this process: what the checks of one kind share."""
        if make not in self._states:
            self._states[make] = make(self)
        found: State = self._states[make]
        return found

    def close(self) -> None:
        """End what the states have begun, then the connections."""
        for state in self._states.values():
            if hasattr(state, "close"):
                state.close()
        if "transport" in self.__dict__:
            self.transport.close()

    def questions(self) -> int:
        """Return what the process has asked so far past any HTTP client."""
        return sum(count() for count in self.question_counters)

    # --- the connection ---

    @cached_property
    def throttle(self) -> Throttle:
        from pytest_prodcheck.http.throttle import Throttle

        target = self.target
        return Throttle(
            self.work / "chain",
            rate=target.rate,
            budget=target.request_budget,
            time_budget=target.time_budget,
        )

    @cached_property
    def transport(self) -> LiveTransport:
        from pytest_prodcheck.http.transport import LiveTransport

        return LiveTransport(self.target, self.throttle)

    @cached_property
    def release_seen(self) -> ReleaseObserver | None:
        """The release that responses of the run name, where the configuration has no `release`."""
        from pytest_prodcheck.service.release import ReleaseObserver

        return None if self.target.release else ReleaseObserver(self.work / "release.json")

    @cached_property
    def tally(self) -> Tally:
        """Every exchange of the run, of all its processes."""
        from pytest_prodcheck.store.tally import Tally

        return Tally(self.work / "tally")

    def connect(
        self, transport: LiveTransport | None = None, note: Note | None = None
    ) -> LiveClient:
        """Return a guarded client that no report shows."""
        from pytest_prodcheck.http.client import LiveClient

        return LiveClient(
            self.target,
            transport or self.transport,
            learn=self.redactor.learn,
            redact=self.redactor.text,
            observe=self.release_seen.observe if self.release_seen else None,
            note=note,
        )

    def client(self, item: pytest.Item, transport: LiveTransport | None = None) -> LiveClient:
        """Return a client for one test; its reports show what it exchanges."""
        client = self.connect(transport)
        item.stash[EVIDENCE].clients[client] = 0
        return client

    def shared_client(self) -> LiveClient:
        """Return a client for several tests; what it exchanges is shown by the one under way."""
        client = self.connect()
        self.shared_clients.append(client)
        return client

    # --- one test ---

    def add_evidence(self, item: pytest.Item, part: CheckEvidence) -> None:
        """Show *part* in the reports of *item* too."""
        item.stash[EVIDENCE].parts.append(part)

    def measure(self, item: pytest.Item, name: str, value: float) -> None:
        """Record a figure for the report and the decision matrix.

        Raises ValueError when it is not finite.
        """
        if not isfinite(value):
            raise ValueError(f"{name} is {value}, which is not a figure")
        item.stash[EVIDENCE].measured[name] = float(value)


CONTEXT: pytest.StashKey[RunContext] = pytest.StashKey()
"""In the stash of `pytest.Config`, once a target is chosen."""


def context_of(request: pytest.FixtureRequest) -> RunContext:
    """Return the context of the run; skip the test without a target."""
    if CONTEXT not in request.config.stash:
        pytest.skip("needs a target: run pytest with --target=NAME")
    return request.config.stash[CONTEXT]
