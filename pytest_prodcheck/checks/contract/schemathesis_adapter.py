"""All contact with Schemathesis and Hypothesis: which cases to ask, and what an answer breaks.

Nothing here sends: every request goes to a function that is given. Imported when a contract item
runs, never earlier: it takes half a second.
"""

import contextlib
import copy
import gzip
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import HypothesisException
from hypothesis.internal import constants_ast
from hypothesis.internal.charmap import charmap_file
from hypothesis.internal.conjecture import providers
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation.drivers import CoverageGenerator, ExamplesGenerator
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.generation.hypothesis.examples import generate_one
from schemathesis.generation.hypothesis.reporting import ignore_hypothesis_output
from schemathesis.generation.meta import TestPhase
from schemathesis.generation.overrides import Override
from schemathesis.hooks import (
    GLOBAL_HOOK_DISPATCHER,
    dispatch_after_call,
    dispatch_before_call,
)
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    object_level_authorization,
    response_schema_conformance,
)

from pytest_prodcheck.analysis.openapi_refs import array, resolved, table
from pytest_prodcheck.checks.contract.provenance import Documented, Known
from pytest_prodcheck.checks.openapi.operations import Credential, Operation, closed
from pytest_prodcheck.http.body import BODILESS
from pytest_prodcheck.http.lean_httpx import httpx
from pytest_prodcheck.http.recording import HARMLESS
from pytest_prodcheck.http.transport import COOKIE
from pytest_prodcheck.model import Record

Case: TypeAlias = schemathesis.Case[Any]
Response: TypeAlias = schemathesis.Response
Wire = Callable[
    [requests.PreparedRequest, Mapping[str, str | bytes], frozenset[str]], httpx.Response
]
"""Sends a request with these headers, without those of the target that are named (see WITHOUT)."""

PLACEHOLDER = "prodcheck"
"""Stands for the value of a header of the target, which is never given to Schemathesis."""

NO_CONSTANTS = constants_ast.Constants()

NOT_OURS = frozenset(("user-agent", "x-schemathesis-testcaseid"))

STEPS = 6
"""Requests in a row of one workflow: create, read, change, read, delete, read again."""


class Untestable(Exception):
    """No case can be made of this operation; the message says why."""


class Effort(Record):
    """How much is asked of an operation."""

    max_examples: int
    """Cases drawn by chance, and sequences of all operations; examples and coverage of the
    document come on top."""
    negative: bool
    """Also what the document forbids, which has to be refused."""
    undeclared: bool
    """Also methods that the path does not have."""
    seed: int


class Broken(Record):
    """One way in which an answer is not as the document says."""

    check: str
    title: str
    message: str
    parameter: str = ""
    """What the request was about, where that is what is judged."""
    invented: bool = False
    """Whether the request held values that need not exist."""
    forbidden: bool = False
    """Whether the document forbids the request, so that it has to be refused."""


class Contract:
    """The document as Schemathesis reads it, and the cases that follow from it.

    `headers` are the names of what the target adds to each request on its own, `cookies` those
    of the cookies among them. Raises Untestable when the document cannot be read.
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
        _spare_tables()
        self._effort = effort
        self._values: dict[str, Documented] = {}
        self._headers = dict.fromkeys(headers, PLACEHOLDER)
        # Cookies of a case are sent together with those of the target, see live.transport.
        self._placed = {name: PLACEHOLDER for name in headers if name.lower() != "cookie"}
        self._cookies = cookies
        try:
            self._schema = schemathesis.openapi.from_dict(
                closed(spec), config=schemathesis.Config.discover()
            )
        except Exception as error:
            raise Untestable(f"the document cannot be read: {_told(error)}") from error
        project = self._schema.config
        if headers:
            # The target's own credentials go along: whether they are needed is a check of its
            # own, and a case without them would be sent with them.
            project.generation.with_security_parameters = False
        if not effort.undeclared:
            project.phases.coverage.unexpected_methods = set()

    # --- cases ---

    def cases(self, operation: Operation, ask: Callable[[Case], None]) -> list[str]:
        """Give each case of *operation* to `ask`: the document's examples, its boundaries, then
        cases by chance. The answer is why some could not be made.

        Raises Untestable when there is no such operation for Schemathesis.
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
                    phase(found, ask, troubles)
                except (HypothesisException, schemathesis.errors.SchemathesisError) as error:
                    troubles.append(_told(error))
                except RecursionError:
                    troubles.append("its schema is nested too deeply")
        return list(dict.fromkeys(troubles))

    def parameters(self, operation: Operation) -> dict[str, tuple[str, ...]]:
        """Names of the parameters, by where they go: `path_parameters`, `query`."""
        found = self._find(operation)
        return {
            place: tuple(parameter.name for parameter in getattr(found, place))
            for place in ("path_parameters", "query")
        }

    def _find(self, operation: Operation) -> Any:
        try:
            return self._schema[operation.path][operation.method]
        except Exception as error:
            raise Untestable(_told(error)) from error

    def _modes(self, operation: Any, phase: str) -> list[schemathesis.GenerationMode]:
        """Kinds of data: those of a `schemathesis.toml`, without negative ones where only what
        the document allows may be sent."""
        configured = self._schema.config.generation_for(operation=operation, phase=phase).modes
        positive = schemathesis.GenerationMode.POSITIVE
        allowed = [mode for mode in configured if mode is positive or self._effort.negative]
        return allowed or [positive]

    def _examples(self, operation: Any, ask: Callable[[Case], None], troubles: list[str]) -> None:
        generator = ExamplesGenerator(
            operation=operation, override=Override(), feedback=NO_FEEDBACK, fill_missing=False
        )
        self._drain(generator, ask, troubles)

    def _coverage(self, operation: Any, ask: Callable[[Case], None], troubles: list[str]) -> None:
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
        self._drain(generator, ask, troubles)

    def _drain(
        self,
        generator: CoverageGenerator | ExamplesGenerator,
        ask: Callable[[Case], None],
        troubles: list[str],
    ) -> None:
        for case in generator:
            ask(case)
        troubles += map(_told, generator.controller.deferred_errors)

    def _fuzzing(self, operation: Any, ask: Callable[[Case], None], troubles: list[str]) -> None:
        modes = self._modes(operation, "fuzzing")
        strategy = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])

        @hypothesis.seed(self._effort.seed)
        @_settings(self._effort.max_examples)
        @hypothesis.given(case=strategy)
        def fuzz(case: Case) -> None:
            ask(case)

        fuzz()

    def sample(self, operation: Operation) -> Case:
        """One plain case that the document allows. Raises Untestable."""
        with _quiet():
            try:
                case: Case = generate_one(self._find(operation).as_strategy())
            except (HypothesisException, schemathesis.errors.SchemathesisError) as error:
                raise Untestable(_told(error)) from error
        return case

    def asks_examples(self, operation: Operation) -> bool:
        """Whether a `schemathesis.toml` leaves the examples in, which are values that exist."""
        found = self._find(operation)
        enabled: bool = self._schema.config.phases_for(operation=found).examples.enabled
        return enabled

    def plain(self, operation: Operation) -> Case:
        """As `sample`, with nothing that the document does not require."""
        case = self.sample(operation)
        for place, name in optional(case):
            case = without(case, place, name)
        return case

    def about(self, case: Case, thing: Mapping[str, Any]) -> Case:
        """A copy of this case with these parameters of the path."""
        copied: Case = case.derive(keep_auth=True)
        copied.path_parameters = {**(case.path_parameters or {}), **thing}
        return copied

    def optional_fields(self, case: Case) -> list[tuple[str, ...]]:
        """Fields of the body that the document does not require, as paths into it."""
        schemas = [
            one.validation_schema
            for one in case.operation.body
            if one.media_type == case.media_type
        ]
        body: Any = case.body
        return list(_optional(table(schemas[0]), schemas[0], body)) if schemas else []

    def without_field(self, case: Case, path: tuple[str, ...]) -> Case:
        """A copy of this case without that field of its body."""
        smaller: Case = case.derive(keep_auth=True)
        body: Any = copy.deepcopy(case.body)
        smaller.body = body
        for name in path[:-1]:
            body = body[name]
        del body[path[-1]]
        return smaller

    # --- workflows ---

    def workflows(
        self,
        allowed: Collection[tuple[str, str]],
        send: Callable[[Case], Response | None],
        judge: Callable[[Case, Response, Any], None],
        sequence: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Give each step of many sequences of the *allowed* (method, path) to `send`, and its
        answer with the sequence so far to `judge`. Without an answer a sequence ends. Each is
        gone through inside `sequence()`.

        Raises Untestable when no operation leads to another.
        """

        def is_allowed(context: Any) -> bool:
            return (context.operation.method.upper(), context.operation.path) in allowed

        try:
            with _quiet():
                machine: Any = self._schema.include(is_allowed).as_state_machine()

                class Workflow(machine):  # type: ignore[misc]
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
                hypothesis.seed(self._effort.seed)(Workflow)
                Workflow.run(settings=settings)
        except (HypothesisException, schemathesis.errors.SchemathesisError) as error:
            raise Untestable(_told(error)) from error

    # --- requests and answers ---

    def request(self, case: Case, base: str, wire: Wire) -> Response:
        """Send this case. Raises Untestable for what no request can be made of.

        Hooks of the team see it, and may change it, before it is sent; they see its answer after.
        """
        context = schemathesis.HookContext(operation=case.operation)
        dispatch_before_call(GLOBAL_HOOK_DISPATCHER, context=context, case=case, kwargs={})
        try:
            kwargs = case.as_transport_kwargs(base_url=base, headers=self._placed)
            prepared = requests.Request(**kwargs).prepare()
        except (requests.RequestException, ValueError, TypeError) as error:
            raise Untestable(f"{type(error).__name__}: {error}") from error
        response = _response(prepared, self._wire(prepared, wire))
        hooks = (GLOBAL_HOOK_DISPATCHER, self._schema.hooks)
        dispatch_after_call(*hooks, context=context, case=case, response=response)
        return response

    def _wire(
        self, prepared: requests.PreparedRequest, wire: Wire, without: Collection[str] = ()
    ) -> httpx.Response:
        headers = prepared.headers.copy()
        withheld = set(without)
        for name, placeholder in self._placed.items():
            if headers.get(name) == placeholder:
                del headers[name]
            else:
                withheld.add(name.lower())
        for name in NOT_OURS.intersection(map(str.lower, headers)):
            del headers[name]
        return wire(prepared, headers, frozenset(withheld))

    def broken(
        self, case: Case, response: Response, base: str, known: Known, recorder: Any = None
    ) -> list[Broken]:
        """Everything about this answer that is not as the document says. *known* are values that
        exist."""
        about_bodies = ABOUT_BODIES if _has_no_body(case, response) else []
        try:
            case.validate_response(
                response,
                excluded_checks=[*SENDING, *about_bodies],
                headers=dict(self._headers),
                transport_kwargs={"base_url": base, "headers": dict(self._headers)},
                recorder=recorder,
            )
        except FailureGroup as group:
            failures: Sequence[Any] = group.exceptions
        except Failure as failure:
            failures = [failure]
        else:
            return []
        invented = self._documented(case).invented(case, known)
        described = [one for one in failures if not _goes_beyond(one, case, response)]
        return _broken(described, case, invented=invented)

    def _documented(self, case: Case) -> Documented:
        label = case.operation.label
        if label not in self._values:
            self._values[label] = Documented(case.operation)
        return self._values[label]

    def lets_in(self, case: Case, operation: Operation, wire: Wire) -> Broken | None:
        """Ask this case again without credentials, then with wrong ones: who is let in?

        Left out is what the document names, wherever it comes from. Where the target sends
        nothing of that kind, something else of it has opened: then all that may be a credential
        is left out, before anybody is accused.
        """
        everything = bool(self._headers) and not self._sends_one_of(operation.credentials)
        answer = self._ask_as_stranger(case, operation, wire, wrong=False, everything=False)
        if answer.is_success and everything:
            answer = self._ask_as_stranger(case, operation, wire, wrong=False, everything=True)
        if answer.is_success:
            title = "API accepts requests without authentication"
        else:
            answer = self._ask_as_stranger(case, operation, wire, wrong=True, everything=everything)
            title = "API accepts invalid authentication"
        if not answer.is_success:
            return None
        told = f"expected 401 or 403, got {answer.status_code}"
        return Broken(check="ignored_auth", title=title, message=told)

    def _sends_one_of(self, credentials: Sequence[Credential]) -> bool:
        """Whether the target's own headers hold one of them."""
        headers = {name.lower() for name in self._headers}
        return any(
            one.name in self._cookies if one.place == "cookie" else one.name.lower() in headers
            for one in credentials
            if one.place != "query"
        )

    def _ask_as_stranger(
        self, case: Case, operation: Operation, wire: Wire, *, wrong: bool, everything: bool
    ) -> httpx.Response:
        kwargs = case.as_transport_kwargs(base_url=operation.base, headers=self._placed)
        withheld = set()
        if everything:
            theirs = {name.lower() for name in self._headers} - HARMLESS
            given = kwargs.get("headers") or {}
            kwargs["headers"] = {k: v for k, v in given.items() if k.lower() not in theirs}
            withheld.add("cookie")
        for one in operation.credentials:
            place = _KWARGS[one.place]
            given = kwargs.get(place) or {}
            if isinstance(given, str):
                given = dict(parse_qsl(given, keep_blank_values=True))
            given = {key: value for key, value in given.items() if key.lower() != one.name.lower()}
            kwargs[place] = given | ({one.name: one.wrong} if wrong else {})
            if one.place == "cookie":
                withheld.add(f"{COOKIE}{one.name}")
            elif one.name.lower() == "cookie":
                withheld.add("cookie")
        return self._wire(requests.Request(**kwargs).prepare(), wire, withheld)


def _spare_tables() -> None:
    """Put down what Hypothesis would find out by encoding a million characters, twice: which of
    them the two codecs of Schemathesis have. Each process of a first run saves two seconds."""
    for codec, intervals in CHARACTERS.items():
        table = charmap_file(f"codec-v2-{codec}")
        if not table.exists():
            table.parent.mkdir(parents=True, exist_ok=True)
            part = table.with_suffix(f".{os.getpid()}")
            part.write_bytes(gzip.compress(json.dumps([intervals, []]).encode()))
            part.replace(table)


CHARACTERS = {"ascii": [(0, 127)], "utf-8": [(0, 0xD7FF), (0xE000, sys.maxunicode)]}
"""Code points of a codec that come back as they were, from and to: all but the surrogates."""

SENDING = [ignored_auth, object_level_authorization]
"""Checks of Schemathesis that send requests of their own, past our client; the first is ours."""

ABOUT_BODIES = [content_type_conformance, response_schema_conformance]
"""Checks of Schemathesis that judge what an answer carries."""

_KWARGS = {"header": "headers", "query": "params", "cookie": "cookies"}


def _has_no_body(case: Case, response: Response) -> bool:
    """Whether HTTP allows this answer no body, whatever the document says: it is wrong there.

    RFC 9110, 15.3.5, 15.3.6, 15.4.5 and 9.3.2. A type that the answer to HEAD does name is that
    of GET, so it is judged.
    """
    if response.content:
        return False
    names_a_type = any(name.lower() == "content-type" for name in response.headers)
    is_head = case.method.upper() == "HEAD" and not names_a_type
    return response.status_code in BODILESS or is_head


def _response(prepared: requests.PreparedRequest, answer: httpx.Response) -> Response:
    headers: dict[str, list[str]] = {}
    for name, value in answer.headers.multi_items():
        headers.setdefault(name, []).append(value)
    return Response(
        status_code=answer.status_code,
        headers=headers,
        content=answer.content,
        request=prepared,
        elapsed=answer.elapsed.total_seconds(),
        verify=True,
        message=answer.reason_phrase,
        encoding=answer.encoding,
    )


def takes_real_values(case: Case) -> bool:
    """Whether the path of this case is neither meant to be wrong nor what the case is about."""
    meta = case.meta
    if meta is None:
        return True
    place = getattr(meta.phase.data, "parameter_location", None)
    return place != _PATH and not meta.is_negative_at(_PATH)


def returned(case: Case, recorder: Any) -> dict[str, dict[str, list[Any]]]:
    """Parameters of a step that come from an answer before it, by place and name."""
    node = recorder.cases.get(case.id)
    if node is None or node.transition is None:
        return {}
    return {
        place: {
            name: [one.value.ok()] for name, one in parameters.items() if isinstance(one.value, Ok)
        }
        for place, parameters in node.transition.parameters.items()
    }


def is_allowed(case: Case) -> bool:
    """Whether the document allows this request."""
    return case.meta is None or not case.meta.generation.mode.is_negative


def _optional(
    root: Mapping[str, Any], schema: Any, body: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Optional fields of an object and of the objects in it, outer ones first."""
    found = resolved(root, schema)
    required = array(found.get("required"))
    properties = {name: one for name, one in table(found.get("properties")).items() if name in body}
    yield from ((*path, name) for name in properties if name not in required)
    for name, one in properties.items():
        if isinstance(body[name], dict):
            yield from _optional(root, one, body[name], (*path, name))


def is_by_chance(case: Case) -> bool:
    """Whether this case was drawn, where others follow from the document."""
    return case.meta is not None and case.meta.phase.name is TestPhase.FUZZING


def optional(case: Case) -> list[tuple[str, str]]:
    """Parameters of this case that the document does not ask for, by place and name."""
    found: list[tuple[str, str]] = []
    if None in (case.path_parameters, case.query, case.headers, case.cookies):
        return found  # the work of a hook; such a case has no copies
    for place in ("query", "headers", "cookies"):
        required = {one.name.lower(): one.is_required for one in getattr(case.operation, place)}
        given = getattr(case, place)
        found += [(place, name) for name in given if not required.get(name.lower(), True)]
    return found


def without(case: Case, place: str, name: str) -> Case:
    """A copy of this case without that parameter."""
    smaller: Case = case.derive(keep_auth=True)
    getattr(smaller, place).pop(name, None)
    return smaller


def aimed_at(case: Case) -> str:
    """The parameter that a case is about, if it is about one: two bugs are two."""
    data = getattr(getattr(case.meta, "phase", None), "data", None)
    return str(getattr(data, "parameter", "") or "")


_PATH = schemathesis.core.parameters.ParameterLocation.PATH


ABOUT_REQUESTS = frozenset(
    ("negative_data_rejection", "positive_data_acceptance", "missing_required_header")
)
"""Checks that judge a parameter: with another one it is another failure."""


def _goes_beyond(failure: Failure, case: Case, response: Response) -> bool:
    """Whether a check of Schemathesis asks for more than the document says of this answer."""
    check = next(iter(type(failure).checks), "")
    said = case.operation.responses.find_by_status_code(response.status_code)
    if check == "content_type_conformance":
        # In OpenAPI 2 `produces` is about the bodies that the document has: an error page of an
        # answer without a schema is none of them.
        old = case.operation.schema.specification.version.startswith("2.")
        return said is None or (old and "schema" not in said.definition)
    if check == "response_schema_conformance" and said is not None:
        # A file is described as a string, and so is text that Schemathesis reads as its content.
        media_type = "".join(response.headers.get("content-type", [])[:1]).partition(";")[0]
        schema = table(said.get_schema(media_type).schema)
        is_file = schema.get("format") == "binary" or re.search("yaml|xml", media_type, re.I)
        return schema.get("type") == "string" and bool(is_file)
    return False


def _broken(failures: Sequence[Failure], case: Case, *, invented: bool) -> list[Broken]:
    found = []
    forbidden = case.meta is not None and case.meta.generation.mode.is_negative
    for failure in failures:
        checks = type(failure).checks
        check = checks[0] if checks else type(failure).__name__
        found.append(
            Broken(
                check=check,
                title=failure.title,
                message=_essence(failure.message),
                parameter=aimed_at(case) if check in ABOUT_REQUESTS else "",
                invented=invented,
                forbidden=forbidden,
            )
        )
    names = {one.check for one in found}
    # A 500 is rarely documented: it is one failure, not two.
    if "not_a_server_error" in names:
        found = [one for one in found if one.check != "status_code_conformance"]
    return found


def _essence(message: str) -> str:
    """A message without the schema that it repeats, which is in the document."""
    kept, heading = [], ""
    for part in map(str.strip, message.split("\n\n")):
        if heading == "Value:":
            kept.append(f"Value: {' '.join(part.split())[:200]}")
        elif not f"{heading}\n{part}".startswith("Schema") and not part.startswith(_REPEATED):
            kept.append(part)
        heading = part if part.endswith(":") else ""
    return "\n".join(kept)


_REPEATED = ("Schema", "Validated against", "Value:")


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
    """Neither warnings nor advice of Hypothesis: they are for who writes its tests.

    Nor the constants that it gathers from the source of every local module that happens to be
    loaded: an edit of a conftest would change the cases of a seed, and to read them may take
    seconds. It has no setting for that.
    """
    gather = providers._get_local_constants
    with warnings.catch_warnings(), ignore_hypothesis_output():
        warnings.simplefilter("ignore")
        providers._get_local_constants = lambda: NO_CONSTANTS
        providers.CONSTANTS_CACHE.cache.clear()
        try:
            yield
        finally:
            providers._get_local_constants = gather
            providers.CONSTANTS_CACHE.cache.clear()


def _told(error: BaseException) -> str:
    """What an error says, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
