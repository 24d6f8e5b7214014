"""A migration rehearsed on a scratch database: there, again, back, and there once more.

base          the schema of the target, or what the migrations before make of nothing
rows          three made-up ones in each table, or those of the team's own file
apply         within the limit; rows that were there are what they were
roll back     nothing is left, nothing is lost
apply         and the next attempt works like the first
again         on top of itself it changes nothing (files of SQL: other tools apply once only)
use           rows that the new schema alone allows are written, as the new release may
roll back     and the rollback still works, with no row lost
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodcheck.analysis.migrations.flaw import Flaw, flaw
from pytest_prodcheck.analysis.migrations.layout import Migration, Tool
from pytest_prodcheck.analysis.migrations.rules import place_of
from pytest_prodcheck.checks.database.connection import reason
from pytest_prodcheck.checks.migrations import loosened, renames, snapshot, use
from pytest_prodcheck.checks.migrations.applying import Outcome, run_file, run_revision, run_script
from pytest_prodcheck.checks.migrations.filling import fill
from pytest_prodcheck.checks.migrations.schema_dump import dumped
from pytest_prodcheck.checks.migrations.scratch import Scratch, scratch
from pytest_prodcheck.config import Migrations
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.model import Record

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pytest_prodcheck.checks.migrations.loosened import Shape
    from pytest_prodcheck.checks.migrations.snapshot import Rows, Schema, Table


_MOST = 3
"""Kinds of rows that a message names."""


class Plan(Record, frozen=True):
    """The migrations of a project, and where the target stands."""

    settings: Migrations
    tool: Tool
    migrations: tuple[Migration, ...]
    """All of them, in order."""
    pending: tuple[str, ...]
    """Names of those that the target does not have."""
    heads: tuple[str, ...] = ()
    """Alembic: the revisions that the target is at."""

    def at(self, file: Path) -> str:
        """Return a file as messages name it."""
        return place_of(file, self.settings.folder)

    def before(self, name: str) -> tuple[Migration, ...]:
        """Return the migrations before this one."""
        names = [one.name for one in self.migrations]
        return self.migrations[: names.index(name)]


class Report(Record, frozen=True):
    """What came of a rehearsal."""

    flaws: tuple[Flaw, ...]
    seconds: float
    lock: str
    """The strongest on a table that was there before, as PostgreSQL names it; "" for none."""
    notices: tuple[str, ...]


class Moment(Record, frozen=True):
    """A database at one moment."""

    schema: Schema
    rows: dict[Table, Rows]


def rehearse(
    plan: Plan, migration: Migration, *, server: str | None = None, live: str | None = None
) -> Report:
    """Rehearse one migration on a database made for it. `server` is where it is made, and `live`
    whose schema it gets; nothing is written there.

    Raises NotAsked when there is nothing to rehearse on, or what is before it does not work.
    """
    with scratch(server, plan.settings.dialect) as database:
        return _Rehearsal(plan, migration, database).held(live)


class _Rehearsal:
    def __init__(self, plan: Plan, migration: Migration, database: Scratch) -> None:
        self.plan = plan
        self.migration = migration
        self.database = database
        self.limit = plan.settings.limit
        self.flaws: list[Flaw] = []
        self.old: dict[Table, Shape] = {}
        """The tables that the migration changes, as they are without it."""

    # --- the story ---

    def held(self, live: str | None) -> Report:
        self._make_base(live)
        before = self._moment()
        first = self._run(self.migration)
        if self._worked(first, "migration.fails"):
            self._check_notices(first)
            after = self._moment()
            self._check_rows(before, after)
            applied = self._check_back(before, after)
            if applied and self.plan.tool == "sql":
                applied = self._check_again()
            if applied and self.old:
                self._check_use(before, new=after.schema.columns.keys() - before.schema.columns)
        return Report(
            flaws=tuple(self.flaws), seconds=first.seconds, lock=first.lock, notices=first.notices
        )

    def _make_base(self, live: str | None) -> None:
        plan = self.plan
        predecessors = plan.before(self.migration.name)
        if live is not None and plan.settings.applied is None and plan.tool == "sql":
            live = None  # nobody knows which of its migrations the target has
        if live is not None:
            self._restore(dumped(live))
            if plan.tool == "alembic" and plan.heads:
                from pytest_prodcheck.checks.migrations.revisions import stamp

                with self.database.connect(self.limit, autocommit=False) as connection:
                    stamp(plan.settings.folder, connection, plan.heads)
                    connection.commit()
        there = [one for one in predecessors if one.name not in plan.pending]
        if live is None:
            self._run_all(there)
        if plan.settings.seed:
            self._seed(plan.settings.seed)
        self._run_all([one for one in predecessors if one.name in plan.pending])
        if not plan.settings.seed:
            self._fill()

    def _check_notices(self, first: Outcome) -> None:
        for glob in self.plan.settings.notices.get(self.migration.name, ()):
            if not any(fnmatchcase(notice, glob) for notice in first.notices):
                raised = "; ".join(first.notices) or "none"
                message = f'raised no NOTICE like "{glob}", but: {raised}'
                self._say("migration.notice", message)

    def _check_rows(self, before: Moment, after: Moment) -> None:
        """Rows that existed are what they were, and the new columns are NULL on them."""
        renamed = renames.tables(before.schema, after.schema)
        for table, old in before.rows.items():
            now_called = renamed.get(table, table)
            if now_called in after.schema.columns:
                self._check_table(table, now_called, old, before, after)
            elif old.count:
                name = snapshot.spelled(table)
                self._say("migration.rows", f"table {name} is gone with its {old.count} rows")

    def _check_table(
        self, table: Table, now_called: Table, old: Rows, before: Moment, after: Moment
    ) -> None:
        """Rows of one table, which may have another name now, and so may its columns."""
        name, columns = snapshot.spelled(table), before.schema.columns[table]
        there = after.schema.columns[now_called]
        called = renames.columns(before.schema, after.schema, table, now_called)
        kept = tuple(called.get(one, one) for one in columns)
        now = self._rows({now_called: tuple(one for one in kept if one in there)})[now_called]
        if now != old and called:  # not renamed: dropped, and others added
            called = {}
            now = self._rows({now_called: tuple(one for one in columns if one in there)})[
                now_called
            ]
        gone = [one for one in columns if one not in there and one not in called]
        if now.count != old.count:
            message = f"{name} had {old.count} rows and has {now.count}"
            self._say("migration.rows", message)
        elif gone and old.count:
            message = f"the values of {name}.{', '.join(gone)} are gone ({old.count} rows)"
            self._say("migration.rows", message)
        elif now != old:
            self._say("migration.rows", f"rows of {name} hold other values than before")
        if table == now_called:
            self._check_new_columns(table, before, after, set(called.values()))

    def _check_new_columns(
        self, table: Table, before: Moment, after: Moment, renamed: set[str]
    ) -> None:
        new = set(after.schema.columns[table]) - set(before.schema.columns[table]) - renamed
        name = snapshot.spelled(table)
        for column in sorted(new):
            definition = after.schema.definition(table, column)
            if any(word in definition for word in ("default", "identity", "generated")):
                continue
            with self.database.connect(self.limit) as connection:
                given = snapshot.given(connection, table, column)
            if given:
                message = f"fills the new column {name}.{column} of {given} rows that were there"
                self._say("migration.filled", message)

    def _check_again(self) -> bool:
        """Check that the second time changes nothing, even if it fails."""
        once = self._moment()
        second = self._run(self.migration)
        twice = self._moment()
        changed = snapshot.difference(once.schema, twice.schema)
        if second.failure:
            # SQLite has no guard for columns: to refuse and change nothing is all it can do.
            column = self.database.dialect == "sqlite" and not changed and once.rows == twice.rows
            if not (column and _of_column(second.failure.message)):
                self._say(
                    "migration.not_idempotent",
                    f"fails the second time: {second.failure.message}",
                    line=second.failure.line,
                )
        elif changed:
            message = f"changes the schema the second time: {changed}"
            self._say("migration.not_idempotent", message)
        elif once.rows != twice.rows:
            message = f"changes rows the second time: {_changed_rows(once, twice)}"
            self._say("migration.not_idempotent", message)
        return not changed and once.rows == twice.rows

    def _check_back(self, before: Moment, after: Moment) -> bool:
        """Check that the rollback restores the schema, and that the migration applies again.

        Returns whether it is applied in the end.
        """
        if self.migration.rollback is None:
            if not self.plan.settings.forward_only:
                self._say("migration.no_rollback", "has no rollback, so none was rehearsed")
            return True
        if not self._worked(self._run(self.migration, back=True), "migration.rollback_fails"):
            return self._moment() == after
        restored = self._moment()
        changed = snapshot.difference(before.schema, restored.schema)
        if changed.more:
            left = ", ".join(changed.more)
            self._say("migration.leftover", f"the rollback leaves {left}", back=True)
        for what, names in (("loses", changed.less), ("changes", changed.changed)):
            if names:
                message = f"the rollback {what} what was there: {', '.join(names)}"
                self._say("migration.not_restored", message, back=True)
        if not changed and restored.rows != before.rows:
            message = f"the rollback leaves other rows: {_changed_rows(before, restored)}"
            self._say("migration.not_restored", message, back=True)
        if not changed:
            with self.database.connect(self.limit) as connection:
                tables = loosened.changed(before.schema, after.schema)
                self.old = loosened.shapes(connection, tables)
        return self._check_once_more(after, clean=not changed)

    def _check_once_more(self, after: Moment, *, clean: bool) -> bool:
        third = self._run(self.migration)
        if third.failure:
            message = f"fails after a rollback: {third.failure.message}"
            self._say("migration.again", message, line=third.failure.line)
            return False
        changed = snapshot.difference(after.schema, self._moment().schema)
        if clean and changed:
            message = f"makes another schema after a rollback: {changed}"
            self._say("migration.again", message)
        return True

    def _check_use(self, before: Moment, new: set[Table]) -> None:
        """Check that the rollback still works after the new release has written rows."""
        with self.database.connect(self.limit) as connection:
            used = use.use(connection, self.old, new)
            counts = use.counts(connection, list(self.old))
        if used.missing:
            message = (
                f"no row could be made up with {'; '.join(used.missing)}, which this migration "
                "allows, so the rollback was not rehearsed with one"
            )
            self._say("migration.unproven", message)
        if not used.rows:
            return
        written = f"once the new release has written {_written(used)}"
        outcome = self._run(self.migration, back=True)
        failure = outcome.failure
        if failure and not failure.timed_out:
            message = f"{written}, the rollback fails: {failure.message}"
            self._say("migration.rollback_after_use", message, back=True, line=failure.line)
            return
        if not self._worked(outcome, "migration.rollback_fails"):
            return
        changed = snapshot.difference(before.schema, self._moment().schema)
        if changed:
            message = f"{written}, the rollback does not restore the schema: {changed}"
            self._say("migration.rollback_after_use", message, back=True)
            return
        self._check_used_rows(used, counts, written)

    def _check_used_rows(self, used: use.Used, counts: dict[Table, int], written: str) -> None:
        with self.database.connect(self.limit) as connection:
            now = use.counts(connection, list(counts))
            shortened = list(use.shortened(connection, used.rows, self.old))
        for table, count in counts.items():
            if now[table] < count:
                lost = f"{count - now[table]} of {count} rows of {snapshot.spelled(table)}"
                message = f"{written}, the rollback deletes {lost}"
                self._say("migration.lost_after_use", message, back=True)
        for one in shortened:
            message = f"{written}, the rollback shortens it: {one}"
            self._say("migration.lost_after_use", message, back=True)

    # --- its means ---

    def _run(self, migration: Migration, *, back: bool = False) -> Outcome:
        if self.plan.tool == "alembic":
            folder = self.plan.settings.folder
            return run_revision(self.database, folder, migration.name, self.limit, back=back)
        file = migration.rollback if back else migration.apply
        assert file, "asked for a rollback only where there is one"
        return run_file(self.database, file, self.limit)

    def _run_all(self, migrations: Sequence[Migration]) -> None:
        for one in migrations:
            failure = self._run(one).failure
            if failure:
                raise NotAsked(
                    f"not run: {one.name}, on which {self.migration.name} builds, fails: "
                    f"{failure.message}; correct that one first"
                )

    def _worked(self, outcome: Outcome, rule: str) -> bool:
        back = rule == "migration.rollback_fails"
        what = "the rollback" if back else "it"
        failure = outcome.failure
        if failure and failure.timed_out:
            message = f"{what} was stopped after the limit of {self.limit:g} s{_held(outcome)}"
            self._say("migration.slow", message, back=back)
        elif failure:
            self._say(rule, f"{what} fails: {failure.message}", back=back, line=failure.line)
        elif outcome.seconds > self.limit:
            message = f"{what} took {outcome.seconds:.1f} s, more than {self.limit:g} s"
            self._say("migration.slow", message + _held(outcome), back=back)
        return failure is None

    def _say(self, rule: str, message: str, *, back: bool = False, line: int | None = None) -> None:
        file = (self.migration.rollback if back else None) or self.migration.apply
        place = self.plan.at(file)
        self.flaws.append(flaw(rule, f"{place}:{line}" if line else place, message))

    def _moment(self) -> Moment:
        with self.database.connect(self.limit) as connection:
            schema = snapshot.schema(connection)
            return Moment(schema=schema, rows=snapshot.rows(connection, schema.columns))

    def _rows(self, columns: dict[Table, tuple[str, ...]]) -> dict[Table, Rows]:
        with self.database.connect(self.limit) as connection:
            return snapshot.rows(connection, columns)

    def _restore(self, sql: str) -> None:
        with self._base("the schema of `database` cannot be made again on a scratch database") as c:
            run_script(c, sql)

    def _seed(self, file: Path) -> None:
        with self._base(f"{file.name} does not fit the schema") as connection:
            run_script(connection, file.read_text(encoding="utf-8-sig"))

    def _fill(self) -> None:
        with self.database.connect(self.limit) as connection:
            columns = snapshot.schema(connection).columns
            refused = fill(connection, set(columns))
        if refused:
            reasons = "; ".join(f"{table}: {why}" for table, why in list(refused.items())[:3])
            message = (
                f"no row could be made up for {', '.join(refused)}, so nothing is known of rows "
                f"there ({reasons})"
            )
            self._say("migration.unproven", message)

    @contextmanager
    def _base(self, what: str) -> Iterator[sa.Connection]:
        """Report what fails here as not run: it says nothing about the migration."""
        with self.database.connect(self.limit) as connection:
            driver_error = _driver_error(connection)
            try:
                yield connection
            except (driver_error, ValueError) as error:
                raise NotAsked(f"not run: {what}: {reason(error)}") from error


def _changed_rows(old: Moment, new: Moment) -> str:
    """Return the tables of both whose number of rows, or whose values, have changed."""
    described = []
    for table, rows in old.rows.items():
        now = new.rows.get(table, rows)
        if now.count != rows.count:
            described.append(f"{snapshot.spelled(table)} ({rows.count} -> {now.count} rows)")
        elif now != rows:
            described.append(f"{snapshot.spelled(table)} (other values)")
    return ", ".join(described)


def _written(used: use.Used) -> str:
    """Return what is special about the rows that were written, or which tables have one more."""
    described = list(dict.fromkeys(row.what for row in used.rows if row.what))
    if not described:
        tables = dict.fromkeys(snapshot.spelled(row.table) for row in used.rows)
        return f"one more row in {', '.join(tables)}"
    more = f" and {len(described) - _MOST} more" if len(described) > _MOST else ""
    return f"{', '.join(described[:_MOST])}{more}, which this migration allows"


def _driver_error(connection: sa.Connection) -> type[Exception]:
    error: type[Exception] = connection.dialect.loaded_dbapi.Error
    return error


def _held(outcome: Outcome) -> str:
    return f", with {outcome.lock}" if outcome.lock else ""


def _of_column(message: str) -> bool:
    """Return True if SQLite refuses because a column exists already, or is gone already."""
    return message.startswith(("duplicate column name", "no such column")) or (
        "no such column" in message
    )
