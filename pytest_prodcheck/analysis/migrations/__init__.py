"""The analysis of migration files without a database: their flaws, and the changes that break.

layout.py       three layouts: plain SQL, Prisma's, Alembic's
splitting.py    the end of each statement, and commands for a client like psql
reading.py      SQL -> statements with their lines, by sqlglot, and statements it cannot parse
names.py        the objects that a statement creates, drops and uses
flaw.py         a flaw, and the table of all rules with severity and remedy
rules.py        single statements: DROP, IF EXISTS, NOT NULL, CASCADE, camelCase
order.py        all files: nothing is used before its creation, or dropped while in use
backward.py     changes that the previous release would not survive
"""
