"""Fixtures that several of our test files share."""

from importlib import import_module

import pytest

from tests.postgres import postgres, postgres_server
from tests.project import project

__all__ = ["postgres", "postgres_server", "project"]

KEPT_MODULES = (
    "multiprocessing.forkserver",
    "multiprocessing.pool",
    "multiprocessing.popen_forkserver",
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.spawn",
    "pytest_prodcheck.guard.network",
    "pytest_prodcheck.session.controller",
    "pytest_prodcheck.session.reporters",
    "pytest_prodcheck.store.process_lock",
    "schemathesis.specs.openapi.schemas",
)
"""Imported before any test. After a run in this process pytester forgets the modules that it
brought: there would be two of each, whose classes are strangers to each other, and what a test
replaces in one, a run does not see."""

for module in KEPT_MODULES:
    import_module(module)

SLOW_FIXTURES = {"postgres_server", "project", "pytester", "testdir"}
"""With any of these a test starts a server or a pytest of its own."""

SLOW_FILES = {
    *("test_contract_bodies", "test_demo", "test_documents", "test_generation", "test_html"),
    *("test_packaging", "test_real_services", "test_rehearsal", "test_snippets", "test_types"),
}
"""Tests of these start browsers, services, builds, or Schemathesis."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes seconds: `scripts/test -m "not slow"` leaves it out."""
    for item in items:
        fixtures = SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if fixtures or item.path.stem in SLOW_FILES:
            item.add_marker("slow")
