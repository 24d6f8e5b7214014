"""The decision matrix: which rows apply, in which order, and which exclude each other."""

from typing import Any

import pytest

from pytest_prodcheck.config import load
from pytest_prodcheck.config.matrices import MATRICES
from pytest_prodcheck.model import (
    Action,
    Check,
    Finding,
    FlagReading,
    Metrics,
    Policy,
    Run,
    TargetInfo,
    Verdict,
)
from pytest_prodcheck.verdict.actions import effects, refusal, seconds
from pytest_prodcheck.verdict.judge import judge
from tests.faulty import json_answer
from tests.project import Project

MODES = {
    "DATABASE_ONLY": {"ENABLE_DATABASE_WRITES": True, "ENABLE_FILE_FALLBACK": False},
    "DUAL_WRITE": {"ENABLE_DATABASE_WRITES": True, "ENABLE_FILE_FALLBACK": True},
    "FILE_ONLY": {"ENABLE_DATABASE_WRITES": False, "ENABLE_FILE_FALLBACK": True},
}
FLAGS = list(MODES["DUAL_WRITE"])
WELL = Check(id="t::well", category="smoke", severity="major", outcome="passed")
ILL = Check(id="t::ill", category="smoke", severity="major", outcome="failed")
METRICS = Metrics(
    requests=400,
    error_rate=0.02,
    latency_ms={"p50": 12, "p95": 1250, "p99": 2000},
    measured={"database.connections": 21},
)


def row(when: str, action: str = "roll back", **more: Any) -> Action:
    return Action(when=when, action=action, **more)


def judged(*rows: Action, rules: tuple[str, ...] = (), **facts: Any) -> Verdict:
    run = Run(
        run_id="r",
        target=TargetInfo(name="prod", base_url="https://x.test"),
        **{
            "policy": Policy(actions=rows, modes=MODES),
            "checks": (WELL, ILL),
            "metrics": METRICS,
            **facts,
        },
    )
    findings = [
        Finding(rule=rule, title="t", confidence="high", evidence=(f"seen: {rule}",))
        for rule in rules
    ]
    return judge(run, findings)


# --- when a row applies -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "evidence"),
    [
        ("latency.p95 > 1000", ("latency.p95 is 1250",)),
        ("latency.p95>1250", None),
        ("latency.p95 >= 1250", ("latency.p95 is 1250",)),
        ("latency.p50 < 20", ("latency.p50 is 12",)),
        ("error_rate > 0.001", ("error_rate is 0.02",)),
        ("error_rate > 0.02", None),
        ("requests < 1000", ("requests is 400",)),
        ("database.connections > 20", ("database.connections is 21",)),
        ("database.cpu > 90", None),
        ("database.*", ("database.unreachable: seen: database.unreachable",)),
        ("t::ill", ("t::ill failed",)),
        ("t::*", ("t::ill failed",)),
        ("t::well", None),
    ],
)
def test_a_row_applies_on_evidence(when: str, evidence: tuple[str, ...] | None) -> None:
    actions = judged(row(when), rules=("database.unreachable",)).actions
    assert [action.evidence for action in actions] == ([evidence] if evidence else [])


def test_nobody_acts_on_a_guess() -> None:
    guess = Finding(rule="database.unreachable", title="t", confidence="low")
    run = Run(
        run_id="r",
        target=TargetInfo(name="prod", base_url="https://x.test"),
        policy=Policy(actions=(row("database.*", severity="critical"),)),
        checks=(ILL,),
    )
    assert judge(run, [guess]).decision == "hold"


def test_a_run_without_requests_has_no_error_rate() -> None:
    assert judged(row("error_rate < 0.5"), metrics=Metrics()).actions == ()


@pytest.mark.parametrize(
    ("when", "refused"),
    [
        ("latency.p95 > 1000", False),
        ("latency.p95 > 1 s", True),
        ("latency p95 > 1000", True),
        ("error_rate = 0.1", True),
        ("error_rate > 10%", True),
        ("latency.p95 > -1", True),
        ("latency.p95 > many", True),
        ("latency.p96 > 1000", True),
        ("database.unreachable", False),
        ("suites/smoke/test_probes.py::test_probe[GET /a?b=>1]", False),
    ],
)
def test_a_figure_that_is_written_wrong_is_refused(when: str, refused: bool) -> None:
    assert bool(refusal(when)) == refused


# --- what a figure decides --------------------------------------------------------------------


def test_a_critical_figure_makes_the_run_fail_and_calls_for_its_action() -> None:
    verdict = judged(row("latency.p95 > 1000", severity="critical"), checks=(WELL,))
    assert (verdict.verdict, verdict.decision) == ("fail", "rollback")
    assert verdict.reasons == ("latency.p95 is 1250, and latency.p95 > 1000 calls for: roll back",)


def test_a_lesser_figure_is_told_beside_a_pass() -> None:
    verdict = judged(row("latency.p95 > 1000", "look at it"), row("t::*"), checks=(WELL,))
    assert (verdict.verdict, verdict.decision) == ("pass", "promote")
    assert [action.action for action in verdict.actions] == ["look at it"]


# --- order ------------------------------------------------------------------------------------


def test_severity_comes_first_then_the_deadline_then_the_file() -> None:
    rows = [
        row("t::ill", "a", severity="major", within="1 h"),
        row("t::ill", "b", severity="critical"),
        row("t::ill", "c", severity="major", within="5 min"),
        row("t::ill", "d", severity="critical", within="15 min"),
        row("t::ill", "e", severity="major", within="60 min"),
        row("t::ill", "f", severity="critical", within="soon"),
    ]
    assert "".join(action.action for action in judged(*rows).actions) == "dbfcae"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5 min", 300), ("1 h", 3600), ("30s", 30), ("2 hours", 7200), ("soon", None), ("", None)],
)
def test_a_deadline_is_read(text: str, expected: int | None) -> None:
    assert seconds(text) == expected


# --- actions and operating modes --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set ENABLE_DATABASE_WRITES=false", {"ENABLE_DATABASE_WRITES": False}),
        ("set ENABLE_DATABASE_WRITES = 'off', wait", {"ENABLE_DATABASE_WRITES": False}),
        (
            "ENABLE_DATABASE_WRITES=true and ENABLE_FILE_FALLBACK=1",
            {"ENABLE_DATABASE_WRITES": True, "ENABLE_FILE_FALLBACK": True},
        ),
        ("ENABLE_DATABASE_WRITES=maybe", {}),
        ("NOT_ENABLE_DATABASE_WRITES=false", {"NOT_ENABLE_DATABASE_WRITES": False}),
        ("ENABLE_CACHE=off", {"ENABLE_CACHE": False}),
        ("roll back", {}),
    ],
)
def test_the_text_of_an_action_says_what_it_sets(text: str, expected: dict[str, bool]) -> None:
    assert effects(row("x", text), FLAGS) == expected


NO_DATABASE = row("a.*", "set ENABLE_DATABASE_WRITES=false", severity="critical", within="5 min")
NO_FILES = row("b.*", "set ENABLE_FILE_FALLBACK=false", severity="major", within="1 h")


def test_two_actions_that_would_lead_into_no_mode_are_not_both_asked_for() -> None:
    first, second = judged(NO_FILES, NO_DATABASE, rules=("a.x", "b.x")).actions
    assert (first.action, first.refused) == (NO_DATABASE.action, "")
    assert second.action == NO_FILES.action
    assert second.refused == (
        'together with "set ENABLE_DATABASE_WRITES=false" it would mean INVALID '
        "(ENABLE_DATABASE_WRITES off, ENABLE_FILE_FALLBACK off): carry out the other one first, "
        "and this one when that is undone; the mode that fits it alone is DATABASE_ONLY"
    )


def test_an_action_that_leads_into_no_mode_by_itself_is_refused() -> None:
    now = FlagReading(values=MODES["FILE_ONLY"], mode="FILE_ONLY")
    critical = row("b.*", "set ENABLE_FILE_FALLBACK=false", severity="critical")
    verdict = judged(critical, rules=("b.x",), flags=now)
    assert verdict.actions[0].refused.startswith("with the flags as they are now it would mean INV")
    assert "change the other flag first" in verdict.actions[0].refused
    assert verdict.decision == "rollback", "it is as bad as before"


def test_a_refused_action_is_looked_at_again_when_another_has_made_it_possible() -> None:
    now = FlagReading(values=MODES["DATABASE_ONLY"], mode="DATABASE_ONLY")
    files = row("b.*", "set ENABLE_FILE_FALLBACK=true", within="1 h")
    actions = judged(NO_DATABASE, files, rules=("a.x", "b.x"), flags=now).actions
    assert [(action.action, action.refused) for action in actions] == [
        (files.action, ""),
        (NO_DATABASE.action, ""),
    ]


def test_without_modes_a_flag_is_still_not_asked_for_both_ways() -> None:
    again = row("b.*", "set ENABLE_DATABASE_WRITES=true")
    policy = Policy(actions=(NO_DATABASE, again))
    _, second = judged(rules=("a.x", "b.x"), policy=policy).actions
    assert "it would set ENABLE_DATABASE_WRITES both on and off" in second.refused


def test_opposed_actions_are_told_apart() -> None:
    again = row("b.*", "set ENABLE_DATABASE_WRITES=true")
    _, second = judged(NO_DATABASE, again, rules=("a.x", "b.x")).actions
    assert "it would set ENABLE_DATABASE_WRITES both on and off" in second.refused


def test_actions_that_agree_are_all_asked_for() -> None:
    same = row("b.*", "set ENABLE_DATABASE_WRITES=false, fix the migration", severity="critical")
    actions = judged(NO_DATABASE, same, rules=("a.x", "b.x")).actions
    assert [action.refused for action in actions] == ["", ""]


# --- the ready-made matrix --------------------------------------------------------------------


def test_the_matrix_has_the_six_rows_of_the_document() -> None:
    rows = MATRICES["database-flags"]
    assert [(action.when, action.severity, action.within) for action in rows] == [
        ("database.unreachable", "critical", "5 min"),
        ("database.query_ms > 1000", "major", "1 h"),
        ("database.schema_drift", "critical", "15 min"),
        ("process.out_of_memory", "major", "30 min"),
        ("storage.full", "major", "1 h"),
        ("database.cpu > 90", "major", "2 h"),
    ]
    assert not any(refusal(action.when) for action in rows)


def test_a_row_of_the_file_replaces_one_of_the_matrix(project: Project) -> None:
    text = """
        matrix = "database-flags"
        [[actions]]
        when = "database.unreachable"
        action = "call Ada"
        severity = "critical"
        [targets.prod]
        base_url = "https://x.test"
        """
    project.write("prodcheck.toml", text)
    actions = load("prod", root=project.path, environ={}).actions
    assert [action.action for action in actions if action.when == "database.unreachable"] == [
        "call Ada"
    ]
    assert len(actions) == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('matrix = "database-flag"', 'Did you mean "database-flags"?'),
        (
            '[[actions]]\nwhen = "latency.p95 > 1 s"\naction = "x"',
            "is not a comparison of a figure with a limit; write",
        ),
        ('[[actions]]\naction = "x"', "`when` is missing"),
    ],
)
def test_bad_rows_are_refused(project: Project, text: str, said: str) -> None:
    toml = project.path / "prodcheck.toml"
    toml.write_text(f"{text}\n{toml.read_text()}")
    outcome = project.run("-m", "smoke")
    assert outcome.exit == 4
    assert said in outcome.output
    assert project.server.paths() == []


# --- in a run ---------------------------------------------------------------------------------


def test_a_run_says_what_to_do_on_which_evidence_and_where_to_go_back_to(
    project: Project,
) -> None:
    project.configure(
        """
        [targets.prod.release]
        from = "/ok"
        version = "$.version"
        [[actions]]
        when = "*test_own*"
        severity = "critical"
        action = "roll back to the last good release"
        within = "15 min"
        verify = "own passes"
        """
    )
    project.write(
        "test_own.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_own(api, measure):
            told = api.get("/ok").json()
            measure("queue.length", told["queue"])
            assert told["status"] == "healthy"
        """,
    )
    project.server.on("/ok", json_answer({"status": "healthy", "version": "1", "queue": 3}))
    good = project.run("test_own.py")
    assert good.ruling == ("pass", 0), good.output
    assert good.verdict["metrics"]["measured"] == {"queue.length": 3}

    project.server.on("/ok", json_answer({"status": "ill", "version": "2", "queue": 4}))
    bad = project.run("test_own.py")
    assert bad.verdict["decision"] == "rollback"
    (action,) = bad.verdict["actions"]
    assert action["evidence"] == ["test_own.py::test_own failed"]
    assert bad.verdict["last_good"]["release"] == {"version": "1", "commit": None}
    summary = (bad.folder / "summary.md").read_text()
    for told in (bad.output, bad.page, summary):
        assert "roll back to the last good release" in told
        assert "version 1 (run " in told
        assert "prodcheck gate --after-rollback" in told
    assert "own passes" in bad.page
    assert "own passes" in summary

    from pytest_prodcheck.cli import main

    latest = str(bad.folder)
    assert main(["gate", latest, "--after-rollback"]) == 1
    project.server.on("/ok", json_answer({"status": "healthy", "version": "3", "queue": 3}))
    assert project.run("test_own.py").exit == 0
    assert main(["gate", latest, "--after-rollback"]) == 6, "another release than the last good one"
    project.server.on("/ok", json_answer({"status": "healthy", "version": "1", "queue": 3}))
    assert project.run("test_own.py").exit == 0
    assert main(["gate", latest, "--after-rollback"]) == 0
