"""A limit on the time of something that a stranger wrote and this process runs, such as a chat template."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from forgetting.errors import UsageError


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """``UsageError`` where the body takes longer. Signals reach the main thread only: elsewhere there is no limit."""
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return

    def over(*_: Any) -> None:
        raise UsageError(f"{what}: takes longer than {seconds:g} s, which is the limit")

    before, begin = signal.signal(signal.SIGALRM, over), time.monotonic()
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # somebody else's timer goes on
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begin), 0.001), again)
