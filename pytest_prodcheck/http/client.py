"""The connection that tests and probes get: httpx as everybody knows it, bounded and recorded.

LiveClient (one per test)  ->  RecordingTransport  ->  LiveTransport (one per process)  ->  Chain
"""

import os
from collections.abc import Callable
from typing import Any

from pytest_prodcheck.config import Secret, Target
from pytest_prodcheck.errors import ProdcheckError
from pytest_prodcheck.http.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    NameNotResolved,
    RedirectRefused,
    TlsRefused,
    UnknownEncoding,
    kind_of,
)
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.recording import HARMLESS, Learn, Masking, Redact
from pytest_prodcheck.http.sockets import Clock
from pytest_prodcheck.http.transport import ENCODINGS, LiveTransport, origin_of
from pytest_prodcheck.model import Exchange
from pytest_prodcheck.version import __version__

__all__ = [
    "BodyTooLarge",
    "DeadlineExceeded",
    "LiveClient",
    "LiveTransport",
    "NameNotResolved",
    "RecordingTransport",
    "RedirectRefused",
    "TlsRefused",
    "UnknownEncoding",
    "kind_of",
]

MAX_HOPS = 5
"""Redirects that one request may follow."""

Note = Callable[[Exchange], None]

NO_ADDRESS = "the answer's Location is no web address. Correct it at the server."


class RecordingTransport(httpx.BaseTransport):
    """Passes requests on to the shared transport and notes each exchange, failed ones too.

    Adds what every request of ours carries: User-Agent, Accept-Encoding, and a traceparent
    (W3C Trace Context) by which the target's team finds it.
    """

    def __init__(self, transport: LiveTransport, masking: Masking, note: Note | None) -> None:
        self.exchanges: list[Exchange] = []
        self._note = note
        self._transport = transport
        self._masking = masking

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = request.headers
        headers.setdefault("User-Agent", USER_AGENT)
        headers.setdefault("Accept-Encoding", ACCEPTED)
        if "traceparent" not in headers:
            headers["traceparent"] = _traceparent()
        clock = Clock()
        added = self._transport.added_to(request)
        try:
            response = self._transport.send(request, clock)
        except (httpx.RequestError, ProdcheckError) as failure:
            self._keep(
                self._masking.exchange(
                    request, clock, added, kind=kind_of(failure), error=str(failure)
                )
            )
            raise
        self._keep(self._masking.exchange(request, clock, added, response=response))
        return response

    def _keep(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        if self._note:
            self._note(exchange)

    def refuse(self, request: httpx.Request, facts: str) -> httpx.RequestError:
        """Note a redirect that is not followed, and give the exception that says so."""
        asked = f"{request.method} {self._masking.url(request.url)}"
        failure = RedirectRefused(f"redirect: {asked}: {facts}", request=request)
        self.exchanges.append(
            self._masking.exchange(request, Clock(), (), kind="redirect", error=str(failure))
        )
        return failure

    def close(self) -> None:
        """Nothing: the transport belongs to the run."""


class LiveClient(httpx.Client):
    """An `httpx.Client` on the target: `client.get("/health")`.

    `exchanges` holds every request that went out, failed or was withheld, redirects one by
    one. `learn` receives values that look like credentials, so that they can be masked
    elsewhere; `redact` cleans answers before they are cut to an excerpt; `note` gets each
    exchange once, also if it is not kept, and `observe` each answer that was read in full.
    Redirects are not
    followed unless asked for, and then on the same origin only, at most MAX_HOPS times. Raises
    what httpx raises, and errors.NotAsked for what was not sent.
    """

    def __init__(
        self,
        target: Target,
        transport: LiveTransport,
        *,
        learn: Learn | None = None,
        redact: Redact | None = None,
        note: Note | None = None,
        observe: Callable[[httpx.Response], object] | None = None,
    ) -> None:
        self._observe = observe
        self._recorder = RecordingTransport(transport, Masking(learn, redact), note)
        self.exchanges = self._recorder.exchanges
        super().__init__(
            transport=self._recorder,
            base_url=target.base_url,
            timeout=target.timeout,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": ACCEPTED, **_open(target)},
            max_redirects=MAX_HOPS,
            trust_env=False,
        )

    def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx.USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """As `httpx.Client.send`; raises RedirectRefused for a redirect not to be followed."""
        if follow_redirects is httpx.USE_CLIENT_DEFAULT:
            follow_redirects = self.follow_redirects
        history: list[httpx.Response] = []
        response = self._hop(request, stream, auth)
        while follow_redirects and response.next_request is not None:
            response.read()
            following = response.next_request
            if why := _why_not(response, following, hops=len(history)):
                raise self._recorder.refuse(following, why)
            history.append(response)
            response = self._hop(following, stream, None)
            response.history = list(history)
        return response

    def _hop(self, request: httpx.Request, stream: bool, auth: Any) -> httpx.Response:
        try:
            response = super().send(request, stream=stream, auth=auth, follow_redirects=False)
            if self._observe and not stream:
                self._observe(response)
            return response
        except httpx.InvalidURL:
            # httpx prepares the next request even when it will not send it, and for a Location
            # like mailto: fails with what is not even an HTTPError.
            raise self._recorder.refuse(request, NO_ADDRESS) from None


USER_AGENT = f"pytest-prodcheck/{__version__}"
ACCEPTED = ", ".join(ENCODINGS)


def _traceparent() -> str:
    """Version 00, random trace and parent ids, sampled."""
    ids = os.urandom(24).hex()
    return f"00-{ids[:32]}-{ids[32:]}-01"


def _open(target: Target) -> dict[str, str]:
    """Configured headers that are no credentials and replace a default of httpx (Accept)."""
    return {
        name: value
        for name, value in target.headers.items()
        if not isinstance(value, Secret) and name.lower() in HARMLESS
    }


def _why_not(answer: httpx.Response, following: httpx.Request, *, hops: int) -> str | None:
    """Why a redirect is not followed; None if it may be."""
    location = answer.headers["Location"].strip()
    if not location:
        return "the Location that led here is empty. Correct it at the server."
    scheme = httpx.URL(location).scheme
    if scheme not in ("", "http", "https"):
        return NO_ADDRESS
    here, there = answer.request.url, following.url
    if origin_of(here) != origin_of(there):
        return (
            f"it leads from {_origin(here)} to {_origin(there)}, and redirects are followed on "
            "the same origin only; nothing was sent there. If that is the real address, set "
            "base_url to it."
        )
    if hops >= MAX_HOPS:
        return f"{MAX_HOPS} redirects were followed and none has led to an answer."
    return None


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
