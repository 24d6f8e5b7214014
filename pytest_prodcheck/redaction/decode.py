"""Decoding of bytes that are written as text: separated hex, lists of numbers, base64.

The decoded text is searched for secrets like any other text, also if it was compressed or encoded
once more.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Iterator

LAYERS = 3
"""Nested encodings that are decoded."""

MOST = 1_000_000
"""Bytes that are decompressed from one stretch: enough for any secret, not for a bomb."""

# Eight numbers and more, because fewer do not reveal a secret.
_NUMBERS = re.compile(r"(?<![\d.])\d{1,3}(?:(?:,|;)?\s{1,40}\d{1,3}|[,;]\d{1,3}){7,100000}(?!\d)")
_HEX = re.compile(
    r"(?:0x)?[0-9a-f]{2}(?:[:,.;_-]\s{0,40}(?:0x)?[0-9a-f]{2}){7,100000}", re.IGNORECASE
)
_SEPARATED = bytes(
    104 if chr(code) in "0123456789abcdefABCDEF" else 115 if chr(code) in ":,.;_-" else 32
    for code in range(256)
)
"""For `bytes.translate`: h for a hex digit, s for a separator of two pairs."""
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}"
    r"(?:(?:\\{1,4}[nr]|[\r\n]){1,4}[ \t]{0,40}[A-Za-z0-9+/_-]{24,}){0,10000}"
    r"(?:(?:\\{1,4}[nr]|[\r\n]){1,4}(?:[ \t]{0,40}[A-Za-z0-9+/_-]{1,76}(?==)"
    r"|[A-Za-z0-9+/_-]{1,76}(?=\s|$)))?={0,2}"
)
_BREAKS = re.compile(r"\\{1,4}[nr]|\s")
_STANDARD = str.maketrans("-_", "+/")
_LEAST = 16
"""Characters of the shortest text that is searched: eight bytes in hex, or in base64 twice."""


def decoded_stretches(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start and end of each stretch of encoded bytes, and a text it may stand for."""
    if len(text) < _LEAST:
        return
    for match in _NUMBERS.finditer(text):
        numbers = [int(number) for number in re.findall(r"\d+", match[0])]
        if max(numbers) < 256:
            yield *match.span(), _text(bytes(numbers))
    if _has_hex(text):
        for match in _HEX.finditer(text):
            digits = re.sub(r"0[xX]|[^0-9a-fA-F]", "", match[0])
            yield *match.span(), _text(bytes.fromhex(digits))
    for match in _BASE64.finditer(text):
        for inner in _from_base64(_BREAKS.sub("", match[0])):
            yield *match.span(), inner
        for line in _lines(match):  # several values, one on each line
            for inner in _from_base64(text[slice(*line)]):
                yield *line, inner


def _lines(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each line, if there are several."""
    start, end = match.span()
    breaks = list(_BREAKS.finditer(match.string, start, end))
    for found in breaks:
        yield start, found.start()
        start = found.end()
    if breaks:
        yield start, end


def _has_hex(text: str) -> bool:
    signs = text.encode("latin-1", "replace").translate(_SEPARATED)
    return b"hhshhshhshh" in signs or ("0x" in text and text.count("0x") >= 8)


def _from_base64(encoded: str) -> Iterator[str]:
    """Yield the texts it may stand for: compressed text, or text that is encoded once more.

    Secrets that are encoded once are found by `encodings.forms`. The beginning may be missing, so
    each of the four offsets is tried.
    """
    digits = encoded.rstrip("=").translate(_STANDARD)
    for cut in range(4):
        part = digits[cut:]
        try:
            raw = base64.b64decode(part[: len(part) // 4 * 4] + _rest(part))
        except binascii.Error:
            continue
        if cut == 0 and raw[:2] in (b"\x1f\x8b", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"):
            yield _text(_decompressed(raw))
        elif len(raw) >= 8 and raw.isascii():
            yield raw.decode()


def _rest(part: str) -> str:
    """Return the last group with its padding; "" for a single character, which encodes nothing."""
    over = len(part) % 4
    return part[-over:] + "=" * (4 - over) if over > 1 else ""


def _decompressed(raw: bytes) -> bytes:
    """Return as many bytes as can be decompressed, since the data may be cut off."""
    try:
        return zlib.decompressobj(wbits=47).decompress(raw, MOST)  # gzip or zlib, by the header
    except zlib.error:
        return b""


def _text(raw: bytes) -> str:
    return raw.decode("utf-8") if _is_utf8(raw) else raw.decode("latin-1")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
