"""Operating modes: the four of the documents, reported right, reported wrong, and not reported."""

from typing import Any

import pytest

from pytest_prodcheck.checks.modes.flags import FlagsCheck, State, disagreements, mode_of
from pytest_prodcheck.config import Flags
from pytest_prodcheck.errors import CheckFailed
from tests.faulty import answer, json_answer
from tests.project import Project

MODES = {
    "DATABASE_ONLY": {"WRITES": True, "FILES": False},
    "DUAL_WRITE": {"WRITES": True, "FILES": True},
    "FILE_ONLY": {"WRITES": False, "FILES": True},
}
PLACES = {"WRITES": "$.database_writes", "FILES": "$.file_fallback"}
SOURCE = Flags(source="/info", values=PLACES, modes=MODES, mode="$.mode")
ENVIRONMENT = Flags(
    source="environment", values={"WRITES": "ENABLE_W", "FILES": "ENABLE_F"}, modes=MODES
)

CONFIGURED = """
[flags]
from = "/info"
mode = "$.mode"
[flags.values]
ENABLE_DATABASE_WRITES = "$.database_writes"
ENABLE_FILE_FALLBACK = "$.file_fallback"
[flags.modes]
DATABASE_ONLY = { ENABLE_DATABASE_WRITES = true, ENABLE_FILE_FALLBACK = false }
DUAL_WRITE = { ENABLE_DATABASE_WRITES = true, ENABLE_FILE_FALLBACK = true }
FILE_ONLY = { ENABLE_DATABASE_WRITES = false, ENABLE_FILE_FALLBACK = true }
[flags.dependencies]
ENABLE_DATABASE_WRITES = "$.database_connection"
"""


def health(**more: Any) -> dict[str, Any]:
    well = {"database_writes": True, "file_fallback": True, "mode": "DUAL_WRITE"}
    return {**well, "database_connection": "healthy", **more}


# --- what a combination means -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("writes", "files", "mode"),
    [
        (True, False, "DATABASE_ONLY"),
        (True, True, "DUAL_WRITE"),
        (False, True, "FILE_ONLY"),
        (False, False, "INVALID"),
    ],
)
def test_a_combination_means_one_mode_or_is_invalid(writes: bool, files: bool, mode: str) -> None:
    assert mode_of(SOURCE, {"WRITES": writes, "FILES": files}) == mode


@pytest.mark.parametrize("text", ["true", "1", "yes", "on", "TRUE", " On "])
def test_ways_to_write_on(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_W", text)
    assert FlagsCheck(ENVIRONMENT, pytest.fail)["WRITES"] is True


@pytest.mark.parametrize("text", ["false", "0", "no", "off", "OFF", ""])
def test_ways_to_write_off(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_W", text)
    flags = FlagsCheck(ENVIRONMENT, pytest.fail)
    assert flags["WRITES"] is False
    assert flags.mode == "FILE_ONLY", "what is not set is on"


def test_a_value_that_means_neither_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_W", "maybe")
    with pytest.raises(CheckFailed, match=r"WRITES is 'maybe', which is neither on \(true, 1"):
        FlagsCheck(ENVIRONMENT, pytest.fail)["WRITES"]


@pytest.mark.parametrize(
    ("state", "rules"),
    [
        (State(values={"WRITES": True, "FILES": True}, reported_mode="DUAL_WRITE"), []),
        (
            State(values={"WRITES": False, "FILES": False}, reported_mode="INVALID"),
            ["flags.invalid_mode"],
        ),
        (
            State(values={"WRITES": False, "FILES": False}, reported_mode="FILE_ONLY"),
            ["flags.invalid_mode", "flags.mode_disagrees"],
        ),
        (
            State(values={"WRITES": False, "FILES": True}, reported_mode="DUAL_WRITE"),
            ["flags.mode_disagrees"],
        ),
        (State(values={"WRITES": True, "FILES": True}), ["flags.mode_disagrees"]),
        (
            State(values={"WRITES": None, "FILES": True}, unclear=("WRITES is not reported",)),
            ["flags.unknown"],
        ),
    ],
)
def test_what_does_not_fit_together(state: State, rules: list[str]) -> None:
    assert list(disagreements(SOURCE, state)) == rules


@pytest.mark.parametrize(
    ("state", "on", "said"),
    [
        ("healthy", True, ""),
        (True, True, ""),
        ("failed", True, 'WRITES is on, but does not work: "failed"'),
        (False, True, "WRITES is on, but does not work: false"),
        ("skipped", True, "WRITES is on, but nobody looked whether it works (skipped)"),
        ("unknown", True, "WRITES is on, but whether it works is unknown"),
        (None, True, "WRITES is on, but whether it works is unknown"),
        ("skipped", False, ""),
        ("failed", False, ""),
    ],
)
def test_failed_skipped_and_unknown_are_distinguished(state: Any, on: bool, said: str) -> None:
    mode = "DUAL_WRITE" if on else "FILE_ONLY"
    read = State(
        values={"WRITES": on, "FILES": True}, reported_mode=mode, dependencies={"WRITES": state}
    )
    assert "".join(disagreements(SOURCE, read).values()) == said


# --- in a run ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "ruling", "message"),
    [
        (health(), ("pass", 0), ""),
        (
            health(database_writes=False, file_fallback=False, mode="INVALID"),
            ("fail", 1),
            "ENABLE_DATABASE_WRITES off, ENABLE_FILE_FALLBACK off: no operating mode means that. "
            "Modes: DATABASE_ONLY, DUAL_WRITE, FILE_ONLY",
        ),
        (
            health(mode="FILE_ONLY"),
            ("fail", 1),
            "the flags (ENABLE_DATABASE_WRITES on, ENABLE_FILE_FALLBACK on) mean DUAL_WRITE, the "
            "target says FILE_ONLY",
        ),
        (
            health(status="healthy", database_connection="failed"),
            ("fail", 1),
            'ENABLE_DATABASE_WRITES is on, but does not work: "failed"',
        ),
        (
            {"mode": "DUAL_WRITE", "file_fallback": True},
            ("fail", 1),
            "ENABLE_DATABASE_WRITES is not reported at $.database_writes. Unknown is not on: "
            "correct the place in [flags.values], or the value",
        ),
    ],
)
def test_the_ready_made_check(
    project: Project, body: Any, ruling: tuple[str, int], message: str
) -> None:
    project.configure(CONFIGURED)
    project.server.on("/info", json_answer(body))
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ruling, outcome.output
    assert outcome.check("test_mode[/info]")["message"].startswith(message)


def test_an_answer_that_is_no_json_is_said_so(project: Project) -> None:
    project.configure(CONFIGURED)
    project.server.on("/info", answer("<html>", 502))
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ("fail", 1)
    assert "GET /info answers 502 and no JSON" in outcome.check("test_mode[/info]")["message"]


def test_a_users_own_test_reads_the_flags(project: Project) -> None:
    project.configure(CONFIGURED)
    project.server.on("/info", json_answer(health(database_writes=False, mode="FILE_ONLY")))
    project.write(
        "test_own.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_writes(flags):
            assert flags.mode == flags.reported_mode == "FILE_ONLY"
            assert not flags["ENABLE_DATABASE_WRITES"]
            with pytest.raises(KeyError):
                flags["ENABLE_CACHE"]
        """,
    )
    assert project.run("test_own.py").ruling == ("pass", 0)


def test_without_flags_nothing_is_planned(project: Project) -> None:
    assert project.run("-m", "rollback").ruling == ("inconclusive", 6)
    assert project.server.paths() == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            '[flags.dependencies]\nENABLE_DATABASE_WRITE = "$.x"',
            "is not a flag. Did you mean ENABLE_DATABASE_WRITES?",
        ),
        ('[flags.dependencies]\nENABLE_DATABASE_WRITES = "x"', "is not a path into JSON"),
    ],
)
def test_bad_configuration_is_refused(project: Project, lines: str, said: str) -> None:
    project.configure(CONFIGURED.partition("[flags.dependencies]")[0] + lines)
    outcome = project.run("-m", "rollback")
    assert outcome.exit == 4
    assert said in outcome.output.replace('"', "")
    assert project.server.paths() == []
