"""`prodcheck known`: accept the contract failures of a run for a while."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pytest_prodcheck.cli.common import Subparsers, read_entries, span
from pytest_prodcheck.model import Check

MOST_NAMES = 10
"""Checks that are named; the rest is counted."""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "known", help="accept the contract failures of a run for a while"
    )
    parser.add_argument("--add", type=Path, required=True, metavar="RUN")
    parser.add_argument(
        "--reason", default="there before the gate was", help="why they are accepted"
    )
    parser.add_argument(
        "--for",
        dest="span",
        type=span,
        default=timedelta(days=90),
        metavar="SPAN",
        help="how long: 30d (default: 90d)",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    from pytest_prodcheck.config.config_file import find
    from pytest_prodcheck.config.known import known_failures
    from pytest_prodcheck.store.journal import fold
    from pytest_prodcheck.verdict.known_failures import NAME, entries_for, to_toml

    run = fold(read_entries(options.add))
    file = find(Path.cwd())
    folder = file.path.parent if file else Path.cwd()
    existing = known_failures(folder)
    today = datetime.now(UTC).date()
    expires = today + options.span
    entries = entries_for(run.checks, existing, options.reason, expires, today)
    path = folder / NAME
    if entries:
        with path.open("a", encoding="utf-8") as sink:
            sink.write(("\n" if existing else "") + to_toml(entries))
    noun = "entry" if len(entries) == 1 else "entries"
    print(f"{len(entries)} {noun} added to {path}, accepted until {expires}")
    others = [one for one in run.checks if one.outcome == "failed" and one.category != "contract"]
    if others:
        print(f"not added, since only contract checks can be accepted: {_names(others)}")
        print("Fix these, correct what is expected, or leave paths out: `exclude` in [contract].")
    return 0


def _names(checks: Sequence[Check]) -> str:
    from pytest_prodcheck.report import phrases

    more = f" and {len(checks) - MOST_NAMES} more" if len(checks) > MOST_NAMES else ""
    return ", ".join(phrases.name(one.id) for one in checks[:MOST_NAMES]) + more
