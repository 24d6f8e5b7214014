"""Smaller cases of what was accepted or failed: optional fields and parameters left out."""

from typing import TYPE_CHECKING

from pytest_prodcheck.checks.contract.parameter_values import CurrentValues
from pytest_prodcheck.checks.openapi.operations import Operation

if TYPE_CHECKING:
    from pytest_prodcheck.checks.contract.cases import Case
    from pytest_prodcheck.checks.contract.exploration import Exploration

MOST = 30
"""Requests of one operation without one of its optional parameters each, and as many without a
field of the body."""

ABOUT_DATA = (400, 422)
"""Statuses that call the body itself wrong."""


class LargestAccepted:
    """The case with the most fields in its body that the service has accepted."""

    def __init__(self) -> None:
        self.case: Case | None = None
        self._fields = 0

    def offer(self, case: "Case") -> None:
        from pytest_prodcheck.checks.contract.cases import is_allowed

        body: object = case.body
        if not isinstance(body, dict) or not is_allowed(case):
            return
        fields = _count_fields(body)
        if self.case is None or fields > self._fields:
            self.case, self._fields = case, fields


def _count_fields(body: object) -> int:
    """Return how many fields an object has, with those of the objects in it."""
    if not isinstance(body, dict):
        return 0
    return sum(1 + _count_fields(value) for value in body.values())


def leave_out_fields(
    accepted: "Case | None", operation: Operation, exploration: "Exploration"
) -> None:
    """Send what was accepted again without each field that the document calls optional.

    Where the same request is refused the second time (a name that is taken), a refusal is not
    about the field.
    """
    from pytest_prodcheck.checks.contract.cases import optional_fields, without_field

    if accepted is None:
        return
    fields = optional_fields(accepted)[:MOST]
    again = exploration.send_in_turn(accepted, operation) if fields else None
    if again is None:
        return
    exploration.judge(accepted, again, operation)
    repeatable = 200 <= again.status_code < 300
    for field in fields:
        smaller = without_field(accepted, field)
        response = exploration.send_in_turn(smaller, operation)
        if response is not None:
            about_data = response.status_code in ABOUT_DATA
            exploration.judge(smaller, response, operation, exists=repeatable and about_data)


def leave_out_parameters(
    operation: Operation, values: CurrentValues, exploration: "Exploration"
) -> None:
    """Send what failed again without each optional parameter, so that the case shown is small.

    Not where the request itself is judged: another request is another question. Nor after a 5xx:
    no service is made to crash again for a shorter request.
    """
    from pytest_prodcheck.checks.contract.cases import optional_parameters, without_parameter
    from pytest_prodcheck.checks.contract.response_checks import ABOUT_REQUESTS

    left = MOST
    violations = exploration.violations
    for key in violations.shown_by_cases():
        found, case = violations.smallest(key)
        if found.minor or found.check in ABOUT_REQUESTS or (found.exchange.status or 0) >= 500:
            continue
        for place, name in optional_parameters(case)[:left]:
            left -= 1
            smaller = without_parameter(violations.smallest(key)[1], place, name)
            response = exploration.send_in_turn(smaller, operation)
            if response is not None:
                exploration.judge(
                    smaller, response, operation, ignored=ABOUT_REQUESTS, known=values.known
                )
