"""What people and dashboards rely on beside the API itself is there.

A documentation page that is gone is found by a customer, an empty metrics page by the next
incident, when nobody can see it. These checks exist for the paths that the target names:
`documentation = ["/docs"]` and `metrics = ["/metrics"]`.
"""

import pytest

from pytest_prodcheck.checks.answers.expectations import require_success
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.rules import failure


@pytest.mark.smoke
@pytest.mark.severity("minor")
def test_documentation(api, documentation, catch_all):
    """Check that the page answers 2xx with something to read, which is not what every path gets."""
    response = api.get(documentation, follow_redirects=True)
    page = f"GET {documentation}"
    require_success(response, page)
    if not response.text.strip():
        fail("body.empty", page, "body: expected documentation, got nothing")
    if problem := catch_all.problem(documentation, response):
        fail("body.catch_all", page, problem)


@pytest.mark.smoke
def test_metrics(api, metrics_page):
    """Check that the endpoint answers 2xx with at least one number, and not with a web page."""
    response = api.get(metrics_page)
    page = f"GET {metrics_page}"
    require_success(response, page)

    kind = response.headers.get("content-type", "")
    if "html" in kind:
        message = f"header content-type: expected metrics, got {kind}"
        fail("header.content_type", page, message)
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    numbers = [character for character in "".join(lines) if character.isdigit()]
    if not numbers:
        fail("metrics.no_number", page, "body: expected at least one number, got none")


def fail(rule, subject, message):
    """Fail the check for what is wrong with a page."""
    raise CheckFailed.of(failure(rule, subject, message, title=""))
