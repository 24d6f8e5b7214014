"""No TLS certificate will run out while everybody is asleep.

Automatic renewal fails silently, often weeks before the certificate expires. Three days are what
it takes to notice, find whoever can renew it and roll it out, so with fewer the check fails. With
fewer than 21 it warns: renewals usually happen 30 days ahead, so one has been missed. Looked at is
each certificate that the server's own stands on, since a chain ends with its shortest link. A
certificate that has expired, or names another host, never gets this far: no connection is made,
and this and every other check of the target fail.
"""

import time
import warnings

import pytest

from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.rules import failure

FAIL_DAYS = 3
WARN_DAYS = 21


@pytest.mark.smoke
@pytest.mark.filterwarnings("default:the ")  # a project's "error" is not meant here
def test_certificate(api, certificate):
    """Check that every certificate of the target (`certificate` is its host and port) is valid for
    days."""
    response = api.head("/", follow_redirects=False)
    chain = response.extensions["network_stream"].get_extra_info("certificates")
    if not chain.complete:
        warnings.warn("the chain above the certificate cannot be seen here", stacklevel=1)

    ending = []
    for one in sorted(chain.certificates, key=lambda one: one.expires):
        days = (one.expires - time.time()) / 86_400
        left = f"{one.of(certificate)} expires in {days:.1f} days ({one.not_after})"
        if days < FAIL_DAYS and one.role != "unused":  # clients may do without an unused one
            subject = one.of(certificate).removeprefix("the ")
            ending.append(failure("certificate.expires", subject, left, title=""))
        elif days < WARN_DAYS:
            warnings.warn(f"{left}; see why it was not renewed", stacklevel=1)
    if ending:
        message = "; ".join(one.message for one in ending)
        raise CheckFailed(f"{message}; renew it now", ending)
