"""The TLS certificate will not run out while everybody is asleep.

Automatic renewal fails silently, often weeks before the certificate expires. Three days are what
it takes to notice, find whoever can renew it and roll it out, so with fewer the check fails. With
fewer than 21 it warns: renewals usually happen 30 days ahead, so one has been missed. A
certificate that has expired, or names another host, never gets this far: no connection is made,
and this and every other check of the target fail.
"""

import ssl
import time
import warnings

import pytest

FAIL_DAYS = 3
WARN_DAYS = 21


@pytest.mark.smoke
@pytest.mark.filterwarnings("default:the certificate")  # a project's "error" is not meant here
def test_certificate(api, certificate):
    """The certificate of the target (`certificate` is its host and port) is good for days."""
    response = api.head("/", follow_redirects=False)
    peer = response.extensions["network_stream"].get_extra_info("certificate")
    days = (ssl.cert_time_to_seconds(peer["notAfter"]) - time.time()) / 86_400

    left = f"the certificate of {certificate} expires in {days:.1f} days ({peer['notAfter']})"
    assert days >= FAIL_DAYS, f"{left}; renew it now"
    if days < WARN_DAYS:
        warnings.warn(f"{left}; see why it was not renewed", stacklevel=1)
