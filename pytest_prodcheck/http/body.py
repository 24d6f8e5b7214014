"""Response bodies: strict JSON, and decompression within a size limit. Pure."""

import json
import math
import re
import zlib
from typing import Any, NoReturn

MAX_DEPTH = 200
"""Nested arrays and objects of a JSON body; far above any API, far below Python's recursion."""

EXCERPT = 16 * 1024
"""Bytes from the start of a decoded body that are kept for the record."""

BODILESS = (204, 205, 304)
"""Statuses of responses without a body (RFC 9110, 15.3.5, 15.3.6, 15.4.5)."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[{\]}]")
_STEP = 64 * 1024


_ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}
"""Old names of content codings; a recipient treats both alike (RFC 9110, 8.4.1)."""


def codings(value: str) -> list[str]:
    """Return the content codings of a Content-Encoding header, in the order they were applied.

    They are in lower case and without the old prefix; `identity` and empty elements are left out.
    """
    names = [part.strip(" \t").lower() for part in value.split(",")]
    return [_ALIASES.get(name, name) for name in names if name not in ("", "identity")]


class BadJson(ValueError):
    """The body is not JSON that every reader understands alike; the text gives the reason."""


class BadBody(ValueError):
    """The body is not encoded as its Content-Encoding says; the text gives the reason."""


class BodyOverflow(Exception):
    """The decoded body is larger than the cap."""


def strict_json(content: bytes) -> Any:
    """Return the value of a JSON body, read by RFC 8259 without its optional leniency.

    Raises BadJson for NaN and Infinity, duplicate keys, invalid UTF-8, numbers outside a
    double, nesting deeper than MAX_DEPTH, and everything that is not JSON at all.
    """
    if not content.strip():
        raise BadJson("the body is empty")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadJson(f"byte {error.start} is not valid UTF-8") from None
    _refuse_deep_nesting(content)
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_duplicates,
        )
    except json.JSONDecodeError as error:
        begins = json.dumps(text.lstrip()[:40])
        raise BadJson(
            f"{error.msg} at line {error.lineno}, column {error.colno}; the body begins {begins}"
        ) from None
    except BadJson:
        raise
    except ValueError:
        # Python refuses to convert integers of more than 4,300 digits.
        raise BadJson("it has an integer of thousands of digits") from None


def _refuse_deep_nesting(content: bytes) -> None:
    if content.count(b"[") + content.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", content)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BadJson(f"it is nested deeper than {MAX_DEPTH} levels")


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadJson(f"the number {text[:40]} is too large for a double")
    return number


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadJson(f"the key {json.dumps(name[:80])} stands twice in one object")
            seen.add(name)
    return table


class Inflation:
    """Decompression of a body piece by piece, to know its size with one step in memory at most.

    `encoding` is gzip or deflate (zlib, or bare deflate as some servers send it), `cap` the
    largest decoded size in bytes.
    """

    def __init__(self, encoding: str, cap: int) -> None:
        self._encoding = encoding
        self._cap = cap
        self._engine = None if encoding == "deflate" else zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._waiting = b""
        self.size = 0
        self.start = b""
        """The first EXCERPT bytes, decoded."""

    def feed(self, data: bytes) -> None:
        """Decompress the next bytes; raises BadBody or BodyOverflow."""
        if self._engine is None:
            data = self._waiting + data
            if len(data) < 2:
                self._waiting = data
                return
            self._engine = zlib.decompressobj(_deflate_window(data))
        if self._engine.eof and data:
            raise self._trailing()
        step = b""
        while data or len(step) == _STEP:
            try:
                step = self._engine.decompress(data, _STEP)
            except zlib.error:
                raise BadBody(f"it is not valid {self._encoding} data") from None
            self.size += len(step)
            if len(self.start) < EXCERPT:
                self.start += step[: EXCERPT - len(self.start)]
            if self.size > self._cap:
                raise BodyOverflow
            if self._engine.unused_data:
                raise self._trailing()
            data = self._engine.unconsumed_tail

    def finish(self) -> None:
        """Mark the end of the body; raises BadBody if its compressed data has not ended too."""
        if self._engine is None or not self._engine.eof:
            raise BadBody(f"its {self._encoding} data ends early")

    def _trailing(self) -> BadBody:
        # httpx would silently drop what follows.
        return BadBody(f"bytes follow the end of its {self._encoding} data")


def _deflate_window(data: bytes) -> int:
    """Return zlib's window bits for *data*: a zlib header (RFC 1950, 2.2), else bare deflate."""
    is_zlib = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
