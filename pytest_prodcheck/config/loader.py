"""The loading of settings for a chosen target: one of the file, a URL, or the built-in demo."""

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from pytest_prodcheck import urls
from pytest_prodcheck.config import suites
from pytest_prodcheck.config.config_file import NAME, PROJECT, ConfigFile, find, read
from pytest_prodcheck.config.judging import judging
from pytest_prodcheck.config.known import known_failures
from pytest_prodcheck.config.reader import Reader
from pytest_prodcheck.config.settings import (
    Contract,
    Database,
    Drill,
    Flags,
    Settings,
    Target,
)
from pytest_prodcheck.config.target import check_targets, resolve
from pytest_prodcheck.config.validation import did_you_mean
from pytest_prodcheck.config.variables import Variables
from pytest_prodcheck.errors import UsageError

VARIABLE = "PRODCHECK_TARGET"

_DEMO = "demo"
_DEMO_FILE = Path(__file__).parent.with_name("demo") / NAME


def choose(option: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the target chosen by option or variable; None if there is neither.

    Raises UsageError if one of them is empty, or if they disagree.
    """
    sources = {"--target": option, VARIABLE: environ.get(VARIABLE)}
    given = {source: text for source, text in sources.items() if text is not None}
    for source, text in given.items():
        if not text.strip():
            raise UsageError(f"{source} is given but empty; name a target, or leave it out")
    if len(set(given.values())) > 1:
        raise UsageError(
            f"--target is {_without_password(given['--target'])}, but {VARIABLE} is "
            f"{_without_password(given[VARIABLE])}; give one of them, or the same twice"
        )
    return next(iter(given.values()), None)


def load(
    choice: str, *, root: Path, environ: Mapping[str, str], threshold: str | None = None
) -> Settings:
    """Return the settings of a run on `choice`: a target's name, a URL, `demo` or `demo:INCIDENT`.

    The search for a file begins in `root`. A URL is a read-only target; from a file it takes the
    settings of the judgement (threshold, weights, actions, required), never those of a service.
    `threshold` is the command line's. Raises UsageError before anything is sent.
    """
    file = find(root)
    if file:
        check_targets(file)
    known = list(file.contents.targets or {}) if file else []
    settings = _load(choice, file, known, environ, threshold)
    names = dict.fromkeys([*known, _DEMO, settings.target.name]) if known else ()
    return replace(settings, targets=tuple(names))


def _load(
    choice: str,
    file: ConfigFile | None,
    known: list[str],
    environ: Mapping[str, str],
    threshold: str | None,
) -> Settings:
    if _is_url(choice):
        return _ad_hoc(choice, file, threshold)
    name, colon, incident = choice.partition(":")
    if name == _DEMO and (colon or _DEMO not in known):
        if _DEMO in known:
            raise UsageError(
                f"{choice}: the target demo of {file.label if file else NAME} has no incidents; "
                f"only the built-in demo has, so rename that target"
            )
        return _demo(incident if colon else None, threshold)
    if not file or choice not in known:
        raise _unknown_target(choice, file, known)
    return _resolved(file, choice, environ, threshold)


def _is_url(choice: str) -> bool:
    return "://" in choice or choice.lower().startswith(("http:", "https:"))


def _ad_hoc(choice: str, file: ConfigFile | None, threshold: str | None) -> Settings:
    try:
        address = urls.address(choice)
    except UsageError as refusal:
        raise UsageError(f"the URL given as target {refusal}") from None
    origin = "a URL"
    for name, table in (file.contents.targets or {}).items() if file else ():
        try:
            same = urls.address(table.base_url or "").url == address.url
        except UsageError:
            continue  # it is another target's; it has a variable or {port}
        if same:
            origin = f"a URL, without the settings that --target={name} has for it"
    values, origins = judging(file, threshold)
    return Settings(
        target=Target(name=address.url, base_url=address.url),
        **values,
        origins=origins | {"target": origin},
        known=known_failures(file.path.parent) if file else (),
        file=file.path if file else None,
    )


def _demo(name: str | None, threshold: str | None) -> Settings:
    from pytest_prodcheck.demo.incidents import INCIDENTS, missing_packages

    if name is not None and name not in INCIDENTS:
        raise UsageError(
            f'the demo has no incident "{name}".{did_you_mean(name, list(INCIDENTS))} '
            f"Incidents: {', '.join(INCIDENTS)}"
        )
    incident = INCIDENTS[name] if name else None
    if missing := missing_packages(incident):
        raise UsageError(missing)
    origin = f"built in, incident {name}" if incident else "built in"
    path = _DEMO_FILE.with_name(incident.configuration) if incident else _DEMO_FILE
    file = read(path, "the built-in demo")
    settings = _resolved(file, _DEMO, {}, threshold)
    target = settings.target
    if incident:
        start = f"{target.start} --incident {incident.name}"
        target = replace(target, start=start, time_budget=incident.time_budget)
        if incident.migrations and settings.migrations:
            changed = replace(settings.migrations, folder=path.parent / incident.migrations)
            settings = replace(settings, migrations=changed)
    origins = {
        setting: "built-in demo" if source == file.label else source
        for setting, source in settings.origins.items()
    }
    for setting in ("target", "time_budget"):
        origins[setting] = origin
    return replace(settings, target=target, file=None, origins=origins)


def _unknown_target(choice: str, file: ConfigFile | None, known: list[str]) -> UsageError:
    named = dict.fromkeys([*known, _DEMO])
    hint = did_you_mean(choice, list(named))
    if not hint and re.search(r"[.:/]", choice):
        hint = " A URL begins with http:// or https://."
    if file:
        where = f"in {file.label}"
    else:
        where = f"since there is no {NAME}, and no [tool.prodcheck] in a {PROJECT}, here or above"
        hint += (
            " Write one with [targets.NAME] and its base_url, or check a URL: --target=https://…"
        )
    return UsageError(
        f"there is no target {_without_password(choice)} {where}.{hint} Targets: {', '.join(named)}"
    )


def _without_password(choice: str) -> str:
    """Return a choice in a form that may be shown: a URL can contain a password."""
    return "a URL with more than an address in it" if re.search("[@?]", choice) else f'"{choice}"'


def _resolved(
    file: ConfigFile, name: str, environ: Mapping[str, str], threshold: str | None
) -> Settings:
    variables = Variables(file, environ)
    reader = Reader(file, variables)
    target, origins = resolve(reader, name)
    values, judged_by = judging(file, threshold)
    written, contract = file.contents.flags, file.contents.contract
    flags = None if written is UNSET else suites.flags(reader, written)
    migrations = file.contents.migrations
    return Settings(
        target=target,
        **values,
        flags=flags,
        drills=_drills(reader, flags),
        contract=Contract() if contract is UNSET else suites.contract(reader, contract),
        database=_database(reader),
        migrations=None if migrations is UNSET else suites.migrations(reader, migrations, target),
        known=known_failures(file.path.parent),
        origins=origins | judged_by,
        file=file.path,
        secrets=variables.secrets,
    )


def _drills(reader: Reader, flags: Flags | None) -> tuple[Drill, ...]:
    """Return the drills; their module is imported only if there are any."""
    if not reader.file.contents.drills:
        return ()
    from pytest_prodcheck.config.drills import drills

    return drills(reader, reader.file.contents.drills, flags)


def _database(reader: Reader) -> Database | None:
    """Return the database's settings; their module is imported only if there are any."""
    if reader.file.contents.database is UNSET:
        return None
    from pytest_prodcheck.config.database import database

    return database(reader, reader.file.contents.database)
