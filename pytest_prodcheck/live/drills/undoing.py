"""Finish a drill that its run did not: with nothing but its journal and the configuration."""

from pathlib import Path

from pytest_prodcheck.errors import ProdcheckError, UsageError
from pytest_prodcheck.live.alone import alone
from pytest_prodcheck.live.drills.lease import Lease
from pytest_prodcheck.live.drills.restoring import Site, remove, restore
from pytest_prodcheck.live.lean_httpx import httpx
from pytest_prodcheck.model import Record
from pytest_prodcheck.record.undo import Begin, Rehearsal, UndoJournal, rehearsals, unfinished

COMMAND = "prodcheck drill restore"


class Undone(Record):
    """A drill that somebody finished later."""

    run: str
    drill: str
    target: str
    left: tuple[str, ...] = ()
    """What could not be undone."""


def finish_all(base: Path) -> list[Undone]:
    """Every drill below *base* that has left something. One that is still under way is left to
    its run, and said to be."""
    done = []
    for journal, rehearsal in unfinished(base):
        begin = rehearsal.begin
        lease = Lease.take(begin.base_url)
        if lease is None:
            left = ["it is still under way on this machine: wait for its end"]
        else:
            try:
                left = finish(journal, rehearsal, by=COMMAND)
            finally:
                lease.release()
        run = journal.parent.name
        done.append(Undone(run=run, drill=begin.drill, target=begin.target, left=tuple(left)))
    return done


def finish(journal: Path, rehearsal: Rehearsal, by: str) -> list[str]:
    """Restore and remove what *rehearsal* left; returns what is left after that.

    Credentials come from the environment, as for a run. Raises UsageError when the configuration
    no longer has that drill.
    """
    begin = rehearsal.begin
    with alone(begin.choice, root=Path(begin.root), base_url=begin.base_url) as there:
        settings = there.settings
        drill = next((one for one in settings.drills if one.name == begin.drill), None)
        if drill is None:
            raise UsageError(
                f"the configuration of {begin.target} has no drill {begin.drill!r} any more: put "
                f"it back, or undo it by hand: {'; '.join(rehearsal.leftovers)}"
            )
        steps = UndoJournal(journal, begin.mark, there.clean)
        site = Site(
            target=settings.target,
            connect=there.connect,
            flags=settings.flags,
            probes=settings.target.probes,
            root=settings.file.parent if settings.file else Path(begin.root),
            clean=there.clean,
        )
        if begin.own_service and _is_gone(site):
            steps.write("end", by=by, why="the service that the run started is gone")
            return []
        told = restore(drill, begin, site, steps, by) if rehearsal.switched else ""
        remove(rehearsal.written, site, steps)
        return _closed(steps, begin, told, by)


def _closed(steps: UndoJournal, begin: Begin, told: str, by: str) -> list[str]:
    """End the drill in its journal, if nothing is left of it."""
    now = rehearsals(steps.path)[begin.mark]
    left = [*now.leftovers, *([told] if told else [])]
    # What may have been written nobody can find but a person, who is told once.
    if now.switched or now.written or (now.writing and by != COMMAND):
        steps.write("left", what=left)
    else:
        steps.write("end")
    steps.close()
    return left


def _is_gone(site: Site) -> bool:
    try:
        with site.connect() as client:
            client.get("/")
    except httpx.ConnectError:
        return True
    except (httpx.HTTPError, ProdcheckError):
        return False
    return False
