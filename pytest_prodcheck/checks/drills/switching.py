"""A switch is flipped the way the team flips it: by a request, a command, or a function."""

import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import UNSET

from pytest_prodcheck.config import Request, Switch, revealed
from pytest_prodcheck.errors import ProdcheckError
from pytest_prodcheck.http.client import LiveClient, kind_of
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.model import Record

UNCLEAR = (500, 502, 504)
"""Statuses after which something may have been done all the same (RFC 9110, 15.6)."""

SHOWN = 300
"""Characters of an answer or an output that a message shows."""


class SwitchFailed(ProdcheckError):
    """It was not flipped, or nobody knows; the message says what was answered."""


class Refused(SwitchFailed):
    """The answer says that nothing was done."""


class Held(Record):
    """What flipping a switch needs of the disk, as it was when `hold` looked."""

    files: dict[str, bytes] = msgspec.field(default_factory=dict)
    """Argument of a command -> the file that it names."""
    function: Callable[[LiveClient], object] | None = None


def hold(switch: Switch, root: Path) -> Held:
    """Return what flipping *switch* needs of the disk: it may change or be gone by then."""
    if switch.function:
        with suppress(Exception):  # raised again when it is called
            return Held(function=_function(switch.function, root))
    files = {}
    for argument in shlex.split(switch.command or ""):
        with suppress(OSError):
            if (root / argument).resolve().is_relative_to(root.resolve()):
                files[argument] = (root / argument).read_bytes()
    return Held(files=files)


def flip(
    switch: Switch,
    client: LiveClient,
    root: Path,
    *,
    seconds: float,
    fill: dict[str, Any],
    held: Held | None = None,
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
            _run(switch.command, fill, root, seconds, (held or Held()).files)
        elif switch.function:
            _call(switch.function, client, root, (held or Held()).function)
    except httpx.HTTPError as failure:
        raise SwitchFailed(f"{switch}: no answer ({kind_of(failure)}): {failure}") from failure


def ask(request: Request, client: LiveClient, fill: dict[str, Any]) -> httpx.Response:
    """Send it. Raises SwitchFailed unless the response is a success."""
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
    for name, given in fill.items():
        if value == f"{{{name}}}":
            return given
        value = value.replace(f"{{{name}}}", str(given))
    return value


def _run(
    command: str, fill: dict[str, Any], root: Path, seconds: float, held: dict[str, bytes]
) -> None:
    arguments = shlex.split(filled(command, fill))
    with ExitStack() as stack:
        files = {}
        for argument, content in held.items():
            with suppress(OSError):
                if (root / argument).read_bytes() == content:
                    continue
            files[argument] = stack.enter_context(_in_memory(content)).fileno()
        given = [f"/dev/fd/{files[one]}" if one in files else one for one in arguments]
        _start(given, root, seconds, tuple(files.values()))


def _in_memory(content: bytes) -> BinaryIO:
    """Return a file that a command can run or read as `/dev/fd/N`, without a place on the disk."""
    if not hasattr(os, "memfd_create"):
        file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        file.write(content)
        file.seek(0)
        return file
    written = os.memfd_create("prodcheck")
    with os.fdopen(written, "wb") as sink:
        sink.write(content)
        sink.flush()
        # Opened anew: what is open for writing cannot be run.
        return open(f"/proc/self/fd/{written}", "rb")


def _start(arguments: list[str], root: Path, seconds: float, files: tuple[int, ...]) -> None:
    # Into a file, not a pipe: a daemon that the command leaves behind would hold that open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - the team's own command, without a shell
                arguments,
                cwd=root if root.is_dir() else None,
                pass_fds=files,
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


def _call(
    named: str, client: LiveClient, root: Path, held: Callable[[LiveClient], object] | None
) -> None:
    try:
        with _importing_from((root / named.partition("::")[0]).parent):
            (held or _function(named, root))(client)
    except (SwitchFailed, httpx.HTTPError):
        raise
    except Exception as error:
        raise SwitchFailed(f"{named} raised {type(error).__name__}: {error}") from error


def _function(named: str, root: Path) -> Callable[[LiveClient], object]:
    """Return the function; raises SwitchFailed, or whatever its file raises."""
    file, _, name = named.partition("::")
    path = root / file
    spec = importlib.util.spec_from_file_location(f"prodcheck_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with _importing_from(path.parent):
        spec.loader.exec_module(module)
    function: Callable[[LiveClient], object] | None = getattr(module, name, None)
    if not callable(function):
        raise SwitchFailed(f"{file} has no function {name}")
    return function


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Put a folder on `sys.path`, as pytest does for a conftest."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
