"""A LiveClient for one test, with everything it stands on, closed afterwards."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_prodcheck.config import Target
from pytest_prodcheck.http.client import LiveClient, LiveTransport
from pytest_prodcheck.http.throttle import Throttle


@contextmanager
def connected(
    url: str,
    *,
    throttle: Throttle | None = None,
    learn: Callable[[str], None] | None = None,
    redact: Callable[[str], str] | None = None,
    **settings: Any,
) -> Iterator[LiveClient]:
    """A client on `url`; `settings` are those of the Target (a short timeout, unless told)."""
    target = Target(name="t", base_url=url, **{"timeout": 5.0, **settings})
    with tempfile.TemporaryDirectory() as folder:
        own = throttle or Throttle(Path(folder, "throttle"), rate=None, budget=100_000)
        transport = LiveTransport(target, own)
        try:
            with LiveClient(target, transport, learn=learn, redact=redact) as client:
                yield client
        finally:
            transport.close()
            if throttle is None:
                own.close()
