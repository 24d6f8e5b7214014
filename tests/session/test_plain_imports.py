"""What pytest rewrites in a run: tests, and nothing that we load."""

import re
import sys

import pytest_prodcheck
from pytest_prodcheck.session.assertion_rewriting import PlainFinder, import_plainly
from tests.faulty import json_answer
from tests.project import Project

CONFTEST = """
import sys

def pytest_sessionfinish():
    loaders = {name: type(module.__loader__).__name__ for name, module in list(sys.modules.items())
               if name.startswith(("schemathesis.", "pytest_prodcheck."))}
    rewritten = {name for name, loader in loaders.items() if loader == "AssertionRewritingHook"}
    assert "schemathesis.specs.openapi.schemas" in loaders
    print("REWRITTEN", *rewritten, "END")
"""


def test_neither_schemathesis_nor_we_are_rewritten(project: Project) -> None:
    spec = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "paths": {"/a": {"get": {"responses": {"200": {"description": "d"}}}}},
    }
    project.server.on("/openapi.json", json_answer(spec)).on("*", json_answer({}))
    project.configure('openapi = "/openapi.json"\n')
    project.write("conftest.py", CONFTEST)
    project.write("test_own.py", "def test_own():\n    seen = [1]\n    assert seen == [2]\n")
    outcome = project.outcome(
        project.start("--target=prod", "-s", "test_own.py", "suites/contract")
    )
    told = re.search(r"REWRITTEN(.*)END", outcome.output)
    assert told, outcome.output
    # Those that pytest imported as plugins, before there was a target, are small.
    plugins = {f"pytest_prodcheck.{name}" for name in ("plugin", "session.assertion_rewriting")}
    rewritten = set(told[1].split()) - plugins
    assert all(re.fullmatch(r"pytest_prodcheck\.checks\.\w+\.plugin", one) for one in rewritten)
    assert "assert [1] == [2]" in outcome.output


def test_tests_are_found_by_pytest() -> None:
    find = PlainFinder.find_spec
    assert find("pytest_prodcheck.model", pytest_prodcheck.__path__)
    assert find("pytest_prodcheck.suites.smoke", pytest_prodcheck.__path__) is None
    assert find("json") is None


def test_it_ends() -> None:
    before = list(sys.meta_path)
    end = import_plainly()
    assert len(sys.meta_path) == len(before) + 1
    end()
    end()
    assert sys.meta_path == before
