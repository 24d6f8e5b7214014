"""What a test sees of one migration: `check_sql()`, `check_backward_compatible()`, `rehearse()`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.analysis.issues import issue_lines
from pytest_prodcheck.analysis.migrations import backward, order, rules
from pytest_prodcheck.analysis.migrations.flaw import DATA_LOSS, Flaw, flaw
from pytest_prodcheck.analysis.migrations.layout import Migration, folder
from pytest_prodcheck.analysis.migrations.reading import Statement, statements
from pytest_prodcheck.analysis.migrations.rules import Text
from pytest_prodcheck.checks.migrations.applying import LOCKS
from pytest_prodcheck.checks.migrations.schema_dump import history
from pytest_prodcheck.config import Migrations, Secret
from pytest_prodcheck.errors import CheckFailed, NotAsked
from pytest_prodcheck.model import Failure
from pytest_prodcheck.rules import failure

if TYPE_CHECKING:
    from pytest_prodcheck.checks.migrations.rehearsal import Plan

EXTRA = ("alembic", "psycopg", "sqlalchemy", "sqlglot")
"""Packages of the extra `database`."""


def standing(settings: Migrations, database: Secret | None) -> dict[str, tuple[str, ...]]:
    """`pending` migrations, and the `heads` that an Alembic database is at: plain data.

    Raises NotAsked when the target's own history cannot be read.
    """
    with _needing_the_extra():
        found = folder(settings.folder)
        url = database.reveal() if database else None
        if found.tool == "alembic":
            return _of_alembic(settings, url)
        names = tuple(one.name for one in found.migrations)
        if settings.applied is not None:
            done = names[: names.index(settings.applied) + 1] if settings.applied else ()
        elif found.tool == "prisma" and url:
            done = history(url, "_prisma_migrations", "migration_name", _FINISHED) or ()
        else:
            done = ()
        return {"pending": tuple(name for name in names if name not in done), "heads": ()}


_FINISHED = "WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL"


def _of_alembic(settings: Migrations, url: str | None) -> dict[str, tuple[str, ...]]:
    from alembic.script.revision import RevisionError
    from alembic.util import CommandError

    from pytest_prodcheck.checks.migrations.revisions import ancestors, revisions

    heads: tuple[str, ...] = ()
    if settings.applied is not None:
        heads = (settings.applied,) if settings.applied else ()
    elif url:
        heads = history(url, "alembic_version", "version_num") or ()
    try:
        done = ancestors(settings.folder, heads) if heads else set()
        every = [one.name for one in revisions(settings.folder)]
    except (CommandError, RevisionError) as error:
        raise NotAsked(f"Alembic cannot say what is pending: {error}") from error
    return {"pending": tuple(name for name in every if name not in done), "heads": heads}


def plan(settings: Migrations, standing: dict[str, tuple[str, ...]]) -> Plan:
    """Return the revision of the target, and the migrations themselves."""
    from pytest_prodcheck.checks.migrations.rehearsal import Plan

    found = folder(settings.folder)
    every = found.migrations
    if found.tool == "alembic":
        from pytest_prodcheck.checks.migrations.revisions import revisions

        every = revisions(settings.folder)
    return Plan(
        settings=settings,
        tool=found.tool,
        migrations=every,
        pending=tuple(standing["pending"]),
        heads=tuple(standing["heads"]),
    )


class Library:
    """The text of each migration, read when it is first asked for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._read: dict[tuple[str, bool], Text] = {}

    def text(self, migration: Migration, *, back: bool = False) -> Text:
        """Return one direction of a migration; "" if it has no rollback."""
        key = migration.name, back
        if key not in self._read:
            self._read[key] = self._text(migration, back)
        return self._read[key]

    def until(self, name: str) -> tuple[Text, ...]:
        """Return all migrations up to this one, which is the last."""
        every = self.plan.migrations
        end = [one.name for one in every].index(name) + 1
        return tuple(map(self.text, every[:end]))

    def all(self) -> tuple[Text, ...]:
        return tuple(map(self.text, self.plan.migrations))

    def _text(self, migration: Migration, back: bool) -> Text:
        file = migration.rollback if back else migration.apply
        dialect = self.plan.settings.dialect
        if file is None:
            return Text(place="", statements=(), dialect=dialect, rollback=back)
        generated = self.plan.tool == "alembic"
        return Text(
            place=self.plan.at(file),
            statements=self._printed(migration.name, back)
            if generated
            else statements(file.read_text(encoding="utf-8-sig"), dialect),
            dialect=dialect,
            rollback=back,
            generated=generated,
        )

    def _printed(self, revision: str, back: bool) -> tuple[Statement, ...]:
        """Return what Alembic prints for a revision, without its own bookkeeping."""
        from pytest_prodcheck.checks.migrations.revisions import sql

        settings = self.plan.settings
        try:
            text = sql(settings.folder, revision, settings.dialect, back=back)
        except Exception as error:  # a revision is any Python
            trouble = f"Alembic cannot print its SQL: {type(error).__name__}: {error}"
            return (Statement(text=revision, line=1, words=(), trouble=trouble),)
        return tuple(
            one
            for one in statements(text, settings.dialect)
            if "alembic_version" not in one.words and one.words[0].upper() not in _AROUND
        )


_AROUND = ("BEGIN", "COMMIT")


class MigrationCheck:
    """One pending migration as a test sees it; `name` is its id.

    `server` is where scratch databases may be made, `live` the database of the target, which is
    only read. `measure` takes what was measured.
    """

    def __init__(
        self,
        migration: Migration,
        library: Library,
        *,
        server: Secret | None = None,
        live: Secret | None = None,
        measure: Callable[[str, float], Any] = lambda name, value: None,
    ) -> None:
        self.name = migration.name
        self.migration = migration
        self._library = library
        self._plan = library.plan
        self._server = server
        self._live = live
        self._measure = measure

    def check_sql(self) -> None:
        """Return when reading finds nothing of more than minor severity, in either direction.

        Raises CheckFailed with every flaw.
        """
        with _needing_the_extra():
            found = tuple(self._by_reading())
        self._judge("by reading", found)

    def check_backward_compatible(self) -> None:
        """Return when the release before can run on the new schema. Raises CheckFailed."""
        with _needing_the_extra():
            *earlier, own = self._library.until(self.name)
            unread = [one for one in own.statements if one.trouble]
            found = (
                *backward.breaking(own, tuple(earlier)),
                *(flaw("migration.unread", own.at(one), one.trouble) for one in unread),
            )
        self._judge("for the release before", found)

    def rehearse(self) -> None:
        """Apply, apply again, roll back and apply on a scratch database. Raises CheckFailed.

        NotAsked when there is nothing to rehearse on: the run is then inconclusive.
        """
        with _needing_the_extra():
            from pytest_prodcheck.checks.migrations.rehearsal import rehearse

            report = rehearse(
                self._plan,
                self.migration,
                server=self._server.reveal() if self._server else None,
                live=self._live.reveal() if self._live else None,
            )
        self._measure("migration.seconds", report.seconds)
        if report.lock:
            self._measure("migration.lock", LOCKS.index(report.lock.split()[0]) + 1)
        held = f", {report.lock}" if report.lock else ""
        self._judge(f"in its rehearsal ({report.seconds:.2f} s{held})", report.flaws)

    def _by_reading(self) -> Iterator[Flaw]:
        plan, library = self._plan, self._library
        recorded = plan.tool != "sql"
        text = library.text(self.migration)
        back = library.text(self.migration, back=True)
        yield from rules.flaws(text, recorded=recorded)
        yield from rules.flaws(back, recorded=recorded)
        yield from (
            one for one in order.forth(library.all()) if one.place.startswith(f"{text.place}:")
        )
        yield from order.back(back, library.until(self.name))
        if plan.tool == "sql":
            names = [one.name for one in plan.migrations]
            yield from (one for one in order.numbering(names) if one.place == self.name)
        if not back.statements and text.statements and not plan.settings.forward_only:
            what = "its downgrade() does nothing" if text.generated else "has no rollback"
            yield flaw("migration.no_rollback", text.place, what)

    def _judge(self, how: str, found: Iterable[Flaw]) -> None:
        flaws = [one for one in found if one.rule not in self._plan.settings.ignore]
        if not flaws:
            return
        noun = "flaw" if len(flaws) == 1 else "flaws"
        title = f"{self.name} has {len(flaws)} {noun} {how}"
        message = "\n".join(issue_lines(title, flaws, most=None))
        if all(one.severity == "minor" for one in flaws):
            warnings.warn(message, stacklevel=3)
            return
        raise CheckFailed(message, map(self._failure, flaws))

    def _failure(self, flaw: Flaw) -> Failure:
        message = f"{flaw.place}: {flaw.message}"
        lost = flaw.rule in DATA_LOSS
        return failure(flaw.rule, f"migration {self.name}", message, data_loss=lost)

    def __repr__(self) -> str:
        return f"<migration {self.name}>"


@contextmanager
def _needing_the_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA:
            raise
        raise NotAsked(
            f"not run: {missing} is not installed; pip install 'pytest-prodcheck[database]'"
        ) from error
