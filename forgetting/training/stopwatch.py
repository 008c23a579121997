"""Wall and processor seconds by stage: preparing, training, evaluation, checkpoint, logging."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from forgetting.sandbox.waiting import waited


class Stopwatch:
    """Adds up seconds by stage; a stage inside another is taken out of the outer one.

    Processor seconds are those of the whole process, all its threads, and the wall seconds in which it waited for
    graders in other processes: what the stage would take of a core of its own.
    """

    def __init__(self) -> None:
        self.wall_seconds: dict[str, float] = {}
        self.processor_seconds: dict[str, float] = {}
        self._inner = [(0.0, 0.0)]

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what happens inside towards ``stage``."""
        wall, processor = time.perf_counter(), _processor_seconds()
        self._inner.append((0.0, 0.0))
        try:
            yield
        finally:
            spent = time.perf_counter() - wall, _processor_seconds() - processor
            inner, outer = self._inner.pop(), self._inner[-1]
            for counted, own, apart in zip((self.wall_seconds, self.processor_seconds), spent, inner, strict=True):
                counted[stage] = counted.get(stage, 0.0) + own - apart
            self._inner[-1] = outer[0] + spent[0], outer[1] + spent[1]

    def keep(self, share: float) -> None:
        """Keep a share of what was counted so far: the rest is somebody else's."""
        for counted in (self.wall_seconds, self.processor_seconds):
            counted.update({stage: seconds * share for stage, seconds in counted.items()})


def _processor_seconds() -> float:
    return time.process_time() + waited()
