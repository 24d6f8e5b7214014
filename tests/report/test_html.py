import re
import time
from html import unescape
from pathlib import Path

import msgspec
import pytest

from pytest_prodcheck.model import (
    Action,
    Check,
    Exchange,
    Failure,
    Finding,
    Metrics,
    Policy,
    Problem,
    Release,
    Run,
    TargetInfo,
)
from pytest_prodcheck.report import html
from pytest_prodcheck.verdict.judge import judge
from tests import report_pages, sample_runs
from tests.report_pages import Markup

ATTACK = "document.body.id='owned'"
HOSTILE = (
    f"<img src=x onerror={ATTACK}> <script>{ATTACK}</script> \" onmouseover={ATTACK} ' "
    f"</code></pre></title></svg></style></template><svg onload={ATTACK}> <iframe srcdoc=x> "
    "<a href=javascript:alert(1)>x</a> {{ 7*7 }} {% raw %} &lt;b&gt; <!-- "
    "\x00 \x1b[31m \u202e \ud800 \n</td><td><x-owned>next</x-owned>"
)


def hostile_run() -> Run:
    exchange = Exchange(
        method=HOSTILE,
        url=HOSTILE,
        status=500,
        elapsed_ms=12,
        kind=HOSTILE,
        error=HOSTILE,
        request_headers={HOSTILE: HOSTILE},
        response_headers={HOSTILE: HOSTILE},
        body=HOSTILE,
        curl=HOSTILE,
        traceparent=HOSTILE,
    )
    outcomes = ("failed", "passed", "skipped", "not_run", "not_permitted", "flaky")
    checks = tuple(
        Check(
            id=f"test.py::test_{outcome}[{HOSTILE}]",
            category="smoke",
            severity="critical",
            outcome=outcome,
            message=f"{HOSTILE}: expected {HOSTILE}, got {HOSTILE}\n{HOSTILE}",
            exchanges=(exchange, msgspec.structs.replace(exchange, status=None)),
        )
        for outcome in outcomes
    )
    action = Action(when="*", severity="critical", action=HOSTILE, within=HOSTILE)
    return sample_runs.a_run(
        checks,
        policy=Policy(actions=(action,)),
        unscored=(Check(id=HOSTILE, category=None, severity="minor", outcome="failed"),),
        run_id=HOSTILE,
        started=HOSTILE,
        finished=HOSTILE,
        target=TargetInfo(name=HOSTILE, base_url="javascript:" + HOSTILE, vantage=HOSTILE),
        release=Release(version=HOSTILE, commit=HOSTILE),
        problems=(Problem(what="violation", detail=HOSTILE),),
        command=HOSTILE,
        settings=(HOSTILE,),
        service_log=HOSTILE,
        metrics=Metrics(requests=12, latency_ms={"p50": 12, "p95": 12, "p99": 12}),
    )


def hostile_finding() -> Finding:
    return Finding(
        rule=HOSTILE,
        title=HOSTILE,
        confidence="high",
        evidence=(HOSTILE,),
        against=(HOSTILE,),
        next_check=HOSTILE,
        remedy=HOSTILE,
    )


def live(markup: Markup) -> list[str]:
    """What a page must not have of anybody's text: elements, handlers, and links that run."""
    found = [name for name, _ in markup.elements if name in ("iframe", "object", "x-owned")]
    for name, attributes in markup.elements:
        found += [f"{name} {key}" for key in attributes if key.startswith("on")]
        links = (attributes.get(key, "") for key in ("href", "src", "action", "formaction"))
        found += [f"{name} {link}" for link in links if re.match(r"\s*(java|vb)script:", link)]
        found += ["src=x"] if attributes.get("src") == "x" else []
        found += ["owned"] if attributes.get("id") == "owned" else []
    return found


def text_of(fragment: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", fragment)))


# What the page says


def test_a_pass_shows_decision_score_and_release_first() -> None:
    text = text_of(html.summary(*sample_runs.passing()))
    for said in (
        "PROMOTE",
        "pass score 100 > 90; 16 of 16 checks passed",
        "prod version 1.4.2, commit 3e68e18",
        "Score 100 of 100; it must be greater than 90",
    ):
        assert said in text
    assert "Failed" not in text
    assert "Do now" not in text


def test_a_broken_release_shows_what_failed_critical_first_with_expected_and_got() -> None:
    page = html.summary(*sample_runs.broken())
    text = text_of(page)
    order = [text.index(f"{name}") for name in (
        "ROLL BACK", "set ENABLE_DATABASE_WRITES=false within 5 min (by 21:11 UTC)",
        "The service cannot reach its database",
        "critical suites/smoke/test_probes.py::test_probe[GET /health]",
        "major suites/contract/test_contract.py::test_operation[GET /insights]",
        "minor suites/smoke/test_probes.py::test_probe[GET /feedback]",
        "major tests/test_ours.py::test_footer no category, so it carries no score",
        "Skipped or expected to fail", "Not permitted",
        "Categories", "Latency", "This run", "pytest --target=prod -m smoke",
    )]  # fmt: skip
    assert order == sorted(order)
    assert "what GET /health expected status 200 got 404" in text
    assert "what json $.status expected 'healthy' got nothing" in text
    assert "Speaks against it \u2212 GET /preferences, which reads the database" in text
    assert "timeout: no whole answer within 10 s" in text
    assert "OperationalError: unable to connect" in text


def test_an_inconclusive_run_shows_what_did_not_run_and_why() -> None:
    text = text_of(html.summary(*sample_runs.inconclusive()))
    assert "inconclusive score 72 so far" in text
    assert "Did not run 4" in text
    assert "critical suites/smoke/test_probes.py::test_probe[GET /mode] worker gw1 was" in text
    assert "worker gw1 ended with signal 9 (SIGKILL)" in text


def test_a_run_with_nothing_in_it_has_a_page() -> None:
    run = sample_runs.a_run((), settings=(), command="", finished="", started="")
    text = text_of(html.summary(run, judge(run)))
    assert "HOLD" in text
    assert "no score" in text


def test_a_recovered_run_says_that_it_did_not_reach_its_end() -> None:
    run, verdict = sample_runs.inconclusive()
    run = msgspec.structs.replace(run, state="recovered")
    assert "a run that did not reach its end" in html.summary(run, verdict)


def test_the_exchange_that_tells_most_is_unfolded() -> None:
    """The 404 comes first and a 200 after it: the 404 is open, the 200 is folded."""
    checks = [c for c in sample_runs.broken()[0].checks if "GET /health" in c.id]
    folds = re.findall(r'<details class="pc-exchange"( open)?>', html.evidence(checks[0].exchanges))
    assert folds == [" open", ""]


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    page = html.summary(*sample_runs.broken())
    style = html.STYLE.read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(", style)
    markup = Markup(page)
    assert not markup.all("img") + markup.all("link") + markup.all("iframe")
    assert [script for script in markup.all("script") if script] == []
    assert {a["href"] for a in markup.all("a")} == {
        "#results-table",
        "https://api.example.com/",
        *html.FILES,
    }


def test_the_latency_picture_tells_its_numbers_to_a_screen_reader() -> None:
    page = html.summary(*sample_runs.broken())
    assert '<title id="pc-latency-title">Response times</title>' in page
    assert "13 answered requests: p50 62 ms, p95 2.51 s, p99 2.51 s" in page
    assert "1 more got no response at all." in page


@pytest.mark.parametrize("times", [[0.0], [0.001, 3_600_000.0], [5.0] * 3, [float("nan"), 4.0]])
def test_any_latencies_stay_inside_the_picture(times: list[float]) -> None:
    check = Check(
        id="t::a",
        category="smoke",
        severity="major",
        outcome="passed",
        exchanges=tuple(sample_runs.exchange("/", ms) for ms in times),
    )
    run = sample_runs.a_run((check,))
    page = html.summary(run, judge(run))
    shares = [float(x) for x in re.findall(r'(?:x|cx|x1|width|height)="([-\d.]+)%"', page)]
    assert len(shares) > 5
    assert all(0 <= share <= 100 for share in shares)


def crosses(outcome: str, *failures: Failure) -> list[str]:
    """The requests that the latency picture marks as failed, by their status."""
    check = Check(
        id="t::a",
        category="smoke",
        severity="major",
        outcome=outcome,
        exchanges=(
            sample_runs.exchange("/orders", 10),
            sample_runs.exchange("/private", 11, 401),
            sample_runs.exchange("/orders/0", 12, 404),
        ),
        failures=failures,
    )
    run = sample_runs.a_run((check,))
    page = html.summary(run, judge(run))
    dots = re.findall(r'class="pc-(dot|cross)"[^>]*><title>[^<]*status (\d+)<', page)
    assert len(dots) == 3
    return [status for kind, status in dots if kind == "cross"]


def failed_on(subject: str, status: int | None, severity: str | None = None) -> Failure:
    return Failure(title="", subject=subject, status=status, severity=severity)


@pytest.mark.parametrize(
    ("outcome", "failures", "failed"),
    [
        ("passed", [], []),
        ("passed", [failed_on("GET /orders/{id}", 404, "minor")], []),
        ("failed", [failed_on("GET /private", 401)], ["401"]),
        ("failed", [failed_on("GET /orders", 200)], ["200"]),
        ("failed", [failed_on("GET /orders", None)], ["200"]),
        ("failed", [failed_on("GET /orders/{id}", 404)], ["404"]),
        ("failed", [failed_on("GET /x/{id}", None)], ["200", "401", "404"]),
        ("failed", [failed_on("", 401), failed_on("", 404, "minor")], ["401"]),
        ("known", [failed_on("GET /private", 401)], ["401"]),
        ("failed", [], ["401", "404"]),
    ],
)  # fmt: skip
def test_latency_picture_marks_only_what_failed_the_check(outcome, failures, failed) -> None:
    assert crosses(outcome, *failures) == failed


def test_five_hundred_checks_make_a_page_that_opens_at_once() -> None:
    run, verdict = sample_runs.many(500, failing=400)
    html.summary(run, verdict)  # templates are compiled once
    began = time.process_time()
    page = html.summary(run, verdict)
    assert time.process_time() - began < 1.0
    assert page.count('<details class="pc-exchange"') == html.MOST_SHOWN
    assert "380 more failed" in page
    assert len(page) < 400_000


def test_endless_texts_are_cut() -> None:
    exchange = sample_runs.exchange("/" + "x" * 10_000, 1, body="b" * 100_000, curl="c" * 100_000)
    check = Check(
        id="t::" + "i" * 10_000,
        category="smoke",
        severity="major",
        outcome="failed",
        message="m" * 10_000_000,
        exchanges=(exchange,) * 100,
    )
    run = sample_runs.a_run((check,))
    assert len(html.summary(run, judge(run))) < 150_000
    assert "The last 10 of 100 requests" in html.evidence(check.exchanges)


# What cannot become live markup


@pytest.mark.fault(41, 93, 94)
def test_no_text_of_a_run_becomes_markup() -> None:
    """Every string field is hostile; the page has the elements of a harmless run, and no more."""
    run = hostile_run()
    verdict = judge(run, (hostile_finding(),))
    page = html.summary(run, verdict) + html.evidence(run.checks[0].exchanges)
    markup = Markup(page)
    assert live(markup) == []
    assert len(markup.all("script")) == 1
    assert not markup.all("img")
    assert page.count("&lt;img src=x onerror=") > 20
    assert text_of(page).count("{{ 7*7 }}") > 20
    assert not [c for c in page if not c.isprintable() and c not in "\n\t"]
    page.encode("utf-8")


@pytest.mark.fault(41, 93)
def test_the_id_in_a_row_is_escaped_and_on_one_line() -> None:
    cells = [
        '<td class="col-result">Failed</td>',
        f'<td class="col-testId">t.py::t[{HOSTILE}]::setup</td>',
        "<td>3 ms</td>",
        "<td></td>",
    ]
    html.row(cells)
    assert live(Markup(cells[1])) == []
    assert [name for name, _ in Markup(cells[1]).elements] == ["td"]
    assert cells[1].isprintable()
    assert html.title(hostile_run(), judge(hostile_run())).isprintable()
    assert cells[1].endswith("]::setup</td>")
    assert cells[0] == '<td class="col-result">Failed</td>'


@pytest.mark.fault(93)
@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "//evil.example/",
        "/\\evil.example/",
        "report\u202etxt.html",
        "http://[",
    ],
)
def test_a_link_that_runs_or_leaves_is_shown_as_text(link: str) -> None:
    [extra] = html.extras([{"format_type": "url", "content": link, "name": "log"}], (), "t::a")
    assert extra["format_type"] == "html"
    assert live(Markup(extra["content"])) == []
    assert Markup(extra["content"]).all("a") == []


@pytest.mark.fault(93)
def test_harmless_extras_stay_what_they_are() -> None:
    given = [
        {"format_type": "url", "content": "https://ci.example.com/?a=1&b=2", "name": "log <1>"},
        {"format_type": "url", "content": "screens/one.html", "name": "screen"},
        {"format_type": "text", "content": "plain", "name": "Text"},
        {"format_type": "json", "content": {"a": 1}, "name": "JSON"},
        {"format_type": "image", "content": "iVBORw0KGgo=", "name": "Image"},
    ]
    kept = html.extras(given, (), "t::a")
    assert [extra["format_type"] for extra in kept] == ["url", "url", "text", "json", "image"]
    assert kept[0]["content"] == "https://ci.example.com/?a=1&amp;b=2"
    assert kept[0]["name"] == "log &lt;1&gt;"


@pytest.mark.fault(93)
def test_an_image_from_elsewhere_is_not_loaded() -> None:
    given = [{"format_type": "image", "content": "http://evil.example/x.png", "name": "Image"}]
    [extra] = html.extras(given, (), "t::a")
    assert extra["format_type"] == "html"
    assert Markup(extra["content"]).all("img") == []


def test_an_id_that_pytest_html_cannot_read_gets_no_extras() -> None:
    """It decodes ids as `unicode_escape`: a `\\U` in one would end the run at its very end."""
    exchanges = (sample_runs.exchange("/", 1),)
    assert len(html.extras([], exchanges, "t.py::t[caf\\xe9]")) == 1
    for hopeless in ("t.py::t[C:\\Users]", "t.py::t[\\d]", "t.py::t\ud800"):
        assert html.extras([], exchanges, hopeless) == []


# In a browser, in the page of the real pytest-html

CANARIES = """
import logging, sys
import pytest
from pytest_html import extras as kinds
HOSTILE = <HOSTILE>

@pytest.mark.parametrize("value", [HOSTILE], ids=[HOSTILE.replace("\\x00", "")])
@pytest.mark.parametrize("outcome", ["passed", "failed", "error"])
def test_hostile(value, outcome, extras, broken):
    print(value.encode("ascii", "replace").decode())
    logging.getLogger().warning(value.encode("ascii", "replace").decode())
    extras.append(kinds.html(value))
    extras.append(kinds.url("javascript:" + value, name=value))
    extras.append(kinds.url('https://x.example/"onclick="' + value, name=value))
    extras.append(kinds.image("https://x.example/x.png", name=value))
    extras.append(kinds.text("text", name=value))
    assert outcome == "passed", value

@pytest.fixture
def broken(request, outcome):
    if outcome == "error":
        raise RuntimeError(HOSTILE)
""".replace("<HOSTILE>", repr(HOSTILE.replace("\ud800", "")))

# As pytest escapes parameters no more: what an id may hold at its worst.
UNESCAPED = (
    "\n[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n"
)


def _hostile_page(folder: Path, conftest: str = report_pages.CONFTEST) -> Path:
    folder.mkdir()
    (folder / "pytest.ini").write_text(UNESCAPED, encoding="utf-8")
    run = msgspec.structs.replace(
        msgspec.convert(_encodable(msgspec.to_builtins(hostile_run())), Run),
    )
    finding = msgspec.convert(_encodable(msgspec.to_builtins(hostile_finding())), Finding)
    return report_pages.write(folder, run, judge(run, (finding,)), CANARIES, conftest)


def _encodable(value: object) -> object:
    """Without the lone surrogates, which the JSON between the two processes cannot carry."""
    if isinstance(value, str):
        return value.replace("\ud800", "")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(each) for each in value]
    return value


@pytest.mark.fault(41, 93)
@pytest.mark.needs(*report_pages.BROWSERS)
def test_in_a_browser_no_hostile_text_makes_an_element_or_a_handler(tmp_path: Path) -> None:
    page = _hostile_page(tmp_path / "run")
    markup = Markup(report_pages.browse(page, "--dump-dom", profile=tmp_path / "profile"))
    [body] = markup.all("body")
    assert "id" not in body, "the attack ran"
    assert live(markup) == ["div onclick"]  # pytest-html's own reload button
    assert len(markup.all("script")) == 2
    assert len([a for a in markup.all("tr") if "data-id" in a]) >= 3, "pytest-html drew its table"


@pytest.mark.needs(*report_pages.BROWSERS)
def test_the_attacks_do_run_where_nobody_escapes(tmp_path: Path) -> None:
    """The test above can fail: without `row` and `extras` the same page is owned."""
    bare = re.sub(
        r"(?m)^    (report\.extras = html|html\.row).*$", "    pass", report_pages.CONFTEST
    )
    assert bare != report_pages.CONFTEST
    page = _hostile_page(tmp_path / "run", bare)
    markup = Markup(report_pages.browse(page, "--dump-dom", profile=tmp_path / "profile"))
    assert markup.all("body")[0].get("id") == "owned"


@pytest.mark.needs(*report_pages.BROWSERS)
def test_in_a_browser_the_decision_comes_first_and_rows_are_buttons(tmp_path: Path) -> None:
    page = report_pages.write(tmp_path / "run", *sample_runs.broken())
    dom = report_pages.browse(page, "--dump-dom", profile=tmp_path / "profile")
    markup = Markup(dom)
    assert dom.index('id="prodcheck"') < dom.index('id="results-table"')
    assert dom.index('id="results-table-head"') < dom.index('id="environment-header"')
    assert '<title id="head-title">ROLL BACK · prod</title>' in dom
    assert markup.all("html")[0]["lang"] == "en"
    rows = [a for a in markup.all("tr") if "data-id" in a]
    buttons = [a for a in markup.all("button") if "aria-expanded" in a]
    assert len(buttons) == len(rows) + 1  # and the environment's
    copies = [a for a in markup.all("button") if a.get("class") == "pc-copy"]
    assert copies
    assert not any("hidden" in a for a in copies)


@pytest.mark.needs(*report_pages.BROWSERS)
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_nothing_is_wider_than_the_window(tmp_path: Path, width: int) -> None:
    run, verdict = sample_runs.broken()
    long = msgspec.structs.replace(
        run.checks[1], id="t::" + "x" * 300, message="y" * 300, exchanges=(
            sample_runs.exchange("/" + "z" * 300, 1, 500, curl="c" * 300, body="w" * 300),
        ),
    )  # fmt: skip
    run = msgspec.structs.replace(run, checks=(*run.checks, long))
    page = report_pages.write(tmp_path / "run", run, judge(run, verdict.findings))
    told = _asked(page, tmp_path, "inside.document.documentElement.scrollWidth", width)
    assert told == str(width)


@pytest.mark.needs(*report_pages.BROWSERS)
def test_before_printing_everything_is_unfolded_and_after_it_folded_again(tmp_path: Path) -> None:
    page = report_pages.write(tmp_path / "run", *sample_runs.broken())
    question = (
        "['load', 'beforeprint', 'afterprint'].map((name) => {"
        " inside.dispatchEvent(new Event(name));"
        " return inside.document.querySelectorAll('.pc details:not([open])').length }).join()"
    )
    before, during, after = _asked(page, tmp_path, question).split(",")
    assert int(before) > 10
    assert (during, after) == ("0", before)


@pytest.mark.needs(*report_pages.BROWSERS)
def test_a_row_opens_and_keeps_the_focus_when_its_button_is_pressed(tmp_path: Path) -> None:
    """pytest-html draws its whole table anew on each click."""
    page = report_pages.write(tmp_path / "run", *sample_runs.passing())
    question = (
        "await (async () => { const first = () =>"
        " inside.document.querySelector('[data-id] .pc-cell');"
        " const was = first(); was.focus(); was.click();"
        " await new Promise((done) => setTimeout(done, 50)); const now = first();"
        " return [was.getAttribute('aria-expanded'), now.getAttribute('aria-expanded'),"
        " was !== now, inside.document.activeElement === now].join() })()"
    )
    assert _asked(page, tmp_path, question) == "false,true,true,true"


def _asked(page: Path, folder: Path, question: str, width: int = 1280) -> str:
    """What an expression about the page, in a frame of this width, comes to in a browser."""
    frame = page.with_name("frame.html")
    frame.write_text(
        f"<iframe src=report.html style='border:0;width:{width}px;height:900px'></iframe>"
        "<script>onload = async () => { const inside = frames[0];"
        f" document.body.dataset.told = {question} }}</script>",
        encoding="utf-8",
    )
    options = ("--allow-file-access-from-files", "--virtual-time-budget=3000", "--dump-dom")
    dom = report_pages.browse(frame, *options, profile=folder / "profile")
    return Markup(dom).all("body")[0].get("data-told", "no answer")
