"""OpenAPI documents in YAML, by the rules of YAML 1.2: what generators and people write."""

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_prodcheck.checks.openapi import document, yaml_process
from pytest_prodcheck.checks.openapi.document import spec_from_file
from pytest_prodcheck.checks.openapi.yaml_process import Unreadable

HEAD = "openapi: 3.0.3\npaths: {/x: {get: {responses: {200: {description: d}}}}}\n"


def read(text: str) -> Any:
    return yaml_process.read(text.encode())


def spec(tmp_path: Path, text: str | bytes) -> Any:
    path = tmp_path / "openapi.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return spec_from_file(str(path))


# --- scalars: section 10.3.2 of YAML 1.2.2

SCALARS = [
    # Booleans of YAML 1.1: enums of switches, countries and answers
    *((word, word) for word in ("on", "off", "On", "OFF", "NO", "no", "yes", "Y", "y", "n")),
    ("true", True),
    ("False", False),
    ("tRUE", "tRUE"),
    # numbers to the base of 60 and dates of YAML 1.1: examples of times
    ("12:30", "12:30"),
    ("12:30:45", "12:30:45"),
    ("2020-01-02", "2020-01-02"),
    ("2020-99-99", "2020-99-99"),
    ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z"),
    # integers
    ("012", 12),
    ("0o17", 15),
    ("0x1F", 31),
    ("+1", 1),
    ("-0", 0),
    ("1_000", "1_000"),
    ("0b1", "0b1"),
    ("9007199254740993", 9007199254740993),
    # floats
    ("1e3", 1000.0),
    ("1.", 1.0),
    (".5", 0.5),
    ("-1.5E-2", -0.015),
    ("1.2.3", "1.2.3"),
    ("1-2", "1-2"),
    # null
    ("null", None),
    ("~", None),
    ("", None),
    ("nULL", "nULL"),
    # text that looks like something else
    ("=", "="),
    ("'on'", "on"),
    ('"12"', "12"),
    ("'null'", "null"),
    ("!!str 12", "12"),
    ("! 12", "12"),
    ('!!int "3"', 3),
    ("!!float 3", 3.0),
    ("!!bool true", True),
    ('!!null ""', None),
    ("!!binary aGk=", "aGk="),
    ("!!timestamp 2020-01-02", "2020-01-02"),
    ('"a\\tb\tc"', "a\tb\tc"),
    ("😀", "😀"),
    ("a  # a comment", "a"),
    ("http://x/#y", "http://x/#y"),
]


@pytest.mark.parametrize(("written", "meant"), SCALARS)
def test_a_scalar_means_what_the_core_schema_says(written: str, meant: Any) -> None:
    found = read(f"x: {written}\n")["x"]
    assert (found, type(found)) == (meant, type(meant))


@pytest.mark.parametrize(
    "key", ["on", "NO", "200", "012", "1.10", "12:30", "2020-01-02", "null", "~", "true", "0x1F"]
)
def test_a_key_is_the_text_that_is_written(key: str) -> None:
    assert read(f"{key}: 1\n") == {key: 1}


# --- structure

DOCUMENTS = {
    "airflow: a list anchored and used again": (
        "a: &limits [1, 2]\nb: *limits\n",
        {"a": [1, 2], "b": [1, 2]},
    ),
    "zalando: a mapping merged, its own key first": (
        "base: &base {a: 1, b: 2}\nx:\n  b: 3\n  <<: *base\n",
        {"base": {"a": 1, "b": 2}, "x": {"a": 1, "b": 3}},
    ),
    "docker compose: two mappings merged, the first wins": (
        "p: &p {a: 1}\nq: &q {a: 2, c: 3}\nx: {<<: [*p, *q]}\n",
        {"p": {"a": 1}, "q": {"a": 2, "c": 3}, "x": {"a": 1, "c": 3}},
    ),
    "a merge of what was merged": (
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}\n",
        {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 2}},
    ),
    "a quoted merge key is a key": ("x: {'<<': 1}\n", {"x": {"<<": 1}}),
    "an anchor defined again": ("a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
    "an alias as a key": ("a: &k name\nb: {*k : 1}\n", {"a": "name", "b": {"name": 1}}),
    "stoplight: block scalars": (
        "a: |\n  one\n\ttab\n".replace("\n\t", "\n  \t") + "b: >-\n  x\n  y\n\n  z\nc: |+\n  q\n\n",
        {"a": "one\n\ttab\n", "b": "x y\nz", "c": "q\n\n"},
    ),
    "redocly: comments everywhere": ("# a\na: # b\n  - 1 # c\n# d\n", {"a": [1]}),
    "swagger editor: flow style": (
        "{a: http://x:80/y, b?c: d, 'q':1, l: [1, 2,], }",
        {"a": "http://x:80/y", "b?c": "d", "q": 1, "l": [1, 2]},
    ),
    "keys of several lines": ('? a\n  b\n: c\n? "k\n  l"\n: m\n', {"a b": "c", "k l": "m"}),
    "windows: line ends and a byte order mark": (
        "\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n",
        {"a": 1, "b": "x\ny\n"},
    ),
    "a directive and an end": ("%YAML 1.2\n---\na: on\n...\n", {"a": "on"}),
    "a directive of 1.1": ("%YAML 1.1\n---\na: on\n", {"a": "on"}),
    "an empty document at the end": ("a: 1\n---\n", {"a": 1}),
    "tabs between": ("k:\tv\nl:\n  - a\t\n", {"k": "v", "l": ["a"]}),
    "a list of lists": ("- a\n- - b\n  - c\n", ["a", ["b", "c"]]),
    "openapi generator: a slash escaped as in JSON": ('a: "x\\/y"\n', {"a": "x/y"}),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_read_as_it_is_meant(name: str) -> None:
    text, meant = DOCUMENTS[name]
    assert read(text) == meant


REFUSED = {
    "a key twice": ("a: 1\nb: 2\na: 3\n", 'has the key "a" twice in one mapping, at lines 1 and 3'),
    "a status twice": ("200: 1\n'200': 2\n", 'has the key "200" twice in one mapping'),
    "a key merged twice": ("a: &a {b: 1}\nc: {<<: 1}\n", "merges (`<<`) what is not a mapping"),
    "a list as a key": ("[a]: 1\n", "has a key that is not text at line 1"),
    "an alias of a mapping as a key": ("a: &a {}\nb: {*a : 1}\n", "has a key that is not text"),
    "an alias of nothing": ("a: *b\n", "has the alias *b without an anchor at line 1"),
    "an alias inside itself": ("a: &a {b: *a}\n", "has the alias *a inside itself at line 1"),
    "two documents": ("a: 1\n---\nb: 1\n", "holds several YAML documents"),
    "cloudformation": ("a: !Ref x\n", "has the tag !Ref, for which JSON has no type at line 1"),
    "include": ("a: !include x.yaml\n", "has the tag !include, for which JSON has no type"),
    "a set": ("a: !!set {b}\n", "has the tag !!set, for which JSON has no type at line 1"),
    "python": ("a: !!python/name:os.system ''\n", "has the tag !!python/name:os.system"),
    "infinity": ("a: -.inf\n", "has the number -.inf, which JSON does not have at line 1"),
    "not a number": ("a: .NaN\n", "has the number .NaN, which JSON does not have at line 1"),
    "too large": ("a: 1e999\n", "has the number 1e999, too large for a double at line 1"),
    "thousands of digits": (f"a: {'9' * 5000}\n", "has an integer of thousands of digits"),
    "half a character": ('a: "\\ud800"\n', "is neither JSON nor YAML: ScannerError: found invalid"),
    "not closed": ("a: [1\n", "is neither JSON nor YAML: ParserError"),
    "a tab as indentation": ("a:\n\tb: 1\n", "is neither JSON nor YAML: ScannerError"),
    "a future version": ("%YAML 2.0\n---\na: 1\n", "is neither JSON nor YAML: ParserError"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_json_cannot_say_is_refused_with_its_line(name: str) -> None:
    text, reason = REFUSED[name]
    with pytest.raises(Unreadable) as told:
        read(text)
    assert str(told.value).startswith(reason)


# --- the document as the run reads it


def test_a_document_with_anchors_is_read(tmp_path: Path) -> None:
    text = (
        "openapi: 3.0.3\nx-errors: &errors\n  400: {description: bad}\n  on: {description: x}\n"
        "paths:\n  /x:\n    get:\n      responses:\n        200: {description: d}\n"
        "        <<: *errors\n"
    )
    found = spec(tmp_path, text)
    assert list(found["paths"]["/x"]["get"]["responses"]) == ["400", "on", "200"]


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("openapi: 3.1", "3.1.0"), ("openapi: '3.0'", "3.0.0"), ("openapi: 3.0.3", "3.0.3")],
)
def test_a_version_without_its_last_part_is_completed(
    tmp_path: Path, written: str, read_as: str
) -> None:
    assert spec(tmp_path, HEAD.replace("openapi: 3.0.3", written))["openapi"] == read_as


def test_a_swagger_version_that_is_a_number_becomes_text(tmp_path: Path) -> None:
    found = spec(tmp_path, HEAD.replace("openapi: 3.0.3", "swagger: 2.0"))
    assert found["swagger"] == "2.0"


def test_flow_style_is_yaml_although_it_begins_like_json(tmp_path: Path) -> None:
    found = spec(tmp_path, "{openapi: 3.0.3, paths: {/x: {get: {responses: {200: {}}}}}}")
    assert found["paths"] == {"/x": {"get": {"responses": {"200": {}}}}}


# --- limits


def large(megabytes: float) -> bytes:
    """A document as generators write it, of that size."""
    one = (
        "  /things{n}:\n    get:\n      operationId: thing{n}\n      parameters:\n"
        "        - name: state\n          in: query\n          required: false\n"
        "          schema: {{type: string, enum: [on, off]}}\n"
        "      responses:\n        200:\n          description: A thing, as it is\n"
        "          content:\n            application/json:\n              schema:\n"
        "                $ref: '#/components/schemas/Thing'\n"
    )
    text, number = ["openapi: 3.0.3\npaths:\n"], 0
    while number * len(one) < megabytes * 2**20:
        text.append(one.format(n=number))
        number += 1
    return "".join(text).encode()


@pytest.mark.fault(37)
def test_four_megabytes_take_less_than_three_seconds_of_processor(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(large(4))
    measure = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.executable, *sys.argv[2:]], stdin=open(sys.argv[1], 'rb'),"
        " stdout=subprocess.DEVNULL, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)\n"
    )
    command = [sys.executable, "-c", measure, str(path), yaml_process.__file__, "60", "256"]
    seconds = float(subprocess.run(command, capture_output=True, check=True).stdout)
    assert seconds < 3  # about 1


LETTERS = "abcdefghij"
BOMBS = {
    "aliases of aliases": (
        "a: &a [x, x]\n"
        + "".join(f"{to}: &{to} [{', '.join([f'*{of}'] * 10)}]\n" for of, to in pairwise(LETTERS)),
        "has more than 1,500,000 keys and values, aliases followed",
    ),
    "a chain of aliases": (
        "x:\n- &a0 {a: 1}\n" + "".join(f"- &a{n + 1} {{a: *a{n}}}\n" for n in range(1200)),
        "is nested more than 200 deep, aliases followed",
    ),
    "merges of a large mapping": (
        "x: &m {" + ",".join(f"k{n}: 1" for n in range(1000)) + "}\ny:\n" + "- <<: *m\n" * 2000,
        "has more than 1,500,000 keys and values, aliases followed",
    ),
    "a long text again and again": (
        f"x: &a {'z' * 100_000}\ny: [{'*a,' * 1000}]\n",
        "has more than 32 MB of text, aliases followed",
    ),
    "a million anchors": (
        "x:\n" + "".join(f"- &a{n} 1\n" for n in range(10**6)),
        "has more than 100,000 anchors",
    ),
    "a million documents": ("--- \n" * 10**6, "holds several YAML documents"),
    "a hundred thousand directives": (
        "".join(f"%TAG !a{n}! x\n" for n in range(10**5)) + "---\n",
        "has more than 1,000 %TAG directives",
    ),
    "brackets": ("x: " + "[" * 200_000, "is nested more than 200 deep"),
    "braces": ("x: " + "{a: " * 200_000, "is nested more than 200 deep"),
    "dashes": ("x:\n" + "- " * 200_000, "is nested more than 200 deep"),
    "indentation": ("".join(" " * n + "a:\n" for n in range(1000)), "is nested more than 200"),
    "digits": ("x: " + "9" * 10**6 + "\n", "has an integer of thousands of digits"),
    "hexadecimal digits": ("x: 0x" + "f" * 10**6 + "\n", "has an integer of thousands"),
}


@pytest.mark.fault(37)
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_once(tmp_path: Path, name: str) -> None:
    text, reason = BOMBS[name]
    directives = text.startswith(("%", "---"))
    start = time.monotonic()
    found = spec(tmp_path, text + HEAD if directives else HEAD + text)
    assert f"/openapi.yaml {reason}" in found
    assert time.monotonic() - start < 20  # one, when nothing else runs


@pytest.mark.fault(37)
def test_a_parser_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "YAML_SECONDS", 1)
    found = spec(tmp_path, HEAD + "x: [" + "1," * 10**6 + "]\n")
    assert "could not be read as YAML in 1 s of processor; serve it as JSON" in found
