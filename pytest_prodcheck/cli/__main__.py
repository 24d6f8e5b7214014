import sys

from pytest_prodcheck.cli import main

sys.exit(main())
