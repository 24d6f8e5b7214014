"""The health page says what is true.

Many services answer 200 and `"status": "ok"` as long as their process runs, while the database in
the same answer is `"down"`. A load balancer is content with that, users are not. So the body is
read as a whole: every status in it, at any depth, has to be a good one. What is absent on purpose
is accepted by the configuration: `health = { path = "/health", accept = ["$.cache"] }`.
"""

import warnings

import pytest


@pytest.mark.smoke
@pytest.mark.severity("critical")
@pytest.mark.filterwarnings("default:health")  # a project's "error" is not meant for a concern
def test_health(api, health):
    """Check that the health path answers 2xx, and that nothing in its body contradicts that."""
    response = api.get(health.path, headers=health.headers)
    if concern := health.check(response):
        warnings.warn(f"health: {concern}", stacklevel=1)
