"""`[flags]` and `[contract]`: what the rollback and the contract suite are told."""

import re

from pytest_prodcheck.config.misfit import Keys, did_you_mean
from pytest_prodcheck.config.reader import Reader, written_or
from pytest_prodcheck.config.settings import Contract, Flags
from pytest_prodcheck.config.tables import ContractTable, FlagsTable

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "*")


def flags(reader: Reader, table: FlagsTable) -> Flags:
    """Feature flags and modes. Raises UsageError when two modes can hold at once."""
    environment = table.from_ == "environment"
    mode = written_or(table.mode, None)
    places: dict[Keys, str] = {("values", flag): place for flag, place in table.values.items()}
    if mode:
        places[("mode",)] = mode
    dependencies = written_or(table.dependencies, {})
    if dependencies and environment:
        raise reader.error(
            ("flags", "dependencies"),
            "is told by an answer, and `from` is the environment; leave it out",
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
                    f"can hold together with {other}; name a flag in which they differ",
                )


def contract(reader: Reader, table: ContractTable) -> Contract:
    for i, entry in enumerate(written_or(table.exclude, [])):
        method, space, path = entry.partition(" ")
        if space and path.startswith("/") and method not in _METHODS:
            raise reader.error(
                ("contract", "exclude", i),
                f'"{method}" is not a method.{did_you_mean(method, list(_METHODS))} '
                f"Allowed: {', '.join(_METHODS)}",
            )
    return Contract(
        max_examples=written_or(table.max_examples, Contract().max_examples),
        time_per_operation=written_or(table.time_per_operation, Contract().time_per_operation),
        exclude=tuple(written_or(table.exclude, [])),
        parameters={
            name: tuple(reader.json(examples, ("contract", "parameters", name)))
            for name, examples in written_or(table.parameters, {}).items()
        },
        baseline=str(reader.beside(table.baseline, ("contract", "baseline")))
        if table.baseline
        else None,
        seed=written_or(table.seed, None),
    )
