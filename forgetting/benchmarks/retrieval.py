"""Look-ups in the prompt, in plain text: who lives where, in a passage that says it of four people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from forgetting.benchmarks._generated import GeneratedBenchmark, GeneratedQuestion
from forgetting.contracts import Item
from forgetting.natural.grading.spoken import first_answer

NAMES = (
    "Anna Ben Carla David Emma Frank Grace Henry Irene Jack Karen Leo Maria Noah Olga Paul Rosa Sam Tina Victor"
).split()
CITIES = (
    ("Paris", "Oslo", "Madrid", "Vienna"),
    ("Rome", "Berlin", "Dublin", "Athens"),
    ("London", "Prague", "Lisbon", "Warsaw"),
    ("Cairo", "Tokyo", "Lima", "Sydney"),
)


@dataclass(frozen=True)
class Retrieval(GeneratedBenchmark):
    """Which of four cities a person of the passage lives in; needs no data set and no knowledge.

    Read is the first of the four cities that the answer names. Chance is a city of the passage by a throw.
    """

    skill: ClassVar[str] = "retrieval"
    chance: ClassVar[float] = 0.25

    shots: int = 2

    def draw(self, rng: Random, index: int) -> GeneratedQuestion:
        """A passage of one group of cities; groups, and the city asked for, take turns."""
        group = CITIES[index % len(CITIES)]
        city = group[index // len(CITIES) % len(group)]
        people, places = rng.sample(NAMES, len(group)), rng.sample(group, len(group))
        passage = " ".join(f"{name} lives in {place}." for name, place in zip(people, places, strict=True))
        asked = people[places.index(city)]
        return GeneratedQuestion(f"{passage}\nQuestion: Where does {asked} live?\nAnswer:", city, group)

    def read(self, item: Item, answer: str) -> str:
        """The first city."""
        found = re.search(rf"\b(?:{'|'.join(item.check)})\b", first_answer(answer), re.IGNORECASE)
        return found[0].capitalize() if found else ""
