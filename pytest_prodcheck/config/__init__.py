"""The configuration: from the chosen target, the file and the environment to Settings.

loader       the chosen target; load() is here
config_file  the file: search, parsing, and the line of an error in it
tables       the tables of the file, and the JSON Schema
validation   the explanation of a validation error
variables    ${VAR} filled in, and the secrets
reader       the check of one value at a time
target       [targets.NAME] with the targets that it extends
probes       [[probes]]
drills       [[drills]]
suites       [flags], [contract] and [migrations]
database     [database], and the schema file that it names
matrices     ready-made rows of the decision matrix
judging      threshold, weights, [[actions]], required
known        known.toml
settings     the resulting records, which other modules read
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
