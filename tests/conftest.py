"""Fixtures that several of our test files share."""

from tests.postgres import postgres, postgres_server
from tests.project import project

__all__ = ["postgres", "postgres_server", "project"]
