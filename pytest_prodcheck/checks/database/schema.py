"""One expected table against the live database."""

from collections.abc import Callable, Collection

from pytest_prodcheck.analysis.issues import issue_lines
from pytest_prodcheck.analysis.sql_schema.drift import Drift, drift, unexpected
from pytest_prodcheck.analysis.sql_schema.tables import Schema, Table
from pytest_prodcheck.checks.database.connection import unreachable
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.model import Failure
from pytest_prodcheck.rules import failure


class TableCheck:
    """One expected table as a test sees it: its `name`, and `check()`.

    live: returns the tables of the database, or why they cannot be read.
    """

    def __init__(
        self, expected: Table, live: Callable[[], Schema | str], wanted: Collection[str]
    ) -> None:
        self.expected = expected
        self.name = expected.name
        self._live = live
        self._wanted = wanted

    def check(self) -> None:
        """Return when the live table is as expected, or has more.

        Raises CheckFailed with every difference.
        """
        live = self._live()
        if isinstance(live, str):
            raise unreachable(live)
        found = drift(self.expected, live, self._wanted)
        if not found:
            return
        noun = "difference" if len(found) == 1 else "differences"
        title = f"{len(found)} {noun} between table {self.name} and what the code expects"
        lines = issue_lines(title, found)
        table = live.table(self.name)
        if table and self.expected.columns and (more := unexpected(self.expected, table)):
            lines.append(f"columns that nothing expects, which is not a failure: {', '.join(more)}")
        raise CheckFailed("\n".join(lines), [self._failure(one) for one in found])

    def _failure(self, one: Drift) -> Failure:
        return failure(one.rule, one.subject, one.message, title=f"{one.rule} {one.place}")

    def __repr__(self) -> str:
        return f"<table {self.name}>"
