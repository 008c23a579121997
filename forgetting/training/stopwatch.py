"""Wall seconds by stage: preparing, training, evaluation, checkpoint, logging."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up wall seconds by stage; a stage inside another is taken out of the outer one."""

    def __init__(self) -> None:
        self.wall_seconds: dict[str, float] = {}
        self._inner = [0.0]

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what happens inside towards ``stage``."""
        start = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.wall_seconds[stage] = self.wall_seconds.get(stage, 0.0) + spent - self._inner.pop()
            self._inner[-1] += spent

    def keep(self, share: float) -> None:
        """Keep a share of what was counted so far: the rest is somebody else's."""
        self.wall_seconds = {stage: seconds * share for stage, seconds in self.wall_seconds.items()}
