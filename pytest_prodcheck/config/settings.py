"""The resolved settings of a run, which all other modules read, and their lines in the header."""

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
    """A value that is never printed; `name` is its source (`${PROD_TOKEN}`).

    `template` is the value with its variables (`Bearer ${PROD_TOKEN}`); "" if it has none.
    """

    __slots__ = ("_value", "name", "template")

    def __init__(self, value: str, name: str = "***", template: str = "") -> None:
        self._value = value
        self.name = name
        self.template = template

    def reveal(self) -> str:
        """Return the value itself, for requests and the redactor only."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not serialized; resolve it again from the configuration")


def revealed(headers: Mapping[str, str | Secret]) -> dict[str, str]:
    """Return the headers with their secrets, as they are sent."""
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in headers.items()
    }


class Probe(Record):
    """One declared request and the expected response."""

    method: str
    path: str
    id: str
    """`GET /health`, or the probe's `name`; unique in a target."""
    status: tuple[int, ...] = ()
    """Empty: any 2xx."""
    json: Any = msgspec.UNSET
    """UNSET: not compared; None: the response must be `null`."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    contains: str | None = None
    matches: str | None = None
    """A regular expression that is searched for in the body."""
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
    """The place of the deployed release in a response: JSONPaths like `$.a.b`, or a header."""

    path: str
    version: str | None = None
    commit: str | None = None
    header: str | None = None


class Flags(Record):
    """The places of the target's feature flags, and the combinations that are operating modes."""

    source: str
    """A path of the target, or `environment`: then the places below are names of variables."""
    mode: str | None = None
    """Place of the mode's name, if the target reports it."""
    values: dict[str, str] = msgspec.field(default_factory=dict)
    """Flag -> JSONPath into the response, or the variable's name."""
    modes: dict[str, dict[str, bool]] = msgspec.field(default_factory=dict)
    """Mode -> its values; no two modes can apply at once."""
    dependencies: dict[str, str] = msgspec.field(default_factory=dict)
    """Flag -> JSONPath of the state of the dependency that it switches on."""


class Request(Record):
    """One request to the target that changes something there."""

    method: str
    path: str
    json: Any = msgspec.UNSET
    """UNSET: no body."""
    send: dict[str, str | Secret] = msgspec.field(default_factory=dict)


class Switch(Record):
    """The means to flip a switch: exactly one of the three."""

    request: Request | None = None
    command: str | None = None
    """Runs in the project's folder, without a shell."""
    function: str | None = None
    """`FILE::NAME`, beside the configuration; it gets the guarded client."""

    def __str__(self) -> str:
        if self.request:
            return f"{self.request.method} {self.request.path}"
        return self.command or self.function or ""


class Writes(Record):
    """Data that is written while the switch is flipped."""

    request: Request
    read: str
    """Path with `{id}` in it."""
    id: str = "$.id"
    keep: bool = False


class Breaker(Record):
    """The circuit breaker of a dependency."""

    path: str
    """Path whose response needs the dependency."""
    source: str
    """Path that reports the state."""
    state: str
    failures: int
    cooldown: float
    """Seconds."""


class Drill(Record):
    """A rehearsal of a switch and of its rollback."""

    name: str
    switch: Switch
    restore: Switch
    mode: str | None = None
    within: float = 30.0
    """Seconds until each of the two must take effect."""
    severity: Severity = "critical"
    probes: tuple[Probe, ...] = ()
    writes: Writes | None = None
    breaker: Breaker | None = None


class Contract(Record):
    """The extent of the contract suite."""

    max_examples: int = 20
    """Per operation and phase."""
    time_per_operation: float = 30.0
    """Seconds."""
    exclude: tuple[str, ...] = ()
    """`METHOD /path` globs, tags and operation ids."""
    allow: tuple[str, ...] = ()
    """The same, for operations that only read although their words say otherwise."""
    parameters: dict[str, tuple[Any, ...]] = msgspec.field(default_factory=dict)
    """Parameter -> real values for it."""
    baseline: str | None = None
    """File of an older document for comparison; None: that of the last run that passed."""
    seed: int | None = None
    """Seed of all random values; None: a fixed one on a read-only target, otherwise the run's."""


class Database(Record):
    """The code's expectations of the target's database."""

    tables: tuple[Table, ...] = ()
    """Tables as they are declared or recorded."""
    metadata: str | None = None
    """`module:name` of SQLAlchemy MetaData with more tables."""
    connections: int = 20
    slow: float = 1.0
    """Seconds."""
    queries: dict[str, str] = msgspec.field(default_factory=dict)
    """Name -> SQL of a query whose time is measured."""


class Migrations(Record):
    """The place of migrations, and the demands on them."""

    folder: Path
    dialect: Dialect = "postgresql"
    limit: float = 30.0
    """Seconds that one may take."""
    seed: Path | None = None
    """SQL that fills the tables before the migrations; None: rows are generated."""
    applied: str | None = None
    """The target's last migration; "": none; None: the one in its history, or none."""
    forward_only: bool = False
    """No migration needs a rollback."""
    notices: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Migration -> NOTICEs that it has to raise, as globs."""
    ignore: tuple[str, ...] = ()
    """Rules that do not apply."""


class Target(Record):
    """A resolved target, for the chosen name or URL, with every ${VAR} filled in."""

    name: str
    base_url: str
    read_only: bool = True
    openapi: str | None = None
    """A path on the target (`/openapi.json`), a URL, or a file (`file:///...`)."""
    headers: dict[str, str | Secret] = msgspec.field(default_factory=dict)
    health: str | None = None
    health_accept: tuple[str, ...] = ()
    """JSONPaths into the health response where failures are accepted."""
    rate: float | None = None
    """Requests per second, all workers together; None: limited by concurrency only."""
    request_budget: int = 5000
    time_budget: float | None = None
    """Seconds after which a run sends nothing more, and ends with its results; None: no limit."""
    timeout: float = 10.0
    """Seconds for a whole request."""
    concurrency: int = 16
    max_body: int = 8 * 1024 * 1024
    """Bytes of a response after decoding."""
    database: Secret | None = None
    drills: bool | date = False
    """A date: allowed until then, including that day."""
    scratch: Secret | None = None
    """A server on which databases may be created and dropped for rehearsals."""
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
        """Return the reason why no drill is permitted here; "" if drills are."""
        if self.read_only:
            return f"target {self.name} is read-only"
        if isinstance(self.drills, date) and self.drills < today:
            return f"drills on target {self.name} were allowed until {self.drills}"
        return "" if self.drills else f"target {self.name} does not allow drills"


class Settings(Record):
    """All settings of a run."""

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
    """The modes of the ready-made matrix; see `modes`."""
    flags: Flags | None = None
    drills: tuple[Drill, ...] = ()
    contract: Contract = Contract()
    database: Database | None = None
    """None: there are no expectations."""
    migrations: Migrations | None = None
    known: tuple[Known, ...] = ()
    """Failures that are accepted for a while."""
    origins: dict[str, str] = msgspec.field(default_factory=dict)
    """Setting -> source of its value (`default`, `prodcheck.toml`, `command line`)."""
    file: Path | None = None
    """The project's own file, if one was read; None for the built-in demo."""
    targets: tuple[str, ...] = ()
    """Names of all targets; empty without a file that configures any."""
    secrets: tuple[Secret, ...] = ()
    """Every secret that was resolved, for the redactor."""

    @property
    def modes(self) -> dict[str, dict[str, bool]]:
        """Return the declared operating modes, or else those of the ready-made matrix."""
        declared = self.flags.modes if self.flags else {}
        return declared or self.assumed_modes


DECIDES_WHAT_IS_CHECKED = {
    "settings": ("flags", "drills", "contract", "database", "migrations", "known"),
    "target": (
        *("probes", "openapi", "health", "documentation", "metrics", "private", "limits"),
        "release",
    ),
}
"""Settings that decide which checks a run has: not those of the connection (proxy, rate, timeout,
credentials), and not those in the policy of a run."""


def digests(settings: Settings) -> dict[str, str]:
    """Return a short digest of each section that decides what is checked, for `merge`.

    A secret counts by its name only, a folder by its name in the project.
    """

    def encoded(value: Any) -> str:
        return value.name if isinstance(value, Path) else repr(value)

    found = {}
    for owner, names in DECIDES_WHAT_IS_CHECKED.items():
        for name in names:
            value = getattr(settings.target if owner == "target" else settings, name)
            written = msgspec.to_builtins(value, enc_hook=encoded)
            text = json.dumps(written, sort_keys=True)
            found[name] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return found


def describe(settings: Settings) -> list[str]:
    """Return a line for each important setting with its origin, for the header of a run."""
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
    # Settings that widen a run's reach are always shown, but no value that may be secret.
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
