import html.parser

import pytest
from markdown_it import MarkdownIt

from pytest_prodcheck.model import Action, Check, Finding, Policy, Problem, Release, TargetInfo
from pytest_prodcheck.report import markdown
from pytest_prodcheck.verdict.judge import judge
from tests import sample_runs

HOSTILE = (
    "@everyone @octocat fixes #1 GH-2 ![x](http://evil.example/x.png) <details><img src=x> "
    "``` `` ` </code> [a](javascript:alert(1)) www.evil.example | \\` \n```\n# heading\n"
    "::error::owned ##vso[x] \x1b[31m \u202e \udc80"
)


def test_the_first_line_is_the_decision() -> None:
    firsts = [
        markdown.summary(*sample).splitlines()[0]
        for sample in (
            sample_runs.passing(),
            sample_runs.passing(minor_failed=True),
            sample_runs.broken(),
            sample_runs.inconclusive(),
        )
    ]
    where = "on `prod` (version 1.4.2, commit 3e68e18)"
    assert firsts == [
        f"✅ **PROMOTE** pass: score 100 > 90; 16 of 16 checks passed {where}",
        "✅ **PROMOTE** pass: `score 97.91 > 90; 15 of 16 checks passed, 1 minor check failed "
        f"(test_documentation[/docs])` {where}",
        f"⛔ **ROLL BACK** fail: score 61.53, needs more than 90; 2 critical checks failed {where}",
        "⚠️ **HOLD** inconclusive: score 72 so far, needs more than 90; "
        f"4 of 16 planned checks did not run {where}",
    ]


def test_a_pass_is_three_lines() -> None:
    assert len(markdown.summary(*sample_runs.passing()).splitlines()) == 3


def test_a_broken_release_lists_actions_failures_and_findings() -> None:
    text = markdown.summary(*sample_runs.broken())
    assert (
        "- `set ENABLE_DATABASE_WRITES=false` within 5 min (by 21:11 UTC) "
        "because of `database.unreachable: " in text
    )
    assert (
        "- critical: `suites/smoke/test_probes.py::test_probe[GET /health]`: "
        "`GET /health: expected status 200, got 404`" in text
    )
    assert "- The service cannot reach its database (high confidence); next: " in text
    assert "| contract | 50 | 1 of 2 |" in text


def test_it_stays_short_however_much_fails() -> None:
    text = markdown.summary(*sample_runs.many(500, failing=500))
    assert "- … and 490 more" in text
    assert len(text) < 4000


@pytest.mark.fault(96, 97)
def test_nothing_from_outside_mentions_closes_loads_or_opens_anything() -> None:
    """Rendered as HTML, all of it stands in code; no other element than ours is made."""
    checks = tuple(
        Check(
            id=HOSTILE,
            category="smoke" if n else None,
            severity="critical",
            outcome=outcome,
            message=HOSTILE,
        )
        for n, outcome in enumerate(["failed", "failed", "not_run", "skipped"])
    )
    action = Action(when="*", severity="critical", action=HOSTILE, within=HOSTILE)
    run = sample_runs.a_run(
        checks,
        policy=Policy(actions=(action,)),
        target=TargetInfo(name=HOSTILE, base_url=HOSTILE),
        release=Release(version=HOSTILE, commit=HOSTILE),
        problems=(Problem(what="violation", detail=HOSTILE),),
        command=HOSTILE,
    )
    finding = Finding(rule=HOSTILE, title=HOSTILE, confidence="low", next_check=HOSTILE)
    text = markdown.summary(run, judge(run, (finding,)))

    page = _Rendered(MarkdownIt("gfm-like", {"linkify": False}).render(text))
    assert page.tags <= {"p", "strong", "ul", "li", "code", "table", "thead", "tbody", "tr", "th"}
    for trigger in ("@", "#1", "GH-", "www", "http", "<", "![", "heading", "::error::"):
        assert trigger not in page.outside_code
    assert page.code.count("@everyone") > 8
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    assert "##vso[" not in text
    assert not [c for c in text if not c.isprintable() and c not in "\n"]


@pytest.mark.fault(97)
@pytest.mark.parametrize("text", ["see #12", "cc @team", "closes GH-7", "a_b_c", "http://x", "a.b"])
def test_a_reason_that_a_tracker_could_act_on_is_code(text: str) -> None:
    run = sample_runs.a_run((), problems=(Problem(what="internal", detail=text),))
    assert f"`{text}`" in markdown.summary(run, judge(run))


class _Rendered(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.code = self.outside_code = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._inside = self._inside or tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "code"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.code += data
        else:
            self.outside_code += data
