"""Names of Hypothesis that are not public. Without one of them a run is slower, never wrong."""

import contextlib
import gzip
import json
import os
import sys
from collections.abc import Iterator

try:
    from hypothesis.internal.charmap import charmap_file
except ImportError:
    charmap_file = None  # type: ignore[assignment]

try:
    from hypothesis.internal.conjecture import providers
    from hypothesis.internal.constants_ast import Constants
except ImportError:
    providers = None  # type: ignore[assignment]

CODE_POINTS = {"ascii": [(0, 127)], "utf-8": [(0, 0xD7FF), (0xE000, sys.maxunicode)]}
"""Code points that a codec encodes, from and to: UTF-8 has all but the surrogates."""


def precompute_codec_tables() -> None:
    """Write the tables of the two codecs that Schemathesis uses into Hypothesis' home folder.

    Hypothesis makes them by encoding a million characters, twice: 2 s in each process of a first
    run.
    """
    if charmap_file is None:
        return
    for codec, intervals in CODE_POINTS.items():
        table = charmap_file(f"codec-v2-{codec}")
        if not table.exists():
            table.parent.mkdir(parents=True, exist_ok=True)
            part = table.with_suffix(f".{os.getpid()}")
            part.write_bytes(gzip.compress(json.dumps([intervals, []]).encode()))
            part.replace(table)


@contextlib.contextmanager
def without_local_constants() -> Iterator[None]:
    """Keep Hypothesis from drawing constants that it finds in the source of loaded modules.

    An edit of a conftest would change the cases of a seed, and reading all sources may take
    seconds. Hypothesis has no setting for it.
    """
    gather = getattr(providers, "_get_local_constants", None)
    cache = getattr(getattr(providers, "CONSTANTS_CACHE", None), "cache", None)
    if gather is None or cache is None:
        yield
        return
    none = Constants()
    providers._get_local_constants = lambda: none
    cache.clear()
    try:
        yield
    finally:
        providers._get_local_constants = gather
        cache.clear()
