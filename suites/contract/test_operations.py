"""The API answers as its own specification says, whatever it is asked.

Each operation of the OpenAPI document is one check: the document's examples, the boundaries of its
schemas, and random cases. On a read-only target only what the document allows is sent, with
methods that change nothing. An operation that never answered with a success is not proven.
"""

import pytest


@pytest.mark.contract
def test_operation(operation):
    """Check that every response is as documented, and at least one of them is a success."""
    operation.check()
