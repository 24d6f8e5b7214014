"""A virtual environment of a project, with the package installed in it as its wheel would be."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest_prodcheck
from pytest_prodcheck.session.builtin_suites import SUITES
from tests.project import PLAIN, SECRETLESS

PACKAGE = Path(pytest_prodcheck.__file__).parent


def make_environment(folder: Path) -> Path:
    """Make it and return its python. What the package needs comes from the environment of the
    tests by a `.pth` file: installing it would take half a minute."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    home = Path(sys.base_prefix) / "bin"
    (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    shutil.copytree(PACKAGE, packages / PACKAGE.name)
    if SUITES.parent != PACKAGE:
        shutil.copytree(SUITES, packages / PACKAGE.name / SUITES.name)
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "dependencies.pth").write_text("\n".join(others) + "\n")
    for name in ("pytest", "prodcheck"):
        module = "pytest" if name == "pytest" else "pytest_prodcheck.cli"
        script = python.with_name(name)
        script.write_text(f'#!/bin/sh\nexec "{python}" -P -m {module} "$@"\n')
        script.chmod(0o755)
    return python


def run(*command: str | Path, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run it there, without what the environment says about another run of pytest."""
    inherited = {name: value for name, value in os.environ.items() if name not in SECRETLESS}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=inherited | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )


def run_pytest(python: Path, *args: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return run(python, "-P", "-m", "pytest", *PLAIN, *args, cwd=cwd)
