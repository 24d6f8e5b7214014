"""A flaw of a migration, and the table of all rules with severity and remedy."""

from pytest_prodcheck.model import Record, Severity


class Flaw(Record, frozen=True):
    """One flaw, with its place and remedy."""

    rule: str
    """A key of `RULES`."""
    place: str
    """`migrations/003_tiers.sql:12`, or the migration's name if no line is at fault."""
    message: str
    remedy: str
    severity: Severity


class Rule(Record, frozen=True):
    """The severity of a kind of flaw, and its remedy."""

    severity: Severity
    remedy: str


def flaw(
    rule: str, place: str, message: str, *, severity: Severity | None = None, remedy: str = ""
) -> Flaw:
    """Return a Flaw with severity and remedy of its rule, unless others are given."""
    stated = RULES[rule]
    return Flaw(
        rule=rule,
        place=place,
        message=message,
        remedy=remedy or stated.remedy,
        severity=severity or stated.severity,
    )


_EXPAND = (
    "expand first, contract a release later: the previous release still runs while this one is "
    "rolled out or back"
)

READ = {
    "migration.drop": Rule(
        severity="major",
        remedy="leave it to a later release, or to the rollback file; dropped data is lost",
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
        remedy="drop the other objects explicitly, in order; CASCADE also drops unexpected ones",
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
        remedy="it cannot be checked by reading; the rehearsal still runs it",
    ),
}
"""Rules that need only the text."""

BREAKING = {
    "migration.removed": Rule(severity="critical", remedy=_EXPAND),
    "migration.renamed": Rule(severity="critical", remedy=f"add the new name beside; {_EXPAND}"),
    "migration.narrowed": Rule(severity="critical", remedy=f"add a column beside; {_EXPAND}"),
    "migration.required": Rule(
        severity="critical", remedy=f"give it a default, or leave it nullable; {_EXPAND}"
    ),
    "migration.constrained": Rule(
        severity="minor",
        remedy="make sure that the previous release writes nothing that it would refuse",
    ),
}
"""Rules on changes that the previous release would not survive."""

REHEARSED = {
    "migration.fails": Rule(severity="critical", remedy="correct it; nothing was deployed yet"),
    "migration.slow": Rule(
        severity="major",
        remedy="split it, build indexes CONCURRENTLY, fill columns in batches; or raise `limit`",
    ),
    "migration.rows": Rule(
        severity="critical",
        remedy="change the schema only; move data in a step of its own, with a rollback",
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
        remedy="let the rollback first convert such rows into ones that the previous schema "
        "accepts (UPDATE … WHERE …); until then, roll back only the application and leave this "
        "migration applied",
    ),
    "migration.lost_after_use": Rule(
        severity="major",
        remedy="copy such rows before the rollback, or let it keep them in a form that the "
        "previous schema accepts",
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
        severity="major", remedy="check which branch of the script was taken, or correct `notices`"
    ),
    "migration.unproven": Rule(
        severity="minor", remedy="name a file with rows of your own as `seed` in [migrations]"
    ),
}
"""Rules that need a run on a scratch database."""

RULES = READ | BREAKING | REHEARSED

DATA_LOSS = frozenset(("migration.rows", "migration.not_restored"))
"""Rules on the loss of rows or of their values."""
