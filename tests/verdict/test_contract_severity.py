"""What was found decides: which failures of an operation are critical, major, or told once."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_prodcheck.model import Check, Failure, Planned, TargetInfo
from pytest_prodcheck.store.entries import Begin, Entry, Plan, Report
from pytest_prodcheck.store.journal import fold
from pytest_prodcheck.verdict.remarks import shared_remarks
from tests.faulty import Behaviour, Visit, answer, json_answer
from tests.project import Outcome, Project

JSON = {"application/json": {"schema": {"type": "object"}}}
OK = {"200": {"description": "d", "content": JSON}}
ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, **more}


def get(*parameters: Any, **more: Any) -> dict[str, Any]:
    return {"get": {"parameters": list(parameters), "responses": OK, **more}}


def by_path(known: Callable[[str], bool], otherwise: Behaviour) -> Behaviour:
    """200 for paths that are known."""

    def behave(visit: Visit) -> None:
        (json_answer({}) if known(visit.request.path) else otherwise)(visit)

    return behave


def serve(
    project: Project, paths: dict[str, Any], contract: str = "", **keys: str
) -> Callable[[], Outcome]:
    project.server.on("/openapi.json", json_answer(document(paths)))
    few = "" if "max_examples" in contract else "max_examples = 8\n"
    text = f"[contract]\n{few}{contract}"
    project.configure(text, openapi='"/openapi.json"', rate='"1000/s"', **keys)
    return lambda: project.run("-m", "contract", "-p", "no:xdist")


def operation(outcome: Outcome, name: str) -> tuple[str, str, list[str]]:
    found = outcome.check(f"[{name}]")
    return found["outcome"], found["severity"], found["failures"]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 422])
def test_a_refusal_of_an_invented_value_is_told_once_and_fails_nothing(project, status):
    names = ("apples", "pears", "plums")
    paths = {f"/{name}/{{id}}": get(ID) for name in names}
    run = serve(project, paths, '[contract.parameters]\nid = ["red"]\n')
    refusal = json_answer({"detail": "no"}, status)
    project.server.on("*", by_path(lambda path: path.endswith("/red"), refusal))
    outcome = run()
    assert outcome.ruling == ("pass", 0), outcome.output
    sentence = f"{status} is not documented on 3 operations (GET /apples/{{id}}, GET /pears/{{id}}"
    assert outcome.output.count(sentence) == 1
    assert outcome.page.count(f"<li>{sentence} and 1 more)") == 1
    assert outcome.verdict["reasons"] == [f"{sentence} and 1 more)"]
    assert operation(outcome, "GET /pears/{id}") == (
        "passed",
        "major",
        [f"{status} is not documented"],
    )
    assert outcome.verdict["score"] == 100


REAL: dict[str, tuple[dict[str, Any], str, dict[str, Behaviour]]] = {
    "an example of the parameter": (get({**ID, "example": "red"}), "", {}),
    "one of several examples": (get({**ID, "examples": {"a": {"value": "red"}}}), "", {}),
    "an example of the schema": (
        get({**ID, "schema": {"type": "string", "examples": ["red"]}}),
        "",
        {},
    ),
    "an enumeration": (get({**ID, "schema": {"type": "string", "enum": ["red"]}}), "", {}),
    "an enumeration in an alternative": (
        get({**ID, "schema": {"anyOf": [{"type": "string", "enum": ["red"]}]}}),
        "",
        {},
    ),
    "a constant": (get({**ID, "schema": {"const": "red"}}), "", {}),
    "a default": (get({**ID, "schema": {"type": "string", "default": "red"}}), "", {}),
    "the configuration": (get(ID), '[contract.parameters]\nid = ["red"]\n', {}),
    "a list of the service": (get(ID), "", {"/apples": json_answer([{"id": "red"}])}),
    "no value at all": ({"get": {"responses": OK}}, "", {}),
}


@pytest.mark.parametrize("kind", REAL)
def test_a_refusal_of_a_value_that_exists_is_major(project, kind):
    item, contract, more = REAL[kind]
    path = "/apples" if kind == "no value at all" else "/apples/{id}"
    listed = {"/apples": {"get": {"responses": OK}}} if more else {}
    run = serve(project, {path: item, **listed}, contract)
    project.server.on("*", json_answer({"detail": "no"}, 404))
    for place, behaviour in more.items():
        project.server.on(place, behaviour)
    outcome = run()
    assert operation(outcome, f"GET {path}")[:2] == ("failed", "major"), outcome.output
    assert "Undocumented status code" in operation(outcome, f"GET {path}")[2]
    assert outcome.exit == 1


@pytest.mark.parametrize("status", [401, 402, 408, 413, 415, 418, 423, 451])
def test_other_undocumented_statuses_stay_major(project, status):
    run = serve(project, {"/a/{id}": get(ID)}, '[contract.parameters]\nid = ["red"]\n')
    project.server.on("*", by_path(lambda path: path.endswith("/red"), json_answer({}, status)))
    outcome = run()
    assert operation(outcome, "GET /a/{id}")[:2] == ("failed", "major"), outcome.output


def test_an_operation_that_only_refuses_is_not_proven(project):
    run = serve(project, {"/a/{id}": get(ID)})
    project.server.on("*", json_answer({"detail": "no"}, 404))
    outcome = run()
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert operation(outcome, "GET /a/{id}")[0] == "not_run"
    assert "Give values that exist: id = [...]" in outcome.check("[GET /a/{id}]")["message"]
    assert "404 is not documented on 1 operation (GET /a/{id})" in outcome.output


def test_valid_data_that_is_refused_for_an_invented_value_is_minor(project):
    documented = {**OK, "400": {"description": "no", "content": JSON}}
    item = {"get": {"parameters": [ID], "responses": documented}}
    run = serve(project, {"/a/{id}": item}, '[contract.parameters]\nid = ["red"]\n')
    project.server.on("*", by_path(lambda path: path.endswith("/red"), json_answer({}, 400)))
    outcome = run()
    assert outcome.ruling == ("pass", 0), outcome.output
    assert "400 refuses data that the document allows on 1 operation" in outcome.output


def test_a_crash_is_critical_and_minor_things_are_told_in_one_line(project):
    run = serve(project, {"/a/{id}": get(ID)}, 'max_examples = 40\nparameters = { id = ["red"] }')

    def behave(visit: Visit) -> None:
        path = visit.request.path
        json_answer({}, 500 if path.endswith("/red") else 404)(visit)

    project.server.on("*", behave)
    outcome = run()
    assert operation(outcome, "GET /a/{id}") == (
        "failed",
        "critical",
        ["Server error", "Never a success", "404 is not documented"],
    )
    message = outcome.check("[GET /a/{id}]")["message"]
    assert message.startswith("Server error; Never a success (in ")
    assert re.search(r"\nnot one of \d+ cases was a success: 500 \(\d+\), 404 \(\d+\)\n", message)
    assert "\nminor, for invented values: 404 is not documented\n" in message


def test_a_credential_that_is_not_enforced_is_critical(project):
    spec = document(
        {"/a": {"get": {"responses": OK, "security": [{"b": []}]}}},
        components={
            "securitySchemes": {"b": {"type": "apiKey", "in": "header", "name": "X-Token"}}
        },
    )
    project.configure(openapi='"/openapi.json"', headers="{ X-Token = '${TOKEN}' }")
    project.environ["TOKEN"] = "lets-everybody-in"
    project.server.on("/openapi.json", json_answer(spec)).on("/a", json_answer({}))
    outcome = project.run("-m", "contract", "-p", "no:xdist")
    assert operation(outcome, "GET /a")[:2] == ("failed", "critical"), outcome.output


@pytest.mark.parametrize(
    ("behaviour", "title"),
    [
        (json_answer([]), "Response violates schema"),
        (answer(b"<p>", content_type="text/html"), "Undocumented Content-Type"),
    ],
)
def test_schema_and_content_type_are_major(project, behaviour, title):
    run = serve(project, {"/a": {"get": {"responses": OK}}})
    project.server.on("/a", behaviour)
    assert operation(run(), "GET /a") == ("failed", "major", [title])


def test_a_crash_on_what_the_document_forbids_is_a_failure_of_its_status(project):
    number = {"name": "n", "in": "query", "required": True, "schema": {"type": "integer"}}
    run = serve(project, {"/a": get(number)}, read_only="false")

    def behave(visit: Visit) -> None:
        query = visit.request.target.partition("n=")[2]
        fits = query.lstrip("-").isdigit()
        if visit.request.method == "GET":
            json_answer({}, 200 if fits else 500)(visit)
        else:
            json_answer({}, 405, Allow="GET")(visit)

    project.server.on("/a", behave)
    outcome = run()
    found = outcome.check("[GET /a]")
    assert (found["outcome"], found["severity"], found["reason"]) == ("failed", "major", "status")


# --- compatibility ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "severity"),
    [
        ({}, "critical"),  # the operation is gone
        ({"/a": {"get": {"responses": {**OK}, "parameters": [{
            "name": "n", "in": "query", "schema": {"type": "integer", "maximum": 5}}]}}}, "major"),
    ],
)  # fmt: skip
def test_a_compatibility_break_is_as_severe_as_its_worst_change(project, new, severity):
    old = {"/a": {"get": {"responses": OK, "parameters": [
        {"name": "n", "in": "query", "schema": {"type": "integer", "maximum": 9}}]}}}  # fmt: skip
    project.write("old.json", json.dumps(document(old)))
    run = serve(project, {"/b": {"get": {"responses": OK}}, **new}, 'baseline = "old.json"\n')
    project.server.on("*", json_answer({}))
    outcome = run()
    found = outcome.check("test_compatibility[document]")
    assert (found["outcome"], found["severity"]) == ("failed", severity), outcome.output


# --- the fold ---------------------------------------------------------------------------------


def folded(planned: str, outcome: str, failures: list[dict[str, Any]]) -> str:
    told: dict[str, Any] = {"category": "contract", "severity": planned, "failures": failures}
    if outcome == "failed":
        told["message"] = "m"
    common = {"nodeid": "t", "longrepr": "m", "prodcheck": told}
    reports = [
        {"when": when, "outcome": outcome if when == "call" else "passed", **common}
        if when == "call"
        else {"nodeid": "t", "when": when, "outcome": "passed"}
        for when in ("setup", "call", "teardown")
    ]
    check = Planned(id="t", category="contract", severity=planned)
    entries: list[Entry] = [
        Begin(run_id="r", target=TargetInfo(name="t", base_url="http://t")),
        Plan(checks=(check,)),
        *(Report(data=report) for report in reports),
    ]
    return fold(entries).checks[0].severity


@pytest.mark.parametrize(
    ("planned", "outcome", "found", "expected"),
    [
        ("major", "failed", ["minor", "critical"], "critical"),
        ("major", "failed", ["minor"], "minor"),
        ("major", "failed", ["minor", None], "major"),
        ("major", "failed", [], "major"),
        ("minor", "failed", [None], "minor"),
        ("minor", "failed", ["critical"], "critical"),
        ("critical", "failed", ["minor"], "critical"),
        ("major", "passed", ["minor"], "major"),
        ("minor", "passed", ["critical"], "minor"),
    ],
)
def test_the_worst_that_was_found_is_the_severity_of_a_failed_check(
    planned, outcome, found, expected
):
    failures = [{"title": str(n), "severity": one} for n, one in enumerate(found)]
    assert folded(planned, outcome, failures) == expected


def test_remarks_count_operations_and_name_the_commonest_first():
    def made(name: str, *titles: str) -> Check:
        return Check(
            id=f"test_operations.py::test_operation[{name}]",
            category="contract",
            severity="major",
            outcome="passed",
            failures=tuple(Failure(title=title, severity="minor") for title in titles),
        )

    checks = [made(f"GET /{n}", "400 is not documented") for n in range(19)]
    checks += [made("GET /x", "404 is not documented"), made("GET /y")]
    assert shared_remarks(checks) == [
        "400 is not documented on 19 operations (GET /0, GET /1 and 17 more)",
        "404 is not documented on 1 operation (GET /x)",
    ]
