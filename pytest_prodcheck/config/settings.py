"""Settings of a run, resolved: what every other module reads, and how the header shows them."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.analysis.database_urls import Dialect
from pytest_prodcheck.analysis.sql_schema.tables import Table
from pytest_prodcheck.model import VETOES, Action, Record, Severity
from pytest_prodcheck.verdict.known_failures import NAME, Known


class Secret:
    """A value that never prints. `name` says where it came from (`${PROD_TOKEN}`).

    `template` is the value with its variables (`Bearer ${PROD_TOKEN}`); "" where it has none.
    """

    __slots__ = ("_value", "name", "template")

    def __init__(self, value: str, name: str = "***", template: str = "") -> None:
        self._value = value
        self.name = name
        self.template = template

    def reveal(self) -> str:
        """The value itself: for the wire and the redactor, nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not serialised; resolve it again from the configuration")


def revealed(headers: Mapping[str, str | Secret]) -> dict[str, str]:
    """Headers as they go over the wire."""
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in headers.items()
    }


class Probe(Record):
    """One declared request and what its answer must be."""

    method: str
    path: str
    id: str
    """`GET /health`, or the probe's `name`; unique in a target."""
    status: tuple[int, ...] = ()
    """Empty: any 2xx."""
    json: Any = msgspec.UNSET
    """UNSET: not asked; None: the answer must be `null`."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    contains: str | None = None
    matches: str | None = None
    """A regular expression, searched for in the body."""
    within: float | None = None
    """Seconds."""
    severity: Severity = "major"
    tags: tuple[str, ...] = ()
    send: dict[str, str | Secret] = msgspec.field(default_factory=dict)
    samples: int = 1


class Limits(Record):
    """Response-time and error limits over the whole run."""

    p95: float | None = None
    """Seconds."""
    error_rate: float | None = None
    """Share of requests, 0 to 1."""


class ReleaseSource(Record):
    """Where the target tells what is deployed; JSONPath-like `$.a.b`, or a header."""

    path: str
    version: str | None = None
    commit: str | None = None
    header: str | None = None


class Flags(Record):
    """Where the target tells its feature flags, and which combinations are operating modes."""

    source: str
    """A path of the target, or `environment`: then the places below are variables' names."""
    mode: str | None = None
    """Place of the mode's own name, if it is told."""
    values: dict[str, str] = msgspec.field(default_factory=dict)
    """Flag -> JSONPath into the answer, or the variable's name."""
    modes: dict[str, dict[str, bool]] = msgspec.field(default_factory=dict)
    """Mode -> the values that mean it; no two modes can hold at once."""
    dependencies: dict[str, str] = msgspec.field(default_factory=dict)
    """Flag -> JSONPath of the state of what it switches on."""


class Request(Record):
    """One request to the target that changes something there."""

    method: str
    path: str
    json: Any = msgspec.UNSET
    """UNSET: no body."""
    send: dict[str, str | Secret] = msgspec.field(default_factory=dict)


class Switch(Record):
    """What flips a switch: exactly one of the three."""

    request: Request | None = None
    command: str | None = None
    """Runs in the project's folder, without a shell."""
    function: str | None = None
    """`FILE::NAME`, beside the configuration; it is given the guarded client."""

    def __str__(self) -> str:
        if self.request:
            return f"{self.request.method} {self.request.path}"
        return self.command or self.function or ""


class Writes(Record):
    """Something that is written while switched."""

    request: Request
    read: str
    """Path with `{id}` in it."""
    id: str = "$.id"
    keep: bool = False


class Breaker(Record):
    """The circuit breaker of a dependency."""

    path: str
    """Whose answer needs the dependency."""
    source: str
    """Path that tells the state."""
    state: str
    failures: int
    cooldown: float
    """Seconds."""


class Drill(Record):
    """A rehearsal of a switch and of the way back."""

    name: str
    switch: Switch
    restore: Switch
    mode: str | None = None
    within: float = 30.0
    """Seconds that each of the two may take to have effect."""
    severity: Severity = "critical"
    probes: tuple[Probe, ...] = ()
    writes: Writes | None = None
    breaker: Breaker | None = None


class Contract(Record):
    """How far the contract suite goes."""

    max_examples: int = 20
    """Per operation and phase."""
    time_per_operation: float = 30.0
    """Seconds."""
    exclude: tuple[str, ...] = ()
    """`METHOD /path` globs, tags and operation ids."""
    allow: tuple[str, ...] = ()
    """The same, of operations that only read although their words say otherwise."""
    parameters: dict[str, tuple[Any, ...]] = msgspec.field(default_factory=dict)
    """Parameter -> real values for it."""
    baseline: str | None = None
    """File of an older document to compare with; None: that of the last run that passed."""
    seed: int | None = None
    """Of all that is by chance; None: always the same on a read-only target, else of the run."""


class Database(Record):
    """What the code expects of the target's database."""

    tables: tuple[Table, ...] = ()
    """As they are declared or recorded."""
    metadata: str | None = None
    """`module:name` of SQLAlchemy MetaData with more of them."""
    connections: int = 20
    slow: float = 1.0
    """Seconds."""
    queries: dict[str, str] = msgspec.field(default_factory=dict)
    """Name -> SQL of a query that is timed."""


class Migrations(Record):
    """Where migrations are, and what is asked of them."""

    folder: Path
    dialect: Dialect = "postgresql"
    limit: float = 30.0
    """Seconds that one may take."""
    seed: Path | None = None
    """SQL that fills the tables as they are before; None: rows are made up."""
    applied: str | None = None
    """The last one that the target has; "": none; None: what its history says, or none."""
    forward_only: bool = False
    """No migration needs a rollback."""
    notices: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Migration -> NOTICEs that it has to raise, as globs."""
    ignore: tuple[str, ...] = ()
    """Rules that do not apply."""


class Target(Record):
    """A resolved target: what the chosen name or URL means, with every ${VAR} filled in."""

    name: str
    base_url: str
    read_only: bool = True
    openapi: str | None = None
    """A path on the target (`/openapi.json`), a URL, or a file (`file:///...`)."""
    headers: dict[str, str | Secret] = msgspec.field(default_factory=dict)
    health: str | None = None
    health_accept: tuple[str, ...] = ()
    """JSONPaths into the health answer where trouble is accepted."""
    rate: float | None = None
    """Requests per second, all workers together; None: bounded by concurrency alone."""
    request_budget: int = 5000
    time_budget: float | None = None
    """Seconds after which a run asks nothing more, and ends with what is proven; None: no end."""
    timeout: float = 10.0
    """Seconds for a whole request."""
    concurrency: int = 16
    max_body: int = 8 * 1024 * 1024
    """Bytes of an answer after decoding."""
    database: Secret | None = None
    drills: bool | date = False
    """A date: allowed until then, that day included."""
    scratch: Secret | None = None
    """A server where databases may be created for rehearsals, and dropped."""
    start: str | None = None
    start_timeout: float = 60.0
    hosts: tuple[str, ...] = ()
    """Other `host` or `host:port` that tests may reach; the host of an `openapi` URL is one."""
    proxy: str | Secret | None = None
    ca_bundle: str | None = None
    documentation: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    """Paths that must not be public."""
    limits: Limits = Limits()
    release: ReleaseSource | None = None
    probes: tuple[Probe, ...] = ()

    def refuses_drills(self, today: date) -> str:
        """Why no drill is permitted here; empty when one is."""
        if self.read_only:
            return f"target {self.name} is read-only"
        if isinstance(self.drills, date) and self.drills < today:
            return f"drills on target {self.name} were allowed until {self.drills}"
        return "" if self.drills else f"target {self.name} does not allow drills"


class Settings(Record):
    """All that a run needs to know before it starts."""

    target: Target
    threshold: Decimal = Decimal(90)
    weights: dict[str, int] = msgspec.field(
        default_factory=lambda: {"critical": 5, "major": 3, "minor": 1}
    )
    actions: tuple[Action, ...] = ()
    veto: tuple[str, ...] = VETOES
    """Kinds of failure that no score outweighs."""
    required: tuple[str, ...] = ()
    """Manifest: `smoke>=10`, or globs over check ids that must be planned."""
    assumed_modes: dict[str, dict[str, bool]] = msgspec.field(default_factory=dict)
    """Those of the ready-made matrix; see `modes`."""
    flags: Flags | None = None
    drills: tuple[Drill, ...] = ()
    contract: Contract = Contract()
    database: Database | None = None
    """None: nothing is expected of it."""
    migrations: Migrations | None = None
    known: tuple[Known, ...] = ()
    """Failures that are accepted for a while."""
    origins: dict[str, str] = msgspec.field(default_factory=dict)
    """Setting -> where its value came from (`default`, `prodcheck.toml`, `command line`)."""
    file: Path | None = None
    """The project's own file, if one was read; None for the built-in demo."""
    targets: tuple[str, ...] = ()
    """Names of all targets that a check may be for; empty without a file that configures any."""
    secrets: tuple[Secret, ...] = ()
    """Every secret that was resolved, for the redactor."""

    @property
    def modes(self) -> dict[str, dict[str, bool]]:
        """The operating modes that are declared, or else those of the ready-made matrix."""
        declared = self.flags.modes if self.flags else {}
        return declared or self.assumed_modes


DECIDES_WHAT_IS_CHECKED = {
    "settings": ("flags", "drills", "contract", "database", "migrations", "known"),
    "target": (
        *("probes", "openapi", "health", "documentation", "metrics", "private", "limits"),
        "release",
    ),
}
"""Not how the target is reached from here (proxy, rate, timeout, credentials), and not what the
policy of a run tells."""


def digests(settings: Settings) -> dict[str, str]:
    """Return a short digest of each section that decides what is checked, for `merge`.

    Of a secret it knows the name alone, of a folder where it lies in the project.
    """

    def plain(value: Any) -> str:
        return value.name if isinstance(value, Path) else repr(value)

    found = {}
    for owner, names in DECIDES_WHAT_IS_CHECKED.items():
        for name in names:
            value = getattr(settings.target if owner == "target" else settings, name)
            written = msgspec.to_builtins(value, enc_hook=plain)
            text = json.dumps(written, sort_keys=True)
            found[name] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return found


def describe(settings: Settings) -> list[str]:
    """One line for each decisive setting with its origin, for the header of a run."""
    target = settings.target
    origin = settings.origins

    def line(setting: str, text: str) -> str:
        return f"{text} ({origin.get(setting, 'default')})"

    where = "" if target.name == target.base_url else f"  {target.base_url}"
    rate = "unlimited" if target.rate is None else f"{target.rate:g}/s"
    lines = [
        line("target", f"target {target.name}{where}"),
        line("read_only", "read-only" if target.read_only else "writes allowed"),
        line("threshold", f"threshold {settings.threshold}"),
        line("rate", f"rate {rate}"),
        line("request_budget", f"budget {target.request_budget}"),
        line("timeout", f"timeout {target.timeout:g} s"),
        line("concurrency", f"concurrency {target.concurrency}"),
    ]
    if target.time_budget is not None:
        lines.append(line("time_budget", f"time budget {target.time_budget:g} s"))
    # What widens a run's reach is shown whenever it is there; no value that may be secret is.
    if target.drills:
        until = f" until {target.drills}" if isinstance(target.drills, date) else ""
        lines.append(line("drills", f"drills allowed{until}"))
    if target.hosts:
        lines.append(line("hosts", f"other hosts {', '.join(target.hosts)}"))
    if target.proxy is not None:
        lines.append(line("proxy", "through a proxy"))
    if target.database is not None:
        lines.append(line("database", "database"))
    if target.scratch is not None:
        lines.append(line("scratch", "scratch databases"))
    if left_out := [kind for kind in VETOES if kind not in settings.veto]:
        lines.append(line("veto", f"vetoes nothing: {', '.join(left_out)}"))
    if settings.required:
        lines.append(line("required", f"required {', '.join(settings.required)}"))
    if settings.known:
        lines.append(f"known failures {len(settings.known)} ({NAME})")
    if target.probes:
        lines.append(line("probes", f"probes {len(target.probes)}"))
    return lines
