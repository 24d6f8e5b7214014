"""What a run proves: its journal, folded and judged again, held against its `verdict.json`.

The file alone proves nothing: whoever can write into the folder of a run, or mends an artefact by
hand, can make it say anything.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.model import SCHEMA, Check, Policy, Problem, Ruling, Run, State, TargetInfo
from pytest_prodcheck.report.verdict_json import document
from pytest_prodcheck.store.entries import ProblemFound
from pytest_prodcheck.store.journal import encode, fold, read
from pytest_prodcheck.store.merge import drills_left, unfinished
from pytest_prodcheck.verdict.diagnosis import diagnose
from pytest_prodcheck.verdict.judge import judge

Content = dict[str, Any]
"""What a `verdict.json` holds, as plain data."""

DECISIVE = (
    *("run_id", "target", "release", "started", "part", "threshold", "weights", "veto", "score"),
    *("decision", "counts", "categories"),
)
"""What file and journal must both say, beside ruling, checks and problems."""

WORST_FIRST: tuple[Ruling, ...] = ("fail", "inconclusive", "pass")

SHOWN = 3
"""Differences between file and journal that a message names."""


class Unproven(Exception):
    """A run proves nothing that a gate could go by; the text says why."""

    def __init__(self, reason: str, ruling: Ruling = "inconclusive") -> None:
        super().__init__(reason)
        self.ruling: Ruling = ruling


def verdict_file(run: Path) -> Path:
    """Return the verdict of *run*, which is a folder or that file itself."""
    return run / "verdict.json" if run.is_dir() else run


def recorded(run: Path) -> Content:
    """Return what the file says. Raises Unproven when it holds no finished verdict."""
    file = verdict_file(run)
    try:
        content = msgspec.json.decode(file.read_bytes(), type=Content)
        if content.get("schema") != SCHEMA:
            told = f"has schema {content.get('schema')}, this gate reads {SCHEMA}"
            raise Unproven(f"{file} {told}")
        if content["state"] == "running":
            raise Unproven("the run has not finished, or was killed: see `prodcheck recover`")
        msgspec.convert(content["state"], State)
        datetime.fromisoformat(content["started"])
        by_itself(content)
        "; ".join(content["reasons"])
    except (OSError, msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
        told = f"holds no verdict ({error.__class__.__name__}: {error})"
        raise Unproven(f"{file} {told}") from error
    return content


def proven(run: Path, *, by_journal: bool = True) -> Content:
    """Return what `verdict.json` should say by the journal beside it.

    Without *by_journal* the file is only held against itself. Raises Unproven when file and
    journal disagree, or when either cannot be read.
    """
    said = recorded(run)
    file = verdict_file(run)
    if not by_journal:
        again = by_itself(said)
        if said["verdict"] == "pass" and again["verdict"] != "pass":
            told = "; ".join(again["reasons"])
            raise Unproven(f"{file} contradicts itself: it says pass, but {told}")
        return said
    again = _by_journal(file.parent, said["state"])
    if not (differing := differences(said, again)):
        return again
    ruling = min((said["verdict"], "inconclusive", again["verdict"]), key=WORST_FIRST.index)
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    told = f"{file} is not what its journal says: {'; '.join(differing[:SHOWN])}{more}"
    raise Unproven(told, ruling)


def _by_journal(folder: Path, state: State) -> Content:
    """Return the verdict of the journal in *folder*. Raises Unproven when it has none."""
    journal = folder / "journal.jsonl"
    try:
        entries = list(read(journal))
        lost = [*unfinished(entries), *(drills_left(folder) if state == "recovered" else ())]
        entries += [ProblemFound(what=one.what, detail=one.detail) for one in lost]
        return _judged(fold(entries, state))
    except FileNotFoundError:
        raise Unproven(
            f"{journal} is missing, and a verdict without its journal may have been changed: keep "
            "both together, or take the verdict alone at its word with --no-journal"
        ) from None
    except (OSError, msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
        raise Unproven(f"{journal} cannot be read ({error.__class__.__name__}: {error})") from error


def by_itself(content: Content) -> Content:
    """Return the verdict that follows from the checks and problems in *content* itself."""
    run = Run(
        run_id=content["run_id"],
        target=msgspec.convert(content["target"], TargetInfo),
        policy=Policy(
            threshold=str(content["threshold"]),
            weights=msgspec.convert(content["weights"], dict[str, int]),
            veto=tuple(content["veto"]),
        ),
        problems=msgspec.convert(content["problems"], tuple[Problem, ...]),
        state=content["state"],
        checks=_checks(content["checks"]),
        unscored=_checks(content["unscored"]),
    )
    return _judged(run)


def _checks(written: list[Content]) -> tuple[Check, ...]:
    """Return the checks of a file, which tells the titles of their failures alone."""
    return msgspec.convert([{**check, "failures": ()} for check in written], tuple[Check, ...])


def _judged(run: Run) -> Content:
    plain: Content = msgspec.json.decode(encode(document(run, judge(run, diagnose(run)))))
    return plain


def differences(said: Content, proven: Content) -> list[str]:
    """Return how the file *said* differs from what its journal has *proven*, as sentences."""
    found = []
    if said["verdict"] != proven["verdict"]:
        why = "; ".join(proven["reasons"]) or "all well"
        found.append(f"verdict {said['verdict']}, not {proven['verdict']} ({why})")
    found += [
        f"{name} {_short(said.get(name))}, not {_short(proven.get(name))}"
        for name in DECISIVE
        if said.get(name) != proven.get(name)
    ]
    for name in ("problems", "vetoes"):
        found += [f"without: {_text(one)}" for one in proven[name] if one not in said[name]]
        found += [f"new: {_text(one)}" for one in said[name] if one not in proven[name]]
    for name in ("checks", "unscored"):
        file, journal = (
            {check["id"]: _outcome(check) for check in content[name]} for content in (said, proven)
        )
        found += [
            f"{id_} {file.get(id_, 'missing')}, not {journal.get(id_, 'planned')}"
            for id_ in {**journal, **file}
            if file.get(id_) != journal.get(id_)
        ]
    return found


def _outcome(check: Content) -> str:
    return f"{check['outcome']} ({check['severity']}, {check['category'] or 'no category'})"


def _text(fact: Content) -> str:
    return str(fact.get("detail") or fact.get("text"))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else f"{text[:117]}..."
