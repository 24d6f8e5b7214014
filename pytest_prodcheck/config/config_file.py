"""The configuration file: its search, its parsing, and the place of an error in it."""

import os
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pytest_prodcheck.config.tables import Contents
from pytest_prodcheck.config.validation import Keys, first_error
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Record

T = TypeVar("T")

NAME = "prodcheck.toml"
PROJECT = "pyproject.toml"
SECTION = ("tool", "prodcheck")
"""Table of the settings in a `pyproject.toml`."""


class ConfigFile(Record):
    """A file that was found and read."""

    path: Path
    label: str
    """Its name in messages: the path from the folder where the search began."""
    text: str
    section: Keys = ()
    """Table of the settings in the file."""
    contents: Contents = Contents()

    def error(self, keys: Keys, facts: str) -> UsageError:
        """Return a UsageError with file, line and key before the facts."""
        line = line_of(self.text, self.section + keys)
        place = self.label if line is None else f"{self.label}:{line}"
        key = spell(keys or self.section)
        return UsageError(f"{place}: {key}: {facts}" if key else f"{place}: {facts}")


def find(root: Path) -> ConfigFile | None:
    """Return the first configuration in `root` or a folder above it; None if there is none.

    Raises UsageError for a file that cannot be read or is invalid, and for a folder with two
    configurations that differ.
    """
    root = root.absolute()
    for folder in (root, *root.parents):
        # lexists: a dangling link is an error to report, not a reason to search further up
        own, project = (
            parse(path, os.path.relpath(path, root)) if os.path.lexists(path) else None
            for path in (folder / NAME, folder / PROJECT)
        )
        tool = project[1].get("tool") if project else None
        section = tool.get("prodcheck") if isinstance(tool, dict) else None
        if own and section is not None and own[1] != section:
            raise UsageError(
                f"{own[0].label}: [tool.prodcheck] of the {PROJECT} beside it differs; keep one "
                f"of the two"
            )
        if own:
            return _validated(*own)
        if project and section is not None:
            return _validated(msgspec.structs.replace(project[0], section=SECTION), section)
    return None


def read(path: Path, label: str) -> ConfigFile:
    """Return the configuration in `path`, called `label` in messages; raises UsageError."""
    return _validated(*parse(path, label))


def parse(path: Path, label: str) -> tuple[ConfigFile, dict[str, Any]]:
    """Return a TOML file and its content; raises UsageError."""
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
        return file, {}  # it is about something else, so its errors are not ours
    try:
        # Decimal: 92.5 stays 92.5
        return file, tomllib.loads(text, parse_float=Decimal)
    except RecursionError:
        raise UsageError(f"{label}: is nested too deeply to be read; flatten it") from None
    except ValueError as error:
        raise UsageError(f"{label}:{_syntax(text, str(error))}") from error


def _syntax(text: str, message: str) -> str:
    """Return tomllib's message with the line in front, where editors and terminals expect it."""
    facts, _, place = message.removesuffix(")").partition(" (at ")
    found = re.fullmatch(r"line (\d+), column (\d+)", place)
    if not found:
        return f"{len(text.rstrip().splitlines()) or 1}: is not TOML: {facts} at the end"
    # Only the key of the line is repeated: the value may be a secret.
    key = text.split("\n")[int(found[1]) - 1].partition("=")[0].strip()
    twice = re.match("Cannot (overwrite|declare|mutate)", facts)
    hint = f"; is {key} written twice?" if twice else ""
    return f"{found[1]}: is not TOML: {facts} (column {found[2]}){hint}"


def _validated(file: ConfigFile, data: Any) -> ConfigFile:
    return msgspec.structs.replace(file, contents=fitted(file, data, Contents))


def fitted(file: ConfigFile, data: Any, kind: type[T]) -> T:
    """Return the content of the file as *kind*; raises UsageError for the first invalid value."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        keys, facts = first_error(data, kind) or ((), str(error))
        raise file.error(keys, facts) from error


def spell(keys: Keys) -> str:
    """Return keys as they are written in TOML: `targets.prod.probes[0].status`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", key)
            text += ("." if text else "") + (key if bare else f'"{key}"')
    return text


def line_of(text: str, keys: Keys) -> int | None:
    """Return the line, from 1, on which the value at `keys` begins; None if it is not there.

    tomllib keeps no positions. But the first lines of a TOML text, cut between two statements,
    are TOML too: the value begins right after the longest such piece that does not contain it.
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
