"""A connection to a target outside a run of tests: for commands, and for a watchdog."""

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


class Alone(Record):
    """The settings of a target, clients on it, and what takes secrets out of a text."""

    settings: Settings
    connect: Callable[[], LiveClient]
    connect_anew: Callable[[], AbstractContextManager[LiveClient]]
    """A client whose first request opens a connection, and which closes it in the end."""
    clean: Callable[[str], str]


@contextmanager
def alone(choice: str, *, root: Path, base_url: str = "") -> Iterator[Alone]:
    """Clients with the rate and the credentials of the target, as in a run; *base_url* is where it
    really is, if not where the configuration says. How many requests they send, time alone
    bounds. Raises UsageError."""
    settings = load(choice, root=root, environ=os.environ)
    if base_url:
        target = msgspec.structs.replace(settings.target, base_url=base_url)
        settings = msgspec.structs.replace(settings, target=target)
    with connected(settings) as there:
        yield there


@contextmanager
def connected(settings: Settings) -> Iterator[Alone]:
    """As `alone`, with settings that somebody has."""
    target = settings.target
    redactor = redactor_of(settings.secrets, os.environ)
    with tempfile.TemporaryDirectory(prefix="prodcheck-") as work:
        throttle = Throttle(Path(work) / "throttle", rate=target.rate, budget=None, breaker=False)
        transport = LiveTransport(target, throttle)

        @contextmanager
        def connect_anew() -> Iterator[LiveClient]:
            own = LiveTransport(msgspec.structs.replace(target, concurrency=1), throttle)
            try:
                yield LiveClient(target, own, redact=redactor.text)
            finally:
                own.close()

        try:
            yield Alone(
                settings=settings,
                connect=lambda: LiveClient(target, transport, redact=redactor.text),
                connect_anew=connect_anew,
                clean=redactor.text,
            )
        finally:
            transport.close()
            throttle.close()
