"""`python -m pytest_prodcheck.demo --port N [--incident NAME]`: the demo's service, on loopback."""

import argparse
import contextlib
import gc
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pytest_prodcheck.demo.deployment import from_environment
from pytest_prodcheck.demo.incidents import INCIDENTS, Incident, missing_packages


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; what it stored is removed then."""
    parser = argparse.ArgumentParser(prog="python -m pytest_prodcheck.demo")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--directory", type=Path, help="for what it stores; default: a new one")
    parser.add_argument("--incident", choices=sorted(INCIDENTS), metavar="NAME")
    options = parser.parse_args(arguments)
    incident = INCIDENTS.get(options.incident)
    if missing := missing_packages(incident):
        sys.exit(missing)
    # A signal unwinds the stack instead of ending the process, so the directory is removed.
    _on_ending_signals(lambda: sys.exit(0))
    with contextlib.ExitStack() as stack:
        directory = options.directory or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="prodcheck-demo-"))
        )
        if incident and incident.deployment.get("policies"):
            from pytest_prodcheck.demo.policies import postgres

            stack.enter_context(postgres(directory / "pg"))
        serve(options.port, incident, directory)


def serve(port: int, incident: Incident | None, directory: Path) -> None:
    """Serve on 127.0.0.1, storing below `directory`."""
    gc.disable()  # while importing: a tenth of the start-up is collecting what is all needed
    import uvicorn

    from pytest_prodcheck.demo.app import create_app

    gc.enable()
    app = create_app(directory, from_environment(), incident)
    name = incident.name if incident else "healthy"
    print(f"demo: http://127.0.0.1:{port} ({name})", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            access_log=False,
            log_level="warning",
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    # uvicorn's own handlers raise the signal again when it has ended: that must do no more.
    _on_ending_signals(lambda: setattr(server, "should_exit", True))
    try:
        server.run()
    finally:
        app.state.storage.database.close()


def _on_ending_signals(act: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: act())


if __name__ == "__main__":
    main()
