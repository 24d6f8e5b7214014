"""This release would not break the clients of the last one.

The live OpenAPI document is compared with an older one: the file that `baseline` in `[contract]`
names, else that of the last run on this target that passed. What is gone, newly required, narrower
in a request or wider in an answer is named with its place, and what to do.
"""

import pytest


@pytest.mark.contract
@pytest.mark.offline  # both documents are there already
def test_compatibility(compatibility):
    """Check that no change is of more than minor severity."""
    compatibility.check()
