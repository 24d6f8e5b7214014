"""Collection: what a run sets out to do, in each process that collects."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from pytest_prodcheck.checks.context import RunContext
from pytest_prodcheck.checks.evidence import PLANNED
from pytest_prodcheck.checks.parameters import is_configured
from pytest_prodcheck.session.partial_run import CHOSEN
from pytest_prodcheck.session.plan import Plan


class Collection:
    """Hooks that read what pytest collects, and freeze the plan."""

    def __init__(self, context: RunContext, plan: Plan) -> None:
        self._context = context
        self._config = context.config
        self._plan = plan

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        with self._refusing(items):
            if self._context.refusals:
                raise pytest.UsageError("\n".join(self._context.refusals))
            self._refuse_secrets_in_ids(items)
            self._plan.check_markers(items)
            self._config.hook.pytest_prodcheck_candidates(items=items, counts=self._counts)
            self._plan.before_selection(items)
        yield
        with self._refusing(items):
            self._plan.after_selection(items)

    @contextmanager
    def _refusing(self, items: list[pytest.Item]) -> Generator[None]:
        try:
            yield
        except pytest.UsageError as error:
            items.clear()  # pytest goes on to `collection_finish`, and nobody shall see them
            # A worker's exception would reach nobody: the plan carries it to who decides.
            if not hasattr(self._config, "workerinput"):
                raise
            self._plan.refuse(str(error))

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makeitem(self) -> Generator[None, object, object]:
        made = yield
        if self._config.stash.get(CHOSEN, "") == "ids" and isinstance(made, list):
            self._plan.generated(made)
        return made

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self._plan.deselected(items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            item.stash[PLANNED] = self._plan.planned(item)
        self._plan.freeze(session.items)

    def _refuse_secrets_in_ids(self, items: list[pytest.Item]) -> None:
        for item in items:
            shown = self._context.redactor.text(item.nodeid)
            if shown != item.nodeid:
                raise pytest.UsageError(
                    f"the id of {shown} holds a secret, and ids are printed everywhere; "
                    "give its parameter another id: pytest.param(value, id='name')"
                )

    def _counts(self, item: pytest.Item) -> bool:
        """Return whether *item* is a permitted check of this run."""
        planned = self._plan.planned(item)
        return bool(
            planned.category
            and planned.permitted
            and is_configured(item)
            and self._plan.is_wanted(item)
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Put back what was taken out after the plan was made."""
        self._plan.restore(session.items)
