"""The target is in an operating mode that is meant, and knows in which.

Flags that are switched in an emergency are read back here: every one is known, together they mean a
mode of `[flags.modes]`, the target itself calls it the same, and what a flag switches on works.
"Skipped", "unknown" and "failed" are three things, and none of them is "healthy".
"""

import pytest


@pytest.mark.rollback
@pytest.mark.severity("critical")
def test_mode(flags):
    """Flags, mode and what they switch agree."""
    flags.check()
