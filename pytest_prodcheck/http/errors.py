"""Why a request has no usable answer: httpx's own exceptions, and a few more precise ones.

    httpx.TimeoutException     DeadlineExceeded
    httpx.ConnectError         NameNotResolved, TlsRefused
    httpx.RemoteProtocolError  UnknownEncoding
    httpx.DecodingError        BodyTooLarge
    httpx.TooManyRedirects     RedirectRefused

Their messages begin with the kind, then tell the request, the facts and the way out.
"""

import ssl

import httpcore

from pytest_prodcheck.errors import NotAsked, Violation
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.sockets import MAX_HEAD, Clock, HeadTooLarge

GONE = (404, 410)
"""Statuses that say of a thing that it is not there, or no more: an answer, and a usable one."""


class DeadlineExceeded(httpx.TimeoutException):
    """The whole request took longer than it may."""


class NameNotResolved(httpx.ConnectError):
    """The resolver knows no address for the host, or did not answer in time."""


class TlsRefused(httpx.ConnectError):
    """No TLS connection that can be trusted came about."""


class UnknownEncoding(httpx.RemoteProtocolError):
    """The body is encoded in a way that was not asked for."""


class BodyTooLarge(httpx.DecodingError):
    """The body, as sent or decoded, passes the cap."""


class RedirectRefused(httpx.TooManyRedirects):
    """A redirect leads where the client does not follow, or is one too many."""


_KINDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((NotAsked, Violation, httpx.UnsupportedProtocol), "withheld"),
    ((NameNotResolved,), "dns"),
    ((TlsRefused,), "tls"),
    ((httpx.TimeoutException,), "timeout"),
    ((httpx.ConnectError, httpx.ProxyError), "connect"),
    ((httpx.ProtocolError,), "protocol"),
    ((httpx.DecodingError,), "body"),
    ((httpx.TooManyRedirects,), "redirect"),
)


def kind_of(exception: BaseException) -> str:
    """The class of a failure: connect, dns, tls, timeout, transport, protocol, body, redirect,
    or withheld (it never left this process)."""
    for classes, kind in _KINDS:
        if isinstance(exception, classes):
            return kind
    return "transport"


def explain(
    error: Exception, clock: Clock, request: httpx.Request, asked: str
) -> httpx.RequestError:
    """The exception to raise for what stopped httpcore; `asked` is the request as it is shown."""
    cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    make, facts = _what_happened(error, cause, clock)
    failure = make(facts, request=request)
    failure.args = (f"{kind_of(failure)}: {asked}: {facts}",)
    return failure


def _what_happened(
    error: Exception, cause: Exception, clock: Clock
) -> tuple[type[httpx.RequestError], str]:
    if isinstance(error, httpcore.LocalProtocolError):
        # h11 would repeat the header's value, which may be a secret.
        return httpx.LocalProtocolError, (
            "the request itself is not valid HTTP. Look for a line break or another control "
            "character in its headers."
        )
    if clock.stage == "dns":
        host = clock.peer.rpartition(":")[0]
        return NameNotResolved, (
            f"the host {host} has no address: {_of_resolver(cause, clock)}. "
            "See whether base_url is right and this machine's resolver works."
        )
    if isinstance(error, httpcore.TimeoutException):
        return DeadlineExceeded, (
            f"no complete answer within {clock.seconds:g} s: {_progress(clock)}. "
            "Find out why it takes so long, or raise `timeout` of the target."
        )
    if clock.stage == "tls":
        return TlsRefused, _of_handshake(cause)
    if isinstance(error, httpcore.ProxyError):
        return httpx.ProxyError, (
            f"the proxy {clock.peer} opens no way to the target: {error}. "
            "See whether `proxy` of the target is right."
        )
    if clock.stage == "connect":
        return httpx.ConnectError, (
            f"{clock.peer}: {_of_system(cause)}. "
            "See whether the service runs and base_url names its host and port."
        )
    if isinstance(error, HeadTooLarge):
        return httpx.RemoteProtocolError, (
            f"the answer's header is larger than {MAX_HEAD} bytes. Look for what makes it grow, "
            "cookies for instance."
        )
    start = b"".join(clock.head)[:60]
    if clock.stage == "header" and start and not start.startswith(b"HTTP/"):
        return httpx.RemoteProtocolError, (
            f"the answer is not HTTP/1.1; it begins with {start!r}. "
            "See whether base_url names the right port."
        )
    if isinstance(error, httpcore.RemoteProtocolError) and not clock.closed:
        return httpx.RemoteProtocolError, (
            f"the answer breaks HTTP/1.1: {str(error)[:200]}. Look at the server, or at a proxy "
            "in front of it."
        )
    ended = _of_system(cause) if isinstance(cause, OSError) else "the connection was closed"
    return httpx.ReadError, (
        f"{ended} {_where(clock)}. Look in the target's log for a crash or a restart at this time."
    )


def _where(clock: Clock) -> str:
    if not clock.received:
        return f"without an answer by {clock.peer}" if clock.peer else "without an answer"
    if clock.stage != "body":
        return f"after {clock.received} bytes, before the header was complete"
    return f"after status {clock.status} and {clock.received} bytes, before the body was complete"


def _progress(clock: Clock) -> str:
    if clock.stage == "connect":
        return f"{clock.peer} did not take the connection"
    if clock.stage == "tls":
        return f"{clock.peer} did not finish the TLS handshake"
    if clock.stage == "send":
        return "the target did not read the whole request"
    if clock.status is not None:
        return (
            f"status {clock.status} came after {clock.headed:.3f} s, then the body did not end "
            f"({clock.received} bytes so far)"
        )
    if clock.received:
        return f"the header did not end ({clock.received} bytes so far)"
    return "the request was sent, and nothing came back"


def _of_system(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _of_resolver(error: BaseException, clock: Clock) -> str:
    if isinstance(error, TimeoutError):
        return f"the resolver did not answer within {clock.seconds:g} s"
    return _of_system(error)


def _of_handshake(error: BaseException) -> str:
    """What OpenSSL says, and the way out."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # The codes are OpenSSL's X509_V_ERR_*: not yet valid, expired; host, address mismatch.
        if error.verify_code in (9, 10):
            way_out = "Renew the certificate, or set this machine's clock right."
        elif error.verify_code in (62, 64):
            way_out = "Let base_url name a host that the certificate is for."
        else:
            way_out = "Set `ca_bundle` of the target to the issuer's certificate."
        return (
            f"the certificate is not trusted: {error.verify_message.rstrip('.')}. {way_out} "
            "Verification cannot be switched off."
        )
    told = (getattr(error, "reason", None) or _of_system(error)).replace("_", " ").lower()
    return f"the handshake failed: {told}. See whether this port speaks TLS 1.2 or newer."
