"""Runs of less than a team planned: chosen files and ids, `-k`, `--lf`, `--ignore`.

Folders and `-m` are how a team names its plan. Whatever is narrower is a part of a run.
"""

from __future__ import annotations

import pytest

from pytest_prodcheck.counting import counted
from pytest_prodcheck.model import Part
from pytest_prodcheck.session.builtin_suites import located

CHOSEN: pytest.StashKey[str] = pytest.StashKey()
"""What the command line chose, as `chosen_on_command_line` returns it."""

LEFT_OUT = {
    "lf": "--lf leaves out what passed before",
    "stepwise": "--stepwise begins where the last run failed",
    "ignore": "--ignore leaves out files",
    "ignore_glob": "--ignore-glob leaves out files",
}
"""Options of pytest that narrow a run before anything is collected."""


def chosen_on_command_line(config: pytest.Config) -> str:
    """Return `ids` or `files` where the command line names any, else an empty string.

    Files in `testpaths` or `addopts` are the team's plan.
    """
    typed = config.invocation_params.args
    chosen = [arg for arg in config.args if arg in typed]
    if any("::" in arg for arg in chosen):
        return "ids"
    here = config.invocation_params.dir
    paths = [here / located(here, arg) for arg in chosen]
    files = [path for path in paths if not path.is_dir() and not config.option.pyargs]
    return "files" if files else ""


def left_out_before_collection(config: pytest.Config) -> list[str]:
    """Return why not all checks were collected, as sentences."""
    ignores = any(arg.startswith("--ignore") for arg in config.invocation_params.args)
    return [
        f"{sentence}: not all checks were collected"
        for option, sentence in LEFT_OUT.items()
        if config.getoption(option, None) and (ignores or not option.startswith("ignore"))
    ]


def part_of_run(chosen: str, selected: int, taken_out: int, generated: int) -> Part | None:
    """Return what to say of a run of *selected* checks; None when it is the whole plan.

    *taken_out* were deselected; *generated* is how many checks the chosen ids were picked from.
    """
    if taken_out:
        return Part(text=_selected(selected, selected + taken_out))
    if chosen == "ids":
        return Part(text=_selected(selected, max(selected, generated)), chosen=True)
    if chosen == "files":
        text = f"only chosen files were run, with {counted(selected, 'check')}"
        return Part(text=text, chosen=True)
    return None


def _selected(some: int, all_: int) -> str:
    return f"{some} of {counted(all_, 'check')} {'was' if some == 1 else 'were'} selected"
