"""The closed set of names for the failures of checks (`Failure.rule`).

A rule is for programs: diagnosis and tests read it. The message beside it is for people, and its
wording may change at any time. A new kind of failure adds its name here.
"""

from typing import Any

from pytest_prodcheck.model import Failure, Reason

NAMES: dict[Reason, tuple[str, ...]] = {
    "assertion": ("assertion", "guard.violation", "check.proves_nothing", "known.outdated"),
    "setup": ("setup",),
    "transport": ("exchange.unreachable", "contract.no_answer"),
    "connect": ("database.unreachable",),
    "tls": ("certificate.expires",),
    "status": (
        *("status", "limit.error_rate", "private.unclear"),
        *("contract.undocumented_status", "contract.invalid_accepted", "contract.valid_refused"),
        *("contract.unsupported_method", "contract.no_success", "contract.other"),
    ),
    "server_error": ("contract.server_error",),
    "auth": ("contract.auth",),
    "exposed": ("private.exposed",),
    "header": ("header", "contract.header"),
    "content_type": ("header.content_type", "contract.content_type"),
    "schema": ("contract.schema", "compatibility.breaking"),
    "body": (
        *("body.empty", "body.not_json", "body.contains", "body.matches", "body.catch_all"),
        *("json.path", "health.dependency", "health.unreadable", "metrics.no_number"),
    ),
    "latency": ("time", "limit.p95", "database.slow_query"),
    "data": ("database.connections", "contract.resource_lifetime"),
    "drift": (
        *("schema.table_missing", "schema.kind", "schema.column_missing", "schema.type"),
        *("schema.nullability", "schema.primary_key", "schema.foreign_key", "schema.index"),
        *("schema.index_invalid", "schema.rls_disabled", "schema.rls_enabled"),
        *("schema.rls_not_forced", "schema.rls_without_policy", "schema.policy_missing"),
        *("schema.policy_differs", "schema.policy_unexpected", "schema.policy_conflict"),
    ),
    "flags": (
        *("flags.unread", "flags.unknown", "flags.invalid_mode", "flags.mode_disagrees"),
        "flags.dependency",
    ),
    "drill": (
        *("drill.unsteady", "drill.switch_failed", "drill.no_effect", "drill.probe"),
        *("drill.write_failed", "drill.write_lost", "drill.not_restored", "drill.left_behind"),
        *("drill.breaker_early", "drill.breaker_closed", "drill.breaker_stuck", "drill.failed"),
    ),
    "migration": (
        *("migration.drop", "migration.if_exists", "migration.if_not_exists"),
        *("migration.not_null", "migration.cascade", "migration.camel_case", "migration.order"),
        *("migration.no_rollback", "migration.unread", "migration.removed", "migration.renamed"),
        *("migration.narrowed", "migration.required", "migration.constrained"),
        *("migration.fails", "migration.slow", "migration.rows", "migration.filled"),
        *("migration.not_idempotent", "migration.rollback_fails"),
        *("migration.rollback_after_use", "migration.lost_after_use", "migration.leftover"),
        *("migration.not_restored", "migration.again", "migration.notice", "migration.unproven"),
    ),
}
"""Reason -> the rules for which it is usual."""

RULES: dict[str, Reason] = {rule: reason for reason, rules in NAMES.items() for rule in rules}
"""Rule -> its usual reason."""


def failure(rule: str, subject: str, message: str, **facts: Any) -> Failure:
    """Return a Failure of a known rule, with its usual reason and title.

    *facts* are other fields of Failure, and may override these two.
    """
    usual = {"title": rule, "reason": RULES[rule]}
    return Failure(**{**usual, **facts}, rule=rule, subject=subject, message=message)
