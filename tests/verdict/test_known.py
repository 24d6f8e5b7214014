"""Known failures: accepted for a while, shown, and never forgotten."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from pytest_prodcheck.cli import main
from pytest_prodcheck.config.known import known_failures
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Check
from pytest_prodcheck.verdict.known_failures import Known, KnownFailures, entries_for, to_toml
from tests.faulty import Behaviour, json_answer
from tests.project import Project

TODAY = date(2026, 5, 1)
ID = "suites/contract/test_operations.py::test_operation[GET /items/{id}]"


def entry(**more: object) -> Known:
    return Known(**{"check": ID, "reason": "old", "expires": TODAY, **more})  # type: ignore[arg-type]


# --- what an entry accepts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "failures", "accepted"),
    [
        (entry(), ["Server error"], True),
        (entry(), [], True),
        (entry(failures=("Server error",)), ["Server error"], True),
        (entry(failures=("Server error",)), ["Server error", "Undocumented status code"], False),
        (entry(failures=("Server error",)), [], False),
        (entry(check="suites/contract/*"), ["Server error"], True),
        (entry(check=ID.replace("{id}", "?id?")), ["Server error"], False),
        (entry(check=ID + "x"), ["Server error"], False),
        (entry(expires=TODAY - timedelta(days=1)), ["Server error"], False),
    ],
)
def test_what_is_accepted(known: Known, failures: list[str], accepted: bool) -> None:
    told = KnownFailures([known], TODAY).accepted(ID, failures)
    assert told == ("known failure: old (until 2026-05-01)" if accepted else "")


def test_several_entries_accept_together_what_one_alone_does_not() -> None:
    entries = [entry(failures=("A",)), entry(failures=("B",), reason="older")]
    known = KnownFailures(entries, TODAY)
    assert known.accepted(ID, ["A", "B"]) == (
        "known failure: old (until 2026-05-01); older (until 2026-05-01)"
    )


def test_an_expired_entry_is_remembered() -> None:
    known = KnownFailures([entry(expires=date(2026, 4, 30))], TODAY)
    assert known.expired(ID) == "expired in known.toml on 2026-04-30 (old)"
    assert known.expired("another") == ""


def test_what_passes_has_no_place_in_the_list_but_a_pattern_may_stay() -> None:
    assert "remove the entry" in KnownFailures([entry()], TODAY).outdated(ID)
    assert KnownFailures([entry(check="suites/*")], TODAY).outdated(ID) == ""


# --- the file -------------------------------------------------------------------------------


def test_what_is_written_can_be_read(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    entries = [entry(reason='say "no"\n\\ ', failures=("A", "é")), entry(check="b")]
    (tmp_path / "known.toml").write_text(to_toml(entries))
    assert list(known_failures(tmp_path)) == entries


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[known]]\ncheck = 'a'\nreason = 'b'\n", "expires"),
        ("[[known]]\ncheck = 'a'\nreason = ''\nexpires = 2026-01-01\n", "reason"),
        ("[[known]]\ncheck = 'a'\nreason = 'b'\nexpires = 'soon'\n", "expires"),
        ("[[known]]\nchek = 'a'\nreason = 'b'\nexpires = 2026-01-01\n", "chek"),
        ("[[known]\n", "known.toml:1: is not TOML"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_place(tmp_path, text, message) -> None:
    (tmp_path / "known.toml").write_text(text)
    with pytest.raises(UsageError, match=message) as refusal:
        known_failures(tmp_path)
    assert "known.toml" in str(refusal.value)


def failed(name: str, *titles: str, category: str = "contract", outcome: str = "failed") -> Check:
    plain = {"id": name, "category": category, "severity": "major", "outcome": outcome}
    return msgspec.convert({**plain, "failures": [{"title": one} for one in titles]}, Check)


def test_only_failed_contract_checks_without_an_entry_get_one() -> None:
    checks = [
        failed("new"),
        failed("there"),
        failed("fine", outcome="passed"),
        failed("s", category="smoke"),
    ]
    found = entries_for(checks, [entry(check="there")], "old", TODAY, TODAY)
    assert [one.check for one in found] == ["new"]


def test_what_another_day_finds_is_added_and_then_the_list_has_settled() -> None:
    there = [entry(check="a", failures=("Server error",))]
    found = [failed("a", "Server error", "Undocumented status code")]
    added = entries_for(found, there, "old", TODAY, TODAY)
    assert [(one.check, one.failures) for one in added] == [("a", ("Undocumented status code",))]
    assert entries_for(found, [*there, *added], "old", TODAY, TODAY) == []
    assert KnownFailures([*there, *added], TODAY).accepted("a", found[0].titles)


def test_an_expired_entry_accepts_nothing_so_another_is_added() -> None:
    there = [entry(check="a", failures=("Server error",), expires=TODAY - timedelta(days=1))]
    added = entries_for([failed("a", "Server error")], there, "old", TODAY, TODAY)
    assert [one.failures for one in added] == [("Server error",)]


# --- a run ------------------------------------------------------------------------------------

SPEC = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/good": {"get": {"responses": {"200": {"description": "fine"}}}},
        "/bad": {"get": {"responses": {"200": {"description": "fine"}}}},
    },
}
RUN = ("-m", "contract")


@pytest.fixture
def broken(project: Project) -> Project:
    project.server.on("/openapi.json", json_answer(SPEC))
    project.server.on("/good", json_answer({}))
    project.server.on("/bad", json_answer({}, 500))
    project.configure('openapi = "/openapi.json"\n\n[contract]\nmax_examples = 2\n')
    return project


def accept(project: Project, days: int = 30) -> str:
    expires = date.today() + timedelta(days=days)
    bad = ID.replace("/items/{id}", "/bad")
    project.write("known.toml", to_toml([entry(check=bad, reason="ticket 7", expires=expires)]))
    return str(expires)


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_known_failure_is_shown_and_counts_on_neither_side(broken, workers) -> None:
    expires = accept(broken)
    outcome = broken.run(*RUN, *workers)
    assert outcome.ruling == ("pass", 0)
    check = outcome.check("[GET /bad]")
    assert check["outcome"] == "known"
    assert check["message"].startswith(f"known failure: ticket 7 (until {expires}). Server error")
    assert outcome.verdict["counts"]["known"] == 1
    assert outcome.verdict["categories"]["contract"]["planned"] == 1
    assert "1 known to fail" in outcome.output
    assert "Known failures, accepted for now" in outcome.page


def test_an_expired_one_is_a_failure_again_and_says_so(broken) -> None:
    accept(broken, days=-5)
    outcome = broken.run(*RUN)
    assert outcome.ruling == ("fail", 1)
    assert "expired in known.toml on " in outcome.check("[GET /bad]")["message"]


def test_one_that_is_mended_is_a_failure_until_the_entry_is_gone(broken) -> None:
    accept(broken)
    good = (broken.path / "known.toml").read_text().replace("/bad", "/good")
    (broken.path / "known.toml").write_text(good)
    outcome = broken.run(*RUN)
    assert "remove the entry" in outcome.check("[GET /good]")["message"]
    assert outcome.ruling == ("fail", 1)


def test_where_the_seed_changes_each_day_an_entry_may_stay_and_the_header_names_the_seed(
    broken,
) -> None:
    def get_alone(status: int) -> Behaviour:
        well, other = json_answer({}, status), json_answer({}, 405, Allow="GET")
        return lambda visit: (well if visit.request.method == "GET" else other)(visit)

    broken.server.on("/good", get_alone(200)).on("/bad", get_alone(418))
    accept(broken)
    good = (broken.path / "known.toml").read_text().replace("/bad", "/good")
    (broken.path / "known.toml").write_text(good)
    settings = (broken.path / "prodcheck.toml").read_text()
    (broken.path / "prodcheck.toml").write_text(
        settings.replace("[contract]", "read_only = false\n[contract]")
    )
    outcome = broken.run(*RUN)
    assert outcome.check("[GET /good]")["outcome"] == "passed"
    day = outcome.verdict["run_id"].partition("T")[0]
    assert f"prodcheck: contract seed {day}, one for each day" in outcome.output
    assert f"seed {day})" in outcome.check("[GET /bad]")["message"]


def test_a_violation_can_never_be_known(broken) -> None:
    broken.write(
        "test_own.py",
        """
        import pytest

        @pytest.mark.contract
        def test_own(api):
            api.post("/good")
        """,
    )
    entries = [entry(check="test_own.py::test_own", expires=date(2999, 1, 1))]
    broken.write("known.toml", to_toml(entries))
    outcome = broken.run(*RUN)
    assert outcome.check("test_own")["outcome"] == "failed"
    assert outcome.ruling == ("fail", 1)


def test_known_add_lets_an_old_api_adopt_the_gate(broken, monkeypatch, capsys) -> None:
    assert broken.run(*RUN).ruling == ("fail", 1)
    monkeypatch.chdir(broken.path)
    assert main(["known", "--add", "prodcheck-report/latest", "--reason", "ticket 7"]) == 0
    assert "1 entry added to" in capsys.readouterr().out
    assert broken.run(*RUN).ruling == ("pass", 0)
    assert main(["known", "--add", "prodcheck-report/latest"]) == 0
    assert "0 entries added to" in capsys.readouterr().out


def test_known_crash_on_bad_data_does_not_hide_one_on_good_data(
    broken, monkeypatch, capsys
) -> None:
    """Nor one with another status, nor that the operation is down; each run says the same again."""
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 50}}
    spec = {**SPEC, "paths": {"/bad": {"get": {**SPEC["paths"]["/bad"]["get"]}}}}
    spec["paths"]["/bad"]["get"]["parameters"] = [limit]
    broken.server.on("/openapi.json", json_answer(spec))
    monkeypatch.chdir(broken.path)

    def crash(status: int, when: Callable[[str], bool]) -> None:
        def behave(visit: Any) -> None:
            given = parse_qs(urlsplit(visit.request.target).query, keep_blank_values=True)
            (value,) = given.get("limit", ["1"])[-1:]
            if visit.request.method != "GET":
                json_answer({}, 405, Allow="GET")(visit)
            else:
                (json_answer({}, status) if when(value) else json_answer({}))(visit)

        broken.server.on("/bad", behave)

    def new_crashes() -> set[str]:
        outcome = broken.run(*RUN)
        check = outcome.check("[GET /bad]")
        assert check["outcome"] == "failed", outcome.output
        assert main(["known", "--add", str(outcome.folder)]) == 0
        again = broken.run(*RUN)
        assert again.check("[GET /bad]")["outcome"] == "known", again.output
        return {one for one in check["failures"] if "rror" in one or one == "Never a success"}

    forbidden = "Server error on data that the document forbids"
    settings = (broken.path / "prodcheck.toml").read_text()
    (broken.path / "prodcheck.toml").write_text(
        settings.replace("[contract]", "read_only = false\n[contract]")
    )
    crash(500, lambda value: not is_number(value))
    assert new_crashes() == {forbidden}
    crash(500, lambda value: value == "50")
    assert "Server error" in new_crashes()
    crash(503, lambda value: value == "50")
    assert "Server error 503" in new_crashes()
    crash(500, lambda value: True)
    assert "Never a success" in new_crashes()


def is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d{1,40}", text) is not None


def test_known_add_names_failed_checks_that_cannot_be_accepted(broken, monkeypatch, capsys) -> None:
    code = """
    import pytest

    @pytest.mark.smoke
    def test_wrong(api):
        assert api.get("/ok").status_code == 201
    """
    broken.write("test_smoke.py", code)
    broken.run("-m", "smoke or contract")
    monkeypatch.chdir(broken.path)
    assert main(["known", "--add", "prodcheck-report/latest"]) == 0
    said = capsys.readouterr().out
    assert "not added, since only contract checks can be accepted: " in said
    assert "test_smoke.py" not in (broken.path / "known.toml").read_text()


def test_known_add_of_no_run_is_a_usage_error(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["known", "--add", "nothing"]) == 4
    assert "name the folder of a run" in capsys.readouterr().err
