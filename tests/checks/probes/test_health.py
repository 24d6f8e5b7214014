"""A health answer is judged by its keys and structure: what frameworks really send."""

import json
from typing import Any

import httpx
import pytest

from pytest_prodcheck.checks.probes.health import (
    HealthCheck,
    NotHealth,
    jsonpath,
    steps,
    troubles_of,
)
from pytest_prodcheck.config import Probe, Target

WELL = {
    "Spring Boot Actuator": {
        "status": "UP",
        "components": {
            "db": {
                "status": "UP",
                "details": {"database": "PostgreSQL", "validationQuery": "isValid()"},
            },
            "diskSpace": {"status": "UP", "details": {"free": 7, "path": "/app/.", "exists": True}},
            "discoveryComposite": {
                "description": "Discovery Client not initialized",
                "status": "UNKNOWN",
                "components": {"discoveryClient": {"status": "UNKNOWN"}},
            },
        },
        "groups": ["liveness", "readiness"],
    },
    "health+json, draft-inadarei-api-health-check-06": {
        "status": "pass",
        "releaseId": "1.2.2",
        "notes": [""],
        "output": "",
        "description": "health of the dead letter service",
        "checks": {
            "cassandra:responseTime": [
                {"componentType": "datastore", "observedValue": 250, "status": "pass", "output": ""}
            ],
            "uptime": [{"componentType": "system", "observedValue": 1209600.24, "status": "pass"}],
        },
    },
    "ASP.NET Core HealthChecks UI": {
        "status": "Healthy",
        "totalDuration": "00:00:00.0012",
        "entries": {
            "Dead letters": {"data": {}, "duration": "00:00:00.0010", "status": "Healthy"},
            "sql": {"data": {"errors": 0}, "status": "Healthy", "exception": None, "tags": ["db"]},
        },
    },
    "Elasticsearch _cluster/health": {
        "cluster_name": "red",
        "status": "green",
        "timed_out": False,
        "unassigned_shards": 0,
        "active_shards_percent_as_number": 100.0,
    },
    "Elasticsearch _health_report": {
        "status": "green",
        "indicators": {
            "master_is_stable": {
                "status": "green",
                "symptom": "The cluster has a stable master node",
                "details": {"recent_masters": [{"node_id": "x", "name": "down"}]},
            },
            "shards_availability": {"status": "green", "details": {"unassigned_primaries": 0}},
        },
    },
    "Consul /v1/health/service": [
        {
            "Node": {"Node": "dead-01", "Address": "10.1.10.12"},
            "Service": {"ID": "redis", "Service": "redis", "Tags": ["critical"]},
            "Checks": [
                {
                    "CheckID": "serfHealth",
                    "Name": "Serf Health Status",
                    "Status": "passing",
                    "Output": "Agent alive and reachable",
                }
            ],
        }
    ],
    "django-health-check": {
        "CacheBackend": "working",
        "DatabaseBackend": "working",
        "FeatureFlagBackend": "working",
    },
    "NestJS Terminus": {
        "status": "ok",
        "info": {"dead letter queue": {"status": "up"}, "errors": {"status": "up"}},
        "error": {},
        "details": {"dead letter queue": {"status": "up"}, "errors": {"status": "up"}},
    },
    "etcd": {"health": "true", "reason": ""},
    "health-go": {"status": "OK", "failures": None, "component": {"name": "x", "version": "v1"}},
    "MicroProfile Health, Keycloak": {
        "status": "UP",
        "checks": [{"name": "Keycloak database connections health check", "status": "UP"}],
    },
    "Airflow": {
        "metadatabase": {"status": "healthy"},
        "scheduler": {"latest_scheduler_heartbeat": "2026-11-27T10:00:00", "status": "healthy"},
        "triggerer": {"latest_triggerer_heartbeat": None, "status": None},
    },
    "Vault": {"initialized": True, "sealed": False, "standby": False, "version": "1.19"},
    "Nextcloud": {"installed": True, "maintenance": False, "needsDbUpgrade": False},
    "InfluxDB": {"name": "influxdb", "message": "ready for queries and writes", "status": "pass"},
    "Gitea": {"status": "pass", "checks": {"database:ping": [{"status": "pass"}]}},
    "Kong": {"database": {"reachable": True}, "server": {"connections_handled": 3}},
    "Glances": {"version": "4.3"},
    "httpbin /get": {"args": {}, "headers": {"Accept": "*/*"}, "origin": "127.0.0.1"},
    "queues with names": {
        "status": "ok",
        "components": [
            {"name": "dead letter queue", "status": "up", "depth": 0},
            {"name": "error reporter", "status": "up"},
        ],
    },
    "counters": {"status": "ok", "failed jobs": 0, "errors": 3, "jobs": {"failed": 7, "dead": 0}},
    "counters as texts": {"status": "ok", "jobs": "failed: 0", "errors": "0", "note": "no errors"},
    "negated flags": {"status": "ok", "not_ready": False, "unhealthy": "false", "no_errors": True},
    "settings": {"status": "ok", "log_level": "error", "on_error": "fail", "mode": "down"},
    "critical dependencies": {"status": "ok", "checks": [{"status": "ok", "critical": True}]},
    "a Korean page in red": {"status": "ok", "language": "ko", "theme": {"color": "red"}},
    "the past": {"status": "ok", "last_error": "failed", "previous": {"status": "down"}},
    "no error in its own words": {"ok": True, "error": {"code": 0, "message": "none"}},
    "sentences beside a state": {"status": "up", "message": "2 nodes failed over and are back"},
    "a service that is off on purpose": {"status": "ok", "services": {"mail": "disabled"}},
}

ILL: dict[str, tuple[Any, str]] = {
    "Spring Boot Actuator, a component": (
        {"status": "UP", "components": {"db": {"status": "DOWN", "details": {"error": "x"}}}},
        '$.components.db.status is "DOWN"',
    ),
    "Spring Boot Actuator, the whole": (
        {"status": "OUT_OF_SERVICE"},
        '$.status is "OUT_OF_SERVICE"',
    ),
    "Spring Boot Actuator, unknown": ({"status": "UNKNOWN"}, '$.status is "UNKNOWN"'),
    "Resilience4j": (
        {"status": "UP", "components": {"pay": {"status": "CIRCUIT_OPEN"}}},
        '$.components.pay.status is "CIRCUIT_OPEN"',
    ),
    "health+json": (
        {"status": "pass", "checks": {"db:connections": [{"status": "fail", "output": "x"}]}},
        "$.checks['db:connections'][0].status is \"fail\"",
    ),
    "ASP.NET Core": (
        {"status": "Degraded", "entries": {"sql": {"status": "Healthy"}}},
        '$.status is "Degraded"',
    ),
    "ASP.NET Core, an exception": (
        {"status": "Healthy", "entries": {"sql": {"exception": "SqlException: no", "data": {}}}},
        '$.entries.sql.exception is "SqlException: no"',
    ),
    "Elasticsearch": ({"cluster_name": "shop", "status": "red"}, '$.status is "red"'),
    "Elasticsearch, timed out": (
        {"status": "green", "timed_out": True},
        "$.timed_out is true",
    ),
    "Consul, a check": (
        [{"Node": {}, "Checks": [{"Name": "x", "Status": "critical", "Output": "refused"}]}],
        '$[0].Checks[0].Status is "critical"',
    ),
    "Consul, aggregated": ({"AggregatedStatus": "critical"}, '$.AggregatedStatus is "critical"'),
    "django-health-check": (
        {"CacheBackend": "working", "FeatureFlagBackend": "unavailable: Database error"},
        '$.FeatureFlagBackend is "unavailable: Database error"',
    ),
    "django-health-check, unexpected": (
        {"DatabaseBackend": "unexpected result: 3"},
        '$.DatabaseBackend is "unexpected result: 3"',
    ),
    "NestJS Terminus": (
        {"status": "ok", "info": {}, "error": {"redis": {"status": "down", "message": "x"}}},
        '$.error.redis.status is "down"',
    ),
    "NestJS Terminus, shutting down": ({"status": "shutting_down"}, '$.status is "shutting_down"'),
    "etcd": ({"health": "false", "reason": "RAFT NO LEADER"}, '$.health is "false"'),
    "health-go": (
        {"status": "Partially Available", "failures": {"rabbitmq": "failed"}},
        '$.status is "Partially Available"',
    ),
    "RabbitMQ": (
        {"status": "ok", "missing": ["rabbit@two"]},
        '$.missing is ["rabbit@two"]',
    ),
    "Nextcloud": ({"installed": True, "maintenance": True}, "$.maintenance is true"),
    "CouchDB": ({"status": "maintenance_mode"}, '$.status is "maintenance_mode"'),
    "Vault": ({"initialized": True, "sealed": True}, "$.sealed is true"),
    "Kong": ({"database": {"reachable": False}}, "$.database.reachable is false"),
    "an exception beside ok": (
        {"status": "ok", "exception": "OperationalError: connection refused"},
        '$.exception is "OperationalError: connection refused"',
    ),
    "an error object": (
        {"status": "ok", "error": {"code": 7, "message": "pool exhausted"}},
        '$.error is {"code": 7, "message": "pool exhausted"}',
    ),
    "an error code": ({"ok": True, "error": 1}, "$.error is 1"),
    "a text false": ({"status": "ok", "db_connected": "False"}, '$.db_connected is "False"'),
    "a text false of a part": ({"checks": {"db": "false"}}, '$.checks.db is "false"'),
    "a number false": ({"healthy": 0}, "$.healthy is 0"),
    "a negated flag": ({"status": "ok", "not_ready": True}, "$.not_ready is true"),
    "an HTTP status as the state": ({"status": 503, "title": "x"}, "$.status is 503"),
    "an HTTP status as a text": ({"status": "503 no"}, '$.status is "503 no"'),
    "a part named like a setting": (
        {"status": "ok", "components": {"feature-service": {"status": "down"}}},
        '$.components.feature-service.status is "down"',
    ),
    "a part named like the past": (
        {"services": {"last-mile": {"state": "stopped"}}},
        '$.services.last-mile.state is "stopped"',
    ),
    "a state with its reason": ({"db": "down for maintenance"}, '$.db is "down for maintenance"'),
    "a connection": ({"status": "ok", "redis": "Connection refused"}, '$.redis is "Connection'),
    "a state at the end": (
        {"dependencies": {"db": "connection to db failed"}},
        '$.dependencies.db is "connection to db failed"',
    ),
    "a sentence without a state": (
        {"message": "Unable to connect to the database"},
        '$.message is "Unable to connect to the database"',
    ),
    "nothing but false": (False, "$ is false"),
    "nothing but a word": ("Down", '$ is "Down"'),
}

CONCERNS = {
    "health+json": ({"status": "warn"}, '$.status is "warn"'),
    "Elasticsearch": ({"status": "yellow", "timed_out": False}, '$.status is "yellow"'),
    "Consul": ([{"Checks": [{"Status": "warning"}]}], '$[0].Checks[0].Status is "warning"'),
}


@pytest.mark.parametrize("source", WELL)
def test_nothing_is_found_in_a_healthy_answer(source: str) -> None:
    assert [str(one) for one in troubles_of(WELL[source])] == []


@pytest.mark.parametrize("source", ILL)
def test_trouble_is_found_where_it_stands(source: str) -> None:
    answer, expected = ILL[source]
    found = troubles_of(answer)
    assert found
    assert str(found[0]).startswith(expected)
    assert found[0].grave


@pytest.mark.parametrize("source", CONCERNS)
def test_a_warning_state_is_a_concern_and_no_failure(source: str) -> None:
    answer, expected = CONCERNS[source]
    (found,) = troubles_of(answer)
    assert (str(found), found.grave) == (expected, False)


# --- bodies


def checked(body: str | bytes, kind: str | None, **settings: Any) -> list[str]:
    target = Target(name="t", base_url="http://t", **{"health": "/health", **settings})
    headers = {"content-type": kind} if kind else {}
    response = httpx.Response(200, content=body, headers=headers)
    return [str(one) for one in HealthCheck(target).troubles(response)]


KUBERNETES = "[+]ping ok\n[+]log ok\n[+]poststarthook/dead-letter-failed ok\n"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param("", "text/html; charset=utf-8", id="an empty answer of Flask or Django"),
        pytest.param("ok", "text/html; charset=utf-8", id="ok of Flask or Django"),
        pytest.param("", None, id="MinIO"),
        pytest.param("OK\n", "text/plain", id="text"),
        pytest.param("Healthy", "text/plain", id="ASP.NET Core"),
        pytest.param("Prometheus Server is Healthy.\n", "text/plain", id="Prometheus"),
        pytest.param(f"{KUBERNETES}livez check passed\n", "text/plain", id="Kubernetes verbose"),
        pytest.param("failed jobs: 0\nstatus: up\n", "text/plain", id="lines with counters"),
        pytest.param(
            '<!DOCTYPE html><html><body style="background-color: green"></body></html>',
            "text/html",
            id="Rails /up",
        ),
        pytest.param("<html><title>x</title><body><p>OK</p></body></html>", "text/html", id="page"),
        pytest.param('{"status": "ok"}', "text/html", id="JSON of PHP"),
        pytest.param('{"health":"true"}', "text/plain", id="JSON of etcd"),
        pytest.param("true", "application/json", id="a JSON scalar"),
    ],
)
def test_a_healthy_body_of_any_type_passes(body: str, kind: str | None) -> None:
    assert checked(body, kind) == []


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ("UNHEALTHY", "text/plain", '$ says "UNHEALTHY"'),
        ("false", "text/html", '$ says "false"'),
        (
            f"{KUBERNETES}[-]etcd failed: reason withheld\n",
            "text/plain",
            '$ says "[-]etcd failed: reason withheld"',
        ),
        ("cache: up\ndb: DOWN\n", "text/plain", '$ says "db: DOWN"'),
        ("database is not available", "text/plain", '$ says "database is not available"'),
        ("Redis connection failed", "text/html", '$ says "Redis connection failed"'),
        ("We are under maintenance", "text/html", '$ says "We are under maintenance"'),
        ('{"status": "red"}', "text/html", '$.status is "red"'),
        ("<p>db is down</p>", "text/html", None),
        ("<h1>Back soon</h1>", "text/html", None),
        ("<div id=app></div><script src=/main.js></script>", "text/html", None),
        ("<!doctype html><title>Sign in</title><form>Password</form>", None, None),
        ("<h1>ok</h1>", "application/json", None),
        ("", "application/json", None),
    ],
)
def test_a_bad_body_of_any_type_fails(body: str, kind: str | None, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(NotHealth):
            checked(body, kind)
    else:
        assert checked(body, kind) == [expected]


# --- what is accepted


ABSENT = json.dumps({"status": "ok", "db": "Not connected", "parts": [{"a b": {"up": False}}]})


@pytest.mark.parametrize(
    ("accept", "left"),
    [
        ((), ['$.db is "Not connected"', "$.parts[0]['a b'].up is false"]),
        (("$.db",), ["$.parts[0]['a b'].up is false"]),
        (("$['db']", "$.parts[0]"), []),
        (('$.parts[0]["a b"].up', "$.d"), ['$.db is "Not connected"']),
        (
            ("$.parts[1]", "$.db.deeper"),
            ['$.db is "Not connected"', "$.parts[0]['a b'].up is false"],
        ),
    ],
)
def test_what_the_configuration_accepts_is_no_trouble(
    accept: tuple[str, ...], left: list[str]
) -> None:
    assert checked(ABSENT, "application/json", health_accept=accept) == left


@pytest.mark.parametrize(
    ("probe", "accepted"),
    [
        ({"json": {"db": "Not connected"}}, True),
        ({"json": {"status": "ok"}}, False),
        ({"json": {"db": "not connected"}}, False),
        ({"json": {"db": "Not connected"}, "path": "/other"}, False),
        ({"json": {"db": "Not connected"}, "method": "HEAD"}, False),
        ({"json": {"db": "Not connected"}, "send": {"X-Mode": "test"}}, False),
        ({}, False),
    ],
)
def test_a_probe_of_the_same_path_that_states_the_value_accepts_it(
    probe: dict[str, Any], accepted: bool
) -> None:
    one = Probe(**{"method": "GET", "path": "/health", "id": "p", **probe})
    left = checked(ABSENT, "application/json", probes=(one,), health_accept=("$.parts",))
    assert left == ([] if accepted else ['$.db is "Not connected"'])


def test_a_probe_can_state_a_value_within_an_array() -> None:
    body = json.dumps(
        {"parts": [{"name": "db", "status": "down"}, {"name": "x", "status": "down"}]}
    )
    expected = {"parts": [{"name": "db", "status": "down"}]}
    probe = Probe(method="GET", path="/health", id="p", json=expected)
    left = checked(body, "application/json", probes=(probe,))
    assert left == ['$.parts[1].status is "down"']


@pytest.mark.parametrize("place", [(), ("a", 0, "b-c"), ("a b", "é"), ("x'y",)])
def test_a_place_is_read_as_it_is_written(place: tuple[str | int, ...]) -> None:
    text = jsonpath(place)
    assert steps(text) == place


def test_the_remedy_names_what_would_be_accepted() -> None:
    target = Target(name="t", base_url="http://t", health="/health")
    check = HealthCheck(target)
    assert check.remedy(troubles_of({"a": "down", "b": "down"})).endswith(
        'accept it if it is intended: health = { path = "/health", accept = ["$.a", "$.b"] }'
    )
