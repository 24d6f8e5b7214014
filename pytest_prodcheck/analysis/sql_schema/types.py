"""One name for each column type, written by an ORM, a person, or the server."""

import re

from pytest_prodcheck.analysis.sql_schema.tables import Dialect

_ALIASES = {
    "bigserial": "bigint",
    "bool": "boolean",
    "bpchar": "character",
    "char": "character",
    "dec": "numeric",
    "decimal": "numeric",
    "float": "double precision",
    "float4": "real",
    "float8": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "nvarchar": "character varying",
    "serial": "integer",
    "serial4": "integer",
    "serial8": "bigint",
    "smallserial": "smallint",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "varchar": "character varying",
}
"""Other names of PostgreSQL's types, and of the SQL standard."""

_SHAPE = re.compile(
    r"(?P<base>[^()\[\]]+?) ?(?:\((?P<size>[^()]*)\))?(?P<zone> with(?:out)? time zone)?"
    r"(?P<array>(?: ?\[\d*\])+| array)?"
)
ANY = "any"
"""The type of a column of SQLite without a type, or of a view's column."""
_AFFINITIES = {
    "integer": ("int",),
    "text": ("char", "clob", "text"),
    "blob": ("blob",),
    "real": ("real", "floa", "doub"),
}
"""SQLite's rules, in its order (https://sqlite.org/datatype3.html, 3.1)."""


def same_type(one: str, other: str, dialect: Dialect) -> bool:
    """Return True if two names mean the same type; SQLite only has affinities."""
    if canonical(one) == canonical(other):
        return True
    return dialect == "sqlite" and _affinity(one) == _affinity(other)


def canonical(text: str) -> str:
    """Return the full name, in lower case: `character varying(40)` for `VARCHAR(40)`."""
    text = re.sub(r"\s+", " ", text.strip().lower().replace('"', ""))
    match = _SHAPE.fullmatch(re.sub(r" collate .*", "", text))
    if not match:
        return text
    name = match["base"].removeprefix("pg_catalog.").removeprefix("public.")
    size = (match["size"] or "").replace(" ", "")
    if name in ("char", "character", "bit"):
        size = size or "1"  # by the SQL standard
    elif name in ("numeric", "decimal", "dec") and size.isdigit():
        size += ",0"
    elif name == "float" and size.isdigit():
        name, size = ("real" if int(size) <= _REAL_BITS else "double precision"), ""
    name += match["zone"] or ""
    name = _ALIASES.get(name, name)
    if name == "character varying" and not size:
        name = "text"  # without a length PostgreSQL treats both alike
    if size:
        first, space, zone = name.partition(" with")
        name = f"{first}({size}){space}{zone}"
    return name + "[]" * bool(match["array"])


_REAL_BITS = 24
"""Bits of the mantissa: a `float(24)` is a `real`."""


def _affinity(text: str) -> str:
    name = text.lower()
    for affinity, words in _AFFINITIES.items():
        if any(word in name for word in words):
            return affinity
    return "blob" if name == ANY else "numeric"
