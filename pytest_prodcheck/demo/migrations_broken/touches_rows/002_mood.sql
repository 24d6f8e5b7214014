-- "Levels begin at 1 from now on": every row that was there is another one now.
UPDATE journal_entries SET mood_level = mood_level + 1;
