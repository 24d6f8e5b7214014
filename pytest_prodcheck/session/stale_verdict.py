"""Take the verdict of an earlier run away before anything of this one can fail.

A broken conftest, an unknown option or a kill while pytest loads end a run before its options are
parsed. Yesterday's pass must not stand as the latest verdict then.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_prodcheck.store.run_directory import drop_latest


def invalidate_latest(config: pytest.Config, words: Sequence[str]) -> None:
    """Drop `latest` of a run that has chosen a target.

    *words* are those of the command line and of `addopts`. Workers of xdist leave it alone.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--prodcheck-report", default="prodcheck-report")
    try:
        found, _ = parser.parse_known_args(list(words))
    except argparse.ArgumentError:
        return  # the option without its value: pytest refuses it, and there is no folder to know
    drop_latest(config.invocation_params.dir / Path(found.prodcheck_report))
