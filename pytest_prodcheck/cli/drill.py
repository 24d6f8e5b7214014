"""`prodcheck drill restore`: finish drills that a killed run has begun."""

import argparse
from pathlib import Path

import msgspec

from pytest_prodcheck.cli.common import Parser, Subparsers, show
from pytest_prodcheck.verdict.judge import EXIT_BY_RULING


def add_parser(subparsers: Subparsers) -> None:
    drill = subparsers.add_parser("drill", help="finish drills that a killed run has begun")
    acts = drill.add_subparsers(title="commands", required=True, parser_class=Parser)
    restore = acts.add_parser("restore", help="flip back what is still switched, and look")
    restore.add_argument(
        "reports",
        type=Path,
        nargs="?",
        metavar="DIR",
        default=Path("prodcheck-report"),
        help="a run, or where runs are written (default: %(default)s)",
    )
    restore.add_argument("--json", action="store_true", help="print what was done as JSON")
    restore.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    from pytest_prodcheck.checks.drills.undoing import finish_all

    undone = finish_all(options.reports)
    if options.json:
        show([msgspec.to_builtins(one) for one in undone])
    elif not undone:
        print(f"no drill below {options.reports} has left anything")
    else:
        for one in undone:
            print(f"{one.drill} on {one.target}: {'; '.join(one.left) or 'as it was before'}")
    return EXIT_BY_RULING["fail" if any(one.left for one in undone) else "pass"]
