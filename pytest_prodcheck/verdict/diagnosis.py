"""The diagnosis of a run: a table of rules, each with evidence for and against.

A rule looks at a whole Run and returns a Finding or None. It reads the rules and subjects of
failures, exchanges, and the service's log, never the message of a check. It never claims a single
cause: it gives the evidence for it, the evidence against it, and a check that would decide. New
rules are added to `RULES`; `[[actions]]` match their names.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from pytest_prodcheck.model import Check, Exchange, Failure, Finding, Record, Run


def diagnose(run: Run) -> tuple[Finding, ...]:
    """Return a finding for each likely cause of the failures of *run*; empty if nothing failed."""
    if not any(
        check.outcome in ("failed", "not_run", "flaky") for check in (*run.checks, *run.unscored)
    ):
        return ()
    found = [finding for rule in RULES if (finding := rule(run))]
    return (*found, *findings_by_failure(run))


def unreachable(run: Run) -> Finding | None:
    sent = [x for x in _exchanges(run) if x.kind != "withheld"]
    silent = [x for x in sent if x.status is None and x.kind in _NO_RESPONSE]
    if not silent or len(silent) * 2 < len(sent):
        return None
    kinds = Counter(x.kind or "unknown" for x in silent)
    answered = len(sent) - len(silent)
    return Finding(
        rule="target.unreachable",
        title="the target does not respond",
        confidence="low" if answered else "high",
        evidence=tuple(f"{n} requests ended in a {kind} failure" for kind, n in kinds.items()),
        against=(f"{answered} requests had a response",) if answered else (),
        next_check=f"request {run.target.base_url} from another network: does it fail there too?",
        remedy="read the deploy log: did the process start, and listen on the port it was given?",
    )


def maintenance_page(run: Run) -> Finding | None:
    pages = [
        x for check in _failed(run) for x in check.exchanges if x.status == 200 and _is_html(x)
    ]
    common = max((x.body for x in pages), key=[x.body for x in pages].count, default="")
    page = next((x for x in pages if x.body == common), None)
    paths = {_path(x) for x in pages if x.body == common}
    if page is None or len(paths) < 2:
        return None
    # The run does not keep the bodies of checks that passed, but their sizes.
    others = [
        x
        for x in _exchanges(run)
        if x.status is not None and (x.body != common if x.body else x.size != page.size)
    ]
    return Finding(
        rule="target.maintenance_page",
        title="one HTML page is served for many paths, with status 200",
        confidence="low" if others else "high",
        evidence=(f"the same page of {len(common)} characters at {_listed(paths)}",),
        against=(f"{len(others)} requests had other responses",) if others else (),
        next_check="open one of these paths in a browser: who signed the page?",
        remedy="switch maintenance mode off, or look at the proxy in front of the service",
    )


def root_paths(run: Run) -> Finding | None:
    answered = [x for x in _exchanges(run) if x.status is not None]
    unwanted = _unwanted(run, 404)
    lost = {_path(x) for x in unwanted if _depth(x) == 1}
    nested = {_path(x) for x in answered if _depth(x) > 1 and 200 <= (x.status or 0) < 300}
    rooted = {_path(x) for x in answered if _depth(x) == 1 and 200 <= (x.status or 0) < 300}
    # If at least as many paths at the root respond, the cause is these paths, not the root.
    if not lost or not nested or len(rooted) >= len(lost):
        return None
    edge = [x for x in unwanted if _is_edge(x)]
    against = [f"{_listed(rooted)} at the root responded"] if rooted else []
    if edge:
        against.append(f"{len(edge)} of the 404s look like the platform's own, not the service's")
    return Finding(
        rule="routing.root_paths",
        title="paths at the root are missing while nested ones respond",
        confidence="medium" if against or len(lost) < 2 else "high",
        evidence=(f"404 at {_listed(lost)}", f"2xx at {_listed(nested)}"),
        against=tuple(against),
        next_check=f"request {_listed({f'/api{path}' for path in lost})}: have the routes moved?",
        remedy="compare the routes of this release with the last one; look at prefix and mounts",
    )


def edge_404(run: Run) -> Finding | None:
    edge = [x for x in _exchanges(run) if x.status == 404 and _is_edge(x)]
    if not edge:
        return None
    well = {_path(x) for x in _exchanges(run) if x.status is not None and x.status < 400}
    return Finding(
        rule="platform.no_application",
        title="the platform's edge returns 404 itself: no running service behind it",
        confidence="low" if well else "medium",
        evidence=(f"{len(edge)} responses like {edge[0].body[:80]!r}",),
        against=(f"{_listed(well)} succeeded",) if well else (),
        next_check="send the request again in a minute: a sleeping service may be waking up",
        remedy="look at the platform's deploy status: is a deployment active for this domain?",
    )


def database(run: Run) -> Finding | None:
    reported = {
        f"{_path(x)} says {where} is {value!r}"
        for x in _exchanges(run)
        for where, value in _facts(x)
        if _is_database_trouble(where, value)
    }
    failing = {_path(x) for x in _of_failed(run) if x.status in (500, 503)}
    words = (_DRIVER_ERRORS.search(x.body) for x in _of_failed(run) if x.status in (500, 503))
    reported |= {f"a 5xx says {found[0]!r}" for found in words if found}
    ours = sorted({one.message for _, one in _failures(run, "database.unreachable")})
    if not reported and not ours:
        return None
    # A runner outside the database's network cannot connect either.
    healthy = {
        _path(x)
        for check in _checks(run)
        if check.outcome == "passed"
        for x in check.exchanges
        if "health" in _path(x) and x.status is not None and x.status < 300
    }
    against = [] if failing else ["no request failed with a 5xx"]
    if ours and healthy:
        against.append(
            f"{_listed(healthy)} succeeded: the service may reach the database when this run cannot"
        )
    return Finding(
        rule="database.unreachable",
        title=f"{'the service cannot use its' if reported else 'this run cannot use the'} database",
        confidence="high" if failing else "medium" if reported else "low",
        evidence=(*sorted(reported), *([f"5xx at {_listed(failing)}"] if failing else []), *ours),
        against=tuple(against),
        next_check="connect to the database from inside the deployment: SELECT 1",
        remedy="check DATABASE_URL, the database's own status, and its connection limit",
    )


def schema_drift(run: Run) -> Finding | None:
    # A policy that contradicts another one is named by `policy_conflict`, and not twice.
    conflicts = {one.subject for _, one in _failures(run, _POLICY_CONFLICT)}
    drift = [
        one
        for _, one in _failures(run, "schema.")
        if one.rule != _POLICY_CONFLICT
        and not (one.rule == "schema.policy_unexpected" and one.subject in conflicts)
    ]
    lines = [f"{one.subject}: {one.message}" for one in drift]
    if not lines:
        return None
    broken = [x for x in _of_failed(run) if x.status is not None and x.status >= 500]
    return Finding(
        rule="database.schema_drift",
        title="the database differs from what the code expects",
        confidence="high",
        evidence=(*lines[:_SHOWN], *([f"and {len(lines) - _SHOWN} more"] * (len(lines) > _SHOWN))),
        against=() if broken else ("no request failed with a 5xx",),
        next_check="is the last migration in the database's own table of migrations?",
        remedy="run the migrations of this release, or correct the schema that the code expects",
    )


def policy_conflict(run: Run) -> Finding | None:
    lines = [f"{one.subject}: {one.message}" for _, one in _failures(run, _POLICY_CONFLICT)]
    if not lines:
        return None
    return Finding(
        rule="database.policy_conflict",
        title="two row-level-security policies contradict each other: the wider one wins",
        confidence="high",
        evidence=tuple(lines[:_SHOWN]),
        next_check="send a request as a user without privileges: does it return rows of others?",
        remedy="keep one policy for each command and role; drop those of older schema files",
    )


def config_not_loaded(run: Run) -> Finding | None:
    without_it = {
        _path(x)
        for x in _exchanges(run)
        for where, value in _facts(x)
        if where.endswith("config_loaded") and value is False
    }
    if not without_it:
        return None
    return Finding(
        rule="config.not_loaded",
        title="the service runs without its configuration",
        confidence="high",
        evidence=(f"{_listed(without_it)} says config_loaded is false",),
        next_check="list the variables that this deployment has, without their values",
        remedy="compare them with the last good release; redeploy with the missing ones",
    )


def server_errors(run: Run) -> Finding | None:
    broken = {_path(x) for x in _of_failed(run) if x.status is not None and x.status >= 500}
    if not broken:
        return None
    well = {_path(x) for x in _exchanges(run) if x.status is not None and x.status < 400}
    relayed = [x for x in _of_failed(run) if x.status in (502, 504)]
    against = [f"{_listed(well)} succeeded"] if well else []
    if relayed:
        against.append(f"{len(relayed)} of them are 502 or 504, which a proxy sends")
    return Finding(
        rule="server.errors",
        title="the service responds with server errors (5xx)",
        confidence="medium" if relayed else "high",
        evidence=(f"5xx at {_listed(broken)}",),
        against=tuple(against),
        next_check="read the service's log at the time of these requests, by their traceparent",
        remedy="a 5xx right after a deploy is the release's: compare it with the last good one",
    )


def slow(run: Run) -> Finding | None:
    late = _failures(run, "time")
    if not late:
        return None
    answered = [x for check, _ in late for x in check.exchanges if x.status is not None]
    return Finding(
        rule="latency.slow",
        title="responses are slower than allowed",
        confidence="high" if len(late) > 1 else "medium",
        evidence=tuple(f"{check.id.rpartition('::')[2]}: {one.message}" for check, one in late[:3]),
        against=() if len(late) > 1 else ("only one check was too slow",),
        next_check=f"run again: is it as slow after {len(answered)} warm requests?",
        remedy="look at CPU, connection pool and slow queries since the deploy",
    )


def contract(run: Run) -> Finding | None:
    operations = [check for check in run.checks if check.category == "contract"]
    broken = [
        check
        for check in operations
        if check.outcome == "failed"
        and any(one.rule.startswith(_DOCUMENT_RULES) for one in check.failures)
    ]
    if not broken:
        return None
    titles = Counter(title for check in broken for title in check.titles)
    well = sum(check.outcome == "passed" for check in operations)
    return Finding(
        rule="contract.broken",
        title="the service does not behave as its own OpenAPI document says",
        confidence="high",
        evidence=tuple(
            f"{title}: {_listed({_name(check) for check in broken if title in check.titles})}"
            for title, _ in titles.most_common(5)
        ),
        against=(f"{well} contract checks passed",) if well else (),
        next_check="send the curl command of a failure: is the response wrong, or the document?",
        remedy="correct the service where clients rely on the document, otherwise the document",
    )


def out_of_memory(run: Run) -> Finding | None:
    return _by_words(
        run,
        _OUT_OF_MEMORY,
        rule="process.out_of_memory",
        title="a process of the service runs out of memory",
        next_check="look at the memory of the instance over the last hour: a step, or a slope?",
        remedy="restart the service, and watch its memory; for a slope, roll back",
    )


def storage_full(run: Run) -> Finding | None:
    return _by_words(
        run,
        _STORAGE_FULL,
        rule="storage.full",
        title="the service cannot write: its file system is full",
        next_check="df -h and df -i inside the deployment",
        remedy="free some space; if the database takes all writes, switch the file fallback off",
    )


def _by_words(run: Run, words: re.Pattern[str], **finding: Any) -> Finding | None:
    """Return the finding if a server error or the service's own log contains these words."""
    errors = [x for x in _of_failed(run) if x.status is not None and x.status >= 500]
    lines = {f"{_path(x)} says {found[0]!r}" for x in errors if (found := words.search(x.body))}
    if found := words.search(run.service_log):
        lines.add(f"the log of the service says {found[0]!r}")
    if not lines:
        return None
    return Finding(confidence="medium", evidence=tuple(sorted(lines)), **finding)


class _FailureFinding(Record):
    """The finding for failures whose rules begin with one of some texts."""

    begins: tuple[str, ...]
    rule: str
    title: str
    next_check: str
    remedy: str


FAILURE_FINDINGS = (
    _FailureFinding(
        begins=("flags.invalid_mode",),
        rule="flags.invalid_mode",
        title="the feature flags do not match any operating mode",
        next_check="read the flags where the platform shows the variables of this deployment",
        remedy="switch one of them on again, so that they match a mode of [flags.modes]",
    ),
    _FailureFinding(
        begins=("flags.",),
        rule="flags.disagree",
        title="flags, operating mode and behaviour do not agree",
        next_check="request the path of the flags twice: do all instances report the same?",
        remedy="redeploy, or restart the instances that still have the old values",
    ),
    _FailureFinding(
        begins=("drill.write_lost", "drill.write_failed"),
        rule="rollback.loses_writes",
        title="data written while a switch is flipped is lost, or refused",
        next_check="repeat the drill, and look for one of the entries in every store",
        remedy="do not rely on this switch in an emergency until it is fixed",
    ),
    _FailureFinding(
        begins=("drill.breaker",),
        rule="rollback.breaker",
        title="the circuit breaker does not open or close as declared",
        next_check="read its log lines: opened after how many failures, and when half-open?",
        remedy="a restart closes it; compare threshold and cool-down with what is declared",
    ),
    _FailureFinding(
        begins=("migration.",),
        rule="rollback.migration",
        title="a migration prevents a rollback, or does not work as it should",
        next_check="rehearse it alone: pytest -m rollback -k the name of the migration",
        remedy="fix it before the deploy; if it is deployed, do not roll back without a backup",
    ),
    _FailureFinding(
        begins=("drill.not_restored", "drill.left_behind"),
        rule="rollback.left_behind",
        title="a drill could not be undone: the target has not been restored",
        next_check="read the flags of the target, and drills.jsonl of this run",
        remedy="run prodcheck drill restore; if that fails, undo by hand the changes that it names",
    ),
    _FailureFinding(
        begins=("drill.",),
        rule="rollback.drill",
        title="a rehearsed rollback does not work as it should",
        next_check="flip the switch by hand on staging, and watch the service's log",
        remedy="until it is fixed, roll back by deploying the last good release",
    ),
)
"""The first one that fits a rule applies."""


def findings_by_failure(run: Run) -> list[Finding]:
    """Return a finding for each group of failures in FAILURE_FINDINGS."""
    groups: dict[_FailureFinding, list[Check]] = {}
    for check in run.checks:
        for failure in check.failures if check.outcome == "failed" else ():
            kind = next(
                (one for one in FAILURE_FINDINGS if failure.rule.startswith(one.begins)), None
            )
            # A drill that was not begun proves nothing about the rollback.
            unsteady = failure.rule == "drill.unsteady"
            if kind and not unsteady and check not in groups.setdefault(kind, []):
                groups[kind].append(check)
    return [
        Finding(
            rule=kind.rule,
            title=kind.title,
            confidence="high",
            evidence=tuple(f"{_name(check)}: {check.message[:300]}" for check in checks[:5]),
            next_check=kind.next_check,
            remedy=kind.remedy,
        )
        for kind, checks in groups.items()
    ]


_SHOWN = 5
"""Pieces of evidence that are listed."""

RULES: tuple[Callable[[Run], Finding | None], ...] = (
    unreachable,
    maintenance_page,
    edge_404,
    root_paths,
    database,
    schema_drift,
    policy_conflict,
    config_not_loaded,
    server_errors,
    slow,
    out_of_memory,
    storage_full,
    contract,
)

_POLICY_CONFLICT = "schema.policy_conflict"
_DOCUMENT_RULES = ("contract.", "compatibility.")
"""Prefixes of the rules that compare the service with an OpenAPI document."""

_NO_RESPONSE = {"connect", "dns", "timeout", "transport"}
"""Kinds of failure without any response; a bad certificate or garbage is a response."""

_FAILING = re.compile(
    r"(connection )?(failed|failing|failure|down|error|unhealthy|unreachable|unavailable"
    r"|disconnected|lost|not[ _-]connected|offline|refused|timed?[ _-]?out)(?![\w-])"
    r"|(could not|cannot|unable to) connect",
    re.IGNORECASE,
)
_STATES = {"alive", "available", "connected", "connection", "healthy", "ok", "reachable", "ready",
           "status", "up"}  # fmt: skip
_OUT_OF_MEMORY = re.compile(
    r"JavaScript heap|OutOfMemory|out of memory|Cannot allocate memory|MemoryError|OOM[- ]?[kK]ill"
)
_STORAGE_FULL = re.compile(
    r"No space left on device|ENOSPC|[Dd]isk (quota exceeded|(is )?full)|database or disk is full"
)
_DRIVER_ERRORS = re.compile(
    r"OperationalError|could not connect to server|connection to server at|too many connections"
    r"|too many clients|unable to open database file|database is locked|SQLSTATE"
)
"""Error texts of database drivers that applications do not write themselves."""


def _checks(run: Run) -> tuple[Check, ...]:
    """Return all checks but the drills, in which the target fails on purpose."""
    return (*(check for check in run.checks if check.category != "rollback"), *run.unscored)


def _failed(run: Run) -> list[Check]:
    return [check for check in _checks(run) if check.outcome == "failed"]


def _exchanges(run: Run) -> list[Exchange]:
    return [exchange for check in _checks(run) for exchange in check.exchanges]


def _failures(run: Run, rule: str) -> list[tuple[Check, Failure]]:
    """Return the failures of failed checks with one rule; a final dot makes it a prefix."""
    return [
        (check, failure)
        for check in _failed(run)
        for failure in check.failures
        if failure.rule == rule or (rule.endswith(".") and failure.rule.startswith(rule))
    ]


def _of_failed(run: Run) -> list[Exchange]:
    """Return the exchanges of checks that did not pass: a check may expect a 404 or 500."""
    return [exchange for check in _not_passed(run) for exchange in check.exchanges]


def _unwanted(run: Run, status: int) -> list[Exchange]:
    """Return the exchanges whose status is a failure: a private path should return 404."""
    return [
        exchange
        for check in _not_passed(run)
        if any(failure.status == status for failure in check.failures)
        for exchange in check.exchanges
        if exchange.status == status
    ]


def _not_passed(run: Run) -> list[Check]:
    return [check for check in _checks(run) if check.outcome not in ("passed", "known")]


def _name(check: Check) -> str:
    """Return the operation of a check, or the check's own name."""
    test = check.id.rpartition("::")[2]
    return test.partition("[")[2].removesuffix("]") or test


def _path(exchange: Exchange) -> str:
    return urlsplit(exchange.url).path or "/"


def _depth(exchange: Exchange) -> int:
    return len([part for part in _path(exchange).split("/") if part])


def _is_html(exchange: Exchange) -> bool:
    return exchange.body.lstrip()[:100].lower().startswith(("<!doctype html", "<html"))


def _is_edge(exchange: Exchange) -> bool:
    """Return True for a hosting platform's own 404, which it sends while no service runs."""
    return "application not found" in exchange.body.lower()


def _is_database_trouble(where: str, value: Any) -> bool:
    """Return True for `database.connected: false`, but not for a flag: `database_writes: false`."""
    keys = re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", where).lower())
    if not {"database", "db", "postgres", "postgresql", "mysql"}.intersection(keys):
        return False
    last = [key for key in keys if key][-1]
    if value is False:
        return last in _STATES or last in ("database", "db", "postgres", "postgresql", "mysql")
    if last in ("error", "errors"):
        return isinstance(value, str) and value.lower() not in ("", "none")
    return isinstance(value, str) and bool(_FAILING.match(value.strip()))


def _facts(exchange: Exchange) -> Iterator[tuple[str, Any]]:
    """Yield each scalar of a JSON response with its dotted path."""
    try:
        body = json.loads(exchange.body)
    except (ValueError, RecursionError):  # not JSON, or nested deeper than any real response
        return
    queue: list[tuple[str, Any]] = [("", body)]
    while queue:
        where, value = queue.pop()
        if isinstance(value, dict):
            queue += [(f"{where}.{key}".lstrip("."), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            queue += [(f"{where}[{number}]", inner) for number, inner in enumerate(value)]
        else:
            yield where, value


def _listed(paths: set[str]) -> str:
    """Return the first four paths as text, and how many more there are."""
    ordered = sorted(paths)
    more = f" and {len(ordered) - 4} more" if len(ordered) > 4 else ""
    return ", ".join(ordered[:4]) + more
