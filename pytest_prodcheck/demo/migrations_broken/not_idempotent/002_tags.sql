-- Each run adds these tags once more.
CREATE TABLE IF NOT EXISTS tags (id INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO tags (name) VALUES ('work'), ('health');
