-- It forgets the column.
DROP TABLE IF EXISTS tags;
