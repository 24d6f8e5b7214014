"""`prodcheck recover`: render what a killed run had."""

import argparse
from pathlib import Path

from pytest_prodcheck.cli.common import Subparsers, read_entries, replay_run
from pytest_prodcheck.model import State


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("recover", help="render what a killed run had")
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    from pytest_prodcheck.store.entries import ProblemFound
    from pytest_prodcheck.store.merge import drills_left, never_judged, unfinished
    from pytest_prodcheck.store.run_directory import Folder

    entries = read_entries(options.run)
    killed = unfinished(entries) or never_judged(options.run)
    problems = [*killed, *drills_left(options.run)]
    entries += [ProblemFound(what=one.what, detail=one.detail) for one in problems]
    folder = Folder(options.run.resolve())
    state: State = "recovered" if killed else "finished"
    _, verdict = replay_run(entries, folder, state, as_json=options.json)
    return verdict.exit_code
