"""Values that exist: for parameters that nobody can guess, like the id in `GET /items/{id}`.

From the configuration, or from the list that the item is in: `GET /items` is asked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.checks.openapi.operations import Operation
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.http.body import strict_json
from pytest_prodcheck.http.lean_httpx import httpx

if TYPE_CHECKING:
    from pytest_prodcheck.http.client import LiveClient

MOST = 30
"""Values taken from one list; each is asked for once."""

Once = Callable[[str, Callable[[], Any]], Any]
"""Plain data under a name, made by whichever process of the run comes first."""


class RealValues:
    """Real values of parameters. `all_` are the operations of the document; `changing`
    tells whether the run itself makes and deletes things."""

    def __init__(
        self,
        configured: Mapping[str, Sequence[Any]],
        all_: Sequence[Operation],
        once: Once,
        *,
        changing: bool,
    ) -> None:
        self.changing = changing
        self.operations = len(all_)
        self._configured = configured
        self._lists = {one.path: one for one in all_ if one.method == "GET"}
        self._once = once

    def of(
        self,
        name: str,
        operation: Operation,
        client: "LiveClient",
        place: str,
        *,
        also_deleted: bool = False,
    ) -> Sequence[Any]:
        """Values for that parameter of the operation; none known is normal. `also_deleted`: with
        those that are given to deletion.

        May send a GET to the list that has them: once in the run, or anew when things change.
        """
        if name in self._configured:
            return self._configured[name]
        if place != "path_parameters":
            return ()
        before, found, _ = operation.path.partition(f"{{{name}}}")
        parent = self._lists.get(before.rstrip("/")) or self._lists.get(before)
        if not found or parent is None or "{" in parent.path or parent.obstacle or parent.withheld:
            return ()
        if self.changing:
            listed = _ask(client, parent)
        else:
            listed = self._once(f"list {parent.path}", lambda: _ask(client, parent))
        values = values_in(listed, name, noun=parent.path.rstrip("/").rpartition("/")[2])
        if also_deleted or not self.changing:
            return values
        # What is deleted is gone for the others: of many, the last are given to deletion.
        kept = len(values) - len(values) // 3
        return values[kept:] if operation.method == "DELETE" else values[:kept]


def _ask(client: "LiveClient", parent: Operation) -> Any:
    evidence = len(client.exchanges)
    try:
        response = client.get(parent.base.rstrip("/") + parent.path)
        return strict_json(response.content) if response.is_success else None
    except (httpx.HTTPError, httpx.InvalidURL, NotAsked, ValueError):
        return None
    finally:
        del client.exchanges[evidence:]


def values_in(answer: Any, name: str, noun: str) -> list[Any]:
    """Values of *name* in a list of things: `[{"id": 1}]`, `{"items": [...]}`, `["a", "b"]`."""
    items = next((one for one in _candidates(answer, noun) if isinstance(one, list)), [])
    found = []
    for item in items[:MOST]:
        value = pick(item, name) if isinstance(item, dict) else item
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            found.append(value)
    return found


def _candidates(answer: Any, noun: str) -> list[Any]:
    if not isinstance(answer, dict):
        return [answer]
    return [answer.get(noun), *answer.values()]


def pick(item: Mapping[str, Any], name: str) -> Any:
    """The field that the parameter means: its own name, or what is left without the noun."""
    plain = {_plain(key): value for key, value in item.items()}
    wanted = _plain(name)
    last = re.split(r"[_-]|(?<=[a-z])(?=[A-Z])", name)[-1]
    for key in (wanted, _plain(last), "id", "uuid", "key", "slug"):
        if plain.get(key) is not None:
            return plain[key]
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
