DROP TABLE IF EXISTS preferences;
DROP TABLE IF EXISTS feedback;
DROP TABLE IF EXISTS journal_entries;
