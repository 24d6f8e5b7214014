"""`[[drills]]`: rehearsals of a switch and of its rollback."""

import re
import shlex

import msgspec
from msgspec import UNSET

from pytest_prodcheck.config.probes import probe
from pytest_prodcheck.config.reader import Reader, written_or
from pytest_prodcheck.config.settings import (
    Breaker,
    Drill,
    Flags,
    Probe,
    Request,
    Switch,
    Writes,
)
from pytest_prodcheck.config.tables import (
    BreakerTable,
    DrillTable,
    ProbeTable,
    SwitchTable,
    WritesTable,
)
from pytest_prodcheck.config.validation import Keys, did_you_mean

WITHIN = 30.0
"""Seconds until a switch must take effect: a platform may restart to set a variable."""

_METHODS = ("get", "post", "put", "patch", "delete")
_FUNCTION = re.compile(r"(?P<file>.+\.py)::[A-Za-z_][A-Za-z0-9_]*")


def drills(reader: Reader, tables: list[DrillTable], flags: Flags | None) -> tuple[Drill, ...]:
    """Return all drills of the file; raises UsageError for one without any way to verify it."""
    found: dict[str, Drill] = {}
    for i, table in enumerate(tables):
        drill = _drill(reader, table, flags, ("drills", i))
        if drill.name in found:
            raise reader.error(
                ("drills", i, "name"), f'there is another drill "{drill.name}"; choose another name'
            )
        found[drill.name] = drill
    return tuple(found.values())


def _drill(reader: Reader, table: DrillTable, flags: Flags | None, keys: Keys) -> Drill:
    mode = written_or(table.mode, None)
    modes = list(flags.modes) if flags else []
    if mode and mode not in modes:
        raise reader.error(
            (*keys, "mode"),
            f'"{mode}" is not a mode of [flags.modes].{did_you_mean(mode, modes)} '
            f"Modes: {', '.join(modes) or 'none'}",
        )
    if mode and flags and flags.source == "environment":
        raise reader.error(
            (*keys, "mode"),
            "is read from the environment of this machine, which no switch changes; set "
            "a path of the target in [flags], or leave it out",
        )
    probes = _probes(reader, written_or(table.probes, []), (*keys, "probes"))
    if not (mode or probes or table.breaker is not UNSET):
        raise reader.error(
            keys,
            "has nothing that shows if the switch took effect; write mode, a breaker, or "
            "[[drills.probes]] that differ while the switch is flipped",
        )
    return Drill(
        name=reader.name(table.name, (*keys, "name")),
        switch=_switch(reader, table.switch, (*keys, "switch")),
        restore=_switch(reader, table.restore, (*keys, "restore")),
        mode=mode,
        within=written_or(table.within, WITHIN),
        severity=written_or(table.severity, "critical"),
        probes=probes,
        writes=_writes(reader, table.writes, (*keys, "writes")) if table.writes else None,
        breaker=_breaker(reader, table.breaker, (*keys, "breaker")) if table.breaker else None,
    )


def _probes(reader: Reader, tables: list[ProbeTable], keys: Keys) -> tuple[Probe, ...]:
    found: dict[str, Probe] = {}
    for i, table in enumerate(tables):
        one = probe(reader, table, (*keys, i))
        if one.id in found:
            raise reader.error(
                (*keys, i), f"there is another probe {one.id} of this drill; combine them"
            )
        found[one.id] = one
    return tuple(found.values())


def _switch(reader: Reader, written: SwitchTable | str, keys: Keys) -> Switch:
    if isinstance(written, str):
        return Switch(command=_command(reader, written, keys))
    if written.call is not UNSET:
        return Switch(function=_function(reader, written, keys))
    methods = [method for method in _METHODS if getattr(written, method) is not UNSET]
    if len(methods) != 1:
        has = " and ".join(methods) or "no request"
        raise reader.error(keys, f'has {has}; write exactly one, as put = "/admin/flags"')
    method = methods[0]
    return Switch(
        request=Request(
            method=method.upper(),
            path=reader.path(getattr(written, method), (*keys, method)),
            json=UNSET if written.json is UNSET else reader.json(written.json, (*keys, "json")),
            send=reader.sent_headers(written_or(written.send, {}), (*keys, "send")),
        )
    )


def _command(reader: Reader, text: str, keys: Keys) -> str:
    try:
        words = shlex.split(reader.command(text, keys))
    except ValueError as problem:
        raise reader.error(keys, f"is not a command: {problem}") from None
    if not words:
        raise reader.error(keys, "is not a command; write one, or a request as { put = ... }")
    return text


def _function(reader: Reader, written: SwitchTable, keys: Keys) -> str:
    named = str(written.call)
    match = _FUNCTION.fullmatch(named)
    if not match:
        raise reader.error(
            (*keys, "call"), "does not name a function; write it like conftest.py::to_files"
        )
    others = [key for key in (*_METHODS, "json", "send") if getattr(written, key) is not UNSET]
    if others:
        raise reader.error(
            keys, f"has call and {', '.join(others)}; a function sends its own requests"
        )
    file = reader.beside(match["file"], (*keys, "call"))
    name = named.rpartition("::")[2]
    if not re.search(rf"\b{name}\b", file.read_text(errors="replace")):
        raise reader.error((*keys, "call"), f"there is no {name} in {match['file']}")
    return named


def _writes(reader: Reader, table: WritesTable, keys: Keys) -> Writes:
    if "{id}" not in table.read:
        raise reader.error(
            (*keys, "read"), "has no {id}; write it in place of the id of the written data"
        )
    place = written_or(table.id, "$.id")
    reader.check_jsonpath(place, (*keys, "id"))
    reader.path(table.read.replace("{id}", "1"), (*keys, "read"))
    body = reader.json(table.json, (*keys, "json"))
    if "{drill}" not in msgspec.json.encode(body).decode():
        raise reader.error(
            (*keys, "json"),
            "has no {drill} in any text; a drill needs it to recognize its own data, and "
            "deletes nothing else",
        )
    return Writes(
        request=Request(method="POST", path=reader.path(table.post, (*keys, "post")), json=body),
        read=table.read,
        id=place,
        keep=written_or(table.keep, False),
    )


def _breaker(reader: Reader, table: BreakerTable, keys: Keys) -> Breaker:
    reader.check_jsonpath(table.state, (*keys, "state"))
    return Breaker(
        path=reader.path(table.get, (*keys, "get")),
        source=reader.path(table.from_, (*keys, "from")),
        state=table.state,
        failures=table.failures,
        cooldown=table.cooldown,
    )
