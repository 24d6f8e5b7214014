"""The content of `verdict.json`."""

from typing import Any

import msgspec

from pytest_prodcheck.model import SCHEMA, Check, Run, Verdict
from pytest_prodcheck.store.journal import encode


def document(run: Run, verdict: Verdict | None) -> dict[str, Any]:
    """Return the content of `verdict.json`; without a verdict, that of an unfinished run."""
    head = {
        "schema": SCHEMA,
        "run_id": run.run_id,
        "state": run.state,
        "target": run.target,
        "release": run.release,
        "last_good": run.last_good,
        "started": run.started,
        "finished": run.finished or None,
        "duration_s": run.duration_s,
    }
    if verdict is None:
        ruling: dict[str, Any] = {
            "score": None,
            "threshold": float(run.policy.threshold),
            "verdict": "inconclusive",
            "decision": "hold",
            "reasons": ["the run has not finished"],
        }
        return {**_builtins(head), **ruling}
    ruling = {
        "part": _part(run),
        "score": verdict.score,
        "threshold": verdict.threshold,
        "weights": run.policy.weights,
        "veto": run.policy.veto,
        "verdict": verdict.verdict,
        "decision": verdict.decision,
        "reasons": verdict.reasons,
        "counts": verdict.counts,
        "categories": verdict.categories,
        "checks": [_check(check) for check in run.checks],
        "unscored": [_check(check) for check in run.unscored],
        "problems": run.problems,
        "vetoes": verdict.vetoes,
        "warnings": run.warnings,
        "findings": verdict.findings,
        "actions": verdict.actions,
        "metrics": run.metrics,
        "flags": run.flags,
    }
    return {**_builtins(head), **_builtins(ruling)}


def _part(run: Run) -> str | None:
    """Return the description of the part, if the run is one."""
    return run.part.text if run.part else f"part {run.shard}" if run.shard else None


def _check(check: Check) -> dict[str, Any]:
    """Return *check* as in the file: with its failures by their titles, and in full."""
    facts = msgspec.structs.asdict(check)
    return {**facts, "failures": check.titles, "details": check.failures}


def _builtins(data: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(data)
    return plain


def text(content: dict[str, Any]) -> str:
    return msgspec.json.format(encode(content), indent=2).decode() + "\n"
