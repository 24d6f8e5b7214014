"""Drills: there and back, and back whatever happens.

The service's own ledger says what was asked of it, its state what is left.
"""

import json
import os
import re
import resource
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_prodcheck.cli import main
from pytest_prodcheck.store.undo_journal import rehearsals, unfinished
from tests.project import Project
from tests.switchboard import CONFIGURED, DRILL, WRITES, Switchboard

ID = "test_drill[files only]"
CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def board(project: Project) -> Switchboard:
    project.configure(CONFIGURED + DRILL + WRITES)
    return Switchboard(project.server)


def changes(project: Project) -> list[str]:
    ledger = project.server.ledger
    return [f"{seen.method} {seen.path}" for seen in ledger if seen.method in CHANGING]


def message(outcome: Any, name: str = ID) -> str:
    return str(outcome.check(name)["message"])


# --- there and back ---------------------------------------------------------------------------


def test_a_drill_goes_there_and_back_and_leaves_nothing(
    project: Project, board: Switchboard
) -> None:
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("pass", 0), outcome.output
    assert (board.mode, board.entries) == ("BOTH", {})
    assert changes(project) == [
        "PUT /flags",
        *["POST /entries"] * 3,
        "PUT /flags",
        *[f"DELETE /entries/{n}" for n in (1, 2, 3)],
    ]
    (drilled,) = rehearsals(outcome.folder / "drills.jsonl").values()
    assert drilled.ended
    measured = outcome.verdict["metrics"]["measured"]
    assert measured.keys() == {"drill.switch_s", "drill.restore_s"}


def test_what_is_written_says_where_it_comes_from(project: Project, board: Switchboard) -> None:
    project.run("-m", "rollback")
    (mark,) = {seen.body for seen in project.server.seen("/entries")}
    assert re.fullmatch(rb'\{"text":"written in prodcheck-drill-[0-9a-f]{8}"\}', mark)


def test_with_everything_else_the_drill_comes_after_the_probes_and_alone(
    project: Project, board: Switchboard
) -> None:
    process = project.start("--target=prod", "-n2")
    outcome = project.outcome(process)
    assert outcome.ruling == ("pass", 0), outcome.output
    first = next(i for i, seen in enumerate(project.server.ledger) if seen.method == "PUT")
    # Before it: probes of the run, and of the drill's steady state; after it nothing but the drill.
    assert [seen.path for seen in project.server.ledger[:first]].count("/ok") == 2


def test_many_drills_leave_no_trace(project: Project, board: Switchboard) -> None:
    """PRODCHECK_ALL=1 makes fifty of them."""
    number = 50 if os.environ.get("PRODCHECK_ALL") else 10
    text = (project.path / "prodcheck.toml").read_text()
    head, _, drill = text.partition("[[drills]]")
    many = [f"[[drills]]{drill}".replace("files only", f"number {n}") for n in range(number)]
    project.write("prodcheck.toml", head + "\n".join(many))
    outcome = project.run("-m", "rollback", "-k", "test_drill")
    assert outcome.verdict["counts"]["passed"] == number, outcome.output
    assert (board.mode, board.entries) == ("BOTH", {})
    assert unfinished(project.path / "prodcheck-report") == []


# --- what a drill finds -----------------------------------------------------------------------


@pytest.mark.fault(119, 126)
@pytest.mark.parametrize(
    ("fault", "said", "left"),
    [
        ("switch refused", 'the switch could not be flipped: PUT /flags answered 500: {"deta', []),
        (
            "switch lies",
            "PUT /flags was accepted, but 2 s later the flags mean BOTH, not FILES_ONLY",
            [],
        ),
        ("no writes", 'a write failed: POST /entries answered 503: {"detail": "no database"}', []),
        (
            "loses writes",
            "3 of 3 writes are lost after the rollback: GET /entries/1 answers 404",
            [f"data that drill 'files only' wrote may still be at /entries/{n}" for n in (1, 2, 3)],
        ),
        (
            "restore refused",
            'the switch could not be flipped back: PUT /flags answered 409: {"detail": "not no',
            ["PUT /flags of drill 'files only' may still be in force on prod: undo it with"],
        ),
        (
            "restore lies",
            "PUT /flags was accepted, but the target is not as it was: BOTH (WRITES on, FILES on) "
            "before, FILES_ONLY (WRITES off, FILES on) now",
            ["PUT /flags of drill 'files only' may still be in force on prod: undo it with"],
        ),
        (
            "keeps entries",
            "data that drill 'files only' wrote may still be at /entries/1",
            [f"data that drill 'files only' wrote may still be at /entries/{n}" for n in (1, 2, 3)],
        ),
    ],
)
def test_what_goes_wrong_is_named_and_what_is_left_too(
    project: Project, board: Switchboard, fault: str, said: str, left: list[str]
) -> None:
    board.faults.add(fault)
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("fail", 1), outcome.output
    assert said in message(outcome)
    problems = [p["detail"] for p in outcome.verdict["problems"] if p["what"] == "drill"]
    assert len(problems) == len(left)
    assert all(told.startswith(begin) for told, begin in zip(problems, left, strict=True))
    assert all(told.endswith("or run `prodcheck drill restore`") for told in problems)
    assert board.mode == ("FILES_ONLY" if fault.startswith("restore") else "BOTH")


def test_an_unwell_target_is_not_switched(project: Project, board: Switchboard) -> None:
    board.writes = False
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("fail", 1)
    assert (
        'nothing was switched: not in the steady state: GET /info: json $.mode: expected "BOTH"'
        in message(outcome)
    )
    assert changes(project) == []


def test_a_service_that_is_unwell_while_switched(project: Project, board: Switchboard) -> None:
    project.configure(CONFIGURED + DRILL.replace('json = { mode = "FILES_ONLY" }', "status = 204"))
    outcome = project.run("-m", "rollback")
    assert "while switched: GET /info: status: expected 204, got 200" in message(outcome)
    assert board.mode == "BOTH"


@pytest.mark.fault(124)
def test_a_restore_that_is_lost_on_the_way_is_tried_again(
    project: Project, board: Switchboard
) -> None:
    board.faults.add("lost once")
    assert project.run("-m", "rollback").ruling == ("pass", 0)
    assert changes(project).count("PUT /flags") == 3


@pytest.mark.fault(124)
def test_a_network_that_stays_away_is_waited_for_and_what_is_left_is_named(
    project: Project, board: Switchboard, capsys: pytest.CaptureFixture[str]
) -> None:
    board.faults.add("network lost")
    began = time.monotonic()
    outcome = project.run("-m", "rollback")
    assert time.monotonic() - began < 30
    assert outcome.ruling == ("fail", 1)
    assert "the switch could not be flipped back: PUT /flags: no answer (" in message(outcome)
    (problem,) = (p for p in outcome.verdict["problems"] if p["what"] == "drill")
    assert problem["detail"].startswith("PUT /flags of drill 'files only' may still be in force")
    board.faults.clear()
    assert main(["drill", "restore", str(project.path / "prodcheck-report")]) == 0
    assert board.mode == "BOTH"


def test_an_error_in_the_users_own_drill_is_told_and_the_way_back_is_taken(
    project: Project, board: Switchboard
) -> None:
    project.write(
        "test_own.py",
        """
        import pytest

        @pytest.mark.rollback
        def test_own(drill, api):
            with drill.switched():
                assert api.get("/info").json()["mode"] == "BOTH", "my own assertion"
        """,
    )
    outcome = project.run("test_own.py")
    assert outcome.ruling == ("fail", 1)
    assert "my own assertion" in message(outcome, "test_own[files only]")
    assert board.mode == "BOTH"


def test_what_is_not_the_drills_own_is_never_deleted(project: Project, board: Switchboard) -> None:
    """The fallback counts from 1, and so did the database."""
    board.faults.add("numbers anew")
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("fail", 1)
    assert "3 of 3 writes are lost after the rollback" in message(outcome)
    assert board.entries["1"] == {"id": "1", "text": "precious"}
    assert not [seen for seen in project.server.ledger if seen.method == "DELETE"]


def test_two_writes_at_one_place_are_a_write_lost(project: Project, board: Switchboard) -> None:
    board.faults.add("one id")
    outcome = project.run("-m", "rollback")
    assert "two writes were given one place, /entries/7" in message(outcome)


@pytest.mark.parametrize("key", ["", "..", None, True, {"a": 1}])
def test_an_id_that_means_no_single_thing_is_none(
    project: Project, board: Switchboard, key: Any
) -> None:
    board.key = key
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("fail", 1)
    assert "the answer to POST /entries has no id at $.id" in message(outcome)
    assert not [seen for seen in project.server.ledger if seen.method == "DELETE"]


def test_an_unclear_write_stays_named_whatever_comes_after(
    project: Project, board: Switchboard
) -> None:
    board.faults.add("unclear once")
    outcome = project.run("-m", "rollback")
    assert "data that drill 'files only' was about to write may exist" in message(outcome)
    assert len(board.entries) == 1


def test_a_switch_that_is_on_already_proves_nothing(project: Project, board: Switchboard) -> None:
    toml = CONFIGURED.replace('mode = "BOTH"', "writes = false") + DRILL
    project.configure(toml.replace("json = { writes = false }", "json = { files = true }"))
    board.writes = False
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("fail", 1)
    assert "it is in mode FILES_ONLY, so a drill would prove nothing" in message(outcome)
    assert changes(project) == []


def test_probes_that_hold_without_the_switch_prove_nothing(
    project: Project, board: Switchboard
) -> None:
    drill = DRILL.replace('mode = "FILES_ONLY"\n', "").replace(
        'json = { mode = "FILES_ONLY" }', "json = { files = true }"
    )
    project.configure(CONFIGURED + drill)
    outcome = project.run("-m", "rollback")
    assert "holds now: GET /info, so a drill would prove nothing" in message(outcome)
    assert changes(project) == []


def test_without_flags_the_drills_own_probes_tell_whether_it_is_undone(
    project: Project, board: Switchboard
) -> None:
    drill = DRILL.replace('mode = "FILES_ONLY"\n', "")
    plain = CONFIGURED.partition("[flags]")[0].replace('json = { mode = "BOTH" }', "")
    project.configure(plain + drill)
    assert project.run("-m", "rollback").ruling == ("pass", 0)
    board.faults.add("restore lies")
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("fail", 1)
    assert "what should hold while switched only holds now: GET /info" in message(outcome)


def test_a_drill_runs_in_a_process_with_more_than_1024_open_files(
    project: Project, board: Switchboard
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 2048
    if limits[0] < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(enough, limits[1]), limits[1]))
    with ExitStack() as files:
        for _ in range(1100):
            files.enter_context(open(os.devnull))
        assert project.run("-m", "rollback").ruling == ("pass", 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_drill_of_the_past_does_not_keep_others_from_being_restored(
    project: Project, board: Switchboard, capsys: pytest.CaptureFixture[str]
) -> None:
    board.faults.add("restore refused")
    project.run("-m", "rollback")
    report = project.path / "prodcheck-report"
    run = next(path.parent for path in report.glob("2*/drills.jsonl"))
    text = (run / "drills.jsonl").read_text().replace(project.server.url, "http://127.0.0.1:9")
    older = report / "20200101T000000-000000"
    older.mkdir()
    (older / "journal.jsonl").write_text("")
    (older / "drills.jsonl").write_text(text.replace('"drill":"files only"', '"drill":"gone"'))
    board.faults.clear()
    assert main(["drill", "restore", str(report)]) == 1
    told = capsys.readouterr().out
    assert "has no drill 'gone' any more" in told
    assert "files only on prod: as it was before" in told
    assert board.mode == "BOTH"


def test_restore_takes_the_folder_of_a_run_and_refuses_what_is_none(
    project: Project, board: Switchboard, capsys: pytest.CaptureFixture[str]
) -> None:
    board.faults.add("restore refused")
    outcome = project.run("-m", "rollback")
    board.faults.clear()
    assert main(["drill", "restore", str(project.path / "nothing")]) == 4
    assert "holds no run: name the folder of a run" in capsys.readouterr().err
    assert main(["drill", "restore", str(outcome.folder)]) == 0
    assert board.mode == "BOTH"


def test_a_torn_line_hides_nothing_that_comes_after(project: Project, board: Switchboard) -> None:
    board.faults.add("restore refused")
    outcome = project.run("-m", "rollback")
    journal = outcome.folder / "drills.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    torn = next(i for i, line in enumerate(lines) if '"step":"switched"' in line)
    journal.write_text("".join(lines[:torn]) + lines[torn][:20])
    board.faults.clear()
    assert main(["drill", "restore", str(project.path / "prodcheck-report")]) == 0
    assert unfinished(project.path / "prodcheck-report") == []


# --- where it is not permitted ----------------------------------------------------------------


@pytest.mark.fault(118)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("drills = true", "drills = false"), "target prod does not allow drills"),
        (("drills = true", "drills = 2020-01-31"), "were allowed until 2020-01-31"),
        (("read_only = false", "read_only = true"), "target prod is read-only"),
    ],
)
def test_a_target_that_does_not_allow_drills_gets_no_request(
    project: Project, board: Switchboard, change: tuple[str, str], reason: str
) -> None:
    project.configure(CONFIGURED.replace(*change) + DRILL + WRITES)
    outcome = project.run("-m", "rollback", "-k", "drill")
    # The release is looked for there; nothing else is asked.
    assert {(seen.method, seen.path) for seen in project.server.ledger} <= {("GET", "/info")}
    assert outcome.check(ID)["outcome"] == "not_permitted"
    assert reason in message(outcome)
    assert outcome.exit == 6, "nothing was proven"


@pytest.mark.fault(118)
def test_a_date_allows_drills_until_then_and_a_dry_run_sends_nothing(
    project: Project, board: Switchboard
) -> None:
    day = (datetime.now(UTC) + timedelta(days=1)).date()
    project.configure(CONFIGURED.replace("drills = true", f"drills = {day}") + DRILL)
    outcome = project.run("-m", "rollback", "--collect-only")
    assert project.server.paths() == []
    assert f"drills allowed until {day}" in outcome.output
    assert project.run("-m", "rollback").ruling == ("pass", 0)


def test_a_part_of_a_run_makes_no_drill(project: Project, board: Switchboard) -> None:
    outcome = project.run("-m", "rollback", "--prodcheck-shard=1/1")
    assert outcome.check(ID)["outcome"] == "not_permitted"
    assert changes(project) == []


# --- one at a time, and none on top of another -------------------------------------------------


@pytest.mark.fault(125)
def test_a_second_drill_on_the_same_target_is_refused(project: Project, board: Switchboard) -> None:
    from pytest_prodcheck.checks.drills.lease import Lease

    lease = Lease.take(project.server.url)
    assert lease
    try:
        outcome = project.run("-m", "rollback")
    finally:
        lease.release()
    assert outcome.exit == 6
    assert "another drill on prod is under way from this machine" in message(outcome)
    assert changes(project) == []
    assert not lease.path.exists()


@pytest.mark.fault(125)
def test_after_an_unfinished_drill_none_is_begun_until_it_is_restored(
    project: Project, board: Switchboard, capsys: pytest.CaptureFixture[str]
) -> None:
    board.faults.add("restore refused")
    assert project.run("-m", "rollback").exit == 1
    board.faults.clear()
    sent = len(changes(project))
    refused = project.run("-m", "rollback")
    assert refused.exit == 6
    assert "is not undone (PUT /flags of drill 'files only' may still be" in message(refused)
    assert "Run `prodcheck drill restore`" in message(refused)
    assert len(changes(project)) == sent
    assert board.mode == "FILES_ONLY"

    assert main(["drill", "restore", str(project.path / "prodcheck-report")]) == 0
    assert "files only on prod: as it was before" in capsys.readouterr().out
    assert board.mode == "BOTH"
    assert main(["drill", "restore", str(project.path / "prodcheck-report")]) == 0
    assert "has left anything" in capsys.readouterr().out
    assert project.run("-m", "rollback").ruling == ("pass", 0)


def test_data_that_is_left_keeps_no_drill_from_beginning(
    project: Project, board: Switchboard
) -> None:
    board.faults.add("keeps entries")
    assert project.run("-m", "rollback").exit == 1
    board.faults.clear()
    assert project.run("-m", "rollback").ruling == ("pass", 0)


@pytest.mark.fault(119)
def test_what_cannot_be_restored_later_is_named_again(
    project: Project, board: Switchboard, capsys: pytest.CaptureFixture[str]
) -> None:
    board.faults.add("restore refused")
    project.run("-m", "rollback")
    assert main(["drill", "restore", str(project.path / "prodcheck-report"), "--json"]) == 1
    assert "undo it with PUT /flags" in capsys.readouterr().out


# --- commands and functions -------------------------------------------------------------------

FUNCTIONS = """
import httpx

def to_files(api):
    assert api.put("/flags", json={"writes": False, "files": True}).is_success

def to_both(api):
    assert api.put("/flags", json={"writes": True, "files": True}).is_success
"""


def test_functions_of_the_project_can_be_the_switch(project: Project, board: Switchboard) -> None:
    project.write("conftest.py", FUNCTIONS)
    drill = re.sub(r"switch = .*", 'switch = { call = "conftest.py::to_files" }', DRILL)
    drill = re.sub(r"restore = .*", 'restore = { call = "conftest.py::to_both" }', drill)
    project.configure(CONFIGURED + drill)
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("pass", 0), outcome.output
    assert changes(project) == ["PUT /flags"] * 2
    assert board.mode == "BOTH"


def test_commands_can_be_the_switch(project: Project, board: Switchboard) -> None:
    project.write(
        "switch.py",
        """
        import json, sys, urllib.request
        body = json.dumps({"writes": sys.argv[2] == "on", "files": True}).encode()
        urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/flags", body, method="PUT"))
        """,
    )
    command = f"python3 switch.py {project.server.url}"
    drill = re.sub(r"switch = .*", f'switch = "{command} off"', DRILL)
    drill = re.sub(r"restore = .*", f'restore = "{command} on"', drill)
    project.configure(CONFIGURED + drill)
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("pass", 0), outcome.output
    assert changes(project) == ["PUT /flags"] * 2


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python3 -c 'import sys; print(41 + 1); sys.exit(3)'", "python3 ended with 3: 42"),
        ("no-such-program", "no-such-program cannot be started: No such file or directory"),
        ("python3 -c 'import time; time.sleep(60)'", "python3 did not end within 2 s"),
    ],
)
def test_a_command_that_fails_says_why(
    project: Project, board: Switchboard, command: str, said: str
) -> None:
    drill = re.sub(r"switch = .*", f'switch = "{command}"', DRILL)
    project.configure(CONFIGURED + drill)
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("fail", 1)
    assert f"the switch could not be flipped: {said}" in message(outcome)
    assert board.mode == "BOTH"


@pytest.mark.fault(122)
def test_the_target_can_be_told_how_long_it_may_stay_so(
    project: Project, board: Switchboard
) -> None:
    project.configure(
        CONFIGURED + DRILL.replace("writes = false,", 'writes = false, ttl = "{ttl}",')
    )
    assert project.run("-m", "rollback").ruling == ("pass", 0)
    there, back = (json.loads(seen.body) for seen in project.server.seen("/flags"))
    assert there["ttl"] == 4 * 2 + 60, "longer than the drill may take, and a number"
    assert "ttl" not in back


ELSEWHERE = """
import urllib.request

def to_files(api):
    try:
        urllib.request.urlopen("http://127.0.0.2:9/flags", b"{}")
    except BaseException:
        pass
    api.put("/flags", json={"writes": False, "files": True})

def to_both(api):
    api.put("/flags", json={"writes": True, "files": True})
"""


@pytest.mark.fault(92)
def test_a_switch_that_reaches_elsewhere_is_a_violation_whatever_it_swallows(
    project: Project, board: Switchboard
) -> None:
    project.write("conftest.py", ELSEWHERE)
    drill = re.sub(r"switch = .*", 'switch = { call = "conftest.py::to_files" }', DRILL)
    drill = re.sub(r"restore = .*", 'restore = { call = "conftest.py::to_both" }', drill)
    project.configure(CONFIGURED + drill)
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("fail", 1)
    assert "127.0.0.2" in message(outcome)
    assert any(p["what"] == "violation" for p in outcome.verdict["problems"])
    assert board.mode == "BOTH"


# --- the circuit breaker ----------------------------------------------------------------------

BREAKER = """
[[drills]]
name = "memory silent"
within = 1
switch = { put = "/faults", json = { silent = true } }
restore = { put = "/faults", json = { silent = false } }
breaker = { get = "/memory", from = "/breaker", state = "$.state", failures = 5, cooldown = 0.3 }
[[drills.probes]]
get = "/memory"
json = []
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (None, ""),
        ("breaker early", "the breaker is open after 3 failures, declared are 5"),
        ("breaker deaf", "after 5 failures in a row the breaker is closed, not open"),
        ("breaker stuck", "with a cool-down of 0.3 s and the dependency back, the breaker is stil"),
    ],
)
def test_the_breaker_opens_degrades_and_recovers(
    project: Project, board: Switchboard, fault: str | None, said: str
) -> None:
    project.configure(CONFIGURED + BREAKER)
    board.faults |= {fault} if fault else set()
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == (("fail", 1) if fault else ("pass", 0)), outcome.output
    assert said in message(outcome, "test_drill[memory silent]")
    assert board.silent is False


# --- configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('mode = "FILES_ONLY"\n', 'mode = "FILE_ONLY"\n', 'Did you mean "FILES_ONLY"?'),
        ("put = ", "putt = ", 'Did you mean "put"?'),
        ("put = ", 'get = "/", put = ', "has get and put; write exactly one"),
        ('name = "files only"', 'name = " files only"', "is not a name for a line of a report"),
        (
            "put = ",
            'call = "conftest.py", put = ',
            "does not name a function; write it like conftest.py",
        ),
        ("read = ", 'read = "/entries"\n#', "has no {id}; write it in place of the id of the"),
        ("[[drills]]", f"{DRILL}[[drills]]", 'there is another drill "files only"'),
        (
            "{drill}",
            "drill",
            "has no {drill} in any text; a drill needs it to recognize its own data",
        ),
        (
            "[[drills.probes]]",
            '[[drills.probes]]\nget = "/info"\n[[drills.probes]]',
            "combine them",
        ),
        ("switch = {", 'switch = " " #', "is not a command; write one, or a request"),
        ("switch = {", 'switch = "x \'" #', "is not a command: No closing quotation"),
        ("switch = {", 'switch = "x ${Y}" #', "has a variable, which the report would show"),
    ],
)
def test_bad_configuration_is_refused_before_anything_is_sent(
    project: Project, board: Switchboard, old: str, new: str, said: str
) -> None:
    drill = (DRILL + WRITES).replace(old, new, 1)
    project.configure(CONFIGURED + drill)
    outcome = project.run("-m", "rollback")
    assert outcome.exit == 4, outcome.output
    assert said in outcome.output
    assert project.server.paths() == []


def test_a_drill_that_could_not_tell_whether_it_worked_is_refused(project: Project) -> None:
    drill = '[[drills]]\nname = "a"\nswitch = "x"\nrestore = "y"'
    project.configure(drill)
    outcome = project.run("-m", "rollback")
    assert outcome.exit == 4
    assert "nothing that shows if the switch took effect" in outcome.output
