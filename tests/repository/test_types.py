"""The types of the fixtures, as authors of tests import them."""

import subprocess
import sys

import pytest

import pytest_prodcheck
from tests import ROOT

EXAMPLE = ROOT / "examples" / "typed" / "test_typed.py"


def test_names_are_sorted_and_all_of_them_are_there():
    names = pytest_prodcheck.__all__
    assert names == sorted(names)
    assert all(isinstance(getattr(pytest_prodcheck, name), type) for name in names)
    assert set(names) <= set(dir(pytest_prodcheck))


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'LiveKlient'"):
        pytest_prodcheck.LiveKlient  # noqa: B018


def test_importing_the_package_imports_nothing_else():
    script = (
        "import sys, pytest_prodcheck\n"
        "print([name for name in sys.modules if name.startswith('pytest_prodcheck.')], "
        "'httpx' in sys.modules, 'msgspec' in sys.modules)\n"
        "from pytest_prodcheck import LiveClient\n"
        "print(LiveClient.__mro__[1].__module__)\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.stdout.splitlines() == ["['pytest_prodcheck.version'] False False", "httpx"]


def test_an_example_with_all_types_is_clean_under_mypy_strict(tmp_path):
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path}"]
    shown = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(EXAMPLE)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stdout


def test_a_wrong_use_of_a_type_is_found(tmp_path):
    """Or the example could be clean since everything is Any."""
    wrong = tmp_path / "test_wrong.py"
    wrong.write_text(
        "from pytest_prodcheck import LiveClient, Measure, OperationCheck\n"
        "def test_it(api: LiveClient, measure: Measure, operation: OperationCheck) -> None:\n"
        "    api.fetch('/health')\n"
        "    measure('name', 'three')\n"
        "    operation.path + 1\n"
    )
    shown = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={tmp_path}", str(wrong)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    lines = [line.split(":")[1] for line in shown.stdout.splitlines() if ": error: " in line]
    assert lines == ["3", "4", "5"], shown.stdout
