"""Where the real data are that some tests read: a folder beside the repository, or the one of ``FORGETTING_DATA``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("FORGETTING_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


def source(name: str) -> str:
    """The path of a real file; the test is skipped where it is missing."""
    if not Path(str(DATA / name).replace("{split}", "test")).is_file():
        pytest.skip(f"needs {name} in ../shared/data, or in the folder that FORGETTING_DATA names")
    return str(DATA / name)
