"""`prodcheck init`: write what a run needs, by looking at a live target."""

import argparse
import os
from pathlib import Path

from pytest_prodcheck.cli.common import Subparsers
from pytest_prodcheck.errors import UsageError


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "init", help="write what a run needs, by looking at a live target"
    )
    parser.add_argument("target", nargs="?", metavar="TARGET", help="default: PRODCHECK_TARGET")
    parser.add_argument(
        "--database",
        action="store_true",
        required=True,
        help="record the tables of the target's database into schema.toml",
    )
    parser.add_argument(
        "--schema",
        action="append",
        default=[],
        metavar="NAME",
        help="record this schema of the database too, beside the default one",
    )
    parser.add_argument("--force", action="store_true", help="overwrite schema.toml")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    from pytest_prodcheck.checks.database.recording import record
    from pytest_prodcheck.config import choose, load

    choice = choose(options.target, os.environ)
    if choice is None:
        raise UsageError("which target? name it, as in `prodcheck init --database prod`")
    settings = load(choice, root=Path.cwd(), environ=os.environ)
    for line in record(settings, options.schema, overwrite=options.force):
        print(line)
    return 0
