"""`[targets.NAME]` with the targets that it extends: the chosen environment."""

import re
from collections.abc import Callable
from math import isfinite
from os.path import normpath
from typing import Any
from urllib.parse import unquote

from msgspec import UNSET

from pytest_prodcheck import urls
from pytest_prodcheck.analysis.database_urls import dialect
from pytest_prodcheck.config.config_file import ConfigFile
from pytest_prodcheck.config.probes import probes
from pytest_prodcheck.config.reader import Reader, written_or
from pytest_prodcheck.config.settings import Limits, ReleaseSource, Secret, Target
from pytest_prodcheck.config.tables import HealthTable, LimitsTable, ReleaseTable, TargetTable
from pytest_prodcheck.config.validation import Keys, did_you_mean
from pytest_prodcheck.errors import UsageError

STAND_IN = 65535
"""Port in place of `{port}` in the base URL of a service that is not started yet."""

_TARGET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def check_targets(file: ConfigFile) -> None:
    """Check names and `extends` of all targets, also of those that are not chosen."""
    for name in file.contents.targets or {}:
        if not _TARGET_NAME.fullmatch(name):
            raise file.error(
                ("targets", name),
                "is not a target's name; use letters, digits, dots, dashes and underscores",
            )
        lineage(file, name)


def lineage(file: ConfigFile, name: str) -> list[tuple[str, TargetTable]]:
    """Return the target and those it extends, nearest first; raises UsageError on a cycle."""
    targets = file.contents.targets or {}
    chain = [name]
    while extended := targets[chain[-1]].extends:
        keys = ("targets", chain[-1], "extends")
        if extended not in targets:
            raise file.error(
                keys,
                f'there is no target "{extended}".{did_you_mean(extended, list(targets))} '
                f"Targets: {', '.join(targets)}",
            )
        if extended in chain:
            circle = " -> ".join([*chain[chain.index(extended) :], extended])
            raise file.error(keys, f"the targets extend each other in a circle: {circle}; break it")
        chain.append(extended)
    return [(each, targets[each]) for each in chain]


def resolve(reader: Reader, name: str) -> tuple[Target, dict[str, str]]:
    """Return the target with everything it extends, and the origin of each key that is set."""
    chain = lineage(reader.file, name)
    own = chain[0][1]
    label = reader.file.label
    values: dict[str, Any] = {"read_only": own.read_only is not False}
    values["drills"] = own.drills or False
    origins = {key: label for key in ("read_only", "drills") if getattr(own, key) is not UNSET}
    for key, read in _READERS.items():
        for owner, table in chain:
            written = getattr(table, key)
            if written is not UNSET:
                if written != "":
                    values[key] = read(reader, written, ("targets", owner, key))
                origins[key] = label if owner == name else f"{label}, targets.{owner}"
                break
    if "base_url" not in values:
        raise reader.error(("targets", name), 'has no base_url; write base_url = "https://..."')
    values["health"], values["health_accept"] = values.get("health") or (None, ())
    values["probes"] = probes(reader, chain)
    if values["probes"]:
        origins["probes"] = label
    origins["target"] = label

    owner = next(owner for owner, table in chain if table.base_url is not UNSET)
    keys: Keys = ("targets", owner, "base_url")
    address, values["base_url"] = _check_address(
        reader, values["base_url"], values.get("start"), keys
    )
    sent = [values.get("headers", {}), *(probe.send for probe in values["probes"])]
    _check_secrecy(reader, address, sent, keys)
    values["hosts"] = _with_host_of(values.get("openapi"), values.get("hosts", ()), address)
    return Target(name=name, **values), origins


def _with_host_of(
    openapi: str | None, hosts: tuple[str, ...], own: urls.Address
) -> tuple[str, ...]:
    """Return the hosts that tests may reach, with that of an OpenAPI document elsewhere."""
    if openapi is None or not openapi.startswith(("http://", "https://")):
        return hosts
    elsewhere = urls.address(openapi.partition("?")[0])
    if elsewhere.origin == own.origin or elsewhere.authority in hosts:
        return hosts
    return (*hosts, elsewhere.authority)


def _check_address(
    reader: Reader, text: str, start: str | None, keys: Keys
) -> tuple[urls.Address, str]:
    """Return the address of a base URL, and its normalized text, which may contain {port}."""
    templated = "{port}" in text
    address = reader.checked(urls.address, text.replace("{port}", str(STAND_IN)), keys)
    if start and not address.loopback:
        raise reader.error(
            keys,
            "is not this machine, but `start` starts the service here; write "
            'http://127.0.0.1:{port}, or start = "" to switch off what is inherited',
        )
    if templated and address.port != STAND_IN:
        raise reader.error(keys, "has {port} in a wrong place; write it after the host")
    if templated and "{port}" not in (start or ""):
        raise reader.error(
            keys,
            "has {port}, but `start` does not get that port; write {port} into `start`, "
            "or a fixed port here",
        )
    if not templated and "{port}" in (start or ""):
        raise reader.error(
            keys, "has no {port}, but `start` has; write it in both, or a fixed port in both"
        )
    if templated:
        return address, address.url.replace(f":{STAND_IN}", ":{port}", 1)
    return address, address.url


def _check_secrecy(
    reader: Reader, address: urls.Address, sent: list[dict[str, str | Secret]], keys: Keys
) -> None:
    if address.scheme == "https" or address.loopback:
        return
    for secret in (value for headers in sent for value in headers.values()):
        if isinstance(secret, Secret):
            raise reader.error(
                keys,
                f"is plain http, over which others on the network could read {secret.name}; "
                f"write https://",
            )


def _openapi(reader: Reader, text: str, keys: Keys) -> str:
    text = reader.text(text, keys)
    if text.startswith("/"):
        return reader.checked(urls.path, text, keys)
    if text.startswith("file:"):
        path = unquote(text.removeprefix("file:").removeprefix("//"))
        return reader.beside(path.removeprefix("localhost") or ".", keys).as_uri()
    if "://" in text:
        place, mark, query = text.partition("?")
        address = reader.checked(urls.address, place, keys)
        rest = reader.checked(urls.path, f"/?{query}", keys) if mark else ""
        return address.url + rest.removeprefix("/")
    return reader.beside(text, keys).as_uri()


def _health(reader: Reader, written: str | HealthTable, keys: Keys) -> tuple[str, tuple[str, ...]]:
    """Return the path, and the places of its response where failures are accepted."""
    if isinstance(written, str):
        return reader.path(written, keys), ()
    accepted = tuple(written_or(written.accept, ()))
    for i, place in enumerate(accepted):
        reader.check_jsonpath(place, (*keys, "accept", i))
        if place == "$":
            raise reader.error(
                (*keys, "accept", i),
                "accepts every response, so the check could not fail; name a place, as $.cache",
            )
    return reader.path(written.path, (*keys, "path")), accepted


def _ca_bundle(reader: Reader, text: str, keys: Keys) -> str:
    return str(reader.beside(reader.text(text, keys), keys))


def _hosts(reader: Reader, texts: list[str], keys: Keys) -> tuple[str, ...]:
    return tuple(
        reader.checked(_host, reader.text(text, (*keys, i)), (*keys, i))
        for i, text in enumerate(texts)
    )


def _host(text: str) -> str:
    """Return `host`, `host:port`, or `unix:/path` of a socket; raises UsageError."""
    if not text.startswith("unix:"):
        return urls.authority(text)
    path = text.removeprefix("unix:")
    if not path.startswith("/") or normpath(path) != path:
        raise UsageError("is not the full path of a socket; write it like unix:/run/app.sock")
    return text


def _rate(reader: Reader, text: str, keys: Keys) -> float:
    count, _, unit = text.partition("/")
    rate = float(count) / (1 if unit == "s" else 60)
    if not (rate > 0 and isfinite(rate)):
        raise reader.error(keys, f"{text} is not a rate; leave it out to send without limit")
    return rate


_UNITS = {"s": 1, "min": 60, "h": 3600}
_LONGEST = 86_400


def _time_budget(reader: Reader, written: float | str, keys: Keys) -> float:
    if not isinstance(written, str):
        return written
    number = written.rstrip("sminh ")
    seconds = float(number) * _UNITS[written.removeprefix(number).strip()]
    if not 0 < seconds <= _LONGEST:
        raise reader.error(keys, f"{written} is not between 0 and 24 h; leave it out for no limit")
    return seconds


def _database(reader: Reader, text: str, keys: Keys) -> Secret:
    secret = reader.variables.url(text, keys)
    if not re.match(r"[a-z][a-z0-9+]*:/", secret.reveal()):
        raise reader.error(
            keys, "is not a database URL; write it like postgresql://user:password@host/name"
        )
    if dialect(secret.reveal()) is None:
        raise reader.error(
            keys,
            "is neither PostgreSQL nor SQLite, the only two that can reliably be opened "
            "read-only; leave it out",
        )
    return secret


def _proxy(reader: Reader, text: str, keys: Keys) -> str | Secret:
    value: str | Secret = text
    if "${" in text:
        value = reader.variables.secret(text, keys)
        text = re.sub(r"(?<=://)[^/?#@]*@", "", value.reveal())
    elif "@" in text:
        raise reader.error(keys, 'has a user name or password in it; write proxy = "${PROXY_URL}"')
    reader.checked(urls.address, text, keys)
    return value


def _limits(reader: Reader, table: LimitsTable, keys: Keys) -> Limits:
    return Limits(p95=written_or(table.p95, None), error_rate=written_or(table.error_rate, None))


def _release(reader: Reader, table: ReleaseTable, keys: Keys) -> ReleaseSource:
    version, commit, header = (
        written_or(place, None) for place in (table.version, table.commit, table.header)
    )
    if not (version or commit or header):
        raise reader.error(keys, 'names no place; write version = "$.version", commit or header')
    if version and header:
        raise reader.error(keys, "has two places for the version, `version` and `header`; keep one")
    for key, place in (("version", version), ("commit", commit)):
        if place:
            reader.check_jsonpath(place, (*keys, key))
    if header:
        reader.check_header_name(header, {}, (*keys, "header"))
    return ReleaseSource(
        path=reader.path(table.from_, (*keys, "from")),
        version=version,
        commit=commit,
        header=header,
    )


def _unchanged(reader: Reader, value: Any, keys: Keys) -> Any:
    return value


_READERS: dict[str, Callable[[Reader, Any, Keys], Any]] = {
    "base_url": Reader.text,
    "openapi": _openapi,
    "headers": Reader.sent_headers,
    "health": _health,
    "rate": _rate,
    "request_budget": _unchanged,
    "time_budget": _time_budget,
    "timeout": _unchanged,
    "concurrency": _unchanged,
    "max_body": _unchanged,
    "database": _database,
    "scratch": _database,
    "start": Reader.command,
    "start_timeout": _unchanged,
    "hosts": _hosts,
    "proxy": _proxy,
    "ca_bundle": _ca_bundle,
    "documentation": Reader.paths,
    "metrics": Reader.paths,
    "private": Reader.paths,
    "limits": _limits,
    "release": _release,
}
"""Key of a target -> reader of its value; not those of read_only, drills and probes."""
