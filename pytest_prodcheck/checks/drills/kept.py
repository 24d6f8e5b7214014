"""The memory of a watchdog, which needs nothing from the disk to undo a drill."""

import pickle
import socket
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from pytest_prodcheck.checks.drills.restoring import Site
from pytest_prodcheck.checks.drills.switching import hold
from pytest_prodcheck.checks.probes.prober import ask
from pytest_prodcheck.config import Drill, Probe, Secret, Settings
from pytest_prodcheck.http.sockets import tls_context
from pytest_prodcheck.model import Record
from pytest_prodcheck.service.standalone import StandaloneTarget


class Kept(Record):
    """A drill and its target as the run had them configured, secrets included."""

    settings: Settings
    drill: Drill
    probes: tuple[Probe, ...]
    root: Path
    """The folder that commands run in and functions are imported from."""
    mark: str

    def packed(self) -> bytes:
        """Return bytes for a private pipe, and for no file: the secrets are in them."""
        plain = BytesIO()
        _Pickler(plain).dump(self)
        return plain.getvalue()

    @classmethod
    def unpacked(cls, packed: bytes) -> "Kept":
        """Return what `packed` was called on."""
        kept: Kept = _Unpickler(BytesIO(packed)).load()
        return kept

    def site(self, there: StandaloneTarget) -> Site:
        """Return the target with all that its rollback needs from the disk, read now."""
        return Site(
            target=self.settings.target,
            connect=there.connect,
            flags=self.settings.flags,
            probes=self.probes,
            root=self.root,
            held=hold(self.drill.restore, self.root),
            clean=there.clean,
        )


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> tuple[str, str, str] | None:
        if isinstance(value, Secret):
            return value.reveal(), value.name, value.template
        return None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, secret: tuple[str, str, str]) -> Secret:
        return Secret(*secret)


def warm_up(site: Site) -> None:
    """Load what a request loads the first time, with one to this process itself.

    The interpreter's packages may lie in the project that is gone when they are needed.
    """
    from pytest_prodcheck.service.standalone import connected

    if site.target.base_url.startswith("https://"):
        tls_context(site.target.ca_bundle)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://localhost:{server.getsockname()[1]}"
        threading.Thread(target=_answer_once, args=(server,), daemon=True).start()
        target = msgspec.structs.replace(site.target, base_url=url, headers={}, proxy=None)
        with connected(Settings(target=target)) as there, there.connect() as client:
            ask(client, Probe(method="GET", path="/", id="warm up", json={"well": True}))


def _answer_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n"
        connection.sendall(head.encode() + b'{"well": true}')
