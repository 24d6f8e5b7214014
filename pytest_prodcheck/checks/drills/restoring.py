"""Undo a drill, and look whether it is undone: by the run, its watchdog, or somebody later."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.checks.drills.switching import Held, SwitchFailed, flip
from pytest_prodcheck.checks.modes import flags as modes
from pytest_prodcheck.checks.probes.prober import ask as ask_probe
from pytest_prodcheck.config import Drill, Flags, Probe, Target
from pytest_prodcheck.errors import ProdcheckError
from pytest_prodcheck.http.client import LiveClient
from pytest_prodcheck.http.errors import GONE
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.model import FlagReading, Record, flags_text
from pytest_prodcheck.store.undo_journal import Begin, UndoJournal
from pytest_prodcheck.waiting import until


class Site(Record):
    """The target of a drill, and how it is looked at."""

    target: Target
    connect: Callable[[], LiveClient]
    """A client of its own for each thread."""
    flags: Flags | None
    probes: tuple[Probe, ...]
    """What answers in the steady state; each is sent once."""
    root: Path
    """The folder that commands run in and functions are imported from."""
    held: Held = Held()
    """Files and functions of that folder that the rollback needs."""
    clean: Callable[[str], str] = str

    def troubles(self, probes: Sequence[Probe]) -> dict[str, str]:
        """Probe -> what is wrong with its answer; all are sent at once."""

        def ask(probe: Probe) -> tuple[str, str]:
            with self.connect() as client:
                result = ask_probe(client, msgspec.structs.replace(probe, samples=1), self.clean)
            return probe.id, "; ".join(result.problems) or result.not_run or ""

        with ThreadPoolExecutor(max(1, min(self.target.concurrency, len(probes)))) as threads:
            return {name: wrong for name, wrong in threads.map(ask, probes) if wrong}

    def still_holds(self, drill: Drill) -> str:
        """Return what should hold only while switched, and holds now: it does not show the
        difference."""
        if drill.mode and self.flags:
            try:
                mode = modes.FlagsCheck(self.flags, self.connect).mode
            except (httpx.HTTPError, ProdcheckError, AssertionError):
                return ""  # `differs` says so
            return f"it is in mode {mode}" if mode == drill.mode else ""
        if drill.probes and not drill.breaker and not self.troubles(drill.probes):
            names = ", ".join(probe.id for probe in drill.probes)
            return f"what should hold while switched only holds now: {names}"
        return ""

    def differs(self, before: FlagReading) -> str:
        """Return how the flags differ from before; "" if they do not."""
        if not self.flags:
            return ""
        try:
            run = modes.FlagsCheck(self.flags, self.connect)
            run.reread()
        except (httpx.HTTPError, ProdcheckError, AssertionError) as error:
            return f"the flags cannot be read: {error}"
        now = run.plain() or FlagReading()
        if now != before:
            return f"{shown(before)} before, {shown(now)} now"
        return "; ".join(modes.disagreements(self.flags, run.state).values())


def shown(flags: FlagReading) -> str:
    """`FILE_ONLY (WRITES off, FILES on)`."""
    return f"{flags.mode or 'no mode'} ({flags_text(flags.values)})"


def restore(drill: Drill, begin: Begin, site: Site, journal: UndoJournal, by: str) -> str:
    """Flip the switch back, and look, by other means, whether the target is as it was.

    Returns what is still different, or an empty text. Bounded: `within` to flip it and `within`
    to take effect, each at most one request longer. What a lost network refuses is tried again.
    """
    with suppress(OSError):  # on a full disk, going back matters more than telling so
        journal.write("restore", by=by)
    fill: dict[str, Any] = {"drill": begin.mark, "ttl": 0}

    def back() -> str:
        try:
            with site.connect() as client:
                flip(
                    drill.restore,
                    client,
                    site.root,
                    seconds=drill.within,
                    fill=fill,
                    held=site.held,
                )
        except (SwitchFailed, ProdcheckError) as failure:
            return str(failure)
        return ""

    def different() -> str:
        troubles = site.troubles(site.probes)
        wrong = [f"{name}: {text}" for name, text in troubles.items()]
        still = site.still_holds(drill)
        return "; ".join(filter(None, [site.differs(begin.before), still, *wrong]))

    if refused := until(back, drill.within):
        return f"the switch could not be flipped back: {refused}"
    if not (site.flags or site.probes):
        return f"{drill.restore} was accepted, and nothing is configured that shows more"
    if still := until(different, drill.within):
        return f"{drill.restore} was accepted, but the target is not as it was: {still}"
    journal.write("restored")
    return ""


def remove(paths: Sequence[str], mark: str, site: Site, journal: UndoJournal) -> list[str]:
    """Delete what was written, if it is still what stands there: it has *mark* in it.

    Returns what could not be deleted, or is not ours, with the reason.
    """
    left = []
    for path in paths:
        try:
            with site.connect() as client:
                there = client.get(path)
                if there.status_code not in GONE and mark not in there.text:
                    left.append(f"{path}: something else stands there now; it was left alone")
                    journal.write("removed", path=path, why="not ours")
                    continue
                asked = client.delete(path).status_code
                found = client.get(path).status_code
        except (httpx.HTTPError, ProdcheckError) as failure:
            left.append(f"{path}: {failure}")
            continue
        if found in GONE:
            journal.write("removed", path=path)
        else:
            left.append(f"{path}: DELETE answered {asked}, and GET then {found}")
    return left
