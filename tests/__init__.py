"""Our own tests, in folders like those of the package."""

from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
