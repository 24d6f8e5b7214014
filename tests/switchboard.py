"""A service with an operating mode, in this process: it can be switched, written to, and lie."""

import itertools
import json
import threading
import time
from typing import Any

from tests.faulty import FaultyServer, Visit, json_answer

CONFIGURED = """
read_only = false
drills = true
timeout = 2

[[probes]]
get = "/ok"

[[probes]]
get = "/info"
json = { mode = "BOTH" }

[flags]
from = "/info"
mode = "$.mode"
[flags.values]
WRITES = "$.writes"
FILES = "$.files"
[flags.modes]
BOTH = { WRITES = true, FILES = true }
FILES_ONLY = { WRITES = false, FILES = true }
"""
DRILL = """
[[drills]]
name = "files only"
mode = "FILES_ONLY"
within = 2
switch = { put = "/flags", json = { writes = false, files = true } }
restore = { put = "/flags", json = { writes = true, files = true } }
[[drills.probes]]
get = "/info"
json = { mode = "FILES_ONLY" }
"""
WRITES = """
[drills.writes]
post = "/entries"
json = { text = "written in {drill}" }
read = "/entries/{id}"
"""


class Switchboard:
    """Serves on *server*. What `faults` holds it does wrong: see `_answer`."""

    def __init__(self, server: FaultyServer) -> None:
        self.writes = self.files = True
        self.entries: dict[str, Any] = {}
        self.faults: set[str] = set()
        self.key: Any = ...
        """What the answer to a write gives as id, in place of the real one."""
        self.failures = 0
        self.opened: float | None = None
        self.silent = False
        self.cooldown = 0.3
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        server.on("*", self._serve)
        server.on("/ok", json_answer({"status": "healthy"}))

    @property
    def mode(self) -> str:
        return {(True, True): "BOTH", (False, True): "FILES_ONLY"}.get(
            (self.writes, self.files), "INVALID"
        )

    @property
    def breaker(self) -> str:
        if self.opened is None:
            return "closed"
        cool = time.monotonic() >= self.opened + self.cooldown
        return "half_open" if cool and "breaker stuck" not in self.faults else "OPEN"

    def _serve(self, visit: Visit) -> None:
        request = visit.request
        body = json.loads(request.body) if request.body else None
        if "network lost" in self.faults and not self.writes:
            visit.reset()
        # A restore that hangs answers long after any deadline.
        if self._is_restore(request.method, request.path, body) and "restore hangs" in self.faults:
            visit.sleep(30)
        with self._lock:
            status, answer = self._answer(request.method, request.path, body)
        json_answer(answer, status)(visit)

    def _is_restore(self, method: str, path: str, body: Any) -> bool:
        return method == "PUT" and path == "/flags" and bool(body["writes"])

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        match method, path.strip("/").split("/"):
            case "GET", ["info"]:
                return 200, {"mode": self.mode, "writes": self.writes, "files": self.files}
            case "PUT", ["flags"]:
                restoring = self._is_restore(method, path, body)
                if restoring and "restore refused" in self.faults:
                    return 409, {"detail": "not now"}
                if not restoring and "switch refused" in self.faults:
                    return 500, {"detail": "no"}
                if restoring and "lost once" in self.faults:
                    self.faults.remove("lost once")
                    return 503, {"detail": "try again"}
                if ("restore lies" if restoring else "switch lies") not in self.faults:
                    self.writes, self.files = body["writes"], body["files"]
                if restoring and "loses writes" in self.faults:
                    self.entries.clear()
                if restoring and "numbers anew" in self.faults:
                    self.entries = {key: {"id": key, "text": "precious"} for key in self.entries}
                return 200, {}
            case "POST", ["entries"]:
                if not self.writes and "no writes" in self.faults:
                    return 503, {"detail": "no database"}
                key = "7" if "one id" in self.faults else str(next(self._ids))
                self.entries[key] = {"id": key, **body}
                if "unclear once" in self.faults:
                    self.faults.remove("unclear once")
                    return 504, {"detail": "who knows"}
                return 201, self.entries[key] | ({} if self.key is ... else {"id": self.key})
            case "GET", ["entries", key]:
                found = self.entries.get(key)
                return (200, found) if found else (404, {})
            case "DELETE", ["entries", key]:
                if "keeps entries" in self.faults:
                    return 403, {}
                return (200, {}) if self.entries.pop(key, None) else (404, {})
            case "PUT", ["faults"]:
                self.silent = body["silent"]
                return 200, {}
            case "GET", ["breaker"]:
                return 200, {"state": self.breaker}
            case "GET", ["memory"]:
                return 200, self._remember()
        return 404, {}

    def _remember(self) -> list[int]:
        if self.breaker == "OPEN":
            return []
        if self.silent:
            self.failures += 1
            bound = 3 if "breaker early" in self.faults else 5
            if self.failures >= bound and "breaker deaf" not in self.faults:
                self.opened = time.monotonic()
            return []
        self.failures, self.opened = 0, None
        return [1]
