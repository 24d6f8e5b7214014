"""Workers of pytest-xdist that die, as the controller deals with them."""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest


def is_crash(report: pytest.TestReport) -> bool:
    """Return whether xdist made this report for a test whose worker died."""
    return report.when not in ("setup", "call", "teardown")


def teardown_of(report: pytest.TestReport) -> pytest.TestReport:
    """Return the end of a test whose process died: without it, reporters wait for ever."""
    teardown = copy(report)
    teardown.when = "teardown"
    teardown.outcome = "passed"
    teardown.longrepr = None
    return teardown


def stop_replacing_workers(config: pytest.Config, node: Any) -> bool:
    """Start no other worker for *node* if it died with nothing left to do.

    pytest-xdist starts up to four for each, which all die the same way: 50 s on an idle machine.
    Returns whether nothing was left to do.
    """
    session = config.pluginmanager.getplugin("dsession")
    schedule = getattr(session, "sched", None)
    if not getattr(schedule, "collection_is_completed", False):
        return False
    own = getattr(schedule, "node2pending", {}).get(node)
    left = getattr(schedule, "pending", ())
    if own or left or (own is None and getattr(schedule, "has_pending", True)):
        return False
    if hasattr(session, "_max_worker_restart"):  # xdist's own name; without it, it takes longer
        session._max_worker_restart = 0
    return True
