"""The certificates of a TLS connection: the server's own, and all above it.

An intermediate or root that expires breaks every client as surely as the certificate of the
server. Python's public API has the chain from 3.13 on, as DER only; from 3.10 on the object below
an `SSLSocket` has it decoded. That name is private and used only here: where it is missing, only
the server's own certificate is known.
"""

import ssl
from typing import Any

from pytest_prodcheck.model import Record


class Certificate(Record):
    """One certificate of a connection, at the time of the handshake."""

    name: str
    """Common name of its subject, or another name that identifies it."""
    role: str
    """`leaf`, `intermediate`, `root`, or `unused`: sent, but not needed to verify the leaf."""
    not_after: str
    """Time in OpenSSL's format: `Nov 28 22:02:20 2026 GMT`."""

    @property
    def expires(self) -> int:
        """Return the time it expires, in seconds since the epoch."""
        return ssl.cert_time_to_seconds(self.not_after)

    def of(self, host: str) -> str:
        """Return its description for a message; `host` is the server's name."""
        if self.role == "leaf":
            return f"the certificate of {host}"
        return f'the {self.role} certificate "{self.name}" in the chain of {host}'


class CertificateChain(Record):
    """All certificates of a connection, the leaf first."""

    certificates: tuple[Certificate, ...]
    complete: bool = True
    """False where this Python gives access to the leaf only."""


def chain_of(connection: ssl.SSLSocket) -> CertificateChain | None:
    """Return the certificates of a verified connection; None if the peer showed none."""
    peer = connection.getpeercert()
    if not peer:
        return None
    try:
        below: Any = connection._sslobj  # type: ignore[attr-defined]
        verified = [one.get_info() for one in below.get_verified_chain()]
        sent = [one.get_info() for one in below.get_unverified_chain() or ()]
    except (AttributeError, TypeError, ssl.SSLError):
        verified, sent = [], []
    if not verified:
        return CertificateChain(certificates=(_certificate(peer, "leaf"),), complete=False)
    last = len(verified) - 1
    chain = [_certificate(one, _role(place, last)) for place, one in enumerate(verified)]
    chain += [_certificate(one, "unused") for one in sent if one not in verified]
    return CertificateChain(certificates=tuple(chain))


def _role(place: int, last: int) -> str:
    if place == 0:
        return "leaf"
    return "root" if place == last else "intermediate"


def _certificate(info: Any, role: str) -> Certificate:
    subject = {key: value for part in info.get("subject", ()) for key, value in part}
    name = next(
        (subject[key] for key in ("commonName", "organizationalUnitName", "organizationName")
         if key in subject),
        f"number {info.get('serialNumber', 'unknown')}",
    )  # fmt: skip
    return Certificate(name=name, role=role, not_after=info["notAfter"])
