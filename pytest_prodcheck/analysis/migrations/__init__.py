"""Migrations as files, read without a database: what is wrong with them, and what they would break.

layout.py       three layouts: plain SQL, Prisma's, Alembic's
splitting.py    where each statement ends; what only a client like psql understands
reading.py      SQL -> statements with their lines, by sqlglot; what it cannot parse is said
names.py        what a statement creates, drops and uses
flaw.py         a flaw, and the table of all rules with severity and remedy
rules.py        statement by statement: DROP, IF EXISTS, NOT NULL, CASCADE, camelCase
order.py        over all files: nothing is used before it is there, or dropped while used
backward.py     what the release before would not survive
"""
