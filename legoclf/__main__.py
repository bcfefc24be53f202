"""`python -m legoclf` is `legoclf`."""

import sys

from legoclf.cli import main

if __name__ == "__main__":
    sys.exit(main())
