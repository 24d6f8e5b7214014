"""What drills have changed and not yet undone: on the disk before anything is changed.

One JSON line per step, `{"step": …}`, each of them synced before the next thing happens:

    begin      which drill, on which target, and the flags as they were
    switch     the switch is about to be flipped     switched   it was
    write      something is about to be written      written    it was, and is at `path`
    unwritten  it was refused                        kept       it was, and may stay
    restore    somebody is about to undo it          restored   it was, and somebody looked
    removed    what was written is gone              left       what nobody could undo
    end        nothing is left
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.model import FlagsTold, Record

FILE = "drills.jsonl"
"""In the folder of the run."""


class Begin(Record):
    """What somebody else needs to know to undo a drill."""

    drill: str
    mark: str
    """Stands in whatever the drill writes."""
    run: str
    choice: str
    """What `--target` was given."""
    target: str
    base_url: str
    root: str
    """Folder where the search for the configuration begins."""
    switch: str
    restore: str
    own_service: bool = False
    """The run had started the service: it is gone with the run."""
    before: FlagsTold = FlagsTold()
    started: str = ""


class Rehearsal(Record):
    """One drill, as far as its steps tell."""

    begin: Begin
    switched: bool = False
    """It may be: the intent is written, the undoing is not."""
    writing: int = 0
    """How many things may have been written of which nobody knows where they are."""
    written: tuple[str, ...] = ()
    """Paths of what is still there."""
    ended: bool = False
    left: tuple[str, ...] = ()

    @property
    def leftovers(self) -> list[str]:
        """What may still be changed on the target, one sentence each."""
        if self.ended:
            return []
        begin, found = self.begin, []
        if self.switched:
            found.append(
                f"{begin.switch} of drill {begin.drill!r} may still be in force on "
                f"{begin.target}: undo it with {begin.restore}"
            )
        found += [
            f"what drill {begin.drill!r} wrote may still be at {path}: look there"
            for path in self.written
        ]
        if self.writing:
            found.append(
                f"what drill {begin.drill!r} was about to write may be there; it holds the text "
                f"{begin.mark}"
            )
        return found


class UndoJournal:
    """Appends steps; raises OSError when one cannot be stored, and then nothing may be done.

    All its steps are of the drill with this *mark*. `clean` takes secrets out of a line before it
    is written. `tell` is given each line before the disk is. The steps are kept in memory too: what
    becomes of the file meanwhile changes nothing. `spare`: a disk that fails raises nothing.
    """

    def __init__(
        self, path: Path, mark: str, clean: Callable[[str], str] = str, *, spare: bool = False
    ) -> None:
        self.path = path
        self.tell: Callable[[bytes], object] = lambda _: None
        self._mark = mark
        self._clean = clean
        self._spare = spare
        before = path.read_bytes() if path.exists() else b""
        self._steps = [*_entries(before)]
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if before and not before.endswith(b"\n"):
            os.write(self._file, b"\n")  # lest the next step be lost with the torn one

    def write(self, step: str, **facts: Any) -> None:
        line = self._clean(
            msgspec.json.encode({"step": step, "mark": self._mark, **facts}).decode()
        )
        written = f"{line}\n".encode()
        self.take(written)
        self.tell(written)
        with suppress(*([OSError] if self._spare else [])):
            if os.write(self._file, written) < len(written):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(self._file)

    def take(self, lines: bytes) -> None:
        """Take note of steps that somebody else has written."""
        self._steps += _entries(lines)

    @property
    def rehearsal(self) -> Rehearsal:
        """The drill, as far as its steps tell."""
        return _folded(self._steps)[self._mark]

    def close(self) -> None:
        os.close(self._file)


def rehearsals(path: Path) -> dict[str, Rehearsal]:
    """The drills of a journal by their marks; a torn line, as a kill leaves it, is passed over."""
    return _folded(_entries(path.read_bytes())) if path.exists() else {}


def _folded(steps: Iterable[dict[str, Any]]) -> dict[str, Rehearsal]:
    found: dict[str, Rehearsal] = {}
    for entry in steps:
        mark = entry["mark"]
        if entry["step"] == "begin":
            found[mark] = Rehearsal(begin=msgspec.convert(entry, Begin))
        elif mark in found and (facts := _facts(entry, found[mark])):
            found[mark] = msgspec.structs.replace(found[mark], **facts)
    return found


def _facts(entry: dict[str, Any], so_far: Rehearsal) -> dict[str, Any]:
    match entry["step"]:
        case "switch":
            return {"switched": True}
        case "write":
            return {"writing": so_far.writing + 1}
        case "written":
            return {"writing": so_far.writing - 1, "written": (*so_far.written, entry["path"])}
        case "unwritten" | "kept":
            return {"writing": so_far.writing - 1}
        case "restored":
            return {"switched": False}
        case "removed":
            return {"written": tuple(path for path in so_far.written if path != entry["path"])}
        case "left":
            return {"left": tuple(entry["what"])}
        case "end":
            return {"ended": True}
    return {}


def _entries(lines: bytes) -> Iterator[dict[str, Any]]:
    for line in lines.splitlines():
        with suppress(msgspec.DecodeError):
            yield msgspec.json.decode(line, type=dict[str, Any])


def unfinished(base: Path) -> list[tuple[Path, Rehearsal]]:
    """Drills of all runs below *base* that have left something, or may have."""
    return [
        (path, rehearsal)
        for path in sorted(base.glob(f"*/{FILE}"))
        if re.match(r"\d", path.parent.name)  # not through the link `latest`
        for rehearsal in rehearsals(path).values()
        if rehearsal.leftovers
    ]


def left_behind(run: Path) -> list[str]:
    """What the drills of a run may have left changed on the target, one sentence each."""
    return [
        f"{sentence}; or run `prodcheck drill restore`"
        for rehearsal in rehearsals(run / FILE).values()
        for sentence in rehearsal.leftovers
    ]


def under_way(run: Path) -> bool:
    """Whether somebody may still be undoing a drill of this run."""
    return any(
        rehearsal.leftovers and not rehearsal.left for rehearsal in rehearsals(run / FILE).values()
    )
