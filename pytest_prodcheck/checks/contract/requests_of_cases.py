"""Requests made of cases. The target's own headers stand in them as placeholders only.

Nothing here sends: a prepared request goes to a function that is given, a `Wire`.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import requests

from pytest_prodcheck.checks.contract.cases import Case
from pytest_prodcheck.http.lean_httpx import httpx

Wire = Callable[
    [requests.PreparedRequest, Mapping[str, str | bytes], frozenset[str]], httpx.Response
]
"""Sends a request with these headers, and without the named ones of the target (see WITHOUT)."""

PLACEHOLDER = "prodcheck"
"""Stands for the value of a header of the target, which is never given to Schemathesis."""

NOT_OURS = frozenset(("user-agent", "x-schemathesis-testcaseid"))


class RequestMaker:
    """Makes requests of cases for one target.

    `headers` are the names of what the target adds to each request by itself, `cookies` those of
    the cookies among them.
    """

    def __init__(self, headers: frozenset[str], cookies: Collection[str]) -> None:
        self.headers = dict.fromkeys(headers, PLACEHOLDER)
        self.cookies = cookies
        # Cookies of a case are sent together with those of the target, see http.transport.
        self._placed = {name: PLACEHOLDER for name in headers if name.lower() != "cookie"}

    def arguments(self, case: Case, base: str) -> dict[str, Any]:
        """Return what `prepared` takes."""
        return case.as_transport_kwargs(base_url=base, headers=self._placed)

    def prepared(self, arguments: Mapping[str, Any]) -> requests.PreparedRequest:
        """Raise requests.RequestException, ValueError or TypeError when no request can be made."""
        return requests.Request(**arguments).prepare()

    def send(
        self, prepared: requests.PreparedRequest, wire: Wire, without: Collection[str] = ()
    ) -> httpx.Response:
        """Send a request, without the named headers and cookies of the target.

        Raises what *wire* raises.
        """
        headers = prepared.headers.copy()
        withheld = set(without)
        for name, placeholder in self._placed.items():
            if headers.get(name) == placeholder:
                del headers[name]
            else:
                withheld.add(name.lower())
        for name in NOT_OURS.intersection(map(str.lower, headers)):
            del headers[name]
        return wire(prepared, headers, frozenset(withheld))
