"""The folder of a run, whose files appear complete or not at all; `latest` points to it."""

import os
import secrets
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pytest_prodcheck.errors import UsageError


class Folder:
    """The folder `prodcheck-report/<run id>/`; `work` is for the run's processes until its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / ".work"
        self.run_id = path.name

    @classmethod
    def create(cls, base: Path) -> "Folder":
        """Create a new run's folder in *base*, point `latest` to it, and return it.

        Raises UsageError if *base* cannot hold it: read-only, a file, a link elsewhere.
        """
        remedy = "Name a writable folder with --prodcheck-report DIR."
        if base.is_symlink():
            raise UsageError(
                f"{base} is a link to {base.readlink()}: reports are not written "
                f"through links. {remedy}"
            )
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        folder = cls(base / run_id)
        try:
            folder.work.mkdir(parents=True)
            folder._point_latest()
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"{base} cannot hold the report: {reason}. {remedy}") from error
        return folder

    @classmethod
    def at(cls, path: Path) -> "Folder":
        """Create an empty folder for a run at exactly *path*, and return it; raises UsageError."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise UsageError(f"{path} is not empty. Name a new folder with --output DIR.")
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"{path} cannot hold a run: {reason}. Name another folder.") from error
        return cls(path)

    def _point_latest(self) -> None:
        link = self.path.with_name(f".latest-{self.run_id}")
        link.symlink_to(self.run_id)
        try:
            link.replace(self.path.with_name("latest"))
        except OSError:
            link.unlink()
            raise

    def write(self, name: str, text: str, *, durable: bool = False) -> None:
        """Write *text* to file *name*; after a kill it has either the old content or the new.

        *durable*: also after a power cut, which costs some milliseconds for the disk.
        """

        def fill(part: Path) -> None:
            part.write_text(text, encoding="utf-8", errors="backslashreplace")
            if durable:
                with part.open("rb") as written:
                    os.fsync(written.fileno())

        self.replace(name, fill)

    def replace(self, name: str, fill: Callable[[Path], object]) -> None:
        """Have *fill* write a file beside *name*, then move it into place atomically."""
        part = self.path / f".{name}.part"
        try:
            fill(part)
            part.replace(self.path / name)
        finally:
            part.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove the files that only the processes of the run needed."""
        shutil.rmtree(self.work, ignore_errors=True)


def drop_latest(base: Path) -> None:
    """Remove the link `latest`, so that a run that could not begin has no verdict there."""
    latest = base / "latest"
    if latest.is_symlink():
        latest.unlink(missing_ok=True)
