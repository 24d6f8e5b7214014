"""Configuration of one process of a run: the controller decides, the workers get its settings."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_prodcheck.checks import mark_expressions
from pytest_prodcheck.checks.context import RunContext, Workspace
from pytest_prodcheck.config import Secret, Settings, choose, describe, digests, load
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.guard.network import Guard, trusting
from pytest_prodcheck.guard.policy import Policy
from pytest_prodcheck.model import Policy as GatePolicy
from pytest_prodcheck.model import Run, TargetInfo
from pytest_prodcheck.redaction.redactor import Redactor, guard_logging, redactor_of, scrub
from pytest_prodcheck.session.builtin_suites import SuitesPlugin, name_suites
from pytest_prodcheck.session.collection import Collection
from pytest_prodcheck.session.evidence import EvidenceReports
from pytest_prodcheck.session.guard_lifetime import GuardLife, stand
from pytest_prodcheck.session.partial_run import CHOSEN, chosen_on_command_line
from pytest_prodcheck.session.plan import Plan
from pytest_prodcheck.session.release_query import ReleaseQuery
from pytest_prodcheck.session.scrubbing import Scrubber
from pytest_prodcheck.session.shared_fixtures import SharedFixtures
from pytest_prodcheck.session.worker_settings import pack, unpack
from pytest_prodcheck.store.last_good import passed_before, remembered
from pytest_prodcheck.store.run_directory import Folder, drop_latest
from pytest_prodcheck.verdict.known_failures import KnownFailures
from pytest_prodcheck.verdict.manifest import requirement

if TYPE_CHECKING:
    from pytest_prodcheck.service.service import Service


SECRETS = "secrets"
"""The file of the run's private folder that workers read them from, sealed."""


def start(config: pytest.Config, option: str | None) -> RunContext:
    """Read the configuration, give the guard its policy, register the objects that make up the run.

    Raises UsageError before anything is sent.
    """
    life = stand(config)
    shared: dict[str, Any] | None = getattr(config, "workerinput", {}).get("prodcheck")
    if shared:
        return _start_worker(config, shared, life.guard)
    base = config.invocation_params.dir / config.getoption("prodcheck_report")
    try:
        return _start_controller(config, option, base, life)
    except UsageError:
        drop_latest(base)
        raise


def _start_controller(
    config: pytest.Config, option: str | None, base: Path, life: GuardLife
) -> RunContext:
    from pytest_prodcheck.session.controller import Controller
    from pytest_prodcheck.session.reporters import Reports

    if not __debug__:
        raise UsageError(
            "Python runs without assertions (-O or PYTHONOPTIMIZE), so no check could fail; "
            "run it without"
        )
    choice = choose(option, os.environ)
    assert choice, "start() is called with a target only"
    root = config.invocation_params.dir
    settings = load(
        choice,
        root=root,
        environ=os.environ,
        threshold=config.getoption("prodcheck_threshold"),
    )
    if config.getoption("dist", "no") == "each":
        raise UsageError(
            "--dist each runs every check once per worker under one id; use --dist load, or "
            "--prodcheck-vantage and `prodcheck merge` for several points of view"
        )
    config.stash[CHOSEN] = chosen_on_command_line(config)
    shard = _shard(config.getoption("prodcheck_shard"))
    redactor = redactor_of(settings.secrets, os.environ)
    folder = Folder.create(base)
    log = _log(config) if settings.target.start else None
    service = _start_service(config, settings, redactor, log) if log else None
    if service:
        settings = _at(settings, service.base_url, log)
    head = Run(
        run_id=folder.run_id,
        started=datetime.now(UTC).isoformat(timespec="milliseconds"),
        target=TargetInfo(
            name=settings.target.name,
            base_url=settings.target.base_url,
            read_only=settings.target.read_only,
            vantage=config.getoption("prodcheck_vantage"),
        ),
        policy=GatePolicy(
            threshold=str(settings.threshold),
            weights=settings.weights,
            actions=settings.actions,
            veto=settings.veto,
            required=_required(settings.required, config.getoption("markexpr", "")),
            modes=settings.modes,
        ),
        good=remembered(base, settings.target.name),
        passed_before=passed_before(
            base, settings.target.name, config.getoption("prodcheck_vantage")
        ),
        command=redactor.text(shlex.join(["pytest", *config.invocation_params.args])),
        settings=tuple(describe(settings)),
        selection=config.getoption("markexpr", ""),
        configuration=digests(settings),
        shard=shard,
    )
    shared: dict[str, Any] = {
        "choice": choice,
        "root": str(root),
        "folder": str(folder.path),
        "shard": shard,
        "chosen": config.stash[CHOSEN],
    }
    if config.getoption("dist", "no") != "no":
        shared |= pack(settings, folder.work / SECRETS)
    plan = Plan(config, settings, folder.work, shard)
    context = _build(plan, config, settings, folder, redactor, life.guard, shared)
    reports = Reports(config, folder, redactor)
    controller = Controller(
        config,
        folder,
        head,
        redactor,
        reports,
        service,
        shared,
        context.throttle,
        ReleaseQuery.of(context),
        life,
    )
    config.pluginmanager.register(controller, "prodcheck-controller")
    config.pluginmanager.register(reports, "prodcheck-reports")
    _register(context, plan)
    config.hook.pytest_prodcheck_prepare(context=context)
    return context


def _log(config: pytest.Config) -> Path:
    """Return the service's log file, in a folder that is removed when pytest unconfigures.

    It is outside the run's folder: what the service prints is not redacted there.
    """
    folder = Path(tempfile.mkdtemp(prefix="prodcheck-"))
    config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
    return folder / "service.log"


def _start_service(
    config: pytest.Config, settings: Settings, redactor: Redactor, log: Path
) -> Service:
    """Start the target itself; it is stopped when pytest unconfigures."""
    from pytest_prodcheck.service.service import Service

    cwd = settings.file.parent if settings.file else config.invocation_params.dir
    try:
        with trusting():
            service = Service.start(settings.target, cwd=cwd, log=log)
    except UsageError as error:
        raise UsageError(scrub(str(error), redactor)) from None
    config.add_cleanup(service.stop)
    return service


def _start_worker(config: pytest.Config, shared: dict[str, Any], guard: Guard) -> RunContext:
    """Build the context from the controller's settings: a file that has changed since is not read
    again."""
    config.stash[CHOSEN] = shared["chosen"]
    folder = Folder(Path(shared["folder"]))
    settings = unpack(shared, folder.work / SECRETS)
    redactor = redactor_of(settings.secrets, os.environ)
    plan = Plan(config, settings, folder.work, shared["shard"])
    context = _build(plan, config, settings, folder, redactor, guard, shared)
    _register(context, plan)
    return context


def _build(
    plan: Plan,
    config: pytest.Config,
    settings: Settings,
    folder: Folder,
    redactor: Redactor,
    guard: Guard,
    shared: dict[str, Any],
) -> RunContext:
    """Build what all checks of this process use, and give the guard its policy."""
    context = RunContext(
        config=config,
        settings=settings,
        workspace=Workspace(path=folder.work),
        guard=guard,
        redactor=redactor,
        choice=shared["choice"],
        root=Path(shared["root"]),
        shard=shared["shard"],
        known=KnownFailures(settings.known, datetime.now(UTC).date()),
        report_problem=plan.complain,
        report_note=plan.note,
    )
    guard.settle(
        Policy.of(settings.target),
        folder.work / "violations.jsonl",
        limits=context.throttle,
        controller=getattr(config, "workerinput", {}).get("sock_port"),
    )
    return context


def _register(context: RunContext, plan: Plan) -> None:
    """Register the hooks of this process, last of all: what they clean, others see clean."""
    config = context.config
    shared = SharedFixtures(context)
    scrubber = Scrubber(config, context.redactor, context.work)
    plugins = {
        "suites": SuitesPlugin(run_all=name_suites(config)),
        "collection": Collection(context, plan),
        "scrubber": scrubber,
        "evidence": EvidenceReports(context, plan, shared, scrubber),
        "shared-fixtures": shared,
    }
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, f"prodcheck-{name}")
    config.add_cleanup(guard_logging(context.redactor))
    config.add_cleanup(context.close)


def _at(settings: Settings, base_url: str, log: Path | None) -> Settings:
    """Return the same settings with the target, and its database, where they really are."""
    target = msgspec.structs.replace(settings.target, base_url=base_url)
    if log and target.database:
        from pytest_prodcheck.service.service import data_of

        url = target.database.reveal().replace("{folder}", str(data_of(log)))
        target = msgspec.structs.replace(target, database=Secret(url, target.database.name))
    return msgspec.structs.replace(settings, target=target)


def _required(manifest: tuple[str, ...], expression: str) -> tuple[str, ...]:
    """Return the manifest without the categories that `-m` leaves out."""

    def applies(wanted: str) -> bool:
        return ">=" not in wanted or mark_expressions.may_plan(expression, requirement(wanted)[0])

    return tuple(filter(applies, manifest))


def _shard(text: str | None) -> str | None:
    """`I/N` with 1 <= I <= N, or None. Raises UsageError."""
    if text is None:
        return None
    part, _, whole = text.partition("/")
    if part.isdecimal() and whole.isdecimal() and 1 <= int(part) <= int(whole):
        return f"{int(part)}/{int(whole)}"
    raise UsageError(f"--prodcheck-shard {text} is not I/N with 1 <= I <= N; write it like 1/3")
