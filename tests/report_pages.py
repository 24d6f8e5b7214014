"""Pages made by the real pytest-html out of our fragments, and what a browser makes of them."""

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec

from pytest_prodcheck.model import Run, Verdict
from pytest_prodcheck.report import html

CONFTEST = """
import json, sys
from pathlib import Path
import msgspec, pytest
from pytest_prodcheck.model import Run, Verdict
from pytest_prodcheck.report import html

HERE = Path(__file__).parent
RUN = msgspec.json.decode((HERE / "run.json").read_bytes(), type=Run)
VERDICT = msgspec.json.decode((HERE / "verdict.json").read_bytes(), type=Verdict)
CHECKS = {f"test_run.py::test_check[{n}]": c for n, c in enumerate([*RUN.checks, *RUN.unscored])}

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    given = getattr(report, "extras", [])
    exchanges = ()
    if check := CHECKS.get(report.nodeid):
        report.nodeid = check.id
        exchanges = check.exchanges if report.when == "call" else ()
    report.extras = html.extras(given, exchanges, report.nodeid)

@pytest.hookimpl(tryfirst=True)
def pytest_html_results_table_row(cells):
    html.row(cells)

def pytest_html_results_summary(prefix):
    prefix.append(html.summary(RUN, VERDICT))

def pytest_metadata(metadata):
    for name in set(metadata) - {"Python", "Platform"}:
        del metadata[name]
"""

TESTS = """
import pytest
from conftest import CHECKS, RUN

@pytest.mark.parametrize("number", range(len(CHECKS)))
def test_check(number):
    check = list(CHECKS.values())[number]
    if check.outcome in ("failed", "flaky"):
        raise AssertionError(check.message)
    if check.outcome != "passed":
        pytest.skip(check.message)
"""


def write(
    folder: Path, run: Run, verdict: Verdict, tests: str = TESTS, conftest: str = CONFTEST
) -> Path:
    """A run of the real pytest-html in *folder*; returns its page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_bytes(msgspec.json.encode(run))
    (folder / "verdict.json").write_bytes(msgspec.json.encode(verdict))
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "test_run.py").write_text(tests, encoding="utf-8")
    page = folder / "report.html"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_metadata.plugin"]
    command += ["-p", "pytest_html.plugin", f"--html={page}", "--self-contained-html"]
    command += [f"--css={html.STYLE}", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert page.is_file(), done.stdout + done.stderr
    return page


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def browse(page: Path, *options: str, profile: Path) -> str:
    """What headless Chromium prints for *page*; its profile is a new folder."""
    program = next(filter(None, map(shutil.which, BROWSERS)))
    command = [program, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--disable-quic", "--no-first-run", "--disable-background-networking"]
    command += ["--disable-component-update", "--disable-sync", "--hide-scrollbars"]
    command += [f"--user-data-dir={profile}", *options, page.as_uri()]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=60, check=True
    )
    return done.stdout


class Markup(HTMLParser):
    """The elements of a serialised document: (tag, attributes), with `template`s inside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]
