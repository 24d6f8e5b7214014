"""Diagnoses: each rule names what it should, says what speaks against it, and keeps quiet else."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_prodcheck.demo.incidents import INCIDENTS, MAINTENANCE_PAGE
from pytest_prodcheck.model import Check, Exchange, Failure, Finding, Run, TargetInfo
from pytest_prodcheck.rules import failure
from pytest_prodcheck.verdict.diagnosis import RULES, SIGNS, diagnose
from tests.project import Project

HOST = "https://x.test"
HEALTHY = {"status": "healthy", "database": {"connected": True}, "config_loaded": True}
GONE = '{"detail":"Not Found"}'


def ask(path: str, status: int | None = 200, body: Any = "", **facts: Any) -> Exchange:
    text = body if isinstance(body, str) else json.dumps(body)
    told = {"size": len(text.encode()), "elapsed_ms": 5.0, **facts}
    return Exchange(method="GET", url=HOST + path, status=status, body=text, **told)


def check(*exchanges: Exchange, outcome: str = "failed", **facts: Any) -> Check:
    """A failed check that says which status it got, as probes and assertions do."""
    name = exchanges[0].url.removeprefix(HOST) if exchanges else "nothing"
    fields = {"id": f"t::test_probe[GET {name}]", "category": "smoke", "severity": "major"}
    if outcome == "failed" and exchanges:
        told = failure("status", f"GET {name}", "told", status=exchanges[0].status)
        fields["failures"] = (told,)
    return Check(**{**fields, "outcome": outcome, "exchanges": exchanges, **facts})


def other(*exchanges: Exchange, rule: str = "assertion", **facts: Any) -> Check:
    """A check that failed for something else than a status."""
    return check(*exchanges, failures=(failure(rule, "GET /", "told"),), **facts)


def well(*paths: str, size: int = 50) -> list[Check]:
    """Passed checks: of them a run keeps status and size, and no body."""
    return [check(ask(path, size=size), outcome="passed") for path in paths]


def lost(path: str, kind: str | None = "connect") -> Check:
    exchange = ask(path, None, kind=kind, error=f"{kind}: refused")
    return other(exchange, rule="exchange.unreachable")


def run(*checks: Check, **facts: Any) -> Run:
    return Run(
        run_id="r", target=TargetInfo(name="prod", base_url=HOST), checks=checks,
        state="finished", **facts,
    )  # fmt: skip


def found(*checks: Check, **facts: Any) -> dict[str, Finding]:
    return {finding.rule: finding for finding in diagnose(run(*checks, **facts))}


NESTED = ("/api/a", "/api/b")
ROUTED = [check(ask("/health", 404, GONE)), check(ask("/info", 404, GONE)), *well(*NESTED)]
PAGE = [
    other(ask(path, 200, MAINTENANCE_PAGE), rule="body.not_json") for path in ("/a", "/b", "/c")
]
EDGE = {"status": "error", "code": 404, "message": "Application not found"}


def late(path: str, *others: Failure) -> Check:
    slow = failure("time", f"GET {path}", "1.4 s", title="time")
    return check(ask(path, elapsed_ms=1400), failures=(*others, slow))


def ill(**body: Any) -> Check:
    return other(ask("/health", 200, body), rule="json.path")


def operation(name: str, *rules: str) -> Check:
    return Check(
        id=f"suites/contract/test_operations.py::test_operation[{name}]",
        category="contract",
        severity="major",
        outcome="failed" if rules else "passed",
        failures=tuple(failure(rule, name, "told") for rule in rules),
    )


def database(name: str, *failures: Failure) -> Check:
    return Check(
        id=f"suites/contract/test_database.py::test_table[{name}]",
        category="contract",
        severity="major",
        outcome="failed",
        failures=failures,
    )


DOWN = failure("database.unreachable", "database", "refused")
MISSING = failure("schema.column_missing", "table entries column mood", "renamed")
CONFLICT = failure("schema.policy_conflict", "table notes policy own", "one undoes the other")
TYPES = [failure("schema.type", f"table users column c{n}", "is text") for n in range(6)]

FIRES = [
    # rule, confidence, words of the evidence, words of what speaks against it, checks
    ("target.unreachable", "high", "3 requests ended in a connect failure", "",
     [lost("/a"), lost("/b"), lost("/c")]),
    ("target.unreachable", "high", "1 requests ended in a timeout failure", "",
     [lost("/a", "dns"), lost("/b", "timeout")]),
    ("target.unreachable", "low", "2 requests ended in a transport failure",
     "1 requests were answered", [lost("/a", "transport"), lost("/b", "transport"), *well("/c")]),
    ("target.maintenance_page", "high", "the same page of 165 characters at /a, /b, /c", "", PAGE),
    ("target.maintenance_page", "high", "at /a, /b, /c", "",
     [*PAGE, *well("/docs", size=165)]),
    ("target.maintenance_page", "low", "at /a, /b, /c", "2 requests had other answers",
     [*PAGE, *well("/docs", "/d")]),
    ("target.maintenance_page", "low", "at /a, /b, /c", "1 requests had other answers",
     [*PAGE, check(ask("/d", 500, "oops"))]),
    ("platform.no_application", "medium", "2 answers like ", "",
     [check(ask("/a", 404, EDGE)), check(ask("/b", 404, EDGE))]),
    ("platform.no_application", "low", "1 answers like ", "/b answered well",
     [check(ask("/a", 404, EDGE)), *well("/b")]),
    ("routing.root_paths", "high", "404 at /health, /info", "", ROUTED),
    ("routing.root_paths", "high", "2xx at /api/a, /api/b", "", ROUTED),
    ("routing.root_paths", "medium", "404 at /health", "",
     [check(ask("/health", 404, GONE)), *well(*NESTED)]),
    ("routing.root_paths", "medium", "404 at /health, /info", "/docs at the root answered",
     [*ROUTED, *well("/docs")]),
    ("routing.root_paths", "medium", "404 at /a, /b", "2 of the 404s look like the platform's own",
     [check(ask("/a", 404, EDGE)), check(ask("/b", 404, EDGE)), *well(*NESTED)]),
    ("database.unreachable", "medium", "/health says database is 'down'",
     "no request failed with a 5xx", [ill(database="down")]),
    ("database.unreachable", "high", "/health says checks.database.connected is False", "",
     [ill(checks={"database": {"connected": False}}), check(ask("/entries", 503, "{}"))]),
    ("database.unreachable", "high", "5xx at /entries", "",
     [ill(database="timeout"), check(ask("/entries", 500, "oops"))]),
    ("database.unreachable", "medium", "/health says databaseStatus is 'unreachable'", "no request",
     [ill(databaseStatus="unreachable")]),
    ("database.unreachable", "medium", "/health says db.error is 'no such host'", "no request",
     [ill(db={"error": "no such host"})]),
    ("database.unreachable", "medium", "/health says parts[0].postgres is 'Connection refused'",
     "no request", [ill(parts=[{"postgres": "Connection refused"}])]),
    ("database.unreachable", "high", "a 5xx says 'unable to open database file'", "",
     [check(ask("/entries", 503, "storage unavailable: unable to open database file"))]),
    ("database.unreachable", "low", "refused",
     "/health answered well: the service may reach what we cannot",
     [database("users", DOWN), *well("/health")]),
    ("database.unreachable", "high", "/health says database is 'down'", "",
     [database("users", DOWN), ill(database="down"), check(ask("/entries", 503, "{}"))]),
    ("database.schema_drift", "high", "table entries column mood: renamed",
     "no request failed with a 5xx", [database("entries", MISSING), operation("a")]),
    ("database.schema_drift", "high", "and 1 more", "",
     [database("users", *TYPES), check(ask("/a", 500, "oops"))]),
    ("database.policy_conflict", "high", "table notes policy own: one undoes the other", "",
     [database("notes", CONFLICT)]),
    ("config.not_loaded", "high", "/health says config_loaded is false", "",
     [ill(config_loaded=False)]),
    ("config.not_loaded", "high", "/health says config_loaded is false", "",
     [ill(app={"config_loaded": False})]),
    ("server.errors", "high", "5xx at /a", "", [check(ask("/a", 500, "oops"))]),
    ("server.errors", "high", "5xx at /a, /b, /c, /d and 1 more", "/e answered well",
     [*(check(ask(f"/{name}", 500, "oops")) for name in "abcdx"), *well("/e")]),
    ("server.errors", "medium", "5xx at /a", "1 of them are 502 or 504, the words of a proxy",
     [check(ask("/a", 502, "<html>"))]),
    ("latency.slow", "high", "test_probe[GET /a]: 1.4 s", "", [late("/a"), late("/b")]),
    ("latency.slow", "medium", "test_probe[GET /a]: 1.4 s", "only one check was late",
     [late("/a", failure("status", "GET /a", "told", status=500))]),
    ("contract.broken", "high", "contract.undocumented_status: GET /a", "",
     [operation("GET /a", "contract.undocumented_status")]),
    ("contract.broken", "high", "contract.server_error: GET /a, GET /b",
     "1 contract checks passed",
     [operation("GET /a", "contract.server_error"), operation("GET /b", "contract.server_error"),
      operation("GET /c")]),
    ("contract.broken", "high", "compatibility.breaking: GET /a", "",
     [operation("GET /a", "compatibility.breaking")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "confidence", "evidence", "against", "checks"),
    FIRES,
    ids=[f"{number}-{case[0]}" for number, case in enumerate(FIRES)],
)
def test_a_rule_names_what_it_is_for_with_evidence_on_both_sides(
    rule, confidence, evidence, against, checks
):
    finding = found(*checks)[rule]
    assert evidence in "\n".join(finding.evidence)
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
    named = {case[0] for case in FIRES} | {sign.rule for sign in SIGNS}
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
    "policy-conflict": ("database.schema_drift",),
    "fallback-loses-writes": ("rollback.left_behind",),
}
"""What else is true of an incident."""


def test_the_documentation_lists_every_finding():
    page = (Path(__file__).parents[1] / "docs/verdict.md").read_text()
    source = Path(diagnose.__code__.co_filename).read_text()
    rules = set(re.findall(r'rule="([\w.]+)"', source))
    assert rules == set(re.findall(r"^\| `(\w+\.\w+)` \|", page, re.MULTILINE))
