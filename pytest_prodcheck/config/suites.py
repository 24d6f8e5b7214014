"""`[flags]`, `[contract]` and `[migrations]`: the settings of the suites."""

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import UNSET

from pytest_prodcheck.analysis import database_urls
from pytest_prodcheck.config.reader import Reader, written_or
from pytest_prodcheck.config.settings import Contract, Flags, Migrations, Target
from pytest_prodcheck.config.tables import ContractTable, FlagsTable, MigrationsTable
from pytest_prodcheck.config.validation import Keys, did_you_mean

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SAFE = ("GET", "HEAD", "OPTIONS", "*")
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY", "*")


def flags(reader: Reader, table: FlagsTable) -> Flags:
    """Return feature flags and modes; raises UsageError if two modes can apply at once."""
    environment = table.from_ == "environment"
    mode = written_or(table.mode, None)
    places: dict[Keys, str] = {("values", flag): place for flag, place in table.values.items()}
    if mode:
        places[("mode",)] = mode
    dependencies = written_or(table.dependencies, {})
    if dependencies and environment:
        raise reader.error(
            ("flags", "dependencies"),
            "is read from a response, but `from` is the environment; leave it out",
        )
    places |= {("dependencies", flag): place for flag, place in dependencies.items()}
    for keys, place in places.items():
        if not environment:
            reader.check_jsonpath(place, ("flags", *keys))
        elif not _VARIABLE_NAME.fullmatch(place):
            raise reader.error(
                ("flags", *keys), "is not a variable's name; write it like ENABLE_WRITES"
            )
    modes = written_or(table.modes, {})
    named: list[Keys] = [("modes", name, flag) for name in modes for flag in modes[name]]
    for keys in [*named, *(("dependencies", flag) for flag in dependencies)]:
        if (flag := str(keys[-1])) not in table.values:
            raise reader.error(
                ("flags", *keys),
                f"is not a flag.{did_you_mean(flag, list(table.values))} "
                f"Flags: {', '.join(table.values)}",
            )
    _check_modes_differ(reader, modes)
    return Flags(
        source="environment" if environment else reader.path(table.from_, ("flags", "from")),
        mode=mode,
        values=table.values,
        modes=modes,
        dependencies=dependencies,
    )


def _check_modes_differ(reader: Reader, modes: dict[str, dict[str, bool]]) -> None:
    names = list(modes)
    for i, name in enumerate(names):
        for other in names[:i]:
            shared = modes[name].keys() & modes[other].keys()
            if all(modes[name][flag] == modes[other][flag] for flag in shared):
                raise reader.error(
                    ("flags", "modes", name),
                    f"can apply together with {other}; add a flag in which they differ",
                )


def contract(reader: Reader, table: ContractTable) -> Contract:
    _check_methods(reader, "exclude", written_or(table.exclude, []), _METHODS)
    _check_methods(reader, "allow", written_or(table.allow, []), _SAFE)
    return Contract(
        max_examples=written_or(table.max_examples, Contract().max_examples),
        time_per_operation=written_or(table.time_per_operation, Contract().time_per_operation),
        exclude=tuple(written_or(table.exclude, [])),
        allow=tuple(written_or(table.allow, [])),
        parameters={
            name: tuple(reader.json(examples, ("contract", "parameters", name)))
            for name, examples in written_or(table.parameters, {}).items()
        },
        baseline=str(reader.beside(table.baseline, ("contract", "baseline")))
        if table.baseline
        else None,
        seed=written_or(table.seed, None),
    )


def _check_methods(
    reader: Reader, key: str, entries: Sequence[str], methods: Sequence[str]
) -> None:
    """Raise UsageError for an entry with another method; one without a method is for all."""
    for i, entry in enumerate(entries):
        method, space, path = entry.partition(" ")
        if not space or not path.startswith("/") or method in methods:
            continue
        facts = f"is not a method.{did_you_mean(method, list(methods))}"
        if method in _METHODS:
            facts = "writes, and is only sent to a target with read_only = false."
        raise reader.error(
            ("contract", key, i), f'"{method}" {facts} Allowed: {", ".join(methods)}'
        )


def migrations(reader: Reader, table: MigrationsTable, target: Target) -> Migrations:
    """Return the settings; raises UsageError for a folder without migrations or unknown names."""
    from pytest_prodcheck.analysis.migrations.flaw import RULES
    from pytest_prodcheck.analysis.migrations.layout import folder

    def found(text: str) -> tuple[Path, tuple[str, ...]]:
        one = folder(reader.file.path.parent / text)
        return one.path.resolve(), tuple(migration.name for migration in one.migrations)

    path, names = reader.checked(found, table.folder, ("migrations", "folder"))
    notices = written_or(table.notices, {})
    if names:  # only Alembic knows the names of its own
        for name in notices:
            _check_is_one_of(reader, name, names, ("migrations", "notices", name))
        if table.applied:
            _check_is_one_of(reader, table.applied, names, ("migrations", "applied"))
    for i, rule in enumerate(written_or(table.ignore, [])):
        _check_is_one_of(reader, rule, tuple(RULES), ("migrations", "ignore", i), "a rule")
    if table.seed and table.applied is UNSET and target.database is None:
        raise reader.error(
            ("migrations", "seed"),
            "fills the tables that the target has, but these are unknown: set its `database`, or "
            "its last migration as `applied`",
        )
    return Migrations(
        folder=path,
        dialect=_dialect(reader, table, target),
        limit=written_or(table.limit, Migrations(folder=path).limit),
        seed=reader.beside(table.seed, ("migrations", "seed")) if table.seed else None,
        applied=written_or(table.applied, None),
        forward_only=written_or(table.forward_only, False),
        notices={name: tuple(globs) for name, globs in notices.items()},
        ignore=tuple(written_or(table.ignore, [])),
    )


def _check_is_one_of(
    reader: Reader, name: str, names: tuple[str, ...], keys: Keys, kind: str = "a migration"
) -> None:
    if name not in names:
        near = did_you_mean(name, list(names))
        raise reader.error(keys, f'"{name}" is not {kind}.{near} There are: {", ".join(names)}')


def _dialect(reader: Reader, table: MigrationsTable, target: Target) -> database_urls.Dialect:
    """Return the dialect of the target's databases, or else that of the file."""
    dialects = {
        key: database_urls.dialect(secret.reveal())
        for key, secret in (("database", target.database), ("scratch", target.scratch))
        if secret is not None
    }
    if target.database and target.scratch:
        live, scratch = target.database.reveal(), target.scratch.reveal()
        if database_urls.same(live, scratch):
            raise reader.error(
                ("targets", target.name, "scratch"),
                "is the same database as `database`; name another server, or at least another "
                "database",
            )
    found = {each for each in dialects.values() if each}
    kinds = found or {written_or(table.dialect, "postgresql")}
    if len(kinds) > 1:
        raise reader.error(
            ("targets", target.name, "scratch"),
            f"is {dialects['scratch']}, but `database` is {dialects['database']}; name two of one "
            "kind",
        )
    (kind,) = kinds
    if table.dialect not in (UNSET, kind):
        raise reader.error(
            ("migrations", "dialect"),
            f"is {table.dialect}, but the databases of target {target.name} are {kind}; "
            "leave it out",
        )
    return kind
