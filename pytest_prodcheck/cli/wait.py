"""`prodcheck wait`: block until a release is live."""

import argparse
import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodcheck.cli.common import Subparsers, show, span
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Release
from pytest_prodcheck.verdict.judge import EXIT_BY_RULING

if TYPE_CHECKING:
    from pytest_prodcheck.config import ReleaseSource, Target


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("wait", help="block until a release is live")
    parser.add_argument("target", metavar="TARGET", help="a target of the configuration")
    parser.add_argument("--commit", metavar="SHA", help="the commit that must be live")
    parser.add_argument("--version", metavar="V", help="the version that must be live")
    parser.add_argument(
        "--timeout",
        type=span,
        default=timedelta(minutes=10),
        metavar="SPAN",
        help="how long at most: 90s, 10m (default: 10m)",
    )
    parser.add_argument(
        "--share",
        type=_share,
        default="90%",
        metavar="PERCENT",
        help="the share of answers that must be proven to come from it (default: 90%%)",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    from pytest_prodcheck.config import load
    from pytest_prodcheck.service.rollout import Observation, observe, record, wait
    from pytest_prodcheck.service.standalone import standalone_target

    wanted = Release(version=options.version, commit=options.commit)
    if not (wanted.version or wanted.commit):
        raise UsageError("wait for what? Give --commit SHA, --version V, or both")
    settings = load(options.target, root=Path.cwd(), environ=os.environ)
    source = _release_source(settings.target, wanted)
    progress = _Progress(silent=options.json)
    with standalone_target(options.target, root=Path.cwd()) as there:

        def observe_once() -> Observation:
            with there.connect_anew() as client:
                return observe(client, source)

        def say(text: str) -> None:
            progress.say(there.clean(text))

        seconds = options.timeout.total_seconds()
        outcome = wait(observe_once, wanted, options.share, seconds=seconds, say=say)
        progress.end()
        found = record(outcome, wanted)
        found["reason"] = there.clean(found["reason"])
    code = EXIT_BY_RULING["pass" if outcome.live else "inconclusive"]
    show(found | {"exit_code": code} if options.json else found["reason"])
    return code


def _share(text: str) -> float:
    """`90%` as 0.9."""
    match = re.fullmatch(r"(\d{1,2}(?:\.\d{1,3})?)%", text)
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a share that answers can prove; write a percentage above 0% and "
            "below 100%, like 90%"
        )
    return float(match[1]) / 100


def _release_source(target: "Target", wanted: Release) -> "ReleaseSource | str":
    """Return where the target names its release: as configured, else the usual path.

    Raises UsageError where *wanted* can never be seen.
    """
    from pytest_prodcheck.service.release import place_of_release

    if target.start:
        raise UsageError(
            f"{target.name} is started by each run itself, so there is no deploy to wait for; "
            "name a target that is deployed"
        )
    source = target.release
    if source is None and (place := place_of_release(target)):
        return place
    if source is None:
        raise UsageError(
            f"target {target.name} has no `release`: a place that names what is deployed; write "
            f"[targets.{target.name}.release] with from, and version or commit"
        )
    if wanted.commit and not source.commit:
        raise UsageError(
            f"--commit cannot be seen: [targets.{target.name}.release] names no place of the "
            'commit; add commit = "$.…", or wait for --version'
        )
    if wanted.version and not (source.version or source.header):
        raise UsageError(
            f"--version cannot be seen: [targets.{target.name}.release] names no place of the "
            'version; add version = "$.…" or header, or wait for --commit'
        )
    return source


class _Progress:
    """One line that is rewritten at a terminal; elsewhere a line for each change."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._rewrites = sys.stdout.isatty()
        self._before = ""

    def say(self, text: str) -> None:
        if self._silent:
            return
        if self._rewrites:
            print(f"\r{text[:150]:<{min(len(self._before), 150)}}", end="", flush=True)
            self._before = text
        elif (what := re.sub(r"\d+ of \d+", "", text[8:])) != self._before:
            print(text, flush=True)
            self._before = what

    def end(self) -> None:
        if self._rewrites and self._before:
            print(flush=True)
