"""What was wrong with an operation's answers: each kind of violation once, with its severity."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.model import Exchange, Failure, Reason, Record, Severity, reason_of_silence
from pytest_prodcheck.rules import RULES, failure

if TYPE_CHECKING:
    from pytest_prodcheck.checks.contract.operation_check import Exploration
    from pytest_prodcheck.checks.contract.schemathesis_adapter import Broken

SHOWN = 20
"""Distinct violations of one operation that are listed; the rest is counted."""

NO_SUCCESS = "Never a success"
"""Title of what an operation lacks that answers with 5xx alone."""

REFUSALS = frozenset((400, 403, 404, 405, 409, 410, 422))
"""Statuses that say of a value that there is no such thing, or that it will not do. Not those about
who asks (401, 407), about when (408, 425, 429), or about the request's form and size (411 to 417,
431), which the document limits."""

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
        """What is wrong, in the words of the check; then the smallest case that shows it."""
        facts = [line.strip() for line in self.message.splitlines() if line.strip()]
        times = f" ({self.times} times)" if self.times > 1 else ""
        answer = self.exchange.status or "no answer"
        asked = f"{self.exchange.method} {self.exchange.url} -> {answer}"
        return [f"{self.title}{times}", *facts, asked, *filter(None, [self.exchange.curl])]

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
    """Why a check of Schemathesis has failed. A crash on a request that the document forbids is
    no outage: its reason is the status."""
    if exchange.status is None and exchange.kind:
        return reason_of_silence(exchange)
    reason = RULES[rule_of(check)]
    return "status" if forbidden and reason == "server_error" else reason


def violation(broken: "Broken", exchange: Exchange, operation: str = "") -> Violation:
    """What an answer breaks, with the severity of what was found.

    A refusal of an invented value that the document does not list is a gap in the document: the
    service did what it should. A crash or a credential that is not enforced is critical.
    """
    title, status = broken.title, exchange.status or 0
    severity: Severity | None = None
    if broken.check == "not_a_server_error":
        title = _crash(title, status, forbidden=broken.forbidden)
    if broken.invented and broken.check == "status_code_conformance" and status in REFUSALS:
        severity, title = "minor", f"{status} is not documented"
    elif broken.invented and broken.check == "positive_data_acceptance" and 400 <= status < 500:
        severity, title = "minor", f"{status} refuses data that the document allows"
    elif reason_of(broken.check, exchange, forbidden=broken.forbidden) in CRITICAL:
        severity = "critical"
    return Violation(
        check=broken.check,
        title=title,
        message=broken.message,
        exchange=exchange,
        operation=operation,
        severity=severity,
        forbidden=broken.forbidden,
    )


def _crash(title: str, status: int, *, forbidden: bool) -> str:
    """Return the title of a 5xx: what `known.toml` accepts of one kind must not hide another.

    Kinds are what stays the same from run to run: the status, and whether the document allows the
    request. Bodies are not: most crashes say the same, and some say another thing each time.
    """
    kind = title if status == 500 else f"{title} {status}"
    return f"{kind} on data that the document forbids" if forbidden else kind


def told_once(broken: Sequence["Broken"]) -> list["Broken"]:
    """Without what says the same of one answer: a status that is not documented is not also
    data that was refused."""
    checks = {one.check for one in broken}
    if "status_code_conformance" not in checks:
        return list(broken)
    return [one for one in broken if not (one.invented and one.check == "positive_data_acceptance")]


def remarks(violations: Iterable[Violation]) -> tuple[Failure, ...]:
    """The minor ones, each once: what does not fail an operation that is proven otherwise."""
    found = {one.title: one.failure for one in violations if one.minor}
    return tuple(found.values())


def check_failed(found: "Exploration", seed: int) -> CheckFailed:
    """All distinct violations, the first line as a headline; minor ones in one line at the end."""
    ordered = sorted(found.findings.values(), key=lambda one: (one.check, one.exchange.url))
    severe = [one for one in ordered if not one.minor]
    titles = list(dict.fromkeys(one.title for one in severe))
    titles += [NO_SUCCESS] if found.only_fails else []
    lines = [f"{'; '.join(titles)} (in {found.cases} cases, seed {seed})"]
    for number, one in enumerate(severe[:SHOWN], 1):
        title, *rest = one.lines
        lines += [f"{number}. {title}", *(f"   {line}" for line in rest)]
    if len(severe) > SHOWN:
        lines.append(f"and {len(severe) - SHOWN} more")
    failures = [one.failure for one in severe]
    if found.only_fails:
        answers = ", ".join(f"{status} ({n})" for status, n in found.statuses.most_common(5))
        message = f"not one of {found.cases} cases was a success: {answers}"
        lines.append(message)
        failures.append(
            failure("contract.no_success", severe[0].operation, message, title=NO_SUCCESS)
        )
    minor = remarks(ordered)
    if minor:
        lines.append(f"minor, for invented values: {', '.join(one.title for one in minor)}")
    if found.stopped:
        lines.append(f"not all cases were asked: {found.stopped}")
    return CheckFailed("\n".join(lines), [*failures, *minor])


def key_of(broken: "Broken", exchange: Exchange) -> tuple[str, ...]:
    """What tells one violation of an operation from another."""
    found = violation(broken, exchange)
    if found.minor:
        return broken.check, found.title
    shape = _shape(broken.message)
    return broken.check, broken.title, str(exchange.status), broken.parameter, shape


def _shape(message: str) -> str:
    """A message without the values in it: what is the same violation in another case."""
    first = message.strip().partition("\nValue:")[0]
    return re.sub(r"\"[^\"]*\"|'[^']*'|`[^`]*`|[\d.]+", "…", first)[:300]


def size_of(exchange: Exchange) -> int:
    """How much there is to read, for the choice of the smallest case."""
    return len(exchange.url) + len(exchange.curl)
