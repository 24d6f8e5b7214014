"""The undo journal of drills: each change is on the disk before it is made.

One JSON line per step, `{"step": …}`, each of them synced before the next thing happens:

    begin      the drill, its target, and the flags before it
    switch     the switch is about to be flipped     switched   it was flipped
    write      something is about to be written      written    it was, and is at `path`
    unwritten  the write was refused                 kept       it was written, and may stay
    restore    the switch is about to be undone      restored   it was, and this was verified
    removed    a written thing was removed           left       changes that could not be undone
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

from pytest_prodcheck.model import FlagReading, Record

FILE = "drills.jsonl"
"""Name of the file in the run's folder."""


class Begin(Record):
    """The facts that another process needs to undo a drill."""

    drill: str
    mark: str
    """Text in everything that the drill writes."""
    run: str
    choice: str
    """The value of `--target`."""
    target: str
    base_url: str
    root: str
    """Folder in which the search for the configuration begins."""
    switch: str
    restore: str
    own_service: bool = False
    """The run had started the service, which ends with the run."""
    before: FlagReading = FlagReading()
    started: str = ""


class Rehearsal(Record):
    """The state of one drill, by its steps so far."""

    begin: Begin
    switched: bool = False
    """The switch may be flipped: the intent is written, the undoing is not."""
    writing: int = 0
    """Number of things that may have been written to an unknown path."""
    written: tuple[str, ...] = ()
    """Paths of written things that are still there."""
    ended: bool = False
    left: tuple[str, ...] = ()

    @property
    def leftovers(self) -> list[str]:
        """Return a sentence for each change that may still be on the target."""
        if self.ended:
            return []
        begin, found = self.begin, []
        if self.switched:
            found.append(
                f"{begin.switch} of drill {begin.drill!r} may still be in force on "
                f"{begin.target}: undo it with {begin.restore}"
            )
        found += [
            f"data that drill {begin.drill!r} wrote may still be at {path}: check it"
            for path in self.written
        ]
        if self.writing:
            found.append(
                f"data that drill {begin.drill!r} was about to write may exist; it contains "
                f"the text {begin.mark}"
            )
        return found


class UndoJournal:
    """A journal of steps; OSError means that a step could not be stored and must not be taken.

    All its steps belong to the drill with this *mark*. `clean` removes secrets from a line before
    it is written. `tell` gets each line before the disk does. The steps are kept in memory too, so
    that later changes of the file do not matter. `spare`: a failing disk raises nothing.
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
            os.write(self._file, b"\n")  # otherwise the next step would be lost with the torn line

    def write(self, step: str, **facts: Any) -> None:
        """Append one step and sync it to the disk; raises OSError."""
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
        """Add steps that another process has written."""
        self._steps += _entries(lines)

    @property
    def rehearsal(self) -> Rehearsal:
        """Return the state of the drill, by its steps so far."""
        return _folded(self._steps)[self._mark]

    def close(self) -> None:
        os.close(self._file)


def rehearsals(path: Path) -> dict[str, Rehearsal]:
    """Return the drills of a journal by their marks; a line that a kill has torn is skipped."""
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
    """Return the drills of all runs below *base* that have left, or may have left, a change."""
    return [
        (path, rehearsal)
        for path in sorted(base.glob(f"*/{FILE}"))
        if re.match(r"\d", path.parent.name)  # not through the link `latest`
        for rehearsal in rehearsals(path).values()
        if rehearsal.leftovers
    ]


def left_behind(run: Path) -> list[str]:
    """Return a sentence for each change that a run's drills may have left on the target."""
    return [
        f"{sentence}; or run `prodcheck drill restore`"
        for rehearsal in rehearsals(run / FILE).values()
        for sentence in rehearsal.leftovers
    ]


def under_way(run: Path) -> bool:
    """Return True if another process may still be undoing a drill of this run."""
    return any(
        rehearsal.leftovers and not rehearsal.left for rehearsal in rehearsals(run / FILE).values()
    )
