"""Fixtures that several of our test files share."""

# After a run in this process pytester forgets the modules that it brought: of Schemathesis there
# would be halves of two ages, whose classes are strangers to each other. So it is here before.
import schemathesis.specs.openapi.schemas  # noqa: F401

from tests.postgres import postgres, postgres_server
from tests.project import project

__all__ = ["postgres", "postgres_server", "project"]
