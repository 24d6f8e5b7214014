"""Migrations by reading: the three layouts, each rule with its message, and the configuration."""

import pytest

from pytest_prodcheck.analysis.migrations import order
from pytest_prodcheck.analysis.migrations.backward import breaking
from pytest_prodcheck.analysis.migrations.flaw import RULES
from pytest_prodcheck.analysis.migrations.layout import folder
from pytest_prodcheck.analysis.migrations.reading import split, statements
from pytest_prodcheck.analysis.migrations.rules import Text, flaws
from pytest_prodcheck.checks.migrations.migration_check import (
    Library,
    MigrationCheck,
    plan,
    standing,
)
from pytest_prodcheck.config import Migrations
from pytest_prodcheck.errors import CheckFailed, NotAsked, UsageError
from tests.migration_folders import DOCUMENTS, PIPELINE, USERS, alembic_project, write


def text(sql: str, dialect="postgresql", *, rollback=False, place="m/1.sql") -> Text:
    read = statements(sql, dialect)
    return Text(place=place, statements=read, dialect=dialect, rollback=rollback)


def told(found) -> list[tuple[str, str]]:
    return [(one.rule.removeprefix("migration."), f"{one.place}: {one.message}") for one in found]


def run_of(path, name, **settings) -> MigrationCheck:
    configured = Migrations(folder=path, **settings)
    made = plan(configured, standing(configured, None))
    (migration,) = (one for one in made.migrations if one.name == name)
    return MigrationCheck(migration, Library(made))


# --- layouts


def names(path) -> list[tuple[str, str | None]]:
    return [
        (one.name, one.rollback.relative_to(path).as_posix() if one.rollback else None)
        for one in folder(path).migrations
    ]


def test_plain_files_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("10_b", "9_a", "2_c"):
        (tmp_path / f"{name}.sql").write_text("SELECT 1;")
    assert folder(tmp_path).tool == "sql"
    assert names(tmp_path) == [("2_c", None), ("9_a", None), ("10_b", None)]


@pytest.mark.parametrize(
    ("forth", "back"),
    [
        ("001_x.sql", "001_x.down.sql"),
        ("001_x.sql", "001_x.rollback.sql"),
        ("001_x.sql", "rollback/001_x.sql"),
        ("001_x.sql", "rollback/001_x.down.sql"),
        ("001_x.up.sql", "001_x.down.sql"),
    ],
)
def test_a_rollback_is_found_where_teams_keep_it(tmp_path, forth, back):
    write(tmp_path, {forth: "SELECT 1;", back: "SELECT 2;"})
    assert names(tmp_path) == [("001_x", back)]
    assert folder(tmp_path).migrations[0].apply.name == forth


def test_prisma_has_a_folder_for_each(tmp_path):
    write(tmp_path, PIPELINE)
    assert folder(tmp_path).tool == "prisma"
    assert names(tmp_path) == [
        ("20251001000000_pipeline_run", "20251001000000_pipeline_run/down.sql"),
        (
            "20251029043929_add_stage_outputs_and_report",
            "20251029043929_add_stage_outputs_and_report/down.sql",
        ),
    ]


def test_alembic_lists_its_own(tmp_path):
    path = alembic_project(tmp_path, [("aaa", "pass", "pass"), ("bbb", "pass", "pass")])
    assert folder(path).tool == "alembic"
    assert standing(Migrations(folder=path), None) == {"pending": ("aaa", "bbb"), "heads": ()}
    assert standing(Migrations(folder=path, applied="aaa"), None) == {
        "pending": ("bbb",),
        "heads": ("aaa",),
    }
    with pytest.raises(NotAsked, match=r"Alembic cannot say what is pending: .*'ccc'"):
        standing(Migrations(folder=path, applied="ccc"), None)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"notes.txt": ""},
            "has no migrations: m contains neither NNN_name.sql, nor NAME/migration.sql (Prisma), "
            "nor env.py (Alembic)",
        ),
        (
            {"001_x.sql": "", "002_y.down.sql": ""},
            "has 002_y.down.sql, which rolls back nothing: there is no 002_y.sql",
        ),
        (
            {"001_x.sql": "", "001_x.up.sql": ""},
            "has 001_x.sql and 001_x.up.sql for one step",
        ),
    ],
)
def test_a_folder_that_is_none_is_refused(tmp_path, files, message):
    write(tmp_path / "m", files)
    with pytest.raises(UsageError) as error:
        folder(tmp_path / "m")
    assert str(error.value) == message


# --- reading


def test_statements_keep_their_lines_and_those_in_a_block_are_read_too():
    read = statements(
        """-- a comment; with a semicolon
SELECT 'a;b';
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1) THEN
        ALTER TABLE a ADD COLUMN b INT;
    END IF;
    DROP TABLE c;
END $$;
CREATE FUNCTION f() RETURNS int AS $x$ BEGIN RETURN 1; END $x$ LANGUAGE plpgsql;
CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;
""",
        "postgresql",
    )
    assert [(one.line, one.words[0].upper(), one.guarded) for one in read] == [
        (2, "SELECT", False),
        (3, "DO", False),
        (6, "ALTER", True),
        (8, "DROP", False),
        (10, "CREATE", False),
        (11, "CREATE", False),
    ]


def test_the_body_of_a_sqlite_trigger_is_one_statement():
    read = split(
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET x = CASE WHEN 1 THEN 2 END; "
        "DELETE FROM c; END; SELECT 1",
        "sqlite",
    )
    assert [one.words[0] for one in read] == ["CREATE", "SELECT"]


CAMEL = "is not quoted, so PostgreSQL takes it for"
RULE_BY_RULE = [
    # what is written, and what is found there (rule, place and message)
    ("DROP TABLE IF EXISTS a;", [("drop", "1: drops table a outside a rollback file")]),
    (
        "ALTER TABLE a DROP COLUMN IF EXISTS b;",
        [("drop", "1: drops column b of a outside a rollback file")],
    ),
    (
        "DROP POLICY IF EXISTS p ON public.a;",
        [("drop", "1: drops policy p of a outside a rollback file")],
    ),
    (
        "DROP VIEW v;",
        [
            ("drop", "1: drops view v outside a rollback file"),
            ("if_exists", "1: drops view v without IF EXISTS"),
        ],
    ),
    ("DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT 1;", []),
    (
        "DROP TABLE IF EXISTS a; CREATE TABLE a (b INT);",  # its rows are gone
        [("drop", "1: drops table a outside a rollback file")],
    ),
    (
        "SELECT 1;\n\nCREATE TABLE a (b INT);",
        [("if_not_exists", "3: creates table a without IF NOT EXISTS")],
    ),
    ("CREATE TABLE IF NOT EXISTS a (b INT);", []),
    ("CREATE INDEX i ON a (b);", [("if_not_exists", "1: creates index i without IF NOT EXISTS")]),
    ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON a (b);", []),
    (
        "ALTER TABLE a ADD COLUMN b INT, ADD COLUMN IF NOT EXISTS c INT;",
        [("if_not_exists", "1: creates column b of a without IF NOT EXISTS")],
    ),
    (
        "ALTER TABLE a RENAME COLUMN b TO c;",
        [("if_not_exists", "1: renames to column c of a, which fails the second time")],
    ),
    (
        "CREATE TYPE mood AS ENUM ('good');",
        [("if_not_exists", "1: creates type mood without IF NOT EXISTS")],
    ),
    (
        "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();",
        [("if_not_exists", "1: creates trigger t of a without IF NOT EXISTS")],
    ),
    ("CREATE OR REPLACE VIEW v AS SELECT 1;", []),
    ("CREATE EXTENSION IF NOT EXISTS pgcrypto;", []),
    (
        "DROP POLICY IF EXISTS p ON a;\nCREATE POLICY p ON a USING (true);",
        [],
    ),
    ("DO $$ BEGIN IF true THEN CREATE TYPE mood AS ENUM ('a'); END IF; END $$;", []),
    (
        "DO $$ BEGIN CREATE TYPE mood AS ENUM ('a'); END $$;",
        [("if_not_exists", "1: creates type mood without IF NOT EXISTS")],
    ),
    (  # Drizzle
        "DO $$ BEGIN CREATE TYPE mood AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN null; "
        "END $$;",
        [],
    ),
    (
        "DO $$ BEGIN CREATE TYPE mood AS ENUM ('a'); EXCEPTION WHEN insufficient_privilege THEN "
        "null; END $$;",
        [("if_not_exists", "1: creates type mood without IF NOT EXISTS")],
    ),
    (
        "ALTER TABLE a ADD COLUMN IF NOT EXISTS b INT NOT NULL;",
        [
            (
                "not_null",
                "1: adds column b to a as NOT NULL without a default: it fails on a table with "
                "rows, and the previous release cannot insert rows",
            )
        ],
    ),
    ("ALTER TABLE a ADD COLUMN IF NOT EXISTS b INT NOT NULL DEFAULT 0;", []),
    ("ALTER TABLE a ADD COLUMN IF NOT EXISTS b BIGSERIAL NOT NULL;", []),
    ("ALTER TABLE a ADD COLUMN IF NOT EXISTS b INT GENERATED ALWAYS AS IDENTITY;", []),
    ("CREATE TABLE IF NOT EXISTS a (b INT NOT NULL);", []),  # it has no rows
    (
        "ALTER TABLE a DROP COLUMN IF EXISTS b CASCADE;",
        [
            ("drop", "1: drops column b of a outside a rollback file"),
            ("cascade", "1: drops column b of a with CASCADE"),
        ],
    ),
    ("TRUNCATE a CASCADE;", [("cascade", "1: empties a table with CASCADE")]),
    (
        "CREATE TABLE IF NOT EXISTS a (b INT REFERENCES c (id) ON DELETE CASCADE);",
        [
            (
                "cascade",
                "1: deletes rows whenever their row of c is deleted (ON DELETE CASCADE)",
            )
        ],
    ),
    (
        'SELECT id, status, stage1Output FROM "PipelineRun" LIMIT 5;',  # fact 75
        [("camel_case", f"1: stage1Output {CAMEL} stage1output")],
    ),
    ('SELECT "stage1Output" FROM "PipelineRun";', []),
    ("SELECT ID FROM USERS;", []),  # shouting is a style, and means the same
    (
        "DO $$ BEGIN EXECUTE 'DROP TABLE a'; END $$;",
        [
            (
                "unread",
                "1: it runs SQL that is built as text (EXECUTE), which cannot be read",
            )
        ],
    ),
    (
        "DO 'BEGIN END';",
        [("unread", "1: its body is not quoted with $$, and cannot be read")],
    ),
]


@pytest.mark.parametrize(("sql", "expected"), RULE_BY_RULE, ids=[sql for sql, _ in RULE_BY_RULE])
def test_what_is_wrong_is_found_in_the_text_alone(sql, expected):
    assert told(flaws(text(sql))) == [(rule, f"m/1.sql:{rest}") for rule, rest in expected]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1;\nSELECT * FROM FROM;", "m/1.sql:2: cannot be parsed: "),
        (
            "SELECT 1;\nSELECT 'never closed",
            "m/1.sql:2: the file cannot be split into statements from here on: ",
        ),
    ],
)
def test_what_cannot_be_read_is_said(sql, message):
    ((rule, found),) = told(flaws(text(sql)))
    assert rule == "unread"
    assert found.startswith(message)
    assert len(found) > len(message)  # the reason follows


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DROP TABLE IF EXISTS a;", []),
        ("DROP TABLE a;", [("if_exists", "m/1.sql:1: drops table a without IF EXISTS")]),
        (
            'ALTER TABLE "PipelineRun" DROP COLUMN "stage1Output";',  # fact 73, the emergency line
            [
                (
                    "if_exists",
                    "m/1.sql:1: drops column stage1Output of PipelineRun without IF EXISTS",
                )
            ],
        ),
        (
            "DROP VIEW IF EXISTS v CASCADE;",
            [("cascade", "m/1.sql:1: drops view v with CASCADE")],
        ),
    ],
)
def test_a_rollback_may_drop_but_has_to_run_twice(sql, expected):
    found = flaws(text(sql, rollback=True))
    assert told(found) == expected
    assert [one.severity for one in found if one.rule == "migration.cascade"] in ([], ["minor"])


def test_sqlite_is_asked_only_for_what_it_can_write():
    changed = """
        CREATE TABLE "new_a" (id INTEGER PRIMARY KEY, myName TEXT);
        INSERT INTO "new_a" SELECT id, name FROM a;
        DROP TABLE a;
        ALTER TABLE "new_a" RENAME TO a;
        ALTER TABLE a ADD COLUMN b INT;
        """
    assert told(flaws(text(changed, "sqlite"), recorded=True)) == []
    assert told(flaws(text(changed, "sqlite"))) == [
        ("if_not_exists", "m/1.sql:2: creates table new_a without IF NOT EXISTS"),
        ("if_exists", "m/1.sql:4: drops table a without IF EXISTS"),
    ]


def test_who_writes_down_what_was_applied_needs_no_guards():
    assert told(flaws(text("CREATE TABLE a (b INT);"), recorded=True)) == []


# --- order


def test_nothing_is_used_before_it_is_there():
    first = text(
        "CREATE OR REPLACE VIEW v AS SELECT * FROM late;\nSELECT * FROM elsewhere;",
        place="m/1.sql",
    )
    second = text(
        "CREATE TRIGGER t BEFORE INSERT ON late FOR EACH ROW EXECUTE FUNCTION f();\n"
        "CREATE TABLE IF NOT EXISTS late (b INT);\n"
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger AS $$ BEGIN END $$ LANGUAGE plpgsql;\n"
        "ALTER TABLE later ENABLE ROW LEVEL SECURITY;\n"
        "CREATE TABLE later (b INT);\n"
        "WITH late2 AS (SELECT 1) SELECT * FROM late2;\n"
        "CREATE TABLE late2 (b INT);\n",
        place="m/2.sql",
    )
    assert told(order.forth([first, second])) == [
        ("order", "m/1.sql:1: view v uses table late, which is created only at m/2.sql:2"),
        (
            "order",
            "m/2.sql:1: trigger t of late uses table late, which is created only at m/2.sql:2",
        ),
        (
            "order",
            "m/2.sql:1: trigger t of late uses function f, which is created only at m/2.sql:3",
        ),
        ("order", "m/2.sql:4: ALTER … uses table later, which is created only at m/2.sql:5"),
    ]
    assert (
        order.forth([text(DOCUMENTS[name]) for name in sorted(DOCUMENTS) if "down" not in name])
        == ()
    )


def test_a_rollback_drops_the_view_before_its_table():
    """Fact 15: of the two listings of the document the second one has it the wrong way round."""
    applied = text(
        "CREATE TABLE user_tier_limits (tier TEXT);"
        "CREATE VIEW beta_daily_metrics AS SELECT tier FROM user_tier_limits;"
    )
    right = text(
        "DROP VIEW IF EXISTS beta_daily_metrics;\nDROP TABLE IF EXISTS user_tier_limits;",
        rollback=True,
    )
    wrong = text(
        "DROP TABLE IF EXISTS user_tier_limits CASCADE;\n"
        "DROP VIEW IF EXISTS beta_daily_metrics CASCADE;",
        rollback=True,
    )
    assert order.back(right, [applied]) == ()
    assert told(order.back(wrong, [applied])) == [
        (
            "order",
            "m/1.sql:1: drops table user_tier_limits before view beta_daily_metrics, which needs "
            "it: CASCADE drops that too",
        )
    ]


def test_two_migrations_do_not_share_a_number():
    assert told(order.numbering(["001_a", "002_b", "2_c", "seed"])) == [
        ("order", "2_c: has the number of 002_b")
    ]


# --- backward compatible

BEFORE = text("CREATE TABLE a (n INTEGER, s VARCHAR(10), t TEXT);", place="m/0.sql")
COMPATIBLE = [
    ("DROP TABLE IF EXISTS a;", "removed", "drops table a, which the previous release uses"),
    (
        "ALTER TABLE a DROP COLUMN n;",
        "removed",
        "drops column n of a, which the previous release uses",
    ),
    ("ALTER TABLE a RENAME TO b;", "renamed", "renames a to b"),
    ("ALTER TABLE a RENAME COLUMN n TO m;", "renamed", "renames column n of a to m"),
    ("ALTER TABLE a ALTER COLUMN n SET NOT NULL;", "required", "sets column n of a NOT NULL"),
    (
        "ALTER TABLE a ADD COLUMN x INT NOT NULL;",
        "required",
        "requires a value for the new column x of a",
    ),
    (
        "ALTER TABLE a ALTER COLUMN s TYPE VARCHAR(5);",
        "narrowed",
        "changes column s of a from VARCHAR(10) to VARCHAR(5)",
    ),
    (
        "ALTER TABLE a ALTER COLUMN n TYPE SMALLINT;",
        "narrowed",
        "changes column n of a from INT to SMALLINT",
    ),
    (
        "ALTER TABLE a ALTER COLUMN unknown TYPE TEXT;",
        "narrowed",
        "changes column unknown of a to TEXT",
    ),
    (
        "ALTER TABLE a ADD CONSTRAINT u UNIQUE (n);",
        "constrained",
        "adds CONSTRAINT u UNIQUE (n) to a",
    ),
    ("ALTER TABLE a ALTER COLUMN s TYPE VARCHAR(20);", None, None),
    ("ALTER TABLE a ALTER COLUMN s TYPE TEXT;", None, None),
    ("ALTER TABLE a ALTER COLUMN n TYPE BIGINT;", None, None),
    ("ALTER TABLE a ALTER COLUMN n DROP NOT NULL;", None, None),
    ("ALTER TABLE a ADD COLUMN x INT;", None, None),
    ("ALTER TABLE a ADD COLUMN x INT NOT NULL DEFAULT 1;", None, None),
    ("ALTER TABLE a ADD COLUMN x INT; ALTER TABLE a ADD CONSTRAINT u UNIQUE (x);", None, None),
    (
        "ALTER TABLE a ADD COLUMN x INT; "
        "ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES b (id);",
        None,
        None,
    ),
    (
        "CREATE TABLE b (n INT); ALTER TABLE b ALTER COLUMN n SET NOT NULL; DROP TABLE b;",
        None,
        None,
    ),
    ("DROP INDEX IF EXISTS i;", None, None),
    ("CREATE OR REPLACE VIEW v AS SELECT 1;", None, None),
]


@pytest.mark.parametrize(
    ("sql", "rule", "message"), COMPATIBLE, ids=[each[0] for each in COMPATIBLE]
)
def test_additive_and_nullable_is_what_the_release_before_survives(sql, rule, message):
    found = told(breaking(text(sql), (BEFORE,)))
    assert found == ([(rule, f"m/1.sql:1: {message}")] if rule else [])


# --- as a test sees it


def test_a_flaw_is_told_with_place_rule_and_remedy(tmp_path):
    path = write(tmp_path / "migrations", {"001_a.sql": "\nCREATE TABLE a (b INT);\n"})
    with pytest.raises(CheckFailed) as broken:
        run_of(path, "001_a").check_sql()
    assert str(broken.value) == (
        "001_a has 2 flaws by reading\n"
        "major: migrations/001_a.sql:1: creates table a without IF NOT EXISTS "
        "[migration.if_not_exists]\n"
        "   write IF NOT EXISTS, so that it may run again after half a failure\n"
        "major: migrations/001_a.sql: has no rollback [migration.no_rollback]\n"
        "   write one beside it, like NAME.down.sql, or set forward_only in [migrations]"
    )
    assert [one.title for one in broken.value.failures] == [
        "migration.if_not_exists",
        "migration.no_rollback",
    ]


def test_what_is_ignored_is_no_flaw(tmp_path):
    path = write(tmp_path, {"001_a.sql": "CREATE TABLE a (b INT);"})
    ignored = ("migration.if_not_exists",)
    run_of(path, "001_a", ignore=ignored, forward_only=True).check_sql()
    with pytest.raises(CheckFailed, match=r"migration\.if_not_exists"):
        run_of(path, "001_a", forward_only=True).check_sql()


def test_what_is_minor_is_a_warning_and_no_failure(tmp_path):
    path = write(
        tmp_path,
        {"001_a.sql": "CREATE TABLE IF NOT EXISTS a (b INT REFERENCES c (id) ON DELETE CASCADE);"},
    )
    with pytest.warns(UserWarning, match=r"minor: .*/001_a.sql:1: deletes rows whenever"):
        run_of(path, "001_a", forward_only=True).check_sql()


def test_the_order_is_that_of_the_whole_folder(tmp_path):
    path = write(
        tmp_path / "m",
        {
            "001_v.sql": "CREATE OR REPLACE VIEW v AS SELECT * FROM a;",
            "001_v.down.sql": "DROP VIEW IF EXISTS v;",
            "002_a.sql": "CREATE TABLE IF NOT EXISTS a (b INT);",
            "002_a.down.sql": "DROP TABLE IF EXISTS a;",
            "2_b.sql": "SELECT 1;",
        },
    )
    with pytest.raises(CheckFailed) as broken:
        run_of(path, "001_v").check_sql()
    assert "view v uses table a, which is created only at m/002_a.sql:1" in str(broken.value)
    run_of(path, "002_a").check_sql()
    with pytest.raises(CheckFailed, match="2_b: has the number of 002_a"):
        run_of(path, "2_b", forward_only=True).check_sql()


@pytest.mark.parametrize("name", sorted(name for name in DOCUMENTS if "down" not in name))
def test_the_migrations_of_the_documents_are_clean_and_compatible(tmp_path, name):
    run = run_of(write(tmp_path, DOCUMENTS), name.removesuffix(".sql"))
    run.check_sql()
    run.check_backward_compatible()


def test_prisma_needs_no_guards_but_a_way_back(tmp_path):
    path = write(tmp_path, PIPELINE)
    name = "20251029043929_add_stage_outputs_and_report"
    run_of(path, name).check_sql()
    run_of(path, name).check_backward_compatible()
    (path / name / "down.sql").unlink()
    with pytest.raises(CheckFailed) as broken:
        run_of(path, name).check_sql()
    assert [one.title for one in broken.value.failures] == ["migration.no_rollback"]
    run_of(path, name, forward_only=True).check_sql()


def test_alembic_is_read_as_the_sql_that_it_prints(tmp_path):
    path = alembic_project(
        tmp_path,
        [
            ("aaa", "op.create_table('a', sa.Column('id', sa.Integer))", "op.drop_table('a')"),
            ("bbb", "op.drop_column('a', 'id')", "pass"),
            ("ccc", "op.get_bind().execute(sa.text('SELECT 1')).scalar_one()", "pass"),
        ],
    )
    run_of(path, "aaa").check_sql()
    with pytest.raises(CheckFailed) as broken:
        run_of(path, "bbb").check_sql()
    assert (
        "major: alembic/versions/bbb.py: ALTER TABLE a DROP COLUMN id: drops column id of a "
        "outside a rollback file [migration.drop]\n"
    ) in str(broken.value)
    assert "versions/bbb.py: its downgrade() does nothing [migration.no_rollback]" in str(
        broken.value
    )
    with pytest.raises(CheckFailed, match="which the previous release uses"):
        run_of(path, "bbb").check_backward_compatible()
    with pytest.warns(UserWarning, match=r"Alembic cannot print its SQL: AttributeError: "):
        run_of(path, "ccc", forward_only=True).check_sql()


def test_without_the_extra_the_message_names_it(tmp_path, monkeypatch):
    import sys

    path = write(tmp_path, USERS)
    run = run_of(path, "001_users")
    for name in [name for name in sys.modules if name.partition(".")[0] == "sqlglot"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    message = "not run: sqlglot is not installed; pip install 'pytest-prodcheck[database]'"
    with pytest.raises(NotAsked) as error:
        run.check_sql()
    assert str(error.value) == message


def test_every_rule_has_a_remedy():
    assert all(rule.remedy and name.startswith("migration.") for name, rule in RULES.items())
