UPDATE journal_entries SET mood_level = mood_level - 1;
