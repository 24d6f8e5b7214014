"""The ready-made checks: where they are, and how their ids look the same everywhere."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from pytest_prodcheck.model import CATEGORIES

_PACKAGE = Path(__file__).parents[1]
SUITES = next(
    folder for folder in (_PACKAGE / "suites", _PACKAGE.parent / "suites") if folder.is_dir()
)
"""In a wheel the suites lie inside the package, in a checkout beside it."""


def add_suites(config: pytest.Config) -> None:
    """Collect the suites with every run that does not name test files of its own.

    An argument such as `suites/smoke/test_probes.py::test_probe[GET /health]`, an id as
    reports show it, finds the suite wherever it is installed.
    """
    invocation = config.invocation_params.dir
    args = []
    for arg in config.args:
        path, separator, names = arg.partition("::")
        if not (invocation / path).exists() and path.split("/")[0] == "suites":
            path = str(SUITES.parent / path)
        args.append(path + separator + names)
    folders = [(invocation / arg).resolve() for arg in args]
    if all(map(Path.is_dir, folders)) and not any(map(SUITES.is_relative_to, folders)):
        args.append(str(SUITES))
    config.args[:] = args


class SuiteNames:
    """`suites/smoke/test_health.py::…` is the id of a check, wherever the suites lie."""

    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        """Earlier runs hold no tests: walking a thousand of them takes seconds. And of our own
        suites, `-m smoke` can mean one alone."""
        if collection_path.parent == SUITES and config.option.markexpr in CATEGORIES:
            other = collection_path.name != config.option.markexpr
            return (other and collection_path.name in CATEGORIES) or None
        return (collection_path / "journal.jsonl").is_file() or None

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
        collectors = yield
        if not file_path.is_relative_to(SUITES):
            return collectors
        nodeid = f"suites/{file_path.relative_to(SUITES).as_posix()}"
        return [
            type(collector).from_parent(parent, path=file_path, nodeid=nodeid)
            for collector in collectors
        ]
