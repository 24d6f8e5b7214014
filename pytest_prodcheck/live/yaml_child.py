"""YAML on standard input becomes JSON on standard output, in a process with limits of its own.

    python yaml_child.py SECONDS MEGABYTES

A parser of YAML can be made to take for ever, to fill the memory or to die: then it is this process
that does. Why a document is not read is the rest of a sentence on standard error, with exit 1.
"""

import contextlib
import json
import resource
import sys
from datetime import date
from typing import Any

DEEPEST = 200
"""Levels: as of JSON (live.bodies)."""


def main() -> None:
    seconds, megabytes = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    with contextlib.suppress(ValueError, OSError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20, megabytes * 2**20))
    try:
        sys.stdout.write(as_json(sys.stdin.buffer.read()))
    except MemoryError:
        sys.exit(f"takes more than {megabytes} MB of memory to read; serve it as JSON")


def as_json(content: bytes) -> str:
    """The document as JSON; exits with the reason when there is one not to read it.

    Aliases, and the anchors that they refer to, are refused: nine lines of them can mean a billion
    values.
    """
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        sys.exit("is not JSON, and PyYAML is not installed; serve it as JSON, or install PyYAML")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(content, Loader=loader):
            if getattr(event, "anchor", None):
                sys.exit("uses YAML aliases, which are not read; use `$ref`, or serve it as JSON")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                sys.exit(f"is nested more than {DEEPEST} deep")
        value = yaml.load(content, Loader=loader)  # noqa: S506 (it is a safe loader)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        sys.exit(f"is neither JSON nor YAML: {type(problem).__name__}")
    try:
        return json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as problem:
        sys.exit(f"has what JSON does not have: {problem}")


def _plain(value: Any) -> str:
    """YAML has dates, which OpenAPI writes as text."""
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__}")


if __name__ == "__main__":
    main()
