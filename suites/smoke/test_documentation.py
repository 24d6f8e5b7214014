"""What people and dashboards rely on beside the API itself is there.

A documentation page that is gone is found by a customer, an empty metrics page by the next
incident, when nobody can see it. These checks exist for the paths that the target names:
`documentation = ["/docs"]` and `metrics = ["/metrics"]`.
"""

import pytest


@pytest.mark.smoke
@pytest.mark.severity("minor")
def test_documentation(api, documentation, catch_all):
    """The page answers 2xx with something to read, which is not what every path gets."""
    response = api.get(documentation, follow_redirects=True)
    assert response.is_success, f"status: expected 2xx, got {response.status_code}"
    assert response.text.strip(), "body: expected documentation, got nothing"
    problem = catch_all.problem(documentation, response)
    assert not problem, problem


@pytest.mark.smoke
def test_metrics(api, metrics_page):
    """The endpoint answers 2xx with at least one number, and not with a page for people."""
    response = api.get(metrics_page)
    assert response.is_success, f"status: expected 2xx, got {response.status_code}"

    kind = response.headers.get("content-type", "")
    assert "html" not in kind, f"header content-type: expected metrics, got {kind}"
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    numbers = [character for character in "".join(lines) if character.isdigit()]
    assert numbers, "body: expected at least one number, got none"
