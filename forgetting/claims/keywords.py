"""C2, small models depend on keywords: tasks by keyword and by description in, what the description costs out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from forgetting.claims._drops import DropClaim


@dataclass(frozen=True)
class KeywordDependence(DropClaim):
    """C2: a description by function in place of the keyword costs more than another wording that keeps the keyword."""

    identifier: ClassVar[str] = "C2"
    rivals: ClassVar[tuple[str, ...]] = ("renumbered",)
    variants: ClassVar[tuple[str, ...]] = ("functional",)
    beside: ClassVar[tuple[str, ...]] = ("rephrased",)
    reference: ClassVar[str] = "renumbered"
