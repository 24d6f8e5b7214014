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
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_prodcheck.checks import mark_expressions
from pytest_prodcheck.checks.markers import (
    category,
    exists_on,
    severity,
    targets_of,
    wrong_arguments,
)
from pytest_prodcheck.checks.parameters import is_configured, withheld
from pytest_prodcheck.config import Settings
from pytest_prodcheck.model import Planned, Problem
from pytest_prodcheck.redaction.sanitize import text as clean
from pytest_prodcheck.session.partial_run import CHOSEN, left_out_before_collection, part_of_run

TAKEN_OUT = "taken out of the run by another selection than -m"
TAKEN_OUT_LATE = "taken out of the run after its plan was made, by a conftest or another plugin"


class Plan:
    """The items that count, written to a file in *work* for the controller."""

    def __init__(
        self, config: pytest.Config, settings: Settings, work: Path, shard: str | None
    ) -> None:
        self._config = config
        self._target = settings.target
        self._targets = settings.targets
        self._work = work
        self._shard = shard
        self._planned: dict[str, Planned] = {}
        self._deselected: dict[str, pytest.Item] = {}
        self._ours: set[str] = set()
        self._elsewhere: list[pytest.Item] = []
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._candidates: dict[str, pytest.Item] = {}
        """Before any selection; then, once that is made, what is left of them."""
        self._whole: list[str] = []
        """Ids of the plan that all parts of a run share; empty where this is not a part."""
        self._frozen: list[pytest.Item] = []
        self._taken_out: set[str] = set()
        self._generated: set[str] = set()
        """Ids of all checks that the chosen ids were picked from."""

    def complain(self, detail: str) -> None:
        """Something that should have been planned could not be: nobody may call that a pass."""
        self._problems.append(Problem(what="required", detail=detail))

    def note(self, text: str) -> None:
        """Add a line to the header: what the plan rests on."""
        self._notes.append(clean(text))

    def refuse(self, detail: str) -> None:
        """Refuse the whole run: the tests themselves are written wrong."""
        self._problems.append(Problem(what="usage", detail=detail))

    def planned(self, item: pytest.Item) -> Planned:
        """Return how *item* counts; its markers have been checked."""
        if item.nodeid not in self._planned:
            self._planned[item.nodeid] = self._read(item)
        return self._planned[item.nodeid]

    def _read(self, item: pytest.Item) -> Planned:
        reason = self._config.hook.pytest_prodcheck_withheld(item=item)
        if reason is None:
            reason = withheld(item)
            if not reason and self._target.read_only and item.get_closest_marker("writes"):
                reason = f"it writes, and target {self._target.name} is read-only"
        return Planned(
            id=clean(item.nodeid),
            category=category(item),
            severity=severity(item),
            permitted=not reason,
            reason=reason,
        )

    def generated(self, items: Iterable[object]) -> None:
        """Count the checks that pytest makes, also those that an id does not choose."""
        self._generated.update(
            item.nodeid
            for item in items
            if isinstance(item, pytest.Function)
            and is_configured(item)
            and self._was_wanted(item)
            and exists_on(self._target.name, item)
        )

    def before_selection(self, items: list[pytest.Item]) -> None:
        """Take out what does not exist on this target or in this shard."""
        items[:] = filter(is_configured, items)
        for item in items:
            self.planned(item)
        here = [item for item in items if exists_on(self._target.name, item)]
        if self._shard:
            expression = self._config.getoption("markexpr", "")
            self._whole = [
                clean(item.nodeid) for item in here if mark_expressions.matches(expression, item)
            ]
            part, _, whole = self._shard.partition("/")
            mine = set(sorted(item.nodeid for item in here)[int(part) - 1 :: int(whole)])
            here = [item for item in here if item.nodeid in mine]
        stays = set(here)
        gone = [item for item in items if item not in stays]
        if gone:
            items[:] = here
            self._ours = {item.nodeid for item in gone}
            self._config.hook.pytest_deselected(items=gone)
        self._elsewhere = [item for item in gone if not exists_on(self._target.name, item)]
        self._candidates = {item.nodeid: item for item in items}

    def deselected(self, items: list[pytest.Item]) -> None:
        self._deselected.update((item.nodeid, item) for item in items)

    def after_selection(self, items: list[pytest.Item]) -> None:
        """Take over what is left after selection; items that vanished count as deselected.

        Other hooks may have marked items meanwhile: they are read again, and checked again.
        """
        self._planned.clear()
        items.sort(key=self._order)  # after pytest-randomly and the like
        self.check_markers(items)
        for item in items:
            self.planned(item)
        left = {item.nodeid for item in items}
        self._deselected.update(
            (nodeid, item) for nodeid, item in self._candidates.items() if nodeid not in left
        )
        self._candidates = {item.nodeid: item for item in items}

    def _order(self, item: pytest.Item) -> int:
        return self._config.hook.pytest_prodcheck_order(item=item) or 0

    def _left_elsewhere(self) -> Iterator[str]:
        """Return why there is no check left, as sentences."""
        if wanted := [item for item in self._elsewhere if self._was_wanted(item)]:
            names = sorted({name for item in wanted for name in targets_of(item)})
            yield f"{len(wanted)} of the checks exist on other targets only: {', '.join(names)}"
        unwanted = [
            item
            for item in self._deselected.values()
            if category(item) and item.nodeid not in self._ours and not self._was_wanted(item)
        ]
        if unwanted:
            expression = self._config.getoption("markexpr", "")
            yield f"-m {expression!r} leaves out all {len(unwanted)} checks that were collected"

    def freeze(self, items: list[pytest.Item]) -> None:
        """Write the plan for the process that decides; every worker writes the same."""
        chosen = {item.nodeid for item in items}
        self._frozen = list(items)
        gone = [nodeid for nodeid in self._candidates if nodeid not in chosen]
        self._deselected.update((nodeid, self._candidates[nodeid]) for nodeid in gone)
        taken_out = [
            msgspec.structs.replace(self.planned(item), reason=TAKEN_OUT)
            for nodeid, item in self._deselected.items()
            if nodeid not in chosen | self._ours and self._was_wanted(item)
        ]
        problems = list(self._problems)
        problems += [
            Problem(what="narrowed", detail=detail)
            for detail in left_out_before_collection(self._config)
        ]
        selected = sum(category(item) is not None for item in items)
        if not selected and not taken_out:
            problems += map(_nothing_planned, self._left_elsewhere())
        content = {
            "part": part_of_run(
                self._config.stash.get(CHOSEN, ""), selected, len(taken_out), len(self._generated)
            ),
            "checks": [*map(self.planned, items), *taken_out],
            "whole": self._whole,
            "problems": problems,
            "notes": self._notes,
        }
        part = self._work / f"plan-{os.getpid()}.part"
        part.write_bytes(msgspec.json.encode(content))
        part.replace(self._work / "plan.json")

    def restore(self, items: list[pytest.Item]) -> None:
        """Put back what was taken out since `freeze`: xdist counts on it, and it is to be named.

        It will not run: see `was_taken_out`.
        """
        left = {item.nodeid for item in items}
        self._taken_out = {item.nodeid for item in self._frozen}.difference(left)
        if self._taken_out:
            items[:] = self._frozen

    def was_taken_out(self, item: pytest.Item) -> bool:
        """Return whether somebody took *item* out of the run after the plan was made."""
        return item.nodeid in self._taken_out

    def is_wanted(self, item: pytest.Item) -> bool:
        """Return True if the item exists on this target, and `-m` will keep it."""
        return exists_on(self._target.name, item) and self._was_wanted(item)

    def _was_wanted(self, item: pytest.Item) -> bool:
        """Return True if the item counts, and `-m` alone would have kept it."""
        expression = self._config.getoption("markexpr", "")
        return category(item) is not None and mark_expressions.matches(expression, item)

    def check_markers(self, items: list[pytest.Item]) -> None:
        """Refuse a typo in a marker, in code and after `-m`: it would silently drop a check."""
        known = {re.split(r"[:(]", line)[0].strip() for line in self._config.getini("markers")}
        for name in mark_expressions.names(self._config.getoption("markexpr", "")):
            if name not in known:
                raise pytest.UsageError(_unknown(name, "in -m", known))
        for item in items:
            for mark in item.iter_markers():
                if mark.name not in known:
                    raise pytest.UsageError(_unknown(mark.name, f"on {item.nodeid}", known))
            if wrong := wrong_arguments(item, self._targets):
                raise pytest.UsageError(wrong)


def _nothing_planned(detail: str) -> Problem:
    return Problem(what="required", detail=detail)


def _unknown(name: str, where: str, known: set[str]) -> str:
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else "register it under `markers` if it is yours"
    return f"unknown marker {name!r} {where}; {hint}"


_NO_PROOF = frozenset(dir(builtins))


def asserts(function: Any) -> bool:
    """Return True if the body of a test can fail on purpose: it asserts, raises, or calls a helper.

    Only a test that plainly cannot (requests and built-ins, nothing else) is called empty.
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
