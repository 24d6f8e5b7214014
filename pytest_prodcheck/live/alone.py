"""A connection to a target outside a run of tests: for commands, and for a watchdog."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pytest_prodcheck.config import Settings, load
from pytest_prodcheck.live.chain import Chain
from pytest_prodcheck.live.client import LiveClient
from pytest_prodcheck.live.transport import LiveTransport
from pytest_prodcheck.model import Record
from pytest_prodcheck.record.redact import Redactor, from_environment


class Alone(Record):
    """The settings of a target, clients on it, and what takes secrets out of a text."""

    settings: Settings
    connect: Callable[[], LiveClient]
    clean: Callable[[str], str]


@contextmanager
def alone(
    choice: str,
    *,
    root: Path,
    base_url: str = "",
    breaker: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[Alone]:
    """Clients with the rate and the credentials of the target, as in a run; *base_url* is where it
    really is, if not where the configuration says. Raises UsageError."""
    settings = load(choice, root=root, environ=environ)
    if base_url:
        target = msgspec.structs.replace(settings.target, base_url=base_url)
        settings = msgspec.structs.replace(settings, target=target)
    target = settings.target
    redactor = Redactor(
        [
            *((secret.reveal(), secret.name) for secret in settings.secrets),
            *from_environment(environ),
        ]
    )
    with tempfile.TemporaryDirectory(prefix="prodcheck-") as work:
        chain = Chain(
            Path(work) / "chain", rate=target.rate, budget=target.request_budget, breaker=breaker
        )
        transport = LiveTransport(target, chain)
        try:
            yield Alone(
                settings=settings,
                connect=lambda: LiveClient(target, transport, redact=redactor.text),
                clean=redactor.text,
            )
        finally:
            transport.close()
            chain.close()
