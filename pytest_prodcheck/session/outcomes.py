"""Outcomes of tests, corrected: what pytest alone would call passed, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec
import pytest

from pytest_prodcheck.checks.evidence import PLANNED
from pytest_prodcheck.errors import ProdcheckError
from pytest_prodcheck.model import Exchange, Failure, Reason, reason_of_silence, subject
from pytest_prodcheck.rules import RULES, failure


def fail(
    item: pytest.Item, report: pytest.TestReport, facts: dict[str, Any], rule: str, message: str
) -> None:
    report.outcome = "failed"
    report.longrepr = message
    _add_failure(item, report, facts, rule, message)


def fail_by_guard(
    item: pytest.Item,
    report: pytest.TestReport,
    facts: dict[str, Any],
    message: str,
    error: BaseException | None,
) -> None:
    """Fail for what was refused, and show where: the traceback, or where the test begins."""
    add = getattr(report.longrepr, "addsection", None)
    if not report.failed or not add:
        path, line, _ = report.location
        fail(item, report, facts, "guard.violation", message)
        report.longrepr = f"{message}\n\n{path}:{(line or 0) + 1}: it was refused in this test"
        return
    _add_failure(item, report, facts, "guard.violation", message)
    if message not in str(error):
        add("prodcheck", message)


def _add_failure(
    item: pytest.Item, report: pytest.TestReport, facts: dict[str, Any], rule: str, message: str
) -> None:
    """Put one failure that has no title into the facts of a report."""
    facts["message"] = message
    reason = RULES[rule] if report.when == "call" else RULES["setup"]
    found = failure(rule, subject(item.stash[PLANNED].id), message, title="", reason=reason)
    facts["failures"] = [msgspec.to_builtins(found)]


def failure_of(
    item: pytest.Item,
    error: BaseException,
    report: pytest.TestReport,
    exchanges: Sequence[Exchange],
    message: str,
) -> Failure:
    """Return what an exception without failures of its own stands for, by the last answer."""
    rule = "assertion" if report.when == "call" else "setup"
    if not exchanges:
        return failure(rule, subject(item.stash[PLANNED].id), message, title="")
    last = exchanges[-1]
    reason = RULES[rule]
    if last.status is None and last.kind in get_args(Reason):
        rule, reason = "exchange.unreachable", reason_of_silence(last)
    elif (last.status or 0) >= 500 and isinstance(error, AssertionError):
        reason = "server_error"
    request = f"{last.method} {urlsplit(last.url).path or '/'}"
    return failure(rule, request, message, title="", reason=reason, status=last.status)


def sentence(call: pytest.CallInfo[None]) -> str:
    """Return what the exception of *call* says, without its traceback."""
    assert call.excinfo
    error = call.excinfo.value
    if isinstance(error, AssertionError | ProdcheckError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def asked_nothing(shared: list[str]) -> str:
    """Return why a check proves nothing that sent no request, but for those *shared* fixtures."""
    if not shared:
        return (
            "this check sent no request, so it proves nothing about the target; "
            "ask it with the `api` or `database` fixture, or mark the check `offline`"
        )
    names = " and ".join(f"`{name}`" for name in shared)
    return (
        f"this check sent no request of its own: {names} asked the target once for several checks, "
        "and this check takes no answer from there; send a request in the check, let a fixture "
        "return the answer that it judges, or mark the check `offline`"
    )
