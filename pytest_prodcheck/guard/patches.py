"""Patches that police HTTP clients, applied to their classes when their libraries are imported.

SEAMS is the complete list. At each seam a client knows method, host and headers of one request and
has not connected yet. The guard's audit hook sees the rest.
"""

import functools
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_prodcheck.errors import NotAsked, Violation
from pytest_prodcheck.guard.policy import normal_host

if TYPE_CHECKING:
    from pytest_prodcheck.guard.network import Guard

PACED = "prodcheck.paced"
"""Extension of a request of httpcore that has already passed the limits of the run."""

_REQUEST_LINE = re.compile(rb"(\S*) (.*) HTTP/\d[\d.]*\s*", re.IGNORECASE)
_INNER_REQUEST_LINE = re.compile(rb"^[A-Za-z]+ \S+ HTTP/\d", re.MULTILINE)
_HTTPS_PORT = 443
_CHUNKED = -1
_ADMITTED, _BODY = "_prodcheck_admitted", "_prodcheck_body"
"""Attributes of a connection of http.client: the guards that allowed its next request when it
connected, and the number of bytes of a body that are still to come."""

trusted: ContextVar[bool] = ContextVar("prodcheck_trusted", default=False)
"""True while prodcheck itself starts the service under check, which is not policed."""


class Opening:
    """A block in which a policed client may connect to one host and port.

    allowed: the client's request; it was checked, and is not checked again.
    """

    __slots__ = ("allowed", "host", "live", "port", "token")

    def __init__(self, host: str, port: int, allowed: Any = None) -> None:
        self.host = normal_host(host)
        self.port = port
        self.allowed = allowed

    def __enter__(self) -> None:
        self.live = True
        self.token = opening.set(self)

    def __exit__(self, *_: object) -> None:
        self.live = False  # tasks that were started in the block keep a copy of the context
        opening.reset(self.token)

    def leads_to(self, host: str, port: int) -> bool:
        """Return True if a socket's address can be this host's: any IP address may be a name's."""
        if not self.live or port != self.port:
            return False
        return host == self.host or (_is_ip(host) and not _is_ip(self.host))


opening: ContextVar[Opening | None] = ContextVar("prodcheck_opening", default=None)


@contextmanager
def trusting() -> Iterator[None]:
    """Allow this thread to connect within the block, for starting the service under check."""
    token = trusted.set(True)
    try:
        yield
    finally:
        trusted.reset(token)


def active_guards(guards: Sequence["Guard"]) -> Sequence["Guard"]:
    """Return the guards that have to agree: none while prodcheck starts the service."""
    return () if trusted.get() else tuple(guards)


# --- httpcore and httpcore2, below httpx and httpx2 ---


def _sync(guards: list["Guard"], original: Callable[..., Any]) -> Callable[..., Any]:
    """Police `handle_request` of a pool or connection."""

    def send(sender: Any, request: Any, handle: Callable[..., Any]) -> Any:
        policed = _check(guards, sender, request)
        if policed is None:
            return handle(sender, request)
        for guard in policed.pacing_guards:
            guard.acquire()
        try:
            with policed.opening:
                response = handle(sender, request)
        except Exception as error:
            policed.record_failure(error)
            raise
        policed.record_status(response.status)
        return response

    @functools.cache
    def subclass(kind: Any) -> Any:
        def handle_request(sender: Any, request: Any) -> Any:
            return send(sender, request, kind.handle_request)

        return _policed(kind, handle_request=handle_request)

    @functools.wraps(original)
    def handle_request(sender: Any, request: Any) -> Any:
        _police_instance(sender, subclass)
        return send(sender, request, original)

    return handle_request


def _async(guards: list["Guard"], original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Police `handle_async_request` of a pool or connection, without blocking the event loop."""

    async def send(sender: Any, request: Any, handle: Callable[..., Awaitable[Any]]) -> Any:
        policed = _check(guards, sender, request)
        if policed is None:
            return await handle(sender, request)
        for guard in policed.pacing_guards:
            await guard.acquire_async(_sleep)
        try:
            with policed.opening:
                response = await handle(sender, request)
        except Exception as error:
            policed.record_failure(error)
            raise
        policed.record_status(response.status)
        return response

    @functools.cache
    def subclass(kind: Any) -> Any:
        async def handle_async_request(sender: Any, request: Any) -> Any:
            return await send(sender, request, kind.handle_async_request)

        return _policed(kind, handle_async_request=handle_async_request)

    @functools.wraps(original)
    async def handle_async_request(sender: Any, request: Any) -> Any:
        _police_instance(sender, subclass)
        return await send(sender, request, original)

    return handle_async_request


class _PolicedRequest(NamedTuple):
    """One request that may be sent, and the guards to which its result is reported."""

    guards: Sequence["Guard"]
    opening: Opening
    paced: bool
    """True if the run's limits have counted it: prodcheck's own, or the inner one of another."""

    @property
    def pacing_guards(self) -> Sequence["Guard"]:
        """Return the guards whose limits the request has yet to pass."""
        return () if self.paced else self.guards

    def record_status(self, status: int) -> None:
        """Report the status of the response."""
        if not self.paced:
            for guard in self.guards:
                guard.record_result(self.opening.host, self.opening.port, status)

    def record_failure(self, error: Exception) -> None:
        """Report an exception, if it means that the target did not respond."""
        kind = _failure_kind(error)
        if not self.paced and kind:
            for guard in self.guards:
                guard.record_result(self.opening.host, self.opening.port, None, kind)


def _check(guards: list["Guard"], sender: Any, request: Any) -> _PolicedRequest | None:
    """Return a request that may be sent, None if it needs no check; raises Violation.

    A pool hands the request on to a connection, which does not check it again. A connection to a
    proxy gets a request of its own (a CONNECT, or one for the whole URL), which is checked but not
    counted.
    """
    active = active_guards(guards)
    if not active:
        return None
    around = opening.get()
    handed_on = around.allowed if around is not None and around.live else None
    if handed_on is request:
        return None
    url = request.url
    origin = url.origin
    scheme, host, port = origin.scheme.decode("latin-1"), origin.host.decode("latin-1"), origin.port
    method, target = request.method.decode("latin-1"), url.target.decode("latin-1")
    try:
        for guard in active:
            guard.check_request(method, scheme, host, port, target, request.headers)
            if handed_on is None:
                guard.count()
    except Violation:
        if hasattr(sender, "_connect_failed"):
            sender._connect_failed = True  # otherwise a pool would reserve its place for ever
        raise
    paced = handed_on is not None or PACED in request.extensions
    return _PolicedRequest(active, Opening(host, port, request), paced)


async def _sleep(seconds: float) -> None:
    """Sleep in whichever event loop runs this, asyncio's or trio's."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        await sys.modules["trio"].sleep(seconds)
    else:
        await asyncio.sleep(seconds)


def _failure_kind(error: Exception) -> str:
    """Return the kind of failure to respond that an exception means; "" for another exception.

    Classes are recognized by their names in httpcore, urllib3 and aiohttp, because not all of
    these libraries are installed.
    """
    if isinstance(error, (Violation, NotAsked)):
        return ""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "PoolTimeout" in names:
        return ""
    if names & {"TimeoutException", "TimeoutError", "ConnectTimeoutError"}:
        return "timeout"
    if names & {"ConnectError", "NewConnectionError", "ConnectionRefusedError", "gaierror"}:
        return "connect"
    if names & {"ClientConnectorError"}:
        return "connect"
    return "transport" if names & {"NetworkError", "OSError"} else ""


# --- http.client, below urllib, urllib3, requests and Schemathesis ---


def _http_client(guards: list["Guard"], original: Callable[..., None]) -> Callable[..., None]:
    """Police `connect`, `putrequest` and `getresponse` of each HTTPConnection."""

    @functools.cache
    def subclass(kind: Any) -> Any:
        def connect(connection: Any) -> None:
            scheme, host, port = endpoint_of(connection)
            active = active_guards(guards)
            for guard in active:
                guard.check_host(scheme, host, port)
            for guard in active:
                guard.acquire()
            # The first request on the new connection is the one it was opened for.
            vars(connection)[_ADMITTED] = set(active)
            try:
                with Opening(host, port):
                    kind.connect(connection)
            except Exception as error:
                _record(active, connection, failure_kind=_failure_kind(error))
                raise

        def putrequest(connection: Any, method: str, url: str, *args: Any, **options: Any) -> None:
            for guard in active_guards(guards):
                guard.check_request(str(method), *endpoint_of(connection), str(url or "/"), ())
            kind.putrequest(connection, method, url, *args, **options)

        def getresponse(connection: Any, *args: Any, **options: Any) -> Any:
            active = active_guards(guards)
            try:
                response = kind.getresponse(connection, *args, **options)
            except Exception as error:
                _record(active, connection, failure_kind=_failure_kind(error))
                raise
            _record(active, connection, status=response.status)
            return response

        return _policed(kind, connect=connect, putrequest=putrequest, getresponse=getresponse)

    @functools.wraps(original)
    def initialise(connection: Any, *args: Any, **options: Any) -> None:
        original(connection, *args, **options)
        _police_instance(connection, subclass)

    return initialise


def _record(
    guards: Sequence["Guard"], connection: Any, status: int | None = None, failure_kind: str = ""
) -> None:
    if status is None and not failure_kind:
        return
    _, host, port = endpoint_of(connection)
    for guard in guards:
        guard.record_result(host, port, status, failure_kind)


class Head(NamedTuple):
    """Method, target and headers of a request, as they are sent."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]


def heads_in(connection: Any, data: Any) -> tuple[list[Head], bool]:
    """Return the requests that begin in a block of bytes that http.client sends.

    The second value is True if the block contains anything but complete heads and the bodies that
    they announce: a head that is sent in pieces, or behind something else, cannot be read.
    """
    try:
        block = memoryview(data).tobytes()
    except TypeError:
        return [], True
    state = vars(connection)
    heads: list[Head] = []
    left = state.get(_BODY, 0)
    while block:
        if left == _CHUNKED:
            state[_BODY] = 0 if block.endswith(b"0\r\n\r\n") else _CHUNKED
            return heads, _INNER_REQUEST_LINE.search(block) is not None
        if left:
            block, left = block[left:], max(0, left - len(block))
            continue
        block = block.lstrip(b"\r\n")
        head, end, block = block.partition(b"\r\n\r\n")
        if not head:
            break
        read = _head(head)
        if read is None or not end:
            state[_BODY] = 0
            return heads, True
        heads.append(read)
        left = _body_length(read.headers)
    state[_BODY] = left
    return heads, False


def _head(text: bytes) -> Head | None:
    line, *fields = text.split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None or any(b"\n" in field or b"\r" in field for field in fields):
        return None
    headers = []
    for field in fields:
        name, colon, value = field.partition(b":")
        if colon and not name[:1].isspace():
            headers.append((name, value.strip()))
        elif headers:  # a folded line continues the one before
            headers[-1] = headers[-1][0], headers[-1][1] + field
    method, target = (part.decode("latin-1") for part in request.groups())
    return Head(method, target, headers)


def _body_length(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the number of bytes of the body that follows a head."""
    length = 0
    for name, value in headers:
        if name.lower() == b"transfer-encoding":
            return _CHUNKED
        if name.lower() == b"content-length" and value.isdigit():
            length = int(value)
    return length


def take_admission(connection: Any, guard: "Guard") -> bool:
    """Return True, once, if the next request of a connection was allowed when it connected."""
    admitted = vars(connection).get(_ADMITTED, set())
    if guard not in admitted:
        return False
    admitted.discard(guard)
    return True


def endpoint_of(connection: Any) -> tuple[str, str, int]:
    scheme = "https" if connection.default_port == _HTTPS_PORT else "http"
    return scheme, str(connection.host), int(connection.port)


# --- aiohttp ---


def _aiohttp_connect(
    guards: list["Guard"], original: Callable[..., Awaitable[Any]]
) -> Callable[..., Any]:
    """Police `BaseConnector.connect`, which each request calls for a new or kept connection."""

    async def take(
        connector: Any, req: Any, args: Any, options: Any, connect: Callable[..., Awaitable[Any]]
    ) -> Any:
        active = active_guards(guards)
        around = opening.get()
        if not active or (around is not None and around.live and around.allowed is req):
            return await connect(connector, req, *args, **options)
        url = req.url
        scheme, host, port = url.scheme, url.raw_host or "", url.port or 0
        headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in req.headers.items()]
        for guard in active:
            guard.check_request(req.method, scheme, host, port, url.raw_path_qs, headers)
            guard.count()
        for guard in active:
            await guard.acquire_async(_sleep)
        request = _PolicedRequest(active, Opening(host, port, req), paced=False)
        try:
            with request.opening:
                return await connect(connector, req, *args, **options)
        except Exception as error:
            request.record_failure(error)
            raise

    @functools.cache
    def subclass(kind: Any) -> Any:
        async def connect(connector: Any, req: Any, *args: Any, **options: Any) -> Any:
            return await take(connector, req, args, options, kind.connect)

        return _policed(kind, connect=connect)

    @functools.wraps(original)
    async def connect(connector: Any, req: Any, *args: Any, **options: Any) -> Any:
        _police_instance(connector, subclass)
        return await take(connector, req, args, options, original)

    return connect


def _aiohttp_start(
    guards: list["Guard"], original: Callable[..., Awaitable[Any]]
) -> Callable[..., Any]:
    """Record the result of `ClientResponse.start`: the status, or that there is no response."""

    @functools.wraps(original)
    async def start(response: Any, *args: Any, **options: Any) -> Any:
        url = response.url
        sent_to = Opening(url.raw_host or "", url.port or 0)
        request = _PolicedRequest(active_guards(guards), sent_to, paced=False)
        try:
            started = await original(response, *args, **options)
        except Exception as error:
            request.record_failure(error)
            raise
        request.record_status(response.status)
        return started

    return start


# --- children ---


def _spawn(
    guards: list["Guard"], original: Callable[[str], dict[str, Any]]
) -> Callable[[str], dict[str, Any]]:
    """Hand the guards to a process that multiprocessing spawns, before all else."""

    @functools.wraps(original)
    def get_preparation_data(name: str) -> dict[str, Any]:
        return {"prodcheck_guards": list(guards), **original(name)}

    return get_preparation_data


# --- patching ---

Police = Callable[[list["Guard"], Any], Any]

_HTTPCORE: tuple[tuple[str, str, Police], ...] = (
    ("ConnectionPool", "handle_request", _sync),
    ("HTTPConnection", "handle_request", _sync),
    ("AsyncConnectionPool", "handle_async_request", _async),
    ("AsyncHTTPConnection", "handle_async_request", _async),
)

SEAMS: dict[str, tuple[tuple[str, str, Police], ...]] = {
    "httpcore": _HTTPCORE,
    "httpcore2": _HTTPCORE,
    "http.client": (("HTTPConnection", "__init__", _http_client),),
    "aiohttp.connector": (("BaseConnector", "connect", _aiohttp_connect),),
    "aiohttp.client_reqrep": (("ClientResponse", "start", _aiohttp_start),),
    "multiprocessing.spawn": (("", "get_preparation_data", _spawn),),
}
"""Module -> class ("" for the module itself), function, and the function that polices it."""


class Patches:
    """The patches of this process, for all its guards."""

    def __init__(self, guards: list["Guard"]) -> None:
        self._guards = guards
        self._patches: list[tuple[Any, str, Any, Any]] = []
        """Owner, attribute, original value, patched value."""
        self._finder = _Finder(self._patch_module)

    def apply(self) -> None:
        """Patch the modules of SEAMS, now or at import, and renew patches that were undone."""
        for name in SEAMS:
            module = sys.modules.get(name)
            if module is not None and not _is_loading(module):
                self._patch_module(name, module)
        for owner, attribute, _, policed in self._patches:
            if vars(owner).get(attribute) is not policed:
                setattr(owner, attribute, policed)
        if self._finder not in sys.meta_path:
            sys.meta_path.insert(0, self._finder)

    def revert(self) -> None:
        """Restore every original."""
        for owner, attribute, original, _ in self._patches:
            setattr(owner, attribute, original)
        self._patches = []
        with suppress(ValueError):
            sys.meta_path.remove(self._finder)

    def undone(self) -> list[str]:
        """Return a sentence for each patch that was removed or replaced by others."""
        return [
            f"{policed.__module__}.{policed.__qualname__} was replaced"
            for owner, attribute, _, policed in self._patches
            if vars(owner).get(attribute) is not policed
        ]

    def _patch_module(self, name: str, module: ModuleType) -> None:
        for kind, attribute, police in SEAMS[name]:
            owner = getattr(module, kind, None) if kind else module
            if owner is None or attribute not in vars(owner):
                continue  # a version without it: the audit hook refuses its connections
            if any(one is owner and its == attribute for one, its, *_ in self._patches):
                continue
            original = vars(owner)[attribute]
            policed = police(self._guards, original)
            self._patches.append((owner, attribute, original, policed))
            setattr(owner, attribute, policed)


class _Finder:
    """A finder that has the modules of SEAMS patched after their import."""

    def __init__(self, imported: Callable[[str, ModuleType], None]) -> None:
        self._imported = imported

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in SEAMS:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _PatchingLoader(spec.loader, self._imported)
                return spec
        return None


class _PatchingLoader(Loader):
    def __init__(self, loader: Any, imported: Callable[[str, ModuleType], None]) -> None:
        self._loader = loader
        self._imported = imported

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._imported(module.__name__, module)


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


def _police_instance(sender: Any, subclass: Callable[[Any], Any]) -> None:
    """Make a sender an instance of a policed subclass of its own class, made by `subclass`.

    Patches of its class can be undone while its connections are open, and subclasses override
    patched methods (urllib3's `connect`).
    """
    kind: Any = type(sender)
    if not hasattr(kind, "_prodcheck_policed"):
        sender.__class__ = subclass(kind)


def _policed(kind: Any, **methods: Callable[..., Any]) -> Any:
    body = {"__slots__": (), "__module__": kind.__module__, "_prodcheck_policed": True}
    return type(kind.__name__, (kind,), body | methods)


def _is_ip(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
