"""Canaries through the whole plugin: no file, no terminal and no process list may show one.

A failing run does with its secrets whatever careless tests, libraries and servers do. Then every
artefact is searched, in several readings, for eight characters in a row of any form of any canary.
The search knows nothing of the redactor.
"""

import base64
import codecs
import html
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from urllib.parse import quote, quote_plus, unquote
from xml.etree import ElementTree

import pytest

from tests.faulty import Visit, answer, head
from tests.project import Outcome, Project

FRAGMENT = 8
"""Characters in a row that give a secret away."""


def canary(name: str) -> str:
    """A secret that no source line holds, so that only its value can give it away."""
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha256(f"canary of {name}".encode()).digest())[:26].decode()


HEADERS = (
    "Authorization Proxy-Authorization X-Api-Key X-Auth-Token X-JWT X-Sid X-Access X-Signature "
    "X-Amz-Security-Token X-CSRF-Token X-Session X-Token X-Secret Api-Key Apikey X-Client-Secret "
    "X-Vault-Token Private-Token Job-Token X-GitHub-Token X-Shopify-Access-Token X-Hub-Signature "
    "Stripe-Signature X-Goog-Api-Key Ocp-Apim-Subscription-Key X-Functions-Key DD-API-KEY X-Otp "
    "X-Honeycomb-Team X-Sentry-Auth X-Pin X-Tenant-Key X-License X-Webhook-Secret X-Device "
    "X-Forwarded-Access-Token X-User-Password X-Nonce X-Login X-Id-Token"
).split()
PARAMETERS = (
    "sig code pin otp jwt dsn X-Amz-Signature X-Amz-Credential X-Amz-Security-Token token "
    "access_token refresh_token id_token api_key apikey key secret client_secret password passwd "
    "pwd pass passphrase auth authorization session sessionid sid signature hmac mac ticket "
    "credential license_key private_key SAMLResponse code_verifier bearer X-Goog-Signature totp"
).split()
FIELDS = "password secret access_token api_key client_secret private_key".split()
ANSWERED = ["Set-Cookie", "X-Refresh-Token", "location token", "access_token field"]
"""Known to nobody before the server says them."""
ODD = """"<&'%\\"""
"""Characters that JSON, HTML, URLs and Python write in other ways."""
ENVIRON = {
    "PROD_TOKEN": canary("PROD_TOKEN")[:13] + ODD + canary("PROD_TOKEN")[13:],
    "PROBE_PIN": canary("PROBE_PIN"),
    "PROD_DATABASE_URL": f"postgresql://svc:{quote(canary('database'), safe='')}@db.local/app",
    "API_KEY": canary("API_KEY") + ODD,
    "SMTP_PASSWORD": "é" + canary("SMTP_PASSWORD"),
    "AWS_SECRET_ACCESS_KEY": canary("AWS_SECRET_ACCESS_KEY"),
    "SENTRY_DSN": f"https://{canary('SENTRY_DSN').replace('/', 'x')}@sentry.local/1",
    "SLACK_WEBHOOK_URL": f"https://hooks.local/services/{canary('hook').replace('/', 'x')}",
    "BUILD_URL": f"https://user:{quote(canary('BUILD_URL'), safe='')}@ci.local/job/1",
    "GIT_URL": f"https://{canary('GIT_URL').replace('/', 'x')}@git.local/project.git",
    "GITHUB_TOKEN": canary("GITHUB_TOKEN"),
    "SERVICE_JWT": f"{canary('head')}.{canary('claims')}.{canary('seal')}",
}
PLANTED = {
    **{name: canary(name) for name in (*HEADERS, *PARAMETERS, *FIELDS, *ANSWERED)},
    **{name: ENVIRON[name] for name in ENVIRON if "://" not in ENVIRON[name]},
    "PROD_DATABASE_URL": canary("database"),
    "SENTRY_DSN": canary("SENTRY_DSN").replace("/", "x"),
    "SLACK_WEBHOOK_URL": canary("hook").replace("/", "x"),
    "BUILD_URL": canary("BUILD_URL"),
    "GIT_URL": canary("GIT_URL").replace("/", "x"),
}


# --- the search -------------------------------------------------------------------------------


def _forms(secret: str) -> Iterator[str]:
    yield from (secret, secret.lower(), secret.upper(), secret[::-1], html.escape(secret))
    yield from (quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])
    yield codecs.encode(secret.encode(), "hex").decode()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret.encode()).decode()
        yield encoded[(before * 8 + 5) // 6 : (before + len(secret.encode())) * 8 // 6]


TELLING = {
    form[at : at + FRAGMENT]: name
    for name, secret in PLANTED.items()
    for form in _forms(secret)
    for at in range(len(form) - FRAGMENT + 1)
}


def _readings(text: str) -> Iterator[str]:
    yield text
    yield re.sub(r"\x1b\[[\d;]*m", "", text)
    yield re.sub(r"(?m)^(E  +|[|>] )|\s|\x1b\[[\d;]*m", "", text)
    plain = html.unescape(text)
    yield plain
    yield re.sub(r"\\u00([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), html.unescape(plain))
    yield unquote(plain.replace("\\", ""))


def leaks(text: str) -> dict[str, str]:
    """Name of each canary of which *text* shows something -> what it shows, and where."""
    found: dict[str, str] = {}
    for reading in set(_readings(text)):
        for at in range(len(reading) - FRAGMENT + 1):
            name = TELLING.get(reading[at : at + FRAGMENT])
            if name and name not in found:
                found[name] = reading[max(0, at - 100) : at + 60]
    return found


def assert_nothing_leaks(project: Project, outcome: Outcome, *more: str) -> None:
    """Every file that the run left, the terminal, and *more* files of the project."""
    texts = {"terminal": outcome.output}
    roots = [project.path / "prodcheck-report", project.path / ".pytest_cache"]
    files = [file for root in roots for file in root.rglob("*") if file.is_file()]
    for file in [*files, *(project.path / name for name in more)]:
        texts[str(file.relative_to(project.path))] = file.read_text("utf-8", "replace")
    names = {Path(name).name for name in texts}
    assert names >= {"journal.jsonl", "verdict.json", "report.html", "junit.xml", "summary.md"}
    found = [
        f"{file} shows {name}: {shown!r}"
        for file, text in texts.items()
        for name, shown in leaks(text).items()
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("form", [str, str.upper, quote, json.dumps, html.escape])
def test_the_search_finds_what_it_is_to_find(form):
    secret = PLANTED["PROD_TOKEN"]
    assert leaks(f"... {form(secret)} ...")
    assert leaks(base64.b64encode(f"user:{secret}".encode()).decode())
    assert leaks(f"E   {secret[:5]}\nE   {secret[5:12]}")
    assert not leaks(f"{secret[:7]} {'-' * 20} {secret[-7:]}")


# --- the run ----------------------------------------------------------------------------------


def echo(visit: Visit) -> None:
    """An error page with all that was asked, in every form, and news of its own."""
    asked = {**visit.request.headers, "target": visit.request.target}
    sent = " ".join([*asked.values(), visit.request.body.decode("utf-8", "replace")])
    page = [
        json.dumps({"asked": asked, "access_token": canary("access_token field")}),
        "<!-- " + html.escape(sent) + " -->",
        *(form(sent) for form in (quote, unquote, str.upper)),
        base64.b64encode(sent.encode()).decode(),
        sent.encode().hex(),
        "\n".join(sent[at : at + 9] for at in range(0, len(sent), 9)),
        "\x1b[1m" + "\x1b[31m".join(sent[at : at + 5] for at in range(0, len(sent), 5)),
    ]
    body = "\n".join(page).encode()
    news = {
        "Set-Cookie": f"sid={canary('Set-Cookie')}; Path=/; HttpOnly",
        "X-Refresh-Token": canary("X-Refresh-Token"),
        "Location": f"/login?token={quote(canary('location token'), safe='')}",
        "X-Echo": visit.request.target,
    }
    visit.send(head(403, content_type="text/html", content_length=len(body), **news) + body)


TESTS = """
    import logging, os, sys, threading, urllib.request, warnings
    import pytest

    HEADERS = {headers}
    PARAMETERS = {parameters}
    FIELDS = {fields}
    ENVIRON = {environ}
    log = logging.getLogger("app")

    @pytest.mark.smoke
    def test_headers(api):
        sent = {{name: canary(name) for name in HEADERS}}
        answer = api.get("/echo", headers=sent, cookies={{"crumb": canary("X-Sid")}})
        log.debug("asked with %s, told %r", sent, answer.headers)
        assert answer.request.headers == {{}}

    @pytest.mark.smoke
    def test_parameters(api):
        sent = {{name: canary(name) for name in PARAMETERS}}
        answer = api.get("/echo", params=sent)
        assert answer.text == ""

    @pytest.mark.smoke
    def test_status(api):
        api.get("/echo", params={{"sig": canary("sig")}}).raise_for_status()

    @pytest.mark.smoke
    def test_path_segment(api):
        path = os.environ["SLACK_WEBHOOK_URL"].rpartition("/")[2]
        assert api.get("/hooks/" + path + "/echo").url == ""

    @pytest.mark.smoke
    def test_bodies(api):
        sent = {{name: canary(name) for name in FIELDS}}
        api.post("/echo", json={{"nested": [{{"deep": sent}}]}})
        answer = api.post("/echo", data=sent)
        assert answer.request.content == b""

    @pytest.mark.smoke
    def test_location(api):
        assert api.get("/echo").headers["location"] == api.get("/echo").text

    @pytest.mark.smoke
    def test_environment(api):
        api.get("/ok")
        assert dict(os.environ) == {{}}

    @pytest.mark.smoke
    def test_chained_exceptions(api):
        api.get("/ok")
        url = os.environ["PROD_DATABASE_URL"]
        try:
            try:
                raise ValueError(f"no driver for {{url}}")
            except ValueError:
                raise OSError(os.environ["SENTRY_DSN"])
        except OSError as error:
            raise RuntimeError(f"cannot connect: {{url!r}}") from error

    @pytest.mark.smoke
    def test_noisy(api):
        api.get("/ok")
        for name in ENVIRON:
            value = os.environ[name]
            print(name, value)
            print("\\n".join(value[at:at + 6] for at in range(0, len(value), 6)), file=sys.stderr)
            log.warning("%s is %s", name, {{"value": value.encode()}})
            warnings.warn(f"{{name}} is deprecated: {{value}}")
        try:
            raise KeyError(value)
        except KeyError:
            log.exception("failed")
        urllib.request.urlopen(os.environ["BASE"] + "/ok?sig=" + os.environ["GITHUB_TOKEN"])
        pytest.fail(f"gave up with {{value}}", pytrace=False)

    @pytest.mark.smoke
    def test_warning_about_an_answer(api):
        warnings.warn(api.get("/echo").headers["set-cookie"])

    @pytest.mark.smoke
    def test_thread(api):
        api.get("/ok")
        thread = threading.Thread(target=int, args=(os.environ["API_KEY"],))
        thread.start()
        thread.join()
        assert 0

    @pytest.fixture(params=[os.environ["API_KEY"]], ids=["key"])
    def login(request, api):
        api.get("/ok")
        print("in as", request.param)
        yield request.param
        raise RuntimeError(f"cannot log out {{request.param}}")

    @pytest.mark.smoke
    def test_login(login):
        assert login is None, login

    @pytest.fixture
    def broken(api):
        api.get("/echo", headers={{"X-JWT": canary("X-JWT")}})
        raise RuntimeError(f"no session for {{canary('X-JWT')}}")

    @pytest.mark.smoke
    def test_setup(broken):
        pass

    @pytest.mark.smoke
    def test_skipped(api):
        api.get("/ok")
        pytest.skip(f"no account for {{os.environ['API_KEY']}}")

    @pytest.mark.smoke
    @pytest.mark.xfail(reason=f"rejects {{os.environ['API_KEY']}}")
    def test_expected(api):
        assert api.get("/ok").text == os.environ["API_KEY"]

    @pytest.mark.smoke
    def test_properties(api, record_property, record_xml_attribute, extras):
        import pytest_html
        api.get("/ok")
        record_property("key", os.environ["API_KEY"])
        extras.append(pytest_html.extras.text(os.environ["API_KEY"]))
        extras.append(pytest_html.extras.html(os.environ["BUILD_URL"]))
        extras.append(pytest_html.extras.url(os.environ["GIT_URL"]))
        assert 0

    @pytest.mark.smoke
    def test_suite_property(api, record_testsuite_property):
        api.get("/ok")
        record_testsuite_property("key", os.environ["API_KEY"])

    @pytest.mark.smoke
    def test_parts(api, subtests):
        api.get("/ok")
        with subtests.test("with " + os.environ["API_KEY"], url=os.environ["BUILD_URL"]):
            print(os.environ["GITHUB_TOKEN"])
            log.warning(os.environ["GITHUB_TOKEN"])
            assert os.environ["GITHUB_TOKEN"] == ""

    def test_processes(pytestconfig):
        told = [sys.orig_argv, getattr(pytestconfig, "workerinput", None)]
        with open("processes.txt", "a") as file:
            print(told, file=file)
"""
BROKEN = """
    import os
    raise RuntimeError(f"no database at {os.environ['PROD_DATABASE_URL']}")
"""
NOISE = (
    *("-vv", "-rA", "--showlocals", "--setup-show", "--log-level=DEBUG", "--log-file=run.log"),
    *("--log-file-level=DEBUG", "-o", "junit_logging=all", "--continue-on-collection-errors"),
    *("-W", "default", "-o", "log_cli_level=DEBUG", "-o", "log_cli=true"),
)


@pytest.fixture
def leaky(project: Project) -> Project:
    """A project that does everything wrong."""
    project.server.on("*", echo)
    project.environ |= ENVIRON | {"BASE": project.server.url}
    project.configure(
        """
        [targets.prod.release]
        from = "/echo"
        header = "X-Refresh-Token"

        [[probes]]
        get = "/echo"
        send = { X-Probe = "${PROBE_PIN}" }
        json = { asked = 1 }

        [[probes]]
        get = "/echo/authorization"
        contains = "nothing like it"
        headers = { X-Echo = "none" }
        """,
        read_only="false",
        headers='{ Authorization = "Bearer ${PROD_TOKEN}" }',
        database='"${PROD_DATABASE_URL}"',
    )
    lists = {"headers": HEADERS, "parameters": PARAMETERS, "fields": FIELDS}
    tests = dedent(TESTS).format(environ=list(ENVIRON), **lists)
    project.write("test_leaky.py", inspect.getsource(canary) + tests)
    project.write("test_broken.py", BROKEN)
    return project


@pytest.mark.fault(66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76)
@pytest.mark.parametrize("style", ["long", "native", "short"])
def test_no_canary_is_shown_anywhere(leaky, style):
    assert len(PLANTED) >= 60
    outcome = leaky.run(*NOISE, f"--tb={style}", "test_leaky.py", "test_broken.py", "suites")
    assert outcome.exit == 1
    assert {"failed", "passed"} <= set(outcome.outcomes().values())
    assert_nothing_leaks(leaky, outcome, "run.log", "processes.txt")


@pytest.mark.fault(72, 73, 76)
def test_no_canary_is_shown_by_workers(leaky):
    process = leaky.start("--target=prod", "-n2", "--color=yes", *NOISE)
    outcome = leaky.outcome(process)
    assert outcome.exit == 1
    assert "workerid" in (leaky.path / "processes.txt").read_text()
    assert_nothing_leaks(leaky, outcome, "processes.txt")
