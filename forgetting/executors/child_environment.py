"""The environment of a child interpreter: it imports from where this one does, and nothing from the working folder.

An interpreter that is started with ``-m`` looks into the working folder first: a file ``queue.py`` or ``torch.py`` that
happens to lie there would be run. ``PYTHONSAFEPATH`` ends that for the child and for the children that it starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import forgetting


def child_environment() -> dict[str, str]:
    """Variables for a child; in a notebook or console its working folder comes last, so that own parts are found."""
    paths = [place for place in sys.path if place]
    if "" in sys.path:
        here = os.getcwd()
        ours = Path(forgetting.__file__).parents[1] == Path(here)  # a checkout that is not installed
        paths = [here, *paths] if ours else [*paths, here]
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def for_children() -> Iterator[None]:
    """Inside, children of this process that somebody else's package starts get these variables."""
    own = child_environment()
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
