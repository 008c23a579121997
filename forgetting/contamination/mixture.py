"""Several sources of natural text in fixed shares, as the original distribution of real students or as a control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forgetting import registry
from forgetting.contracts import Contamination, Language, Sample
from forgetting.errors import require


@dataclass(frozen=True)
class Mixture(Contamination):
    """Samples of several sources in fixed shares, never by chance: each comes when it lags furthest behind its share.

    Args:
        parts: the sources, by name or with settings
        shares: the share of each, adding up to 1
    """

    parts: tuple[str | dict[str, Any], ...] = ("worked_answers", {"name": "altered_python", "dialect": "none"})
    shares: tuple[float, ...] = (0.5, 0.5)

    language: ClassVar[Language] = "natural"

    def __post_init__(self) -> None:
        where = "contamination.mixture"
        require(len(self.parts) > 0, f"{where}.parts", "at least one source", list(self.parts))
        object.__setattr__(self, "parts", tuple(built.settings() for built in self._built()))
        for built in self._built():
            require(built.language == "natural", f"{where}.parts", "sources of natural text", built.short_name())
        rule = f"{len(self.parts)} numbers above 0 that add up to 1"
        right = len(self.shares) == len(self.parts) and min(self.shares) > 0 and abs(sum(self.shares) - 1) < 1e-9
        require(right, f"{where}.shares", rule, list(self.shares))

    def __hash__(self) -> int:
        return hash(repr(self.settings()))

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        roots = rng.integers(0, 2**63, len(self.parts))
        streams = [
            built.samples(np.random.default_rng(int(root))) for built, root in zip(self._built(), roots, strict=True)
        ]
        given = [0] * len(streams)
        while True:
            wanted = [share * (sum(given) + 1) - count for share, count in zip(self.shares, given, strict=True)]
            chosen = int(np.argmax(wanted))
            given[chosen] += 1
            yield next(streams[chosen])

    def check(self) -> None:
        """Each part checks its own data."""
        for place, part in enumerate(self._built()):
            with registry.told_as(f"contamination.mixture.parts[{place}]", part):
                part.check()

    def told(self) -> dict[str, Any]:
        """What each part tells, by its name and its place among the parts."""
        parts = enumerate(self._built(), 1)
        return {f"{part.short_name()} {place}": told for place, part in parts if (told := part.told())}

    def _built(self) -> list[Contamination]:
        return list(registry.build_all("contamination", self.parts, "contamination.mixture.parts"))
