"""``python -m forgetting``: the command line, which imports nothing from the working folder."""

import os
import sys

HERE, OURS = os.getcwd(), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if not sys.flags.safe_path and sys.path[:1] == [HERE] and OURS != HERE:  # else it is a checkout
    del sys.path[0]

from forgetting.cli import main  # noqa: E402 (after the path is safe)

if __name__ == "__main__":
    sys.exit(main())
