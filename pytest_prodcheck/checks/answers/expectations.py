"""What a probe expects against what came back: pure comparison, no connection.

A JSON expectation is a subset of the answer: every expected key of a table must be there and
match, every expected element of an array must match some element, and a scalar must be the very
same JSON value (`true` is not `1`, `1` is `1.0`).
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_prodcheck.config import Probe
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.http.body import BODILESS, strict_json
from pytest_prodcheck.model import Reason, Record
from pytest_prodcheck.rules import failure

if TYPE_CHECKING:
    from pytest_prodcheck.http.lean_httpx import httpx

SHOWN = 200
"""Characters of a value that a mismatch shows."""

PERCENTILE_FROM = 20
"""Samples from which `within` means their p95: with fewer, the p95 is the slowest one."""

PRESENT = "*"
"""Expected value of a header that must be there, whatever it says."""

Clean = Callable[[str], str]


class Answer(Record):
    """What came back for one sending of a probe."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    encoding: str = "utf-8"
    elapsed_s: float = 0.0
    """Seconds from sending to the last byte, redirects included."""


class Mismatch(Record):
    """One expectation that did not hold. `expected` and `got` are short texts to read.

    what: `status`, `json $.path`, `header name`, `body`, or `time`.
    """

    rule: str
    what: str
    expected: str
    got: str
    status: int | None = None
    """The status, where that was wrong."""

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, got {self.got}"


def _as_it_is(text: str) -> str:
    return text


ANY_ANSWER = tuple(range(200, 500))
"""Statuses of a probe that only asks whether the target answers at all."""


def unmet(probe: Probe, answers: Sequence[Answer], clean: Clean = _as_it_is) -> list[Mismatch]:
    """Return the expectations of `probe` that its responses (one per sample) do not meet.

    Every response must meet them; one that several miss alike is reported once, with the count.
    `clean` takes secrets out of a text before it is shortened, so that no half of one stays.
    """
    missed: dict[tuple[str, str], list[Mismatch]] = {}
    for answer in answers:
        for mismatch in _unmet_by(probe, answer, clean):
            missed.setdefault((mismatch.what, mismatch.expected), []).append(mismatch)
    found = []
    for alike in missed.values():
        first = alike[0]
        if len(answers) > 1:
            first = msgspec.structs.replace(
                first, got=f"{first.got} ({len(alike)} of {len(answers)} samples)"
            )
        found.append(first)
    return [*found, *_too_slow(probe, answers)]


def _unmet_by(probe: Probe, answer: Answer, clean: Clean) -> Iterator[Mismatch]:
    allowed = probe.status or tuple(range(200, 300))
    if answer.status not in allowed:
        expected = " or ".join(map(str, probe.status)) or "2xx"
        if probe.status == ANY_ANSWER:
            expected = "any below 500"
        leads = [value for name, value in answer.headers if name.lower() == "location"]
        where = f", which leads to {_show(leads[0], clean)}" if leads else ""
        yield Mismatch(
            rule="status",
            what="status",
            expected=expected,
            got=f"{answer.status}{where}",
            status=answer.status,
        )

    yield from _headers(probe.headers, answer.headers, clean)

    if probe.json is not msgspec.UNSET:
        try:
            got = strict_json(answer.content)
        except ValueError as problem:
            yield _not_json("JSON", answer, problem, clean)
        else:
            yield from _subset(probe.json, got, "$", clean)
    elif probe.status != ANY_ANSWER and _claims_json(probe, answer) and answer.status in allowed:
        # A maintenance page under a JSON label would otherwise pass on its status alone.
        try:
            strict_json(answer.content)
        except ValueError as problem:
            yield _not_json("JSON, as its content-type says", answer, problem, clean)

    if probe.contains is not None or probe.matches is not None:
        text = _text(answer)
        if probe.contains is not None and probe.contains not in text:
            expected = f"to contain {_show(probe.contains, clean)}"
            got = _show(text, clean)
            yield Mismatch(rule="body.contains", what="body", expected=expected, got=got)
        if probe.matches is not None and re.search(probe.matches, text) is None:
            expected = f"to match /{_short(clean(probe.matches))}/"
            got = _show(text, clean)
            yield Mismatch(rule="body.matches", what="body", expected=expected, got=got)


def _claims_json(probe: Probe, answer: Answer) -> bool:
    """Return True if the response should have a body, and says that it is JSON."""
    if probe.method == "HEAD" or answer.status in BODILESS:
        return False
    types = [_media_type(value) for name, value in answer.headers if name.lower() == "content-type"]
    return any(kind == "application/json" or kind.endswith("+json") for kind in types)


def _not_json(expected: str, answer: Answer, problem: ValueError, clean: Clean) -> Mismatch:
    got = "an empty body"
    if answer.content:
        got = f"{_show(_text(answer), clean)} ({_short(clean(str(problem)))})"
    return Mismatch(rule="body.not_json", what="body", expected=expected, got=got)


def _headers(
    expected: Mapping[str, str], got: Sequence[tuple[str, str]], clean: Clean
) -> Iterator[Mismatch]:
    for name, wanted in expected.items():
        rule = "header.content_type" if name.lower() == "content-type" else "header"
        what = f"header {name.lower()}"
        values = [value.strip() for key, value in got if key.lower() == name.lower()]
        if not values:
            shown = "any value" if wanted == PRESENT else _show(wanted, clean)
            yield Mismatch(rule=rule, what=what, expected=shown, got="no such header")
        elif not _header_holds(name, wanted, values):
            shown, came = _show(wanted, clean), _show(", ".join(values), clean)
            yield Mismatch(rule=rule, what=what, expected=shown, got=came)


def _header_holds(name: str, wanted: str, values: list[str]) -> bool:
    if wanted == PRESENT or wanted in values or wanted == ", ".join(values):
        return True
    # `application/json` means that type, whatever charset the server adds to it.
    if name.lower() == "content-type" and ";" not in wanted:
        return any(_media_type(value) == wanted.strip().lower() for value in values)
    return False


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _subset(expected: Any, got: Any, path: str, clean: Clean) -> Iterator[Mismatch]:
    if isinstance(expected, Mapping):
        if not isinstance(got, dict):
            yield _json_mismatch(path, "a table", _show_json(got, clean))
            return
        for key, wanted in expected.items():
            inside = f"{path}.{key}" if re.fullmatch(r"[\w-]+", key) else f"{path}[{key!r}]"
            if key in got:
                yield from _subset(wanted, got[key], inside, clean)
            else:
                keys = ", ".join(map(str, got)) or "none"
                there = f"no such key (keys: {_short(clean(keys))})"
                yield _json_mismatch(inside, _show_json(wanted, clean), there)
    elif isinstance(expected, list | tuple):
        if not isinstance(got, list):
            yield _json_mismatch(path, "an array", _show_json(got, clean))
            return
        for wanted in expected:
            if not any(not list(_subset(wanted, element, path, clean)) for element in got):
                expected_element = f"an element matching {_show_json(wanted, clean)}"
                yield _json_mismatch(path, expected_element, f"none in {_show_json(got, clean)}")
    elif not _same(expected, got):
        yield _json_mismatch(path, _show_json(expected, clean), _show_json(got, clean))


def _json_mismatch(path: str, expected: str, got: str) -> Mismatch:
    return Mismatch(rule="json.path", what=f"json {path}", expected=expected, got=got)


def require_success(response: "httpx.Response", subject: str) -> None:
    """Raise CheckFailed unless the status of *response* is 2xx."""
    status = response.status_code
    if not response.is_success:
        message = f"status: expected 2xx, got {status}"
        reason: Reason = "server_error" if status >= 500 else "status"
        raise CheckFailed.of(
            failure("status", subject, message, title="", status=status, reason=reason)
        )


def differences(expected: Any, got: Any, clean: Clean = _as_it_is) -> list[str]:
    """Return how *got* differs from what was expected, as a subset, one line each."""
    return [str(mismatch) for mismatch in _subset(expected, got, "$", clean)]


def _same(expected: Any, got: Any) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, int | float) and isinstance(got, int | float):
        return expected == got
    return type(expected) is type(got) and bool(expected == got)


def _too_slow(probe: Probe, answers: Sequence[Answer]) -> list[Mismatch]:
    if probe.within is None or not answers:
        return []
    times = sorted(answer.elapsed_s for answer in answers)
    if len(times) == 1:
        which, time = "", times[0]
    elif len(times) < PERCENTILE_FROM:
        which, time = f" (slowest of {len(times)} samples)", times[-1]
    else:
        # Nearest rank: the smallest time that at least 95 % of the samples do not exceed.
        which, time = f" (p95 of {len(times)} samples)", times[math.ceil(0.95 * len(times)) - 1]
    if time <= probe.within:
        return []
    expected, got = f"at most {probe.within:g} s", f"{time:.4g} s{which}"
    return [Mismatch(rule="time", what="time", expected=expected, got=got)]


def _text(answer: Answer) -> str:
    try:
        return answer.content.decode(answer.encoding, errors="replace")
    except LookupError:
        return answer.content.decode(errors="replace")


def _show(text: str, clean: Clean) -> str:
    return _show_json(text[: SHOWN + 8192], clean) if text else "nothing"


def _show_json(value: Any, clean: Clean) -> str:
    # Long enough a piece that what is cut here never comes into view, short enough to clean.
    text = json.dumps(value, ensure_ascii=False, default=str)[: SHOWN + 8192]
    return _short(clean(text))


def _short(text: str) -> str:
    # JSON can spell half of a surrogate pair, which no file can be written with.
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
