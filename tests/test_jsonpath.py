"""JSONPath: what the configuration accepts is what is read, and nothing else is accepted."""

from typing import Any

import pytest

from pytest_prodcheck.jsonpath import BadJsonPath, parse, value_at

BODY: dict[str, Any] = {
    "commit": "3e68e18",
    "build": {"commit": "a1", "build info": {"v": 1}, "o'clock": 2, 'say "hi"': 3},
    "build-info": {"version": "1.4.2"},
    "items": [{"id": 7}, {"id": 8}],
    "0": "zero",
    "größe": 9,
    "a.b": 10,
    "a/b\\c": 11,
    "😀": 12,
    "": 13,
    "nothing": None,
}

READ = [
    ("$", BODY),
    ("$.commit", "3e68e18"),
    ("$['commit']", "3e68e18"),
    ('$["commit"]', "3e68e18"),
    ("$.build.commit", "a1"),
    ("$['build']['commit']", "a1"),
    ("$.build['build info'].v", 1),
    ("$ .build [ 'commit' ]", "a1"),
    ("$['build']['o\\'clock']", 2),
    ('$["build"]["o\'clock"]', 2),
    ('$["build"]["say \\"hi\\""]', 3),
    ("$.build-info.version", "1.4.2"),
    ("$.items[0].id", 7),
    ("$.items[-1].id", 8),
    ("$['0']", "zero"),
    ("$.größe", 9),
    ("$['a.b']", 10),
    ("$['a\\/b\\\\c']", 11),
    ("$['\\ud83d\\ude00']", 12),
    ("$['gr\\u00f6\\u00dfe']", 9),
    ("$['']", 13),
]


@pytest.mark.parametrize(("path", "value"), READ)
def test_a_path_leads_to_its_value(path: str, value: Any) -> None:
    assert value_at(BODY, path) == value


@pytest.mark.parametrize(
    "path",
    [
        "$.gone",
        "$.commit.length",
        "$.commit[0]",
        "$.items.id",
        "$.items[2]",
        "$.items[-3]",
        "$.items['0']",
        "$[0]",
        "$.nothing.more",
        "$.Commit",
    ],
)
def test_what_is_not_there_is_none(path: str) -> None:
    assert value_at(BODY, path) is None


REFUSED = [
    ("", "it begins with $, at position 1"),
    ("commit", "it begins with $, at position 1"),
    (" $.commit", "it begins with $, at position 1"),
    ("@.commit", "it begins with $, at position 1"),
    ("$commit", "commit at position 2 is not understood"),
    ("$.", ". at position 2 is not understood"),
    ("$.a.", ". at position 4 is not understood"),
    ("$.a ", "  at position 4 is not understood"),
    ("$.0", ".0 at position 2 is not understood"),
    ("$.a b", " b at position 4 is not understood"),
    ("$.a[", "[ at position 4 is not understood"),
    ("$.a[]", "[] at position 4 is not understood"),
    ("$.a[b]", "[b] at position 4 is not understood"),
    ("$.a[01]", "[01] at position 4 is not understood"),
    ("$.a[-0]", "[-0] at position 4 is not understood"),
    ("$.a['b]", "['b] at position 4 is not understood"),
    ("$.a['b\\x']", "['b\\x'] at position 4 has an escape that RFC 9535 does not have"),
    ("$['\\\"']", "['\\\"'] at position 2 has an escape that RFC 9535 does not have"),
    ("$['\\ud83d']", "['\\ud83d'] at position 2 has an escape that RFC 9535 does not have"),
    ("$..commit", "..commit at position 2 may lead to many values"),
    ("$.*", ".* at position 2 may lead to many values"),
    ("$.items[*].id", "[*].id at position 8 may lead to many values"),
    ("$.items[0:2]", "[0:2] at position 8 may lead to many values"),
    ("$.items[:]", "[:] at position 8 may lead to many values"),
    ("$.items[0, 1]", "[0, 1] at position 8 may lead to many values"),
    ("$['a','b']", "['a','b'] at position 2 may lead to many values"),
    ("$.items[?@.id == 7]", "[?@.id == 7] at position 8 may lead to many values"),
]


@pytest.mark.parametrize(("path", "reason"), REFUSED)
def test_what_is_not_a_path_to_one_value_is_refused_with_its_place(path: str, reason: str) -> None:
    with pytest.raises(BadJsonPath) as told:
        parse(path)
    assert str(told.value) == reason
