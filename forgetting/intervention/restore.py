"""Modules put back as they were: which of them is enough to bring lost skill back, beside random sets of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forgetting import seeds
from forgetting.contracts import Intervention, Model, Sample
from forgetting.errors import require, unknown
from forgetting.intervention._modules import BY, EMBEDDING, drawn_alike, groups, joined, moved, subsets

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Restore(Intervention):
    """The tuned student with groups of weights from dose 0 (grafting, arXiv 2302.06600), one group or set at a time.

    Labels are ``restore attention.0`` and, of sets, ``restore attention.0+mlp.1``. The controls are random sets of as
    many weights (``restore random size attention.0 #1``) and random sets of equal squared change (``restore random
    change attention.0 #1``), drawn over all weights; a run on more of the original distribution is the sham.

    Args:
        by: the groups: ``module`` (attention and feed-forward of each block), ``kind``, ``layer`` or ``head``
        sets: every set of groups too, of at most 8, from which Shapley values are exact
        unions: of ``module``: attention, feed-forward and blocks as wholes, with random sets of their own
        draws: random sets of each kind for every group and union
        untied: a tied embedding as input only, and as output only
    """

    by: str = "module"
    sets: bool = False
    unions: bool = True
    draws: int = 20
    untied: bool = True

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise unknown("restore.by", self.by, BY)
        require(self.draws >= 0, "restore.draws", "0 or more", self.draws)

    def variants(self, base: Model, tuned: Model, samples: Sequence[Sample]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Groups, sets of them, random sets, the untied embedding."""
        before, after, parts = base.state(), tuned.state(), groups(tuned, self.by)
        before = {name: weight.to(after[name].device) for name, weight in before.items()}
        named: dict[tuple[str, ...], str] = {(name,): name for name in parts}
        named |= unions(list(parts)) if self.unions and self.by == "module" else {}
        sets = list(subsets(list(parts))) if self.sets else [(name,) for name in parts]
        for own in dict.fromkeys([*sets, *named]):
            if len(own) < len(parts):
                yield f"restore {'+'.join(own)}", moved(after, before, joined([parts[name] for name in own]))
        for own, name in named.items():
            masks = joined([parts[one] for one in own])
            for draw in range(self.draws):
                for kind in ("size", "change"):
                    seed = seeds.integer(draw, kind, name)
                    alike = drawn_alike(masks, before, after, change=kind == "change", seed=seed)
                    yield f"restore random {kind} {'+'.join(own)} #{draw}", moved(after, before, alike)
        if self.untied and EMBEDDING in parts:
            yield from _untied(before, tuned)


def unions(parts: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Attention, feed-forward and blocks as wholes, of groups by module."""
    ends = [name.split(".") for name in parts if "." in name]
    wholes = {f"{kind}.": kind for kind, _ in ends} | {f".{layer}": f"layer.{layer}" for _, layer in ends}
    found = {
        tuple(name for name in parts if name.startswith(mark) or name.endswith(mark)): whole
        for mark, whole in wholes.items()
    }
    return {own: whole for own, whole in found.items() if len(own) > 1}


def _untied(before: dict[str, Tensor], tuned: Model) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The embedding of dose 0 as input alone, and as output alone; nothing of a student whose embedding is not tied."""
    from forgetting.errors import UsageError

    try:
        apart = tuned.untied()
    except UsageError:
        return
    weights = apart.state()
    (output,) = weights.keys() - tuned.state().keys()
    (inputs,) = (n for n, p in apart.named_parameters() if p is apart.network.get_input_embeddings().weight)  # type: ignore[operator]
    for where, name in (("input", inputs), ("output", output)):
        yield f"restore {EMBEDDING} as {where}", {**weights, name: before[inputs].clone()}
