"""What a contract run costs and what it finds, beside `st run`, all in one run.

    python benchmarks/contract.py                       # 3 rounds of everything
    python benchmarks/contract.py --only healthy        # or bugs, or scale
    python benchmarks/contract.py --rounds 1 --examples 5

Three scenarios. A healthy server of twelve operations: cases per second, where the server counts
the cases, so that nobody is quick by leaving something out. The demo with its twelve bugs: who
finds which, and in what time; both have to fail there, so nobody is quick by not looking. Documents
of 10 to 1000 operations: what it takes to know them all. A round runs each contender once, each
against a server of its own and with the round's number as the seed; a ratio is the median of the
rounds' ratios. The exit code is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import ProxyHandler, build_opener

from smoke import PLAIN, PYTEST, Sample, Target, environment, run, times, told

ST = str(Path(sys.executable).with_name("st"))
TOKEN = "Bearer demo-token"
EXAMPLES = 50
"""Of the healthy server; the targets are stated for it."""
BUG_EXAMPLES = (20, 50)
SIZES = (10, 100, 1000)
ALL_BUGS = runpy.run_path(str(Path(__file__).parents[1] / "tests" / "contract_bugs.py"))
CONTRACT_BUGS = ALL_BUGS["CONTRACT_BUGS"]

ONE, TWO = "st run --workers 1", "st run --workers 2"
OURS, OURS_TWO = "prodcheck", "prodcheck -n 2"
LOADING = "Schemathesis: load, enumerate"
COLLECTING = "prodcheck: --collect-only"


# --- the healthy server ----------------------------------------------------------------

ID = {"type": "integer", "minimum": 1, "maximum": 2147483647}
FIELDS: dict[str, dict[str, Any]] = {
    "notes": {
        "title": {"type": "string", "minLength": 1, "maxLength": 80},
        "level": {"type": "integer", "minimum": 1, "maximum": 10},
        "done": {"type": "boolean"},
    },
    "people": {
        "name": {"type": "string", "minLength": 1, "maxLength": 40},
        "role": {"type": "string", "enum": ["admin", "member", "guest"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
}
REQUIRED = {"notes": ["title", "level"], "people": ["name", "role"]}
SEEDS = {
    "notes": {"title": "Write it down", "level": 3, "done": False},
    "people": {"name": "Ada", "role": "admin", "age": 36},
}
QUERY = {
    noun: {
        "limit": {"type": "integer", "minimum": 1, "maximum": 100},
        "after": {"type": "integer", "minimum": 0, "maximum": 2147483647},
        REQUIRED[noun][1]: FIELDS[noun][REQUIRED[noun][1]],
    }
    for noun in FIELDS
}
METHODS = {False: ("GET", "POST"), True: ("GET", "PUT", "PATCH", "DELETE")}
"""Of a list, of a thing in it."""


def crud_document() -> dict[str, Any]:
    """The twelve operations; all that `Crud` answers is in it."""
    schemas: dict[str, Any] = {
        "Problem": {
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"type": "string"}},
        }
    }
    paths: dict[str, Any] = {}
    for noun, fields in FIELDS.items():
        new = {"type": "object", "properties": fields, "additionalProperties": False}
        item = {"type": "object", "required": ["id", *REQUIRED[noun]]}
        schemas |= {
            f"{noun}-change": new,
            f"{noun}-new": new | {"required": REQUIRED[noun]},
            f"{noun}-item": item | {"properties": {"id": ID, **fields}},
            f"{noun}-list": {
                "type": "object",
                "required": ["total", "items"],
                "properties": {
                    "total": {"type": "integer"},
                    "items": {"type": "array", "items": reference(f"{noun}-item")},
                },
            },
        }
        query = [
            {"name": name, "in": "query", "schema": schema} for name, schema in QUERY[noun].items()
        ]
        paths[f"/{noun}"] = {
            "get": {"parameters": query, "responses": answers(200, f"{noun}-list", 422)},
            "post": {
                "requestBody": takes(f"{noun}-new", SEEDS[noun]),
                "responses": answers(201, f"{noun}-item", 415, 422),
            },
        }
        paths[f"/{noun}/{{id}}"] = {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": ID}],
            "get": {"responses": answers(200, f"{noun}-item", 404, 422)},
            "put": {
                "requestBody": takes(f"{noun}-new", SEEDS[noun]),
                "responses": answers(200, f"{noun}-item", 404, 415, 422),
            },
            "patch": {
                "requestBody": takes(f"{noun}-change", SEEDS[noun]),
                "responses": answers(200, f"{noun}-item", 404, 415, 422),
            },
            "delete": {"responses": answers(204, "", 404, 422)},
        }
    return document(paths, schemas)


def document(paths: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    info = {"title": "benchmark", "version": "1"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def takes(name: str, example: Mapping[str, Any]) -> dict[str, Any]:
    media = {"schema": reference(name), "example": example}
    return {"required": True, "content": {"application/json": media}}


def answers(success: int, name: str, *problems: int) -> dict[str, Any]:
    named = {success: name} | dict.fromkeys(problems, "Problem")
    return {
        str(status): {"description": "."}
        | ({"content": {"application/json": {"schema": reference(one)}}} if one else {})
        for status, one in named.items()
    }


def fits(value: object, schema: Mapping[str, Any]) -> bool:
    """Whether JSON Schema, as far as the document uses it, takes the value."""
    if value not in schema.get("enum", [value]):
        return False
    match schema["type"]:
        case "boolean":
            return isinstance(value, bool)
        case "string":
            longest = schema.get("maxLength", sys.maxsize)
            return isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= longest
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and schema["minimum"] <= value <= schema["maximum"]


def read(text: str, schema: Mapping[str, Any]) -> Any:
    """What a path or a query means; None when the schema does not take it."""
    value: Any = text
    if schema["type"] == "integer":
        value = int(text) if re.fullmatch(r"0|[1-9][0-9]{0,9}", text) else None
    return value if value is not None and fits(value, schema) else None


Answer = tuple[int, Any]


class Store:
    """What the healthy service does with a request."""

    def __init__(self) -> None:
        self.things = {
            noun: {number: {"id": number, **seed} for number in range(1, 201)}
            for noun, seed in SEEDS.items()
        }

    def answer(self, method: str, target: str, media: bytes, body: bytes) -> Answer:
        """A status and what is said; for 405 that is the methods that are allowed."""
        path, _, query = target.partition("?")
        _, noun, *rest = path.split("/") if path.startswith("/") else ("", "")
        if noun not in FIELDS or len(rest) > 1 or rest == [""]:
            return 404, {"detail": "not found"}
        if method not in METHODS[bool(rest)]:
            return 405, ", ".join(METHODS[bool(rest)])
        given = self._query(noun if method == "GET" and not rest else "", query)
        number = read(rest[0], ID) if rest else 0
        if given is None or number is None:
            return 422, {"detail": "invalid"}
        things = self.things[noun]
        if method in ("GET", "DELETE"):
            if not rest:
                return 200, self._listed(things, given)
            if number not in things:
                return 404, {"detail": "not found"}
            return (200, things[number]) if method == "GET" else (204, things.pop(number) and None)
        if media.partition(b";")[0].strip() != b"application/json":
            return 415, {"detail": "not JSON"}
        change = self._change(noun, body, whole=method != "PATCH")
        if change is None:
            return 422, {"detail": "invalid"}
        if method == "POST":
            number = max(things, default=0) + 1
        elif number not in things:
            return 404, {"detail": "not found"}
        kept = things[number] if method == "PATCH" else {"id": number}
        things[number] = kept | change
        return 201 if method == "POST" else 200, things[number]

    def _query(self, noun: str, query: str) -> dict[str, Any] | None:
        """The parameters of a list; none are known of anything else."""
        if not query:
            return {}
        known = QUERY.get(noun, {})
        found = {}
        for name, texts in parse_qs(query, keep_blank_values=True).items():
            value = read(texts[0], known[name]) if name in known and len(texts) == 1 else None
            if value is None:
                return None
            found[name] = value
        return found

    def _listed(self, things: dict[int, Any], given: dict[str, Any]) -> dict[str, Any]:
        limit, after = given.pop("limit", 20), given.pop("after", 0)
        found = [
            thing
            for number, thing in things.items()
            if number > after and all(thing[name] == value for name, value in given.items())
        ]
        return {"total": len(found), "items": found[:limit]}

    def _change(self, noun: str, body: bytes, *, whole: bool) -> dict[str, Any] | None:
        try:
            value = json.loads(body)
        except ValueError:
            return None
        if not isinstance(value, dict) or (whole and not value.keys() >= set(REQUIRED[noun])):
            return None
        fields = FIELDS[noun]
        fine = all(name in fields and fits(one, fields[name]) for name, one in value.items())
        return value if fine else None


class Crud(asyncio.Protocol):
    """HTTP around the store; `/openapi.json`, and `/asked`: how many since the last time."""

    asked = 0

    def __init__(self, store: Store, spec: bytes) -> None:
        self._store = store
        self._spec = spec
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            head, found, rest = self._received.partition(b"\r\n\r\n")
            length = int(header(head, b"content-length") or 0)
            if not found or len(rest) < length:
                return
            self._received = rest[length:]
            method, target, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ", 2)
            self._write(method, *self._answer(method, target, head, rest[:length]))

    def _answer(self, method: str, target: str, head: bytes, body: bytes) -> tuple[int, str, bytes]:
        json_ = "content-type: application/json\r\n"
        if target == "/openapi.json":
            return 200, json_, self._spec
        if target == "/asked":
            asked, Crud.asked = Crud.asked, 0
            return 200, json_, str(asked).encode()
        Crud.asked += 1
        status, said = self._store.answer(method, target, header(head, b"content-type"), body)
        if status == 405:
            return 405, f"allow: {said}\r\n{json_}", b'{"detail": "not allowed"}'
        return (204, "", b"") if status == 204 else (status, json_, json.dumps(said).encode())

    def _write(self, method: str, status: int, headers: str, body: bytes) -> None:
        head = f"HTTP/1.1 {status} .\r\n{headers}content-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + (b"" if method == "HEAD" else body))


def header(head: bytes, name: bytes) -> bytes:
    found = re.search(rb"\r\n" + name + rb": *([^\r]*)", head, re.IGNORECASE)
    return found[1] if found else b""


async def serve(operations: int) -> None:
    """Print the port, and answer until standard input closes: the parent is done, or dead."""
    spec = json.dumps(large_document(operations) if operations else crud_document()).encode()
    store, loop, done = Store(), asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(lambda: Crud(store, spec), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin, done.set)
    await done.wait()


def get(url: str) -> bytes:
    with build_opener(ProxyHandler({})).open(url, timeout=10) as answer:
        return bytes(answer.read())


@contextlib.contextmanager
def serving(operations: int = 0) -> Iterator[str]:
    """The URL of a healthy service, or of a document of so many operations."""
    process = subprocess.Popen(
        [sys.executable, __file__, f"--serve={operations}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextlib.contextmanager
def demo(folder: Path) -> Iterator[str]:
    """The URL of the demo with its bugs; what it stores is below *folder*."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pytest_prodcheck.demo", f"--port={port}"]
    process = subprocess.Popen(
        [*at_home(folder), *command, "--incident=contract-bugs"],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    with process:
        try:
            for _ in range(300):
                with contextlib.suppress(OSError):
                    get(f"{url}/openapi.json")
                    break
                if process.poll() is not None:
                    break
                time.sleep(0.1)
            else:
                raise TimeoutError("the demo does not answer")
            yield url
        finally:
            process.terminate()


# --- large documents -------------------------------------------------------------------


def large_document(operations: int) -> dict[str, Any]:
    """As many operations, about 5 kB each: half read a thing, half make one."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for number in range((operations + 1) // 2):
        name = f"thing{number}"
        schemas[name] = {"type": "object", "required": ["field0"], "properties": properties(36)}
        schemas[f"{name}-made"] = {"allOf": [reference(name), {"properties": properties(24)}]}
        path_id = {"name": "id", "in": "path", "required": True, "schema": ID}
        paths[f"/{name}/{{id}}"] = {
            "parameters": [path_id],
            "get": {
                "operationId": f"read_{name}",
                "tags": [f"tag{number % 40}"],
                "parameters": [
                    {"name": f"filter{one}", "in": "query", "schema": schema}
                    for one, schema in enumerate(properties(8).values())
                ],
                "responses": answers(200, f"{name}-made"),
            },
        }
        if 2 * number + 1 < operations:
            paths[f"/{name}"] = {
                "post": {
                    "operationId": f"make_{name}",
                    "tags": [f"tag{number % 40}"],
                    "requestBody": takes(name, {"field0": "x"}),
                    "responses": answers(201, f"{name}-made"),
                }
            }
    return document(paths, schemas)


def properties(number: int) -> dict[str, Any]:
    kinds: Sequence[dict[str, Any]] = (
        {"type": "string", "minLength": 1, "maxLength": 200},
        {"type": "integer", "minimum": 0, "maximum": 10000},
        {"type": "array", "items": {"type": "string", "enum": ["one", "two", "three"]}},
        {"type": ["boolean", "null"]},
    )
    told_ = "What it is for, as somebody who has to fill it in would like to read it."
    return {f"field{one}": kinds[one % 4] | {"description": told_} for one in range(number)}


LOAD = (
    "import sys, schemathesis\n"
    "schema = schemathesis.openapi.from_url(sys.argv[1])\n"
    "print('operations:', sum(1 for _ in schema.get_all_operations()))\n"
)


# --- the contenders --------------------------------------------------------------------


@dataclass
class Row:
    """What one contender needed, round by round; `trouble` is why its figures do not count."""

    samples: list[Sample] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    found: list[frozenset[tuple[str, str]]] = field(default_factory=list)
    trouble: str = ""

    @property
    def walls(self) -> list[float]:
        return [sample.wall_s for sample in self.samples]

    @property
    def rates(self) -> list[float]:
        return [asked / wall for asked, wall in zip(self.asked, self.walls, strict=False)]

    @property
    def cpu_s(self) -> float:
        return median(sample.cpu_s for sample in self.samples)

    @property
    def rss_mb(self) -> float:
        return median(sample.rss_mb for sample in self.samples)


Rows = Mapping[str, Row]
Prepare = Callable[[Path, str, int, int], list[str]]
"""Folder, URL, examples, seed: writes what it needs; the answer is its command."""


def at_home(folder: Path) -> list[str]:
    """Begins a command: what it stores on its own is below *folder*, to be removed with it."""
    names = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    alien = [name for name in os.environ if re.match("SCHEMATHESIS_|HYPOTHESIS_|DEMO_", name)]
    removed = [part for name in alien for part in ("-u", name)]
    return ["env", *removed, *(f"{name}={folder}" for name in names)]


def st_run(*options: str) -> Prepare:
    def prepare(folder: Path, url: str, examples: int, seed: int) -> list[str]:
        effort = (f"--max-examples={examples}", f"--seed={seed}", "--no-color")
        # What was found before is not to be known: prodcheck keeps no examples either.
        effort += ("--generation-database=none",)
        return [*at_home(folder), ST, "run", f"{url}/openapi.json", *effort, *options]

    return prepare


def prodcheck(*options: str, headers: str = "") -> Prepare:
    def prepare(folder: Path, url: str, examples: int, seed: int) -> list[str]:
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "prodcheck.toml").write_text(
            f'[targets.bench]\nbase_url = "{url}"\nread_only = false\nopenapi = "/openapi.json"\n'
            f"request_budget = 1000000\nmax_body = 67108864\n{headers}"
            f"[contract]\nmax_examples = {examples}\nseed = {seed}\n"
        )
        # pytest-randomly, where it is installed, would make rounds differ.
        plain = (*PLAIN, "-p", "no:randomly")
        return [*at_home(folder), *PYTEST, *plain, "--target=bench", "-m", "contract", *options]

    return prepare


def loading(folder: Path, url: str, _examples: int, _seed: int) -> list[str]:
    return [*at_home(folder), sys.executable, "-c", LOAD, f"{url}/openapi.json"]


def race(
    contenders: Mapping[str, Prepare],
    rounds: int,
    examples: int,
    home: Path,
    service: Callable[[Path], contextlib.AbstractContextManager[str]],
    judge: Callable[[Row, Sample, Path, str], str],
) -> dict[str, Row]:
    """Each contender once per round, every other round backwards; `judge` notes what a run was
    good for, and says why it is not, if so. Who is new in *home* warms up with one example: a
    folder is kept from round to round, as Hypothesis keeps a table there that it takes a second
    to make."""
    rows = {name: Row() for name in contenders}
    fresh = [name for name in contenders if not (home / name).exists()]
    for turn in range(rounds + 1):
        for name in contenders if turn % 2 else reversed(contenders):
            row = rows[name]
            if row.trouble or (turn == 0 and name not in fresh):
                continue
            told(f"{examples} examples, {turn}: {name}")
            folder = home / name
            folder.mkdir(parents=True, exist_ok=True)
            with service(folder) as url:
                command = contenders[name](folder, url, examples if turn else 1, turn)
                sample = run(command, folder)
                one = Row()
                trouble = judge(one, sample, folder, url)
            if trouble:
                row.trouble = f"{trouble}: {' '.join(sample.output.split())[-400:]}"
            elif turn:
                row.samples.append(sample)
                row.asked += one.asked
                row.found += one.found
    told("")
    return rows


# --- the scenarios ---------------------------------------------------------------------


def healthy(rounds: int, examples: int, home: Path) -> dict[str, Row]:
    phases = "--phases=examples,coverage,fuzzing"
    operations = "suites/contract/test_operations.py"
    contenders = {
        ONE: st_run("--workers=1", phases),
        TWO: st_run("--workers=2", phases),
        OURS: prodcheck(operations),
        OURS_TWO: prodcheck(operations, "-n", "2"),
    }

    def judge(row: Row, sample: Sample, _folder: Path, url: str) -> str:
        row.asked.append(int(get(f"{url}/asked")))
        return f"exit {sample.exit} on a healthy server" if sample.exit else ""

    return race(contenders, rounds, examples, home / "healthy", lambda _: serving(), judge)


def with_bugs(rounds: int, examples: int, home: Path) -> dict[str, Row]:
    suites = ("suites/contract/test_operations.py", "suites/contract/test_workflows.py")
    contenders = {
        ONE: st_run("--workers=1", f"--header=Authorization: {TOKEN}"),
        OURS: prodcheck(*suites, headers=f'headers = {{ Authorization = "{TOKEN}" }}\n'),
    }

    def judge(row: Row, sample: Sample, folder: Path, _url: str) -> str:
        if sample.exit != 1:
            return f"exit {sample.exit} on a server with bugs"
        ours = (folder / "prodcheck.toml").exists()
        row.found.append(found_by_prodcheck(folder) if ours else found_by_st(sample.output))
        return ""

    return race(contenders, rounds, examples, home / "bugs", demo, judge)


CHECKS = {
    "API accepts requests without authentication": "ignored_auth",
    "API accepts invalid authentication": "ignored_auth",
    "Deleted resource still available": "use_after_free",
    "Missing Content-Type header": "content_type_conformance",
    "Response header does not conform to the schema": "response_headers_conformance",
    "Response violates schema": "response_schema_conformance",
    "Schema-violating request accepted": "negative_data_rejection",
    "Server error": "not_a_server_error",
    "Server error on data that the document forbids": "not_a_server_error",
    "Undocumented Content-Type": "content_type_conformance",
    "Undocumented status code": "status_code_conformance",
}
"""Schemathesis' titles of failures, which both tools print; others stand for themselves."""


def found_by_st(output: str) -> frozenset[tuple[str, str]]:
    """(operation, check) of every failure. Its reports would cost it time, and the JSON one calls
    all that sequences find `Stateful tests`; there the last request tells the operation."""
    known = [bug.operation for bug in CONTRACT_BUGS]
    found = set()
    for section in re.split(r"^(?=_{2,} .+ _{2,}$)", output, flags=re.M)[1:]:
        name = section.partition("\n")[0].strip("_ ")
        for case in re.split(r"^(?=\d+\. Test Case ID)", section, flags=re.M)[1:]:
            requests = re.findall(r"^ +curl -X ([A-Z]+) .*?'?(https?://[^\s']+)", case, re.M)
            stateful = " /" not in name and requests
            operation = operation_of(*requests[-1], known) if stateful else name
            for title in re.findall(r"^- ST\d+ (.+)$", case, re.M):
                found.add((operation, CHECKS.get(title, title)))
    return frozenset(found)


def found_by_prodcheck(folder: Path) -> frozenset[tuple[str, str]]:
    """The same of its verdict; a step of a workflow is told by its URL alone."""
    verdict = json.loads((folder / "prodcheck-report" / "latest" / "verdict.json").read_text())
    operations = [
        name[1] for one in verdict["checks"] if (name := re.search(r"\[(\w+ /.*)\]$", one["id"]))
    ]
    found = set()
    for check in verdict["checks"]:
        own = re.search(r"\[(\w+ /.*)\]$", check["id"])
        for failure in re.split(r"^(?=\d+\. )", check["message"] or "", flags=re.M):
            title = re.match(r"\d+\. (.+?)(?: \(\d+ times\))?(?::|$)", failure, re.M)
            request = re.search(r"\b([A-Z]+) (https?://\S+) -> ", failure)
            if title and request:
                name = own[1] if own else operation_of(request[1], request[2], operations)
                found.add((name, CHECKS.get(title[1], title[1])))
    return frozenset(found)


def operation_of(method: str, url: str, operations: Sequence[str]) -> str:
    """The operation that a request was for; of two that fit, the one with fewer parameters."""
    asked = f"{method} {urlsplit(url).path}"
    fitting = [
        one
        for one in operations
        if re.fullmatch(re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(one)), asked)
    ]
    return min(fitting, key=lambda one: one.count("{"), default=asked)


def at_scale(size: int, rounds: int, home: Path) -> dict[str, Row]:
    contenders = {LOADING: loading, COLLECTING: prodcheck("--collect-only", "-q")}

    def judge(row: Row, sample: Sample, _folder: Path, _url: str) -> str:
        loaded = re.search(r"^operations: (\d+)$", sample.output, re.M)
        known = int(loaded[1]) if loaded else sample.output.count("::test_operation[")
        row.asked.append(known)
        # What was only collected has not run: inconclusive, to prodcheck.
        fine = known == size and sample.exit in (0, 6)
        return "" if fine else f"exit {sample.exit}, knows {known}"

    return race(contenders, rounds, size, home / "scale", lambda _: serving(size), judge)


# --- what came of it -------------------------------------------------------------------


def ratio(
    rows: Rows,
    one: str,
    other: str,
    of: Callable[[Row], list[float]] = lambda row: row.walls,
    plus: float = 0.0,
) -> float | None:
    """Median of (one - plus) / other over the rounds that both have."""
    if rows[one].trouble or rows[other].trouble:
        return None
    pairs = list(zip(of(rows[one]), of(rows[other]), strict=False))
    return median((a - plus) / b for a, b in pairs) if pairs else None


def rates(row: Row) -> list[float]:
    return row.rates


def asked(row: Row) -> list[float]:
    return [float(number) for number in row.asked]


def show_healthy(rows: Rows, examples: int) -> list[Target]:
    print(
        f"\nA healthy server, 12 operations, {examples} examples\n"
        f"{'':32} {'cases/s':>8}  {'least … most':>15} {'x st -w 1':>10} {'cases':>6}"
        f" {'wall s':>7} {'CPU s':>7} {'cases/CPU s':>12} {'RSS MB':>7}"
    )
    for name, row in rows.items():
        if row.trouble:
            print(f"{name:32} {row.trouble}")
            continue
        print(
            f"{name:32} {median(row.rates):8.0f}  {min(row.rates):6.0f} … {max(row.rates):6.0f}"
            f" {times(ratio(rows, name, ONE, rates)):>10} {median(row.asked):6.0f}"
            f" {median(row.walls):7.2f} {row.cpu_s:7.2f} {median(row.asked) / row.cpu_s:12.0f}"
            f" {row.rss_mb:7.0f}"
        )
    return [
        Target("cases/s, times st run --workers 1", 1.3, ratio(rows, OURS, ONE, rates), True),
        Target("cases/s of -n 2, times st -w 2", 2, ratio(rows, OURS_TWO, TWO, rates), True),
    ]


def show_bugs(rows: Rows, examples: int) -> list[Target]:
    print(f"\nTwelve bugs, {examples} examples: found in how many rounds\n{'':71}", *rows, sep="  ")
    troubles = [f"{name}: {row.trouble}" for name, row in rows.items() if row.trouble]
    if troubles:
        print(*troubles, sep="\n")
        return [Target(f"superset of st's bugs, {examples} examples", 0, None)]
    behind = 0
    for bug in CONTRACT_BUGS:
        counts = {
            name: sum((bug.operation, bug.check) in found for found in row.found)
            for name, row in rows.items()
        }
        behind += counts[OURS] < counts[ONE]
        cells = "  ".join(
            f"{f'{number}/{len(rows[name].found)}':>{len(name)}}" for name, number in counts.items()
        )
        print(f"{bug.number:2} {bug.operation:40} {bug.check:28}  {cells}")
    known = {(bug.operation, bug.check) for bug in CONTRACT_BUGS}
    for name, row in rows.items():
        sets = [len(found & known) for found in row.found]
        others = Counter(pair for found in row.found for pair in found - known)
        print(
            f"{name}: {median(row.walls):.2f} s ({min(row.walls):.2f} … {max(row.walls):.2f}), "
            f"CPU {row.cpu_s:.2f} s, {row.rss_mb:.0f} MB; bugs per round {sets}"
        )
        for (operation, check), number in sorted(others.items()):
            print(f"    besides, {number} x: {operation}, {check}")
    return [
        Target(f"bugs that st finds in more rounds, {examples} examples", 0, behind),
        Target(f"time, times st run, {examples} examples", 1, ratio(rows, OURS, ONE)),
    ]


def show_scale(sizes: Mapping[int, Rows]) -> list[Target]:
    print(f"\nDocuments of N operations\n{'':32} {'N':>6} {'wall s':>8} {'CPU s':>7} {'RSS MB':>7}")
    for size, rows in sizes.items():
        for name, row in rows.items():
            if row.trouble:
                print(f"{name:32} {size:6} {row.trouble}")
                continue
            print(f"{name:32} {size:6} {median(row.walls):8.3f} {row.cpu_s:7.2f} {row.rss_mb:7.0f}")
    few, some, many = (sizes[size][COLLECTING] for size in SIZES)
    most = sizes[SIZES[-1]]
    growth = None
    if not (few.trouble or some.trouble or many.trouble):
        # The processor's time has less noise than the clock's.
        early = (some.cpu_s - few.cpu_s) / (SIZES[1] - SIZES[0])
        late = (many.cpu_s - some.cpu_s) / (SIZES[2] - SIZES[1])
        print(f"each further operation: {1000 * early:.2f} ms, from 100 on {1000 * late:.2f} ms")
        growth = 1000 * (late - early)
    return [
        Target(
            "collecting 1000 operations, (ours - 0.6 s) / Schemathesis'",
            1.5,
            ratio(most, COLLECTING, LOADING, plus=0.6),
        ),
        Target("RSS of collecting 1000, MB", 250, None if many.trouble else many.rss_mb),
        Target("CPU ms per further operation, from 100 on above before", 0.5, growth),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--examples", type=int, help="of each scenario; the targets are stated for 50, and 20"
    )
    parser.add_argument("--only", choices=("healthy", "bugs", "scale"), help="this scenario alone")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return 0
    if options.rounds < 1 or (options.examples or 1) < 1:
        parser.error("--rounds and --examples are at least 1")
    if not Path(ST).exists():
        parser.error(f"{ST} is missing: run this with the Python that Schemathesis is installed in")
    # SIGTERM as Ctrl-C: no server, child or folder is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ruled: list[Target] = []
    with tempfile.TemporaryDirectory(prefix="prodcheck-benchmark-") as temporary:
        home = Path(temporary)
        print(
            f"Python {sys.version.split()[0]}, Schemathesis {version('schemathesis')}, "
            f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, rounds {options.rounds}"
        )
        if options.only in (None, "healthy"):
            examples = options.examples or EXAMPLES
            ruled += show_healthy(healthy(options.rounds, examples, home), examples)
        if options.only in (None, "bugs"):
            for examples in (options.examples,) if options.examples else BUG_EXAMPLES:
                ruled += show_bugs(with_bugs(options.rounds, examples, home), examples)
        if options.only in (None, "scale"):
            ruled += show_scale({size: at_scale(size, options.rounds, home) for size in SIZES})
    print(f"\nload {os.getloadavg()[0]:.1f} at the end", *ruled, sep="\n")
    return int(any(target.ruling == "MISSED" for target in ruled))


if __name__ == "__main__":
    sys.exit(main())
