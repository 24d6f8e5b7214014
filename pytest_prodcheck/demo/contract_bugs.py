"""Twelve ways in which answers leave the OpenAPI document, each in one operation.

The document stays as it is. `tests/contract_bugs.py` says the same as a table. The environment
variable PRODCHECK_DEMO_BUGS (`3` or `3,7`) switches on some of them alone.
"""

import json
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from pytest_prodcheck.demo import schemas, storage
from pytest_prodcheck.demo.storage import Storage

Service = Callable[[Request], Awaitable[Response]]
Bug = Callable[[Request, Service], Awaitable[Response]]

BUGS: list[tuple[int, str, str, Bug]] = []
"""Number, method, pattern of the path, and what answers there in place of the service alone."""

ENTRY = r"/journal/entries/[0-9]{1,9}"


def plant(app: FastAPI) -> None:
    """From now on the application answers with all of the bugs, or with those asked for."""
    chosen = os.environ.get("PRODCHECK_DEMO_BUGS", "")
    numbers = {int(number) for number in chosen.split(",")} if chosen else {bug[0] for bug in BUGS}
    app.state.bugs = [bug for bug in BUGS if bug[0] in numbers]
    app.state.deleted = {}
    app.middleware("http")(_answer)


async def _answer(request: Request, service: Service) -> Response:
    bugs: list[tuple[int, str, str, Bug]] = request.app.state.bugs
    for _, method, path, bug in bugs:
        if request.method == method and re.fullmatch(path, request.scope["path"]):
            return await bug(request, service)
    return await service(request)


def _bug(number: int, method: str, path: str) -> Callable[[Bug], Bug]:
    def register(bug: Bug) -> Bug:
        BUGS.append((number, method, path, bug))
        return bug

    return register


def _crash() -> Response:
    return PlainTextResponse("Internal Server Error", 500)


async def _json_of(answer: Any) -> Any:
    """Return the JSON of a response, which is a stream to a middleware, whatever its type says."""
    return json.loads(b"".join([part async for part in answer.body_iterator]))


def _the_storage(request: Request) -> Storage:
    found: Storage = request.app.state.storage
    return found


def _entry_id(request: Request) -> int:
    return int(request.scope["path"].rpartition("/")[2])


# --- found with GET alone -----------------------------------------------------------------


@_bug(1, "GET", r"/journal/entries/2147483647/insight")
async def boundary(_request: Request, _service: Service) -> Response:
    """1. The largest documented id is a 500; all others above the last entry are a 404."""
    return _crash()


@_bug(2, "GET", r"/journal/moods")
async def enumeration(request: Request, service: Service) -> Response:
    """2. A level of 9 or 10 is called "great", which is not among the documented words."""
    answer = await service(request)
    if answer.status_code != 200:
        return answer
    items = await _json_of(answer)
    for item in items:
        if item["mood_level"] >= 9:
            item["mood"] = "great"
    return JSONResponse(items)


@_bug(4, "GET", r"/journal/entries")
async def lost_field(request: Request, service: Service) -> Response:
    """4. `total` is missing when one author's entries are asked for."""
    answer = await service(request)
    if answer.status_code != 200 or "author" not in request.query_params:
        return answer
    return JSONResponse({"items": (await _json_of(answer))["items"]})


@_bug(6, "GET", r"/")
async def content_type(request: Request, service: Service) -> Response:
    """6. The index is JSON and says that it is plain text."""
    answer = await service(request)
    answer.headers["Content-Type"] = "text/plain; charset=utf-8"
    return answer


@_bug(7, "GET", r"/journal/tags")
async def empty_list(request: Request, service: Service) -> Response:
    """7. No tags at all are a null instead of an empty list."""
    answer = await service(request)
    if answer.status_code != 200:
        return answer
    return JSONResponse(await _json_of(answer) or None)


@_bug(11, "GET", r"/admin/feedback")
async def header(request: Request, service: Service) -> Response:
    """11. `X-Total-Count` is a sentence instead of an integer."""
    answer = await service(request)
    if "X-Total-Count" in answer.headers:
        answer.headers["X-Total-Count"] += " in all"
    return answer


@_bug(12, "GET", r"/journal/search")
async def empty_parameter(request: Request, service: Service) -> Response:
    """12. An optional `text` that is given and empty is a 500."""
    return _crash() if request.query_params.get("text") == "" else await service(request)


# --- found by writing ---------------------------------------------------------------------


@_bug(3, "POST", r"/feedback")
async def unicode(request: Request, service: Service) -> Response:
    """3. A comment with a character outside ASCII is stored, and then a 500."""
    body = await request.body()
    answer = await service(request)
    if answer.status_code != 201 or json.loads(body).get("comment", "").isascii():
        return answer
    return _crash()


@_bug(5, "POST", r"/journal/insights")
async def status(request: Request, service: Service) -> Response:
    """5. A text of 1000 characters and more, half of what is allowed, is an undocumented 413."""
    body = await request.body()
    answer = await service(request)
    if answer.status_code != 200 or len(json.loads(body)["text"]) < 1000:
        return answer
    return JSONResponse({"detail": "too long"}, 413)


@_bug(8, "PUT", r"/admin/notice")
async def authentication(request: Request, service: Service) -> Response:
    """8. Anybody may speak to everybody; reading it still needs the token."""
    token = request.app.state.deployment.token
    others = [(name, value) for name, value in request.headers.raw if name != b"authorization"]
    request.scope["headers"] = [*others, (b"authorization", f"Bearer {token}".encode())]
    return await service(request)


@_bug(9, "GET", ENTRY)
async def deletion(request: Request, service: Service) -> Response:
    """9. What was deleted can still be read."""
    answer = await service(request)
    row = request.app.state.deleted.get(_entry_id(request))
    return JSONResponse(row) if answer.status_code == 404 and row else answer


@_bug(9, "DELETE", ENTRY)
async def remembered(request: Request, service: Service) -> Response:
    """No bug: what `deletion` answers is kept."""
    row = _the_storage(request).get(storage.entries, _entry_id(request))
    answer = await service(request)
    if answer.status_code == 204:
        request.app.state.deleted[_entry_id(request)] = row
    return answer


@_bug(10, "PATCH", ENTRY)
async def validation(request: Request, service: Service) -> Response:
    """10. A mood above 10 is accepted, and kept as 10."""
    body = await request.body()
    answer = await service(request)
    if answer.status_code != 422:
        return answer
    body_json = await _json_of(answer)
    row = _the_storage(request).get(storage.entries, _entry_id(request))
    problems = [(problem["loc"], problem["type"]) for problem in body_json["detail"]]
    if row is None or problems != [(["body", "mood_level"], "less_than_equal")]:
        return JSONResponse(body_json, 422)
    changes = schemas.EntryChanges.model_validate({**json.loads(body), "mood_level": 10})
    row |= changes.model_dump(exclude_none=True)
    _the_storage(request).put(storage.entries, row)
    return JSONResponse(row)
