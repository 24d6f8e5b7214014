"""Arguments and output that several commands share."""

import argparse
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Run, State, Verdict
from pytest_prodcheck.store.entries import Entry
from pytest_prodcheck.store.journal import fold, read
from pytest_prodcheck.store.run_directory import Folder
from pytest_prodcheck.verdict.judge import EXIT_USAGE

Subparsers = Any
"""What `add_subparsers` returns; argparse has no public name for it."""


class Parser(argparse.ArgumentParser):
    """Ends with the exit code of a usage error."""

    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def span(text: str) -> timedelta:
    """Return the time that *text* means: `90s`, `10m`, `2h`, `1d`. For argparse."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time span; write it like 30m or 2h")
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    return timedelta(**{units[match[2]]: int(match[1])})


def show(content: Any) -> None:
    """Print a text as it is, and anything else as one line of JSON."""
    print(content if isinstance(content, str) else msgspec.json.encode(content).decode())


def read_entries(run: Path) -> list[Entry]:
    """Return the journal of the run in folder *run*. Raises UsageError when there is none."""
    journal = run / "journal.jsonl"
    try:
        entries = list(read(journal))
        fold(entries)
    except (OSError, msgspec.DecodeError, KeyError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{journal} cannot be read ({reason}); name the folder of a run, "
            "for instance prodcheck-report/latest"
        ) from error
    return entries


def replay_run(
    entries: list[Entry], folder: Folder, state: State, *, as_json: bool
) -> tuple[Run, Verdict]:
    """Write the files of a run from its journal, and print its verdict."""
    from pytest_prodcheck.report import terminal
    from pytest_prodcheck.report.verdict_json import document
    from pytest_prodcheck.session.replay import replay

    run, verdict = replay(entries, folder, state)
    if as_json:
        show(document(run, verdict))
    else:
        for line, _ in terminal.summary(
            run, verdict, folder=str(folder.path), width=terminal.UNLIMITED
        ):
            print(line)
    return run, verdict
