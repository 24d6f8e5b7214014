import msgspec
import pytest

from pytest_prodcheck.model import (
    Action,
    Check,
    Finding,
    LastRelease,
    Problem,
    Release,
    Run,
    TargetInfo,
)
from pytest_prodcheck.report import terminal
from pytest_prodcheck.verdict.judge import judge
from tests import sample_runs

HOSTILE = (
    "\x1b[31mred \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x1b]52;c;cm0gLXJm\x07"
    "\r\n::error::owned ##vso[task.complete] ##teamcity[buildStop] \x9b2J \u202egnp.exe "
    "\udc80 \x00 \u2028::add-mask::x"
)


def lines_of(run: Run, *, width: int = 100, findings: tuple[Finding, ...] = ()) -> list[str]:
    shown = terminal.summary(run, judge(run, findings), folder="prodcheck-report/x", width=width)
    return [text for text, _ in shown]


def shown(sample: tuple) -> list[str]:
    return [text for text, _ in terminal.summary(*sample, folder="prodcheck-report/x/", width=100)]


def test_a_pass_says_so_in_one_line_and_where_the_report_is() -> None:
    assert shown(sample_runs.passing()) == [
        "PROMOTE  pass: score 100 > 90; 16 of 16 checks passed on prod "
        "(version 1.4.2, commit 3e68e18)",
        "  again         pytest --target=prod -m smoke",
        "  report        prodcheck-report/x/report.html",
    ]


def test_a_pass_with_a_failed_minor_check_names_it_in_the_first_line() -> None:
    first, second, *rest = shown(sample_runs.passing(minor_failed=True))
    assert f"{first} {second.strip()}".startswith(
        "PROMOTE  pass: score 97.91 > 90; 15 of 16 checks passed, 1 minor check failed "
        "(test_documentation[/docs]) on prod"
    )
    assert any("test_documentation[/docs]" in line for line in rest)


def test_a_broken_release_says_what_failed_what_to_do_and_by_when() -> None:
    assert shown(sample_runs.broken()) == [
        "ROLL BACK  fail: score 61.53, needs more than 90; 2 critical checks failed on prod "
        "(version 1.4.2,",
        "           commit 3e68e18)",
        "  critical      GET /health: GET /health: expected status 200, got 404",
        "  critical      test_database_answers: AssertionError: $.database: expected 'connected', "
        "got 'unrea…",
        "  major         GET /insights: GET /insights: the answer does not match the schema:",
        "  minor         GET /feedback: GET /feedback: expected an answer within 0.5 s, "
        "got it after 2.51 s",
        "  unscored      test_footer: AssertionError: expected 'imprint' in the footer",
        "  skipped       test_config_file (runs inside the deployed container only)",
        "  why           1 test without a category failed",
        "  likely        The service cannot reach its database (high confidence)",
        "  likely        The API moved below /api: the paths at the root are gone "
        "(medium confidence)",
        "  do now        set ENABLE_DATABASE_WRITES=false within 5 min (by 21:11 UTC)",
        "  do now        redeploy 1.4.1 within 30 min (by 21:36 UTC)",
        "  again         pytest --target=prod -m smoke",
        "  then          prodcheck gate --after-rollback",
        "  report        prodcheck-report/x/report.html",
    ]


def test_an_inconclusive_run_says_what_did_not_run_and_why() -> None:
    text = "\n".join(shown(sample_runs.inconclusive()))
    assert text.startswith(
        "HOLD  inconclusive: score 72 so far, needs more than 90; "
        "4 of 16 planned checks did not run on prod"
    )
    assert "not run       GET /mode (worker gw1 was lost before it reported)" in text
    assert "why           worker gw1 ended with signal 9 (SIGKILL)" in text


def test_nothing_planned_is_told_without_a_score() -> None:
    first = lines_of(sample_runs.a_run(()))[0]
    assert first.startswith("HOLD  inconclusive: nothing was planned that counts")
    assert "score" not in first


def test_an_unknown_release_is_explained_once() -> None:
    before = LastRelease(run_id="r0", finished="2026-01-12T12:00:00Z")
    run = msgspec.structs.replace(sample_runs.broken()[0], release=Release(), good=(before,))
    told = "\n".join(lines_of(run, width=160))
    assert told.count("[targets.prod.release]") == 1
    assert "  last good     the release of run r0, which reported no version" in told


def test_a_target_that_is_down_is_not_blamed_for_reporting_no_release() -> None:
    down = Problem(what="target_down", detail="3 requests in a row got no response")
    run = msgspec.structs.replace(sample_runs.broken()[0], release=Release(), problems=(down,))
    assert "[targets.prod.release]" not in "\n".join(lines_of(run, width=160))


def test_many_failures_are_cut_and_the_rest_is_counted() -> None:
    lines = shown(sample_runs.many())
    assert sum("expected status 200, got 500" in line for line in lines) == 8
    assert "                … and 112 more" in lines


@pytest.mark.parametrize("width", [20, 80, 200])
def test_the_summary_is_never_longer_than_twenty_lines(width: int) -> None:
    run, verdict = sample_runs.many()
    unanswered = [
        Check(id=f"t.py::{n}", category="smoke", severity="major", outcome=outcome)
        for n, outcome in enumerate(["skipped", "not_run"])
    ]
    run = msgspec.structs.replace(
        run,
        checks=(*run.checks, *unanswered),
        target=TargetInfo(name="long name " * 20, base_url="http://x"),
    )
    verdict = msgspec.structs.replace(
        judge(run),
        reasons=tuple(f"reason {n}" for n in range(30)),
        findings=tuple(Finding(rule="r", title="t", confidence="low") for _ in range(30)),
        actions=tuple(Action(when="w", action="a") for _ in range(30)),
    )
    lines = terminal.summary(run, verdict, folder="f", width=width)
    assert len(lines) <= 20
    assert any("GET /item/0" in text for text, _ in lines)


@pytest.mark.fault(95, 96)
def test_nothing_from_outside_reaches_the_terminal_as_a_command() -> None:
    run = sample_runs.a_run(
        (
            Check(
                id=f"test.py::test[{HOSTILE}]",
                category="smoke",
                severity="critical",
                outcome="failed",
                message=HOSTILE,
            ),
            Check(
                id=HOSTILE,
                category="smoke",
                severity="minor",
                outcome="not_run",
                message=HOSTILE,
            ),
        ),
        target=TargetInfo(name=HOSTILE, base_url=HOSTILE),
        release=Release(version=HOSTILE, commit=HOSTILE),
        command=f"pytest {HOSTILE}",
        problems=(Problem(what="worker", detail=HOSTILE),),
    )
    finding = Finding(rule="x", title=HOSTILE, confidence="high")
    lines = lines_of(run, width=60, findings=(finding,))
    text = "\n".join(lines)
    assert len(lines) > 5
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert "\\x1b" in text
    for line in lines:
        assert not line.lstrip().startswith("::")
        assert "##vso[" not in line
        assert "##teamcity[" not in line
    text.encode("utf-8")


@pytest.mark.fault(96)
def test_a_ci_command_that_wrapping_puts_at_the_start_of_a_line_is_disarmed() -> None:
    name = "a" * 45 + " ::error::x"
    run = sample_runs.a_run((), target=TargetInfo(name=name, base_url="http://x"))
    lines = lines_of(run, width=60)
    assert any("error::x" in line for line in lines[1:])
    assert not any(line.lstrip().startswith("::") for line in lines)


def test_the_first_line_is_bold_in_the_colour_of_the_decision() -> None:
    samples = sample_runs.passing(), sample_runs.inconclusive(), sample_runs.broken()
    markups = [terminal.summary(*each, folder="f", width=80)[0][1] for each in samples]
    assert markups == [
        {"bold": True, "green": True},
        {"bold": True, "yellow": True},
        {"bold": True, "red": True},
    ]


def test_the_command_and_the_path_are_not_cut_for_they_will_be_copied() -> None:
    run = sample_runs.a_run((), command="pytest " + "tests/test_a_file.py " * 10)
    assert lines_of(run, width=60)[-2].endswith(("tests/test_a_file.py " * 10).strip())


@pytest.mark.parametrize(
    ("passed", "of", "told"),
    [
        (9, 10, "score 90, needs more than 90"),
        (8999, 10000, "score 89.99, needs more than 90"),
        (9001, 10000, "score 90.01 > 90"),
        (899_999, 1_000_000, "score 89.99, needs more than 90"),
    ],
)
def test_a_score_is_never_shown_on_the_wrong_side_of_the_threshold(
    passed: int, of: int, told: str
) -> None:
    good = Check(id="t::a", category="smoke", severity="major", outcome="passed")
    bad = msgspec.structs.replace(good, id="t::b", outcome="failed")
    run = sample_runs.a_run((good,) * passed + (bad,) * (of - passed))
    assert told in lines_of(run)[0]
