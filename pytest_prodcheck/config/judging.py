"""The settings of the judgement: threshold, weights, decision matrix, and the manifest."""

import re
from decimal import Decimal
from typing import Any

from msgspec import UNSET

from pytest_prodcheck.config.config_file import ConfigFile
from pytest_prodcheck.config.matrices import MATRICES, MODES
from pytest_prodcheck.config.reader import written_or
from pytest_prodcheck.config.validation import did_you_mean
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.model import CATEGORIES, Action, Policy
from pytest_prodcheck.verdict.actions import refusal

_PLAIN_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
_LEAST = re.compile(r"([a-z]+)\s*>=\s*([1-9][0-9]*)")


def judging(
    file: ConfigFile | None, threshold: str | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of Settings for the judgement that are set, and the origin of each.

    `threshold` is the command line's, and takes precedence. Raises UsageError.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if file:
        written = file.contents
        if written.threshold is not UNSET:
            values["threshold"] = _threshold_written(file)
        if written.weights is not UNSET:
            values["weights"] = {**Policy().weights, **written.weights}
        if written.veto is not UNSET:
            values["veto"] = tuple(dict.fromkeys(written.veto))
        if written.required is not UNSET:
            values["required"] = _required(file, written.required)
        if written.actions is not UNSET or written.matrix is not UNSET:
            values["actions"] = _actions(file)
            values["assumed_modes"] = MODES.get(str(written.matrix), {})
        origins = dict.fromkeys(values, file.label)
    if threshold is not None:
        values["threshold"] = _threshold_option(threshold)
        origins["threshold"] = "command line"
    return values, origins


def _actions(file: ConfigFile) -> tuple[Action, ...]:
    """Return the rows of the file, then those of the matrix with another `when`."""
    own = {}
    for i, row in enumerate(file.contents.actions or []):
        if facts := refusal(row.when):
            raise file.error(("actions", i, "when"), facts)
        own[i] = Action(
            when=row.when,
            action=row.action,
            severity=written_or(row.severity, "major"),
            within=written_or(row.within, ""),
            verify=written_or(row.verify, ""),
        )
    written = {action.when for action in own.values()}
    return (*own.values(), *(row for row in _matrix(file) if row.when not in written))


def _matrix(file: ConfigFile) -> tuple[Action, ...]:
    name = file.contents.matrix
    if name is UNSET:
        return ()
    if name not in MATRICES:
        known = list(MATRICES)
        raise file.error(
            ("matrix",),
            f'there is no matrix "{name}".{did_you_mean(str(name), known)} '
            f"Allowed: {', '.join(known)}",
        )
    return MATRICES[str(name)]


def _threshold_option(text: str) -> Decimal:
    """Return the threshold of --prodcheck-threshold; only plain notation is unambiguous."""
    if not _PLAIN_DECIMAL.fullmatch(text):
        raise UsageError(
            f'--prodcheck-threshold: "{text}" is not a plain number; write it like 85 or 92.5'
        )
    if problem := _out_of_range(Decimal(text)):
        raise UsageError(f"--prodcheck-threshold: {problem}")
    return Decimal(text)


def _threshold_written(file: ConfigFile) -> Decimal:
    written = file.contents.threshold
    if isinstance(written, bool) or not isinstance(written, int | Decimal):
        raise file.error(
            ("threshold",), "is not a number; write it without quotes, like 85 or 92.5"
        )
    if problem := _out_of_range(Decimal(written)):
        raise file.error(("threshold",), problem)
    return Decimal(written)


def _out_of_range(threshold: Decimal) -> str | None:
    if threshold.is_finite() and 1 <= threshold <= 100:
        return None
    if threshold.is_finite() and 0 < threshold < 1:
        percent = (threshold * 100).normalize()
        return f"{threshold} looks like a share; scores go to 100, so write {percent:f}"
    return f"{threshold} is not a score to exceed; allowed are numbers from 1 to 100"


def _required(file: ConfigFile, entries: list[str]) -> tuple[str, ...]:
    """Return the manifest, with `smoke>=10` in one spelling and globs unchanged."""
    manifest = []
    for index, entry in enumerate(entries):
        if not re.match(r"\s*\w*\s*[<>=]", entry):
            manifest.append(entry)
            continue
        least = _LEAST.fullmatch(entry.strip())
        if not least:
            raise file.error(
                ("required", index),
                "is neither a count nor a glob; write it like smoke>=10 or test_health*",
            )
        if least[1] not in CATEGORIES:
            raise file.error(
                ("required", index),
                f'"{least[1]}" is not a category.{did_you_mean(least[1], list(CATEGORIES))} '
                f"Categories: {', '.join(CATEGORIES)}",
            )
        manifest.append(f"{least[1]}>={least[2]}")
    return tuple(manifest)
