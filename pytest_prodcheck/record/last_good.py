"""The OpenAPI document of the last release that passed, for each target: what the next one is
compared with."""

import re
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.model import Record, Release
from pytest_prodcheck.record.folder import Folder


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
    Folder(base).write(_name(target), msgspec.json.encode(found).decode())


def last_good(base: Path, target: str) -> LastGood | None:
    """What is stored for *target*; None when there is nothing that can be read."""
    try:
        return msgspec.json.decode((base / _name(target)).read_bytes(), type=LastGood)
    except (OSError, msgspec.MsgspecError):
        return None


def _name(target: str) -> str:
    return f"openapi-{re.sub(r'[^A-Za-z0-9._-]', '_', target)[:80]}.json"
