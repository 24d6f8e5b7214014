"""Configuration of one process of a run: what the controller decides, the workers are told."""

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
from pytest_prodcheck.config import Secret, Settings, choose, describe, digests, load
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.guard.network import Guard, trusting
from pytest_prodcheck.model import Policy, Release, Run, TargetInfo
from pytest_prodcheck.redaction.redactor import Redactor, guard_logging, redactor_of, scrub
from pytest_prodcheck.session.builtin_suites import SuitesPlugin, name_suites
from pytest_prodcheck.session.guard_lifetime import GuardLife, stand
from pytest_prodcheck.session.inspector import Inspector
from pytest_prodcheck.session.partial_run import CHOSEN, chosen_on_command_line
from pytest_prodcheck.session.worker_settings import pack, unpack
from pytest_prodcheck.store.last_good import passed_before, remembered
from pytest_prodcheck.store.run_directory import Folder, drop_latest
from pytest_prodcheck.verdict.manifest import requirement

if TYPE_CHECKING:
    from pytest_prodcheck.service.service import Service
    from pytest_prodcheck.session.controller import ReleaseQuery


SECRETS = "secrets"
"""The file of the run's private folder that workers read them from, sealed."""


def start(config: pytest.Config, option: str | None) -> Inspector:
    """Read the configuration, tell the guard its policy, register the objects that make up the run.

    Raises UsageError before anything is sent.
    """
    life = stand(config)
    told: dict[str, Any] | None = getattr(config, "workerinput", {}).get("prodcheck")
    if told:
        return _start_worker(config, told, life.guard)
    base = config.invocation_params.dir / config.getoption("prodcheck_report")
    try:
        return _start_controller(config, option, base, life)
    except UsageError:
        drop_latest(base)
        raise


def _start_controller(
    config: pytest.Config, option: str | None, base: Path, life: GuardLife
) -> Inspector:
    from pytest_prodcheck.session.controller import Recorder
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
        policy=Policy(
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
    told: dict[str, Any] = {
        "choice": choice,
        "root": str(root),
        "folder": str(folder.path),
        "shard": shard,
        "chosen": config.stash[CHOSEN],
    }
    if config.getoption("dist", "no") != "no":
        told |= pack(settings, folder.work / SECRETS)
    inspector = Inspector(config, settings, folder, redactor, shard, choice, root, life.guard)
    reports = Reports(config, folder, redactor)
    recorder = Recorder(
        config,
        folder,
        head,
        redactor,
        reports,
        service,
        told,
        inspector.chain,
        _release_query(inspector),
        life,
    )
    config.pluginmanager.register(recorder, "prodcheck-recorder")
    config.pluginmanager.register(reports, "prodcheck-reports")
    _begin(config, inspector, redactor)
    alone = config.getoption("dist", "no") == "no" and not config.option.collectonly
    if alone and settings.target.probes:
        inspector.fork_sender()
    return inspector


def _log(config: pytest.Config) -> Path:
    """The service's log, in a folder that is gone when pytest takes leave of its plugins.

    It is outside the run's folder: what the service prints is not redacted there.
    """
    folder = Path(tempfile.mkdtemp(prefix="prodcheck-"))
    config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
    return folder / "service.log"


def _start_service(
    config: pytest.Config, settings: Settings, redactor: Redactor, log: Path
) -> Service:
    """The target itself, stopped when pytest takes leave of its plugins."""
    from pytest_prodcheck.service.service import Service

    cwd = settings.file.parent if settings.file else config.invocation_params.dir
    try:
        with trusting():
            service = Service.start(settings.target, cwd=cwd, log=log)
    except UsageError as error:
        raise UsageError(scrub(str(error), redactor)) from None
    config.add_cleanup(service.stop)
    return service


def _release_query(inspector: Inspector) -> ReleaseQuery:
    """How to learn what is deployed: where the configuration says, at once; else from what the
    answers of the run have told by its end, and if none was about the service, from its health."""
    from pytest_prodcheck.session.controller import ReleaseQuery

    target = inspector.target
    told_by_answers = False

    def ask() -> Release:
        from pytest_prodcheck.service.release import place_of_release

        nonlocal told_by_answers
        seen = inspector.release_seen
        told_by_answers = bool(seen and seen.is_told)
        if seen and (seen.is_told or not place_of_release(target)):
            return seen.release()
        return ask_anew()

    def ask_again() -> Release:
        return ask_anew() if target.release or told_by_answers else Release()

    def ask_anew() -> Release:
        from pytest_prodcheck.service.release import place_of_release, read

        if not (place := target.release or place_of_release(target)):
            return Release()
        with inspector.connect() as client:
            return read(client, place)

    return ReleaseQuery(ask, ask_again, at_once=target.release is not None)


def _start_worker(config: pytest.Config, told: dict[str, Any], guard: Guard) -> Inspector:
    """The controller's own settings: a file that has changed since is not read again."""
    config.stash[CHOSEN] = told["chosen"]
    folder = Folder(Path(told["folder"]))
    settings = unpack(told, folder.work / SECRETS)
    redactor = redactor_of(settings.secrets, os.environ)
    inspector = Inspector(
        config,
        settings,
        folder,
        redactor,
        told["shard"],
        told["choice"],
        Path(told["root"]),
        guard,
    )
    _begin(config, inspector, redactor)
    return inspector


def _begin(config: pytest.Config, inspector: Inspector, redactor: Redactor) -> None:
    """Last of all: what the inspector cleans has to be clean when others see it."""
    suites = SuitesPlugin(run_all=name_suites(config))
    config.pluginmanager.register(suites, "prodcheck-suites")
    config.pluginmanager.register(inspector, "prodcheck-inspector")
    config.pluginmanager.register(inspector.shared, "prodcheck-shared-fixtures")
    config.add_cleanup(guard_logging(redactor))
    config.add_cleanup(inspector.close)


def _at(settings: Settings, base_url: str, log: Path | None) -> Settings:
    """The same settings with the target, and its database, where they really are."""
    target = msgspec.structs.replace(settings.target, base_url=base_url)
    if log and target.database:
        from pytest_prodcheck.service.service import data_of

        url = target.database.reveal().replace("{folder}", str(data_of(log)))
        target = msgspec.structs.replace(target, database=Secret(url, target.database.name))
    return msgspec.structs.replace(settings, target=target)


def _required(manifest: tuple[str, ...], expression: str) -> tuple[str, ...]:
    """The manifest without what is about a category that `-m` leaves out."""

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
