"""No request that a document asks for changes a read-only target, by the ledger of a server."""

import itertools
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faulty import Seen, json_answer
from tests.guard.test_acting import ACTING_IDS, ACTING_PATHS, ACTING_TEXTS, READING_PATHS
from tests.project import Outcome, Project

ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
OK = {"responses": {"200": {"description": "ok"}}}

OVERRIDES = ["_method", "X-HTTP-Method-Override", "Host", "X-Forwarded-Host", "Forwarded"]
HEADERS = {"x-http-method-override", "x-forwarded-host", "forwarded"}


def with_document(project: Project, paths: dict[str, Any], contract: str = "") -> None:
    spec = {"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": paths}
    project.server.on("*", json_answer([{"id": 7, "action": "delete"}]))
    project.server.on("/openapi.json", json_answer(spec))
    project.configure(f"[contract]\n{contract}\n", openapi='"/openapi.json"')


def check_of(outcome: Outcome, operation: str) -> dict[str, Any]:
    return outcome.check(f"test_operation[{operation}]")


# --- what is shown


@pytest.mark.fault(132)
def test_an_acting_get_is_not_permitted_and_the_line_that_allows_it_is_shown(project) -> None:
    with_document(project, {"/reset": {"get": OK}, "/orders": {"get": OK}})
    outcome = project.run("-m", "contract")
    assert outcome.ruling == ("pass", 0), outcome.output
    check = check_of(outcome, "GET /reset")
    assert check["outcome"] == "not_permitted"
    assert '[contract] allow = ["GET /reset"]' in check["message"]
    assert '[contract] allow = ["GET /reset"]' in outcome.page.replace("&#34;", '"')
    assert outcome.verdict["counts"]["not_permitted"] == 1
    assert not project.server.seen("/reset")
    assert project.server.seen("/orders")


@pytest.mark.fault(132)
def test_allow_lets_it_through(project) -> None:
    with_document(project, {"/reset": {"get": OK}}, 'allow = ["GET /reset"]')
    outcome = project.run("-m", "contract")
    assert check_of(outcome, "GET /reset")["outcome"] == "passed"
    assert project.server.seen("/reset")


@pytest.mark.fault(132)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize("category", ["contract", "smoke"])
def test_an_entry_that_names_no_operation_is_told(project, category, workers) -> None:
    paths = {"/reset": {"get": OK}, "/orders": {"get": OK}, "/gone": {"$ref": "#/nowhere"}}
    lists = 'allow = ["GET /rest", "GET /reset"]\nexclude = ["GET /ordres", "/gone"]'
    with_document(project, paths, lists)
    outcome = project.run("-m", category, *workers)
    told = [line for line in outcome.output.splitlines() if "names no operation" in line]
    assert told == [
        "prodcheck: [contract] allow names no operation of the document by 'GET /rest': correct or "
        "remove what is misspelt or gone",
        "prodcheck: [contract] exclude names no operation of the document by 'GET /ordres': "
        "correct or remove what is misspelt or gone",
    ]
    assert project.server.seen("/reset")
    assert project.server.seen("/orders")


@pytest.mark.fault(132)
@pytest.mark.parametrize("category", ["contract", "smoke"])
@pytest.mark.parametrize("entry", ["GET /settle-all", "/settle-*", "settling", "acts"])
def test_what_is_excluded_is_sent_by_nothing_derived(project, category, entry) -> None:
    """The words of an operation may say nothing of what it does; then `exclude` says it."""
    acts = {**OK, "operationId": "settling", "tags": ["acts"], "summary": "Get the balance"}
    with_document(
        project, {"/settle-all": {"get": acts}, "/x": {"get": OK}}, f'exclude = ["{entry}"]'
    )
    project.server.on("/x", json_answer([{"id": 8}]))
    outcome = project.run("-m", category)
    assert outcome.ruling == ("pass", 0), outcome.output
    assert not project.server.seen("/settle-all")
    assert project.server.seen("/x")


@pytest.mark.fault(132)
def test_what_is_excluded_is_not_asked_to_look_at_an_unknown_target(project) -> None:
    with_document(project, {"/a/health": {"get": OK}, "/x": {"get": OK}})
    project.configure('[contract]\nexclude = ["GET /a/health"]')
    project.run("-m", "smoke")
    assert not project.server.seen("/a/health")
    assert project.server.seen("/x")


@pytest.mark.fault(132)
def test_a_derived_probe_is_withheld_as_an_operation_is(project) -> None:
    with_document(project, {"/cache/clear": {"get": OK}, "/orders": {"get": OK}})
    outcome = project.run("-m", "smoke")
    check = outcome.check("test_probe[GET /cache/clear]")
    assert check["outcome"] == "not_permitted"
    assert '[contract] allow = ["GET /cache/clear"]' in check["message"]
    assert not project.server.seen("/cache/clear")
    assert project.server.seen("/orders")


@pytest.mark.fault(132)
def test_a_probe_and_a_test_of_the_team_may_ask_what_they_like(project) -> None:
    with_document(project, {"/reset": {"get": OK}})
    project.configure('[[probes]]\nget = "/reset"', openapi='"/openapi.json"')
    project.server.on("/reset", json_answer({"state": "was reset"}))
    project.write(
        "test_a.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_logout(api):
            assert api.get("/auth/logout/7").status_code == 200
        """,
    )
    outcome = project.run("test_a.py", "-m", "smoke")
    assert outcome.check("test_logout")["outcome"] == "passed"
    assert project.run("-m", "smoke").check("test_probe[GET /reset]")["outcome"] == "passed"
    assert project.server.seen("/reset")


@pytest.mark.fault(132)
def test_a_list_that_acts_is_not_asked_for_real_values(project) -> None:
    one = {**OK, "summary": "Get the state of a synchronisation", "parameters": [ID]}
    with_document(project, {"/sync": {"get": OK}, "/sync/{id}": {"get": one}})
    outcome = project.run("-m", "contract")
    assert outcome.outcomes()["test_operation[GET /sync]"] == "not_permitted"
    assert outcome.outcomes()["test_operation[GET /sync/{id}]"] == "passed"
    assert not project.server.seen("/sync")


@pytest.mark.fault(132)
def test_a_writable_target_is_sent_what_acts(project) -> None:
    with_document(project, {"/reset": {"get": OK}})
    project.configure(openapi='"/openapi.json"', read_only="false")
    outcome = project.run("-m", "contract")
    assert outcome.outcomes()["test_operation[GET /reset]"] != "not_permitted"
    assert project.server.seen("/reset")


@pytest.mark.fault(132)
def test_an_acting_value_of_a_filter_is_left_out_of_its_cases(project) -> None:
    action = {"name": "action", "in": "query", "schema": {"enum": ["view", "delete"]}}
    operation = {**OK, "summary": "Lists the audit log", "parameters": [action]}
    with_document(project, {"/audit": {"get": operation}})
    assert project.run("-m", "contract").ruling == ("pass", 0)
    asked = {seen.target for seen in project.server.ledger}
    assert "/audit?action=view" in asked
    assert not any("delete" in target for target in asked)


@pytest.mark.fault(145)
def test_a_form_beside_a_get_is_neither_sent_nor_a_violation(project) -> None:
    """Stripe documents one for each of its GETs."""
    schema = {"type": "object", "properties": {"_method": {"type": "string"}}}
    body = {"content": {"application/x-www-form-urlencoded": {"schema": schema}}}
    with_document(project, {"/v1/account": {"get": {**OK, "requestBody": body}}})
    assert project.run("-m", "contract").ruling == ("pass", 0)
    assert {seen.body for seen in project.server.seen("/v1/account")} == {b""}


@pytest.mark.fault(133)
@pytest.mark.parametrize("read_only", ["true", "false"])
def test_an_operation_that_asks_for_another_host_is_not_permitted(project, read_only) -> None:
    host = {"name": "X-Forwarded-Host", "in": "header", "schema": {"type": "string"}}
    paths = {"/a": {"get": {**OK, "parameters": [host]}}, "/orders": {"get": OK}}
    with_document(project, paths)
    project.configure(openapi='"/openapi.json"', read_only=read_only)
    outcome = project.run("-m", "contract")
    check = check_of(outcome, "GET /a")
    assert check["outcome"] == "not_permitted"
    assert '[contract] exclude = ["GET /a"]' in check["message"]
    assert not project.server.seen("/a")


# --- a document that tries


def hostile_document(seed: int, size: int) -> dict[str, Any]:
    """Paths of acting operations in many disguises, and of overrides and other hosts; each has
    `/trap` in front. Beside them harmless ones, without it, some with values that act."""
    random_ = random.Random(seed)
    paths: dict[str, Any] = {}
    numbers = itertools.count()
    while len(paths) < size:
        kind = random_.choice(["path", "id", "text", "parameter", "override", "fine", "filter"])
        method = random_.choice(["get", "get", "get", "head", "options"])
        operation: dict[str, Any] = {**OK}
        path = f"/trap/a{next(numbers)}/things"
        if kind == "path":
            path = disguised(random_.choice(ACTING_PATHS), random_, path)
        elif kind == "id":
            operation["operationId"] = random_.choice(ACTING_IDS)
        elif kind == "text":
            operation[random_.choice(["summary", "description"])] = random_.choice(ACTING_TEXTS)
        elif kind == "parameter":
            value = random_.choice(["delete", "removeUser", "RESET", "log-out"])
            operation["parameters"] = [{"name": random_.choice(["action", "op", "do", "_cmd"]),
                "in": "query", "schema": {"enum": [value]}}]  # fmt: skip
        elif kind == "override":
            name = random_.choice(OVERRIDES)
            place = "query" if name == "_method" else "header"
            schema = {"type": "string", "enum": ["DELETE", "evil.example"]}
            operation["parameters"] = [{"name": name, "in": place, "schema": schema}]
        else:
            path = f"/fine/a{next(numbers)}{random_.choice(READING_PATHS)}"
            values = {"enum": ["view", "delete", "remove_trap"]} if kind == "filter" else {}
            operation["summary"] = "Lists what there is"
            operation["parameters"] = [
                {"name": "action" if values else "q", "in": "query", "schema": values}
            ]
        names = sorted(set(re.findall(r"\{([^{}]+)\}", path)))
        operation["parameters"] = operation.get("parameters", []) + [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
        paths[path] = {method: operation}
    return paths


def disguised(path: str, random_: random.Random, prefix: str) -> str:
    """The same path in another spelling."""
    front, _, rest = path.partition("{")
    ways = [str, str.upper, str.title, lambda text: text.rstrip("/") + ".json"]
    as_it_is = front != front.lower() or "?" in front  # its capitals tell its words apart
    spelled = front if as_it_is else random_.choice(ways)(front)
    return f"{prefix}{spelled}{'{' + rest if rest else ''}"


def arrived(project: Project) -> Iterator[Seen]:
    """Requests of the contract suite that must not have arrived."""
    for seen in project.server.ledger:
        elsewhere = seen.headers.get("host") != project.server.url.removeprefix("http://")
        is_trap = re.search("/trap/|_trap|_method|action=delete", seen.target)
        if elsewhere or is_trap or HEADERS & seen.headers.keys():
            yield seen


@pytest.mark.fault(87, 132, 133, 145)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_no_acting_request_of_a_hostile_document_arrives(project, workers) -> None:
    with_document(project, hostile_document(seed=1, size=120), "max_examples = 5")
    outcome = project.run("-m", "contract or smoke", *workers)
    assert not list(arrived(project))
    assert len(project.server.ledger) > 200
    assert outcome.verdict["counts"]["not_permitted"] > 60
    traps = [one for one in outcome.verdict["checks"] if "/trap/" in one["id"]]
    assert {one["outcome"] for one in traps} == {"not_permitted"}
    assert not any("was not sent" in one["message"] for one in outcome.verdict["checks"])
