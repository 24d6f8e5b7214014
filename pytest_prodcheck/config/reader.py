"""The reading of single values: variables filled in, checked, and refused with their place."""

import os
import re
from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from msgspec import UNSET

from pytest_prodcheck import jsonpath, urls
from pytest_prodcheck.config.config_file import ConfigFile
from pytest_prodcheck.config.settings import Secret
from pytest_prodcheck.config.validation import Keys
from pytest_prodcheck.config.variables import Variables
from pytest_prodcheck.errors import UsageError

T = TypeVar("T")

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_FRAMING = frozenset(("connection", "content-length", "te", "transfer-encoding", "upgrade"))


def written_or(written: Any, default: Any) -> Any:
    """Return the value in the file, or the default if it is UNSET."""
    return default if written is UNSET else written


class Reader:
    """A reader of one file's values for a run; each method raises UsageError with file and key."""

    def __init__(self, file: ConfigFile, variables: Variables) -> None:
        self.file = file
        self.variables = variables

    def error(self, keys: Keys, facts: str) -> UsageError:
        """Return a UsageError with file, line and key before the facts."""
        return self.file.error(keys, facts)

    def text(self, text: str, keys: Keys) -> str:
        """Return the text with its variables filled in."""
        return self.variables.text(text, keys)

    def checked(self, check: Callable[[str], T], text: str, keys: Keys) -> T:
        """Return the result of `check` for the text; its refusal gets file, line and key."""
        try:
            return check(text)
        except UsageError as refusal:
            raise self.error(keys, str(refusal)) from None

    def path(self, text: str, keys: Keys) -> str:
        return self.checked(urls.path, self.text(text, keys), keys)

    def command(self, text: str, keys: Keys) -> str:
        """Return a command line, which runs without a shell and is shown in the report."""
        if "${" in text:
            raise self.error(
                keys,
                "has a variable, which the report would show; the command inherits the "
                "environment, so let it read the variable itself",
            )
        return text

    def name(self, text: str, keys: Keys) -> str:
        """Return a name for an id, which is part of a line of a report."""
        if not text.isprintable() or text != text.strip():
            raise self.error(keys, "is not a name for a line of a report; write printable text")
        return text

    def paths(self, texts: list[str], keys: Keys) -> tuple[str, ...]:
        return tuple(self.path(text, (*keys, i)) for i, text in enumerate(texts))

    def beside(self, text: str, keys: Keys) -> Path:
        """Return the path of a file, relative to the folder of the configuration."""
        path = self.file.path.parent / text
        if not os.path.isfile(path):  # False for an impossible name too
            raise self.error(
                keys, f"there is no file {text} beside {self.file.path.name}; correct the path"
            )
        return path.resolve()

    def sent_headers(self, table: dict[str, str], keys: Keys) -> dict[str, str | Secret]:
        sent: dict[str, str | Secret] = {}
        for name, text in table.items():
            here = (*keys, name)
            self.check_header_name(name, table, here)
            if name.lower() in _FRAMING:
                raise self.error(
                    here, "belongs to the connection, not to the configuration; leave it out"
                )
            value = self.variables.header(name, text, here)
            if not _HEADER_VALUE.fullmatch(value.reveal() if isinstance(value, Secret) else value):
                raise self.error(
                    here,
                    "has a line break, control or non-ASCII character, which no header may have",
                )
            sent[name] = value
        return sent

    def check_header_name(self, name: str, table: dict[str, str], keys: Keys) -> None:
        if not _HEADER_NAME.fullmatch(name):
            raise self.error(keys, "is not a header's name")
        if sum(other.lower() == name.lower() for other in table) > 1:
            raise self.error(keys, "is written twice, in different case; keep one")

    def expected_headers(self, table: dict[str, str], keys: Keys) -> dict[str, str]:
        for name in table:
            self.check_header_name(name, table, (*keys, name))
        return {name: self.text(text, (*keys, name)) for name, text in table.items()}

    def pattern(self, text: str | None, keys: Keys) -> str | None:
        if text is None:
            return None
        if "${" in text:
            raise self.error(
                keys, "has ${, and a regular expression takes no variables; use `contains`"
            )
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise self.error(keys, f"is not a regular expression: {error}") from None
        return text

    def json(self, value: Any, keys: Keys) -> Any:
        """Return a value of TOML as JSON, with variables in texts filled in."""
        if isinstance(value, dict):
            return {key: self.json(item, (*keys, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.json(item, (*keys, i)) for i, item in enumerate(value)]
        if isinstance(value, str):
            return self.text(value, keys)
        if isinstance(value, Decimal) and isfinite(float(value)):
            return float(value)
        if isinstance(value, bool | int):
            return value
        what = "a number that is not finite" if isinstance(value, Decimal) else "a date or time"
        raise self.error(keys, f"is {what}, which JSON does not have; write it as a text")

    def check_jsonpath(self, text: str, keys: Keys) -> None:
        """Raise UsageError if the text is not a JSONPath to one value."""
        try:
            jsonpath.parse(text)
        except jsonpath.BadJsonPath as problem:
            raise self.error(
                keys,
                f"is not a path into JSON: {problem}; write it like $.build.version, "
                "$['build info'] or $.items[0]",
            ) from None
