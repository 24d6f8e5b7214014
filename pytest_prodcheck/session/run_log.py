"""The journal of a run, the problems in it, and the verdict on both."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pytest_prodcheck.model import Planned, Problem, Run, Verdict
from pytest_prodcheck.redaction.redactor import Redactor, scrub
from pytest_prodcheck.store.entries import Begin, Entry, Plan, ProblemFound
from pytest_prodcheck.store.journal import Journal, fold
from pytest_prodcheck.verdict.diagnosis import diagnose
from pytest_prodcheck.verdict.judge import judge


class RunLog:
    """All that the verdict on one run is made of, on the disk before anybody else sees it.

    `path` is the journal's file. Raises OSError when the first entry, `begin`, cannot be stored:
    nothing has been sent yet, and a run that leaves no record must not begin.
    """

    def __init__(self, path: Path, begin: Run, redactor: Redactor) -> None:
        self._redactor = redactor
        self._began = time.monotonic()
        self._problems: dict[Problem, None] = {}
        self._folded: tuple[int, Run] | None = None
        self.journal = Journal(path)
        self.write(Begin(**msgspec.structs.asdict(begin)))
        if self.journal.failure:
            raise self.journal.failure

    @property
    def entries(self) -> list[Entry]:
        return self.journal.entries

    @property
    def problems(self) -> list[Problem]:
        return list(self._problems)

    @property
    def planned(self) -> list[Planned]:
        """Every check that was planned."""
        plans = [entry for entry in self.entries if isinstance(entry, Plan)]
        return [check for plan in plans for check in plan.checks]

    def write(self, entry: Entry) -> None:
        """Append an entry; `journal.failure` says if it could not be stored."""
        self.journal.write(entry)

    def add(self, what: str, detail: str) -> bool:
        """Record what keeps the run from being a pass. Return False if it is known already."""
        problem = Problem(what=what, detail=scrub(detail, self._redactor))
        if problem in self._problems:
            return False
        self._problems[problem] = None
        self.write(ProblemFound(what=problem.what, detail=problem.detail))
        return True

    def judge(self) -> tuple[Run, Verdict]:
        """Return the run so far and the verdict on it; fold anew only if something was added."""
        if self._folded is None or self._folded[0] != len(self.entries):
            self._folded = len(self.entries), fold(self.entries)
        run = msgspec.structs.replace(
            self._folded[1],
            finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
            duration_s=round(time.monotonic() - self._began, 3),
        )
        return run, judge(run, diagnose(run))
