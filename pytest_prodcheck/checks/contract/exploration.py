"""One operation against its own document: every case sent, judged, counted.

An operation passes when all responses are as the document says *and* at least one was a success: a
wall of 401 proves nothing.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from pytest_prodcheck.analysis.openapi_refs import table
from pytest_prodcheck.checks.contract.parameter_values import CurrentValues, RealValues
from pytest_prodcheck.checks.contract.provenance import Known
from pytest_prodcheck.checks.contract.retry_after import RetryAfterGate
from pytest_prodcheck.checks.contract.smaller_cases import (
    LargestAccepted,
    leave_out_fields,
    leave_out_parameters,
)
from pytest_prodcheck.checks.contract.time_limit import pause_time_limit, time_limit
from pytest_prodcheck.checks.contract.violations import Violations, without_repetition
from pytest_prodcheck.checks.openapi.document import is_under
from pytest_prodcheck.checks.openapi.operations import Operation
from pytest_prodcheck.config import Contract as ContractOptions
from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.guard.acting import case_acts, without_forms
from pytest_prodcheck.http import real_time
from pytest_prodcheck.http.errors import GONE, kind_of
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.transport import WITHOUT, cookie_names
from pytest_prodcheck.model import Exchange

if TYPE_CHECKING:
    import requests

    from pytest_prodcheck.checks.contract.cases import Case, Response
    from pytest_prodcheck.checks.contract.schemathesis_adapter import SchemathesisAdapter
    from pytest_prodcheck.http.client import LiveClient

LOADING = 60.0
"""Seconds that Schemathesis may take to read a document; one of 5 MB takes it 2."""

MAX_VALUE_REFRESHES = 5
"""Times that the values of one operation are read again because one was gone."""

GENERATED_VALUE_EVERY = 4
"""Of so many cases, one keeps the generated value where a real one is known."""

EMPTY: Known = {}

Accepted: TypeAlias = Callable[[Sequence[str]], str]
"""Returns the reason in known.toml for failures of these titles; "" if they are not accepted."""


class Stop(BaseException):
    """Ends an exploration from within; Hypothesis must not take it for a finding."""

    def __init__(self, why: str, cause: NotAsked | None = None) -> None:
        super().__init__(why)
        self.cause = cause


class Saturated(Stop):
    """Ends the random cases only."""


class Explorer:
    """The document as Schemathesis reads it, and the limits: shared by a process's operations.

    `spec` returns the document; `home` is a folder for what Hypothesis writes; what runs inside
    `undisturbed()` does so in one process at a time.
    """

    def __init__(
        self,
        target: Target,
        limits: ContractOptions,
        spec: Callable[[], Mapping[str, Any]],
        values: RealValues,
        retry_after: RetryAfterGate,
        home: Path,
        seed: int,
        undisturbed: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.target = target
        self.limits = limits
        self.values = values
        self.retry_after = retry_after
        self.seed = seed
        self.undisturbed = undisturbed
        self._spec = spec
        self._home = home

    @property
    def items_per_operation(self) -> int:
        """Return how many items of a list an operation requests one by one: for that, all
        operations together use a quarter of the request budget at most."""
        share = self.target.request_budget // 4 // max(self.values.operations, 1)
        return max(share, 1)

    @cached_property
    def adapter(self) -> "SchemathesisAdapter":
        """Loaded once a process, and not before an operation runs. Raises Untestable."""
        from pytest_prodcheck.checks.contract import schemathesis_adapter

        read_only = self.target.read_only
        effort = schemathesis_adapter.Effort(
            max_examples=self.limits.max_examples,
            negative=not read_only,
            undeclared=not read_only,
            seed=self.seed,
        )
        headers = frozenset(self.target.headers)
        cookies = cookie_names(self.target)
        spec = without_forms(self._spec()) if read_only else self._spec()
        return schemathesis_adapter.SchemathesisAdapter(spec, headers, effort, self._home, cookies)


class Exploration:
    """The requests of one operation, their responses, and their violations.

    `seconds` is the time it may take. `proven` is True once a response was a success; `stopped`
    says why not all cases were sent, `troubles` why some could not be made, `acting` why some may
    not be sent to a read-only target; `withheld` is the limit of the run that ended it.
    """

    def __init__(
        self, explorer: Explorer, client: "LiveClient", seconds: float, accepted: Accepted
    ) -> None:
        self.violations = Violations()
        self.statuses: Counter[int] = Counter()
        self.cases = 0
        self.unsendable = 0
        self.acting = ""
        self.proven = False
        self.troubles: list[str] = []
        self.stopped = ""
        self.withheld: NotAsked | None = None
        self._explorer = explorer
        self._client = client
        self._accepted = accepted
        self._base_path = httpx.URL(explorer.target.base_url).path
        self._seconds = seconds
        self._until = real_time.monotonic() + seconds
        self._fruitless = 0
        self._largest_accepted = LargestAccepted()
        self._auth_checked: set[str] = set()
        self._sent_in_full = False

    def explore(self, operation: Operation) -> None:
        """Send every case of the operation until its time is over."""

        def send_all(adapter: "SchemathesisAdapter") -> None:
            from pytest_prodcheck.checks.contract.cases import is_random

            values = CurrentValues(
                lambda: self._known(adapter, operation),
                changing=self._explorer.values.changing,
                refreshes=0 if operation.method == "DELETE" else MAX_VALUE_REFRESHES,
            )

            def use(case: "Case") -> None:
                if is_random(case):
                    self.stop_if_saturated()
                self._use(case, operation, values)

            self._request_each_item(adapter, operation)
            try:
                self.troubles = adapter.cases(operation, use)
            except Saturated as saturated:
                self.stopped = str(saturated)
            self._sent_in_full = not self.troubles
            # Whatever ends this, time or a busy target: a violation stays one.
            with contextlib.suppress(Stop):
                leave_out_fields(self._largest_accepted.case, operation, self)
                leave_out_parameters(operation, values, self)

        self.run(send_all)

    def run(self, work: Callable[["SchemathesisAdapter"], None]) -> None:
        """Let *work* send requests, and record what ended it."""
        from pytest_prodcheck.checks.contract.schemathesis_adapter import Untestable

        try:
            # The first operation of a process loads it for all: that is not its own time.
            with self._time_limit(max(LOADING, self._seconds), "the document was read"):
                adapter = self._explorer.adapter
            self._until = real_time.monotonic() + self._seconds
            with self._time_limit(self._seconds, "a case was made"):
                work(adapter)
        except Untestable as trouble:
            self.troubles.append(str(trouble))
        except Stop as stop:
            self.stopped = str(stop)
            self.withheld = stop.cause

    def stop_if_saturated(self) -> None:
        """Call it before each random case or sequence.

        Raises Saturated when the check has failed, and the last quarter of `max_examples` found no
        other failure: the verdict stands.
        """
        limit = math.ceil(self._explorer.limits.max_examples / 4)
        severe = self.violations.severe
        if self._fruitless >= limit and severe and not self._accepted([v.title for v in severe]):
            raise Saturated(f"the last {limit} random ones found nothing else")
        self._fruitless += 1

    @property
    def only_crashes(self) -> str:
        """A message if responses were 5xx and never a success, until all cases were sent or the
        circuit breaker opened; where its time was over, another run may still see a success."""
        crashed = any(status >= 500 for status in self.statuses)
        if self.proven or not crashed or not (self._sent_in_full or self.withheld):
            return ""
        statuses = ", ".join(f"{status} ({n})" for status, n in self.statuses.most_common(5))
        return f"not one of {self.cases} cases was a success: {statuses}"

    def _use(self, case: "Case", operation: Operation, values: CurrentValues) -> None:
        """Send one case, with values that exist, and judge its response."""
        real = self._put_real_values(case, values.known)
        response = self.send_in_turn(case, operation)
        known: Known = values.known
        if response is not None and response.status_code in GONE and real:
            if values.refresh():  # what was requested has been deleted meanwhile
                self._client.exchanges.clear()
                self._put_real_values(case, values.known)
                response = self.send_in_turn(case, operation)
            known = values.known if values.certain else EMPTY
        if response is not None:
            self.judge(case, response, operation, known=known)

    def _request_each_item(self, adapter: "SchemathesisAdapter", operation: Operation) -> None:
        """Request each item that is known to exist: one of twelve may be broken."""
        from pytest_prodcheck.checks.contract.cases import with_path_parameters
        from pytest_prodcheck.checks.contract.schemathesis_adapter import Untestable

        names = adapter.parameters(operation)["path_parameters"]
        if operation.writes or not names or not adapter.sends_examples(operation):
            return
        known = self._known(adapter, operation, also_deleted=True)
        lists = known["path_parameters"]
        if set(names) - set(lists):
            return
        try:
            minimal = adapter.minimal(operation)
        except Untestable:
            return  # `cases` says why
        half = real_time.monotonic() + self._seconds / 2
        most = min(max(map(len, lists.values())), self._explorer.items_per_operation)
        for number in range(most):
            if real_time.monotonic() > half:
                return
            item = {name: lists[name][number % len(lists[name])] for name in names}
            case = with_path_parameters(minimal, item)
            response = self.send(case, operation)
            if response is None:
                continue
            gone = response.status_code in GONE and self._explorer.values.changing
            if gone and self._known(adapter, operation, also_deleted=True) != known:
                self._client.exchanges.clear()  # deleted meanwhile
                continue
            self.judge(case, response, operation, known=known)

    # --- values ---

    def _known(
        self, adapter: "SchemathesisAdapter", operation: Operation, *, also_deleted: bool = False
    ) -> dict[str, dict[str, Sequence[Any]]]:
        """Return real values by place and name of the parameter."""

        def of(name: str, place: str) -> Sequence[Any]:
            return self._explorer.values.of(
                name, operation, self._client, place, also_deleted=also_deleted
            )

        return {
            place: {name: real for name in names if (real := of(name, place))}
            for place, names in adapter.parameters(operation).items()
        }

    def _put_real_values(
        self, case: "Case", known: Mapping[str, Mapping[str, Sequence[Any]]]
    ) -> bool:
        """Replace what nobody can guess; every few cases the generated value stays.

        Returns whether the case has a real value now.
        """
        from pytest_prodcheck.checks.contract.cases import takes_real_values

        if (
            not any(known.values())
            or self.cases % GENERATED_VALUE_EVERY == 0
            or not takes_real_values(case)
        ):
            return False
        replaced = False
        for place, real in known.items():
            given = getattr(case, place) or {}
            wanted = real if place == "path_parameters" else set(real).intersection(given)
            chosen = {name: real[name][self.cases % len(real[name])] for name in wanted}
            if chosen:
                setattr(case, place, {**given, **chosen})
                replaced = True
        return replaced

    # --- sending ---

    def send_in_turn(self, case: "Case", operation: Operation) -> "Response | None":
        """Send as `send` does, but a DELETE never while another process runs a sequence."""
        if case.method.upper() != "DELETE":
            return self.send(case, operation)
        with self.undisturbed():
            return self.send(case, operation)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Run the block in one process of the run at a time; waiting for it costs no time."""
        began = real_time.monotonic()
        resume_time_limit = pause_time_limit()
        with self._explorer.undisturbed():
            self._until += real_time.monotonic() - began
            resume_time_limit()
            yield

    def send(self, case: "Case", operation: Operation) -> "Response | None":
        """Return the response; None if there was none, or if no request can be made of the case.

        Raises Stop when the time is over, or a limit of the run withholds the request.
        """
        from pytest_prodcheck.checks.contract.schemathesis_adapter import Untestable

        if real_time.monotonic() > self._until:
            raise Stop(f"its {self._seconds:g} s were over")
        self.cases += 1
        if self._explorer.target.read_only and (how := _acts(case, operation)):
            self.unsendable += 1
            self.acting = how
            return None
        try:
            return self._explorer.adapter.request(case, operation.base, self._over_the_wire)
        except (Untestable, httpx.InvalidURL, httpx.LocalProtocolError):
            # Such as a URL of more than 64 kB: nothing was sent, so it is not a failure.
            self._client.exchanges.clear()
            self.unsendable += 1
        except httpx.RequestError as failure:
            self._note_silence(failure, operation)
        return None

    def _over_the_wire(
        self,
        prepared: "requests.PreparedRequest",
        headers: Mapping[str, str | bytes],
        without: frozenset[str],
    ) -> httpx.Response:
        from pytest_prodcheck.checks.contract.schemathesis_adapter import Untestable

        request = httpx.Request(
            str(prepared.method),
            str(prepared.url),
            # Blanks around a value are not part of it (RFC 9110, 5.5), and h11 sends none.
            headers=[
                (_bytes(name), _bytes(value).strip(b" \t")) for name, value in headers.items()
            ],
            content=_bytes(prepared.body or b""),
            extensions={WITHOUT: without},
        )
        if not is_under(request.url.path, self._base_path):
            # A parameter such as `..` has led out of it: httpx resolves such segments.
            raise Untestable(f"{request.url.path} is outside of base_url")
        try:
            self._explorer.retry_after.wait(self._until)
            return self._client.send(request)
        except NotAsked as withheld:
            raise Stop(str(withheld), withheld) from withheld

    def _time_limit(self, seconds: float, doing: str) -> AbstractContextManager[None]:
        """Limit what may take for ever: making a case of a pattern, or of a length of 10⁹."""

        def over() -> None:
            self.troubles.append(f"its {seconds:g} s were over while {doing}")
            raise Stop(self.troubles[-1])

        # Requests have a limit of their own, and the time is checked before each: the timer comes
        # last.
        return time_limit(seconds + self._explorer.target.timeout, over)

    # --- judging ---

    def judge(
        self,
        case: "Case",
        response: "Response",
        operation: Operation,
        recorder: Any = None,
        ignored: Collection[str] = (),
        known: Known = EMPTY,
        exists: bool = False,
    ) -> None:
        """Record what is wrong with this response, and keep its exchange as evidence.

        Checks in *ignored* do not count. *known* are values that exist; `exists` says that the
        service has accepted all values of this case.
        """
        exchange = last = self._client.exchanges[-1]
        self.statuses[response.status_code] += 1
        try:
            if response.status_code == 429:
                self._explorer.retry_after.record(response.headers, self._until)
                return
            declared = case.operation.responses.status_codes
            self.proven |= is_success(response.status_code, declared)
            succeeded = 200 <= response.status_code < 300
            if succeeded and operation.writes:
                self._largest_accepted.offer(case)
            adapter = self._explorer.adapter
            failures = adapter.check(case, response, operation.base, known, recorder)
            open_door = None
            if succeeded and operation.credentials and operation.id not in self._auth_checked:
                self._auth_checked.add(operation.id)
                open_door = adapter.check_auth_enforced(case, operation, self._over_the_wire)
            last = self._client.exchanges[-1]
        except httpx.RequestError as failure:
            self._note_silence(failure, operation)
            return
        except NotAsked as withheld:
            raise Stop(str(withheld), withheld) from withheld
        finally:
            self._client.exchanges.clear()
        if exists:
            failures = [msgspec.structs.replace(one, invented=False) for one in failures]
        for failed in without_repetition(failures):
            if failed.check not in ignored:
                self._count(self.violations.add(failed, exchange, operation.id, case=case))
        if open_door:
            self._count(self.violations.add(open_door, last, operation.id))

    def note_last(self, check: str, title: str, message: str, operation: Operation) -> None:
        """Record what the last request has shown together with those before it."""
        from pytest_prodcheck.checks.contract.response_checks import CheckFailure

        failed = CheckFailure(check=check, title=title, message=message)
        self._count(self.violations.add(failed, self._last_exchange(), operation.id))

    def _note_silence(self, failure: httpx.RequestError, operation: Operation) -> None:
        from pytest_prodcheck.checks.contract.response_checks import CheckFailure

        failed = CheckFailure(check="answers", title="No answer", message=str(failure))
        key = (failed.check, failed.title, kind_of(failure))
        self._count(self.violations.add(failed, self._last_exchange(), operation.id, key=key))

    def _count(self, is_new: bool) -> None:
        """Count the cases since the last violation of a new kind."""
        if is_new:
            self._fruitless = 0

    def _last_exchange(self) -> Exchange:
        """Take the last exchange out: of thousands of requests only the evidence is kept."""
        exchange = self._client.exchanges[-1]
        self._client.exchanges.clear()
        return exchange


def is_success(status: int, declared: Sequence[str]) -> bool:
    """Return True for 2xx; where the document promises no 2xx, for any status it does promise
    below 400."""
    if 200 <= status < 300:
        return True
    promised = any(code.startswith("2") or code == "default" for code in declared)
    return not promised and status < 400 and str(status) in declared


def _acts(case: "Case", operation: Operation) -> str:
    """Return which value of a case asks for a change; "" if none does."""
    path, query = table(case.path_parameters), table(case.query)
    return case_acts(path, query, allowed=operation.allowed)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")
