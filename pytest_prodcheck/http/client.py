"""The HTTP client of tests and probes: httpx with limits, and a record of each exchange.

LiveClient (per test)  ->  RecordingTransport  ->  LiveTransport (per process)  ->  Throttle
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
from pytest_prodcheck.http.sockets import RequestDeadline
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

NO_ADDRESS = "the response's Location is not a web address. Correct it at the server."


class RecordingTransport(httpx.BaseTransport):
    """A transport that sends through the shared one and records each exchange, failed ones too.

    It adds the headers of every request of ours: User-Agent, Accept-Encoding, and a traceparent
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
        deadline = RequestDeadline()
        added = self._transport.added_to(request)
        try:
            response = self._transport.send(request, deadline)
        except (httpx.RequestError, ProdcheckError) as failure:
            self._keep(
                self._masking.exchange(
                    request, deadline, added, kind=kind_of(failure), error=str(failure)
                )
            )
            raise
        self._keep(self._masking.exchange(request, deadline, added, response=response))
        return response

    def _keep(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        if self._note:
            self._note(exchange)

    def refuse(self, request: httpx.Request, facts: str) -> httpx.RequestError:
        """Record a redirect that is not followed, and return the exception that says so."""
        shown = f"{request.method} {self._masking.url(request.url)}"
        failure = RedirectRefused(f"redirect: {shown}: {facts}", request=request)
        self.exchanges.append(
            self._masking.exchange(
                request, RequestDeadline(), (), kind="redirect", error=str(failure)
            )
        )
        return failure

    def close(self) -> None:
        """Do nothing: the shared transport belongs to the run."""


class LiveClient(httpx.Client):
    """An `httpx.Client` for the target: `client.get("/health")`.

    `exchanges` holds every request that was sent, failed or was withheld, each redirect on its
    own. `learn` receives values that look like credentials, so that they can be masked elsewhere;
    `redact` cleans responses before they are cut to an excerpt; `note` gets each exchange once,
    even if it is not kept, and `observe` each response that was read in full. Redirects are not
    followed by default; with `follow_redirects` they are on the same origin only, at most MAX_HOPS
    times. Raises httpx's exceptions, and errors.NotAsked for a request that was not sent.
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
            headers={
                "User-Agent": USER_AGENT,
                "Accept-Encoding": ACCEPTED,
                **_default_headers(target),
            },
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
        """Send as `httpx.Client.send` does; raises RedirectRefused for a redirect not allowed."""
        if follow_redirects is httpx.USE_CLIENT_DEFAULT:
            follow_redirects = self.follow_redirects
        history: list[httpx.Response] = []
        response = self._hop(request, stream, auth)
        while follow_redirects and response.next_request is not None:
            response.read()
            following = response.next_request
            if reason := _redirect_refusal(response, following, hops=len(history)):
                raise self._recorder.refuse(following, reason)
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
            # httpx prepares the next request even when it will not send it, and fails for a
            # Location like mailto: with an exception that is not an HTTPError.
            raise self._recorder.refuse(request, NO_ADDRESS) from None


USER_AGENT = f"pytest-prodcheck/{__version__}"
ACCEPTED = ", ".join(ENCODINGS)


def _traceparent() -> str:
    """Return a traceparent of version 00, with random trace and parent ids, sampled."""
    ids = os.urandom(24).hex()
    return f"00-{ids[:32]}-{ids[32:]}-01"


def _default_headers(target: Target) -> dict[str, str]:
    """Return the configured headers that are not credentials and may replace httpx's defaults."""
    return {
        name: value
        for name, value in target.headers.items()
        if not isinstance(value, Secret) and name.lower() in HARMLESS
    }


def _redirect_refusal(
    response: httpx.Response, following: httpx.Request, *, hops: int
) -> str | None:
    """Return the reason not to follow a redirect; None if it may be followed."""
    location = response.headers["Location"].strip()
    if not location:
        return "the Location that led here is empty. Correct it at the server."
    scheme = httpx.URL(location).scheme
    if scheme not in ("", "http", "https"):
        return NO_ADDRESS
    here, there = response.request.url, following.url
    if origin_of(here) != origin_of(there):
        return (
            f"it leads from {_origin(here)} to {_origin(there)}. Redirects are followed on the "
            "same origin only, so nothing was sent there. If that is the real address, set "
            "base_url to it."
        )
    if hops >= MAX_HOPS:
        return f"{MAX_HOPS} redirects were followed, and none led to a final response."
    return None


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
