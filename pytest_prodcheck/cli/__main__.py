"""`python -m pytest_prodcheck.cli`: the same as the `prodcheck` command."""

import sys

from pytest_prodcheck.cli import main

if __name__ == "__main__":
    sys.exit(main())
