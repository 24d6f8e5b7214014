"""Migrations rehearsed for real: on PostgreSQL and SQLite, good ones, bad ones, and bad servers."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import mbdata
import psycopg
import pytest
import sqlalchemy as sa

from pytest_prodcheck.checks.migrations import snapshot
from pytest_prodcheck.checks.migrations.filling import fill
from pytest_prodcheck.checks.migrations.migration_check import (
    Library,
    MigrationCheck,
    plan,
    standing,
)
from pytest_prodcheck.checks.migrations.rehearsal import Report, rehearse
from pytest_prodcheck.checks.migrations.schema_dump import programs, read_only
from pytest_prodcheck.checks.migrations.scratch import PREFIX, Scratch, engine_of, scratch
from pytest_prodcheck.config import Migrations, Secret
from pytest_prodcheck.demo import storage
from pytest_prodcheck.errors import NotAsked
from tests.migration_folders import DOCUMENTS, PIPELINE, USERS, alembic_project, write

DEMO = Path(storage.__file__).parent


def plain(url: str) -> str:
    """As psycopg takes it."""
    return url.replace("+psycopg", "")


def left_behind(url: str) -> list[str]:
    with psycopg.connect(plain(url)) as connection:
        found = connection.execute("SELECT datname FROM pg_database").fetchall()
    return [name for (name,) in found if name.startswith(PREFIX)]


def rehearsed(path: Path, name: str, server: str | None, live: str | None = None, **more) -> Report:
    settings = Migrations(folder=path, dialect="postgresql" if server else "sqlite", **more)
    made = plan(settings, standing(settings, Secret(live) if live else None))
    (migration,) = (one for one in made.migrations if one.name == name)
    try:
        return rehearse(made, migration, server=server, live=live)
    finally:
        if server:
            assert left_behind(server) == []


def told(report: Report) -> list[tuple[str, str]]:
    return [
        (one.rule.removeprefix("migration."), f"{one.place}: {one.message}") for one in report.flaws
    ]


@pytest.fixture(params=["postgresql", "sqlite"])
def server(request: pytest.FixtureRequest) -> str | None:
    """Where to rehearse: a PostgreSQL server, or None for SQLite."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres")
    return url


# --- what the documents wanted


@pytest.mark.parametrize("name", sorted(name for name in DOCUMENTS if "down" not in name))
def test_the_migrations_of_document_001_are_rehearsed_well(tmp_path, postgres, name):
    report = rehearsed(write(tmp_path, DOCUMENTS), name.removesuffix(".sql"), postgres)
    assert report.flaws == ()
    assert 0 < report.seconds < 30


def test_its_notices_are_captured_and_can_be_expected(tmp_path, postgres):
    path = write(tmp_path / "m", DOCUMENTS)
    expected = ("journal_entries table already exists", "Added is_premium column*", "✅ Beta *")
    report = rehearsed(path, "002_is_premium", postgres, notices={"002_is_premium": expected})
    assert report.flaws == ()
    assert report.notices == (
        "journal_entries table already exists",
        "Added is_premium column to users table",
        "✅ Beta optimization schema deployed successfully!",
    )
    report = rehearsed(
        path, "002_is_premium", postgres, notices={"002_is_premium": ("Added tiers*",)}
    )
    assert told(report) == [
        (
            "notice",
            'm/002_is_premium.sql: raised no NOTICE like "Added tiers*", but: '
            + "; ".join(report.notices),
        )
    ]


def test_the_migration_of_document_003_is_rehearsed_well(tmp_path, postgres):
    """Facts 72, 73 and 77: five nullable columns, far below 30 s, and the lock that it takes."""
    path = write(tmp_path, PIPELINE)
    report = rehearsed(path, "20251029043929_add_stage_outputs_and_report", postgres)
    assert report.flaws == ()
    assert report.seconds < 30
    assert report.lock == "AccessExclusiveLock on PipelineRun"


def test_its_documented_query_fails(tmp_path, postgres):
    """Fact 75: without quotes the column is looked for in lower case."""
    path = write(tmp_path / "m", PIPELINE)
    write(path, {"20251101000000_look/migration.sql": 'SELECT stage1Output FROM "PipelineRun";'})
    report = rehearsed(path, "20251101000000_look", postgres, forward_only=True)
    assert told(report) == [
        (
            "fails",
            'm/20251101000000_look/migration.sql:1: it fails: column "stage1output" does not exist',
        )
    ]


def test_the_rollback_listing_with_the_table_first_fails(tmp_path, postgres):
    """Fact 15, without the CASCADE that hides it."""
    path = write(
        tmp_path / "m",
        {
            "001_tiers.sql": "CREATE TABLE IF NOT EXISTS user_tier_limits (tier TEXT);\n"
            "CREATE OR REPLACE VIEW beta_daily_metrics AS SELECT tier FROM user_tier_limits;",
            "001_tiers.down.sql": "DROP TABLE IF EXISTS user_tier_limits;\n"
            "DROP VIEW IF EXISTS beta_daily_metrics;",
        },
    )
    (found,) = told(rehearsed(path, "001_tiers", postgres))
    assert found == (
        "rollback_fails",
        "m/001_tiers.down.sql:1: the rollback fails: cannot drop table user_tier_limits because "
        "other objects depend on it",
    )


# --- what is wrong with bad ones


BAD = {
    "leaves a column": (
        "ALTER TABLE users ADD COLUMN email TEXT;",
        "SELECT 1;",
        [
            ("leftover", "m/002.down.sql: the rollback leaves column {}users.email (text)"),
            ("again", None),
        ],
    ),
    "loses a column": (
        "SELECT 1;",
        "ALTER TABLE users DROP COLUMN name;",
        [
            (
                "not_restored",
                "m/002.down.sql: the rollback loses what was there: column {}users.name "
                "(text not null)",
            ),
        ],
    ),
    "adds rows each time": (
        "INSERT INTO users SELECT max(id) + 1, 'another' FROM users;",
        "DELETE FROM users WHERE name = 'another';",
        [
            ("rows", "m/002.sql: {}users had 3 rows and has 4"),
            ("not_idempotent", "m/002.sql: changes rows the second time: {}users (4 -> 5 rows)"),
        ],
    ),
    "changes rows": (
        "UPDATE users SET name = 'nobody';",
        "SELECT 1;",
        [
            ("rows", "m/002.sql: rows of {}users hold other values than before"),
            (
                "not_restored",
                "m/002.down.sql: the rollback leaves other rows: {}users (other values)",
            ),
        ],
    ),
    "deletes rows": (
        "DELETE FROM users;",
        "SELECT 1;",
        [
            ("rows", "m/002.sql: {}users had 3 rows and has 0"),
            (
                "not_restored",
                "m/002.down.sql: the rollback leaves other rows: {}users (3 -> 0 rows)",
            ),
        ],
    ),
    "drops a table": (
        "DROP TABLE IF EXISTS users;",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);",
        [
            ("rows", "m/002.sql: table {}users is gone with its 3 rows"),
            (
                "not_restored",
                "m/002.down.sql: the rollback leaves other rows: {}users (3 -> 0 rows)",
            ),
        ],
    ),
    "cannot run": (
        "SELECT 1;\n\nSELECT * FROM nowhere;",
        "SELECT 1;",
        [("fails", None)],
    ),
    "cannot run twice": (
        "CREATE TABLE tags (id INTEGER PRIMARY KEY);",
        "DROP TABLE IF EXISTS tags;",
        [("not_idempotent", None)],
    ),
    "cannot be taken back": (
        "CREATE TABLE IF NOT EXISTS tags (id INTEGER PRIMARY KEY);",
        "DROP TABLE tag;",
        [("rollback_fails", None)],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_migration_is_named_by_the_right_rule(tmp_path, server, case):
    forth, back, expected = BAD[case]
    path = write(tmp_path / "m", {**USERS, "002.sql": forth, "002.down.sql": back})
    report = rehearsed(path, "002", server)
    assert [rule for rule, _ in told(report)] == [rule for rule, _ in expected]
    for (_, message), (_, wanted) in zip(told(report), expected, strict=True):
        assert wanted is None or message == wanted.format("public." if server else "")


MOVED = {
    "rename a column": ("ALTER TABLE users RENAME COLUMN name TO full_name;", []),
    "rename two columns": (
        "ALTER TABLE users RENAME COLUMN name TO full_name;"
        "ALTER TABLE users RENAME COLUMN id TO user_id;",
        [],
    ),
    "rename a table": ("ALTER TABLE users RENAME TO people;", []),
    "rename a column and add another": (
        "ALTER TABLE users RENAME COLUMN name TO full_name; ALTER TABLE users ADD nick TEXT;",
        [],
    ),
    "drop a column and add one of its type": (
        "ALTER TABLE users DROP COLUMN name;ALTER TABLE users ADD label TEXT NOT NULL DEFAULT 'x';",
        ["{}users.name are gone (3 rows)"],
    ),
    "drop a column": ("ALTER TABLE users DROP COLUMN name;", ["{}users.name are gone (3 rows)"]),
    "rename and change": (
        "ALTER TABLE users RENAME COLUMN name TO full_name; UPDATE users SET full_name = 'x';",
        ["{}users.name are gone (3 rows)", "fills the new column {}users.full_name of 3 rows"],
    ),
    "another table of that kind": (
        "DROP TABLE users; CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL);",
        ["{}users had 3 rows and has 0"],
    ),
}


@pytest.mark.parametrize("case", MOVED)
def test_values_under_another_name_are_not_gone(tmp_path, server, case):
    forth, expected = MOVED[case]
    path = write(tmp_path / "m", {**USERS, "002.sql": forth})
    report = rehearsed(path, "002", server, forward_only=True)
    place = "public." if server else ""
    lost = [message for rule, message in told(report) if rule in ("rows", "filled")]
    assert len(lost) == len(expected), lost
    for message, wanted in zip(lost, expected, strict=True):
        assert wanted.format(place) in message


def test_not_null_without_a_default_fails_on_rows(tmp_path, postgres):
    path = write(
        tmp_path / "m",
        {**USERS, "002_a.sql": "SELECT 1;\nALTER TABLE users ADD COLUMN age INT NOT NULL;"},
    )
    report = rehearsed(path, "002_a", postgres, forward_only=True)
    assert told(report) == [
        (
            "fails",
            'm/002_a.sql:2: it fails: column "age" of relation "users" contains null values',
        )
    ]


def test_a_type_that_stays_is_named(tmp_path, postgres):
    path = write(
        tmp_path / "m",
        {
            **USERS,
            "002_mood.sql": "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_type WHERE typname = 'mood')"
            " THEN CREATE TYPE mood AS ENUM ('good', 'bad'); END IF; END $$;\n"
            "ALTER TABLE users ADD COLUMN IF NOT EXISTS mood mood;",
            "002_mood.down.sql": "ALTER TABLE users DROP COLUMN IF EXISTS mood;",
        },
    )
    assert told(rehearsed(path, "002_mood", postgres)) == [
        (
            "leftover",
            "m/002_mood.down.sql: the rollback leaves type public.mood (enum good, bad)",
        )
    ]


def test_everything_that_a_schema_holds_is_compared(tmp_path, postgres):
    forth = """
        CREATE SCHEMA IF NOT EXISTS extra;
        CREATE SEQUENCE IF NOT EXISTS extra.numbers;
        CREATE OR REPLACE FUNCTION extra.f() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RETURN NEW; END $$;
        CREATE OR REPLACE VIEW extra.names AS SELECT name FROM users;
        CREATE OR REPLACE TRIGGER on_users BEFORE INSERT ON users
            FOR EACH ROW EXECUTE FUNCTION extra.f();
        CREATE INDEX IF NOT EXISTS by_name ON users (name);
        ALTER TABLE users ENABLE ROW LEVEL SECURITY;
        DROP POLICY IF EXISTS mine ON users;
        CREATE POLICY mine ON users USING (name = current_user);
        ALTER TABLE users DROP CONSTRAINT IF EXISTS named;
        ALTER TABLE users ADD CONSTRAINT named CHECK (name <> '');
        ALTER TABLE users ALTER COLUMN name SET DEFAULT 'x';
        DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_type WHERE typname = 'short')
            THEN CREATE DOMAIN short AS varchar(3); END IF; END $$;
        """
    path = write(tmp_path / "m", {**USERS, "002_all.sql": forth, "002_all.down.sql": "SELECT 1;"})
    found = dict(told(rehearsed(path, "002_all", postgres)))
    assert found.keys() == {"leftover", "not_restored"}
    kinds = "constraint|function|index|policy|schema|sequence|table|trigger|type|view"
    names = re.findall(rf"\b({kinds}) ((?:public|extra)[\w.]*(?:\(\))?)", found["leftover"])
    assert set(names) == {
        ("constraint", "public.users.named"),
        ("function", "extra.f()"),
        ("index", "public.users.by_name"),
        ("policy", "public.users.mine"),
        ("schema", "extra"),
        ("sequence", "extra.numbers"),
        ("trigger", "public.users.on_users"),
        ("type", "public.short"),
        ("view", "extra.names"),
    }
    assert "table public.users ( -> row level security)" in found["not_restored"]
    assert (
        "column public.users.name (text not null -> text not null default 'x'::text)"
        in (found["not_restored"])
    )


def test_a_new_column_is_null_on_old_rows_or_that_is_said(tmp_path, postgres):
    path = write(
        tmp_path / "m",
        {
            **USERS,
            "002_a.sql": "ALTER TABLE users ADD COLUMN IF NOT EXISTS a TEXT;\n"
            "ALTER TABLE users ADD COLUMN IF NOT EXISTS b TEXT DEFAULT 'told';\n"
            "ALTER TABLE users ADD COLUMN IF NOT EXISTS c TEXT;\nUPDATE users SET c = name;",
            "002_a.down.sql": "ALTER TABLE users DROP COLUMN IF EXISTS a, "
            "DROP COLUMN IF EXISTS b, DROP COLUMN IF EXISTS c;",
        },
    )
    assert told(rehearsed(path, "002_a", postgres)) == [
        (
            "filled",
            "m/002_a.sql: fills the new column public.users.c of 3 rows that were there",
        )
    ]


def test_what_has_no_rollback_fails_unless_that_is_agreed(tmp_path, server):
    path = write(tmp_path / "m", {"001.sql": "CREATE TABLE IF NOT EXISTS a (b INT);"})
    assert told(rehearsed(path, "001", server)) == [
        ("no_rollback", "m/001.sql: has no rollback, so none was rehearsed")
    ]
    assert rehearsed(path, "001", server, forward_only=True).flaws == ()


def test_a_slow_migration_is_stopped_at_the_limit(tmp_path, postgres):
    path = write(
        tmp_path / "m",
        {**USERS, "002_slow.sql": "ALTER TABLE users ADD COLUMN a INT;\nSELECT pg_sleep(60);"},
    )
    started = time.monotonic()
    report = rehearsed(path, "002_slow", postgres, limit=0.5)
    assert time.monotonic() - started < 15
    assert [(one.rule, one.message) for one in report.flaws] == [
        ("migration.slow", "it was stopped after the limit of 0.5 s")
    ]


def test_a_slow_migration_of_sqlite_is_stopped_too(tmp_path):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    path = write(tmp_path / "m", {**USERS, "002_slow.sql": f"CREATE TABLE a AS {endless};"})
    report = rehearsed(path, "002_slow", None, limit=0.5)
    assert [(one.rule, one.message) for one in report.flaws] == [
        ("migration.slow", "it was stopped after the limit of 0.5 s")
    ]


# --- what runs outside of a transaction


def test_an_index_is_built_concurrently(tmp_path, postgres):
    path = write(
        tmp_path / "m",
        {
            **USERS,
            "002_i.sql": "ALTER TABLE users ADD COLUMN IF NOT EXISTS a INT;\n"
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS by_name ON users (name);\n",
            "002_i.down.sql": "DROP INDEX CONCURRENTLY IF EXISTS by_name;\n"
            "ALTER TABLE users DROP COLUMN IF EXISTS a;",
        },
    )
    report = rehearsed(path, "002_i", postgres)
    assert report.flaws == ()
    assert report.lock == "AccessExclusiveLock on users"


def test_transactions_of_its_own_are_kept(tmp_path, server):
    path = write(
        tmp_path / "m",
        {
            **USERS,
            "002_t.sql": "BEGIN;\nCREATE TABLE IF NOT EXISTS a (b INT);\n"
            "CREATE INDEX IF NOT EXISTS i ON users (name);\nCOMMIT;\n",
            "002_t.down.sql": "BEGIN;\nDROP INDEX IF EXISTS i;\nDROP TABLE IF EXISTS a;\nCOMMIT;",
        },
    )
    report = rehearsed(path, "002_t", server)
    assert report.flaws == ()
    assert report.lock == ("ShareLock on users" if server else "")


def test_a_failure_tells_its_line(tmp_path, postgres):
    path = write(tmp_path / "m", {"001.sql": "SELECT 1;\n\nSELECT\n  nothing\nFROM nowhere;"})
    assert told(rehearsed(path, "001", postgres)) == [
        ("fails", 'm/001.sql:5: it fails: relation "nowhere" does not exist')
    ]


def test_rows_are_copied_as_psql_copies_them(tmp_path, postgres):
    forth = (
        "\\set ON_ERROR_STOP on\n"
        "CREATE TABLE IF NOT EXISTS kinds (id int PRIMARY KEY, name text);\n"
        "TRUNCATE kinds;\nCOPY kinds (id, name) FROM stdin;\n1\tit's; one\n2\t\\N\n\\.\n\n"
        "DO $$ BEGIN IF (SELECT count(*) FROM kinds) <> 2 THEN RAISE 'not copied'; END IF; END $$;"
    )
    path = write(tmp_path, {"001.sql": forth, "001.down.sql": "DROP TABLE IF EXISTS kinds;"})
    assert rehearsed(path, "001", postgres).flaws == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "SELECT 1;\n\\i other.sql\n",
            r"001.sql is not only SQL, line 2: \i is a command of psql; ",
        ),
        (
            "DELIMITER $$\nSELECT 1$$",
            r"001.sql is not only SQL, line 1: DELIMITER is a command of ",
        ),
    ],
)
def test_what_only_a_client_runs_is_never_a_pass(tmp_path, postgres, text, why):
    path = write(tmp_path, {"001.sql": text})
    with pytest.raises(NotAsked) as error:
        rehearsed(path, "001", postgres, forward_only=True)
    assert why in str(error.value)


def test_a_rule_of_two_commands_is_one_statement(tmp_path, postgres):
    forth = """
        BEGIN;
        CREATE TABLE IF NOT EXISTS audit (id int, what text);
        CREATE OR REPLACE RULE seen AS ON UPDATE TO users DO ALSO (
          INSERT INTO audit VALUES (old.id, 'update');
          INSERT INTO audit VALUES (new.id, 'update');
        );
        COMMIT;
        """
    back = "BEGIN; DROP RULE IF EXISTS seen ON users; DROP TABLE IF EXISTS audit; COMMIT;"
    path = write(tmp_path, {**USERS, "002.sql": forth, "002.down.sql": back})
    assert rehearsed(path, "002", postgres).flaws == ()


# --- SQLite's way to change a table


def test_sqlite_changes_a_table_by_making_another(tmp_path):
    forth = """
        PRAGMA foreign_keys=OFF;
        CREATE TABLE "new_users" ("id" INTEGER PRIMARY KEY, "name" TEXT NOT NULL, "age" INTEGER,
            CHECK (age > 0));
        INSERT INTO "new_users" ("id", "name") SELECT "id", "name" FROM "users";
        DROP TABLE "users";
        ALTER TABLE "new_users" RENAME TO "users";
        PRAGMA foreign_keys=ON;
        """
    back = """
        CREATE TABLE "old_users" (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        INSERT INTO "old_users" SELECT "id", "name" FROM "users";
        DROP TABLE "users";
        ALTER TABLE "old_users" RENAME TO "users";
        """
    path = write(tmp_path / "m", {**USERS, "002_age.sql": forth, "002_age.down.sql": back})
    assert rehearsed(path, "002_age", None).flaws == ()
    forgets = back.replace("name TEXT NOT NULL", "name TEXT NOT NULL CHECK (name > '')")
    write(path, {"002_age.down.sql": forgets})
    assert [rule for rule, _ in told(rehearsed(path, "002_age", None))] == ["not_restored"]


# --- the demo's own


def test_the_first_migration_of_the_demo_makes_what_its_storage_makes():
    schemas = []
    for make in (
        storage.metadata.create_all,
        lambda connection: connection.connection.driver_connection.executescript(
            (DEMO / "migrations" / "001_journal.sql").read_text()
        ),
    ):
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        with engine.connect() as connection:
            make(connection)
            schemas.append(snapshot.schema(connection))
        engine.dispose()
    assert not snapshot.difference(*schemas)


def test_the_good_migrations_of_the_demo_are_clean():
    settings = Migrations(folder=DEMO / "migrations", dialect="sqlite")
    made = plan(settings, standing(settings, None))
    for migration in made.migrations:
        run = MigrationCheck(migration, Library(made))
        run.check_sql()
        run.check_backward_compatible()
        assert rehearse(made, migration).flaws == ()
    assert len(made.migrations) == 2


@pytest.mark.parametrize(
    ("folder", "name", "rules"),
    [
        ("not_reversible", "002_is_pinned", ["leftover", "again"]),
        ("not_idempotent", "002_tags", ["not_idempotent"]),
        ("touches_rows", "002_mood", ["rows", "not_idempotent"]),
    ],
)
def test_each_bad_migration_of_the_demo_is_named(folder, name, rules):
    path = DEMO / "migrations_broken" / folder
    assert [rule for rule, _ in told(rehearsed(path, name, None))] == rules
    assert rehearsed(path, "001_journal", None).flaws == ()


# --- Alembic


def test_a_project_of_alembic_is_rehearsed_without_its_env(tmp_path, server):
    path = alembic_project(
        tmp_path,
        [
            (
                "one",
                "op.create_table('users', sa.Column('id', sa.Integer, primary_key=True),"
                " sa.Column('name', sa.String(40), nullable=False))",
                "op.drop_table('users')",
            ),
            (
                "two",
                "op.add_column('users', sa.Column('is_premium', sa.Boolean))",
                "op.drop_column('users', 'is_premium')",
            ),
            (
                "three",
                "op.add_column('users', sa.Column('left_behind', sa.Boolean))",
                "pass",
            ),
        ],
    )
    assert rehearsed(path, "one", server).flaws == ()
    good = rehearsed(path, "two", server)
    assert good.flaws == ()
    assert good.lock == ("AccessExclusiveLock on users" if server else "")
    rule, message = told(rehearsed(path, "three", server))[0]
    assert rule == "leftover"
    assert "users.left_behind (boolean)" in message


def test_alembic_goes_on_from_where_the_target_is(tmp_path, postgres):
    path = alembic_project(
        tmp_path,
        [
            ("one", "op.create_table('users', sa.Column('id', sa.Integer))", "pass"),
            ("two", "op.add_column('users', sa.Column('a', sa.Integer))", "pass"),
            (
                "three",
                "op.add_column('users', sa.Column('b', sa.Integer))",
                "op.drop_column('users', 'b')",
            ),
        ],
    )
    with psycopg.connect(plain(postgres)) as connection:
        connection.execute("CREATE TABLE users (id INT, a INT, by_hand INT)")
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('two')")
    settings = Migrations(folder=path)
    assert standing(settings, Secret(postgres)) == {"pending": ("three",), "heads": ("two",)}
    assert rehearsed(path, "three", postgres, postgres).flaws == ()


# --- the target's own schema


def test_the_schema_of_the_target_is_what_a_migration_meets(tmp_path, postgres):
    with psycopg.connect(plain(postgres)) as connection:
        connection.execute("CREATE TABLE users (id SERIAL PRIMARY KEY, by_hand TEXT)")
        connection.execute("INSERT INTO users (by_hand) VALUES ('a real row')")
        connection.execute("CREATE VIEW names AS SELECT by_hand FROM users")
    path = write(
        tmp_path / "m",
        {
            "001_old.sql": "CREATE TABLE IF NOT EXISTS users (id SERIAL PRIMARY KEY);",
            "002_new.sql": "ALTER TABLE users DROP COLUMN IF EXISTS by_hand;",
        },
    )
    report = rehearsed(path, "002_new", postgres, postgres, applied="001_old", forward_only=True)
    assert told(report) == [
        (
            "fails",
            "m/002_new.sql:1: it fails: cannot drop column by_hand of table users because other "
            "objects depend on it",
        )
    ]
    with psycopg.connect(plain(postgres)) as connection:
        assert connection.execute("SELECT * FROM users").fetchall() == [(1, "a real row")]


def test_prisma_goes_on_from_where_the_target_is(tmp_path, postgres):
    path = write(tmp_path, PIPELINE)
    first, second = sorted(name.partition("/")[0] for name in path_names(PIPELINE))
    with psycopg.connect(plain(postgres)) as connection:
        connection.execute(PIPELINE[f"{first}/migration.sql"])
        connection.execute(
            "CREATE TABLE _prisma_migrations (migration_name TEXT, finished_at TIMESTAMPTZ, "
            "rolled_back_at TIMESTAMPTZ)"
        )
        connection.execute(
            "INSERT INTO _prisma_migrations VALUES (%s, now(), NULL), (%s, now(), now())",
            [first, second],
        )
    found = standing(Migrations(folder=path), Secret(postgres))
    assert found["pending"] == (second,)
    assert rehearsed(path, second, postgres, postgres).flaws == ()


def path_names(files: dict[str, str]) -> list[str]:
    return [name for name in files if name.endswith("/migration.sql")]


def test_the_live_database_is_never_written_to(postgres, tmp_path):
    engine = read_only(postgres)
    with engine.connect() as connection, pytest.raises(sa.exc.InternalError) as error:
        connection.execute(sa.text("CREATE TABLE a (b INT)"))
    engine.dispose()
    assert "read-only transaction" in str(error.value)

    file = tmp_path / "live.db"
    sqlite3.connect(file).close()
    engine = read_only(f"sqlite:///{file}")
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError) as refused:
        connection.execute(sa.text("CREATE TABLE a (b INT)"))
    engine.dispose()
    assert "readonly database" in str(refused.value)


def test_a_sqlite_target_lends_its_schema(tmp_path):
    live = tmp_path / "live.db"
    with sqlite3.connect(live) as connection:
        connection.executescript(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, by_hand TEXT);"
            "CREATE INDEX i ON users (by_hand); CREATE VIEW v AS SELECT by_hand FROM users;"
            "CREATE TRIGGER t AFTER INSERT ON users BEGIN DELETE FROM users WHERE id < 0; END;"
        )
    connection.close()
    before = live.read_bytes()
    path = write(
        tmp_path / "m",
        {
            **USERS,
            "002.sql": "ALTER TABLE users ADD COLUMN a INT;",
            "002.down.sql": "ALTER TABLE users DROP COLUMN a;",
        },
    )
    report = rehearsed(path, "002", None, f"sqlite:///{live}", applied="001_users")
    assert report.flaws == ()
    assert live.read_bytes() == before


def test_the_teams_own_rows_are_used_where_they_are_given(tmp_path, server):
    path = write(
        tmp_path / "m",
        {
            **USERS,
            "002.sql": "DELETE FROM users WHERE name = 'Ada';",
            "seed/seed.sql": "INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace');",
            "seed/bad.sql": "INSERT INTO people VALUES (1);",
        },
    )
    seeded = {"seed": path / "seed/seed.sql", "applied": "001_users", "forward_only": True}
    assert told(rehearsed(path, "002", server, **seeded)) == [
        ("rows", f"m/002.sql: {'public.' if server else ''}users had 2 rows and has 1")
    ]
    with pytest.raises(NotAsked, match=r"not run: bad\.sql does not fit the schema: .*people"):
        rehearsed(path, "002", server, **(seeded | {"seed": path / "seed/bad.sql"}))


def test_what_builds_on_a_broken_one_is_not_rehearsed(tmp_path, server):
    path = write(tmp_path / "m", {"001.sql": "SELECT * FROM nowhere;", "002.sql": "SELECT 1;"})
    with pytest.raises(NotAsked, match=r"not run: 001, on which 002 builds, fails: .*nowhere.*; "):
        rehearsed(path, "002", server)


def musicbrainz(name: str) -> str:
    """A file of MusicBrainz's schema, but for a collation and a type that need extensions."""
    text = (Path(mbdata.__file__).parent / "sql" / name).read_text()
    text = re.sub(r"(?m)^\\.*$", "", text).replace("COLLATE musicbrainz", "")
    return re.sub(r"\bCUBE\b", "NUMERIC[]", text)


def test_a_schema_of_375_tables_that_we_did_not_write(tmp_path, postgres):
    """MusicBrainz: copied, filled in the order of its foreign keys, changed, and changed back."""
    with psycopg.connect(plain(postgres), autocommit=True) as connection:
        for part in ("Types", "Tables", "PrimaryKeys", "FKConstraints"):
            connection.execute(musicbrainz(f"Create{part}.sql"))
    path = write(
        tmp_path / "m",
        {
            "001_artist.sql": "ALTER TABLE artist ADD COLUMN IF NOT EXISTS is_premium BOOLEAN;",
            "001_artist.down.sql": "ALTER TABLE artist DROP COLUMN IF EXISTS is_premium;",
        },
    )
    (unproven,) = rehearsed(path, "001_artist", postgres, postgres, applied="").flaws
    assert unproven.rule == "migration.unproven"
    # Their CHECKs ask for codes with a meaning (ISRC, IPI, ISNI), and for an order of two keys.
    empty = set(re.findall(r"public\.(\w+)", unproven.message.partition("(")[0]))
    assert empty == {"tag_relation", "isrc", "artist_ipi", "artist_isni", "label_ipi", "label_isni"}


# --- made-up rows


def test_rows_are_made_up_within_what_the_schema_allows(postgres):
    with psycopg.connect(plain(postgres), autocommit=True) as connection:
        connection.execute("""
            CREATE TYPE mood AS ENUM ('good', 'bad');
            CREATE DOMAIN level AS INT CHECK (VALUE BETWEEN 10 AND 20);
            CREATE TABLE "Parent" (id UUID PRIMARY KEY, code CHAR(2) NOT NULL UNIQUE);
            CREATE TABLE child (
                id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                parent UUID NOT NULL REFERENCES "Parent" (id),
                next BIGINT REFERENCES child (id),
                mood mood NOT NULL, level level NOT NULL, kind TEXT NOT NULL
                    CHECK (kind IN ('a', 'b')),
                "at 100%" TIMESTAMPTZ NOT NULL, on_day DATE NOT NULL, "time" TIME NOT NULL,
                lasts INTERVAL NOT NULL, price NUMERIC(6, 2) NOT NULL, share REAL NOT NULL,
                tags TEXT[] NOT NULL, data JSONB NOT NULL, raw BYTEA NOT NULL, ip INET NOT NULL,
                net CIDR NOT NULL, mac MACADDR NOT NULL, bits BIT(3) NOT NULL, found TSVECTOR
                NOT NULL, span INT4RANGE NOT NULL, ok BOOLEAN NOT NULL, code VARCHAR(3) NOT NULL,
                double INT GENERATED ALWAYS AS (2) STORED, made TIMESTAMP NOT NULL DEFAULT now()
            );
            CREATE TABLE hopeless (code TEXT NOT NULL CHECK (code ~ '^[A-Z]{3}-[0-9]{3}$'));
        """)
    engine = engine_of(postgres)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        tables = snapshot.schema(connection).columns
        refused = fill(connection, set(tables))
        counts = {name: rows.count for (_, name), rows in snapshot.rows(connection, tables).items()}
    engine.dispose()
    assert refused == {
        "public.hopeless": 'new row for relation "hopeless" violates check constraint '
        '"hopeless_code_check"'
    }
    assert counts == {"Parent": 3, "child": 3, "hopeless": 0}


# --- the server


def test_many_rehearsals_leave_no_database_behind(tmp_path, postgres):
    """PRODCHECK_ALL=1 makes fifty of them."""
    path = write(tmp_path, USERS)
    settings = Migrations(folder=path)
    made = plan(settings, standing(settings, None))
    for _ in range(50 if os.environ.get("PRODCHECK_ALL") else 10):
        assert rehearse(made, made.migrations[0], server=postgres).flaws == ()
    assert left_behind(postgres) == []


KILLED = """
import sys
from pathlib import Path
from pytest_prodcheck.config import Migrations
from pytest_prodcheck.checks.migrations.migration_check import plan, standing
from pytest_prodcheck.checks.migrations.rehearsal import rehearse
settings = Migrations(folder=Path(sys.argv[1]), limit=60)
made = plan(settings, standing(settings, None))
rehearse(made, made.migrations[0], server=sys.argv[2])
"""


def until(holds: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def sleeping(url: str) -> bool:
    with psycopg.connect(plain(url)) as connection:
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        return connection.execute(query).fetchone() is not None


@pytest.mark.fault(111)
def test_what_a_killed_run_leaves_the_next_one_drops(tmp_path, postgres):
    path = write(tmp_path / "slow", {"001.sql": "SELECT pg_sleep(60);"})
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), postgres])
    try:
        until(lambda: sleeping(postgres))
        (name,) = left_behind(postgres)
        assert re.fullmatch(r"prodcheck_scratch_[0-9a-f]{12}", name)
        # While its maker lives, nobody else's rehearsal takes it away, wherever it comes from.
        for url in (postgres, str(sa.make_url(postgres).set(database="postgres"))):
            with scratch(url, "postgresql") as other:
                assert sorted(left_behind(postgres)) == sorted([name, other.name])
        assert left_behind(postgres) == [name]
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def gone() -> bool:
        with scratch(postgres, "postgresql"):
            return name not in left_behind(postgres)

    until(gone)  # the server needs a moment to notice that the keeper is dead
    assert left_behind(postgres) == []


@pytest.mark.fault(111)
def test_a_server_that_is_down_is_no_verdict_on_a_migration(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"postgresql://user:word@127.0.0.1:{free.getsockname()[1]}/postgres"
    settings = Migrations(folder=write(tmp_path, USERS))
    made = plan(settings, standing(settings, None))
    with pytest.raises(NotAsked, match=r"not run: the scratch server does not answer: .*refused"):
        rehearse(made, made.migrations[0], server=url)


@pytest.mark.fault(111)
def test_a_server_that_is_silent_is_waited_for_so_long(tmp_path, monkeypatch):
    monkeypatch.setattr("pytest_prodcheck.checks.migrations.scratch.CONNECT_TIMEOUT", 2)
    settings = Migrations(folder=write(tmp_path, USERS))
    made = plan(settings, standing(settings, None))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://user:word@127.0.0.1:{silent.getsockname()[1]}/postgres"
        started = time.monotonic()
        with pytest.raises(
            NotAsked, match=r"not run: the scratch server does not answer: .*timeout"
        ):
            rehearse(made, made.migrations[0], server=url)
    assert time.monotonic() - started < 10


@pytest.mark.fault(111)
def test_a_server_that_drops_out_in_the_middle_is_no_verdict_either(tmp_path, postgres):
    path = write(tmp_path, {"001.sql": "SELECT pg_sleep(60);"})
    settings = Migrations(folder=path, limit=60)
    made = plan(settings, standing(settings, None))

    def drop() -> None:
        until(lambda: sleeping(postgres))
        with psycopg.connect(plain(postgres)) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE wait_event = 'PgSleep'"
            )

    thread = threading.Thread(target=drop)
    thread.start()
    with pytest.raises(NotAsked, match="not run: the scratch database was lost in the middle: "):
        rehearse(made, made.migrations[0], server=postgres)
    thread.join()
    assert left_behind(postgres) == []


@pytest.mark.fault(111)
def test_a_server_that_freezes_is_left_after_the_limit(tmp_path, postgres, monkeypatch):
    """Nothing on the server ends the statement: its process is stopped, like one on a dead disk."""
    monkeypatch.setattr("pytest_prodcheck.checks.migrations.scratch.GRACE", 0.5)
    path = write(tmp_path, {"001.sql": "SELECT pg_sleep(60);"})
    settings = Migrations(folder=path, limit=3)
    made = plan(settings, standing(settings, None))
    frozen: list[int] = []

    def freeze() -> None:
        until(lambda: sleeping(postgres))
        with psycopg.connect(plain(postgres)) as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            frozen.extend(pid for (pid,) in connection.execute(query).fetchall())
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)

    def thaw() -> None:
        until(lambda: frozen)
        time.sleep(5)
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)

    threads = [threading.Thread(target=each) for each in (freeze, thaw)]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    with pytest.raises(NotAsked, match="not run: the scratch database was lost in the middle: "):
        rehearse(made, made.migrations[0], server=postgres)
    assert time.monotonic() - started < 20
    for thread in threads:
        thread.join()
    assert left_behind(postgres) == []


@pytest.mark.fault(111)
def test_a_history_that_cannot_be_read_is_no_empty_one(tmp_path):
    path = write(tmp_path, PIPELINE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"postgresql://user:word@127.0.0.1:{free.getsockname()[1]}/app"
    with pytest.raises(NotAsked, match=r"the database does not say what was applied: .*refused"):
        standing(Migrations(folder=path), Secret(url))


def test_without_a_server_the_message_says_what_to_configure(tmp_path):
    settings = Migrations(folder=write(tmp_path, USERS))
    made = plan(settings, standing(settings, None))
    with pytest.raises(NotAsked) as error:
        rehearse(made, made.migrations[0])
    assert str(error.value) == (
        "not run: no server to rehearse on is configured; name one where databases may be created, "
        "as "
        'scratch = "${SCRATCH_DATABASE_URL}" of the target'
    )


def test_a_user_who_may_not_create_databases_is_told(postgres):
    with psycopg.connect(plain(postgres), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS nobody_special")
        connection.execute("CREATE ROLE nobody_special LOGIN")
    url = str(sa.make_url(postgres).set(username="nobody_special"))
    with pytest.raises(NotAsked) as error, scratch(url, "postgresql"):
        pass
    assert str(error.value) == (
        "not run: the scratch server makes no database: permission denied to create database; "
        "give its user CREATEDB"
    )


def test_without_pg_dump_the_message_says_so(tmp_path, postgres, monkeypatch):
    monkeypatch.setattr("pytest_prodcheck.checks.migrations.schema_dump.programs", lambda: iter(()))
    path = write(tmp_path, USERS)
    with pytest.raises(NotAsked, match="read with pg_dump, and there is none on PATH; install the"):
        rehearsed(path, "001_users", postgres, postgres, applied="")


def test_a_pg_dump_is_found():
    assert [Path(program).name for program in programs()]
    assert all(Path(program).is_file() for program in programs())


def test_a_scratch_database_is_empty_and_its_own(server):
    with scratch(server, "postgresql" if server else "sqlite") as database:
        assert isinstance(database, Scratch)
        with database.connect(5) as connection:
            assert snapshot.schema(connection).columns == {}
            connection.exec_driver_sql("CREATE TABLE a (b INT)")
        with database.connect(5) as connection:
            assert list(snapshot.schema(connection).columns) == [("public" if server else "", "a")]
