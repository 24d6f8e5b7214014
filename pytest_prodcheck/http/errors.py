"""Exceptions for a request without a usable response: httpx's own, and a few more precise ones.

    httpx.TimeoutException     DeadlineExceeded
    httpx.ConnectError         NameNotResolved, TlsRefused
    httpx.RemoteProtocolError  UnknownEncoding
    httpx.DecodingError        BodyTooLarge
    httpx.TooManyRedirects     RedirectRefused

Their messages begin with the kind; the request, the facts and the remedy follow.
"""

import ssl

import httpcore

from pytest_prodcheck.errors import NotAsked, Violation
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.sockets import MAX_HEAD, HeadTooLarge, RequestDeadline

GONE = (404, 410)
"""Statuses that say that a resource does not exist (any more): usable responses."""


class DeadlineExceeded(httpx.TimeoutException):
    """The whole request took longer than its timeout."""


class NameNotResolved(httpx.ConnectError):
    """The resolver knows no address for the host, or did not answer in time."""


class TlsRefused(httpx.ConnectError):
    """The TLS handshake failed, or its certificate is not trusted."""


class UnknownEncoding(httpx.RemoteProtocolError):
    """The body has an encoding that the request did not accept."""


class BodyTooLarge(httpx.DecodingError):
    """The body, as sent or decoded, is larger than the cap."""


class RedirectRefused(httpx.TooManyRedirects):
    """A redirect leads to another origin, to no web address, or is one too many."""


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
    """Return the kind of a failure.

    One of connect, dns, tls, timeout, transport, protocol, body, redirect, and withheld (it never
    left this process).
    """
    for classes, kind in _KINDS:
        if isinstance(exception, classes):
            return kind
    return "transport"


def explain(
    error: Exception, deadline: RequestDeadline, request: httpx.Request, shown: str
) -> httpx.RequestError:
    """Return the exception to raise for an error of httpcore; `shown` describes the request."""
    cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    make, facts = _classify(error, cause, deadline)
    failure = make(facts, request=request)
    failure.args = (f"{kind_of(failure)}: {shown}: {facts}",)
    return failure


def _classify(
    error: Exception, cause: Exception, deadline: RequestDeadline
) -> tuple[type[httpx.RequestError], str]:
    if isinstance(error, httpcore.LocalProtocolError):
        # h11 would repeat the header's value, which may be a secret.
        return httpx.LocalProtocolError, (
            "the request itself is not valid HTTP. Look for a line break or another control "
            "character in its headers."
        )
    if deadline.stage == "dns":
        host = deadline.peer.rpartition(":")[0]
        return NameNotResolved, (
            f"the host {host} has no address: {_resolver_error(cause, deadline)}. "
            "Check that base_url is right and that this machine's resolver works."
        )
    if isinstance(error, httpcore.TimeoutException):
        return DeadlineExceeded, (
            f"no complete response within {deadline.seconds:g} s: {_progress(deadline)}. "
            "Find out why it takes so long, or raise `timeout` of the target."
        )
    if deadline.stage == "tls":
        return TlsRefused, _handshake_error(cause)
    if isinstance(error, httpcore.ProxyError):
        return httpx.ProxyError, (
            f"the proxy {deadline.peer} did not connect to the target: {error}. "
            "Check `proxy` of the target."
        )
    if deadline.stage == "connect":
        return httpx.ConnectError, (
            f"{deadline.peer}: {_system_error(cause)}. "
            "Check that the service runs and that base_url names its host and port."
        )
    if isinstance(error, HeadTooLarge):
        return httpx.RemoteProtocolError, (
            f"the response's header is larger than {MAX_HEAD} bytes. Find out what makes it grow: "
            "cookies, for instance."
        )
    start = b"".join(deadline.head)[:60]
    if deadline.stage == "header" and start and not start.startswith(b"HTTP/"):
        return httpx.RemoteProtocolError, (
            f"the response is not HTTP/1.1; it begins with {start!r}. "
            "Check that base_url names the right port."
        )
    if isinstance(error, httpcore.RemoteProtocolError) and not deadline.closed:
        return httpx.RemoteProtocolError, (
            f"the response breaks HTTP/1.1: {str(error)[:200]}. Look at the server, or at a proxy "
            "in front of it."
        )
    ended = _system_error(cause) if isinstance(cause, OSError) else "the connection was closed"
    return httpx.ReadError, (
        f"{ended} {_end_point(deadline)}. "
        "Look in the target's log for a crash or a restart at this time."
    )


def _end_point(deadline: RequestDeadline) -> str:
    if not deadline.received:
        by = f" from {deadline.peer}" if deadline.peer else ""
        return f"without a response{by}"
    if deadline.stage != "body":
        return f"after {deadline.received} bytes, before the header was complete"
    return (
        f"after status {deadline.status} and {deadline.received} bytes, "
        "before the body was complete"
    )


def _progress(deadline: RequestDeadline) -> str:
    if deadline.stage == "connect":
        return f"{deadline.peer} did not accept the connection"
    if deadline.stage == "tls":
        return f"{deadline.peer} did not finish the TLS handshake"
    if deadline.stage == "send":
        return "the target did not read the whole request"
    if deadline.status is not None:
        return (
            f"status {deadline.status} came after {deadline.headed:.3f} s, "
            f"but the body did not end ({deadline.received} bytes so far)"
        )
    if deadline.received:
        return f"the header did not end ({deadline.received} bytes so far)"
    return "the request was sent, but no response came"


def _system_error(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _resolver_error(error: BaseException, deadline: RequestDeadline) -> str:
    if isinstance(error, TimeoutError):
        return f"the resolver did not answer within {deadline.seconds:g} s"
    return _system_error(error)


def _handshake_error(error: BaseException) -> str:
    """Return OpenSSL's explanation, and the remedy."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # The codes are OpenSSL's X509_V_ERR_*: not yet valid, expired; host, address mismatch.
        if error.verify_code in (9, 10):
            remedy = "Renew the certificate, or correct this machine's clock."
        elif error.verify_code in (62, 64):
            remedy = "Set base_url to a host name that the certificate is for."
        else:
            remedy = "Set `ca_bundle` of the target to the issuer's certificate."
        return (
            f"the certificate is not trusted: {error.verify_message.rstrip('.')}. {remedy} "
            "Verification cannot be switched off."
        )
    reason = (getattr(error, "reason", None) or _system_error(error)).replace("_", " ").lower()
    return f"the TLS handshake failed: {reason}. Check that this port speaks TLS 1.2 or newer."
