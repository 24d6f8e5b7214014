"""Replay of a journal through pytest's own reporters: merged shards and killed runs.

The same reports go through the same hooks as in a live run, so no format needs code of its
own for merging or recovering.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import msgspec
import pytest

from pytest_prodcheck.errors import ProdcheckError
from pytest_prodcheck.model import Run, State, Verdict
from pytest_prodcheck.report.verdict_json import document, text
from pytest_prodcheck.session.reporters import Reports
from pytest_prodcheck.session.xdist_workers import teardown_of
from pytest_prodcheck.store.entries import CollectReport, Entry, Report
from pytest_prodcheck.store.journal import fold
from pytest_prodcheck.store.run_directory import Folder
from pytest_prodcheck.verdict.diagnosis import diagnose
from pytest_prodcheck.verdict.judge import judge


def replay(entries: list[Entry], folder: Folder, state: State) -> tuple[Run, Verdict]:
    """Write every output of *entries* into *folder* again. The journal is the caller's."""
    player = _Player(entries, folder, state)
    options = ["-c", os.devnull, "--rootdir", str(folder.path)]
    options += [argument for name in _NOT_NEEDED for argument in ("-p", f"no:{name}")]
    os.environ.pop("PYTEST_ADDOPTS", None)
    code = pytest.main(options, plugins=[player])
    if not player.done:
        raise ProdcheckError(f"pytest could not replay the journal: it ended with {code!r}")
    folder.tidy()
    return player.run, player.verdict


_NOT_NEEDED = ("cacheprovider", "terminal", "prodcheck", "schemathesis", "hypothesispytest")


class _Player:
    """Feeds reports instead of running tests; ends with the verdict."""

    def __init__(self, entries: list[Entry], folder: Folder, state: State) -> None:
        self._entries = entries
        self._folder = folder
        self.done = False
        self.run = fold(entries, state)
        self.verdict = judge(self.run, diagnose(self.run))

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        self._reports = Reports(config, self._folder)
        config.pluginmanager.register(self._reports)

    def pytest_collection(self) -> bool:
        return True

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        config = session.config
        unfinished: dict[str, pytest.TestReport] = {}
        for entry in self._entries:
            if not isinstance(entry, Report | CollectReport):
                continue
            report = config.hook.pytest_report_from_serializable(
                config=config, data=_as_reported(entry.data)
            )
            if isinstance(entry, CollectReport):
                config.hook.pytest_collectreport(report=report)
                continue
            if isinstance(report.longrepr, list):  # JSON has no tuple, and JUnit wants the one
                report.longrepr = tuple(report.longrepr)
            config.hook.pytest_runtest_logreport(report=report)
            unfinished[report.nodeid] = report
            if report.when == "teardown":
                del unfinished[report.nodeid]
        for report in unfinished.values():
            config.hook.pytest_runtest_logreport(report=teardown_of(report))
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        problems = tuple(self._reports.write(session, self.run, self.verdict))
        yield
        if problems:
            self.run = msgspec.structs.replace(self.run, problems=self.run.problems + problems)
            self.verdict = judge(self.run, diagnose(self.run))
        self._folder.write("verdict.json", text(document(self.run, self.verdict)))
        self.done = True


def _as_reported(data: dict[str, Any]) -> dict[str, Any]:
    """Restore what JSON has changed: reporters want a tuple for a skip, and an object for a
    worker."""
    plain = {name: value for name, value in data.items() if name != "node"}
    if isinstance(plain["longrepr"], list):
        plain["longrepr"] = tuple(plain["longrepr"])
    return plain
