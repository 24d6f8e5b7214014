"""Remarks on minor findings of checks, one for the whole run."""

from collections import defaultdict
from collections.abc import Iterable

from pytest_prodcheck.counting import counted
from pytest_prodcheck.model import Check


def shared_remarks(checks: Iterable[Check]) -> list[str]:
    """Return a sentence for each minor failure that API operations share, the commonest first.

    `400 is not documented on 19 operations (GET /a, GET /b and 17 more)`
    """
    operations: dict[str, list[str]] = defaultdict(list)
    for check in checks:
        for title in dict.fromkeys(f.title for f in check.failures if f.severity == "minor"):
            operations[title].append(check.id.partition("[")[2].partition("]")[0] or check.id)
    ordered = sorted(operations.items(), key=lambda one: (-len(set(one[1])), one[0]))
    return [f"{title} on {_count_and_names(list(dict.fromkeys(ids)))}" for title, ids in ordered]


def _count_and_names(operations: list[str]) -> str:
    named, more = operations[:2], len(operations) - 2
    others = f" and {more} more" if more > 0 else ""
    return f"{counted(len(operations), 'operation')} ({', '.join(named)}{others})"
