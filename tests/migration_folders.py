"""Migrations as teams write them, in all three layouts; those of the documents among them."""

from pathlib import Path
from textwrap import dedent

DOCUMENTS = {
    "001_journal.sql": """
        CREATE TABLE IF NOT EXISTS users (
            id UUID PRIMARY KEY,
            email TEXT NOT NULL UNIQUE
        );
        CREATE TABLE IF NOT EXISTS journal_entries (
            id SERIAL PRIMARY KEY,
            user_id UUID NOT NULL REFERENCES users (id),
            mood_level INTEGER NOT NULL CHECK (mood_level BETWEEN 1 AND 10),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now()
        );
        """,
    "001_journal.down.sql": """
        DROP TABLE IF EXISTS journal_entries;
        DROP TABLE IF EXISTS users;
        """,
    "002_is_premium.sql": """
        DO $$
        BEGIN
            IF EXISTS (SELECT FROM information_schema.tables WHERE table_name = 'journal_entries')
            THEN
                RAISE NOTICE 'journal_entries table already exists';
            END IF;
            IF NOT EXISTS (
                SELECT FROM information_schema.columns
                WHERE table_name = 'users' AND column_name = 'is_premium'
            ) THEN
                ALTER TABLE users ADD COLUMN is_premium BOOLEAN;
                RAISE NOTICE 'Added is_premium column to users table';
            END IF;
            RAISE NOTICE '✅ Beta optimization schema deployed successfully!';
        END $$;
        """,
    "002_is_premium.down.sql": "ALTER TABLE users DROP COLUMN IF EXISTS is_premium;",
    "003_user_tier_limits.sql": """
        CREATE TABLE IF NOT EXISTS user_tier_limits (
            tier TEXT PRIMARY KEY,
            daily_limit INTEGER NOT NULL
        );
        INSERT INTO user_tier_limits VALUES ('free', 5), ('premium', 50) ON CONFLICT DO NOTHING;
        ALTER TABLE user_tier_limits ENABLE ROW LEVEL SECURITY;
        DROP POLICY IF EXISTS limits_are_public ON user_tier_limits;
        CREATE POLICY limits_are_public ON user_tier_limits FOR SELECT USING (true);
        """,
    "003_user_tier_limits.down.sql": "DROP TABLE IF EXISTS user_tier_limits;",
    "004_beta_daily_metrics.sql": """
        CREATE OR REPLACE VIEW beta_daily_metrics AS
            SELECT date_trunc('day', e.created_at) AS day, count(*) AS entries, max(l.daily_limit)
            FROM journal_entries e CROSS JOIN user_tier_limits l GROUP BY 1;
        CREATE OR REPLACE FUNCTION check_mood() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.mood_level := greatest(NEW.mood_level, 1);
            RETURN NEW;
        END $$;
        DROP TRIGGER IF EXISTS mood_is_checked ON journal_entries;
        CREATE TRIGGER mood_is_checked BEFORE INSERT ON journal_entries
            FOR EACH ROW EXECUTE FUNCTION check_mood();
        """,
    "004_beta_daily_metrics.down.sql": """
        DROP TRIGGER IF EXISTS mood_is_checked ON journal_entries;
        DROP FUNCTION IF EXISTS check_mood();
        DROP VIEW IF EXISTS beta_daily_metrics;
        """,
}
"""Document 001: facts 11 to 16."""

PIPELINE = {
    "20251001000000_pipeline_run/migration.sql": """
        CREATE TABLE "PipelineRun" (
            "id" TEXT NOT NULL,
            "status" TEXT NOT NULL DEFAULT 'PENDING',
            CONSTRAINT "PipelineRun_pkey" PRIMARY KEY ("id")
        );
        """,
    "20251001000000_pipeline_run/down.sql": 'DROP TABLE "PipelineRun";',
    "20251029043929_add_stage_outputs_and_report/migration.sql": """
        ALTER TABLE "PipelineRun" ADD COLUMN "fullReportMarkdown" TEXT,
            ADD COLUMN "stage1Output" JSONB,
            ADD COLUMN "stage2Output" JSONB,
            ADD COLUMN "stage3Output" JSONB,
            ADD COLUMN "stage4Output" JSONB;
        """,
    "20251029043929_add_stage_outputs_and_report/down.sql": """
        ALTER TABLE "PipelineRun" DROP COLUMN IF EXISTS "fullReportMarkdown",
            DROP COLUMN IF EXISTS "stage1Output",
            DROP COLUMN IF EXISTS "stage2Output",
            DROP COLUMN IF EXISTS "stage3Output",
            DROP COLUMN IF EXISTS "stage4Output";
        """,
    "migration_lock.toml": 'provider = "postgresql"',
}
"""Document 003, facts 72 and 73: as Prisma writes them."""

USERS = {
    "001_users.sql": """
        CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        """,
    "001_users.down.sql": "DROP TABLE IF EXISTS users;",
}
"""Something to build on, in SQL that both databases take."""


def write(folder: Path, files: dict[str, str]) -> Path:
    """The folder, with these files in it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return folder


ALEMBIC_TEMPLATE = '''
"""{message}"""
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''


def alembic_project(folder: Path, revisions: list[tuple[str, str, str]]) -> Path:
    """A project made by Alembic itself, with these revisions: name, upgrade, downgrade."""
    from alembic import command
    from alembic.config import Config

    folder.mkdir(parents=True, exist_ok=True)
    config = Config(folder / "alembic.ini", stdout=open("/dev/null", "w"))  # noqa: SIM115
    with config.stdout:
        command.init(config, str(folder / "alembic"))
    # What a rehearsal must never do: this would go wherever the application goes.
    (folder / "alembic" / "env.py").write_text("raise SystemExit('env.py was run')\n")
    down = None
    for name, upgrade, downgrade in revisions:
        text = ALEMBIC_TEMPLATE.format(
            message=name,
            revision=name,
            down=down,
            upgrade=_body(upgrade),
            downgrade=_body(downgrade),
        )
        (folder / "alembic" / "versions" / f"{name}.py").write_text(text.lstrip())
        down = name
    return folder / "alembic"


def _body(code: str) -> str:
    return "\n".join(f"    {line}" for line in dedent(code).strip().splitlines())
