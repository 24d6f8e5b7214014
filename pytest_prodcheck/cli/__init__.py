"""The `prodcheck` command: what happens before and after a run. One module for each command."""

import argparse
import sys
from collections.abc import Callable, Sequence

from pytest_prodcheck.cli import demo, drill, gate, init, known, merge, recover, wait
from pytest_prodcheck.cli.common import Parser
from pytest_prodcheck.errors import ProdcheckError, UsageError
from pytest_prodcheck.verdict.judge import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_USAGE

COMMANDS = (wait, gate, merge, recover, known, drill, init, demo)
"""In the order of `prodcheck --help`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, as a run's."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except UsageError as error:
        print(f"prodcheck: {error}", file=sys.stderr)
        return EXIT_USAGE
    except (ProdcheckError, OSError) as error:
        print(f"prodcheck: {error}", file=sys.stderr)
        return EXIT_INTERNAL
    except KeyboardInterrupt:
        print("prodcheck: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="prodcheck", description="Before and after a run of checks.")
    subparsers = parser.add_subparsers(title="commands", required=True, parser_class=Parser)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser
