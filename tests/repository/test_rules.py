"""The names of failures are a closed set, in one place, and each of them is used."""

import re
from pathlib import Path

import pytest

import pytest_prodcheck
from pytest_prodcheck.analysis.migrations import flaw
from pytest_prodcheck.checks.contract.violations import RULE_OF
from pytest_prodcheck.rules import NAMES, RULES, failure
from tests import ROOT

PACKAGE = Path(pytest_prodcheck.__file__).parent
SUITES = ROOT / "suites"


def sources() -> str:
    files = [*PACKAGE.rglob("*.py"), *SUITES.rglob("*.py")]
    return "\n".join(file.read_text() for file in files if file.name != "rules.py")


def test_a_rule_is_a_short_dotted_name_with_one_usual_reason():
    assert all(re.fullmatch(r"[a-z]+(\.[a-z0-9_]+)?", rule) for rule in RULES)
    assert len(RULES) == sum(map(len, NAMES.values()))


def test_each_rule_is_used():
    text = sources()
    assert [rule for rule in RULES if f'{rule.rpartition(".")[2]}"' not in text] == []


def test_rules_of_migrations_drifts_and_the_contract_are_among_them():
    names = re.findall(
        r'_drift\(\s*"(\w+)"', (PACKAGE / "analysis/sql_schema/drift.py").read_text()
    )
    names += re.findall(r'yield "(\w+)"', (PACKAGE / "analysis/sql_schema/policies.py").read_text())
    assert set(flaw.RULES) == {rule for rule in RULES if rule.startswith("migration.")}
    assert {f"schema.{name}" for name in names} == {
        rule for rule in RULES if rule.startswith("schema.")
    }
    assert set(RULE_OF.values()) < set(RULES)


def test_a_failure_has_the_title_and_reason_of_its_rule_unless_told_otherwise():
    usual = failure("drill.write_lost", "drill a", "the facts")
    assert (usual.title, usual.reason) == ("drill.write_lost", "drill")
    other = failure("status", "GET /", "the facts", title="", reason="server_error", status=500)
    assert (other.title, other.reason, other.status) == ("", "server_error", 500)


def test_an_unknown_rule_is_refused():
    with pytest.raises(KeyError):
        failure("no.such_rule", "GET /", "the facts")
