"""What a test can ask for and is then run once per: `probe`, and what the suites need.

A parameter with nothing configured behind it plans nothing: a check that could only be
skipped would count as not passed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import pytest

from pytest_prodcheck.checks import mark_expressions
from pytest_prodcheck.checks.markers import wrong_arguments
from pytest_prodcheck.config import Probe, Target
from pytest_prodcheck.model import Document, Record, Release
from pytest_prodcheck.redaction.sanitize import text as neutral
from pytest_prodcheck.session.builtin_suites import SUITES
from pytest_prodcheck.store.process_lock import turn

if TYPE_CHECKING:
    from pytest_prodcheck.checks.openapi.discovery import Discovery
    from pytest_prodcheck.session.inspector import Inspector


class Unconfigured:
    """Stands for a parameter without a value until its item is dropped from the plan."""


UNCONFIGURED = Unconfigured()


class Withheld(Record):
    """Stands for a parameter whose check would prove nothing here."""

    reason: str


NOTHING_LIVE = Withheld(reason="the target serves no document that could be compared")


def generate(inspector: Inspector, metafunc: pytest.Metafunc) -> None:
    """Parametrise *metafunc* for each of our parameters that it asks for."""
    for name, values in PARAMETERS.items():
        if name in metafunc.fixturenames and not _is_the_users(metafunc, name):
            found = list(values(inspector, metafunc)) or [pytest.param(UNCONFIGURED, id="none")]
            metafunc.parametrize(name, found, indirect=name in INDIRECT)


def _is_the_users(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether the project gives *name* a meaning of its own: a fixture, or `parametrize`."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if name in (re.split(r"\s*,\s*", names) if isinstance(names, str) else names):
            return True
    # pytest has no public way to ask; without this attribute the name is taken for ours.
    fixtures = getattr(metafunc, "_arg2fixturedefs", {}).get(name, ())
    return any(fixture.func.__module__ != "pytest_prodcheck.plugin" for fixture in fixtures)


def is_configured(item: pytest.Item) -> bool:
    """Whether there is something behind each of our parameters that *item* asks for."""
    spec = getattr(item, "callspec", None)
    return spec is None or UNCONFIGURED not in spec.params.values()


def withheld(item: pytest.Item) -> str:
    """Why *item* cannot prove anything here; "" when it can."""
    spec = getattr(item, "callspec", None)
    found = [one for one in spec.params.values() if isinstance(one, Withheld)] if spec else []
    return found[0].reason if found else ""


def selected_probes(items: Iterable[pytest.Item]) -> Sequence[Probe]:
    """The probes that the collected items stand for, each once."""
    values = (getattr(item, "callspec", None) for item in items)
    probes = (spec.params.get("probe") for spec in values if spec)
    return list({probe.id: probe for probe in probes if isinstance(probe, Probe)}.values())


def _probes(inspector: Inspector, metafunc: pytest.Metafunc) -> Iterable[Any]:
    if not inspector.target.probes and not _is_wanted(inspector, metafunc):
        return []  # deriving some would ask the target
    from pytest_prodcheck.checks.probes.prober import ANSWERS

    probes = [
        pytest.param(probe, id=probe.id, marks=pytest.mark.severity(probe.severity))
        for probe in inspector.probes or (ANSWERS,)
    ]
    return [*probes, *_withheld_probes(inspector)]


def _withheld_probes(inspector: Inspector) -> Iterable[Any]:
    """What would be a derived probe if this target might be sent it."""
    from pytest_prodcheck.checks.openapi.document import withheld

    if inspector.target.probes:
        return []
    spec, allowed = document_of_probes(inspector).spec, inspector.settings.contract.allow
    found = withheld(spec, with_openapi(inspector), allowed)
    return [
        pytest.param(Withheld(reason=neutral(reason)), id=name) for name, reason in found.items()
    ]


def _health(inspector: Inspector, metafunc: pytest.Metafunc) -> Iterable[Any]:
    if not inspector.target.health and not _is_wanted(inspector, metafunc):
        return []  # looking for one would ask the target
    from pytest_prodcheck.checks.probes.health import HealthCheck

    path = inspector.described.health
    return [pytest.param(HealthCheck(inspector.described), id=path)] if path else []


def _certificate(inspector: Inspector, _: pytest.Metafunc) -> Iterable[str]:
    """The host and port whose TLS certificate there is."""
    url = urlsplit(inspector.target.base_url)
    return [f"{url.hostname}:{url.port or 443}"] if url.scheme == "https" else []


def _private_paths(inspector: Inspector, _: pytest.Metafunc) -> Iterable[Any]:
    from pytest_prodcheck.checks.probes.private import private_paths

    paths = private_paths(inspector.target)
    return [pytest.param(paths, id="paths")] if paths else []


def _limits(inspector: Inspector, _: pytest.Metafunc) -> Iterable[Any]:
    from pytest_prodcheck.checks.probes.limits import LimitRun, configured

    return [
        pytest.param(LimitRun(limit, inspector.measured), id=limit.name)
        for limit in configured(inspector.target.limits)
    ]


def _operations(inspector: Inspector, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """Each operation of the document, unless `-m` leaves the test out: it is not read in vain."""
    from pytest_prodcheck.checks.openapi.operations import matches

    if not _is_wanted(inspector, metafunc):
        return []
    if wrong := wrong_arguments(metafunc.definition, ()):
        inspector.refusals.append(wrong)
        return []
    chosen = inspector.contract.operations
    for mark in metafunc.definition.iter_markers("operations"):
        pattern = re.compile(mark.kwargs.get("regex", ""))
        for entry in mark.args:
            if chosen and not any(matches(one, entry) for one in chosen):
                name = metafunc.definition.nodeid
                inspector.plan.complain(
                    f"operations({entry!r}) on {name} means none of the operations that are tested"
                )
        chosen = tuple(
            one
            for one in chosen
            if pattern.search(one.id)
            and (not mark.args or any(matches(one, entry) for entry in mark.args))
        )
    return [
        pytest.param(
            Withheld(reason=neutral(one.withheld)) if one.withheld else one,
            id=one.id,
            marks=[pytest.mark.writes] if one.writes else [],
        )
        for one in chosen
    ]


def _workflows(inspector: Inspector, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """One for the whole document, where something can be made and asked for again."""
    if not _is_wanted(inspector, metafunc):
        return []
    chosen = [one for one in inspector.contract.operations if not one.obstacle and not one.withheld]
    makes = any(one.method in ("POST", "PUT") for one in chosen)
    leads = any("{" in one.path for one in chosen)
    return [pytest.param(tuple(chosen), id="all")] if makes and leads else []


def _compatibility(inspector: Inspector, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """The live document and an older one, where there are both."""
    if not _is_wanted(inspector, metafunc):
        return []
    older, live = inspector.contract.baseline, inspector.contract.document
    if not older or not live.spec:
        return []
    return [pytest.param(NOTHING_LIVE if live.of else (*older, live.spec), id="document")]


def _previous(inspector: Inspector, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """The live document and that of the last release that passed, where there are both."""
    if not _is_wanted(inspector, metafunc):
        return []
    good = inspector.contract.last_good
    known = [one for one in (good.newest, good.older) if one and one.spec] if good else []
    if not known:
        return []
    live = inspector.contract.document
    if not live.spec:
        return []
    if live.of:
        return [pytest.param(NOTHING_LIVE, id="document")]
    # A release that has passed before is no way back from itself.
    before = next((one for one in known if one.spec != live.spec), known[-1])
    return [pytest.param((live.spec, before.spec, before.source), id="document")]


def _flags(inspector: Inspector, _: pytest.Metafunc) -> Iterable[Any]:
    flags = inspector.settings.flags
    return [pytest.param(flags, id=flags.source)] if flags else []


def _drills(inspector: Inspector, _: pytest.Metafunc) -> Iterable[Any]:
    return [
        pytest.param(drill, id=drill.name, marks=pytest.mark.severity(drill.severity))
        for drill in inspector.settings.drills
    ]


def is_drill(item: pytest.Item) -> bool:
    """Whether it changes the target under all others."""
    return "drill" in getattr(item, "fixturenames", ())


def _database_tables(inspector: Inspector, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """Each table that the configuration expects in the target's database."""
    if inspector.database.is_expected and _is_wanted(inspector, metafunc):
        return [pytest.param(table, id=table.name) for table in inspector.database.tables]
    return []


def _database_connections(inspector: Inspector, _: pytest.Metafunc) -> Iterable[Any]:
    """SQLite has none to count."""
    from pytest_prodcheck.checks.database.connection import dialect_of

    counted = inspector.database.is_expected and dialect_of(inspector.target) == "postgresql"
    return [pytest.param(None, id="in use")] if counted else []


def _database_queries(inspector: Inspector, metafunc: pytest.Metafunc) -> Iterable[Any]:
    """Each query that the configuration declares; a run with one that writes does not begin."""
    if inspector.database.is_expected and _is_wanted(inspector, metafunc):
        return [pytest.param(name, id=name) for name in inspector.database.queries]
    return []


def _migrations(inspector: Inspector, metafunc: pytest.Metafunc) -> Iterable[str]:
    """The names of those that the target does not have yet."""
    if inspector.settings.migrations is None or not _is_wanted(inspector, metafunc):
        return []
    return inspector.rollback.pending_migrations


def _is_wanted(inspector: Inspector, metafunc: pytest.Metafunc) -> bool:
    return mark_expressions.matches(inspector.config.getoption("markexpr", ""), metafunc.definition)


WELL_KNOWN_SPEC = "/openapi.json"
"""Where FastAPI and many others serve their document; tried when none is configured."""


def derived(inspector: Inspector) -> tuple[tuple[Probe, ...], str]:
    """Probes that nobody declared, and why there are not more of them ("" when all is well)."""
    from pytest_prodcheck.checks.openapi.document import derive, out_of_reach

    document, target = document_of_probes(inspector), with_openapi(inspector)
    probes = derive(document.spec, target, inspector.settings.contract.allow)
    return probes, document.problem or out_of_reach(document.spec, target)


def document_of_probes(inspector: Inspector) -> Document:
    """The document that probes are derived from: that which is served now."""
    document = inspector.contract.document
    if not document.of:
        return document
    named = inspector.target.openapi  # what another release had may well be gone
    return Document(problem=f"{named} is not served any more" if named else "")


def with_openapi(inspector: Inspector) -> Target:
    """The target with a place of its document, be it only where many have one."""
    target = inspector.described
    return msgspec.structs.replace(target, openapi=target.openapi or WELL_KNOWN_SPEC)


def discovered(inspector: Inspector) -> Discovery:
    """What the target shows of itself: looked for once in a run."""
    from pytest_prodcheck.checks.openapi.discovery import Discovery, Explorer

    def explore() -> Discovery:
        seen = inspector.release_seen
        with inspector.connect() as client:
            explorer = Explorer(client, inspector.target)
            return explorer.explore(lambda: seen is None or seen.release() != Release())

    return msgspec.convert(once(inspector.work / "discovery.json", explore), Discovery)


def fetched(inspector: Inspector) -> Document:
    """The OpenAPI document, asked for once in a run: what the first process was given is what all
    of them work with."""
    from pytest_prodcheck.checks.openapi.discovery import is_undeclared
    from pytest_prodcheck.checks.openapi.document import NotServed, fetch_spec

    def fetch() -> Document:
        spec: dict[str, Any] | str
        if is_undeclared(inspector.target):
            found = discovered(inspector)
            if found.problem:
                return Document(problem=found.problem)
            spec = found.spec or NotServed()
        else:
            with inspector.connect() as client:
                spec = fetch_spec(client, with_openapi(inspector))
        if not isinstance(spec, str):
            return Document(spec=spec)
        last = inspector.contract.last_good if isinstance(spec, NotServed) else None
        if last and last.newest.spec:
            return Document(spec=last.newest.spec, of=last.newest.source)
        return Document(problem=str(spec) if inspector.target.openapi else "")

    return msgspec.convert(once(inspector.work / "openapi.json", fetch), Document)


def drop_stand_in(inspector: Inspector, items: list[pytest.Item]) -> None:
    """Whether the target answers at all is a check only where there is no other about it; such a
    run proves next to nothing, and the plan says so."""
    from pytest_prodcheck.checks.probes.prober import ANSWERS

    stand_ins = [item for item in items if _value(item, "probe") is ANSWERS]
    if not stand_ins:
        return
    if any(_is_about_the_service(inspector, item) for item in items if item not in stand_ins):
        items[:] = [item for item in items if item not in stand_ins]
    else:
        inspector.plan.complain(NOTHING_DECLARED)
        inspector.plan.complain(_how_to_declare(inspector.target))


def _is_about_the_service(inspector: Inspector, item: pytest.Item) -> bool:
    """Whether a check counts in this run, and would not be the same for any other service."""
    planned = inspector.plan.planned(item)
    asks_for = getattr(item, "fixturenames", ())
    generic = item.path.is_relative_to(SUITES) and GENERIC.intersection(asks_for)
    return bool(
        planned.category
        and planned.permitted
        and not generic
        and is_configured(item)
        and inspector.plan.is_wanted(item)
    )


GENERIC = frozenset(("certificate", "limit", "private_paths"))
"""Parameters of ready-made checks that know nothing of the service."""

NOTHING_DECLARED = (
    "nothing about this service is declared, and nothing was found at the usual places"
)


def _how_to_declare(target: Target) -> str:
    """How to get more than that it answers."""
    if "://" not in target.name:
        return f'more: write health = "/health" into [targets.{target.name}], or [[probes]]'
    return (
        "more: write prodcheck.toml, [targets.prod] with "
        f'base_url = "{target.base_url}" and health = "/health", then --target=prod'
    )


def _value(item: pytest.Item, name: str) -> Any:
    spec = getattr(item, "callspec", None)
    return spec.params.get(name) if spec else None


def once(path: Path, make: Callable[[], Any]) -> Any:
    """Plain data that *make* returns: the first process of the run asks, the others read."""
    with turn(path):
        if not path.exists():
            path.write_bytes(msgspec.json.encode(make()))
        return msgspec.json.decode(path.read_bytes())


PARAMETERS: dict[str, Callable[[Inspector, pytest.Metafunc], Iterable[Any]]] = {
    "probe": _probes,
    "health": _health,
    "certificate": _certificate,
    "documentation": lambda inspector, _: inspector.target.documentation,
    "metrics_page": lambda inspector, _: inspector.target.metrics,
    "private_paths": _private_paths,
    "limit": _limits,
    "operation": _operations,
    "workflows": _workflows,
    "compatibility": _compatibility,
    "previous": _previous,
    "flags": _flags,
    "drill": _drills,
    "database_table": _database_tables,
    "database_connections": _database_connections,
    "database_query": _database_queries,
    "migration": _migrations,
}
INDIRECT = (
    *("probe", "operation", "workflows", "compatibility", "previous", "flags", "drill"),
    *("database_table", "database_connections", "database_query", "migration"),
)
