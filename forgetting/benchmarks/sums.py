"""One-step sums in plain text, with solved ones before each: what a small base model can do, and may forget."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import ClassVar

from forgetting.benchmarks._generated import GeneratedBenchmark, GeneratedQuestion
from forgetting.contracts import Item
from forgetting.natural.grading import numbers
from forgetting.natural.grading.spoken import first_answer

LEAST, MOST = 10, 99


@dataclass(frozen=True)
class OneStepSums(GeneratedBenchmark):
    """Additions and subtractions of two numbers of two digits; needs no data set.

    Read is the number on the answer's first line where that line is a number, else the last number before the next
    question that a base model asks itself.
    """

    skill: ClassVar[str] = "sums"
    chance: ClassVar[float] = 0.0

    def draw(self, rng: Random, index: int) -> GeneratedQuestion:
        """Additions and subtractions in turn, none with a result below 0."""
        a, b = rng.randint(LEAST, MOST), rng.randint(LEAST, MOST)
        if index % 2:
            return GeneratedQuestion(f"Question: What is {max(a, b)} - {min(a, b)}?\nAnswer:", str(abs(a - b)))
        return GeneratedQuestion(f"Question: What is {a} + {b}?\nAnswer:", str(a + b))

    def read(self, item: Item, answer: str) -> str:
        """The number, without a sign of currency and so on."""
        text = first_answer(answer)
        first = next((line for line in text.splitlines() if line.strip()), "")
        found = numbers.strict(f"#### {first}") or numbers.lenient(text)
        return "" if found is None or found.beyond else str(found.value)
