"""Report files of a run: pytest's own reporters write them, we put the verdict on top.

pytest-html and pytest's JUnit writer follow the run through the usual hooks. They write to
a file beside the real one, each on its own: one that fails takes nobody down, and a kill
leaves an old file or a new one, never half of one.
"""

from __future__ import annotations

import contextlib
import inspect
import shutil
from collections.abc import Callable, Generator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_prodcheck.model import Exchange, Problem, Run, Verdict
from pytest_prodcheck.redaction.redactor import Redactor
from pytest_prodcheck.report import html, junit, markdown
from pytest_prodcheck.session.subtests import Subtests
from pytest_prodcheck.store.run_directory import Folder

ENVIRONMENT = ("Python", "Platform", "Packages", "Plugins")
"""What pytest-html's environment table may show: CI variables carry credentials in URLs."""


_REPORTERS = {"report.html": "pytest_html", "junit.xml": "_pytest.junitxml"}
"""File -> the module whose object writes it."""


class Reports:
    """Writes `report.html`, `junit.xml` and `summary.md` into a run's folder."""

    def __init__(
        self, config: pytest.Config, folder: Folder, redactor: Redactor | None = None
    ) -> None:
        self._config = config
        self._redactor = redactor or Redactor()
        self._folder = folder
        self._ruling: tuple[Run, Verdict] | None = None
        self._written: dict[str, Path] = {}
        self._reporters: dict[str, tuple[Any, str | None]] = {}
        self._failed: dict[str, Exception] = {}
        self._subtests = Subtests()
        self._titled: Any = None
        if hasattr(config.option, "htmlpath"):
            self._written["report.html"] = self._aim("htmlpath", ".report.html.new")
            config.option.self_contained_html = True
            config.option.css = [*config.option.css, str(html.STYLE)]
        if hasattr(config.option, "xmlpath"):
            self._written["junit.xml"] = self._aim("xmlpath", ".junit.xml.new")

    def _aim(self, option: str, name: str) -> Path:
        """Point a reporter at the run's folder; a path that the user gave stays theirs, and gets
        copied."""
        path = getattr(self._config.option, option) or str(self._folder.path / name)
        setattr(self._config.option, option, path)
        return self._config.invocation_params.dir / path

    # --- what pytest-html asks while it writes ---

    # Outermost, so that what other plugins have added is cleaned as well.

    @pytest.hookimpl(optionalhook=True, wrapper=True, tryfirst=True)
    def pytest_html_report_title(self, report: Any) -> Generator[None, object, object]:
        """Keep what holds the title: what it says is known at the end."""
        self._titled = report
        result = yield
        report.title = self._redactor.text(str(report.title))
        return result

    @pytest.hookimpl(optionalhook=True, wrapper=True, tryfirst=True)
    def pytest_html_results_summary(
        self, prefix: list[str], summary: list[str], postfix: list[str]
    ) -> Generator[None, object, object]:
        if self._ruling:
            self._titled.title = html.title(*self._ruling)
            prefix[:] = [html.summary(*self._ruling)]
        result = yield
        for texts in (prefix, summary, postfix):
            self._clean(texts)
        self._titled.title = self._redactor.text(str(self._titled.title))
        return result

    @pytest.hookimpl(optionalhook=True, wrapper=True, tryfirst=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> Generator[None, object, object]:
        result = yield
        self._clean(cells)
        return result

    @pytest.hookimpl(optionalhook=True, wrapper=True, tryfirst=True)
    def pytest_html_results_table_row(self, cells: list[str]) -> Generator[None, object, object]:
        html.row(cells)
        result = yield
        self._clean(cells)
        return result

    @pytest.hookimpl(optionalhook=True, wrapper=True, tryfirst=True)
    def pytest_html_results_table_html(self, data: list[str]) -> Generator[None, object, object]:
        result = yield
        self._clean(data)
        return result

    def _clean(self, texts: list[Any]) -> None:
        """Take secrets out of a list that belongs to a reporter, in place."""
        clean = self._redactor.data(texts)
        if clean is not texts:
            texts[:] = clean

    # --- the reporters, each on its own ---

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Take the reporters over from pytest: one that raises must not stop another."""
        self._trim_environment()
        if cache := getattr(self._config, "cache", None):
            html.keep_compiled_templates(cache.mkdir("prodcheck-templates"))
        manager = self._config.pluginmanager
        for plugin in list(manager.get_plugins()):
            for name, module in _REPORTERS.items():
                if name in self._written and type(plugin).__module__.startswith(module):
                    self._reporters[name] = plugin, manager.get_name(plugin)
                    manager.unregister(plugin)
        self._tell("pytest_sessionstart", session=session)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._tell("pytest_collection_finish", session=session)

    @pytest.hookimpl(trylast=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._tell("pytest_collectreport", report=report)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        facts = getattr(report, "prodcheck", None) or {}
        shown = () if report.passed else facts.get("exchanges", ())
        exchanges = msgspec.convert(shown, tuple[Exchange, ...])
        # What other plugins have added since the report was made.
        self._clean(report.sections)
        self._clean(report.user_properties)
        given = self._redactor.data(getattr(report, "extras", []))
        report.extras = html.extras(given, exchanges, report.nodeid)  # type: ignore[attr-defined]
        for one in self._subtests.folded(report):
            self._tell("pytest_runtest_logreport", report=one)

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: object) -> None:
        self._tell("pytest_internalerror", excrepr=excrepr)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Give them back: the plugins that own them unregister them now."""
        for plugin, name in self._reporters.values():
            self._config.pluginmanager.register(plugin, name)

    def _tell(self, hook: str, **facts: Any) -> None:
        for file in self._reporters:
            try:
                self._call(file, hook, **facts)
            except Exception as error:
                self._failed.setdefault(file, error)

    def _call(self, file: str, hook: str, **facts: Any) -> None:
        """Call a reporter's method as pytest would, with those of *facts* that it asks for."""
        method = getattr(self._reporters[file][0], hook, None)
        if method:
            method(**{name: facts[name] for name in _asked(method.__func__) if name in facts})

    # --- the end of the run ---

    def write(self, session: pytest.Session, run: Run, verdict: Verdict) -> list[Problem]:
        """Write each file on its own; what failed comes back as problems of the run."""
        self._ruling = run, verdict
        writers: dict[str, Callable[[Path], object]] = {
            "summary.md": lambda part: part.write_text(markdown.summary(run, verdict), "utf-8"),
        }
        for file in self._reporters:
            writers[file] = partial(self._write_by_reporter, file, session)
        for file, writer in writers.items():
            try:
                self._folder.replace(file, writer)
            except Exception as error:
                self._failed.setdefault(file, error)
                with contextlib.suppress(OSError):  # no file rather than an older word
                    (self._folder.path / file).unlink(missing_ok=True)
        return [
            Problem(what="report", detail=f"{file} is incomplete: {error!r}")
            for file, error in self._failed.items()
        ]

    def _trim_environment(self) -> None:
        """Trim it at the start, before it is printed, and at the end: xdist's workers add
        theirs."""
        # Not by the plugin manager: pytest-html reads it even with `-p no:metadata`.
        plugin: Any = import_module("pytest_metadata.plugin")
        metadata: dict[str, Any] = self._config.stash.setdefault(plugin.metadata_key, {})
        for name in set(metadata).difference(ENVIRONMENT):
            del metadata[name]
        metadata.update(self._redactor.data(dict(metadata)))

    def _write_by_reporter(self, file: str, session: pytest.Session, part: Path) -> None:
        if file == "junit.xml":  # `record_testsuite_property` goes past every report
            self._clean(self._reporters[file][0].global_properties)
        else:
            self._trim_environment()
        self._call(file, "pytest_sessionfinish", session=session)
        source = self._written[file]
        if source.parent == self._folder.path:
            source.replace(part)
        else:
            shutil.copyfile(source, part)
        if file == "junit.xml" and self._ruling:
            part.write_text(junit.with_verdict(part.read_text("utf-8"), *self._ruling), "utf-8")


@cache
def _asked(function: Callable[..., None]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)
