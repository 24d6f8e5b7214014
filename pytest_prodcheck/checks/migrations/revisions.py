"""All contact with Alembic: which revisions there are, what SQL they mean, and running them.

The project's `env.py` is never run: it connects to wherever the application does. Revisions run
in an environment of ours, on the connection that we give it.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.analysis.migrations.layout import Migration

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.script import ScriptDirectory


def revisions(folder: Path) -> tuple[Migration, ...]:
    """Return all of them, the first one first; with branches, each after its parents."""
    with _script(folder) as script:
        return tuple(
            Migration(name=one.revision, apply=Path(one.path), rollback=Path(one.path))
            for one in reversed(list(script.walk_revisions()))
        )


def ancestors(folder: Path, heads: tuple[str, ...]) -> set[str]:
    """Return what a database at these revisions has: they and all that they build on."""
    with _script(folder) as script:
        return {one.revision for one in script.iterate_revisions(heads, "base", inclusive=True)}


def sql(folder: Path, revision: str, dialect: str, *, back: bool = False) -> str:
    """Return the SQL of one revision, as `alembic upgrade --sql` would print it.

    Raises whatever the revision raises when it needs a database.
    """
    printed = io.StringIO()
    with _script(folder) as script:
        before = script.get_revision(revision).down_revision or "base"
        _run(
            script,
            lambda current, _: _step(script, revision, back=back),
            dialect_name=dialect,
            as_sql=True,
            starting_rev=revision if back else before,
            output_buffer=printed,
            literal_binds=True,
        )
    return printed.getvalue()


def run(folder: Path, connection: sa.Connection, revision: str, *, back: bool = False) -> None:
    """Upgrade by one revision, or downgrade by it; do nothing where that is done already."""

    def steps(current: Any, _: object) -> list[Any]:
        done = revision in {
            one.revision for one in script.iterate_revisions(current or (), "base", inclusive=True)
        }
        return _step(script, revision, back=back) if done is back else []

    with _script(folder) as script:
        _run(script, steps, connection=connection, transaction_per_migration=True)


def stamp(folder: Path, connection: sa.Connection, heads: tuple[str, ...]) -> None:
    """Write down that a database is at these revisions."""
    from alembic.runtime.migration import MigrationContext

    with _script(folder) as script:
        for head in heads:
            MigrationContext.configure(connection).stamp(script, head)


def _step(script: ScriptDirectory, revision: str, *, back: bool) -> list[Any]:
    from alembic.runtime.migration import MigrationStep

    found = script.get_revision(revision)
    if back:
        return [MigrationStep.downgrade_from_script(script.revision_map, found)]
    return [MigrationStep.upgrade_from_script(script.revision_map, found)]


def _run(script: ScriptDirectory, steps: Any, *, as_sql: bool = False, **options: Any) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    environment = EnvironmentContext(Config(), script, fn=steps, as_sql=as_sql)
    with environment:
        environment.configure(**options)
        with environment.begin_transaction():
            environment.run_migrations()


@contextmanager
def _script(folder: Path) -> Iterator[ScriptDirectory]:
    """Return the folder as Alembic reads it; its `prepend_sys_path` holds meanwhile."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    beside = [folder / "alembic.ini", folder.parent / "alembic.ini"]
    ini = next((file for file in beside if file.is_file()), None)
    config = Config(ini)
    if (folder / "env.py").is_file():
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
    path = sys.path.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the project's own code
        try:
            yield ScriptDirectory.from_config(config)
        finally:
            sys.path[:] = path
