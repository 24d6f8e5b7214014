"""A switch is flipped the way the team flips it: by a request, a command, or a function."""

import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import UNSET

from pytest_prodcheck.config import Request, Switch, revealed
from pytest_prodcheck.errors import ProdcheckError
from pytest_prodcheck.live.client import LiveClient, kind_of
from pytest_prodcheck.live.lean_httpx import httpx

UNCLEAR = (500, 502, 504)
"""Statuses after which something may have been done all the same (RFC 9110, 15.6)."""

SHOWN = 300
"""Characters of an answer or an output that a message shows."""


class SwitchFailed(ProdcheckError):
    """It was not flipped, or nobody knows; the message says what was answered."""


class Refused(SwitchFailed):
    """The answer says that nothing was done."""


def flip(
    switch: Switch, client: LiveClient, root: Path, *, seconds: float, fill: dict[str, Any]
) -> None:
    """Return when it has been accepted, which is not yet that it took effect.

    A command has *seconds*, a request what the target's `timeout` says, a function as long as it
    takes. *root* is where a command runs, and where a function's file lies. *fill* holds what
    stands for `{name}`. Raises SwitchFailed.
    """
    try:
        if switch.request:
            ask(switch.request, client, fill)
        elif switch.command:
            _run(filled(switch.command, fill), root, seconds)
        elif switch.function:
            _call(switch.function, client, root)
    except httpx.HTTPError as failure:
        raise SwitchFailed(f"{switch}: no answer ({kind_of(failure)}): {failure}") from failure


def ask(request: Request, client: LiveClient, fill: dict[str, Any]) -> httpx.Response:
    """Send it. Raises SwitchFailed for an answer that is no success."""
    body = {} if request.json is UNSET else {"json": filled(request.json, fill)}
    path = filled(request.path, fill)
    response = client.request(request.method, path, headers=revealed(request.send), **body)
    if not response.is_success:
        kind = SwitchFailed if response.status_code in UNCLEAR else Refused
        raise kind(
            f"{request.method} {request.path} answered {response.status_code}: "
            f"{response.text[:SHOWN]}"
        )
    return response


def filled(value: Any, fill: dict[str, Any]) -> Any:
    """*value* with `{name}` filled in; a text that is nothing else becomes the value itself."""
    if isinstance(value, dict):
        return {key: filled(item, fill) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, fill) for item in value]
    if not isinstance(value, str):
        return value
    for name, told in fill.items():
        if value == f"{{{name}}}":
            return told
        value = value.replace(f"{{{name}}}", str(told))
    return value


def _run(command: str, root: Path, seconds: float) -> None:
    arguments = shlex.split(command)
    # Into a file, not a pipe: a daemon that the command leaves behind would hold that open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - the team's own command, without a shell
                arguments,
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise SwitchFailed(f"{arguments[0]} cannot be started: {error.strerror}") from error
        try:
            status = process.wait(seconds)
        except BaseException as error:
            # Ctrl-C too: nothing that still flips a switch may outlive the drill.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise SwitchFailed(f"{arguments[0]} did not end within {seconds:g} s") from None
            raise
        if status:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()[-SHOWN:]
            raise SwitchFailed(f"{arguments[0]} ended with {status}: {said}")


def _call(named: str, client: LiveClient, root: Path) -> None:
    file, _, name = named.partition("::")
    path = root / file
    spec = importlib.util.spec_from_file_location(f"prodcheck_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # as pytest does for a conftest
    try:
        spec.loader.exec_module(module)
        function = getattr(module, name, None)
        if not callable(function):
            raise SwitchFailed(f"{file} has no function {name}")
        function(client)
    except (SwitchFailed, httpx.HTTPError):
        raise
    except Exception as error:
        raise SwitchFailed(f"{named} raised {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
