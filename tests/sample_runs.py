"""Realistic runs and verdicts for the tests of what people look at."""

from pytest_prodcheck.model import (
    Action,
    Check,
    Exchange,
    Finding,
    Metrics,
    Policy,
    Problem,
    Release,
    Run,
    TargetInfo,
    Verdict,
)
from pytest_prodcheck.verdict.judge import judge

HOST = "https://api.example.com"

PATHS = (
    "/health", "/info", "/openapi.json", "/docs", "/metrics", "/entries", "/entries/summary",
    "/insights", "/admin/analytics", "/feedback", "/preferences", "/preferences/defaults",
    "/mode", "/version", "/entries?limit=5", "/entries?offset=5",
)  # fmt: skip


def exchange(path: str, ms: float, status: int | None = 200, **more: object) -> Exchange:
    url = HOST + path
    fields: dict[str, object] = {
        "method": "GET",
        "url": url,
        "status": status,
        "elapsed_ms": ms,
        "request_headers": {
            "Authorization": "***",
            "User-Agent": "pytest-prodcheck/0.1.0",
            "Accept": "*/*",
        },
        "response_headers": {"content-type": "application/json", "server": "uvicorn"},
        "body": '{"status":"healthy","config_loaded":true}',
        "size": 41,
        "curl": f"curl -sS -H 'Authorization: ***' -H 'Accept: */*' '{url}'",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    return Exchange(**(fields | more))  # type: ignore[arg-type]


def passed(path: str, ms: float, severity: str = "major", category: str = "smoke") -> Check:
    return Check(
        id=f"suites/{category}/test_probes.py::test_probe[GET {path}]",
        category=category,
        severity=severity,  # type: ignore[arg-type]
        outcome="passed",
        duration_s=ms / 1000,
        exchanges=(exchange(path, ms),),
    )


def a_run(checks: tuple[Check, ...], **more: object) -> Run:
    fields: dict[str, object] = {
        "run_id": "20251122T210612-7c1f",
        "target": TargetInfo(name="prod", base_url=HOST + "/"),
        "release": Release(version="1.4.2", commit="3e68e18b8c1a4f0f9a2d0b7e6c5d4f3a2b1c0d9e"),
        "state": "finished",
        "started": "2025-11-22T21:06:12+00:00",
        "finished": "2025-11-22T21:06:24+00:00",
        "duration_s": 12.3,
        "command": "pytest --target=prod -m smoke",
        "settings": (
            "target prod (prodcheck.toml)",
            "read-only (default)",
            "threshold 90 (default)",
            "rate 20/s (prodcheck.toml)",
            "request budget 5000 (default)",
            "timeout 10 s (default)",
        ),
        "checks": checks,
    }
    return Run(**(fields | more))  # type: ignore[arg-type]


def passing(*, minor_failed: bool = False) -> tuple[Run, Verdict]:
    latencies = (9, 11, 14, 8, 12, 31, 44, 38, 83, 12, 10, 9, 8, 7, 27, 29)
    checks = [
        passed(path, ms, "critical" if path == "/health" else "major")
        for path, ms in zip(PATHS, latencies, strict=True)
    ]
    if minor_failed:
        checks[3] = Check(
            id="suites/smoke/test_documentation.py::test_documentation[/docs]",
            category="smoke",
            severity="minor",
            outcome="failed",
            duration_s=0.008,
            message="GET /docs: expected status 200, got 404",
            exchanges=(exchange("/docs", 8, 404, body='{"detail":"Not Found"}', size=22),),
        )
    run = a_run(
        tuple(checks),
        metrics=Metrics(requests=16, latency_ms={"p50": 12, "p95": 53.75, "p99": 77.15}),
    )
    return run, judge(run)


def broken() -> tuple[Run, Verdict]:
    checks = (
        Check(
            id="suites/smoke/test_probes.py::test_probe[GET /feedback]",
            category="smoke",
            severity="minor",
            outcome="failed",
            duration_s=2.514,
            message="GET /feedback: expected an answer within 0.5 s, got it after 2.51 s",
            exchanges=(exchange("/feedback", 2514),),
        ),
        Check(
            id="suites/smoke/test_probes.py::test_probe[GET /health]",
            category="smoke",
            severity="critical",
            outcome="failed",
            duration_s=0.012,
            message=(
                "GET /health: expected status 200, got 404\n"
                "json $.status: expected 'healthy', got nothing\n"
                "The answer is the application's own 404, so the process runs "
                "and the route is missing."
            ),
            exchanges=(
                exchange("/health", 12, 404, body='{"detail":"Not Found"}', size=22),
                exchange("/api/health", 14, 200),
            ),
        ),
        Check(
            id="suites/smoke/test_database.py::test_database_answers",
            category="smoke",
            severity="critical",
            outcome="failed",
            duration_s=5.01,
            message="AssertionError: $.database: expected 'connected', got 'unreachable'\n"
            "assert 'unreachable' == 'connected'\n  - connected\n  + unreachable",
            exchanges=(
                exchange("/info", 431, 503, body='{"database":"unreachable","detail":"timeout"}'),
                exchange(
                    "/entries", 10004, None, kind="timeout",
                    error="no whole answer within 10 s", body="", size=0, response_headers={},
                ),
            ),
        ),
        Check(
            id="suites/contract/test_contract.py::test_operation[GET /insights]",
            category="contract",
            severity="major",
            outcome="failed",
            duration_s=0.4,
            message="GET /insights: the answer does not match the schema:\n"
            "  $.items[0].created: 'yesterday' is not a 'date-time'",
            exchanges=(exchange("/insights", 88, 200, body='{"items":[{"created":"yesterday"}]}'),),
        ),
        *(passed(path, 10 + 13 * n) for n, path in enumerate(PATHS[3:10])),
        passed("/openapi.json", 21, category="contract"),
        Check(
            id="suites/smoke/test_write.py::test_round_trip",
            category="smoke",
            severity="major",
            outcome="not_permitted",
            message="sends POST, and prod is read-only",
        ),
        Check(
            id="suites/environment/test_files.py::test_config_file",
            category="environment",
            severity="minor",
            outcome="skipped",
            message="runs inside the deployed container only",
        ),
    )  # fmt: skip
    actions = (
        Action(
            when="database.unreachable",
            severity="critical",
            action="set ENABLE_DATABASE_WRITES=false",
            within="5 min",
        ),
        Action(when="routing.*", severity="major", action="redeploy 1.4.1", within="30 min"),
    )
    run = a_run(
        checks,
        unscored=(
            Check(
                id="tests/test_ours.py::test_footer",
                category=None,
                severity="major",
                outcome="failed",
                message="AssertionError: expected 'imprint' in the footer",
            ),
        ),
        policy=Policy(actions=actions),
        metrics=Metrics(
            requests=14,
            error_rate=0.214,
            latency_ms={"p50": 62, "p95": 2514, "p99": 2514},
        ),
        service_log="INFO started\nERROR sqlalchemy.exc.OperationalError: unable to connect\n",
    )
    findings = (
        Finding(
            rule="database.unreachable",
            title="The service cannot reach its database",
            confidence="high",
            evidence=(
                "GET /info answers 503 with database: unreachable",
                "GET /entries gives no whole answer within 10 s",
            ),
            against=("GET /preferences, which reads the database, still answers 200",),
            next_check="psql \"$DATABASE_URL\" -c 'select 1' from inside the container",
            remedy="Switch to file fallback, then look at the database's connection limit",
        ),
        Finding(
            rule="routing.root_paths",
            title="The API moved below /api: the paths at the root are gone",
            confidence="medium",
            evidence=("GET /health is 404, GET /api/health is 200",),
            next_check="compare root_path of this release with the last one",
            remedy="Set root_path to the empty string",
        ),
    )
    return run, judge(run, findings)


def inconclusive() -> tuple[Run, Verdict]:
    checks = (
        *(passed(path, 9 + 2 * n) for n, path in enumerate(PATHS[:12])),
        *(
            Check(
                id=f"suites/smoke/test_probes.py::test_probe[GET {path}]",
                category="smoke",
                severity="critical" if path == "/mode" else "major",
                outcome="not_run",
                message="worker gw1 was lost before it reported",
            )
            for path in PATHS[12:]
        ),
    )
    run = a_run(
        checks,
        problems=(Problem(what="worker", detail="worker gw1 ended with signal 9 (SIGKILL)"),),
        metrics=Metrics(requests=12, latency_ms={"p50": 20, "p95": 31, "p99": 31}),
    )
    return run, judge(run)


def many(count: int = 500, *, failing: int = 120) -> tuple[Run, Verdict]:
    checks = tuple(
        Check(
            id=f"suites/smoke/test_probes.py::test_probe[GET /item/{n}]",
            category="smoke",
            severity="major",
            outcome="failed" if n < failing else "passed",
            duration_s=0.1,
            message="expected status 200, got 500" if n < failing else "",
            exchanges=(exchange(f"/item/{n}", 60 + (n * 37) % 240, 500 if n < failing else 200),),
        )
        for n in range(count)
    )
    run = a_run(
        checks,
        metrics=Metrics(requests=count, latency_ms={"p50": 180, "p95": 288, "p99": 297}),
    )
    return run, judge(run)
