"""The file with the settings: where it is found, how it is read, where a fault in it stands."""

import os
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pytest_prodcheck.config.tables import Contents
from pytest_prodcheck.config.validation import Keys, misfit
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Record

T = TypeVar("T")

NAME = "prodcheck.toml"
PROJECT = "pyproject.toml"
SECTION = ("tool", "prodcheck")
"""Where the settings are in a `pyproject.toml`."""


class ConfigFile(Record):
    """A file that was found and read."""

    path: Path
    label: str
    """How messages name it: from where the search began."""
    text: str
    section: Keys = ()
    """Where in the file the settings are."""
    contents: Contents = Contents()

    def error(self, keys: Keys, facts: str) -> UsageError:
        """A UsageError that names file, line and key before the facts."""
        line = line_of(self.text, self.section + keys)
        place = self.label if line is None else f"{self.label}:{line}"
        key = spell(keys or self.section)
        return UsageError(f"{place}: {key}: {facts}" if key else f"{place}: {facts}")


def find(root: Path) -> ConfigFile | None:
    """The first configuration in `root` or a folder above it; None when there is none.

    Raises UsageError for a file that cannot be read or does not fit the tables, and for a folder
    with two configurations that differ.
    """
    root = root.absolute()
    for folder in (root, *root.parents):
        # lexists: a dangling link is a fault to tell, not a reason to take a file further up
        own, project = (
            parse(path, os.path.relpath(path, root)) if os.path.lexists(path) else None
            for path in (folder / NAME, folder / PROJECT)
        )
        tool = project[1].get("tool") if project else None
        section = tool.get("prodcheck") if isinstance(tool, dict) else None
        if own and section is not None and own[1] != section:
            raise UsageError(
                f"{own[0].label}: [tool.prodcheck] of the {PROJECT} beside it says something "
                f"else; keep one of the two"
            )
        if own:
            return _fit(*own)
        if project and section is not None:
            return _fit(msgspec.structs.replace(project[0], section=SECTION), section)
    return None


def read(path: Path, label: str) -> ConfigFile:
    """The configuration in `path`, which messages call `label`. Raises UsageError."""
    return _fit(*parse(path, label))


def parse(path: Path, label: str) -> tuple[ConfigFile, dict[str, Any]]:
    """A TOML file, and what stands in it. Raises UsageError."""
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise UsageError(f"{label}: is not a file; write the settings into a file of this name")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{label}: cannot be read: {error.strerror}") from error
    if raw.startswith(b"\xef\xbb\xbf"):
        raise UsageError(f"{label}:1: begins with a byte order mark; save it as UTF-8 without one")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{label}:{line}: is not UTF-8; save it as UTF-8") from error
    file = ConfigFile(path=path, label=label, text=text)
    if path.name == PROJECT and "prodcheck" not in text:
        return file, {}  # about something else: not ours to find faults in
    try:
        # Decimal: 92.5 stays 92.5
        return file, tomllib.loads(text, parse_float=Decimal)
    except RecursionError:
        raise UsageError(f"{label}: is nested too deeply to be read; flatten it") from None
    except ValueError as error:
        raise UsageError(f"{label}:{_syntax(text, str(error))}") from error


def _syntax(text: str, message: str) -> str:
    """tomllib's message, its line in front where editors and terminals look for it."""
    facts, _, place = message.removesuffix(")").partition(" (at ")
    found = re.fullmatch(r"line (\d+), column (\d+)", place)
    if not found:
        return f"{len(text.rstrip().splitlines()) or 1}: is not TOML: {facts} at the end"
    # Of the line only the key is repeated: the value may be a secret.
    key = text.split("\n")[int(found[1]) - 1].partition("=")[0].strip()
    twice = re.match("Cannot (overwrite|declare|mutate)", facts)
    hint = f"; is {key} written twice?" if twice else ""
    return f"{found[1]}: is not TOML: {facts} (column {found[2]}){hint}"


def _fit(file: ConfigFile, data: Any) -> ConfigFile:
    return msgspec.structs.replace(file, contents=fitted(file, data, Contents))


def fitted(file: ConfigFile, data: Any, kind: type[T]) -> T:
    """What stands in the file as *kind*. Raises UsageError at the first value that does not fit."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        keys, facts = misfit(data, kind) or ((), str(error))
        raise file.error(keys, facts) from error


def spell(keys: Keys) -> str:
    """Keys as they are written in TOML: `targets.prod.probes[0].status`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", key)
            text += ("." if text else "") + (key if bare else f'"{key}"')
    return text


def line_of(text: str, keys: Keys) -> int | None:
    """The line, from 1, on which the value at `keys` begins; None when it is not there.

    tomllib keeps no positions. But the first lines of a TOML text, cut between two statements,
    are TOML too: the value begins right after the longest such piece that does not have it yet.
    """
    lines = text.split("\n")

    def has(count: int) -> bool | None:
        try:
            data: Any = tomllib.loads("\n".join(lines[:count]) + "\n")
        except ValueError:
            return None  # cut inside a statement
        for key in keys:
            try:
                data = data[key]
            except (KeyError, IndexError, TypeError):
                return False
        return True

    if not keys or not has(len(lines)):
        return None
    low, high = 0, len(lines)  # so many lines do not have it; so many have it
    while high - low > 1:
        middle = cut = (low + high) // 2
        while cut > low and has(cut) is None:
            cut -= 1
        if cut == low:  # one statement reaches from here beyond the middle
            cut = next(count for count in range(middle + 1, high + 1) if has(count) is not None)
            if has(cut):
                return low + 1
        if has(cut):
            high = cut
        else:
            low = cut
    return high
