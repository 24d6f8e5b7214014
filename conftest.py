"""For our own tests: the markers `fault` and `needs` (`pytester` comes by pyproject.toml:
another project that runs the suites from this checkout loads this file too)."""

import os
import shutil

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "fault(*rows): this test covers these rows of docs/faults.md"
    )
    config.addinivalue_line(
        "markers", "needs(*programs): skip, or fail under CI=true, where none of these is installed"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        if not any(map(shutil.which, marker.args)):
            lacking = f"needs one of these programs: {', '.join(marker.args)}"
            if os.environ.get("CI") == "true":
                pytest.fail(f"{lacking}; CI must install it", pytrace=False)
            pytest.skip(lacking)
