"""The summary at the end of the terminal output, for the on-call developer."""

import textwrap

from pytest_prodcheck.model import Run, Verdict
from pytest_prodcheck.redaction import sanitize
from pytest_prodcheck.report import phrases

MOST_LINES = 20

UNLIMITED = 160
"""Columns for a log file or a CI system, which has no window."""

Line = tuple[str, dict[str, bool]]
"""A line and its markup, as `TerminalWriter.line(text, **markup)` takes them."""

_COLOURS = {"promote": "green", "hold": "yellow", "rollback": "red"}
_LABEL = 14  # "server_error" fits, with two blanks


def summary(run: Run, verdict: Verdict, *, folder: str, width: int) -> list[Line]:
    """Return the verdict in at most 20 lines, first line the decision.

    *folder* is the report's; *width* is the terminal's, in columns. Lines are cut to it, except for
    the command and the path, which are there to be copied. No line contains a control character,
    or anything that a CI runner would take for a command.
    """
    width = max(width, 60)
    markup = {"bold": True, _COLOURS[verdict.decision]: True}
    head: list[Line] = [(text, markup) for text in _headline(run, verdict, width)]
    tail = [
        *_without_result(run),
        *_reasons(run, verdict),
        *_warnings(run),
        *_findings(verdict),
        *_actions(run, verdict),
    ]
    if hint := phrases.release_hint(run, verdict):
        tail.append(_row("release", hint))
    end: list[Line] = []
    if run.command:
        end.append(_row("again", phrases.line(run.command, 2000), bold=True))
    if then := phrases.verification(verdict):
        end.append(_row("then", then, bold=True))
    end.append(_row("report", phrases.line(f"{folder.rstrip('/')}/report.html", 4096), bold=True))

    room = MOST_LINES - len(head) - len(tail) - len(end)
    body = [*_failed(run, verdict, min(room, 9)), *tail]
    lines = [*head, *((phrases.clip(text, width), style) for text, style in body), *end]
    return [(sanitize.text(text), style) for text, style in lines]


def _headline(run: Run, verdict: Verdict, width: int) -> list[str]:
    text = phrases.headline(run, verdict)
    decision, _, sentence = text.partition("  ")
    indent = " " * (len(decision) + 2)
    wrapped = textwrap.wrap(
        sentence,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        max_lines=4,
        placeholder=" …",
    )
    return [f"{decision}  {wrapped[0].strip()}", *wrapped[1:]]


def _failed(run: Run, verdict: Verdict, room: int) -> list[Line]:
    failures = phrases.failed(run)
    shown = failures if len(failures) <= room else failures[: room - 1]
    lines = []
    for check in shown:
        label = phrases.label(check, verdict)
        text = phrases.failure(check, verdict)
        lines.append(_row(label, text, red=label not in ("major", "minor")))
    if len(failures) > len(shown):
        lines.append(_row("", f"… and {len(failures) - len(shown)} more"))
    return lines


def _without_result(run: Run) -> list[Line]:
    lines = []
    for outcome, label in (("not_run", "not run"), ("skipped", "skipped")):
        checks = [check for check in phrases.without_result(run) if check.outcome == outcome]
        if checks:
            first = checks[0]
            gist = phrases.gist(first.message)
            # Such a message begins with the outcome, which is the label already.
            gist = gist.removeprefix("not run: ").removeprefix("Skipped: ")
            reason = f" ({gist})" if gist else ""
            others = f" and {len(checks) - 1} more" if len(checks) > 1 else ""
            lines.append(_row(label, f"{phrases.name(first.id)}{reason}{others}"))
    return lines


def _reasons(run: Run, verdict: Verdict) -> list[Line]:
    """Return the reasons that are not in the headline."""
    if verdict.verdict == "pass":
        return []
    return [_row("why", reason) for reason in phrases.reasons(run, verdict)[:3]]


def _warnings(run: Run) -> list[Line]:
    warned = phrases.warned(run)
    lines = [_row("warning", text, yellow=True) for text in warned[:2]]
    return [*lines, *([_row("", f"… and {len(warned) - 2} more")] if len(warned) > 2 else [])]


def _findings(verdict: Verdict) -> list[Line]:
    return [
        _row("likely", f"{phrases.line(finding.title)} ({finding.confidence} confidence)")
        for finding in verdict.findings[:2]
    ]


def _actions(run: Run, verdict: Verdict) -> list[Line]:
    lines = []
    for action in verdict.actions[:3]:
        due = phrases.deadline(action.within, run.finished)
        text = " ".join(filter(None, [phrases.line(action.action), due]))
        if why := phrases.refused(action):
            lines.append(_row("not now", f"{text}: {why.removeprefix('not now: ')}"))
        else:
            lines.append(_row("do now", text, bold=True))
    if step := phrases.next_step(run, verdict):
        lines.append(_row("do now", step, bold=True))
    if verdict.verdict == "fail" and (good := phrases.last_good(run)):
        lines.append(_row("last good", good))
    return lines


def _row(label: str, text: str, **markup: bool) -> Line:
    return f"  {label:<{_LABEL}}{text}", {name: on for name, on in markup.items() if on}
