"""Frozen records of a run, to and from plain JSON.

`msgspec.to_builtins` and `msgspec.convert` turn each record into plain data and back, so the same
shapes are sent through xdist, written to the journal, and to `verdict.json`.
Times of day are ISO 8601 in UTC; durations are seconds unless the name says `_ms`.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, dataclass_transform, get_args

import msgspec

SCHEMA = 1
"""Version of `verdict.json`; increased when a reader of an older one would misread it."""

CATEGORIES = ("smoke", "contract", "rollback", "environment")
INVALID = "INVALID"
"""The mode of a combination of flags that belongs to no mode."""

SEVERITIES = ("critical", "major", "minor")

VETOES = ("server_error", "auth", "exposed", "data_loss", "regression")
"""Kinds of failure that no score outweighs, unless a team's `veto` omits one."""

Severity = Literal["critical", "major", "minor"]
Reason = Literal[
    "dns",
    "connect",
    "tls",
    "timeout",
    "transport",
    "protocol",
    "status",
    "body",
    "schema",
    "content_type",
    "header",
    "latency",
    "auth",
    "server_error",
    "exposed",
    "redirect",
    "data",
    "migration",
    "drift",
    "flags",
    "drill",
    "assertion",
    "setup",
    "skipped",
    "not_run",
]
"""The reason why a check has not passed; the same word in every output."""
Outcome = Literal["passed", "failed", "skipped", "not_permitted", "not_run", "flaky", "known"]
State = Literal["running", "finished", "recovered"]
Ruling = Literal["pass", "fail", "inconclusive"]
Decision = Literal["promote", "hold", "rollback"]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value with keyword fields."""


class Exchange(Record):
    """One request and its result, already without credentials.

    `status` is None if there was no response; `error` then has the cause (`"connect: refused"`).
    `kind` is the kind of that failure: connect, dns, tls, timeout, transport, protocol, body,
    redirect, withheld, or None.
    """

    method: str
    url: str
    status: int | None = None
    elapsed_ms: float = 0.0
    kind: str | None = None
    error: str | None = None
    request_headers: dict[str, str] = {}
    response_headers: dict[str, str] = {}
    body: str = ""
    """At most 2,000 characters of the response."""
    size: int = 0
    """Bytes of the decoded response."""
    curl: str = ""
    traceparent: str = ""
    retried: bool = False
    """A kept connection was dead, and the GET was sent again on a new one."""


def reason_of_silence(exchange: Exchange) -> Reason:
    """Return the reason for a missing response: its `kind`, or else `transport`."""
    known = exchange.kind in get_args(Reason)
    reason: Reason = msgspec.convert(exchange.kind if known else "transport", Reason)
    return reason


class Failure(Record):
    """One thing that a check found wrong."""

    title: str
    """Its name in `known.toml` and findings: `Server error`, `drill.write_lost`."""
    rule: str = ""
    """A name from `rules.RULES`; empty in journals of older versions."""
    subject: str = ""
    """The thing that is wrong: `GET /orders`, `table orders column id`."""
    message: str = ""
    """The facts, as sentences."""
    status: int | None = None
    """The status of the response, if that is, or may be, wrong."""
    reason: Reason = "assertion"
    data_loss: bool = False
    """True if data that the service had accepted is lost, whatever the reason."""
    severity: Severity | None = None
    """None: the severity that was planned for its check."""

    @property
    def kinds(self) -> set[str]:
        """Return its kinds of veto; see VETOES."""
        return {self.reason, *(["data_loss"] if self.data_loss else [])}


class Planned(Record):
    """A check in the plan of this run."""

    id: str
    category: str | None
    severity: Severity = "major"
    permitted: bool = True
    """False: the target's policy forbids it here, and it does not count."""
    reason: str = ""
    """The reason why it is not permitted, or why it was removed from the run after planning."""


class Check(Record):
    """A planned check with its outcome."""

    id: str
    category: str | None
    severity: Severity
    outcome: Outcome
    duration_s: float = 0.0
    reason: Reason | None = None
    """The reason why it has not passed; None if it has."""
    message: str = ""
    failures: tuple[Failure, ...] = ()
    """The things that were wrong."""
    exchanges: tuple[Exchange, ...] = ()
    p95_ms: float | None = None
    """95th percentile (nearest rank) of the latencies of its responses, in milliseconds; None
    without one, and of drills, which make the target slow on purpose."""

    @property
    def titles(self) -> tuple[str, ...]:
        """Return the titles of its failures, each once; a plain assertion has none."""
        return tuple(dict.fromkeys(one.title for one in self.failures if one.title))


class Problem(Record):
    """A fact about the run itself, not about one check, that a verdict must not ignore.

    what: violation, collection, target_down, drill (these prove a failure); interrupted, internal,
    stopped, narrowed, required, vantage, usage (these leave something unproven); worker,
    report, journal, plugin (these are failures once everything ran).
    """

    what: str
    detail: str


class TargetInfo(Record):
    name: str
    base_url: str
    read_only: bool = True
    vantage: str = "local"


class Release(Record):
    """The deployed release, as the target reports it."""

    version: str | None = None
    commit: str | None = None

    @property
    def short_commit(self) -> str:
        """Return a full hash cut to seven digits, as git shows it; anything else as it is."""
        commit = self.commit or ""
        return commit[:7] if re.fullmatch(r"[0-9a-f]{40}", commit) else commit

    @property
    def name(self) -> str:
        """Return `1.4.2 (3e68e18)`, the known part of it, or an empty string."""
        version, commit = self.version, self.short_commit
        return f"{version} ({commit})" if version and commit else version or commit


def flags_text(values: Mapping[str, bool]) -> str:
    """Return flags as text: `ENABLE_WRITES off, ENABLE_FILES on`."""
    return ", ".join(f"{flag} {'on' if on else 'off'}" for flag, on in values.items())


class FlagReading(Record):
    """Feature flags and operating mode, as a run read them from the target."""

    values: dict[str, bool] = {}
    mode: str = ""


class Action(Record, kw_only=True):
    """A row of the decision matrix.

    `when` is a glob over finding rules and check ids, or compares a figure of the run with a limit
    (see `triggers`).
    """

    when: str
    severity: Severity = "major"
    action: str
    within: str = ""
    verify: str = ""
    """The way to verify afterwards that it helped."""
    evidence: tuple[str, ...] = ()
    """The facts by which the row applies to a run."""
    refused: str = ""
    """The reason why it must not be carried out now, and the remedy."""


class Policy(Record):
    """The settings that decide the verdict. `threshold` is an exact decimal."""

    threshold: str = "90"
    weights: dict[str, int] = msgspec.field(
        default_factory=lambda: {"critical": 5, "major": 3, "minor": 1}
    )
    actions: tuple[Action, ...] = ()
    veto: tuple[str, ...] = VETOES
    """Kinds of failure that no score outweighs."""
    required: tuple[str, ...] = ()
    """Manifest: `smoke>=10`, or globs over check ids that must be planned."""
    modes: dict[str, dict[str, bool]] = msgspec.field(default_factory=dict)
    """Operating mode -> its flags; actions that lead into no mode are refused."""


class Finding(Record):
    """A named diagnosis with the evidence on both sides."""

    rule: str
    title: str
    confidence: Literal["high", "medium", "low"]
    evidence: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    next_check: str = ""
    remedy: str = ""


class Metrics(Record):
    """Totals of the exchanges, and values that checks measured.

    Latencies are in milliseconds, of requests with a response.
    """

    requests: int = 0
    error_rate: float = 0.0
    latency_ms: dict[str, float] = {}
    measured: dict[str, float] = {}
    """`database.connections` and the like: the largest value that any check reported."""


class Document(Record):
    """The OpenAPI document of a run; its `spec` is empty if there is none."""

    spec: dict[str, Any] = {}
    problem: str = ""
    """The reason why there is none, if one is configured."""
    of: str = ""
    """Its source, if the target has none: the last release that passed."""


class LastRelease(Record):
    """A release on this target whose run said promote."""

    run_id: str
    release: Release = Release()
    finished: str = ""


class PassedBefore(Record):
    """The checks of one category that passed in the target's last passing run."""

    release: Release = Release()
    run_id: str = ""
    checks: tuple[str, ...] = ()
    p95_ms: dict[str, float] = {}
    """Id of a check that passed -> its 95th percentile then; see `Check.p95_ms`."""


class Part(Record):
    """The reason why a run is only a part of the team's plan, so that it promotes nothing."""

    text: str
    """`1 of 18 checks was selected`"""
    chosen: bool = False
    """Files, ids or a shard were chosen: the exit code is the result of these checks."""


class Warned(Record):
    """A warning that a check gave; it fails nothing, but everybody should read it."""

    check: str
    message: str


class Run(Record):
    """All facts of one run: the folded journal."""

    run_id: str
    target: TargetInfo
    policy: Policy = Policy()
    release: Release = Release()
    good: tuple[LastRelease, ...] = ()
    """Releases that passed, newest first, as of the run's beginning."""
    state: State = "running"
    started: str = ""
    finished: str = ""
    duration_s: float = 0.0
    command: str = ""
    """The command line that repeats this run."""
    shard: str | None = None
    """`1/3` for the first of three parts of a run."""
    part: Part | None = None
    """Set if less than the plan was run; a shard is not recorded here."""
    passed_before: dict[str, PassedBefore] = {}
    """Category -> checks that passed in the target's last passing run from this vantage."""
    settings: tuple[str, ...] = ()
    """Important settings with their origin, as the header shows them."""
    selection: str = ""
    """The expression of `-m`."""
    configuration: dict[str, str] = {}
    """Section of the configuration that decides the plan -> a digest of it."""
    checks: tuple[Check, ...] = ()
    unscored: tuple[Check, ...] = ()
    """Tests without a category: they have no score, but a failed one is not a pass."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Warned, ...] = ()
    metrics: Metrics = Metrics()
    flags: FlagReading = FlagReading()
    service_log: str = ""
    """Last lines of a service that the run started itself."""

    @property
    def last_good(self) -> LastRelease | None:
        """Return the last release that differs from this one, for a rollback."""
        others = (one for one in self.good if one.release != self.release)
        return next(others, None) if self.release != Release() else next(iter(self.good), None)


class Category(Record):
    score: float | None
    planned: int
    passed: int


class Veto(Record):
    """A failed check that no score outweighs."""

    check: str
    kind: str
    """`critical`, or one of VETOES."""
    text: str
    """`regression: GET /orders passed on 1.4.1 (3e68e18)`"""


class Verdict(Record):
    """The verdict on a run. `score` is rounded down for display, never for the judgement."""

    verdict: Ruling
    decision: Decision
    score: float | None
    threshold: float
    reasons: tuple[str, ...]
    exit_code: int
    counts: dict[str, int]
    categories: dict[str, Category]
    vetoes: tuple[Veto, ...] = ()
    findings: tuple[Finding, ...] = ()
    actions: tuple[Action, ...] = ()


def subject(check_id: str) -> str:
    """Return the subject of a check: its id without the file.

    For a probe or an operation, it is the parameter alone (`GET /health`).
    """
    test = check_id.partition("::")[2] or check_id
    kind, _, parameter = test.partition("[")
    named = kind in _PARAMETER_SAYS_ALL and test.endswith("]")
    return parameter.removesuffix("]") if named else test


_PARAMETER_SAYS_ALL = ("test_probe", "test_operation")
