"""Row 26: each form of a URL is one address, the one that httpx connects to, or is refused."""

import httpx
import pytest

from pytest_prodcheck import urls
from pytest_prodcheck.errors import UsageError

ACCEPTED = {
    "https://example.com": "https://example.com",
    "https://example.com/": "https://example.com",
    "HTTPS://Example.COM": "https://example.com",
    "http://example.com": "http://example.com",
    "https://example.com:443": "https://example.com",
    "http://example.com:80/": "http://example.com",
    "https://example.com:80": "https://example.com:80",
    "https://example.com:8443/v1": "https://example.com:8443/v1",
    "https://example.com/v1/": "https://example.com/v1",
    "https://example.com/a%20b/@user": "https://example.com/a%20b/@user",
    "http://localhost:8000": "http://localhost:8000",
    "http://my_service:8000": "http://my_service:8000",
    "http://127.0.0.1:1": "http://127.0.0.1:1",
    "http://10.0.0.1:65535": "http://10.0.0.1:65535",
    "https://[::1]:8443": "https://[::1]:8443",
    "https://[0:0:0:0:0:0:0:1]": "https://[::1]",
    "https://[2001:DB8::A]/x": "https://[2001:db8::a]/x",
    "https://xn--bcher-kva.example": "https://xn--bcher-kva.example",
    "https://1password.example": "https://1password.example",
    "https://127.0.0.1.example": "https://127.0.0.1.example",
}

REFUSED = {
    "": "is empty",
    "example.com": "is not a URL; write http:// or https://, then the host",
    "//example.com": "is not a URL; write http:// or https://, then the host",
    "https:example.com": "is not a URL; write http:// or https://, then the host",
    "https:/example.com": "is not a URL; write http:// or https://, then the host",
    "ftp://example.com": "has the scheme ftp; allowed are http and https",
    "file:///etc/passwd": "has the scheme file; allowed are http and https",
    "https://": "has no host",
    "https:///v1": "has no host",
    "https://:443": "has no host",
    "https://user@example.com": "has a user name or password in it",
    "https://user:hunter2hunter2@example.com": "has a user name or password in it",
    "https://good.example@evil.example": "has a user name or password in it",
    "https://good.example\\@evil.example": "has a backslash in it; write slashes",
    "https:\\\\example.com": "has a backslash in it; write slashes",
    "https://good.example#@evil.example": "has a query or a fragment",
    "https://good.example?@evil.example": "has a query or a fragment",
    "https://example.com?": "has a query or a fragment",
    "https://example.com/#": "has a query or a fragment",
    " https://example.com": "has white space or a control character in it",
    "https://example.com\n": "has white space or a control character in it",
    "https://exam\tple.com": "has white space or a control character in it",
    "https://example.com\x00": "has white space or a control character in it",
    "https://ex ample.com": "has white space or a control character in it",
    "https://bücher.example": "has characters outside ASCII; write a host in punycode",
    "https://\uff45xample.com": "has characters outside ASCII",
    "https://example.com:\uff18\uff10": "has characters outside ASCII",
    "https://xn--ls8h.example": "has a host with a punycode label (xn--) that is not valid",
    "https://example.com.": "has a host that ends with a dot; leave the dot out",
    "https://a..b": "has a host that is neither a name nor an address",
    "https://-a.example": "has a host that is neither a name nor an address",
    "https://exa%6dple.com": "has a host that is neither a name nor an address",
    "https://" + "a." * 126 + "ab": "has a host that is neither a name nor an address",
    "https://" + "a" * 64 + ".example": "has a host that is neither a name nor an address",
    "http://127.1": "has a host that some read as an IPv4 address and others do not",
    "http://0x7f.1": "has a host that some read as an IPv4 address and others do not",
    "http://0x7f000001": "has a host that some read as an IPv4 address and others do not",
    "http://2130706433": "has a host that some read as an IPv4 address and others do not",
    "http://0177.0.0.1": "has a host that some read as an IPv4 address and others do not",
    "http://1.2.3.4.5": "has a host that some read as an IPv4 address and others do not",
    "http://256.0.0.1": "has a host that some read as an IPv4 address and others do not",
    "http://0.0.0.0": "has the host 0.0.0.0, which is for listening; write 127.0.0.1",
    "http://[::]": "has an IPv6 address with a zone",
    "http://[::ffff:127.0.0.1]": "has an IPv6 address with a zone, an IPv4 address inside",
    "http://[fe80::1%25eth0]": "has an IPv6 address with a zone",
    "http://[fe80::1%eth0]": "has an IPv6 address with a zone",
    "http://[::1": "has an IPv6 address that is not closed by a bracket",
    "http://[::1]8000": "has an IPv6 address that is not closed by a bracket",
    "http://[127.0.0.1]": "has brackets around what is not an IPv6 address",
    "http://::1": "has several colons; write an IPv6 address in brackets, as [::1]",
    "https://example.com:": "has a port that is not a number from 1 to 65535",
    "https://example.com:0": "has a port that is not a number from 1 to 65535",
    "https://example.com:65536": "has a port that is not a number from 1 to 65535",
    "https://example.com:0443": "has a port that is not a number from 1 to 65535",
    "https://example.com:+443": "has a port that is not a number from 1 to 65535",
    "https://example.com:https": "has a port that is not a number from 1 to 65535",
    "https://example.com/a/../b": 'has "." or ".." as a segment of its path',
    "https://example.com/%2E%2e/b": 'has "." or ".." as a segment of its path',
    "https://example.com/%zz": "has a character in its path that must be percent-encoded",
    'https://example.com/"x"': "has a character in its path that must be percent-encoded",
}


@pytest.mark.fault(26)
@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted_url_is_normalised_to_what_httpx_connects_to(text: str) -> None:
    address = urls.address(text)
    connecting = httpx.URL(address.url)
    default = {"http": 80, "https": 443}[connecting.scheme]
    assert address.url == ACCEPTED[text]
    assert connecting.raw_host.decode() == address.host
    assert (connecting.port or default) == address.port
    assert connecting.scheme == address.scheme
    assert connecting.host  # decoding a punycode host must not raise
    assert str(connecting) == address.url  # httpx has nothing left to normalise


@pytest.mark.fault(26)
@pytest.mark.parametrize("text", ACCEPTED)
def test_httpx_reads_the_original_text_as_the_same_place(text: str) -> None:
    """A user who pastes the URL elsewhere reaches the same host."""
    address, original = urls.address(text), httpx.URL(text)
    assert (original.port or {"http": 80, "https": 443}[original.scheme]) == address.port
    assert urls.address(f"https://{original.netloc.decode()}").host == address.host


@pytest.mark.fault(26)
@pytest.mark.parametrize("text", REFUSED)
def test_ambiguous_url_is_refused_with_its_reason(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        urls.address(text)
    assert str(refusal.value).startswith(REFUSED[text])
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "loopback"),
    {
        "http://localhost": True,
        "http://127.8.9.10": True,
        "http://[::1]": True,
        "http://128.0.0.1": False,
        "http://[::2]": False,
        "http://localhost.example": False,
        "http://127.0.0.1.example": False,
    }.items(),
)
def test_loopback_is_this_machine_only(text: str, loopback: bool) -> None:
    assert urls.address(text).loopback is loopback


def test_origin_and_authority() -> None:
    address = urls.address("https://[::1]/v1")
    assert (address.origin, address.authority) == ("https://[::1]", "[::1]:443")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CDN.example.com", "cdn.example.com"),
        ("cdn.example.com:8443", "cdn.example.com:8443"),
        ("[0::1]:80", "[::1]:80"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_authority_is_normalised(text: str, expected: str) -> None:
    assert urls.authority(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://cdn.example.com", 'is not a host; write "cdn.example.com"'),
        ("user@cdn.example.com", 'is not a host; write "cdn.example.com"'),
        ("*.example.com", "has a host that is neither a name nor an address"),
        ("cdn.example.com:", "has a port that is not a number"),
        ("127.1", "has a host that some read as an IPv4 address"),
        ("", "is empty"),
    ],
)
def test_authority_refuses_what_is_no_host(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as refusal:
        urls.authority(text)
    assert str(refusal.value).startswith(reason)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/health", "/health"),
        ("health", "/health"),
        ("/", "/"),
        ("/items?limit=1&next=https://x/../y", "/items?limit=1&next=https://x/../y"),
        ("/caf\u00e9", "/caf\u00e9"),
    ],
)
def test_path_stays_below_the_base_url_when_httpx_joins_it(text: str, expected: str) -> None:
    with httpx.Client(base_url="https://example.com/v1") as client:
        joined = client.build_request("GET", urls.path(text)).url
    assert urls.path(text) == expected
    assert joined.host == "example.com"
    assert joined.path.startswith("/v1/")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'is empty; write a path such as "/health"'),
        ("//evil.example/x", "names another host; write a path below base_url"),
        ("https://evil.example/x", "names another host; write a path below base_url"),
        ("/../admin", 'has "." or ".." as a segment of its path'),
        ("/a/%2e%2E/admin", 'has "." or ".." as a segment of its path'),
        ("/a#b", "has a fragment (#), which is never sent; leave it out"),
        ("/a b", "has white space or a control character in it"),
        ("/a\r\nHost: evil", "has white space or a control character in it"),
        ("\\\\evil.example", "has a backslash in it; write slashes"),
    ],
)
def test_path_refuses_what_would_leave_the_base_url(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as refusal:
        urls.path(text)
    assert str(refusal.value).startswith(reason)
