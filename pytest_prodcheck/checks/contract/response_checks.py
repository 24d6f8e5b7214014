"""Schemathesis' checks on one response, without those that do not apply to it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    object_level_authorization,
    response_schema_conformance,
)

from pytest_prodcheck.analysis.openapi_refs import table
from pytest_prodcheck.checks.contract.cases import Case, Response, is_allowed, parameter_under_test
from pytest_prodcheck.http.body import BODILESS
from pytest_prodcheck.model import Record

SENDING = [ignored_auth, object_level_authorization]
"""Checks of Schemathesis that send requests of their own, past our client; the first is ours."""

ABOUT_BODIES = [content_type_conformance, response_schema_conformance]
"""Checks of Schemathesis that judge the body of a response."""

ABOUT_REQUESTS = frozenset(
    ("negative_data_rejection", "positive_data_acceptance", "missing_required_header")
)
"""Checks that judge a parameter: with another parameter it is another failure."""


class CheckFailure(Record):
    """One way in which a response is not as the document says."""

    check: str
    title: str
    message: str
    parameter: str = ""
    """The parameter that the request tests, for a check that judges the request."""
    invented: bool = False
    """True if the request held values that need not exist."""
    forbidden: bool = False
    """True if the document forbids the request, so that it has to be refused."""


def check_response(
    case: Case, response: Response, base: str, headers: Mapping[str, str], recorder: Any
) -> list[Failure]:
    """Return what Schemathesis finds wrong with this response.

    base: URL that the paths of the document are under. headers: those that the target adds, with
    placeholders for their values. recorder: the sequence so far, or None.
    """
    about_bodies = ABOUT_BODIES if _may_have_no_body(case, response) else []
    try:
        case.validate_response(
            response,
            excluded_checks=[*SENDING, *about_bodies],
            headers=dict(headers),
            transport_kwargs={"base_url": base, "headers": dict(headers)},
            recorder=recorder,
        )
    except FailureGroup as group:
        failures: Sequence[Any] = group.exceptions
    except Failure as failure:
        failures = [failure]
    else:
        return []
    return [one for one in failures if not _goes_beyond(one, case, response)]


def as_check_failures(
    failures: Sequence[Failure], case: Case, *, invented: bool
) -> list[CheckFailure]:
    """Return each failure as a record."""
    found = []
    for failure in failures:
        checks = type(failure).checks
        check = checks[0] if checks else type(failure).__name__
        found.append(
            CheckFailure(
                check=check,
                title=failure.title,
                message=_without_schema(failure.message),
                parameter=parameter_under_test(case) if check in ABOUT_REQUESTS else "",
                invented=invented,
                forbidden=not is_allowed(case),
            )
        )
    names = {one.check for one in found}
    # A 500 is rarely documented: it is one failure, not two.
    if "not_a_server_error" in names:
        found = [one for one in found if one.check != "status_code_conformance"]
    return found


def _may_have_no_body(case: Case, response: Response) -> bool:
    """Return True for an empty body where HTTP requires or allows one, whatever the document says.

    RFC 9110, 15.3.5, 15.3.6, 15.4.5 and 9.3.2. A type that the response to HEAD does name is that
    of GET, so it is judged.
    """
    if response.content:
        return False
    names_a_type = any(name.lower() == "content-type" for name in response.headers)
    is_head = case.method.upper() == "HEAD" and not names_a_type
    return response.status_code in BODILESS or is_head


def _goes_beyond(failure: Failure, case: Case, response: Response) -> bool:
    """Return True if Schemathesis demands more than the document says of this response."""
    check = next(iter(type(failure).checks), "")
    documented = case.operation.responses.find_by_status_code(response.status_code)
    if check == "content_type_conformance":
        # In OpenAPI 2 `produces` covers documented bodies, not the error page of a response
        # without a schema.
        old = case.operation.schema.specification.version.startswith("2.")
        return documented is None or (old and "schema" not in documented.definition)
    if check == "response_schema_conformance" and documented is not None:
        # A file is described as a string, and so is text that Schemathesis reads as its content.
        media_type = "".join(response.headers.get("content-type", [])[:1]).partition(";")[0]
        schema = table(documented.get_schema(media_type).schema)
        is_file = schema.get("format") == "binary" or re.search("yaml|xml", media_type, re.I)
        return schema.get("type") == "string" and bool(is_file)
    return False


def _without_schema(message: str) -> str:
    """Return a message without the schema that it repeats from the document."""
    kept, heading = [], ""
    for part in map(str.strip, message.split("\n\n")):
        if heading == "Value:":
            kept.append(f"Value: {' '.join(part.split())[:200]}")
        elif not f"{heading}\n{part}".startswith("Schema") and not part.startswith(_REPEATED):
            kept.append(part)
        heading = part if part.endswith(":") else ""
    return "\n".join(kept)


_REPEATED = ("Schema", "Validated against", "Value:")
