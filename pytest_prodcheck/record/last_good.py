"""The OpenAPI document of the last release that passed, for each target: what the next one is
compared with."""

import re
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.model import Record, Release


class LastGood(Record):
    """The document, and whose it is."""

    run_id: str
    release: Release
    spec: dict[str, Any]

    @property
    def source(self) -> str:
        """`release 1.4.2 (run 20260101T000000-abcdef)`"""
        release = self.release.version or self.release.commit
        return f"release {release} (run {self.run_id})" if release else f"run {self.run_id}"


def keep(base: Path, target: str, found: LastGood) -> None:
    """Store it below *base*, the folder of all runs, in place of an older one."""
    path = _path(base, target)
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(found))
    part.replace(path)


def last_good(base: Path, target: str) -> LastGood | None:
    """What is stored for *target*; None when there is nothing that can be read."""
    try:
        return msgspec.json.decode(_path(base, target).read_bytes(), type=LastGood)
    except (OSError, msgspec.MsgspecError):
        return None


def _path(base: Path, target: str) -> Path:
    return base / f"openapi-{re.sub(r'[^A-Za-z0-9._-]', '_', target)[:80]}.json"
