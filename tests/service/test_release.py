"""The release as services tell it themselves: bodies and headers of real ones, by their source."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_prodcheck.cli import main
from pytest_prodcheck.model import Release
from pytest_prodcheck.service.release import ReleaseObserver, derived
from tests.faulty import json_answer
from tests.project import Outcome, Project

SHA = "3e68e18c4b3e5d0f9a7b6c5d4e3f2a1b0c9d8e7f"


def answer(path: str, body: Any, status: int = 200, **headers: str) -> httpx.Response:
    content = body if isinstance(body, str) else json.dumps(body)
    return httpx.Response(
        status,
        content=content,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        request=httpx.Request("GET", f"https://api.example.com{path}"),
    )


@pytest.mark.parametrize(
    ("path", "body", "version", "commit"),
    [
        ("/health", {"status": "ok", "version": "1.4.2", "commit": SHA}, "1.4.2", SHA),
        ("/api/health", {"database": "ok", "version": "10.0.3", "commit": "eb8dd72637"},
         "10.0.3", "eb8dd72637"),  # Grafana
        ("/actuator/info", {"git": {"branch": "main", "commit": {"id": "3e68e18", "time": "x"}},
                            "build": {"artifact": "shop", "version": "0.0.1-SNAPSHOT"}},
         "0.0.1-SNAPSHOT", "3e68e18"),  # Spring Boot, management.info.git.mode=simple
        ("/actuator/info", {"git": {"commit": {"id": {"abbrev": "3e68e18", "full": SHA}}}},
         None, SHA),  # mode=full
        ("/version", {"major": "1", "gitVersion": "v1.27.3", "gitCommit": SHA},
         "v1.27.3", SHA),  # Kubernetes
        ("/version", {"Version": "24.0.5", "GitCommit": "a61e2b4", "Os": "linux"},
         "24.0.5", "a61e2b4"),  # Docker
        ("/api/v1/status/buildinfo", {"status": "success", "data": {
            "version": "2.45.0", "revision": "8ef767e396bf8445f009f945b0162fd71827f445"}},
         "2.45.0", "8ef767e396bf8445f009f945b0162fd71827f445"),  # Prometheus
        ("/health", {"status": "pass", "version": "1", "releaseId": "1.2.2"},
         "1.2.2", None),  # draft-inadarei-api-health-check
        ("/healthz", {"ok": True, "release": "shop@1.4.2"}, "shop@1.4.2", None),  # Sentry's form
        ("/status", {"git_sha": SHA, "app-version": "7"}, "7", SHA),
        ("/health", {"build": "1234"}, "1234", None),
        ("/health", {"build": "20260101"}, "20260101", None),
        ("/health", {"build": "3e68e18"}, None, "3e68e18"),
        ("/version", "1.4.2\n", "1.4.2", None),
        ("/version", "3e68e18\n", None, "3e68e18"),
        ("/health", {"status": "DOWN", "version": "1.4.2"}, "1.4.2", None),
    ],
)  # fmt: skip
def test_version_and_commit_are_read_from_where_services_tell_them(
    path: str, body: Any, version: str | None, commit: str | None
) -> None:
    assert derived(answer(path, body)) == Release(version=version, commit=commit)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/orders/1", {"version": "3", "sha": SHA}),
        ("/health", {"status": "ok", "database": {"version": "14.2"}}),
        ("/health", {"version": "unknown", "commit": "dev", "release": "stable"}),
        ("/health", {"version": 3, "commit": None, "sha": True}),
        ("/health", {"version": "1 of 2", "commit": "not set 123"}),
        ("/health", "OK"),
        ("/health", ["1.4.2"]),
        ("/health", {}),
    ],
)
def test_what_is_not_the_release_is_not_taken_for_it(path: str, body: Any) -> None:
    assert derived(answer(path, body)) == Release()


def test_a_page_for_people_tells_no_release() -> None:
    assert derived(answer("/version", "<h1>v2</h1>")) == Release()


@pytest.mark.parametrize("status", [401, 404, 500, 502])
def test_an_answer_that_is_an_error_tells_no_release(status: int) -> None:
    assert derived(answer("/health", {"version": "1.4.2"}, status)) == Release()


@pytest.mark.parametrize("path", ["/orders", "/health"])
def test_headers_of_any_answer_tell_the_release(path: str) -> None:
    told = answer(path, {}, 404, X_Release="1.4.2", X_Git_Sha=SHA, X_API_Version="2")
    assert derived(told) == Release(version="1.4.2", commit=SHA)


def test_the_body_goes_before_headers() -> None:
    told = answer("/health", {"version": "1.4.2"}, X_Version="2", X_Commit="3e68e18")
    assert derived(told) == Release(version="1.4.2", commit="3e68e18")


def test_all_processes_of_a_run_share_what_was_told(tmp_path: Path) -> None:
    one, other = (ReleaseObserver(tmp_path / "release.json") for _ in range(2))
    assert one.release() == Release()
    one.observe(answer("/health", {"version": "1.4.2"}))
    other.observe(answer("/orders", {}, X_Commit="3e68e18"))
    one.observe(answer("/health", {"version": "9"}))
    both = Release(version="1.4.2", commit="3e68e18")
    assert one.release() == other.release() == both
    assert [file.name for file in tmp_path.iterdir()] == ["release.json"]


# --- in a run


HEALTH = {"status": "healthy", "version": "1.4.2", "commit": SHA}


def smoke(project: Project, *args: str) -> Outcome:
    outcome = project.run("-m", "smoke", *args)
    assert outcome.ruling == ("pass", 0), outcome.output
    return outcome


@pytest.mark.parametrize("args", [(), ("-n", "2")], ids=["alone", "workers"])
def test_the_health_check_tells_the_release_and_the_end_asks_once_more(
    project: Project, args: tuple[str, ...]
) -> None:
    project.server.on("/health", json_answer(HEALTH))
    project.configure('[[probes]]\nget = "/ok"', health='"/health"')
    outcome = smoke(project, *args)
    assert outcome.verdict["release"] == {"version": "1.4.2", "commit": SHA}
    assert project.server.paths().count("/health") == 2


def test_a_probe_that_another_process_sends_tells_the_release(project: Project) -> None:
    project.server.on("/healthz", json_answer(HEALTH))
    project.configure('[[probes]]\nget = "/healthz"')
    process = project.start("--target=prod", "-m", "smoke")
    outcome = project.outcome(process)
    assert outcome.verdict["release"] == {"version": "1.4.2", "commit": SHA}, outcome.output
    assert project.server.paths().count("/healthz") == 2


def test_health_is_asked_once_where_no_check_has_asked_it(project: Project) -> None:
    project.server.on("/health", json_answer(HEALTH))
    project.configure('[[probes]]\nget = "/ok"', health='"/health"')
    outcome = project.run("suites/smoke/test_probes.py")
    assert outcome.verdict["release"]["commit"] == SHA, outcome.output
    assert project.server.paths().count("/health") == 1


def test_a_configured_place_is_the_only_one(project: Project) -> None:
    project.server.on("/health", json_answer(HEALTH)).on("/about", json_answer({"v": "9"}))
    project.configure(
        '[targets.prod.release]\nfrom = "/about"\nversion = "$.v"\n[[probes]]\nget = "/ok"',
        health='"/health"',
    )
    assert smoke(project).verdict["release"] == {"version": "9", "commit": None}


def test_a_run_that_does_not_know_the_release_says_how_to_set_it(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.configure('[[probes]]\nget = "/ok"')
    outcome = smoke(project)
    hint = '[targets.prod.release] with from = "/health"'
    assert hint in outcome.output
    assert hint in (outcome.folder / "summary.md").read_text()
    monkeypatch.chdir(project.path)
    capsys.readouterr()
    assert main(["gate", "--target", "prod", "--commit", SHA]) == 6
    assert hint in capsys.readouterr().out


def test_gate_passes_by_the_commit_that_health_tells(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.server.on("/health", json_answer(HEALTH))
    project.configure(health='"/health"')
    smoke(project)
    monkeypatch.chdir(project.path)
    assert main(["gate", "--target", "prod", "--commit", SHA[:10]]) == 0
    assert main(["gate", "--target", "prod", "--commit", "0264059"]) == 6


def test_collecting_alone_proves_nothing_in_one_line(project: Project) -> None:
    project.configure('[[probes]]\nget = "/ok"')
    outcome = project.run("-m", "smoke", "--collect-only")
    assert outcome.exit == 6
    assert "HOLD" not in outcome.output
    assert outcome.output.splitlines()[-1] == (
        "prodcheck: inconclusive: 2 checks of target prod are listed; "
        "nothing is proven (exit code 6)"
    )
    assert project.server.paths() == []
