"""Realistic values of parameters that nobody can guess, like the id in `GET /items/{id}`.

They come from the configuration, or from the list that has the item: `GET /items` is requested.
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
"""Values taken from one list; each is requested once."""

Once = Callable[[str, Callable[[], Any]], Any]
"""Returns plain data under a name, made by the first process of the run that needs it."""


class CurrentValues:
    """Real values of one operation's parameters, read again when one turns out to be gone.

    `refreshes` is how often they are read again at most.
    """

    def __init__(
        self,
        read: Callable[[], dict[str, dict[str, Sequence[Any]]]],
        *,
        changing: bool,
        refreshes: int,
    ) -> None:
        self._read = read
        self._changing = changing
        self._left = refreshes
        self.known = read()
        self.certain = True
        """False once a value was gone and the list may not be read again."""

    def refresh(self) -> bool:
        """Read them again after one was gone; return True if they differ now."""
        if not self._changing:
            return False
        self.certain = self._left > 0
        if not self.certain:
            return False
        self._left -= 1
        before, self.known = self.known, self._read()
        return self.known != before


class RealValues:
    """Values of parameters that exist on the target.

    `all_` are the operations of the document; `changing` is True if the run itself creates and
    deletes things.
    """

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
        """Return values for that parameter of the operation; there may be none.

        `also_deleted`: with those that are kept for deletion. May send a GET for the list that has
        them: once in the run, or anew when things change.
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
            listed = _read_list(client, parent)
        else:
            listed = self._once(f"list {parent.path}", lambda: _read_list(client, parent))
        values = values_in(listed, name, noun=parent.path.rstrip("/").rpartition("/")[2])
        if also_deleted or not self.changing:
            return values
        # A deleted item is gone for the other operations: DELETE gets the last third of the list.
        kept = len(values) - len(values) // 3
        return values[kept:] if operation.method == "DELETE" else values[:kept]


def _read_list(client: "LiveClient", parent: Operation) -> Any:
    evidence = len(client.exchanges)
    try:
        response = client.get(parent.base.rstrip("/") + parent.path)
        return strict_json(response.content) if response.is_success else None
    except (httpx.HTTPError, httpx.InvalidURL, NotAsked, ValueError):
        return None
    finally:
        del client.exchanges[evidence:]


def values_in(answer: Any, name: str, noun: str) -> list[Any]:
    """Return the values of *name* in a list of items.

    Lists are: `[{"id": 1}]`, `{"items": [...]}`, `["a", "b"]`.
    """
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
    """Return the field that the parameter means: its own name, or the name without the noun."""
    plain = {_letters_and_digits(key): value for key, value in item.items()}
    wanted = _letters_and_digits(name)
    last = re.split(r"[_-]|(?<=[a-z])(?=[A-Z])", name)[-1]
    for key in (wanted, _letters_and_digits(last), "id", "uuid", "key", "slug"):
        if plain.get(key) is not None:
            return plain[key]
    return None


def _letters_and_digits(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
