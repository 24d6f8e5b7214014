"""The ready-made checks: collected wherever they are installed, under the same ids everywhere."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from pytest_prodcheck.checks.builtin import SUITES
from pytest_prodcheck.model import CATEGORIES

_RESOLVED = SUITES.resolve()


def name_suites(config: pytest.Config) -> bool:
    """Make `suites/…` among the arguments mean the suites; return whether to run all of them.

    They run with every run that names no file, test or suite of its own on the command line.
    """
    invocation = config.invocation_params.dir
    args = config.args[:] = [located(invocation, arg) for arg in config.args]
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return True
    named = [(invocation / arg).resolve() for arg in args]
    if any(_RESOLVED.is_relative_to(folder) for folder in named if folder != _RESOLVED):
        return True
    return not any(path.is_relative_to(_RESOLVED) or not path.is_dir() for path in named)


def located(folder: Path, arg: str) -> str:
    """Return the argument as pytest finds it: `suites/…` means ours, unless *folder* has such a
    path."""
    path, separator, names = arg.partition("::")
    if not (folder / path).exists() and path.split("/")[0] == SUITES.name:
        path = str(SUITES.parent / path)
    return path + separator + names


class SuitesPlugin:
    """Collects the suites beside what pytest finds itself.

    pytest enters neither a virtual environment nor a folder of `norecursedirs`, and either may
    hold the suites. So it is not asked to walk there: they are one more child of the session.
    """

    def __init__(self, *, run_all: bool) -> None:
        self._run_all = run_all

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave out earlier runs, which hold no tests: a thousand of them take seconds to walk.
        And the suites, where they come of their own."""
        if self._run_all and collection_path.name == SUITES.name:
            return collection_path.resolve() == _RESOLVED or None
        return (collection_path / "journal.jsonl").is_file() or None

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if self._run_all and isinstance(collector, pytest.Session) and report.passed:
            suites = Suites.from_parent(collector, name=SUITES.name, nodeid=SUITES.name)
            report.result = [*report.result, suites]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
        """Collect a suite that was named on the command line, so that pytest has walked to it."""
        collectors = yield
        resolved = file_path.resolve() if SUITES.name in file_path.parts else file_path
        if not resolved.is_relative_to(_RESOLVED):
            return collectors
        return [_suite(resolved, parent)] if file_path.match("test_*.py") else []


class Suites(pytest.Collector):
    """All ready-made checks; those of one category where `-m` can mean no other."""

    def collect(self) -> Iterator[pytest.Collector]:
        chosen = self.config.option.markexpr
        category = chosen if chosen in CATEGORIES else "*"
        for file in sorted(_RESOLVED.glob(f"{category}/test_*.py")):
            yield _suite(file, self)


class Suite(pytest.Module):
    """One file of checks, whatever the project calls its own (`python_functions`)."""

    def funcnamefilter(self, name: str) -> bool:
        return name.startswith("test_")


def _suite(file: Path, parent: pytest.Collector) -> Suite:
    """`suites/smoke/test_health.py::…` is the id of a check, wherever the suites lie."""
    nodeid = f"{SUITES.name}/{file.relative_to(_RESOLVED).as_posix()}"
    suite: Suite = Suite.from_parent(parent, path=file, nodeid=nodeid)
    return suite
