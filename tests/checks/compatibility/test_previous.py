"""The way back to the release before: what both understand they understand in the same way."""

from typing import Any

import pytest

from pytest_prodcheck.checks.compatibility.baseline import PreviousCheck
from pytest_prodcheck.model import LastRelease, Release
from pytest_prodcheck.store.last_good import Good, LastGood, keep, last_good
from tests.faulty import json_answer
from tests.project import Project


def document(required: tuple[str, ...] = ("name",), **more: Any) -> dict[str, Any]:
    """An API with one operation; *more* are properties of its answer."""
    body = {
        "type": "object",
        "required": list(required),
        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
    }
    answer = {"type": "object", "properties": {"id": {"type": "integer"}, **more}}
    content = {"application/json": {"schema": body}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "t", "version": "1"},
        "paths": {
            "/items": {
                "post": {
                    "requestBody": {"required": True, "content": content},
                    "responses": {
                        "200": {
                            "description": "ok",
                            "content": {"application/json": {"schema": answer}},
                        }
                    },
                }
            }
        },
    }


BEFORE = LastRelease(run_id="20260101T000000-abcdef", release=Release(version="1.4.2"))


def remember(project: Project, spec: dict[str, Any]) -> None:
    base = project.path / "prodcheck-report"
    base.mkdir(exist_ok=True)
    keep(base, "prod", LastGood(newest=Good(last=BEFORE, spec_of=BEFORE, spec=spec)))


def test_what_this_release_has_more_is_no_danger() -> None:
    run = PreviousCheck(document(note={"type": "string"}), document(), "release 1.4.2")
    assert run.changes() == []
    run.check()


def test_what_both_have_and_understand_differently_is_named() -> None:
    run = PreviousCheck(document(), document(required=("name", "size")), "release 1.4.2")
    with pytest.raises(AssertionError, match="clients of this release, rolled back to relea"):
        run.check()
    assert [one.rule for one in run.changes()] == ["request-property-became-required"]


@pytest.mark.parametrize(
    ("before", "ruling"),
    [
        (document(), ("pass", 0)),
        (document(required=("name", "size")), ("fail", 1)),
        ({}, ("inconclusive", 6)),
    ],
)
def test_the_ready_made_check(
    project: Project, before: dict[str, Any], ruling: tuple[str, int]
) -> None:
    project.configure(openapi='"/openapi.json"')
    project.server.on("/openapi.json", json_answer(document(note={"type": "string"})))
    remember(project, before)
    outcome = project.run("-m", "rollback")
    assert outcome.ruling == ruling, outcome.output
    if ruling[1] == 1:
        message = outcome.check("test_previous[document]")["message"]
        assert "rolled back to release 1.4.2 (run 20260101T000000-abcdef)" in message


def test_a_run_that_did_not_read_the_document_keeps_the_one_there_is(project: Project) -> None:
    project.configure("[[probes]]\nget = '/ok'")
    remember(project, document())
    assert project.run("-m", "smoke").ruling == ("pass", 0)
    found = last_good(project.path / "prodcheck-report", "prod")
    assert found
    assert found.newest.last.run_id != BEFORE.run_id
    assert (found.newest.spec, found.newest.spec_of) == (document(), BEFORE)


def good(version: str | None) -> Good:
    last = LastRelease(run_id=f"of {version}", release=Release(version=version))
    return Good(last=last, spec_of=last, spec={})


def test_a_release_that_passes_again_does_not_displace_the_one_before() -> None:
    found = LastGood(newest=good("1"))
    for version in ("1", "2", "2", None, "2"):
        found = found.followed_by(good(version))
    assert found.older
    assert (found.newest.last.release.version, found.older.last.release.version) == ("2", "1")


def test_a_release_is_not_its_own_way_back(project: Project) -> None:
    """It passed at the deploy, and fails an hour later: the one before is where to go."""
    project.configure(
        """
        [targets.prod.release]
        from = "/ok"
        version = "$.version"
        [[probes]]
        get = "/ok"
        json = { status = "healthy" }
        [[actions]]
        when = "*GET /ok*"
        action = "roll back"
        severity = "critical"
        """
    )
    for version in ("1", "2"):
        project.server.on("/ok", json_answer({"status": "healthy", "version": version}))
        assert project.run("-m", "smoke").exit == 0
    project.server.on("/ok", json_answer({"status": "ill", "version": "2"}))
    outcome = project.run("-m", "smoke")
    assert outcome.verdict["decision"] == "rollback"
    assert outcome.verdict["last_good"]["release"]["version"] == "1"


@pytest.mark.fault(110)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"last": 1}', b"\0\0\0"])
def test_a_damaged_memory_is_put_aside_and_the_verdict_stands(
    project: Project, content: bytes
) -> None:
    project.configure("[[probes]]\nget = '/ok'")
    base = project.path / "prodcheck-report"
    base.mkdir()
    (base / "last-good-prod.json").write_bytes(content)
    outcome = project.run("-m", "smoke")
    assert outcome.ruling == ("pass", 0)
    assert outcome.verdict["last_good"] is None
    assert (base / "last-good-prod.damaged").read_bytes() == content
    found = last_good(base, "prod")
    assert found
    assert found.newest.last.run_id == outcome.verdict["run_id"]


@pytest.mark.fault(110)
def test_a_memory_that_cannot_be_read_or_replaced_does_not_matter(project: Project) -> None:
    project.configure("[[probes]]\nget = '/ok'")
    (project.path / "prodcheck-report" / "last-good-prod.json").mkdir(parents=True)
    assert project.run("-m", "smoke").ruling == ("pass", 0)


# --- a target that shows no document --------------------------------------------------------


def readable() -> dict[str, Any]:
    return {
        "openapi": "3.0.3",
        "info": {"title": "t", "version": "1"},
        "paths": {"/items": {"get": {"responses": {"200": {"description": "d"}}}}},
    }


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_where_none_is_served_the_last_good_one_is_tested_and_compared_with_nothing(
    project: Project, status: int, workers: tuple[str, ...]
) -> None:
    project.server.on("/openapi.json", json_answer({}, status)).on("/items", json_answer([]))
    project.configure(openapi='"/openapi.json"')
    remember(project, readable())
    outcome = project.outcome(project.start("--target=prod", "-m", "contract", *workers))
    assert outcome.ruling == ("pass", 0), outcome.output
    assert outcome.check("[GET /items]")["outcome"] == "passed"
    compared = outcome.check("test_compatibility[document]")
    assert (compared["outcome"], compared["message"]) == (
        "not_permitted",
        "the target serves no document that could be compared",
    )
    told = "openapi /openapi.json of release 1.4.2 (run 20260101T000000-abcdef), since the target"
    assert f"prodcheck: {told} serves none  1 operation, sha256 " in outcome.output
    found = last_good(project.path / "prodcheck-report", "prod")
    assert found
    assert found.newest.spec_of == BEFORE


@pytest.mark.parametrize("status", [500, 200])
def test_a_document_that_is_broken_is_not_replaced(project: Project, status: int) -> None:
    project.server.on("/openapi.json", json_answer({}, status)).on("/items", json_answer([]))
    project.configure(openapi='"/openapi.json"')
    remember(project, readable())
    outcome = project.run("-m", "contract")
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert "/items" not in project.server.paths()


def test_probes_are_derived_from_the_document_of_this_release_alone(project: Project) -> None:
    project.server.on("/openapi.json", json_answer({}, 404)).on("*", json_answer([]))
    project.configure(openapi='"/openapi.json"')
    remember(project, readable())
    outcome = project.run("-m", "smoke")
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert "/openapi.json is not served any more" in outcome.output


def test_a_document_is_unchanged_whatever_has_to_be_masked_or_escaped_in_it(
    project: Project,
) -> None:
    """Numbers that a browser rounds, control characters, long texts, and a secret."""
    secret = "hunter2-hunter2-hunter2"
    odd = {
        "schema": {
            "type": "object",
            "properties": {
                "big": {"type": "integer", "maximum": 2**63, "minimum": -(2**70)},
                "escape": {"type": "string", "pattern": "^[^\x1b\u202e]*$"},
                "long": {"type": "string", "enum": ["x" * 70_000, "y"]},
                "key": {"type": "string", "enum": [secret, "other"]},
            },
        }
    }
    spec = readable()
    spec["paths"]["/items"]["get"]["responses"]["200"]["content"] = {"application/json": odd}
    project.server.on("/openapi.json", json_answer(spec)).on("/items", json_answer({"big": 1}))
    project.configure(
        openapi='"/openapi.json"', headers='{ Authorization = "Bearer ${PROD_TOKEN}" }'
    )
    project.environ["PROD_TOKEN"] = secret
    for _ in range(2):
        outcome = project.run("-m", "contract")
        assert outcome.ruling == ("pass", 0), outcome.output
    assert outcome.check("test_compatibility[document]")["outcome"] == "passed"
    kept = (project.path / "prodcheck-report" / "last-good-prod.json").read_text()
    assert secret not in kept
