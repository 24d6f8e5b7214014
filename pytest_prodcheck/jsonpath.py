"""A reader of JSONPath, for the paths in the configuration and the values in responses.

It knows the singular queries of RFC 9535 (section 2.3.5.1), which lead to at most one value:
`$.build.commit`, `$['build']['commit']`, `$.items[0].id`, `$.items[-1]`. Beyond the RFC a name
after a dot may have hyphens: `$.build-info`.
"""

import re
from functools import lru_cache
from typing import Any

_SPACE = r"[ \t\n\r]*"
_NAME = re.compile(rf"{_SPACE}\.([A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff-]*)")
_INDEX = re.compile(rf"{_SPACE}\[{_SPACE}(0|-?[1-9][0-9]{{0,14}}){_SPACE}\]")
_QUOTED = re.compile(
    rf"""{_SPACE}\[{_SPACE}(?:'((?:[^'\\\x00-\x1f]|\\.)*)'|"((?:[^"\\\x00-\x1f]|\\.)*)"){_SPACE}\]"""
)
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))"
)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "/", "\\": "\\"}
_MANY = re.compile(rf"{_SPACE}(\.\.|\.\*|\[{_SPACE}(?:\*|\?|-?[0-9]*{_SPACE}:|[^\]]*,))")


class BadJsonPath(ValueError):
    """The text is not a JSONPath to one value; the message has the position and the reason."""


@lru_cache(maxsize=256)
def parse(path: str) -> tuple[str | int, ...]:
    """Return the names and indices that the path follows, from the outside in.

    Raises BadJsonPath with the position, counted from 1.
    """
    if not path.startswith("$"):
        raise BadJsonPath("it begins with $, at position 1")
    steps: list[str | int] = []
    position = 1
    while position < len(path):
        if match := _NAME.match(path, position):
            steps.append(match[1])
        elif match := _INDEX.match(path, position):
            steps.append(int(match[1]))
        elif match := _QUOTED.match(path, position):
            quote, text = ("'", match[1]) if match[2] is None else ('"', match[2])
            name = _unescaped(text, quote)
            if name is None:
                raise _refused(path, position, "has an escape that RFC 9535 does not have")
            steps.append(name)
        elif _MANY.match(path, position):
            raise _refused(path, position, "may lead to many values")
        else:
            raise _refused(path, position, "is not understood")
        position = match.end()
    return tuple(steps)


def _refused(path: str, position: int, why: str) -> BadJsonPath:
    return BadJsonPath(f"{path[position:][:30]} at position {position + 1} {why}")


def _unescaped(text: str, quote: str) -> str | None:
    """Return the name without its escapes; None if one is unknown."""
    unknown = False

    def decoded(match: re.Match[str]) -> str:
        nonlocal unknown
        high, low, unit, letter = match.groups()
        if high:
            return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
        if unit and not 0xD800 <= int(unit, 16) <= 0xDFFF:
            return chr(int(unit, 16))
        unknown = unknown or not (letter == quote or letter in _ESCAPED)
        return _ESCAPED.get(letter, str(letter))

    name = _ESCAPE.sub(decoded, text)
    return None if unknown else name


def value_at(body: Any, path: str | None) -> Any:
    """Return the value at the path in parsed JSON; None if there is none, or no path.

    A name is followed only in an object, an index only in an array. Raises BadJsonPath.
    """
    if path is None:
        return None
    for step in parse(path):
        if isinstance(step, str):
            if not isinstance(body, dict) or step not in body:
                return None
        elif not isinstance(body, list) or not -len(body) <= step < len(body):
            return None
        body = body[step]
    return body
