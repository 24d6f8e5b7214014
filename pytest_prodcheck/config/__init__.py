"""What a run is told: from the chosen target, the file and the environment to Settings.

choice      what a chosen target means; load() is here
file        the file: found, read, and the line of a fault in it
tables      its shape as it is written, and the JSON Schema
misfit      why data does not fit that shape
variables   ${VAR} filled in, secrets remembered
reader      one value at a time, checked
target      [targets.NAME] over what it extends
probes      [[probes]]
suites      [flags], [contract] and [migrations]
databases   what a database URL names
judging     threshold, weights, [[actions]], required
settings    the records that come of it: what other modules read
"""

from pytest_prodcheck.config.choice import choose, load
from pytest_prodcheck.config.settings import (
    Contract,
    Flags,
    Limits,
    Migrations,
    Probe,
    ReleaseSource,
    Secret,
    Settings,
    Target,
    describe,
)
from pytest_prodcheck.config.tables import json_schema

__all__ = [
    "Contract",
    "Flags",
    "Limits",
    "Migrations",
    "Probe",
    "ReleaseSource",
    "Secret",
    "Settings",
    "Target",
    "choose",
    "describe",
    "json_schema",
    "load",
]
