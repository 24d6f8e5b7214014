"""One operation of the target against its own specification: every case sent, judged, counted.

What the cases are is `schemathesis_adapter`'s; here is what becomes of them. An operation passes
when all answers are as the document says *and* at least one was a success: a wall of 401 proves
nothing.
"""

import contextlib
import math
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from pytest_prodcheck.analysis.openapi_refs import table
from pytest_prodcheck.checks.contract.parameter_values import RealValues
from pytest_prodcheck.checks.contract.provenance import Known
from pytest_prodcheck.checks.contract.retry_after import Patience
from pytest_prodcheck.checks.contract.violations import (
    SHOWN,
    Violation,
    check_failed,
    key_of,
    remarks,
    size_of,
    told_once,
    violation,
)
from pytest_prodcheck.checks.openapi.document import is_under
from pytest_prodcheck.checks.openapi.operations import Operation
from pytest_prodcheck.config import Contract as Limits
from pytest_prodcheck.config import Target
from pytest_prodcheck.errors import NotAsked
from pytest_prodcheck.guard.acting import case_acts, without_forms
from pytest_prodcheck.http import real_time
from pytest_prodcheck.http.errors import GONE, kind_of
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.transport import WITHOUT, cookie_names
from pytest_prodcheck.model import Exchange, Failure

if TYPE_CHECKING:
    import requests

    from pytest_prodcheck.checks.contract.schemathesis_adapter import (
        Broken,
        Case,
        Contract,
        Response,
    )
    from pytest_prodcheck.http.client import LiveClient

LOADING = 60.0
"""Seconds that Schemathesis may take to read a document; one of 5 MB takes it 2."""

SOUGHT_AGAIN = 5
"""Times that an operation looks for other things, where those that it was given are gone."""

GUESSED_EVERY = 4
"""Of so many cases, one keeps the generated value where a real one is known."""

LEFT_OUT = 30
"""Requests of one operation to see which optional parameters its failures do not need; and for
fields of a body that are left out one by one."""

ABOUT_DATA = (400, 422)
"""Statuses that call the body itself wrong."""


EMPTY: Known = {}

Accepted: TypeAlias = Callable[[Sequence[str]], str]
"""Why the team lives with failures of these titles; "" if it does not."""


class Stop(BaseException):
    """Ends an exploration from within; Hypothesis must not take it for a finding."""

    def __init__(self, why: str, cause: NotAsked | None = None) -> None:
        super().__init__(why)
        self.cause = cause


class CurrentValues:
    """Values of one operation's parameters that exist, read again when one turns out to be gone."""

    def __init__(
        self, read: Callable[[], dict[str, dict[str, Sequence[Any]]]], *, changing: bool, tries: int
    ) -> None:
        self._read = read
        self._changing = changing
        self._left = tries
        self.known = read()
        self.certain = True
        """Whether what was gone when it was asked for is listed all the same."""

    def renew(self) -> bool:
        """Read them again after one was gone; True when they are others now."""
        if not self._changing:
            return False
        self.certain = self._left > 0
        if not self.certain:
            return False
        self._left -= 1
        before, self.known = self.known, self._read()
        return self.known != before


class Enough(Stop):
    """Ends cases by chance alone."""


class Explorer:
    """What all operations of one process share: the document as it is read, and its limits.

    `spec` gives the document; `home` is a folder for what Hypothesis writes; what runs inside
    `undisturbed()` does so in one process at a time.
    """

    def __init__(
        self,
        target: Target,
        limits: Limits,
        spec: Callable[[], Mapping[str, Any]],
        values: RealValues,
        patience: Patience,
        home: Path,
        seed: int,
        undisturbed: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.target = target
        self.limits = limits
        self.values = values
        self.patience = patience
        self.seed = seed
        self.undisturbed = undisturbed
        self._spec = spec
        self._home = home

    @property
    def things_per_operation(self) -> int:
        """How many of the things in a list are asked for one by one: of the request budget, all
        operations together use a quarter for that at most."""
        share = self.target.request_budget // 4 // max(self.values.operations, 1)
        return max(share, 1)

    @cached_property
    def contract(self) -> "Contract":
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
        return schemathesis_adapter.Contract(spec, headers, effort, self._home, cookies)


class Exploration:
    """The requests of one operation, their answers, and what was wrong with them."""

    def __init__(
        self, explorer: Explorer, client: "LiveClient", seconds: float, accepted: Accepted
    ) -> None:
        self._explorer = explorer
        self._client = client
        self._accepted = accepted
        self._base_path = httpx.URL(explorer.target.base_url).path
        self._fruitless = 0
        self._until = real_time.monotonic() + seconds
        self._seconds = seconds
        self.findings: dict[tuple[str, ...], Violation] = {}
        self._smallest: dict[tuple[str, ...], Case] = {}
        self._accepted_body: Case | None = None
        self._fields = 0
        self.statuses: Counter[int] = Counter()
        self.cases = 0
        self.unsendable = 0
        self.acting = ""
        self.proven = False
        self._asked_in_full = False
        self.troubles: list[str] = []
        self._asked_as_stranger: set[str] = set()
        self.stopped = ""
        self.withheld: NotAsked | None = None

    def explore(self, operation: Operation) -> None:
        """Ask every case of it, until its time is over."""

        def ask_all(contract: "Contract") -> None:
            from pytest_prodcheck.checks.contract.schemathesis_adapter import is_by_chance

            changing = self._explorer.values.changing
            values = CurrentValues(
                lambda: self._known(contract, operation),
                changing=changing,
                tries=0 if operation.method == "DELETE" else SOUGHT_AGAIN,
            )

            def ask(case: "Case") -> None:
                if is_by_chance(case):
                    self.try_luck()
                self._ask(case, operation, values)

            self._ask_each_value(contract, operation)
            try:
                self.troubles = contract.cases(operation, ask)
            except Enough as enough:
                self.stopped = str(enough)
            self._asked_in_full = not self.troubles
            # Whatever ends this, time or a target that is busy: what failed has failed.
            with contextlib.suppress(Stop):
                self._leave_out_fields(contract, operation)
                self._leave_out(operation, values)

        self.run(ask_all)

    def _ask(self, case: "Case", operation: Operation, values: "CurrentValues") -> None:
        """Send one case, with values that exist, and judge its answer."""
        real = self.put_in(case, values.known)
        response = self._send_in_turn(case, operation)
        known: Known = values.known
        if response is not None and response.status_code in GONE and real:
            if values.renew():  # what was asked for has been deleted meanwhile
                self._client.exchanges.clear()
                self.put_in(case, values.known)
                response = self._send_in_turn(case, operation)
            known = values.known if values.certain else EMPTY
        if response is not None:
            self.judge(case, response, operation, known=known)

    def _ask_each_value(self, contract: "Contract", operation: Operation) -> None:
        """Ask a plain case for each thing that is known to exist: one of twelve may be broken."""
        from pytest_prodcheck.checks.contract.schemathesis_adapter import Untestable

        names = contract.parameters(operation)["path_parameters"]
        if operation.writes or not names or not contract.asks_examples(operation):
            return
        known = self._known(contract, operation, also_deleted=True)
        lists = known["path_parameters"]
        if set(names) - set(lists):
            return
        try:
            plain = contract.plain(operation)
        except Untestable:
            return  # `cases` tells why
        half = real_time.monotonic() + self._seconds / 2
        most = min(max(map(len, lists.values())), self._explorer.things_per_operation)
        for number in range(most):
            if real_time.monotonic() > half:
                return
            thing = {name: lists[name][number % len(lists[name])] for name in names}
            case = contract.about(plain, thing)
            response = self.send(case, operation)
            if response is None:
                continue
            gone = response.status_code in GONE and self._explorer.values.changing
            if gone and self._known(contract, operation, also_deleted=True) != known:
                self._client.exchanges.clear()  # deleted meanwhile
                continue
            self.judge(case, response, operation, known=known)

    def run(self, ask_all: Callable[["Contract"], None]) -> None:
        """Let it ask, and note what it ended with."""
        from pytest_prodcheck.checks.contract.schemathesis_adapter import Untestable

        try:
            # The first operation of a process loads it for all: that is not its own time.
            with self._time_limit(max(LOADING, self._seconds), "the document was read"):
                contract = self._explorer.contract
            self._until = real_time.monotonic() + self._seconds
            with self._time_limit(self._seconds, "a case was made"):
                ask_all(contract)
        except Untestable as trouble:
            self.troubles.append(str(trouble))
        except Stop as stop:
            self.stopped = str(stop)
            self.withheld = stop.cause

    def try_luck(self) -> None:
        """Before each case, or sequence, by chance. Raises Enough where the check has failed, and
        they have long found no other failure: the verdict stands, and it is time to mend."""
        limit = math.ceil(self._explorer.limits.max_examples / 4)
        if self._fruitless >= limit and self.severe:
            titles = [finding.title for finding in self.severe]
            if not self._accepted(titles):
                raise Enough(f"the last {limit} by chance found nothing else")
        self._fruitless += 1

    @property
    def severe(self) -> list[Violation]:
        """What fails the operation: all that is more than minor."""
        return [one for one in self.findings.values() if not one.minor]

    @property
    def only_fails(self) -> bool:
        """Whether an operation answered 5xx and never a success, until all cases were sent or the
        circuit breaker opened; where its time was over, another run may still see a success."""
        crashed = any(status >= 500 for status in self.statuses)
        return (self._asked_in_full or self.withheld is not None) and crashed and not self.proven

    def _known(
        self, contract: "Contract", operation: Operation, *, also_deleted: bool = False
    ) -> dict[str, dict[str, Sequence[Any]]]:
        """Real values by place and name of the parameter."""

        def of(name: str, place: str) -> Sequence[Any]:
            return self._explorer.values.of(
                name, operation, self._client, place, also_deleted=also_deleted
            )

        return {
            place: {name: real for name in names if (real := of(name, place))}
            for place, names in contract.parameters(operation).items()
        }

    def _send_in_turn(self, case: "Case", operation: Operation) -> "Response | None":
        """As `send`; but a thing that a sequence works on is not deleted under its hands."""
        if case.method.upper() != "DELETE":
            return self.send(case, operation)
        with self.undisturbed():
            return self.send(case, operation)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """In one process of the run at a time; the wait for that is not its own time."""
        began = real_time.monotonic()
        in_main = threading.current_thread() is threading.main_thread()
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0) if in_main else (0.0, 0.0)
        with self._explorer.undisturbed():
            self._until += real_time.monotonic() - began
            if left:
                signal.setitimer(signal.ITIMER_REAL, left)
            yield

    def send(self, case: "Case", operation: Operation) -> "Response | None":
        """Its answer; None where there was none, or where no request can be made of it."""
        from pytest_prodcheck.checks.contract.schemathesis_adapter import Untestable

        if real_time.monotonic() > self._until:
            raise Stop(f"its {self._seconds:g} s were over")
        self.cases += 1
        if self._explorer.target.read_only and (how := self._acts(case, operation)):
            self.unsendable += 1
            self.acting = how
            return None
        try:
            return self._explorer.contract.request(case, operation.base, self._over_the_wire)
        except (Untestable, httpx.InvalidURL, httpx.LocalProtocolError):
            # Such as a URL of more than 64 kB: nothing was sent, so it is no failure.
            self._client.exchanges.clear()
            self.unsendable += 1
        except httpx.RequestError as failure:
            self._note_silence(failure, operation)
        return None

    def _acts(self, case: "Case", operation: Operation) -> str:
        """Which value of a case asks for a change, "" if none does."""
        path, query = table(case.path_parameters), table(case.query)
        return case_acts(path, query, allowed=operation.allowed)

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
        """Note what is wrong with this answer, and keep the evidence of that alone. What the
        checks *ignored* say of it is passed over. *known* are values that exist; `exists`: the
        service has accepted all the values of this case."""
        exchange = self._client.exchanges[-1]
        self.statuses[response.status_code] += 1
        try:
            if response.status_code == 429:
                self._explorer.patience.heed(response.headers, self._until)
                return
            declared = case.operation.responses.status_codes
            self.proven |= is_success(response.status_code, declared)
            if 200 <= response.status_code < 300 and operation.writes:
                self._note_accepted(case)
            contract = self._explorer.contract
            wrong = contract.broken(case, response, operation.base, known, recorder)
            stranger = None
            if self._needs_credentials(operation, response):
                self._asked_as_stranger.add(operation.id)
                stranger = contract.lets_in(case, operation, self._over_the_wire)
            last = self._client.exchanges[-1]
        except httpx.RequestError as failure:
            self._note_silence(failure, operation)
            return
        except NotAsked as withheld:
            raise Stop(str(withheld), withheld) from withheld
        finally:
            self._client.exchanges.clear()
        if exists:
            wrong = [msgspec.structs.replace(one, invented=False) for one in wrong]
        for broken in told_once(wrong):
            if broken.check in ignored:
                continue
            key = key_of(broken, exchange)
            self._note(broken, exchange, key, operation)
            if self.findings[key].exchange is exchange:
                self._smallest[key] = case
        if stranger:
            self._note(stranger, last, key_of(stranger, last), operation)

    def _leave_out_fields(self, contract: "Contract", operation: Operation) -> None:
        """Send what was accepted once more without each field that the document calls optional.

        Where the same again is refused (a name that is taken), a refusal says nothing about the
        field.
        """
        accepted = self._accepted_body
        if accepted is None:
            return
        fields = contract.optional_fields(accepted)[:LEFT_OUT]
        again = self._send_in_turn(accepted, operation) if fields else None
        if again is None:
            return
        self.judge(accepted, again, operation)
        repeatable = 200 <= again.status_code < 300
        for field in fields:
            smaller = contract.without_field(accepted, field)
            response = self._send_in_turn(smaller, operation)
            if response is not None:
                about = response.status_code in ABOUT_DATA
                self.judge(smaller, response, operation, exists=repeatable and about)

    def _leave_out(self, operation: Operation, values: CurrentValues) -> None:
        """Ask what failed once more without each optional parameter: what a failure does not need
        is not to be told. But where the request itself is judged another one is another question,
        and no service is made to crash for a shorter request."""
        from pytest_prodcheck.checks.contract.schemathesis_adapter import (
            ABOUT_REQUESTS,
            optional,
            without,
        )

        left = LEFT_OUT
        for key, smallest in list(self._smallest.items()):
            found = self.findings[key]
            if found.minor or key[0] in ABOUT_REQUESTS or (found.exchange.status or 0) >= 500:
                continue
            for place, name in optional(smallest)[:left]:
                left -= 1
                smaller = without(self._smallest[key], place, name)
                response = self._send_in_turn(smaller, operation)
                if response is not None:
                    known = values.known
                    self.judge(smaller, response, operation, ignored=ABOUT_REQUESTS, known=known)

    def _note_accepted(self, case: "Case") -> None:
        """Keep the case with the most fields that was accepted."""
        from pytest_prodcheck.checks.contract.schemathesis_adapter import is_allowed

        if not isinstance(case.body, dict) or not is_allowed(case):
            return
        fields = _fields_of(case.body)
        if self._accepted_body is None or fields > self._fields:
            self._accepted_body, self._fields = case, fields

    def _needs_credentials(self, operation: Operation, response: "Response") -> bool:
        """Whether it is yet to be seen that this operation refuses strangers."""
        asked = operation.id in self._asked_as_stranger
        return bool(operation.credentials) and not asked and 200 <= response.status_code < 300

    def _note(
        self, broken: "Broken", exchange: Exchange, key: tuple[str, ...], operation: Operation
    ) -> None:
        seen = self.findings.get(key)
        self._fruitless = self._fruitless if seen else 0
        times = 1 + (seen.times if seen else 0)
        if seen and size_of(seen.exchange) <= size_of(exchange):
            self.findings[key] = msgspec.structs.replace(seen, times=times)
        else:
            found = violation(broken, exchange, operation.id)
            self.findings[key] = msgspec.structs.replace(found, times=times)

    def note_last(self, check: str, title: str, message: str, operation: Operation) -> None:
        """What the last request has shown, beyond what one answer can break."""
        from pytest_prodcheck.checks.contract.schemathesis_adapter import Broken

        broken = Broken(check=check, title=title, message=message)
        exchange = self._last_exchange()
        self._note(broken, exchange, key_of(broken, exchange), operation)

    def _note_silence(self, failure: httpx.RequestError, operation: Operation) -> None:
        from pytest_prodcheck.checks.contract.schemathesis_adapter import Broken

        broken = Broken(check="answers", title="No answer", message=str(failure))
        key = (broken.check, broken.title, kind_of(failure))
        self._note(broken, self._last_exchange(), key, operation)

    def _last_exchange(self) -> Exchange:
        """Taken out: what is kept of thousands of requests is the evidence alone."""
        exchange = self._client.exchanges[-1]
        self._client.exchanges.clear()
        return exchange

    def put_in(self, case: "Case", known: Mapping[str, Mapping[str, Sequence[Any]]]) -> bool:
        """Real values for what nobody can guess; now and then the generated one stays.
        Whether there is one in it now."""
        from pytest_prodcheck.checks.contract.schemathesis_adapter import takes_real_values

        if (
            not any(known.values())
            or self.cases % GUESSED_EVERY == 0
            or not takes_real_values(case)
        ):
            return False
        there = False
        for place, real in known.items():
            given = getattr(case, place) or {}
            wanted = real if place == "path_parameters" else set(real).intersection(given)
            chosen = {name: real[name][self.cases % len(real[name])] for name in wanted}
            if chosen:
                setattr(case, place, {**given, **chosen})
                there = True
        return there

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
            self._explorer.patience.wait(self._until)
            return self._client.send(request)
        except NotAsked as withheld:
            raise Stop(str(withheld), withheld) from withheld

    @contextlib.contextmanager
    def _time_limit(self, seconds: float, doing: str) -> Iterator[None]:
        """Making a case may take for ever (a pattern, a length of a thousand million): a timer
        ends that, too, where there can be one."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def over(_number: int, _frame: object) -> None:
            self.troubles.append(f"its {seconds:g} s were over while {doing}")
            raise Stop(self.troubles[-1])

        # Requests have a limit of their own, and the clock is looked at before each: the timer
        # comes last.
        handler = signal.signal(signal.SIGALRM, over)
        timer = signal.setitimer(signal.ITIMER_REAL, seconds + self._explorer.target.timeout)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, handler)


class ContractRun:
    """What a test holds of the contract; `evidence` is what its report shows."""

    def __init__(
        self, explorer: Explorer, connect: Callable[[], "LiveClient"], accepted: Accepted
    ) -> None:
        self.evidence: tuple[Exchange, ...] = ()
        self.remarks: tuple[Failure, ...] = ()
        """What was found that does not fail the check."""
        self._explorer = explorer
        self._connect = connect
        self._accepted = accepted

    def _explored(self, seconds: float, work: Callable[[Exploration], None]) -> Exploration:
        """Let *work* explore. Raises CheckFailed with all distinct failures that it found,
        unless they are minor."""
        with self._connect() as client:
            found = Exploration(self._explorer, client, seconds, self._accepted)
            work(found)
        self.evidence = tuple(finding.exchange for finding in found.findings.values())[:SHOWN]
        if found.severe:
            raise check_failed(found, self._explorer.seed)
        return found


class OperationRun(ContractRun):
    """One operation as a test sees it: what it is, and `check()`."""

    def __init__(
        self,
        operation: Operation,
        explorer: Explorer,
        connect: Callable[[], "LiveClient"],
        accepted: Accepted,
    ) -> None:
        super().__init__(explorer, connect, accepted)
        self.operation = operation

    @property
    def id(self) -> str:
        return self.operation.id

    @property
    def method(self) -> str:
        return self.operation.method

    @property
    def path(self) -> str:
        """As the document has it: `/journal/{id}`."""
        return self.operation.path

    @property
    def tags(self) -> tuple[str, ...]:
        return self.operation.tags

    def check(self) -> Exploration:
        """Return when every answer was as the document says, one of them a success.

        Raises CheckFailed with all distinct failures, and NotAsked when nothing is proven.
        """
        operation = self.operation
        if operation.obstacle:
            raise NotAsked(f"not run: {operation.id} cannot be tested: {operation.obstacle}")
        seconds = self._explorer.limits.time_per_operation
        found = self._explored(seconds, lambda found: found.explore(operation))
        self.remarks = remarks(found.findings.values())
        if unproven := _unproven(operation, found):
            raise NotAsked(f"not run: {unproven}")
        return found

    def __repr__(self) -> str:
        return f"<operation {self.id}>"


def _unproven(operation: Operation, found: Exploration) -> str:
    """Why this operation is not proven to be as the document says; "" if it is."""
    if found.withheld:
        return str(found.withheld).removeprefix("not run: ")
    if found.troubles:
        return f"{operation.id} cannot be tested in full: {'; '.join(found.troubles)}"
    if not found.cases or found.unsendable == found.cases:
        why = found.stopped or "no case could be made of its definition"
        if found.acting:
            why = f"its cases may change something ({found.acting}), and the target is read-only"
        return f"{operation.id} was not asked: {why}"
    if found.proven:
        return ""
    answers = ", ".join(f"{status} ({n})" for status, n in found.statuses.most_common(5))
    return (
        f"{operation.id} is not proven: it never answered with a success in {found.cases} cases, "
        f"but {answers}. {_way_out(operation, found.statuses)}"
    )


def _way_out(operation: Operation, statuses: Mapping[int, int]) -> str:
    most = max(statuses, key=lambda status: statuses[status], default=0)
    names = re.findall(r"\{([^{}]+)\}", operation.path)
    if most in (401, 403):
        return "Give credentials that may ask it: `headers` of the target."
    if most == 429:
        return "Lower `rate` of the target."
    if most in GONE and names:
        values = ", ".join(f"{name} = [...]" for name in names)
        return f"Give values that exist: {values} in [contract.parameters]."
    if most in (400, 404, 409, 422):
        return (
            "Give it data that it takes: an example in the document, or real values in "
            "[contract.parameters]; or leave it out: `exclude` in [contract]."
        )
    return "See what it answers, or leave it out: `exclude` in [contract]."


def is_success(status: int, declared: Sequence[str]) -> bool:
    """2xx; where the document promises no 2xx at all, any status that it does promise below 400."""
    if 200 <= status < 300:
        return True
    promised = any(code.startswith("2") or code == "default" for code in declared)
    return not promised and status < 400 and str(status) in declared


def _fields_of(body: Any) -> int:
    """How many fields an object has, with those of the objects in it."""
    return sum(1 + _fields_of(value) for value in body.values()) if isinstance(body, dict) else 0


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")
