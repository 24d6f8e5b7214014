"""A drill as a test sees it: steady state, switch, check, back, steady state again.

Whatever happens in between, the drill is undone: by this process when it can, by its watchdog
when it was killed (`checks.drills.watchdog`), by `prodcheck drill restore` when the machine died.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from pytest_prodcheck import rules
from pytest_prodcheck.checks.answers.expectations import differences
from pytest_prodcheck.checks.drills.kept import Kept
from pytest_prodcheck.checks.drills.lease import Lease
from pytest_prodcheck.checks.drills.restoring import Site, remove, restore
from pytest_prodcheck.checks.drills.switching import Refused, SwitchFailed, ask, filled, flip
from pytest_prodcheck.checks.drills.watchdog import Watchdog
from pytest_prodcheck.checks.modes.flags import FlagsCheck
from pytest_prodcheck.config import Drill
from pytest_prodcheck.errors import CheckFailed, NotAsked, ProdcheckError
from pytest_prodcheck.http.body import strict_json
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.jsonpath import value_at
from pytest_prodcheck.measuring import Measure
from pytest_prodcheck.model import FlagReading
from pytest_prodcheck.store.undo_journal import FILE, Begin, UndoJournal, unfinished
from pytest_prodcheck.waiting import until

WRITES = 3
"""How often something is written while switched: one that is lost of three is seen."""

TTL_SPARE = 60.0
"""Seconds on top of what a drill may take, for `{ttl}`."""


class DrillCheck:
    """`drill.steady_state()`, `with drill.switched():`, `drill.check()`."""

    def __init__(
        self,
        drill: Drill,
        site: Site,
        way_back: Site,
        begin: Begin,
        run: Path,
        measure: Measure,
        kept: Kept,
    ) -> None:
        self.drill = drill
        self._site = site
        self._way_back = way_back
        """The same target, with requests to spare."""
        self._begin = begin
        self._run = run
        self._measure = measure
        self._kept = kept
        self._lease: Lease | None = None
        self._before: FlagReading | None = None
        self._written: dict[str, Any] = {}
        self._opened = 0.0
        self._watched = False

    @property
    def name(self) -> str:
        return self.drill.name

    # --- before and after ---

    def steady_state(self) -> None:
        """Return when the target is well, and, after a drill, as it was before.

        Raises NotAsked when another drill on this target is under way or was never undone, and
        CheckFailed when the target is not well: then nothing is switched.
        """
        self._take_lease()
        troubles = self._site.troubles(self._site.probes)
        if self._before is not None:
            again = "no longer "
            if differs := self._site.differs(self._before):
                troubles["flags"] = differs
        else:
            again = "nothing was switched: not "
            troubles |= self._flags_before()
            if holds := self._site.still_holds(self.drill):
                troubles["the switch"] = f"{holds}, so a drill would prove nothing"
        if troubles:
            lines = [f"{name}: {wrong}" for name, wrong in troubles.items()]
            raise self._failed(
                {"drill.unsteady": f"{again}in the steady state: " + "\n".join(lines)}
            )

    def _flags_before(self) -> dict[str, str]:
        """Remember them; returns what speaks against a drill."""
        if not self._site.flags:
            self._before = FlagReading()
            return {}
        flags = FlagsCheck(self._site.flags, self._site.connect)
        try:
            flags.check()
        except CheckFailed as broken:
            return {"flags": str(broken)}
        self._before = flags.plain()
        return {}

    def _take_lease(self) -> None:
        if self._lease:
            return
        begin = self._begin
        self._lease = Lease.take(begin.base_url)
        if not self._lease:
            raise NotAsked(
                f"not run: another drill on {begin.target} is under way from this machine; wait "
                "for its end"
            )
        for path, earlier in unfinished(self._run.parent):
            # Data that is left does not refuse the drill: the steady state will show.
            if earlier.switched and earlier.begin.base_url == begin.base_url:
                raise NotAsked(
                    f"not run: a drill of run {path.parent.name} is not undone "
                    f"({'; '.join(earlier.leftovers)}). Run `prodcheck drill restore`"
                )

    def close(self) -> None:
        """Let other drills come."""
        if self._lease:
            self._lease.release(still_held=self._watched)
            self._lease = None

    # --- there and back ---

    @contextmanager
    def switched(self) -> Iterator[None]:
        """Flip the switch for the block, and flip it back afterwards, whatever happens.

        Raises CheckFailed when it cannot be flipped or does not take effect, when something written
        meanwhile is lost, and when the target is not as before afterwards.
        """
        if self._before is None:
            self.steady_state()
        assert self._lease
        begin = msgspec.structs.replace(
            self._begin,
            before=self._before or FlagReading(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._journal = journal = UndoJournal(self._run / FILE, begin.mark, self._site.clean)
        journal.write("begin", **msgspec.to_builtins(begin))
        try:
            watchdog = Watchdog.start(journal.path, self._lease, self._kept)
        except BaseException:
            journal.close()
            raise
        journal.tell = watchdog.tell
        failed: BaseException | None = None
        try:
            try:
                self._switch(journal)
                yield
            except BaseException as error:
                failed = error
                raise
            finally:
                self._back(begin, journal, failed)
        finally:
            # An end that was not written is the watchdog's to bring about.
            self._watched = not watchdog.dismiss(3 * self.drill.within + 5)
            journal.close()

    def _switch(self, journal: UndoJournal) -> None:
        drill = self.drill
        fill = {"drill": self._begin.mark, "ttl": int(4 * drill.within + TTL_SPARE)}
        journal.write("switch")
        began = time.monotonic()
        try:
            with self._site.connect() as client:
                flip(drill.switch, client, self._site.root, seconds=drill.within, fill=fill)
        except SwitchFailed as failure:
            message = f"the switch could not be flipped: {failure}"
            raise self._failed({"drill.switch_failed": message}) from None
        journal.write("switched")
        if late := until(self._no_mode, drill.within):
            message = f"{drill.switch} was accepted, but {drill.within:g} s later {late}"
            raise self._failed({"drill.no_effect": message})
        self._measure("drill.switch_s", time.monotonic() - began)

    def _no_mode(self) -> str:
        """Return why the mode is not in force; "" if it is, or if none is declared."""
        if not self.drill.mode or not self._site.flags:
            return ""
        try:
            flags = FlagsCheck(self._site.flags, self._site.connect)
            mode, named = flags.mode, flags.reported_mode
        except (httpx.HTTPError, ProdcheckError, AssertionError) as error:
            return f"the flags cannot be read: {error}"
        if mode != self.drill.mode:
            return f"the flags mean {mode}, not {self.drill.mode}"
        if named is not None and named != self.drill.mode:
            return f"the target says that it is in mode {named}, not {self.drill.mode}"
        return ""

    def _back(self, begin: Begin, journal: UndoJournal, failed: BaseException | None) -> None:
        """Undo, and judge what became of what was written."""
        found: dict[str, str] = {}
        lost: dict[str, str] = {}
        began = time.monotonic()
        if still := restore(self.drill, begin, self._way_back, journal, by="the run"):
            found["drill.not_restored"] = still
        else:
            self._measure("drill.restore_s", time.monotonic() - began)
            if failed is None:
                lost = self._lost()
                found |= self._told_lost(lost) | self._stuck()
        found |= self._removed(journal, lost)
        # A signal stays a signal; the journal says what is left.
        if found and (failed is None or isinstance(failed, Exception)):
            if failed:
                found["drill.failed"] = f"before that: {failed}"
            raise self._failed(found)

    def _removed(self, journal: UndoJournal, lost: Collection[str]) -> dict[str, str]:
        """Take away what was written, close the books, and name what is left exactly.

        What was lost by the rollback may still be in another store: it stays in the journal.
        """
        there = [path for path in journal.rehearsal.written if path not in lost]
        unremoved = remove(there, self._begin.mark, self._way_back, journal)
        left = journal.rehearsal.leftovers
        if left:
            journal.write("left", what=left)
        else:
            journal.write("end")
        return {"drill.left_behind": "\n".join([*left, *unremoved])} if left or unremoved else {}

    # --- while switched ---

    def check(self) -> None:
        """Return when the service is as it should be while switched.

        Its mode, the probes (with those of the drill in place of their like), what it writes, and
        the circuit breaker. Raises CheckFailed with all that is wrong.
        """
        found: dict[str, str] = {}
        if self.drill.breaker:
            found |= self._opens()
        probes = {probe.id: probe for probe in (*self._site.probes, *self.drill.probes)}

        def wrong() -> str:
            troubles = self._site.troubles(list(probes.values()))
            return "\n".join(f"{name}: {text}" for name, text in troubles.items())

        if troubles := until(wrong, self.drill.within):
            found["drill.probe"] = f"while switched: {troubles}"
        if mode := self._no_mode():
            found["drill.no_effect"] = mode
        if self.drill.writes:
            found |= self._write()
        if found:
            raise self._failed(found)

    def _write(self) -> dict[str, str]:
        """Write, and read it again at once."""
        writes = self.drill.writes
        assert writes
        wrong = []
        for _ in range(WRITES):
            fill = {"drill": self._begin.mark}
            sent = filled(writes.request.json, fill)
            self._journal.write("write")
            try:
                with self._site.connect() as client:
                    answer = ask(writes.request, client, fill)
                key = value_at(strict_json(answer.content), writes.id)
            except (httpx.HTTPError, ProdcheckError, ValueError) as failure:
                if isinstance(failure, Refused):
                    self._journal.write("unwritten")
                wrong.append(f"a write failed: {failure}")
                continue
            if not _is_id(key):
                wrong.append(f"the answer to POST {writes.request.path} has no id at {writes.id}")
                continue
            path = writes.read.replace("{id}", quote(str(key), safe=""))
            self._journal.write("kept" if writes.keep else "written", path=path)
            if path in self._written:
                wrong.append(f"two writes were given one place, {path}")
            self._written[path] = sent
            if unlike := self._unlike(path, sent):
                wrong.append(unlike)
        return {"drill.write_failed": "; ".join(dict.fromkeys(wrong))} if wrong else {}

    def _unlike(self, path: str, sent: Any) -> str:
        """Return how the value at *path* differs from what was sent; "" if it does not."""
        try:
            with self._site.connect() as client:
                answer = client.get(path)
            if not answer.is_success:
                return f"GET {path} answers {answer.status_code}, and it was written"
            return "; ".join(differences(sent, strict_json(answer.content), self._site.clean))
        except (httpx.HTTPError, ProdcheckError, ValueError) as failure:
            return f"GET {path}: {failure}"

    def _lost(self) -> dict[str, str]:
        """Return path -> how what was written while switched differs after the rollback."""
        return {
            path: lost for path, sent in self._written.items() if (lost := self._unlike(path, sent))
        }

    def _told_lost(self, lost: Mapping[str, str]) -> dict[str, str]:
        if not lost:
            return {}
        count = f"{len(lost)} of {len(self._written)} writes are lost after the rollback"
        return {"drill.write_lost": f"{count}: {'; '.join(lost.values())}"}

    # --- the circuit breaker ---

    def _opens(self) -> dict[str, str]:
        """Check that the breaker stays closed until so many failures, and is open after them."""
        breaker = self.drill.breaker
        assert breaker
        for number in range(breaker.failures):
            state = self._breaker()
            if number and state.startswith("open"):
                return {
                    "drill.breaker_early": f"the breaker is open after {number} failures, "
                    f"declared are {breaker.failures}"
                }
            self._call()
        state = until(lambda: "" if (s := self._breaker()) == "open" else s, 1.0)
        self._opened = time.monotonic()
        if not state:
            return {}
        return {
            "drill.breaker_closed": f"after {breaker.failures} failures in a row the breaker is "
            f"{state}, not open"
        }

    def _stuck(self) -> dict[str, str]:
        """After the cool-down one try closes it again."""
        breaker = self.drill.breaker
        if not breaker or not self._opened:
            return {}
        time.sleep(max(0.0, self._opened + breaker.cooldown - time.monotonic()))

        def not_closed() -> str:
            self._call()
            return "" if (state := self._breaker()) == "closed" else state

        if state := until(not_closed, breaker.cooldown + self.drill.within):
            waited = time.monotonic() - self._opened
            return {
                "drill.breaker_stuck": f"{waited:.1f} s after it opened, with a cool-down of "
                f"{breaker.cooldown:g} s and the dependency back, the breaker is still {state}"
            }
        return {}

    def _call(self) -> None:
        """Send one request that needs the dependency; its response is not judged."""
        assert self.drill.breaker
        try:
            with self._site.connect() as client:
                client.get(self.drill.breaker.path)
        except httpx.HTTPError:
            return

    def _breaker(self) -> str:
        """Return the breaker's state in one spelling: closed, open, half-open, or what the target
        says."""
        breaker = self.drill.breaker
        assert breaker
        try:
            with self._site.connect() as client:
                state = value_at(strict_json(client.get(breaker.source).content), breaker.state)
        except (httpx.HTTPError, ValueError) as failure:
            return f"unknown ({failure})"
        if state is None:
            return f"not reported at {breaker.state} of {breaker.source}"
        return str(state).strip().lower().replace("_", "-").replace(" ", "-")

    def _failed(self, found: Mapping[str, str]) -> CheckFailed:
        """Return the exception for what was found, by rule."""
        failures = [
            rules.failure(rule, f"drill {self.name}", message, data_loss=rule == "drill.write_lost")
            for rule, message in found.items()
        ]
        return CheckFailed("\n".join(found.values()), failures)

    def __repr__(self) -> str:
        return f"<drill {self.name}>"


def _is_id(value: Any) -> bool:
    """Something that can stand in a path and mean one thing: it is going to be deleted there."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, str) and value.strip("./ ") != "")
