"""What the rollback checks of one process work on: flags, drills, and pending migrations."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_prodcheck.config import Drill, Flags
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.session import parameters
from pytest_prodcheck.session.evidence import SEEN

if TYPE_CHECKING:
    from pytest_prodcheck.checks.drills.drill import DrillRun
    from pytest_prodcheck.checks.migrations.migration_run import Library, MigrationRun
    from pytest_prodcheck.checks.modes.flags import FlagsRun
    from pytest_prodcheck.http.client import LiveTransport
    from pytest_prodcheck.session.inspector import Inspector


class RollbackChecks:
    """What is pending one process of the run finds out; a drill has the target for itself."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._settings = inspector.settings
        self._target = inspector.target
        self._work = inspector.work

    def flags(self, item: pytest.Item, source: Flags) -> FlagsRun:
        from pytest_prodcheck.checks.modes.flags import FlagsRun

        run = FlagsRun(source, lambda: self._inspector.client(item))
        item.stash[SEEN].flags = run
        return run

    @contextmanager
    def drill(self, item: pytest.Item, drill: Drill) -> Generator[DrillRun]:
        """One drill, alone on the target: the probes of this run have been answered before."""
        from pytest_prodcheck.checks.drills.drill import DrillRun
        from pytest_prodcheck.checks.drills.kept import Kept
        from pytest_prodcheck.checks.drills.restoring import Site
        from pytest_prodcheck.checks.probes.prober import ANSWERS
        from pytest_prodcheck.store.undo_journal import Begin

        self._inspector.measured()
        target, run = self._target, self._work.parent
        mark = f"prodcheck-drill-{secrets.token_hex(4)}"
        with (
            self._connected(mark, target.request_budget) as transport,
            self._connected(f"{mark}-back", None) as back,
        ):
            site = Site(
                target=target,
                connect=lambda: self._inspector.client(item, transport),
                flags=self._settings.flags,
                probes=self._inspector.probes or (ANSWERS,),
                root=self._inspector.project,
                clean=self._inspector.redactor.text,
            )
            way_back = msgspec.structs.replace(
                site, connect=lambda: self._inspector.client(item, back)
            )
            begin = Begin(
                drill=drill.name,
                mark=mark,
                run=run.name,
                choice=self._inspector.choice,
                target=target.name,
                base_url=target.base_url,
                root=str(self._inspector.root),
                switch=str(drill.switch),
                restore=str(drill.restore),
                own_service=target.start is not None,
            )
            measure = self._inspector.measure_for(item)
            kept = Kept(
                settings=self._settings,
                drill=drill,
                probes=site.probes,
                root=site.root,
                mark=mark,
            )
            rehearsal = DrillRun(drill, site, way_back, begin, run, measure, kept)
            try:
                yield rehearsal
            finally:
                rehearsal.close()

    @contextmanager
    def _connected(self, name: str, budget: int | None) -> Generator[LiveTransport]:
        """A way to the target without a breaker, for who makes it fail on purpose."""
        from pytest_prodcheck.http.client import LiveTransport
        from pytest_prodcheck.http.throttle import Chain

        rate = self._target.rate
        chain = Chain(self._work / name, rate=rate, budget=budget, breaker=False)
        transport = LiveTransport(self._target, chain)
        try:
            yield transport
        finally:
            transport.close()
            chain.close()

    @cached_property
    def _migrations_standing(self) -> dict[str, Any]:
        """What is pending, found out by one process; `trouble` when it cannot be known."""
        from pytest_prodcheck.checks.migrations.migration_run import standing

        settings, database = self._settings.migrations, self._target.database
        assert settings, "asked for where migrations are configured only"

        def find() -> dict[str, Any]:
            try:
                return dict(standing(settings, database))
            except NotAsked as error:
                return {"trouble": str(error).removeprefix("not run: ")}

        found: dict[str, Any] = parameters.once(self._work / "migrations.json", find)
        return found

    @property
    def pending_migrations(self) -> Sequence[str]:
        """Their names, in order."""
        found = self._migrations_standing
        if "trouble" in found:
            self._inspector.plan.complain(f"no migration could be checked: {found['trouble']}")
            return []
        names: list[str] = found["pending"]
        return names

    @cached_property
    def _migration_library(self) -> Library:
        from pytest_prodcheck.checks.migrations.migration_run import Library, plan

        assert self._settings.migrations, "asked for where migrations are configured only"
        return Library(plan(self._settings.migrations, self._migrations_standing))

    def migration(self, item: pytest.Item, name: str) -> MigrationRun:
        from pytest_prodcheck.checks.migrations.migration_run import MigrationRun

        library = self._migration_library
        (migration,) = (one for one in library.plan.migrations if one.name == name)
        return MigrationRun(
            migration,
            library,
            server=self._target.scratch,
            live=self._target.database,
            measure=self._inspector.measure_for(item),
        )
