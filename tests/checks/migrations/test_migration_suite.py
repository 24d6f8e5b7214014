"""The parameter `migration` in a run: what is planned, on which processes, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_prodcheck.checks.migrations.migration_check import (
    Library,
    MigrationCheck,
    plan,
    standing,
)

# Imported before pytester takes stock of the modules: SQLAlchemy does not survive a second import.
from pytest_prodcheck.config import Migrations, Secret, json_schema, load
from pytest_prodcheck.errors import NotAsked, UsageError
from tests.migration_folders import DOCUMENTS, PIPELINE, USERS, write
from tests.project import Project

SUITE = "suites/rollback/test_migrations.py"
SQLITE = """
[migrations]
folder = "migrations"
dialect = "sqlite"
"""
NOWHERE = "postgresql://user:secret-word@127.0.0.1:1/app"
"""No server is there."""

SECOND = {
    "002_age.sql": "ALTER TABLE users ADD COLUMN age INTEGER;",
    "002_age.down.sql": "ALTER TABLE users DROP COLUMN age;",
}


@pytest.fixture(autouse=True, scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All that a rehearsal imports, before pytester takes stock of the modules: SQLAlchemy does
    not survive to be imported twice."""
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

    folder = write(tmp_path_factory.mktemp("m"), USERS)
    settings = Migrations(folder=folder, dialect="sqlite")
    made = plan(settings, standing(settings, None))
    run = MigrationCheck(made.migrations[0], Library(made))
    run.check_sql()
    run.rehearse()
    with pytest.raises(NotAsked):  # by the other driver too
        standing(Migrations(folder=write(folder / "p", PIPELINE)), Secret(NOWHERE))


def test_each_pending_migration_is_three_checks(project: Project) -> None:
    write(project.path / "migrations", USERS | SECOND)
    project.configure(SQLITE + 'applied = "001_users"\n')
    outcome = project.run("-m", "rollback", SUITE)
    assert outcome.ruling == ("inconclusive", 0)
    assert outcome.outcomes() == {
        "test_reading[002_age]": "passed",
        "test_rehearsal[002_age]": "passed",
        "test_backward_compatible[002_age]": "passed",
    }
    assert project.server.paths() == []


def test_what_was_measured_is_told(project: Project, postgres: str) -> None:
    write(project.path / "migrations", DOCUMENTS)
    project.environ["SCRATCH_DATABASE_URL"] = postgres
    project.configure(
        '[migrations]\nfolder = "migrations"\napplied = "001_journal"\n',
        scratch='"${SCRATCH_DATABASE_URL}"',
    )
    outcome = project.run("-m", "rollback", f"{SUITE}::test_rehearsal")
    assert outcome.ruling == ("inconclusive", 0)
    measured = outcome.verdict["metrics"]["measured"]
    assert 0 < measured["migration.seconds"] < 30
    assert measured["migration.lock"] == 8  # AccessExclusiveLock, for the column


def test_a_bad_one_fails_the_run_with_its_rules(project: Project) -> None:
    write(project.path / "migrations", USERS | {"002_bad.sql": "UPDATE users SET name = 'x';"})
    project.configure(SQLITE)
    outcome = project.run("-m", "rollback", SUITE)
    assert outcome.ruling == ("fail", 1)
    failed = outcome.check("test_rehearsal[002_bad]")
    assert failed["outcome"] == "failed"
    assert "rows of users hold other values than before [migration.rows]" in failed["message"]
    assert "[migration.no_rollback]" in outcome.check("test_reading[002_bad]")["message"]


def test_workers_agree_on_what_is_pending(project: Project) -> None:
    write(project.path / "migrations", USERS | SECOND)
    project.configure(SQLITE)
    process = project.start("--target=prod", "-n2", "-m", "rollback", SUITE)
    outcome = project.outcome(process)
    assert outcome.ruling == ("inconclusive", 0), outcome.output
    assert len(outcome.outcomes()) == 6


def test_without_migrations_nothing_is_planned(project: Project) -> None:
    project.write("test_a.py", "def test_a(): pass")
    outcome = project.run(SUITE)
    assert outcome.outcomes() == {}


def test_a_smoke_run_does_not_look_at_migrations(project: Project) -> None:
    write(project.path / "migrations", PIPELINE)
    project.environ["DATABASE_URL"] = NOWHERE
    project.configure(
        '[migrations]\nfolder = "migrations"\n[[probes]]\nget = "/ok"\n',
        database='"${DATABASE_URL}"',
    )
    outcome = project.run("-m", "smoke")
    assert outcome.ruling == ("pass", 0)


@pytest.mark.fault(111)
def test_a_database_that_is_down_is_never_a_pass(project: Project) -> None:
    write(project.path / "migrations", PIPELINE)
    project.environ["DATABASE_URL"] = NOWHERE
    project.configure(
        '[migrations]\nfolder = "migrations"\n[[probes]]\nget = "/ok"\n',
        database='"${DATABASE_URL}"',
    )
    outcome = project.run()
    assert outcome.ruling == ("inconclusive", 6)
    (reason,) = (one for one in outcome.verdict["reasons"] if "migration" in one)
    assert "no migration could be checked: the database does not say what was applied" in reason
    assert "secret-word" not in outcome.output


@pytest.mark.fault(111)
def test_a_scratch_server_that_is_down_is_never_a_pass(project: Project) -> None:
    write(project.path / "migrations", DOCUMENTS)
    project.environ["SCRATCH_DATABASE_URL"] = NOWHERE
    project.configure(
        '[migrations]\nfolder = "migrations"\napplied = "003_user_tier_limits"\n',
        scratch='"${SCRATCH_DATABASE_URL}"',
    )
    outcome = project.run("-m", "rollback", SUITE)
    assert outcome.ruling == ("inconclusive", 6)
    check = outcome.check("test_rehearsal[004_beta_daily_metrics]")
    assert check["outcome"] == "not_run"
    assert "the scratch server does not answer" in check["message"]
    assert "secret-word" not in outcome.output + outcome.page


# --- configuration


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """With what a `[migrations]` of these lines is refused; they begin on line 4."""

    def refused(lines: str, target: str = "", **environ: str) -> str:
        write(tmp_path / "migrations", DOCUMENTS)
        text = f'[targets.prod]\nbase_url = "https://a.example"\n[migrations]\n{lines}\n'
        if target:
            text = text.replace("[migrations]", f"{target}\n[migrations]")
        (tmp_path / "prodcheck.toml").write_text(text)
        with pytest.raises(UsageError) as error:
            load("prod", root=tmp_path, environ=environ)
        return str(error.value)

    return refused


FOLDER = 'folder = "migrations"'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            'folder = "migration"',
            "prodcheck.toml:4: migrations.folder: there is no folder migration; correct the path",
        ),
        (
            'folder = "."',
            "prodcheck.toml:4: migrations.folder: has no migrations: ",
        ),
        (
            f'{FOLDER}\napplied = "003_user_tier_limit"',
            'prodcheck.toml:5: migrations.applied: "003_user_tier_limit" is not a migration. Did '
            'you mean "003_user_tier_limits"? There are: 001_journal, 002_is_premium, ',
        ),
        (
            f'{FOLDER}\nnotices = {{ 002_premium = ["Added*"] }}',
            'prodcheck.toml:5: migrations.notices.002_premium: "002_premium" is not a migration. ',
        ),
        (
            f'{FOLDER}\nignore = ["migration.cascad"]',
            'prodcheck.toml:5: migrations.ignore[0]: "migration.cascad" is not a rule. Did you '
            'mean "migration.cascade"?',
        ),
        (
            f'{FOLDER}\nseed = "prodcheck.toml"',
            "prodcheck.toml:5: migrations.seed: fills the tables that the target has, but these "
            "are unknown: set its `database`, or its last migration as `applied`",
        ),
        (f"{FOLDER}\nlimit = 0", "prodcheck.toml:5: migrations.limit: "),
        (f'{FOLDER}\ndialect = "mysql"', "prodcheck.toml:5: migrations.dialect: "),
        (f"{FOLDER}\nforwardonly = true", "prodcheck.toml:5: migrations.forwardonly: "),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(
    refusal: Callable[..., str], lines: str, message: str
) -> None:
    assert refusal(lines).startswith(message)


@pytest.mark.parametrize(
    ("live", "scratch", "message"),
    [
        (
            "postgresql://reader:word1234@db.example/app",
            "postgresql+psycopg://owner:word5678@DB.example:5432/app?sslmode=require",
            "is the same database as `database`; name another server, or at least another database",
        ),
        (
            "postgresql://reader:word1234@localhost/app",
            "postgresql://owner:word5678@127.0.0.1/app",
            "is the same database as `database`; name another server, or at least another database",
        ),
        (
            "postgresql://reader:word1234@db.example/app",
            "sqlite:////tmp/scratch.db",
            "is sqlite, but `database` is postgresql; name two of one kind",
        ),
        (
            "postgresql://reader:word1234@db.example/app",
            "mysql://owner:word5678@db.example/app",
            "is neither PostgreSQL nor SQLite, the only two that can reliably be opened "
            "read-only; leave it out",
        ),
    ],
)
def test_a_scratch_server_that_is_none_is_refused(
    refusal: Callable[..., str], live: str, scratch: str, message: str
) -> None:
    target = 'database = "${LIVE_URL}"\nscratch = "${SCRATCH_URL}"'
    told = refusal(FOLDER, target, LIVE_URL=live, SCRATCH_URL=scratch)
    assert told == f"prodcheck.toml:4: targets.prod.scratch: {message}"


def test_another_database_of_the_same_server_may_be_named(tmp_path: Path) -> None:
    write(tmp_path / "migrations", DOCUMENTS)
    (tmp_path / "prodcheck.toml").write_text(
        '[targets.prod]\nbase_url = "https://a.example"\n'
        'database = "postgresql://reader:word1234@db.example/app"\n'
        'scratch = "postgresql://owner:word5678@db.example/postgres"\n'
        f'[migrations]\n{FOLDER}\nlimit = 5\nnotices = {{ 002_is_premium = ["Added*"] }}\n'
    )
    found = load("prod", root=tmp_path, environ={})
    assert found.migrations is not None
    assert found.migrations.folder == tmp_path / "migrations"
    assert (found.migrations.limit, found.migrations.dialect) == (5, "postgresql")
    assert found.migrations.notices == {"002_is_premium": ("Added*",)}
    assert "word5678" not in repr(found)


def test_the_schema_for_editors_has_the_keys() -> None:
    definitions = json_schema()["$defs"]
    assert set(definitions["MigrationsTable"]["properties"]) == {
        *("folder", "limit", "seed", "applied", "forward_only", "notices", "ignore", "dialect"),
    }
    assert definitions["MigrationsTable"]["properties"]["limit"]["default"] == 30
    assert "scratch" in definitions["TargetTable"]["properties"]
