"""Trouble that a health response reports although its status is 2xx. Pure: no connection.

A load balancer is content with a 200 while the database in the same answer is `"down"`. So the
body is read as a whole, by its keys and its structure: the state of the service and of each of
its parts, flags such as `config_loaded`, and whatever stands under `error`. Sentences are read
only where no state is given, and a name never counts: a queue may be called "dead letters".
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from pytest_prodcheck.checks.answers.expectations import differences, require_success
from pytest_prodcheck.checks.probes.health_words import (
    is_bad_sentence,
    is_bad_value,
    is_good,
    meaning_of_true,
    says_nothing,
    state_of,
    words_of,
)
from pytest_prodcheck.config import Probe, Target
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.http.body import strict_json
from pytest_prodcheck.model import Record
from pytest_prodcheck.rules import failure

if TYPE_CHECKING:
    from pytest_prodcheck.http.lean_httpx import httpx

Place: TypeAlias = tuple[str | int, ...]
"""Keys and indices that lead to a value: `("checks", 0, "status")`."""

SHOWN = 100
"""Characters of a value that are shown."""

_STATE = re.compile(
    "condition|health|healthcheck|liveness|outcome|overall|readiness|result|state|status|verdict"
)
_ERROR = re.compile(
    "err|errors?|exceptions?|fail|failed|failing|failures?|missing|problems?|stacktrace|traceback"
    "|unavailable|unhealthy|unreachable"
)
_PARTS = re.compile(
    "backends|checks?|components?|dependencies|entries|healthchecks?|indicators|probes|resources"
    "|services|subsystems"
)
"""A table under such a key has names for keys."""
_NAME = re.compile(
    "branch|build|cmd|color|colour|command|commit|date|endpoint|env|environment|host|hostname|id"
    "|key|kind|label|language|locale|name|names|owner|path|product|profile|query|region|release"
    "|tags?|team|theme|time|timestamp|title|topic|type|uri|url|user|version|zone"
)
_SENTENCE = re.compile(
    "advice|comment|description|details?|help|hint|info|message|motd|msg|notes?|output|reason"
    "|summary|symptom|text"
)
_PAST = re.compile("history|last|past|previous|recent")
_SETTING = re.compile(
    "allow|debug|default|desired|expected|features?|flags?|if|ignore|importance|level|maintenance"
    "|mode|on|policy|priority|retry|severity|should|show|strategy|threshold|tier|tolerate|update"
    "|upgrade|when"
)
"""`log_level: "error"` and `on_failure: "stop"` are settings, not states."""


class Trouble(Record):
    """One place of a health response that reports trouble."""

    place: Place
    says: str
    """What stands there, the end of a sentence: `is "down"`."""
    grave: bool = True
    """False for what is a concern only, as "warn" and "yellow"."""

    def __str__(self) -> str:
        return f"{jsonpath(self.place)} {self.says}"


class NotHealth(AssertionError):
    """The body is not a health answer at all."""


class HealthCheck:
    """The health path of a target as a test sees it: its `path`, and `check(response)`."""

    headers = {"Accept": "application/health+json, application/json, */*;q=0.5"}  # noqa: RUF012
    """django-health-check sends a page for people to whoever does not ask for JSON."""

    def __init__(self, target: Target) -> None:
        self.path = target.health or ""
        self._accepted = [steps(one) for one in target.health_accept]
        self._stated = [
            probe
            for probe in target.probes
            if probe.path == self.path and probe.method == "GET" and not probe.send
        ]

    def check(self, response: "httpx.Response") -> str:
        """Return what is a concern only, as a sentence; empty when all is well.

        Raises CheckFailed for another status than 2xx, a body that is not a health answer, and
        for trouble in it.
        """
        subject = f"GET {self.path}"
        require_success(response, subject)
        try:
            found = self.troubles(response)
        except NotHealth as problem:
            unreadable = failure("health.unreadable", subject, str(problem), title="")
            raise CheckFailed.of(unreadable) from None
        summary = f"{self.path} answers {response.status_code}, but {', '.join(map(str, found))}"
        grave = [
            failure("health.dependency", subject, str(one), title="") for one in found if one.grave
        ]
        if grave:
            raise CheckFailed(f"{summary}\n{self.remedy(found)}", grave)
        return summary if found else ""

    def troubles(self, response: "httpx.Response") -> list[Trouble]:
        """Return what the body of a 2xx answer says against it, without what is accepted.

        Raises NotHealth for a page, and for a body that is JSON by its label only.
        """
        if response.status_code == 204:
            return []
        kind = response.headers.get("content-type", "")
        body = read(response.content, response.text, kind)
        found = _troubles_of_text(body) if isinstance(body, _Text) else troubles_of(body)
        return [one for one in found if not self._accepts(one, body)]

    def _accepts(self, trouble: Trouble, body: Any) -> bool:
        named = any(trouble.place[: len(place)] == place for place in self._accepted)
        return named or any(_states(probe, body, trouble.place) for probe in self._stated)

    def remedy(self, found: Sequence[Trouble]) -> str:
        """Return a sentence that says what to do about *found*."""
        places = list(dict.fromkeys(jsonpath(one.place) for one in found if one.place))
        if not places:
            return "Fix what it names."
        accept = f"health = {{ path = {json.dumps(self.path)}, accept = {json.dumps(places)} }}"
        return f"Fix it, or accept it if it is intended: {accept}"


class _Text(str):
    """A body that is not JSON."""

    __slots__ = ()


def read(content: bytes, text: str, kind: str) -> Any:
    """Return the JSON value of a body, or its text. *kind* is its content-type.

    What it is shows itself: PHP labels its JSON text/html, Flask and Django their `ok`.
    """
    if "json" in kind or text.lstrip()[:1] in ("{", "["):
        try:
            return strict_json(content)
        except ValueError as problem:
            # "[+]ping ok" is a text, too.
            if "json" in kind or text.lstrip().startswith("{"):
                raise NotHealth(f"body: expected JSON: {problem}") from None
    if not re.match(r"\s*<[!a-z]", text, re.IGNORECASE):
        return _Text(text)
    seen = re.sub(r"(?is)<(title|style)\b.*?</\1>|<!--.*?-->|<[^>]*>", " ", text).strip()
    if "<script" in text.lower() or (seen and not is_good(seen)):
        raise NotHealth(
            f"header content-type: expected a health answer, got {kind or 'a page'}: an HTML page "
            "for people. Let `health` of the target name the path of the health check"
        )
    return _Text(seen)


def troubles_of(value: Any) -> list[Trouble]:
    """Return each place of a JSON value that reports trouble, in its order."""
    reading = _Reading()
    if isinstance(value, dict | list):
        reading.walk(value, ())
    else:
        reading.state(value, (), whole=True)
    return reading.found


def jsonpath(place: Place) -> str:
    """Return a place as the configuration names it: `$.checks[0]['a b']`."""
    return "$" + "".join(map(_step, place))


def _step(one: str | int) -> str:
    if isinstance(one, int):
        return f"[{one}]"
    if re.fullmatch(r"[A-Za-z_][\w-]*", one, re.ASCII):
        return f".{one}"
    return f'["{one}"]' if "'" in one else f"['{one}']"


def steps(path: str) -> Place:
    """Return the place that a JSONPath names; the opposite of `jsonpath`."""
    found = re.findall(r"""\.([\w-]+)|\[(\d+)\]|\['([^']+)'\]|\["([^"]+)"\]""", path)
    return tuple(int(index) if index else key or one or two for key, index, one, two in found)


class _Reading:
    """Collects trouble while a JSON value is walked through."""

    def __init__(self) -> None:
        self.found: list[Trouble] = []

    def walk(self, value: Any, place: Place, *, parts: bool = False) -> None:
        """Read a table or an array; with `parts` the keys of the table are names."""
        if isinstance(value, list):
            for index, element in enumerate(value):
                if isinstance(element, dict | list):
                    self.walk(element, (*place, index))
        elif isinstance(value, dict):
            parts = parts or _is_map_of_parts(value)
            states = not parts and _has_state(value)
            for key, one in value.items():
                self._entry(key, one, (*place, key), parts=parts, states=states)

    def _entry(self, key: str, value: Any, place: Place, *, parts: bool, states: bool) -> None:
        words = words_of(key)
        last = words[-1] if words else ""
        if not parts and any(map(_PAST.fullmatch, words)):
            return
        setting = not parts and any(map(_SETTING.fullmatch, words))
        if isinstance(value, dict | list):
            if setting and not _holds_state(value):
                return
            before = len(self.found)
            if isinstance(value, list) and not parts and _STATE.fullmatch(last):
                for index, one in enumerate(value):
                    if not isinstance(one, dict | list):
                        self.state(one, (*place, index))
            inner = not parts and bool(_PARTS.fullmatch(last) or _STATE.fullmatch(last))
            self.walk(value, place, parts=inner and isinstance(value, dict))
            reported = len(self.found) > before or parts or _tells_states(value)
            if not reported and _ERROR.fullmatch(last) and not _is_empty(value):
                self._add(place, value)
        elif setting:
            if value is True and meaning_of_true(words) == "bad" and "maintenance" in words:
                self._add(place, value)
        elif parts:
            self.state(value, place, words)
        elif not _NAME.fullmatch(last):
            self._scalar(words, value, place, states=states)

    def _scalar(self, words: list[str], value: Any, place: Place, *, states: bool) -> None:
        last = words[-1] if words else ""
        if _STATE.fullmatch(last) or (words[:-1] and f"{words[-2]} {last}" == "status code"):
            self.state(value, place, words, whole=len(place) == 1)
        elif (meaning := meaning_of_true(words)) and (flag := _flag(value)) is not None:
            if flag != (meaning == "good"):
                self._add(place, value)
        elif isinstance(value, str):
            if _ERROR.fullmatch(last):
                bad = not says_nothing(value)
            elif _SENTENCE.fullmatch(last):
                bad = not states and is_bad_sentence(value)
            else:
                bad = is_bad_value(value)
            if bad:
                self._add(place, value)
        elif isinstance(value, int | float) and (
            (last == "error" and value) or (last in _NOT_COUNTED and not value)
        ):
            self._add(place, value)

    def state(
        self, value: Any, place: Place, words: Sequence[str] = (), *, whole: bool = False
    ) -> None:
        """Read what has to be the state of something."""
        if (flag := _flag(value)) is not None:
            meaning = meaning_of_true(list(words)) or "good"
            if flag != (meaning == "good"):
                self._add(place, value)
        elif isinstance(value, str):
            said = state_of(value, whole=whole)
            if said in ("bad", "warn"):
                self._add(place, value, grave=said == "bad")
        elif isinstance(value, int) and 400 <= value <= 599:
            self._add(place, value)

    def _add(self, place: Place, value: Any, *, grave: bool = True) -> None:
        shown = json.dumps(value, ensure_ascii=False, default=str)
        if len(shown) > SHOWN + 2:
            shown = f"{shown[:SHOWN]}…"
        self.found.append(Trouble(place=place, says=f"is {shown}", grave=grave))


_NOT_COUNTED = ("alive", "healthy", "ok", "up")
"""0 under such a key is false; elsewhere it is a number of things."""


def _flag(value: Any) -> bool | None:
    """Return the truth value that is meant: texts of `true` and `false` count."""
    if isinstance(value, str):
        return {"true": True, "yes": True, "false": False, "no": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _has_state(table: Mapping[str, Any]) -> bool:
    return any(
        isinstance(value, str | bool) and _STATE.fullmatch((words_of(key) or [""])[-1])
        for key, value in table.items()
    )


def _holds_state(value: Any) -> bool:
    """Return True if *value* is a part, or holds parts, that report their own state."""
    if isinstance(value, list):
        return any(map(_holds_state, value))
    if not isinstance(value, dict):
        return False
    return _has_state(value) or any(
        isinstance(one, dict) and _has_state(one) for one in value.values()
    )


def _tells_states(value: Any) -> bool:
    """Return True if *value*, or everything in it, reports its own state."""
    if isinstance(value, dict) and _has_state(value):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return bool(value) and all(isinstance(one, dict) and _has_state(one) for one in inner)


def _is_map_of_parts(table: Mapping[str, Any]) -> bool:
    """Return True if each entry is a part with its state: `{"DatabaseBackend": "working"}`."""
    if _has_state(table) or not any(map(_names_a_part, table, table.values())):
        return False
    return all(
        _has_state(one) if isinstance(one, dict) else isinstance(one, str) and state_of(one) != ""
        for one in table.values()
    )


def _names_a_part(key: str, value: Any) -> bool:
    words = words_of(key) or [key]
    named = _NAME.fullmatch(words[-1]) or any(
        _PAST.fullmatch(word) or _SETTING.fullmatch(word) for word in words
    )
    return isinstance(value, dict) or not named


def _is_empty(value: Any, key: str = "") -> bool:
    """Return True if the value of `error` says that there is none; counters do not count."""
    if isinstance(value, dict):
        return all(_is_empty(one, name) for name, one in value.items())
    if isinstance(value, list):
        return all(map(_is_empty, value))
    if isinstance(value, str):
        return any(map(_PAST.fullmatch, words_of(key))) or says_nothing(value)
    if isinstance(value, bool):
        return not value
    return value is None or not value or "code" not in words_of(key)


def _troubles_of_text(text: str) -> list[Trouble]:
    """Lines as Kubernetes writes them (`[-]etcd failed`), `name: state`, or one sentence."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("[+]"):
            continue
        name, parted, state = re.sub(r"\s+(?:is|are)\s+|\s*[:=]\s*", "\n", line, count=1).partition(
            "\n"
        )
        bad = line.startswith("[-]") or is_bad_sentence(line)
        if not bad and parted and len(name) < SHOWN:
            bad = state_of(state) == "bad" and not says_nothing(state)
        if bad:
            found.append(Trouble(place=(), says=f"says {json.dumps(line[:SHOWN])}"))
    if not found and text.strip().lower() in ("false", "no"):
        found.append(Trouble(place=(), says=f"says {json.dumps(text.strip())}"))
    return found


def _states(probe: Probe, body: Any, place: Place) -> bool:
    """Return True if *probe* expects the very value that stands at *place*."""
    expected = [probe.json] if probe.json is not msgspec.UNSET else []
    for step in place:
        try:
            body = body[step]
        except (KeyError, IndexError, TypeError):
            return False
        if isinstance(step, int):
            # An expected array is a subset: any of its elements may be meant.
            expected = [
                one
                for array in expected
                if isinstance(array, list | tuple)
                for one in array
                if not differences(one, body)
            ]
        else:
            expected = [one[step] for one in expected if isinstance(one, dict) and step in one]
    return any(not differences(one, body) for one in expected)
