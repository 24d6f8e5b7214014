"""Fixtures that several of our test files share."""

from tests.project import project

__all__ = ["project"]
