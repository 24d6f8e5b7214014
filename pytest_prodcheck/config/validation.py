"""The explanation of a validation error: the first wrong value, in the terms of the file.

msgspec's own explanation leaves out the keys of tables and suggests nothing. So msgspec decides if
a file is valid, and only for an invalid one the place is searched for here.
"""

from datetime import date
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, UnsetType

from pytest_prodcheck.config.tables import Table

Keys = tuple[str | int, ...]
"""The keys and indices of a value in the file: `("probes", 0, "status")`."""


def first_error(value: Any, kind: Any, keys: Keys = ()) -> tuple[Keys, str] | None:
    """Return the keys of the first value that does not fit its type, and the facts; else None."""
    plain, notes = _unwrapped(kind)
    origin = get_origin(plain)
    for option in get_args(plain) if origin in (Union, UnionType) else ():
        if isinstance(value, dict) and isinstance(option, type) and issubclass(option, Table):
            return _first_error_in_table(value, option, keys)
    if isinstance(value, dict) and isinstance(plain, type) and issubclass(plain, Table):
        return _first_error_in_table(value, plain, keys)
    if isinstance(value, dict) and origin is dict:
        key_kind, item_kind = get_args(plain)
        known = get_args(key_kind) if get_origin(key_kind) is Literal else ()
        for key, item in value.items():
            if known and key not in known:
                return (*keys, key), _unknown_key(key, list(known))
            if found := first_error(item, item_kind, (*keys, key)):
                return found
    if isinstance(value, list) and origin is list:
        for index, item in enumerate(value):
            if found := first_error(item, get_args(plain)[0], (*keys, index)):
                return found
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return keys, _mismatch(value, plain, notes)
    return None


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ` Did you mean "x"?`, or "" if no known word is similar."""
    from difflib import get_close_matches  # slow to import, and needed for a fault only

    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), list(by_lower), n=1)
    return f' Did you mean "{by_lower[near[0]]}"?' if near else ""


def _first_error_in_table(
    value: dict[str, Any], kind: type[Table], keys: Keys
) -> tuple[Keys, str] | None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in value:
        if key not in fields:
            return (*keys, key), _unknown_key(key, list(fields))
    for key, field in fields.items():
        if key in value:
            if found := first_error(value[key], field.type, (*keys, key)):
                return found
        elif field.required:
            return keys, f"`{key}` is missing"
    return None


def _unwrapped(kind: Any) -> tuple[Any, list[Meta]]:
    """Return a type without its notes and without `| UnsetType`, and the notes."""
    notes: list[Meta] = []
    while True:
        if get_origin(kind) is Annotated:
            notes += kind.__metadata__
            kind = get_args(kind)[0]
            continue
        if get_origin(kind) in (Union, UnionType):
            rest = [option for option in get_args(kind) if option is not UnsetType]
            if len(rest) == 1:
                kind = rest[0]
                continue
        return kind, notes


def _unknown_key(key: str, known: list[str]) -> str:
    return f"is not a key here.{did_you_mean(key, known)} Allowed: {', '.join(known)}"


def _mismatch(value: Any, kind: Any, notes: list[Meta]) -> str:
    """Return the expected and the actual value; a text is not shown, because it may be a secret."""
    if get_origin(kind) is Literal and isinstance(value, str):
        known = list(get_args(kind))
        return f'"{value}" is not allowed.{did_you_mean(value, known)} Allowed: {", ".join(known)}'
    examples = " or ".join(_toml(example) for note in notes for example in note.examples or ())
    expected = f"expected {_words(kind)}{_bounds(notes)}"
    return f"{expected}{f', as {examples}' if examples else ''}, but found {_description(value)}"


def _words(kind: Any) -> str:
    """Return a type in the terms of TOML."""
    kind, _ = _unwrapped(kind)
    if get_origin(kind) in (Union, UnionType):
        options = [option for option in get_args(kind) if option is not UnsetType]
        return " or ".join(map(_words, options))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is list:
        return "an array"
    simple = {
        str: "a text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        date: "a date",
    }
    return simple.get(kind, "a table")


def _bounds(notes: list[Meta]) -> str:
    words = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
    bounds = [
        f"{word} {getattr(note, bound):g}"
        for note in notes
        for bound, word in words.items()
        if getattr(note, bound) is not None
    ]
    return f" {' and '.join(bounds)}" if bounds else ""


def _description(value: Any) -> str:
    if isinstance(value, bool | int | Decimal):
        return str(value).lower()
    if isinstance(value, str):
        return "a text" if value else "an empty text"
    if isinstance(value, list):
        return "an array" if value else "an empty array"
    return "a table" if isinstance(value, dict) else "a date or time"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}"
    return msgspec.json.encode(value).decode()
