"""YAML 1.2 on standard input becomes JSON on standard output, in a process with limits of its own.

    python yaml_process.py SECONDS MEGABYTES

A parser of YAML can be made to run for ever, to fill the memory or to crash: then it is this
process that ends. Why a document is not read is the rest of a sentence on standard error, exit 1.

PyYAML's parser (libyaml) only supplies events; what they mean is decided here, by the core schema
of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), which OpenAPI asks for. PyYAML's own
constructors follow YAML 1.1: there `on` and `NO` are booleans, `12:30` is 750. Keys are text as
they are written, as OpenAPI has it: the `200` of a response, too. Merge keys (`<<`) are not in
YAML 1.2, but documents that have anchors use them.
"""

import contextlib
import json
import math
import re
import resource
import sys
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 200
"""Levels: as of JSON (live.bodies)."""

MAX_NODES = 1_500_000
"""Keys and values, each alias counted with all that it stands for."""

MAX_TEXT = 32 * 2**20
"""Characters of all keys and values, aliases counted likewise."""

MAX_ANCHORS = 100_000

MAX_DIGITS = 4300
"""Of an integer: Python's own limit."""

MAX_TAG_DIRECTIVES = 1000
"""libyaml compares each with all others."""

_TAG = "tag:yaml.org,2002:"
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_NOT_PLAIN_TEXT = re.compile(r"[-+.0-9~]|[nN](?:ull|ULL)$|[tT](?:rue|RUE)$|[fF](?:alse|ALSE)$|$")
"""What does not match is text: most values, so that they need one look only."""
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TEXT_TAGS = frozenset(("!", *(_TAG + name for name in ("str", "binary", "timestamp"))))


class Unreadable(Exception):
    """The document is not read; the text is the rest of the sentence that says why."""


class _Merge:
    """The key `<<`, written plain."""


MERGE = _Merge()


def main() -> None:
    seconds, megabytes = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    with contextlib.suppress(ValueError, OSError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20, megabytes * 2**20))
    try:
        value = read(sys.stdin.buffer.read())
        sys.stdout.write(json.dumps(value, allow_nan=False, check_circular=False))
    except Unreadable as why:
        sys.exit(str(why))
    except RecursionError:  # aliases of aliases
        sys.exit(f"is nested more than {MAX_DEPTH} deep, aliases followed; serve it as JSON")
    except MemoryError:
        sys.exit(f"takes more than {megabytes} MB of memory to read; serve it as JSON")


def read(content: bytes) -> Any:
    """Return the value of the one document in `content`, of JSON's types. Raises Unreadable."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise Unreadable(
            "is not JSON, and PyYAML is not installed; serve it as JSON, or install PyYAML"
        ) from None
    if content.count(b"%TAG") > MAX_TAG_DIRECTIVES:
        raise Unreadable(f"has more than {MAX_TAG_DIRECTIVES:,} %TAG directives; remove them")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder()
    try:
        for event in yaml.parse(content, Loader=loader):
            builder.add(event)
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise Unreadable(f"is neither JSON nor YAML: {_syntax(problem)}") from None
    return builder.value


def _syntax(problem: Any) -> str:
    """Return the parser's message in one line."""
    mark = getattr(problem, "problem_mark", None)
    said = getattr(problem, "problem", None) or getattr(problem, "reason", None) or "not readable"
    place = f", at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{type(problem).__name__}: {said}{place}"


class _Open:
    """A sequence or mapping whose end has not come."""

    __slots__ = ("anchor", "characters", "key", "lines", "merged", "nodes", "value")

    def __init__(self, value: Any, anchor: str | None, nodes: int, characters: int) -> None:
        self.value = value
        self.anchor = anchor
        self.nodes = nodes
        self.characters = characters
        self.key: Any = None
        self.lines: dict[str, int] = {}
        self.merged: list[Any] = []


class _Builder:
    """Makes one value of the events of a document; holds no more than the limits allow."""

    def __init__(self) -> None:
        self.value: Any = None
        self._documents = 0
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        """Name -> value, and the nodes and characters in it."""
        self._nodes = self._characters = 0

    def add(self, event: Any) -> None:
        """Take in the next event. Raises Unreadable."""
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._scalar(event)
        elif kind == "MappingStartEvent":
            self._start(event, {})
        elif kind == "SequenceStartEvent":
            self._start(event, [])
        elif kind == "MappingEndEvent" or kind == "SequenceEndEvent":
            self._end(event)
        elif kind == "AliasEvent":
            self._alias(event)
        elif kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 2:
                raise _several(event)
            self._anchors.clear()

    def _scalar(self, event: Any) -> None:
        text = event.value
        self._count(event, 1, len(text))
        if self._awaits_key():
            value = MERGE if text == "<<" and event.implicit[0] else text
        else:
            value = _resolved(event, text)
        if event.anchor:
            self._name(event, event.anchor, text if value is MERGE else value, 1, len(text))
        self._put(event, value)

    def _start(self, event: Any, value: Any) -> None:
        self._count(event, 1, 0)
        allowed = (None, "!", _TAG + ("map" if type(value) is dict else "seq"))
        if event.tag not in allowed:
            raise _foreign_tag(event)
        if len(self._open) == MAX_DEPTH:
            raise Unreadable(f"is nested more than {MAX_DEPTH} deep; serve it as JSON")
        if self._awaits_key():
            raise _no_key(event)
        if event.anchor:
            self._anchors.pop(event.anchor, None)  # until its end it cannot be referred to
        self._open.append(_Open(value, event.anchor, self._nodes - 1, self._characters))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        if done.merged:
            done.value = self._with_merged(event, done)
        if done.anchor:
            nodes, characters = self._nodes - done.nodes, self._characters - done.characters
            self._name(event, done.anchor, done.value, nodes, characters)
        self._put(event, done.value)

    def _alias(self, event: Any) -> None:
        found = self._anchors.get(event.anchor)
        if found is None:
            if any(one.anchor == event.anchor for one in self._open):
                raise Unreadable(f"has the alias *{event.anchor} inside itself{_at(event)}")
            raise Unreadable(f"has the alias *{event.anchor} without an anchor{_at(event)}")
        value, nodes, characters = found
        self._count(event, nodes, characters)
        if self._awaits_key() and not isinstance(value, str):
            raise _no_key(event)
        self._put(event, value)

    def _awaits_key(self) -> bool:
        top = self._open[-1] if self._open else None
        return top is not None and top.key is None and type(top.value) is dict

    def _put(self, event: Any, value: Any) -> None:
        """Give a whole value to what is open around it."""
        if not self._open:
            if self._documents > 1:
                if value is None:
                    return  # nothing after the last `---`
                raise _several(event)
            self.value = value
            return
        top = self._open[-1]
        if type(top.value) is list:
            top.value.append(value)
        elif top.key is None:
            self._key(event, top, value)
        elif top.key is MERGE:
            top.merged.append(value)
            top.key = None
        else:
            top.value[top.key] = value
            top.key = None

    def _key(self, event: Any, top: _Open, key: Any) -> None:
        if key is not MERGE:
            if key in top.lines:
                shown = json.dumps(key[:80], ensure_ascii=False)
                raise Unreadable(
                    f"has the key {shown} twice in one mapping, at lines {top.lines[key]} and "
                    f"{_line(event)}; remove one"
                )
            top.lines[key] = _line(event)
        top.key = key

    def _with_merged(self, event: Any, done: _Open) -> dict[str, Any]:
        """Keys that are written stand before those merged; of two merged ones the first wins."""
        merged: dict[str, Any] = {}
        for source in _tables(event, done.merged):
            self._count(event, len(source), sum(map(len, source)))
            for key, value in source.items():
                merged.setdefault(key, value)
        merged.update(done.value)
        return merged

    def _name(self, event: Any, anchor: str, value: Any, nodes: int, characters: int) -> None:
        if len(self._anchors) >= MAX_ANCHORS:
            raise Unreadable(f"has more than {MAX_ANCHORS:,} anchors{_at(event)}")
        self._anchors[anchor] = value, nodes, characters

    def _count(self, event: Any, nodes: int, characters: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._nodes > MAX_NODES or self._characters > MAX_TEXT:
            what = f"{MAX_NODES:,} keys and values"
            if self._nodes <= MAX_NODES:
                what = f"{MAX_TEXT // 2**20} MB of text"
            raise Unreadable(f"has more than {what}, aliases followed{_at(event)}; serve less")


def _tables(event: Any, merged: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for source in merged:
        for each in source if isinstance(source, list) else [source]:
            if not isinstance(each, dict):
                ends = f"in the mapping that ends at line {_line(event)}"
                raise Unreadable(f"merges (`<<`) what is not a mapping, {ends}")
            yield each


def _resolved(event: Any, text: str) -> Any:
    """Return a scalar's value by the core schema. Raises Unreadable for what JSON does not have."""
    tag = event.tag
    if not event.implicit[0]:  # quoted, in a block, or tagged
        if tag is None or tag in _TEXT_TAGS or event.implicit[1]:
            return text
        return _tagged(event, tag, text)
    if tag == "!":
        return text
    if not _NOT_PLAIN_TEXT.match(text):
        return text
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    return _number(event, text)


def _tagged(event: Any, tag: str, text: str) -> Any:
    """Return the value of a scalar whose type is written: `!!int 3`."""
    if tag == f"{_TAG}null" and text in _NULL:
        return None
    if tag == f"{_TAG}bool" and text in _TRUE | _FALSE:
        return text in _TRUE
    if tag in (f"{_TAG}int", f"{_TAG}float"):
        number = _number(event, text)
        if not isinstance(number, str):
            return float(number) if tag.endswith("float") else number
    raise _foreign_tag(event)


def _number(event: Any, text: str) -> Any:
    """Return the number that the text is; else the text."""
    if len(text) <= MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OTHER_INTEGER.fullmatch(text):
            return int(text[2:], 8 if text[1] == "o" else 16)
    elif _INTEGER.fullmatch(text) or _OTHER_INTEGER.fullmatch(text):
        raise Unreadable(
            f"has an integer of thousands of digits{_at(event)}; write it as text, in quotes"
        )
    if _NOT_FINITE.fullmatch(text):
        raise Unreadable(f"has the number {text}, which JSON does not have{_at(event)}")
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text)
    if math.isinf(number):
        raise Unreadable(f"has the number {text[:40]}, too large for a double{_at(event)}")
    return number


def _foreign_tag(event: Any) -> Unreadable:
    tag = str(event.tag).replace(_TAG, "!!")[:80]
    return Unreadable(f"has the tag {tag}, for which JSON has no type{_at(event)}; remove it")


def _no_key(event: Any) -> Unreadable:
    return Unreadable(f"has a key that is not text{_at(event)}; JSON has no such keys")


def _several(event: Any) -> Unreadable:
    return Unreadable(f"holds several YAML documents{_at(event)}; serve one")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _at(event: Any) -> str:
    return f" at line {_line(event)}"


if __name__ == "__main__":
    main()
