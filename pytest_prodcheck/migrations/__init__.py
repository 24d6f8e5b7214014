"""Migrations as files, read without a database.

folder(path)                   the migrations of a folder, in order, and the tool they are for
reading.statements(sql)        one file as statements, each with its line
flaws(migration, folder)       what is wrong with one, by reading it
breaking(migration, folder)    what of it the release before would not survive

layout.py       three layouts: plain SQL, Prisma's, Alembic's
reading.py      SQL -> statements, by sqlglot; what it cannot parse is said
names.py        what a statement creates, drops and uses
flaw.py         a flaw, and the table of all rules with severity and remedy
rules.py        statement by statement: DROP, IF EXISTS, NOT NULL, CASCADE, camelCase
order.py        over all files: nothing is used before it is there, or dropped while used
backward.py     additive and nullable, or not
"""
