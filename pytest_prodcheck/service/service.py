"""A target that the run starts itself, once, and always stops."""

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
"""Attempts with another port: a free one may be taken before the service binds it."""

GRACE = 5.0
"""Seconds that a service has to end after SIGTERM before it is killed."""

FIRST_PATIENCE = 1.0
"""Seconds for the first response; doubled each time a service accepts but does not respond."""

_ANSI = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)")
_LONGEST_LINE = 300


def data_of(log: Path) -> Path:
    """Return the folder for which `{folder}` stands."""
    return log.with_suffix(".data")


class Service:
    """A running service, with `base_url` (with the port filled in), `port` and `pid`."""

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
        """Start `target.start` in `cwd`, and return it after its first HTTP response.

        There is no shell. `{port}` becomes a free port (or the port that `base_url` names),
        `{python}` this interpreter and `{folder}` the folder of `data_of(log)`. Programs are looked
        up on PATH, then beside this interpreter. All output goes to `log`. Raises UsageError if the
        command is missing, ends, or does not respond within `target.start_timeout` seconds.
        """
        words = _words(target)
        for left in reversed(range(PORTS_TO_TRY)):
            port = _port(target)
            service = cls._launch(target, words, port, cwd, log)
            try:
                failure = service._wait_for_response(target)
                if failure is None:
                    return service
                another = left > 0 and "{port}" in target.base_url and service._lost_its_port()
            except BaseException:
                service.stop()
                raise
            service.stop()
            if not another:
                break
        raise UsageError(failure)

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
            # As a shell in an activated virtual environment, but PATH goes first.
            "PATH": os.pathsep.join(filter(None, (os.environ.get("PATH", os.defpath), beside))),
            # The last output explains the end of a service: it must not be lost in a buffer.
            "PYTHONUNBUFFERED": "1",
        }
        data_of(log).mkdir(parents=True, exist_ok=True)
        if not cwd.is_dir():
            raise UsageError(
                f"{target.name}: the directory {cwd} to start `{command}` in does not exist.\n"
                f"Run pytest from the project's directory."
            )
        log.parent.mkdir(parents=True, exist_ok=True)
        # The watcher starts first, so that a run that is killed later leaves nothing behind.
        read_end, lifeline = os.pipe()
        watcher = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", reaper.__file__, str(os.getpid()), mark],
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_end)
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
        """Return how the service ended (`exited with code 3`), or None while it runs."""
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
        """Return the last lines of its output, cut to 300 characters, no control characters."""
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 64 * 1024))
            text = log.read().decode("utf-8", "replace")
        last = []
        for line in text.splitlines()[-lines:] if lines else []:
            uncoloured = _ANSI.sub("", line).replace("\t", "    ")[:_LONGEST_LINE]
            last.append("".join(c if c.isprintable() else "?" for c in uncoloured))
        return "\n".join(last)

    def stop(self, *, grace: float = GRACE) -> None:
        """End the service and all its processes: SIGTERM, `grace` seconds, SIGKILL. Idempotent."""
        if self._stopped:
            return
        if reaper.end(self.pid, self._mark, grace, poll=self._process.poll):
            self._process.wait()
        self._stopped = True
        # Not earlier: until here the watcher ends the service if the run is killed meanwhile.
        self._watcher.kill()
        self._watcher.wait()
        os.close(self._lifeline)

    def _wait_for_response(self, target: Target) -> str | None:
        """Return None after any response; otherwise the failure and the remedy."""
        deadline = time.monotonic() + target.start_timeout
        prefix = urlsplit(self.base_url).path.rstrip("/")
        health = prefix + "/" + (target.health or "").lstrip("/")
        path, other = health, prefix + "/"
        patience = FIRST_PATIENCE
        while True:
            began = time.monotonic()
            left = deadline - began
            responded = left > 0 and self._responds(path, min(patience, left))
            url = f"http://{HOST}:{self.port}{health}"
            # Checked after the response, which may be another process's on this port.
            if end := self.ended:
                return self._failure(
                    f"{end} before it responded at {url}",
                    f"Make the command run by itself, then correct `start` of "
                    f"[targets.{target.name}].",
                )
            if responded:
                return None
            if left <= 0:
                return self._failure(
                    f"did not respond at {url} within {target.start_timeout:g} s",
                    f"Make it listen on {HOST}:{{port}}, or raise `start_timeout` of "
                    f"[targets.{target.name}].",
                )
            if time.monotonic() - began >= patience:
                path, other, patience = other, path, patience * 2
            time.sleep(0.02)

    def _failure(self, fact: str, remedy: str) -> str:
        output = self.tail(20)
        heading = (
            f"Its last output (all of it in {self._log}):" if output else "It printed nothing."
        )
        quoted = "".join(f"\n    {line}" for line in output.splitlines())
        return f"`{self.command}` {fact}.\n{heading}{quoted}\n{remedy}"

    def _responds(self, path: str, seconds: float) -> bool:
        # A plain connection to a literal address: no proxy, no name lookup, no redirect.
        connection: http.client.HTTPConnection
        if self.base_url.startswith("https:"):
            # Whether it is up, not who it is: the checks verify the certificate.
            unverified = ssl.create_default_context()
            unverified.check_hostname = False
            unverified.verify_mode = ssl.CERT_NONE
            connection = http.client.HTTPSConnection(
                HOST, self.port, timeout=seconds, context=unverified
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
        """Return True if it ended because another process had taken the port meanwhile."""
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
    """Return a port that was free a moment ago, or the one in `base_url`."""
    if "{port}" in target.base_url:
        return _free_port()
    parts = urlsplit(target.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not _is_free(port):
        # An old process would be tested instead of the service just started.
        raise UsageError(
            f"{target.name}: another process already listens on port {port} of {HOST}.\n"
            f"Stop it, or use {{port}} in both base_url and `start`, which picks a free port."
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
