"""pytest-prodcheck: the verdict after a deploy."""

__version__ = "0.1.0"
