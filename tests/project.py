"""A small project with a target, as a user would have it, and one run of its checks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml  # noqa: F401

# Imported before pytester takes stock of the modules, so that no run loads them again.
from tests.faulty import FaultyServer, json_answer

PLAIN = ("-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:randomly")
SECRETLESS = {"PRODCHECK_TARGET", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER"}


@dataclass
class Outcome:
    """What a run left: exit code, terminal, files."""

    exit: int
    output: str
    folder: Path

    @property
    def verdict(self) -> dict[str, Any]:
        return json.loads((self.folder / "verdict.json").read_text())

    @property
    def page(self) -> str:
        return (self.folder / "report.html").read_text()

    @property
    def junit(self) -> str:
        return (self.folder / "junit.xml").read_text()

    @property
    def ruling(self) -> tuple[str, int]:
        return self.verdict["verdict"], self.exit

    def check(self, name: str) -> dict[str, Any]:
        """The one check whose id ends in *name*."""
        (found,) = (c for c in self.verdict["checks"] if c["id"].endswith(name))
        return found

    def outcomes(self) -> dict[str, str]:
        return {c["id"].rpartition("::")[2]: c["outcome"] for c in self.verdict["checks"]}


@dataclass
class Project:
    """A folder with `prodcheck.toml` for *server*; `run` starts pytest there for real."""

    pytester: pytest.Pytester
    server: FaultyServer
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.pytester.path

    def configure(self, text: str = "", **keys: str) -> None:
        lines = [f"{key} = {value}" for key, value in keys.items()]
        target = "\n".join(["[targets.prod]", f'base_url = "{self.server.url}"', *lines])
        (self.path / "prodcheck.toml").write_text(f"{target}\n{dedent(text)}")

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.write_text(dedent(text))
        return path

    def start(self, *args: str, **options: Any) -> "subprocess.Popen[str]":
        environ = {k: v for k, v in os.environ.items() if k not in SECRETLESS} | self.environ
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *PLAIN, *self._planned(args)],
            cwd=self.path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            **options,
        )

    def outcome(self, process: "subprocess.Popen[str]", timeout: float = 90) -> Outcome:
        output, _ = process.communicate(timeout=timeout)
        return Outcome(process.returncode, output, self.path / "prodcheck-report" / "latest")

    def _planned(self, args: Sequence[str]) -> list[str]:
        """Make files that a test names the project's whole plan, instead of a part of it; the
        ready-made suites stay away, as they do from files that somebody types."""
        files = [arg for arg in args if arg.endswith(".py") and (self.path / arg).is_file()]
        if not files or any("::" in arg or arg.startswith("suites/") for arg in args):
            return list(args)
        others = [arg for arg in args if arg not in files]
        return ["-p", "no:prodcheck-suites", "-o", f"testpaths={' '.join(files)}", *others]

    def run(self, *args: str, target: str = "prod", typed: bool = False) -> Outcome:
        """In this process, which is much quicker; `start` is for what ends a process.

        *typed*: the arguments are taken as somebody would type them, also the names of files.
        """
        with pytest.MonkeyPatch.context() as patch:
            for name in SECRETLESS:
                patch.delenv(name, raising=False)
            for name, value in self.environ.items():
                patch.setenv(name, value)
            given = args if typed else self._planned(args)
            result = self.pytester.runpytest_inprocess(*PLAIN, f"--target={target}", *given)
        output = "\n".join([*result.outlines, *result.errlines])
        return Outcome(int(result.ret), output, self.path / "prodcheck-report" / "latest")


@pytest.fixture
def project(pytester: pytest.Pytester) -> Iterator[Project]:
    """A project whose target `prod` is a local server that answers at `/ok`."""
    with FaultyServer() as server:
        server.on("/ok", json_answer({"status": "healthy"}))
        made = Project(pytester, server)
        made.configure()
        yield made
