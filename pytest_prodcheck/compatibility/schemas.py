"""What of a schema became narrower in requests, or wider in responses.

A value that clients send must still be accepted, and one that they receive must still be what
they were told. So most checks are one comparison, made forwards for requests, backwards for
responses.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pytest_prodcheck.compatibility.document import Document, Nodes
from pytest_prodcheck.compatibility.rules import Change, change
from pytest_prodcheck.compatibility.schema import Key, Schemas, Shape
from pytest_prodcheck.compatibility.values import (
    NOT_NULLABLE,
    NULLABLE,
    OF_REQUESTS,
    OF_RESPONSES,
    Found,
    both_may_be,
    narrower_null,
    overlap,
    type_changes,
    wider_null,
)

MOST = 20_000
"""Pairs of schemas compared for one body: no real document has as many."""


class Pair(NamedTuple):
    """Schemas of the old and the new document for one place."""

    path: str
    old: Nodes
    new: Nodes
    null_is_free: bool = False
    """Null is right here whatever these two say: the schemas around them allow it."""


@dataclass(eq=False, slots=True)
class Step:
    """What a pair shows on its own, and the pairs inside it; one object for each such pair."""

    found: tuple[Found, ...]
    inside: tuple[Pair, ...]
    below: list[tuple[Pair, "Step"]] | None = None
    """`inside` with their own steps, once they are known."""
    sound: bool = False
    """Nothing was found here nor anywhere below."""


class Comparison:
    """Compares the schemas of two documents; each pair is worked out once in each direction."""

    def __init__(self, old: Document, new: Document) -> None:
        self.old, self.new = Schemas(old), Schemas(new)
        self._steps: dict[tuple[Key, Key, bool], Step] = {}

    def changes(
        self, subject: str, place: str, old: Nodes, new: Nodes, seen: set[Step] | None = None
    ) -> Iterator[Change]:
        """Breaking changes of the value at `place`.

        Recursion ends because a pair in `seen` is not looked at again. So a schema that is used
        in several places of one value is told for the one nearest to the top.
        """
        sent = subject.startswith("request")
        first = not seen
        seen = set() if seen is None else seen
        broken = False
        top = Pair("", old, new)
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
        was, now = self.old.shape(pair.old), self.new.shape(pair.new)
        key = (was.key, now.key, sent)
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self._worked_out(was, now, sent=sent)
        return step

    def _worked_out(self, was: Shape, now: Shape, *, sent: bool) -> Step:
        if not (was.known and now.known):
            return Step((), ())
        if bool(was.alternatives) != bool(now.alternatives):
            return _one_and_several(was, now, sent=sent)
        changed = tuple(type_changes(was, now, sent=sent))
        if changed and not overlap(was.types, now.types):
            return Step(changed, ())
        checks = OF_REQUESTS if sent else OF_RESPONSES
        found, inside = _alternatives(was, now, sent=sent)
        found += [each for check in checks for each in check(was, now)]
        found += self._of_properties(was, now, sent=sent)
        inside += self._inside(was, now, sent=sent)
        return Step((*changed, *found), tuple(inside))

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
        """The property; None when there is none, or it does not count in this direction."""
        if name not in of.properties and name not in of.required:
            return None
        shape = schemas.shape(of.properties.get(name, ()))
        return None if _is_hidden(shape, sent=sent) else shape

    def _inside(self, was: Shape, now: Shape, *, sent: bool) -> Iterator[Pair]:
        for name, old in was.properties.items():
            pair = Pair(f".{name}", old, now.properties.get(name, ()))
            if name in now.properties and not self._settled(pair, sent=sent):
                yield pair
        if both_may_be(was, now, "array") and (was.items or now.items):
            yield Pair("[]", was.items, now.items)
        open_to_more = both_may_be(was, now, "object") and not (was.closed or now.closed)
        if open_to_more and (was.additional or now.additional):
            yield Pair(".*", was.additional, now.additional)

    def _settled(self, pair: Pair, *, sent: bool) -> bool:
        """Does not count on one side, or is plain on both without a finding."""
        shapes = self.old.shape(pair.old), self.new.shape(pair.new)
        if any(_is_hidden(shape, sent=sent) for shape in shapes):
            return True
        leaves = all(shape.is_leaf for shape in shapes)
        return leaves and not self._step(pair, sent=sent).found


def _is_hidden(shape: Shape, *, sent: bool) -> bool:
    """What is read-only is never sent, what is write-only never received."""
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


# --- alternatives


def _one_and_several(was: Shape, now: Shape, *, sent: bool) -> Step:
    """A plain schema became one of several, or the reverse."""
    plain = now if was.alternatives else was
    if plain.types is None:
        narrowed = plain is was
        if narrowed != sent:
            return Step((), ())
        old, new = (" or ".join(shape.alternatives) or "any" for shape in (was, now))
        return Step((Found("type-changed", f"the type was {old}, is {new}"),), ())
    null = narrower_null(was, now) if sent else wider_null(was, now)
    found, inside = _alternatives(was, now, sent=sent)
    return Step((*null, *found), tuple(inside))


def _alternatives(was: Shape, now: Shape, *, sent: bool) -> tuple[list[Found], list[Pair]]:
    """Alternatives are matched by name; a plain schema is an alternative of its own."""
    if not (was.alternatives or now.alternatives):
        return [], []
    old = was.alternatives or _alone(was, now)
    new = now.alternatives or _alone(now, was)
    gone = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    matched = [(name, name) for name in old if name in new]
    if gone and added and not (was.alternatives and now.alternatives):
        matched.append((gone.pop(0), added.pop(0)))
    null_is_free = now.nullable if sent else was.nullable
    inside = [Pair(f"({name})", old[one], new[name], null_is_free) for one, name in matched]
    keyword = was.keyword or now.keyword
    if sent and gone:
        message = f"{', '.join(gone)} was accepted, only {', '.join(new)} is"
        return [Found(f"{keyword}-removed", message)], inside
    if not sent and added:
        message = f"was {' or '.join(old)}, is {' or '.join(added)} too"
        return [Found(f"{keyword}-added", message)], inside
    return [], inside


def _alone(plain: Shape, several: Shape) -> dict[str, Nodes]:
    """A plain schema as the alternative that it has a name with, if any."""
    shared = [name for name in plain.names if name in several.alternatives]
    return {(shared or plain.names)[0]: plain.nodes}
