"""``python -m forgetting``: the command line."""

import sys

from forgetting.cli import main

if __name__ == "__main__":
    sys.exit(main())
