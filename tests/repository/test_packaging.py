"""What the scripts install is pinned, and setting up says what it does and what it lacks."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

PIN = re.compile(r"([a-z0-9-]+)==(\S+)(?: ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")

Shell = Callable[..., subprocess.CompletedProcess[str]]


def pins(name: str) -> set[str]:
    """`name==version` of each line of a lock."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return {f"{pin[1]}=={pin[2]}" for pin in map(PIN.match, lines) if pin}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_holds_pins_with_hashes_and_nothing_else(lock: Path):
    """No index host, no path of a machine, no package that another index could replace."""
    lines = [
        line
        for line in lock.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    assert [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)] == []
    assert len([line for line in lines if PIN.fullmatch(line)]) > 20
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert not PIN.fullmatch(line) or HASH.fullmatch(following), f"no hash: {line}"


def test_what_the_project_declares_is_in_the_locks():
    core = {pin.partition("==")[0] for pin in pins("core")}
    demo = {pin.partition("==")[0] for pin in pins("demo")}
    assert names(PROJECT["dependencies"]) - core == set()
    assert names(PROJECT["optional-dependencies"]["demo"]) - demo == set()
    assert names(PROJECT["optional-dependencies"]["demo"]) & core == set()


def test_the_locks_agree_so_that_one_environment_serves_the_demo_and_the_tests():
    assert pins("core") < pins("demo") < pins("dev")


def test_the_second_lock_differs_by_the_oldest_pytest_that_is_supported():
    differing = {re.sub(r"\.\d+$", "", pin) for pin in pins("dev") ^ pins("dev-pytest-9.1")}
    assert differing == {"pytest==9.1", "pytest==9.2"}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run bash in a project of its own with our scripts/setup; `PATH` holds `tmp_path/bin`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "some.txt").write_text("thing==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")

    def run(script: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", "-c", f'set -euo pipefail; . "{ROOT}/scripts/setup"; {script}'],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"} | env,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_python_that_is_too_old_is_passed_over(shell: Shell, tmp_path: Path):
    for too_old in ("python3", "python3.14", "python3.13"):
        program(tmp_path / "bin" / too_old, "exit 1")
    program(tmp_path / "bin" / "python3.12", f'exec "{sys.executable}" "$@"')
    done = shell("find_python")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/bin/python3.12\n")


def test_no_fitting_python_is_told_in_two_sentences(shell: Shell, tmp_path: Path):
    program(tmp_path / "bin" / "old", "exit 1")
    done = shell("setup some", PYTHON="old")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "No Python 3.11 to 3.14 with venv was found (tried: old).\n"
        "Install one (Debian, Ubuntu: apt-get install python3-venv), "
        "or name it: PYTHON=/path/to/python3 /bin/bash\n"
    )


def test_setting_up_is_done_once_and_again_when_a_pin_changes(shell: Shell, tmp_path: Path):
    program(tmp_path / ".venv" / "bin" / "python", "echo Collecting thing")
    assert shell("setup some").stdout == "Installing requirements/some.txt, once\n"
    assert shell("setup some").stdout == ""
    (tmp_path / "requirements" / "some.txt").write_text("thing==2\n")
    assert shell("setup some").stdout == "Installing requirements/some.txt, once\n"


def test_progress_is_shown(shell: Shell, tmp_path: Path):
    program(
        tmp_path / ".venv" / "bin" / "python",
        "seq -f 'Collecting thing%g' 21; echo Installing collected packages",
    )
    assert shell("packages some .venv").stdout.splitlines() == (
        ["Installing requirements/some.txt, once", "  10 packages", "  20 packages", "  installing"]
    )


def test_a_failed_installation_says_why_and_is_tried_again(shell: Shell, tmp_path: Path):
    program(tmp_path / ".venv" / "bin" / "python", "echo no route to the index >&2; exit 1")
    for _ in range(2):
        done = shell("setup some")
        assert (done.returncode, done.stderr) == (1, "no route to the index\n")
