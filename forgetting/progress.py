"""Progress on a terminal or in a notebook: one bar a stage and what is being worked on; plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Watch = Callable[[int, int, int], None]


class Bars:
    """A context; ``stage`` opens one stage's bar. Without a terminal each finished task gets a line."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.live = not quiet and (self.console.is_terminal or self.console.is_jupyter)
        self.progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}"),
            console=self.console,
            disable=not self.live,
        )

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()
        sys.stderr.flush()

    @contextmanager
    def stage(self, name: str, titles: Sequence[str]) -> Iterator[Watch]:
        """Yields ``watch(task number, done, total)``; a task with done equal to total is finished."""
        share = [0.0] * len(titles)
        bar = self.progress.add_task(name, total=len(titles), now="")
        if not self.live:
            self.console.print(f"{name}: {len(titles)} to do", highlight=False)

        def watch(number: int, done: int, total: int) -> None:
            finished = share[number] < 1 <= done / max(total, 1) and total == 1
            share[number] = min(done / max(total, 1), 0.999 if total != 1 else 1.0)
            working = [t for t, s in zip(titles, share, strict=True) if 0 < s < 1]
            self.progress.update(bar, completed=sum(share), now=", ".join(working[:4]))
            if finished and not self.live:
                count = sum(s >= 1 for s in share)
                self.console.print(f"  {name} {count}/{len(titles)}: {titles[number]}", highlight=False)

        yield watch
        self.progress.update(bar, completed=len(titles), now="")
