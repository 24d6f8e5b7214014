"""The parsing of SQL into statements with their lines, by sqlglot.

Statements that sqlglot treats as commands (functions, policies, `DO` blocks) are lists of tokens.
An ALTER TABLE with an action that it cannot read is read action by action. The statements inside a
`DO` block are read too; they are `guarded` if they depend on a condition.
"""

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pytest_prodcheck.analysis.database_urls import Dialect
from pytest_prodcheck.analysis.migrations.splitting import Piece, Token, pieces, tokens
from pytest_prodcheck.model import Record

_SQLGLOT = {"postgresql": "postgres", "sqlite": "sqlite"}

_VERBS = ("ALTER", "CREATE", "DELETE", "DROP", "INSERT", "TRUNCATE", "UPDATE", "WITH")
_AFTER = ("BEGIN", "THEN", "ELSE", "LOOP")
"""PL/pgSQL words that a statement may follow."""

_WITH_COLUMNS = ("INDEX", "TABLE", "VIEW")
"""Kinds for which the rules need more than the first words of CREATE and DROP."""

_BEFORE_A_KIND = (
    *("FOREIGN", "GLOBAL", "LOCAL", "MATERIALIZED", "OR", "RECURSIVE", "REPLACE", "TEMP"),
    *("TEMPORARY", "UNIQUE", "UNLOGGED", "VIRTUAL"),
)

_HARMLESS = (
    *("ANALYZE", "BEGIN", "CHECKPOINT", "COMMENT", "COMMIT", "END", "GRANT", "LISTEN", "LOCK"),
    *("NOTIFY", "PRAGMA", "REFRESH", "REINDEX", "RELEASE", "RESET", "REVOKE", "ROLLBACK"),
    *("CALL", "SAVEPOINT", "SECURITY", "SET", "SHOW", "START", "VACUUM", "CLUSTER", "DISCARD"),
)
"""First words of statements that neither add nor remove anything that the rules cover."""

_HARMLESS_ALTER = (
    *("AGGREGATE", "DATABASE", "DEFAULT", "EXTENSION", "FOREIGN", "FUNCTION", "INDEX", "OPERATOR"),
    *("POLICY", "PROCEDURE", "PUBLICATION", "ROLE", "ROUTINE", "SEQUENCE", "SERVER", "SYSTEM"),
    *("STATISTICS", "SUBSCRIPTION", "TRIGGER", "TYPE", "DOMAIN", "USER", "GROUP", "SCHEMA"),
    *("VIEW", "MATERIALIZED", "LANGUAGE", "EVENT", "TABLESPACE", "COLLATION", "CAST", "RULE"),
)
"""Kinds whose ALTER is understood by its words, because only renames and moves matter."""

_HARMLESS_ACTIONS = (
    ("ATTACH", "PARTITION"),
    ("CLUSTER", "ON"),
    ("DISABLE",),
    ("ENABLE",),
    ("FORCE", "ROW"),
    ("INHERIT",),
    ("NO", "FORCE"),
    ("OWNER", "TO"),
    ("RENAME",),  # recognized by its words
    ("REPLICA", "IDENTITY"),
    ("RESET", "("),
    ("SET", "("),
    ("SET", "ACCESS"),
    ("SET", "LOGGED"),
    ("SET", "SCHEMA"),  # recognized by its words
    ("SET", "TABLESPACE"),
    ("SET", "UNLOGGED"),
    ("SET", "WITHOUT"),
    ("VALIDATE", "CONSTRAINT"),
)
"""Beginnings of actions of ALTER TABLE that sqlglot does not read and that need no rule."""

_HARMLESS_OF_COLUMN = ("STATISTICS", "STORAGE", "COMPRESSION", "(", "GENERATED", "INCREMENT")
"""Words after `ALTER COLUMN name SET` that sqlglot does not read and that need no rule."""


class Statement(Record, frozen=True):
    """One statement of a file."""

    text: str
    line: int
    words: tuple[str, ...]
    """Its tokens, with quoted names in double quotes."""
    tree: Any = None
    """A sqlglot expression; None when it could not be parsed."""
    guarded: bool = False
    """It runs only on a condition."""
    trouble: str = ""
    """The reason why it, or a part of it, could not be read."""
    client: bool = False
    """A command for a program like psql, which no database understands."""
    data: str | None = None
    """The lines of a `COPY … FROM stdin`."""

    def starts(self, *words: str) -> bool:
        """Return True if it begins with these words, in upper or lower case."""
        return tuple(word.upper() for word in self.words[: len(words)]) == words


def statements(sql: str, dialect: Dialect) -> tuple[Statement, ...]:
    """Return all statements of a file in order, with those in a `DO` block after it."""
    return tuple(_read(sql, dialect))


def split(sql: str, dialect: Dialect) -> tuple[Statement, ...]:
    """Return the statements of a file as they would be sent one by one, not parsed.

    Text that cannot be split is one with `trouble`: the rest of the file, or a client's command.
    """
    return tuple(_statement(sql, piece) for piece in pieces(sql, dialect))


def _statement(sql: str, piece: Piece) -> Statement:
    return Statement(
        text=sql[piece.start : piece.end],
        line=sql.count("\n", 0, piece.start) + 1,
        words=tuple(token.word for token in piece.tokens),
        trouble=piece.trouble,
        client=piece.client,
        data=piece.data,
    )


def _read(sql: str, dialect: Dialect) -> Iterator[Statement]:
    for piece in pieces(sql, dialect):
        statement = _statement(sql, piece)
        if piece.trouble:
            rest = "the file cannot be split into statements from here on: "
            prefix = "cannot be read: " if piece.client else rest
            yield msgspec.structs.replace(statement, trouble=prefix + piece.trouble)
        elif statement.starts("DO"):
            inside, trouble = _in_block(statement, piece.tokens, dialect)
            yield msgspec.structs.replace(statement, trouble=trouble)
            yield from inside
        else:
            yield from _parsed(statement, piece.tokens, dialect)


# --- one statement ---


def _parsed(
    statement: Statement, written: Sequence[Token], dialect: Dialect
) -> Iterator[Statement]:
    """Yield the statement with its tree; an ALTER TABLE without one as a statement per action."""
    from sqlglot import exp

    if statement.starts("CREATE", "RULE") or statement.starts("CREATE", "OR", "REPLACE", "RULE"):
        yield statement  # its commands run later
        return
    tree, trouble = _tree(statement.text, dialect)
    if isinstance(tree, exp.Alter) and any(
        isinstance(action, exp.Command) for action in tree.args.get("actions", ())
    ):
        tree = None
    if tree is None and statement.starts("ALTER", "TABLE"):
        yield from _actions(statement, written, dialect)
    elif tree is None and not trouble and not _is_harmless(statement.words):
        first = " ".join(statement.words[:4])
        yield msgspec.structs.replace(statement, trouble=f"cannot be parsed: {first} …")
    else:
        yield msgspec.structs.replace(statement, tree=tree, trouble=trouble)


def _tree(text: str, dialect: Dialect) -> tuple[Any, str]:
    """Return sqlglot's tree, None for a command; and the reason why it cannot be parsed."""
    import sqlglot
    from sqlglot import exp

    # It warns of statements that it treats as commands; they are checked here.
    logger = logging.getLogger("sqlglot")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        first, *more = sqlglot.parse(text, read=_SQLGLOT[dialect])
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        return None, f"cannot be parsed: {_first_line(error)}"
    finally:
        logger.setLevel(level)
    return (None if more or isinstance(first, exp.Command) else first), ""


def _is_harmless(words: Sequence[str]) -> bool:
    first, *more = [word.upper() for word in words[:6]]
    kind = next((word for word in more if word not in _BEFORE_A_KIND), "")
    if first == "ALTER":
        return kind in _HARMLESS_ALTER or more[:2] == ["TEXT", "SEARCH"]
    if first in ("CREATE", "DROP"):
        return kind not in _WITH_COLUMNS
    return first in _HARMLESS


def _actions(
    statement: Statement, written: Sequence[Token], dialect: Dialect
) -> Iterator[Statement]:
    """Yield each action of an ALTER TABLE as an ALTER TABLE of its own."""
    from sqlglot import exp

    head = _head(written)
    start = written[0].start
    name = statement.text[: written[head - 1].end - start]
    for action in _by_comma(written[head:]):
        text = statement.text[action[0].start - start : action[-1].end - start]
        tree, trouble = _tree(f"{name} {text}", dialect)
        unread = tree is None or any(
            isinstance(one, exp.Command) for one in tree.args.get("actions", ())
        )
        if unread and not trouble and not _is_harmless_action([one.upper for one in action]):
            trouble = f"cannot be parsed: {' '.join(text.split())[:60]}"
        yield msgspec.structs.replace(
            statement,
            text=f"{name} {text}",
            line=statement.line + statement.text.count("\n", 0, action[0].start - start),
            words=tuple(one.word for one in (*written[:head], *action)),
            tree=None if unread else tree,
            trouble=trouble,
        )


def _head(written: Sequence[Token]) -> int:
    """Return the number of tokens of `ALTER TABLE IF EXISTS ONLY schema.name *`."""
    position = 2
    while position < len(written) and written[position].upper in ("IF", "EXISTS", "ONLY"):
        position += 1
    position += 1
    while position < len(written) and written[position].text == ".":
        position += 2
    if position < len(written) and written[position].text == "*":
        position += 1
    return min(position, len(written))


def _by_comma(written: Sequence[Token]) -> Iterator[list[Token]]:
    current: list[Token] = []
    depth = 0
    for token in written:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        if token.text == "," and not depth:
            if current:
                yield current
            current = []
        else:
            current.append(token)
    if current:
        yield current


def _is_harmless_action(upper: Sequence[str]) -> bool:
    if any(tuple(upper[: len(words)]) == words for words in _HARMLESS_ACTIONS):
        return True
    if upper[:1] == ["ALTER"]:
        position = 3 if upper[1:2] == ["COLUMN"] else 2
        verb, what = (*upper[position : position + 2], "", "")[:2]
        return verb in ("SET", "RESET", "RESTART") and (not what or what in _HARMLESS_OF_COLUMN)
    return False


# --- the statements of a DO block ---


def _in_block(
    statement: Statement, written: Sequence[Token], dialect: Dialect
) -> tuple[list[Statement], str]:
    """Return the statements inside a `DO` block, and the reason why some cannot be known."""
    quoted = next((one for one in written if one.kind == "dollar"), None)
    if quoted is None:
        return [], "its body is not quoted with $$, and cannot be read"
    mark = quoted.text.index("$", 1) + 1
    body = quoted.text[mark:-mark]
    inside = tuple(tokens(body, dialect))
    if inside and inside[-1].kind == "open":
        return [], f"its body cannot be read: {inside[-1].text} is never closed"
    above = statement.text.count("\n", 0, quoted.start - written[0].start)
    found: list[Statement] = []
    trouble = ""
    handled = _handles_existing_objects([one.upper for one in inside])
    conditions = 0
    position = 0
    while position < len(inside):
        word = inside[position].upper
        before = inside[position - 1].upper if position else ""
        if word == "IF":
            conditions += -1 if before == "END" else _begins(before)
        if word == "EXECUTE" and _begins(before):
            trouble = "it runs SQL that is built as text (EXECUTE), which cannot be read"
        if word in _VERBS and _begins(before):
            end = _end(inside, position)
            first, last = inside[position], inside[end - 1]
            inner = Statement(
                text=body[first.start : last.end],
                line=statement.line + above + body.count("\n", 0, first.start),
                words=tuple(one.word for one in inside[position:end]),
                guarded=conditions > 0 or handled,
            )
            found += _parsed(inner, inside[position:end], dialect)
            position = end
        position += 1
    return found, trouble


def _handles_existing_objects(upper: Sequence[str]) -> bool:
    """Return True if a block handles existing or missing objects by exception, as Drizzle does."""
    if ("EXCEPTION", "WHEN") not in itertools.pairwise(upper):
        return False
    return any(word.startswith(("DUPLICATE_", "UNDEFINED_")) or word == "OTHERS" for word in upper)


def _end(inside: Sequence[Token], position: int) -> int:
    """Return the end of a statement in a block: its semicolon outside of parentheses."""
    depth = 0
    for end in range(position, len(inside)):
        depth += {"(": 1, ")": -1}.get(inside[end].text, 0)
        if inside[end].upper == ";" and depth <= 0:
            return end
    return len(inside)


def _begins(before: str) -> bool:
    """Return True if a PL/pgSQL statement may begin after this word."""
    return before in ("", ";", *_AFTER)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
