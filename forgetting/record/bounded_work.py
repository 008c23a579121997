"""Limits on something that a stranger wrote and this process runs, such as a chat template: its time and its memory."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError

LEAST_BYTES = 2**30
AGAIN_SECONDS = 0.2  # between two calls to stop, since a body may catch what stops it


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """``UsageError`` where the body is longer on the processor, so that what others run beside it stops nothing.

    Signals reach the main thread only: elsewhere there is no limit.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return

    def over(*_: Any) -> None:
        raise UsageError(f"{what}: takes longer than {seconds:g} s of the processor, which is the limit")

    before, begin = signal.signal(signal.SIGPROF, over), time.process_time()
    left, again = signal.setitimer(signal.ITIMER_PROF, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        if left:  # somebody else's timer goes on
            signal.setitimer(signal.ITIMER_PROF, max(left - (time.process_time() - begin), 0.001), again)


@contextmanager
def memory_limit(what: str) -> Iterator[None]:
    """``UsageError`` where the body wants more than a quarter of the machine's memory, and more than 1 GiB.

    It is the address space of the whole process that is bounded meanwhile, in any thread, and on Linux only.
    """
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError):
        yield
        return
    more = most_bytes()
    before = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [used + more, *(own for own in before if own != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds), before[1]))
    try:
        yield
    except MemoryError:
        raise UsageError(f"{what}: takes more than {more / 2**30:.1f} GiB of memory, which is the limit") from None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def most_bytes() -> int:
    """A quarter of the machine's memory, at least 1 GiB."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(LEAST_BYTES, whole // 4)
