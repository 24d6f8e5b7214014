"""docs/faults.md lists the tests of each fault, and is made from the tests themselves.

A test names its rows of tests/faults.txt with `@pytest.mark.fault(16, 17)`.
Write the page anew: `python tests/repository/test_faults_table.py`.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from html import escape
from typing import NamedTuple

import pytest

from tests import FOLDER, ROOT

PAGE = ROOT / "docs" / "faults.md"

HELD = {
    *range(1, 25),
    *range(26, 42),
    *range(42, 51),
    *range(52, 57),
    *range(59, 65),
    *range(66, 77),
    *range(78, 82),
    *range(83, 97),
    *range(98, 104),
    105,
    *range(107, 113),
    *range(118, 150),
}
"""Rows that the present release answers for; the others come with later ones."""


class Fault(NamedTuple):
    section: str
    fault: str
    required: str


def catalogue(text: str) -> dict[int, Fault]:
    """Row number -> fault, from the text of tests/faults.txt."""
    faults: dict[int, Fault] = {}
    section = ""
    for line in text.splitlines():
        if heading := re.fullmatch(r"\[(.+)\]", line):
            section = heading[1]
        elif row := re.fullmatch(r"(\d+) (.+) => (.+)", line):
            assert int(row[1]) not in faults, f"row {row[1]} stands twice"
            faults[int(row[1])] = Fault(section, row[2], row[3])
    return faults


def marked(source: str) -> dict[int, set[str]]:
    """Row -> names of the tests in `source` that are marked with it; "" is the whole file."""
    rows: dict[int, set[str]] = defaultdict(set)
    for name, call in _marks(ast.parse(source), ""):
        for number in map(ast.literal_eval, call.args):
            rows[number].add(name)
    return rows


def _marks(node: ast.AST, name: str) -> Iterator[tuple[str, ast.Call]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        name = f"{name}::{node.name}"
    if isinstance(node, ast.Call) and _is_fault(node.func):
        yield name, node
    for child in ast.iter_child_nodes(node):
        yield from _marks(child, name)


def _is_fault(function: ast.expr) -> bool:
    named = isinstance(function, ast.Attribute) and function.attr == "fault"
    return named and ast.unparse(function) == "pytest.mark.fault"


@cache
def covered() -> dict[int, list[str]]:
    """Row -> the tests that cover it, `test_judge.py::test_boundary`, in order."""
    rows: dict[int, list[str]] = defaultdict(list)
    for path in sorted(FOLDER.rglob("test_*.py")):
        for number, names in marked(path.read_text(encoding="utf-8")).items():
            rows[number] += sorted(path.name + name for name in names)
    return rows


def page(faults: dict[int, Fault], tests: dict[int, list[str]]) -> str:
    """Return the page as Markdown: a section of each fault, with its tests as a list."""
    lines = [
        "# Faults, and the tests that cover them",
        "",
        "Each number is a fault that a run may meet. Below it: what must then hold, and the tests",
        "that prove it. A fault without tests is not answered for yet.",
        "",
        "Made by `python tests/repository/test_faults_table.py` from `tests/faults.txt` and the",
        "marks `@pytest.mark.fault(row)` of the tests.",
    ]
    section = ""
    for number, fault in sorted(faults.items()):
        if fault.section != section:
            section = fault.section
            lines += ["", f"## {section}"]
        lines += ["", f"### {number}. {_plain(fault.fault)}", "", _plain(fault.required)]
        lines += ["", *([f"- `{name}`" for name in tests.get(number, [])] or ["No test yet."])]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Return text that is shown as it is, whatever markup the fault is about."""
    return re.sub(r"([\\`*_\[\]|#~!@])", r"\\\1", escape(text, quote=False))


def current_page() -> str:
    faults = catalogue((FOLDER / "faults.txt").read_text(encoding="utf-8"))
    return page(faults, covered())


def test_marks_are_found_wherever_pytest_takes_them():
    source = """
import pytest
pytestmark = pytest.mark.fault(1)
@pytest.mark.fault(2, 3)
def test_plain(): ...
@pytest.mark.fault(4)
class TestMany:
    @pytest.mark.parametrize("case", [pytest.param(0, marks=pytest.mark.fault(5))])
    async def test_one(self, case): ...
@pytest.mark.smoke(6)
def test_other(): ...
"""
    assert marked(source) == {
        1: {""},
        2: {"::test_plain"},
        3: {"::test_plain"},
        4: {"::TestMany"},
        5: {"::TestMany::test_one"},
    }


def test_a_page_has_a_section_for_each_fault_and_no_live_markup():
    faults = catalogue("[Injection]\n97 ![](x) | <b> => shown as `code`\n98 cells => prefixed\n")
    text = page(faults, {98: ["test_a.py::test_b", "test_c.py"]})
    assert text[text.index("## Injection") :].splitlines() == [
        "## Injection",
        "",
        r"### 97. \!\[\](x) \| &lt;b&gt;",
        "",
        r"shown as \`code\`",
        "",
        "No test yet.",
        "",
        "### 98. cells",
        "",
        "prefixed",
        "",
        "- `test_a.py::test_b`",
        "- `test_c.py`",
    ]


def test_no_line_of_the_page_is_too_long_to_read():
    assert [line for line in current_page().splitlines() if len(line) > 300] == []


def test_every_row_that_this_release_answers_for_is_covered():
    faults = catalogue((FOLDER / "faults.txt").read_text(encoding="utf-8"))
    missing = [f"{row} {faults[row].fault}" for row in sorted(HELD - covered().keys())]
    assert missing == []


def test_marks_name_rows_that_exist():
    faults = catalogue((FOLDER / "faults.txt").read_text(encoding="utf-8"))
    assert len(faults) == 149
    assert covered().keys() - faults.keys() == set()


def test_the_page_is_current():
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != current_page():
        pytest.fail(
            "docs/faults.md does not show what the tests cover; write it anew:\n"
            "    python tests/repository/test_faults_table.py",
            pytrace=False,
        )


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(current_page(), encoding="utf-8")
    print(f"{PAGE}: {len(HELD & covered().keys())} of {len(HELD)} rows covered")
