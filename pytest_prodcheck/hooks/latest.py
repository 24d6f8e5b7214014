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

from pytest_prodcheck.record.folder import drop_latest


def invalidate_latest(config: pytest.Config, args: Sequence[str], *, target_is_ours: bool) -> None:
    """Drop `latest` if *args*, or the environment, choose a target.

    *args* are the command line's with those of `addopts`. Workers of xdist leave it alone.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    names = ["--target", "--prodcheck-target"] if target_is_ours else ["--prodcheck-target"]
    parser.add_argument(*names, dest="target")
    parser.add_argument("--prodcheck-report", dest="report", default="prodcheck-report")
    try:
        found, _ = parser.parse_known_args(list(args))
    except argparse.ArgumentError:
        return  # an option without its value: pytest says so, and there is no folder to know
    if found.target is not None or "PRODCHECK_TARGET" in os.environ:
        drop_latest(Path(config.invocation_params.dir) / found.report)
