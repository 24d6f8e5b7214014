"""The tables of `prodcheck.toml`, and their JSON Schema.

Nothing is resolved here: no variable is read, no target chosen. The meaning of a key is in its
description only; its default is in settings.py.
"""

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pytest_prodcheck.analysis.database_urls import Dialect
from pytest_prodcheck.config.settings import (
    Contract,
    Database,
    Drill,
    Migrations,
    Probe,
    Settings,
    Target,
)
from pytest_prodcheck.model import Record, Severity

Text = Annotated[str, Meta(min_length=1)]
Texts = list[Text]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Headers = dict[Text, str]
Rate = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?/(s|min)$")]
Samples = Annotated[int, Meta(ge=1, le=10_000)]
AtOnce = Annotated[int, Meta(ge=1, le=1000)]
Count = Annotated[int, Meta(ge=1)]
Bytes = Annotated[int, Meta(ge=1024)]
Share = Annotated[float, Meta(ge=0, lt=1)]


class Table(Record, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A table of the file. A missing key is UNSET, because TOML has no null."""


class ProbeTable(Table):
    """One request and the expected response. Exactly one of get, head and options."""

    get: Annotated[
        Text | UnsetType, Meta(description="Path below base_url.", examples=["/health"])
    ] = UNSET
    head: Annotated[Text | UnsetType, Meta(description="Path below base_url.")] = UNSET
    options: Annotated[Text | UnsetType, Meta(description="Path below base_url.")] = UNSET
    name: Annotated[
        Text | UnsetType, Meta(description="Id of the probe, instead of `GET /path`.")
    ] = UNSET
    status: Annotated[
        int | Annotated[list[int], Meta(min_length=1)] | UnsetType,
        Meta(
            description="Expected status, or several that are allowed. Default: any 2xx.",
            examples=[200, [200, 204]],
        ),
    ] = UNSET
    json: Annotated[
        Any, Meta(description="JSON value of the response; tables and arrays match as subsets.")
    ] = UNSET
    headers: Annotated[Headers | UnsetType, Meta(description="Headers of the response.")] = UNSET
    contains: Annotated[Text | UnsetType, Meta(description="Text in the body of the response.")] = (
        UNSET
    )
    matches: Annotated[
        Text | UnsetType, Meta(description="Regular expression, searched for in the body.")
    ] = UNSET
    within: Annotated[
        Seconds | UnsetType, Meta(description="Seconds the response may take.", examples=[0.5])
    ] = UNSET
    severity: Annotated[Severity | UnsetType, Meta(description="Weight of the check.")] = UNSET
    tags: Annotated[Texts | UnsetType, Meta(description="Words to select the probe by.")] = UNSET
    send: Annotated[Headers | UnsetType, Meta(description="Request headers; ${VAR} is secret.")] = (
        UNSET
    )
    samples: Annotated[Samples | UnsetType, Meta(description="How often to send the request.")] = (
        UNSET
    )


class LimitsTable(Table):
    """Limits over all requests of the run."""

    p95: Annotated[
        Seconds | UnsetType, Meta(description="Seconds within which 95 % must respond.")
    ] = UNSET
    error_rate: Annotated[
        Share | UnsetType,
        Meta(description="Share of requests that may fail.", examples=[0.001]),
    ] = UNSET


class ReleaseTable(Table):
    """The deployed release, as the target reports it."""

    from_: Annotated[Text, Meta(description="Path of the response.", examples=["/health"])]
    version: Annotated[Text | UnsetType, Meta(description="JSONPath.", examples=["$.version"])] = (
        UNSET
    )
    commit: Annotated[Text | UnsetType, Meta(description="JSONPath.", examples=["$.commit"])] = (
        UNSET
    )
    header: Annotated[
        Text | UnsetType, Meta(description="Header with the version, instead of one in the body.")
    ] = UNSET


class HealthTable(Table):
    """The path that reports the service's health, with accepted failures."""

    path: Annotated[Text, Meta(description="Path below base_url.", examples=["/health"])]
    accept: Annotated[
        Texts | UnsetType,
        Meta(
            description="JSONPaths of parts that may be down or absent, with all below them.",
            examples=[["$.cache"]],
        ),
    ] = UNSET


class TargetTable(Table):
    """An environment that can be chosen with --target.

    `extends` provides every key that is missing here, except read_only = false and drills = true,
    which are never inherited; probes are added. An empty text switches off an inherited value.
    """

    extends: Annotated[
        Text | UnsetType, Meta(description="Name of the target from which this one inherits.")
    ] = UNSET
    base_url: Annotated[
        Text | UnsetType,
        Meta(
            description="Address; {port} is filled in for a target with `start`.",
            examples=["https://api.example.com"],
        ),
    ] = UNSET
    read_only: Annotated[
        bool | UnsetType, Meta(description="false allows requests that change something.")
    ] = UNSET
    openapi: Annotated[
        str | UnsetType,
        Meta(
            description="Place of the OpenAPI document: a path on the target, a URL, or a file "
            "(file:openapi.yaml, from the folder of the configuration).",
        ),
    ] = UNSET
    headers: Annotated[
        Headers | UnsetType,
        Meta(
            description="Sent with each request to the target; ${VAR} is secret.",
            examples=[{"Authorization": "Bearer ${PROD_TOKEN}"}],
        ),
    ] = UNSET
    health: Annotated[
        str | HealthTable | UnsetType,
        Meta(
            description="Path that reports the service's health.",
            examples=["/health", {"path": "/health", "accept": ["$.cache"]}],
        ),
    ] = UNSET
    rate: Annotated[
        Rate | UnsetType,
        Meta(
            description="Requests per second or minute, all workers together.",
            examples=["20/s", "600/min"],
        ),
    ] = UNSET
    request_budget: Annotated[
        Count | UnsetType, Meta(description="Requests a run may send, all workers together.")
    ] = UNSET
    time_budget: Annotated[
        Seconds | Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)? ?(s|min|h)$")] | UnsetType,
        Meta(
            description="Seconds, or a text with a unit, after which a run sends nothing more; "
            "the remaining checks are not run.",
            examples=[300, "5 min"],
        ),
    ] = UNSET
    timeout: Annotated[Seconds | UnsetType, Meta(description="Seconds for a whole request.")] = (
        UNSET
    )
    concurrency: Annotated[
        AtOnce | UnsetType, Meta(description="Probe requests at the same time.")
    ] = UNSET
    max_body: Annotated[
        Bytes | UnsetType, Meta(description="Bytes of a response, after decoding.")
    ] = UNSET
    database: Annotated[
        str | UnsetType,
        Meta(
            description="SQLAlchemy URL of a read-only connection; secret.",
            examples=["${PROD_DATABASE_URL}"],
        ),
    ] = UNSET
    drills: Annotated[
        bool | date | UnsetType,
        Meta(description="true allows rollback drills here; a date allows them until then."),
    ] = UNSET
    scratch: Annotated[
        str | UnsetType,
        Meta(
            description="URL of a server on which rehearsals may create databases; secret.",
            examples=["${SCRATCH_DATABASE_URL}"],
        ),
    ] = UNSET
    start: Annotated[
        str | UnsetType,
        Meta(
            description="Command that starts the service for the run, without a shell. {port} is a "
            "free port, {folder} an empty folder that is gone after the run, also in `database`.",
            examples=["uvicorn app.main:app --port {port}"],
        ),
    ] = UNSET
    start_timeout: Annotated[
        Seconds | UnsetType, Meta(description="Seconds until a started service must respond.")
    ] = UNSET
    hosts: Annotated[
        Texts | UnsetType, Meta(description="Other host or host:port that tests may reach.")
    ] = UNSET
    proxy: Annotated[
        str | UnsetType, Meta(description="URL of a proxy; those of the environment are not used.")
    ] = UNSET
    ca_bundle: Annotated[
        str | UnsetType, Meta(description="File with the certificates to trust.")
    ] = UNSET
    documentation: Annotated[
        Texts | UnsetType, Meta(description="Paths of documentation pages that must respond.")
    ] = UNSET
    metrics: Annotated[
        Texts | UnsetType, Meta(description="Paths of metrics endpoints that must respond.")
    ] = UNSET
    private: Annotated[Texts | UnsetType, Meta(description="Paths that must not be public.")] = (
        UNSET
    )
    limits: LimitsTable | UnsetType = UNSET
    release: ReleaseTable | UnsetType = UNSET
    probes: Annotated[
        list[ProbeTable] | UnsetType,
        Meta(description="Probes of this target, added to those of every target."),
    ] = UNSET


class ActionTable(Table):
    """A row of the decision matrix: an action for a finding, a failed check or a figure."""

    when: Annotated[
        Text,
        Meta(
            description="A finding's rule or a check's id (globs), or a figure and its limit.",
            examples=["database.*", "latency.p95 > 1000"],
        ),
    ]
    action: Annotated[
        Text,
        Meta(description="The action, for people; FLAG=value names a flag that it sets."),
    ]
    severity: Annotated[Severity | UnsetType, Meta(description="critical means a rollback.")] = (
        UNSET
    )
    within: Annotated[str | UnsetType, Meta(description="Deadline.", examples=["5 min"])] = UNSET
    verify: Annotated[
        str | UnsetType, Meta(description="The way to verify afterwards that it helped.")
    ] = UNSET


class FlagsTable(Table):
    """Feature flags and operating modes, for the rollback suite."""

    from_: Annotated[Text, Meta(description='Path of the response, or "environment".')]
    values: Annotated[
        dict[Text, Text], Meta(description="Flag -> JSONPath of its value, or the variable's name.")
    ]
    mode: Annotated[Text | UnsetType, Meta(description="Place of the mode's name, if any.")] = UNSET
    modes: Annotated[
        dict[Text, dict[str, bool]] | UnsetType,
        Meta(description="Mode -> its flags; any other combination is invalid."),
    ] = UNSET
    dependencies: Annotated[
        dict[Text, Text] | UnsetType,
        Meta(
            description="Flag -> JSONPath of the state of the dependency that it switches on.",
            examples=[{"ENABLE_DATABASE_WRITES": "$.database_connection"}],
        ),
    ] = UNSET


class SwitchTable(Table):
    """The means to flip a switch: one request to the target, or a function of the project."""

    get: Annotated[Text | UnsetType, Meta(description="Path below base_url.")] = UNSET
    post: Annotated[Text | UnsetType, Meta(description="Path below base_url.")] = UNSET
    put: Annotated[
        Text | UnsetType, Meta(description="Path below base_url.", examples=["/admin/flags"])
    ] = UNSET
    patch: Annotated[Text | UnsetType, Meta(description="Path below base_url.")] = UNSET
    delete: Annotated[Text | UnsetType, Meta(description="Path below base_url.")] = UNSET
    call: Annotated[
        Text | UnsetType,
        Meta(
            description="Function that does it, with the guarded client, instead of a request.",
            examples=["conftest.py::to_files"],
        ),
    ] = UNSET
    json: Annotated[
        Any, Meta(description='Body of the request; "{ttl}" is the seconds it may stay flipped.')
    ] = UNSET
    send: Annotated[Headers | UnsetType, Meta(description="Request headers; ${VAR} is secret.")] = (
        UNSET
    )


class WritesTable(Table):
    """Data that is written while the switch is flipped, and must still be there afterwards."""

    post: Annotated[Text, Meta(description="Path below base_url.", examples=["/entries"])]
    json: Annotated[Any, Meta(description='Body; "{drill}" in a text names the drill in it.')]
    read: Annotated[
        Text,
        Meta(description="Path at which it is read again.", examples=["/entries/{id}"]),
    ]
    id: Annotated[
        Text | UnsetType, Meta(description="JSONPath of {id} in the response. Default: $.id.")
    ] = UNSET
    keep: Annotated[
        bool | UnsetType,
        Meta(description="true: do not DELETE it at `read` after the drill."),
    ] = UNSET


class BreakerTable(Table):
    """The circuit breaker of a dependency that the switch makes fail."""

    get: Annotated[Text, Meta(description="Path whose response needs the dependency.")]
    from_: Annotated[Text, Meta(description="Path that reports the state.", examples=["/health"])]
    state: Annotated[Text, Meta(description="JSONPath of the state: closed, open or half-open.")]
    failures: Annotated[Count, Meta(description="Failures in a row that open it.", examples=[5])]
    cooldown: Annotated[Seconds, Meta(description="Seconds until it lets one attempt through.")]


class DrillTable(Table):
    """A rehearsal: steady state, switch, checks in that mode, rollback, steady state again."""

    name: Annotated[Text, Meta(description="Id of the drill.", examples=["file only"])]
    switch: Annotated[
        SwitchTable | Text,
        Meta(description="A request, a function, or a command that runs without a shell."),
    ]
    restore: Annotated[SwitchTable | Text, Meta(description="Undoes it; may be sent twice.")]
    mode: Annotated[
        Text | UnsetType, Meta(description="Mode of [flags.modes] that must then be in force.")
    ] = UNSET
    within: Annotated[
        Seconds | UnsetType, Meta(description="Seconds until a switch has taken effect.")
    ] = UNSET
    severity: Annotated[Severity | UnsetType, Meta(description="Weight of the check.")] = UNSET
    probes: Annotated[
        list[ProbeTable] | UnsetType,
        Meta(description="Probes while switched, in place of the probes with the same ids."),
    ] = UNSET
    writes: WritesTable | UnsetType = UNSET
    breaker: BreakerTable | UnsetType = UNSET


class ContractTable(Table):
    """The extent of the contract suite."""

    max_examples: Annotated[
        Count | UnsetType, Meta(description="Examples per operation and phase.")
    ] = UNSET
    time_per_operation: Annotated[Seconds | UnsetType, Meta(description="Seconds.")] = UNSET
    exclude: Annotated[
        Texts | UnsetType,
        Meta(
            description="`METHOD /path` globs, tags, operation ids.",
            examples=[["DELETE /admin/**"]],
        ),
    ] = UNSET
    allow: Annotated[
        Texts | UnsetType,
        Meta(
            description="Operations that only read although their names or summaries say that they "
            "change something, and that may be sent to a read-only target: `GET /path` globs, "
            "tags, operation ids.",
            examples=[["GET /reset", "GET /jobs/*/run"]],
        ),
    ] = UNSET
    parameters: Annotated[
        dict[Text, Annotated[list[Any], Meta(min_length=1)]] | UnsetType,
        Meta(
            description="Real values for parameters that cannot be guessed.",
            examples=[{"sku": ["SKU-1001"]}],
        ),
    ] = UNSET
    baseline: Annotated[
        Text | UnsetType,
        Meta(
            description="File of an older document, which a release must not break. "
            "Default: that of the last run on the target that passed.",
            examples=["openapi.json"],
        ),
    ] = UNSET
    seed: Annotated[
        Annotated[int, Meta(ge=0)] | UnsetType,
        Meta(description="Seed that a run printed, to repeat it."),
    ] = UNSET


class SchemaTable(Table):
    """A table or view of the database, as the code expects it; missing keys are not compared.

    Each text is SQL, as it follows the name.
    """

    view: Annotated[bool | UnsetType, Meta(description="true: it has to be a view.")] = UNSET
    columns: Annotated[
        dict[Text, Text] | UnsetType,
        Meta(
            description="Column -> type, and `not null` where null is refused.",
            examples=[{"is_premium": "boolean not null"}],
        ),
    ] = UNSET
    primary_key: Annotated[Texts | UnsetType, Meta(description="Its columns.")] = UNSET
    foreign_keys: Annotated[
        Texts | UnsetType,
        Meta(
            description="Foreign keys that must be there.",
            examples=[["user_id references users (id) on delete cascade"]],
        ),
    ] = UNSET
    indexes: Annotated[
        Texts | UnsetType,
        Meta(
            description="Indexes and unique constraints that must be there.",
            examples=[["(user_id, created_at)", "unique (lower(email))"]],
        ),
    ] = UNSET
    row_level_security: Annotated[
        bool | Literal["forced"] | UnsetType,
        Meta(description="true if it is on; forced: for the owner too. Policies imply true."),
    ] = UNSET
    policies: Annotated[
        dict[Text, Text] | UnsetType,
        Meta(
            description="Every allowed policy -> the text of CREATE POLICY after the table.",
            examples=[{"read own": "for select to authenticated using (user_id = auth.uid())"}],
        ),
    ] = UNSET


Tables = dict[Text, SchemaTable]


class SchemaContents(Table):
    """The content of a schema file, as `prodcheck init --database` writes it."""

    tables: Tables


class DatabaseTable(Table):
    """The code's expectations of the target's database."""

    schema: Annotated[
        Text | UnsetType,
        Meta(description="File with the expected tables.", examples=["schema.toml"]),
    ] = UNSET
    tables: Annotated[
        Tables | UnsetType, Meta(description="Expected tables, beside those of the file.")
    ] = UNSET
    metadata: Annotated[
        Annotated[str, Meta(pattern=r"^[\w.]+:[\w.]+$")] | UnsetType,
        Meta(
            description="SQLAlchemy MetaData with the expected tables, as module:name.",
            examples=["app.models:Base.metadata"],
        ),
    ] = UNSET
    connections: Annotated[
        Count | UnsetType, Meta(description="Connections that may be in use.")
    ] = UNSET
    slow: Annotated[Seconds | UnsetType, Meta(description="Seconds a query may take.")] = UNSET
    queries: Annotated[
        dict[Text, Text] | UnsetType,
        Meta(
            description="Name -> SQL of a query that reads, whose time is measured.",
            examples=[{"latest runs": 'SELECT * FROM "PipelineRun" LIMIT 10'}],
        ),
    ] = UNSET


class MigrationsTable(Table):
    """The place of migrations, and the demands on them."""

    folder: Annotated[
        Text,
        Meta(description="Folder of SQL files, of Prisma or of Alembic.", examples=["migrations"]),
    ]
    limit: Annotated[Seconds | UnsetType, Meta(description="Seconds that one may take.")] = UNSET
    seed: Annotated[
        Text | UnsetType,
        Meta(description="SQL file that fills the tables first. Default: rows are generated."),
    ] = UNSET
    applied: Annotated[
        str | UnsetType,
        Meta(
            description="The target's last migration; an empty text: none. "
            "Default: the one in the history of Prisma or Alembic.",
            examples=["003_tiers"],
        ),
    ] = UNSET
    forward_only: Annotated[
        bool | UnsetType, Meta(description="true if migrations need no rollback.")
    ] = UNSET
    notices: Annotated[
        dict[Text, Texts] | UnsetType,
        Meta(
            description="Migration -> NOTICEs that it has to raise (globs).",
            examples=[{"002_users": ["Added is_premium column*"]}],
        ),
    ] = UNSET
    ignore: Annotated[
        Texts | UnsetType,
        Meta(description="Rules that do not apply.", examples=[["migration.cascade"]]),
    ] = UNSET
    dialect: Annotated[
        Dialect | UnsetType,
        Meta(description="Dialect of the SQL, if there is no `database` or `scratch`."),
    ] = UNSET


class Contents(Table):
    """Settings of prodcheck."""

    threshold: Annotated[
        Any,  # its own reader keeps the decimal exact and explains usual mistakes
        Meta(
            description="The score must be greater than this.",
            extra_json_schema={"type": "number", "minimum": 1, "maximum": 100},
        ),
    ] = UNSET
    weights: Annotated[
        dict[Severity, Count] | UnsetType,
        Meta(description="Weight of a check by its severity."),
    ] = UNSET
    veto: Annotated[
        list[Literal["server_error", "auth", "exposed", "data_loss", "regression"]] | UnsetType,
        Meta(
            description="Kinds of failure that no score outweighs; the default is all of them.",
            examples=[["server_error", "auth", "exposed", "data_loss"]],
        ),
    ] = UNSET
    required: Annotated[
        Texts | UnsetType,
        Meta(
            description="Checks that must be planned: `smoke>=10`, or globs over check ids.",
            examples=[["smoke>=10"]],
        ),
    ] = UNSET
    targets: Annotated[dict[str, TargetTable] | UnsetType, Meta(description="Environments.")] = (
        UNSET
    )
    probes: Annotated[list[ProbeTable] | UnsetType, Meta(description="Probes of every target.")] = (
        UNSET
    )
    actions: Annotated[list[ActionTable] | UnsetType, Meta(description="The decision matrix.")] = (
        UNSET
    )
    matrix: Annotated[
        Text | UnsetType,
        Meta(
            description="Rows that come with prodcheck, after those of [[actions]].",
            examples=["database-flags"],
        ),
    ] = UNSET
    flags: FlagsTable | UnsetType = UNSET
    drills: Annotated[
        list[DrillTable] | UnsetType,
        Meta(description="Rehearsals of rollbacks, on targets that allow them."),
    ] = UNSET
    contract: ContractTable | UnsetType = UNSET
    database: DatabaseTable | UnsetType = UNSET
    migrations: MigrationsTable | UnsetType = UNSET


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of `prodcheck.toml`, with the defaults of Settings."""
    schema = msgspec.json.schema(Contents)
    records: dict[str, type[Record]] = {
        "Contents": Settings,
        "TargetTable": Target,
        "ProbeTable": Probe,
        "ContractTable": Contract,
        "DrillTable": Drill,
        "DatabaseTable": Database,
        "MigrationsTable": Migrations,
    }
    for table, record in records.items():
        properties = schema["$defs"][table]["properties"]
        for field in msgspec.structs.fields(record):
            default = float(field.default) if field.name == "threshold" else field.default
            if field.name in properties and isinstance(default, bool | int | float | str):
                properties[field.name]["default"] = default
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "prodcheck.toml",
    } | schema
