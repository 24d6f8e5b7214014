-- Additive and nullable: the release before does not notice.
ALTER TABLE journal_entries ADD COLUMN is_pinned BOOLEAN;
