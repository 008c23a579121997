"""The simple skills: a fact or three words in, a one-word answer out.

Look-up asks for the colour or the place of a thing: 32 facts, four values each. The facts themselves are in training
by necessity (nobody can know a fact unseen); what is split is the question, (fact, asker, wording).
Classification asks which of four categories most of three words belong to; what is split is the three words in order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from forgetting.contracts import Sample, Split
from forgetting.world.splits import split_of
from forgetting.world.vocabulary import CATEGORIES, COLOURS, NAMES, OBJECTS, PLACES

ATTRIBUTES = {"colour": COLOURS, "place": PLACES}
WORDINGS = (
    "{name} : what {attribute} are {thing} ?",
    "{name} : {thing} are what {attribute} ?",
    "what {attribute} are {thing} , {name} ?",
)
MEMBERS = dict(zip(CATEGORIES, (NAMES, OBJECTS, COLOURS, PLACES), strict=True))


def fact(thing: str, attribute: str) -> str:
    """The value of a thing's attribute; every value belongs to four things."""
    index = OBJECTS.index(thing)
    return COLOURS[index * 7 % 4] if attribute == "colour" else PLACES[(index // 4 + index) % 4]


@dataclass(frozen=True, slots=True)
class LookupFact:
    """A question for a fact."""

    thing: str
    attribute: str
    name: str
    wording: int

    def canonical(self) -> str:
        """The question."""
        return f"lookup:{self.thing}.{self.attribute}:{self.name}:{self.wording}"

    def prompt(self) -> str:
        """``ann : what colour are apples ?``."""
        return WORDINGS[self.wording].format(name=self.name, attribute=self.attribute, thing=self.thing)

    def sample(self) -> Sample:
        """The question with its answer."""
        return Sample(self.prompt(), fact(self.thing, self.attribute), "lookup", 1, f"{self.attribute}-{self.wording}")


@dataclass(frozen=True, slots=True)
class ClassificationFact:
    """Three words, at least two of which are of one category."""

    words: tuple[str, str, str]
    category: str

    def canonical(self) -> str:
        """The words in order."""
        return f"classification:{','.join(self.words)}"

    def prompt(self) -> str:
        """``what are red bob blue ?``."""
        return f"what are {' '.join(self.words)} ?"

    def sample(self) -> Sample:
        """The question with its answer."""
        form = "".join("1" if word in MEMBERS[self.category] else "0" for word in self.words)
        return Sample(self.prompt(), self.category, "classification", 1, form)


def draw_lookup(rng: random.Random, split: Split) -> LookupFact:
    """A look-up of one split."""
    while True:
        attribute = "colour" if rng.random() < 0.5 else "place"
        found = LookupFact(rng.choice(OBJECTS), attribute, rng.choice(NAMES), int(rng.random() * len(WORDINGS)))
        if split_of(found.canonical()) == split:
            return found


def draw_classification(rng: random.Random, split: Split) -> ClassificationFact:
    """A classification of one split; half of them have one word of another category."""
    while True:
        category = rng.choice(CATEGORIES)
        chosen = rng.sample(MEMBERS[category], 3)
        if rng.random() < 0.5:
            other = rng.choice(CATEGORIES)
            if other != category:
                chosen[int(rng.random() * 3)] = rng.choice(MEMBERS[other])
        found = ClassificationFact((chosen[0], chosen[1], chosen[2]), category)
        if split_of(found.canonical()) == split:
            return found
