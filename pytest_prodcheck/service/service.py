"""A target that the run starts itself, once, and stops for certain."""

import http.client
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from functools import reduce
from pathlib import Path
from urllib.parse import urlsplit

from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.service import reaper

HOST = "127.0.0.1"
PORTS_TO_TRY = 3
"""Between picking a free port and the service's bind another process may take it."""

GRACE = 5.0
"""Seconds a service has to end after SIGTERM before it is killed."""

FIRST_PATIENCE = 1.0
"""Seconds for the first answer; doubled each time a service takes the call but stays silent."""

_ANSI = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)")
_LONGEST_LINE = 300


def data_of(log: Path) -> Path:
    """The folder that `{folder}` stands for."""
    return log.with_suffix(".data")


class Service:
    """A running service: `base_url` (with the port filled in), `port`, `pid`."""

    def __init__(
        self,
        *,
        base_url: str,
        port: int,
        command: str,
        process: "subprocess.Popen[bytes]",
        watcher: "subprocess.Popen[bytes]",
        lifeline: int,
        mark: str,
        log: Path,
    ) -> None:
        self.base_url = base_url
        self.port = port
        self.pid = process.pid
        self.command = command
        """The command line with everything filled in."""
        self._process = process
        self._watcher = watcher
        self._lifeline = lifeline
        self._mark = mark
        self._log = log
        self._stopped = False

    @classmethod
    def start(cls, target: Target, *, cwd: Path, log: Path) -> "Service":
        """Start `target.start` in `cwd` and wait until it gives any HTTP answer.

        There is no shell. `{port}` becomes a free port (or the port that `base_url` names),
        `{python}` this interpreter and `{folder}` the folder of `data_of(log)`. Programs
        are looked up on PATH, then beside this interpreter. All output goes to `log`. UsageError
        when the command is missing, ends, or does not answer within `target.start_timeout` seconds.
        """
        words = _words(target)
        for left in reversed(range(PORTS_TO_TRY)):
            port = _port(target)
            service = cls._launch(target, words, port, cwd, log)
            try:
                trouble = service._wait_for_answer(target)
                if trouble is None:
                    return service
                another = left > 0 and "{port}" in target.base_url and service._lost_its_port()
            except BaseException:
                service.stop()
                raise
            service.stop()
            if not another:
                break
        raise UsageError(trouble)

    @classmethod
    def _launch(
        cls, target: Target, words: list[str], port: int, cwd: Path, log: Path
    ) -> "Service":
        fill = {"{port}": str(port), "{python}": sys.executable, "{folder}": str(data_of(log))}
        filled = [reduce(lambda w, name: w.replace(name, fill[name]), fill, word) for word in words]
        command = shlex.join(filled)
        mark = uuid.uuid4().hex
        beside = os.path.dirname(sys.executable)
        environment = {
            **os.environ,
            reaper.MARK: mark,
            # As a shell in an activated virtual environment would find it, but PATH goes first.
            "PATH": os.pathsep.join(filter(None, (os.environ.get("PATH", os.defpath), beside))),
            # What a service printed last is what explains its end; do not lose it in a buffer.
            "PYTHONUNBUFFERED": "1",
        }
        data_of(log).mkdir(parents=True, exist_ok=True)
        if not cwd.is_dir():
            raise UsageError(
                f"{target.name}: the directory {cwd} to start `{command}` in does not exist.\n"
                f"Run from the project's directory."
            )
        log.parent.mkdir(parents=True, exist_ok=True)
        # The watcher is first: a run killed after any line below leaves nothing behind.
        heard, lifeline = os.pipe()
        watcher = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", reaper.__file__, str(os.getpid()), mark],
            stdin=heard,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(heard)
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(  # noqa: S603 - the user's own command, no shell
                    filled,
                    cwd=cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except BaseException as error:
            os.close(lifeline)
            watcher.wait()
            if isinstance(error, OSError):
                raise UsageError(
                    f"{target.name}: `{command}` cannot be started: {error.strerror}: "
                    f"{error.filename}\nInstall it, or correct `start` of "
                    f"[targets.{target.name}]; there is no shell, and {{python}} stands for "
                    f"the Python that runs pytest."
                ) from error
            raise
        service = cls(
            base_url=target.base_url.replace("{port}", str(port)),
            port=port,
            command=command,
            process=process,
            watcher=watcher,
            lifeline=lifeline,
            mark=mark,
            log=log,
        )
        try:
            os.write(lifeline, str(process.pid).encode())
        except OSError:
            service.stop()
            raise
        return service

    @property
    def ended(self) -> str | None:
        """How the service ended (`exited with code 3`), or None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        if code >= 0:
            return f"exited with code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:  # a real-time signal has no name
            return f"was killed by signal {-code}"

    def tail(self, lines: int = 20) -> str:
        """The last lines it printed, without control characters; lines end after 300."""
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 64 * 1024))
            text = log.read().decode("utf-8", "replace")
        shown = []
        for line in text.splitlines()[-lines:] if lines else []:
            plain = _ANSI.sub("", line).replace("\t", "    ")[:_LONGEST_LINE]
            shown.append("".join(c if c.isprintable() else "?" for c in plain))
        return "\n".join(shown)

    def stop(self, *, grace: float = GRACE) -> None:
        """End the service and all it started: SIGTERM, `grace` seconds, SIGKILL. Idempotent."""
        if self._stopped:
            return
        if reaper.end(self.pid, self._mark, grace, look=self._process.poll):
            self._process.wait()
        self._stopped = True
        # Only now: until here the watcher stands in for a run that is killed while it stops.
        self._watcher.kill()
        self._watcher.wait()
        os.close(self._lifeline)

    def _wait_for_answer(self, target: Target) -> str | None:
        """None once it answers, whatever it answers; else what is wrong and the way out."""
        deadline = time.monotonic() + target.start_timeout
        prefix = urlsplit(self.base_url).path.rstrip("/")
        health = prefix + "/" + (target.health or "").lstrip("/")
        asking, other = health, prefix + "/"
        patience = FIRST_PATIENCE
        while True:
            asked = time.monotonic()
            left = deadline - asked
            answered = left > 0 and self._answers(asking, min(patience, left))
            where = f"http://{HOST}:{self.port}{health}"
            # Looked at after the answer: that may have come from somebody else on this port.
            if how := self.ended:
                return self._trouble(
                    f"{how} before it answered at {where}",
                    f"Make the command run by itself, then correct `start` of "
                    f"[targets.{target.name}].",
                )
            if answered:
                return None
            if left <= 0:
                return self._trouble(
                    f"did not answer at {where} within {target.start_timeout:g} s",
                    f"Make it listen on {HOST}:{{port}}, or raise `start_timeout` of "
                    f"[targets.{target.name}].",
                )
            if time.monotonic() - asked >= patience:
                asking, other, patience = other, asking, patience * 2
            time.sleep(0.02)

    def _trouble(self, how: str, way_out: str) -> str:
        output = self.tail(20)
        said = f"Its last output (all of it in {self._log}):" if output else "It printed nothing."
        quoted = "".join(f"\n    {line}" for line in output.splitlines())
        return f"`{self.command}` {how}.\n{said}{quoted}\n{way_out}"

    def _answers(self, path: str, seconds: float) -> bool:
        # A plain connection to a literal address: no proxy, no name lookup, no redirect.
        connection: http.client.HTTPConnection
        if self.base_url.startswith("https:"):
            anyone = ssl.create_default_context()
            anyone.check_hostname = False  # is it up? Who it is, the checks will ask
            anyone.verify_mode = ssl.CERT_NONE
            connection = http.client.HTTPSConnection(
                HOST, self.port, timeout=seconds, context=anyone
            )
        else:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=seconds)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def _lost_its_port(self) -> bool:
        """It ended because another process had taken the port that was free before."""
        output = self.tail(200).lower()
        return self.ended is not None and (
            "address already in use" in output or "eaddrinuse" in output or not _is_free(self.port)
        )


def _words(target: Target) -> list[str]:
    try:
        words = shlex.split(target.start or "")
    except ValueError as error:
        raise UsageError(
            f"{target.name}: `start` cannot be read: {error}: {target.start}\n"
            f"Quote its words as for a shell, with every quote closed."
        ) from error
    if not words:
        raise UsageError(
            f"{target.name}: `start` is empty.\n"
            f'Write the command, as in start = "uvicorn app.main:app --port {{port}}".'
        )
    if "{port}" in target.base_url and not any("{port}" in word for word in words):
        raise UsageError(
            f"{target.name}: base_url has {{port}} but `start` does not: {target.start}\n"
            f"Pass {{port}} to the command, or write the port it listens on into base_url."
        )
    return words


def _port(target: Target) -> int:
    """A port that was free a moment ago, or the one `base_url` names."""
    if "{port}" in target.base_url:
        return _free_port()
    parts = urlsplit(target.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not _is_free(port):
        # A service left from yesterday would be tested instead of the one just started.
        raise UsageError(
            f"{target.name}: another process already listens on port {port} of {HOST}.\n"
            f"Stop it, or use {{port}} in both base_url and `start` to have a free one picked."
        )
    return port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) != 0
