"""Addresses of targets, each with one spelling and the same meaning to every parser.

The client connects by httpx's reading of a URL, guards compare hosts, reports show text. They agree
only on plain forms, so every other form is refused here, before the first request.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import Record

DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)(.*)", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# A last label like these makes resolvers read the whole host as an IPv4 address (WHATWG URL, 4.4).
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*")
_UNPRINTABLE = re.compile(r"[\s\x00-\x20\x7f-\xa0]")


class Address(Record):
    """The address of a target, to which httpx connects for `url`."""

    scheme: str
    host: str
    """Lower case; a name, an IPv4 address, or an IPv6 address without brackets."""
    port: int
    path: str = ""
    """The prefix of all paths of the target, without a slash at its end."""

    @property
    def origin(self) -> str:
        """Return scheme, host and port; a default port is left out."""
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{_bracketed(self.host)}{port}"

    @property
    def authority(self) -> str:
        """Return `host:port`, always with the port."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def url(self) -> str:
        return self.origin + self.path

    @property
    def loopback(self) -> bool:
        """Return True if it is this machine, whatever the resolver says."""
        if self.host == "localhost":
            return True
        if ":" in self.host:
            return IPv6Address(self.host).is_loopback
        return (
            bool(_NUMERIC.fullmatch(_last_label(self.host))) and IPv4Address(self.host).is_loopback
        )


def address(text: str) -> Address:
    """Return the address for `text` (a base URL); raises UsageError with the reason only.

    The reason never repeats the text, because a refused URL may contain a password.
    """
    _refuse_unprintable(text)
    if not text.isascii():
        raise UsageError(
            "has characters outside ASCII; write a host in punycode (xn--...) and a path "
            "percent-encoded"
        )
    split = _URL.fullmatch(text)
    if not split:
        raise UsageError("is not a URL; write http:// or https://, then the host")
    scheme, authority, rest = split[1].lower(), split[2], split[3]
    if scheme not in DEFAULT_PORTS:
        raise UsageError(f"has the scheme {scheme}; allowed are http and https")
    if "@" in authority:
        raise UsageError(
            "has a user name or password in it; put credentials into headers, as "
            '{ Authorization = "Bearer ${VAR}" }'
        )
    if "?" in rest or "#" in rest:
        raise UsageError("has a query or a fragment; a base URL ends with its path")
    host, port = _host_and_port(authority, DEFAULT_PORTS[scheme])
    _refuse_odd_path(rest)
    return Address(scheme=scheme, host=host, port=port, path=rest.rstrip("/"))


def authority(text: str) -> str:
    """Return `host` or `host:port`, normalized; raises UsageError with the reason only."""
    _refuse_unprintable(text)
    if not text.isascii() or "/" in text or "@" in text:
        raise UsageError('is not a host; write "cdn.example.com" or "cdn.example.com:8443"')
    host, port = _host_and_port(text, 0)
    return _bracketed(host) + (f":{port}" if port else "")


def path(text: str) -> str:
    """Return a path below a base URL, with its query, as httpx joins it; it begins with a slash.

    A path is refused if httpx would read it as something else: another host, dot segments that
    leave the base URL's own path, a fragment that is never sent. Raises UsageError with the reason
    only.
    """
    if not text:
        raise UsageError('is empty; write a path such as "/health"')
    _refuse_unprintable(text)
    if text.startswith("//") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text):
        raise UsageError("names another host; write a path below base_url")
    if "#" in text:
        raise UsageError("has a fragment (#), which is never sent; leave it out")
    _refuse_dot_segments(text.partition("?")[0])
    return text if text.startswith("/") else f"/{text}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refuse_unprintable(text: str) -> None:
    if not text:
        raise UsageError("is empty")
    if _UNPRINTABLE.search(text):
        raise UsageError("has white space or a control character in it")
    if "\\" in text:
        raise UsageError("has a backslash in it; write slashes")


def _refuse_odd_path(text: str) -> None:
    if not _PATH.fullmatch(text):
        raise UsageError("has a character in its path that must be percent-encoded")
    _refuse_dot_segments(text)


def _refuse_dot_segments(text: str) -> None:
    if any(s.lower().replace("%2e", ".") in (".", "..") for s in text.split("/")):
        raise UsageError('has "." or ".." as a segment of its path; write the path it means')


def _host_and_port(text: str, default: int) -> tuple[str, int]:
    if text.startswith("["):
        inner, bracket, after = text[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise UsageError("has an IPv6 address that is not closed by a bracket")
        host, colon, port = _ipv6(inner), after[:1], after[1:]
    else:
        name, colon, port = text.partition(":")
        if ":" in port:
            raise UsageError("has several colons; write an IPv6 address in brackets, as [::1]")
        host = _name(name.lower())
    if not colon:
        return host, default
    if not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise UsageError("has a port that is not a number from 1 to 65535")
    return host, int(port)


def _ipv6(text: str) -> str:
    try:
        found = IPv6Address(text)
    except AddressValueError:
        raise UsageError("has brackets around what is not an IPv6 address") from None
    if found.scope_id or found.ipv4_mapped or found.is_unspecified:
        raise UsageError(
            "has an IPv6 address with a zone, an IPv4 address inside, or nothing but zeros; "
            "write the address to connect to"
        )
    return found.compressed


def _last_label(host: str) -> str:
    return host.rpartition(".")[2]


def _name(host: str) -> str:
    if not host:
        raise UsageError("has no host")
    if host.endswith("."):
        raise UsageError("has a host that ends with a dot; leave the dot out")
    if _NUMERIC.fullmatch(_last_label(host)):
        return _ipv4(host)
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UsageError("has a host that is neither a name nor an address")
    if any(label.startswith("xn--") for label in labels):
        _refuse_bad_punycode(host)
    return host


def _ipv4(host: str) -> str:
    try:
        found = IPv4Address(host)
    except AddressValueError:
        raise UsageError(
            "has a host that some read as an IPv4 address and others do not; write four decimal "
            "numbers, as 127.0.0.1"
        ) from None
    if found.is_unspecified:
        raise UsageError("has the host 0.0.0.0, which is for listening; write 127.0.0.1")
    return str(found)


def _refuse_bad_punycode(host: str) -> None:
    import idna  # httpx decodes `URL.host` with it, and would raise in the middle of a run

    try:
        idna.decode(host)
    except idna.IDNAError:
        raise UsageError("has a host with a punycode label (xn--) that is not valid") from None
