"""JSON that every reader understands alike, and compressed bodies that stay bounded."""

import gzip
import zlib

import pytest

from pytest_prodcheck.http.body import (
    MAX_DEPTH,
    BadBody,
    BadJson,
    BodyOverflow,
    Inflation,
    strict_json,
)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\\u00e9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b' "text" ', "text"),
        ('{"ü": "€"}'.encode(), {"ü": "€"}),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b'"' + b"[" * 100_000 + b'"', "[" * 100_000),
        (b'["\\"[[["]', ['"[[[']),
    ],
)
def test_json_is_read(content: bytes, value: object) -> None:
    read = strict_json(content)
    assert value is None or read == value


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b"-Infinity", "-Infinity is not a JSON number"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', 'the key "c" stands twice in one object'),
        (b'{"a": "\xff"}', "byte 7 is not valid UTF-8"),
        (b"[1e400]", "the number 1e400 is too large for a double"),
        (b"-1e400", "the number -1e400 is too large for a double"),
        (b"1" * 5000, "it has an integer of thousands of digits"),
        (b"[" * 100_000, "it is nested deeper than 200 levels"),
        (b'{"a":' * 100_000, "it is nested deeper than 200 levels"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "it is nested deeper than 200 levels"),
        (
            b"{'a': 1}",
            "Expecting property name enclosed in double quotes at line 1, column 2; "
            "the body begins \"{'a': 1}\"",
        ),
    ],
)
def test_json_that_is_not_strict_is_refused_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(BadJson) as refused:
        strict_json(content)
    assert str(refused.value) == why


@pytest.mark.fault(13)
def test_a_maintenance_page_is_no_json_whatever_its_type_says() -> None:
    with pytest.raises(BadJson) as refused:
        strict_json(b"<html><h1>We will be back soon</h1></html>")
    assert str(refused.value) == (
        "Expecting value at line 1, column 1; "
        'the body begins "<html><h1>We will be back soon</h1></htm"'
    )


@pytest.mark.fault(22)
def test_a_body_cut_short_by_the_end_of_its_connection_is_no_json() -> None:
    with pytest.raises(BadJson, match=r"^Unterminated string"):
        strict_json(b'{"status": "heal')


def bare_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


ENCODED = {
    "gzip": (gzip.compress, "gzip"),
    "zlib": (zlib.compress, "deflate"),
    "bare": (bare_deflate, "deflate"),
}


@pytest.mark.parametrize("how", ENCODED)
@pytest.mark.parametrize("piece", [1, 7, 1_000_000])
def test_a_compressed_body_is_measured_in_pieces_of_any_size(how: str, piece: int) -> None:
    compress, encoding = ENCODED[how]
    plain = b"some text, " * 5000
    sent = compress(plain)
    inflation = Inflation(encoding, cap=len(plain))
    for at in range(0, len(sent), piece):
        inflation.feed(sent[at : at + piece])
    inflation.finish()
    assert inflation.size == len(plain)
    assert inflation.start == plain[: 16 * 1024]


@pytest.mark.parametrize("how", ENCODED)
def test_one_byte_over_the_cap_is_too_much(how: str) -> None:
    compress, encoding = ENCODED[how]
    inflation = Inflation(encoding, cap=199_999)
    with pytest.raises(BodyOverflow):
        inflation.feed(compress(bytes(200_000)))


@pytest.mark.parametrize("how", ENCODED)
def test_compressed_data_that_ends_early_is_said(how: str) -> None:
    compress, encoding = ENCODED[how]
    inflation = Inflation(encoding, cap=1000)
    inflation.feed(compress(b"some text")[:-5])
    with pytest.raises(BadBody, match=f"its {encoding} data ends early"):
        inflation.finish()


@pytest.mark.parametrize("piece", [1, 1000])
def test_bytes_after_compressed_data_are_said_since_httpx_would_drop_them(piece: int) -> None:
    inflation = Inflation("gzip", cap=1000)
    sent = gzip.compress(b"one") + gzip.compress(b"two")

    def feed() -> None:
        for at in range(0, len(sent), piece):
            inflation.feed(sent[at : at + piece])

    with pytest.raises(BadBody, match="bytes follow the end of its gzip data"):
        feed()


def test_what_was_never_compressed_is_said() -> None:
    with pytest.raises(BadBody, match="it is not valid gzip data"):
        Inflation("gzip", cap=1000).feed(b"plain text")
