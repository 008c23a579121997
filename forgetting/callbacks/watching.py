"""What of somebody else's fine-tuning is measured, when, and where it is written: plain values in, checked, out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from forgetting import registry, seeds
from forgetting.contracts import Benchmark, Contamination, Sample
from forgetting.errors import file_name, require
from forgetting.spec import Evaluation, PartValue

Several = Sequence[PartValue | Benchmark]


@dataclass(frozen=True)
class Watching:
    """What is measured, when, and where it is written; checked when it is made.

    ``every`` steps, or where it is 0 at the steps 1, ``ratio``, ``ratio``², ...; always before the first step and
    after the last one.
    """

    output: Path
    benchmarks: tuple[Benchmark, ...]
    probe: Contamination | None
    evaluation: Evaluation
    every: int
    ratio: float
    name: str
    arm: str

    @classmethod
    def of(
        cls, output: str | Path, benchmarks: PartValue | Benchmark | Several, probe: Any = None, *, every: int = 0,
        ratio: float = 2.0, name: str = "", arm: str = "fine_tuning", **evaluation: Any,
    ) -> Watching:  # fmt: skip
        """From plain values; parts by name, with settings, or as instances."""
        several = benchmarks if isinstance(benchmarks, list | tuple) else (benchmarks,)
        built = tuple(
            cast(Benchmark, one if isinstance(one, Benchmark) else registry.build("benchmarks", cast(Any, one)))
            for one in several
        )
        names = [one.short_name() for one in built]
        require(bool(names) and len(set(names)) == len(names), "benchmarks", "one or more, free of repeats", names)
        for one in built:
            require(one.language == "natural", "benchmarks", "of natural text", one.short_name())
        source = probe if probe is None or isinstance(probe, Contamination) else registry.build("contamination", probe)
        if isinstance(source, Contamination):
            require(source.language == "natural", "probe", "of natural text", source.short_name())
            next(source.samples(seeds.generator(0, "probe")))  # read now, since a training would end later on it
        require(type(every) is int and every >= 0, "every", "a whole number of steps, 0 (geometric) or more", every)
        require(type(ratio) in (int, float) and 1 < ratio < math.inf, "ratio", "a number above 1", ratio)
        folder = Path(output)
        rule = "a new or an empty folder"
        require(not folder.exists() or (folder.is_dir() and not any(folder.iterdir())), "output", rule, str(folder))
        how = Evaluation(**{"max_new_tokens": 256, "batch_items": 32, **evaluation})
        title = file_name(name or folder.name, "name")
        return cls(folder, built, cast(Any, source), how, every, ratio, title, file_name(arm, "arm"))

    def is_due(self, step: int) -> bool:
        """Whether the end of that step is looked at."""
        if self.every:
            return step % self.every == 0
        due = 1.0
        while round(due) < step:
            due = max(due * self.ratio, due + 1)
        return round(due) == step

    def samples(self) -> list[Sample]:
        """Those that tell how well the new task is learned."""
        if self.probe is None:
            return []
        return list(islice(self.probe.samples(seeds.generator(0, "probe")), self.evaluation.probe_items))
