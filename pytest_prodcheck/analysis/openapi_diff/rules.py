"""All rules on breaking changes, with the ids of oasdiff where it has one.

A rule about schemas is an aspect (`max-length-decreased`) of a subject (`request-property`), so
its id includes the direction: requests break when they become narrower, responses when they
become wider. https://www.oasdiff.com/docs/breaking-changes lists the ids; an aspect without one for
a subject is named like the others.
"""

from pytest_prodcheck.model import SEVERITIES, Record, Severity


class Change(Record):
    """One change that can break a client of the old document."""

    rule: str
    """A key of `RULES`."""
    place: str
    """Operation, part and path into the value: `GET /pets · response 200 · $.items[].name`."""
    severity: Severity
    message: str
    """The old and the new state."""
    remedy: str


class Rule(Record):
    """The severity of a kind of change, and its remedy."""

    severity: Severity
    remedy: str


def change(rule: str, place: str, message: str, milder: int = 0) -> Change:
    """Return a Change with the rule's severity, or `milder` steps below it (negative: above)."""
    stated = RULES[rule]
    step = SEVERITIES.index(stated.severity) + milder
    severities: tuple[Severity, ...] = ("critical", "major", "minor")
    severity = severities[min(max(step, 0), len(severities) - 1)]
    return Change(rule=rule, place=place, severity=severity, message=message, remedy=stated.remedy)


REQUEST_SUBJECTS = ("request-parameter", "request-body", "request-property")
RESPONSE_SUBJECTS = ("response-header", "response-body", "response-property")

UPPER_BOUNDS = ("max", "max-length", "max-items", "max-properties")
LOWER_BOUNDS = ("min", "min-length", "min-items", "min-properties")

_ACCEPT_OLD = "still accept values that were valid before, or release it as a new version"
_KEEP_LIMIT = "keep the old limit until clients send no more than the new one allows"
_TELL_READERS = "have clients handle the wider responses first, or keep the old schema"
_RETURN_AGAIN = "return it again, or mark it deprecated and remove it once no client reads it"
_OPTIONAL_FIRST = "make it optional with a default until every client sends it"
_KEEP_SERVING = "serve it again, or mark it deprecated and remove it once no client calls it"
_KEEP_LOGIN = "accept the old credentials beside the new ones until clients have moved"

NARROWED = {
    "type-changed": Rule(severity="critical", remedy=_ACCEPT_OLD),
    "became-not-nullable": Rule(severity="major", remedy=_ACCEPT_OLD),
    "became-enum": Rule(severity="major", remedy=_ACCEPT_OLD),
    "enum-value-removed": Rule(severity="major", remedy=_ACCEPT_OLD),
    "pattern-added": Rule(severity="major", remedy=_ACCEPT_OLD),
    "pattern-changed": Rule(severity="major", remedy=_ACCEPT_OLD),
    "one-of-removed": Rule(severity="critical", remedy=_ACCEPT_OLD),
    "any-of-removed": Rule(severity="critical", remedy=_ACCEPT_OLD),
    "additional-properties-forbidden": Rule(severity="major", remedy=_ACCEPT_OLD),
    "unique-items-required": Rule(severity="major", remedy=_ACCEPT_OLD),
    **{f"{bound}-decreased": Rule(severity="major", remedy=_KEEP_LIMIT) for bound in UPPER_BOUNDS},
    **{f"{bound}-increased": Rule(severity="major", remedy=_KEEP_LIMIT) for bound in LOWER_BOUNDS},
    **{
        f"{bound}-set": Rule(severity="major", remedy=_KEEP_LIMIT)
        for bound in (*UPPER_BOUNDS, *LOWER_BOUNDS)
    },
}
"""Aspects of a request's schema: it accepts less than before."""

WIDENED = {
    "type-changed": Rule(severity="critical", remedy=_TELL_READERS),
    "became-nullable": Rule(severity="major", remedy=_TELL_READERS),
    "enum-value-added": Rule(severity="major", remedy=_TELL_READERS),
    "one-of-added": Rule(severity="major", remedy=_TELL_READERS),
    "any-of-added": Rule(severity="major", remedy=_TELL_READERS),
    "pattern-removed": Rule(severity="minor", remedy=_TELL_READERS),
    "pattern-changed": Rule(severity="minor", remedy=_TELL_READERS),
    "unique-items-dropped": Rule(severity="minor", remedy=_TELL_READERS),
    **{
        f"{bound}-increased": Rule(severity="minor", remedy=_TELL_READERS) for bound in UPPER_BOUNDS
    },
    **{
        f"{bound}-decreased": Rule(severity="minor", remedy=_TELL_READERS) for bound in LOWER_BOUNDS
    },
    **{
        f"{bound}-unset": Rule(severity="minor", remedy=_TELL_READERS)
        for bound in (*UPPER_BOUNDS, *LOWER_BOUNDS)
    },
}
"""Aspects of a response's schema: it may contain more than before."""

OPERATIONS = {
    "api-path-removed-without-deprecation": Rule(severity="critical", remedy=_KEEP_SERVING),
    "api-path-removed-with-deprecation": Rule(severity="major", remedy=_KEEP_SERVING),
    "api-removed-without-deprecation": Rule(severity="critical", remedy=_KEEP_SERVING),
    "api-removed-with-deprecation": Rule(severity="major", remedy=_KEEP_SERVING),
    "api-security-added": Rule(
        severity="critical",
        remedy="accept requests without credentials until all clients have some",
    ),
    "api-security-removed": Rule(severity="critical", remedy=_KEEP_LOGIN),
    "api-security-scope-added": Rule(
        severity="critical", remedy="grant clients the new scope before the operation requires it"
    ),
    "api-security-component-type-changed": Rule(severity="critical", remedy=_KEEP_LOGIN),
    "new-required-request-parameter": Rule(severity="critical", remedy=_OPTIONAL_FIRST),
    "request-parameter-became-required": Rule(severity="critical", remedy=_OPTIONAL_FIRST),
    "request-parameter-removed": Rule(
        severity="minor", remedy="tell clients that send it, for it is ignored now or refused"
    ),
    "request-parameter-default-value-changed": Rule(
        severity="minor", remedy="keep the old default, or have clients send what they rely on"
    ),
    "request-parameter-serialization-changed": Rule(
        severity="critical", remedy="still accept lists in the old style"
    ),
    "request-body-added-required": Rule(severity="critical", remedy=_OPTIONAL_FIRST),
    "request-body-became-required": Rule(severity="critical", remedy=_OPTIONAL_FIRST),
    "request-body-removed": Rule(
        severity="major", remedy="read the body again, or tell clients what replaces it"
    ),
    "request-body-media-type-removed": Rule(severity="critical", remedy=_ACCEPT_OLD),
    "response-success-status-removed": Rule(
        severity="critical", remedy="return the old status, or move clients to the new one"
    ),
    "response-media-type-removed": Rule(
        severity="critical", remedy="offer the old media type beside the new one"
    ),
    "required-response-header-removed": Rule(severity="major", remedy=_RETURN_AGAIN),
    "optional-response-header-removed": Rule(severity="minor", remedy=_RETURN_AGAIN),
    "response-header-became-optional": Rule(severity="major", remedy=_TELL_READERS),
}

PROPERTIES = {
    "new-required-request-property": Rule(severity="critical", remedy=_OPTIONAL_FIRST),
    "new-required-request-property-with-default": Rule(severity="major", remedy=_OPTIONAL_FIRST),
    "request-property-became-required": Rule(severity="critical", remedy=_OPTIONAL_FIRST),
    "request-property-became-required-with-default": Rule(severity="major", remedy=_OPTIONAL_FIRST),
    "request-property-removed": Rule(
        severity="minor", remedy="tell clients that send it, for it is ignored now or refused"
    ),
    "response-required-property-removed": Rule(severity="critical", remedy=_RETURN_AGAIN),
    "response-optional-property-removed": Rule(severity="major", remedy=_RETURN_AGAIN),
    "response-property-became-optional": Rule(severity="major", remedy=_TELL_READERS),
}

RULES = {
    **OPERATIONS,
    **PROPERTIES,
    **{
        f"{subject}-{aspect}": NARROWED[aspect]
        for subject in REQUEST_SUBJECTS
        for aspect in NARROWED
    },
    **{
        f"{subject}-{aspect}": WIDENED[aspect]
        for subject in RESPONSE_SUBJECTS
        for aspect in WIDENED
    },
}
