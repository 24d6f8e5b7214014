"""`api_session`: log in once for many tests; what it sends is recorded where it was sent."""

import pytest

from tests.faulty import json_answer

LOGIN = """
    import pytest

    pytestmark = [pytest.mark.smoke, pytest.mark.writes]

    @pytest.fixture(scope="session")
    def logged_in(api_session):
        api_session.post("/login").raise_for_status()
        return api_session

    @pytest.fixture(scope="module")
    def me(logged_in):
        return logged_in.get("/me").json()
    """


@pytest.fixture
def project(project):
    """With a service that knows who has logged in."""
    cookie = "sid=a-session-of-ann; Path=/"
    project.server.on("/login", json_answer({}, set_cookie=cookie))
    project.server.on("/me", json_answer({"name": "ann", "role": "admin"}))
    project.configure(read_only="false")
    return project


def test_a_login_is_sent_once_and_its_cookie_stays(project):
    project.write(
        "test_a.py",
        LOGIN
        + """
    def test_first(logged_in):
        assert logged_in.get("/me").json()["name"] == "ann"

    def test_second(logged_in):
        assert logged_in.get("/me").json()["role"] == "admin"
    """,
    )
    outcome = project.run("test_a.py", "-m", "smoke")
    assert set(outcome.outcomes().values()) == {"passed"}
    assert project.server.paths() == ["/login", "/me", "/me"]
    cookies = [request.headers["cookie"] for request in project.server.seen("/me")]
    assert cookies == ["sid=a-session-of-ann"] * 2


def test_what_a_fixture_sends_is_recorded_on_the_test_that_came_first(project):
    project.write(
        "test_a.py",
        LOGIN
        + """
    def test_first(logged_in):
        assert logged_in.get("/ok").status_code == 200

    def test_second(logged_in):
        assert logged_in.get("/ok").status_code == 200
    """,
    )
    outcome = project.run("test_a.py")
    asked = {
        name: [exchange["url"].rpartition("/")[2] for exchange in outcome.check(name)["exchanges"]]
        for name in ("test_first", "test_second")
    }
    assert asked == {"test_first": ["login", "ok"], "test_second": ["ok"]}
    assert "a-session-of-ann" not in (outcome.folder / "journal.jsonl").read_text()


def test_a_check_may_judge_an_answer_that_a_fixture_has_fetched_before(project):
    project.write(
        "test_a.py",
        LOGIN
        + """
    @pytest.fixture
    def role(me):
        return me["role"]

    def test_name(me):
        assert me["name"] == "ann"

    def test_role(role):
        assert role == "admin"
    """,
    )
    assert set(project.run("test_a.py").outcomes().values()) == {"passed"}


@pytest.mark.fault(62)
@pytest.mark.parametrize(
    "check",
    [
        "def test_empty(logged_in): assert 1 == 1",
        "@pytest.mark.usefixtures('me')\n    def test_empty(): assert 1 == 1",
        "@pytest.fixture(scope='module', autouse=True)\n    def login(me): pass\n"
        "    def test_empty(): assert 1 == 1",
    ],
    ids=["client alone", "no argument", "autouse"],
)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_check_without_an_answer_is_empty_whoever_comes_first(project, check, first):
    real = "def test_real(me): assert me['name'] == 'ann'"
    order = (check, real) if first else (real, check)
    project.write("test_a.py", LOGIN + "".join(f"\n    {each}\n" for each in order))
    outcome = project.run("test_a.py")
    assert outcome.outcomes() == {"test_real": "passed", "test_empty": "failed"}
    message = outcome.check("test_empty")["message"]
    assert "sent no request of its own: " in message
    assert "`logged_in`" in message


def test_a_value_that_no_fixture_has_fetched_is_no_answer(project):
    project.write(
        "test_a.py",
        """
    import pytest

    @pytest.fixture(scope="session")
    def number():
        return 1

    @pytest.mark.smoke
    def test_empty(number):
        assert number == 1
    """,
    )
    message = project.run("test_a.py").check("test_empty")["message"]
    assert message.startswith("this check sent no request, so it proves nothing")


def test_a_read_only_target_refuses_the_login(project):
    project.configure()
    project.write(
        "test_a.py",
        LOGIN.replace(", pytest.mark.writes", "")
        + """
    def test_first(logged_in):
        assert logged_in.get("/me").status_code == 200
    """,
    )
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("fail", 1)
    assert project.server.paths() == []


def test_each_worker_logs_in_once(project):
    project.write(
        "test_a.py",
        LOGIN
        + """
    @pytest.mark.parametrize("number", range(6))
    def test_me(logged_in, number):
        assert logged_in.get("/me").json()["name"] == "ann"
    """,
    )
    outcome = project.run("test_a.py", "-n", "2")
    assert set(outcome.outcomes().values()) == {"passed"}
    assert 1 <= project.server.paths().count("/login") <= 2
    assert outcome.verdict["metrics"]["requests"] == len(project.server.paths())
