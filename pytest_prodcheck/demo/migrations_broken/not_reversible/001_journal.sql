-- The tables of the demo, as its storage makes them.
CREATE TABLE IF NOT EXISTS journal_entries (
    id INTEGER NOT NULL PRIMARY KEY,
    author VARCHAR(40) NOT NULL,
    text TEXT NOT NULL,
    mood_level INTEGER NOT NULL,
    energy_level INTEGER NOT NULL,
    stress_level INTEGER NOT NULL,
    created_at VARCHAR(32) NOT NULL,
    updated_at VARCHAR(32) NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_journal_entries_author ON journal_entries (author);
CREATE TABLE IF NOT EXISTS feedback (
    id INTEGER NOT NULL PRIMARY KEY,
    rating INTEGER NOT NULL,
    comment TEXT NOT NULL,
    created_at VARCHAR(32) NOT NULL
);
CREATE TABLE IF NOT EXISTS preferences (
    id VARCHAR(40) NOT NULL PRIMARY KEY,
    theme VARCHAR(10) NOT NULL,
    language VARCHAR(10) NOT NULL,
    reminders BOOLEAN NOT NULL
);
