"""What a test sends by clients of its own keeps to rate, budget, breaker and time like ours."""

import pytest

from pytest_prodcheck.http import real_time, throttle
from tests.faulty import answer, closed_port, json_answer

CLIENTS = {
    "httpx": "httpx.get(url)",
    "httpx_async": "asyncio.run(many(httpx.AsyncClient(), url, 1))",
    "httpx2": "httpx2.get(url)",
    "httpx2_async": "asyncio.run(many(httpx2.AsyncClient(), url, 1))",
    "requests": "requests.get(url)",
    "urllib": "urllib.request.urlopen(url).close()",
    "urllib3": "urllib3.request('GET', url, retries=False)",
    "http_client": "by_http_client(url)",
    "aiohttp": "asyncio.run(by_aiohttp(url, 1))",
}

HEAD = """
import asyncio, http.client, urllib.request
import aiohttp, httpx, httpx2, pytest, requests, urllib3

pytestmark = pytest.mark.smoke

async def many(client, url, number):
    async with client:
        for answer in await asyncio.gather(*(client.get(url) for _ in range(number))):
            assert answer.status_code < 600

async def by_aiohttp(url, number):
    async with aiohttp.ClientSession() as session:
        async def get():
            async with session.get(url) as answer:
                await answer.read()
        await asyncio.gather(*(get() for _ in range(number)))

async def by_aiohttp_in_turn(url, number):
    async with aiohttp.ClientSession() as session:
        for _ in range(number):
            async with session.get(url) as answer:
                await answer.read()

def by_http_client(url):
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host)
    try:
        connection.request("GET", "/" + path)
        connection.getresponse().read()
    finally:
        connection.close()
"""


def checks_by(clients: dict[str, str], times: int = 1, path: str = "/ok") -> str:
    """One test for each client and time; each sends one request."""
    lines = [HEAD]
    for name, call in clients.items():
        lines.append(
            f"@pytest.mark.parametrize('time', range({times}))\n"
            f"def test_{name}(target, time):\n"
            f"    url = target.base_url + '{path}'\n"
            f"    {call}\n"
            f"    assert time >= 0\n"
        )
    return "\n".join(lines)


@pytest.fixture
def no_half_open_probe(monkeypatch):
    """On a busy machine a test may take longer than the breaker waits for its next probe."""
    monkeypatch.setattr(throttle, "PROBE_INTERVAL", 3600.0)


both = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])


@pytest.mark.fault(91, 101, 130)
@both
def test_raw_requests_keep_to_the_rate_of_all_workers(project, workers):
    project.configure(rate='"10/s"')
    project.write("test_a.py", checks_by(CLIENTS, times=2))
    outcome = project.run("test_a.py", *workers)
    assert outcome.ruling == ("pass", 0), outcome.output
    assert len(project.server.paths()) == 2 * len(CLIENTS)
    assert project.server.busiest(1.0) <= 11


@pytest.mark.fault(91, 101, 130)
@pytest.mark.parametrize("call", ["many(httpx.AsyncClient(), url, 20)", "by_aiohttp(url, 20)"])
def test_requests_of_one_event_loop_keep_to_the_rate_and_leave_it_free(project, call):
    project.configure(rate='"20/s"')
    project.write(
        "test_a.py",
        HEAD
        + f"""
def test_many(target):
    url = target.base_url + "/ok"
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def run():
        ticking = asyncio.create_task(tick())
        await {call}
        ticking.cancel()

    asyncio.run(run())
    assert ticks > 10
""",
    )
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("pass", 0), outcome.output
    assert len(project.server.paths()) == 20
    assert project.server.busiest(0.5) <= 11


@pytest.mark.fault(91, 102, 130)
@both
def test_raw_requests_count_for_the_budget_of_all_workers(project, workers):
    project.configure(request_budget="6")
    project.write("test_a.py", checks_by(CLIENTS))
    outcome = project.run("test_a.py", *workers)
    assert len(project.server.paths()) == 6
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    assert outcome.verdict["counts"]["not_run"] == len(CLIENTS) - 6
    left = [c["message"] for c in outcome.verdict["checks"] if c["outcome"] == "not_run"]
    assert all("all of its request_budget of 6" in message for message in left)


@pytest.mark.fault(130)
def test_our_client_and_raw_ones_share_the_budget_and_nothing_counts_twice(project):
    project.configure(request_budget="4")
    project.write(
        "test_a.py",
        """
        import httpx, pytest

        @pytest.mark.smoke
        @pytest.mark.parametrize("number", range(3))
        def test_both(api, target, number):
            assert api.get("/ok").status_code == 200
            assert httpx.get(target.base_url + "/ok").status_code == 200
        """,
    )
    outcome = project.run("test_a.py")
    assert len(project.server.paths()) == 4
    assert outcome.verdict["counts"]["passed"] == 2
    assert outcome.verdict["counts"]["not_run"] == 1


@pytest.mark.fault(12, 103, 130)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_raw_clients_receive_opens_the_breaker(project, client, no_half_open_probe):
    project.server.on("/bad", answer(b"no", 500))
    call = CLIENTS[client]
    if client == "urllib":
        call = "pytest.raises(OSError, urllib.request.urlopen, url)"
    project.write("test_a.py", checks_by({client: call}, times=14, path="/bad"))
    outcome = project.run("test_a.py")
    assert len(project.server.paths()) == 10, outcome.output
    assert outcome.verdict["counts"]["not_run"] == 4
    assert "10 responses in a row were 5xx" in str(outcome.verdict["reasons"])


@pytest.mark.fault(1, 12, 103, 130)
@pytest.mark.parametrize(
    ("client", "workers"), [*((name, ()) for name in CLIENTS), ("httpx", ("-n2",))]
)
def test_a_target_that_answers_no_raw_client_is_left_alone(
    project, client, workers, no_half_open_probe
):
    with closed_port() as port:
        project.write("prodcheck.toml", f'[targets.prod]\nbase_url = "http://127.0.0.1:{port}"\n')
        project.write("test_a.py", checks_by({client: CLIENTS[client]}, times=10))
        outcome = project.run("test_a.py", *workers)
    assert outcome.ruling == ("fail", 1)
    counts = outcome.verdict["counts"]
    assert counts["failed"] + counts["not_run"] == 10, outcome.output
    # Workers are processes of their own, where the breaker's probes are as frequent as ever.
    assert counts["failed"] == 3 if not workers else counts["not_run"]


KEPT = {
    "httpx": "with httpx.Client() as client: [client.get(url) for _ in range(5)]",
    "httpx2": "with httpx2.Client() as client: [client.get(url) for _ in range(5)]",
    "requests": "with requests.Session() as session: [session.get(url) for _ in range(5)]",
    "urllib3": "with urllib3.PoolManager() as pool: [pool.request('GET', url) for _ in range(5)]",
    "aiohttp": "asyncio.run(by_aiohttp_in_turn(url, 5))",
}


@pytest.mark.fault(91, 102, 130)
@pytest.mark.parametrize("client", KEPT)
def test_each_request_on_a_kept_connection_counts(project, client):
    project.configure(request_budget="3")
    project.write("test_a.py", checks_by({client: KEPT[client]}))
    outcome = project.run("test_a.py")
    assert len(project.server.paths()) == 3
    assert outcome.verdict["counts"]["not_run"] == 1, outcome.output


@pytest.mark.fault(130)
@both
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_share_the_limits(project, method, workers):
    project.configure(request_budget="3")
    project.write(
        "test_a.py",
        f"""
        import multiprocessing, urllib.request, pytest

        def ask(url):
            urllib.request.urlopen(url).close()

        @pytest.mark.smoke
        def test_children(target, api):
            assert api.get("/ok").status_code == 200
            make = multiprocessing.get_context({method!r}).Process
            children = [make(target=ask, args=(target.base_url + "/ok",)) for _ in range(4)]
            for child in children: child.start()
            for child in children: child.join()
        """,
    )
    project.run("test_a.py", "-W", "ignore::DeprecationWarning", *workers)
    assert len(project.server.paths()) == 3


@pytest.mark.fault(146)
@both
def test_a_frozen_clock_does_not_stop_the_run(project, workers, monkeypatch):
    project.configure(rate='"10/s"')
    project.write(
        "test_a.py",
        """
        import time
        import httpx, pytest

        @pytest.fixture(autouse=True)
        def frozen(monkeypatch):
            now = time.monotonic()
            for name in ("monotonic", "perf_counter", "time"):
                monkeypatch.setattr(time, name, lambda: now)
            monkeypatch.setattr(time, "sleep", lambda seconds: None)

        @pytest.mark.smoke
        @pytest.mark.parametrize("number", range(4))
        def test_ok(api, target, number):
            assert api.get("/ok").elapsed.total_seconds() > 0
            assert httpx.get(target.base_url + "/ok").status_code == 200
        """,
    )
    outcome = project.run("test_a.py", *workers)
    assert outcome.ruling == ("pass", 0), outcome.output
    assert project.server.busiest(0.5) <= 6


@pytest.mark.fault(146)
def test_a_request_has_its_deadline_under_a_frozen_clock(project):
    from tests.faulty import drip_body

    project.server.on("/slow", drip_body())
    project.configure(timeout="0.5")
    project.write(
        "test_a.py",
        """
        import time, pytest

        @pytest.mark.smoke
        def test_slow(api, monkeypatch):
            monkeypatch.setattr(time, "monotonic", lambda: 5.0)
            api.get("/slow")
            assert False
        """,
    )
    outcome = project.run("test_a.py")
    assert "no complete response within 0.5 s" in outcome.check("test_slow")["message"]


@both
def test_a_time_budget_ends_the_run_with_what_is_proven(project, workers):
    from tests.faulty import delayed

    project.server.on("/slow", delayed(0.4, json_answer({})))
    project.configure(time_budget='"1.2 s"')
    project.write(
        "test_a.py",
        """
        import pytest

        @pytest.mark.smoke
        @pytest.mark.parametrize("number", range(30))
        def test_slow(api, number):
            assert api.get("/slow").status_code == 200
        """,
    )
    outcome = project.run("test_a.py", *workers)
    assert "time budget 1.2 s (prodcheck.toml)" in outcome.output
    assert outcome.ruling == ("inconclusive", 6), outcome.output
    counts = outcome.verdict["counts"]
    assert counts["not_run"] == 30 - counts["passed"] >= 20
    assert "time_budget of 1.2 s is used up" in str(outcome.verdict["checks"])


def test_what_is_proven_bad_fails_although_the_time_is_used_up(project):
    project.configure(time_budget="5", request_budget="1000000")
    project.write(
        "test_a.py",
        """
        import pytest

        pytestmark = pytest.mark.smoke

        @pytest.mark.severity("critical")
        def test_bad(api):
            assert api.get("/missing").status_code == 200

        def test_waits(api):
            while api.get("/ok").status_code == 200:
                pass

        def test_left():
            assert False
        """,
    )
    outcome = project.run("test_a.py")
    assert outcome.exit
    assert "1 critical check failed" in outcome.verdict["reasons"]
    assert outcome.outcomes() == {
        "test_bad": "failed",
        "test_waits": "not_run",
        "test_left": "not_run",
    }


@pytest.mark.fault(146)
def test_waits_do_not_go_by_a_patched_sleep(monkeypatch):
    def never(seconds):
        raise AssertionError("the sleep of a test was called")

    monkeypatch.setattr("time.sleep", never)
    began = real_time.monotonic()
    real_time.sleep(0.02)
    assert real_time.monotonic() - began >= 0.02
