"""The pytest plugin. Without `--target` it only declares names.

It has options, configuration, and the fixtures that do not belong to a kind of check. Each kind has
a plugin of its own below `checks/`; `session.bootstrap` registers the parts of a run.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_prodcheck.checks import hookspecs
from pytest_prodcheck.checks.context import CONTEXT, context_of
from pytest_prodcheck.session.assertion_rewriting import import_plainly

if TYPE_CHECKING:
    from pytest_prodcheck.config import Target
    from pytest_prodcheck.http.client import LiveClient
    from pytest_prodcheck.measuring import Measure

CHECK_PLUGINS = (
    "pytest_prodcheck.checks.probes.plugin",
    "pytest_prodcheck.checks.contract.plugin",
    "pytest_prodcheck.checks.compatibility.plugin",
    "pytest_prodcheck.checks.modes.plugin",
    "pytest_prodcheck.checks.drills.plugin",
    "pytest_prodcheck.checks.database.plugin",
    "pytest_prodcheck.checks.migrations.plugin",
)
"""The kinds of checks, each a plugin of its own."""

pytest_plugins = CHECK_PLUGINS

MARKERS = (
    "smoke: quick checks right after a deploy",
    "contract: the API behaves as its specification says",
    "rollback: a rollback works",
    "environment: runs inside the deployed container or host",
    "severity(level): critical, major (default) or minor",
    "writes: sends unsafe requests; not permitted on a read-only target",
    "targets(*names): this check exists on these targets only",
    "operations(*entries, regex=None): the operations for which a test of `operation` is run",
    "offline: sends no request, on purpose; without the mark such a check proves nothing and fails",
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks by which a kind of check adds its needs to the plan."""
    pluginmanager.add_hookspecs(hookspecs)


# --- options ---------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Install the guard if a target seems to be chosen, so that later imports are guarded too."""
    config: pytest.Config = pluginmanager.getplugin("pytestconfig")
    _guard_if_chosen(config, parser)


def _guard_if_chosen(config: pytest.Config, parser: pytest.Parser) -> None:
    """Install the guard if a target is chosen; otherwise import no module of ours."""
    words = [*map(str, config.invocation_params.args)]
    words += os.environ.get("PYTEST_ADDOPTS", "").split()
    with contextlib.suppress(ValueError):  # not read yet
        words += config.getini("addopts")
    options = {word.partition("=")[0] for word in words}
    chosen = "PRODCHECK_TARGET" in os.environ or "--prodcheck-target" in options
    if not chosen and "--target" not in options:
        return
    from pytest_prodcheck.session.guard_lifetime import stand, stand_down
    from pytest_prodcheck.session.stale_verdict import invalidate_latest

    if chosen or not _is_taken(parser):
        stand(config)
        invalidate_latest(config, words)
    else:
        stand_down(config)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser
) -> Generator[None]:
    """Declare options after every plugin and conftest, which may have their own `--target`."""
    _guard_if_chosen(early_config, parser)
    yield
    _guard_if_chosen(early_config, parser)
    group = parser.getgroup("prodcheck", "the verdict after a deploy")
    group.addoption(
        *(["--prodcheck-target"] if _is_taken(parser) else ["--target", "--prodcheck-target"]),
        dest="prodcheck_target",
        metavar="NAME|URL",
        help="the environment to check: a target of prodcheck.toml, a URL (read-only), "
        "or `demo`; the same as PRODCHECK_TARGET",
    )
    group.addoption(
        "--prodcheck-threshold",
        metavar="SCORE",
        help="the score must be greater than this; overrides `threshold` (default 90)",
    )
    group.addoption(
        "--prodcheck-report",
        metavar="DIR",
        default="prodcheck-report",
        help="where runs are written (default: %(default)s)",
    )
    group.addoption(
        "--prodcheck-vantage",
        metavar="NAME",
        default="local",
        help="the place from which this run tests, for instance ci or eu-west "
        "(default: %(default)s)",
    )
    group.addoption(
        "--prodcheck-shard",
        metavar="I/N",
        help="this run is part I of N of one run; `prodcheck merge` joins them",
    )


def _is_taken(parser: pytest.Parser) -> bool:
    """Return True if another plugin or a conftest has a `--target` of its own."""
    try:
        _, unknown = parser.parse_known_and_unknown_args(["--target=prodcheck"])
    except pytest.UsageError:
        return True
    return "--target=prodcheck" not in unknown


# --- configuration ---------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    option = config.getoption("prodcheck_target", None)
    chosen = option is not None or "PRODCHECK_TARGET" in os.environ
    if not chosen or config.option.help:
        if "pytest_prodcheck.session.guard_lifetime" in sys.modules:
            from pytest_prodcheck.session.guard_lifetime import stand_down

            stand_down(config)
        return

    config.add_cleanup(import_plainly())
    # Loading modules makes no garbage: without collection a short run is a tenth faster.
    collecting = gc.isenabled()
    gc.disable()
    try:
        from pytest_prodcheck.errors import UsageError
        from pytest_prodcheck.session.bootstrap import start

        try:
            config.stash[CONTEXT] = start(config, option)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
        # Loaded modules stay: each full collection (pytest does some) then skips them.
        gc.freeze()
    finally:
        if collecting:
            gc.enable()


# --- fixtures --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """Return the target of the run: `target.name`, `target.base_url`, `target.read_only`."""
    return context_of(request).target


@pytest.fixture
def api(request: pytest.FixtureRequest) -> Generator[LiveClient]:
    """Yield a guarded `httpx.Client` for the target: `api.get("/health")`."""
    with context_of(request).client(request.node) as client:
        yield client


@pytest.fixture(scope="session")
def api_session(request: pytest.FixtureRequest) -> Generator[LiveClient]:
    """Yield a guarded `httpx.Client` for all tests of a process: log in once, cookies stay."""
    with context_of(request).shared_client() as client:
        yield client


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Record a figure, for the report and for `[[actions]]`: `measure("queue.length", 3)`."""
    return partial(context_of(request).measure, request.node)
