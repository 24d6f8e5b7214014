"""The `prodcheck` command: exit codes, JSON, refusals, and runs made whole again."""

import html
import json
import random
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_prodcheck.cli import main
from pytest_prodcheck.demo.incidents import INCIDENTS
from pytest_prodcheck.store.last_good import last_good
from tests.faulty import answer, json_answer

FILES = {"verdict.json", "report.html", "junit.xml", "summary.md", "journal.jsonl"}
LATEST = "prodcheck-report/latest"
CHECKS = """
    import pytest

    @pytest.mark.smoke
    @pytest.mark.parametrize("number", range(5))
    def test_ok(api, number):
        assert api.get("/ok").status_code == 200

    @pytest.mark.smoke
    @pytest.mark.severity("minor")
    def test_page(api):
        assert api.get("/page").status_code == 200
"""


@dataclass(frozen=True)
class Told:
    code: int
    output: str
    error: str

    @property
    def json(self) -> Any:
        (line,) = self.output.splitlines()
        return json.loads(line)


@pytest.fixture
def prodcheck(capsys):
    def command(*args: object) -> Told:
        capsys.readouterr()
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as left:  # argparse's way to say help and bad input
            code = int(left.code or 0)
        return Told(code, *capsys.readouterr())

    return command


@pytest.fixture
def checks(project):
    """A project with six checks, all well."""
    project.server.on("/page", answer("fine"))
    project.write("test_a.py", CHECKS)
    return project


def keep(project, name: str) -> Path:
    """The latest run, under a name that the next run does not take."""
    return shutil.copytree((project.path / LATEST).resolve(), project.path / name)


def rows(folder: Path) -> dict[str, tuple[str, ...]]:
    """The table of the page: id -> its results."""
    (blob,) = re.findall(r'data-jsonblob="([^"]*)"', (folder / "report.html").read_text())
    tests = json.loads(html.unescape(blob))["tests"]
    return {id_: tuple(row["result"] for row in told) for id_, told in tests.items()}


def evidence(folder: Path) -> dict[str, str]:
    (blob,) = re.findall(r'data-jsonblob="([^"]*)"', (folder / "report.html").read_text())
    tests = json.loads(html.unescape(blob))["tests"]
    return {id_: json.dumps([row["extras"] for row in told]) for id_, told in tests.items()}


def cases(folder: Path) -> list[tuple[str, str, list[str]]]:
    """The cases of the JUnit file, each with what it says beside having passed."""
    root = ElementTree.parse(folder / "junit.xml").getroot()
    return sorted(
        (case.get("classname", ""), case.get("name", ""), sorted(part.tag for part in case))
        for case in root.iter("testcase")
    )


def verdict(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "verdict.json").read_text())


# --- help and bad input ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--help"], ["gate", "merge", "recover", "demo"]),
        (["gate", "--help"], ["--target", "--commit", "--max-age", "default: 1h", "--require"]),
        (["merge", "--help"], ["--output", "--json", "RUN"]),
        (["recover", "--help"], ["RUN", "--json"]),
        (["demo", "--help"], ["--json"]),
    ],
)
def test_help_names_what_there_is(prodcheck, args, says):
    told = prodcheck(*args)
    assert (told.code, told.error) == (0, "")
    for word in says:
        assert word in told.output


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "the following arguments are required"),
        (["gat"], "invalid choice: 'gat'"),
        (["gate", "--max-age", "1w"], "'1w' is not a time span; write it like 30m or 2h"),
        (["gate", "--max-age", "2"], "'2' is not a time span"),
        (["gate", "--max-age", "-1h"], "expected one argument"),
        (["gate", "--max-age", "9" * 12 + "d"], "is not a time span"),
        (["gate", "--require", "smoke>10"], "'smoke>10' is not a requirement. Write it like"),
        (["gate", "--require", "smok>=1"], "is not a category. Did you mean smoke? Categories: "),
        (["gate", "--fast"], "unrecognized arguments: --fast"),
        (["merge", "--output", "out"], "the following arguments are required: RUN"),
        (["merge", "a", "b"], "the following arguments are required: --output"),
        (["merge", "nowhere", "--output", "out"], "nowhere/journal.jsonl cannot be read ("),
        (["recover", "nowhere"], "name the folder of a run, for instance prodcheck-report/latest"),
        (["recover"], "the following arguments are required: RUN"),
    ],
)
def test_bad_input_is_four_and_says_what_is_wrong(prodcheck, tmp_path, monkeypatch, args, says):
    monkeypatch.chdir(tmp_path)
    told = prodcheck(*args)
    assert told.code == 4
    assert told.output == ""
    assert says in told.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the journal has no beginning"),
        ('{"kind": "problem", "what": "x", "detail": "y"}\n', "the journal has no beginning"),
        ("[1]\n", "Expected `object`, got `array`"),
        ('{"no": "kind"}\n', "`kind`"),
        ('{"kind": "begin"}\n', "cannot be read ("),
        ("not JSON\n", "JSON is malformed"),
    ],
)
def test_a_journal_that_is_none_is_refused(prodcheck, tmp_path, content, says):
    (tmp_path / "journal.jsonl").write_text(content)
    for command in (["recover", tmp_path], ["merge", tmp_path, "--output", tmp_path / "out"]):
        told = prodcheck(*command)
        assert told.code == 4
        assert says in told.error
        assert "name the folder of a run" in told.error
    assert [path.name for path in tmp_path.iterdir()] == ["journal.jsonl"]


# --- gate -----------------------------------------------------------------------------------


@pytest.mark.fault(56, 59, 64)
def test_the_gate_exits_by_the_verdict_of_the_latest_run(checks, prodcheck):
    assert prodcheck("gate").code == 6
    checks.run("test_a.py")
    passed = prodcheck("gate", "--target", "prod", "--require", "smoke>=6", "--max-age", "1m")
    read_run = "pass: promote (no failures); read run "
    assert passed.code == 0
    assert passed.output.startswith(read_run)
    told = prodcheck("gate", LATEST, "--json")
    assert told.json["reason"].startswith(read_run)
    assert told.json == {"exit_code": 0, "verdict": "pass", "reason": told.json["reason"]}
    assert prodcheck("gate", f"{LATEST}/verdict.json").code == 0


@pytest.mark.fault(56, 59)
@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (["--target", "staging"], "the verdict is about target 'prod', not 'staging'"),
        (
            ["--commit", "3e68e18"],
            "the target reports no commit, so it is unknown if it is 3e68e18",
        ),
        (["--require", "smoke>=7"], "6 smoke checks passed, 7 are required"),
        (["--require", "smoke>=6", "--require", "contract>=1"], "0 contract checks passed"),
        (["--max-age", "0s"], "older than 0:00:00"),
    ],
)
def test_the_gate_lets_only_what_was_asked_for_through(checks, prodcheck, option, reason):
    checks.run("test_a.py")
    told = prodcheck("gate", *option, "--json")
    assert (told.code, told.json["exit_code"], told.json["verdict"]) == (6, 6, "inconclusive")
    assert reason in told.json["reason"]


@pytest.mark.fault(59)
def test_a_pass_is_good_for_an_hour(checks, prodcheck):
    checks.run("test_a.py")
    file = checks.path / LATEST / "verdict.json"
    content = verdict(file.parent)
    journal = file.with_name("journal.jsonl")
    written = journal.read_text()
    for started, code in (("59", 0), ("61", 6)):
        ago = _minutes_ago(int(started))
        file.write_text(json.dumps({**content, "started": ago}))
        assert prodcheck("gate").code == 6, "no more than the journal says"
        journal.write_text(written.replace(content["started"], ago))
        assert prodcheck("gate").code == code
    assert prodcheck("gate", "--max-age", "2h").code == 0


def _minutes_ago(minutes: int) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


def test_the_gate_of_a_failed_run_is_one_and_repeats_why(checks, prodcheck):
    checks.server.on("/page", answer("gone", 404))
    checks.server.on("/ok", json_answer({}, 500))
    assert checks.run("test_a.py").exit == 1
    told = prodcheck("gate")
    assert told.code == 1
    assert told.output.startswith("fail: hold (")
    assert "the score must be greater than 90" in told.output


def test_a_verdict_without_reasons_is_none(checks, prodcheck):
    checks.run("test_a.py")
    file = checks.path / LATEST / "verdict.json"
    content = verdict(file.parent)
    del content["reasons"]
    file.write_text(json.dumps(content))
    told = prodcheck("gate")
    assert told.code == 6
    assert "holds no verdict (KeyError: 'reasons')" in told.output


@pytest.mark.fault(148)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_a_violation_that_was_edited_out_is_found_in_the_journal(checks, prodcheck, workers):
    checks.write(
        "test_b.py",
        """
        import httpx, pytest

        @pytest.mark.smoke
        def test_sly(target):
            try:
                httpx.post(target.base_url + "/ok")
            except Exception:
                pass
            assert httpx.get(target.base_url + "/ok").status_code == 200
        """,
    )
    assert checks.run("test_a.py", "test_b.py", *workers).exit == 1
    file = checks.path / LATEST / "verdict.json"
    better = verdict(file.parent) | {"problems": [], "verdict": "pass", "decision": "promote"}
    better["checks"] = [check | {"outcome": "passed"} for check in better["checks"]]
    file.write_text(json.dumps(better))
    told = prodcheck("gate")
    assert told.code == 1
    assert "verdict.json differs from its journal: verdict pass, not fail (" in told.output
    assert "POST" in told.output


@pytest.mark.fault(148)
def test_merged_recovered_and_copied_runs_have_their_journal_with_them(checks, shards, prodcheck):
    assert prodcheck("gate", shards[0]).code == 6, "a part"
    assert prodcheck("merge", *shards, "--output", "merged").code == 0
    assert prodcheck("gate", "merged").code == 0
    folder = torn(checks, keep(checks, "killed"))
    assert prodcheck("recover", folder).code == 6
    told = prodcheck("gate", folder)
    assert told.code == 6
    assert "not what its journal says" not in told.output
    assert "was killed before its end" in told.output


def test_the_verdict_alone_can_be_uploaded(checks, prodcheck, tmp_path):
    checks.run("test_a.py")
    alone = tmp_path / "verdict.json"
    shutil.copy(checks.path / LATEST / "verdict.json", alone)
    assert prodcheck("gate", alone).code == 6
    assert prodcheck("gate", alone, "--no-journal", "--require", "smoke>=6").code == 0


# --- recover --------------------------------------------------------------------------------


def torn(project, kept: Path) -> Path:
    """As a kill leaves a run: no end, half a line, a verdict that says `running`, no page."""
    lines = (kept / "journal.jsonl").read_bytes().splitlines(keepends=True)
    reports = [n for n, line in enumerate(lines) if b'"kind":"report"' in line]
    (kept / "journal.jsonl").write_bytes(b"".join(lines[: reports[-3]]) + lines[reports[-3]][:40])
    content = verdict(kept)
    (kept / "verdict.json").write_text(json.dumps({**content, "state": "running"}))
    for name in ("report.html", "junit.xml", "summary.md"):
        (kept / name).unlink()
    return kept


@pytest.mark.fault(55, 112)
def test_what_a_killed_run_had_is_rendered(checks, prodcheck):
    checks.run("test_a.py")
    folder = torn(checks, keep(checks, "killed"))
    journal = (folder / "journal.jsonl").read_bytes()
    told = prodcheck("recover", folder, "--json")
    assert told.code == 6
    assert told.json == verdict(folder)
    assert told.json["state"] == "recovered"
    assert told.json["counts"] | {"passed": 5, "not_run": 1} == told.json["counts"]
    assert "was killed before its end" in told.json["reasons"][0]
    assert {path.name for path in folder.iterdir()} == FILES
    assert len(rows(folder)) == 5
    assert [case[2] for case in cases(folder) if case[1] == "verdict"] == [["failure"]]
    assert (folder / "journal.jsonl").read_bytes() == journal


@pytest.mark.fault(55, 112)
def test_a_run_that_was_killed_at_any_moment_is_recovered_to_no_pass(checks, prodcheck):
    """A kill leaves the journal up to any byte of it, and a verdict that says `running`."""
    checks.run("test_a.py")
    kept = keep(checks, "killed")
    written = (kept / "journal.jsonl").read_bytes()
    said = verdict(kept)
    begins = written.index(b"\n") + 1
    chance = random.Random(148)
    moments = {
        begins,
        len(written) - 1,
        len(written),
        *chance.choices(range(begins, len(written)), k=6),
    }
    for moment in sorted(moments):
        (kept / "journal.jsonl").write_bytes(written[:moment])
        (kept / "verdict.json").write_text(json.dumps({**said, "state": "running"}))
        for _ in range(2):
            told = prodcheck("recover", kept)
            assert told.code == 6, f"{moment} of {len(written)}: {told.output}"
            assert verdict(kept)["state"] == "recovered"
        assert prodcheck("gate", kept).code == 6


@pytest.mark.fault(112)
def test_to_recover_twice_says_the_same(checks, prodcheck):
    checks.run("test_a.py")
    folder = torn(checks, keep(checks, "killed"))
    first, second = (prodcheck("recover", folder) for _ in range(2))
    assert (first.code, first.output) == (second.code, second.output)
    assert "HOLD" in first.output
    once = verdict(folder)
    prodcheck("recover", folder)
    assert verdict(folder) == once
    assert len(once["problems"]) == 1


ALL_KINDS = """
    import pytest

    pytestmark = pytest.mark.smoke

    def test_ok(api):
        assert api.get("/ok").status_code == 200

    def test_failed(api):
        assert api.get("/gone").status_code == 200

    def test_skipped(api):
        pytest.skip("not today")

    @pytest.mark.xfail(reason="ticket 7")
    def test_expected(api):
        assert api.get("/gone").status_code == 200

    @pytest.mark.writes
    def test_not_permitted(api):
        assert api.post("/ok").status_code == 200
    """


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
def test_to_recover_or_merge_a_run_that_ended_changes_nothing(project, prodcheck, workers):
    project.write("test_a.py", ALL_KINDS)
    live = project.run("test_a.py", *workers)
    folder = keep(project, "copy")
    for _ in range(2):
        assert prodcheck("recover", folder).code == live.exit
        assert rows(folder) == rows(live.folder)
        assert cases(folder) == cases(live.folder)
        assert verdict(folder) == live.verdict
    assert prodcheck("merge", folder, "--output", "merged").code == live.exit
    merged = project.path / "merged"
    assert cases(merged) == cases(live.folder)
    assert verdict(merged)["problems"] == []
    assert verdict(merged)["metrics"] == live.verdict["metrics"]


def test_a_reporter_that_cannot_write_makes_recover_fail(checks, prodcheck, monkeypatch):
    checks.run("test_a.py")
    folder = keep(checks, "copy")

    def fail(*_):
        raise RuntimeError("no page today")

    monkeypatch.setattr("pytest_prodcheck.report.markdown.summary", fail)
    told = prodcheck("recover", folder, "--json")
    assert told.code == 1
    assert told.json["verdict"] == "fail"
    assert "summary.md is incomplete: RuntimeError('no page today')" in told.json["reasons"]


def test_a_journal_that_cannot_be_replayed_is_an_internal_error(checks, prodcheck, monkeypatch):
    checks.run("test_a.py")
    folder = keep(checks, "copy")
    monkeypatch.setattr("pytest.main", lambda *_, **__: 3)
    told = prodcheck("recover", folder)
    assert told.code == 3
    assert told.error == "prodcheck: pytest could not replay the journal: it ended with 3\n"


# --- merge: shards --------------------------------------------------------------------------


@pytest.fixture
def shards(checks):
    """Both parts of one run, and what the whole would have been."""
    checks.server.on("/page", answer("gone", 404))
    folders = []
    for part in (1, 2):
        checks.run("test_a.py", f"--prodcheck-shard={part}/2")
        folders.append(keep(checks, f"part{part}"))
    return folders


def test_a_merged_run_names_the_command_of_the_whole(checks, shards, prodcheck):
    told = prodcheck("merge", *shards, "--output", "merged")
    (again,) = [line for line in told.output.splitlines() if line.startswith("  again ")]
    assert again.endswith(" -o testpaths=test_a.py")
    assert "--prodcheck-shard" not in (checks.path / "merged" / "summary.md").read_text()


def test_the_parts_of_a_run_are_all_its_checks_each_once(checks, shards, prodcheck):
    ids = [{check["id"] for check in verdict(folder)["checks"]} for folder in shards]
    whole = checks.run("test_a.py")
    assert [len(part) for part in ids] == [3, 3]
    assert ids[0] | ids[1] == {check["id"] for check in whole.verdict["checks"]}

    told = prodcheck("merge", *shards, "--output", "merged", "--json")
    assert told.code == whole.exit == 0
    merged = checks.path / "merged"
    assert {path.name for path in merged.iterdir()} == FILES
    assert told.json == verdict(merged)
    assert (told.json["run_id"], told.json["state"]) == ("merged", "finished")
    for field in ("score", "verdict", "decision", "reasons", "counts", "categories", "target"):
        assert told.json[field] == whole.verdict[field]
    outcomes = {check["id"]: check["outcome"] for check in told.json["checks"]}
    assert outcomes == {check["id"]: check["outcome"] for check in whole.verdict["checks"]}
    assert rows(merged) == rows(whole.folder)
    assert cases(merged) == cases(whole.folder)
    page = "test_a.py::test_page"
    assert "/page" in evidence(merged)[page]
    assert prodcheck("gate", merged).code == 0


def test_a_merged_run_is_told_on_the_terminal_as_a_live_one_is(shards, prodcheck):
    told = prodcheck("merge", *shards, "--output", "merged")
    assert told.code == 0
    assert "PROMOTE" in told.output
    assert "merged" in told.output
    assert told.error == ""


def test_a_merged_run_that_promotes_is_the_last_good_one(checks, shards, prodcheck):
    assert last_good(checks.path / "runs", "prod") is None
    prodcheck("merge", *shards, "--output", "runs/merged")
    found = last_good(checks.path / "runs", "prod")
    assert found.newest.last.run_id == "merged"
    assert len(found.passed["local"]["smoke"].checks) == 5, "test_page has failed"

    prodcheck("merge", shards[0], "--output", "runs/part")
    assert last_good(checks.path / "runs", "prod") == found, "a part is not remembered"


def test_a_merged_run_does_not_displace_a_newer_one(checks, shards, prodcheck):
    newer = checks.run("test_a.py")
    base = checks.path / "prodcheck-report"
    before = last_good(base, "prod")
    assert before.newest.last.run_id == newer.verdict["run_id"]
    prodcheck("merge", *shards, "--output", base / "merged")
    assert last_good(base, "prod") == before


def test_a_merged_run_can_be_merged_and_recovered(checks, shards, prodcheck):
    prodcheck("merge", *shards, "--output", "merged")
    before = verdict(checks.path / "merged")
    assert prodcheck("recover", "merged").code == 0
    assert verdict(checks.path / "merged")["counts"] == before["counts"]
    assert prodcheck("merge", "merged", "--output", "again").code == 0


@pytest.mark.fault(48)
def test_a_missing_part_is_inconclusive(checks, shards, prodcheck):
    told = prodcheck("merge", shards[0], "--output", "merged", "--json")
    assert told.code == 6
    assert "part 2/2 of the run is missing (local)" in told.json["reasons"]
    told = prodcheck("merge", shards[0], shards[0], "--output", "twice", "--json")
    assert told.code == 6


@pytest.mark.fault(47)
def test_a_part_that_was_killed_is_inconclusive(checks, shards, prodcheck):
    torn(checks, shards[1])
    told = prodcheck("merge", *shards, "--output", "merged", "--json")
    assert told.code == 6
    assert any("was killed before its end" in reason for reason in told.json["reasons"])
    assert told.json["counts"]["not_run"] == 1


def test_a_part_that_failed_makes_the_whole_fail(checks, prodcheck):
    for part in (1, 2):
        checks.run("test_a.py", f"--prodcheck-shard={part}/2")
        keep(checks, f"part{part}")
        checks.server.on("/ok", answer("no", 500))
    told = prodcheck("merge", "part1", "part2", "--output", "merged", "--json")
    assert (told.code, told.json["verdict"]) == (1, "fail")
    assert "server.errors" in [finding["rule"] for finding in told.json["findings"]]


@pytest.mark.parametrize(
    ("configure", "options", "says"),
    [
        ({}, ["--prodcheck-threshold=95"], "another threshold than run {0} (95, not 90)"),
        ({"read_only": "false"}, [], "another read_only than run {0} (False, not True)"),
        ({"text": "[weights]\nminor = 2\n"}, [], "another weights than run {0} ("),
    ],
)
def test_runs_under_another_policy_are_refused(checks, prodcheck, configure, options, says):
    checks.run("test_a.py")
    first = keep(checks, "first")
    checks.configure(**configure)
    checks.run("test_a.py", *options)
    told = prodcheck("merge", first, LATEST, "--output", "merged")
    assert told.code == 4
    assert says.format(verdict(first)["run_id"]) in told.error
    assert "Only runs on one target under one policy can be merged." in told.error
    assert not (checks.path / "merged").exists()


def test_runs_on_another_target_are_refused(checks, prodcheck):
    checks.run("test_a.py")
    first = keep(checks, "first")
    checks.run("test_a.py", target=checks.server.url)
    told = prodcheck("merge", first, LATEST, "--output", "merged")
    assert told.code == 4
    assert "has another target than run" in told.error


@pytest.mark.parametrize("there", ["folder", "file"])
def test_a_place_that_is_taken_is_refused(checks, prodcheck, there):
    checks.run("test_a.py")
    if there == "folder":
        (checks.path / "merged").mkdir()
        (checks.path / "merged" / "mine.txt").write_text("mine")
        says = "merged is not empty. Name a new folder with --output DIR."
    else:
        (checks.path / "merged").write_text("mine")
        says = "merged cannot hold a run: File exists. Name another folder"
    told = prodcheck("merge", LATEST, "--output", "merged")
    assert told.code == 4
    assert says in told.error


@pytest.mark.fault(137)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["n0", "n2"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["-m", "smoke"], "has another -m (smoke, not none) than run "),
        (["-k", "test_ok"], "is not a whole part: "),
        (["--deselect", "test_a.py::test_page"], "is not a whole part: "),
        ("probe", "has another configuration of probes, limits than run "),
        ("file", "planned test_b.py::test_more, and run "),
    ],
    ids=["-m", "-k", "deselect", "configuration", "files"],
)
def test_parts_of_another_plan_are_refused(checks, prodcheck, change, says, workers):
    checks.run("test_a.py", "--prodcheck-shard=1/2", *workers)
    first = keep(checks, "part1")
    files, options = ["test_a.py"], change if isinstance(change, list) else []
    if change == "probe":
        checks.configure("[targets.prod.limits]\np95 = 2\n[[probes]]\nget = '/page'\nwithin = 2")
    elif change == "file":
        more = "import pytest\n\n@pytest.mark.smoke\ndef test_more(api):\n    assert api"
        checks.write("test_b.py", more)
        files.append("test_b.py")
    checks.run(*files, "--prodcheck-shard=2/2", *options, *workers)
    told = prodcheck("merge", first, LATEST, "--output", "merged")
    assert told.code == 4, told.output
    assert says in told.error
    assert not (checks.path / "merged").exists()


# --- merge: vantages ------------------------------------------------------------------------


def from_vantages(project, *behaviours) -> list[Path]:
    folders = []
    for vantage, behaviour in zip(("ci", "eu-west"), behaviours, strict=True):
        project.server.on("/page", behaviour)
        project.run("test_a.py", f"--prodcheck-vantage={vantage}")
        folders.append(keep(project, vantage))
    return folders


def test_vantages_that_agree_pass_and_each_check_says_from_where(checks, prodcheck):
    folders = from_vantages(checks, answer("fine"), answer("fine"))
    told = prodcheck("merge", *folders, "--output", "merged", "--json")
    assert (told.code, told.json["verdict"]) == (0, "pass")
    assert told.json["target"]["vantage"] == "ci, eu-west"
    ids = [check["id"] for check in told.json["checks"]]
    assert len(ids) == 12
    assert {id_.rpartition(" @")[2] for id_ in ids} == {"ci", "eu-west"}
    assert "test_a.py::test_page @eu-west" in ids
    merged = checks.path / "merged"
    assert set(rows(merged)) == set(ids)
    assert ("test_a", "test_page @ci", []) in cases(merged)
    remembered = last_good(checks.path, "prod").passed
    assert list(remembered) == ["ci", "eu-west"]
    assert "test_a.py::test_page" in remembered["ci"]["smoke"].checks


def test_vantages_that_disagree_are_inconclusive(checks, prodcheck):
    folders = from_vantages(checks, answer("fine"), answer("gone", 404))
    told = prodcheck("merge", *folders, "--output", "merged", "--json")
    assert (told.code, told.json["verdict"]) == (6, "inconclusive")
    assert told.json["reasons"] == [
        "the vantages disagree about test_a.py::test_page: passed from ci, failed from eu-west"
    ]


# --- demo -----------------------------------------------------------------------------------


def test_the_incidents_are_listed_for_people_and_programs(prodcheck):
    told = prodcheck("demo")
    assert told.code == 0
    listed = prodcheck("demo", "--json").json
    assert [incident["name"] for incident in listed] == list(INCIDENTS)
    lines = told.output.splitlines()
    assert len(lines) == 2 * len(INCIDENTS)
    for incident, first, second in zip(listed, lines[::2], lines[1::2], strict=True):
        assert set(incident) == {"name", "title", "document", "fact", "rule"}
        assert first.split(maxsplit=1) == [f"demo:{incident['name']}", incident["title"]]
        where = f"{incident['document']}, {incident['fact']}; named by {incident['rule']}"
        assert second.strip() == where
