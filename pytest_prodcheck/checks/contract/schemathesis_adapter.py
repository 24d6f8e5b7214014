"""Schemathesis and Hypothesis: the cases of a document, and their verdict on a response.

Nothing here sends: every request goes to a function that is given. Imported when a contract check
runs, never earlier: it takes half a second.
"""

import contextlib
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import HypothesisException
from schemathesis.generation.drivers import CoverageGenerator, ExamplesGenerator
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.generation.hypothesis.examples import generate_one
from schemathesis.generation.hypothesis.reporting import ignore_hypothesis_output
from schemathesis.generation.overrides import Override
from schemathesis.hooks import (
    GLOBAL_HOOK_DISPATCHER,
    dispatch_after_call,
    dispatch_before_call,
)

from pytest_prodcheck.checks.contract.authentication import check_auth_enforced
from pytest_prodcheck.checks.contract.cases import (
    Case,
    Response,
    optional_parameters,
    without_parameter,
)
from pytest_prodcheck.checks.contract.hypothesis_internals import (
    precompute_codec_tables,
    without_local_constants,
)
from pytest_prodcheck.checks.contract.provenance import Documented, Known
from pytest_prodcheck.checks.contract.requests_of_cases import RequestMaker, Wire
from pytest_prodcheck.checks.contract.response_checks import (
    CheckFailure,
    as_check_failures,
    check_response,
)
from pytest_prodcheck.checks.openapi.operations import Operation, closed
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.model import Record

STEPS = 6
"""Requests in a row of one sequence: create, read, change, read, delete, read again."""


class Untestable(Exception):
    """No case can be made of this operation; the message says why."""


class Effort(Record):
    """The number and the kinds of cases that are made of an operation."""

    max_examples: int
    """Random cases, and sequences of all operations; examples and boundaries of the document come
    on top."""
    negative: bool
    """Also what the document forbids, which has to be refused."""
    undeclared: bool
    """Also methods that the path does not have."""
    seed: int


class SchemathesisAdapter:
    """The document as Schemathesis reads it, and the cases that follow from it.

    `headers` are the names of what the target adds to each request by itself, `cookies` those
    of the cookies among them; `home` is a folder for what Hypothesis writes. Raises Untestable
    when the document cannot be read.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        headers: frozenset[str],
        effort: Effort,
        home: Path,
        cookies: Collection[str] = (),
    ) -> None:
        set_hypothesis_home_dir(home)
        precompute_codec_tables()
        self._effort = effort
        self._maker = RequestMaker(headers, cookies)
        self._values: dict[str, Documented] = {}
        try:
            self._schema = schemathesis.openapi.from_dict(
                closed(spec), config=schemathesis.Config.discover()
            )
        except Exception as error:
            raise Untestable(f"the document cannot be read: {_one_line(error)}") from error
        project = self._schema.config
        if headers:
            # The target's own credentials go along: whether they are needed is a check of its
            # own, and a case without them would be sent with them.
            project.generation.with_security_parameters = False
        if not effort.undeclared:
            project.phases.coverage.unexpected_methods = set()

    # --- cases ---

    def cases(self, operation: Operation, use: Callable[[Case], None]) -> list[str]:
        """Give each case of *operation* to `use`: the document's examples, its boundaries, then
        random cases. Return why some could not be made.

        Raises Untestable when Schemathesis has no such operation.
        """
        found = self._find(operation)
        troubles: list[str] = []
        wanted = self._schema.config.phases_for(operation=found)
        for phase, enabled in (
            (self._examples, wanted.examples.enabled),
            (self._coverage, wanted.coverage.enabled),
            (self._fuzzing, wanted.fuzzing.enabled),
        ):
            if not enabled:
                continue
            with _quiet():
                try:
                    phase(found, use, troubles)
                except (HypothesisException, schemathesis.errors.SchemathesisError) as error:
                    troubles.append(_one_line(error))
                except RecursionError:
                    troubles.append("its schema is nested too deeply")
        return list(dict.fromkeys(troubles))

    def parameters(self, operation: Operation) -> dict[str, tuple[str, ...]]:
        """Return the names of the parameters by their place: `path_parameters`, `query`."""
        found = self._find(operation)
        return {
            place: tuple(parameter.name for parameter in getattr(found, place))
            for place in ("path_parameters", "query")
        }

    def sample(self, operation: Operation) -> Case:
        """Return one plain case that the document allows. Raises Untestable."""
        with _quiet():
            try:
                case: Case = generate_one(self._find(operation).as_strategy())
            except (HypothesisException, schemathesis.errors.SchemathesisError) as error:
                raise Untestable(_one_line(error)) from error
        return case

    def minimal(self, operation: Operation) -> Case:
        """Return a sample without the parameters that the document does not require."""
        case = self.sample(operation)
        for place, name in optional_parameters(case):
            case = without_parameter(case, place, name)
        return case

    def sends_examples(self, operation: Operation) -> bool:
        """Return False if a `schemathesis.toml` turns the document's examples off."""
        found = self._find(operation)
        enabled: bool = self._schema.config.phases_for(operation=found).examples.enabled
        return enabled

    def _find(self, operation: Operation) -> Any:
        try:
            return self._schema[operation.path][operation.method]
        except Exception as error:
            raise Untestable(_one_line(error)) from error

    def _modes(self, operation: Any, phase: str) -> list[schemathesis.GenerationMode]:
        """Return the kinds of data of a `schemathesis.toml`, without negative data where only what
        the document allows may be sent."""
        configured = self._schema.config.generation_for(operation=operation, phase=phase).modes
        positive = schemathesis.GenerationMode.POSITIVE
        allowed = [mode for mode in configured if mode is positive or self._effort.negative]
        return allowed or [positive]

    def _examples(self, operation: Any, use: Callable[[Case], None], troubles: list[str]) -> None:
        generator = ExamplesGenerator(
            operation=operation, override=Override(), feedback=NO_FEEDBACK, fill_missing=False
        )
        self._drain(generator, use, troubles)

    def _coverage(self, operation: Any, use: Callable[[Case], None], troubles: list[str]) -> None:
        generator = CoverageGenerator(
            operation=operation,
            generation_modes=self._modes(operation, "coverage"),
            generation_config=self._schema.config.generation_for(
                operation=operation, phase="coverage"
            ),
            auth_storage=None,
            override=Override(),
            feedback=NO_FEEDBACK,
        )
        self._drain(generator, use, troubles)

    def _drain(
        self,
        generator: CoverageGenerator | ExamplesGenerator,
        use: Callable[[Case], None],
        troubles: list[str],
    ) -> None:
        for case in generator:
            use(case)
        troubles += map(_one_line, generator.controller.deferred_errors)

    def _fuzzing(self, operation: Any, use: Callable[[Case], None], troubles: list[str]) -> None:
        modes = self._modes(operation, "fuzzing")
        strategy = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])

        @hypothesis.seed(self._effort.seed)
        @_settings(self._effort.max_examples)
        @hypothesis.given(case=strategy)
        def fuzz(case: Case) -> None:
            use(case)

        fuzz()

    # --- sequences ---

    def sequences(
        self,
        allowed: Collection[tuple[str, str]],
        send: Callable[[Case], Response | None],
        judge: Callable[[Case, Response, Any], None],
        sequence: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Give each step of many sequences of the *allowed* (method, path) to `send`, and its
        response with the sequence so far to `judge`. Without a response a sequence ends. Each runs
        inside `sequence()`.

        Raises Untestable when no operation leads to another.
        """

        def is_allowed(context: Any) -> bool:
            return (context.operation.method.upper(), context.operation.path) in allowed

        try:
            with _quiet():
                machine: Any = self._schema.include(is_allowed).as_state_machine()

                class Sequence(machine):  # type: ignore[misc]
                    def setup(self) -> None:
                        self.turn = contextlib.ExitStack()
                        self.turn.enter_context(sequence())
                        super().setup()

                    def teardown(self) -> None:
                        with self.turn:
                            super().teardown()

                    def call(self, case: Case, **_kwargs: Any) -> Response:
                        response = send(case)
                        return response if response is not None else hypothesis.reject()

                    def validate_response(self, response: Any, case: Case, **_kwargs: Any) -> None:
                        judge(case, response, self.recorder)

                settings = _settings(self._effort.max_examples, stateful_step_count=STEPS)
                hypothesis.seed(self._effort.seed)(Sequence)
                Sequence.run(settings=settings)
        except (HypothesisException, schemathesis.errors.SchemathesisError) as error:
            raise Untestable(_one_line(error)) from error

    # --- requests and responses ---

    def request(self, case: Case, base: str, wire: Wire) -> Response:
        """Send this case. Raises Untestable when no request can be made of it.

        Hooks of the team see it, and may change it, before it is sent; they see its response after.
        """
        context = schemathesis.HookContext(operation=case.operation)
        dispatch_before_call(GLOBAL_HOOK_DISPATCHER, context=context, case=case, kwargs={})
        try:
            prepared = self._maker.prepared(self._maker.arguments(case, base))
        except (requests.RequestException, ValueError, TypeError) as error:
            raise Untestable(f"{type(error).__name__}: {error}") from error
        response = _response(prepared, self._maker.send(prepared, wire))
        hooks = (GLOBAL_HOOK_DISPATCHER, self._schema.hooks)
        dispatch_after_call(*hooks, context=context, case=case, response=response)
        return response

    def check(
        self, case: Case, response: Response, base: str, known: Known, recorder: Any = None
    ) -> list[CheckFailure]:
        """Return everything about this response that is not as the document says.

        *known* are values that exist.
        """
        failures = check_response(case, response, base, self._maker.headers, recorder)
        if not failures:
            return []
        invented = self._documented(case).invented(case, known)
        return as_check_failures(failures, case, invented=invented)

    def check_auth_enforced(
        self, case: Case, operation: Operation, wire: Wire
    ) -> CheckFailure | None:
        """Send this case without its credentials, then with wrong ones: both must be refused."""
        return check_auth_enforced(case, operation, self._maker, wire)

    def _documented(self, case: Case) -> Documented:
        label = case.operation.label
        if label not in self._values:
            self._values[label] = Documented(case.operation)
        return self._values[label]


def _response(prepared: requests.PreparedRequest, sent: httpx.Response) -> Response:
    headers: dict[str, list[str]] = {}
    for name, value in sent.headers.multi_items():
        headers.setdefault(name, []).append(value)
    return Response(
        status_code=sent.status_code,
        headers=headers,
        content=sent.content,
        request=prepared,
        elapsed=sent.elapsed.total_seconds(),
        verify=True,
        message=sent.reason_phrase,
        encoding=sent.encoding,
    )


def _settings(max_examples: int, **more: Any) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        **more,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings and advice of Hypothesis, which are for the authors of its tests."""
    with (
        warnings.catch_warnings(),
        ignore_hypothesis_output(),
        without_local_constants(),
    ):
        warnings.simplefilter("ignore")
        yield


def _one_line(error: BaseException) -> str:
    """Return an error's type and message in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
