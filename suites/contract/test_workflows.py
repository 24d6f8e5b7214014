"""What one operation made, the others know: create, read, change, delete, and read again.

Sequences of operations, each fed with what the ones before it answered, show what no single request
can: a thing that is still there after its deletion, or not there after its creation.
"""

import pytest


@pytest.mark.contract
@pytest.mark.writes
def test_workflows(workflows):
    """Check that every response in every sequence is as documented, and that created items come and
    go."""
    workflows.check()
