"""Selectors of operations in a configuration: `METHOD /path` globs, tags and operation ids."""

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from functools import lru_cache


def selects(
    entry: str, method: str, path: str, operation_id: str = "", tags: Collection[str] = ()
) -> bool:
    """Return True if *entry* selects this operation.

    An entry is `METHOD /path`, a path (globs: `*` within a segment, `**` over any number), a tag
    or an operation id.
    """
    given, _, where = entry.partition(" ") if not entry.startswith("/") else ("*", "", entry)
    if not where.startswith("/"):
        return entry in tags or entry == operation_id
    return fnmatchcase(method, given.upper()) and bool(_glob(where).fullmatch(path))


@lru_cache(256)
def _glob(path: str) -> re.Pattern[str]:
    pattern = re.escape(path).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    if pattern.endswith("/.*"):  # `/admin/**` matches `/admin` itself, too
        pattern = f"{pattern.removesuffix('/.*')}(/.*)?"
    return re.compile(pattern)
