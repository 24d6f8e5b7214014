"""Runs that a rule of the diagnosis should name, and the builders that make them."""

import json
from typing import Any

from pytest_prodcheck.demo.incidents import MAINTENANCE_PAGE
from pytest_prodcheck.model import Check, Exchange, Failure, Finding, Run, TargetInfo
from pytest_prodcheck.rules import failure
from pytest_prodcheck.verdict.diagnosis import diagnose

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
    # rule, confidence, facts of the evidence, a fact of what speaks against it, checks
    ("target.unreachable", "high", ("3", "connect"), "",
     [lost("/a"), lost("/b"), lost("/c")]),
    ("target.unreachable", "high", ("1", "timeout", "dns"), "",
     [lost("/a", "dns"), lost("/b", "timeout")]),
    ("target.unreachable", "low", ("2", "transport"), "1",
     [lost("/a", "transport"), lost("/b", "transport"), *well("/c")]),
    ("target.maintenance_page", "high", ("165", "/a, /b, /c"), "", PAGE),
    ("target.maintenance_page", "high", ("/a, /b, /c",), "",
     [*PAGE, *well("/docs", size=165)]),
    ("target.maintenance_page", "low", ("/a, /b, /c",), "2",
     [*PAGE, *well("/docs", "/d")]),
    ("target.maintenance_page", "low", ("/a, /b, /c",), "1",
     [*PAGE, check(ask("/d", 500, "oops"))]),
    ("platform.no_application", "medium", ("2",), "",
     [check(ask("/a", 404, EDGE)), check(ask("/b", 404, EDGE))]),
    ("platform.no_application", "low", ("1",), "/b",
     [check(ask("/a", 404, EDGE)), *well("/b")]),
    ("routing.root_paths", "high", ("404", "/health, /info", "/api/a, /api/b"), "", ROUTED),
    ("routing.root_paths", "medium", ("/health",), "",
     [check(ask("/health", 404, GONE)), *well(*NESTED)]),
    ("routing.root_paths", "medium", ("/health, /info",), "/docs",
     [*ROUTED, *well("/docs")]),
    ("routing.root_paths", "medium", ("/a, /b",), "2",
     [check(ask("/a", 404, EDGE)), check(ask("/b", 404, EDGE)), *well(*NESTED)]),
    ("database.unreachable", "medium", ("/health", "database", "down"), "5xx",
     [ill(database="down")]),
    ("database.unreachable", "high", ("checks.database.connected",), "",
     [ill(checks={"database": {"connected": False}}), check(ask("/entries", 503, "{}"))]),
    ("database.unreachable", "high", ("/entries",), "",
     [ill(database="timeout"), check(ask("/entries", 500, "oops"))]),
    ("database.unreachable", "medium", ("databaseStatus", "unreachable"), "5xx",
     [ill(databaseStatus="unreachable")]),
    ("database.unreachable", "medium", ("db.error", "no such host"), "5xx",
     [ill(db={"error": "no such host"})]),
    ("database.unreachable", "medium", ("parts[0].postgres", "Connection refused"),
     "5xx", [ill(parts=[{"postgres": "Connection refused"}])]),
    ("database.unreachable", "high", ("unable to open database file",), "",
     [check(ask("/entries", 503, "storage unavailable: unable to open database file"))]),
    ("database.unreachable", "low", ("refused",), "/health",
     [database("users", DOWN), *well("/health")]),
    ("database.unreachable", "high", ("/health", "down"), "",
     [database("users", DOWN), ill(database="down"), check(ask("/entries", 503, "{}"))]),
    ("database.schema_drift", "high", ("table entries column mood", "renamed"),
     "5xx", [database("entries", MISSING), operation("a")]),
    ("database.schema_drift", "high", ("column c4", "1 more"), "",
     [database("users", *TYPES), check(ask("/a", 500, "oops"))]),
    ("database.policy_conflict", "high", ("table notes policy own", "one undoes the other"), "",
     [database("notes", CONFLICT)]),
    ("config.not_loaded", "high", ("/health", "config_loaded"), "",
     [ill(config_loaded=False)]),
    ("config.not_loaded", "high", ("/health", "config_loaded"), "",
     [ill(app={"config_loaded": False})]),
    ("server.errors", "high", ("/a",), "", [check(ask("/a", 500, "oops"))]),
    ("server.errors", "high", ("/a, /b, /c, /d", "1 more"), "/e",
     [*(check(ask(f"/{name}", 500, "oops")) for name in "abcdx"), *well("/e")]),
    ("server.errors", "medium", ("/a",), "1",
     [check(ask("/a", 502, "<html>"))]),
    ("latency.slow", "high", ("GET /a", "1.4 s"), "", [late("/a"), late("/b")]),
    ("latency.slow", "medium", ("GET /a",), "one",
     [late("/a", failure("status", "GET /a", "told", status=500))]),
    ("contract.broken", "high", ("contract.undocumented_status", "GET /a"), "",
     [operation("GET /a", "contract.undocumented_status")]),
    ("contract.broken", "high", ("contract.server_error", "GET /a, GET /b"), "1",
     [operation("GET /a", "contract.server_error"), operation("GET /b", "contract.server_error"),
      operation("GET /c")]),
    ("contract.broken", "high", ("compatibility.breaking", "GET /a"), "",
     [operation("GET /a", "compatibility.breaking")]),
]  # fmt: skip
