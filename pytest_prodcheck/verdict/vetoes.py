"""Failed checks that no score outweighs.

A failed check vetoes if its severity is critical, if its failure is of a kind in the policy's
`veto`, or if it passed in the target's last passing run.
"""

from collections.abc import Iterable, Iterator

from pytest_prodcheck.model import Check, Run, Veto, subject


def vetoes(checks: Iterable[Check], run: Run) -> tuple[Veto, ...]:
    """Return the vetoes of *checks*, those of *run* that count."""
    passed_before = {
        check: before for before in run.passed_before.values() for check in before.checks
    }
    found: list[Veto] = []
    for check in checks:
        if check.severity == "critical" and _counts_against(check, run):
            found.append(_veto(check, "critical"))
        if check.outcome != "failed":
            continue
        found += [_veto(check, kind) for kind in _kinds(check) if kind in run.policy.veto]
        before = passed_before.get(check.id)
        if before and "regression" in run.policy.veto:
            where = before.release.name or f"the release of run {before.run_id}"
            text = f"regression: {subject(check.id)} passed on {where}"
            found.append(Veto(check=check.id, kind="regression", text=text))
    return tuple(found)


def _counts_against(check: Check, run: Run) -> bool:
    """Return True if it failed or was skipped, or passed only on a rerun on a read-only target."""
    flaky = check.outcome == "flaky" and run.target.read_only
    return check.outcome in ("failed", "skipped") or flaky


def _kinds(check: Check) -> Iterator[str]:
    yield from sorted(set().union(*(failure.kinds for failure in check.failures)))


def _veto(check: Check, kind: str) -> Veto:
    facts = next((line.strip() for line in check.message.splitlines() if line.strip()), "failed")
    return Veto(check=check.id, kind=kind, text=f"{kind}: {subject(check.id)}: {facts[:200]}")
