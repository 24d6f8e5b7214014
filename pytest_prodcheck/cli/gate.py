"""`prodcheck gate`: read a verdict again and exit by it."""

import argparse
from datetime import timedelta
from pathlib import Path

from pytest_prodcheck.cli.common import Subparsers, show, span


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("gate", help="re-read a verdict and exit by it")
    parser.add_argument(
        "run", type=Path, nargs="?", metavar="RUN", default=Path("prodcheck-report/latest")
    )
    parser.add_argument("--target", help="the verdict must be about this target")
    parser.add_argument("--commit", help="the verdict must be about this commit")
    parser.add_argument(
        "--max-age",
        type=span,
        default=timedelta(hours=1),
        help="how old the run may be: 30s, 10m, 2h, 1d (default: 1h)",
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="CATEGORY>=N",
        help="so many checks of a category must have passed, for instance smoke>=10",
    )
    parser.add_argument(
        "--after-rollback",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="BAD",
        help="RUN must show that the rollback from the release of run BAD has helped "
        "(default: the last run that said roll back)",
    )
    parser.add_argument(
        "--no-journal",
        dest="by_journal",
        action="store_false",
        help="take verdict.json without the journal that it is judged from again",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    from pytest_prodcheck.report.gate import gate, gate_after_rollback

    code, sentence = gate(
        options.run,
        target=options.target,
        commit=options.commit,
        max_age=options.max_age,
        require=tuple(options.require),
        by_journal=options.by_journal,
    )
    if code == 0 and (bad := options.after_rollback) is not None:
        named = None if bad == Path() else bad
        code, sentence = gate_after_rollback(options.run, named, by_journal=options.by_journal)
    answer = {"exit_code": code, "verdict": sentence.partition(":")[0], "reason": sentence}
    show(answer if options.json else sentence)
    return code
