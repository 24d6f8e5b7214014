"""The dialect and identity of a database, by its URL, without a connection."""

from urllib.parse import parse_qs, unquote, urlsplit

from pytest_prodcheck.analysis.sql_schema.tables import Dialect

__all__ = ["Dialect", "dialect", "same"]

_PORT = 5432
_HERE = ("", "localhost", "127.0.0.1", "::1")


def dialect(url: str) -> Dialect | None:
    """Return the kind of database, if it is one that can reliably be opened read-only."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme in ("postgresql", "postgres"):
        return "postgresql"
    return "sqlite" if scheme == "sqlite" else None


def same(one: str, other: str) -> bool:
    """Return True if two URLs name the same database of the same server, by their text."""
    return _place(one) == _place(other)


def _place(url: str) -> tuple[object, ...]:
    if dialect(url) == "sqlite":
        return ("sqlite", url.partition(":///")[2].partition("?")[0])
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    try:
        port = parts.port
    except ValueError:
        port = None
    host = query.get("host", unquote(parts.hostname or ""))
    name = query.get("dbname", unquote(parts.path[1:])) or unquote(parts.username or "")
    return (
        dialect(url),
        "" if host in _HERE else host.lower(),
        port or int(query.get("port", _PORT)),
        name,
    )
