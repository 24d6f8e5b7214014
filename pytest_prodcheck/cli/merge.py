"""`prodcheck merge`: make one run of several shards or vantages."""

import argparse
from pathlib import Path

from pytest_prodcheck.cli.common import Subparsers, read_entries, replay_run


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("merge", help="make one run of several shards or vantages")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    from pytest_prodcheck.store.journal import Journal
    from pytest_prodcheck.store.last_good import remember
    from pytest_prodcheck.store.merge import by_vantage, merge
    from pytest_prodcheck.store.run_directory import Folder

    journals = [read_entries(run) for run in options.runs]
    output = options.output.resolve()
    entries = merge(journals, output.name)
    folder = Folder.at(output)
    journal = Journal(folder.path / "journal.jsonl")
    for entry in entries:
        journal.write(entry)
    journal.close()
    if journal.failure:
        raise journal.failure
    whole, verdict = replay_run(entries, folder, "finished", as_json=options.json)
    if verdict.decision == "promote":
        remember(output.parent, whole, by_vantage(whole, journals), {})
    return verdict.exit_code
