"""Finish a drill that its run did not: with nothing but its journal and the configuration."""

from contextlib import closing
from pathlib import Path

from pytest_prodcheck.checks.drills.lease import Lease
from pytest_prodcheck.checks.drills.restoring import Site, remove, restore
from pytest_prodcheck.checks.probes.prober import ANSWERS
from pytest_prodcheck.config import Drill
from pytest_prodcheck.errors import ProdcheckError, UsageError
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.model import Record
from pytest_prodcheck.service.standalone import standalone_target
from pytest_prodcheck.store.undo_journal import FILE, Rehearsal, UndoJournal, rehearsals, unfinished

COMMAND = "prodcheck drill restore"


class Undone(Record):
    """A drill that somebody finished later."""

    run: str
    drill: str
    target: str
    left: tuple[str, ...] = ()
    """What could not be undone."""


def finish_all(place: Path) -> list[Undone]:
    """Undo every drill of a run, or of the runs below *place*, that has left something.

    One that is still under way is left to its run, and reported. Raises UsageError where there is
    no run.
    """
    done = []
    for journal, rehearsal in _unfinished(place):
        begin = rehearsal.begin
        lease = Lease.take(begin.base_url)
        if lease is None:
            left = ["it is still under way on this machine: wait for its end"]
        else:
            try:
                left = finish(journal, rehearsal, by=COMMAND)
            except (ProdcheckError, OSError) as error:  # the others must not wait for this one
                left = [str(error)]
            finally:
                lease.release()
        run = journal.parent.name
        done.append(Undone(run=run, drill=begin.drill, target=begin.target, left=tuple(left)))
    return done


def _unfinished(place: Path) -> list[tuple[Path, Rehearsal]]:
    if (place / "journal.jsonl").exists():
        run = place.resolve()
        return [(run / FILE, one) for one in rehearsals(run / FILE).values() if one.leftovers]
    if not any(place.glob("*/journal.jsonl")):
        raise UsageError(
            f"{place} holds no run: name the folder of a run, or the one where runs are written"
        )
    return unfinished(place)


def finish(journal: Path, rehearsal: Rehearsal, by: str) -> list[str]:
    """Restore and remove what *rehearsal* left; returns what is left after that.

    Credentials come from the environment, as for a run. Raises UsageError when the configuration
    no longer has that drill.
    """
    begin = rehearsal.begin
    # A run's folder may have come from another machine.
    root = Path(begin.root) if Path(begin.root).is_dir() else Path.cwd()
    with standalone_target(begin.choice, root=root, base_url=begin.base_url) as there:
        settings = there.settings
        drill = next((one for one in settings.drills if one.name == begin.drill), None)
        if drill is None:
            raise UsageError(
                f"the configuration of {begin.target} has no drill {begin.drill!r} any more: put "
                f"it back, or undo it by hand: {'; '.join(rehearsal.leftovers)}"
            )
        site = Site(
            target=settings.target,
            connect=there.connect,
            flags=settings.flags,
            probes=settings.target.probes or (ANSWERS,),
            root=settings.file.parent if settings.file else root,
            clean=there.clean,
        )
        with closing(UndoJournal(journal, begin.mark, there.clean)) as steps:
            return undo(drill, site, steps, by)


def undo(drill: Drill, site: Site, steps: UndoJournal, by: str) -> list[str]:
    """Restore and remove what the drill of these *steps* left; returns what is left after that."""
    rehearsal = steps.rehearsal
    begin = rehearsal.begin
    if begin.own_service and _is_gone(site):
        steps.write("end", by=by, why="the service that the run started is gone")
        return []
    still = restore(drill, begin, site, steps, by) if rehearsal.switched else ""
    not_ours = remove(rehearsal.written, begin.mark, site, steps)
    return _closed(steps, [still, *not_ours], by)


def _closed(steps: UndoJournal, still: list[str], by: str) -> list[str]:
    """End the drill in its journal, if nothing is left of it."""
    now = steps.rehearsal
    left = [*now.leftovers, *filter(None, still)]
    # Only a person can find what may have been written: it is reported once.
    if now.switched or now.written or (now.writing and by != COMMAND):
        steps.write("left", what=left)
    else:
        steps.write("end")
    return left


def _is_gone(site: Site) -> bool:
    try:
        with site.connect() as client:
            client.get("/")
    except httpx.ConnectError:
        return True
    except (httpx.HTTPError, ProdcheckError):
        pass
    return False
