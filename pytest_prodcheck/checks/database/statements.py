"""Which SQL may be sent: one statement that reads, and calls nothing that would do more.

PostgreSQL itself refuses writes in a read-only transaction. This is for what it does not refuse
there: ending that transaction, changing settings, programs, locks, other backends.
"""

import re
from collections.abc import Iterator, Mapping

READS = ("explain", "fetch", "select", "show", "table", "values", "with")
"""What a statement may begin with."""

_PIECE = re.compile(
    r"""--[^\n]*|/\*|e'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\$(?:[a-z_]\w*)?\$"""
    r"""|(?P<word>(?:u&)?"(?:[^"]|"")*"|[^\W\d][\w$]*|;|\()""",
    re.IGNORECASE | re.DOTALL,
)
"""A line of comment, the start of a block of it, texts of three kinds; or what counts."""
_BLOCK = re.compile(r"/\*|\*/")
_EFFECTS = re.compile(
    r"dblink\w*|lo_\w+|nextval|pg_(?:cancel|terminate)_backend|pg_(?:try_)?advisory_\w+"
    r"|pg_(?:backup|create|drop|start|stop)_\w+|pg_(?:logical|replication)_\w+"
    r"|pg_(?:file|log_backend|wal_replay)_\w+|pg_(?:notify|promote|switch_wal)"
    r"|pg_(?:reload_conf|rotate_logfile)|pg_stat(?:_\w+)?_reset\w*|query_to_xml\w*|set_config"
    r"|setval",
)
"""Functions of PostgreSQL and its own extensions that do more than read."""


def refusal(sql: str) -> str | None:
    """Return why this text may not be sent; None if it is one statement that reads."""
    words = [word.strip('"').lower() for word in _words(sql)]
    while words[-1:] == [";"]:
        words.pop()
    first = next((word for word in words if word != "("), "nothing")
    if first not in READS:
        return (
            f"{_printable(first)} is not a statement that reads; the connection takes "
            f"{', '.join(READS).upper()}"
        )
    if ";" in words:
        return "it is more than one statement; send them one by one"
    if any(word.startswith('u&"') for word in words):
        return "it writes a name in escapes, which hide it; write it as it is"
    for name, following in zip(words, [*words[1:], ""], strict=True):
        if following == "(" and _EFFECTS.fullmatch(name):
            return f"it calls {_printable(name)}(), which does more than read"
    return None


def not_a_read(sql: str) -> str | None:
    """Return why a declared query cannot be run to time it, by sqlglot's reading of it; or None."""
    from sqlglot import exp, parse
    from sqlglot.errors import SqlglotError

    try:
        statements = parse(sql, dialect="postgres")
    except SqlglotError as error:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        return f"is not SQL: {plain.splitlines()[0]}"
    if len(statements) != 1 or statements[0] is None:
        return "is not one statement; write one that reads"
    (statement,) = statements
    if not isinstance(statement, exp.Query):
        return "is not a SELECT; write a query that reads"
    for kind, what in (
        (exp.DML, "changes rows"),
        (exp.Into, "makes a table (INTO)"),
        (exp.Lock, "locks rows (FOR UPDATE or SHARE)"),
    ):
        if any(not isinstance(found, exp.Query) for found in statement.find_all(kind)):
            return f"{what}; write a query that only reads"
    if refused := refusal(sql):
        return f"is refused: {refused}"
    return None


def refused_queries(queries: Mapping[str, str]) -> dict[str, str]:
    """Return name -> reason of each query that does more than read."""
    return {name: why for name, sql in queries.items() if (why := not_a_read(sql))}


def _words(sql: str) -> Iterator[str]:
    """Return names, keywords, `;` and `(`, without comments and texts.

    The words of a text or comment that is not closed count: the server refuses it anyway.
    """
    position = 0
    while piece := _PIECE.search(sql, position):
        position = piece.end()
        if piece["word"]:
            yield piece[0]
        elif piece[0] == "/*":
            position = _end_of_comment(sql, position)
        elif piece[0].startswith("$"):
            end = sql.find(piece[0], position)
            position = end + len(piece[0]) if end >= 0 else position


def _end_of_comment(sql: str, start: int) -> int:
    """PostgreSQL's comments nest."""
    depth = 1
    for mark in _BLOCK.finditer(sql, start):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return start


def _printable(name: str) -> str:
    return ascii(name[:60])[1:-1]
