"""The contract suite against documents and targets that are wrong, hostile or gone.

The ledger of the faulty server is the judge of what was sent, verdict.json of what it counted for.
"""

import json
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_prodcheck.checks.contract.retry_after import RetryAfterGate, retry_after
from pytest_prodcheck.checks.openapi import document as openapi
from pytest_prodcheck.checks.openapi.document import fetch_spec
from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.http.client import LiveClient
from tests.faulty import (
    FaultyServer,
    Visit,
    answer,
    hang_up,
    json_answer,
    redirect,
)
from tests.project import Outcome, Project

BOTH = pytest.mark.parametrize("workers", ["-n0", "-n2"])
FINE = json_answer({})
INTEGER = {"name": "n", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 99}}


def document(paths: Any, **more: Any) -> dict[str, Any]:
    return {"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": paths, **more}


def operation(*statuses: int, **more: Any) -> dict[str, Any]:
    """Answers 200, and those."""
    responses = {str(status): {"description": "d"} for status in (200, *statuses)}
    return {"responses": responses, **more}


def takes(schema: Any, **more: Any) -> dict[str, Any]:
    """With a required query parameter of that schema."""
    parameter = {"name": "q", "in": "query", "required": True, "schema": schema}
    return operation(parameters=[parameter], **more)


def serve(project: Project, spec: Any, more: str = "", contract: str = "", **keys: str) -> None:
    """The document at /openapi.json, everything else answered with `{}`."""
    behaviour = spec if callable(spec) else json_answer(spec)
    project.server.on("*", FINE).on("/openapi.json", behaviour)
    project.configure(
        f"[contract]\nmax_examples = 3\n{contract}\n{more}", openapi='"/openapi.json"', **keys
    )


def get_only(visit: Visit) -> None:
    right = visit.request.method == "GET"
    (FINE if right else json_answer({}, 405, allow="GET"))(visit)


def check(project: Project, *arguments: str) -> Outcome:
    return project.run("-m", "contract", *arguments)


def cases(project: Project) -> list[str]:
    """`GET /path` of all that was sent, but for the document itself."""
    seen = project.server.ledger
    return [f"{one.method} {one.path}" for one in seen if one.path != "/openapi.json"]


@pytest.fixture
def elsewhere() -> Iterator[FaultyServer]:
    """Another host, which must not hear of the run."""
    with FaultyServer() as server:
        server.on("*", json_answer({"type": "string", "enum": ["from-elsewhere"]}))
        yield server


# --- answers


def an_hour_from_now() -> str:
    return formatdate(time.time() + 3600, usegmt=True)


@pytest.mark.fault(9)
@pytest.mark.parametrize(("asks", "workers"), [("3600", "-n2"), ("date", "-n0")])
def test_a_target_that_asks_for_an_hour_is_left_alone(project, asks, workers):
    serve(project, document({f"/{name}": {"get": operation(429)} for name in "abcd"}))
    after = an_hour_from_now() if asks == "date" else asks
    project.server.on("*", json_answer({}, 429, retry_after=after))
    outcome = check(project, workers)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert set(outcome.outcomes().values()) == {"not_run"}
    for name in "abcd":
        message = outcome.check(f"[GET /{name}]")["message"]
        found = re.search(r"the target answered 429 and asked for (\d+) s without req", message)
        assert found, message
        assert 3590 <= int(found[1]) <= 3600
        assert "Lower `rate` of the target, and run again then." in message
    # One of each worker may have been on its way.
    assert len(cases(project)) <= (2 if workers == "-n2" else 1)


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    ("asks", "least", "most"),
    [
        ("0", 0, 0),
        ("2", 2, 2),
        ("-5", 1, 1),
        ("soon", 1, 1),
        ("", 1, 1),
        ("nan", 1, 1),
        ("3600", 3600, 3600),
        ("9" * 400, math.inf, math.inf),
        (formatdate(0, usegmt=True), 1, 1),
        (formatdate(9e9, usegmt=True), 7e9, 8e9),
        ("Wed, 99 Oct 99999 07:28:00 GMT", 1, 1),
    ],
)
def test_seconds_of_a_retry_after(asks, least, most):
    assert least <= retry_after(asks) <= most


@pytest.mark.fault(9)
def test_of_what_many_processes_were_asked_for_the_longest_wait_holds(tmp_path):
    over = time.monotonic()

    def heed(seconds: int) -> None:
        with pytest.raises(NotAsked):
            RetryAfterGate(tmp_path / "until").record({"retry-after": [str(seconds)]}, over)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(heed, [*range(1, 60), 3600, *range(60, 1, -1)]))
    with pytest.raises(NotAsked, match=r"asked for 3(600|59.) s without requests"):
        RetryAfterGate(tmp_path / "until").wait(over)


@pytest.mark.fault(9)
@pytest.mark.parametrize("asks", ["1", "-5"])
def test_what_a_target_asks_for_briefly_or_in_vain_is_waited_for(project, asks):
    serve(project, document({"/x": {"get": operation(429)}}))
    project.server.on("/x", json_answer({}, 429, retry_after=asks), FINE)
    outcome = check(project)
    assert outcome.ruling == ("pass", 0), outcome.output
    first, second, *_ = project.server.seen("/x")
    assert 0.95 <= second.at - first.at < 10


@pytest.mark.fault(9)
def test_failures_before_a_429_are_kept(project):
    serve(project, document({"/x": {"get": operation(429, parameters=[INTEGER])}}))
    busy = json_answer({}, 429, retry_after="3600")
    project.server.on("/x", json_answer({}, 500), FINE, busy)
    outcome = check(project)
    assert outcome.ruling == ("fail", 1), outcome.output
    message = outcome.check("[GET /x]")["message"]
    assert "Server error" in message
    assert "not all cases were sent: not run: the target answered 429" in message
    assert len(cases(project)) == 3


WAYS_OUT = {
    401: "Give credentials that may ask it: `headers` of the target.",
    403: "Give credentials that may ask it: `headers` of the target.",
    404: "Give values that exist: id = [...] in [contract.parameters].",
    429: "Lower `rate` of the target",
}


@pytest.mark.fault(10)
@pytest.mark.parametrize("status", WAYS_OUT)
def test_an_operation_that_never_succeeds_is_not_proven_though_all_is_documented(project, status):
    identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    spec = document({"/x/{id}": {"get": operation(status, parameters=[identifier])}})
    serve(project, spec, contract="time_per_operation = 2")
    project.server.on("*", json_answer({}, status))
    outcome = check(project)
    found = outcome.check("[GET /x/{id}]")
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert found["outcome"] == "not_run"
    assert WAYS_OUT[status] in found["message"]
    if status != 429:
        assert "it never answered with a success in " in found["message"]


@pytest.mark.fault(10)
def test_a_documented_503_is_a_failure_all_the_same(project):
    serve(project, document({"/x": {"get": operation(503)}}))
    project.server.on("/x", json_answer({}, 503))
    outcome = check(project)
    assert outcome.ruling == ("fail", 1), outcome.output
    assert "Server error" in outcome.check("[GET /x]")["message"]


@pytest.mark.fault(11)
def test_a_target_that_dies_and_comes_back_has_failed(project):
    serve(project, document({"/x": {"get": operation(parameters=[INTEGER])}}))
    # A connection that was kept is tried once more.
    project.server.on("/x", FINE, hang_up(), hang_up(), FINE)
    outcome = check(project)
    assert outcome.ruling == ("fail", 1), outcome.output
    assert outcome.check("[GET /x]")["outcome"] == "failed"
    message = outcome.check("[GET /x]")["message"]
    assert message.startswith("No answer (in "), message
    assert len(cases(project)) > 4  # it did come back


# --- the document


NOT_A_DOCUMENT = {
    "404": (json_answer({}, 404), "answers 404; set `openapi` of the target to where it is"),
    "html": (answer("<!doctype html><p>"), "is a page of HTML or XML, not JSON; set `openapi` to"),
    "empty": (answer(""), "is empty"),
    "no operations": (json_answer(document({})), "has no operations: its `paths` are empty"),
    "something else": (json_answer({"data": {"__schema": {}}}), "it says neither `openapi` nor"),
    "graphql error": (json_answer({"errors": []}, 400), "answers 400; set `openapi`"),
    "hung up": (hang_up(), "could not be read"),
}


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("fault", "workers"), [("html", "-n2"), *((name, "-n0") for name in NOT_A_DOCUMENT)]
)
def test_a_document_that_is_none_is_no_pass_and_the_rest_runs(project, fault, workers):
    behaviour, sentence = NOT_A_DOCUMENT[fault]
    probe = "[[targets.prod.probes]]\nget = '/ok'\n"
    serve(project, behaviour, more=probe)
    outcome = project.run(workers)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert outcome.check("[GET /ok]")["outcome"] == "passed"
    (problem,) = outcome.verdict["problems"]
    assert problem["detail"].startswith("no operation could be tested: "), problem
    assert sentence in problem["detail"]
    assert sentence in outcome.output
    assert {one.method for one in project.server.ledger} == {"GET"}
    assert len(project.server.seen("/openapi.json")) == 1


@pytest.mark.fault(31)
@BOTH
def test_an_exclude_that_matches_everything_is_no_pass(project, workers):
    probe = "[[targets.prod.probes]]\nget = '/ok'\n"
    serve(project, document({"/x": {"get": operation()}}), probe, contract='exclude = ["/**"]')
    outcome = project.run(workers)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert "exclude" in outcome.verdict["problems"][0]["detail"]


@pytest.mark.fault(32)
def test_a_document_that_is_said_to_be_on_another_host_is_not_fetched(project, elsewhere):
    serve(project, redirect(f"{elsewhere.url}/openapi.json"))
    outcome = check(project)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert "the OpenAPI document /openapi.json answers 302" in outcome.output
    assert elsewhere.ledger == []


SERVERS = {
    "operation": lambda host: {"get": operation(servers=[{"url": f"http://{host}"}])},
    "path": lambda host: {"get": operation(), "servers": [{"url": f"http://{host}"}]},
    "without a scheme": lambda host: {"get": operation(servers=[{"url": f"//{host}"}])},
    "variables": lambda host: {
        "get": operation(
            servers=[
                {
                    "url": "{scheme}://{host}",
                    "variables": {"scheme": {"default": "http"}, "host": {"default": host}},
                }
            ]
        )
    },
}


@pytest.mark.fault(33)
@pytest.mark.parametrize("place", SERVERS)
def test_an_operation_on_another_host_is_not_asked_and_not_passed(project, elsewhere, place):
    host = elsewhere.url.removeprefix("http://")
    serve(project, document({"/there": SERVERS[place](host), "/here": {"get": operation()}}))
    outcome = check(project)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert outcome.outcomes() == {
        "test_operation[GET /here]": "passed",
        "test_operation[GET /there]": "not_run",
    }
    message = outcome.check("[GET /there]")["message"]
    assert message.endswith("its `servers` name another host, where nothing is sent")
    assert elsewhere.ledger == []
    assert set(cases(project)) == {"GET /here"}


@pytest.mark.fault(33)
@pytest.mark.parametrize("url", ["http://{}", "//{}", "{{host}}/v1"])
def test_the_document_of_another_host_means_this_one(project, elsewhere, url):
    host = elsewhere.url.removeprefix("http://")
    server = {"url": url.format(host), "variables": {"host": {"default": elsewhere.url}}}
    serve(project, document({"/here": {"get": operation()}}, servers=[server]))
    outcome = check(project)
    assert outcome.ruling == ("pass", 0), outcome.output
    assert elsewhere.ledger == []
    assert set(cases(project)) == {"GET /here"}


@pytest.mark.fault(33)
def test_a_path_cannot_turn_the_address_into_another(project, elsewhere):
    host = elsewhere.url.removeprefix("http://")
    not_paths = [f"@{host}/x", f".{host}/x", f"{elsewhere.url}/x", f"\\\\{host}/x", f":80@{host}/x"]
    plain = [f"//{host}/x", f"/@{host}/x", f"/\\{host}/x"]
    above = [f"/..//{host}/x"]
    identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    paths = {path: {"get": operation()} for path in not_paths + plain + above}
    # For their ids the lists before them are asked.
    paths |= {f"{path}/{{id}}": {"get": operation(parameters=[identifier])} for path in paths}
    serve(project, document(paths))
    outcome = check(project)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert elsewhere.ledger == []
    assert Counter(outcome.outcomes().values()) == {
        "passed": 2 * len(plain),
        "not_run": 2 * len(not_paths + above),
    }
    assert "cannot be tested: its path does not begin with a slash" in outcome.output


@pytest.mark.fault(34, 35)
@pytest.mark.parametrize("read_only", ["true", "false"])
def test_references_out_of_the_document_are_not_followed(project, elsewhere, tmp_path, read_only):
    secret = tmp_path / "secret.json"
    secret.write_text('{"type": "string", "enum": ["content-of-a-file"]}')
    references = [
        f"{elsewhere.url}/schema.json",
        f"{elsewhere.url}/schema.json#/a",
        f"//{elsewhere.url.removeprefix('http://')}/schema.json",
        "schema.json",
        secret.as_uri(),
        str(secret),
        f"{'../' * 12}{secret}",
        "file:///etc/passwd",
    ]
    paths: dict[str, Any] = {"/here": {"get": operation()}}
    schemas = {}
    for number, reference in enumerate(references):
        there = {"$ref": reference}
        content = {"content": {"application/json": {"schema": there}}}
        schemas[f"A{number}"] = {"type": "object", "properties": {"a": there}}
        within = takes({"$ref": f"#/components/schemas/A{number}"})
        paths |= {
            f"/{number}/parameter": {"get": takes(there)},
            f"/{number}/in-parameter": {"get": operation(parameters=[there])},
            f"/{number}/in-path": {"get": operation(), "parameters": [there]},
            f"/{number}/answer": {"get": {"responses": {"200": {"description": "d", **content}}}},
            f"/{number}/body": {"get": operation(requestBody=content)},
            f"/{number}/within": {"get": within},
            f"/{number}/item": there,
        }
    spec = document(paths, components={"schemas": schemas})
    serve(project, spec, read_only=read_only)
    project.server.on("*", get_only)
    outcome = check(project)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    results = outcome.outcomes()
    assert results.pop("test_operation[GET /here]") == "passed"
    assert len(results) == 7 * len(references)
    assert set(results.values()) == {"not_run"}
    for number, reference in enumerate(references):
        for name in (f"GET /{number}/within", f"* /{number}/item"):
            message = outcome.check(f"[{name}]")["message"]
            assert f"its definition is in {reference[:120]}, " in message
    assert "is not followed; bundle the document into one file" in outcome.page
    assert elsewhere.ledger == []
    assert {one.path for one in project.server.ledger} == {"/openapi.json", "/here"}
    for text in ("content-of-a-file", "root:x:0", "from-elsewhere"):
        assert text not in written(project)
        assert all(text not in f"{one.target}{one.headers}" for one in project.server.ledger)


def written(project: Project) -> str:
    files = [path for path in project.path.rglob("*") if path.is_file() and not path.is_symlink()]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)


def references(url: str) -> dict[str, Any]:
    """Schemas of which some readers fetch a part."""
    whole = {"type": "integer"}
    return {
        "dynamic": {"$dynamicRef": url},
        "recursive": {"$recursiveRef": url},
        "id": {"$id": url, "$ref": "#/a"},
        "id of a part": {"$id": url, "properties": {"a": {"$ref": "#/a"}}},
        "id of a whole": {"$id": url, **whole},
        "schema": {"$schema": url, **whole},
        "discriminator": {
            "oneOf": [whole],
            "discriminator": {"propertyName": "p", "mapping": {"a": url}},
        },
    }


@pytest.mark.fault(34)
@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_nothing_else_in_a_document_is_fetched_either(project, elsewhere, version):
    url = f"{elsewhere.url}/hidden.json"
    sample = INTEGER | {"required": True, "examples": {"a": {"externalValue": url}}}
    link = {"operationRef": f"{url}#/paths/~1x/get"}
    paths = {
        "/here": operation(),
        "/sample": operation(parameters=[sample]),
        "/link": {"responses": {"200": {"description": "d", "links": {"a": link}}}},
    }
    for name, schema in references(url).items():
        content = {"application/json": {"schema": schema}}
        paths[f"/asked/{name}"] = takes(schema)
        paths[f"/answered/{name}"] = {
            "responses": {"200": {"description": "d", "content": content}}
        }
    spec = document({path: {"get": one} for path, one in paths.items()})
    serve(project, spec | {"openapi": version, "externalDocs": {"url": url}})
    outcome = check(project)
    assert outcome.exit in (1, 6), outcome.output
    results = outcome.outcomes()
    assert len(results) == len(paths)
    assert results["test_operation[GET /here]"] == "passed"
    assert results["test_operation[GET /sample]"] == "passed"
    assert results["test_operation[GET /asked/id]"] == "not_run"
    assert elsewhere.ledger == []
    assert all("elsewhere" not in one.target for one in project.server.ledger)


def chain(length: int, link: Any, end: Any) -> dict[str, Any]:
    """Schemas, each of which leads to the next: `link` of the reference to it."""
    names = [f"{length}-{number}" for number in range(length)]
    following = [link({"$ref": f"#/components/schemas/{name}"}) for name in names[1:]]
    return dict(zip(names, [*following, end], strict=True))


@pytest.mark.fault(36)
def test_schemas_that_lead_to_themselves_or_very_deep_are_handled_or_not_passed(project):
    def to(name: str) -> dict[str, Any]:
        return {"$ref": f"#/components/schemas/{name}"}

    def nested(schema: Any) -> dict[str, Any]:
        return {"type": "object", "required": ["a"], "properties": {"a": schema}}

    whole = {"type": "integer"}
    schemas = {
        "endless": nested(to("endless")),
        "tree": {"type": "object", "properties": {"kids": {"type": "array", "items": to("tree")}}},
        "itself": to("itself"),
        "to-and-fro": to("fro-and-to"),
        "fro-and-to": to("to-and-fro"),
        "all-of-itself": {"allOf": [to("all-of-itself")]},
        **chain(400, nested, whole),
        **chain(1000, lambda schema: schema, whole),
    }
    asked = ["endless", "tree", "itself", "to-and-fro", "400-0", "1000-0"]
    paths = {f"/asked/{name}": takes(to(name)) for name in asked}
    for name in [*asked, "all-of-itself"]:
        content = {"application/json": {"schema": to(name)}}
        paths[f"/told/{name}"] = {"responses": {"200": {"description": "d", "content": content}}}
    spec = document(
        {path: {"get": one} for path, one in paths.items()}, components={"schemas": schemas}
    )
    serve(project, spec, contract="time_per_operation = 2", timeout="1")
    outcome = check(project)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    found = {name[19:-1]: result for name, result in outcome.outcomes().items()}
    assert found.keys() == paths.keys()
    assert found["/asked/400-0"] == found["/asked/1000-0"] == "not_run"
    assert found["/asked/endless"] == "not_run"
    assert found["/told/400-0"] == "not_run"
    assert found["/told/endless"] == "failed"  # {} is no such thing
    assert found["/told/tree"] == found["/asked/tree"] == "passed"
    assert "cannot be tested in full: " in outcome.check("[GET /asked/400-0]")["message"]
    for path, result in found.items():
        assert result != "passed" or f"GET {path}" in cases(project)


@pytest.mark.fault(36)
@pytest.mark.parametrize("deep", [400, 1000, 200_000])
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_document_that_is_itself_nested_very_deep_is_refused(project, deep, form):
    before = json.dumps(document({"/x": {"get": operation()}}))[:-1]
    text = f'{before}, "x-a": {"[" * deep}{"]" * deep}}}'
    if form == "yaml":
        text = f"openapi: 3.0.3\nx-a: {'[' * deep}{']' * deep}\n"
    serve(project, answer(text))
    outcome = check(project)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    problems = [one["detail"] for one in outcome.verdict["problems"]]
    assert any("no operation could be tested: " in one for one in problems)
    assert any(re.search("nested (deeper|more) than 200", one) for one in problems)


HEAD = b"openapi: 3.0.3\ninfo: {title: t, version: '1'}\n"
PATHS = b"paths: {/x: {get: {responses: {'200': {description: d}}}}}\n"
LETTERS = [bytes([letter]) for letter in b"abcdefghij"]
ALIAS_BOMB = b"a: &a [x, x]\n" + b"".join(
    b"%b: &%b [%b]\n" % (to, to, b", ".join([b"*" + of] * 10)) for of, to in pairwise(LETTERS)
)


def read(tmp_path: Any, content: bytes) -> Any:
    """What becomes of a document."""
    path = tmp_path / "document"
    path.write_bytes(content)
    target = Target(name="prod", base_url="http://127.0.0.1:9", openapi=path.as_uri())
    return fetch_spec(LiveClient.__new__(LiveClient), target)


@pytest.mark.fault(37)
def test_yaml_runs_no_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tagged = b"x: !!python/object/apply:os.mkdir [pwned]\n"
    assert "has the tag !!python/object/apply:os.mkdir" in read(tmp_path, HEAD + PATHS + tagged)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.fault(37)
@pytest.mark.skipif(sys.platform != "linux", reason="its memory is not limited elsewhere")
def test_no_yaml_takes_all_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(openapi, "YAML_MEGABYTES", 64)
    values = b",".join(b"text %d" % number for number in range(500_000))
    found = read(tmp_path, HEAD + PATHS + b"x: [" + values + b"]\n")
    assert "takes more than 64 MB of memory to read; serve it as JSON" in found


@pytest.mark.fault(37)
@pytest.mark.parametrize(
    "key",
    ["null", "true", "1.5", "2020-01-01", ".nan"],
)
def test_keys_of_yaml_that_json_does_not_have_are_no_crash(project, key):
    serve(project, answer(HEAD + PATHS + f"{key}: 1\n".encode()))
    outcome = check(project, "--collect-only")
    assert "error" not in outcome.output.lower(), outcome.output


@pytest.mark.fault(41)
def test_half_a_character_in_json_is_no_crash(project):
    text = json.dumps(document({"/x": {"get": operation()}, "/\ud800": {"get": operation()}}))
    serve(project, answer(text))
    outcome = check(project)
    assert outcome.exit in (0, 6), outcome.output
    assert "could not be collected" not in outcome.output


@pytest.mark.fault(37)
@BOTH
def test_a_run_survives_hostile_yaml(project, workers):
    serve(project, answer(HEAD + PATHS + ALIAS_BOMB))
    outcome = check(project, workers)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert (
        "has more than 1,500,000 keys and values, aliases followed"
        in (outcome.verdict["problems"][0]["detail"])
    )


@pytest.mark.fault(38)
def test_a_document_of_5000_operations_is_planned_in_full_and_quickly(project):
    serve(project, document({f"/{n}": {"get": operation()} for n in range(5000)}))
    start = time.monotonic()
    outcome = check(project, "--collect-only", "-q")
    seconds = time.monotonic() - start
    assert outcome.output.count("test_operation[GET /") == 5000
    assert seconds < 20
    assert outcome.exit == 6
    assert cases(project) == []


@pytest.mark.fault(38)
def test_a_document_above_max_body_is_not_read(project):
    spec = document({f"/{n}": {"get": operation()} for n in range(500)})
    serve(project, spec, max_body="20_000")
    outcome = check(project)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    detail = outcome.verdict["problems"][0]["detail"]
    assert "the response is larger than 20000 bytes. Request less, or raise `max_body`" in detail
    assert cases(project) == []


IMPOSSIBLE = {
    "long": {"type": "string", "minLength": 10**9},
    "many": {"type": "array", "items": {"type": "integer"}, "minItems": 10**9},
    "up-to-many": {"type": "array", "items": {"type": "integer"}, "maxItems": 10**9},
    "no-pattern": {"type": "string", "pattern": "("},
    "never": {"type": "integer", "minimum": 2, "maximum": 1},
    "catastrophe": {"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"},
    "astronomic": {"type": "string", "pattern": "^a{1000000000}$"},
    "looking": {"type": "string", "pattern": "^(?=.*a)(?=.*b)(?!.*c).{1000}$"},
}


@pytest.mark.fault(39, 63)
def test_what_cannot_be_generated_is_bounded_counted_and_not_passed(project):
    serve(
        project,
        document(
            {f"/{name}": {"get": takes(schema)} for name, schema in IMPOSSIBLE.items()}
            | {"/here": {"get": operation()}}
        ),
        contract="time_per_operation = 1",
        timeout="1",
    )
    outcome = check(project)
    assert outcome.exit in (1, 6), outcome.output
    assert outcome.verdict["counts"]["planned"] == len(IMPOSSIBLE) + 1
    # A second each, a request's time, and some for loading.
    assert all(one["duration_s"] < 20 for one in outcome.verdict["checks"])
    results = outcome.outcomes()
    assert results.pop("test_operation[GET /here]") == "passed"
    for name in ("long", "many", "never"):
        assert (name, results[f"test_operation[GET /{name}]"]) == (name, "not_run")
    for name, result in results.items():
        path = name[len("test_operation[GET ") : -1]
        assert result != "passed" or path in {one.path for one in project.server.ledger}


@pytest.mark.fault(39)
def test_a_pattern_for_answers_cannot_hold_up_the_run(project):
    schema = {"type": "string", "pattern": "^(a+)+$"}
    content = {"application/json": {"schema": schema}}
    told = {"responses": {"200": {"description": "d", "content": content}}}
    serve(project, document({"/x": {"get": told}}), contract="time_per_operation = 1", timeout="1")
    project.server.on("/x", json_answer("a" * 5000 + "!"))
    outcome = check(project)
    assert outcome.exit in (1, 6), outcome.output
    assert outcome.check("[GET /x]")["duration_s"] < 8


@pytest.mark.fault(40)
def test_a_document_that_changes_is_fetched_once_for_all_workers(project):
    first = document({f"/a{n}": {"get": operation()} for n in range(6)})
    other = document({f"/b{n}": {"get": operation()} for n in range(4)})
    serve(project, first)
    project.server.on("/openapi.json", json_answer(first), json_answer(other))
    outcome = check(project, "-n2")
    assert outcome.ruling == ("pass", 0), outcome.output
    assert set(outcome.outcomes()) == {f"test_operation[GET /a{n}]" for n in range(6)}
    assert len(project.server.seen("/openapi.json")) == 1


MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"
NAMES = [
    f"/{MARKUP}",
    "/line\nbreak\r\n\x1b[31m",
    "/nul\0",
    "/" + "long" * 2500,
    "/" + "long" * 2500 + "er",
    "/" + "\N{SNOWMAN}" * 20,
    "/../../../../escaped",
    "/..\\..\\escaped",
    "/a::b[c]",
    "/\u202egnitirw",
    "/%0d%0aX-Evil:%201",
    "/${HOME}`id`$(id)",
    "/{../../escaped}",
]


@pytest.mark.fault(41)
@BOTH
def test_names_of_a_document_are_harmless_wherever_they_are_shown(project, workers):
    named = {"operationId": f"../../{MARKUP}\n\0" + "i" * 10_000, "tags": [MARKUP]}
    serve(project, document({name: {"get": operation(**named)} for name in NAMES}))
    before = {path for path in project.path.parent.rglob("*") if "prodcheck" not in str(path)}
    project.server.on("*", json_answer({}, 404))
    outcome = check(project, workers)
    assert outcome.exit in (1, 6), outcome.output
    checks = outcome.verdict["checks"]
    assert len({one["id"] for one in checks}) == len(NAMES)
    for one in checks:
        name = one["id"].partition("[")[2][:-1]
        assert name.isprintable()
        assert len(name) <= 200, name
    for live in ("<script>alert", "<img src=x"):
        assert live not in outcome.page.lower()
        assert live not in outcome.junit.lower()
    assert "\x1b[31m" not in outcome.output
    ElementTree.fromstring(outcome.junit)
    after = {path for path in project.path.parent.rglob("*") if "prodcheck" not in str(path)}
    assert not any("escaped" in str(path) for path in after - before)
    assert all(
        b"X-Evil" not in b"".join(map(str.encode, one.headers)) for one in project.server.ledger
    )


@pytest.mark.fault(41)
def test_one_operation_can_be_chosen_by_its_id(project):
    serve(
        project, document({path: {"get": operation()} for path in ("/x", "/xy", "/a::b", "/x/{y}")})
    )
    for path in ("/x", "/a::b"):
        node = f"suites/contract/test_operations.py::test_operation[GET {path}]"
        outcome = project.run(node)
        assert outcome.ruling == ("inconclusive", 0), outcome.output  # a part, and it passed
        assert [one["id"] for one in outcome.verdict["checks"]] == [node]
    assert set(cases(project)) == {"GET /x", "GET /a::b"}


# --- what is left behind, and what is sent


@pytest.mark.fault(75)
@BOTH
def test_nothing_is_left_but_the_report_and_no_secret_is_in_any_file(project, workers):
    ours, theirs = "canary-3f9b1c77aa02", "canary-e6d0548b19cc"
    project.environ["TOKEN"] = f"{ours}-very-secret"
    text = {"type": "object", "properties": {"access_token": {"type": "integer"}}}
    content = {"application/json": {"schema": text}}
    told = {"responses": {"200": {"description": "d", "content": content}}}
    serve(
        project,
        document(
            {"/x": {"get": told | {"parameters": [INTEGER]}}, "/y": {"get": operation()}},
            components={
                "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}
            },
            security=[{"key": []}],
        ),
        headers='{ X-Key = "${TOKEN}" }',
    )

    def tell(visit: Visit) -> None:
        sent = visit.request.headers.get("x-key", "nothing")
        body = {"access_token": f"{theirs}-also-secret", "you_sent": sent}
        json_answer(body, set_cookie=f"session={theirs}-cookie")(visit)

    project.server.on("/x", tell)
    project.server.on("/y", json_answer({"error": f"bad {ours}-very-secret"}, 500))
    outcome = check(project, workers)
    assert outcome.ruling == ("fail", 1), outcome.output
    assert outcome.outcomes() == {
        "test_operation[GET /x]": "failed",
        "test_operation[GET /y]": "failed",
    }
    assert any(one.headers.get("x-key") == f"{ours}-very-secret" for one in project.server.ledger)
    for canary in (ours, theirs):
        assert canary not in outcome.output
        assert canary not in written(project)
    names = {path.name for path in project.path.rglob("*")}
    assert names.isdisjoint({".hypothesis", ".schemathesis", "examples", "cassettes"})


@pytest.mark.fault(83)
def test_thousands_of_cases_on_a_read_only_target_change_nothing(project):
    """PRODCHECK_ALL=1 makes ten thousand of them."""
    cases_in_all = 10_000 if os.environ.get("PRODCHECK_ALL") else 5_000
    number = {"name": "n", "in": "query", "required": True, "schema": {"type": "integer"}}
    header = {"name": "X-N", "in": "header", "required": True, "schema": {"type": "integer"}}
    identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    key = {"type": "apiKey", "in": "header", "name": "X-Key"}
    media = {"application/json": {"schema": {"type": "object"}, "example": {"a": 1}}}
    plain = operation(parameters=[number])
    guarded = operation(401, parameters=[number, header], security=[{"key": []}])
    safe, unsafe = ("get", "head", "options"), ("put", "post", "delete", "patch", "trace")
    body = {"requestBody": {"content": media}}
    paths = {
        path: dict.fromkeys(safe, one) | dict.fromkeys(unsafe, one | body)
        for path, one in {"/plain": plain, "/guarded": guarded}.items()
    }
    paths["/plain/{id}"] = {
        "get": operation(404, parameters=[identifier, number]),
        "delete": operation(parameters=[identifier]),
    }
    paths["/logout"] = {"get": plain}
    paths["/marked"] = {"get": plain | {"x-mutating": True}}
    serve(
        project,
        document(paths, components={"securitySchemes": {"key": key}}),
        headers='{ X-Key = "k" }',
        request_budget="100_000",
    )
    settings = project.path / "prodcheck.toml"
    settings.write_text(
        settings.read_text().replace(
            "max_examples = 3", f"max_examples = {cases_in_all // 7}\ntime_per_operation = 300"
        )
    )

    def guard(visit: Visit) -> None:
        known = visit.request.headers.get("x-key") == "k"
        (FINE if known else json_answer({}, 401, www_authenticate="Key"))(visit)

    project.server.on("/guarded", guard)
    outcome = check(project, "-n2")
    assert outcome.ruling == ("pass", 0), outcome.output
    sent = Counter(one.method for one in project.server.ledger)
    assert sent.keys() == {"GET", "HEAD", "OPTIONS"}
    assert sent.total() >= cases_in_all
    assert any("x-key" not in one.headers for one in project.server.seen("/guarded"))
    assert {"/logout", "/marked"}.isdisjoint(project.server.paths())
    results = outcome.outcomes()
    passed = {name for name, result in results.items() if result == "passed"}
    assert passed == {
        "test_operation[GET /plain/{id}]",
        *(f"test_operation[{way.upper()} /{one}]" for way in safe for one in ("plain", "guarded")),
    }
    # Five ways each, the deletion, the two that do something, and the workflows.
    assert Counter(results.values()) == {"passed": 7, "not_permitted": 2 * 5 + 4}


@pytest.mark.fault(84)
def test_links_examples_and_workflows_change_nothing_on_a_read_only_target(project):
    identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    thing = {"type": "object", "properties": {"id": {"type": "integer"}}}
    media = {"application/json": {"schema": thing, "examples": {"one": {"value": {"id": 1}}}}}
    links = {
        name: {"operationId": name, "parameters": {"id": "$response.body#/id"}}
        for name in ("read", "change", "remove")
    }
    made = {"200": {"description": "d", "content": media, "links": links}}
    serve(
        project,
        document(
            {
                "/things": {
                    "get": {"operationId": "all", "responses": made},
                    "post": {"requestBody": {"content": media}, "responses": made},
                },
                "/things/{id}": {
                    "get": operation(operationId="read", parameters=[identifier]),
                    "put": operation(
                        operationId="change",
                        parameters=[identifier],
                        requestBody={"content": media},
                    ),
                    "delete": operation(operationId="remove", parameters=[identifier]),
                },
            }
        ),
    )
    project.server.on("*", json_answer({"id": 7}))
    outcome = check(project)
    assert {one.method for one in project.server.ledger} == {"GET"}
    assert outcome.check("test_workflows[all]")["outcome"] == "not_permitted"


@pytest.mark.fault(85)
@pytest.mark.parametrize(("read_only", "workers"), [("true", "-n2"), ("false", "-n0")])
def test_a_redirect_to_another_host_is_not_followed(project, elsewhere, workers, read_only):
    identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    content = {"application/json": {"schema": {"type": "object"}}}
    paths = {
        "/x": {"get": operation(307), "post": operation(307, requestBody={"content": content})},
        "/x/{id}": {"get": operation(307, parameters=[identifier])},
    }
    serve(project, document(paths), read_only=read_only, headers='{ X-Key = "k" }')
    project.server.on("*", redirect(f"{elsewhere.url}/there", 307))
    outcome = check(project, workers)
    assert outcome.exit in (1, 6), outcome.output
    assert "passed" not in outcome.outcomes().values()
    assert elsewhere.ledger == []
    assert project.server.seen("/x")


@pytest.mark.fault(91)
@BOTH
def test_budget_and_rate_hold(project, workers):
    number = {"name": "n", "in": "query", "schema": {"type": "integer"}}
    paths = {f"/{name}": {"get": operation(parameters=[number])} for name in "abcdef"}
    serve(project, document(paths), rate='"50/s"', request_budget="70")
    settings = project.path / "prodcheck.toml"
    settings.write_text(settings.read_text().replace("max_examples = 3", "max_examples = 40"))
    outcome = check(project, workers)
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert "budget" in outcome.check("[GET /f]")["message"]
    assert outcome.check("[GET /f]")["outcome"] == "not_run"
    assert len(project.server.ledger) == 70
    assert project.server.busiest(1) <= 50 * 1.05
