"""The check that an operation refuses requests without credentials, or with wrong ones."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from pytest_prodcheck.checks.contract.cases import Case
from pytest_prodcheck.checks.contract.requests_of_cases import RequestMaker, Wire
from pytest_prodcheck.checks.contract.response_checks import CheckFailure
from pytest_prodcheck.checks.openapi.operations import Credential, Operation
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.recording import HARMLESS
from pytest_prodcheck.http.transport import COOKIE

_ARGUMENTS = {"header": "headers", "query": "params", "cookie": "cookies"}


def check_auth_enforced(
    case: Case, operation: Operation, maker: RequestMaker, wire: Wire
) -> CheckFailure | None:
    """Send this case without credentials, then with wrong ones; return a failure if it succeeds.

    The credentials that the document names are left out, wherever they come from. Where the target
    sends none of those, another header has opened the door: then all headers of the target that
    may be a credential are left out before the service is blamed.
    """

    def send(*, wrong: bool, everything: bool) -> httpx.Response:
        return _send_as_stranger(case, operation, maker, wire, wrong=wrong, everything=everything)

    everything = bool(maker.headers) and not _sends_one_of(operation.credentials, maker)
    response = send(wrong=False, everything=False)
    if response.is_success and everything:
        response = send(wrong=False, everything=True)
    if response.is_success:
        title = "API accepts requests without authentication"
    else:
        response = send(wrong=True, everything=everything)
        title = "API accepts invalid authentication"
    if not response.is_success:
        return None
    message = f"expected 401 or 403, got {response.status_code}"
    return CheckFailure(check="ignored_auth", title=title, message=message)


def _sends_one_of(credentials: Sequence[Credential], maker: RequestMaker) -> bool:
    """Return True if the target's own headers hold one of them."""
    headers = {name.lower() for name in maker.headers}
    return any(
        one.name in maker.cookies if one.place == "cookie" else one.name.lower() in headers
        for one in credentials
        if one.place != "query"
    )


def _send_as_stranger(
    case: Case,
    operation: Operation,
    maker: RequestMaker,
    wire: Wire,
    *,
    wrong: bool,
    everything: bool,
) -> httpx.Response:
    arguments = maker.arguments(case, operation.base)
    withheld = set()
    if everything:
        theirs = {name.lower() for name in maker.headers} - HARMLESS
        given = arguments.get("headers") or {}
        arguments["headers"] = {k: v for k, v in given.items() if k.lower() not in theirs}
        withheld.add("cookie")
    for one in operation.credentials:
        place = _ARGUMENTS[one.place]
        given = arguments.get(place) or {}
        if isinstance(given, str):
            given = dict(parse_qsl(given, keep_blank_values=True))
        given = {key: value for key, value in given.items() if key.lower() != one.name.lower()}
        arguments[place] = given | ({one.name: one.wrong} if wrong else {})
        if one.place == "cookie":
            withheld.add(f"{COOKIE}{one.name}")
        elif one.name.lower() == "cookie":
            withheld.add("cookie")
    return maker.send(maker.prepared(arguments), wire, withheld)
