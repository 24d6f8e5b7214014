"""The ready-made checks are found wherever the package is installed, under the same ids."""

import json
from pathlib import Path
from textwrap import dedent

import pytest

from tests.environment import make_environment, run_pytest
from tests.project import Project

PROBE = "suites/smoke/test_probes.py::test_probe[GET /ok]"
HEALTH = "suites/smoke/test_health.py::test_health[/ok]"
PRIVATE = "suites/smoke/test_private.py::test_nothing_private_is_public[paths]"
SMOKE = {PROBE, HEALTH, PRIVATE}
OWN = "tests/test_own.py::test_own"


@pytest.fixture
def installed(project: Project) -> Project:
    """A project with a test of its own and the package in its `.venv`."""
    project.configure('[[probes]]\nget = "/ok"\n', health='"/ok"', private='["/internal"]')
    project.write("pyproject.toml", "[tool.pytest]\n")
    (project.path / "tests").mkdir()
    project.write(
        "tests/test_own.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_own(api):
            assert api.get("/ok").status_code == 200
        """,
    )
    make_environment(project.path / ".venv")
    return project


def planned(project: Project, *args: str, python: Path | None = None, cwd: str = ".") -> set[str]:
    """The ids of a passing run's checks."""
    folder = project.path / cwd
    found = run_pytest(
        python or project.path / ".venv/bin/python", "--target=prod", *args, cwd=folder
    )
    assert found.returncode == 0, found.stdout
    verdict = json.loads((folder / "prodcheck-report/latest/verdict.json").read_text())
    assert all(check["outcome"] == "passed" for check in verdict["checks"])
    ids = [check["id"] for check in verdict["checks"]]
    assert len(ids) == len(set(ids))
    return set(ids)


@pytest.mark.parametrize(
    "name", ["venv", "environment of mine", ".tox/py311", ".nox/tests", "src/node_modules/.venv"]
)
def test_suites_in_an_environment_of_any_name_are_found(project: Project, name: str) -> None:
    project.configure('[[probes]]\nget = "/ok"\n', health='"/ok"', private='["/internal"]')
    python = make_environment(project.path / name)
    assert planned(project, "-m", "smoke", python=python) == SMOKE


def test_suites_in_a_conda_environment_are_found(project: Project) -> None:
    project.configure('[[probes]]\nget = "/ok"\n', health='"/ok"', private='["/internal"]')
    python = make_environment(project.path / "envs" / "shop")
    (project.path / "envs/shop/conda-meta").mkdir()
    (project.path / "envs/shop/conda-meta/history").touch()
    assert planned(project, "-m", "smoke", python=python) == SMOKE


@pytest.mark.parametrize(
    "args",
    [
        ["-m", "smoke"],
        [],
        ["."],
        ["tests"],
        ["tests", "."],
        ["-m", "smoke", "-n", "2"],
        ["--import-mode=importlib"],
        ["--rootdir=tests"],
        ["-c", "elsewhere/pytest.ini"],
        ["--keepduplicates", "-m", "smoke or contract"],
    ],
    ids=" ".join,
)
def test_all_suites_run_with_whatever_names_no_file(installed: Project, args: list[str]) -> None:
    (installed.path / "elsewhere").mkdir()
    installed.write("elsewhere/pytest.ini", "[pytest]\n")
    own = OWN.removeprefix("tests/") if args == ["--rootdir=tests"] else OWN
    assert planned(installed, *args) == {*SMOKE, own}


@pytest.mark.parametrize(
    "settings",
    [
        'testpaths = ["tests"]',
        'testpaths = ["tests/test_*.py"]',
        'norecursedirs = ["*/.venv/*", "smoke", ".*"]',
        'python_files = ["test_own.py", "tests.py"]',
        'python_functions = ["test_own"]\npython_classes = ["Check"]',
        'addopts = ["--import-mode=importlib", "--doctest-modules"]',
        'addopts = ["--ignore-glob=*/.venv/*", "--ignore=.venv"]',
        "strict = true\nfilterwarnings = ['error']",
    ],
)
def test_no_setting_of_the_project_hides_the_suites(installed: Project, settings: str) -> None:
    installed.write("pyproject.toml", f"[tool.pytest]\n{settings}\n")
    assert planned(installed, "-m", "smoke") == {*SMOKE, OWN}


def test_suites_are_found_from_a_sub_folder(installed: Project) -> None:
    installed.write("pyproject.toml", '[tool.pytest]\ntestpaths = ["tests"]\n')
    assert planned(installed, "-m", "smoke", cwd="tests") == {*SMOKE, OWN}


def test_suites_are_found_in_a_src_layout(installed: Project) -> None:
    (installed.path / "src/shop").mkdir(parents=True)
    installed.write("src/shop/__init__.py", "")
    installed.write("tests/__init__.py", "")
    installed.write(
        "pyproject.toml",
        '[tool.pytest]\npythonpath = ["src"]\naddopts = ["--import-mode=importlib"]\n',
    )
    assert planned(installed, "-m", "smoke") == {*SMOKE, OWN}


def test_suites_are_found_from_a_part_of_a_monorepo(installed: Project) -> None:
    """The environment lies above the root of this pytest, beside other projects."""
    part = installed.path / "services" / "shop"
    part.mkdir(parents=True)
    installed.write("services/shop/pyproject.toml", "[tool.pytest]\n")
    python = installed.path / ".venv/bin/python"
    assert planned(installed, "-m", "smoke", python=python, cwd="services/shop") == SMOKE


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([PROBE], {PROBE}),
        (["-n", "2", PROBE, HEALTH], {PROBE, HEALTH}),
        (["suites/smoke/test_probes.py"], {PROBE}),
        (["suites/smoke", "--import-mode=importlib"], SMOKE),
        (["suites", "-m", "smoke"], SMOKE),
        (["tests/test_own.py", "suites/smoke/test_health.py"], {OWN, HEALTH}),
        (["tests", "suites/smoke/test_health.py"], {OWN, HEALTH}),
        (["tests/test_own.py"], {OWN}),
        ([".", "suites/smoke"], {*SMOKE, OWN}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_suites_are_named_by_their_ids(
    installed: Project, args: list[str], expected: set[str]
) -> None:
    assert planned(installed, *args) == expected


def test_suites_are_named_by_their_ids_from_a_sub_folder(installed: Project) -> None:
    assert planned(installed, PROBE, "test_own.py", cwd="tests") == {PROBE, OWN}


def test_an_id_that_no_suite_has_is_a_usage_error(installed: Project) -> None:
    python = installed.path / ".venv/bin/python"
    found = run_pytest(
        python, "--target=prod", "suites/smoke/test_probes.py::test_none", cwd=installed.path
    )
    assert found.returncode == 4, found.stdout
    assert "not found" in found.stdout


def test_suites_of_the_projects_own_are_collected_too(installed: Project) -> None:
    (installed.path / "suites").mkdir()
    (installed.path / "suites/test_more.py").write_text(
        dedent("""
        import pytest

        @pytest.mark.smoke
        def test_more(api):
            assert api.get("/ok").status_code == 200
        """)
    )
    more = "suites/test_more.py::test_more"
    assert planned(installed, "-m", "smoke") == {*SMOKE, OWN, more}
    assert planned(installed, more) == {more}
