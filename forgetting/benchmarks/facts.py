"""Questions for facts that are known by heart or not at all, graded by the words; their bits are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from forgetting.contracts import Benchmark, Grade, Item, Split
from forgetting.errors import require, unknown
from forgetting.world.facts import MOST_FACTS, MOST_VALUES, OWNERS, known_facts
from forgetting.world.splits import SPLITS, from_seed, problem_hash
from forgetting.world.vocabulary import NAMES

ANSWER_TOKENS = OWNERS + 1  # the words and the end


@dataclass(frozen=True)
class Facts(Benchmark):
    """Some or all of the facts that ``original`` was told to teach, with the same ``fact_count`` and ``fact_values``.

    The facts are in training by necessity; a problem is (fact, asker). ``result.fact_load()`` counts bits by it.

    Args:
        fact_count: facts that students were taught
        fact_values: values of each of a fact's three words
        item_count: facts that are asked, each once; 0: all
        seed: draws the facts and who asks
    """

    fact_count: int = 1_000
    fact_values: int = MOST_VALUES
    item_count: int = 0
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "facts"

    def __post_init__(self) -> None:
        for name, least, most in (
            ("fact_count", 1, MOST_FACTS),
            ("fact_values", 1, MOST_VALUES),
            ("item_count", 0, self.fact_count),
        ):
            value = getattr(self, name)
            require(least <= value <= most, f"facts.{name}", f"from {least} to {most:,}", value)
        require(self.seed >= 0, "facts.seed", "0 or more", self.seed)

    @property
    def chance(self) -> float:  # type: ignore[override]  # where there is one answer there is nothing to guess
        """A guess at each word."""
        return 0.0 if self.fact_values == 1 else float(self.fact_values) ** -OWNERS

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Facts in the order of the world; ``check`` holds the values."""
        if variant not in self.variants:
            raise unknown("facts.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown("facts.split", split, SPLITS)
        return list(_items(self, split))

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where every word is; a step is a word in its place."""
        return [_grade(item, answer) for item, answer in zip(items, answers, strict=True)]


def _grade(item: Item, answer: str) -> Grade:
    gold, said = item.answer.split(), answer.split()
    hits = sum(one == other for one, other in zip(gold, said, strict=False))
    if said == gold:
        return Grade("right", "", hits, OWNERS)
    formed = len(said) == OWNERS and set(said) <= set(NAMES)
    return Grade("wrong", "wrong_value", hits, OWNERS) if formed else Grade("unparsed", "no_value", hits, OWNERS)


@lru_cache(maxsize=16)
def _items(of: Facts, split: Split) -> tuple[Item, ...]:
    rng = from_seed(of.seed, "benchmarks/facts", split)
    chosen = list(enumerate(known_facts(of.fact_count, of.fact_values)))
    if of.item_count:
        chosen = sorted(rng.sample(chosen, of.item_count))
    items = []
    for index, fact in chosen:
        asker = rng.choice(fact.asking(split))
        sample = fact.sample(asker)
        items.append(
            Item(
                id=f"facts/original/d1/{index:04d}",
                prompt=sample.prompt,
                answer=sample.answer,
                skill="facts",
                depth=1,
                template=sample.template,
                variant="original",
                problem=problem_hash(fact.canonical(asker)),
                check=NAMES[: of.fact_values],
            )
        )
    return tuple(items)
