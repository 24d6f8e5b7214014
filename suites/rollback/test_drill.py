"""Rollback works, because it was just rehearsed.

Each drill of the configuration is rehearsed: the target is in its steady state, the switch is
flipped, the mode really changes and the service is well in it, the switch is flipped back, and the
steady state is there again. Only targets with `drills = true` are touched. Whatever ends the run in
between, the switch is flipped back: see "Rolling back" in the documentation.
"""

import pytest


@pytest.mark.rollback
def test_drill(drill):
    """There and back: the service is well before, meanwhile and afterwards."""
    drill.steady_state()
    with drill.switched():
        drill.check()
    drill.steady_state()
