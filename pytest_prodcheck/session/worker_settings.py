"""The settings of a run, as its controller hands them to a worker.

A worker that read the configuration again would go by a file that has changed meanwhile. The
settings travel with pytest-xdist's own input of a worker, without any secret. Secrets are in a file
of the run's private folder, sealed with a pad of random bytes that travels with the settings: each
of the two alone is useless, so a killed run leaves no secret on the disk.
"""

import os
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.config import Secret, Settings


def pack(settings: Settings, sealed: Path) -> dict[str, bytes]:
    """Return what `unpack` needs beside the file `sealed`, which is written here."""
    plain = BytesIO()
    pickler = _Pickler(plain)
    pickler.dump(settings)
    values = msgspec.json.encode(
        [(one.reveal(), one.name, one.template) for one in pickler.secrets]
    )
    pad = os.urandom(len(values))
    file = os.open(sealed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "wb") as written:
        written.write(_xor(values, pad))
    return {"settings": plain.getvalue(), "pad": pad}


def unpack(packed: dict[str, bytes], sealed: Path) -> Settings:
    """Return the settings that `pack` was given."""
    values = _xor(sealed.read_bytes(), packed["pad"])
    parts = msgspec.json.decode(values, type=list[tuple[str, str, str]])
    secrets = [Secret(*one) for one in parts]
    settings: Settings = _Unpickler(BytesIO(packed["settings"]), secrets).load()
    return settings


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


class _Pickler(pickle.Pickler):
    """Leaves secrets out, and collects them."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file)
        self.secrets: list[Secret] = []

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, Secret):
            return None
        self.secrets.append(value)
        return len(self.secrets) - 1


class _Unpickler(pickle.Unpickler):
    """Puts them back in."""

    def __init__(self, file: BytesIO, secrets: list[Secret]) -> None:
        super().__init__(file)
        self._secrets = secrets

    def persistent_load(self, number: int) -> Secret:
        return self._secrets[number]
