"""Row-level security of a table: differences from the expectations, and conflicting policies.

PostgreSQL allows a row if any permissive policy does: of two for the same command and role the
wider one decides, and the narrower one has no effect.
"""

from collections.abc import Iterator
from itertools import combinations

from pytest_prodcheck.analysis.sql_schema.sql import normal, same
from pytest_prodcheck.analysis.sql_schema.tables import Policy, Table
from pytest_prodcheck.analysis.sql_schema.written import policy_text

COMMANDS = ("select", "insert", "update", "delete")
_APPLY = "Run the migration that sets the policies, or correct what the code expects."
_MEANT = "Run the migration that makes them, or write row_level_security = true if that is meant."
_ENABLE = "ALTER TABLE ... ENABLE ROW LEVEL SECURITY, in a migration."
_ONE = "Keep one of them: drop the one of an older schema file, or make it AS RESTRICTIVE."

Found = tuple[str, str, str, str]
"""Rule, place, message, remedy."""


def policy_drift(expected: Table, live: Table) -> Iterator[Found]:
    """Yield the differences in the row-level security of a live table."""
    name = expected.name
    security = expected.row_security or ("on" if expected.policies else None)
    policies = live.policies or ()
    if live.row_security == "off" and security in ("on", "forced"):
        yield "rls_disabled", name, "row-level security is off: everybody sees every row", _ENABLE
    elif live.row_security == "off" and policies:
        message = f"has {_count(policies)}, but row-level security is off: they have no effect"
        yield "rls_disabled", name, message, _ENABLE
    elif live.row_security == "on" and security == "forced":
        message = "row-level security is not forced: the table's owner sees every row"
        yield "rls_not_forced", name, message, _ENABLE.replace("ENABLE", "FORCE")
    elif live.row_security in ("on", "forced") and security == "off":
        message = "row-level security is on, where it is expected to be off"
        yield "rls_enabled", name, message, _APPLY
    elif live.row_security in ("on", "forced") and not policies and not security:
        message = "row-level security is on without any policy: only its owner sees any row"
        yield "rls_without_policy", name, message, _MEANT
    yield from _differences(expected, live)
    yield from conflicts(expected, live)


def _differences(expected: Table, live: Table) -> Iterator[Found]:
    if expected.policies is None:
        return
    there = {policy.name: policy for policy in live.policies or ()}
    for wanted in expected.policies:
        place = f"{expected.name}.{wanted.name}"
        found = there.pop(wanted.name, None)
        if found is None:
            message = f"this policy is not there: {policy_text(wanted)}"
            yield "policy_missing", place, message, _APPLY
        elif not _same(wanted, found):
            message = f"is {policy_text(found)}, where {policy_text(wanted)} is expected"
            yield "policy_differs", place, message, _APPLY
    for policy in there.values():
        message = f"nothing expects this policy: {policy_text(policy)}"
        yield "policy_unexpected", f"{expected.name}.{policy.name}", message, _APPLY


def conflicts(expected: Table, live: Table) -> Iterator[Found]:
    """Yield each pair of permissive policies for one command and role where one defeats the other.

    A declared pair is intended, unless one of the two allows every row. Without declared policies
    the intention is unknown, and only such a pair is a conflict.
    """
    declared = {policy.name for policy in expected.policies or ()}
    for one, other in combinations([p for p in live.policies or () if p.permissive], 2):
        shared = [command for command in COMMANDS if _covers(one, other, command)]
        if not shared or not _share_a_role(one, other):
            continue
        wide = [
            policy
            for policy, narrow in ((one, other), (other, one))
            if any(_is_open(policy, c) and not _is_open(narrow, c) for c in shared)
        ]
        meant = expected.policies is None or {one.name, other.name} <= declared
        if meant and not wide:
            continue
        place = f"{expected.name}.{one.name}"
        facts = f"and {other.name} both allow {', '.join(shared)}"
        effect = (
            f"{wide[0].name} allows every row, so the other has no effect"
            if wide
            else "a row is allowed if either allows it: the wider one wins"
        )
        yield "policy_conflict", place, f"{facts}: {effect}", _ONE


def _same(wanted: Policy, live: Policy) -> bool:
    """Return True if two policies agree; a missing condition is not compared.

    It is hard to write a condition exactly as PostgreSQL prints it.
    """
    return (
        (wanted.command, wanted.permissive) == (live.command, live.permissive)
        and sorted(wanted.roles) == sorted(live.roles)
        and all(
            ours is None or same(ours, theirs)
            for ours, theirs in ((wanted.using, live.using), (wanted.check, live.check))
        )
    )


def _covers(one: Policy, other: Policy, command: str) -> bool:
    return all(policy.command in ("all", command) for policy in (one, other))


def _share_a_role(one: Policy, other: Policy) -> bool:
    roles, others = set(one.roles), set(other.roles)
    return "public" in roles | others or bool(roles & others)


def _is_open(policy: Policy, command: str) -> bool:
    """Return True if the policy allows every row for this command."""
    conditions = [policy.using] if command != "insert" else []
    if command in ("insert", "update"):
        conditions.append(policy.check or policy.using)
    return all(normal(condition or "") == "true" for condition in conditions)


def _count(policies: tuple[Policy, ...]) -> str:
    return "1 policy" if len(policies) == 1 else f"{len(policies)} policies"
