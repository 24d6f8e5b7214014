"""The health page says what is true.

Many services answer 200 and `"status": "ok"` as long as their process runs, while the database in
the same answer is `"down"`. A load balancer is content with that, users are not. So the body is
read as a whole: every status in it, at any depth, has to be a good one.
"""

import re

import pytest

BAD = (
    "critical|dead|degraded|disconnected|down|err|error|errored|fail|failed|failing|failure|ko"
    "|missing|not[ _-](available|connected|healthy|ok|ready)|offline|out[ _-]of[ _-]service"
    "|refused|timed[ _-]out|timeout|unavailable|unhealthy|unreachable"
)
GOOD_WHEN_TRUE = "alive|available|connected|healthy|loaded|ok|reachable|ready|success|up"
PARTS = "checks|components|dependencies|services|subsystems"
NO_STATUS = (
    "debug|feature|flags?|history|if|importance|last|level|maintenance|mode|on|policy|previous"
    "|priority|retry|severity|strategy|threshold|tier|type|update|upgrade|when"
)


def troubles(value, path="$", inside=""):
    """Each place in a health answer that speaks of trouble: `$.database.status is "down"`."""
    found = []
    if isinstance(value, list):
        for number, element in enumerate(value):
            found += troubles(element, f"{path}[{number}]", inside)
    elif isinstance(value, dict):
        for key, part in value.items():
            # `log_level: "error"` and `on_failure: "stop"` are settings, not states.
            if not any(re.fullmatch(NO_STATUS, word) for word in words(key)):
                found += trouble(key, part, f"{path}.{key}", inside)
                found += troubles(part, f"{path}.{key}", key)
    return found


def trouble(key, value, path, inside):
    """What one key says by itself; `inside` is the key of the table that it stands in."""
    last = (words(key) or [""])[-1]
    if isinstance(value, str) and re.match(rf"({BAD})(?![\w-])", value.strip(), re.IGNORECASE):
        return [f'{path} is "{value[:100]}"']
    if value is False and (re.fullmatch(GOOD_WHEN_TRUE, last) or re.fullmatch(PARTS, inside)):
        return [f"{path} is false"]
    if value is True and re.fullmatch(BAD, last):
        return [f"{path} is true"]
    if last in ("error", "errors", "failures") and isinstance(value, str | list) and value:
        return [] if value in ("none", "None", "-") else [f"{path} is {str(value)[:100]}"]
    return []


def words(name):
    """`config_loaded`, `configLoaded` and `config-loaded` are the words config and loaded."""
    return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())


@pytest.mark.smoke
@pytest.mark.severity("critical")
def test_health(api, health):
    """The health path answers 2xx, and nothing in its body contradicts that."""
    response = api.get(health)
    assert response.is_success, f"status: expected 2xx, got {response.status_code}"

    kind = response.headers.get("content-type", "")
    assert "html" not in kind, f"header content-type: expected a health answer, got {kind}"
    said = response.json() if "json" in kind else response.text
    found = troubles(said if isinstance(said, dict | list) else {"ok": said})
    assert not found, f"{health} answers {response.status_code}, but {', '.join(found)}"
