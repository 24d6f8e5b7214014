"""`prodcheck demo`: list the incidents of the demo."""

import argparse
from typing import Any

import msgspec

from pytest_prodcheck.cli.common import Subparsers, show


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("demo", help="list the incidents of the demo")
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    from pytest_prodcheck.demo.incidents import INCIDENTS

    if options.json:
        show([msgspec.to_builtins(_summary(incident)) for incident in INCIDENTS.values()])
        return 0
    for incident in INCIDENTS.values():
        print(f"demo:{incident.name:<18} {incident.title}")
        print(f"{'':23} {incident.document}, {incident.fact}; named by {incident.rule}")
    return 0


def _summary(incident: Any) -> dict[str, str]:
    return {name: getattr(incident, name) for name in ("name", "title", "document", "fact", "rule")}
