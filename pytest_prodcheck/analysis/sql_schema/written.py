"""Tables in the form of `schema.toml`, which is read back to the same tables."""

import json
import re
from collections.abc import Iterable, Iterator

from pytest_prodcheck.analysis.sql_schema.tables import Column, ForeignKey, Index, Policy, Table


def toml(tables: Iterable[Table], headline: str) -> str:
    """Return the text of a `schema.toml` with these tables, under a comment."""
    lines = [f"# {line}" for line in headline.splitlines()]
    for table in tables:
        lines += ["", *_table(table)]
    return "\n".join(lines) + "\n"


def column_text(column: Column) -> str:
    return column.type + ("" if column.nullable else " not null")


def foreign_key_text(key: ForeignKey) -> str:
    columns = ", ".join(map(_name, key.columns))
    text = f"({columns})" if len(key.columns) > 1 else columns
    text += f" references {'.'.join(map(_name, key.table.split('.')))}"
    if key.references:
        text += f" ({', '.join(map(_name, key.references))})"
    for what, action in (("delete", key.on_delete), ("update", key.on_update)):
        if action != "no action":
            text += f" on {what} {action}"
    return text


def index_text(index: Index) -> str:
    text = "unique " if index.unique else ""
    text += "" if index.method == "btree" else f"{index.method} "
    text += f"({index.columns})"
    text += f" include ({index.include})" if index.include else ""
    text += "" if index.nulls_distinct else " nulls not distinct"
    return text + (f" where {index.where}" if index.where else "")


def policy_text(policy: Policy) -> str:
    text = f"for {policy.command} to {', '.join(map(_name, policy.roles))}"
    text = text if policy.permissive else f"as restrictive {text}"
    text += f" using ({policy.using})" if policy.using is not None else ""
    return text + (f" with check ({policy.check})" if policy.check is not None else "")


def _table(table: Table) -> Iterator[str]:
    here = f"tables.{_key(table.name)}"
    yield f"[{here}]"
    if table.view:
        yield "view = true"
    if table.primary_key:
        yield f"primary_key = [{', '.join(map(_text, table.primary_key))}]"
    yield from _list("foreign_keys", [foreign_key_text(key) for key in table.foreign_keys or ()])
    yield from _list("indexes", [index_text(index) for index in table.indexes or ()])
    if table.row_security == "forced":
        yield 'row_level_security = "forced"'
    elif table.row_security == "on":
        yield "row_level_security = true"
    if table.columns:
        yield f"[{here}.columns]"
        for column in table.columns:
            yield f"{_key(column.name)} = {_text(column_text(column))}"
    if table.policies:
        yield f"[{here}.policies]"
        for policy in table.policies:
            yield f"{_key(policy.name)} = {_text(policy_text(policy))}"


def _list(key: str, texts: list[str]) -> Iterator[str]:
    if len(texts) == 1:
        yield f"{key} = [{_text(texts[0])}]"
    elif texts:
        yield f"{key} = ["
        yield from (f"    {_text(text)}," for text in texts)
        yield "]"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(text: str) -> str:
    """Return a TOML string, a literal one for double quotes without special characters."""
    if '"' in text and re.fullmatch(r"[^'\x00-\x1f\x7f\\]+", text):
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _name(name: str) -> str:
    """Return a name for SQL, quoted if it is more than one word."""
    return name if re.fullmatch(r"[\w$]+", name) else '"' + name.replace('"', '""') + '"'
