"""The order of all migrations: nothing is used before its creation, or dropped while in use.

Only flaws that the folder itself proves are reported: an object that it never creates may have
existed before its first migration.
"""

from collections.abc import Iterable, Iterator, Sequence

from pytest_prodcheck.analysis.migrations.flaw import Flaw, flaw
from pytest_prodcheck.analysis.migrations.layout import number
from pytest_prodcheck.analysis.migrations.names import Named, created, dropped, used
from pytest_prodcheck.analysis.migrations.reading import Statement
from pytest_prodcheck.analysis.migrations.rules import Text

_KIND = {"TABLE": "TABLE", "VIEW": "TABLE", "FUNCTION": "FUNCTION"}
"""Views are used like tables."""


def numbering(names: Iterable[str]) -> tuple[Flaw, ...]:
    """Return a flaw for each number that two migrations share, so that their order is undefined."""
    found = []
    first: dict[int, str] = {}
    for name in names:
        leading = number(name)
        if leading is None:
            continue
        if leading in first:
            found.append(
                flaw(
                    "migration.order",
                    name,
                    f"has the number of {first[leading]}",
                    remedy="give each migration a number of its own",
                )
            )
        first.setdefault(leading, name)
    return tuple(found)


def forth(texts: Sequence[Text]) -> tuple[Flaw, ...]:
    """Return a flaw for each object that is used before its creation; `texts` apply, in order."""
    return tuple(_forth(texts))


def _forth(texts: Sequence[Text]) -> Iterator[Flaw]:
    steps = [(text, statement) for text in texts for statement in text.statements]
    made_at: dict[tuple[str, str], tuple[int, str]] = {}
    for position, (text, statement) in enumerate(steps):
        for one in created(statement):
            if one.kind in _KIND:
                made_at.setdefault((_KIND[one.kind], one.name), (position, text.at(statement)))
    for position, (text, statement) in enumerate(steps):
        if statement.guarded:
            continue
        for kind, name in used(statement):
            made, place = made_at.get((kind, name), (position, ""))
            if made > position:
                use = f"{_object_of(statement)} uses {kind.lower()} {name}"
                message = f"{use}, which is created only at {place}"
                yield flaw("migration.order", text.at(statement), message)


def back(text: Text, applied: Sequence[Text]) -> tuple[Flaw, ...]:
    """Return a flaw for each object that a rollback drops before another that needs it.

    `applied` are the texts that created them.
    """
    needs: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for statement in (each for one in applied for each in one.statements):
        for made in created(statement):
            needs[made.kind, made.name] = set(used(statement))
    return tuple(_back(text, needs))


def _back(text: Text, needs: dict[tuple[str, str], set[tuple[str, str]]]) -> Iterator[Flaw]:
    drops = [(statement, one) for statement in text.statements for one in dropped(statement)]
    for position, (statement, one) in enumerate(drops):
        for _, other in drops[position + 1 :]:
            if (_KIND.get(one.kind, ""), one.name) in needs.get((other.kind, other.name), ()):
                yield flaw("migration.order", text.at(statement), _too_early(one, other))


def _too_early(one: Named, other: Named) -> str:
    outcome = "CASCADE drops that too" if one.cascade else "the database refuses that"
    return f"drops {one} before {other}, which needs it: {outcome}"


def _object_of(statement: Statement) -> str:
    made = created(statement)
    return str(made[0]) if made else f"{statement.words[0].upper()} …"
