"""A chain of certificates ends with its shortest link, whichever that is."""

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pytest_prodcheck.http.certificates import chain_of
from tests.checks.probes.test_smoke_suite import suite
from tests.connection import connected
from tests.faulty import FaultyServer, json_answer

NOW = datetime.now(UTC)


class Issued:
    """A certificate and its key; `issue` makes another one below it."""

    def __init__(self, name: str, days: float, issuer: "Issued | None" = None, *, ca: bool = True):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        above = issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(above.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            builder = builder.add_extension(here, critical=False)
        self.pem = builder.sign(above.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def context_of(folder: Path, leaf: Issued, *more: Issued) -> ssl.SSLContext:
    (folder / "chain.pem").write_bytes(leaf.pem + b"".join(one.pem for one in more))
    (folder / "leaf.key").write_bytes(leaf.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "leaf.key")
    return context


def checked(folder: Path, context: ssl.SSLContext, trusted: Issued) -> tuple[str, list[str]]:
    """The sentence of the failure, "" without one, and the warnings."""
    (folder / "ca.pem").write_bytes(trusted.pem)
    failed = ""
    with (
        FaultyServer(tls=context) as server,
        connected(server.url, ca_bundle=str(folder / "ca.pem")) as api,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        server.on("/", json_answer({}))
        try:
            suite("certificate").test_certificate(api, "h:1")
        except AssertionError as error:
            failed = str(error).partition("\n")[0]
    return failed, [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("days", "fails", "warns"),
    [
        pytest.param((3650, 365, 90), "", "", id="all are good"),
        pytest.param((3650, 1.5, 90), 'the intermediate certificate "inter"', "", id="inter"),
        pytest.param((3650, 365, 1.5), "the certificate of h:1", "", id="leaf"),
        pytest.param((1.5, 365, 90), 'the root certificate "root"', "", id="root"),
        pytest.param((3650, 10.5, 90), "", 'the intermediate certificate "inter"', id="inter soon"),
        pytest.param((10.5, 365, 90), "", 'the root certificate "root"', id="root soon"),
        pytest.param((3650, 365, 10.5), "", "the certificate of h:1", id="leaf soon"),
        pytest.param((3650, 1.5, 10.5), 'the intermediate certificate "inter"',
                     "the certificate of h:1", id="both"),
    ],
)  # fmt: skip
def test_the_shortest_link_of_the_chain_decides(
    tmp_path: Path, days: tuple[float, float, float], fails: str, warns: str
) -> None:
    root = Issued("root", days[0])
    inter = Issued("inter", days[1], root)
    leaf = Issued("leaf", days[2], inter, ca=False)
    failed, warned = checked(tmp_path, context_of(tmp_path, leaf, inter), root)
    assert failed.startswith(fails)
    assert bool(failed) == bool(fails)
    assert len(warned) == bool(warns)
    assert all(text.startswith(warns) for text in warned)
    if fails:
        assert " expires in 1.5 days (" in failed


def test_a_root_that_the_server_sends_too_is_told_once(tmp_path: Path) -> None:
    root = Issued("root", 10.5)
    leaf = Issued("leaf", 90, root, ca=False)
    failed, warned = checked(tmp_path, context_of(tmp_path, leaf, root), root)
    assert (failed, len(warned)) == ("", 1)


def test_a_certificate_that_is_sent_but_not_needed_is_a_warning(tmp_path: Path) -> None:
    """An old cross-signed root goes along for old clients, as Let's Encrypt's did for years."""
    root, old = Issued("root", 3650), Issued("old root", 1.5)
    leaf = Issued("leaf", 90, root, ca=False)
    failed, warned = checked(tmp_path, context_of(tmp_path, leaf, old), root)
    assert failed == ""
    assert [text.partition(" in the chain")[0] for text in warned] == [
        'the unused certificate "old root"'
    ]


def test_a_chain_without_an_intermediate_ends_with_its_root(tmp_path: Path) -> None:
    root = Issued("self-signed", 1.5, ca=True)
    failed, _ = checked(tmp_path, context_of(tmp_path, Issued("l", 90, root, ca=False)), root)
    assert failed.startswith('the root certificate "self-signed" in the chain of h:1 expires')


class OldPython:
    """A connection of a Python that does not tell the chain."""

    def __init__(self, below: Any) -> None:
        self._sslobj = below

    def getpeercert(self) -> dict[str, Any]:
        return {"notAfter": "Nov 28 22:02:20 2026 GMT", "serialNumber": "7"}


@pytest.mark.parametrize("below", [None, object()])
def test_without_the_private_name_the_leaf_alone_is_known(below: Any) -> None:
    chain = chain_of(OldPython(below))  # type: ignore[arg-type]
    assert chain is not None
    assert not chain.complete
    (leaf,) = chain.certificates
    assert (leaf.name, leaf.role, leaf.expires) == ("number 7", "leaf", 1795903340)
