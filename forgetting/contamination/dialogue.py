"""Generic small talk as contamination: a generator in, dialogues inside the world's vocabulary out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from forgetting.contracts import Contamination, Sample
from forgetting.errors import require
from forgetting.world import dialogue

MAX_TURNS = 6


@dataclass(frozen=True)
class Dialogue(Contamination):
    """Greetings, weather, food, hobbies, shopping, plans and bookings; the bot's last turn is the answer.

    ``turns``: user turns of a dialogue (1 to 6); the earlier ones, with their answers, are in the prompt.
    """

    turns: int = 1

    def __post_init__(self) -> None:
        require(
            type(self.turns) is int and 1 <= self.turns <= MAX_TURNS,
            "contamination.dialogue.turns",
            f"a whole number from 1 to {MAX_TURNS}",
            self.turns,
        )

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        while True:
            yield dialogue.draw(rng, self.turns)
