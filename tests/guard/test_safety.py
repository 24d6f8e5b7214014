"""What the guard refuses becomes the verdict, whatever the test does with the exception."""

import pytest

CLIENTS = {
    "api": "api.delete('/thing')",
    "httpx": "import httpx; httpx.post(url + '/thing')",
    "httpx-async": (
        "import asyncio, httpx\n"
        "async def go():\n"
        "    async with httpx.AsyncClient() as client:\n"
        "        await client.put(url + '/thing')\n"
        "asyncio.run(go())"
    ),
    "requests": "import requests; requests.patch(url + '/thing')",
    "urllib": "import urllib.request as u; u.urlopen(u.Request(url + '/thing', method='DELETE'))",
    "http.client": (
        "import http.client\n"
        "connection = http.client.HTTPConnection(url.removeprefix('http://'))\n"
        "connection.request('delete', '/thing')"
    ),
    "socket": (
        "import socket\n"
        "host, port = url.removeprefix('http://').split(':')\n"
        "socket.create_connection((host, int(port))).send(b'DELETE /thing HTTP/1.1\\r\\n\\r\\n')"
    ),
    "another host": "import httpx; httpx.get('http://127.0.0.1:9/thing')",
    "undone": (
        "import http.client, httpcore\n"
        "def plain(self, request): raise AssertionError('not reached')\n"
        "httpcore.ConnectionPool.handle_request = plain"
    ),
}


@pytest.mark.fault(79, 80, 81, 85, 92)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_violation_fails_test_and_run_even_when_it_is_swallowed(project, client, monkeypatch):
    import httpcore

    monkeypatch.setattr(
        httpcore.ConnectionPool, "handle_request", httpcore.ConnectionPool.handle_request
    )
    body = "\n".join(f"            {line}" for line in CLIENTS[client].splitlines())
    project.write(
        "test_a.py",
        f"""
        import pytest

        pytestmark = pytest.mark.smoke

        def test_swallows(api, target):
            url = target.base_url
            assert api.get("/ok").status_code == 200
            try:
{chr(10).join("    " + line for line in body.splitlines())}
            except BaseException:
                pass

        @pytest.mark.parametrize("number", range(30))
        def test_fine(api, number):
            assert api.get("/ok").status_code == 200
        """,
    )
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("fail", 1), outcome.output
    assert outcome.check("test_swallows")["outcome"] == "failed"
    assert any("test_swallows" in reason for reason in outcome.verdict["reasons"])
    assert set(project.server.paths()) == {"/ok"}


@pytest.mark.fault(79, 89)
def test_workers_and_their_children_are_guarded_too(project):
    project.write(
        "test_a.py",
        """
        import multiprocessing, threading
        import httpx, pytest

        pytestmark = pytest.mark.smoke

        def write(url):
            try:
                httpx.post(url + "/thing")
            except BaseException:
                pass

        @pytest.mark.parametrize("how", ["thread", "fork", "spawn"])
        def test_write(api, target, how):
            assert api.get("/ok").status_code == 200
            if how == "thread":
                child = threading.Thread(target=write, args=(target.base_url,))
            else:
                context = multiprocessing.get_context(how)
                child = context.Process(target=write, args=(target.base_url,))
            child.start()
            child.join(30)
        """,
    )
    outcome = project.run("test_a.py", "-n2")
    assert outcome.ruling == ("fail", 1)
    assert set(project.server.paths()) == {"/ok"}
    told = " ".join(outcome.verdict["reasons"])
    assert all(f"test_write[{how}]" in told for how in ("thread", "fork", "spawn"))


@pytest.mark.fault(91, 101, 102)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_the_request_budget_holds_for_all_workers_together(project, workers):
    project.configure(request_budget="10")
    project.write(
        "test_a.py",
        """
        import pytest

        @pytest.mark.smoke
        @pytest.mark.parametrize("number", range(20))
        def test_ok(api, number):
            assert api.get("/ok").status_code == 200
        """,
    )
    outcome = project.run("test_a.py", *workers)
    assert len(project.server.paths()) == 10
    assert outcome.ruling == ("inconclusive", 6)
    assert outcome.verdict["counts"]["not_run"] == 10
    assert "10 of 20 planned checks did not run" in outcome.verdict["reasons"]


@pytest.mark.fault(91, 101)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_the_rate_holds_for_all_workers_together(project, workers):
    project.configure(rate='"20/s"')
    project.write(
        "test_a.py",
        """
        import pytest

        @pytest.mark.smoke
        @pytest.mark.parametrize("number", range(30))
        def test_ok(api, number):
            assert api.get("/ok").status_code == 200
        """,
    )
    assert project.run("test_a.py", *workers).ruling == ("pass", 0)
    assert project.server.busiest(1.0) <= 21


@pytest.mark.fault(1, 12, 103)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_target_that_is_down_fails_at_once_and_the_rest_is_not_run(project, workers):
    from tests.faulty import closed_port

    with closed_port() as port:
        project.write("prodcheck.toml", f'[targets.prod]\nbase_url = "http://127.0.0.1:{port}"\n')
        project.write(
            "test_a.py",
            """
            import pytest

            @pytest.mark.smoke
            @pytest.mark.parametrize("number", range(20))
            def test_ok(api, number):
                assert api.get("/ok").status_code == 200
            """,
        )
        outcome = project.run("test_a.py", *workers)
    assert outcome.ruling == ("fail", 1)
    counts = outcome.verdict["counts"]
    assert counts["failed"] <= 5
    assert counts["not_run"] == 20 - counts["failed"]
    assert any("target down" in check["message"] for check in outcome.verdict["checks"])
    assert {x["kind"] for c in outcome.verdict["checks"] for x in c["exchanges"]} <= {
        "connect",
        "withheld",
    }
    assert outcome.verdict["findings"][0]["rule"] == "target.unreachable"
