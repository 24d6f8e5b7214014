"""`prodcheck init --database`: the tables of a known-good database, written for next time."""

from collections.abc import Collection, Iterator

from pytest_prodcheck.analysis.sql_schema.policies import conflicts
from pytest_prodcheck.analysis.sql_schema.written import toml
from pytest_prodcheck.checks.database.connection import Database
from pytest_prodcheck.checks.database.tables import read
from pytest_prodcheck.config import Settings
from pytest_prodcheck.config.config_file import PROJECT
from pytest_prodcheck.errors import ProdcheckError, UsageError
from pytest_prodcheck.store.run_directory import Folder

NAME = "schema.toml"

_HEADLINE = """What the code expects of its database; change it with the code (docs/database.md).
Recorded from target {target} by `prodcheck init --database`."""


def record(settings: Settings, schemas: Collection[str], *, overwrite: bool) -> Iterator[str]:
    """Write `schema.toml` beside the configuration; yields lines about it.

    schemas: those to record beside the default one. Raises UsageError for a target without a
    database or file, and for a `schema.toml` that is there.
    """
    target = settings.target
    if settings.file is None or target.database is None:
        raise UsageError(
            f"target {target.name} names no database in a configuration of its own; write "
            'database = "${DATABASE_URL}" into it'
        )
    path = settings.file.with_name(NAME)
    if path.exists() and not overwrite:
        raise UsageError(f"{NAME} is there already; --force overwrites it")
    try:
        with Database(target).asked() as connection:
            live = read(connection, [f"{schema}." for schema in schemas])
    except AssertionError as error:
        raise ProdcheckError(str(error)) from None
    if not live.tables:
        raise ProdcheckError(f"the database of target {target.name} has no tables to record")
    Folder(path.parent).write(NAME, toml(live.tables, _HEADLINE.format(target=target.name)))
    noun = "table" if len(live.tables) == 1 else "tables"
    yield f"{len(live.tables)} {noun} of target {target.name} recorded in {path}"
    for table in live.tables:
        for _, place, message, remedy in conflicts(table, table):
            yield f"warning: {place}: {message}. {remedy} [schema.policy_conflict]"
    section = "tool.prodcheck.database" if settings.file.name == PROJECT else "database"
    yield f"Have them checked by these lines in {settings.file.name}:"
    yield f"[{section}]"
    yield f'schema = "{NAME}"'
