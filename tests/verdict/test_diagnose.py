"""Diagnoses: each rule names what it should, says what speaks against it, and keeps quiet else."""

import os
import re
import tempfile
from pathlib import Path

import msgspec
import pytest

from pytest_prodcheck.demo.incidents import INCIDENTS, MAINTENANCE_PAGE
from pytest_prodcheck.model import Failure
from pytest_prodcheck.rules import failure
from pytest_prodcheck.verdict.diagnosis import FAILURE_FINDINGS, RULES, diagnose
from tests import ROOT
from tests.diagnosis_cases import (
    CONFLICT,
    FIRES,
    GONE,
    MISSING,
    NESTED,
    PAGE,
    ask,
    check,
    database,
    found,
    ill,
    late,
    lost,
    other,
    well,
)
from tests.project import Project


@pytest.mark.parametrize(
    ("rule", "confidence", "evidence", "against", "checks"),
    FIRES,
    ids=[f"{number}-{case[0]}" for number, case in enumerate(FIRES)],
)
def test_a_rule_names_what_it_is_for_with_evidence_on_both_sides(
    rule, confidence, evidence, against, checks
):
    finding = found(*checks)[rule]
    assert [fact for fact in evidence if fact not in "\n".join(finding.evidence)] == []
    assert against in "\n".join(finding.against)
    assert bool(finding.against) == bool(against)
    assert finding.confidence == confidence
    assert finding.title
    assert finding.next_check
    assert finding.remedy


QUIET = [
    ("all is well", [*well("/health", "/info", *NESTED)], set()),
    ("a 404 that a check was glad of",
     [check(ask("/.env", 404, GONE), ask("/admin", 404, GONE), outcome="passed"),
      ill(status="degraded"), *well(*NESTED)], set()),
    ("a private page among others that are not there",
     [other(ask("/.env", 404), ask("/debug", 200), rule="private.exposed"), *well(*NESTED)],
     set()),
    ("a 404 that is as it should be, with a body that is not",
     [other(ask("/gone", 404, GONE), rule="json.path"), *well(*NESTED)], set()),
    ("one route is gone, the root is there",
     [check(ask("/info", 404, GONE)), *well("/health", "/docs", *NESTED)], set()),
    ("all is gone, so it is not the root",
     [check(ask("/health", 404, GONE)), check(ask("/api/a", 404, GONE))], set()),
    ("a nested route is gone", [check(ask("/api/a", 404, GONE)), *well("/health", "/api/b")],
     set()),
    ("a flag that is off is no fault",
     [ill(database_writes=False, database_fallback=False, mode="FILE_ONLY")], set()),
    ("a database that is well, a cache that is not",
     [ill(database="healthy", cache="down", db={"connected": True, "error": None})], set()),
    ("a database that is not used", [ill(dependencies={"database": "skipped"})], set()),
    ("a word that only begins like trouble", [ill(database="downstream-1")], set()),
    ("an error page that names no driver", [check(ask("/a", 500, "the database of cats"))],
     {"server.errors"}),
    ("a configuration that says nothing", [ill(config_loaded=None), ill(config="loaded")], set()),
    ("a 500 that a check expects", [check(ask("/boom", 500), outcome="passed"), ill()], set()),
    ("one page for one path", [PAGE[0]], set()),
    ("each path a page of its own",
     [other(ask(f"/{name}", 200, f"<html>{name}</html>")) for name in "abc"], set()),
    ("pages that are right, beside a failure",
     [*(check(ask(f"/{name}", 200, size=165), outcome="passed") for name in "abc"), ill()], set()),
    ("an error page for all", [check(ask(f"/{name}", 503, MAINTENANCE_PAGE)) for name in "ab"],
     {"server.errors"}),
    ("a bad certificate is an answer", [lost("/a", "tls"), lost("/b", "tls")], set()),
    ("garbage is an answer", [lost("/a", "protocol")], set()),
    ("requests that were never sent",
     [check(ask("/a", None, kind="withheld"), outcome="not_run")], set()),
    ("few of many were not answered", [lost("/a"), *well("/b", "/c")], set()),
    ("a check whose message looks like another rule's",
     [other(ask("/a"), message="time: expected 3, got 404 [schema.type]")], set()),
    ("all requests of a run are slow", [other(ask("/a"), rule="limit.p95")], set()),
    ("a service that deals in applications",
     [other(ask("/a", 200, {"title": "Application not found in time"}))], set()),
    ("a failed check that sent nothing", [other()], set()),
    ("a drift is no breach of the OpenAPI document", [database("users", MISSING)],
     {"database.schema_drift"}),
    ("two policies are no drift", [database("notes", CONFLICT)], {"database.policy_conflict"}),
    ("a slow query", [database("q", failure("database.slow_query", "query q", "2 s"))], set()),
    ("an assertion in a test of the contract", [other(category="contract")], set()),
    ("a policy that contradicts another one is no other drift",
     [database("notes", CONFLICT, failure("schema.policy_unexpected", CONFLICT.subject, ""))],
     {"database.policy_conflict"}),
    ("a policy that nothing expects beside a contradiction",
     [database("notes", CONFLICT, failure("schema.policy_unexpected", "table notes policy x", ""))],
     {"database.policy_conflict", "database.schema_drift"}),
    ("failures of a journal that knows no rules",
     [check(failures=(Failure(title="drill.write_lost"),))], set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("checks", "rules"), [case[1:] for case in QUIET], ids=[case[0] for case in QUIET]
)
def test_a_look_alike_is_not_named(checks, rules):
    assert set(found(*checks)) == rules


def test_a_run_in_which_nothing_failed_has_no_findings():
    checks = [*well("/a"), check(ask("/b", 500, "expected"), outcome="passed")]
    skipped = check(ask("/health", 200, {"database": "down"}), outcome="skipped")
    assert found(*checks, skipped) == {}


@pytest.mark.parametrize("outcome", ["not_run", "flaky"])
def test_what_did_not_run_or_passed_only_later_is_looked_at_too(outcome):
    assert "target.unreachable" in found(check(lost("/a").exchanges[0], outcome=outcome))


def test_a_failed_test_without_a_category_is_looked_at_too():
    lone = check(ask("/a", 500, "oops"), category=None)
    assert set(found(*well("/b"), unscored=(lone,))) == {"server.errors"}


def test_several_faults_are_several_findings_in_the_order_of_the_table():
    broken = [ill(config_loaded=False), check(ask("/a", 500, "oops")), late("/b"), late("/c")]
    assert list(found(*broken)) == ["config.not_loaded", "server.errors", "latency.slow"]


def test_what_the_team_has_accepted_calls_for_no_action():
    known = msgspec.structs.replace(check(ask("/a", 500, "oops")), outcome="known")
    assert list(found(known, check(ask("/b", 404, GONE)))) == []


@pytest.mark.parametrize("body", ["[" * 5000, "{", "NaN", '"x"', "[1, [2, {}]]", "null"])
@pytest.mark.fault(18)
def test_no_body_upsets_a_rule(body):
    assert set(found(check(ask("/health", 500, body)))) == {"server.errors"}


def test_each_incident_is_named_by_a_rule_that_exists():
    assert len(RULES) == 13
    named = {case[0] for case in FIRES} | {kind.rule for kind in FAILURE_FINDINGS}
    assert {incident.rule for incident in INCIDENTS.values()} <= named


@pytest.mark.parametrize(
    ("failed", "rule"),
    [
        ("flags.invalid_mode", "flags.invalid_mode"),
        ("flags.mode_disagrees", "flags.disagree"),
        ("drill.write_lost", "rollback.loses_writes"),
        ("drill.breaker_stuck", "rollback.breaker"),
        ("drill.not_restored", "rollback.left_behind"),
        ("drill.no_effect", "rollback.drill"),
        ("migration.leftover", "rollback.migration"),
        ("drill.unsteady", None),
        ("contract.server_error", None),
    ],
)
def test_a_rule_that_is_a_finding_of_its_own_is_named(failed: str, rule: str | None):
    told = other(rule=failed, category="rollback", message="the facts")
    named = found(told)
    assert list(named) == ([rule] if rule else [])
    if rule:
        assert named[rule].evidence == ("GET nothing: the facts",)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "FATAL ERROR: Reached heap limit - JavaScript heap out of memory",
            "process.out_of_memory",
        ),
        ("OSError: [Errno 28] No space left on device", "storage.full"),
    ],
)
def test_words_of_a_server_error_or_of_the_log_are_read(text: str, rule: str):
    assert rule in found(check(ask("/a", 500, text)))
    assert rule in found(check(ask("/a", 500, "")), service_log=f"...\n{text}\n")
    assert rule not in found(check(ask("/a", 404, text)))


def test_what_a_drill_asks_is_no_sign_of_anything_else():
    drilled = other(ask("/a", 503, "x"), rule="drill.write_lost", category="rollback")
    assert list(found(drilled)) == ["rollback.loses_writes"]


# --- the demo, for real ---------------------------------------------------------------------


@pytest.fixture
def short_folder():
    with tempfile.TemporaryDirectory(prefix="pc-") as folder:
        os.chmod(folder, 0o755)  # PostgreSQL runs as another user under root
        yield folder


@pytest.mark.parametrize("name", INCIDENTS)
def test_each_incident_of_the_demo_is_named_and_nothing_foreign_is(pytester, name, short_folder):
    (pytester.path / "tmp").mkdir()
    project = Project(pytester, server=None, environ={"TMPDIR": str(pytester.path / "tmp")})
    part = PART.get(name) or ["-m", SUITES.get(INCIDENTS[name].rule.partition(".")[0], "smoke")]
    if name == "policy-conflict":
        project.environ["TMPDIR"] = short_folder  # in which a socket has its place
    outcome = project.outcome(project.start(f"--target=demo:{name}", *part))
    rules = [finding["rule"] for finding in outcome.verdict["findings"]]
    assert INCIDENTS[name].rule in rules, outcome.output
    # Though the breaker may have opened: what is proven bad stays a fail.
    assert outcome.ruling == ("fail", 1)
    assert set(rules) <= {INCIDENTS[name].rule, *ALSO.get(name, ())}


SUITES = {"contract": "contract", "flags": "rollback", "rollback": "rollback"}
"""First part of an incident's rule -> the suite that finds it; else the smoke tests do."""

PART = {
    "schema-drift": ["suites/contract/test_database.py"],
    "policy-conflict": ["suites/contract/test_database.py"],
    "migration-not-reversible": ["suites/rollback/test_migrations.py"],
}
"""Incident -> the part of a suite that finds it, where the whole would take its time."""

ALSO = {
    "contract-bugs": ("server.errors",),
    "broken-release": ("config.not_loaded", "latency.slow"),
    "database-down": ("server.errors",),
    "fallback-loses-writes": ("rollback.left_behind",),
}
"""What else is true of an incident."""


def test_the_documentation_lists_every_finding():
    page = (ROOT / "docs/verdict.md").read_text()
    source = Path(diagnose.__code__.co_filename).read_text()
    rules = set(re.findall(r'rule="([\w.]+)"', source))
    assert rules == set(re.findall(r"^\| `(\w+\.\w+)` \|", page, re.MULTILINE))
