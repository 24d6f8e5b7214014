"""The database for real: PostgreSQL 18 and SQLite, read and never written, gone, slow or different.

The schema is the one of the teams whose deploys prodcheck was asked for.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy as sa

# Imported before pytester takes stock of the modules, so that no run loads them again.
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite
import sqlalchemy.orm
import sqlglot  # noqa: F401

import pytest_prodcheck.checks.database.load
import pytest_prodcheck.checks.database.schema
import pytest_prodcheck.checks.database.statements  # noqa: F401
from pytest_prodcheck.analysis.sql_schema.drift import drift
from pytest_prodcheck.analysis.sql_schema.tables import Schema
from pytest_prodcheck.checks.database.connection import Database
from pytest_prodcheck.checks.database.metadata import tables as tables_of
from pytest_prodcheck.checks.database.postgres import plain_url
from pytest_prodcheck.checks.database.tables import read
from pytest_prodcheck.cli import main
from pytest_prodcheck.config import Secret, Target
from pytest_prodcheck.demo import storage
from pytest_prodcheck.errors import CheckFailed, NotAsked, Violation
from tests.faulty import black_hole, closed_port, curt_port, mute_port
from tests.project import Outcome, Project

BOTH = pytest.mark.parametrize("workers", ["-n0", "-n2"])
PASSWORD = "pa:ss/w%rd-Canary-0815"

DOCUMENTS = """
DO $$ BEGIN
    CREATE ROLE authenticated; CREATE ROLE service_role;
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
CREATE SCHEMA auth;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT NULL::uuid';
CREATE SCHEMA audit;
CREATE TYPE mood AS ENUM ('low', 'high');

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email varchar(320) NOT NULL,
    is_premium boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX one_address ON users (lower(email)) WHERE email <> '' AND NOT is_premium;
CREATE TABLE journal_entries (
    id bigserial PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    mood_level integer, energy_level integer, stress_level integer,
    mood mood, tags text[], price numeric(10, 2), at timestamp(3),
    UNIQUE NULLS NOT DISTINCT (user_id, at)
);
CREATE INDEX ON journal_entries (user_id, at DESC) INCLUDE (mood_level);
CREATE INDEX ON journal_entries USING gin (tags) WITH (fastupdate = off);
CREATE TABLE user_tier_limits (tier text PRIMARY KEY, daily integer NOT NULL);
CREATE VIEW beta_daily_metrics AS
    SELECT at::date AS day, count(*) AS entries FROM journal_entries GROUP BY 1;
CREATE TABLE "PipelineRun" (
    id text PRIMARY KEY, "companyId" text,
    "stage1Output" jsonb, "stage2Output" jsonb, "stage3Output" jsonb, "stage4Output" jsonb,
    "fullReportMarkdown" text
);
CREATE INDEX "by USING company" ON "PipelineRun" ("companyId");
CREATE TABLE audit.events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    day date NOT NULL, run text REFERENCES "PipelineRun",
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE audit.events_2026 PARTITION OF audit.events
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON audit.events (run);

ALTER TABLE journal_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE journal_entries FORCE ROW LEVEL SECURITY;
CREATE POLICY "own entries" ON journal_entries FOR SELECT TO authenticated
    USING (user_id = auth.uid() AND (mood_level > 0 OR tags IS NULL));
CREATE POLICY writes ON journal_entries FOR INSERT TO authenticated
    WITH CHECK (user_id = auth.uid());
CREATE POLICY service ON journal_entries TO service_role USING (true);
CREATE POLICY careful ON journal_entries AS RESTRICTIVE FOR DELETE USING (mood <> 'high');
ALTER TABLE user_tier_limits ENABLE ROW LEVEL SECURITY;

INSERT INTO users (id, email) VALUES ('7c1c4a3e-0f5c-4a53-8e11-2c7a8d1b8f10', 'ada@example.com');
INSERT INTO "PipelineRun" (id) VALUES ('run-1');
CREATE SEQUENCE counter;
CREATE FUNCTION writes() RETURNS integer LANGUAGE plpgsql AS
    'BEGIN INSERT INTO user_tier_limits VALUES (''free'', 1); RETURN 1; END';
"""


@contextmanager
def owner(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who may do anything, beside prodcheck."""
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        yield connection


def change(url: str, sql: str) -> None:
    with owner(url) as connection:
        connection.execute(sql)


@pytest.fixture
def documents(postgres: str) -> str:
    """A database with the schema of the documents."""
    change(postgres, DOCUMENTS)
    return postgres


def contents(url: str) -> dict[str, Any]:
    """All rows of all tables, what was ever done to them, and where each sequence is."""
    with owner(url) as connection:
        tables = connection.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(relname), "
            "n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1"
        ).fetchall()
        found: dict[str, Any] = {
            name: (
                counts,
                connection.execute(f"SELECT t::text FROM {name} t ORDER BY 1").fetchall(),  # type: ignore[call-overload]
            )
            for name, *counts in tables
        }
        found["sequences"] = connection.execute(
            "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
        ).fetchall()
        found["relations"] = connection.execute(
            "SELECT relname, relnamespace::regnamespace::text FROM pg_class ORDER BY 2, 1"
        ).fetchall()
        return found


class Ledger:
    """What the guard would record."""

    def __init__(self) -> None:
        self.refusals: list[str] = []

    def __call__(self, refusal: str) -> None:
        self.refusals.append(refusal)
        raise Violation(refusal)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def opened(url: str, ledger: Ledger | None = None, timeout: float = 5) -> Database:
    target = Target(
        name="prod", base_url="http://x.test", database=Secret(url, "${URL}"), timeout=timeout
    )
    return Database(target, ledger or Ledger())


def schema_of(url: str, *names: str) -> Schema:
    with opened(url).connect() as connection:
        return read(connection, names)


# --- nothing is written

STOPPED = [
    "INSERT INTO user_tier_limits VALUES ('free', 1)",
    "UPDATE users SET is_premium = true",
    "DELETE FROM users",
    "TRUNCATE users CASCADE",
    "DROP TABLE users CASCADE",
    "CREATE TABLE t (a integer)",
    "CREATE TEMP TABLE t (a integer)",
    "SELECT * INTO t FROM users",
    "SELECT * INTO TEMP t FROM users",
    "WITH t AS (DELETE FROM users RETURNING id) SELECT * FROM t",
    "EXPLAIN ANALYZE DELETE FROM users",
    "SELECT id FROM users FOR UPDATE",
    "SELECT writes()",
    "SELECT nextval('counter')",
    "SELECT setval('counter', 99)",
    "SELECT 1; COMMIT; DELETE FROM users",
    "COMMIT",
    "ROLLBACK; SET default_transaction_read_only = off",
    "SET TRANSACTION READ WRITE",
    "SET transaction_read_only = off",
    "SET default_transaction_read_only = off",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "RESET ALL",
    "DISCARD ALL",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "COPY users TO PROGRAM 'touch /tmp/prodcheck-was-here'",
    "COPY users FROM STDIN",
    "DO $$ BEGIN DELETE FROM users; END $$",
    "CALL writes()",
    "LOCK TABLE users",
    "LISTEN news",
    "SELECT pg_notify('news', 'x')",
    "SELECT pg_advisory_lock(1)",
    "SELECT lo_create(0)",
    "PREPARE p AS DELETE FROM users",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
]


def test_no_statement_writes_whatever_it_is(documents: str, ledger: Ledger) -> None:
    """By the connection, by its driver's cursors, and after the test ended the transaction."""
    before = contents(documents)
    passed = []
    for statement in STOPPED:
        for send in (by_sqlalchemy, by_cursor, by_named_cursor, after_commit):
            known = len(ledger.refusals)
            with opened(documents, ledger).connect() as connection:
                with suppress(Violation, psycopg.Error):
                    send(connection, statement)
                    passed.append((send.__name__, statement))
                if send is by_sqlalchemy and len(ledger.refusals) == known:
                    passed.append(("unrecorded", statement))
    assert passed == []
    assert contents(documents) == before
    assert not Path("/tmp/prodcheck-was-here").exists()


def by_sqlalchemy(connection: sa.Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)


def by_cursor(connection: sa.Connection, statement: str) -> None:
    assert connection.connection.driver_connection
    with connection.connection.driver_connection.cursor() as cursor:
        cursor.execute(statement.encode())


def by_named_cursor(connection: sa.Connection, statement: str) -> None:
    """Its text stands in a statement that psycopg makes around it."""
    assert connection.connection.driver_connection
    with connection.connection.driver_connection.cursor("named") as cursor:
        cursor.execute(statement)
        cursor.fetchall()


def after_commit(connection: sa.Connection, statement: str) -> None:
    connection.exec_driver_sql("SELECT 1")
    connection.commit()
    connection.exec_driver_sql(statement)


UNDOING: dict[str, Callable[[Any], object]] = {
    "autocommit": lambda raw: setattr(raw, "autocommit", True),
    "read-write": lambda raw: setattr(raw, "read_only", False),
}


@pytest.mark.parametrize("undo", UNDOING)
def test_a_connection_whose_protection_was_taken_off_sends_nothing(
    documents: str, ledger: Ledger, undo: str
) -> None:
    before = contents(documents)
    with opened(documents, ledger).connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.rollback()
        UNDOING[undo](raw)
        for send in (
            lambda: raw.execute("SELECT writes()"),
            lambda: raw.cursor().executemany("SELECT writes()", [()]),
            lambda: next(raw.cursor().stream("SELECT writes()")),
            lambda: raw.cursor().copy("COPY users TO STDOUT").__enter__(),
            lambda: connection.exec_driver_sql("SELECT writes()"),
        ):
            with pytest.raises(Violation, match="was made a writable or autocommitting one"):
                send()
    assert contents(documents) == before


def test_sqlalchemys_own_autocommit_is_no_way_out(documents: str, ledger: Ledger) -> None:
    before = contents(documents)
    with opened(documents, ledger).connect() as connection:
        free = connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(Violation):
            free.exec_driver_sql("SELECT writes()")
    assert contents(documents) == before


def test_a_violation_tells_the_facts_and_the_way_out(documents: str, ledger: Ledger) -> None:
    with (
        pytest.raises(Violation) as violation,
        opened(documents, ledger).connect() as connection,
    ):
        connection.exec_driver_sql("WITH t AS (DELETE FROM users RETURNING id) SELECT * FROM t")
    assert str(violation.value) == (
        "A statement for the database of target prod was stopped: the server refused it: cannot "
        "execute SELECT in a read-only transaction. The connection is a read-only one, whatever "
        "the target allows; send what reads."
    )
    assert ledger.refusals == [str(violation.value)]


def test_every_transaction_is_read_only_and_bounded_and_says_whose_it_is(documents: str) -> None:
    settings = sa.text(
        "SELECT current_setting('transaction_read_only'), current_setting('statement_timeout'), "
        "current_setting('lock_timeout'), current_setting('application_name')"
    )
    with opened(documents, timeout=3).connect() as connection:
        first = connection.execute(settings).one()
        connection.rollback()
        second = connection.execute(settings).one()
    assert first == second
    assert first[:3] == ("on", "3s", "3s")
    assert first[3].startswith("pytest-prodcheck/")


def test_nothing_is_set_for_the_session(documents: str) -> None:
    """A pooler may give the session to another client, which has to be able to write."""
    with opened(documents).connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        connection.rollback()
        raw: Any = connection.connection.driver_connection
        result = raw.pgconn.exec_(
            b"SELECT current_setting('default_transaction_read_only'), "
            b"current_setting('statement_timeout')"
        )
        assert [result.get_value(0, 0), result.get_value(0, 1)] == [b"off", b"0"]


def test_a_process_has_one_connection_and_only_while_it_uses_it(documents: str) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pytest-prodcheck/%'"
    database = opened(documents, timeout=0.3)
    with owner(documents) as other:
        with database.connect() as connection:
            with pytest.raises(sa.exc.TimeoutError):
                connection.engine.connect()
            assert other.execute(count).fetchone() == (1,)
        deadline = time.monotonic() + 5
        while other.execute(count).fetchone() != (0,):
            assert time.monotonic() < deadline


SQLITE_STOPPED = [
    "INSERT INTO users VALUES (2, 'b')",
    "DELETE FROM users",
    "DROP TABLE users",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t (a)",
    "ATTACH DATABASE '{folder}/other.db' AS other",
    "ATTACH DATABASE 'file:{folder}/app.db?mode=rw' AS other",
    "VACUUM INTO '{folder}/copy.db'",
    "VACUUM",
    "REINDEX",
    "ANALYZE",
    "PRAGMA query_only = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA user_version = 7",
    "PRAGMA writable_schema = ON",
    "WITH t AS (SELECT 1) DELETE FROM users",
]


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.executescript(
            """
            CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(320) NOT NULL UNIQUE);
            CREATE TABLE notes (
                a INT, b INT, author INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
                text TEXT, PRIMARY KEY (b, a), UNIQUE (author, text)
            );
            CREATE INDEX lowered ON notes (lower(text), a DESC) WHERE text IS NOT NULL;
            CREATE VIEW authors AS SELECT author, count(*) AS notes FROM notes GROUP BY author;
            INSERT INTO users VALUES (1, 'ada@example.com');
            """
        )
    return f"sqlite:///{tmp_path / 'app.db'}"


@pytest.mark.parametrize("statement", SQLITE_STOPPED)
def test_sqlite_is_not_written_either(
    sqlite: str, tmp_path: Path, ledger: Ledger, statement: str
) -> None:
    file = tmp_path / "app.db"
    before = (file.read_bytes(), sorted(os.listdir(tmp_path)))
    with (
        opened(sqlite, ledger).connect() as connection,
        pytest.raises((Violation, sa.exc.DBAPIError)),
    ):
        connection.exec_driver_sql(statement.format(folder=tmp_path))
    assert ledger.refusals
    assert (file.read_bytes(), sorted(os.listdir(tmp_path))) == before


def test_sqlite_is_not_written_when_its_authorizer_was_taken_off(
    sqlite: str, ledger: Ledger
) -> None:
    with opened(sqlite, ledger).connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.set_authorizer(None)
        with pytest.raises(Violation, match="attempt to write a readonly database"):
            connection.exec_driver_sql("DELETE FROM users")
    assert len(ledger.refusals) == 1


def test_a_sqlite_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with (
        pytest.raises(CheckFailed) as failure,
        opened(f"sqlite:///{tmp_path / 'gone.db'}").connect(),
    ):
        pytest.fail("connected")
    assert str(failure.value) == (
        "the database of target prod cannot be connected to: unable to open database file. See "
        "whether it runs, takes connections from here, and the URL is right"
    )
    assert os.listdir(tmp_path) == []


def test_a_slow_statement_of_sqlite_is_stopped(sqlite: str) -> None:
    endless = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    )
    started = time.monotonic()
    with (
        opened(sqlite, timeout=0.3).connect() as connection,
        pytest.raises(sa.exc.OperationalError, match="interrupted"),
    ):
        connection.exec_driver_sql(endless)
    assert time.monotonic() - started < 5


# --- down, slow, dropping


def refusing(port: int) -> str:
    return f"postgresql://svc:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/app?sslmode=disable"


WRONG_PASSWORD = b'SFATAL\0C28P01\0Mpassword authentication failed for user "svc"\0\0'


@pytest.mark.fault(111)
@pytest.mark.parametrize("kind", ["closed", "mute", "black hole", "wrong password", "garbage"])
def test_a_database_that_cannot_be_had_is_a_failure_in_bounded_time(kind: str) -> None:
    """The password is in no message; asked again, nothing is tried again."""
    answer = b"E" + (len(WRONG_PASSWORD) + 4).to_bytes(4, "big") + WRONG_PASSWORD
    ports: dict[str, Any] = {
        "closed": closed_port(),
        "mute": mute_port(),
        "black hole": black_hole(),
        "wrong password": curt_port(answer),
        "garbage": curt_port(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    }
    for name, other in ports.items():
        if name != kind:
            other.gen.close()
    with ports[kind] as port:
        database = opened(refusing(port), timeout=1)
        started = time.monotonic()
        with pytest.raises(CheckFailed) as failure, database.connect():
            pytest.fail("connected")
        assert time.monotonic() - started < 6
        started = time.monotonic()
        with pytest.raises(CheckFailed, match="cannot be connected to"), database.connect():
            pytest.fail("connected")
        assert time.monotonic() - started < 0.5
    assert [one.title for one in failure.value.failures] == ["database.unreachable"]
    assert str(failure.value).startswith("the database of target prod cannot be connected to: ")
    assert PASSWORD not in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.fault(111)
def test_a_statement_that_is_too_slow_is_stopped_by_the_server(documents: str) -> None:
    with (
        pytest.raises(CheckFailed) as failure,
        opened(documents, timeout=0.3).asked() as connection,
    ):
        connection.exec_driver_sql("SELECT pg_sleep(30)")
    assert str(failure.value).startswith(
        "the database did not answer a query: canceling statement due to statement timeout. See "
    )


@pytest.mark.fault(111)
def test_a_server_that_stops_answering_is_given_up(documents: str) -> None:
    """It took the statement, and neither the answer nor its own timeout ever comes."""
    started = time.monotonic()

    def ask() -> None:
        with opened(documents, timeout=0.3).asked() as connection:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            os.kill(pid, signal.SIGSTOP)
            try:
                connection.exec_driver_sql("SELECT 1")
            finally:
                os.kill(pid, signal.SIGCONT)

    with pytest.raises(CheckFailed) as failure:
        ask()
    assert time.monotonic() - started < 10
    assert str(failure.value).startswith("the database did not answer a query: ")


@pytest.mark.fault(111)
def test_a_connection_that_drops_in_a_transaction_is_a_failure(documents: str) -> None:
    def ask() -> None:
        with opened(documents).asked() as connection, owner(documents) as other:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(CheckFailed) as failure:
        ask()
    assert [one.title for one in failure.value.failures] == ["database.unreachable"]


def test_a_target_without_a_database_says_what_to_write() -> None:
    with pytest.raises(NotAsked) as refusal:
        Database(Target(name="prod", base_url="http://x.test"))
    assert str(refusal.value) == (
        'target prod names no database; write database = "${DATABASE_URL}" into it'
    )


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("postgres://a:b%40c@h/d", "postgresql://a:b%40c@h/d"),
        ("postgresql+asyncpg://a@h:1/d?ssl=require", "postgresql://a@h:1/d?sslmode=require"),
        (
            "postgresql://a@h/d?schema=public&pgbouncer=true&sslmode=verify-full",
            "postgresql://a@h/d?sslmode=verify-full",
        ),
        ("postgresql+psycopg://a@/d?host=/run/pg", "postgresql://a@/d?host=%2Frun%2Fpg"),
    ],
)
def test_urls_of_other_libraries_are_understood(url: str, plain: str) -> None:
    assert plain_url(url) == plain


# --- recorded and compared


def test_a_recorded_schema_is_the_same_database_again(
    documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    project(tmp_path, documents, monkeypatch)
    assert main(["init", "--database", "prod", "--schema", "audit"]) == 0
    assert capsys.readouterr().out == (
        f"6 tables of target prod recorded in {tmp_path / 'schema.toml'}\n"
        "Have them checked by these lines in prodcheck.toml:\n"
        '[database]\nschema = "schema.toml"\n'
    )
    expected = recorded(tmp_path)
    assert [table.name for table in expected] == [
        *("audit.events", "PipelineRun", "beta_daily_metrics", "journal_entries"),
        *("user_tier_limits", "users"),
    ]
    live = schema_of(documents, "audit.events")
    assert {table.name: drift(table, live) for table in expected} == {
        table.name: () for table in expected
    }
    text = (tmp_path / "schema.toml").read_text()
    for line in (
        '"(user_id, at desc) include (mood_level)",',
        '"unique (user_id, at) nulls not distinct",',
        '"gin (tags)",',
        "indexes = [\"unique (lower(email)) where email <> '' and not is_premium\"]",
        'foreign_keys = ["user_id references users (id) on delete cascade"]',
        'is_premium = "boolean not null"',
        'stage1Output = "jsonb"',
        'at = "timestamp(3) without time zone"',
        'row_level_security = "forced"',
        '"own entries" = "for select to authenticated using ((user_id = auth.uid()) AND '
        '((mood_level > 0) OR (tags IS NULL)))"',
        "careful = \"as restrictive for delete to public using (mood <> 'high'::mood)\"",
        "view = true",
    ):
        assert line in text


def project(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, more: str = "") -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PROD_DATABASE_URL", url)
    (folder / "prodcheck.toml").write_text(
        '[targets.prod]\nbase_url = "http://x.test"\ndatabase = "${PROD_DATABASE_URL}"\n' + more
    )


def recorded(folder: Path) -> tuple[Any, ...]:
    from pytest_prodcheck.config import load

    with (folder / "prodcheck.toml").open("a") as file:
        file.write('[database]\nschema = "schema.toml"\n')
    found = load("prod", root=folder, environ=os.environ).database
    assert found
    return found.tables


def test_sqlite_is_recorded_too(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, sqlite, monkeypatch)
    assert main(["init", "--database", "prod"]) == 0
    expected = recorded(tmp_path)
    live = schema_of(sqlite)
    assert [drift(table, live) for table in expected] == [(), (), ()]
    text = (tmp_path / "schema.toml").read_text()
    for line in (
        'primary_key = ["b", "a"]',
        'foreign_keys = ["author references users (id) on delete cascade"]',
        '"unique (author, text)",',
        '"(lower(text), a desc) where text is not null",',
        'indexes = ["unique (email)"]',
        "[tables.authors]\nview = true",
    ):
        assert line in text


DRIFTS = [
    (
        "ALTER TABLE journal_entries RENAME mood_level TO mood_score",
        "schema.column_missing journal_entries.mood_level",
    ),
    ("DROP VIEW beta_daily_metrics", "schema.table_missing beta_daily_metrics"),
    (
        'ALTER TABLE "PipelineRun" ALTER "stage1Output" TYPE json',
        "schema.type PipelineRun.stage1Output",
    ),
    (
        'DELETE FROM "PipelineRun"; '
        'ALTER TABLE "PipelineRun" ALTER "fullReportMarkdown" SET NOT NULL',
        "schema.nullability PipelineRun.fullReportMarkdown",
    ),
    ("DROP INDEX one_address", "schema.index users(lower(email))"),
    (
        "ALTER TABLE journal_entries DROP CONSTRAINT journal_entries_user_id_fkey",
        "schema.foreign_key journal_entries(user_id)",
    ),
    (
        "ALTER TABLE user_tier_limits DISABLE ROW LEVEL SECURITY",
        "schema.rls_disabled user_tier_limits",
    ),
    (
        "ALTER TABLE journal_entries NO FORCE ROW LEVEL SECURITY",
        "schema.rls_not_forced journal_entries",
    ),
    (
        'ALTER POLICY "own entries" ON journal_entries USING (true)',
        "schema.policy_differs journal_entries.own entries",
    ),
    (
        'DROP POLICY "own entries" ON journal_entries',
        "schema.policy_missing journal_entries.own entries",
    ),
    (
        "CREATE POLICY everything ON journal_entries USING (true)",
        "schema.policy_conflict journal_entries.everything",
    ),
]


def test_each_change_of_the_live_database_is_a_drift_of_its_own(documents: str) -> None:
    before = schema_of(documents)
    for statement, title in DRIFTS:
        change(documents, statement)
        live = schema_of(documents)
        found = [f"{one.rule} {one.place}" for table in before.tables for one in drift(table, live)]
        assert title in found, statement
        before = live


def test_metadata_of_sqlalchemy_is_what_it_makes(postgres: str) -> None:
    """Made by SQLAlchemy, read by us, compared with what SQLAlchemy says: no drift."""
    metadata = sa.MetaData()
    sa.Table(
        "teams",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.String(40), unique=True, nullable=False),
        sa.Column("kind", sa.Enum("a", "b", name="Kind")),
        sa.Column("tags", sa.ARRAY(sa.Text)),
        sa.Column("rate", sa.Numeric(10, 2)),
        sa.Column("ratio", sa.Float),
        sa.Column("made", sa.DateTime(timezone=True)),
        sa.Column("seen", sa.DateTime),
        sa.Column("data", sa.JSON),
        sa.Column("key", sa.Uuid),
        sa.Column("blob", sa.LargeBinary),
        sa.Column("flag", sa.Boolean, nullable=False),
    )
    members = sa.Table(
        "members",
        metadata,
        sa.Column("userId", sa.BigInteger, primary_key=True),
        sa.Column(
            "team", sa.ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True, index=True
        ),
        sa.Column("email", sa.String),
        sa.Column("left", sa.Date),
        sa.UniqueConstraint("team", "email"),
    )
    sa.Index("by mail", sa.func.lower(members.c.email), postgresql_where=members.c.left.is_(None))
    sa.Index("latest", members.c.left.desc(), members.c["userId"], unique=True)
    expected = tables_of(metadata, "postgresql")
    assert sum(len(table.indexes or ()) for table in expected) == 5
    engine = sa.create_engine(postgres)
    metadata.create_all(engine)
    engine.dispose()
    live = schema_of(postgres)
    assert [drift(table, live) for table in expected] == [(), ()]
    change(postgres, "DROP INDEX latest; ALTER TABLE members ALTER email SET NOT NULL")
    live = schema_of(postgres)
    assert [f"{d.rule} {d.place}" for table in expected for d in drift(table, live)] == [
        "schema.nullability members.email",
        "schema.index members(left desc, userId)",
    ]


INIT_REFUSED = [
    ([], 4, "prodcheck: which target? name it, as in `prodcheck init --database prod`\n"),
    (["demo"], 4, "prodcheck: target demo names no database in a configuration of its own; write "),
    (["local"], 4, "prodcheck: target local names no database in a configuration of its own; "),
    (["prod"], 4, "prodcheck: schema.toml is there already; --force overwrites it\n"),
    (["empty", "--force"], 3, "prodcheck: the database of target empty has no tables to record\n"),
    (["gone", "--force"], 3, "prodcheck: the database of target gone cannot be connected to: "),
]


@pytest.mark.parametrize(
    ("arguments", "code", "message"), INIT_REFUSED, ids=[str(case[0]) for case in INIT_REFUSED]
)
def test_recording_is_refused_with_reasons_and_overwrites_nothing(
    sqlite: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.delenv("PRODCHECK_TARGET", raising=False)
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    others = "".join(
        f'[targets.{name}]\nextends = "prod"\ndatabase = "{url}"\n'
        for name, url in (
            ("local", ""),
            ("empty", f"sqlite:///{tmp_path}/empty.db"),
            ("gone", f"sqlite:///{tmp_path}/gone.db"),
        )
    )
    project(tmp_path, sqlite, monkeypatch, others)
    (tmp_path / "schema.toml").write_text("mine")
    assert main(["init", "--database", *arguments]) == code
    told = capsys.readouterr()
    assert told.err.startswith(message)
    assert told.out == ""
    assert (tmp_path / "schema.toml").read_text() == "mine"


def test_recording_warns_of_policies_that_contradict_each_other(
    documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    change(documents, "CREATE POLICY everything ON journal_entries USING (true)")
    project(tmp_path, documents, monkeypatch)
    assert main(["init", "--database", "prod"]) == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert len(warnings) == 2
    assert (
        "journal_entries.everything: and own entries both allow select: everything" in warnings[0]
    )


def test_the_demos_own_schema_stays_true(tmp_path: Path) -> None:
    """What the demo declares is what its storage makes."""
    from pytest_prodcheck.config.config_file import fitted, parse
    from pytest_prodcheck.config.database import _tables
    from pytest_prodcheck.config.tables import SchemaContents

    file, data = parse(Path(storage.__file__).with_name("schema.toml"), "schema.toml")
    read_ = fitted(file, data, SchemaContents).tables
    expected = tuple(_tables(file, read_, ("tables",)).values())
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    made = storage.Database(url)
    made.create()
    made.close()
    live = schema_of(url)
    assert [drift(table, live) for table in expected] == [()] * len(live.tables)
    assert [table.name for table in expected] == [table.name for table in live.tables]
    assert [table.columns for table in expected] == [table.columns for table in live.tables]
    assert [table.indexes or () for table in expected] == [table.indexes for table in live.tables]


# --- whole runs

CONFIGURED = """
[database]
schema = "schema.toml"
connections = 20
slow = 1.0
queries = { "latest runs" = 'SELECT id, "stage1Output" FROM "PipelineRun" LIMIT 10' }
"""
USES_IT = """
    import pytest
    from sqlalchemy import text

    @pytest.mark.smoke
    def test_runs(database):
        assert database.execute(text('SELECT count(*) FROM "PipelineRun"')).scalar_one() == 1
"""


@pytest.fixture
def checked(project: Project, documents: str) -> Project:
    """A project whose database is recorded, and is checked."""
    with_password = documents.replace("postgres:@", f"postgres:{quote(PASSWORD, safe='')}@")
    assert PASSWORD.split(":")[0] in with_password
    project.environ["PROD_DATABASE_URL"] = with_password
    project.configure(CONFIGURED, database='"${PROD_DATABASE_URL}"', openapi='""')
    (project.path / "schema.toml").write_text("[tables.placeholder]\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.path)
        patch.setenv("PROD_DATABASE_URL", with_password)
        assert main(["init", "--database", "prod", "--schema", "audit", "--force"]) == 0
    project.write("test_runs.py", USES_IT)
    return project


def check_nothing_leaks(project: Project, outcome: Outcome) -> None:
    texts = [outcome.output]
    files = [path for path in (project.path / "prodcheck-report").rglob("*") if path.is_file()]
    assert len(files) > 4
    texts += [path.read_text("utf-8", "replace") for path in files]
    for form in (PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD), PASSWORD.replace("/", "\\/")):
        assert not [text for text in texts if form in text]


@BOTH
def test_a_database_as_it_should_be_passes_and_is_not_written(
    checked: Project, documents: str, workers: str
) -> None:
    before = contents(documents)
    outcome = checked.run("test_runs.py", "suites/contract/test_database.py", workers)
    assert outcome.ruling == ("inconclusive", 0), outcome.output
    assert outcome.outcomes() == dict.fromkeys(
        [
            "test_runs",
            *(f"test_table[{name}]" for name in ("audit.events", "PipelineRun", "users")),
            *(
                f"test_table[{name}]"
                for name in ("beta_daily_metrics", "journal_entries", "user_tier_limits")
            ),
            "test_connections[in use]",
            "test_query[latest runs]",
        ],
        "passed",
    )
    measured = outcome.verdict["metrics"]["measured"]
    assert measured.keys() == {"database.connections", "database.query_ms"}
    assert 0 < measured["database.query_ms"] < 1000
    assert contents(documents) == before
    check_nothing_leaks(checked, outcome)


@BOTH
def test_drift_fails_the_run_and_is_named(checked: Project, documents: str, workers: str) -> None:
    change(
        documents,
        "ALTER TABLE journal_entries RENAME mood_level TO mood_score; "
        "CREATE POLICY everything ON journal_entries FOR SELECT USING (true)",
    )
    outcome = checked.run("suites/contract/test_database.py", workers)
    assert outcome.ruling == ("fail", 1), outcome.output
    check = outcome.check("test_table[journal_entries]")
    assert check["outcome"] == "failed"
    assert (
        "critical: journal_entries.mood_level: this column is not there; there is mood_score, "
        "which nothing expects [schema.column_missing]"
    ) in check["message"]
    assert "columns that nothing expects, which is not a failure: mood_score" in check["message"]
    findings = {finding["rule"]: finding for finding in outcome.verdict["findings"]}
    assert findings.keys() == {"database.schema_drift", "database.policy_conflict"}
    assert "there is mood_score" in findings["database.schema_drift"]["evidence"][0]
    assert "own entries" in findings["database.policy_conflict"]["evidence"][0]
    assert [c for c, o in outcome.outcomes().items() if o != "passed"] == [
        "test_table[journal_entries]"
    ]


@pytest.mark.fault(111)
@BOTH
def test_a_database_that_is_down_is_never_a_pass(checked: Project, workers: str) -> None:
    with closed_port() as port:
        checked.environ["PROD_DATABASE_URL"] = refusing(port)
        outcome = checked.run("test_runs.py", "suites/contract/test_database.py", workers)
    assert outcome.ruling == ("fail", 1), outcome.output
    assert set(outcome.outcomes().values()) == {"failed"}
    messages = {check["message"].partition(":")[0] for check in outcome.verdict["checks"]}
    assert messages == {"the database of target prod cannot be connected to"}
    (finding,) = outcome.verdict["findings"]
    assert (finding["rule"], finding["confidence"]) == ("database.unreachable", "low")
    check_nothing_leaks(checked, outcome)


def test_a_swallowed_attempt_to_write_fails_the_run(checked: Project, documents: str) -> None:
    before = contents(documents)
    checked.write(
        "test_runs.py",
        USES_IT
        + """
    @pytest.mark.smoke
    def test_writes(database):
        try:
            database.execute(text("WITH t AS (DELETE FROM users RETURNING 1) SELECT 1 FROM t"))
        except Exception:
            database.rollback()
        assert database.execute(text("SELECT 1")).scalar_one() == 1
""",
    )
    outcome = checked.run("test_runs.py")
    assert outcome.ruling == ("fail", 1)
    assert outcome.check("test_writes")["message"].startswith(
        "A statement for the database of target prod was stopped: the server refused it"
    )
    assert contents(documents) == before


def test_a_check_that_asks_the_database_nothing_proves_nothing(checked: Project) -> None:
    checked.write(
        "test_runs.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_idle(database):
            assert database is not None
        """,
    )
    outcome = checked.run("test_runs.py")
    assert outcome.exit == 1
    assert "ask it with the `api` or `database` fixture" in outcome.check("test_idle")["message"]


def test_a_target_without_a_database_leaves_its_checks_out(checked: Project) -> None:
    """What a test of the project's own asks for is then not known."""
    checked.configure(CONFIGURED, openapi='""')
    outcome = checked.run("test_runs.py", "suites/contract/test_database.py")
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert outcome.outcomes() == {"test_runs": "not_run"}
    assert "target prod names no database" in outcome.check("test_runs")["message"]


def test_connections_and_queries_are_held_against_their_limits(
    checked: Project, documents: str
) -> None:
    checked.configure(
        CONFIGURED.replace("connections = 20", "connections = 1")
        .replace("slow = 1.0", "slow = 0.05")
        .replace("queries = {", 'queries = { sleepy = "SELECT pg_sleep(0.1) FROM users",'),
        database='"${PROD_DATABASE_URL}"',
        openapi='""',
    )
    with owner(documents), owner(documents) as idle:
        idle.execute("BEGIN")
        outcome = checked.run("suites/contract/test_database.py")
    assert outcome.exit == 1
    assert outcome.check("test_connections[in use]")["message"] == (
        "2 connections to the database are in use; at most 1 may be. 1 of them are idle, 1 idle in "
        "a transaction. Look for connections that are not given back, and at the size of each pool"
    )
    slow = outcome.check("test_query[sleepy]")
    assert slow["failures"] == ["database.slow_query"]
    assert "ms, limit 50 ms. It reads whole tables: users (1 rows)." in slow["message"]
    assert outcome.check("test_query[latest runs]")["outcome"] == "passed"
    assert outcome.verdict["metrics"]["measured"]["database.connections"] == 2


def test_somebody_with_few_rights_sees_every_connection(documents: str) -> None:
    """PostgreSQL hides what others do, not that they are there."""
    from pytest_prodcheck.checks.database.load import ConnectionsCheck

    change(documents, "CREATE ROLE reader LOGIN")
    measured: dict[str, float] = {}
    try:
        reader = documents.replace("postgres:@", "reader:@")
        with owner(documents), owner(documents):
            ConnectionsCheck(opened(reader), 5, measured.__setitem__).check()
    finally:
        change(documents, "DROP ROLE reader")
    assert measured == {"database.connections": 2}


@BOTH
def test_a_declared_query_that_writes_ends_the_run_before_it_begins(
    checked: Project, documents: str, workers: str
) -> None:
    checked.configure(
        '[database]\nqueries = { cleanup = "DELETE FROM users" }\n',
        database='"${PROD_DATABASE_URL}"',
        openapi='""',
    )
    outcome = checked.run("suites/contract/test_database.py", workers)
    assert outcome.exit == 4, outcome.output
    assert "database.queries.cleanup: is not a SELECT; write a query that reads" in outcome.output


MODELS = """
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass

    class Limit(Base):
        __tablename__ = "user_tier_limits"
        tier: Mapped[str] = mapped_column(primary_key=True)
        daily: Mapped[int]
        monthly: Mapped[int]
"""


@BOTH
def test_metadata_of_the_project_is_what_is_expected(checked: Project, workers: str) -> None:
    (checked.path / "shop").mkdir()
    checked.write("shop/models.py", MODELS)
    checked.configure(
        """
        [database]
        metadata = "shop.models:Base.metadata"
        tables.users.columns.is_premium = "boolean not null"
        """,
        database='"${PROD_DATABASE_URL}"',
        openapi='""',
    )
    outcome = checked.run("suites/contract/test_database.py", workers)
    assert outcome.exit == 1, outcome.output
    assert outcome.check("test_table[users]")["outcome"] == "passed"
    assert outcome.check("test_table[user_tier_limits]")["failures"] == [
        "schema.column_missing user_tier_limits.monthly",
        "schema.rls_without_policy user_tier_limits",
    ]


def test_metadata_that_cannot_be_imported_leaves_it_open_whether_all_is_well(
    checked: Project,
) -> None:
    checked.configure(
        '[database]\nmetadata = "shop.modles:Base.metadata"\n',
        database='"${PROD_DATABASE_URL}"',
        openapi='""',
    )
    outcome = checked.run("suites/contract/test_database.py")
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert (
        "database.metadata: shop.modles:Base.metadata cannot be read: ModuleNotFoundError: No "
        "module named 'shop'" in "\n".join(outcome.verdict["reasons"])
    )


def test_without_the_extra_it_says_what_to_install(checked: Project) -> None:
    checked.write("conftest.py", "import sys\nsys.modules['sqlalchemy'] = None\n")
    checked.write("test_runs.py", USES_IT.replace("from sqlalchemy import text", ""))
    outcome = checked.run("test_runs.py")
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert outcome.check("test_runs")["message"] == (
        "not run: the database needs sqlalchemy, which is not installed; pip install "
        "'pytest-prodcheck[database]'"
    )


def test_a_smoke_run_neither_connects_nor_loads_what_it_does_not_need(checked: Project) -> None:
    checked.write(
        "test_runs.py",
        """
        import sys, pytest

        @pytest.mark.smoke
        def test_ok(api):
            assert api.get("/ok").status_code == 200
            assert not {"sqlalchemy", "sqlglot", "psycopg"} & sys.modules.keys()
        """,
    )
    with closed_port() as port:
        checked.environ["PROD_DATABASE_URL"] = refusing(port)
        outcome = checked.outcome(checked.start("--target=prod", "-m", "smoke", "test_runs.py"))
    assert outcome.exit == 0, outcome.output
