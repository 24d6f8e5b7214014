"""Where the demo keeps things: a database and files, in the order its operating mode says."""

import itertools
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from pytest_prodcheck.demo.deployment import Flags

Row = dict[str, Any]
T = TypeVar("T")

metadata = sa.MetaData()

entries = sa.Table(
    "journal_entries",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("author", sa.String(40), nullable=False, index=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("mood_level", sa.Integer, nullable=False),
    sa.Column("energy_level", sa.Integer, nullable=False),
    sa.Column("stress_level", sa.Integer, nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("updated_at", sa.String(32), nullable=False),
)
feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rating", sa.Integer, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
)
preferences = sa.Table(
    "preferences",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("theme", sa.String(10), nullable=False),
    sa.Column("language", sa.String(10), nullable=False),
    sa.Column("reminders", sa.Boolean, nullable=False),
)


class Unavailable(Exception):
    """Nothing can be read or stored now; the message says why."""


class Store(Protocol):
    """Rows of a table by their `id`; `where` holds columns and the value each must have."""

    def read(self, table: sa.Table, where: Row, limit: int | None, offset: int) -> list[Row]: ...
    def count(self, table: sa.Table, where: Row) -> int: ...
    def get(self, table: sa.Table, key: int | str) -> Row | None: ...
    def put(self, table: sa.Table, *rows: Row) -> None: ...
    def remove(self, table: sa.Table, key: int | str) -> bool: ...


class Database:
    """The SQL store."""

    def __init__(self, url: str) -> None:
        self.unplugged = False
        """The service's own fault switch: nobody gets through until it is off again."""
        self._engine = sa.create_engine(url, connect_args={"timeout": 5})
        # Nothing outlives the process, so nothing needs to wait for the disk.
        sa.event.listen(self._engine, "connect", _do_not_wait_for_the_disk)

    def create(self, *, drifted: bool = False) -> None:
        """Make the tables; `drifted`: with the names that columns had in an earlier release."""
        with self._connection() as connection:
            metadata.create_all(connection)
            for what in ("mood", "energy", "stress") if drifted else ():
                rename = f"RENAME COLUMN {what}_level TO {what}_score"
                connection.execute(sa.text(f"ALTER TABLE {entries.name} {rename}"))

    def check(self) -> None:
        """Raise Unavailable unless a query is answered."""
        with self._connection() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def read(self, table: sa.Table, where: Row, limit: int | None, offset: int) -> list[Row]:
        wanted = sa.select(table).filter_by(**where).order_by(table.c.id)
        with self._connection() as connection:
            found = connection.execute(wanted.limit(limit).offset(offset))
            return [dict(row) for row in found.mappings()]

    def count(self, table: sa.Table, where: Row) -> int:
        counted = sa.select(sa.func.count()).select_from(table).filter_by(**where)
        with self._connection() as connection:
            return connection.execute(counted).scalar_one()

    def get(self, table: sa.Table, key: int | str) -> Row | None:
        with self._connection() as connection:
            found = connection.execute(sa.select(table).where(table.c.id == key))
            row = found.mappings().first()
            return dict(row) if row else None

    def put(self, table: sa.Table, *rows: Row) -> None:
        with self._connection() as connection:
            connection.execute(sa.insert(table).prefix_with("OR REPLACE"), rows)

    def remove(self, table: sa.Table, key: int | str) -> bool:
        with self._connection() as connection:
            return connection.execute(sa.delete(table).where(table.c.id == key)).rowcount > 0

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        if self.unplugged:
            raise Unavailable("connection refused")
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise Unavailable(str(error.orig)) from error


def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=MEMORY")
    connection.execute("PRAGMA synchronous=OFF")


class Files:
    """The fallback: one directory per table with one JSON file per row."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for table in metadata.sorted_tables:
            (directory / table.name).mkdir(exist_ok=True)

    def read(self, table: sa.Table, where: Row, limit: int | None, offset: int) -> list[Row]:
        rows = sorted(self._matching(table, where), key=lambda row: row["id"])
        return rows[offset:][:limit]

    def count(self, table: sa.Table, where: Row) -> int:
        return len(self._matching(table, where))

    def get(self, table: sa.Table, key: int | str) -> Row | None:
        try:
            row: Row = json.loads(self._file(table, key).read_bytes())
        except FileNotFoundError:
            return None
        return row

    def put(self, table: sa.Table, *rows: Row) -> None:
        for row in rows:
            # Another thread may be reading: it sees the old row or the new one, never a half.
            unfinished = self._directory / uuid.uuid4().hex
            unfinished.write_text(json.dumps(row))
            unfinished.replace(self._file(table, row["id"]))

    def remove(self, table: sa.Table, key: int | str) -> bool:
        try:
            self._file(table, key).unlink()
        except FileNotFoundError:
            return False
        return True

    def _matching(self, table: sa.Table, where: Row) -> list[Row]:
        keys = [file.stem for file in (self._directory / table.name).glob("*.json")]
        rows = [row for key in keys if (row := self.get(table, key))]
        return [row for row in rows if where.items() <= row.items()]

    def _file(self, table: sa.Table, key: int | str) -> Path:
        return self._directory / table.name / f"{key}.json"


class Storage:
    """The stores in use, as the operating mode says.

    With both of them, a database that stops answering costs nothing: the files are read and
    written, and what they have more than the database is brought to it when it answers again. A
    database that was never reached is another matter: nobody knows what is in it, so its failure
    is a failure, and `ENABLE_DATABASE_WRITES=false` the remedy.
    """

    def __init__(
        self, directory: Path, database_url: str, flags: Flags, *, replays: bool = True
    ) -> None:
        self.flags = flags
        self.database = Database(database_url)
        self.files = Files(directory)
        self._replays = replays
        self._in_step = False
        self._owed: list[Callable[[Store], object]] = []
        self._ids = itertools.count(1)
        self._changing = threading.RLock()

    def new_id(self) -> int:
        """Unused in every store, whatever modes the service has been in."""
        return next(self._ids)

    def read(
        self, table: sa.Table, where: Row | None = None, limit: int | None = None, offset: int = 0
    ) -> list[Row]:
        """Rows in the order of their ids."""
        return self._ask(lambda store: store.read(table, where or {}, limit, offset))

    def count(self, table: sa.Table, where: Row | None = None) -> int:
        """How many there are."""
        return self._ask(lambda store: store.count(table, where or {}))

    def get(self, table: sa.Table, key: int | str) -> Row | None:
        """The row, or None."""
        return self._ask(lambda store: store.get(table, key))

    def put(self, table: sa.Table, *rows: Row) -> None:
        """Add rows, or replace those with the same id."""
        self._change(lambda store: store.put(table, *rows))

    def remove(self, table: sa.Table, key: int | str) -> bool:
        """True when there was such a row."""
        return any(self._change(lambda store: store.remove(table, key)))

    def switch(self, flags: Flags) -> None:
        """Change the operating mode; a store that comes into use is brought up to date first.

        What only an unreachable database has cannot be had: leaving it then loses it from view.
        """
        with self._changing:
            with suppress(Unavailable):
                self._settle()
            before = self._in_use(self.flags)
            for store in self._in_use(flags):
                if store not in before:
                    for table in metadata.sorted_tables if before else ():
                        with suppress(Unavailable):
                            self._copy(table, before[0], store)
            self.flags = flags

    def _ask(self, question: Callable[[Store], T]) -> T:
        first, *fallback = self._stores()
        try:
            if first is self.database:
                self._settle()
            return question(first)
        except Unavailable:
            if fallback and self._in_step:
                return question(fallback[0])
            raise

    def _change(self, act: Callable[[Store], T]) -> list[T]:
        with self._changing:
            done = []
            for store in self._stores():
                try:
                    if store is self.database:
                        self._settle()
                    done.append(act(store))
                except Unavailable:
                    if not (self.flags.file_fallback and self._in_step):
                        raise
                    if self._replays:
                        self._owed.append(act)
            return done

    def _settle(self) -> None:
        """Bring to the database what it has missed. Raises Unavailable when it still is."""
        with self._changing:
            while self._owed:
                self._owed[0](self.database)
                del self._owed[0]
            if not self._in_step:
                self.database.check()
                self._in_step = True

    def _copy(self, table: sa.Table, source: Store, to: Store) -> None:
        rows = source.read(table, {}, None, 0)
        for stale in to.read(table, {}, None, 0):
            to.remove(table, stale["id"])
        if rows:
            to.put(table, *rows)

    def _stores(self) -> list[Store]:
        stores = self._in_use(self.flags)
        if not stores:
            raise Unavailable("database writes and file fallback are both off")
        return stores

    def _in_use(self, flags: Flags) -> list[Store]:
        stores: list[Store] = []
        if flags.database_writes:
            stores.append(self.database)
        if flags.file_fallback:
            stores.append(self.files)
        return stores
