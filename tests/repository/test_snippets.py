"""Every snippet of README and docs is true: configuration loads, tests run, commands exist, and the
pipeline lets a good release through."""

import contextlib
import io
import os
import re
import shlex
import sqlite3
import tomllib
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from pytest_prodcheck import cli
from pytest_prodcheck.config import load
from pytest_prodcheck.config.known import known_failures
from tests import ROOT
from tests.environment import make_environment, run
from tests.faulty import answer, json_answer
from tests.project import Project

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMIT = "3e68e18c4b3e5d0f9a7b6c5d4e3f2a1b0c9d8e7f"


@dataclass(frozen=True)
class Snippet:
    """A block of code, or one command, and where it stands."""

    place: str
    text: str


def blocks(language: str) -> list[Snippet]:
    found = []
    for page in PAGES:
        content = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", content, re.M | re.S):
            line = content[: match.start()].count("\n") + 1
            found.append(Snippet(f"{page.name}:{line}", match[1]))
    return found


def commands() -> list[Snippet]:
    """Lines of code, and code within a sentence, that begin with one of our two commands."""
    found = []
    for page in PAGES:
        if page.name == "faults.md":
            continue  # a table of what may go wrong, which is not written to be typed
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            texts = re.findall(r"`((?:pytest|prodcheck) [^`]+)`", line)
            if match := re.match(r"(?:    +|- run: )((?:pytest|prodcheck) .+)", line):
                texts.append(match[1])
            for part, text in enumerate(texts):
                found.append(Snippet(f"{page.name}:{number}.{part}", text))
    return found


def each(snippets: list[Snippet]) -> pytest.MarkDecorator:
    assert snippets
    return pytest.mark.parametrize("snippet", snippets, ids=lambda one: one.place)


# --- configuration


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that has the files that snippets name, and their variables."""
    (tmp_path / "migrations").mkdir()
    for name in ("001_journal", "002_users", "003_tiers"):
        (tmp_path / "migrations" / f"{name}.sql").write_text("SELECT 1;\n")
    (tmp_path / "seed.sql").touch()
    (tmp_path / "schema.toml").write_text(schema())
    for name in re.findall(r"\$\{(\w+)\}", "".join(page.read_text("utf-8") for page in PAGES)):
        kind = "DATABASE" in name
        monkeypatch.setenv(
            name, f"postgresql://u:a-password@127.0.0.1/{name}" if kind else "a-secret-value"
        )
    return tmp_path


def schema() -> str:
    """The block that says what tables are expected: a file of its own."""
    return next(one.text for one in blocks("toml") if "tables" in tomllib.loads(one.text))


def completed(text: str) -> str:
    """The snippet with what it leaves out: an address, and the flags that its drills switch."""
    written = tomllib.loads(text)
    if "drills" in written and "flags" not in written:
        text += next(one.text for one in blocks("toml") if "flags" in tomllib.loads(one.text))
    targets = written.get("targets", {})
    for name in [name for name, target in targets.items() if "base_url" not in target]:
        here, url = f"[targets.{name}]\n", f'base_url = "https://{name}.example.com"\n'
        text = text.replace(here, here + url, 1) if here in text else text + here + url
    return text if targets else f'{text}\n[targets.prod]\nbase_url = "https://api.example.com"\n'


@each(blocks("toml"))
def test_configuration_is_read(snippet: Snippet, folder: Path) -> None:
    written = tomllib.loads(snippet.text)
    if "known" in written:
        (folder / "known.toml").write_text(snippet.text)
        assert len(known_failures(folder)) == len(written["known"])
        return
    text = '[database]\nschema = "schema.toml"\n' if "tables" in written else snippet.text
    (folder / "prodcheck.toml").write_text(completed(text))
    for name in tomllib.loads(completed(text))["targets"]:
        settings = load(name, root=folder, environ=os.environ)
        assert settings.target.name == name
        if "tables" in written:
            assert settings.database
            assert {one.name for one in settings.database.tables} == set(written["tables"])


# --- tests


@pytest.fixture
def shop(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project and a service for which the tests of the pages are written."""
    operation = {"get": {"responses": {"200": {"description": "fine"}}}}
    paths = {"/admin/users": operation, "/orders": operation}
    project.server.on(
        "/openapi.json", json_answer({"openapi": "3.1.0", "info": {}, "paths": paths})
    )
    project.server.on("/admin/users", json_answer([])).on("/orders", json_answer([]))
    project.server.on("/login", answer("<h1>Sign in</h1>", content_type="text/html"))
    project.server.on("/account", json_answer({"name": "checker"}))
    monkeypatch.setenv("CHECKER_PASSWORD", "a-secret-value")
    database = project.path / "shop.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE journal_entries (id INTEGER, user_id TEXT)")
    (project.path / "migrations").mkdir()
    project.write("migrations/001_journal.sql", "-- ticket 4711\nCREATE TABLE IF NOT EXISTS a (b);")
    project.configure(
        '[migrations]\nfolder = "migrations"\napplied = ""\n',
        openapi='"/openapi.json"',
        database=f'"sqlite:///{database}"',
    )
    return project


@each(blocks("python"))
def test_a_test_passes_where_what_it_asserts_is_true(snippet: Snippet, shop: Project) -> None:
    shop.write("test_page.py", f"import pytest\n{snippet.text}")
    if "mark.writes" in snippet.text:
        file = shop.path / "prodcheck.toml"
        file.write_text(file.read_text().replace("base_url", "read_only = false\nbase_url", 1))
    outcome = shop.run("test_page.py")
    checks = outcome.verdict["checks"]
    assert checks, outcome.output
    assert {check["outcome"] for check in checks} == {"passed"}, outcome.output


# --- commands


@each([one for one in commands() if one.text.startswith("prodcheck ")])
def test_a_command_of_prodcheck_exists_with_its_options(snippet: Snippet) -> None:
    words = shlex.split(snippet.text, comments=True)[1:]
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            cli._parser().parse_args(words)
    except SystemExit:
        # Within a sentence a command may stand without what it is about: `prodcheck merge`.
        assert re.search("arguments are required|expected one argument", told.getvalue())


@each([one for one in commands() if one.text.startswith("pytest ")])
def test_a_command_of_pytest_has_such_options_and_targets(
    snippet: Snippet, project: Project
) -> None:
    project.server.on("/health", json_answer({"status": "healthy"}))
    (project.path / "prodcheck.toml").write_text(
        f'[targets.prod]\nbase_url = "{project.server.url}"\n'
        'health = "/health"\n[[probes]]\nget = "/ok"\n[targets.staging]\nextends = "prod"\n'
    )
    words = shlex.split(snippet.text.replace("https://api.example.com", project.server.url), True)
    (target,) = [word.partition("=")[2] for word in words if word.startswith("--target=")]
    rest = [word for word in words[1:] if not word.startswith("--target=")]
    outcome = project.run(*rest, "--collect-only", target=target)
    assert outcome.exit == 6, outcome.output
    assert outcome.verdict["problems"] == [] or target.startswith("http"), outcome.output


@pytest.mark.parametrize("script", ["demo", "test"])
def test_the_scripts_that_readme_names_are_there(script: str) -> None:
    assert f"    scripts/{script} " in (ROOT / "README.md").read_text("utf-8")
    assert (ROOT / "scripts" / script).stat().st_mode & 0o100


@each(blocks("sql"))
def test_sql_is_run_by_postgresql(snippet: Snippet, postgres: str) -> None:
    import psycopg

    url = postgres.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE journal_entries (id bigint)")
        connection.execute(snippet.text)
        connection.rollback()


# --- the pipeline


def test_the_pipeline_of_readme_passes_in_a_fresh_project(project: Project) -> None:
    """Its configuration, its test and its commands, in a project with `.venv` inside."""
    server = project.server
    health = {"status": "healthy", "config_loaded": True, "commit": COMMIT}
    server.on("/health", json_answer(health)).on("/login", answer("Sign in"))
    readme = {
        language: [one.text for one in blocks(language) if one.place.startswith("README.md")]
        for language in ("toml", "python", "yaml")
    }
    configuration = readme["toml"][0].replace("https://api.example.com", server.url)
    (project.path / "prodcheck.toml").write_text(configuration)
    (project.path / "test_login.py").write_text(readme["python"][0])
    python = make_environment(project.path / ".venv")
    environ = {
        "PATH": f"{python.parent}:/usr/bin:/bin",
        "PROD_TOKEN": "a-secret-value",
        "GITHUB_SHA": COMMIT,
    }
    steps = yaml.safe_load(dedent(readme["yaml"][0]))
    ran = [step["run"] for step in steps if "run" in step]
    assert len(ran) > 1
    for command in ran:
        done = run("/bin/sh", "-euc", command, cwd=project.path, **environ)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
    assert done.stdout.startswith("pass: promote")
    kept = [step["with"]["path"] for step in steps if "with" in step]
    assert [(project.path / path / "report.html").exists() for path in kept] == [True]
    # The same commands stop a release that is not the one, or not good.
    environ["GITHUB_SHA"] = "0264059"
    assert run("/bin/sh", "-euc", ran[-1], cwd=project.path, **environ).returncode == 6
    server.on("/health", json_answer({**health, "status": "degraded"}))
    assert [
        run("/bin/sh", "-euc", command, cwd=project.path, **environ).returncode
        for command in ran[-2:]
    ] == [1, 6]
