"""Our tests' own conftest: a missing program is a reason to skip, and in CI to fail."""

import pytest

from tests import ROOT
from tests.project import PLAIN

NEEDY = """
import pytest

@pytest.mark.needs("no-such-program", "nor-this")
def test_needy(): pass

@pytest.mark.needs("no-such-program", "sh")
def test_served(): pass
"""


@pytest.fixture(autouse=True)
def needy(pytester: pytest.Pytester) -> None:
    conftest = ROOT / "conftest.py"
    pytester.makeconftest(conftest.read_text(encoding="utf-8"))
    pytester.makepyfile(NEEDY)


def test_a_missing_program_is_named_and_the_test_skipped(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("CI", raising=False)
    result = pytester.runpytest(*PLAIN, "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines("*needs one of these programs: no-such-program, nor-this")


def test_in_ci_a_missing_program_fails_the_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CI", "true")
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        "*needs one of these programs: no-such-program, nor-this; CI must install it"
    )
