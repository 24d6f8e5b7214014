"""Text from servers, tests and test ids, made harmless for every place where it is shown.

A terminal, a CI log, a spreadsheet and a Markdown renderer each obey certain characters. Here
these become visible and inert. Only colours are silently removed, and a cut is announced.
"""

import hashlib
import math
import re
from collections.abc import Callable
from typing import Any

LIMIT = 64_000
"""Characters of one text that are kept. A traceback with locals has 10,000 to 30,000."""

MAX_DEPTH = 100
"""Levels of nested data that are kept; the JSON encoders of Python stop near 1,000."""

MAX_INTEGER = 2**53 - 1
"""The largest integer that is exact in JSON readers with IEEE doubles (every browser)."""

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_REPORTER_CODES = re.compile(r"(\x1b\[[0-9;:]*m|\A\r)")
# Controls, lone surrogates, bidi overrides, and characters that .NET ignores when it compares
# strings: the agents of GitHub and Azure would obey a command with such a character in it. Emoji
# may keep their joiners and selectors.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c"
    "\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
    r"|(?<![^\x00-\x7f\s])[\u200d\ufe0e\ufe0f]"
)
# GitHub: `::name::` after any white space at the start of a line (ActionCommand.TryParseV2).
_LINE_COMMAND = re.compile(r"(\n\s*):(?=:.*::)")
# GitHub `##[`, Azure `##vso[`, TeamCity `##teamcity[`: anywhere in a line.
_COMMAND = re.compile(r"#(?=#[\w.-]*\[)")


def text(value: str, limit: int = LIMIT) -> str:
    """Return `value` without anything that a terminal or a CI log would obey, cut to `limit`.

    Control characters, bidi overrides and lone surrogates become `\\x1b` or `\\u202e`, so the
    result may be longer than `limit` by these; colours are removed; a CI command gets a backslash
    in its marker. Of a longer text the head and the tail stay, around a line that counts the rest.
    """
    if len(value) > limit:
        value = _cut(value, limit)
    if is_harmless(value):
        return value
    value = _COLOUR.sub("", value.replace("\r\n", "\n"))
    value = _UNSAFE.sub(_visible, value)
    value = _COMMAND.sub(r"#\\", value)
    return _LINE_COMMAND.sub(r"\1:\\", "\n" + value)[1:]


def printed(value: str) -> str:
    """Return a reporter's output as `text` does, but with its colours and carriage returns."""
    if is_harmless(value):
        return value
    return "".join(
        part if _REPORTER_CODES.fullmatch(part) else text(part, len(part))
        for part in _REPORTER_CODES.split(value)
    )


def is_harmless(value: str) -> bool:
    """Return True if `text` would not change `value`, apart from its length."""
    plain = value.replace("\n", "").replace("\t", "")
    if not (plain.isascii() and plain.isprintable()) and _UNSAFE.search(value):
        return False
    if "##" in value and _COMMAND.search(value):
        return False
    return not ("::" in value and _LINE_COMMAND.search("\n" + value))


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _cut(value: str, limit: int) -> str:
    notice = f"\n[... {len(value) - limit:,} of {len(value):,} characters cut here ...]\n"
    kept = max(limit - len(notice), 0)
    head, tail = kept - kept // 2, kept // 2
    return value[:head] + notice + value[len(value) - tail :]


def data(value: Any, limit: int = LIMIT) -> Any:
    """Return plain data with every text in it made harmless, fit for any strict JSON reader.

    Not-a-number, infinities and integers over 2^53 become text, and so do values of types that
    JSON does not have. `value` itself is returned when nothing in it needs a change.
    """
    texts = joined_texts(value)
    if texts is not None and len(texts) <= limit and is_harmless(texts):
        return value

    def clean(leaf: Any) -> Any:
        if isinstance(leaf, str):
            return text(leaf, limit)
        if leaf is None or isinstance(leaf, bool):
            return leaf
        if isinstance(leaf, int):
            return leaf if -MAX_INTEGER <= leaf <= MAX_INTEGER else _digits(leaf)
        if isinstance(leaf, float):
            return leaf if math.isfinite(leaf) else _NOT_FINITE[str(leaf)]
        return text(str(leaf), limit)

    return walk(value, clean)


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _digits(number: int) -> str:
    # Python refuses to write more than 4,300 decimal digits, which takes quadratic time.
    return (
        str(number) if number.bit_length() < 4096 else f"an integer of {number.bit_length()} bits"
    )


def walk(value: Any, clean: Callable[[Any], Any], depth: int = 0) -> Any:
    """Return `value` with `clean` applied to every leaf and key; the same object if none changed.

    Data deeper than `MAX_DEPTH` is replaced by a text that says so. Keys that become equal get a
    number, so that no entry is lost.
    """
    if isinstance(value, dict | list | tuple) and depth >= MAX_DEPTH:
        return f"(nested deeper than {MAX_DEPTH} levels: cut)"
    if isinstance(value, dict):
        entries: dict[Any, Any] = {}
        changed = False
        for key, entry in value.items():
            new_key, new_entry = clean(key), walk(entry, clean, depth + 1)
            changed = changed or new_key is not key or new_entry is not entry
            entries[_unused(new_key, entries)] = new_entry
        return entries if changed else value
    if isinstance(value, list | tuple):
        items = [walk(item, clean, depth + 1) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return items if isinstance(value, list) else tuple(items)
    return clean(value)


def _unused(key: Any, entries: dict[Any, Any]) -> Any:
    number, wanted = 2, key
    while key in entries:
        key, number = f"{wanted} ({number})", number + 1
    return key


def joined_texts(value: Any) -> str | None:
    """Return all texts and long numbers of plain data, each on lines of its own; None if not plain.

    One search in it is many times as fast as a search in each of the small texts of a report.
    """
    texts: list[str] = []
    return "~\n".join(texts) if _collect(value, texts, 0) else None


def _collect(value: Any, texts: list[str], depth: int) -> bool:
    if depth > MAX_DEPTH:
        return False
    kind = type(value)
    entries = value
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        texts.extend(value)
        entries = value.values()
    elif kind is not list and kind is not tuple:
        entries = (value,)
    for entry in entries:
        kind = type(entry)
        if kind is str:
            texts.append(entry)
        elif kind is dict or kind is list or kind is tuple:
            if entry and not _collect(entry, texts, depth + 1):
                return False
        elif entry is None or kind is bool:
            pass
        elif kind is int:
            if not -MAX_INTEGER <= entry <= MAX_INTEGER:
                return False
            if entry > 9_999_999 or entry < -9_999_999:
                texts.append(str(entry))
        elif kind is not float or not math.isfinite(entry):
            return False
    return True


def filename(test_id: str) -> str:
    """Return a file name for a test id: ASCII letters, digits and dashes, at most 91 characters.

    It has no dot and ends in a hash of the whole id, so it is not hidden, a path or a device
    (`CON`), and ids that differ only in case or after the cut have different names.
    """
    words = re.sub(r"[^A-Za-z0-9_]+", "-", test_id).strip("-")[:80]
    digest = hashlib.sha256(test_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{words or 'test'}-{digest[:10]}"


_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def cell(value: str) -> str:
    """Return a text as a cell of a CSV file, which a spreadsheet shows and does not compute."""
    shown = text(value)
    # Full-width signs too, which Excel takes for formulas in East Asian locales.
    risky = shown.startswith(("\t", "\n")) or shown.lstrip().startswith(_FORMULA)
    return f"'{shown}" if risky else shown


def code(value: str, limit: int = LIMIT) -> str:
    """Return a text as Markdown code, in which no mention, reference, image or HTML works.

    Nor can the text end the code. One line becomes inline code, also fit for a table cell; several
    become a fenced block, which has to start on a line of its own.
    """
    shown = text(value, limit)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    if "\n" in shown:
        fence = "`" * max(3, longest + 1)
        return f"{fence}text\n{shown}\n{fence}"
    ticks = "`" * (longest + 1)
    # In a table a bare pipe would end the cell, and with it the code.
    shown = re.sub(r"(?<!\\)((?:\\\\)*)\|", r"\1\\|", shown)
    # A renderer removes one space from either end, unless there are only spaces.
    pad = " " if shown.strip(" ") and (shown[0] in "` " or shown[-1] in "` ") else ""
    return f"{ticks}{pad}{shown or ' '}{pad}{ticks}"
