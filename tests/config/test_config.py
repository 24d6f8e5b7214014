"""What a chosen target means: settings resolved, variables filled in, faults refused as text."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prodcheck.config import Secret, Settings, choose, describe, json_schema, load
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Action
from pytest_prodcheck.redaction.redactor import Redactor

TOKEN = "tok-0123456789"
URL = "https://api.example.com"
PROD = f'[targets.prod]\nbase_url = "{URL}"\n'
LONG = """
threshold = 92.5
weights = { critical = 10 }
required = ["smoke >= 10", "test_health*"]

[targets.prod]
base_url = "https://API.example.com/v1/"
openapi = "/openapi.json"
headers = { Authorization = "Bearer ${PROD_TOKEN}", Accept = "application/json" }
health = "/health"
rate = "600/min"
request_budget = 100
timeout = 2.5
concurrency = 64
max_body = 4096
database = "${PROD_DATABASE_URL}"
hosts = ["CDN.example.com", "login.example.com:8443"]
documentation = ["/docs"]
metrics = ["/metrics"]
private = ["/debug", "/admin"]
limits = { p95 = 0.5, error_rate = 0.001 }

[targets.prod.release]
from = "/health"
version = "$.build.version"
commit = "$['commit']"

[targets.staging]
extends = "prod"
base_url = "https://staging.example.com"
read_only = false
drills = true
health = ""

[targets.local]
start = "uvicorn app.main:app --port {port}"
start_timeout = 5
base_url = "http://127.0.0.1:{port}"

[[probes]]
get = "/health"
status = 200
json = { status = "healthy", load = 0.5, commit = "${COMMIT}", items = [1, true] }
headers = { Content-Type = "application/json" }
contains = "healthy"
matches = '"status":\\s*"healthy"'
within = 0.5
severity = "critical"
tags = ["core"]
send = { X-Api-Key = "${PROBE_KEY}" }
samples = 20

[[targets.prod.probes]]
head = "/"
name = "front page"

[[targets.staging.probes]]
options = "/v2"
status = [200, 204]

[[actions]]
when = "database.unreachable"
severity = "critical"
action = "set ENABLE_DATABASE_WRITES=false"
within = "5 min"

[[actions]]
when = "latency.*"
action = "look at the dashboard"

[flags]
from = "/info"
mode = "$.mode"
[flags.values]
WRITES = "$.writes"
FALLBACK = "$.fallback"
[flags.modes]
DUAL = { WRITES = true, FALLBACK = true }
SAFE = { WRITES = false }

[contract]
max_examples = 5
time_per_operation = 1.5
exclude = ["DELETE /admin/**", "admin"]
[contract.parameters]
sku = ["SKU-1001", 2]
"""
ENVIRON = {
    "PROD_TOKEN": TOKEN,
    "PROD_DATABASE_URL": "postgresql://reader:pass%40word1@db.example.com/app",
    "PROBE_KEY": "probe-key-1",
    "COMMIT": "3e68e18",
}

Load = Callable[..., Settings]


@pytest.fixture
def given_file(tmp_path: Path) -> Load:
    """Settings of a target, `prod` unless told, from a file of this text."""

    def loaded(
        text: str,
        choice: str = "prod",
        environ: Mapping[str, str] | None = None,
        threshold: str | None = None,
    ) -> Settings:
        (tmp_path / "prodcheck.toml").write_text(text)
        return load(choice, root=tmp_path, environ=environ or {}, threshold=threshold)

    return loaded


@pytest.fixture
def refusal(given_file: Load) -> Callable[..., str]:
    """The message with which a file of this text is refused."""

    def refused(text: str, choice: str = "prod", **more: object) -> str:
        with pytest.raises(UsageError) as error:
            given_file(text, choice, **more)
        return str(error.value)

    return refused


class Asked(Mapping[str, str]):
    """An environment that remembers what was read from it."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values_ = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("the environment is asked for names, never listed")

    def __len__(self) -> int:
        return len(self.values_)


# --- a whole file


def test_every_key_reaches_the_settings(given_file: Load, tmp_path: Path) -> None:
    found = given_file(LONG, environ=ENVIRON)
    target = found.target
    assert (target.name, target.base_url) == ("prod", "https://api.example.com/v1")
    assert (target.read_only, target.drills) == (True, False)
    assert (target.openapi, target.health) == ("/openapi.json", "/health")
    assert target.headers["Accept"] == "application/json"
    assert revealed(target.headers["Authorization"]) == f"Bearer {TOKEN}"
    assert revealed(target.database) == ENVIRON["PROD_DATABASE_URL"]
    assert (target.rate, target.request_budget, target.timeout) == (10.0, 100, 2.5)
    assert (target.concurrency, target.max_body) == (64, 4096)
    assert target.hosts == ("cdn.example.com", "login.example.com:8443")
    assert (target.documentation, target.metrics) == (("/docs",), ("/metrics",))
    assert target.private == ("/debug", "/admin")
    assert (target.limits.p95, target.limits.error_rate) == (0.5, 0.001)
    assert target.release is not None
    assert (target.release.path, target.release.version, target.release.commit) == (
        "/health",
        "$.build.version",
        "$['commit']",
    )
    assert found.threshold == Decimal("92.5")
    assert found.weights == {"critical": 10, "major": 3, "minor": 1}
    assert found.required == ("smoke>=10", "test_health*")
    assert found.actions == (
        Action(
            when="database.unreachable",
            severity="critical",
            action="set ENABLE_DATABASE_WRITES=false",
            within="5 min",
        ),
        Action(when="latency.*", severity="major", action="look at the dashboard"),
    )
    assert found.flags is not None
    assert (found.flags.source, found.flags.mode) == ("/info", "$.mode")
    assert found.flags.values == {"WRITES": "$.writes", "FALLBACK": "$.fallback"}
    assert found.flags.modes["SAFE"] == {"WRITES": False}
    assert (found.contract.max_examples, found.contract.time_per_operation) == (5, 1.5)
    assert found.contract.exclude == ("DELETE /admin/**", "admin")
    assert found.contract.parameters == {"sku": ("SKU-1001", 2)}
    assert found.file == tmp_path / "prodcheck.toml"


def test_a_probe_is_read_whole(given_file: Load) -> None:
    first, second = given_file(LONG, environ=ENVIRON).target.probes
    assert (first.method, first.path, first.id) == ("GET", "/health", "GET /health")
    assert first.status == (200,)
    assert first.json == {"status": "healthy", "load": 0.5, "commit": "3e68e18", "items": [1, True]}
    assert type(first.json["load"]) is float
    assert first.headers == {"Content-Type": "application/json"}
    assert (first.contains, first.matches) == ("healthy", r'"status":\s*"healthy"')
    assert (first.within, first.severity, first.tags) == (0.5, "critical", ("core",))
    assert revealed(first.send["X-Api-Key"]) == "probe-key-1"
    assert first.samples == 20
    assert (second.method, second.path, second.id) == ("HEAD", "/", "front page")


def test_what_is_not_written_has_its_default(given_file: Load) -> None:
    found = given_file(f'{PROD}[[probes]]\nget = "/"\n')
    target, (probe,) = found.target, found.target.probes
    assert (target.read_only, target.drills, target.rate, target.openapi) == (
        True,
        False,
        None,
        None,
    )
    assert (target.request_budget, target.timeout, target.concurrency) == (5000, 10.0, 16)
    assert (target.max_body, target.start_timeout) == (8 * 1024 * 1024, 60.0)
    assert (probe.status, probe.json, probe.within) == ((), msgspec.UNSET, None)
    assert (probe.severity, probe.samples) == ("major", 1)
    assert (found.threshold, found.required, found.flags) == (Decimal(90), (), None)
    assert found.weights == {"critical": 5, "major": 3, "minor": 1}
    assert (found.contract.max_examples, found.contract.time_per_operation) == (20, 30.0)
    assert found.secrets == ()


def test_pyproject_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.prodcheck.targets.prod]\nbase_url = "{URL}"\nrate = "2/s"\n'
    )
    found = load("prod", root=tmp_path, environ={})
    assert found.target.rate == 2
    assert found.origins["rate"] == "pyproject.toml"
    assert found.file == tmp_path / "pyproject.toml"


# --- extends


def test_extends_gives_what_is_not_written_and_adds_probes(given_file: Load) -> None:
    target = given_file(LONG, "staging", ENVIRON).target
    assert target.base_url == "https://staging.example.com"
    assert (target.read_only, target.drills) == (False, True)
    assert (target.openapi, target.rate, target.timeout) == ("/openapi.json", 10.0, 2.5)
    assert target.health is None  # an empty text switches off what is inherited
    assert target.release is not None
    assert [probe.id for probe in target.probes] == ["GET /health", "front page", "OPTIONS /v2"]


def test_permissions_are_never_inherited(given_file: Load) -> None:
    """`read_only = false` has to be written at the target that it is for."""
    parent = f'{PROD}read_only = false\ndrills = true\n[targets.child]\nextends = "prod"\n'
    found = given_file(parent, "child")
    assert (found.target.read_only, found.target.drills) == (True, False)
    assert "read-only (default)" in describe(found)


def test_extends_reaches_over_several_targets(given_file: Load) -> None:
    found = given_file(
        f'{PROD}rate = "5/s"\n[targets.b]\nextends = "prod"\ntimeout = 3\n'
        '[targets.c]\nextends = "b"\n',
        "c",
    )
    assert (found.target.rate, found.target.timeout, found.target.base_url) == (5.0, 3.0, URL)
    assert found.origins["rate"] == "prodcheck.toml, targets.prod"


@pytest.mark.parametrize("choice", ["prod", "a"])
def test_circle_of_extends_is_refused_whichever_target_is_chosen(
    refusal: Callable[..., str], choice: str
) -> None:
    text = f'{PROD}[targets.a]\nextends = "b"\n[targets.b]\nextends = "a"\n'
    assert refusal(text, choice) == (
        "prodcheck.toml:6: targets.b.extends: the targets extend each other in a circle: "
        "a -> b -> a; break it"
    )


def test_extends_of_itself_and_of_nothing_is_refused(refusal: Callable[..., str]) -> None:
    assert refusal(f'{PROD}extends = "prod"\n') == (
        "prodcheck.toml:3: targets.prod.extends: the targets extend each other in a circle: "
        "prod -> prod; break it"
    )
    assert refusal(f'{PROD}[targets.b]\nextends = "prdo"\n') == (
        'prodcheck.toml:4: targets.b.extends: there is no target "prdo". Did you mean "prod"? '
        "Targets: prod, b"
    )


# --- the choice


@pytest.mark.fault(23)
def test_unknown_target_lists_the_known_ones(refusal: Callable[..., str]) -> None:
    text = f'{PROD}[targets.staging]\nextends = "prod"\n'
    assert refusal(text, "stagging") == (
        'there is no target "stagging" in prodcheck.toml. Did you mean "staging"? '
        "Targets: prod, staging, demo"
    )
    assert refusal(text, "api.example.com") == (
        'there is no target "api.example.com" in prodcheck.toml. A URL begins with http:// or '
        "https://. Targets: prod, staging, demo"
    )
    assert refusal(text, "") == (
        'there is no target "" in prodcheck.toml. Targets: prod, staging, demo'
    )


@pytest.mark.fault(23)
def test_target_without_any_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load("prod", root=tmp_path, environ={})
    assert str(error.value) == (
        'there is no target "prod" since there is no prodcheck.toml, and no [tool.prodcheck] in a '
        "pyproject.toml, here or above. Write one with "
        "[targets.NAME] and its base_url, or check a URL: --target=https://… Targets: demo"
    )


@pytest.mark.fault(23)
def test_target_without_base_url_is_refused(refusal: Callable[..., str]) -> None:
    assert refusal('[targets.prod]\nrate = "20/s"\n') == (
        'prodcheck.toml:1: targets.prod: has no base_url; write base_url = "https://..."'
    )


def test_target_name_that_cannot_be_chosen_is_refused(refusal: Callable[..., str]) -> None:
    assert refusal(f'{PROD}[targets."demo:slow"]\nbase_url = "{URL}"\n') == (
        'prodcheck.toml:3: targets."demo:slow": is not a target\'s name; use letters, digits, '
        "dots, dashes and underscores"
    )


def test_url_needs_no_file_and_is_read_only(tmp_path: Path) -> None:
    found = load("https://API.example.com:443/", root=tmp_path, environ={})
    assert found.target.base_url == found.target.name == URL
    assert found.target.read_only
    assert (found.file, found.secrets) == (None, ())
    assert describe(found)[:3] == [
        f"target {URL} (a URL)",
        "read-only (default)",
        "threshold 90 (default)",
    ]


def test_url_takes_what_judges_and_nothing_that_describes_a_service(given_file: Load) -> None:
    environ = Asked(ENVIRON)
    found = given_file(LONG, "https://preview.example.com", environ)
    assert found.threshold == Decimal("92.5")
    assert found.weights["critical"] == 10
    assert len(found.actions) == 2
    assert found.required == ("smoke>=10", "test_health*")
    assert (found.target.headers, found.target.probes, found.flags) == ({}, (), None)
    assert (found.secrets, environ.asked) == ((), set())


def test_url_of_a_configured_target_says_that_its_settings_are_not_used(given_file: Load) -> None:
    found = given_file(f'{PROD}headers = {{ Authorization = "Bearer ${{T}}" }}\n', f"{URL}/")
    assert found.target.headers == {}
    assert describe(found)[0] == (
        f"target {URL} (a URL, without the settings that --target=prod has for it)"
    )


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("https://user:hunter2hunter2@example.com", "has a user name or password in it; put "),
        ("https:/example.com", "is not a URL; write http:// or https://, then the host"),
        ("ftp://example.com", "has the scheme ftp; allowed are http and https"),
        ("HTTPS://example.com/?token=hunter2", "has a query or a fragment; "),
    ],
)
def test_url_that_is_ambiguous_is_refused_and_not_repeated(
    tmp_path: Path, choice: str, reason: str
) -> None:
    with pytest.raises(UsageError) as error:
        load(choice, root=tmp_path, environ={})
    assert str(error.value).startswith(f"the URL given as target {reason}")
    assert "hunter2" not in str(error.value)


@pytest.mark.fault(29)
def test_option_and_variable_choose_one_target_or_none() -> None:
    variable = {"PRODCHECK_TARGET": "staging"}
    assert choose(None, {}) is None
    assert choose("prod", {}) == "prod"
    assert choose(None, variable) == "staging"
    assert choose("staging", variable) == "staging"


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("option", "variable", "message"),
    [
        (
            "prod",
            "staging",
            '--target is "prod", but PRODCHECK_TARGET is "staging"; give one of them, or the '
            "same twice",
        ),
        (
            "https://u:hunter2@a.b",
            "prod",
            "--target is a URL with more than an address in it, but PRODCHECK_TARGET is "
            '"prod"; give one of them, or the same twice',
        ),
        ("", None, "--target is given but empty; name a target, or leave it out"),
        (None, " ", "PRODCHECK_TARGET is given but empty; name a target, or leave it out"),
        ("prod", "", "PRODCHECK_TARGET is given but empty; name a target, or leave it out"),
    ],
)
def test_choices_that_disagree_or_say_nothing_are_refused(
    option: str | None, variable: str | None, message: str
) -> None:
    environ = {} if variable is None else {"PRODCHECK_TARGET": variable}
    with pytest.raises(UsageError) as error:
        choose(option, environ)
    assert str(error.value) == message


# --- the demo


def test_demo_needs_no_file_and_is_started_by_the_run(tmp_path: Path) -> None:
    found = load("demo", root=tmp_path, environ={})
    assert found.target.name == "demo"
    assert found.target.start is not None
    assert found.target.start.startswith("{python} -m pytest_prodcheck.demo --port {port}")
    assert found.target.base_url == "http://127.0.0.1:{port}"
    assert found.file is None
    assert describe(found)[0] == "target demo  http://127.0.0.1:{port} (built in)"


def test_demo_with_an_incident_passes_its_name_on(tmp_path: Path) -> None:
    plain = load("demo", root=tmp_path, environ={})
    found = load("demo:health-404", root=tmp_path, environ={})
    assert found.target.start == f"{plain.target.start} --incident health-404"
    assert found.target.name == "demo"
    assert found.origins["target"] == "built in, incident health-404"


@pytest.mark.fault(23)
def test_unknown_incident_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load("demo:health-405", root=tmp_path, environ={})
    assert str(error.value).startswith(
        'the demo has no incident "health-405". Did you mean "health-404"? Incidents: '
    )
    with pytest.raises(UsageError, match=r'^the demo has no incident ""\. Incidents: '):
        load("demo:", root=tmp_path, environ={})


def test_demo_of_the_project_wins(given_file: Load, refusal: Callable[..., str]) -> None:
    text = f'[targets.demo]\nbase_url = "{URL}"\n'
    assert given_file(text, "demo").target.base_url == URL
    assert refusal(text, "demo:slow") == (
        "demo:slow: the target demo of prodcheck.toml has no incidents; only the built-in demo "
        "has, so rename that target"
    )


def test_demo_takes_the_threshold_of_the_command_line(tmp_path: Path) -> None:
    found = load("demo:slow", root=tmp_path, environ={}, threshold="99.5")
    assert found.threshold == Decimal("99.5")
    assert "threshold 99.5 (command line)" in describe(found)
    assert load("demo", root=tmp_path, environ={}).origins["threshold"] == "built-in demo"


def test_demo_takes_nothing_of_a_project_that_has_no_demo(given_file: Load) -> None:
    assert given_file(LONG, "demo").required == ()


# --- the threshold


@pytest.mark.fault(24)
@pytest.mark.parametrize("text", ["85", "92.5", "100", "100.0", "1", "89.99999999999999999999"])
def test_threshold_of_the_command_line_is_kept_exactly(given_file: Load, text: str) -> None:
    found = given_file(f"threshold = 80\n{PROD}", threshold=text)
    assert found.threshold == Decimal(text)
    assert f"threshold {text} (command line)" in describe(found)


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "nan",
        "inf",
        "-inf",
        "-1",
        "+85",
        "90,0",
        "9e1",
        "9E+1",
        "",
        " ",
        "90 ",
        "90\n",
        "9_0",
        "0x5a",
        ".9",
        "90.",
        "090",
        "\u0669\u0660",
        "\uff19\uff10",
        "90%",
        "ninety",
        "1/2",
    ],
)
def test_threshold_of_the_command_line_takes_plain_notation_only(
    given_file: Load, text: str
) -> None:
    with pytest.raises(UsageError) as error:
        given_file(PROD, threshold=text)
    assert str(error.value) == (
        f'--prodcheck-threshold: "{text}" is not a plain number; write it like 85 or 92.5'
    )


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("0.9", "0.9 looks like a share; scores go to 100, so write 90"),
        ("0.925", "0.925 looks like a share; scores go to 100, so write 92.5"),
        ("0", "0 is not a score to exceed; allowed are numbers from 1 to 100"),
        ("0.0", "0.0 is not a score to exceed; allowed are numbers from 1 to 100"),
        ("100.1", "100.1 is not a score to exceed; allowed are numbers from 1 to 100"),
        ("1000", "1000 is not a score to exceed; allowed are numbers from 1 to 100"),
    ],
)
def test_threshold_outside_its_range_is_refused_wherever_it_stands(
    given_file: Load, refusal: Callable[..., str], text: str, facts: str
) -> None:
    with pytest.raises(UsageError) as error:
        given_file(PROD, threshold=text)
    assert str(error.value) == f"--prodcheck-threshold: {facts}"
    assert refusal(f"threshold = {text}\n{PROD}") == f"prodcheck.toml:1: threshold: {facts}"


@pytest.mark.fault(24)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1"])
def test_threshold_of_the_file_that_is_no_score_is_refused(
    refusal: Callable[..., str], text: str
) -> None:
    assert refusal(f"threshold = {text}\n{PROD}").endswith(
        "is not a score to exceed; allowed are numbers from 1 to 100"
    )


@pytest.mark.fault(24)
@pytest.mark.parametrize("text", ['"90"', '"0.9"', "true", "[90]", "1979-05-27"])
def test_threshold_of_the_file_is_a_number(refusal: Callable[..., str], text: str) -> None:
    assert refusal(f"threshold = {text}\n{PROD}") == (
        "prodcheck.toml:1: threshold: is not a number; write it without quotes, like 85 or 92.5"
    )


@pytest.mark.fault(24)
def test_threshold_of_the_file_keeps_its_digits(given_file: Load) -> None:
    exact = given_file(f"threshold = 89.999999999999999999\n{PROD}").threshold
    assert exact == Decimal("89.999999999999999999")


@pytest.mark.fault(24)
@settings(database=None, derandomize=True, max_examples=100)
@given(st.one_of(st.text(max_size=8), st.decimals(allow_nan=True).map(str), st.floats().map(str)))
def test_any_accepted_threshold_is_a_score_that_can_be_missed(text: str) -> None:
    """Whatever is given: a finite number from 1 to 100 in plain digits, or a refusal."""
    try:
        threshold = load(URL, root=Path("/nowhere"), environ={}, threshold=text).threshold
    except UsageError as error:
        assert str(error).startswith("--prodcheck-threshold: ")  # noqa: PT017 - either way holds
    else:
        assert threshold.is_finite()
        assert 1 <= threshold <= 100
        assert re.fullmatch(r"[0-9.]+", text, re.ASCII)


# --- variables and secrets


def revealed(value: str | Secret | None) -> str:
    assert isinstance(value, Secret)
    return value.reveal()


WITH_TOKEN = f'{PROD}[targets.prod.headers]\nAuthorization = "Bearer ${{PROD_TOKEN}}"\n'


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("value", "state"),
    [(None, "is not set"), ("", "is empty"), (" \t", "is only white space")],
)
def test_variable_without_a_value_is_refused_by_name(
    refusal: Callable[..., str], value: str | None, state: str
) -> None:
    environ = {} if value is None else {"PROD_TOKEN": value}
    assert refusal(WITH_TOKEN, environ=environ) == (
        f"prodcheck.toml:4: targets.prod.headers.Authorization: ${{PROD_TOKEN}} {state}; export "
        "PROD_TOKEN before the run, or choose another target"
    )


@pytest.mark.fault(27)
@pytest.mark.parametrize("text", ["${}", "${PROD-TOKEN}", "${PROD_TOKEN", "${1A}", "${A:-${B}}"])
def test_unresolved_variable_is_refused(refusal: Callable[..., str], text: str) -> None:
    assert refusal(f"{PROD}health = '/{text}'\n", environ={"B": "b"}) == (
        "prodcheck.toml:3: targets.prod.health: has ${ without a variable's name and }; write it "
        "like ${PROD_TOKEN}"
    )


@pytest.mark.fault(27)
def test_only_the_variables_of_the_chosen_target_are_read(given_file: Load) -> None:
    text = (
        f'{WITH_TOKEN}[targets.child]\nextends = "prod"\nheaders = {{}}\nhealth = "/${{PLACE}}"\n'
        f'[targets.other]\nbase_url = "https://${{OTHER}}"\n'
    )
    environ = Asked({"PLACE": "here", "HTTPS_PROXY": "http://proxy.example:3128"})
    assert given_file(text, "child", environ).target.health == "/here"
    assert environ.asked == {"PLACE"}


def test_health_is_a_path_or_a_table_with_what_is_accepted(given_file: Load) -> None:
    text = (
        f'{PROD}health = {{ path = "/ready", accept = ["$.db", "$.parts[0][\'a b\']"] }}\n'
        '[targets.child]\nextends = "prod"\n[targets.plain]\nextends = "prod"\nhealth = "/up"\n'
        '[targets.none]\nextends = "prod"\nhealth = ""\n'
    )
    for name in ("prod", "child"):
        target = given_file(text, name).target
        assert target.health == "/ready"
        assert target.health_accept == ("$.db", "$.parts[0]['a b']")
    assert given_file(text, "plain").target.health == "/up"
    assert given_file(text, "plain").target.health_accept == ()
    assert given_file(text, "none").target.health is None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{ path = "/h", acept = [] }', 'health.acept: is not a key here. Did you mean "accept"?'),
        ('{ accept = ["$.db"] }', "health: `path` is missing"),
        ('{ path = "/h", accept = ["db"] }', "health.accept[0]: is not a path into JSON"),
        ('{ path = "/h", accept = ["$"] }', "health.accept[0]: accepts every response"),
        ('{ path = "h://x" }', "health.path: "),
        ('{ path = "/h", accept = "$.db" }', "health.accept: expected an array"),
        ("5", "health: expected a text or a table, as "),
    ],
)
def test_health_that_cannot_be_is_refused(
    refusal: Callable[..., str], written: str, said: str
) -> None:
    assert f"prodcheck.toml:3: targets.prod.{said}" in refusal(f"{PROD}health = {written}\n")


def test_value_of_a_variable_is_not_filled_in_again(given_file: Load) -> None:
    found = given_file(WITH_TOKEN, environ={"PROD_TOKEN": "${HOME}-0123456789"})
    assert revealed(found.target.headers["Authorization"]) == "Bearer ${HOME}-0123456789"


def test_variables_of_addresses_and_expectations_are_plain_text(given_file: Load) -> None:
    text = (
        '[targets.prod]\nbase_url = "https://${HOST}/v1"\nopenapi = "/${DOC}"\nhosts = ["${CDN}"]\n'
        '[[probes]]\nget = "/${DOC}"\ncontains = "${DOC}"\nheaders = { X-Doc = "${DOC}" }\n'
    )
    found = given_file(text, environ={"HOST": "a.b", "DOC": "d", "CDN": "c.d"})
    assert found.target.base_url == "https://a.b/v1"
    assert (found.target.openapi, found.target.hosts) == ("/d", ("c.d",))
    (probe,) = found.target.probes
    assert (probe.path, probe.contains, probe.headers) == ("/d", "d", {"X-Doc": "d"})
    assert found.secrets == ()


def test_secrets_never_print(given_file: Load) -> None:
    found = given_file(LONG, environ=ENVIRON)
    shown = repr(found) + str(found.secrets) + "\n".join(describe(found))
    assert str(found.target.headers["Authorization"]) == "Secret(${PROD_TOKEN})"
    for value in (TOKEN, "pass%40word1", "pass@word1", "probe-key-1"):
        assert value not in shown
    with pytest.raises(TypeError, match="Encoding objects of type Secret is unsupported"):
        msgspec.json.encode(found.target)


def test_redactor_is_told_each_secret_and_each_secret_inside_it(given_file: Load) -> None:
    secrets = {s.reveal(): s.name for s in given_file(LONG, environ=ENVIRON).secrets}
    assert secrets == {
        TOKEN: "${PROD_TOKEN}",
        ENVIRON["PROD_DATABASE_URL"]: "${PROD_DATABASE_URL}",
        "pass%40word1": "password in ${PROD_DATABASE_URL}",
        "pass@word1": "password in ${PROD_DATABASE_URL}",
        "probe-key-1": "${PROBE_KEY}",
    }


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("Authorization", "Bearer literal-token", {"Bearer literal-token", "literal-token"}),
        ("authorization", "Basic dTpwYXNzd29yZDEy", {"dTpwYXNzd29yZDEy", "password12"}),
        ("Cookie", "session=abcdefghij; theme=dark", {"abcdefghij"}),
        ("X-Api-Key", "literal-key", {"literal-key"}),
        ("Ocp-Apim-Subscription-Key", "literal-key", {"literal-key"}),
        ("X-Auth-Token", "literal-token", {"literal-token"}),
        ("X-JWT", "literal-token", {"literal-token"}),
        ("X-Signature", "literal-signature", {"literal-signature"}),
        ("X-Sid", "literal-session", {"literal-session"}),
    ],
)
def test_literal_credential_is_a_secret_by_its_name(
    given_file: Load, name: str, value: str, parts: set[str]
) -> None:
    found = given_file(f'{PROD}[targets.prod.headers]\n{name} = "{value}"\n')
    assert revealed(found.target.headers[name]) == value
    assert parts <= {secret.reveal() for secret in found.secrets}
    assert str(found.target.headers[name]) == f"Secret(targets.prod.headers.{name})"


@pytest.mark.parametrize("name", ["Accept", "X-Author", "Idempotency-Key", "X-Keyboard"])
def test_harmless_header_is_plain_text(given_file: Load, name: str) -> None:
    found = given_file(f'{PROD}[targets.prod.headers]\n{name} = "prod"\n')
    assert (found.target.headers, found.secrets) == ({name: "prod"}, ())


SHORT = (
    "is a secret of fewer than 8 characters, which cannot be masked without making a report "
    "unreadable; use a longer one, or write the value into the file if it is not a secret"
)


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    ("line", "environ", "facts"),
    [
        ("headers.Authorization = 'Bearer ${T}'", {"T": "1234567"}, f"${{T}} {SHORT}"),
        ("headers.X-Region = '${T}'", {"T": "prod"}, f"${{T}} {SHORT}"),
        ("headers.X-Api-Key = '1234'", {}, SHORT.partition(", or write")[0]),
        (
            "headers.Authorization = 'Bearer 1234'",
            {},
            f"password in targets.prod.headers.Authorization {SHORT}",
        ),
        (
            "database = '${T}'",
            {"T": "postgresql://reader:1234@db/app"},
            f"password in ${{T}} {SHORT}",
        ),
        ("database = '${T}'", {"T": "db"}, f"${{T}} {SHORT}"),
        (
            "proxy = '${T}'",
            {"T": "http://me:1234@proxy.example:3128"},
            f"password in ${{T}} {SHORT}",
        ),
    ],
)
def test_short_secret_is_refused_by_name(
    refusal: Callable[..., str], line: str, environ: dict[str, str], facts: str
) -> None:
    key = line.partition(" =")[0]
    assert refusal(f"{PROD}{line}\n", environ=environ) == (
        f"prodcheck.toml:3: targets.prod.{key}: {facts}"
    )


@pytest.mark.fault(78)
def test_secret_of_eight_characters_is_taken(given_file: Load) -> None:
    found = given_file(WITH_TOKEN, environ={"PROD_TOKEN": "12345678"})
    assert "12345678" in {secret.reveal() for secret in found.secrets}


@pytest.mark.parametrize("value", [f"{TOKEN}\n", f" {TOKEN}"])
def test_secret_with_white_space_around_it_is_refused(
    refusal: Callable[..., str], value: str
) -> None:
    message = refusal(WITH_TOKEN, environ={"PROD_TOKEN": value})
    assert message == (
        "prodcheck.toml:4: targets.prod.headers.Authorization: ${PROD_TOKEN} begins or ends with "
        "white space; remove it"
    )


@pytest.mark.parametrize("value", ["tok-012\r\nX-Evil: 1", "tok-0123\x00456", "tök-0123456"])
def test_header_value_that_no_header_can_carry_is_refused(
    refusal: Callable[..., str], value: str
) -> None:
    assert refusal(WITH_TOKEN, environ={"PROD_TOKEN": value}) == (
        "prodcheck.toml:4: targets.prod.headers.Authorization: has a line break, control or "
        "non-ASCII character, which no header may have"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("headers.'X Y' = 'z'", "is not a header's name"),
        ("headers.Content-Length = '3'", "belongs to the connection, not to the configuration"),
        ("headers = { Accept = 'a', accept = 'b' }", "is written twice, in different case"),
    ],
)
def test_header_that_cannot_be_sent_is_refused(
    refusal: Callable[..., str], line: str, message: str
) -> None:
    assert message in refusal(f"{PROD}{line}\n")


# --- addresses


@pytest.mark.fault(26)
def test_base_url_is_refused_with_key_and_reason(refusal: Callable[..., str]) -> None:
    assert refusal('[targets.prod]\nbase_url = "https://me:hunter2hunter2@a.b"\n') == (
        "prodcheck.toml:2: targets.prod.base_url: has a user name or password in it; put "
        'credentials into headers, as { Authorization = "Bearer ${VAR}" }'
    )


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    "credential",
    [
        "headers = { Authorization = 'Bearer ${PROD_TOKEN}' }",
        "probes = [{ get = '/', send = { X-Any = '${PROD_TOKEN}' } }]",
    ],
)
def test_credential_over_plain_http_is_refused_except_on_this_machine(
    given_file: Load, refusal: Callable[..., str], credential: str
) -> None:
    environ = {"PROD_TOKEN": TOKEN}
    text = f'[targets.prod]\nbase_url = "http://api.example.com"\n{credential}\n'
    assert refusal(text, environ=environ) == (
        "prodcheck.toml:2: targets.prod.base_url: is plain http, over which others on "
        "the network could read ${PROD_TOKEN}; write https://"
    )
    for host in ("https://api.example.com", "http://127.0.0.1:8000", "http://localhost"):
        assert given_file(text.replace("http://api.example.com", host), environ=environ).secrets


def test_plain_http_without_credentials_is_allowed(given_file: Load) -> None:
    found = given_file('[targets.prod]\nbase_url = "http://api.internal:8000"\n')
    assert found.target.base_url == "http://api.internal:8000"


def test_started_service_keeps_the_places_to_fill_in(given_file: Load) -> None:
    target = given_file(LONG, "local", ENVIRON).target
    assert target.base_url == "http://127.0.0.1:{port}"
    assert target.start == "uvicorn app.main:app --port {port}"
    assert target.start_timeout == 5


@pytest.mark.parametrize(
    ("base_url", "start", "facts"),
    [
        ("http://127.0.0.1:{port}", None, "has {port}, but `start` does not get that port"),
        ("http://127.0.0.1:{port}", "serve", "has {port}, but `start` does not get that port"),
        ("http://127.0.0.1:80", "serve {port}", "has no {port}, but `start` has"),
        ("http://127.0.0.1/{port}", "serve {port}", "has {port} in a wrong place"),
        ("http://10.0.0.1:{port}", "serve {port}", "is not this machine, but `start` starts"),
        ("https://api.example.com", "serve", "is not this machine, but `start` starts"),
        ("https://api.example.com", "serve {port}", "is not this machine, but `start` starts"),
    ],
)
def test_start_and_base_url_must_fit_each_other(
    refusal: Callable[..., str], base_url: str, start: str | None, facts: str
) -> None:
    text = f'[targets.prod]\nbase_url = "{base_url}"\n' + (f'start = "{start}"\n' if start else "")
    assert refusal(text).startswith(f"prodcheck.toml:2: targets.prod.base_url: {facts}")


def test_start_takes_no_variables(refusal: Callable[..., str]) -> None:
    text = '[targets.prod]\nbase_url = "http://127.0.0.1:1"\nstart = "serve ${PASSWORD}"\n'
    assert refusal(text) == (
        "prodcheck.toml:3: targets.prod.start: has a variable, which the report would show; the "
        "command inherits the environment, so let it read the variable itself"
    )


def test_openapi_is_a_path_a_url_or_a_file_beside_the_configuration(
    given_file: Load, refusal: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "openapi.json").write_text("{}")
    (tmp_path / "open api.yaml").write_text("{}")
    for written, expected in {
        "file:openapi.json": (tmp_path / "openapi.json").as_uri(),
        "file://localhost/" + str(tmp_path / "openapi.json").lstrip("/"): (
            tmp_path / "openapi.json"
        ).as_uri(),
        (tmp_path / "open api.yaml").as_uri(): (tmp_path / "open api.yaml").as_uri(),
        "file:open%20api.yaml": (tmp_path / "open api.yaml").as_uri(),
        "/openapi.json": "/openapi.json",
        "https://Docs.example.com/v1.json?x=1": "https://docs.example.com/v1.json?x=1",
        "openapi.json": (tmp_path / "openapi.json").as_uri(),
        (tmp_path / "openapi.json").as_uri(): (tmp_path / "openapi.json").as_uri(),
    }.items():
        assert given_file(f'{PROD}openapi = "{written}"\n').target.openapi == expected
    assert refusal(f'{PROD}openapi = "openapi.yaml"\n') == (
        "prodcheck.toml:3: targets.prod.openapi: there is no file openapi.yaml beside "
        "prodcheck.toml; correct the path"
    )
    for gone in ("file:gone.yaml", "file:///gone.yaml", "file:"):
        assert "there is no file" in refusal(f'{PROD}openapi = "{gone}"\n')
    assert "has a user name or password in it" in refusal(f'{PROD}openapi = "https://u@a.b/c"\n')


def test_host_of_an_openapi_url_may_be_reached(given_file: Load) -> None:
    found = given_file(f'{PROD}openapi = "https://docs.example.com/v1.json"\n')
    assert found.target.hosts == ("docs.example.com:443",)
    assert given_file(f'{PROD}openapi = "{URL}/v1.json"\n').target.hosts == ()


def test_ca_bundle_is_a_file_beside_the_configuration(
    given_file: Load, refusal: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("")
    text = f'{PROD}ca_bundle = "ca.pem"\n'
    assert given_file(text).target.ca_bundle == str(tmp_path / "ca.pem")
    assert "there is no file gone.pem" in refusal(text.replace("ca.pem", "gone.pem"))


@pytest.mark.fault(30)
def test_proxies_and_certificates_of_the_environment_are_used_only_when_the_file_says_so(
    given_file: Load,
) -> None:
    environ = Asked(
        dict.fromkeys(
            ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), "http://proxy.example:3128"
        )
        | {"SSL_CERT_FILE": "/ca.pem", "REQUESTS_CA_BUNDLE": "/ca.pem", "NETRC": "/netrc"}
    )
    plain = given_file(PROD, environ=environ)
    assert (plain.target.proxy, plain.target.ca_bundle, environ.asked) == (None, None, set())
    opted_in = given_file(f"{PROD}proxy = '${{HTTPS_PROXY}}'\n", environ=environ)
    assert revealed(opted_in.target.proxy) == "http://proxy.example:3128"
    assert "through a proxy (prodcheck.toml)" in describe(opted_in)
    assert environ.asked == {"HTTPS_PROXY"}


@pytest.mark.fault(30)
def test_proxy_is_a_url_whose_password_is_a_secret(
    given_file: Load, refusal: Callable[..., str]
) -> None:
    assert given_file(f"{PROD}proxy = 'http://p.example:1'\n").target.proxy == "http://p.example:1"
    found = given_file(f"{PROD}proxy = '${{P}}'\n", environ={"P": "http://me:longenough@p.example"})
    assert "longenough" in {secret.reveal() for secret in found.secrets}
    assert refusal(f"{PROD}proxy = 'http://me:hunter2hunter2@p.example'\n") == (
        "prodcheck.toml:3: targets.prod.proxy: has a user name or password in it; write "
        'proxy = "${PROXY_URL}"'
    )
    assert refusal(f"{PROD}proxy = 'socks5://p.example'\n") == (
        "prodcheck.toml:3: targets.prod.proxy: has the scheme socks5; allowed are http and https"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("health = '//evil.example'", "health: names another host; write a path below base_url"),
        ("private = ['/a', '/../b']", 'private[1]: has "." or ".." as a segment of its path'),
        ("hosts = ['https://a.b']", 'hosts[0]: is not a host; write "cdn.example.com" or '),
        ("rate = '0/s'", "rate: 0/s is not a rate; leave it out to send without limit"),
        ("database = 'the database'", "database: is not a database URL; write it like "),
        (
            "database = 'mysql://reader@db.example.com/app'",
            "database: is neither PostgreSQL nor SQLite, the only two that can",
        ),
        ("release = { from = '/health' }", "release: names no place; write version = "),
        (
            "release = { from = '/', version = '$.v', header = 'X-V' }",
            "release: has two places for the version, `version` and `header`; keep one",
        ),
        (
            "release = { from = '/', version = 'version' }",
            "release.version: is not a path into JSON: it begins with $, at position 1; ",
        ),
        (
            "release = { from = '/', commit = '$.items[*].id' }",
            "release.commit: is not a path into JSON: [*].id at position 8 may lead to many ",
        ),
        ("release = { from = '/', header = 'X V' }", "release.header: is not a header's name"),
    ],
)
def test_value_of_a_target_that_means_nothing_is_refused(
    refusal: Callable[..., str], line: str, message: str
) -> None:
    assert refusal(f"{PROD}{line}\n").startswith(f"prodcheck.toml:3: targets.prod.{message}")


# --- probes


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("status = 200", "has neither get, head nor options; write exactly one, as get = "),
        ("get = '/'\nhead = '/'", "has get and head; write exactly one"),
        ("get = 'https://evil.example/'", ".get: names another host; write a path below base_url"),
        ("get = '/'\nstatus = 99", ".status: 99 is not the status of a response; allowed are 200 "),
        ("get = '/'\nstatus = [200, 600]", ".status: 600 is not the status of a response"),
        ("get = '/'\nmatches = '('", ".matches: is not a regular expression: missing )"),
        (f"get = '/'\nmatches = '{'(' * 5000}'", ".matches: is not a regular expression: "),
        ("get = '/'\nmatches = '${A}'", ".matches: has ${, and a regular expression takes no"),
        ("get = '/'\nname = \"a\\nb\"", ".name: is not a name for a line of a report"),
        ("get = '/'\njson = { a = [nan] }", ".json.a[0]: is a number that is not finite, which "),
        ("get = '/'\njson = 1e999", ".json: is a number that is not finite, which JSON does not"),
        ("get = '/'\njson = 1979-05-27", ".json: is a date or time, which JSON does not have"),
        ("head = '/'\ncontains = 'x'", ".contains: a response to HEAD has no body; write get "),
        ("get = '/'\nheaders = { 'X Y' = 'z' }", ".headers.X Y: is not a header's name"),
        ("get = '/'\nsend = { Host = \"a\\nb\" }", ".send.Host: has a line break"),
    ],
)
def test_probe_that_cannot_be_asked_is_refused(
    refusal: Callable[..., str], probe: str, message: str
) -> None:
    refused = refusal(f"{PROD}[[probes]]\n{probe}\n").replace('"X Y"', "X Y")
    assert re.sub(r"^prodcheck.toml:\d: probes\[0\](: )?", "", refused).startswith(message)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("''", ""), ("[]", []), ("{}", {}), ("0", 0), ("false", False), ("1.0", 1.0)],
)
def test_expected_json_may_be_any_value_also_an_empty_one(
    given_file: Load, value: str, expected: object
) -> None:
    (probe,) = given_file(f"{PROD}[[probes]]\nget = '/'\njson = {value}\n").target.probes
    assert probe.json == expected
    assert type(probe.json) is type(expected)


def test_two_probes_with_one_id_are_refused_until_one_has_a_name(
    given_file: Load, refusal: Callable[..., str]
) -> None:
    text = f"{PROD}[[probes]]\nget = '/a'\n[[targets.prod.probes]]\nget = 'a'\n"
    assert refusal(text) == (
        "prodcheck.toml:5: targets.prod.probes[0]: there is another probe GET /a; give one of "
        "them a `name`"
    )
    named = given_file(f"{text}name = 'a again'\n").target.probes
    assert [probe.id for probe in named] == ["GET /a", "a again"]


def test_probe_of_another_target_is_not_asked_here(given_file: Load) -> None:
    text = f"{PROD}[targets.b]\nbase_url = '{URL}'\n[[targets.b.probes]]\nget = '/${{NO}}'\n"
    assert given_file(text).target.probes == ()


# --- required, flags, contract


def test_required_glob_may_hold_what_a_probe_id_holds(given_file: Load) -> None:
    text = f'required = ["test_probe[[]GET /a?b=1]", "*<*"]\n{PROD}'
    assert given_file(text).required == ("test_probe[[]GET /a?b=1]", "*<*")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("smoke>10", "is neither a count nor a glob; write it like smoke>=10 or test_health*"),
        ("smoke>=0", "is neither a count nor a glob; write it like smoke>=10 or test_health*"),
        ("smoke = 10", "is neither a count nor a glob; write it like smoke>=10 or test_health*"),
        (
            "smok>=10",
            '"smok" is not a category. Did you mean "smoke"? Categories: smoke, contract, '
            "rollback, environment",
        ),
    ],
)
def test_required_that_would_require_nothing_is_refused(
    refusal: Callable[..., str], entry: str, message: str
) -> None:
    text = f'required = ["test_*", "{entry}"]\n{PROD}'
    assert refusal(text) == f"prodcheck.toml:1: required[1]: {message}"


FLAGS = "[flags]\nfrom = '/info'\nvalues = { A = '$.a', B = '$.b' }\n[flags.modes]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{FLAGS}X = {{ A = true }}\nY = {{ AA = true }}\n",
            '8: flags.modes.Y.AA: is not a flag. Did you mean "A"? Flags: A, B',
        ),
        (
            f"{FLAGS}X = {{ A = true }}\nY = {{ A = true, B = true }}\n",
            "8: flags.modes.Y: can apply together with X; add a flag in which they differ",
        ),
        (
            f"{FLAGS}X = {{ A = true }}\nY = {{ B = true }}\n",
            "8: flags.modes.Y: can apply together with X; add a flag in which they differ",
        ),
        (
            "[flags]\nfrom = '/info'\nvalues = { A = 'a' }\n",
            "5: flags.values.A: is not a path into JSON: it begins with $, at position 1; ",
        ),
        (
            "[flags]\nfrom = 'environment'\nvalues = { A = '$.a' }\n",
            "5: flags.values.A: is not a variable's name; write it like ENABLE_WRITES",
        ),
        (
            "[flags]\nfrom = '//evil.example'\nvalues = { A = '$.a' }\n",
            "4: flags.from: names another host; write a path below base_url",
        ),
    ],
)
def test_flags_that_cannot_be_told_apart_or_read_are_refused(
    refusal: Callable[..., str], text: str, message: str
) -> None:
    assert refusal(f"{PROD}{text}").startswith(f"prodcheck.toml:{message}")


def test_flags_of_the_environment_name_variables_and_do_not_read_them(given_file: Load) -> None:
    environ = Asked({})
    flags = given_file(
        f"{PROD}[flags]\nfrom = 'environment'\nmode = 'MODE'\nvalues = {{ A = 'ENABLE_A' }}\n",
        environ=environ,
    ).flags
    assert flags is not None
    assert (flags.source, flags.mode, flags.values) == ("environment", "MODE", {"A": "ENABLE_A"})
    assert environ.asked == set()


def test_contract_exclude_with_a_method_that_is_none_is_refused(
    refusal: Callable[..., str],
) -> None:
    assert refusal(f"{PROD}[contract]\nexclude = ['admin', 'DELTE /admin/**']\n") == (
        'prodcheck.toml:4: contract.exclude[1]: "DELTE" is not a method. Did you mean "DELETE"? '
        "Allowed: GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE, TRACE, QUERY, *"
    )


def test_contract_allow_takes_what_exclude_takes(
    given_file: Callable[..., Settings],
) -> None:
    contract = given_file(
        f"{PROD}[contract]\nallow = ['GET /re*', '/purges', 'resetAll']\n"
    ).contract
    assert contract.allow == ("GET /re*", "/purges", "resetAll")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("allow = ['GTE /a']", 'contract.allow[0]: "GTE" is not a method. Did you mean "GET"?'),
        (
            "allow = ['a', 'POST /a']",
            'contract.allow[1]: "POST" writes, and is only sent to a target with '
            "read_only = false. Allowed: GET, HEAD, OPTIONS, *",
        ),
        ("alow = ['GET /a']", 'Did you mean "allow"?'),
    ],
)
def test_contract_allow_is_for_methods_that_read(
    written: str, told: str, refusal: Callable[..., str]
) -> None:
    assert told in refusal(f"{PROD}[contract]\n{written}\n")


# --- whatever is written

WEIRD = [
    "''",
    "' '",
    "'${'",
    "'${UNSET}'",
    "'\\u0000'",
    '"\\u0000\\u2028"',
    "'//'",
    "'https://a.b'",
    "'1/s'",
    f"'{'9' * 400}/s'",
    "'('",
    "0",
    "1",
    "-1",
    "1e400",
    "nan",
    f"1{'0' * 400}",
    "true",
    "1979-05-27",
    "[]",
    "['']",
    "[[]]",
    "[1]",
    "['/a', '/a']",
    "{}",
    "{ a = 1 }",
    "{ a = 'b' }",
    "{ '' = '' }",
    "{ a = { b = true } }",
    "[{}]",
    "[{ get = '/' }]",
]


def tables_and_keys() -> Iterator[tuple[str, str]]:
    drill, seen = f"{PROD}[[drills]]\nname = 'a'\n", "[[drills.probes]]\nget = '/'\n"
    places = {
        "Contents": "",
        "TargetTable": PROD,
        "HealthTable": f"{PROD}[targets.prod.health]\n",
        "ProbeTable": f"{PROD}[[probes]]\n",
        "LimitsTable": f"{PROD}[targets.prod.limits]\n",
        "ReleaseTable": f"{PROD}[targets.prod.release]\n",
        "ActionTable": f"{PROD}[[actions]]\n",
        "FlagsTable": f"{PROD}[flags]\n",
        "ContractTable": f"{PROD}[contract]\n",
        "DrillTable": f"{PROD}[[drills]]\n",
        "SwitchTable": f"{drill}restore = 'a'\n{seen}[drills.switch]\n",
        "WritesTable": f"{drill}switch = 'a'\nrestore = 'a'\n{seen}[drills.writes]\n",
        "BreakerTable": f"{drill}switch = 'a'\nrestore = 'a'\n[drills.breaker]\n",
        "DatabaseTable": f"{PROD}[database]\n",
        "SchemaTable": f"{PROD}[database.tables.t]\n",
        "MigrationsTable": f"{PROD}[migrations]\n",
    }
    schema = json_schema()["$defs"]
    assert schema.keys() == places.keys()
    for table, definition in schema.items():
        required = {
            **dict.fromkeys(("action", "when", "name", "switch", "restore"), "'a'"),
            **dict.fromkeys(("from", "post", "get", "path"), "'/a'"),
            "values": "{ a = '$' }",
            "state": "'$.a'",
            "read": "'/{id}'",
            "json": "{}",
            **dict.fromkeys(("failures", "cooldown"), "1"),
            "folder": "'m'",
        }
        for key in definition["properties"]:
            rest = [f"{k} = {required[k]}" for k in definition["required"] if k != key]
            if table == "ProbeTable" and key not in ("get", "head", "options"):
                rest.append("get = '/'")
            if table == "SwitchTable" and key in ("json", "send"):
                rest.append("put = '/'")
            text = places[table].replace(f'base_url = "{URL}"\n', "" if key == "base_url" else "$")
            text = text.replace("$", f'base_url = "{URL}"\n')
            yield f"{table}.{key}", "\n".join([text, *rest, f"{key} = "])


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("key", "text"), [pytest.param(key, text, id=key) for key, text in tables_and_keys()]
)
def test_any_value_of_any_key_is_settings_or_a_refusal(
    given_file: Load, key: str, text: str
) -> None:
    """No value makes the reader fail in another way, and each refusal names file and line."""
    outcomes = []
    for value in WEIRD:
        written = f"{text}{value}\n" + (PROD if key.startswith("Contents.") else "")
        if key == "Contents.targets":
            written = f"targets = {value}\n"
        try:
            given_file(written)
        except UsageError as error:
            outcomes.append(str(error))
    unplaced = [text for text in outcomes if not re.match(r"prodcheck\.toml:\d+: ", text)]
    assert outcomes
    assert [text for text in unplaced if key != "Contents.targets"] == []


# --- the header


def test_header_shows_each_decisive_setting_with_its_origin(given_file: Load) -> None:
    assert describe(given_file(LONG, "staging", ENVIRON, threshold="85")) == [
        "target staging  https://staging.example.com (prodcheck.toml)",
        "writes allowed (prodcheck.toml)",
        "threshold 85 (command line)",
        "rate 10/s (prodcheck.toml, targets.prod)",
        "budget 100 (prodcheck.toml, targets.prod)",
        "timeout 2.5 s (prodcheck.toml, targets.prod)",
        "concurrency 64 (prodcheck.toml, targets.prod)",
        "drills allowed (prodcheck.toml)",
        "other hosts cdn.example.com, login.example.com:8443 (prodcheck.toml, targets.prod)",
        "database (prodcheck.toml, targets.prod)",
        "required smoke>=10, test_health* (prodcheck.toml)",
        "probes 3 (prodcheck.toml)",
    ]
    assert describe(given_file(PROD)) == [
        "target prod  https://api.example.com (prodcheck.toml)",
        "read-only (default)",
        "threshold 90 (default)",
        "rate unlimited (default)",
        "budget 5000 (default)",
        "timeout 10 s (default)",
        "concurrency 16 (default)",
    ]


# --- start-up


def test_import_is_light() -> None:
    """A run without a fault pays for msgspec, tomllib, decimal and urllib alone."""
    heavy = "httpx idna difflib schemathesis hypothesis pydantic sqlalchemy asyncio rich socket"
    code = (
        "import sys; import pytest_prodcheck.config as c, pathlib; "
        f"c.load({URL!r}, root=pathlib.Path('/nowhere'), environ={{}}); "
        f"print([m for m in {heavy.split()!r} if m in sys.modules])"
    )
    environ = {key: value for key, value in os.environ.items() if key != "COVERAGE_PROCESS_START"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        env=environ,
        check=True,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "ApiKey-v1", "SharedAccessSignature"])
def test_the_scheme_before_a_variable_is_no_secret(given_file: Load, scheme: str) -> None:
    """So that a curl command can show it; the variable's value is one."""
    header = f'{{ Authorization = "{scheme} ${{PROD_TOKEN}}" }}'
    text = f'[targets.prod]\nbase_url = "https://a.test"\nheaders = {header}\n'
    found = given_file(text, environ={"PROD_TOKEN": "k9Jd72hsQ0Zx91"})
    redactor = Redactor((secret.reveal(), secret.name) for secret in found.secrets)
    assert redactor.text(f"{scheme} k9Jd72hsQ0Zx91") == f"{scheme} ${{PROD_TOKEN}}"
    header = found.target.headers["Authorization"]
    assert isinstance(header, Secret)
    assert header.template == f"{scheme} ${{PROD_TOKEN}}"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("300", 300.0),
        ("1.5", 1.5),
        ('"90 s"', 90.0),
        ('"90s"', 90.0),
        ('"0.5 min"', 30.0),
        ('"1 h"', 3600.0),
    ],
)
def test_time_budget_is_a_number_of_seconds_or_has_a_unit(tmp_path, written, seconds):
    text = f'[targets.prod]\nbase_url = "https://a.example"\ntime_budget = {written}\n'
    (tmp_path / "prodcheck.toml").write_text(text)
    settings = load("prod", root=tmp_path, environ={})
    assert settings.target.time_budget == seconds
    assert f"time budget {seconds:g} s (prodcheck.toml)" in describe(settings)


@pytest.mark.parametrize("written", ["0", "-1", '"5 days"', '"soon"', '"0 s"', '"25 h"', "true"])
def test_a_time_budget_that_is_not_one_is_a_usage_error(tmp_path, written):
    text = f'[targets.prod]\nbase_url = "https://a.example"\ntime_budget = {written}\n'
    (tmp_path / "prodcheck.toml").write_text(text)
    with pytest.raises(UsageError, match=r"targets\.prod\.time_budget"):
        load("prod", root=tmp_path, environ={})


@pytest.mark.parametrize("host", ["unix:", "unix:app.sock", "unix:/run/../app.sock"])
def test_a_socket_among_hosts_is_named_by_its_whole_path(tmp_path, host):
    text = f'[targets.prod]\nbase_url = "https://a.example"\nhosts = ["{host}"]\n'
    (tmp_path / "prodcheck.toml").write_text(text)
    with pytest.raises(UsageError, match="is not the full path of a socket"):
        load("prod", root=tmp_path, environ={})
    (tmp_path / "prodcheck.toml").write_text(text.replace(host, "unix:/run/app.sock"))
    assert load("prod", root=tmp_path, environ={}).target.hosts == ("unix:/run/app.sock",)
