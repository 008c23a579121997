"""Small studies, and samples that say where they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from forgetting.contracts import Contamination, Sample
from forgetting.spec import Doses, Evaluation, Fit, Ladder, Optimiser, Spec


@dataclass(frozen=True)
class Numbered(Contamination):
    """Samples that say which source they are of and which place they have in it."""

    source: str = "foreign"
    first: int = 0

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        salt = int(rng.integers(1_000_000))
        for place in count(self.first):
            yield Sample(f"{self.source} {place}", "x " * (place * 7 % 5) + str(salt), self.source, 0, "numbered")


def spec(**changes: Any) -> Spec:
    """A study of seconds: one small student that learns next to nothing, three doses, a handful of items."""
    short = Fit(samples=320, pool=160)
    tiny = Spec(
        name="tiny",
        ladder=Ladder(students=("10k",), teacher="10k", teaching=short, distilling=short),
        contaminations=("dialogue",),
        doses=Doses(dose=60, first=20, ratio=2.0),
        fine_tuning=Optimiser(batch_size=8, warmup_steps=4),
        evaluation=Evaluation(
            benchmarks=({"name": "maths", "items_per_depth": 1, "depths": (2,)}, {"name": "lookup", "item_count": 3}),
            probe_items=4,
            max_new_tokens=8,
        ),
    )
    return dataclasses.replace(tiny, **changes)
