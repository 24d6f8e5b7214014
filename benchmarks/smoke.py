"""What a smoke run costs, beside the floor and the peers, all in one run.

    python benchmarks/smoke.py                      # 5 rounds, without Tavern, Newman and stepci
    python benchmarks/smoke.py --peers              # those too, installed into a temporary folder
    python benchmarks/smoke.py --rounds 1 --probes 50

Every contender asks the same local server for the same N endpoints. Those that check ask of each
a status, one JSON field and a limit of time, and are seen to fail where the field is wrong; the
server counts what it is asked, so that nobody is quick by leaving something out. A round runs each
contender once, so noise hits all alike, and a ratio is the median of the rounds' ratios. The exit
code is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.request import ProxyHandler, build_opener

CONCURRENCY = 64
WITHIN_S = 5
"""The limit of time of each check; wide, so that a busy machine makes nobody fail."""
LONG_S = 10.0
"""Who needs longer than this by waiting alone runs once, and without a warm-up."""
PATIENCE_S = 300
PLAIN = ("-p", "no:schemathesis", "-p", "no:hypothesispytest")
"""As the README recommends; these two plugins load themselves, and nobody here needs them."""
PYTEST = (sys.executable, "-m", "pytest")

OURS = "prodcheck"
ALONE = "prodcheck, its probes alone"
FLOOR = "pytest, empty items: the floor"
WITH_REPORTS = "  the same, with html and junit"
CURL = "curl -Z, 64 at once"
CLIENT = "pytest, a test each, one httpx.Client"
TAVERN, NEWMAN, STEPCI = "Tavern", "Newman", "stepci, 64 at once"


# --- the server ------------------------------------------------------------------------


class Items(asyncio.Protocol):
    """`/items/N` after the delay, `/asked` (how many since the last time) at once, or 404."""

    asked = 0

    def __init__(self, delay_s: float, status: str) -> None:
        self._delay_s = delay_s
        self._status = status
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self._received = (self._received + data).split(b"\r\n\r\n")
        for head in heads:
            path = head.split(b" ", 2)[1].decode()
            if path.startswith("/items/"):
                Items.asked += 1
                body = {"status": self._status, "item": path.removeprefix("/items/")}
                loop = asyncio.get_running_loop()
                loop.call_later(self._delay_s, self._answer, "200 OK", body)
            elif path == "/asked":
                self._answer("200 OK", Items.asked)
                Items.asked = 0
            else:
                self._answer("404 Not Found", {"detail": "not found"})

    def _answer(self, status: str, value: object) -> None:
        body = json.dumps(value)
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json"
        self._transport.write(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())


async def serve(delay_s: float, status: str) -> None:
    """Print the port, and answer until standard input closes: the parent is done, or dead."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    server = await loop.create_server(
        lambda: Items(delay_s, status), "127.0.0.1", 0, backlog=4 * CONCURRENCY
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin, done.set)
    await done.wait()


@dataclass(frozen=True)
class Server:
    url: str
    endpoints: int
    delay_s: float

    @property
    def ideal_s(self) -> float:
        return self.endpoints * self.delay_s / CONCURRENCY

    def asked(self) -> int:
        """How many items it has been asked for since this was called last."""
        with build_opener(ProxyHandler({})).open(f"{self.url}/asked", timeout=10) as answer:
            return int(answer.read())


@contextlib.contextmanager
def serving(endpoints: int, delay_s: float, status: str = "ok") -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, __file__, f"--serve={delay_s}", f"--status={status}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        try:
            port = int(process.stdout.readline())
            yield Server(f"http://127.0.0.1:{port}", endpoints, delay_s)
        finally:
            process.terminate()


# --- the contenders --------------------------------------------------------------------


@dataclass(frozen=True)
class Contender:
    name: str
    prepare: Callable[[Path, Server], list[str]]
    """Writes what it needs into a folder of its own; the answer is its command."""
    asks: bool = True
    checks: bool = True
    serial: bool = False


def pytest_folder(folder: Path, tests: str = "") -> None:
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = smoke\n")
    if tests:
        (folder / "test_items.py").write_text(tests)


def empty_items(*options: str) -> Callable[[Path, Server], list[str]]:
    def prepare(folder: Path, server: Server) -> list[str]:
        pytest_folder(
            folder,
            "import pytest\n\n@pytest.mark.smoke\n"
            f"@pytest.mark.parametrize('item', range({server.endpoints}))\n"
            "def test_item(item):\n    pass\n",
        )
        return [*PYTEST, *PLAIN, "-m", "smoke", *options]

    return prepare


def prodcheck(*options: str) -> Callable[[Path, Server], list[str]]:
    def prepare(folder: Path, server: Server) -> list[str]:
        pytest_folder(folder)
        target = f'[targets.bench]\nbase_url = "{server.url}"\nconcurrency = {CONCURRENCY}\n'
        probes = (
            f'\n[[probes]]\nget = "/items/{item}"\nstatus = 200\n'
            f'json = {{ status = "ok" }}\nwithin = {WITHIN_S}\n'
            for item in range(server.endpoints)
        )
        (folder / "prodcheck.toml").write_text(target + "".join(probes))
        return [*PYTEST, *PLAIN, "--target=bench", "-m", "smoke", *options]

    return prepare


def curl(program: str) -> Callable[[Path, Server], list[str]]:
    def prepare(folder: Path, server: Server) -> list[str]:
        transfers = (
            f'url = "{server.url}/items/{item}"\noutput = "{os.devnull}"\n'
            for item in range(server.endpoints)
        )
        limits = f"parallel\nparallel-max = {CONCURRENCY}\nfail\nsilent\nmax-time = {WITHIN_S}\n"
        (folder / "curl.txt").write_text(limits + "".join(transfers))
        return [program, "--disable", "--config", "curl.txt"]

    return prepare


def one_client(folder: Path, server: Server) -> list[str]:
    pytest_folder(
        folder,
        "import httpx\nimport pytest\n\n"
        "@pytest.fixture(scope='session')\ndef client():\n"
        f"    with httpx.Client(base_url='{server.url}', trust_env=False) as client:\n"
        "        yield client\n\n"
        "@pytest.mark.smoke\n"
        f"@pytest.mark.parametrize('item', range({server.endpoints}))\n"
        "def test_item(client, item):\n"
        "    response = client.get(f'/items/{item}')\n"
        "    assert response.status_code == 200\n"
        "    assert response.json()['status'] == 'ok'\n"
        f"    assert response.elapsed.total_seconds() < {WITHIN_S}\n",
    )
    return [*PYTEST, *PLAIN, "-p", "no:prodcheck", "-m", "smoke"]


def tavern(python: Path) -> Callable[[Path, Server], list[str]]:
    def prepare(folder: Path, server: Server) -> list[str]:
        pytest_folder(folder)
        tests = [
            {
                "test_name": f"item {item}",
                "strict": ["json:off"],
                "stages": [
                    {
                        "name": "get",
                        "request": {"url": f"{server.url}/items/{item}", "timeout": WITHIN_S},
                        "response": {"status_code": 200, "json": {"status": "ok"}},
                    }
                ],
            }
            for item in range(server.endpoints)
        ]
        (folder / "test_items.tavern.yaml").write_text("\n---\n".join(map(json.dumps, tests)))
        return [str(python), "-m", "pytest"]

    return prepare


def newman(program: Path) -> Callable[[Path, Server], list[str]]:
    def prepare(folder: Path, server: Server) -> list[str]:
        script = [
            "pm.test('status', () => pm.response.to.have.status(200));",
            "pm.test('field', () => pm.expect(pm.response.json().status).to.equal('ok'));",
            "pm.test('time', () => pm.expect(pm.response.responseTime)"
            f".to.be.below({1000 * WITHIN_S}));",
        ]
        items = [
            {
                "name": f"item {item}",
                "request": {"method": "GET", "url": f"{server.url}/items/{item}"},
                "event": [{"listen": "test", "script": {"exec": script}}],
            }
            for item in range(server.endpoints)
        ]
        schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
        collection = {"info": {"name": "items", "schema": schema}, "item": items}
        (folder / "items.json").write_text(json.dumps(collection))
        return [str(program), "run", "items.json"]

    return prepare


def stepci(program: Path) -> Callable[[Path, Server], list[str]]:
    def prepare(folder: Path, server: Server) -> list[str]:
        check = {
            "status": 200,
            "jsonpath": {"$.status": "ok"},
            "performance": {"total": [{"lt": 1000 * WITHIN_S}]},
        }
        tests = {
            f"item {item}": {
                "steps": [
                    {
                        "name": "get",
                        "http": {
                            "url": f"{server.url}/items/{item}",
                            "method": "GET",
                            "check": check,
                        },
                    }
                ]
            }
            for item in range(server.endpoints)
        }
        workflow = {"version": "1.1", "name": "items", "tests": tests}
        (folder / "workflow.yml").write_text(json.dumps(workflow))
        return [str(program), "run", "workflow.yml", "--concurrency", str(CONCURRENCY)]

    return prepare


def find_contenders(peers: Path | None) -> tuple[list[Contender], dict[str, str]]:
    """Those that are here, and why each of the others is missing."""
    reports = ("--html=report.html", "--self-contained-html", "--junitxml=junit.xml")
    present = [
        Contender(FLOOR, empty_items(), asks=False, checks=False),
        Contender(WITH_REPORTS, empty_items(*reports), asks=False, checks=False),
        Contender(OURS, prodcheck()),
        Contender(ALONE, prodcheck("suites/smoke/test_probes.py")),
        Contender(CLIENT, one_client, serial=True),
    ]
    missing = {}
    program = shutil.which("curl")
    if program:
        present.append(Contender(CURL, curl(program), checks=False))
    else:
        missing[CURL] = "there is no curl on this machine"
    installers: dict[str, Callable[[Path], Contender]] = {
        TAVERN: lambda folder: Contender(TAVERN, tavern(install_pypi(folder)), serial=True),
        NEWMAN: lambda folder: Contender(NEWMAN, newman(install_npm(folder)), serial=True),
        STEPCI: lambda folder: Contender(STEPCI, stepci(install_npm(folder))),
    }
    for name, installed in installers.items():
        package = name.split(",")[0].lower()
        if not peers:
            missing[name] = "installed with --peers only"
            continue
        try:
            present.append(installed(peers.resolve() / package))
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            missing[name] = f"cannot be installed: {said.strip()[-300:]}"
    return present, missing


def install_pypi(folder: Path) -> Path:
    """The package that *folder* is called, in a virtual environment there; the answer is its
    Python. What is there already is used again."""
    python = folder / "bin" / "python"
    if not (folder / "bin" / "tavern-ci").exists():
        print(f"Installing {folder.name} …", file=sys.stderr)
        install([sys.executable, "-m", "venv", str(folder)])
        # Tavern 3.7 imports a module that pytest 9.2 no longer has.
        install([str(python), "-m", "pip", "install", "--quiet", folder.name, "pytest<9.2"])
    return python


def install_npm(folder: Path) -> Path:
    """The package that *folder* is called, below it; the answer is its command."""
    program = folder / "node_modules" / ".bin" / folder.name
    if not program.exists():
        print(f"Installing {folder.name} …", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        quietly = ("--no-audit", "--no-fund", "--loglevel=error")
        install(["npm", "install", "--prefix", str(folder), *quietly, folder.name])
    return program


def install(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


# --- measuring -------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    wall_s: float
    cpu_s: float
    rss_mb: float
    """Its highest; the system counts a child from this process' own, about 28 MB."""
    exit: int
    output: str


@dataclass
class Row:
    """What one contender needed, round by round; `trouble` is why its figures do not count."""

    samples: list[Sample] = field(default_factory=list)
    trouble: str = ""

    @property
    def walls(self) -> list[float]:
        return [sample.wall_s for sample in self.samples]

    @property
    def cpu_s(self) -> float:
        return median(sample.cpu_s for sample in self.samples)

    @property
    def rss_mb(self) -> float:
        return median(sample.rss_mb for sample in self.samples)


Rows = Mapping[str, Row]


def environment(home: Path) -> dict[str, str]:
    """As a user has it: bytecode is kept, no proxy; and nobody sends usage data home."""
    odd = re.compile(r"(PYTHON|PYTEST_|PRODCHECK_).*|.*_proxy", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if not odd.fullmatch(name)}
    return kept | {"STEPCI_DISABLE_ANALYTICS": "1", "XDG_CONFIG_HOME": str(home)}


def run(command: list[str], folder: Path) -> Sample:
    """Run a child to its end, at most for PATIENCE_S."""
    output = folder / "output.txt"
    with output.open("wb") as sink:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        patience = threading.Timer(PATIENCE_S, os.killpg, (process.pid, signal.SIGKILL))
        patience.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            patience.cancel()
        wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    kibibytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Sample(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        rss_mb=kibibytes * 1024 / 1e6,
        exit=process.returncode,
        output=output.read_text(errors="replace"),
    )


def race(contenders: list[Contender], server: Server, rounds: int, home: Path) -> dict[str, Row]:
    """Warm up, then run each contender once per round; every other round goes backwards."""
    rows = {contender.name: Row() for contender in contenders}
    commands = {}
    for number, contender in enumerate(contenders):
        folder = home / f"{server.endpoints}-{1000 * server.delay_s:g}-{number}"
        folder.mkdir()
        commands[contender.name] = contender.prepare(folder, server), folder
    for turn in range(rounds + 1):
        for contender in contenders if turn % 2 else reversed(contenders):
            row = rows[contender.name]
            is_long = contender.serial and server.endpoints * server.delay_s > LONG_S
            if row.trouble or (is_long and turn != 1):
                continue
            told(f"{server.endpoints} at {1000 * server.delay_s:g} ms, {turn}: {contender.name}")
            server.asked()
            sample = run(*commands[contender.name])
            asked, wanted = server.asked(), server.endpoints if contender.asks else 0
            if sample.exit or asked != wanted:
                row.trouble = (
                    f"failed with exit {sample.exit}, {asked} of {wanted} requests sent: "
                    f"{sample.output.strip()[-300:]}"
                )
            elif turn:
                row.samples.append(sample)
    return rows


def check_that_they_check(contenders: list[Contender], home: Path) -> dict[str, str]:
    """Why the figures of a contender mean nothing: it passes where every answer is wrong."""
    idle = {}
    with serving(10, 0, status="down") as server:
        for number, contender in enumerate(contenders):
            if contender.checks:
                folder = home / f"wrong-{number}"
                folder.mkdir()
                told(f"wrong answers: {contender.name}")
                sample = run(contender.prepare(folder, server), folder)
                if sample.exit == 0:
                    idle[contender.name] = "passes where every answer is wrong"
    return idle


def starts(rounds: int, home: Path) -> dict[str, Row]:
    """pytest on one trivial file: without us, with us, with Schemathesis' plugin too."""
    folder = home / "starts"
    folder.mkdir()
    pytest_folder(folder, "def test_nothing():\n    pass\n")
    commands = {
        "prodcheck blocked": [*PYTEST, *PLAIN, "-p", "no:prodcheck"],
        "prodcheck installed": [*PYTEST, *PLAIN],
        "and Schemathesis' plugin": [*PYTEST],
    }
    rows = {name: Row() for name in commands}
    for turn in range(rounds + 1):
        for name in commands if turn % 2 else reversed(commands):
            told(f"start-up, {turn}: {name}")
            sample = run(commands[name], folder)
            if sample.exit:
                rows[name].trouble = f"failed: {sample.output.strip()[-300:]}"
            elif turn:
                rows[name].samples.append(sample)
    return rows


HEAVY = ("hypothesis", "schemathesis", "sqlalchemy")
LISTING = (
    "import sys, pytest; code = pytest.main(sys.argv[1:]); "
    f"print('imported:', *[name for name in {HEAVY} if name in sys.modules]); sys.exit(code)"
)


def heavy_imports(home: Path) -> tuple[list[str] | None, str]:
    """Which heavy packages a smoke run has imported at its end; None when it failed."""
    folder = home / "imports"
    folder.mkdir()
    with serving(10, 0) as server:
        options = prodcheck()(folder, server)[len(PYTEST) :]
        sample = run([sys.executable, "-c", LISTING, *options], folder)
    last = sample.output.strip().rpartition("\n")[2]
    if sample.exit or not last.startswith("imported:"):
        return None, last
    return last.split()[1:], last


# --- what came of it -------------------------------------------------------------------


def ratio(one: Row, other: Row, plus_s: float = 0.0) -> float | None:
    """Median of one / (other + plus_s) over the rounds that both have."""
    pairs = list(zip(one.walls, other.walls, strict=False))
    return median(a / (b + plus_s) for a, b in pairs) if pairs else None


def told(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def show(rows: Rows, server: Server, missing: Mapping[str, str]) -> None:
    told("")
    ideal = f" + {server.ideal_s:.2f}" if server.delay_s else ""
    print(
        f"\n{server.endpoints} endpoints, {1000 * server.delay_s:g} ms each\n"
        f"{'':40} {'median':>8}  {'fastest … slowest':>17}  {'x floor' + ideal:>14}"
        f"  {'x curl':>7} {'CPU s':>7} {'RSS MB':>7} {'rounds':>7}"
    )
    for name, row in rows.items():
        if row.trouble or not row.samples:
            print(f"{name:40} {row.trouble or 'not run'}")
            continue
        by_floor = ratio(row, rows[FLOOR], server.ideal_s)
        by_curl = ratio(row, rows[CURL]) if CURL in rows else None
        print(
            f"{name:40} {median(row.walls):8.3f}"
            f"  {min(row.walls):7.3f} … {max(row.walls):7.3f}  {times(by_floor):>14}"
            f"  {times(by_curl):>7} {row.cpu_s:7.2f} {row.rss_mb:7.0f}"
            f" {len(row.samples):7}"
        )
    for name, why in missing.items():
        print(f"{name:40} missing: {why}")


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


@dataclass(frozen=True)
class Target:
    what: str
    limit: float
    got: float | None
    """None: not measured."""
    at_least: bool = False
    best: float | None = None
    """What the floor and the ideal alone would get here: no plugin can do better."""

    @property
    def ruling(self) -> str:
        if self.got is None:
            return "NOT MEASURED"
        met = self.got >= self.limit if self.at_least else self.got <= self.limit
        return "met" if met else "MISSED"

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "at most"
        best = f" (the floor and the ideal alone: {times(self.best)})" if self.best else ""
        return f"{self.ruling:12}  {self.what}: {times(self.got)}, {bound} {self.limit:g}{best}"


def targets(few: Rows, many: Rows, ideal_s: float, start: Rows, heavy: int | None) -> list[Target]:
    def of(rows: Rows, one: str, other: str, plus_s: float = 0.0) -> float | None:
        known = one in rows and other in rows
        return ratio(rows[one], rows[other], plus_s) if known else None

    def best(other: str, *, at_least: bool = False) -> float | None:
        if not many[FLOOR].samples or other not in many or not many[other].samples:
            return None
        found = (median(many[FLOOR].walls) + ideal_s) / median(many[other].walls)
        return 1 / found if at_least else found

    installed, blocked = start["prodcheck installed"], start["prodcheck blocked"]
    added = [1000 * (a - b) for a, b in zip(installed.walls, blocked.walls, strict=False)]
    ours = many[OURS]
    return [
        Target("many probes, times floor + ideal", 1.25, of(many, OURS, FLOOR, ideal_s)),
        Target("many probes, times curl -Z", 1.6, of(many, OURS, CURL), best=best(CURL)),
        *(
            Target(
                f"many probes, times faster than {name}",
                35,
                of(many, name, OURS),
                at_least=True,
                best=best(name, at_least=True),
            )
            for name in (CLIENT, TAVERN, NEWMAN)
        ),
        Target(f"many probes, times faster than {STEPCI}", 1, of(many, STEPCI, OURS), True),
        Target("few probes, times the floor", 1.3, of(few, OURS, FLOOR)),
        Target("milliseconds added without --target", 30, median(added) if added else None),
        Target("RSS with many probes, MB", 120, ours.rss_mb if ours.samples else None),
        Target(f"of {', '.join(HEAVY)} imported by a smoke run", 0, heavy),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--probes",
        type=int,
        default=500,
        help="how many the larger scenario has; the targets are stated for %(default)s",
    )
    parser.add_argument(
        "--peers",
        nargs="?",
        const="",
        metavar="DIR",
        help="install Tavern, Newman and stepci: into DIR, to be used again, or temporarily",
    )
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--status", default="ok", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve, options.status))
        return 0
    if options.rounds < 1 or options.probes < 1:
        parser.error("--rounds and --probes are at least 1")
    # SIGTERM as Ctrl-C: no server, child or folder is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="prodcheck-benchmark-") as temporary:
        home = Path(temporary)
        peers = home / "peers" if options.peers == "" else options.peers and Path(options.peers)
        contenders, missing = find_contenders(peers or None)
        idle = check_that_they_check(contenders, home)
        contenders = [contender for contender in contenders if contender.name not in idle]
        missing |= idle
        print(
            f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, "
            f"load {os.getloadavg()[0]:.1f}, rounds {options.rounds}"
        )
        with serving(10, 0) as server:
            few = race(contenders, server, options.rounds, home)
            show(few, server, missing)
        with serving(options.probes, 0.1) as server:
            many = race(contenders, server, options.rounds, home)
            show(many, server, missing)
        # Three times as many: what is to be seen is milliseconds.
        start = starts(3 * options.rounds, home)
        told("")
        print("\npytest on one trivial file, without --target")
        for name, row in start.items():
            print(f"{name:40} {median(row.walls):8.3f}" if row.samples else row.trouble)
        heavy, said = heavy_imports(home)
        print(f"\na smoke run, {said}" if heavy else "")
        ruled = targets(few, many, server.ideal_s, start, None if heavy is None else len(heavy))
        print(*ruled, sep="\n")
        if options.probes != 500:
            print(f"The targets for many probes are stated for 500, not for {options.probes}.")
    return int(any(target.ruling == "MISSED" for target in ruled))


if __name__ == "__main__":
    sys.exit(main())
