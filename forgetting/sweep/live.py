"""A sweep while it runs: the thresholds of its search, a row a place and level in 80 columns, and what is waited for.

Where there is no terminal, plain lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from optuna.trial import TrialState
from rich.console import Group, RenderableType
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from forgetting.analysis.thresholds.threshold import place_text, told
from forgetting.executors.bars import patient_console
from forgetting.sweep.driver import Asked
from forgetting.sweep.search_space import SweepSpace
from forgetting.sweep.thresholds import Placed

COLUMNS = ("at", "level", "threshold so far, 90% interval")
WORKING = 3  # runs that are named


class Live:
    """A context. ``told`` shows a target's trials and thresholds, ``watch`` hears of a run's progress.

    ``most_runs`` is the budget of runs of a target; 0: none. The time left is what the runs that may still be asked for
    would take at the pace of those that this driver has made, and so the most: a narrow interval ends a search sooner.
    """

    def __init__(self, spaces: Sequence[SweepSpace], quiet: bool, most_runs: int = 0) -> None:
        self.console = patient_console(quiet)
        self.live = not quiet and (self.console.is_terminal or self.console.is_jupyter)
        self.begin = time.monotonic()
        self.names = [s.name for s in spaces]
        self.found: dict[str, Sequence[Placed]] = {}
        self.counts: dict[str, tuple[int, int]] = {}  # done, failed
        self.reasons: dict[str, str] = {}
        self.doing = "starting"
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
        self.doing = ""
        for one in asked:
            if one.trial.state != TrialState.RUNNING:
                self.working.pop(str(one.run), None)
        shown = "; ".join(f"level {p.threshold.level:g} at {place_text(p.place)}: {told(p.threshold)}" for p in found)
        self.found[target], self.counts[target] = found, (done, failed)  # before the table, which may be drawn any time
        if target != self.current:
            self.current, self.since, self.before = target, time.monotonic(), done + failed
        self.told_runs = done + failed
        if not self.live:
            self.say(f"{target}: {done} done, {failed} failed; {shown or '-'}{self._left('; ')}")

    def control(self, run: str, error: str) -> None:
        """A run of a control ended."""
        self.working.pop(run, None)
        if error or not self.live:
            self.say(f"control {run}: {error or 'done'}")

    def ended(self, target: str, reason: str) -> None:
        """A target's search is over."""
        self.reasons[target] = reason
        if not self.live:
            self.say(f"{target}: ended, {reason}")

    def say(self, text: str) -> None:
        """A line for the user."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=not self.live)

    def waiting(self, text: str) -> None:
        """What is being waited for, in a user's words: shown until something else is told."""
        self.doing = text
        if not self.live:
            self.say(text)

    def _table(self) -> RenderableType:
        lines = [Text(f"{name}: {reason}", overflow="fold") for name, reason in list(self.reasons.items())]
        parts: list[RenderableType] = [Text(f"sweep, {time.monotonic() - self.begin:,.0f} s"), *lines]
        if self.current and self.current not in self.reasons:
            number = self.names.index(self.current) + 1
            parts.append(Text(f"search {number} of {len(self.names)}: {self.current}", overflow="fold"))
            table = Table(*COLUMNS)
            for placed in self.found[self.current]:
                table.add_row(place_text(placed.place), f"{placed.threshold.level:g}", told(placed.threshold))
            done, failed = self.counts[self.current]
            most = self.most[self.current]
            told_of = f"{done} runs done of at most {most}, {len(self.working)} under way, {failed} failed"
            parts += [table] if self.found[self.current] else []
            parts.append(Text(told_of + self._left("; ")))
        named = [f"{run} {share:.0%}" for run, share in list(self.working.items())[:WORKING]]
        named += [f"and {len(self.working) - WORKING} more"] if len(self.working) > WORKING else []
        now = self.doing or (f"waiting for: {', '.join(named)}" if named else "waiting for the next runs to be chosen")
        return Group(*parts, Text(now, overflow="fold"))

    def _left(self, before: str) -> str:
        """The most time that the target under way still takes, once one of its runs was made here."""
        made = self.told_runs - self.before
        if made <= 0:
            return f"{before}time left not known yet"
        seconds = (time.monotonic() - self.since) / made * max(self.most[self.current] - self.told_runs, 0)
        return before + (f"at most {seconds / 60:,.0f} min left" if seconds >= 90 else f"at most {seconds:,.0f} s left")
