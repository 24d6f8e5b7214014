"""pytest-prodcheck: the verdict after a deploy.

The types of the fixtures, for annotations: `def test_health(api: LiveClient) -> None`. They are
imported at their first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.version import __version__ as __version__

if TYPE_CHECKING:
    from pytest_prodcheck.checks.contract.operation_check import OperationCheck
    from pytest_prodcheck.checks.drills.drill import DrillCheck
    from pytest_prodcheck.checks.modes.flags import FlagsCheck
    from pytest_prodcheck.checks.probes.prober import ProbeCheck
    from pytest_prodcheck.config import Target
    from pytest_prodcheck.http.client import LiveClient
    from pytest_prodcheck.measuring import Measure

__all__ = [
    "DrillCheck",
    "FlagsCheck",
    "LiveClient",
    "Measure",
    "OperationCheck",
    "ProbeCheck",
    "Target",
]

_MODULES = {
    "DrillCheck": "checks.drills.drill",
    "FlagsCheck": "checks.modes.flags",
    "LiveClient": "http.client",
    "Measure": "measuring",
    "OperationCheck": "checks.contract.operation_check",
    "ProbeCheck": "checks.probes.prober",
    "Target": "config",
}


def __getattr__(name: str) -> Any:
    """Return a type of `__all__`; raises AttributeError for another name."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
