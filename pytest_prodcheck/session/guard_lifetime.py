"""How long the guard stands: from before the first conftest to the end of the process.

A guard that knows no target yet refuses everything. It is put up as soon as the words of the
command line choose a target, when this plugin is loaded: conftests, PYTEST_PLUGINS and plugins that
come later are imported under it. (`-p NAME` and plugins before this one are not: pytest imports
them first.) It stays for `atexit` and for threads that outlive the session, and what it refuses
then rewrites the verdict.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_prodcheck.guard.network import Guard

if TYPE_CHECKING:
    from types import FrameType

Amend = Callable[[str], int | None]
"""Rewrites the verdict for what was refused (a text, or "" for all that the ledger has); the exit
code that it means, or None when nothing is new."""


class GuardLife:
    """The guard of one process.

    In a process that is pytest's own, and in a worker, it stands until the end. A program that
    calls `pytest.main()` goes on afterwards with what is its own business: there it ends with the
    session.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.guard = Guard(None, None)
        self.guard.install()
        self.to_the_end = is_pytests_own(sys._getframe())
        self._process = os.getpid()
        self._amend: Amend | None = None
        self._tidy: Callable[[], None] | None = None
        config.add_cleanup(self._session_is_over)
        if self.to_the_end:
            # Registered this early, it runs after the handlers that tests register.
            atexit.register(self._process_is_over)

    def when_over(self, amend: Amend, tidy: Callable[[], None]) -> None:
        """Take what is to be called once nothing more can happen.

        `amend` is called for what the guard refuses after this, `tidy` once.
        """
        self._amend, self._tidy = amend, tidy

    def stand_down(self) -> None:
        """The target was chosen by somebody else's option: leave everything as it was."""
        self.guard.uninstall()
        atexit.unregister(self._process_is_over)

    def _session_is_over(self) -> None:
        if not self.to_the_end:
            self.guard.uninstall()
            if self.guard.limits:
                self.guard.limits.close()
            if self._tidy:
                self._tidy()

    def _process_is_over(self) -> None:
        if os.getpid() != self._process:
            return  # a fork that ends like a process of its own
        if self._amend:
            self.guard.verify()
            self._leave_if_new("")
            self.guard.on_violation = self._leave_if_new
        if self._tidy:
            self._tidy()

    def _leave_if_new(self, detail: str) -> None:
        """Exit at once if something is new: the exit code is decided by now, and cannot change
        otherwise."""
        if os.getpid() != self._process or not self._amend:
            return
        code = self._amend(detail)
        if code is None:
            return
        if self._tidy:
            self._tidy()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(code)


LIFE: pytest.StashKey[GuardLife] = pytest.StashKey()


def stand(config: pytest.Config) -> GuardLife:
    """Return the guard's life in this process, which begins now if it has not begun."""
    if LIFE not in config.stash:
        config.stash[LIFE] = GuardLife(config)
    return config.stash[LIFE]


def stand_down(config: pytest.Config) -> None:
    """End what `stand` has begun, if it has."""
    if LIFE in config.stash:
        config.stash[LIFE].stand_down()
        del config.stash[LIFE]


def is_pytests_own(frame: FrameType | None) -> bool:
    """Return whether the process that runs this frame ends when pytest does.

    The nearest caller decides: the `pytest` command, or the body of an xdist worker; but not
    `pytest.main()`, also when that is called by a test.
    """
    while frame:
        module, caller = frame.f_globals.get("__name__"), frame.f_back
        if module == "__channelexec__":
            return True
        if module == "_pytest.config" and frame.f_code.co_name in ("main", "_main"):
            return caller is not None and caller.f_code.co_name in ("console_main", "_console_main")
        frame = caller
    return False
