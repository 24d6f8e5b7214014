"""The demo's service: a small journal with insights, feedback, preferences and an admin area."""

import asyncio
import hmac
import platform
import re
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path as Directory
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pytest_prodcheck.demo import schemas, storage
from pytest_prodcheck.demo.deployment import Deployment, Flags
from pytest_prodcheck.demo.incidents import Answer, Incident
from pytest_prodcheck.demo.memory import Memory
from pytest_prodcheck.demo.storage import Storage, Unavailable

SERVICE = "prodcheck-demo"
LARGEST_ID = 2**31 - 1

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


def create_app(directory: Directory, deployment: Deployment, incident: Incident | None) -> FastAPI:
    """The service with its storage in `directory`, deployed so, with this incident if any."""
    if incident is not None:
        changed = msgspec.to_builtins(deployment) | incident.deployment
        deployment = msgspec.convert(changed, Deployment)
    app = FastAPI(
        title="Journal",
        version=deployment.version,
        description="The service that pytest-prodcheck is tried on.",
        responses={422: {"model": schemas.InvalidRequest, "description": "Not as described"}},
        redoc_url=None,
    )
    app.state.deployment = deployment
    app.state.storage = Storage(
        directory,
        deployment.database_url(directory),
        deployment.flags,
        replays=deployment.fallback_replays,
    )
    app.state.memory = Memory(closes=deployment.breaker_closes)
    app.state.notice = ""
    app.state.started_at = _now()
    app.state.traffic = Traffic()
    for router in (about, journal, feedback, preferences, admin):
        app.include_router(router)
    app.add_exception_handler(RequestValidationError, _say_what_is_invalid)
    app.add_exception_handler(405, _say_which_methods)
    app.add_exception_handler(Unavailable, _say_unavailable)
    app.add_middleware(Disturbance, answers=incident.answers if incident else ())
    app.add_middleware(Counting, traffic=app.state.traffic)
    if deployment.database_reachable:
        app.state.storage.database.create(drifted=deployment.drifted)
        _plant(app.state.storage)
    if incident is not None and incident.change is not None:
        import_module(f"pytest_prodcheck.demo.{incident.change}").plant(app)
    return app


# --- what every answer shares -------------------------------------------------------------


class Traffic:
    """Counts for `/metrics/summary`, of this process, of the last 1,000 requests for latency."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.requests = 0
        self.errors = 0
        self.latencies: deque[float] = deque([0.0], maxlen=1000)


class Counting:
    """Counts what passes."""

    def __init__(self, app: Asgi, traffic: Traffic) -> None:
        self.app = app
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.traffic.requests += 1
                self.traffic.errors += message["status"] >= 500
                self.traffic.latencies.append((time.perf_counter() - began) * 1000)
            await send(message)

        began = time.perf_counter()
        await self.app(scope, receive, counted)


class Disturbance:
    """Gives an incident's answers in place of the service's own."""

    def __init__(self, app: Asgi, answers: tuple[Answer, ...]) -> None:
        self.app = app
        self.answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own: Asgi = self.app
        for answer in self.answers:
            if answer.covers(scope["method"], scope["path"]):
                await asyncio.sleep(answer.delay)
                if answer.status is not None:
                    own = Response(answer.body, answer.status, media_type=answer.media)
                break
        await own(scope, receive, send)


async def _say_what_is_invalid(_request: Request, error: Exception) -> JSONResponse:
    # FastAPI would repeat the input, which need not be JSON (NaN) nor even text.
    assert isinstance(error, RequestValidationError)
    detail = [{"loc": e["loc"], "msg": e["msg"], "type": e["type"]} for e in error.errors()]
    return JSONResponse({"detail": detail}, 422)


async def _say_which_methods(request: Request, _error: Exception) -> JSONResponse:
    # Starlette names the methods of the first route only; RFC 9110 wants those of the resource.
    allowed = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0].name == "FULL"
    ]
    return JSONResponse({"detail": "Method Not Allowed"}, 405, {"Allow": ", ".join(allowed)})


async def _say_unavailable(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"storage unavailable: {error}"}, 503)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _the_storage(request: Request) -> Storage:
    found: Storage = request.app.state.storage
    return found


def _the_deployment(request: Request) -> Deployment:
    found: Deployment = request.app.state.deployment
    return found


def _the_memory(request: Request) -> Memory:
    found: Memory = request.app.state.memory
    return found


Remembered = Annotated[Memory, Depends(_the_memory)]
Stored = Annotated[Storage, Depends(_the_storage)]
Deployed = Annotated[Deployment, Depends(_the_deployment)]
EntryId = Annotated[int, Path(ge=1, le=LARGEST_ID, examples=[1])]
User = Annotated[str, Path(pattern=schemas.NAME, examples=["ada"])]
Author = Annotated[str | None, Query(pattern=schemas.NAME, examples=["ada"])]
Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=LARGEST_ID)]

Responses = dict[int | str, dict[str, Any]]
MALFORMED: Responses = {400: {"model": schemas.Detail, "description": "The body is not text"}}
NO_SUCH: Responses = {404: {"model": schemas.Detail, "description": "There is no such thing"}}
UNAVAILABLE: Responses = {
    503: {"model": schemas.Detail, "description": "Nothing can be stored now"}
}


def _with_header(status: int, name: str, schema: dict[str, Any]) -> Responses:
    return {status: {"headers": {name: {"required": True, "schema": schema}}}}


# --- about the service --------------------------------------------------------------------

about = APIRouter(tags=["about"])


@about.get("/")
async def index(deployed: Deployed) -> schemas.Index:
    """What this is and where it is described."""
    return schemas.Index(service=SERVICE, version=deployed.version, documentation="/docs")


@about.get("/health")
def health(deployed: Deployed, stored: Stored, remembered: Remembered) -> schemas.Health:
    """How the service and all it depends on are; always 200, as the process itself is up."""
    database, problem = _database_state(stored)
    insights = "healthy" if deployed.config_loaded else "failed"
    files = "healthy" if stored.flags.file_fallback else "skipped"
    return schemas.Health.model_validate(
        {
            "status": "healthy" if deployed.config_loaded else "degraded",
            "config_loaded": deployed.config_loaded,
            "environment": deployed.environment,
            "version": deployed.version,
            "commit": deployed.commit,
            "mode": stored.flags.mode,
            "database_writes": stored.flags.database_writes,
            "file_fallback": stored.flags.file_fallback,
            "database_connection": database,
            "database_error": problem,
            "memory_breaker": remembered.breaker.state,
            "dependencies": {"database": database, "files": files, "insights": insights},
        }
    )


def _database_state(stored: Storage) -> tuple[str, str | None]:
    if not stored.flags.database_writes:
        return "skipped", None
    try:
        stored.database.check()
    except Unavailable as error:
        return "failed", str(error)
    return "healthy", None


@about.get("/info")
async def info(request: Request, deployed: Deployed, stored: Stored) -> schemas.Info:
    """What is deployed, and in which operating mode it is."""
    return schemas.Info.model_validate(
        {
            "service": SERVICE,
            "version": deployed.version,
            "commit": deployed.commit,
            "environment": deployed.environment,
            "python": platform.python_version(),
            "started_at": request.app.state.started_at,
            "mode": stored.flags.mode,
            "database_writes": stored.flags.database_writes,
            "file_fallback": stored.flags.file_fallback,
        }
    )


@about.get("/metrics/summary")
async def metrics_summary(request: Request) -> schemas.MetricsSummary:
    """Traffic of this process. It touches no storage, so it says nothing about it."""
    traffic: Traffic = request.app.state.traffic
    ordered = sorted(traffic.latencies)
    return schemas.MetricsSummary(
        uptime_s=round(time.monotonic() - traffic.began, 3),
        requests=traffic.requests,
        errors=traffic.errors,
        error_rate=traffic.errors / max(1, traffic.requests),
        latency_ms=schemas.Latency(
            p50=round(ordered[len(ordered) // 2], 3),
            p95=round(ordered[len(ordered) * 95 // 100], 3),
        ),
    )


# --- journal ------------------------------------------------------------------------------

journal = APIRouter(prefix="/journal", tags=["journal"], responses=UNAVAILABLE)


@journal.get("/entries")
def list_entries(
    stored: Stored,
    author: Author = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> schemas.Entries:
    """Entries in the order they were written, of one author or of all."""
    where = _by(author)
    return schemas.Entries.model_validate(
        {
            "total": stored.count(storage.entries, where),
            "items": stored.read(storage.entries, where, limit, offset),
        }
    )


PLACE = _with_header(201, "Location", {"type": "string", "pattern": r"^/journal/entries/\d+$"})


@journal.post("/entries", status_code=201, responses=MALFORMED | PLACE)
def create_entry(new: schemas.NewEntry, stored: Stored, response: Response) -> schemas.Entry:
    """Write an entry; `Location` says where it is."""
    row = _entry(stored.new_id(), new)
    stored.put(storage.entries, row)
    response.headers["Location"] = f"/journal/entries/{row['id']}"
    return schemas.Entry.model_validate(row)


@journal.get("/entries/{entry_id}", responses=NO_SUCH)
def read_entry(entry_id: EntryId, stored: Stored) -> schemas.Entry:
    """One entry."""
    return schemas.Entry.model_validate(_existing_entry(stored, entry_id))


@journal.put("/entries/{entry_id}", responses=NO_SUCH | MALFORMED)
def change_entry(entry_id: EntryId, new: schemas.NewEntry, stored: Stored) -> schemas.Entry:
    """Replace what an entry says; its time of creation stays."""
    old = _existing_entry(stored, entry_id)
    row = _entry(entry_id, new) | {"created_at": old["created_at"]}
    stored.put(storage.entries, row)
    return schemas.Entry.model_validate(row)


@journal.patch("/entries/{entry_id}", responses=NO_SUCH | MALFORMED)
def amend_entry(entry_id: EntryId, changes: schemas.EntryChanges, stored: Stored) -> schemas.Entry:
    """Change some of what an entry says; the rest stays."""
    old = _existing_entry(stored, entry_id)
    row = old | changes.model_dump(exclude_none=True) | {"updated_at": _now()}
    stored.put(storage.entries, row)
    return schemas.Entry.model_validate(row)


@journal.delete("/entries/{entry_id}", status_code=204, responses=NO_SUCH)
def delete_entry(entry_id: EntryId, stored: Stored) -> None:
    """Remove an entry for good."""
    if not stored.remove(storage.entries, entry_id):
        raise _no_such("entry")


@journal.get("/entries/{entry_id}/insight", responses=NO_SUCH)
def entry_insight(entry_id: EntryId, stored: Stored, deployed: Deployed) -> schemas.Insight:
    """What an entry suggests."""
    row = _existing_entry(stored, entry_id)
    return _insight(row["text"], row["mood_level"], deployed)


@journal.get("/search")
def search(
    stored: Stored,
    text: Annotated[str, Query(max_length=100, examples=["work"])] = "",
    limit: Limit = 20,
) -> list[schemas.Entry]:
    """Entries that hold a text, in any case of letters."""
    rows = stored.read(storage.entries)
    found = [row for row in rows if text.casefold() in row["text"].casefold()]
    return [schemas.Entry.model_validate(row) for row in found[:limit]]


@journal.get("/related")
def related(
    stored: Stored,
    remembered: Remembered,
    text: Annotated[str, Query(max_length=100, examples=["work"])] = "",
) -> list[schemas.EntryMood]:
    """Entries that come to mind; none while the memory does not answer."""
    rows = remembered.query(text, lambda: stored.read(storage.entries))
    return [_entry_mood(row) for row in rows]


@journal.get("/moods")
def moods(
    stored: Stored, author: Author = None, limit: Limit = 20, offset: Offset = 0
) -> list[schemas.EntryMood]:
    """Each entry's mood in a word, in the order of the entries."""
    return [_entry_mood(row) for row in stored.read(storage.entries, _by(author), limit, offset)]


@journal.get("/tags")
def tags(stored: Stored, author: Author = None) -> list[schemas.Tag]:
    """Each `#tag` of the texts and how many entries have it, the most frequent first."""
    rows = stored.read(storage.entries, _by(author))
    found = Counter(tag for row in rows for tag in set(re.findall(r"#(\w+)", row["text"])))
    return [schemas.Tag(tag=tag, entries=entries) for tag, entries in found.most_common()]


@journal.post("/insights", responses=MALFORMED)
def insight(asked: schemas.Reflection, deployed: Deployed) -> schemas.Insight:
    """What a text suggests, without keeping it."""
    return _insight(asked.text, asked.mood_level, deployed)


def _entry(key: int, new: schemas.NewEntry) -> storage.Row:
    return {"id": key, **new.model_dump(), "created_at": _now(), "updated_at": _now()}


def _by(author: str | None) -> storage.Row:
    return {} if author is None else {"author": author}


def _entry_mood(row: storage.Row) -> schemas.EntryMood:
    level = row["mood_level"]
    return schemas.EntryMood(entry_id=row["id"], mood_level=level, mood=_mood(level))


def _mood(level: int) -> schemas.Mood:
    return "low" if level <= 3 else "fair" if level <= 6 else "good"


def _existing_entry(stored: Storage, key: int) -> storage.Row:
    row = stored.get(storage.entries, key)
    if row is None:
        raise _no_such("entry")
    return row


def _no_such(what: str) -> HTTPException:
    return HTTPException(404, f"there is no such {what}")


def _insight(text: str, mood: int, deployed: Deployment) -> schemas.Insight:
    """Different for different texts, as a model's would be; the same for all without its key."""
    if not deployed.config_loaded:
        return schemas.Insight(
            insight="Thank you for sharing.",
            action="Take a deep breath.",
            question="How do you feel today?",
        )
    words = text.split()
    longest = max(words, key=len, default="nothing")
    return schemas.Insight(
        insight=f"In {len(words)} words you come to speak of {longest!r}, at a mood of {mood}.",
        action="Do more of it tomorrow." if mood >= 5 else f"Tell somebody about {longest!r}.",
        question=f"What would {longest!r} look like a week from now?",
    )


# --- feedback and preferences -------------------------------------------------------------

feedback = APIRouter(prefix="/feedback", tags=["feedback"], responses=UNAVAILABLE)


@feedback.post("", status_code=201, responses=MALFORMED)
def give_feedback(new: schemas.NewFeedback, stored: Stored) -> schemas.Feedback:
    """Say how it went."""
    row = {"id": stored.new_id(), **new.model_dump(), "created_at": _now()}
    stored.put(storage.feedback, row)
    return schemas.Feedback.model_validate(row)


@feedback.get("/summary")
def feedback_summary(stored: Stored) -> schemas.FeedbackSummary:
    """How it went for everybody."""
    ratings = [row["rating"] for row in stored.read(storage.feedback)]
    return schemas.FeedbackSummary(count=len(ratings), average_rating=_average(ratings))


preferences = APIRouter(prefix="/preferences", tags=["preferences"], responses=UNAVAILABLE)


@preferences.get("/{user}", responses=NO_SUCH)
def read_preferences(user: User, stored: Stored) -> schemas.Preferences:
    """What a user has chosen."""
    row = stored.get(storage.preferences, user)
    if row is None:
        raise _no_such("user")
    return schemas.Preferences.model_validate({"user": user, **row})


@preferences.put("/{user}", responses=MALFORMED)
def choose_preferences(
    user: User, new: schemas.NewPreferences, stored: Stored
) -> schemas.Preferences:
    """Choose."""
    stored.put(storage.preferences, {"id": user, **new.model_dump()})
    return schemas.Preferences.model_validate({"user": user, **new.model_dump()})


def _average(values: list[int]) -> float | None:
    return round(statistics.fmean(values), 2) if values else None


# --- admin --------------------------------------------------------------------------------


def _only_admins(
    deployed: Deployed,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> None:
    token = given.credentials if given else ""
    if not hmac.compare_digest(token.encode(), deployed.token.encode()):
        raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})


admin = APIRouter(
    prefix="/admin",
    tags=["admin"],
    dependencies=[Depends(_only_admins)],
    responses={401: {"model": schemas.Detail, "description": "No token, or a wrong one"}},
)


@admin.get("/analytics", responses=UNAVAILABLE)
def analytics(stored: Stored) -> schemas.Analytics:
    """The whole in six numbers."""
    rows = stored.read(storage.entries)
    ratings = [row["rating"] for row in stored.read(storage.feedback)]
    return schemas.Analytics(
        entries=len(rows),
        authors=len({row["author"] for row in rows}),
        average_mood=_average([row["mood_level"] for row in rows]),
        average_stress=_average([row["stress_level"] for row in rows]),
        feedback=len(ratings),
        average_rating=_average(ratings),
    )


@admin.get("/authors", responses=UNAVAILABLE)
def authors(stored: Stored) -> list[schemas.Author]:
    """Who writes, the most diligent first."""
    rows = stored.read(storage.entries)
    last = {row["author"]: row["created_at"] for row in rows}
    return [
        schemas.Author(author=author, entries=entries, last_entry_at=last[author])
        for author, entries in Counter(row["author"] for row in rows).most_common()
    ]


COUNTED = _with_header(200, "X-Total-Count", {"type": "integer", "minimum": 0})


@admin.get("/feedback", responses=UNAVAILABLE | COUNTED)
def all_feedback(
    stored: Stored, response: Response, limit: Limit = 20, offset: Offset = 0
) -> list[schemas.Feedback]:
    """What was said; `X-Total-Count` says how much there is."""
    rows = stored.read(storage.feedback, limit=limit, offset=offset)
    response.headers["X-Total-Count"] = str(stored.count(storage.feedback))
    return [schemas.Feedback.model_validate(row) for row in rows]


@admin.get("/flags")
async def flags(stored: Stored) -> schemas.FlagsInUse:
    """The operating mode."""
    return _in_use(stored.flags)


NOTHING_LEFT: Responses = {
    409: {"model": schemas.Detail, "description": "Nothing could be stored any more"}
}


@admin.put("/flags", responses=MALFORMED | NOTHING_LEFT)
def set_flags(new: schemas.NewFlags, stored: Stored, request: Request) -> schemas.FlagsInUse:
    """Change the operating mode without a new deploy; both off is refused."""
    wanted = Flags(database_writes=new.database_writes, file_fallback=new.file_fallback)
    if wanted.mode == "INVALID":
        raise HTTPException(409, "with both off nothing could be stored: leave one on")
    before = stored.flags
    stored.switch(wanted)
    _switch_later(request.app, before if new.for_seconds else None, new.for_seconds)
    return _in_use(wanted)


def _switch_later(app: FastAPI, flags: Flags | None, seconds: int) -> None:
    """In place of what was to happen later so far."""
    if timer := getattr(app.state, "timer", None):
        timer.cancel()
    app.state.timer = None
    if flags:
        app.state.timer = threading.Timer(seconds, app.state.storage.switch, (flags,))
        app.state.timer.daemon = True
        app.state.timer.start()


@admin.get("/notice")
async def notice(request: Request) -> schemas.Notice:
    """What everybody should know."""
    return schemas.Notice(text=request.app.state.notice)


@admin.put("/notice", responses=MALFORMED)
async def set_notice(new: schemas.Notice, request: Request) -> schemas.Notice:
    """Say something to everybody."""
    request.app.state.notice = new.text
    return new


@admin.get("/faults", include_in_schema=False)
def faults(stored: Stored, remembered: Remembered) -> schemas.Faults:
    """What fails on purpose now."""
    return schemas.Faults(database=stored.database.unplugged, memory=remembered.unplugged)


@admin.put("/faults", include_in_schema=False)
def set_faults(new: schemas.Faults, stored: Stored, remembered: Remembered) -> schemas.Faults:
    """Let a dependency fail, for a rehearsal."""
    stored.database.unplugged = new.database
    remembered.unplugged = new.memory
    return new


def _in_use(flags: Flags) -> schemas.FlagsInUse:
    return schemas.FlagsInUse.model_validate({**msgspec.structs.asdict(flags), "mode": flags.mode})


# --- what is there from the start ---------------------------------------------------------

_WRITTEN = (
    ("ada", "Slept well, walked to work, wrote the difficult letter first. #work", 8, 7, 2),
    ("ada", "The release went out late; everybody was kind about it.", 6, 4, 6),
    ("grace", "Found the fault after lunch: a moth, more or less.", 9, 8, 3),
    ("linus", "Too many meetings, and none of them mine to leave. #work", 3, 3, 8),
    ("grace", "Taught two newcomers to read a core dump. They laughed. #teaching", 8, 6, 2),
    ("margaret", "Checked the list twice, then checked the one who checks.", 7, 6, 5),
)


def _plant(stored: Storage) -> None:
    """A few entries to list and to count, so that reading is proven without writing."""
    if stored.flags.mode == "INVALID":
        return
    rows = []
    for author, text, mood, energy, stress in _WRITTEN:
        new = schemas.NewEntry(
            author=author, text=text, mood_level=mood, energy_level=energy, stress_level=stress
        )
        rows.append(_entry(stored.new_id(), new))
    stored.put(storage.entries, *rows)
    stored.put(
        storage.feedback,
        {"id": stored.new_id(), "rating": 5, "comment": "Calm.", "created_at": _now()},
        {"id": stored.new_id(), "rating": 4, "comment": "", "created_at": _now()},
    )
    stored.put(
        storage.preferences,
        {"id": "ada", **schemas.NewPreferences(theme="dark").model_dump()},
        {"id": "grace", **schemas.NewPreferences(language="de").model_dump()},
    )
