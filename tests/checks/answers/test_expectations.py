"""What a probe expects, held against answers."""

import json
from typing import Any

import pytest

from pytest_prodcheck.checks.answers.expectations import PRESENT, SHOWN, Answer, unmet
from pytest_prodcheck.config import Probe


def probe(**expected: Any) -> Probe:
    return Probe(method="GET", path="/x", id="GET /x", **expected)


def answer(
    body: Any = b"", *, status: int = 200, kind: str | None = None, elapsed_s: float = 0.1
) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = (("Content-Type", kind),) if kind else ()
    return Answer(status=status, headers=headers, content=content, elapsed_s=elapsed_s)


def told(probe: Probe, *answers: Answer) -> list[str]:
    """Rules, with the JSON path or the header where there is one: `json.path $.a`."""
    places = [(one.rule, one.what.partition(" ")[2]) for one in unmet(probe, answers)]
    return [f"{rule} {place}".strip() for rule, place in places]


# --- status


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_expected_by_default(status: int) -> None:
    assert told(probe(), answer(status=status)) == []


@pytest.mark.parametrize("status", [199, 301, 404, 500])
def test_another_status_is_a_mismatch(status: int) -> None:
    assert told(probe(), answer(status=status)) == ["status"]


def test_a_redirect_tells_where_it_leads() -> None:
    """Redirects are not followed, and a missing slash is the usual reason."""
    moved = Answer(status=307, headers=(("location", "/health/"),))
    (mismatch,) = unmet(probe(), [moved])
    assert (mismatch.rule, mismatch.status) == ("status", 307)
    assert "/health/" in mismatch.got


def test_one_of_several_statuses_is_enough() -> None:
    assert told(probe(status=(200, 404)), answer(status=404)) == []
    assert told(probe(status=(200, 404)), answer(status=201)) == ["status"]


# --- JSON


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {"b": True}}, {"a": {"b": True, "c": None}}),
        ({}, {"a": 1}),
        ([], [1, 2]),
        ([2], [1, 2]),
        ([{"id": 2}, {"id": 1}], [{"id": 1, "n": "a"}, {"id": 2}]),
        ([[1]], [[0, 1]]),
        (1, 1.0),
        (None, None),
        ("", ""),
        ({"a": []}, {"a": []}),
    ],
)
def test_json_matches_as_a_subset(expected: Any, got: Any) -> None:
    assert told(probe(json=expected), answer(got)) == []


@pytest.mark.parametrize(
    ("expected", "got", "place"),
    [
        ({"a": 1}, {"a": 2}, "$.a"),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, "$.a.b"),
        ({"ok": True}, {"ok": 1}, "$.ok"),
        ({"n": 1}, {"n": True}, "$.n"),
        ({"n": 0}, {"n": False}, "$.n"),
        ({"n": 1}, {"n": "1"}, "$.n"),
        ({"n": "1"}, {"n": 1}, "$.n"),
        ({"n": 0}, {"n": None}, "$.n"),
        (
            {"a": 1},
            {"b": 1, "c": 2},
            "$.a",
        ),
        ({"a": 1}, {}, "$.a"),
        ({"a b": 1}, {"a b": 2}, "$['a b']"),
        ({"a": 1}, [1], "$"),
        ({}, [], "$"),
        ([], {}, "$"),
        ([1], "1", "$"),
        ([3], [1, 2], "$"),
        ([True], [1], "$"),
        ({"l": [{"id": 1, "n": "a"}]}, {"l": [{"id": 1}, {"n": "a"}]}, "$.l"),
    ],
)
def test_json_that_differs_is_told_with_its_path(expected: Any, got: Any, place: str) -> None:
    assert told(probe(json=expected), answer(got)) == [f"json.path {place}"]


def test_every_json_mismatch_is_told() -> None:
    found = told(probe(json={"a": 1, "b": {"c": 2}}), answer({"a": 0, "b": {"c": 0}}))
    assert found == ["json.path $.a", "json.path $.b.c"]


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"a": NaN}',
        b'{"a": 1, "a": 1}',
        b'{"a": 1e400}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a": 1} x',
    ],
    ids=["empty", "html", "nan", "duplicate", "infinite", "utf-8", "nested", "trailing"],
)
def test_json_that_is_not_strictly_json_is_a_mismatch_with_a_reason(body: bytes) -> None:
    (mismatch,) = unmet(probe(json={}), [answer(body)])
    assert mismatch.rule == "body.not_json"
    assert mismatch.got
    assert len(mismatch.got) < 2 * SHOWN + 20


@pytest.mark.fault(13)
@pytest.mark.parametrize("kind", ["application/json", "Application/Problem+JSON; charset=utf-8"])
def test_a_page_that_claims_to_be_json_is_a_mismatch_without_any_json_expected(kind: str) -> None:
    (mismatch,) = unmet(probe(), [answer(b"<h1>Back soon</h1>", kind=kind)])
    assert mismatch.rule == "body.not_json"
    assert "Back soon" in mismatch.got


def test_an_empty_body_that_claims_to_be_json_is_a_mismatch() -> None:
    assert told(probe(), answer(b"", kind="application/json")) == ["body.not_json"]


def test_answers_without_a_body_by_their_nature_need_none() -> None:
    head = Probe(method="HEAD", path="/x", id="HEAD /x")
    assert told(head, answer(b"", kind="application/json")) == []
    assert told(probe(), answer(b"", status=204, kind="application/json")) == []


def test_a_wrong_status_is_not_told_twice_over_its_body() -> None:
    assert told(probe(), answer(b"oops", status=500, kind="application/json")) == ["status"]


# --- headers and body


def test_header_names_match_in_any_case_and_values_exactly() -> None:
    got = answer(kind="text/plain")
    assert told(probe(headers={"CONTENT-TYPE": "text/plain"}), got) == []
    assert told(probe(headers={"content-type": "text/html"}), got) == [
        "header.content_type content-type"
    ]
    assert told(probe(headers={"X-Release": "1"}), got) == ["header x-release"]


def test_a_header_can_be_expected_with_any_value() -> None:
    assert told(probe(headers={"content-type": PRESENT}), answer(kind="a/b")) == []
    assert told(probe(headers={"X-Release": PRESENT}), answer(kind="a/b")) == ["header x-release"]


def test_a_content_type_without_parameters_allows_a_charset() -> None:
    got = answer({}, kind="Application/JSON; charset=utf-8")
    assert told(probe(headers={"content-type": "application/json"}), got) == []
    assert told(probe(headers={"content-type": "application/json; charset=ascii"}), got) != []


def test_one_of_several_values_of_a_header_is_enough() -> None:
    got = Answer(status=200, headers=(("Vary", "a"), ("Vary", "b")))
    assert told(probe(headers={"vary": "b"}), got) == []
    assert told(probe(headers={"vary": "a, b"}), got) == []
    assert told(probe(headers={"vary": "c"}), got) == ["header vary"]


def test_body_contains_and_matches() -> None:
    got = answer(b"release 1.4.2 is up")
    assert told(probe(contains="1.4.2", matches=r"release \d+\.\d+"), got) == []
    assert told(probe(contains="1.5"), got) == ["body.contains"]
    assert told(probe(matches=r"^up$"), got) == ["body.matches"]
    assert told(probe(contains="x"), answer(b"")) == ["body.contains"]


def test_text_is_read_in_the_encoding_of_the_answer() -> None:
    latin = Answer(status=200, content="größe".encode("latin-1"), encoding="latin-1")
    assert told(probe(contains="größe"), latin) == []
    odd = Answer(status=200, content=b"x", encoding="no-such-encoding")
    assert told(probe(contains="x"), odd) == []


def test_long_values_are_shortened() -> None:
    (mismatch,) = unmet(probe(contains="x"), [answer(b"a" * 100_000)])
    assert len(mismatch.got) == SHOWN + 1
    assert mismatch.got.endswith("…")


@pytest.mark.fault(74)
def test_a_secret_is_taken_out_before_the_text_is_cut() -> None:
    secret = "hunter2-hunter2"
    body = b"." * (SHOWN - 8) + secret.encode() + b"." * 100
    found = unmet(probe(contains="x"), [answer(body)], lambda text: text.replace(secret, "***"))
    assert "hunter2" not in str(found)
    assert "***" in found[0].got


def test_what_cannot_be_encoded_is_shown_escaped() -> None:
    (mismatch,) = unmet(probe(json={"a": "x"}), [answer(b'{"a": "\\ud800"}')])
    mismatch.got.encode()


# --- time and samples


def test_within_is_in_seconds_and_inclusive() -> None:
    assert told(probe(within=0.5), answer(elapsed_s=0.5)) == []
    assert told(probe(within=0.5), answer(elapsed_s=0.512)) == ["time"]


@pytest.mark.fault(14)
def test_few_samples_are_judged_by_the_slowest() -> None:
    answers = [answer(elapsed_s=0.1)] * 18 + [answer(elapsed_s=0.9)]
    assert told(probe(within=0.5, samples=19), *answers) == ["time"]


@pytest.mark.fault(14)
def test_many_samples_are_judged_by_their_p95() -> None:
    fast, slow = answer(elapsed_s=0.1), answer(elapsed_s=0.9)
    assert told(probe(within=0.5, samples=20), *[fast] * 19, slow) == []
    assert told(probe(within=0.5, samples=20), *[fast] * 18, slow, slow) == ["time"]


def test_every_sample_must_match_and_what_is_alike_is_told_once() -> None:
    answers = [answer(status=503), answer(), answer(status=502), answer()]
    assert told(probe(samples=4), *answers) == ["status"]


def test_nothing_is_unmet_by_no_answer() -> None:
    """Why there was no answer is the result's `error`, not a mismatch."""
    assert told(probe(within=0.1)) == []
