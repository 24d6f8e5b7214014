"""Facts about a run that no hook of pytest reports: from guard, breaker, service and files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_prodcheck.model import Release
from pytest_prodcheck.redaction.redactor import Redactor, scrub
from pytest_prodcheck.session.run_log import RunLog
from pytest_prodcheck.session.scrubbing import WORKERS_ENDS
from pytest_prodcheck.store.entries import ReleaseSeen, Report, ServiceLog, TrafficCounted
from pytest_prodcheck.store.run_directory import Folder
from pytest_prodcheck.store.undo_journal import left_behind, under_way
from pytest_prodcheck.verdict.manifest import missing
from pytest_prodcheck.verdict.releases import is_another
from pytest_prodcheck.waiting import until

if TYPE_CHECKING:
    from pytest_prodcheck.http.throttle import Throttle
    from pytest_prodcheck.service.service import Service
    from pytest_prodcheck.session.release_query import ReleaseQuery

WATCHDOGS = 10.0
"""Seconds that the end of a run waits for drills that a killed worker has left to its watchdog."""

SECOND_TRY = 1.0
"""Seconds until the target is asked once more what is deployed, when the run has ended."""


class WatchedFacts:
    """Looks at what happened beside the hooks, and records it as problems of the run.

    `required` are the checks that the configuration demands of a plan.
    """

    def __init__(
        self,
        log: RunLog,
        folder: Folder,
        redactor: Redactor,
        throttle: Throttle,
        service: Service | None,
        release: ReleaseQuery,
        required: tuple[str, ...],
    ) -> None:
        self._log = log
        self._folder = folder
        self._redactor = redactor
        self._throttle = throttle
        self._service = service
        self._release = release
        self._required = required

    def collect(self) -> None:
        """Record what is new. It may be called as often as one likes."""
        log = self._log
        self.collect_violations()
        ends = self._folder.work / WORKERS_ENDS
        for line in ends.read_bytes().splitlines() if ends.exists() else ():
            log.add("report", msgspec.json.decode(line))
        if release := self._release.take():
            log.write(ReleaseSeen(release=self._clean(release)))
        if self._service and (end := self._service.ended):
            detail = f"the service that this run started {end} before the run was over"
            log.add("target_down", detail)
        if down := self._throttle.down:
            log.add("target_down", down)
        for detail in left_behind(self._folder.path):
            log.add("drill", detail)
        if failure := log.journal.failure:
            log.add("journal", f"the journal could not be written: {failure.strerror}")
        for detail in missing(self._required, log.planned) if self._required else ():
            log.add("required", detail)

    def collect_violations(self) -> None:
        """Record what the guard has refused, in whichever process of the run."""
        ledger = self._folder.work / "violations.jsonl"
        for line in ledger.read_bytes().splitlines() if ledger.exists() else ():
            try:
                violation: dict[str, Any] = msgspec.json.decode(line)
            except msgspec.DecodeError:  # half a line, as a full disk leaves it
                violation = {"test": "", "detail": "a violation whose record is damaged"}
            where = violation["test"] or "outside any test"
            self._log.add("violation", f"{where}: {violation['detail']}")

    def collect_last(self, *, may_ask: bool) -> None:
        """Wait for what is still under way at the end of the run, and record it.

        may_ask: whether the target may be asked for its release.
        """
        until(lambda: "a drill" if under_way(self._folder.path) else "", WATCHDOGS, pause=0.1)
        if may_ask and not self._release.at_once:
            self._release.start()
        self.collect()
        self._compare_releases()
        if traffic := self._traffic():
            self._log.write(traffic)

    def collect_service_log(self) -> None:
        """Record the last lines of the service that the run started, if any."""
        if self._service:
            self._log.write(ServiceLog(log=scrub(self._service.tail(200), self._redactor)))

    def _traffic(self) -> TrafficCounted | None:
        """Return what all processes have counted; None where no request was sent."""
        from pytest_prodcheck.store.tally import Tally

        path = self._folder.work / "tally"
        return Tally(path).traffic().entry() if path.exists() else None

    def _compare_releases(self) -> None:
        """Ask once more what is deployed: of two releases, neither was checked as a whole.

        Asked twice where the first response names no release: one lost response is not a deploy. A
        release that no configuration asks for may be named now and then; only another one counts.
        """
        seen = [entry.release for entry in self._log.entries if isinstance(entry, ReleaseSeen)]
        began = seen[-1] if seen else Release()
        if began == Release() or self._has_ended_early():
            return
        ended = self._release.ask_again()
        if ended == Release() and self._release.at_once:
            time.sleep(SECOND_TRY)
            ended = self._release.ask_again()
        ended = self._clean(ended)
        if is_another(began, ended):
            detail = (
                f"the release changed during the run, from {began.name} to {ended.name}: neither "
                "was checked as a whole; run again"
            )
        elif ended == Release() and self._release.at_once:
            detail = (
                f"the target named its release ({began.name}) when the run began, and none when it "
                "ended: a deploy may be under way; run again when it is over"
            )
        else:
            return
        self._log.add("required", detail)

    def _has_ended_early(self) -> bool:
        """Return whether nothing was asked, or the target must not or cannot be asked more."""
        asked = any(isinstance(entry, Report) for entry in self._log.entries)
        stopped = {"interrupted", "internal", "usage", "target_down"}
        return not asked or any(problem.what in stopped for problem in self._log.problems)

    def _clean(self, release: Release) -> Release:
        return msgspec.convert(scrub(msgspec.to_builtins(release), self._redactor), Release)
