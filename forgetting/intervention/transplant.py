"""Modules of the tuned student in the student as it was: which of them is enough to do the harm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forgetting import seeds
from forgetting.contracts import Intervention, Model, Sample
from forgetting.errors import require, unknown
from forgetting.intervention._modules import BY, drawn_alike, groups, moved

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Transplant(Intervention):
    """The student of dose 0 with one group of weights from the tuned one; random sets of equal size and change beside.

    Labels are those of ``restore`` with ``transplant`` in its place. In a run on more of the original distribution it
    is the sham: modules that were trained on, but on nothing new.

    Args:
        by: the groups, as in ``restore``
        draws: random sets of each kind for every group
    """

    by: str = "module"
    draws: int = 20

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise unknown("transplant.by", self.by, BY)
        require(self.draws >= 0, "transplant.draws", "0 or more", self.draws)

    def variants(self, base: Model, tuned: Model, samples: Sequence[Sample]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Groups and random sets."""
        after = tuned.state()
        before = {name: weight.to(after[name].device) for name, weight in base.state().items()}
        for name, masks in groups(tuned, self.by).items():
            yield f"transplant {name}", moved(before, after, masks)
            for draw in range(self.draws):
                for kind in ("size", "change"):
                    seed = seeds.integer(draw, kind, name)
                    alike = drawn_alike(masks, before, after, change=kind == "change", seed=seed)
                    yield f"transplant random {kind} {name} #{draw}", moved(before, after, alike)
