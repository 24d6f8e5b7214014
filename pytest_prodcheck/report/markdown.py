"""`summary.md`: the verdict for a step summary, a chat message or an issue."""

import re
from collections.abc import Iterable

from pytest_prodcheck.model import Action, Check, Run, Verdict
from pytest_prodcheck.redaction import sanitize
from pytest_prodcheck.report import phrases

_MARKS = {"promote": "✅", "hold": "⚠️", "rollback": "⛔"}
_MOST_FAILED = 10
_MOST_OTHERS = 5

_PROSE = re.compile(r"(?:[A-Za-z0-9 ,;()%>='/-]|:(?=[ \d])|\.(?=\d))*\.?")
"""Text without anything that GitHub, GitLab or a chat would act on: no @, no #, no link."""


def summary(run: Run, verdict: Verdict) -> str:
    """Return the verdict as Markdown, first line the decision.

    Text from the target, a test id or the configuration is put into a code span, so that it
    mentions nobody, closes no issue, loads no image and opens no tag.
    """
    parts = [_first_line(run, verdict)]
    if verdict.verdict != "pass" and (reasons := phrases.reasons(run, verdict)):
        parts.append(_bullets("Why", map(_prose, reasons)))
    if verdict.actions or phrases.next_step(run, verdict):
        parts.append(_actions(run, verdict))
    if verdict.findings:
        parts.append(_findings(verdict))
    if failures := phrases.failed(run):
        rows = (_failure(check, verdict) for check in failures)
        parts.append(_bullets("Failed", rows, _MOST_FAILED))
    if warned := phrases.warned(run):
        parts.append(_bullets("Warnings", map(_code, warned)))
    if checks := phrases.without_result(run):
        parts.append(_bullets("Without a result", map(_missing, checks)))
    if len(verdict.categories) > 1:
        parts.append(_categories(verdict))
    if hint := phrases.release_hint(run, verdict):
        parts.append(_prose(hint))
    if run.command:
        parts.append(f"Run it again: {_code(run.command, 1000)}")
    return "\n\n".join(parts) + "\n"


def _first_line(run: Run, verdict: Verdict) -> str:
    sentence = _prose(phrases.facts(run, verdict))
    release = phrases.release(run)
    place = f" on {_code(run.target.name)}" + (f" ({_prose(release)})" if release else "")
    mark = _MARKS[verdict.decision]
    decision = phrases.DECISIONS[verdict.decision]
    return f"{mark} **{decision}** {verdict.verdict}: {sentence}{place}"


def _bullets(title: str, items: Iterable[str], most: int = _MOST_OTHERS) -> str:
    texts = list(items)
    shown = [f"- {text}" for text in texts[:most]]
    if len(texts) > most:
        shown.append(f"- … and {len(texts) - most} more")
    return "\n".join([f"**{title}**", "", *shown])


def _actions(run: Run, verdict: Verdict) -> str:
    def row(action: Action) -> str:
        due = phrases.deadline(action.within, run.finished)
        why = "; ".join(map(phrases.line, action.evidence[:3]))
        parts = [_code(action.action), _prose(due), f"because of {_code(why or action.when)}"]
        if action.verify:
            parts.append(f"(verify: {_code(action.verify)})")
        if action.refused:
            parts.append(f"**{_prose(phrases.refused(action))}**")
        return " ".join(filter(None, parts))

    rows = [row(action) for action in verdict.actions]
    if step := phrases.next_step(run, verdict):
        rows.append(_prose(step))
    if verdict.verdict == "fail" and (good := phrases.last_good(run)):
        rows.append(f"last good release: {_prose(good)}")
    if then := phrases.verification(verdict):
        rows.append(f"afterwards run it again, then {_code(then)}")
    return _bullets("Do now", rows)


def _failure(check: Check, verdict: Verdict) -> str:
    kind = phrases.label(check, verdict) if check.category else "without a category"
    kind += ", flaky" if check.outcome == "flaky" else ""
    text = f"{kind}: {_code(check.id)}"
    gist = phrases.gist(check.message)
    since = phrases.since(check, verdict)
    text += f": {_code(since)}" if since else ""
    return f"{text}: {_code(gist)}" if gist else text


def _missing(check: Check) -> str:
    text = f"{phrases.OUTCOMES[check.outcome]}: {_code(check.id)}"
    gist = phrases.gist(check.message)
    return f"{text}: {_code(gist)}" if gist else text


def _findings(verdict: Verdict) -> str:
    def row(title: str, confidence: str, next_check: str) -> str:
        text = f"{_prose(title)} ({confidence} confidence)"
        return f"{text}; next: {_prose(next_check)}" if next_check else text

    rows = [row(f.title, f.confidence, f.next_check) for f in verdict.findings]
    return _bullets("Likely", rows)


def _categories(verdict: Verdict) -> str:
    rows = [
        f"| {_prose(name)} | {'' if found.score is None else phrases.number(found.score)} "
        f"| {found.passed} of {found.planned} |"
        for name, found in verdict.categories.items()
    ]
    return "\n".join(["| category | score | passed |", "| --- | ---: | ---: |", *rows])


def _prose(text: str) -> str:
    """Return *text* unchanged if it contains only words; otherwise as code."""
    one_line = phrases.line(text)
    harmless = _PROSE.fullmatch(one_line) and "GH-" not in one_line and "www" not in one_line
    return one_line if harmless else _code(one_line)


def _code(text: str, limit: int = 300) -> str:
    """Return *text* as one line of code, which nothing in it can end."""
    return sanitize.code(phrases.line(text, limit) or " ")
