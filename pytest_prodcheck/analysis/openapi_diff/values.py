"""The checks of one value: each finds a way in which its shape became narrower, or wider."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pytest_prodcheck.analysis.openapi_diff.document import Encoding
from pytest_prodcheck.analysis.openapi_diff.rules import UPPER_BOUNDS
from pytest_prodcheck.analysis.openapi_diff.schema import Shape

NULLABLE, NOT_NULLABLE = "became-nullable", "became-not-nullable"


class Found(NamedTuple):
    rule: str
    """A rule, or an aspect, which becomes one with the subject in front."""
    message: str
    path: str = ""
    """Path below the schema: `.name`."""
    milder: int = 0


def type_changes(was: Shape, now: Shape, *, sent: bool, encoding: Encoding) -> Iterator[Found]:
    narrow, wide = (was, now) if sent else (now, was)
    message = f"the type was {_words(was)}, is {_words(now)}"
    if encoding != "json" and _reads_text(wide, narrow, encoding):
        return
    if not _accepts(wide.types, narrow.types):
        yield Found("type-changed", message)
    elif wide.types == narrow.types and not _accepts_format(wide.format, narrow.format):
        yield Found("type-changed", message, milder=1)


def _reads_text(wide: Shape, narrow: Shape, encoding: Encoding) -> bool:
    """Return True if each value of `narrow`, as text in a URL, header or form, is a string.

    A list is one only if its items are in one text: `1,2`, not `q=1&q=2`.
    """
    if wide.types is None or "string" not in wide.types or wide.format not in _ANY_TEXT:
        return False
    texts = _SCALARS | {"array"} if encoding == "list" else _SCALARS
    return narrow.types is None or narrow.types <= texts


_SCALARS = frozenset(("boolean", "integer", "number", "string"))
_ANY_TEXT = ("", "password")
"""Formats that do not restrict a string."""


def _words(shape: Shape) -> str:
    types = "any" if shape.types is None else "/".join(sorted(shape.types)) or "null"
    return f"{types} ({shape.format})" if shape.format else types


def _accepts(wide: frozenset[str] | None, narrow: frozenset[str] | None) -> bool:
    if wide is None or narrow is None:
        return wide is None
    return all(kind in wide or (kind == "integer" and "number" in wide) for kind in narrow)


_RANGES = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "float": (-(2**24), 2**24),
    "double": (-(2**53), 2**53),
}
"""Format of a number -> the range of integers that it represents exactly."""


def _accepts_format(wide: str, narrow: str) -> bool:
    if wide in ("", narrow):
        return True
    if wide in _RANGES and narrow in _RANGES:
        whole_in_fraction = wide not in ("float", "double") and narrow in ("float", "double")
        (least, most), (from_, to) = _RANGES[wide], _RANGES[narrow]
        return least <= from_ and to <= most and not whole_in_fraction
    return False


def overlap(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    if one is None or other is None:
        return False
    numbers = {"integer", "number"}
    return bool(one & other) or bool(one & numbers and other & numbers)


def both_may_be(was: Shape, now: Shape, kind: str) -> bool:
    return all(shape.types is None or kind in shape.types for shape in (was, now))


def narrower_null(was: Shape, now: Shape) -> Iterator[Found]:
    if was.nullable and not now.nullable and _is_explicit(now):
        yield Found(NOT_NULLABLE, "null was accepted, is refused")


def wider_null(was: Shape, now: Shape) -> Iterator[Found]:
    if now.nullable and not was.nullable and _is_explicit(was):
        yield Found(NULLABLE, "was never null, is null at times")


def _is_explicit(shape: Shape) -> bool:
    """Return True if a schema restricts types; a schema for any type implicitly allows null."""
    return shape.types is not None or bool(shape.union)


def _narrower_enum(was: Shape, now: Shape) -> Iterator[Found]:
    if now.values is None:
        return
    if was.values is None:
        yield Found("became-enum", f"any value was accepted, only {_listed(now.values)} is")
    elif gone := _missing(was, now):
        yield Found(
            "enum-value-removed", f"{_listed(gone)} was accepted, only {_listed(now.values)} is"
        )


def _wider_enum(was: Shape, now: Shape) -> Iterator[Found]:
    if was.values is None:
        return
    if now.values is None:
        yield Found("enum-value-added", f"was one of {_listed(was.values)}, is any value")
    elif added := _missing(now, was):
        yield Found(
            "enum-value-added", f"was one of {_listed(was.values)}, is {_listed(added)} too"
        )


def _missing(of: Shape, there: Shape) -> frozenset[str]:
    """Return the values that the other does not have; 1 and "1" are equal if sent as text."""
    values, others = of.values or frozenset(), there.values or frozenset()
    if of.types != there.types:
        return frozenset(each.strip('"') for each in values) - {e.strip('"') for e in others}
    return values - others


def _narrower_limits(was: Shape, now: Shape) -> Iterator[Found]:
    for name, limit in now.limits.items():
        before = was.limits.get(name)
        if before is None:
            yield Found(f"{name}-set", f"{name} was not limited, is {limit.text}")
        elif limit[:2] > before[:2]:
            way = "decreased" if name in UPPER_BOUNDS else "increased"
            yield Found(f"{name}-{way}", f"{name} was {before.text}, is {limit.text}")


def _wider_limits(was: Shape, now: Shape) -> Iterator[Found]:
    for name, before in was.limits.items():
        limit = now.limits.get(name)
        if limit is None:
            yield Found(f"{name}-unset", f"{name} was {before.text}, is not limited")
        elif limit[:2] < before[:2]:
            way = "increased" if name in UPPER_BOUNDS else "decreased"
            yield Found(f"{name}-{way}", f"{name} was {before.text}, is {limit.text}")


def _narrower_pattern(was: Shape, now: Shape) -> Iterator[Found]:
    if now.patterns - was.patterns:
        aspect = "pattern-changed" if was.patterns else "pattern-added"
        yield Found(aspect, _patterns(was, now))


def _wider_pattern(was: Shape, now: Shape) -> Iterator[Found]:
    if was.patterns - now.patterns:
        aspect = "pattern-changed" if now.patterns else "pattern-removed"
        yield Found(aspect, _patterns(was, now))


def _patterns(was: Shape, now: Shape) -> str:
    old, new = (" and ".join(sorted(shape.patterns)) or "free" for shape in (was, now))
    return f"the pattern was {old}, is {new}"


def _closed(was: Shape, now: Shape) -> Iterator[Found]:
    if now.closed and not was.closed:
        message = "other properties were accepted, are refused"
        yield Found("additional-properties-forbidden", message)


def _narrower_unique(was: Shape, now: Shape) -> Iterator[Found]:
    if now.unique_items and not was.unique_items:
        yield Found("unique-items-required", "items were free to repeat, are to be unique")


def _wider_unique(was: Shape, now: Shape) -> Iterator[Found]:
    if was.unique_items and not now.unique_items:
        yield Found("unique-items-dropped", "items were unique, are free to repeat")


def _listed(values: frozenset[str]) -> str:
    return ", ".join(sorted(values)) or "nothing"


Check = Callable[[Shape, Shape], Iterator[Found]]

OF_REQUESTS: tuple[Check, ...] = (
    narrower_null,
    _narrower_enum,
    _narrower_limits,
    _narrower_pattern,
    _narrower_unique,
    _closed,
)
OF_RESPONSES: tuple[Check, ...] = (
    wider_null,
    _wider_enum,
    _wider_limits,
    _wider_pattern,
    _wider_unique,
)
