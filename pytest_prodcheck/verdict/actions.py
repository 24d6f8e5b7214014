"""The decision matrix: the rows that apply to a run, their evidence, and conflicts between them.

A row's `when` is the rule of a finding of at least medium confidence, a check's id (both as globs),
or a comparison of a figure of the run with a limit: `latency.p95 > 1000`. Rows are ordered by
severity, then deadline, then their order in the file, the rows of a ready-made matrix last.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from pytest_prodcheck.model import (
    INVALID,
    SEVERITIES,
    Action,
    Finding,
    Metrics,
    Release,
    Run,
    Veto,
    flags_text,
)

FIGURES = ("requests", "error_rate", "latency.p50", "latency.p95", "latency.p99")
"""Figures of every run; latencies in milliseconds, the rate as a share from 0 to 1."""

_FIGURE = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*)\s*(>=|<=|>|<)\s*(\d+(?:\.\d+)?)")
_COMPARISON = re.compile(r"[<>=]\s*-?[\d.]|\s[<>=]+\s")
_WITHIN = re.compile(r"(\d{1,5}) ?(s|sec|seconds?|m|min|minutes?|h|hours?)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_ON, _OFF = ("true", "on", "1", "yes"), ("false", "off", "0", "no")


def refusal(when: str) -> str:
    """Return the reason why `when` looks like a comparison but is not a valid one; "" if it is."""
    if match := _FIGURE.fullmatch(when.strip()):
        if match[1].startswith("latency.") and match[1] not in FIGURES:
            return f"{match[1]} is not measured; the figures are {', '.join(FIGURES[2:])}"
        return ""
    if "[" in when or not _COMPARISON.search(when):
        return ""
    return (
        "is not a comparison of a figure with a limit; write latency.p95 > 1000 (milliseconds), "
        "error_rate > 0.001 (a share), or compare a value that a check measured, by its name"
    )


def seconds(within: str) -> int | None:
    """Return a duration like `5 min` in seconds; None if it cannot be read."""
    match = _WITHIN.fullmatch(within.strip())
    return int(match[1]) * _SECONDS[match[2][0]] if match else None


def is_figure(action: Action) -> bool:
    """Return True if the row compares a figure, which needs no failed check."""
    return bool(_FIGURE.fullmatch(action.when.strip()))


def matching(run: Run, findings: Sequence[Finding]) -> tuple[Action, ...]:
    """Return the rows that apply, in order, each with its evidence.

    A row that would lead into no operating mode, together with those before it, is included as
    refused, with a remedy.
    """
    found = [
        msgspec.structs.replace(action, evidence=evidence)
        for action in run.policy.actions
        if (evidence := tuple(_evidence(action.when, run, findings)))
    ]
    return tuple(_composed(sorted(found, key=_urgency), run))


def default_action(
    run: Run, actions: Sequence[Action], vetoed: Sequence[Veto]
) -> tuple[Action, ...]:
    """Return *actions*; if the configuration has none, a rollback for a critical failure.

    It leads only to a release that passed here and is known to be another one: otherwise it is
    unknown whether the release is at fault.
    """
    critical = [veto for veto in vetoed if veto.kind == "critical"]
    good = run.last_good
    if run.policy.actions or not critical or not good:
        return tuple(actions)
    if not good.release.name or not run.release.name or run.release in _releases(run):
        return tuple(actions)
    return (
        Action(
            when="critical failure",
            severity="critical",
            action=f"roll back to {good.release.name}, the last release that passed",
            evidence=(critical[0].text,),
        ),
    )


def _releases(run: Run) -> list[Release]:
    return [one.release for one in run.good]


def _urgency(action: Action) -> tuple[int, float]:
    due = seconds(action.within)
    return SEVERITIES.index(action.severity), float("inf") if due is None else due


def _evidence(when: str, run: Run, findings: Sequence[Finding]) -> Iterable[str]:
    if match := _FIGURE.fullmatch(when.strip()):
        value = figures(run.metrics).get(match[1])
        if value is not None and _holds(value, match[2], float(match[3])):
            yield f"{match[1]} is {value:g}"
        return
    for finding in findings:
        # With a low confidence there is as much evidence against it: too little for a rollback.
        if finding.confidence != "low" and _matches(finding.rule, when):
            yield f"{finding.rule}: {finding.evidence[0] if finding.evidence else finding.title}"
    for check in run.checks:
        if check.outcome == "failed" and _matches(check.id, when):
            yield f"{check.id} failed"


def _matches(name: str, when: str) -> bool:
    return name == when or fnmatchcase(name, when)


def _holds(value: float, sign: str, limit: float) -> bool:
    return {
        ">": value > limit,
        ">=": value >= limit,
        "<": value < limit,
        "<=": value <= limit,
    }[sign]


def figures(metrics: Metrics) -> dict[str, float]:
    """Return all figures of a run by the names that `when` uses."""
    found: dict[str, float] = {"requests": metrics.requests}
    if metrics.requests:
        found["error_rate"] = metrics.error_rate
    found |= {f"latency.{name}": value for name, value in metrics.latency_ms.items()}
    return found | metrics.measured


# --- the effects of actions on flags -------------------------------------------------------------


def effects(action: Action, flags: Iterable[str] = ()) -> dict[str, bool]:
    """Return the flags that an action sets, by its text: `set ENABLE_WRITES=false`.

    Names in capitals are taken for flags; *flags* are others.
    """
    names = "|".join(["[A-Z][A-Z0-9_]{2,}", *map(re.escape, flags)])
    found = re.findall(rf"(?<!\w)({names})\s*=\s*['\"]?(\w+)", action.action)
    return {flag: text.lower() in _ON for flag, text in found if text.lower() in (*_ON, *_OFF)}


def _composed(actions: Iterable[Action], run: Run) -> Iterable[Action]:
    """Return the actions that can be carried out one after another, then those that cannot.

    One that would lead into no mode is tried again when others have changed the flags.
    """
    modes, state = run.policy.modes, dict(run.flags.values)
    flags = {flag for needs in modes.values() for flag in needs}
    wanted: dict[str, bool] = {}
    by: list[str] = []
    waiting = list(actions)
    done: list[Action] = []
    while True:
        refused = []
        for action in waiting:
            sets = effects(action, flags)
            if _excluded(sets, wanted, state, modes):
                refused.append(action)
                continue
            done.append(action)
            if sets:
                wanted |= sets
                by.append(action.action)
        if len(refused) == len(waiting):
            break
        waiting = refused
    for action in waiting:
        sets = effects(action, flags)
        opposed = [flag for flag, on in sets.items() if wanted.get(flag, on) != on]
        refused_because = _refusal_and_remedy(sets, state | wanted | sets, opposed, by, modes)
        done.append(msgspec.structs.replace(action, refused=refused_because))
    return done


def _excluded(
    sets: Mapping[str, bool],
    wanted: Mapping[str, bool],
    state: Mapping[str, bool],
    modes: Mapping[str, Mapping[str, bool]],
) -> bool:
    """Return True if it contradicts an action before it, or leads into no mode."""
    if any(wanted.get(flag, on) != on for flag, on in sets.items()):
        return True
    after = {**state, **wanted, **sets}
    concerned = sets.keys() & {flag for needs in modes.values() for flag in needs}
    return bool(concerned) and not any(_possible(needs, after) for needs in modes.values())


def _possible(needs: Mapping[str, bool], values: Mapping[str, bool]) -> bool:
    return all(values.get(flag, on) == on for flag, on in needs.items())


def _refusal_and_remedy(
    sets: Mapping[str, bool],
    after: Mapping[str, bool],
    opposed: Sequence[str],
    by: Sequence[str],
    modes: Mapping[str, Mapping[str, bool]],
) -> str:
    first = f'together with "{by[-1]}"' if by else "with the flags as they are now"
    if opposed:
        facts = f"{first} it would set {', '.join(opposed)} both on and off"
    else:
        facts = f"{first} it would mean {INVALID} ({flags_text(after)})"
    fitting = [name for name, needs in modes.items() if _possible(needs, sets)]
    choice = f"; the mode that fits it alone is {' or '.join(fitting)}" if fitting else ""
    one_by_one = "carry out the other one first, and this one when that is undone"
    return f"{facts}: {one_by_one if by else 'change the other flag first'}{choice}"
