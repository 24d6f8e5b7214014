"""What can be wrong with a migration: a flaw, and each rule with its severity and remedy."""

from pytest_prodcheck.model import Record, Severity


class Flaw(Record, frozen=True):
    """One thing that is wrong, where it is, and what to do."""

    rule: str
    """A key of `RULES`."""
    place: str
    """`migrations/003_tiers.sql:12`, or the migration's name when no line is to blame."""
    message: str
    remedy: str
    severity: Severity


class Rule(Record, frozen=True):
    """How bad it is, and the way out."""

    severity: Severity
    remedy: str


def flaw(
    rule: str, place: str, message: str, *, severity: Severity | None = None, remedy: str = ""
) -> Flaw:
    """A Flaw with what the table says of its rule, unless something else is given."""
    stated = RULES[rule]
    return Flaw(
        rule=rule,
        place=place,
        message=message,
        remedy=remedy or stated.remedy,
        severity=severity or stated.severity,
    )


_EXPAND = (
    "expand first, contract a release later: the release before still runs while this one is "
    "rolled out or back"
)

READ = {
    "migration.drop": Rule(
        severity="major",
        remedy="leave it to a later release, or to the rollback file; what is dropped is lost",
    ),
    "migration.if_exists": Rule(
        severity="major", remedy="write IF EXISTS, so that it may run again after half a failure"
    ),
    "migration.if_not_exists": Rule(
        severity="major",
        remedy="write IF NOT EXISTS, so that it may run again after half a failure",
    ),
    "migration.not_null": Rule(
        severity="critical",
        remedy="give it a DEFAULT, or add it nullable, fill it, and set NOT NULL a release later",
    ),
    "migration.cascade": Rule(
        severity="major",
        remedy="name what else has to go, in order; CASCADE takes along what nobody thought of",
    ),
    "migration.camel_case": Rule(
        severity="major",
        remedy='write it in double quotes, like "createdAt"; PostgreSQL folds it to lower case',
    ),
    "migration.order": Rule(
        severity="critical",
        remedy="tables before views, functions before triggers; dropped in the opposite order",
    ),
    "migration.no_rollback": Rule(
        severity="major",
        remedy="write one beside it, like NAME.down.sql, or set forward_only in [migrations]",
    ),
    "migration.unread": Rule(
        severity="minor",
        remedy="nothing is known of it by reading; the rehearsal runs it all the same",
    ),
}
"""Seen in the text alone."""

BREAKING = {
    "migration.removed": Rule(severity="critical", remedy=_EXPAND),
    "migration.renamed": Rule(severity="critical", remedy=f"add the new name beside; {_EXPAND}"),
    "migration.narrowed": Rule(severity="critical", remedy=f"add a column beside; {_EXPAND}"),
    "migration.required": Rule(
        severity="critical", remedy=f"give it a default, or leave it nullable; {_EXPAND}"
    ),
    "migration.constrained": Rule(
        severity="minor",
        remedy="make sure that the release before writes nothing that it would refuse",
    ),
}
"""What the release before would not survive."""

REHEARSED = {
    "migration.fails": Rule(severity="critical", remedy="correct it; nothing was deployed yet"),
    "migration.slow": Rule(
        severity="major",
        remedy="split it, build indexes CONCURRENTLY, fill columns in batches; or raise `limit`",
    ),
    "migration.rows": Rule(
        severity="critical",
        remedy="change the schema alone; move data in a step of its own, with a way back",
    ),
    "migration.filled": Rule(
        severity="minor", remedy="old rows had no value for it; make sure that this one is right"
    ),
    "migration.not_idempotent": Rule(
        severity="major",
        remedy="guard each statement with IF [NOT] EXISTS or ON CONFLICT DO NOTHING",
    ),
    "migration.rollback_fails": Rule(
        severity="critical", remedy="correct the rollback; it will be needed in a hurry"
    ),
    "migration.rollback_after_use": Rule(
        severity="critical",
        remedy="let the rollback first turn such rows into ones that the schema before takes "
        "(UPDATE … WHERE …); until it does, take back the application alone and leave this "
        "migration applied",
    ),
    "migration.lost_after_use": Rule(
        severity="major",
        remedy="copy such rows aside before the rollback, or let it keep them in a form that the "
        "schema before takes",
    ),
    "migration.leftover": Rule(
        severity="critical", remedy="undo it in the rollback too, and roll back again"
    ),
    "migration.not_restored": Rule(
        severity="critical",
        remedy="restore it in the rollback; what cannot be restored must not be dropped",
    ),
    "migration.again": Rule(
        severity="critical", remedy="after a rollback the next attempt must work as the first did"
    ),
    "migration.notice": Rule(
        severity="major", remedy="see which branch of the script was taken, or correct `notices`"
    ),
    "migration.unproven": Rule(
        severity="minor", remedy="name a file with rows of your own as `seed` in [migrations]"
    ),
}
"""Seen when it was run on a scratch database."""

RULES = READ | BREAKING | REHEARSED

DATA_LOSS = frozenset(("migration.rows", "migration.not_restored"))
"""Rules after which rows, or what they held, are gone."""
