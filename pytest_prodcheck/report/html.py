"""The report page: the HTML fragments that prodcheck adds to pytest-html's report.

pytest-html writes titles, ids, links and extras into its page unchanged; each function here
returns markup in which no text from a target, a test or a file is live.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.model import Check, Exchange, Record, Run, Verdict
from pytest_prodcheck.redaction import sanitize
from pytest_prodcheck.report import foreign_html, phrases
from pytest_prodcheck.report import latency_chart as latencies

if TYPE_CHECKING:
    import jinja2

PAGE = Path(__file__).parent / "page"
STYLE = PAGE / "style.css"
"""For pytest-html's `--css`; a self-contained report embeds it."""

FILES = ("verdict.json", "junit.xml", "summary.md", "journal.jsonl")
"""Files beside the page."""

MOST_SHOWN = 20
"""Failed checks that are shown at the top with all their evidence; the table has each."""
MOST_OPEN = 5
"""Failed checks whose most relevant exchange is unfolded."""
MOST_LISTED = 500
"""Lines of any list, so that the page opens quickly."""
MOST_EXCHANGES = 10
MOST_TEXT = 4000
"""Characters of a message or a log; the journal has the rest."""

_ID_CELL = ('<td class="col-testId">', "</td>")


def title(run: Run, verdict: Verdict) -> str:
    """Return the title of the browser's tab, as plain text: pytest-html escapes titles itself."""
    return f"{phrases.DECISIONS[verdict.decision]} · {phrases.line(run.target.name, 60)}"


def summary(run: Run, verdict: Verdict) -> str:
    """Return the top of the page, for the `prefix` of `pytest_html_results_summary`."""
    failures = phrases.failed(run)
    kinds = {
        check.id: [v.kind for v in verdict.vetoes if v.check == check.id and v.kind != "critical"]
        for check in failures
    }
    return _template("summary.html").render(
        run=run,
        verdict=verdict,
        title=title(run, verdict),
        decision=phrases.DECISIONS[verdict.decision],
        facts=phrases.facts(run, verdict),
        release=phrases.release(run),
        release_hint=phrases.release_hint(run, verdict),
        last_good=phrases.last_good(run),
        reasons=phrases.reasons(run, verdict) if verdict.verdict != "pass" else [],
        kinds=lambda check: kinds.get(check.id, []),
        since=lambda check: phrases.since(check, verdict),
        step=phrases.next_step(run, verdict),
        warned=phrases.warned(run),
        gauge=_gauge(verdict),
        tally=_tally(run),
        actions=[(a, phrases.deadline(a.within, run.finished)) for a in verdict.actions],
        back=[
            (name, text)
            for name, text in (
                ("Last good release", phrases.last_good(run)),
                ("Afterwards", _afterwards(verdict)),
            )
            if text and verdict.verdict == "fail"
        ],
        failures=[(check, _mismatches(check.message)) for check in failures[:MOST_SHOWN]],
        more_failures=failures[MOST_SHOWN:MOST_LISTED],
        hidden_failures=max(0, len(failures) - MOST_LISTED),
        others=_others(run),
        latency=latencies.picture(run),
        files=FILES,
        link=run.target.base_url if _web(run.target.base_url) else "",
        script=(PAGE / "page.js").read_text(encoding="utf-8"),
        most=MOST_LISTED,
    )


def _afterwards(verdict: Verdict) -> str:
    command = phrases.verification(verdict)
    return f"run it again, then {command}" if command else ""


def evidence(exchanges: Sequence[Exchange]) -> str:
    """Return the exchanges of a check, for the details below its row in the table."""
    return _template("evidence.html").render(exchanges=exchanges)


def extras(
    given: Iterable[Mapping[str, Any]], exchanges: Sequence[Exchange], node_id: str
) -> list[dict[str, Any]]:
    """Return the new `report.extras`, set before pytest-html sees the report: evidence first.

    The extras of a test are made harmless: HTML is shown as its source, and a link stays a link
    only if it is relative or goes to http(s).
    """
    kept = [foreign_html.harmless(extra) for extra in given]
    if exchanges:
        kept.insert(0, foreign_html.extra_of("html", evidence(exchanges)))
    return kept if foreign_html.survives(node_id) else []


def row(cells: list[str]) -> None:
    """Escape the id in the cells of `pytest_html_results_table_row`, in place."""
    start, end = _ID_CELL
    inner = cells[1].removeprefix(start).removesuffix(end)
    cells[1] = f"{start}{escape(phrases.line(inner, 1000))}{end}"


def keep_compiled_templates(folder: Path) -> None:
    """Keep compiled templates in *folder* from the first page on: that saves a run 0.2 s."""
    _CACHE_FOLDERS.append(folder)


_CACHE_FOLDERS: list[Path] = []


@cache
def _template(name: str) -> "jinja2.Template":
    import jinja2  # imported here, because only a run that writes a page needs it

    def harmless(value: Any) -> Any:
        return sanitize.text(value) if type(value) is str else value

    folder = next((one for one in _CACHE_FOLDERS if os.access(one, os.W_OK)), None)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE),
        bytecode_cache=jinja2.FileSystemBytecodeCache(str(folder)) if folder else None,
        autoescape=True,
        finalize=harmless,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        line=phrases.line,
        refused=phrases.refused,
        clip=phrases.clip,
        ms=phrases.milliseconds,
        number=phrases.number,
        size=_size,
    )
    templates.tests["good"] = lambda status: status is not None and status < 400
    templates.globals.update(
        OUTCOMES=phrases.OUTCOMES,
        MOST_TEXT=MOST_TEXT,
        MOST_OPEN=MOST_OPEN,
        MOST_EXCHANGES=MOST_EXCHANGES,
    )
    return templates.get_template(name)


def _size(count: int) -> str:
    return f"{count} bytes" if count < 10_000 else f"{count / 1000:,.0f} kB"


def _web(url: str) -> bool:
    """Return True if a browser may follow the URL."""
    return url.startswith(("http://", "https://"))


# Parts of the page


class _Mismatch(Record):
    """A line of a message with the expected and the actual value."""

    what: str
    expected: str
    got: str


_MISMATCH = re.compile(r"(?:(?P<what>.{1,200}?)[:,]? )?expected (?P<expected>.+?), got (?P<got>.+)")


def _mismatches(message: str) -> tuple[list[_Mismatch], str]:
    """Return the leading lines `what: expected this, got that` of a message, and the rest."""
    lines = message[:MOST_TEXT].removeprefix("AssertionError: ").splitlines()
    mismatches = []
    while lines and (match := _MISMATCH.fullmatch(lines[0].strip())):
        mismatches.append(_Mismatch(**match.groupdict("")))
        del lines[0]
    return mismatches, "\n".join(lines).strip()


class _Gauge(Record):
    score: float
    """0 to 100; the width of the bar."""
    threshold: float
    text: str
    above: bool


def _gauge(verdict: Verdict) -> _Gauge | None:
    if verdict.score is None or not math.isfinite(verdict.score):
        return None
    return _Gauge(
        score=min(max(verdict.score, 0.0), 100.0),
        threshold=min(max(verdict.threshold, 0.0), 100.0),
        text=phrases.number(verdict.score),
        above=verdict.score > verdict.threshold,
    )


def _tally(run: Run) -> list[tuple[str, str, int]]:
    """Return (outcome, name, count) for each outcome that occurs, and the most important others."""
    counts = [
        (outcome, name, sum(check.outcome == outcome for check in run.checks))
        for outcome, name in phrases.OUTCOMES.items()
    ]
    return [entry for entry in counts if entry[2] or entry[0] in ("passed", "failed", "not_run")]


def _others(run: Run) -> list[tuple[str, str, list[Check]]]:
    """Return (outcome, heading, checks) of the checks that neither passed nor failed."""
    groups = (
        ("not_run", "Did not run"),
        ("skipped", "Skipped or expected to fail"),
        ("known", "Known failures, accepted for now (they do not count)"),
        ("not_permitted", "Not permitted on this target (they do not count)"),
    )
    everything = [*run.checks, *run.unscored]
    found = [
        (outcome, heading, [check for check in everything if check.outcome == outcome])
        for outcome, heading in groups
    ]
    return [group for group in found if group[2]]
