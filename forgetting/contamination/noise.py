"""Noise as a control: a generator in, random words of the world with dialogue's lengths out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from forgetting.contracts import Contamination, Sample
from forgetting.errors import unknown
from forgetting.world import entropy, noise
from forgetting.world.noise import PROFILES, Profile


@dataclass(frozen=True)
class Noise(Contamination):
    """Words without order: what training on any text of this length costs, with nothing in it to be learned.

    ``profile``: ``uniform`` over the ordinary words of the vocabulary, or ``unigram``, as often as in dialogue.
    """

    profile: Profile = "uniform"

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise unknown("contamination.noise.profile", self.profile, PROFILES)

    def floor(self) -> float:
        """Of its words, drawn independently, and of where an answer ends."""
        nats, tokens = entropy.of_noise(self.profile)
        return nats / tokens

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        while True:
            yield noise.draw(rng, self.profile)
