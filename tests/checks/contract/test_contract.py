"""The contract suite, for real: the demo with its twelve bugs, and documents of others."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pytest_prodcheck.checks.contract import cases as cases_module
from pytest_prodcheck.checks.contract.exploration import Stop, is_success
from tests.contract_bugs import CONTRACT_BUGS, ContractBug
from tests.faulty import Behaviour, Visit, json_answer
from tests.project import Outcome, Project

TITLES = {
    "not_a_server_error": "Server error",
    "response_schema_conformance": "Response violates schema",
    "status_code_conformance": "Undocumented status code",
    "content_type_conformance": "Undocumented Content-Type",
    "ignored_auth": "API accepts requests without authentication",
    "use_after_free": "Deleted resource still available",
    "negative_data_rejection": "Schema-violating request accepted",
    "response_headers_conformance": "Response header does not conform to the schema",
}
"""What Schemathesis calls a failure of each check that the truth table names."""

DEMO = 'openapi = "/openapi.json"\nheaders = { Authorization = "Bearer demo-token" }\n'


def found(outcome: Outcome) -> set[int]:
    """Numbers of the bugs that are told: by the check of their operation, or by the sequences,
    for what is wrong at a time may be seen by them alone while they run beside the others."""
    failed = [one for one in outcome.verdict["checks"] if one["outcome"] == "failed"]
    told = {(one["id"].partition("[")[2].removesuffix("]"), title)
            for one in failed for title in one["failures"]}  # fmt: skip
    in_sequences = [one["message"] for one in failed if one["id"].endswith("[all]")]

    def is_told(bug: ContractBug) -> bool:
        title = TITLES[bug.check]
        if bug.check == "use_after_free":
            return ("all", title) in told
        method, path = bug.operation.split()
        url = re.sub(r"\\{\w+\\}", r"[^/?]+", re.escape(path))
        asked = rf"^\d+\. {title}.*(?:\n   .*)*\n   {method} http://[^/]+{url}(?:\?\S*)? -> "
        # Of a crash the title also tells its status, and whether the request was allowed.
        by_itself = any(told_of == bug.operation and one.startswith(title) for told_of, one in told)
        return by_itself or any(re.search(asked, message, re.M) for message in in_sequences)

    return {bug.number for bug in CONTRACT_BUGS if is_told(bug)}


def stray(outcome: Outcome) -> set[str]:
    """Operations that failed and have no bug."""
    failed = {
        one["id"].partition("[")[2].removesuffix("]")
        for one in outcome.verdict["checks"]
        if one["outcome"] == "failed"
    }
    return failed - {bug.operation for bug in CONTRACT_BUGS} - {"all"}


@pytest.mark.parametrize(
    "workers",
    [(), ("-n2", "--dist", "loadscope"), ("-n2", "--dist", "worksteal")],
    ids=["n0", "n2-loadscope", "n2-worksteal"],
)
def test_all_twelve_bugs_are_found_and_nothing_else(pytester, workers) -> None:
    project = Project(pytester, server=None)  # type: ignore[arg-type]
    process = project.start("--target=demo:contract-bugs", "-m", "contract", *workers)
    outcome = project.outcome(process, timeout=240)
    assert found(outcome) == {bug.number for bug in CONTRACT_BUGS}, outcome.output
    assert stray(outcome) == set()
    assert outcome.exit == 1
    assert "seed" in outcome.output


def test_reading_alone_finds_what_reading_can_find(pytester) -> None:
    project = Project(pytester, server=None)  # type: ignore[arg-type]
    start = "{python} -m pytest_prodcheck.demo --port {port} --incident contract-bugs"
    project.path.joinpath("prodcheck.toml").write_text(
        f'[targets.t]\nstart = "{start}"\nbase_url = "http://127.0.0.1:{{port}}"\n{DEMO}'
    )
    outcome = project.outcome(project.start("--target=t", "-m", "contract"), timeout=240)
    assert found(outcome) == {bug.number for bug in CONTRACT_BUGS if bug.safe}, outcome.output
    assert stray(outcome) == set()
    outcomes = outcome.outcomes()
    assert outcomes["test_operation[POST /feedback]"] == "not_permitted"
    assert outcomes["test_workflows[all]"] == "not_permitted"


def test_the_healthy_demo_passes_and_every_operation_is_proven(pytester) -> None:
    project = Project(pytester, server=None)  # type: ignore[arg-type]
    process = project.start("--target=demo", "-m", "contract", "-n2")
    outcome = project.outcome(process, timeout=240)
    assert outcome.ruling == ("pass", 0), outcome.output
    assert set(outcome.outcomes().values()) == {"passed"}
    assert len(outcome.outcomes()) >= 16


# --- what a developer sees --------------------------------------------------------------------

SPEC = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/items/{id}": {
            "get": {
                "operationId": "getItem",
                "tags": ["items"],
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
                ],
                "responses": {
                    "200": {
                        "description": "it",
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["id"],
                                    "properties": {"id": {"type": "integer"}},
                                }
                            }
                        },
                    },
                    "404": {"description": "none"},
                },
            }
        },
        "/items": {"get": {"responses": {"200": {"description": "all"}}}},
    },
}


@pytest.fixture
def served(project: Project) -> Project:
    project.server.on("/openapi.json", json_answer(SPEC))
    project.server.on("/items", json_answer([{"id": 4711}]))
    project.server.on("/items/4711", json_answer({"id": "4711"}))
    project.configure('openapi = "/openapi.json"\n\n[contract]\nmax_examples = 4\n')
    return project


def test_a_failure_tells_expected_got_the_case_and_a_command(served: Project) -> None:
    message = served.run("-m", "contract").check("[GET /items/{id}]")["message"]
    first, number, what, value, asked, curl, left = message.splitlines()
    assert first.startswith("Response violates schema (in ")
    assert first.endswith(" cases, seed 0)")
    assert number.startswith("1. Response violates schema (")
    assert what.strip() == '"4711" is not of type "integer"'
    assert value.strip() == 'Value: "4711"'
    assert asked.strip() == f"GET {served.server.url}/items/4711 -> 200"
    assert curl.strip().startswith("curl ")
    assert curl.endswith(f"{served.server.url}/items/4711")
    assert left == "not all cases were sent: the last 1 random ones found nothing else"


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_metrics_count_every_case_and_not_the_evidence_alone(served: Project, workers) -> None:
    outcome = served.run("-m", "contract", *workers)
    asked = [path for path in served.server.paths() if path != "/openapi.json"]
    assert len(asked) > 2
    assert outcome.verdict["metrics"]["requests"] == len(asked)
    assert outcome.verdict["metrics"]["latency_ms"].keys() == {"p50", "p95", "p99"}


def test_the_switch_of_a_drill_is_not_tested_on_any_target(served: Project) -> None:
    config = (served.path / "prodcheck.toml").read_text()
    drill = """
        [[drills]]
        name = "a"
        switch = { post = "/items" }
        restore = { put = "/items" }
        [[drills.probes]]
        get = "/off"
        """
    (served.path / "prodcheck.toml").write_text(f"{config}{dedent(drill)}")
    outcome = served.run("-m", "contract")
    assert "test_operation[GET /items/{id}]" in outcome.outcomes()
    assert "test_operation[GET /items]" not in outcome.outcomes()
    assert "prodcheck: not tested, since a drill switches there: GET /items" in outcome.output
    assert "/items" not in served.server.paths()


@pytest.fixture
def picky(project: Project) -> Project:
    """Its only operation fails where both `a` and `b` are asked for."""
    parameters = [
        {"name": name, "in": place, "schema": {"type": "integer"}, "required": name == "e"}
        for name, place in [*((name, "query") for name in "abcde"), ("x-f", "header")]
    ]
    number = {"content": {"application/json": {"schema": {"type": "integer"}}}}
    operation = {"parameters": parameters, "responses": {"200": number | {"description": "d"}}}

    def breaks_on_a_and_b(visit: Visit) -> None:
        asked = parse_qs(urlsplit(visit.request.target).query).keys()
        json_answer("no number" if {"a", "b"} <= asked else 1)(visit)

    spec = {**SPEC, "paths": {"/asked": {"get": operation}}}
    project.server.on("/openapi.json", json_answer(spec)).on("*", breaks_on_a_and_b)
    project.configure('openapi = "/openapi.json"\n\n[contract]\nmax_examples = 40\n')
    return project


def test_what_a_failure_does_not_need_is_left_out(picky: Project) -> None:
    check = picky.run("-m", "contract", "-k", "test_operation").check("[GET /asked]")
    (shown,) = check["exchanges"]
    assert parse_qs(urlsplit(shown["url"]).query).keys() == {"a", "b", "e"}  # e is required
    assert "x-f" not in shown["curl"].lower()
    assert shown["url"] in check["message"]


@pytest.mark.parametrize("end", ["busy", "time"])
def test_what_failed_has_failed_when_nothing_can_be_left_out(
    picky: Project, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    def without(*args: Any) -> Any:
        if end == "time":
            raise Stop("its time is over")
        picky.server.on("*", busy)
        return leave_out(*args)

    def busy(visit: Visit) -> None:
        refused.append(visit.request)
        json_answer({}, 429, Retry_After="6000")(visit)

    refused: list[Any] = []
    leave_out = cases_module.without_parameter
    monkeypatch.setattr(cases_module, "without_parameter", without)
    outcome = picky.run("-m", "contract", "-k", "test_operation")
    check = outcome.check("[GET /asked]")
    assert (check["outcome"], outcome.exit) == ("failed", 1)
    assert "over" not in check["message"]
    assert bool(refused) == (end == "busy")


def test_chance_ends_where_it_finds_no_other_failure(served: Project) -> None:
    def cases() -> int:
        served.server.ledger.clear()
        outcome = served.run("-m", "contract", "-k", "test_operation and items and id")
        assert "Response violates schema" in str(outcome.check("[GET /items/{id}]"))
        return sum(path.startswith("/items/") for path in served.server.paths())

    served.configure('openapi = "/openapi.json"\n\n[contract]\nmax_examples = 40\n')
    failed = cases()
    served.write(
        "known.toml",
        '[[known]]\ncheck = "*"\nfailures = ["Response violates schema"]\nreason = "old"\n'
        "expires = 2999-01-01\n",
    )
    assert failed <= 20
    assert cases() >= 40, "what is new beside a known failure is looked for as everywhere"


def test_the_evidence_is_that_of_the_failures_alone(served: Project) -> None:
    check = served.run("-m", "contract").check("[GET /items/{id}]")
    assert [one["url"] for one in check["exchanges"]] == [f"{served.server.url}/items/4711"]
    assert '"4711"' in check["exchanges"][0]["body"]


def test_a_read_only_run_asks_the_same_every_time(served: Project) -> None:
    served.run("-m", "contract")
    first = served.server.paths()
    served.server.ledger.clear()
    served.run("-m", "contract")
    assert served.server.paths() == first


def test_one_operation_is_selected_by_its_id(served: Project) -> None:
    outcome = served.run("suites/contract/test_operations.py::test_operation[GET /items]")
    assert outcome.outcomes() == {"test_operation[GET /items]": "passed"}


def test_a_smoke_run_reads_no_document_that_it_does_not_need(served: Project) -> None:
    text = (served.path / "prodcheck.toml").read_text()
    (served.path / "prodcheck.toml").write_text(f'{text}\n[[probes]]\nget = "/ok"\n')
    served.run("-m", "smoke")
    assert "/openapi.json" not in served.server.paths()


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ('"GET /items"', {"GET /items"}),
        ('"items"', {"GET /items/{id}"}),
        ('"getItem"', {"GET /items/{id}"}),
        ('regex="items$"', {"GET /items"}),
        ('"/items/**"', {"GET /items", "GET /items/{id}"}),
        ('"POST /items"', set()),
    ],
)
def test_a_test_of_ones_own_is_run_for_the_operations_that_it_names(served, mark, expected) -> None:
    served.write(
        "test_own.py",
        f"""
        import pytest

        @pytest.mark.contract
        @pytest.mark.offline
        @pytest.mark.operations({mark})
        def test_own(operation):
            assert operation.method == "GET" and operation.path.startswith("/items")
        """,
    )
    outcome = served.run("-m", "contract", "test_own.py")
    assert set(outcome.outcomes()) == {f"test_own[{name}]" for name in expected}


def test_configured_values_and_exclusions_are_heeded(served: Project) -> None:
    served.server.on("/items/7", json_answer({"id": 7}))
    served.configure(
        'openapi = "/openapi.json"\n\n[contract]\nexclude = ["GET /items"]\n'
        "max_examples = 4\nparameters = { id = [7] }\n"
    )
    outcome = served.run("-m", "contract")
    assert outcome.outcomes() == {"test_operation[GET /items/{id}]": "passed"}
    assert "/items/4711" not in served.server.paths()


@pytest.mark.parametrize(
    ("status", "declared", "success"),
    [
        (200, ["200"], True),
        (204, ["200"], True),
        (302, ["302"], True),
        (302, ["200", "302"], False),
        (404, ["404"], False),
        (302, ["default"], False),
        (500, ["500"], False),
    ],
)
def test_what_proves_an_operation(status: int, declared: list[str], success: bool) -> None:
    assert is_success(status, declared) is success


# --- compatibility ----------------------------------------------------------------------------


def older(project: Project) -> Path:
    spec = json.loads(json.dumps(SPEC))
    spec["paths"]["/gone"] = {"get": {"responses": {"200": {"description": "x"}}}}
    return project.write("older.json", json.dumps(spec))


def test_the_live_document_is_compared_with_a_file(served: Project) -> None:
    older(served)
    with (served.path / "prodcheck.toml").open("a") as file:
        file.write('baseline = "older.json"\n')
    check = served.run("-m", "contract").check("test_compatibility[document]")
    assert check["outcome"] == "failed"
    assert check["failures"] == ["api-path-removed-without-deprecation"]
    assert "1 change breaks clients of older.json" in check["message"]
    assert "critical: /gone: " in check["message"]


def test_the_next_release_is_compared_with_the_last_that_passed(served: Project) -> None:
    served.server.on(
        "/other.json", json_answer({**SPEC, "paths": {"/items": SPEC["paths"]["/items"]}})
    )
    served.configure('openapi = "/openapi.json"\n[contract]\nexclude = ["/items/{id}"]\n')
    first = served.run("-m", "contract")
    passed = first.verdict["run_id"]
    assert first.ruling == ("pass", 0)
    assert "test_compatibility[document]" not in first.outcomes()
    served.configure('openapi = "/other.json"\n')
    second = served.run("-m", "contract")
    check = second.check("test_compatibility[document]")
    assert check["outcome"] == "failed"
    assert f"clients of run {passed}" in check["message"]
    assert served.run("-m", "contract").ruling == ("fail", 1)  # what failed replaces nothing


def test_a_baseline_that_is_no_document_leaves_the_run_unproven(served: Project) -> None:
    served.write("older.json", "[]")
    with (served.path / "prodcheck.toml").open("a") as file:
        file.write('baseline = "older.json"\n')
    outcome = served.run("-m", "contract")
    assert any("no document to compare with" in reason for reason in outcome.verdict["reasons"])


def test_a_baseline_that_is_not_there_is_a_usage_error(served: Project) -> None:
    with (served.path / "prodcheck.toml").open("a") as file:
        file.write('baseline = "older.json"\n')
    outcome = served.run("-m", "contract")
    assert outcome.exit == 4
    assert "contract.baseline: there is no file older.json" in outcome.output


# --- what Schemathesis is told by the team ------------------------------------------------------


def test_a_schemathesis_toml_is_heeded_for_phases_and_checks(served: Project, monkeypatch) -> None:
    monkeypatch.chdir(served.path)
    served.write(
        "schemathesis.toml",
        """
        [phases]
        coverage.enabled = false
        fuzzing.enabled = false

        [checks]
        response_schema_conformance.enabled = false
        """,
    )
    served.write("conftest.py", "")
    outcome = served.run("-m", "contract")
    # No examples in the document, and no other phase: only what exists was asked for.
    assert "was not asked" in outcome.check("[GET /items]")["message"]
    asked = [path for path in served.server.paths() if path.startswith("/items/")]
    assert len(asked) == len(set(asked))
    served.write("schemathesis.toml", "[phases]\nenabled = false\n")
    outcome = served.run("-m", "contract")
    assert set(outcome.outcomes().values()) == {"not_run"}
    served.write("schemathesis.toml", "[checks]\nresponse_schema_conformance.enabled = false\n")
    assert served.run("-m", "contract").ruling == ("pass", 0)


def test_a_hook_of_a_conftest_changes_the_cases(served: Project) -> None:
    served.write(
        "conftest.py",
        """
        import pytest
        import schemathesis

        @schemathesis.hook
        def map_query(context, query):
            return {"hooked": "yes"}

        def pytest_unconfigure():
            schemathesis.hooks.unregister_all()
        """,
    )
    served.run("-m", "contract")
    assert any("hooked=yes" in one.target for one in served.server.ledger)


def test_hooks_around_a_request_see_it_and_may_change_it(served: Project) -> None:
    served.write(
        "conftest.py",
        """
        import schemathesis
        from pathlib import Path

        @schemathesis.hook
        def before_call(context, case, kwargs):
            case.headers["X-Tenant"] = "blue"

        @schemathesis.hook
        def after_call(context, case, response):
            with Path(__file__).with_name("seen.txt").open("a") as seen:
                print(case.method, case.path, response.status_code, file=seen)

        def pytest_unconfigure():
            schemathesis.hooks.unregister_all()
        """,
    )
    served.run("-m", "contract")
    # Beside ours there is one that only looks for an id: of the cases, each has it.
    without = [one for one in served.server.seen("/items") if "x-tenant" not in one.headers]
    assert len(without) <= 1
    assert len(served.server.seen("/items")) > 1
    assert "GET /items 200" in (served.path / "seen.txt").read_text().splitlines()


def test_a_hook_that_fails_proves_nothing_and_is_named(served: Project) -> None:
    served.write(
        "conftest.py",
        """
        import schemathesis

        @schemathesis.hook
        def before_call(context, case, kwargs):
            raise ValueError("no tenant")

        def pytest_unconfigure():
            schemathesis.hooks.unregister_all()
        """,
    )
    outcome = served.run("-m", "contract")
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert "no tenant" in outcome.check("[GET /items]")["message"]


# --- credentials ------------------------------------------------------------------------------

SECURED = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    "paths": {
        "/mine": {
            "get": {
                "security": [{"bearer": []}],
                "responses": {"200": {"description": "it"}, "401": {"description": "no"}},
            }
        }
    },
}
TOKEN = "Bearer hunter2-hunter2"


@pytest.fixture
def secured(project: Project) -> Project:
    project.environ["MY_TOKEN"] = TOKEN.removeprefix("Bearer ")
    project.server.on("/openapi.json", json_answer(SECURED))
    project.configure(
        'openapi = "/openapi.json"\nheaders = { Authorization = "Bearer ${MY_TOKEN}" }\n'
        "\n[contract]\nmax_examples = 3\n"
    )
    return project


def authorizations(project: Project) -> list[str | None]:
    return [one.headers.get("authorization") for one in project.server.seen("/mine")]


def test_an_operation_that_refuses_strangers_passes(secured: Project) -> None:
    def answer(visit) -> None:
        known = visit.request.headers.get("authorization") == TOKEN
        json_answer({}, 200 if known else 401)(visit)

    secured.server.on("/mine", answer)
    assert secured.run("-m", "contract").ruling == ("pass", 0)
    assert None in authorizations(secured)
    assert {TOKEN, None} < set(authorizations(secured))
    assert "prodcheck" not in authorizations(secured)


def test_an_operation_that_lets_strangers_in_fails_with_the_request_that_shows_it(secured) -> None:
    secured.server.on("/mine", json_answer({}))
    check = secured.run("-m", "contract").check("[GET /mine]")
    assert check["failures"] == ["API accepts requests without authentication"]
    (evidence,) = check["exchanges"]
    assert "authorization" not in evidence["curl"].lower()
    assert evidence["traceparent"]


def test_what_a_check_sends_goes_through_our_client_too(secured: Project) -> None:
    secured.server.on("/mine", json_answer({}))
    secured.run("-m", "contract")
    for one in secured.server.seen("/mine"):
        assert one.headers["user-agent"].startswith("pytest-prodcheck/")
        assert "traceparent" in one.headers
        assert not any("schemathesis" in name for name in one.headers)


@pytest.mark.parametrize("place", ["query", "cookie", "header"])
def test_a_key_in_any_place_is_left_out_and_made_wrong(secured: Project, place: str) -> None:
    scheme = {"type": "apiKey", "in": place, "name": "key"}
    spec = {**SECURED, "components": {"securitySchemes": {"bearer": scheme}}}
    secured.server.on("/spec.json", json_answer(spec))
    secured.server.on("/mine", json_answer({}))
    secured.configure('openapi = "/spec.json"\n\n[contract]\nmax_examples = 2\n')
    check = secured.run("-m", "contract").check("[GET /mine]")
    assert check["failures"] == ["API accepts requests without authentication"]
    assert "key" not in check["exchanges"][0]["url"].partition("?")[2]


# --- a target that others change meanwhile ------------------------------------------------------


def get_alone(value: Any) -> Behaviour:
    def behave(visit: Visit) -> None:
        reading = visit.request.method == "GET"
        json_answer(value if reading else {}, 200 if reading else 405, Allow="GET")(visit)

    return behave


def test_where_a_thing_is_deleted_meanwhile_another_one_is_asked_for(served: Project) -> None:
    listed = [json_answer([{"id": number}]) for number in (1, 2)]
    served.server.on("/items", *listed).on("*", json_answer({}, 404))
    served.server.on("/items/2", get_alone({"id": 2}))
    served.configure('openapi = "/openapi.json"\nread_only = false\n')
    operation = "[GET /items/{id}]"
    outcome = served.run("-m", "contract", "-k", "test_operation and items/", "-p", "no:xdist")
    assert outcome.check(operation)["outcome"] == "passed", outcome.output


THINGS = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/things": {
            "post": {
                "responses": {
                    "201": {
                        "description": "made",
                        "links": {
                            "it": {
                                "operationId": "read",
                                "parameters": {"id": "$response.body#/id"},
                            }
                        },
                    }
                }
            }
        },
        "/things/{id}": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
            ],
            "get": {"operationId": "read", "responses": {"200": {"description": "it"}}},
            "delete": {"responses": {"204": {"description": "gone"}}},
        },
    },
}


def test_no_operation_deletes_what_a_sequence_works_on(project: Project, monkeypatch) -> None:
    """Every deletion, and every step of a sequence, has its turn."""
    inside, outside = [], []
    taken = []

    @contextlib.contextmanager
    def process_lock(path: Path, **_: bool) -> Iterator[None]:
        taken.append(path.name)
        yield
        taken.pop()

    def seen(visit: Visit) -> None:
        (inside if "sequence" in taken else outside).append(visit.request)
        json_answer({"id": 7}, 204 if visit.request.method == "DELETE" else 201)(visit)

    monkeypatch.setattr("pytest_prodcheck.store.process_lock.process_lock", process_lock)
    project.server.on("/openapi.json", json_answer(THINGS)).on("*", seen)
    project.configure(
        'openapi = "/openapi.json"\nread_only = false\n\n[contract]\nmax_examples = 20\n'
    )
    project.run("-m", "contract", "-k", "test_operation and DELETE", "-p", "no:xdist")
    assert "DELETE" in {request.method for request in inside}
    assert "DELETE" not in {request.method for request in outside}
    inside.clear(), outside.clear()
    project.run("-m", "contract", "-k", "test_workflows", "-p", "no:xdist")
    assert {request.method for request in inside} >= {"POST", "GET"}
    assert not outside


@pytest.mark.parametrize("check", ["test_operation and DELETE", "test_workflows"])
def test_the_wait_for_a_turn_is_not_its_own_time(project: Project, monkeypatch, check) -> None:
    """By a clock on which each wait is long and nothing else takes long, however busy we are."""
    waited = []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + 100 * len(waited)

    @contextlib.contextmanager
    def process_lock(path: Path, **_: bool) -> Iterator[None]:
        if path.name == "sequence":
            waited.append(path)
        yield

    monkeypatch.setattr("pytest_prodcheck.checks.contract.exploration.real_time", Clock)
    monkeypatch.setattr("pytest_prodcheck.store.process_lock.process_lock", process_lock)
    project.server.on("/openapi.json", json_answer(THINGS)).on("*", json_answer({"id": 7}))
    project.configure(
        'openapi = "/openapi.json"\nread_only = false\n\n'
        "[contract]\nmax_examples = 10\ntime_per_operation = 90\n"
    )
    outcome = project.run("-m", "contract", "-k", check, "-p", "no:xdist")
    assert len(waited) > 3
    assert "were over" not in outcome.output


def test_query_is_asked_on_a_target_that_may_be_written_to(project: Project) -> None:
    spec = {**SPEC, "openapi": "3.2.0", "paths": {"/a": {"query": {"responses": OK}}}}
    project.server.on("/openapi.json", json_answer(spec))
    project.server.on("*", lambda visit: json_answer({}, answered(visit), Allow="QUERY")(visit))
    project.configure('openapi = "/openapi.json"\nread_only = false\n')
    outcome = project.run("-m", "contract", "-k", "test_operation")
    assert outcome.check("[QUERY /a]")["outcome"] == "passed", outcome.output


OK = {"200": {"description": "d"}}


def answered(visit: Visit) -> int:
    return 200 if visit.request.method == "QUERY" else 405
