"""Every endpoint that matters answers as it should.

A release that starts is not yet one that serves: a route that is gone, a wrong status or a field
that is missing shows here, a minute after the deploy. The probes are those of the configuration;
without any, the health path and each GET of the OpenAPI document that needs no parameter.
"""

import pytest


@pytest.mark.smoke
def test_probe(probe):
    """Status, body, headers and time are as the probe expects them."""
    probe.check()
