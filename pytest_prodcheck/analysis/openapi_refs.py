"""JSON that refers to its own parts: `$ref` followed, and what is malformed as if it were empty."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
"""Keys of a path item that are operations, as OpenAPI 3.2 has them."""

HOPS = 50
"""References that lead to references are followed this far; a longer chain is a circle."""


def resolved(document: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """The table that `value` is or refers to inside the document; empty when there is none."""
    for _ in range(HOPS):
        found = table(value)
        reference = found.get("$ref")
        if not isinstance(reference, str):
            return found
        value = pointed(document, reference)
    return {}


def pointed(document: Mapping[str, Any], reference: Any) -> Any:
    """What `#/a/b` points at, one step far; None for nothing, or a place outside the document."""
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
    return value if isinstance(value, Mapping) else {}


def array(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
