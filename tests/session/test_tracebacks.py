"""A failure shows the line of the user's test and the message, not the way to the socket."""

import pytest

from tests.faulty import raw

CHECK = """
    import httpx
    import pytest

    pytestmark = pytest.mark.smoke

    def ask(method, url):
        return httpx.request(method, url)

    {body}
    """
INSIDE = ("pytest_prodcheck/", "httpx/", "httpcore/", "urllib3/", "requests/", "lib/python3")

GUARD = {
    "own client": ("api", 'api.post("/ok")'),
    "raw httpx": ("target", 'httpx.post(target.base_url + "/ok")'),
    "helper": ("target", 'ask("POST", target.base_url + "/ok")'),
    "requests": (
        "target",
        '__import__("requests").post(target.base_url + "/ok")',
    ),
    "urllib": (
        "target",
        '__import__("urllib.request").request.urlopen(target.base_url + "/ok", data=b"x")',
    ),
    "another host": ("api", 'api.get("http://127.0.0.2:1/")'),
}


def failures(output: str) -> str:
    return output.partition("= FAILURES =")[2].partition("= short test summary")[0]


@pytest.mark.parametrize(("fixture", "line"), GUARD.values(), ids=GUARD)
def test_what_the_guard_refuses_shows_the_line_of_the_test(project, fixture, line):
    project.write("test_a.py", CHECK.format(body=f"def test_it({fixture}):\n        {line}"))
    shown = failures(project.run("test_a.py").output)
    assert f">       {line}" in shown
    assert "was not sent: " in shown
    assert not [place for place in INSIDE if place in shown.replace(line, "")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('api.get("http://127.0.0.1:1/")', "ConnectError"),
        ('api.get("/gone").raise_for_status()', "404"),
        ('httpx.get(f"{target.base_url}/gone").raise_for_status()', "404"),
        ('api.get("/garbage")', "protocol: "),
    ],
    ids=["closed port", "status", "status of a raw client", "protocol"],
)
def test_a_failed_request_shows_the_line_of_the_test(project, line, message):
    project.server.on("/garbage", raw(b"garbage\r\n\r\n"))
    project.configure(hosts='["127.0.0.1:1"]')
    project.write("test_a.py", CHECK.format(body=f"def test_it(api, target):\n        {line}"))
    shown = failures(project.run("test_a.py").output)
    assert f">       {line}" in shown
    assert message in shown
    assert not [place for place in INSIDE if place in shown]


def test_each_exception_of_a_chain_is_short(project):
    body = """def test_it(api):
        try:
            api.post("/ok")
        except Exception as error:
            raise RuntimeError("no order") from error"""
    project.write("test_a.py", CHECK.format(body=body))
    outcome = project.run("test_a.py")
    shown = failures(outcome.output)
    assert '>           api.post("/ok")' in shown
    assert "RuntimeError: no order" in shown
    assert "was not sent: " in outcome.check("test_it")["message"]
    assert not [place for place in INSIDE if place in shown]


def test_a_refusal_that_a_test_swallows_names_the_test(project):
    body = """def test_it(api, target):
        try:
            httpx.post(target.base_url)
        except BaseException:
            pass
        assert api.get("/ok").status_code == 200"""
    path = project.write("test_a.py", CHECK.format(body=body))
    line = path.read_text().splitlines().index("def test_it(api, target):") + 1
    shown = failures(project.run("test_a.py").output)
    assert f"test_a.py:{line}: it was refused in this test" in shown
    assert "was not sent: " in shown


def test_a_frame_of_the_users_below_the_client_stays(project):
    body = """def check(response):
        assert response.status_code == 404

    def test_it(api):
        api.event_hooks = {"response": [check]}
        api.get("/ok")"""
    project.write("test_a.py", CHECK.format(body=body))
    shown = failures(project.run("test_a.py").output)
    assert '>       api.get("/ok")' in shown
    assert ">       assert response.status_code == 404" in shown
    assert not [place for place in INSIDE if place in shown]


@pytest.mark.parametrize("option", ["--full-trace", "--tb=native"])
def test_all_frames_are_shown_on_demand(project, option):
    project.write("test_a.py", CHECK.format(body='def test_it(api):\n        api.post("/ok")'))
    shown = failures(project.run("test_a.py", option).output)
    assert 'api.post("/ok")' in shown
    assert "network.py" in shown
    assert "httpx" in shown


def test_frames_of_other_libraries_stay_where_we_take_no_part(project):
    body = "def test_it(api):\n        __import__('json').loads('{')"
    project.write("test_a.py", CHECK.format(body=body))
    assert "decoder.py" in failures(project.run("test_a.py").output)
