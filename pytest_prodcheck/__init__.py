"""pytest-prodcheck: the verdict after a deploy.

The types of the fixtures, for annotations: `def test_health(api: LiveClient) -> None`. They are
imported when they are used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_prodcheck.config import Target
    from pytest_prodcheck.live.client import LiveClient
    from pytest_prodcheck.live.contract import OperationRun
    from pytest_prodcheck.live.drills.drill import DrillRun
    from pytest_prodcheck.live.flags import FlagsRun
    from pytest_prodcheck.live.probes import ProbeRun
    from pytest_prodcheck.measuring import Measure

__version__ = "0.1.0"

__all__ = [
    "DrillRun",
    "FlagsRun",
    "LiveClient",
    "Measure",
    "OperationRun",
    "ProbeRun",
    "Target",
]

_MODULES = {
    "DrillRun": "live.drills.drill",
    "FlagsRun": "live.flags",
    "LiveClient": "live.client",
    "Measure": "measuring",
    "OperationRun": "live.contract",
    "ProbeRun": "live.probes",
    "Target": "config",
}


def __getattr__(name: str) -> Any:
    """Return a type of `__all__`. Raises AttributeError for another name."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
