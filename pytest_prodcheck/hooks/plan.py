"""What a run sets out to do, frozen at the end of collection.

A check that is taken out of the run afterwards (`-k`, `--deselect`, another plugin) stays
planned and has then not run: leaving checks out cannot turn a release good.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import os
import re
import textwrap
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from pytest_prodcheck.config import Settings
from pytest_prodcheck.hooks import selection
from pytest_prodcheck.hooks.parameters import is_configured, is_drill, withheld
from pytest_prodcheck.model import CATEGORIES, SEVERITIES, Planned, Problem, Severity
from pytest_prodcheck.record.neutral import text as neutral

TAKEN_OUT = "taken out of the run by another selection than -m"


class Plan:
    """Decides which items count, and tells the process that decides by a file in *work*."""

    def __init__(
        self, config: pytest.Config, settings: Settings, work: Path, shard: str | None
    ) -> None:
        self._config = config
        self._target = settings.target
        self._work = work
        self._shard = shard
        self._planned: dict[str, Planned] = {}
        self._deselected: dict[str, pytest.Item] = {}
        self._ours: set[str] = set()
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._candidates: dict[str, pytest.Item] = {}

    def complain(self, detail: str) -> None:
        """Something that should have been planned could not be: nobody may call that a pass."""
        self._problems.append(Problem(what="required", detail=detail))

    def note(self, text: str) -> None:
        """What the plan rests on, for the header."""
        self._notes.append(neutral(text))

    def refuse(self, detail: str) -> None:
        """The tests themselves are written wrong: nothing runs."""
        self._problems.append(Problem(what="usage", detail=detail))

    def planned(self, item: pytest.Item) -> Planned:
        """How *item* counts. Raises UsageError for markers that say nothing clear."""
        if item.nodeid not in self._planned:
            self._planned[item.nodeid] = self._read(item)
        return self._planned[item.nodeid]

    def _read(self, item: pytest.Item) -> Planned:
        reason = withheld(item)
        if is_drill(item):
            reason = self._target.refuses_drills(datetime.now(UTC).date())
            if self._shard and not reason:
                reason = "a drill changes the target under the other parts of this run"
        elif self._target.read_only and item.get_closest_marker("writes"):
            reason = f"it writes, and target {self._target.name} is read-only"
        return Planned(
            id=neutral(item.nodeid),
            category=_category(item),
            severity=_severity(item),
            permitted=not reason,
            reason=reason,
        )

    def before_selection(self, items: list[pytest.Item]) -> None:
        """Check markers, then take out what does not exist on this target or in this shard."""
        items[:] = filter(is_configured, items)
        self._check_markers(items)
        for item in items:
            self.planned(item)
        here = [item for item in items if self._exists_here(item)]
        if self._shard:
            part, _, whole = self._shard.partition("/")
            mine = set(sorted(item.nodeid for item in here)[int(part) - 1 :: int(whole)])
            here = [item for item in here if item.nodeid in mine]
        stays = set(here)
        gone = [item for item in items if item not in stays]
        if gone:
            items[:] = here
            self._ours = {item.nodeid for item in gone}
            self._config.hook.pytest_deselected(items=gone)
        items.sort(key=_turn)
        self._candidates = {item.nodeid: item for item in items}

    def deselected(self, items: list[pytest.Item]) -> None:
        self._deselected.update((item.nodeid, item) for item in items)

    def after_selection(self, items: list[pytest.Item]) -> None:
        """What vanished from the list without a word counts as deselected too.

        Other hooks may have marked items meanwhile: they are read again, and checked again.
        """
        self._planned.clear()
        self._check_markers(items)
        for item in items:
            self.planned(item)
        left = {item.nodeid for item in items}
        self._deselected.update(
            (nodeid, item) for nodeid, item in self._candidates.items() if nodeid not in left
        )

    def freeze(self, items: list[pytest.Item]) -> None:
        """Write the plan for the process that decides; every worker writes the same."""
        chosen = {item.nodeid for item in items}
        taken_out = [
            msgspec.structs.replace(self.planned(item), reason=TAKEN_OUT)
            for nodeid, item in self._deselected.items()
            if nodeid not in chosen | self._ours and self._was_wanted(item)
        ]
        problems = list(self._problems)
        if self._config.getoption("lf", False):
            detail = "--lf leaves out what passed before: not all checks were collected"
            problems.append(Problem(what="narrowed", detail=detail))
        content = {
            "checks": [*map(self.planned, items), *taken_out],
            "problems": problems,
            "notes": self._notes,
        }
        part = self._work / f"plan-{os.getpid()}.part"
        part.write_bytes(msgspec.json.encode(content))
        part.replace(self._work / "plan.json")

    def _exists_here(self, item: pytest.Item) -> bool:
        return all(self._target.name in mark.args for mark in item.iter_markers("targets"))

    def is_wanted(self, item: pytest.Item) -> bool:
        """Whether it exists on this target, and `-m` will keep it."""
        return self._exists_here(item) and self._was_wanted(item)

    def _was_wanted(self, item: pytest.Item) -> bool:
        """Whether it counts, and `-m` alone would have kept it."""
        expression = self._config.getoption("markexpr", "")
        return _category(item) is not None and selection.matches(expression, item)

    def _check_markers(self, items: list[pytest.Item]) -> None:
        """A typo in a marker silently drops a check: refuse it, in code and after `-m`."""
        known = {re.split(r"[:(]", line)[0].strip() for line in self._config.getini("markers")}
        for name in selection.names(self._config.getoption("markexpr", "")):
            if name not in known:
                raise pytest.UsageError(_unknown(name, "in -m", known))
        for item in items:
            for mark in item.iter_markers():
                if mark.name not in known:
                    raise pytest.UsageError(_unknown(mark.name, f"on {item.nodeid}", known))


def _turn(item: pytest.Item) -> int:
    """Drills need the data that the probes know, so what changes it comes after them; the limits
    judge what all the others have sent."""
    asks_for = getattr(item, "fixturenames", ())
    if "limit" in asks_for:
        return 3
    if "operation" in asks_for or "workflows" in asks_for:
        return 2
    return 1 if is_drill(item) else 0


def _unknown(name: str, where: str, known: set[str]) -> str:
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else "register it under `markers` if it is yours"
    return f"unknown marker {name!r} {where}; {hint}"


def _category(item: pytest.Item) -> str | None:
    names = (mark.name for mark in item.iter_markers())
    return next((name for name in names if name in CATEGORIES), None)


def _severity(item: pytest.Item) -> Severity:
    mark = item.get_closest_marker("severity")
    if mark is None:
        return "major"
    if len(mark.args) == 1 and not mark.kwargs and mark.args[0] in SEVERITIES:
        return cast(Severity, mark.args[0])
    raise pytest.UsageError(
        f"severity{mark.args!r} on {item.nodeid} is not a severity; "
        f"use one of {', '.join(SEVERITIES)}"
    )


_NO_PROOF = frozenset(dir(builtins))


def asserts(function: Any) -> bool:
    """Whether the body of a test can fail on purpose: it asserts, raises, or calls a helper.

    Only what plainly cannot (requests and built-ins, nothing else) is called empty.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return True
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id not in _NO_PROOF:
                return True
            if isinstance(node.func, ast.Attribute) and _proves(node.func):
                return True
    return False


_PROVING = (
    "assert",
    "check",
    "expect",
    "raise",
    "verify",
    "validate",
    "fail",
    "warns",
    "deprecated_call",
)


def _proves(method: ast.Attribute) -> bool:
    on_self = isinstance(method.value, ast.Name) and method.value.id == "self"
    return on_self or method.attr.startswith(_PROVING)
