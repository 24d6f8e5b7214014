"""What a run is told: from the chosen target, the file and the environment to Settings.

choice      what a chosen target means; load() is here
file        the file: found, read, and the line of a fault in it
tables      its shape as it is written, and the JSON Schema
misfit      why data does not fit that shape
variables   ${VAR} filled in, secrets remembered
reader      one value at a time, checked
target      [targets.NAME] over what it extends
probes      [[probes]]
drills      [[drills]]
suites      [flags], [contract] and [migrations]
database    [database], and the schema file that it names
databases   what a database URL names
matrices    ready-made rows of the decision matrix
judging     threshold, weights, [[actions]], required
settings    the records that come of it: what other modules read
"""

from pytest_prodcheck.config.loader import choose, load
from pytest_prodcheck.config.settings import (
    Contract,
    Database,
    Drill,
    Flags,
    Limits,
    Migrations,
    Probe,
    ReleaseSource,
    Request,
    Secret,
    Settings,
    Switch,
    Target,
    describe,
    digests,
    revealed,
)
from pytest_prodcheck.config.tables import json_schema

__all__ = [
    "Contract",
    "Database",
    "Drill",
    "Flags",
    "Limits",
    "Migrations",
    "Probe",
    "ReleaseSource",
    "Request",
    "Secret",
    "Settings",
    "Switch",
    "Target",
    "choose",
    "describe",
    "digests",
    "json_schema",
    "load",
    "revealed",
]
