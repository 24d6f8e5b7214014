"""A connection to a target outside a test run, for commands and the watchdog of drills."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from pytest_prodcheck.config import Settings, load
from pytest_prodcheck.http.client import LiveClient
from pytest_prodcheck.http.throttle import Throttle
from pytest_prodcheck.http.transport import LiveTransport
from pytest_prodcheck.model import Record
from pytest_prodcheck.redaction.redactor import redactor_of


class StandaloneTarget(Record):
    """The settings of a target, clients for it, and a function that redacts texts."""

    settings: Settings
    connect: Callable[[], LiveClient]
    connect_anew: Callable[[], AbstractContextManager[LiveClient]]
    """Returns a client that opens a connection of its own, and closes it at the end."""
    clean: Callable[[str], str]


@contextmanager
def standalone_target(choice: str, *, root: Path, base_url: str = "") -> Iterator[StandaloneTarget]:
    """Connect to the target *choice* with its rate and credentials, as in a run.

    *base_url* is its real address, if that differs from the configuration. The number of requests
    has no limit. Raises UsageError.
    """
    settings = load(choice, root=root, environ=os.environ)
    if base_url:
        target = msgspec.structs.replace(settings.target, base_url=base_url)
        settings = msgspec.structs.replace(settings, target=target)
    with connected(settings) as there:
        yield there


@contextmanager
def connected(settings: Settings) -> Iterator[StandaloneTarget]:
    """Connect to a target as `standalone_target` does, with given settings."""
    target = settings.target
    redactor = redactor_of(settings.secrets, os.environ)
    with _private_file() as path:
        throttle = Throttle(path, rate=target.rate, budget=None, breaker=False)
        transport = LiveTransport(target, throttle)

        @contextmanager
        def connect_anew() -> Iterator[LiveClient]:
            own = LiveTransport(msgspec.structs.replace(target, concurrency=1), throttle)
            try:
                yield LiveClient(target, own, redact=redactor.text)
            finally:
                own.close()

        try:
            yield StandaloneTarget(
                settings=settings,
                connect=lambda: LiveClient(target, transport, redact=redactor.text),
                connect_anew=connect_anew,
                clean=redactor.text,
            )
        finally:
            transport.close()
            throttle.close()


@contextmanager
def _private_file() -> Iterator[Path]:
    """Yield the path of a new file, in memory where the system has that: Linux.

    A drill is undone also when the disk fails after the switch was flipped.
    """
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("prodcheck")
        try:
            yield Path(f"/proc/self/fd/{number}")
        finally:
            os.close(number)
    else:
        with tempfile.TemporaryDirectory(prefix="prodcheck-") as folder:
            yield Path(folder) / "throttle"
