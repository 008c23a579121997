"""A sweep while it runs: a table of its targets in the terminal, with what is working now; plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from optuna.trial import TrialState
from rich.console import Group, RenderableType
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from forgetting.analysis.thresholds.threshold import number, place_text
from forgetting.executors.bars import patient_console
from forgetting.sweep.driver import Asked
from forgetting.sweep.search_space import SweepSpace
from forgetting.sweep.thresholds import Placed

COLUMNS = ("target", "done", "under way", "failed", "threshold", "ended or time left")


class Live:
    """A context. ``told`` shows a target's trials and thresholds, ``watch`` hears of a run's progress.

    ``most_runs`` is the budget of runs of a target; 0: none. The time left is what the runs that may still be asked for
    would take at the pace of those that this driver has made, and so the most: a narrow interval ends a search sooner.
    """

    def __init__(self, spaces: Sequence[SweepSpace], quiet: bool, most_runs: int = 0) -> None:
        self.console = patient_console(quiet)
        self.live = not quiet and (self.console.is_terminal or self.console.is_jupyter)
        self.begin = time.monotonic()
        self.rows: dict[str, list[str]] = {s.name: [s.name, "0", "0", "0", "", ""] for s in spaces}
        self.most = {s.name: len(s.points) * s.repeats for s in spaces}
        if most_runs:
            self.most = {name: min(most, most_runs) for name, most in self.most.items()}
        self.current, self.since, self.before = "", self.begin, 0  # the target under way, when it began, its runs then
        self.told_runs = 0
        self.working: dict[str, float] = {}
        self.screen = RichLive(
            console=self.console,
            get_renderable=self._table,
            refresh_per_second=2,
            transient=True,
            auto_refresh=self.live,
        )

    def __enter__(self) -> Live:
        if self.live:
            self.screen.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live:
            self.screen.stop()
        self.console.file.flush()

    def watch(self, run: str) -> Callable[[int, int], None]:
        """``watch(done, total)`` for one run."""

        def heard(done: int, total: int) -> None:
            self.working[run] = done / max(total, 1)

        self.working[run] = 0.0
        return heard

    def told(self, target: str, asked: Sequence[Asked], found: Sequence[Placed]) -> None:
        """What is known of a target after a round."""
        counts = {state: sum(one.trial.state == state for one in asked) for state in TrialState}
        done, failed = counts[TrialState.COMPLETE], counts[TrialState.FAIL]
        for one in asked:
            if one.trial.state != TrialState.RUNNING:
                self.working.pop(str(one.run), None)
        shown = "; ".join(_short(p) for p in found) or "-"
        if target != self.current:
            self.current, self.since, self.before = target, time.monotonic(), done + failed
        self.told_runs = done + failed
        self.rows[target][1:5] = [str(done), str(counts[TrialState.RUNNING]), str(failed), shown]
        if not self.live:
            self.say(f"{target}: {done} done, {failed} failed; {shown}")

    def control(self, run: str, error: str) -> None:
        """A run of a control ended."""
        self.working.pop(run, None)
        if error or not self.live:
            self.say(f"control {run}: {error or 'done'}")

    def ended(self, target: str, reason: str) -> None:
        """A target's search is over."""
        self.rows[target][5] = reason
        if not self.live:
            self.say(f"{target}: ended, {reason}")

    def say(self, text: str) -> None:
        """A line for the user."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=not self.live)

    def _table(self) -> RenderableType:
        table = Table(*COLUMNS, title=f"sweep, {time.monotonic() - self.begin:,.0f} s", title_justify="left")
        for name, row in self.rows.items():
            if name == self.current and not row[5]:
                row = [*row[:2], str(len(self.working)), *row[3:5], self._left()]
            table.add_row(*row)
        now = ", ".join(f"{run} {share:.0%}" for run, share in list(self.working.items())[:6])
        return Group(table, Text(f"working on: {now}" if now else ""))

    def _left(self) -> str:
        """The most time that the target under way still takes, once one of its runs was made here."""
        made = self.told_runs - self.before
        if made <= 0:
            return "time left not known yet"
        seconds = (time.monotonic() - self.since) / made * max(self.most[self.current] - self.told_runs, 0)
        return f"at most {seconds / 60:,.0f} min left" if seconds >= 90 else f"at most {seconds:,.0f} s left"


def _short(placed: Placed) -> str:
    found = placed.threshold
    head = f"level {found.level:g} at {place_text(placed.place)}: "
    if not found.located:
        return head + found.status.replace("_", " ")
    value, low, high = (number(found.axis, one) for one in (found.value, found.low, found.high))
    return head + f"{value} ({low} to {high})"
