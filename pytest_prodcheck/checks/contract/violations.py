"""Violations of the contract: each kind once, with its severity and the smallest case."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.model import Exchange, Failure, Reason, Record, Severity, reason_of_silence
from pytest_prodcheck.rules import RULES, failure

if TYPE_CHECKING:
    from pytest_prodcheck.checks.contract.cases import Case
    from pytest_prodcheck.checks.contract.response_checks import CheckFailure

SHOWN = 20
"""Distinct violations of one operation that are listed; the rest is counted."""

NO_SUCCESS = "Never a success"
"""Title of the failure of an operation whose responses are 5xx only."""

REFUSALS = frozenset((400, 403, 404, 405, 409, 410, 422))
"""Statuses for a value that does not exist or is not accepted. Not those about the client (401,
407), the time (408, 425, 429), or the form and size of the request (411 to 417, 431), which the
document limits."""

RULE_OF = {
    "answers": "contract.no_answer",
    "not_a_server_error": "contract.server_error",
    "status_code_conformance": "contract.undocumented_status",
    "content_type_conformance": "contract.content_type",
    "response_schema_conformance": "contract.schema",
    "response_headers_conformance": "contract.header",
    "allow_header_conformance": "contract.header",
    "negative_data_rejection": "contract.invalid_accepted",
    "missing_required_header": "contract.invalid_accepted",
    "positive_data_acceptance": "contract.valid_refused",
    "unsupported_method": "contract.unsupported_method",
    "ignored_auth": "contract.auth",
    "use_after_free": "contract.resource_lifetime",
    "ensure_resource_availability": "contract.resource_lifetime",
}
"""Check of Schemathesis -> rule; checks of a team's own are `contract.other`."""

ABOUT_THE_STATUS = ("status", "server_error")
"""Reasons of rules that judge the status."""

CRITICAL = ("server_error", "auth")
"""Reasons that are critical whatever the severity of the check."""


class Violation(Record):
    """One distinct way in which an operation breaks its contract, by the smallest case seen."""

    check: str
    title: str
    message: str
    exchange: Exchange
    operation: str = ""
    """Id of the operation: `GET /orders/{id}`."""
    severity: Severity | None = None
    """None: as its check is planned."""
    forbidden: bool = False
    times: int = 1

    @property
    def minor(self) -> bool:
        return self.severity == "minor"

    @property
    def lines(self) -> list[str]:
        """The message of the check, then the smallest case that shows it."""
        facts = [line.strip() for line in self.message.splitlines() if line.strip()]
        times = f" ({self.times} times)" if self.times > 1 else ""
        status = self.exchange.status or "no answer"
        request = f"{self.exchange.method} {self.exchange.url} -> {status}"
        return [f"{self.title}{times}", *facts, request, *filter(None, [self.exchange.curl])]

    @property
    def failure(self) -> Failure:
        rule = rule_of(self.check)
        judged = RULES[rule] in ABOUT_THE_STATUS
        return failure(
            rule,
            self.operation,
            self.message.strip() or self.title,
            title=self.title,
            reason=reason_of(self.check, self.exchange, forbidden=self.forbidden),
            severity=self.severity,
            data_loss=self.check == "ensure_resource_availability",
            status=self.exchange.status if judged else None,
        )


def rule_of(check: str) -> str:
    """Return the rule that a check of Schemathesis stands for."""
    return RULE_OF.get(check, "contract.other")


def reason_of(check: str, exchange: Exchange, *, forbidden: bool) -> Reason:
    """Return why a check of Schemathesis has failed.

    A crash on a request that the document forbids is not an outage: its reason is the status.
    """
    if exchange.status is None and exchange.kind:
        return reason_of_silence(exchange)
    reason = RULES[rule_of(check)]
    return "status" if forbidden and reason == "server_error" else reason


def violation(failed: "CheckFailure", exchange: Exchange, operation: str = "") -> Violation:
    """Return what a response violates, with its severity.

    A refusal of an invented value that the document does not list is a gap in the document: the
    service did what it should. A crash or a credential that is not enforced is critical.
    """
    title, status = failed.title, exchange.status or 0
    severity: Severity | None = None
    if failed.check == "not_a_server_error":
        title = _title_of_crash(title, status, forbidden=failed.forbidden)
    if failed.invented and failed.check == "status_code_conformance" and status in REFUSALS:
        severity, title = "minor", f"{status} is not documented"
    elif failed.invented and failed.check == "positive_data_acceptance" and 400 <= status < 500:
        severity, title = "minor", f"{status} refuses data that the document allows"
    elif reason_of(failed.check, exchange, forbidden=failed.forbidden) in CRITICAL:
        severity = "critical"
    return Violation(
        check=failed.check,
        title=title,
        message=failed.message,
        exchange=exchange,
        operation=operation,
        severity=severity,
        forbidden=failed.forbidden,
    )


def _title_of_crash(title: str, status: int, *, forbidden: bool) -> str:
    """Return the title of a 5xx: an entry of known.toml for one kind must not hide another.

    A kind is what stays the same from run to run: the status, and whether the document allows the
    request. Bodies do not: most crashes say the same, and some say something else each time.
    """
    kind = title if status == 500 else f"{title} {status}"
    return f"{kind} on data that the document forbids" if forbidden else kind


def without_repetition(failures: Sequence["CheckFailure"]) -> list["CheckFailure"]:
    """Return the failures of one response, each fact once: an undocumented status is not also
    data that was refused."""
    checks = {one.check for one in failures}
    if "status_code_conformance" not in checks:
        return list(failures)
    return [
        one for one in failures if not (one.invented and one.check == "positive_data_acceptance")
    ]


def remarks(violations: Iterable[Violation]) -> tuple[Failure, ...]:
    """Return the minor ones, each once: they do not fail an operation that is proven otherwise."""
    found = {one.title: one.failure for one in violations if one.minor}
    return tuple(found.values())


def check_failed(
    violations: Iterable[Violation], cases: int, stopped: str, seed: int, *, only_crashes: str
) -> CheckFailed:
    """Return an error with all distinct violations, a headline first, minor ones in the last line.

    cases: how many were sent; stopped: why not all were sent, or ""; only_crashes: a message if
    the operation never had a success, or "".
    """
    ordered = sorted(violations, key=lambda one: (one.check, one.exchange.url))
    severe = [one for one in ordered if not one.minor]
    titles = list(dict.fromkeys(one.title for one in severe))
    titles += [NO_SUCCESS] if only_crashes else []
    lines = [f"{'; '.join(titles)} (in {cases} cases, seed {seed})"]
    for number, one in enumerate(severe[:SHOWN], 1):
        title, *rest = one.lines
        lines += [f"{number}. {title}", *(f"   {line}" for line in rest)]
    if len(severe) > SHOWN:
        lines.append(f"and {len(severe) - SHOWN} more")
    failures = [one.failure for one in severe]
    if only_crashes:
        lines.append(only_crashes)
        operation = severe[0].operation
        failures.append(failure("contract.no_success", operation, only_crashes, title=NO_SUCCESS))
    minor = remarks(ordered)
    if minor:
        lines.append(f"minor, for invented values: {', '.join(one.title for one in minor)}")
    if stopped:
        lines.append(f"not all cases were sent: {stopped}")
    return CheckFailed("\n".join(lines), [*failures, *minor])


Key: TypeAlias = tuple[str, ...]
"""Distinguishes one violation of an operation from another."""


def key_of(failed: "CheckFailure", exchange: Exchange) -> Key:
    """Return the same key for the same violation in another case."""
    found = violation(failed, exchange)
    if found.minor:
        return failed.check, found.title
    shape = _shape(failed.message)
    return failed.check, found.title, str(exchange.status), failed.parameter, shape


def _shape(message: str) -> str:
    """Return a message without the values in it."""
    first = message.strip().partition("\nValue:")[0]
    return re.sub(r"\"[^\"]*\"|'[^']*'|`[^`]*`|[\d.]+", "…", first)[:300]


def size_of(exchange: Exchange) -> int:
    """Return how much there is to read, for the choice of the smallest case."""
    return len(exchange.url) + len(exchange.curl)


class Violations:
    """The distinct violations of one operation, each by the smallest case that shows it."""

    def __init__(self) -> None:
        self._found: dict[Key, Violation] = {}
        self._cases: dict[Key, Case] = {}

    @property
    def all(self) -> list[Violation]:
        return list(self._found.values())

    @property
    def severe(self) -> list[Violation]:
        """Those that fail the operation: all but the minor ones."""
        return [one for one in self._found.values() if not one.minor]

    def add(
        self,
        failed: "CheckFailure",
        exchange: Exchange,
        operation: str,
        *,
        key: Key | None = None,
        case: "Case | None" = None,
    ) -> bool:
        """Record a failure; return True if there was none of its kind.

        key: as `key_of` if not given. case: what `smallest` returns for it.
        """
        key = key or key_of(failed, exchange)
        seen = self._found.get(key)
        times = 1 + (seen.times if seen else 0)
        if seen and size_of(seen.exchange) <= size_of(exchange):
            self._found[key] = msgspec.structs.replace(seen, times=times)
        else:
            found = violation(failed, exchange, operation)
            self._found[key] = msgspec.structs.replace(found, times=times)
            if case is not None:
                self._cases[key] = case
        return seen is None

    def shown_by_cases(self) -> list[Key]:
        """Return the keys of those that a case shows."""
        return list(self._cases)

    def smallest(self, key: Key) -> tuple[Violation, "Case"]:
        """Return a violation, and the smallest case so far that shows it."""
        return self._found[key], self._cases[key]
