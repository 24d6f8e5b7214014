"""OpenAPI documents of other people's services: large, old, written by hand, full of surprises."""

import gzip
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_prodcheck.analysis.openapi_diff import breaking_changes
from pytest_prodcheck.checks.contract.schemathesis_adapter import Effort, SchemathesisAdapter
from pytest_prodcheck.checks.openapi.document import spec_from_file
from pytest_prodcheck.checks.openapi.operations import operations
from pytest_prodcheck.config import Target
from tests import FOLDER
from tests.faulty import answer, json_answer
from tests.project import Project

DOCUMENTS = FOLDER / "documents"
TARGET = Target(name="t", base_url="http://127.0.0.1:9")
SAMPLE = 16
"""Operations of a document that cases are made for: all of them would take minutes."""


class Foreign(NamedTuple):
    name: str
    says: tuple[str, str]
    operations: int


FOREIGN = [
    Foreign("jupyter_server.yaml", ("swagger", "2.0"), 32),
    Foreign("litellm.json", ("openapi", "3.1.0"), 485),
]
EACH = pytest.mark.parametrize("foreign", FOREIGN, ids=[one.name for one in FOREIGN])


def unpacked(foreign: Foreign, folder: Path) -> Path:
    path = folder / foreign.name
    path.write_bytes(gzip.decompress((DOCUMENTS / f"{foreign.name}.gz").read_bytes()))
    return path


@pytest.fixture
def spec(foreign: Foreign, tmp_path: Path) -> dict[str, Any]:
    read = spec_from_file(str(unpacked(foreign, tmp_path)))
    assert isinstance(read, dict), read
    return read


@EACH
def test_every_operation_is_known_and_none_is_in_the_way(
    foreign: Foreign, spec: dict[str, Any]
) -> None:
    key, version = foreign.says
    assert spec[key] == version
    found = operations(spec, TARGET)
    assert len({one.id for one in found}) == len(found) == foreign.operations
    assert [one.id for one in found if one.obstacle] == []


@EACH
def test_cases_are_made_for_its_operations(
    foreign: Foreign, spec: dict[str, Any], tmp_path: Path
) -> None:
    effort = Effort(max_examples=1, negative=True, undeclared=True, seed=1)
    adapter = SchemathesisAdapter(spec, frozenset(), effort, tmp_path)
    found = operations(spec, TARGET)
    for operation in found[:: len(found) // SAMPLE]:
        cases: list[Any] = []
        assert adapter.cases(operation, cases.append) == [], operation.id
        assert cases, operation.id


@EACH
def test_a_run_has_one_check_for_each(foreign: Foreign, project: Project) -> None:
    content = unpacked(foreign, project.path).read_bytes()
    project.server.on("/openapi", answer(content))
    project.server.on("*", json_answer({}))
    project.configure('openapi = "/openapi"\n')
    outcome = project.run("-m", "contract", "--collect-only", "-q")
    assert outcome.output.count("test_operation[") == foreign.operations
    assert project.server.paths() == ["/openapi"]


def respelled(value: Any) -> Any:
    """The same document with each component renamed and each list of alternatives reversed."""
    if isinstance(value, list):
        return [respelled(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: respelled(each) for key, each in value.items()}
    if isinstance(found.get("$ref"), str):
        found["$ref"] += "-Output"
    if isinstance(by := found.get("discriminator"), dict) and "mapping" in by:
        by["mapping"] = {tag: f"{named}-Output" for tag, named in by["mapping"].items()}
    for key in {"oneOf", "anyOf"} & found.keys():
        found[key] = found[key][::-1]
    return found


@EACH
def test_it_is_compatible_with_itself_in_another_spelling(
    foreign: Foreign, spec: dict[str, Any]
) -> None:
    other = respelled(spec)
    parts = other.get("components", other)
    for kind in ("schemas", "definitions", "parameters", "responses"):
        if kind in parts:
            parts[kind] = {f"{name}-Output": each for name, each in parts[kind].items()}
    assert "-Output" in str(other)
    assert breaking_changes(spec, other) == breaking_changes(other, spec) == []


@EACH
def test_it_is_compatible_with_itself_and_not_with_less(
    foreign: Foreign, spec: dict[str, Any]
) -> None:
    assert list(breaking_changes(spec, spec)) == []
    less = deepcopy(spec)
    gone = sorted(less["paths"])[len(less["paths"]) // 2]
    del less["paths"][gone]
    changes = list(breaking_changes(spec, less))
    assert {change.rule for change in changes} == {"api-path-removed-without-deprecation"}
    assert all(gone in str(change) for change in changes)
