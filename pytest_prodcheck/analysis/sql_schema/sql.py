"""The parsing of columns, foreign keys, indexes and policies, in SQL as it follows their names.

Names are used as they are stored, with quotes or without: `userId` is not folded to `userid`.
Each parser raises ValueError with the facts and the remedy.
"""

import re
from typing import Any

from pytest_prodcheck.analysis.sql_schema.tables import Column, ForeignKey, Index, Policy

_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_NAMES = rf"{_NAME}(?:\s*,\s*{_NAME})*"
_ACTION = r"no action|restrict|cascade|set null|set default"
_COLUMN = re.compile(r"(?P<type>.+?)(?P<null>\s+not\s+null|\s+null)?", re.IGNORECASE | re.DOTALL)
_MORE_THAN_A_TYPE = re.compile(
    r"\b(default|primary|references|unique|check|generated|not)\b", re.IGNORECASE
)
_FOREIGN_KEY = re.compile(
    rf"(?:foreign\s+key\s*)?\(?\s*(?P<columns>{_NAMES})\s*\)?\s*references\s+"
    rf"(?P<table>{_NAME}(?:\.{_NAME})?)\s*(?:\(\s*(?P<references>{_NAMES})\s*\))?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_ON = re.compile(rf"\bon\s+(delete|update)\s+({_ACTION})\b", re.IGNORECASE)
_TIMING = re.compile(
    r"\b((not\s+)?deferrable|initially\s+(deferred|immediate)|match\s+\w+|not\s+(valid|enforced))\b",
    re.IGNORECASE,
)
"""The time of a key's check, which is not compared."""
_POLICY = re.compile(
    r"(?:as\s+(?P<kind>permissive|restrictive)\s*)?"
    r"(?:for\s+(?P<command>all|select|insert|update|delete)\b\s*)?"
    rf"(?:to\s+(?P<roles>{_NAMES})\s*)?"
    r"(?P<conditions>(?:using|with\s+check)\s*\(.*)?",
    re.IGNORECASE | re.DOTALL,
)


def column(name: str, text: str) -> Column:
    """Return a column of `boolean not null`: a type, with or without `not null`."""
    match = _COLUMN.fullmatch(text.strip())
    if not match or _MORE_THAN_A_TYPE.search(match["type"]):
        raise ValueError('is not a column; write only its type, with or without "not null"')
    refused = (match["null"] or "").lower().split() == ["not", "null"]
    return Column(name=name, type=match["type"], nullable=not refused)


def foreign_key(text: str) -> ForeignKey:
    """Return the key of `user_id references users (id) on delete cascade`."""
    match = _FOREIGN_KEY.fullmatch(text.strip())
    rest = _TIMING.sub("", _ON.sub("", match["rest"])) if match else "?"
    if not match or rest.strip():
        raise ValueError(
            'is not a foreign key; write it like "user_id references users (id) on delete cascade"'
        )
    actions = {
        f"on_{what.lower()}": re.sub(r"\s+", " ", action.lower())
        for what, action in _ON.findall(match["rest"])
    }
    return ForeignKey(
        columns=_names(match["columns"]),
        table=_unquoted(match["table"]),
        references=_names(match["references"] or ""),
        **actions,
    )


def index(text: str) -> Index:
    """Return the index of `unique (lower(email)) where deleted_at is null` or `gin (tags)`."""
    head, opening, rest = text.strip().partition("(")
    words = head.lower().split()
    unique = "unique" in words[:1]
    method = [word for word in words[unique:] if word != "using"]
    columns, rest = _within("(" + rest) if opening else ("", "")
    facts: dict[str, Any] = {}
    while rest := rest.strip():
        lower = rest.lower()
        if lower.startswith("include"):
            inner, rest = _within(rest[len("include") :].strip())
            facts["include"] = normal(inner)
        elif lower.startswith("nulls not distinct"):
            facts["nulls_distinct"] = False
            rest = rest[len("nulls not distinct") :]
        elif lower.startswith("with"):
            _, rest = _within(
                rest[len("with") :].strip()
            )  # storage, which has no effect on results
        elif lower.startswith("where"):
            facts["where"], rest = normal(rest[len("where") :]), ""
        else:
            columns = ""
            break
    if not columns.strip() or len(method) > 1:
        raise ValueError(
            'is not an index; write it like "(author, created_at)", "unique (lower(email))" or '
            '"gin (tags) where not archived"'
        )
    return Index(
        columns=normal(columns), unique=unique, method=method[0] if method else "btree", **facts
    )


def policy(name: str, text: str) -> Policy:
    """Return the policy of `for select to authenticated using (user_id = auth.uid())`.

    The text is that of CREATE POLICY after the table.
    """
    match = _POLICY.fullmatch(text.strip())
    found: dict[str, str] = {}
    rest = match["conditions"] or "" if match else "?"
    while rest := rest.strip():
        kind = re.match(r"(using|with\s+check)\s*(?=\()", rest, re.IGNORECASE)
        key = "using" if kind and kind[1].lower() == "using" else "check"
        if not kind or key in found:
            match = None
            break
        found[key], rest = _within(rest[kind.end() :])
    if not match or not text.strip():
        raise ValueError(
            'is not a policy; write what follows its table in CREATE POLICY, like "for select to '
            'authenticated using (user_id = auth.uid())"'
        )
    command: Any = (match["command"] or "all").lower()
    return Policy(
        name=name,
        command=command,
        roles=_names(match["roles"]) if match["roles"] else ("public",),
        permissive=(match["kind"] or "").lower() != "restrictive",
        using=found.get("using"),
        check=found.get("check"),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(_unquoted(name) for name in re.findall(_NAME, text))


def _unquoted(name: str) -> str:
    return ".".join(
        part[1:-1].replace('""', '"') if part.startswith('"') else part
        for part in re.findall(_NAME, name)
    )


def _within(text: str) -> tuple[str, str]:
    """Return the content of the parentheses at the start of *text*, and the text after them."""
    depth = 0
    for piece in _PIECE.finditer(text):
        depth += (piece[0] == "(") - (piece[0] == ")")
        if depth == 0:
            return text[1 : piece.start()].strip(), text[piece.end() :]
    raise ValueError("has a parenthesis that is not closed; close it")


# --- expressions

_PIECE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[\w$]+|::|[<>=!~@#%^&|*/+?-]+|\S""")
_LONG_TYPES = {
    "bit": ("varying",),
    "character": ("varying",),
    "double": ("precision",),
    "time": ("with", "without", "time", "zone"),
    "timestamp": ("with", "without", "time", "zone"),
}
"""Types of several words: first word -> words that may follow."""
_WORDS_BEFORE = {"and", "else", "not", "on", "or", "then", "when", "where"}
"""Words after which a parenthesis is a group, not a call."""
_ARITHMETIC = {"+", "-", "*", "/", "%"}


def normal(expression: str) -> str:
    """Return an expression without the additions of PostgreSQL when it prints it.

    These are casts, redundant parentheses, quotes around names, and capitals of keywords.
    """
    pieces = _without_groups(_without_casts(list(map(_normal_piece, _PIECE.findall(expression)))))
    text, before = "", ""
    for piece in pieces:
        call = piece == "(" and re.match(r"[\w$]", before) and before.lower() not in _WORDS_BEFORE
        tight = not text or piece in ")],.[" or before in ("(", "[", ".") or call
        text += piece if tight else f" {piece}"
        before = piece
    return text


def same(one: str | None, other: str | None) -> bool:
    """Return True if two expressions are equal, apart from the case of names."""
    return _folded(one or "") == _folded(other or "")


def bare(expression: str | None) -> str | None:
    """Return an expression without the parentheses around all of it."""
    if expression and expression.startswith("("):
        inner, rest = _within(expression)
        return expression if rest.strip() else bare(inner)
    return expression


def _normal_piece(piece: str) -> str:
    if piece.startswith('"'):
        return piece[1:-1].replace('""', '"')
    return piece.lower() if piece.isupper() and not piece.startswith("'") else piece


def _folded(expression: str) -> list[str]:
    pieces = _PIECE.findall(normal(expression))
    return [piece if piece.startswith("'") else piece.lower() for piece in pieces]


def _without_casts(pieces: list[str]) -> list[str]:
    left: list[str] = []
    position = 0
    while position < len(pieces):
        if pieces[position] != "::":
            left.append(pieces[position])
            position += 1
            continue
        first = pieces[position + 1] if position + 1 < len(pieces) else ""
        position += 2
        more = _LONG_TYPES.get(first, ())
        while position < len(pieces) and (pieces[position] in more or pieces[position] == "."):
            position += 2 if pieces[position] == "." else 1
        for opening, closing in (("(", ")"), ("[", "]")):
            while position < len(pieces) and pieces[position] == opening:
                while position < len(pieces) and pieces[position] != closing:
                    position += 1
                position += 1
    return left


def _without_groups(pieces: list[str]) -> list[str]:
    """Return the pieces without redundant parentheses.

    These are parentheses around all of it or around one word, and all groups if only one of `and`
    and `or` is used and nothing is computed.
    """
    ordered = {"and", "or"} <= set(pieces) or any(piece in _ARITHMETIC for piece in pieces)
    changed = True
    while changed:
        changed = False
        for start, end in _groups(pieces):
            whole = start == 0 and end == len(pieces) - 1
            if whole or end == start + 2 or not ordered:
                del pieces[end], pieces[start]
                changed = True
                break
    return pieces


def _groups(pieces: list[str]) -> list[tuple[int, int]]:
    """Return start and end of the parentheses that do not belong to a call."""
    open_: list[int] = []
    found: list[tuple[int, int]] = []
    for position, piece in enumerate(pieces):
        if piece == "(":
            open_.append(position)
        elif piece == ")" and open_:
            start = open_.pop()
            before = pieces[start - 1] if start else ""
            if before in _WORDS_BEFORE or not re.match(r"[\w$]", before):
                found.append((start, position))
    return sorted(found)
