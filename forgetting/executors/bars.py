"""Progress on a terminal or in a notebook: one bar a stage and what is being worked on; else lines with the time."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

from rich.console import Console
from rich.file_proxy import FileProxy
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from forgetting.executors.contract import Watch


class Unbroken(io.TextIOBase):
    """Standard error as it is at each write; one that is closed, full or without a reader ends nothing.

    While bars are live, rich has a proxy in its place that prints above them, by way of this very stream: what stands
    behind the proxy is written to.
    """

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError, ValueError, AttributeError):
            _standard_error().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with suppress(OSError, ValueError, AttributeError):
            _standard_error().flush()

    def isatty(self) -> bool:
        """Whether there is a terminal at the other end."""
        with suppress(OSError, ValueError, AttributeError):
            return bool(_standard_error().isatty())
        return False

    def fileno(self) -> int:
        """Standard error's."""
        return _standard_error().fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # of the stream that it writes to
        """Standard error's."""
        return getattr(_standard_error(), "encoding", None) or "utf-8"


def _standard_error() -> IO[str]:
    return sys.stderr.rich_proxied_file if isinstance(sys.stderr, FileProxy) else sys.stderr


def print_early(text: str) -> None:
    """Print before the work; that standard output is closed or full is told when it is done, by the next print."""
    with suppress(OSError, ValueError):
        sys.stdout.write(text)
        sys.stdout.flush()


def patient_console(quiet: bool) -> Console:
    """A console on standard error that no closed stream ends."""
    return Console(file=cast(IO[str], Unbroken()), quiet=quiet)


class Bars:
    """A context; ``stage`` opens one stage's bar. Without a terminal each stage and each finished task gets a line."""

    def __init__(self, quiet: bool) -> None:
        self.begin = time.monotonic()
        self.console = patient_console(quiet)
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
        self.console.file.flush()

    def say(self, text: str) -> None:
        """Print a line, unless quiet; where there are no bars with the minutes and seconds since the beginning."""
        minutes, seconds = divmod(round(time.monotonic() - self.begin), 60)
        self.console.print(
            text if self.live else f"[{minutes}:{seconds:02d}] {text}", highlight=False, markup=False, soft_wrap=True
        )

    @contextmanager
    def stage(self, name: str, titles: Sequence[str]) -> Iterator[Watch]:
        """Yields ``watch(task number, done, total)``; a task with done equal to total is finished."""
        share = [0.0] * len(titles)
        bar = self.progress.add_task(name, total=len(titles), now="")
        if not self.live:
            self.say(f"{name}: {len(titles)} to do")

        def watch(number: int, done: int, total: int) -> None:
            finished = share[number] < 1 <= done / max(total, 1) and total == 1
            share[number] = min(done / max(total, 1), 0.999 if total != 1 else 1.0)
            working = [t for t, s in zip(titles, share, strict=True) if 0 < s < 1]
            self.progress.update(bar, completed=sum(share), now=", ".join(working[:4]))
            if finished and not self.live:
                count = sum(s >= 1 for s in share)
                self.say(f"{name} {count}/{len(titles)} done: {titles[number]}")

        yield watch
        self.progress.update(bar, completed=len(titles), now="")
