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
from html.parser import HTMLParser
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


def _words(text: str) -> list[str]:
    return text.split()


HEADERS = _words(
    "Authorization Proxy-Authorization X-Api-Key X-Auth-Token X-JWT X-Sid X-Access X-Signature "
    "X-Amz-Security-Token X-CSRF-Token X-Session X-Token X-Secret Api-Key Apikey X-Client-Secret "
    "X-Vault-Token Private-Token Job-Token X-GitHub-Token X-Shopify-Access-Token X-Hub-Signature "
    "Stripe-Signature X-Goog-Api-Key Ocp-Apim-Subscription-Key X-Functions-Key DD-API-KEY X-Otp "
    "X-Honeycomb-Team X-Sentry-Auth X-Pin X-Tenant-Key X-License X-Webhook-Secret X-Device "
    "X-Forwarded-Access-Token X-User-Password X-Nonce X-Login X-Id-Token"
)
PARAMETERS = _words(
    "sig code pin otp jwt dsn X-Amz-Signature X-Amz-Credential X-Amz-Security-Token token "
    "access_token refresh_token id_token api_key apikey key secret client_secret password passwd "
    "pwd pass passphrase auth authorization session sessionid sid signature hmac mac ticket "
    "credential license_key private_key SAMLResponse code_verifier bearer X-Goog-Signature totp"
)
FIELDS = _words("password secret access_token api_key client_secret private_key")
ANSWERED = ["Set-Cookie", "X-Refresh-Token", "location token", "access_token field"]
"""Known to nobody before the server says them."""
ODD = """"<&'%\\"""
"""Characters that JSON, HTML, URLs and Python write in other ways."""
ENVIRON = {
    "PROD_TOKEN": canary("PROD_TOKEN")[:13] + ODD + canary("PROD_TOKEN")[13:],
    "PROD_DATABASE_URL": f"postgresql://svc:{quote(canary('database'), safe='')}@db.local/app",
    "API_KEY": canary("API_KEY") + ODD,
    "SMTP_PASSWORD": "é" + canary("SMTP_PASSWORD"),
    "AWS_SECRET_ACCESS_KEY": canary("AWS_SECRET_ACCESS_KEY"),
    "SENTRY_DSN": f"https://{canary('SENTRY_DSN').replace('/', 'x')}@sentry.local/1",
    "SLACK_WEBHOOK_URL": f"https://hooks.local/services/{canary('hook').replace('/', 'x')}",
    "BUILD_URL": f"https://user:{quote(canary('BUILD_URL'), safe='')}@ci.local/job/1",
    "GIT_URL": f"https://{canary('GIT_URL').replace('/', 'x')}@git.local/project.git",
    "GITHUB_TOKEN": canary("GITHUB_TOKEN"),
    # Begins with a slash, and is no path.
    "SERVICE_JWT": f"{canary('head')}.{canary('claims')}.{canary('seal')}",
}
PLANTED = {
    **{name: canary(name) for name in (*HEADERS, *PARAMETERS, *FIELDS, *ANSWERED)},
    **{name: ENVIRON[name] for name in ENVIRON if "://" not in ENVIRON[name]},
    "PROBE_PIN": canary("PROBE_PIN"),  # no telling name: the configuration says that it is one
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


ENTITY = re.compile(r"&\w*;?|^\w{1,5};")
"""Whole or cut off: any page has `&quot;&lt;`."""
TRACE = re.compile(r"\w?(3\d|6[1-6])*[36]?")
"""Digits in hex: each request has other ones in its traceparent."""
TELLING = {
    form[at : at + FRAGMENT]: name
    for name, secret in PLANTED.items()
    for form in _forms(secret)
    for at in range(len(form) - FRAGMENT + 1)
    if len(ENTITY.sub("", form[at : at + FRAGMENT])) >= 4
    and not TRACE.fullmatch(form[at : at + FRAGMENT])
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
        assert api.get("/ok").status_code == 403
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
    project.environ |= ENVIRON | {"BASE": project.server.url, "PROBE_PIN": canary("PROBE_PIN")}
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
    outcome = leaky.run(
        *NOISE, f"--tb={style}", "test_leaky.py", "test_broken.py", "suites", typed=True
    )
    assert outcome.exit == 1
    tests = [*outcome.verdict["checks"], *outcome.verdict["unscored"]]
    assert {"failed", "passed"} <= {one["outcome"] for one in tests}
    assert_nothing_leaks(leaky, outcome, "run.log", "processes.txt")


@pytest.mark.fault(72, 73, 76)
def test_no_canary_is_shown_by_workers(leaky):
    process = leaky.start("--target=prod", "-n2", "--color=yes", *NOISE)
    outcome = leaky.outcome(process)
    assert outcome.exit == 1
    assert "workerid" in (leaky.path / "processes.txt").read_text()
    assert "\x1b[31mFAILED\x1b[0m" in outcome.output
    assert_nothing_leaks(leaky, outcome, "processes.txt")


OK = """
    import os
    import pytest

    @pytest.mark.smoke
    def test_ok(api):
        assert api.get("/ok").status_code == 200
"""
ENDS = {
    "internal error": (
        "import os\n"
        "def pytest_runtest_logfinish(nodeid):\n"
        "    raise RuntimeError('no vault at ' + os.environ['BUILD_URL'])\n",
        3,
    ),
    "internal error at the end": (
        "import os\n"
        "def pytest_sessionfinish(session):\n"
        "    raise RuntimeError('no vault at ' + os.environ['BUILD_URL'])\n",
        1,
    ),
    "exit": (
        "import os, pytest\n"
        "def pytest_runtest_teardown(item):\n"
        "    pytest.exit('no vault at ' + os.environ['BUILD_URL'], returncode=1)\n",
        6,
    ),
    "exit at the start": (
        "import os, pytest\n"
        "def pytest_collection(session):\n"
        "    pytest.exit('no vault at ' + os.environ['BUILD_URL'], returncode=1)\n",
        6,
    ),
    "stop": (
        "import os\n"
        "def pytest_runtest_teardown(item):\n"
        "    item.session.shouldstop = 'no vault at ' + os.environ['BUILD_URL']\n",
        6,
    ),
    "usage": (
        "import os, pytest\n"
        "def pytest_collection_modifyitems():\n"
        "    raise pytest.UsageError('no vault at ' + os.environ['BUILD_URL'])\n",
        4,
    ),
}


@pytest.mark.fault(71)
@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_ends_early_shows_no_canary(project, end):
    conftest, code = ENDS[end]
    project.environ |= ENVIRON
    project.write("conftest.py", conftest)
    project.write("test_ok.py", OK)
    outcome = project.run("test_ok.py", "--full-trace", "-v")
    assert "no vault at" in outcome.output
    assert_nothing_leaks(project, outcome)
    assert outcome.exit == code


@pytest.mark.fault(71)
def test_an_interrupted_run_shows_no_canary(project):
    project.environ |= ENVIRON
    end = "raise KeyboardInterrupt(os.environ['BUILD_URL'])"
    project.write("conftest.py", f"import os\ndef pytest_runtest_setup(item):\n    {end}\n")
    project.write("test_ok.py", OK)
    outcome = project.outcome(project.start("--target=prod", "test_ok.py", "--full-trace"))
    assert "interrupted: ${BUILD_URL}" in outcome.output
    assert_nothing_leaks(project, outcome)
    assert outcome.exit == 2


WORKER = """
    import os
    import pytest
    from test_ok import canary

    def pytest_runtest_teardown(item):
        if "PYTEST_XDIST_WORKER" in os.environ:
            item.session.shouldstop = canary("X-JWT")

    def pytest_runtest_logfinish(nodeid):
        if "PYTEST_XDIST_WORKER" in os.environ:
            END
"""


@pytest.mark.fault(71, 76)
@pytest.mark.parametrize(
    "end", ["raise RuntimeError(canary('X-JWT'))", "pytest.exit(canary('X-JWT'))", "pass"]
)
def test_a_worker_that_ends_early_shows_nothing_it_learnt(project, end):
    """The process that decides has never seen the canary: the worker has to hide it."""
    learn = "api.get('/ok', headers={'X-JWT': canary('X-JWT')})\n        assert "
    tests = dedent(OK.replace("assert ", learn))
    (project.path / "test_ok.py").write_text(inspect.getsource(canary) + tests)
    project.write("conftest.py", WORKER.replace("END", end))
    outcome = project.run("test_ok.py", "--full-trace", "-v", "-n2")
    assert outcome.verdict["verdict"] != "pass"
    assert_nothing_leaks(project, outcome)


@pytest.mark.fault(72)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_parameter_whose_id_is_a_secret_is_refused(project, workers):
    project.environ |= ENVIRON
    mark = (
        "@pytest.mark.parametrize('key', [os.environ['GITHUB_TOKEN']])\n    def test_ok(api, key)"
    )
    project.write("test_ok.py", OK.replace("def test_ok(api)", mark))
    outcome = project.run("test_ok.py", "-v", *workers)
    told = " ".join(outcome.verdict["reasons"]) if workers else outcome.output
    assert outcome.exit == 4
    assert "the id of test_ok.py::test_ok[${GITHUB_TOKEN}] holds a secret" in told
    assert_nothing_leaks(project, outcome)


@pytest.mark.fault(76)
def test_the_command_to_run_it_again_shows_no_canary(project):
    project.environ |= ENVIRON
    project.write("test_ok.py", OK)
    outcome = project.run("test_ok.py", "-k", "not " + canary("GITHUB_TOKEN"), "-v")
    assert "${GITHUB_TOKEN}" in outcome.output
    assert_nothing_leaks(project, outcome)


SERVICE = """
    import http.server, os, sys

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            print("asked", self.headers["Authorization"], "with", dict(os.environ), flush=True)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    print("\\n".join(f"{name} is {value}" for name, value in os.environ.items()), flush=True)
    if "fail" in sys.argv:
        sys.exit(3)
    address = ("127.0.0.1", int(sys.argv[1]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
LOCAL = """
    [targets.local]
    start = "{python} app.py {port}%s"
    base_url = "http://127.0.0.1:{port}"
    headers = { Authorization = "Bearer ${PROD_TOKEN}" }
"""


@pytest.mark.fault(71, 73)
def test_the_log_of_a_service_shows_no_canary(project):
    project.environ |= ENVIRON
    project.write("app.py", SERVICE)
    project.write("prodcheck.toml", LOCAL % "")
    project.write("test_ok.py", OK)
    outcome = project.run("test_ok.py", target="local")
    assert outcome.exit == 0, outcome.output
    assert "asked Bearer ${PROD_TOKEN}" in (outcome.folder / "journal.jsonl").read_text()
    assert_nothing_leaks(project, outcome)


@pytest.mark.fault(71, 73)
def test_the_last_words_of_a_service_that_did_not_start_show_no_canary(project):
    project.environ |= ENVIRON
    project.write("app.py", SERVICE)
    project.write("prodcheck.toml", LOCAL % " fail")
    outcome = project.run(target="local")
    assert outcome.exit == 4
    assert "exited with code 3" in outcome.output
    assert "GITHUB_TOKEN is ${GITHUB_TOKEN}" in outcome.output
    assert not list((project.path / "prodcheck-report").rglob("service.log"))
    assert not leaks(outcome.output)


@pytest.mark.fault(78)
def test_short_and_ordinary_values_do_not_shred_the_report(project):
    project.environ |= {"API_TOKEN": "prod", "DB_PASSWORD": "1234", "APP_KEY": "test_ok"}
    project.write("test_ok.py", OK)
    outcome = project.run("test_ok.py", "-v")
    assert outcome.ruling == ("pass", 0)
    assert "test_ok.py::test_ok PASSED" in outcome.output
    assert list(outcome.outcomes()) == ["test_ok"]


@pytest.mark.fault(78)
@pytest.mark.parametrize("value", ["prod", "1234"])
def test_a_configured_secret_too_short_to_hide_is_refused(project, value):
    project.environ["PROD_TOKEN"] = value
    project.configure(headers='{ Authorization = "${PROD_TOKEN}" }')
    outcome = project.run()
    assert outcome.exit == 4
    assert "is a secret of fewer than 8 characters" in outcome.output
    assert project.server.paths() == []


# --- text that wants to be obeyed -------------------------------------------------------------

HOSTILE = (
    "\x1b]8;;http://evil.local\x07click\x1b]8;;\x07 \x1b]52;c;ZXZpbA==\x07 \x1b[2J\x1b[1A"
    " \u202eevil\u202c \b\b\b\r all green\n"
    "::error::evil\n  ::add-mask::evil\n##vso[task.complete result=Succeeded;]evil\n"
    "##teamcity[testFinished name='evil']\n]]><script>evil()</script><img src=x onerror=evil()>"
)
HOSTILE_TESTS = """
    import logging, sys, warnings
    import pytest

    @pytest.mark.smoke
    def test_assertion(api):
        assert api.get("/hostile").text == ""

    @pytest.mark.smoke
    def test_output(api, record_property, extras, subtests):
        import pytest_html
        text = api.get("/hostile").text
        print(text)
        sys.stderr.write(text)
        logging.getLogger("app").error(text)
        warnings.warn(text)
        record_property(text, text)
        extras.append(pytest_html.extras.html(text))
        extras.append(pytest_html.extras.text(text, name=text))
        with subtests.test(text, text=text):
            assert text == ""
        raise RuntimeError(text)

    @pytest.mark.smoke
    @pytest.mark.parametrize("given", HOSTILE.splitlines())
    def test_id(api, given):
        assert api.get("/ok").text == given

    @pytest.mark.smoke
    def test_skip(api):
        pytest.skip(api.get("/hostile").text)

    @pytest.mark.smoke
    def test_stop(api):
        pytest.exit(api.get("/hostile").text)
"""
OBEYED = re.compile(
    r"(?m)[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]|^\s*::[\w-]+.*::|##\w*\[", re.ASCII
)


class Elements(HTMLParser):
    """The elements of a page that would do something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.live: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = f"{tag} {attrs}"
        if "evil" in told and (tag in ("script", "img") or "onerror" in dict(attrs)):
            self.live.append(told)


@pytest.fixture
def hostile(project: Project) -> Project:
    project.server.on("/hostile", answer(HOSTILE, content_type="text/plain"))
    (project.path / "test_hostile.py").write_text(f"HOSTILE = {HOSTILE!r}\n{dedent(HOSTILE_TESTS)}")
    return project


@pytest.mark.fault(93, 94, 95, 96)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_nothing_from_outside_is_obeyed(hostile, workers):
    process = hostile.start("--target=prod", "test_hostile.py", *NOISE, *workers)
    outcome = hostile.outcome(process)
    assert outcome.exit != 0
    assert "evil" in outcome.output
    texts = {"terminal": outcome.output}
    for name in ("summary.md", "verdict.json"):
        texts[name] = (outcome.folder / name).read_text()
    found = [
        f"{name} has {text[max(0, each.start() - 60) : each.end() + 40]!r}"
        for name, text in texts.items()
        for each in OBEYED.finditer(text)
    ]
    assert not found, "\n".join(found)
    assert ElementTree.fromstring(outcome.junit).find(".//testcase") is not None
    assert outcome.check("vso[task.complete result=Succeeded;]evil]")["outcome"] == "failed"
    page = outcome.page
    (blob,) = re.findall(r'data-jsonblob="([^"]*)"', page)
    told = json.loads(html.unescape(blob))
    assert Elements(page).live == []
    for tests in told["tests"].values():
        for test in tests:
            assert Elements("".join(test["resultsTableRow"])).live == []
            assert Elements(test["log"]).live == []
            live = [each["content"] for each in test["extras"] if each["format_type"] == "html"]
            assert Elements("".join(live)).live == []
