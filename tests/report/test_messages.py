"""The sentences that people read, one file for each family of messages.

Other tests assert rules, subjects and facts. After a change of wording, read the difference that
this test shows, then write the files anew:
PRODCHECK_WRITE_MESSAGES=1 pytest tests/report/test_messages.py
"""

import json
import os
from typing import Any

from pytest_prodcheck.checks.answers.expectations import ANY_ANSWER, PRESENT, Answer, unmet
from pytest_prodcheck.config import Probe
from tests import FOLDER
from tests.diagnosis_cases import FIRES, found

MESSAGES = FOLDER / "messages"


def compare(family: str, text: str) -> None:
    file = MESSAGES / f"{family}.txt"
    if os.environ.get("PRODCHECK_WRITE_MESSAGES"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_messages_of_the_diagnosis() -> None:
    told = []
    for rule, confidence, _, _, checks in FIRES:
        finding = found(*checks)[rule]
        told += [f"{rule} ({confidence}): {finding.title}"]
        told += [f"  for: {fact}" for fact in finding.evidence]
        told += [f"  against: {fact}" for fact in finding.against]
        told += [f"  next: {finding.next_check}", f"  remedy: {finding.remedy}"]
    compare("diagnosis", "\n".join(told) + "\n")


def probe(**expected: Any) -> Probe:
    return Probe(method="GET", path="/x", id="GET /x", **expected)


def answer(body: Any = b"", **facts: Any) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(**{"status": 200, "content": content, **facts})


def typed(body: Any, kind: str) -> Answer:
    return answer(body, headers=(("Content-Type", kind),))


MOVED = answer(status=307, headers=(("location", "/health/"),))
VARY = answer(headers=(("Vary", "a"), ("Vary", "b")))
UP = answer(b"release 1.4.2 is up")
LATE, FAST = answer(elapsed_s=0.9), answer(elapsed_s=0.1)
EXPECTATIONS: list[tuple[Probe, list[Answer]]] = [
    (probe(), [answer(status=404)]),
    (probe(), [MOVED]),
    (probe(status=(200, 404)), [answer(status=201)]),
    (probe(status=ANY_ANSWER), [answer(status=503)]),
    (probe(samples=4), [answer(status=503), answer(), answer(status=502), answer()]),
    (probe(json={"a": 1}), [answer({"a": 2})]),
    (probe(json={"a": {"b": "x"}}), [answer({"a": {"b": "y"}})]),
    (probe(json={"ok": True}), [answer({"ok": 1})]),
    (probe(json={"a": 1}), [answer({"b": 1, "c": 2})]),
    (probe(json={"a": 1}), [answer({})]),
    (probe(json={"a b": 1}), [answer({"a b": 2})]),
    (probe(json={"a": 1}), [answer([1])]),
    (probe(json=[1]), [answer("1")]),
    (probe(json=[3]), [answer([1, 2])]),
    (probe(json={}), [answer(b"<html>")]),
    (probe(json={}), [answer(b"")]),
    (probe(), [typed(b"<h1>Back soon</h1>", "application/json")]),
    (probe(), [typed(b"", "application/json")]),
    (probe(headers={"content-type": "text/html"}), [typed(b"", "text/plain")]),
    (probe(headers={"X-Release": "1"}), [answer()]),
    (probe(headers={"X-Release": PRESENT}), [answer()]),
    (probe(headers={"vary": "c"}), [VARY]),
    (probe(contains="1.5"), [UP]),
    (probe(contains="x"), [answer()]),
    (probe(matches="^up$"), [UP]),
    (probe(within=0.5), [answer(elapsed_s=0.512)]),
    (probe(within=0.5, samples=19), [*[FAST] * 18, LATE]),
    (probe(within=0.5, samples=20), [*[FAST] * 18, LATE, LATE]),
]


def test_messages_of_expectations() -> None:
    told = [
        f"{mismatch.rule}\n  {mismatch}"
        for expected, answers in EXPECTATIONS
        for mismatch in unmet(expected, answers)
    ]
    assert len(told) == len(EXPECTATIONS)
    compare("expectations", "\n".join(told) + "\n")
