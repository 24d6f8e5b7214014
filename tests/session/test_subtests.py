"""Subtests: one row and one outcome for each test, the same in every file."""

import html
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_prodcheck.session.replay import replay
from pytest_prodcheck.store.entries import Report
from pytest_prodcheck.store.journal import read
from pytest_prodcheck.store.run_directory import Folder
from tests.project import Outcome, Project

CHECKS = """
    import unittest

    import pytest

    pytestmark = pytest.mark.smoke


    def parts(api, subtests, wrong=(), skipped=(), expected=()):
        for number in range(3):
            with subtests.test("part", number=number):
                assert api.get("/ok").status_code == 200
                if number in skipped:
                    pytest.skip("not here")
                if number in expected:
                    pytest.xfail("known")
                assert number not in wrong, f"part {number} is broken"


    def test_all_pass(api, subtests):
        parts(api, subtests)


    def test_one_fails(api, subtests):
        parts(api, subtests, wrong=[1])


    def test_all_fail(api, subtests):
        parts(api, subtests, wrong=[0, 1, 2])


    def test_the_test_fails_too(api, subtests):
        parts(api, subtests, wrong=[2])
        assert api.get("/ok").status_code == 201, "its own"


    def test_the_test_alone_fails(api, subtests):
        parts(api, subtests)
        assert api.get("/ok").status_code == 201, "its own"


    def test_one_is_skipped(api, subtests):
        parts(api, subtests, skipped=[1])


    def test_one_is_expected_to_fail(api, subtests):
        parts(api, subtests, expected=[1])


    def test_one_fails_and_one_is_skipped(api, subtests):
        parts(api, subtests, wrong=[0], skipped=[1])


    @pytest.mark.xfail(reason="known", strict=False)
    def test_expected_to_fail(api, subtests):
        parts(api, subtests, wrong=[1])


    @pytest.fixture
    def late(api):
        yield
        assert api.get("/ok").status_code == 201, "in teardown"


    class TestCase(unittest.TestCase):
        @pytest.fixture(autouse=True)
        def connect(self, api):
            self.api = api

        def test_of_unittest(self):
            for number in range(3):
                with self.subTest("part", number=number):
                    self.assertEqual(self.api.get("/ok").status_code, 200)
                    assert number != 1, "part 1 is broken"
    """

OUTCOMES = {
    "test_all_pass": "passed",
    "test_one_fails": "failed",
    "test_all_fail": "failed",
    "test_the_test_fails_too": "failed",
    "test_the_test_alone_fails": "failed",
    "test_one_is_skipped": "skipped",
    "test_one_is_expected_to_fail": "skipped",
    "test_one_fails_and_one_is_skipped": "failed",
    "test_of_unittest": "failed",
}


def rows(page: str) -> dict[str, list[str]]:
    found = re.search(r'data-jsonblob="(.*?)"', page)
    assert found
    tests = json.loads(html.unescape(found[1]))["tests"]
    return {name.rpartition("::")[2]: [row["result"] for row in of] for name, of in tests.items()}


def cases(junit: str) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The kinds of elements of each case, and the counts that the suite states."""
    root = ElementTree.fromstring(junit)
    suite = root if root.tag == "testsuite" else root[0]
    kinds = ("failure", "error", "skipped")
    found = {
        str(case.get("name")): [part.tag for part in case if part.tag in kinds]
        for case in suite.iter("testcase")
    }
    return found, {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}


def check_files(folder: Path) -> None:
    """Each file says the same of each test."""
    shown = rows((folder / "report.html").read_text())
    found, counts = cases((folder / "junit.xml").read_text())
    result = {"passed": ["Passed"], "failed": ["Failed"], "skipped": ["Skipped"]}
    element = {"passed": [], "failed": ["failure"], "skipped": ["skipped"]}
    expected_to_fail = shown.pop("test_one_is_expected_to_fail")
    assert expected_to_fail == ["XFailed"]
    for name, outcome in OUTCOMES.items():
        if name != "test_one_is_expected_to_fail":
            assert shown[name] == result[outcome], name
        assert found[name] == element[outcome], name
    assert len(found) == int(counts["tests"])
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(counts[name]) == sum(tag in kinds for kinds in found.values())


def outcomes(outcome: Outcome) -> dict[str, str]:
    return {name: what for name, what in outcome.outcomes().items() if name in OUTCOMES}


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["one process", "xdist"])
def test_each_file_has_one_outcome_of_a_test_with_subtests(
    project: Project, options: tuple[str, ...]
) -> None:
    project.write("test_a.py", CHECKS)
    outcome = project.run("test_a.py", *options)
    assert outcomes(outcome) == OUTCOMES
    check_files(outcome.folder)
    junit = ElementTree.fromstring(outcome.junit)
    messages = {
        case.get("name"): failure.get("message")
        for case in junit.iter("testcase")
        if (failure := case.find("failure")) is not None
    }
    # pytest quotes the values once more when a report comes from another process.
    assert str(messages["test_all_fail"]).replace("'", "") == "; ".join(
        f"[part] (number={n}): AssertionError: part {n} is broken" for n in range(3)
    )
    assert "its own" in outcome.page


def test_a_journal_that_is_replayed_has_one_outcome_too(project: Project, tmp_path: Path) -> None:
    project.write("test_a.py", CHECKS)
    outcome = project.run("test_a.py")
    again = tmp_path / "again"
    again.mkdir()
    replay(list(read(outcome.folder / "journal.jsonl")), Folder.at(again), "finished")
    check_files(again)


def test_subtests_of_a_test_that_was_killed_are_one_row(project: Project, tmp_path: Path) -> None:
    project.write("test_a.py", CHECKS)
    outcome = project.run("test_a.py", "-k", "one_fails and not skipped")
    entries = list(read(outcome.folder / "journal.jsonl"))
    called = [
        entry
        for entry in entries
        if isinstance(entry, Report)
        and entry.data["when"] == "call"
        and "_subtest.context" not in entry.data
    ]
    entries = entries[: entries.index(called[0])]
    again = tmp_path / "again"
    again.mkdir()
    replay(entries, Folder.at(again), "recovered")
    assert rows((again / "report.html").read_text())["test_one_fails"][:1] == ["Failed"]
    found, _ = cases((again / "junit.xml").read_text())
    assert found["test_one_fails"] == ["failure"]
