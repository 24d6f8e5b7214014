"""The operating mode of a target: the feature flags it reports, and what they mean together.

A flag is on, off, or not known; unknown is never taken for either. A combination of flags that no
mode means is INVALID.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pytest_prodcheck.config import Flags
from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.http.body import strict_json
from pytest_prodcheck.http.client import LiveClient
from pytest_prodcheck.jsonpath import value_at
from pytest_prodcheck.model import INVALID, FlagReading, Record, flags_text
from pytest_prodcheck.rules import failure

ON = ("true", "1", "yes", "on")
OFF = ("false", "0", "no", "off", "")
"""How a switch is written in an environment variable, in any case of letters."""

WELL = ("healthy", "ok", "up", "connected", "available", "ready", "alive", "pass", "passing")
SKIPPED = ("skipped", "disabled", "off", "not checked", "not_checked", "n/a")
"""States of what a flag switches; anything else is trouble, and no state at all is unknown."""


class State(Record):
    """What was read at one moment."""

    values: dict[str, bool | None]
    """None: it is not reported, or means neither on nor off."""
    reported_mode: str | None = None
    """The mode's name as the target has it."""
    dependencies: dict[str, Any] = msgspec.field(default_factory=dict)
    """Flag -> the state of what it switches on, as the target reports it."""
    unclear: tuple[str, ...] = ()
    """Why a value is None, one sentence each."""


def read(source: Flags, client: Callable[[], LiveClient]) -> State:
    """Request the flags once. An environment variable that is not set is on, as the service's
    default.

    Raises what the client raises, and CheckFailed for a response without any flag.
    """
    if source.source == "environment":
        found: Mapping[str, Any] = os.environ
        raw = {flag: found.get(name, "true") for flag, name in source.values.items()}
        return _state(source, raw, found.get(source.mode) if source.mode else None, {})
    response = client().get(source.source)
    try:
        body = strict_json(response.content)
    except ValueError as problem:
        fact = f"GET {source.source} answers {response.status_code} and no JSON ({problem})"
        message = f"{fact}: the flags cannot be read there; correct `from` of [flags]"
        raise CheckFailed.of(failure("flags.unread", f"GET {source.source}", message)) from None
    raw = {flag: value_at(body, place) for flag, place in source.values.items()}
    dependencies = {flag: value_at(body, place) for flag, place in source.dependencies.items()}
    return _state(source, raw, value_at(body, source.mode), dependencies)


def _state(source: Flags, raw: dict[str, Any], mode: Any, dependencies: dict[str, Any]) -> State:
    values = {flag: _switch(value) for flag, value in raw.items()}
    return State(
        values=values,
        reported_mode=None if mode is None else str(mode),
        dependencies=dependencies,
        unclear=tuple(
            f"{flag} is not reported at {source.values[flag]}"
            if raw[flag] is None
            else f"{flag} is {raw[flag]!r}, which is neither on ({', '.join(ON)}) nor off"
            for flag, value in values.items()
            if value is None
        ),
    )


def _switch(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, str | int) else "?"
    return True if text in ON else False if text in OFF else None


class FlagsCheck:
    """The flags as a test sees them: `flags["ENABLE_CACHE"]`, `flags.mode`, `flags.check()`.

    They are read when first asked for, and again after `reread()`.
    """

    def __init__(self, source: Flags, client: Callable[[], LiveClient]) -> None:
        self.source = source
        self._client = client
        self._state: State | None = None

    @property
    def state(self) -> State:
        """What was read last."""
        return self._state or self.reread()

    def reread(self) -> State:
        """Ask again, as after a switch."""
        self._state = read(self.source, self._client)
        return self._state

    def __getitem__(self, flag: str) -> bool:
        """Return whether the flag is on.

        Raises KeyError for a flag that is not configured, and CheckFailed when the target does not
        say.
        """
        value = self.state.values[flag]
        if value is None:
            unclear = "; ".join(self.state.unclear)
            raise CheckFailed.of(failure("flags.unknown", f"flag {flag}", unclear))
        return value

    @property
    def mode(self) -> str:
        """The mode that the flags mean, or INVALID. Raises CheckFailed when one is unknown."""
        return mode_of(self.source, {flag: self[flag] for flag in self.state.values})

    @property
    def reported_mode(self) -> str | None:
        """The name of the mode that the target reports, if it reports one."""
        return self.state.reported_mode

    def check(self) -> None:
        """Return when flags, mode and what they switch agree. Raises CheckFailed."""
        found = disagreements(self.source, self.state)
        if found:
            failures = [failure(rule, "flags", text) for rule, text in found.items()]
            raise CheckFailed("\n".join(found.values()), failures)

    def plain(self) -> FlagReading | None:
        """Return the flags for the report; None unless they were read."""
        if self._state is None:
            return None
        values = {flag: on for flag, on in self._state.values.items() if on is not None}
        whole = len(values) == len(self._state.values)
        mode = mode_of(self.source, values) if whole and self.source.modes else None
        return FlagReading(values=values, mode=mode or self._state.reported_mode or "")

    def __repr__(self) -> str:
        return f"<flags of {self.source.source}>"


def mode_of(source: Flags, values: Mapping[str, bool]) -> str:
    """Return the one mode whose flags all have these values, or INVALID."""
    return next(
        (name for name, needs in source.modes.items() if needs.items() <= values.items()), INVALID
    )


def disagreements(source: Flags, state: State) -> dict[str, str]:
    """Return what does not fit together, by rule: flags unknown, mode INVALID, another mode named,
    or something that a flag switches on and that does not work."""
    found: dict[str, str] = {}
    if state.unclear:
        found["flags.unknown"] = (
            f"{'; '.join(state.unclear)}. Unknown is not on: correct the place in [flags.values], "
            "or the value"
        )
    elif source.modes:
        values = {flag: bool(on) for flag, on in state.values.items()}
        mode, shown = mode_of(source, values), flags_text(values)
        if mode == INVALID:
            found["flags.invalid_mode"] = (
                f"{shown}: no operating mode means that. Modes: {', '.join(source.modes)}"
            )
        if source.mode and state.reported_mode != mode:
            said_of_mode = (
                "reports no mode" if state.reported_mode is None else f"says {state.reported_mode}"
            )
            found["flags.mode_disagrees"] = (
                f"the flags ({shown}) mean {mode}, the target {said_of_mode}"
            )
    if broken := list(_broken(state)):
        found["flags.dependency"] = "; ".join(broken)
    return found


def _broken(state: State) -> list[str]:
    """Failed, skipped and unknown are three things, and none of them is healthy."""
    said = []
    for flag, reported in state.dependencies.items():
        if not state.values.get(flag):
            continue  # what is switched off may be in any state
        text = str(reported).strip().lower()
        if reported is None or text == "unknown":
            said.append(f"{flag} is on, but whether it works is unknown")
        elif text in SKIPPED:
            said.append(f"{flag} is on, but nobody looked whether it works ({reported})")
        elif reported is not True and text not in WELL:
            said.append(
                f"{flag} is on, but does not work: {msgspec.json.encode(reported).decode()}"
            )
    return said
