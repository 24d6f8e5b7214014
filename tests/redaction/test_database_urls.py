"""Of the URL of a database the password is secret, and nothing else that a report has to say."""

from pathlib import Path

import pytest

from pytest_prodcheck.config import load
from pytest_prodcheck.redaction.redactor import redactor_of
from tests.project import Project

CASES = {
    # template of `database`, environment, what must be hidden, what must be left as it is
    "no password": (
        "${DB}",
        {"DB": "postgresql://postgres@127.0.0.1:54991/postgres"},
        [],
        ["role postgres may not read", "postgres on 127.0.0.1:54991"],
    ),
    "no password, written out": (
        "postgresql://checkout_service@db.example.com/orders",
        {},
        [],
        ["checkout_service may not read orders"],
    ),
    "an empty password": (
        "${DB}",
        {"DB": "postgresql://postgres:@db.example.com/postgres"},
        [],
        ["role postgres", "database postgres"],
    ),
    "a long user name": (
        "${DB}",
        {"DB": "postgresql://orders_reader_production2:v8Kd02mSx7Qp@db.example.com/orders"},
        ["v8Kd02mSx7Qp"],
        ["role orders_reader_production2"],
    ),
    "percent-encoded": (
        "${DB}",
        {"DB": "postgresql://reader:p%40ss%2Fw0rd9@db.example.com/app"},
        ["p%40ss%2Fw0rd9", "p@ss/w0rd9"],
        ["reader of app on db.example.com"],
    ),
    "password in the query": (
        "${DB}",
        {"DB": "postgresql://db.example.com/app?user=postgres&password=v8Kd02mSx7Qp"},
        ["v8Kd02mSx7Qp"],
        ["role postgres", "user=postgres"],
    ),
    "a password of plain words in the query": (
        "${DB}",
        {"DB": "postgresql://db.example.com/app?user=postgres&password=correcthorse"},
        ["correcthorse"],
        ["role postgres"],
    ),
    "the password of a client key": (
        "${DB}",
        {"DB": "postgresql://app@db.example.com/app?sslpassword=v8Kd02mSx7Qp&sslmode=require"},
        ["v8Kd02mSx7Qp"],
        ["sslmode=require", "app may not read"],
    ),
    "the user is the password, and the database": (
        "${DB}",
        {"DB": "postgresql://postgres:postgres@localhost/postgres"},
        ["postgres:postgres@"],
        ["role postgres", "database postgres on localhost"],
    ),
    "a unix socket": (
        "${DB}",
        {"DB": "postgresql://postgres@/orders_production?host=/var/run/postgresql-15-main"},
        [],
        ["role postgres", "orders_production", "socket /var/run/postgresql-15-main"],
    ),
    "a unix socket, encoded": (
        "${DB}",
        {"DB": "postgresql://postgres@%2Fvar%2Frun%2Fpostgresql/orders_production"},
        [],
        ["role postgres", "orders_production", "/var/run/postgresql"],
    ),
    "a user from a variable": (
        "postgresql://${DB_USER}:${DB_PASSWORD}@${DB_HOST}/${DB_NAME}",
        {
            "DB_USER": "postgres",
            "DB_PASSWORD": "v8Kd02mSx7Qp",
            "DB_HOST": "db.example.com",
            "DB_NAME": "orders_production",
        },
        ["v8Kd02mSx7Qp"],
        ["role postgres", "orders_production on db.example.com"],
    ),
    "a short user from a variable": (
        "postgresql://${DB_USER}:${DB_PASSWORD}@db.example.com/app",
        {"DB_USER": "app", "DB_PASSWORD": "v8Kd02mSx7Qp"},
        ["v8Kd02mSx7Qp"],
        ["role app may not read"],
    ),
    "a file": (
        "${DB}",
        {"DB": "sqlite:////srv/application-data/orders_production.db"},
        [],
        ["orders_production.db", "/srv/application-data"],
    ),
    "a driver in the scheme": (
        "${DB}",
        {"DB": "postgresql+psycopg://postgres@db.example.com/customer_orders_2024"},
        [],
        ["role postgres", "customer_orders_2024"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_only_the_password_of_a_database_is_hidden(tmp_path: Path, name: str) -> None:
    template, environ, hidden, kept = CASES[name]
    (tmp_path / "prodcheck.toml").write_text(
        f'[targets.prod]\nbase_url = "https://a.example"\ndatabase = "{template}"\n'
    )
    settings = load("prod", root=tmp_path, environ=environ)
    redactor = redactor_of(settings.secrets, environ)
    assert [text for text in kept if redactor.text(text) != text] == []
    assert [text for text in hidden if text in redactor.text(f"at ({text}) it ends")] == []


@pytest.mark.parametrize(
    ("dsn", "hidden", "kept"),
    [
        ("host=/tmp/pg user=postgres dbname=orders_db1", [], ["postgres", "orders_db1"]),
        ("host=localhost user=postgres dbname=orders_production2", [], ["orders_production2"]),
        (
            "host=localhost user=postgres password=v8Kd02mSx7Qp dbname=orders_production2",
            ["v8Kd02mSx7Qp"],
            ["postgres", "orders_production2"],
        ),
        (
            "host=localhost user=postgres password='v8 Kd02mSx7Qp' connect_timeout=3",
            ["v8 Kd02mSx7Qp"],
            ["role postgres", "connect_timeout=3"],
        ),
    ],
)
def test_of_a_connection_string_in_the_environment_too(
    dsn: str, hidden: list[str], kept: list[str]
) -> None:
    redactor = redactor_of((), {"ORDERS_DSN": dsn})
    assert [text for text in kept if redactor.text(text) != text] == []
    assert [text for text in hidden if text in redactor.text(f"at ({text}) it ends")] == []


FLAGS = """
matrix = "database-flags"
[flags]
from = "/info"
[flags.values]
ENABLE_DATABASE_WRITES = "$.writes"
ENABLE_FILE_FALLBACK = "$.fallback"
"""


@pytest.mark.parametrize("flags", [FLAGS, 'matrix = "database-flags"\n'])
def test_the_matrix_brings_its_modes_where_none_are_declared(tmp_path: Path, flags: str) -> None:
    (tmp_path / "prodcheck.toml").write_text(
        f'{flags.strip()}\n[targets.prod]\nbase_url = "https://a.example"\n'
    )
    settings = load("prod", root=tmp_path, environ={})
    assert set(settings.modes) == {"DATABASE_ONLY", "DUAL_WRITE", "FILE_ONLY"}


def test_declared_modes_are_the_only_ones(tmp_path: Path) -> None:
    (tmp_path / "prodcheck.toml").write_text(
        f"{FLAGS}[flags.modes]\nON = {{ ENABLE_DATABASE_WRITES = true }}\n"
        '[targets.prod]\nbase_url = "https://a.example"\n'
    )
    assert set(load("prod", root=tmp_path, environ={}).modes) == {"ON"}


def test_no_run_tells_to_switch_off_everything(project: Project) -> None:
    """Two rows of the matrix apply, and together they would leave no mode."""
    (project.path / "prodcheck.toml").write_text(
        f'{FLAGS}[targets.prod]\nbase_url = "{project.server.url}"\n'
        '[[actions]]\nwhen = "*test_a*"\nseverity = "critical"\n'
        'action = "set ENABLE_DATABASE_WRITES=false"\n'
        '[[actions]]\nwhen = "*test_b*"\nseverity = "critical"\n'
        'action = "set ENABLE_FILE_FALLBACK=false"\n'
    )
    project.write(
        "test_own.py",
        "import pytest\n"
        "@pytest.mark.smoke\n@pytest.mark.offline\ndef test_a(): assert 1 == 2\n"
        "@pytest.mark.smoke\n@pytest.mark.offline\ndef test_b(): assert 1 == 2\n",
    )
    outcome = project.run("-m", "smoke", "test_own.py")
    first, second = outcome.verdict["actions"]
    assert first["action"] == "set ENABLE_DATABASE_WRITES=false"
    assert not first.get("refused")
    assert second["action"] == "set ENABLE_FILE_FALLBACK=false"
    assert second["refused"]
