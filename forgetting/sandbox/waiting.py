"""Seconds in which this process waited for graders in other processes, which its own processor time has not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_seconds = 0.0


@contextmanager
def waiting() -> Iterator[None]:
    """Count the wall seconds of what happens inside, without what this process itself took of a core meanwhile."""
    global _seconds
    wall, own = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        _seconds += max(time.perf_counter() - wall - (time.process_time() - own), 0.0)


def waited() -> float:
    """Seconds since this process began."""
    return _seconds
