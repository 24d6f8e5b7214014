"""A target about which nothing is declared: what it shows of itself, and what is said without."""

from typing import Any

import pytest

from tests.faulty import answer, json_answer
from tests.project import Outcome, Project

NOT_FOUND = json_answer({"detail": "Not Found"}, 404)
OWN = """
    import pytest

    @pytest.mark.smoke
    def test_orders(api):
        assert api.get("/ok").status_code == 200
"""
ALONE = "suites/smoke/test_probes.py::test_probe[GET /]"


def document(*paths: str, **more: Any) -> dict[str, Any]:
    fine = {"get": {"responses": {"200": {"description": "fine"}}}}
    return {"openapi": "3.1.0", "info": {}, "paths": dict.fromkeys(paths, fine), **more}


def look(project: Project, *args: str) -> Outcome:
    return project.run("-m", "smoke", *args, target=project.server.url)


def ids(outcome: Outcome) -> set[str]:
    return {check["id"] for check in outcome.verdict["checks"]}


@pytest.mark.parametrize("root", [200, 302, 401, 404, 405, 429])
def test_a_target_that_answers_and_shows_nothing_is_inconclusive(
    project: Project, root: int
) -> None:
    project.server.on("*", NOT_FOUND).on("/", json_answer({}, root))
    outcome = look(project)
    assert outcome.ruling == ("inconclusive", 6)
    assert outcome.check("test_probe[GET /]")["outcome"] == "passed"
    nothing, more = outcome.verdict["reasons"]
    assert nothing.startswith("nothing about this service is declared")
    assert project.server.url in more
    assert 'health = "/health"' in more
    assert nothing in outcome.output
    assert more[:40] in outcome.output


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_target_that_answers_with_errors_alone_fails_its_one_check(
    project: Project, status: int
) -> None:
    project.server.on("*", json_answer({}, status))
    outcome = look(project)
    check = outcome.check("test_probe[GET /]")
    assert (check["outcome"], check["severity"]) == ("failed", "critical")
    assert check["message"] == f"status: expected any below 500, got {status}"
    assert outcome.exit != 0
    # Three for the usual places, then none: what is in trouble is left alone.
    assert [path for path in project.server.paths() if path.startswith(("/open", "/swag"))] == [
        "/openapi.json",
        "/swagger.json",
    ]


def test_a_target_that_is_not_there_fails_its_one_check(project: Project) -> None:
    outcome = project.run("-m", "smoke", target="http://127.0.0.1:9")
    check = outcome.check("test_probe[GET /]")
    assert check["outcome"] == "failed"
    assert "connect" in check["message"]
    assert outcome.exit != 0


def test_with_tests_of_the_teams_own_nothing_is_derived_from_the_root(project: Project) -> None:
    project.server.on("*", NOT_FOUND)
    project.write("test_own.py", OWN)
    for args in ([], ["-n", "2"]):
        outcome = project.run("-m", "smoke", *args)
        assert outcome.ruling == ("pass", 0), outcome.output
        assert ALONE not in ids(outcome)
        assert "test_own.py::test_orders" in ids(outcome)


@pytest.mark.parametrize(
    "mark",
    [
        "@pytest.mark.contract",  # not chosen by -m smoke
        "",  # without a category it is not scored
        "@pytest.mark.smoke\n    @pytest.mark.writes",  # not permitted here
        "@pytest.mark.smoke\n    @pytest.mark.targets('staging')",  # not planned here
    ],
)
def test_a_test_that_does_not_count_here_declares_nothing(project: Project, mark: str) -> None:
    project.server.on("*", NOT_FOUND)
    project.configure('[targets.staging]\nbase_url = "http://127.0.0.1:9"\n')
    project.write("test_own.py", OWN.replace("@pytest.mark.smoke", mark))
    outcome = project.run("-m", "smoke")
    assert outcome.ruling == ("inconclusive", 6)
    assert ALONE in ids(outcome)
    assert "[targets.prod]" in " ".join(outcome.verdict["reasons"])


def test_document_health_and_release_are_found_at_their_usual_places(project: Project) -> None:
    found = json_answer(document("/orders", "/users"))
    health = json_answer({"status": "UP"})
    info = json_answer({"build": {"version": "1.4.2"}, "git": {"commit": {"id": "3e68e18"}}})
    project.server.on("*", NOT_FOUND).on("/v3/api-docs", found)
    project.server.on("/actuator/health", health).on("/actuator/info", info)
    project.server.on("/orders", json_answer([])).on("/users", json_answer([]))
    outcome = look(project, "-n", "2")
    assert outcome.ruling == ("pass", 0), outcome.output
    probes = {id_.rpartition("::")[2] for id_ in ids(outcome)}
    assert probes == {
        "test_probe[GET /orders]",
        "test_probe[GET /users]",
        "test_probe[GET /actuator/health]",
        "test_health[/actuator/health]",
        "test_nothing_private_is_public[paths]",
    }
    assert outcome.verdict["release"] == {"version": "1.4.2", "commit": "3e68e18"}
    asked = project.server.paths()
    for path in ("/openapi.json", "/v3/api-docs", "/health", "/actuator/info"):
        assert asked.count(path) == 1, path


def test_a_health_path_of_the_document_is_not_looked_for(project: Project) -> None:
    project.server.on("*", NOT_FOUND)
    project.server.on("/openapi.json", json_answer(document("/api/healthz")))
    project.server.on("/api/healthz", json_answer({"status": "ok", "version": "7"}))
    outcome = look(project)
    assert outcome.check("test_health[/api/healthz]")["severity"] == "critical"
    assert outcome.verdict["release"]["version"] == "7"
    assert "/health" not in project.server.paths()


def test_a_health_path_that_says_503_is_found_and_fails(project: Project) -> None:
    project.server.on("*", NOT_FOUND).on("/health", json_answer({"status": "DOWN"}, 503))
    outcome = look(project)
    assert outcome.ruling == ("fail", 1)
    assert outcome.check("test_health[/health]")["outcome"] == "failed"


@pytest.mark.parametrize(
    "everything",
    [
        answer("<html><body nonce='a81f'>Shop</body></html>", content_type="text/html"),
        json_answer({"message": "ok"}),
        json_answer({"message": "who are you?"}, 401),
        json_answer({"message": "try later"}, 429),
    ],
    ids=["page", "json", "closed", "busy"],
)
def test_what_answers_every_path_alike_shows_nothing(project: Project, everything: Any) -> None:
    project.server.on("*", everything)
    outcome = look(project)
    assert outcome.ruling[0] == "inconclusive", outcome.output
    assert ALONE in ids(outcome)
    assert not any("test_health" in id_ for id_ in ids(outcome))


@pytest.mark.parametrize(
    ("place", "prefix"),
    [("/api/openapi.json", "/api"), ("/openapi.json", "/api/v1"), ("/swagger.json", "/api")],
)
def test_operations_under_another_prefix_are_one_sentence(
    project: Project, place: str, prefix: str
) -> None:
    paths = ("/orders", "/users", "/stock", "/prices")
    project.server.on("*", NOT_FOUND).on(place, json_answer(document(*paths)))
    for path in paths:
        project.server.on(prefix + path, json_answer([]))
    outcome = look(project)
    assert outcome.ruling == ("inconclusive", 6)
    assert not any("/orders" in id_ for id_ in ids(outcome))
    said = [reason for reason in outcome.verdict["reasons"] if "servers" in reason]
    assert len(said) == 1
    assert f'base_url = "{project.server.url}{prefix}"' in said[0]
    assert place in said[0]


def test_operations_that_are_nowhere_fail_one_by_one(project: Project) -> None:
    project.server.on("*", NOT_FOUND).on("/openapi.json", json_answer(document("/a", "/b")))
    outcome = look(project)
    assert outcome.ruling == ("fail", 1)
    assert outcome.check("test_probe[GET /a]")["outcome"] == "failed"
    assert outcome.check("test_probe[GET /b]")["outcome"] == "failed"


def test_looking_takes_a_few_requests(project: Project) -> None:
    project.server.on("*", NOT_FOUND)
    look(project, "suites/smoke/test_probes.py")
    assert len(project.server.paths()) == 10 + 1  # and the path that cannot exist


@pytest.mark.parametrize("key", ["health", "openapi", "probes"])
def test_a_target_of_which_something_is_declared_is_not_looked_at(
    project: Project, key: str
) -> None:
    project.server.on("*", NOT_FOUND)
    if key == "probes":
        project.configure('[[probes]]\nget = "/ok"\n')
    else:
        project.configure(**{key: '"/ok"'})
    project.run("-m", "smoke")
    assert not {"/swagger.json", "/v3/api-docs", "/healthz"}.intersection(project.server.paths())


def test_nothing_is_asked_that_no_chosen_test_needs(project: Project) -> None:
    project.server.on("*", NOT_FOUND)
    project.write("test_own.py", OWN)
    assert project.run("test_own.py").ruling == ("pass", 0)
    assert project.server.paths() == ["/ok"]


def test_an_operation_outside_of_base_url_is_not_run(project: Project) -> None:
    """A new release under /shop/v2 is not proven by the old one under /shop/v1."""
    spec = document("/orders", servers=[{"url": "/shop/v1"}])
    project.server.on("*", NOT_FOUND).on("/shop/v1/orders", json_answer([]))
    project.server.on("/shop/v2/openapi.json", json_answer(spec))
    url = f"{project.server.url}/shop/v2"
    outcome = project.run("-m", "smoke or contract", target=url)
    assert outcome.ruling == ("inconclusive", 6)
    operation = outcome.check("test_operation[GET /orders]")
    assert operation["outcome"] == "not_run"
    assert "/shop/v1" in operation["message"]
    assert url in operation["message"]
    assert "/shop/v1" in outcome.output
    assert not [path for path in project.server.paths() if path.startswith("/shop/v1")]
