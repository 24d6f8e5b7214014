"""Arguments of markers: a typo is one sentence and exit 4, before anything is sent."""

import pytest

CHECK = """
    import pytest

    @pytest.mark.smoke
    @pytest.mark.{mark}
    def test_ok(api):
        assert api.get("/ok").status_code == 200

    @pytest.mark.smoke
    @pytest.mark.{mark}
    def test_again(api):
        assert api.get("/ok").status_code == 200
    """

CONFIGURED = "configured are prod, staging, demo"

WRONG = {
    'severity("critcal")': (
        "severity('critcal') on test_a.py::test_ok: 'critcal' is not a severity; "
        "did you mean 'critical'? use one of critical, major, minor"
    ),
    'severity("blocker")': "'blocker' is not a severity; use one of critical, major, minor",
    "severity(1)": "1 is not a severity; use one of critical, major, minor",
    "severity([])": "[] is not a severity; use one of critical, major, minor",
    "severity()": 'it takes one of critical, major, minor, as severity("critical")',
    'severity(level="minor")': "severity(level='minor') on test_a.py::test_ok: it takes one of",
    'severity("minor", "major")': "it takes one of critical, major, minor",
    'targets("prodd")': f"there is no target 'prodd'; did you mean 'prod'? {CONFIGURED}",
    'targets("Prod")': f"there is no target 'Prod'; did you mean 'prod'? {CONFIGURED}",
    'targets("prod", "qa")': f"there is no target 'qa'; {CONFIGURED}",
    'targets(["prod"])': f'it takes names of targets, as targets("staging", "local"); {CONFIGURED}',
    'targets(name="prod")': "targets(name='prod') on test_a.py::test_ok: it takes names of targets",
    "targets()": f'it takes names of targets, as targets("staging", "local"); {CONFIGURED}',
    "writes(False)": "writes(False) on test_a.py::test_ok: it takes no arguments",
    'offline("reads a file")': "it takes no arguments",
    'environment("critical")': 'write severity("critical") beside it',
    "operations(3)": "it takes operations, tags or ids, and regex=",
    'operations(rgex="a")': "it takes operations, tags or ids, and regex=",
    'operations(regex="(")': "regex='(' is not a regular expression: ",
}


@pytest.fixture
def project(project):
    project.configure('[targets.staging]\nextends = "prod"\n')
    return project


@pytest.mark.fault(25, 140)
@pytest.mark.parametrize("mark", WRONG)
def test_a_wrong_argument_is_one_sentence(project, mark):
    project.write("test_a.py", CHECK.format(mark=mark))
    outcome = project.run("test_a.py")
    assert outcome.exit == 4
    told = [line for line in outcome.output.splitlines() if line.startswith("ERROR: ")]
    assert len(told) == 1, outcome.output
    assert WRONG[mark] in told[0]
    assert "Traceback" not in outcome.output
    assert project.server.paths() == []


@pytest.mark.fault(140)
def test_a_wrong_argument_is_told_once_by_workers_too(project):
    project.write("test_a.py", CHECK.format(mark='targets("prodd")'))
    outcome = project.run("test_a.py", "-n", "2")
    assert outcome.exit == 4
    assert outcome.output.count("there is no target 'prodd'") <= 2  # an error, and the verdict
    assert project.server.paths() == []


@pytest.mark.parametrize(
    "mark",
    [
        'severity("minor")',
        'targets("prod", "staging", "demo")',
        "writes",
        "offline()",
        'operations("GET /**", regex="a")',
        "smoke(mustpass=True)",
    ],
)
def test_a_right_argument_is_taken(project, mark):
    project.configure('[targets.staging]\nextends = "prod"\n', read_only="false")
    project.write("test_a.py", CHECK.format(mark=mark))
    assert project.run("test_a.py").ruling == ("pass", 0)


def test_names_of_targets_are_not_known_without_a_configuration(project):
    (project.path / "prodcheck.toml").unlink()
    project.write("test_a.py", CHECK.format(mark='targets("prod")'))
    assert project.run("test_a.py", target=project.server.url).exit == 6


def test_an_entry_of_operations_that_means_none_is_named(project):
    (project.path / "openapi.json").write_text(
        '{"openapi": "3.1.0", "info": {"title": "a", "version": "1"}, "paths": {"/ok": {"get": '
        '{"responses": {"200": {"description": "all is well"}}}}}}'
    )
    project.configure(openapi='"openapi.json"')
    project.write(
        "test_a.py",
        """
        import pytest

        @pytest.mark.smoke
        def test_ok(api):
            assert api.get("/ok").status_code == 200

        @pytest.mark.contract
        @pytest.mark.operations("GET /okay")
        def test_operation(operation):
            operation.check()
        """,
    )
    outcome = project.run("test_a.py")
    assert outcome.ruling == ("inconclusive", 6)
    told = "operations('GET /okay') on test_a.py::test_operation means none of the operations"
    assert any(reason.startswith(told) for reason in outcome.verdict["reasons"])
