r"""The splitting of a file into SQL statements, as psql and SQLite's own shell do it.

A semicolon ends a statement unless it is in quotes, in a comment, in parentheses
(`CREATE RULE … DO ( a; b )`) or in a body: `BEGIN ATOMIC … END` of a PostgreSQL function, or a
trigger of SQLite. Each statement of a body ends with a semicolon, so the END of the body is the one
after a semicolon; any other END belongs to a CASE or is a name.

A client's command (`\connect` of psql, `DELIMITER` of mysql, `.read` of sqlite3), and text without
an end, is a piece with a `trouble`.

Sources: PostgreSQL's psqlscan.l and gram.y (`routine_body_stmt_list`), SQLite's complete.c.
"""

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from pytest_prodcheck.analysis.database_urls import Dialect

_SPACE = r"[ \t\n\r\f\v]"
_COMMENT = r"--[^\n\r]*+"
_ESCAPED = r"(?:[^'\\]|\\.|'')*+'"
# A string continues after white space with a line break, by the rules of its first part.
_CONTINUED = rf"(?:(?:[ \t\f\v]|{_COMMENT})*+[\n\r](?:{_SPACE}|{_COMMENT})*+'{_ESCAPED})*+"

_POSTGRESQL = re.compile(
    rf"""
    (?P<space> {_SPACE}+ | {_COMMENT} )
  | (?P<comment> /\* )
  | (?P<string> [eE]'{_ESCAPED}{_CONTINUED} | (?: [bBnNxX] | [uU]& )? '(?:[^']|'')*+' )
  | (?P<name> (?: [uU]& )? "(?:[^"]|"")*+" )
  | (?P<dollar> \$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][0-9A-Za-z_\x80-\U0010ffff]*+)?)\$
                .*? \$(?P=tag)\$ )
  | (?P<word> [A-Za-z_\x80-\U0010ffff][0-9A-Za-z_$\x80-\U0010ffff]*+ )
  | (?P<number> \d[0-9A-Za-z_.]*+ | \$\d++ )
  | (?P<open> ['"] | \$(?:[A-Za-z_\x80-\U0010ffff][0-9A-Za-z_\x80-\U0010ffff]*+)?\$ )
  | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)

_SQLITE = re.compile(
    rf"""
    (?P<space> {_SPACE}+ | {_COMMENT} | /\*.*?(?:\*/|\Z) )
  | (?P<string> [xX]?'(?:[^']|'')*+' )
  | (?P<name> "(?:[^"]|"")*+" | `(?:[^`]|``)*+` | \[[^\]]*+\] )
  | (?P<word> [A-Za-z_\x80-\U0010ffff][0-9A-Za-z_$\x80-\U0010ffff]*+ )
  | (?P<number> \d[0-9A-Za-z_.]*+ )
  | (?P<open> ['"`\[] )
  | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)

_OPENS_OR_CLOSES = re.compile(r"/\*|\*/")
_END_OF_DATA = re.compile(r"^\\\.[ \t\r]*$", re.MULTILINE)
_COMMAND = re.compile(r"\\(\S*)[ \t]*([^\n\r]*)")

_ONLY_SHOWN = ("echo", "qecho", "warn", "timing", "pset", "restrict", "unrestrict", "encoding")
"""Commands of psql that only change its output."""

_PRINTING = ("ON_ERROR_STOP", "ECHO", "QUIET", "VERBOSITY", "SHOW_CONTEXT")
"""Variables of psql that change its output, or if it continues after an error."""


class Token(NamedTuple):
    """A word, a name in quotes, a string, a number, or a single other character."""

    kind: str
    """`word`, `name`, `string`, `dollar`, `number`, `mark`; `open` for an unclosed quote."""
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """Return the text of a word in capitals; "" for quoted text, which is never a keyword."""
        return self.text.upper() if self.kind in ("word", "mark") else ""

    @property
    def word(self) -> str:
        """Return the text, with a quoted name in double quotes."""
        if self.kind == "name" and self.text[0] in "`[":
            inner = self.text[1:-1].replace("``", "`").replace('"', '""')
            return f'"{inner}"'
        return self.text


class Piece(NamedTuple):
    """One statement of a file, or other text and the reason why it is not a statement."""

    tokens: tuple[Token, ...]
    start: int
    end: int
    """Before the semicolon."""
    data: str | None = None
    """The lines that follow a `COPY … FROM stdin`."""
    trouble: str = ""
    """The reason why it cannot be read."""
    client: bool = False
    """A command for a program like psql, which no database understands."""


def tokens(sql: str, dialect: Dialect, start: int = 0) -> Iterator[Token]:
    """Yield the tokens from `start` on, without comments; an unclosed quote is the last."""
    pattern = _SQLITE if dialect == "sqlite" else _POSTGRESQL
    position = start
    while position < len(sql):
        found = pattern.match(sql, position)
        assert found, "any character is at least a mark"
        kind, position = found.lastgroup or "", found.end()
        if kind == "tag":
            kind = "dollar"
        if kind == "comment":
            end = _after_comment(sql, found.start())
            if end is None:
                yield Token("open", "/*", found.start(), len(sql))
                return
            position = end
        elif kind == "open":
            yield Token(kind, found[0], found.start(), len(sql))
            return
        elif kind != "space":
            yield Token(kind, found[0], found.start(), position)


def _after_comment(sql: str, start: int) -> int | None:
    """Return the end of a comment of PostgreSQL, which may contain others."""
    depth = 0
    for found in _OPENS_OR_CLOSES.finditer(sql, start):
        depth += 1 if found[0] == "/*" else -1
        if not depth:
            return found.end()
    return None


def pieces(sql: str, dialect: Dialect) -> Iterator[Piece]:
    """Yield the statements of a file in order."""
    splitter = _Splitter(sql, dialect)
    position: int | None = 0
    while position is not None:
        piece, position = splitter.next(position)
        if piece:
            yield piece


class _Splitter:
    """A reader of pieces, with the settings that change how strings are read."""

    def __init__(self, sql: str, dialect: Dialect) -> None:
        self.sql = sql
        self.dialect = dialect
        self.backslashes = False
        """`standard_conforming_strings` was set to off: a backslash may escape a quote."""

    def next(self, position: int) -> tuple[Piece | None, int | None]:
        """Return the piece at `position`, and the start of the next one; None at the end."""
        current: list[Token] = []
        depth = 0
        body = False
        for token in tokens(self.sql, self.dialect, position):
            if not current and (command := self._client_command(token)):
                return command
            if token.kind == "open":
                return self._rest(current or [token], f"{token.text} is never closed"), None
            if token.text == "\\" and self.dialect == "postgresql":
                return self._command_within(current, token)
            if self.backslashes and token.kind == "string" and _is_ambiguous(token.text):
                reason = "with standard_conforming_strings off, the end of this string is uncertain"
                return self._rest([*current, token], reason, client=True), None
            if token.upper == ";" and not depth and not body:
                return self._ended(current, token)
            current.append(token)
            depth += {"(": 1, ")": -1}.get(token.upper, 0)
            if depth < 0:
                return self._rest(current, ") has no opening parenthesis"), None
            if not depth:
                body = self._in_body(current, body)
        if not current:
            return None, None
        if depth or body:
            reason = "the body has no END" if body else "( is never closed"
            return self._rest(current, reason), None
        return self._ended(current, None)[0], None

    def _in_body(self, current: list[Token], body: bool) -> bool:
        """Return True if the next token is inside a body, where a semicolon ends no statement."""
        last = current[-1].upper
        before = current[-2].upper if len(current) > 1 else ""
        if body:
            return not (last == "END" and before in (";", "ATOMIC"))
        head = [token.upper for token in current[:4]]
        if self.dialect == "sqlite":
            named = head[1:2] == ["TRIGGER"] or head[1:3] in (
                ["TEMP", "TRIGGER"],
                ["TEMPORARY", "TRIGGER"],
            )
            return last == "TRIGGER" and head[0] == "CREATE" and named
        kind = head[3:4] if head[1:3] == ["OR", "REPLACE"] else head[1:2]
        routine = head[0] == "CREATE" and kind in (["FUNCTION"], ["PROCEDURE"])
        return routine and (before, last) == ("BEGIN", "ATOMIC")

    def _ended(
        self, current: list[Token], semicolon: Token | None
    ) -> tuple[Piece | None, int | None]:
        after = semicolon.end if semicolon else None
        if not current:
            return None, after
        piece = Piece(tuple(current), current[0].start, current[-1].end)
        if self.dialect == "postgresql" and (variable := _psql_variable(current)):
            return piece._replace(trouble=f"{variable} is a variable of psql", client=True), after
        words = [token.upper for token in current]
        if "STANDARD_CONFORMING_STRINGS" in words and words[0] == "SET":
            self.backslashes = current[-1].text.strip("'").lower() in ("off", "false", "0", "no")
        if after is not None and words[0] == "COPY" and _from_stdin(words):
            return self._copied(piece, after)
        return piece, after

    def _copied(self, piece: Piece, after: int) -> tuple[Piece, int | None]:
        """Return a COPY with its data, which begins on the next line and ends with a line `\\.`."""
        line_end = self.sql.find("\n", after)
        line_end = len(self.sql) if line_end < 0 else line_end
        if any(True for _ in tokens(self.sql[after:line_end], self.dialect)):
            reason = "text after COPY … FROM stdin on its line cannot be distinguished from data"
            return piece._replace(trouble=reason, client=True), line_end
        found = _END_OF_DATA.search(self.sql, line_end + 1)
        end = found.start() if found else len(self.sql)
        data = self.sql[line_end + 1 : end]
        return piece._replace(data=data), found.end() if found else None

    # --- commands of clients ---

    def _client_command(self, token: Token) -> tuple[Piece | None, int | None] | None:
        """Return a client's command where a statement should begin; None if there is none."""
        if token.upper == "DELIMITER":
            reason = "DELIMITER is a command of mysql's client; write the file without it"
            return self._rest([token], reason, client=True), None
        if token.text == "." and self.dialect == "sqlite":
            end = self._line_end(token.start)
            words = self.sql[token.start : end].split()
            return self._client_piece(
                token, end, f"{words[0]} is a command of sqlite3's shell"
            ), end
        if token.text != "\\" or self.dialect != "postgresql":
            return None
        end = self._line_end(token.start)
        found = _COMMAND.match(self.sql, token.start)
        assert found, "it begins with a backslash"
        name, rest = found[1], found[2]
        shown = name in _ONLY_SHOWN or (
            name == "set" and rest.split()[:1] and rest.split()[0] in _PRINTING
        )
        if shown and "\\" not in rest:
            return None, end
        return self._client_piece(token, end, f"\\{name} is a command of psql"), end

    def _command_within(self, current: list[Token], token: Token) -> tuple[Piece, int]:
        end = self._line_end(token.start)
        found = _COMMAND.match(self.sql, token.start)
        assert found, "it begins with a backslash"
        reason = f"\\{found[1]} is a command of psql"
        return Piece(tuple(current), current[0].start, end, trouble=reason, client=True), end

    def _client_piece(self, token: Token, end: int, reason: str) -> Piece:
        return Piece((token,), token.start, end, trouble=reason, client=True)

    def _line_end(self, position: int) -> int:
        end = self.sql.find("\n", position)
        return len(self.sql) if end < 0 else end

    def _rest(self, current: list[Token], reason: str, *, client: bool = False) -> Piece:
        """Return the rest of the file as one piece: the ends of its statements are unknown."""
        start = current[0].start
        return Piece(tuple(current), start, len(self.sql), trouble=reason, client=client)


def _from_stdin(words: list[str]) -> bool:
    return any(pair == ("FROM", "STDIN") for pair in itertools.pairwise(words))


def _psql_variable(current: list[Token]) -> str:
    """Return `:name` where SQL has no colon; in brackets it would be a slice, `[1:n]`."""
    brackets = 0
    for before, colon, name in zip(current, current[1:], current[2:], strict=False):
        brackets += {"[": 1, "]": -1}.get(before.text, 0)
        alone = before.text != ":" and name.text[0] not in ":="
        if colon.text == ":" and alone and colon.end == name.start and not brackets:
            return f":{name.text}"
    return ""


def _is_ambiguous(string: str) -> bool:
    """Return True if a string would end elsewhere with backslashes as escapes."""
    if string[:1] in "eE":
        return False
    found = re.match(r"[^']*'" + _ESCAPED, string, re.DOTALL)
    return found is None or found.end() != len(string)
