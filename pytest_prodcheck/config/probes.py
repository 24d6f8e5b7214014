"""`[[probes]]`: declared requests, each with the expected response."""

from msgspec import UNSET

from pytest_prodcheck.config.reader import Reader, written_or
from pytest_prodcheck.config.settings import Probe
from pytest_prodcheck.config.tables import ProbeTable, TargetTable
from pytest_prodcheck.config.validation import Keys


def probes(reader: Reader, chain: list[tuple[str, TargetTable]]) -> tuple[Probe, ...]:
    """Return the probes for all targets, then those of the targets it extends, then its own."""
    written: list[tuple[ProbeTable, Keys]] = [
        (table, ("probes", i)) for i, table in enumerate(reader.file.contents.probes or [])
    ]
    for owner, target in reversed(chain):
        for i, table in enumerate(target.probes or []):
            written.append((table, ("targets", owner, "probes", i)))
    probes: dict[str, Probe] = {}
    for table, keys in written:
        one = probe(reader, table, keys)
        if one.id in probes:
            raise reader.error(keys, f"there is another probe {one.id}; give one of them a `name`")
        probes[one.id] = one
    return tuple(probes.values())


def probe(reader: Reader, table: ProbeTable, keys: Keys) -> Probe:
    """Return one probe, from any of these places."""
    methods = [key for key in ("get", "head", "options") if getattr(table, key) is not UNSET]
    if len(methods) != 1:
        has = " and ".join(methods) or "neither get, head nor options"
        raise reader.error(keys, f'has {has}; write exactly one, as get = "/health"')
    method = methods[0]
    if method == "head":
        for key in ("json", "contains", "matches"):
            if getattr(table, key) is not UNSET:
                raise reader.error(
                    (*keys, key), "a response to HEAD has no body; write get instead of head"
                )
    path = reader.path(getattr(table, method), (*keys, method))
    name = reader.name(written_or(table.name, f"{method.upper()} {path}"), (*keys, "name"))
    statuses = written_or(table.status, [])
    contains = written_or(table.contains, None)
    return Probe(
        method=method.upper(),
        path=path,
        id=name,
        status=_statuses(reader, statuses, (*keys, "status")),
        json=table.json if table.json is UNSET else reader.json(table.json, (*keys, "json")),
        headers=reader.expected_headers(written_or(table.headers, {}), (*keys, "headers")),
        contains=contains and reader.text(contains, (*keys, "contains")),
        matches=reader.pattern(written_or(table.matches, None), (*keys, "matches")),
        within=written_or(table.within, None),
        severity=written_or(table.severity, "major"),
        tags=tuple(written_or(table.tags, [])),
        send=reader.sent_headers(written_or(table.send, {}), (*keys, "send")),
        samples=written_or(table.samples, 1),
    )


def _statuses(reader: Reader, written: int | list[int], keys: Keys) -> tuple[int, ...]:
    statuses = [written] if isinstance(written, int) else written
    for status in statuses:
        if not 200 <= status <= 599:
            raise reader.error(
                keys, f"{status} is not the status of a response; allowed are 200 to 599"
            )
    return tuple(statuses)
