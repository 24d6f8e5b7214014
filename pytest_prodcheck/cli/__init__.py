"""The `prodcheck` command: what happens before and after a run."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_prodcheck.errors import ProdcheckError, UsageError
from pytest_prodcheck.model import Release, Run, Verdict
from pytest_prodcheck.verdict.judge import (
    EXIT_BY_RULING,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
)

if TYPE_CHECKING:
    from pytest_prodcheck.config import ReleaseSource, Target


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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="prodcheck", description="Before and after a run of checks.")
    commands = parser.add_subparsers(title="commands", required=True, parser_class=_Parser)

    wait = commands.add_parser("wait", help="block until a release is live")
    wait.add_argument("target", metavar="TARGET", help="a target of the configuration")
    wait.add_argument("--commit", metavar="SHA", help="the commit that must be live")
    wait.add_argument("--version", metavar="V", help="the version that must be live")
    wait.add_argument(
        "--timeout",
        type=_span,
        default=timedelta(minutes=10),
        metavar="SPAN",
        help="how long at most: 90s, 10m (default: 10m)",
    )
    wait.add_argument(
        "--share",
        type=_share,
        default="90%",
        metavar="PERCENT",
        help="the share of answers that must be proven to come from it (default: 90%%)",
    )
    wait.add_argument("--json", action="store_true", help="print one line of JSON")
    wait.set_defaults(command=_wait)

    gate = commands.add_parser("gate", help="re-read a verdict and exit by it")
    gate.add_argument(
        "run", type=Path, nargs="?", metavar="RUN", default=Path("prodcheck-report/latest")
    )
    gate.add_argument("--target", help="the verdict must be about this target")
    gate.add_argument("--commit", help="the verdict must be about this commit")
    gate.add_argument(
        "--max-age",
        type=_span,
        default=timedelta(hours=1),
        help="how old the run may be: 30s, 10m, 2h, 1d (default: 1h)",
    )
    gate.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="CATEGORY>=N",
        help="so many checks of a category must have passed, for instance smoke>=10",
    )
    gate.add_argument(
        "--after-rollback",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="BAD",
        help="RUN must show that the rollback from the release of run BAD has helped "
        "(default: the last run that said roll back)",
    )
    gate.add_argument(
        "--no-journal",
        dest="by_journal",
        action="store_false",
        help="take verdict.json without the journal that it is judged from again",
    )
    gate.add_argument("--json", action="store_true", help="print one line of JSON")
    gate.set_defaults(command=_gate)

    merge = commands.add_parser("merge", help="make one run of several shards or vantages")
    merge.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    merge.add_argument("--output", type=Path, required=True, metavar="DIR")
    merge.add_argument("--json", action="store_true", help="print the verdict as JSON")
    merge.set_defaults(command=_merge)

    recover = commands.add_parser("recover", help="render what a killed run had")
    recover.add_argument("run", type=Path, metavar="RUN")
    recover.add_argument("--json", action="store_true", help="print the verdict as JSON")
    recover.set_defaults(command=_recover)

    known = commands.add_parser("known", help="accept the contract failures of a run for a while")
    known.add_argument("--add", type=Path, required=True, metavar="RUN")
    known.add_argument(
        "--reason", default="there before the gate was", help="why they are accepted"
    )
    known.add_argument(
        "--for",
        dest="span",
        type=_span,
        default=timedelta(days=90),
        metavar="SPAN",
        help="how long: 30d (default: 90d)",
    )
    known.set_defaults(command=_known)

    drill = commands.add_parser("drill", help="finish drills that a killed run has begun")
    acts = drill.add_subparsers(title="commands", required=True, parser_class=_Parser)
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
    restore.set_defaults(command=_restore)
    init = commands.add_parser("init", help="write what a run needs, by looking at a live target")
    init.add_argument("target", nargs="?", metavar="TARGET", help="default: PRODCHECK_TARGET")
    init.add_argument(
        "--database",
        action="store_true",
        required=True,
        help="record the tables of the target's database into schema.toml",
    )
    init.add_argument(
        "--schema",
        action="append",
        default=[],
        metavar="NAME",
        help="record this schema of the database too, beside the default one",
    )
    init.add_argument("--force", action="store_true", help="overwrite schema.toml")
    init.set_defaults(command=_init)

    demo = commands.add_parser("demo", help="list the incidents of the demo")
    demo.add_argument("--json", action="store_true", help="print them as JSON")
    demo.set_defaults(command=_demo)
    return parser


def _span(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time span; write it like 30m or 2h")
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    return timedelta(**{units[match[2]]: int(match[1])})


def _share(text: str) -> float:
    """`90%` as 0.9."""
    match = re.fullmatch(r"(\d{1,2}(?:\.\d{1,3})?)%", text)
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a share that answers can prove; write a percentage above 0% and "
            "below 100%, like 90%"
        )
    return float(match[1]) / 100


def _wait(options: argparse.Namespace) -> int:
    from pytest_prodcheck.config import load
    from pytest_prodcheck.service.rollout import Answer, ask, record, wait
    from pytest_prodcheck.service.standalone import alone

    wanted = Release(version=options.version, commit=options.commit)
    if not (wanted.version or wanted.commit):
        raise UsageError("wait for what? Give --commit SHA, --version V, or both")
    settings = load(options.target, root=Path.cwd(), environ=os.environ)
    source = _release_source(settings.target, wanted)
    progress = _Progress(silent=options.json)
    with alone(options.target, root=Path.cwd()) as there:

        def question() -> Answer:
            with there.connect_anew() as client:
                return ask(client, source)

        def say(text: str) -> None:
            progress.say(there.clean(text))

        seconds = options.timeout.total_seconds()
        outcome = wait(question, wanted, options.share, seconds=seconds, say=say)
        progress.end()
        found = record(outcome, wanted)
        found["reason"] = there.clean(found["reason"])
    code = EXIT_BY_RULING["pass" if outcome.live else "inconclusive"]
    _print(found | {"exit_code": code} if options.json else found["reason"])
    return code


def _release_source(target: "Target", wanted: Release) -> "ReleaseSource | str":
    """Where the target says its release: as configured, else the path that usually does. Raises
    UsageError where *wanted* can never be seen."""
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
            f"target {target.name} does not say where it tells its release; write "
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


def _gate(options: argparse.Namespace) -> int:
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
    told = {"exit_code": code, "verdict": sentence.partition(":")[0], "reason": sentence}
    _print(told if options.json else sentence)
    return code


def _merge(options: argparse.Namespace) -> int:
    from pytest_prodcheck.store.journal import Journal
    from pytest_prodcheck.store.last_good import remember
    from pytest_prodcheck.store.merge import by_vantage, merge
    from pytest_prodcheck.store.run_directory import Folder

    journals = [_entries(run) for run in options.runs]
    output = options.output.resolve()
    entries = merge(journals, output.name)
    folder = Folder.at(output)
    journal = Journal(folder.path / "journal.jsonl")
    for entry in entries:
        journal.write(**entry)
    journal.close()
    if journal.failure:
        raise journal.failure
    run, verdict = _replayed(entries, folder, options, "finished")
    if verdict.decision == "promote":
        remember(output.parent, run, by_vantage(run, journals), {})
    return verdict.exit_code


def _recover(options: argparse.Namespace) -> int:
    from pytest_prodcheck.store.merge import drills_left, never_judged, unfinished
    from pytest_prodcheck.store.run_directory import Folder

    entries = _entries(options.run)
    killed = unfinished(entries) or never_judged(options.run)
    problems = [*killed, *drills_left(options.run)]
    entries += [{"kind": "problem", **msgspec.to_builtins(p)} for p in problems]
    folder = Folder(options.run.resolve())
    _, verdict = _replayed(entries, folder, options, "recovered" if killed else "finished")
    return verdict.exit_code


def _replayed(
    entries: list[Any], folder: Any, options: argparse.Namespace, state: Any
) -> tuple[Run, Verdict]:
    """Write the outputs of *entries* into *folder*, and print what was asked for."""
    from pytest_prodcheck.report import terminal
    from pytest_prodcheck.report.verdict_json import document
    from pytest_prodcheck.session.replay import replay

    run, verdict = replay(entries, folder, state)
    if options.json:
        _print(document(run, verdict))
    else:
        for line, _ in terminal.summary(
            run, verdict, folder=str(folder.path), width=terminal.UNLIMITED
        ):
            print(line)
    return run, verdict


def _entries(run: Path) -> list[dict[str, Any]]:
    from pytest_prodcheck.store.journal import fold, read

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


def _known(options: argparse.Namespace) -> int:
    from pytest_prodcheck.config.config_file import find
    from pytest_prodcheck.config.known import known_failures
    from pytest_prodcheck.store.journal import fold
    from pytest_prodcheck.verdict.known_failures import NAME, entries_for, written

    run = fold(_entries(options.add))
    file = find(Path.cwd())
    folder = file.path.parent if file else Path.cwd()
    existing = known_failures(folder)
    today = datetime.now(UTC).date()
    expires = today + options.span
    entries = entries_for(run.checks, existing, options.reason, expires, today)
    path = folder / NAME
    if entries:
        with path.open("a", encoding="utf-8") as sink:
            sink.write(("\n" if existing else "") + written(entries))
    noun = "entry" if len(entries) == 1 else "entries"
    print(f"{len(entries)} {noun} added to {path}, accepted until {expires}")
    return 0


def _restore(options: argparse.Namespace) -> int:
    from pytest_prodcheck.checks.drills.undoing import finish_all

    undone = finish_all(options.reports)
    if options.json:
        _print([msgspec.to_builtins(one) for one in undone])
    elif not undone:
        print(f"no drill below {options.reports} has left anything")
    else:
        for one in undone:
            print(f"{one.drill} on {one.target}: {'; '.join(one.left) or 'as it was before'}")
    return EXIT_BY_RULING["fail" if any(one.left for one in undone) else "pass"]


def _init(options: argparse.Namespace) -> int:
    from pytest_prodcheck.checks.database.recording import record
    from pytest_prodcheck.config import choose, load

    choice = choose(options.target, os.environ)
    if choice is None:
        raise UsageError("which target? name it, as in `prodcheck init --database prod`")
    settings = load(choice, root=Path.cwd(), environ=os.environ)
    for line in record(settings, options.schema, overwrite=options.force):
        print(line)
    return 0


def _demo(options: argparse.Namespace) -> int:
    from pytest_prodcheck.demo.incidents import INCIDENTS

    if options.json:
        _print([msgspec.to_builtins(_told(incident)) for incident in INCIDENTS.values()])
        return 0
    for incident in INCIDENTS.values():
        print(f"demo:{incident.name:<18} {incident.title}")
        print(f"{'':23} {incident.document}, {incident.fact}; named by {incident.rule}")
    return 0


def _told(incident: Any) -> dict[str, str]:
    return {name: getattr(incident, name) for name in ("name", "title", "document", "fact", "rule")}


def _print(told: Any) -> None:
    print(told if isinstance(told, str) else msgspec.json.encode(told).decode())


if __name__ == "__main__":
    sys.exit(main())
