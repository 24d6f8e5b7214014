"""Migrations, rehearsed on a database that is made for it and dropped.

migration_check  what a test sees
rehearsal      apply, back, forth, again
applying       one of them run: time, locks, NOTICEs
revisions      all contact with Alembic; the project's env.py never runs
scratch        a database to try things on, gone afterwards for certain
schema_dump    the live schema and history, read only
snapshot       a schema object by object, rows as counts and digests
filling        made-up rows, parents first
loosened       what only the new schema allows
use            rows that it allows, written before one more rollback
"""
