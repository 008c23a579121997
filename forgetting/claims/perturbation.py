"""C1, perturbed wordings cost small models more: twins of the same problems in, the drop by size out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from forgetting.claims._drops import DropClaim
from forgetting.world.maths import DEVICES


@dataclass(frozen=True)
class PerturbationDrop(DropClaim):
    """C1: accuracy falls under rephrasing, renaming, reordering and distraction, the more the smaller the model."""

    identifier: ClassVar[str] = "C1"
    rivals: ClassVar[tuple[str, ...]] = ("renumbered",)
    variants: ClassVar[tuple[str, ...]] = DEVICES
    reference: ClassVar[str] = "renumbered"
