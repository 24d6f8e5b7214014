"""What a terminal, a CI log, a spreadsheet, a file system or Markdown must not obey."""

import csv
import io
import json
import random
import re
import string
import time
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_prodcheck.redaction import sanitize

# --- text -----------------------------------------------------------------------------------


@pytest.mark.fault(94, 95)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\x1b[2J\x1b[H", r"\x1b[2J\x1b[H"),
        ("\x1b[31mred\x1b[0m \x1b[38;5;208mo\x1b[38:2:1:2:3mx\x1b[m", "red ox"),
        ("\x1b\x1b[31m[2J", r"\x1b[2J"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        (
            "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
            r"\x1b]8;;http://x\x1b\link\x1b]8;;\x1b" + "\\",
        ),
        ("\x1b]52;c;cm0gLXJmIC8=\x07", r"\x1b]52;c;cm0gLXJmIC8=\x07"),
        ("\x1bP1;2|x\x1b\\\x1bc", r"\x1bP1;2|x\x1b\\x1bc"),
        ("\x9b2J\x9d0;t\x9c", r"\x9b2J\x9d0;t\x9c"),
        ("PASSED\rFAILED", r"PASSED\x0dFAILED"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\x08\x7f\x0b\x0c\x07\x00", r"a\x08\x7f\x0b\x0c\x07\x00"),
        ("\x85\x1c\x1f", r"\x85\x1c\x1f"),
        ("user\u202egpj.exe\u202c", r"user\u202egpj.exe\u202c"),
        ("\u2066a\u2069\u200e\u200f\u061c", r"\u2066a\u2069\u200e\u200f\u061c"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\ud800 \udfff", r"\ud800 \udfff"),
        ("\ufffe\uffff", r"\ufffe\uffff"),
        ("ze\u200bro\u00ad\ufeff", r"ze\u200bro\xad\ufeff"),
        ("tag\U000e0041", r"tag\U000e0041"),
    ],
    ids=ascii,
)
def test_what_a_terminal_obeys_is_visible_instead(value: str, shown: str) -> None:
    assert sanitize.text(value) == shown


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain\n\ttext\n",
        "äöü ß é 日本語 العربية ✓ → 🚀 👩\u200d🚀 ⚠\ufe0f",
        "tests/test_x.py::TestY::test_z[::1]",
        "::1 is the loopback\n::ffff:127.0.0.1 too",
        "  ::one colon pair only",
        "## Heading [link](x)",
        "#[derive] ##no",
        r"\x1b stays \u202e",
    ],
    ids=ascii,
)
def test_harmless_text_is_the_same_object(value: str) -> None:
    assert sanitize.text(value) is value


@pytest.mark.fault(94, 95, 99)
def test_any_text_becomes_printable_valid_utf8_and_xml() -> None:
    chance = random.Random(95)
    pool = [chr(code) for code in range(0x300)]
    pool += [chr(chance.randrange(0x110000)) for _ in range(3000)]
    pool += [chr(code) for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0x2028, 0x202E, 0xFFFE)] * 20
    pool += ["\r\n", "\n::", "::", "##", "[", "\x1b[31m", "\x1b]8;;"] * 20
    for _ in range(400):
        value = "".join(chance.choices(pool, k=60))
        shown = sanitize.text(value)
        shown.encode("utf-8")
        element = ElementTree.fromstring(f"<a>{escape(shown)}</a>")
        assert element.text == shown
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
        assert sanitize.text(shown) is shown, "doing it twice changes nothing more"


# --- CI commands ----------------------------------------------------------------------------


def obeyed_by_a_ci_system(text: str) -> bool:
    """As the agents read it. GitHub: `::` at the start of a trimmed line with a second one behind
    it, or `##[` anywhere; Azure: `##vso[` anywhere; TeamCity: `##teamcity[`.
    """
    for line in re.split(r"\r\n|\r|\n", text):
        start = line.strip()
        if start.startswith("::") and "::" in start[2:]:
            return True
        if any(marker in line for marker in ("##[", "##vso[", "##teamcity[")):
            return True
    return False


@pytest.mark.fault(96)
@pytest.mark.parametrize(
    "before", ["", " ", "\t", "\u00a0\u3000", "\n", "x\n  ", "\r", "ok\r\n", "\v"]
)
@pytest.mark.parametrize(
    "command",
    [
        "::error::it broke",
        "::error file=a.py,line=1::it broke",
        "::warning::x",
        "::add-mask::e",
        "::set-output name=ok::true",
        "::set-env name=PATH::/tmp",
        "::add-path::/tmp",
        "::stop-commands::token",
        "::group::x",
        "::::",
        "##[error]x",
        "##[add-mask]e",
        "###[error]x",
        "##vso[task.setvariable variable=x]y",
        "##vso[task.complete result=Succeeded;]DONE",
        "##teamcity[testFinished name='x']",
    ],
)
def test_a_ci_command_is_shown_and_not_obeyed(before: str, command: str) -> None:
    assert obeyed_by_a_ci_system(before + command)
    shown = sanitize.text(before + command)
    assert not obeyed_by_a_ci_system(shown)
    assert command in shown.replace("\\", "").replace("x0d", ""), "still readable"
    assert not obeyed_by_a_ci_system(sanitize.data({"k": ["a", before + command]})["k"][1])


@pytest.mark.fault(96)
@pytest.mark.parametrize("prefix", ["log: ", "2026-01-02 ", "E   "])
@pytest.mark.parametrize("command", ["##[error]x", "##vso[task.complete]x", "##teamcity[x 'y']"])
def test_commands_that_work_anywhere_in_a_line_are_found_there(prefix: str, command: str) -> None:
    assert not obeyed_by_a_ci_system(sanitize.text(prefix + command))


@pytest.mark.fault(96)
@pytest.mark.parametrize(
    "hidden", ["\x1b[31m", "\u200b", "\u00ad", "\u200d", "\ufeff", "\ufe0f", "\x00"]
)
@pytest.mark.parametrize("command", ["{}::error::x", ":{}:error::x", "#{}#[error]x", "##{}vso[x]"])
def test_what_agents_skip_when_they_compare_does_not_hide_a_command(
    hidden: str, command: str
) -> None:
    """A culture-sensitive comparison, as .NET's, takes `\\u00ad##[` for `##[`."""
    shown = sanitize.text("\u3000" + command.format(hidden))
    ignored = dict.fromkeys(map(ord, "\u200b\u00ad\u200d\ufeff\ufe0f\x00"))
    assert not obeyed_by_a_ci_system(shown.translate(ignored))


def test_the_backslash_breaks_the_marker_where_one_can_see_it() -> None:
    assert sanitize.text("a\n  ::error::b") == "a\n  :\\:error::b"
    assert sanitize.text("a ##[error]b ##vso[c]") == "a #\\#[error]b #\\#vso[c]"


# --- length ---------------------------------------------------------------------------------


@pytest.mark.fault(94)
def test_ten_megabytes_become_head_notice_and_tail() -> None:
    value = "head" + "x" * 10_000_000 + "tail"
    start = time.process_time()
    shown = sanitize.text(value)
    assert time.process_time() - start < 1
    assert len(shown) == sanitize.LIMIT
    assert shown.startswith("headx")
    assert shown.endswith("xtail")
    assert "\n[... 9,936,008 of 10,000,008 characters cut here ...]\n" in shown


@pytest.mark.parametrize("length", [99, 100])
def test_a_text_within_the_limit_is_not_cut(length: int) -> None:
    value = "x" * length
    assert sanitize.text(value, limit=100) is value


@pytest.mark.fault(96)
def test_a_cut_makes_no_command_of_what_was_none() -> None:
    for before in range(120):
        value = "a" * before + "::error::x" + "b" * 150
        assert not obeyed_by_a_ci_system(sanitize.text(value, limit=200)), before
        value = "a" * 250 + "::error::x" + "b" * before
        assert not obeyed_by_a_ci_system(sanitize.text(value, limit=200)), before


# --- data -----------------------------------------------------------------------------------


def strict(text: str) -> Any:
    """As `JSON.parse` reads: no NaN, no Infinity."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.fault(99)
def test_any_data_is_strict_json_afterwards() -> None:
    value = {
        "nan": float("nan"),
        "inf": [float("inf"), -float("inf")],
        "huge": 2**53,
        "negative": -(2**64),
        "endless": 10**5000,
        "fine": [2**53 - 1, -1, 0, 1.5, True, None, ""],
        "surrogate \ud800": "\udfff",
        "tuple": (1, "\x07"),
        "path": Path("a/b"),
        "bytes": b"\xff",
        "set": {3},
        float("nan"): 1,
        7: 2,
    }
    shown = sanitize.data(value)
    assert strict(json.dumps(shown, allow_nan=False).encode("utf-8").decode()) == {
        "nan": "NaN",
        "inf": ["Infinity", "-Infinity"],
        "huge": "9007199254740992",
        "negative": "-18446744073709551616",
        "endless": "an integer of 16610 bits",
        "fine": [2**53 - 1, -1, 0, 1.5, True, None, ""],
        "surrogate \\ud800": "\\udfff",
        "tuple": [1, "\\x07"],
        "path": "a/b",
        "bytes": "b'\\xff'",
        "set": "{3}",
        "NaN": 1,
        "7": 2,
    }
    assert shown["tuple"] == (1, "\\x07")


@pytest.mark.fault(99)
def test_clean_data_comes_back_as_the_same_object() -> None:
    value = {"a": [1, 2.5, None, True, ("x", {})], "b": "c"}
    dirty = {"left": value, "right": "\x07"}
    assert sanitize.data(value) is value
    assert sanitize.data(dirty)["left"] is value


@pytest.mark.fault(99)
def test_data_without_end_is_cut() -> None:
    deep: list[Any] = ["bottom"]
    for _ in range(100_000):
        deep = [deep]
    endless: list[Any] = []
    endless.append(endless)
    for value in (deep, endless):
        shown = json.dumps(sanitize.data(value))
        assert shown.count("[") == sanitize.MAX_DEPTH
        assert "(nested deeper than 100 levels: cut)" in shown
    while deep and isinstance(deep[0], list):  # taken apart: freeing it at once would recurse
        deep = deep[0]


def test_keys_that_become_equal_lose_no_entry() -> None:
    assert sanitize.data({"a\x07": 1, "a\\x07": 2, "a\x1b[m\x07": 3}) == {
        "a\\x07": 1,
        "a\\x07 (2)": 2,
        "a\\x07 (3)": 3,
    }


def test_the_limit_holds_for_each_text() -> None:
    shown = sanitize.data({"a": "x" * 500, "b": ["y" * 90] * 3}, limit=100)
    assert len(shown["a"]) <= 100
    assert shown["b"] == ["y" * 90] * 3


def test_no_text_of_plain_data_is_left_out() -> None:
    value = {"k1": ["t1", ("t2", {"k2": "t3", "k3": [[["t4"]]]})], "k4": 12345678, "k5": {}}
    joined = sanitize.joined_texts(value)
    assert joined is not None
    assert sorted(joined.split("~\n")) == sorted(
        ["k1", "t1", "t2", "k2", "t3", "k3", "t4", "k4", "12345678", "k5"]
    )


@pytest.mark.parametrize(
    "value", [float("nan"), [2**60], {1: "x"}, {"x"}, [b""], Path(), {"a": [{"b": object()}]}]
)
def test_what_is_not_plain_has_no_joined_texts(value: Any) -> None:
    assert sanitize.joined_texts(value) is None


# --- file names -----------------------------------------------------------------------------

IDS = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    ".hidden",
    "",
    "CON",
    "con.txt",
    "nul",
    "LPT1",
    "a\x00b",
    "a\nb",
    "x" * 300,
    "x" * 299 + "y",
    "tests/test_x.py::test_y[GET /health]",
    "tests/test_x.py::test_y[get /health]",
    "tests/test_x.py::test_y[GET  health]",
    "日本語",
    "日本话",
    "\ud800",
    "~root",
    "-rf",
    "a b;rm -rf $HOME|`x`",
    "a\\..\\b",
    "C:\\x",
    "name.",
    "name ",
]


@pytest.mark.fault(100)
def test_a_file_name_stays_in_its_folder(tmp_path: Path) -> None:
    for test_id in IDS:
        name = sanitize.filename(test_id)
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,90}", name)
        path = tmp_path / name
        path.write_text(test_id, encoding="utf-8", errors="replace")
        assert path.resolve().parent == tmp_path.resolve()
    names = {sanitize.filename(test_id).lower() for test_id in IDS}
    assert len(names) == len(IDS), "also where the file system ignores case"
    assert len(list(tmp_path.iterdir())) == len(IDS)


@pytest.mark.fault(100)
def test_a_file_name_is_stable_and_tells_its_test() -> None:
    name = sanitize.filename("tests/test_x.py::test_y[GET /health]")
    assert re.fullmatch(r"tests-test_x-py-test_y-GET-health-[0-9a-f]{10}", name)
    assert name == sanitize.filename("tests/test_x.py::test_y[GET /health]")
    assert re.fullmatch(r"test-[0-9a-f]{10}", sanitize.filename("../.."))


@pytest.mark.fault(100)
def test_no_two_of_many_tests_share_a_file_name() -> None:
    ids = [f"tests/test_x.py::test[{number}]" for number in range(20_000)]
    assert len({sanitize.filename(test_id) for test_id in ids}) == len(ids)


# --- spreadsheet cells ----------------------------------------------------------------------


@pytest.mark.fault(98)
@pytest.mark.parametrize(
    "value",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u3000=1",
        '=HYPERLINK("http://x","y")',
        "-2+3+cmd|' /C calc'!A0",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff201",
        "\x1b[31m=1",
        "\ttext",
    ],
    ids=ascii,
)
def test_a_cell_is_never_a_formula(value: str) -> None:
    cell = sanitize.cell(value)
    assert cell[0] in "'\\"
    sheet = io.StringIO()
    csv.writer(sheet).writerow([cell, "next"])
    assert next(csv.reader(io.StringIO(sheet.getvalue()))) == [cell, "next"]


@pytest.mark.fault(98)
@pytest.mark.parametrize("value", ["", "1", "text", "GET /health", "a=b", "1-2", "ann@example.com"])
def test_an_ordinary_cell_is_left_alone(value: str) -> None:
    assert sanitize.cell(value) == value


# --- Markdown -------------------------------------------------------------------------------


def code_content(markdown: str) -> str:
    """What a CommonMark renderer shows: the content of the one code span or block there is."""
    fence = re.match(r"(`{3,})text\n", markdown)
    if fence:
        lines = markdown.split("\n")
        ends = [
            number
            for number, line in enumerate(lines[1:], 1)
            if (run := re.fullmatch(r" {0,3}(`+)\s*", line)) and len(run[1]) >= len(fence[1])
        ]
        assert ends == [len(lines) - 1], "the block ends at its last line and not before"
        return "\n".join(lines[1:-1])
    opening = re.match(r"`+", markdown)
    assert opening
    runs = [run.end() for run in re.finditer("`+", markdown) if len(run[0]) == len(opening[0])]
    assert runs[1:] == [len(markdown)], "the span ends at its last backtick and not before"
    content = markdown[len(opening[0]) : -len(opening[0])]
    if content.strip(" ") and content[0] == content[-1] == " ":
        content = content[1:-1]
    return content


LIVE = [
    "@everyone",
    "#1",
    "fixes #1",
    "![](http://x/pixel.png)",
    "<details><summary>x</summary>",
    "<script>alert(1)</script>",
    "<!-- x",
    "`@everyone`",
    "``` @everyone",
    "a `b` c ``d`` e",
    "`",
    "``",
    " ` ",
    " padded ",
    "[x](javascript:alert(1))",
    "```\n@everyone\n```",
    "````\n![](http://x)\n``````\n@everyone",
    "\n```text\n",
    "   ```   \n@everyone",
    "~~~\nfixes #1\n~~~",
    "line\n\n# heading\n- [ ] task",
    "\\",
    "\\`",
]


@pytest.mark.fault(97)
@pytest.mark.parametrize("value", LIVE, ids=ascii)
def test_markdown_shows_the_text_as_code_whatever_is_in_it(value: str) -> None:
    assert code_content(sanitize.code(value)) == value


@pytest.mark.fault(97)
def test_random_markdown_stays_code() -> None:
    chance = random.Random(97)
    for _ in range(2000):
        value = "".join(chance.choices("`` \n~@#<ab", k=chance.randint(1, 30)))
        assert code_content(sanitize.code(value)) == value


@pytest.mark.fault(97)
def test_a_pipe_does_not_end_the_cell_that_the_code_is_in() -> None:
    for value in ("a|@everyone", "a\\|@everyone", "a\\\\|b||c", "|"):
        assert not re.search(r"(?<!\\)\|", sanitize.code(value))
    assert sanitize.code("a|b") == "`a\\|b`"
    assert sanitize.code("a\n|b") == "```text\na\n|b\n```"


@pytest.mark.fault(95, 97)
def test_code_is_harmless_and_capped_as_well() -> None:
    assert sanitize.code("a\x1b[2Jb") == "`a\\x1b[2Jb`"
    assert len(sanitize.code("x" * 1000, limit=200)) < 220
    assert sanitize.code("") == "` `"


# --- speed ----------------------------------------------------------------------------------


def test_harmless_data_costs_next_to_nothing() -> None:
    """About 25 microseconds for 2 kB; the bound leaves room for slow and busy machines."""
    report = {f"key {n}": string.ascii_letters for n in range(40)}
    start = time.process_time()
    for _ in range(200):
        sanitize.data(report)
    assert (time.process_time() - start) / 200 < 0.0005
