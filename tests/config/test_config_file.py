"""The file: found, read, and each fault in it told with its line, its key and the way out."""

import json
import os
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from pytest_prodcheck.config import json_schema
from pytest_prodcheck.config.config_file import find, line_of, read, spell
from pytest_prodcheck.errors import UsageError
from tests import ROOT

PACKAGE = ROOT / "pytest_prodcheck"
TARGET = '[targets.prod]\nbase_url = "https://api.example.com"\n'


def refusal(folder: Path, text: str | bytes, name: str = "prodcheck.toml") -> str:
    """The message with which a file of this text is refused."""
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as refused:
        find(folder)
    return str(refused.value)


# --- where it is found


def test_no_file_anywhere_is_none(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert find(tmp_path) is None


@pytest.mark.parametrize("name", ["prodcheck.toml", "pyproject.toml"])
def test_file_is_found_in_a_folder_above_and_named_from_where_the_search_began(
    tmp_path: Path, name: str
) -> None:
    head = "[tool.prodcheck]\n" if name == "pyproject.toml" else ""
    (tmp_path / name).write_text(f"{head}threshold = 80\n")
    root = tmp_path / "tests" / "api"
    root.mkdir(parents=True)
    found = find(root)
    assert found is not None
    assert found.contents.threshold == 80
    assert found.label == f"../../{name}"


def test_nearest_file_wins_and_is_never_merged(tmp_path: Path) -> None:
    (tmp_path / "prodcheck.toml").write_text(f"threshold = 80\n{TARGET}")
    below = tmp_path / "service"
    below.mkdir()
    (below / "pyproject.toml").write_text("[tool.prodcheck]\nrequired = ['smoke>=1']\n")
    found = find(below)
    assert found is not None
    assert found.path == below / "pyproject.toml"
    assert not found.contents.threshold
    assert not found.contents.targets


def test_pyproject_without_our_table_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "prodcheck.toml").write_text("threshold = 80\n")
    below = tmp_path / "service"
    below.mkdir()
    (below / "pyproject.toml").write_text("[project]\ndependencies = ['pytest-prodcheck']\n")
    found = find(below)
    assert found is not None
    assert found.path == tmp_path / "prodcheck.toml"


def test_broken_pyproject_that_never_names_prodcheck_is_not_ours_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert find(tmp_path) is None


@pytest.mark.fault(29)
def test_two_files_of_one_folder_that_differ_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.prodcheck]\nthreshold = 80\n")
    assert refusal(tmp_path, "threshold = 90\n") == (
        "prodcheck.toml: [tool.prodcheck] of the pyproject.toml beside it differs; keep one of the "
        "two"
    )


@pytest.mark.fault(29)
def test_two_files_of_one_folder_that_agree_are_one(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.prodcheck]\nthreshold = 80\n")
    (tmp_path / "prodcheck.toml").write_text("# the same\nthreshold = 80\n")
    found = find(tmp_path)
    assert found is not None
    assert found.label == "prodcheck.toml"


# --- how it is read


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"\xef\xbb\xbfthreshold = 90\n",
            "prodcheck.toml:1: begins with a byte order mark; save it as UTF-8 without one",
        ),
        (b"# one\n# \xff\n", "prodcheck.toml:2: is not UTF-8; save it as UTF-8"),
        (
            "threshold = 90\n".encode("utf-16"),
            "prodcheck.toml:1: is not UTF-8; save it as UTF-8",
        ),
        (
            "[targets.prod]\nrate = \n",
            "prodcheck.toml:2: is not TOML: Invalid value (column 8)",
        ),
        (
            "threshold = 90\n\nthreshold = 80\n",
            "prodcheck.toml:3: is not TOML: Cannot overwrite a value (column 15); "
            "is threshold written twice?",
        ),
        (
            f"{TARGET}[targets.prod]\n",
            "prodcheck.toml:3: is not TOML: Cannot declare ('targets', 'prod') twice (column 14); "
            "is [targets.prod] written twice?",
        ),
        (
            "[targets.prod]\nheaders = { A = 'secret-secret', A = 'secret-secret' }\n",
            "prodcheck.toml:2: is not TOML: Duplicate inline table key 'A' (column 53)",
        ),
        (
            "required = [\n'smoke>=1',\n",
            "prodcheck.toml:2: is not TOML: Invalid value at the end",
        ),
        ("x" * 10, "prodcheck.toml:1: is not TOML: Expected '=' after a key in a key/value pair"),
        ("a = 1\x00", "prodcheck.toml:1: is not TOML: "),
        ("x = " + "[" * 5000, "prodcheck.toml: is nested too deeply to be read; flatten it"),
    ],
)
def test_unreadable_text_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    refused = refusal(tmp_path, text)
    assert refused.startswith(message)
    assert "secret-secret" not in refused


@pytest.mark.fault(28)
def test_tabs_and_windows_line_ends_are_toml(tmp_path: Path) -> None:
    (tmp_path / "prodcheck.toml").write_bytes(b"[targets.prod]\r\n\tbase_url\t=\t'https://a.b'\r\n")
    found = find(tmp_path)
    assert found is not None
    assert found.contents.targets


@pytest.mark.fault(28)
@pytest.mark.parametrize("name", ["prodcheck.toml", "pyproject.toml"])
def test_folder_or_pipe_instead_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    message = f"{name}: is not a file; write the settings into a file of this name"
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError) as refused:
        find(tmp_path)
    assert str(refused.value) == message
    (tmp_path / name).rmdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError) as refused:
        find(tmp_path)
    assert str(refused.value) == message


@pytest.mark.fault(28)
def test_link_to_nowhere_is_refused_instead_of_taking_a_file_further_up(tmp_path: Path) -> None:
    (tmp_path / "prodcheck.toml").write_text("threshold = 1\n")
    below = tmp_path / "below"
    below.mkdir()
    (below / "prodcheck.toml").symlink_to("gone.toml")
    with pytest.raises(UsageError) as refused:
        find(below)
    assert str(refused.value) == "prodcheck.toml: cannot be read: No such file or directory"


def test_read_names_the_file_as_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("threshhold = 90\n")
    with pytest.raises(UsageError, match=r"^the demo:1: threshhold: is not a key here\."):
        read(tmp_path / "x.toml", "the demo")


# --- what does not fit

MISFITS = {
    "threshhold = 90": (
        '1: threshhold: is not a key here. Did you mean "threshold"? Allowed: threshold, weights, '
        "veto, required, targets, probes, actions, matrix, flags, drills, contract"
    ),
    "[target.prod]": '1: target: is not a key here. Did you mean "targets"?',
    "targets = 3": "1: targets: expected a table, but found 3",
    "[targets]\nprod = 'https://a.b'": "2: targets.prod: expected a table, but found a text",
    '[targets."my prod"]\nratee = "20/s"': (
        '2: targets."my prod".ratee: is not a key here. Did you mean "rate"?'
    ),
    "[targets.prod]\n\nrate = 20": (
        '3: targets.prod.rate: expected a text, as "20/s" or "600/min", but found 20'
    ),
    "[targets.prod]\nrate = '20 per second'": (
        '2: targets.prod.rate: expected a text, as "20/s" or "600/min", but found a text'
    ),
    "[targets.prod]\nread_only = 'no'": (
        "2: targets.prod.read_only: expected true or false, but found a text"
    ),
    "[targets.prod]\nread_only = 0": (
        "2: targets.prod.read_only: expected true or false, but found 0"
    ),
    "[targets.prod]\nbase_url = ''": (
        '2: targets.prod.base_url: expected a text, as "https://api.example.com", but found an '
        "empty text"
    ),
    "[targets.prod]\ntimeout = 0": (
        "2: targets.prod.timeout: expected a number greater than 0 and at most 86400, but found 0"
    ),
    "[targets.prod]\ntimeout = nan": (
        "2: targets.prod.timeout: expected a number greater than 0 and at most 86400, but found nan"
    ),
    "[targets.prod]\ntimeout = inf": (
        "2: targets.prod.timeout: expected a number greater than 0 and at most 86400, but found "
        "infinity"
    ),
    "[targets.prod]\nrequest_budget = 0": (
        "2: targets.prod.request_budget: expected a whole number at least 1, but found 0"
    ),
    "[targets.prod]\nrequest_budget = true": (
        "2: targets.prod.request_budget: expected a whole number at least 1, but found true"
    ),
    "[targets.prod]\nconcurrency = 1.5": (
        "2: targets.prod.concurrency: expected a whole number at least 1 and at most 1000, but "
        "found 1.5"
    ),
    "[targets.prod]\nmax_body = '8 MB'": (
        "2: targets.prod.max_body: expected a whole number at least 1024, but found a text"
    ),
    "[targets.prod]\nheaders = 'X: y'": (
        '2: targets.prod.headers: expected a table, as { Authorization = "Bearer ${PROD_TOKEN}" }, '
        "but found a text"
    ),
    "[targets.prod.headers]\nX-Retries = 3": (
        "2: targets.prod.headers.X-Retries: expected a text, but found 3"
    ),
    "[targets.prod]\nhosts = 'cdn.example.com'": (
        "2: targets.prod.hosts: expected an array, but found a text"
    ),
    "[targets.prod]\nhosts = [\n'a.b',\n7]": (
        "2: targets.prod.hosts[1]: expected a text, but found 7"
    ),
    "[targets.prod.limits]\nerror_rate = 1": (
        "2: targets.prod.limits.error_rate: expected a number at least 0 and less than 1, as "
        "0.001, but found 1"
    ),
    "[targets.prod.release]\nversion = '$.v'": "1: targets.prod.release: `from` is missing",
    "[[targets.prod.probes]]\nget = '/a'\n[[targets.prod.probes]]\nget = '/b'\nstaus = 200": (
        '5: targets.prod.probes[1].staus: is not a key here. Did you mean "status"?'
    ),
    "[[probes]]\nget = '/a'\nseverity = 'Critcal'": (
        '3: probes[0].severity: "Critcal" is not allowed. Did you mean "critical"? Allowed: '
        "critical, major, minor"
    ),
    "[[probes]]\nget = '/a'\nseverity = 1": (
        "3: probes[0].severity: expected one of critical, major, minor, but found 1"
    ),
    "[[probes]]\nget = '/a'\nstatus = '200'": (
        "3: probes[0].status: expected a whole number or an array, as 200 or [200,204], but found "
        "a text"
    ),
    "[[probes]]\nget = '/a'\nstatus = []": (
        "3: probes[0].status: expected a whole number or an array, as 200 or [200,204], but found "
        "an empty array"
    ),
    "[[probes]]\nget = '/a'\nsamples = 0": (
        "3: probes[0].samples: expected a whole number at least 1 and at most 10000, but found 0"
    ),
    "[[probes]]\nget = '/a'\nwithin = -1": (
        "3: probes[0].within: expected a number greater than 0 and at most 86400, as 0.5, but "
        "found -1"
    ),
    "[[probes]]\nget = 2024-01-01": (
        '2: probes[0].get: expected a text, as "/health", but found a date or time'
    ),
    "[probes]\nget = '/a'": "1: probes: expected an array, but found a table",
    "[weights]\nblocker = 9": (
        "2: weights.blocker: is not a key here. Allowed: critical, major, minor"
    ),
    "weights = { minor = 0 }": (
        "1: weights.minor: expected a whole number at least 1, but found 0"
    ),
    "[[actions]]\nwhen = 'x'": "1: actions[0]: `action` is missing",
    "[[actions]]\nwhen = 'x'\naction = 'y'\nseverity = 'fatal'": (
        '4: actions[0].severity: "fatal" is not allowed. Allowed: critical, major, minor'
    ),
    "[flags]\nfrom = '/info'": "1: flags: `values` is missing",
    "[flags]\nfrom = '/info'\nvalues = { A = '$.a' }\n[flags.modes]\nX = { A = 'on' }": (
        "5: flags.modes.X.A: expected true or false, but found a text"
    ),
    "[contract]\nmax_examples = 0": (
        "2: contract.max_examples: expected a whole number at least 1, but found 0"
    ),
    "[contract.parameters]\nsku = []": (
        "2: contract.parameters.sku: expected an array, but found an empty array"
    ),
}


@pytest.mark.fault(28)
@pytest.mark.parametrize("text", MISFITS)
def test_a_wrong_value_is_named_with_line_key_and_allowed_values(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).startswith(f"prodcheck.toml:{MISFITS[text]}")


@pytest.mark.fault(28)
def test_a_wrong_value_in_pyproject_has_its_line(tmp_path: Path) -> None:
    text = "[project]\nname = 'x'\n\n[tool.prodcheck]\nthreshold = 90\n\n[tool.prodcheck.target]\n"
    assert refusal(tmp_path, text, "pyproject.toml").startswith(
        'pyproject.toml:7: target: is not a key here. Did you mean "targets"?'
    )


@pytest.mark.fault(28)
def test_tool_prodcheck_that_is_no_table_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[tool]\nprodcheck = 3\n", "pyproject.toml") == (
        "pyproject.toml:2: tool.prodcheck: expected a table, but found 3"
    )


def test_no_text_of_a_value_is_repeated(tmp_path: Path) -> None:
    """A value that stands in the wrong place may be a secret."""
    text = "[targets.prod]\nread_only = 'hunter2hunter2'\n"
    assert "hunter2" not in refusal(tmp_path, text)


# --- the line of a value

SPREAD = '''# a comment
threshold = 90

[targets.prod]
base_url = """
https://api.example.com"""
hosts = [
  "a.example",

  "b.example",
]
headers = { A = "x", B = "y" }
[[probes]]
get = "/a"
[[probes]]
get = "/b"
[probes.json]
items = [
  1,
  2 ]
'''


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("threshold",), 2),
        (("targets",), 4),
        (("targets", "prod"), 4),
        (("targets", "prod", "base_url"), 5),
        (("targets", "prod", "hosts"), 7),
        (("targets", "prod", "hosts", 1), 7),
        (("targets", "prod", "headers", "B"), 12),
        (("probes",), 13),
        (("probes", 0, "get"), 14),
        (("probes", 1), 15),
        (("probes", 1, "json", "items", 0), 18),
        (("probes", 2), None),
        (("threshold", "x"), None),
        ((), None),
    ],
)
def test_line_of_a_value_is_where_its_statement_begins(
    keys: tuple[str | int, ...], line: int | None
) -> None:
    assert line_of(SPREAD, keys) == line


def test_line_is_found_in_a_long_file_without_reading_it_line_by_line() -> None:
    text = "".join(f"[[probes]]\nget = '/{i}'\nstatus = [\n200,\n]\n" for i in range(300))
    assert line_of(text, ("probes", 200, "status")) == 200 * 5 + 3


def test_keys_are_spelled_as_in_toml() -> None:
    assert spell(("targets", "my prod", "probes", 0, "get")) == 'targets."my prod".probes[0].get'


# --- the schema for editors


def test_published_schema_is_current() -> None:
    published = (PACKAGE / "prodcheck.schema.json").read_text()
    assert published == json.dumps(json_schema(), indent=2) + "\n", (
        "write json.dumps(json_schema(), indent=2) and a line end to prodcheck.schema.json"
    )


def walk(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{table}.{key}": value
        for table, definition in schema["$defs"].items()
        for key, value in definition["properties"].items()
    }


def test_schema_describes_each_key_and_knows_the_defaults() -> None:
    keys = walk(json_schema())
    assert [key for key, value in keys.items() if not ({"description", "$ref"} & set(value))] == []
    assert keys["TargetTable.request_budget"]["default"] == 5000
    assert keys["TargetTable.read_only"]["default"] is True
    assert keys["Contents.threshold"]["default"] == 90
    assert keys["ProbeTable.severity"]["default"] == "major"


def test_schema_is_valid_and_agrees_with_the_reader(tmp_path: Path) -> None:
    validator = jsonschema_rs.validator_for(json_schema())
    good = {"threshold": 92.5, "targets": {"prod": {"base_url": "https://a.b", "rate": "20/s"}}}
    assert validator.is_valid(good)
    for bad in (
        {"threshhold": 90},
        {"threshold": 0.9},
        {"threshold": "90"},
        {"targets": {"prod": {"rate": 20}}},
        {"targets": {"prod": {"rate": "20/h"}}},
        {"probes": [{"severity": "fatal"}]},
        {"actions": [{"when": "x"}]},
    ):
        assert not validator.is_valid(bad)
