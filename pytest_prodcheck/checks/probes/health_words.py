"""Words of health answers: which texts name a bad state, and what a key says about its value.

The words are those of Spring Boot Actuator, health+json (draft-inadarei-api-health-check),
Kubernetes, ASP.NET Core, Elasticsearch, Consul, django-health-check, NestJS Terminus, etcd,
health-go, MicroProfile Health and RabbitMQ, and what people write by hand.
"""

import re
from typing import Literal

State = Literal["good", "warn", "bad", ""]
Meaning = Literal["good", "bad", ""]

_GOOD = (
    "active|alive|available|connected|fine|good|green|health|healthy|live|normal|ok|okay|online"
    "|operational|pass|passed|passing|pong|reachable|ready|running|serving|success|successful"
    "|true|up|working|yes"
)
_BAD = (
    "broken|circuit open|connection (?:aborted|closed|error|failed|lost|refused|reset|timed out)"
    "|econnrefused|econnreset|ehostunreach|enotfound|etimedout"
    "|crashed|critical|dead|degraded|disconnected|down|err|error|errored|exception|fail|failed"
    "|failing|failure|fatal|faulty|lost|missing|no connection|offline|out of (?:order|service)"
    "|not (?:yet )?(?:alive|available|connected|healthy|ok|operational|reachable|ready|responding"
    "|running|serving|up|working)"
    "|partially available|refused|service unavailable|shutting down|timed out|timeout|unavailable"
    "|unexpected (?:error|result)|unhealthy|unknown error|unreachable|unready"
)
"""Bad wherever they stand as a value."""

_BAD_STATE = (
    "bad|draining|false|fault|killed|ko|(?:in |under )?maintenance(?: mode)?|no|nok"
    "|(?:(?:full|major|partial) )?outage|panic|red|shutdown|stopped|stopping|suspended"
    "|terminated|terminating"
)
"""Bad as the state of something; elsewhere they are languages, colours and ordinary words."""

_UNPROVEN = (
    "booting|disabled|inactive|indeterminate|initiali[sz]ing|loading|paused|pending|starting"
    "|undefined|unknown|warming up"
)
"""Bad as the state of the whole: it does not say that it serves. One part of it may be so."""

_WARN = "amber|warn|warning|yellow"
"""health+json: "healthy, with some concerns"; Elasticsearch: all data is there, a copy is not."""

_FOLLOWS = (
    "after|as|at|because|by|check|checks|due|for|from|in|on|since|to|until|while|with|\\w+ing|\\d"
)
"""What can follow a state in a text: "down since 10:00", but not "dead letter queue"."""

_NOTHING = re.compile(r"\W*(?:0\b|(?:false|nil|no|none|null)\W*$)")
_NEGATED = re.compile(r"\b(?:0|any|if|isn't|never|no|none|not|when|without|zero)\b")
_IMPOSSIBLE = re.compile(r"\b(?:can ?not|can't|could not|couldn't|try again later|unable to)\b")

_HTTP_ERROR = re.compile(r"[45]\d\d\b")

_SILENT = re.compile(r"(?:no|none|nil|null|undefined|false|n/a|na|0|no (?:errors?|problems?))?")

_TRUE_IS_GOOD = re.compile(
    r"(?:.* )?(?:accessible|alive|available|connected|healthy|initiali[sz]ed|loaded|ok|operational"
    r"|pass|passed|passing|reachable|ready|responding|serving|success|successful|up)"
)
_TRUE_IS_BAD = re.compile(
    r"(?:.* )?(?:broken|crashed|dead|degraded|disconnected|down|error|errored|errors|exception"
    r"|failed|failing|failure|failures|missing|offline|overloaded|sealed|timed out|timeout"
    r"|unavailable|unhealthy|unreachable|unready)|(?:.* )?maintenance(?: mode)?"
)


def _starts_with(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{words})(?=$|\s*[:;,.!(\[]|\s(?:{_FOLLOWS})\b)")


_LEADS_BAD = _starts_with(_BAD)
_LEADS_BAD_STATE = _starts_with(f"{_BAD}|{_BAD_STATE}")
_LEADS_UNPROVEN = _starts_with(f"{_BAD}|{_BAD_STATE}|{_UNPROVEN}")
_LEADS_WARN = _starts_with(_WARN)
_LEADS_GOOD = _starts_with(_GOOD)
_ENDS_BAD = re.compile(rf"(.*[ :])?(?:{_BAD})\W*")
_ENDS_GOOD = re.compile(rf"(?:.* )?(?:{_GOOD})\W*")


def state_of(text: str, *, whole: bool = False) -> State:
    """Return what *text* says where a state has to stand; "" for a word that is not known.

    `whole`: it is the state of the service itself, for which "unknown" is not good enough.
    """
    plain = _normalized(text)
    leads = _LEADS_UNPROVEN if whole else _LEADS_BAD_STATE
    if _speaks_of(leads, plain) or _ends_badly(plain) or _HTTP_ERROR.match(plain):
        return "bad"
    if _LEADS_WARN.match(plain):
        return "warn"
    return "good" if is_good(text) else ""


def is_bad_value(text: str) -> bool:
    """Return whether *text*, the value of any key, begins with a bad state."""
    return _speaks_of(_LEADS_BAD, _normalized(text))


def is_bad_sentence(text: str) -> bool:
    """Return True if *text*, written for people, mentions trouble: the last resort."""
    plain = _normalized(text)
    return (
        _speaks_of(_LEADS_BAD_STATE, plain)
        or _ends_badly(plain)
        or bool(_IMPOSSIBLE.search(plain) or "under maintenance" in plain)
    )


def is_good(text: str) -> bool:
    """Return whether *text* begins or ends with a good state ("Server is Healthy.")."""
    plain = _normalized(text)
    if is_bad_sentence(text) or len(plain) > 100:
        return False
    return bool(_LEADS_GOOD.match(plain) or _ENDS_GOOD.fullmatch(plain) or plain in ("1", "200 ok"))


def says_nothing(text: str) -> bool:
    """Return whether *text* stands for the absence of an error: "none", "N/A", "ok"."""
    return bool(_SILENT.fullmatch(_normalized(text).strip("- "))) or is_good(text)


def meaning_of_true(words: list[str]) -> Meaning:
    """Return whether `true` under a key of these words is good or bad news."""
    key = " ".join(words)
    good, bad = _TRUE_IS_GOOD.fullmatch(key), _TRUE_IS_BAD.fullmatch(key)
    if not (good or bad):
        return ""
    negated = bool({"no", "non", "not", "never"}.intersection(words))
    return "good" if bool(good) != negated else "bad"


def words_of(name: str) -> list[str]:
    """Return the words of a key: config_loaded, configLoaded and config-loaded are the same."""
    split = re.sub(r"([a-z])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3 \2\4", name)
    return re.findall(r"[a-z]+", split.lower())


def _speaks_of(leads: re.Pattern[str], plain: str) -> bool:
    found = leads.match(plain)
    # "failed: 0" and "errors: none" mention none.
    return bool(found) and not _NOTHING.match(plain[found.end() :] if found else "")


def _ends_badly(plain: str) -> bool:
    found = _ENDS_BAD.fullmatch(plain)
    return bool(found) and not _NEGATED.search((found and found[1]) or "")


def _normalized(text: str) -> str:
    """Return *text* in small letters, its words parted by single blanks."""
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", text.strip()[:1000])
    text = re.sub(r"\s+[-\u2013\u2014|]\s+", ": ", text)
    return re.sub(r"^[^\w\[(]+|[\s_-]+", " ", text).strip().lower()
