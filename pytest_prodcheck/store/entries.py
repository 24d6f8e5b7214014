"""The entries of a journal: one struct for each kind, which `"kind"` names in the JSON.

A new field needs a default, so that journals of older versions can still be read.
"""

from typing import Any, TypeAlias

from pytest_prodcheck.model import Part, Planned, Problem, Record, Release, Run, Warned


class Begin(Run, tag_field="kind", tag="begin"):
    """The head of a run: id, target, policy, settings; facts that are found later are empty."""


class Plan(Record, tag_field="kind", tag="planned"):
    """The final set of checks; for a shard, also the ids of the `whole` plan."""

    checks: tuple[Planned, ...]
    whole: tuple[str, ...] = ()


class Report(Record, tag_field="kind", tag="report"):
    """A pytest report, serialized by pytest itself, with our facts under `prodcheck`."""

    data: dict[str, Any]


class CollectReport(Record, tag_field="kind", tag="collectreport"):
    """A pytest report on a file that could not be collected, for the reporters."""

    data: dict[str, Any]


class ProblemFound(Problem, tag_field="kind", tag="problem"):
    """A fact about the run itself; see `model.Problem`."""


class PartOnly(Part, tag_field="kind", tag="part"):
    """The reason why the run is only a part of the team's plan; see `model.Part`."""


class WarningGiven(Warned, tag_field="kind", tag="warning"):
    """A warning that a check gave."""


class ReleaseSeen(Record, tag_field="kind", tag="release"):
    """The release that is deployed."""

    release: Release


class ServiceLog(Record, tag_field="kind", tag="service"):
    """The last lines of the log of a service that the run started."""

    log: str


class TrafficCounted(Record, tag_field="kind", tag="traffic"):
    """Totals of all requests of the run; a check itself keeps only those that are evidence."""

    requests: int
    failed: int
    steps: dict[str, int]


class End(Record, tag_field="kind", tag="end"):
    """The orderly end of a run."""

    finished: str
    duration_s: float
    entries: int | None = None
    """Number of entries before this one; None in older journals."""


Entry: TypeAlias = (
    Begin
    | Plan
    | Report
    | CollectReport
    | ProblemFound
    | PartOnly
    | WarningGiven
    | ReleaseSeen
    | ServiceLog
    | TrafficCounted
    | End
)
