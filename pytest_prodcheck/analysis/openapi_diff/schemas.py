"""The parts of schemas that became narrower in requests, or wider in responses.

A value that clients send must still be accepted, and one that they receive must still be as
documented. So most checks are one comparison, forwards for requests, backwards for responses.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pytest_prodcheck.analysis.openapi_diff.alternatives import Alternatives, Side, paired
from pytest_prodcheck.analysis.openapi_diff.document import Document, Encoding, Nodes
from pytest_prodcheck.analysis.openapi_diff.rules import Change, change
from pytest_prodcheck.analysis.openapi_diff.schema import Key, Schemas, Shape
from pytest_prodcheck.analysis.openapi_diff.values import (
    NOT_NULLABLE,
    NULLABLE,
    OF_REQUESTS,
    OF_RESPONSES,
    Found,
    both_may_be,
    overlap,
    type_changes,
)

MOST = 20_000
"""Pairs of schemas compared for one body: no real document has as many."""


class Pair(NamedTuple):
    """Schemas of the old and the new document for one place."""

    path: str
    old: Nodes
    new: Nodes
    null_is_free: bool = False
    """Null is valid here in any case, because the schemas around them allow it."""
    encoding: Encoding = "json"


class View(NamedTuple):
    """The direction and the encoding of a comparison."""

    sent: bool
    """In a request, so that it must not become narrower; else in a response, nor wider."""
    encoding: Encoding


@dataclass(eq=False, slots=True)
class Step:
    """The findings of a pair itself, and the pairs inside it; one object for each such pair."""

    found: tuple[Found, ...]
    inside: tuple[Pair, ...]
    below: list[tuple[Pair, "Step"]] | None = None
    """`inside` with their own steps, once they are known."""
    sound: bool = False
    """Nothing was found here or anywhere below."""


class Comparison:
    """A comparison of the schemas of two documents; each pair is compared once per direction."""

    def __init__(self, old: Document, new: Document) -> None:
        self.old, self.new = Schemas(old), Schemas(new)
        self._of_old, self._of_new = Alternatives(self.old), Alternatives(self.new)
        self._steps: dict[tuple[Key, Key, View], Step] = {}

    def changes(
        self,
        subject: str,
        place: str,
        old: Nodes,
        new: Nodes,
        seen: set[Step] | None = None,
        encoding: Encoding = "json",
    ) -> Iterator[Change]:
        """Yield the breaking changes of the value at `place`, which is sent in `encoding`.

        Recursion ends because a pair in `seen` is not compared again. So a schema that is used in
        several places of one value is reported for the one nearest to the top.
        """
        sent = subject.startswith("request")
        first = not seen
        seen = set() if seen is None else seen
        broken = False
        top = Pair("", old, new, encoding=encoding)
        queue = deque([("", top, self._step(top, sent=sent))])
        while queue and len(seen) < MOST:
            path, pair, step = queue.popleft()
            if step.sound or step in seen:
                continue
            seen.add(step)
            broken = broken or bool(step.found)
            for found in step.found:
                if not (pair.null_is_free and found.rule in (NULLABLE, NOT_NULLABLE)):
                    yield self._change(subject, place, path, found)
            for inner, below in self._below(step, sent=sent):
                if below not in seen:
                    queue.append((path + inner.path, inner, below))
        if first and not broken and not queue:
            for step in seen:
                step.sound = True

    def _below(self, step: Step, *, sent: bool) -> list[tuple[Pair, Step]]:
        if step.below is None:
            step.below = [(pair, self._step(pair, sent=sent)) for pair in step.inside]
        return step.below

    def _change(self, subject: str, place: str, path: str, found: Found) -> Change:
        inside = path + found.path
        named = "header" in subject or "parameter" in subject
        if path and not named:
            subject = f"{subject.partition('-')[0]}-property"
        whole = "request" in found.rule or "response" in found.rule
        return change(
            rule=found.rule if whole else f"{subject}-{found.rule}",
            place=place if named and not inside else f"{place} · ${inside}",
            message=found.message,
            milder=found.milder,
        )

    def _step(self, pair: Pair, *, sent: bool) -> Step:
        was, now = self._shapes(pair)
        view = View(sent, pair.encoding)
        key = (was.key, now.key, view)
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self._worked_out(was, now, view)
        return step

    def _shapes(self, pair: Pair) -> tuple[Shape, Shape]:
        return self.old.shape(pair.old), self.new.shape(pair.new)

    def _worked_out(self, was: Shape, now: Shape, view: View) -> Step:
        if not (was.known and now.known):
            return Step((), ())
        if was.union or now.union:
            return self._of_alternatives(was, now, view)
        if (of_one := _one_became_many(was, now, view)) is not None:
            return of_one
        changed = tuple(type_changes(was, now, sent=view.sent, encoding=view.encoding))
        if changed and not overlap(was.types, now.types):
            return Step(changed, ())
        checks = OF_REQUESTS if view.sent else OF_RESPONSES
        found = [each for check in checks for each in check(was, now)]
        found += self._of_properties(was, now, sent=view.sent)
        return Step((*changed, *found), tuple(self._inside(was, now, view)))

    def _of_alternatives(self, was: Shape, now: Shape, view: View) -> Step:
        """Compare alternatives: sent ones must still be accepted, received ones must be known."""
        single = next((shape for shape in (was, now) if not shape.union), None)
        if single is not None and single.types is None:
            if (single is was) != view.sent:
                return Step((), ())
            old, new = _names(was, self._of_old), _names(now, self._of_new)
            return Step((Found("type-changed", f"the type was {old}, is {new}"),), ())
        old_side = Side(self._of_old.of(was), self._of_old)
        new_side = Side(self._of_new.of(now), self._of_new)
        wanted, offered = (old_side, new_side) if view.sent else (new_side, old_side)
        pairs = paired(wanted, offered, as_text=view.encoding != "json")
        null_was, null_is = (_may_be_null(*each) for each in ((was, old_side), (now, new_side)))
        found = list(_null_changes(null_was, null_is, sent=view.sent))
        alone = [one.name for one, other in pairs if other is None]
        if alone:
            found.append(_without_counterpart(alone, was, now, offered, sent=view.sent))
        free = null_is if view.sent else null_was
        inside = []
        for one, other in pairs:
            if other is not None:
                before, after = (one, other) if view.sent else (other, one)
                nodes = before.shape.nodes, after.shape.nodes
                inside.append(Pair(f"({one.name})", *nodes, free, view.encoding))
        return Step(tuple(found), tuple(inside))

    def _of_properties(self, was: Shape, now: Shape, *, sent: bool) -> Iterator[Found]:
        check = _sent_property if sent else _received_property
        names = {*was.properties, *now.properties}
        if sent:
            names |= was.required | now.required
        for name in sorted(names):
            old = self._property(self.old, was, name, sent=sent)
            new = self._property(self.new, now, name, sent=sent)
            yield from check(name, old, new, was, now)

    def _property(self, schemas: Schemas, of: Shape, name: str, *, sent: bool) -> Shape | None:
        """Return the property; None if there is none, or it does not count in this direction."""
        if name not in of.properties and name not in of.required:
            return None
        shape = schemas.shape(of.properties.get(name, ()))
        return None if _is_hidden(shape, sent=sent) else shape

    def _inside(self, was: Shape, now: Shape, view: View) -> Iterator[Pair]:
        below: Encoding = "json" if view.encoding == "json" else "text"
        for name, old in was.properties.items():
            pair = Pair(f".{name}", old, now.properties.get(name, ()), encoding=below)
            if view.encoding == "form" and both_may_be(*self._shapes(pair), "object"):
                pair = pair._replace(encoding="json")  # a part of its own
            if name in now.properties and not self._settled(pair, sent=view.sent):
                yield pair
        if both_may_be(was, now, "array") and (was.items or now.items):
            yield Pair("[]", was.items, now.items, encoding=below)
        open_to_more = both_may_be(was, now, "object") and not (was.closed or now.closed)
        if open_to_more and (was.additional or now.additional):
            yield Pair(".*", was.additional, now.additional, encoding=below)

    def _settled(self, pair: Pair, *, sent: bool) -> bool:
        """Return True if it does not count on one side, or is a leaf on both without a finding."""
        shapes = self._shapes(pair)
        if any(_is_hidden(shape, sent=sent) for shape in shapes):
            return True
        leaves = all(shape.is_leaf for shape in shapes)
        return leaves and not self._step(pair, sent=sent).found


def _is_hidden(shape: Shape, *, sent: bool) -> bool:
    """Return True for a read-only value, which is never sent, or a write-only one when received."""
    return shape.read_only if sent else shape.write_only


# --- properties


def _sent_property(
    name: str, old: Shape | None, new: Shape | None, was: Shape, now: Shape
) -> Iterator[Found]:
    required = name in now.required
    gone = name in was.properties and name not in now.properties
    if old is not None and new is None and gone:
        yield Found(
            "request-property-removed",
            f"{name} was accepted, is {'refused' if now.closed else 'not known any more'}",
            f".{name}",
            milder=(1 if old.deprecated else 0) - (1 if now.closed else 0),
        )
    elif new is not None and required and (old is None or name not in was.required):
        rule = (
            "new-required-request-property" if old is None else "request-property-became-required"
        )
        ending = "" if new.default is None else "-with-default"
        before = "not known" if old is None else "optional"
        yield Found(rule + ending, f"{name} was {before}, is required", f".{name}")


def _received_property(
    name: str, old: Shape | None, new: Shape | None, was: Shape, now: Shape
) -> Iterator[Found]:
    if old is None or name not in was.properties:
        return
    if new is None or name not in now.properties:
        kind = "required" if name in was.required else "optional"
        before = "always returned" if name in was.required else "returned"
        yield Found(
            f"response-{kind}-property-removed",
            f"{name} was {before}, is not returned any more",
            f".{name}",
            milder=1 if old.deprecated else 0,
        )
    elif name in was.required and name not in now.required:
        message = f"{name} was always returned, is optional"
        yield Found("response-property-became-optional", message, f".{name}")


# --- one and many


def _one_became_many(was: Shape, now: Shape, view: View) -> Step | None:
    """Return the step for a value that became a list: in a URL or header `q=1` is read as [1]."""
    many, one = (now, was) if view.sent else (was, now)
    if view.encoding == "json" or many.types != frozenset({"array"}) or one.types is None:
        return None
    if "array" in one.types or "object" in one.types:
        return None
    found = []
    if (least := many.limits.get("min-items")) and least.tightness > 1:
        found.append(Found("min-items-set" if view.sent else "min-items-unset", "one was enough"))
    pair = Pair("", one.nodes, many.items) if view.sent else Pair("", many.items, one.nodes)
    return Step(tuple(found), (pair._replace(encoding="text"),))


# --- alternatives


def _may_be_null(shape: Shape, side: Side) -> bool:
    return shape.nullable or any(choice.shape.nullable for choice in side.choices)


def _names(shape: Shape, alternatives: Alternatives) -> str:
    return " or ".join(one.name for one in alternatives.of(shape)) if shape.union else "any"


def _null_changes(null_was: bool, null_is: bool, *, sent: bool) -> Iterator[Found]:
    if sent and null_was and not null_is:
        yield Found(NOT_NULLABLE, "null was accepted, is refused")
    if not sent and null_is and not null_was:
        yield Found(NULLABLE, "was never null, is null at times")


def _without_counterpart(
    alone: list[str], was: Shape, now: Shape, offered: Side, *, sent: bool
) -> Found:
    keyword, others = was.keyword or now.keyword, [one.name for one in offered.choices]
    if sent:
        message = f"{', '.join(alone)} was accepted, only {', '.join(others)} is"
        return Found(f"{keyword}-removed", message)
    message = f"was {' or '.join(others)}, is {' or '.join(alone)} too"
    return Found(f"{keyword}-added", message)
