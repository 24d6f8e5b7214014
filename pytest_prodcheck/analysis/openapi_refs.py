"""References within a JSON document: `$ref` is followed, and malformed parts count as empty."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
"""Keys of a path item that are operations, by OpenAPI 3.2."""

HOPS = 50
"""Length of the longest chain of references that is followed; a longer one is a circle."""


def resolved(document: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """Return the table that `value` is or refers to in the document; empty if there is none."""
    for _ in range(HOPS):
        found = table(value)
        reference = found.get("$ref")
        if not isinstance(reference, str):
            return found
        value = pointed(document, reference)
    return {}


def pointed(document: Mapping[str, Any], reference: Any) -> Any:
    """Return the value at `#/a/b`, without following it; None if it is not in the document."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    value: Any = document
    for part in reference.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and key.isascii() and key.isdigit() and len(key) < 9:
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = table(value).get(key)
    return value


def table(value: Any) -> Mapping[str, Any]:
    """Return the value if it is a table; otherwise an empty one."""
    return value if isinstance(value, Mapping) else {}


def array(value: Any) -> list[Any]:
    """Return the value if it is an array; otherwise an empty one."""
    return value if isinstance(value, list) else []
