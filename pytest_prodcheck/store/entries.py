"""The entries of a journal: one struct for each kind, told apart by `"kind"` in the JSON.

A new field needs a default, so that journals of older versions can still be read.
"""

from typing import Any, TypeAlias

from pytest_prodcheck.model import Part, Planned, Problem, Record, Release, Run, Warned


class Begin(Run, tag_field="kind", tag="begin"):
    """The head of a run: id, target, policy, settings; what is found out later is empty."""


class Plan(Record, tag_field="kind", tag="planned"):
    """The frozen set of checks; of a shard, also the ids of the `whole` plan."""

    checks: tuple[Planned, ...]
    whole: tuple[str, ...] = ()


class Report(Record, tag_field="kind", tag="report"):
    """A pytest report, serialised by pytest itself, with our facts under `prodcheck`."""

    data: dict[str, Any]


class CollectReport(Record, tag_field="kind", tag="collectreport"):
    """Likewise of a file that could not be collected, for the reporters."""

    data: dict[str, Any]


class ProblemFound(Problem, tag_field="kind", tag="problem"):
    """A fact about the run itself; see `model.Problem`."""


class PartOnly(Part, tag_field="kind", tag="part"):
    """Why the run is only a part of what the team planned; see `model.Part`."""


class WarningGiven(Warned, tag_field="kind", tag="warning"):
    """What a check warned of."""


class ReleaseSeen(Record, tag_field="kind", tag="release"):
    """What is deployed."""

    release: Release


class ServiceLog(Record, tag_field="kind", tag="service"):
    """Last lines of a service that the run started."""

    log: str


class TrafficCounted(Record, tag_field="kind", tag="traffic"):
    """What all requests of the run add up to: a check keeps the evidence alone."""

    requests: int
    failed: int
    steps: dict[str, int]


class End(Record, tag_field="kind", tag="end"):
    """The run was closed in order."""

    finished: str
    duration_s: float
    entries: int | None = None
    """How many entries came before; None in older journals."""


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
