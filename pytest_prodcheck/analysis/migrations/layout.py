"""The migrations of a folder, in order: plain SQL files, Prisma's layout, or Alembic's."""

import os
import re
from pathlib import Path
from typing import Literal

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Record

Tool = Literal["sql", "prisma", "alembic"]

_BACK = re.compile(r"(?P<name>.+)\.(down|rollback)\.sql", re.IGNORECASE)
_UP = re.compile(r"(?P<name>.+?)(\.up)?\.sql", re.IGNORECASE)
_BACK_FOLDERS = ("rollback", "rollbacks", "down")
_BESIDE = ("down.sql", "rollback.sql")
_NUMBER = re.compile(r"\d+")


class Migration(Record, frozen=True):
    """One step of a schema, and its rollback if there is one."""

    name: str
    """`003_add_tiers`; with Alembic the revision."""
    apply: Path
    rollback: Path | None = None
    """With Alembic the same file, which has a `downgrade()`."""


class Folder(Record, frozen=True):
    """All migrations of a project; those of Alembic are listed by Alembic itself."""

    path: Path
    tool: Tool
    migrations: tuple[Migration, ...] = ()

    @property
    def records(self) -> bool:
        """Return True if the tool records applied migrations, and so never applies one twice."""
        return self.tool != "sql"


def folder(path: Path) -> Folder:
    """Return the migrations in `path`; raises UsageError if it is not a folder of migrations."""
    if not os.path.isdir(path):  # False for an impossible name too
        raise UsageError(f"there is no folder {path.name}; correct the path")
    if any((path / name).is_file() for name in ("env.py", "alembic.ini")):
        return Folder(path=path, tool="alembic")
    prisma = sorted(path.glob("*/migration.sql"))
    if prisma:
        return Folder(path=path, tool="prisma", migrations=tuple(map(_prisma, prisma)))
    migrations = _sql_files(path)
    if not migrations:
        raise UsageError(
            f"has no migrations: {path.name} contains neither NNN_name.sql, nor "
            "NAME/migration.sql (Prisma), nor env.py (Alembic)"
        )
    return Folder(path=path, tool="sql", migrations=migrations)


def _prisma(file: Path) -> Migration:
    back = next((file.with_name(name) for name in _BESIDE if file.with_name(name).is_file()), None)
    return Migration(name=file.parent.name, apply=file, rollback=back)


def _sql_files(path: Path) -> tuple[Migration, ...]:
    """Return the migrations in plain SQL files, sorted by number: 10 comes after 9.

    They are `001_x.sql` or `001_x.up.sql`, and their rollbacks `001_x.down.sql`,
    `001_x.rollback.sql` or `rollback/001_x.sql`.
    """
    forth: dict[str, Path] = {}
    back: dict[str, Path] = {}
    for file in sorted(path.glob("*.sql")):
        found = _BACK.fullmatch(file.name)
        into = back if found else forth
        found = found or _UP.fullmatch(file.name)
        assert found, "each file ends in .sql"
        if found["name"] in into:
            raise UsageError(f"has {into[found['name']].name} and {file.name} for one step")
        into[found["name"]] = file
    for name in _BACK_FOLDERS:
        for file in sorted((path / name).glob("*.sql")):
            found = _BACK.fullmatch(file.name) or _UP.fullmatch(file.name)
            assert found, "each file ends in .sql"
            back.setdefault(found["name"], file)
    for name, file in back.items():
        if name not in forth:
            raise UsageError(
                f"has {file.relative_to(path)}, which rolls back nothing: there is no {name}.sql"
            )
    return tuple(
        Migration(name=name, apply=forth[name], rollback=back.get(name))
        for name in sorted(forth, key=_by_number)
    )


def number(name: str) -> int | None:
    """Return the number at the beginning of a name; None if there is none."""
    found = _NUMBER.match(name)
    return int(found[0]) if found else None


def _by_number(name: str) -> tuple[bool, int, str]:
    leading = number(name)
    return (leading is None, leading or 0, name)
