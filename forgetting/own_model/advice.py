"""What was found out about one's own model: the advice in, the page that a user reads, JSON and a spec out."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forgetting.analysis.forecast import COVERAGE, Forecast
from forgetting.analysis.shipped_runs import whole_runs
from forgetting.own_model.allowance import scaled
from forgetting.own_model.choice import Choice, Prospect, flips
from forgetting.own_model.given import WARM, warm_up
from forgetting.report.terminal import WIDTH
from forgetting.spec import Spec

MOST_NAMED = 2  # ways in a sentence
HEADS = {
    "keeps": "Use {way}.",
    "likely": "Use {way}. It likely keeps what you want, but not surely.",
    "may_fall_short": "Use {way}. Of what was tried it keeps most, but perhaps less than you want.",
    "falls_short": "Nothing that was tried keeps as much as you want. What keeps most is {way}.",
    "as_usual": "Use {way}. The pilots cannot tell what will be kept; in whole runs of others this kept most.",
    "cannot_tell": "It cannot be told yet. What leads so far is {way}.",
}
HALF_REPLAYED, NOTHING_TOLD = "replay 50%", "what led in pilots that told nothing"  # rules of whole_runs.csv
PLAIN_KEEPS = "Nothing is at risk: plain tuning keeps it, and no remedy is needed."


@dataclass(frozen=True)
class Standing:
    """How a skill stands at dose 0: accuracy, chance, items, and whether there is anything that could be forgotten."""

    accuracy: float
    chance: float
    items: int
    learned: bool


@dataclass(frozen=True, eq=False)
class Advice:
    """The advice, and all that it rests on.

    Attributes:
        model, data: what was asked about
        keep: by skill, the retention that is wanted
        standing: by skill, how the model stands at dose 0
        choice: which way is advised and how surely; None where there is nothing to forget, so that nothing was trained
        prospects: what was foreseen of each way in the last round that it was in, plain tuning first
        words: by arm, the way in a few words
        planned: samples of the new task that were planned
        rounds: the dose of each round and its arms
        spec: of the run that is advised
        folder: where ``advice.md``, ``advice.json``, ``advised.yaml`` and the studies of the rounds are
        notes: what could not be tried, and what was left out
        recipe: the same run in other trainers; empty where there is none
        budget: as it was given
        usual: the arm that is advised where pilots tell nothing; empty where there is none
        full_rate: the arms that train at the planned rate
    """

    model: str
    data: str
    keep: Mapping[str, float]
    standing: Mapping[str, Standing]
    choice: Choice | None = None
    prospects: tuple[Prospect, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    planned: int = 0
    rounds: tuple[tuple[int, tuple[str, ...]], ...] = ()
    spec: Spec | None = None
    folder: Path | None = None
    notes: tuple[str, ...] = ()
    recipe: str = ""
    budget: str = ""
    usual: str = ""
    full_rate: tuple[str, ...] = ()

    @property
    def chosen(self) -> Prospect | None:
        """What was foreseen of the way that is advised."""
        return None if self.choice is None else next(p for p in self.prospects if p.arm == self.choice.arm)

    def __str__(self) -> str:
        wanted = ", ".join(f"{skill} {level:g}" for skill, level in self.keep.items())
        parts = [f"Advice for {self.model}, to be tuned on {self.planned:,} samples of {self.data}; to keep: {wanted}"]
        parts += [_standing(skill, one) for skill, one in self.standing.items()]
        if self.choice is None:
            parts.append("There is nothing to forget, so nothing was trained. Keep another skill, or ask easier items.")
            return "\n".join(map(_filled, parts))
        parts += ["", *self._warming(), *self._gone(), self._head(), *self._forecasts(), "", *self._table(), ""]
        parts += ["What would change this:", *(f"- {line}" for line in self._changes())]
        parts += ["", "Good to know:", *(f"- {line}" for line in self.notes)] if self.notes else []
        return "\n".join(part if part[:2] == "  " else _filled(part) for part in parts + self._next())

    def to_json(self) -> str:
        """All of it as plain values."""
        plain = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("prospects", "folder")
        }
        plain |= {name: dataclasses.asdict(plain[name]) for name in ("choice", "spec") if plain[name] is not None}
        plain["standing"] = {skill: dataclasses.asdict(one) for skill, one in self.standing.items()}
        plain["prospects"] = [_finite(dataclasses.asdict(one)) for one in self.prospects]
        return json.dumps(plain, indent=1, allow_nan=False, default=str)

    def _head(self) -> str:
        own = self.chosen
        assert self.choice is not None and own is not None
        if self.choice.verdict == "keeps" and own is self.prospects[0]:
            return PLAIN_KEEPS
        return HEADS[self.choice.verdict].format(way=self.words[own.arm])

    def _warming(self) -> list[str]:
        """That the planned run ends before its rate is warm, so that all that follows is of little use."""
        if self.spec is None or self.planned > (warm := warm_up(self.spec.fine_tuning)):
            return []
        return [
            f"The planned run of {self.planned:,} samples lies in its warm-up of {warm:,}, so that it learns little: "
            f"give --dose {2 * warm} or more, or fewer warmup_steps or a smaller batch_size in --config, before you "
            "take what follows.",
            "",
        ]

    def _gone(self) -> list[str]:
        """That a skill is lost in every pilot at the full rate, and what may keep it; empty where one has it still."""
        full = [one for one in self.prospects if one.arm in self.full_rate]
        gone = [skill for skill in self.keep if full and all(skill in one.gone for one in full)]
        if not gone or self.spec is None:
            return []
        most, rate = max(one.gone[skill] for one in full for skill in gone), self.spec.fine_tuning.learning_rate
        others = [one for one in self.prospects if one.arm not in self.full_rate and not set(gone) & set(one.gone)]
        tried = "; ".join(f"{self.words[one.arm]} has {_least(one, gone):.2f} of it so far" for one in others)
        tried = tried or "no other rate that was tried has any of it left"
        replayed = "" if any("replay" in words for words in self.words.values()) else ", or replay (--original)"
        return [
            f"What you keep is gone within {most:,} samples at this rate ({rate:g}): {' and '.join(gone)} at chance or "
            f"below in every pilot at the full rate; {tried}. Ask again with a lower rate, --rate {rate / 10:g}"
            f"{replayed}, before you take what follows.",
            "",
        ]

    def _forecasts(self) -> list[str]:
        own = self.chosen
        assert own is not None
        how = "measured, 95%" if own.measured else f"forecast, {COVERAGE:.0%}"
        lines = [
            f"  {skill} kept: {_share(one.value)} ({how} interval {one.low:.2f} to {max(one.high, 0):.2f})" if one.told
            else f"  {skill} kept: cannot tell yet; {_share(own.so_far[skill])} so far"
            for skill, one in own.kept.items()
        ]  # fmt: skip
        dose = round(self.planned * own.times)
        lines.append(f"  {dose:,} samples of your data, {own.cost:.2f} times the operations of plain tuning")
        if not math.isfinite(own.worst_harm):
            lines.append("  (as many steps as plain tuning: its pilot has learned too little to say more)")
        return lines

    def _table(self) -> list[str]:
        """A row a way: samples and operations as multiples of plain tuning's, harm so far, and what it keeps."""
        head = ["", "samples", "operations", "harm", *(f"{skill} kept" for skill in self.keep)]
        rows = [head, *(self._row(one) for one in self.prospects)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        about = "All at equal learning: where as much of your data is learned as by plain tuning on all samples. "
        about += "Samples and operations are multiples of plain tuning's. Harm: how far the likelihood of right old "
        about += "answers has fallen so far (in the last round that a way was in), as a multiple of plain tuning's."
        return [*lines, "", about]

    def _row(self, one: Prospect) -> list[str]:
        mark = "> " if self.choice is not None and one.arm == self.choice.arm else ""
        way = mark + self.words[one.arm]
        if not one.learns:
            times, why = f"{one.times:.1f}", "learns less" if one.reaches else "may learn less"
            if not math.isfinite(one.times):
                times, why = "-", "learned too little"
            return [way, times, "", "", why, *[""] * (len(one.kept) - 1)]
        kept = [_kept(forecast, one.so_far[skill], whole=len(one.kept) == 1) for skill, forecast in one.kept.items()]
        harm = f"{one.worst_harm:.2f}" if math.isfinite(one.worst_harm) else "-"
        return [way, f"{one.times:.2f}", f"{one.cost:.2f}", harm, *kept]

    def _changes(self) -> list[str]:
        own, able = self.chosen, [one for one in self.prospects if one.learns]
        assert own is not None
        lines = []
        if self.choice is not None and self.choice.verdict in ("as_usual", "cannot_tell"):
            tried = HALF_REPLAYED in self.words.values()
            lines.append(_whole_runs() + ("" if tried else "; with --original it is tried"))
        if self.choice is not None and self.choice.verdict in ("may_fall_short", "falls_short"):
            lines += [
                f"wanting less: --keep {skill}:{math.floor(100 * one.value) / 100:g} is what it likely keeps"
                for skill, one in own.kept.items()
                if one.value < self.keep[skill]
            ]
            if own.arm == self._most_replayed():
                lines.append("more replay than was tried, which would keep more and take more steps")
        for skill, level, arm in flips(self.prospects, self.keep, self.usual):
            lines.append(f"--keep {skill}:{level:g} would make it {self.words[arm]}")
        untold = [self.words[one.arm] for one in able if not one.told]
        most = max((dose for dose, _ in self.rounds), default=1)
        longer = f"longer pilots: --budget {scaled(self.budget, self.planned / most)} would measure, not foretell"
        if untold:
            of = " and ".join(untold) if len(untold) <= MOST_NAMED else f"{len(untold)} ways"
            longer += f"; of {of} the end cannot be told from {most:,} samples"
            if self.spec is not None and most <= (warm := warm_up(self.spec.fine_tuning)):
                beyond = scaled(self.budget, WARM * warm / most)
                longer += f", which lie in the warm-up of {warm:,} (--budget {beyond} gets beyond it)"
        if untold or not all(one.measured for one in able):
            lines.append(longer)
        return lines

    def _most_replayed(self) -> str:
        """The arm that replays the largest share."""
        share = {arm: float(found[0]) for arm, words in self.words.items() if (found := re.findall(r"[\d.]+", words))}
        replays = (p.arm for p in self.prospects if "replay" in p.arm)
        return max(replays, key=lambda arm: share.get(arm, 0.0), default="")

    def _next(self) -> list[str]:
        if self.folder is None:
            return []
        run = f"  forgetting simulate --config {shlex.quote(str(self.folder / 'advised.yaml'))}"
        lines = ["", "Make this run:", run]
        if self.recipe:
            lines += ["", "Or in your own trainer:", *(f"  {line}" for line in self.recipe.splitlines())]
        return [*lines, "", f"Everything is in {self.folder}: advice.md, advice.json, the pilots' report.html"]


def _standing(skill: str, one: Standing) -> str:
    found = f"{skill} at dose 0: {one.accuracy:.2f} right of {one.items} (chance {one.chance:.2f})"
    return found if one.learned else f"{found}: less than .30 above chance, so that no loss could be measured"


def _whole_runs() -> str:
    """What whole runs of others kept under replay of half of all samples, and under what led in such pilots."""
    by_rule = {row.rule: row for row in whole_runs().itertuples()}
    half, led = by_rule[HALF_REPLAYED], by_rule[NOTHING_TOLD]
    return (
        f"whole runs of others ({half.students} students of the embedded world): {HALF_REPLAYED} kept "
        f"{half.regret:.2f} less than the best way in the mean ({half.low:.2f} to {half.high:.2f}; at worst "
        f"{half.worst:.2f}), at {half.operations:.1f} times the operations of plain tuning for equal learning; "
        f"{NOTHING_TOLD}, {led.regret:.2f} less ({led.low:.2f} to {led.high:.2f})"
    )


def _kept(one: Forecast, so_far: float, *, whole: bool) -> str:
    """A cell, with its interval where there is room; what a pilot has kept where nothing can be told of the end."""
    if not one.told:
        return f"{_share(so_far)} so far"
    return f"{_share(one.value)} ({one.low:.2f}–{max(one.high, 0.0):.2f})" if whole else _share(one.value)


def _share(retention: float) -> str:
    """Retention as it is read: chance is taken off, so that at chance and below nothing is left."""
    return f"{retention:.2f}" if retention > 0 else "0 (gone)"


def _least(one: Prospect, skills: Sequence[str]) -> float:
    return max(min(one.so_far[skill] for skill in skills), 0.0)


def _finite(value: Any) -> Any:
    """The same with null for what is not finite."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _filled(line: str) -> str:
    later = "  " if line.startswith("- ") else ""
    return "\n".join(textwrap.wrap(line, WIDTH, subsequent_indent=later, break_on_hyphens=False)) if line else ""
