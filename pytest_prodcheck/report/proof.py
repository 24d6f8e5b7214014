"""The proof of a run: its journal, folded and judged again, and compared with `verdict.json`.

The file alone proves nothing: whoever can write into the folder of a run, or edits an artefact by
hand, can change it.
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
"""The content of a `verdict.json`, as plain data."""

DECISIVE = (
    *("run_id", "target", "release", "started", "part", "threshold", "weights", "veto", "score"),
    *("decision", "counts", "categories"),
)
"""Keys that must be equal in file and journal, beside ruling, checks and problems."""

WORST_FIRST: tuple[Ruling, ...] = ("fail", "inconclusive", "pass")

SHOWN = 3
"""Number of differences between file and journal that a message names."""


class Unproven(Exception):
    """A run proves nothing for a gate; the text gives the reason."""

    def __init__(self, reason: str, ruling: Ruling = "inconclusive") -> None:
        super().__init__(reason)
        self.ruling: Ruling = ruling


def verdict_file(run: Path) -> Path:
    """Return the path of the verdict of *run*, which is a folder or that file itself."""
    return run / "verdict.json" if run.is_dir() else run


def recorded(run: Path) -> Content:
    """Return the content of the file; raises Unproven if it has no finished verdict."""
    file = verdict_file(run)
    try:
        content = msgspec.json.decode(file.read_bytes(), type=Content)
        if content.get("schema") != SCHEMA:
            raise Unproven(
                f"{file} has schema {content.get('schema')}, but this gate reads {SCHEMA}"
            )
        if content["state"] == "running":
            raise Unproven("the run has not finished, or was killed: see `prodcheck recover`")
        msgspec.convert(content["state"], State)
        datetime.fromisoformat(content["started"])
        by_itself(content)
        "; ".join(content["reasons"])
    except (OSError, msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
        reason = f"{error.__class__.__name__}: {error}"
        raise Unproven(f"{file} holds no verdict ({reason})") from error
    return content


def proven(run: Path, *, by_journal: bool = True) -> Content:
    """Return the content of `verdict.json` that the journal beside it proves.

    Without *by_journal* only the consistency of the file is checked. Raises Unproven if file and
    journal disagree, or if either cannot be read.
    """
    content = recorded(run)
    file = verdict_file(run)
    if not by_journal:
        again = by_itself(content)
        if content["verdict"] == "pass" and again["verdict"] != "pass":
            reasons = "; ".join(again["reasons"])
            raise Unproven(f"{file} contradicts itself: it says pass, but {reasons}")
        return content
    again = _by_journal(file.parent, content["state"])
    if not (differing := differences(content, again)):
        return again
    ruling = min((content["verdict"], "inconclusive", again["verdict"]), key=WORST_FIRST.index)
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    listed = f"{'; '.join(differing[:SHOWN])}{more}"
    raise Unproven(f"{file} differs from its journal: {listed}", ruling)


def _by_journal(folder: Path, state: State) -> Content:
    """Return the verdict of the journal in *folder*; raises Unproven if there is none."""
    journal = folder / "journal.jsonl"
    try:
        entries = list(read(journal))
        lost = [*unfinished(entries), *(drills_left(folder) if state == "recovered" else ())]
        entries += [ProblemFound(what=one.what, detail=one.detail) for one in lost]
        return _judged(fold(entries, state))
    except FileNotFoundError:
        raise Unproven(
            f"{journal} is missing, and a verdict without its journal may have been changed: keep "
            "both together, or accept the verdict without it with --no-journal"
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


def _checks(checks: list[Content]) -> tuple[Check, ...]:
    """Return the checks of a file, without failures: the file has only their titles."""
    return msgspec.convert([{**check, "failures": ()} for check in checks], tuple[Check, ...])


def _judged(run: Run) -> Content:
    plain: Content = msgspec.json.decode(encode(document(run, judge(run, diagnose(run)))))
    return plain


def differences(file: Content, proven: Content) -> list[str]:
    """Return the differences of a file from the content *proven* by its journal, as phrases."""
    found = []
    if file["verdict"] != proven["verdict"]:
        reasons = "; ".join(proven["reasons"]) or "no failures"
        found.append(f"verdict {file['verdict']}, not {proven['verdict']} ({reasons})")
    found += [
        f"{name} {_short(file.get(name))}, not {_short(proven.get(name))}"
        for name in DECISIVE
        if file.get(name) != proven.get(name)
    ]
    for name in ("problems", "vetoes"):
        found += [f"missing: {_text(one)}" for one in proven[name] if one not in file[name]]
        found += [f"added: {_text(one)}" for one in file[name] if one not in proven[name]]
    for name in ("checks", "unscored"):
        in_file, in_journal = (
            {check["id"]: _outcome(check) for check in content[name]} for content in (file, proven)
        )
        found += [
            f"{id_} {in_file.get(id_, 'missing')}, not {in_journal.get(id_, 'planned')}"
            for id_ in {**in_journal, **in_file}
            if in_file.get(id_) != in_journal.get(id_)
        ]
    return found


def _outcome(check: Content) -> str:
    return f"{check['outcome']} ({check['severity']}, {check['category'] or 'no category'})"


def _text(fact: Content) -> str:
    return str(fact.get("detail") or fact.get("text"))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else f"{text[:117]}..."
