"""SQL as statements, each with its line, parsed by sqlglot.

What sqlglot takes for a mere command (functions, policies, `DO` blocks) is a list of tokens. Of a
`DO` block the statements inside are read too; they are `guarded` where they stand behind a
condition.
"""

import logging
from collections.abc import Iterator
from typing import Any

import msgspec

from pytest_prodcheck.config.databases import Dialect
from pytest_prodcheck.model import Record

_SQLGLOT = {"postgresql": "postgres", "sqlite": "sqlite"}

_VERBS = ("ALTER", "CREATE", "DELETE", "DROP", "INSERT", "TRUNCATE", "UPDATE", "WITH")
_AFTER = ("BEGIN", "THEN", "ELSE", "LOOP")
"""PL/pgSQL words that a statement may follow."""


class Statement(Record, frozen=True):
    """One statement of a file."""

    text: str
    line: int
    words: tuple[str, ...]
    """Its tokens; quoted names in double quotes, however they are quoted in the file."""
    tree: Any = None
    """A sqlglot expression; None when it could not be parsed."""
    guarded: bool = False
    """It runs on a condition only."""
    trouble: str = ""
    """Why it, or a part of it, could not be read."""

    def starts(self, *words: str) -> bool:
        """Whether it begins with these words, in any case."""
        return tuple(word.upper() for word in self.words[: len(words)]) == words


def statements(sql: str, dialect: Dialect) -> tuple[Statement, ...]:
    """All statements of a file in order, with those inside its `DO` blocks after each of them."""
    from sqlglot.errors import TokenError

    try:
        return tuple(_read(sql, dialect))
    except TokenError as error:
        trouble = f"the file cannot be split into statements: {_first_line(error)}"
        return (Statement(text=sql, line=1, words=(), trouble=trouble),)


def split(sql: str, dialect: Dialect) -> tuple[Statement, ...]:
    """The statements of a file as they would be sent one by one, not parsed.

    Raises ValueError when it cannot be split.
    """
    from sqlglot.errors import TokenError

    try:
        return tuple(_split(sql, dialect))
    except TokenError as error:
        raise ValueError(_first_line(error)) from error


def _read(sql: str, dialect: Dialect) -> Iterator[Statement]:
    for statement in _split(sql, dialect):
        if statement.starts("DO"):
            inside, trouble = _in_block(statement.text, statement.line, dialect)
            yield msgspec.structs.replace(statement, trouble=trouble)
            yield from inside
        else:
            yield _parsed(statement, dialect)


def _split(sql: str, dialect: Dialect) -> Iterator[Statement]:
    for tokens in _groups(sql, dialect):
        first, last = tokens[0], tokens[-1]
        yield Statement(
            text=sql[first.start : last.end + 1],
            line=sql.count("\n", 0, first.start) + 1,
            words=tuple(map(_word, tokens)),
        )


def _groups(sql: str, dialect: Dialect) -> Iterator[list[Any]]:
    """The tokens of each statement: up to a semicolon that is not inside BEGIN … END."""
    from sqlglot.dialects import Dialect as Dialects

    current: list[Any] = []
    depth = 0
    for token in Dialects.get_or_raise(_SQLGLOT[dialect]).tokenize(sql):
        word = token.text.upper()
        if token.token_type.name == "SEMICOLON" and depth == 0:
            if current:
                yield current
            current = []
            continue
        body = word == "BEGIN" and current and current[0].text.upper() == "CREATE"
        if body or (depth and word == "CASE"):
            depth += 1
        elif depth and word == "END":
            depth -= 1
        current.append(token)
    if current:
        yield current


def _parsed(statement: Statement, dialect: Dialect) -> Statement:
    import sqlglot
    from sqlglot import exp

    # It warns of what it takes for a mere command; we look for ourselves.
    logger = logging.getLogger("sqlglot")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        tree = sqlglot.parse_one(statement.text, read=_SQLGLOT[dialect])
    except sqlglot.errors.SqlglotError as error:
        trouble = f"cannot be parsed: {_first_line(error)}"
        return msgspec.structs.replace(statement, trouble=trouble)
    finally:
        logger.setLevel(level)
    return msgspec.structs.replace(statement, tree=None if isinstance(tree, exp.Command) else tree)


def _in_block(text: str, line: int, dialect: Dialect) -> tuple[list[Statement], str]:
    """The statements inside a `DO` block, and why not all of them can be known."""
    from sqlglot.dialects import Dialect as Dialects
    from sqlglot.errors import TokenError

    # The body is quoted, as $$ … $$ mostly, and sqlglot keeps it with its quotes.
    offset, body = _body(text)
    if body is None:
        return [], "its body is not quoted with $$, and cannot be read"
    found: list[Statement] = []
    trouble = ""
    try:
        tokens = Dialects.get_or_raise(_SQLGLOT[dialect]).tokenize(body)
    except TokenError as error:
        return [], f"its body cannot be read: {_first_line(error)}"
    conditions = 0
    position = 0
    while position < len(tokens):
        word = tokens[position].text.upper()
        before = tokens[position - 1].text.upper() if position else ""
        if word in ("IF", "CASE", "WHILE", "FOR") and before != "END":
            conditions += word == "IF" and _begins(before)
        elif word == "IF" and before == "END":
            conditions -= 1
        if word == "EXECUTE" and _begins(before):
            trouble = "it runs SQL that is put together as text (EXECUTE), which cannot be read"
        if word in _VERBS and _begins(before):
            end = position
            while end < len(tokens) and tokens[end].token_type.name != "SEMICOLON":
                end += 1
            first, last = tokens[position], tokens[end - 1]
            inner = Statement(
                text=body[first.start : last.end + 1],
                line=line + text.count("\n", 0, offset) + body.count("\n", 0, first.start),
                words=tuple(map(_word, tokens[position:end])),
                guarded=conditions > 0,
            )
            found.append(_parsed(inner, dialect))
            position = end
        position += 1
    return found, trouble


def _word(token: Any) -> str:
    text: str = token.text
    return f'"{text}"' if token.token_type.name == "IDENTIFIER" else text


def _begins(before: str) -> bool:
    """Whether a PL/pgSQL statement may begin after this word."""
    return before in ("", ";", *_AFTER)


def _body(text: str) -> tuple[int, str | None]:
    """Where the text between the dollar quotes of a `DO` block begins, and that text."""
    opening = text.find("$")
    closing = text.find("$", opening + 1)
    if opening < 0 or closing < 0:
        return 0, None
    quote = text[opening : closing + 1]
    end = text.rfind(quote)
    return (closing + 1, text[closing + 1 : end]) if end > closing else (0, None)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
