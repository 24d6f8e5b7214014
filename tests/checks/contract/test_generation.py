"""Which cases are made: the same for a seed, and without a wait for Hypothesis' tables."""

import gzip
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.internal import charmap
from hypothesis.internal.conjecture import providers

from pytest_prodcheck.checks.contract import hypothesis_internals
from pytest_prodcheck.checks.contract.cases import optional_parameters, without_parameter
from pytest_prodcheck.checks.contract.hypothesis_internals import CODE_POINTS
from pytest_prodcheck.checks.contract.schemathesis_adapter import Effort, SchemathesisAdapter
from pytest_prodcheck.checks.openapi.operations import operations
from pytest_prodcheck.config import Target

TARGET = Target(name="t", base_url="http://127.0.0.1:9")
SCHEMA = {
    "type": "object",
    "required": ["text", "number"],
    "properties": {"text": {"type": "string"}, "number": {"type": "integer"}},
}
SPEC = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/a": {
            "post": {
                "requestBody": {"content": {"application/json": {"schema": SCHEMA}}},
                "responses": {"200": {"description": "d"}},
            }
        }
    },
}


def bodies(folder: Path, seed: int) -> list[Any]:
    effort = Effort(max_examples=60, negative=True, undeclared=False, seed=seed)
    adapter = SchemathesisAdapter(SPEC, frozenset(), effort, folder)
    (operation,) = operations(SPEC, TARGET)
    found: list[Any] = []
    assert adapter.cases(operation, lambda case: found.append(repr(case.body))) == []
    return found


def test_cases_follow_from_the_seed_and_not_from_what_else_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bodies(tmp_path, seed=7)
    assert before == bodies(tmp_path, seed=7)
    assert before != bodies(tmp_path, seed=8)
    source = tmp_path / "local.py"
    source.write_text("\n".join(f"C{n} = {313 * n}, 'constant {n}'" for n in range(200)))
    local = ModuleType("local")
    local.__file__ = str(source)
    monkeypatch.setitem(sys.modules, "local", local)
    gathered = providers._get_local_constants()
    assert any("constant" in text for text in gathered.strings)
    assert before == bodies(tmp_path, seed=7)
    assert providers._get_local_constants() is gathered


@pytest.mark.parametrize("name", ["_get_local_constants", "CONSTANTS_CACHE"])
def test_cases_are_made_without_the_private_names_of_hypothesis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(hypothesis_internals, "charmap_file", None)
    monkeypatch.setattr(
        hypothesis_internals,
        "providers",
        SimpleNamespace(**{one: getattr(providers, one) for one in dir(providers) if one != name}),
    )
    assert len(bodies(tmp_path, seed=7)) >= 60


@pytest.mark.parametrize("codec", CODE_POINTS)
def test_a_precomputed_codec_table_is_the_one_that_hypothesis_makes(
    codec: str, tmp_path: Path
) -> None:
    """Also its name: with another one Hypothesis would make its own, and take its time."""
    home = tmp_path / "theirs"
    set_hypothesis_home_dir(home)
    charmap.intervals_from_codec.cache_clear()
    charmap.intervals_from_codec(codec)
    (theirs,) = home.rglob("*codec*.gz")
    SchemathesisAdapter(
        SPEC,
        frozenset(),
        Effort(max_examples=1, negative=False, undeclared=False, seed=1),
        tmp_path / "ours",
    )
    ours = tmp_path / "ours" / theirs.relative_to(home)
    assert json.loads(gzip.decompress(ours.read_bytes())) == json.loads(
        gzip.decompress(theirs.read_bytes())
    )


def test_optional_parameters_are_those_that_the_document_does_not_require(tmp_path: Path) -> None:
    parameters = [
        {"name": name, "in": place, "required": required, "schema": {"type": "integer"}}
        for place, name, required in (
            ("query", "a", True),
            ("query", "b", False),
            ("header", "X-C", False),
            ("header", "X-D", True),
            ("cookie", "e", False),
        )
    ]
    spec = {
        **SPEC,
        "paths": {"/a": {"get": {"parameters": parameters, "responses": {"200": {}}}}},
    }
    effort = Effort(max_examples=1, negative=False, undeclared=False, seed=1)
    (operation,) = operations(spec, TARGET)
    case = SchemathesisAdapter(spec, frozenset(), effort, tmp_path).sample(operation)
    case.query = {"a": 1, "b": 2, "unknown": 3}
    case.headers.update({"x-c": "1", "x-d": "2", "x-unknown": "3"})
    case.cookies = {"e": 1}
    assert optional_parameters(case) == [("query", "b"), ("headers", "x-c"), ("cookies", "e")]
    assert without_parameter(case, "query", "b").query == {"a": 1, "unknown": 3}
    assert "X-C" not in without_parameter(case, "headers", "x-c").headers
    assert case.query == {"a": 1, "b": 2, "unknown": 3}
