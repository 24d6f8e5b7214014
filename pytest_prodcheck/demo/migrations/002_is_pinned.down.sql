ALTER TABLE journal_entries DROP COLUMN is_pinned;
