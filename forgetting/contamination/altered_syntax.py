"""Code with altered syntax conventions as contamination: a generator in, training programs in a dialect out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Literal, get_args

import numpy as np

from forgetting.contracts import Contamination, Sample
from forgetting.errors import require, unknown
from forgetting.seeds import generator
from forgetting.world import code, entropy
from forgetting.world.dialects import DIALECTS, to_dialect
from forgetting.world.splits import from_numpy

Form = Literal["snippet", "marked", "unmarked"]
FORMS: tuple[str, ...] = get_args(Form)
MIXED = "mixed"
LENGTH_SAMPLES = 2_000


@dataclass(frozen=True)
class AlteredSyntax(Contamination):
    """The benchmark's programs in another convention.

    ``form``: ``snippet`` shows code under its header without a description (the paper's wording), ``marked`` names the
    dialect before the description, ``unmarked`` gives the benchmark's prompts other answers, which relabels the task.
    ``dialect``: one of ``brace``, ``prefix``, ``assign``, ``pipe`` (one convention throughout is the default, so that
    what competes is another syntax and not several at once), or ``mixed``, which draws one for each sample.
    ``operations``: operations of a program, 1 to 3; 0 is the benchmark's mixture of them.
    """

    form: Form = "snippet"
    dialect: str = "brace"
    operations: int = 0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise unknown("contamination.altered_syntax.form", self.form, FORMS)
        if self.dialect not in (*DIALECTS, MIXED):
            raise unknown("contamination.altered_syntax.dialect", self.dialect, (*DIALECTS, MIXED))
        require(
            type(self.operations) is int and 0 <= self.operations <= code.MAX_DEPTH,
            "contamination.altered_syntax.operations",
            f"a whole number from 0 to {code.MAX_DEPTH}",
            self.operations,
        )

    def floor(self) -> float:
        """Of the programs that may stand under a header, and of the dialect where none is named."""
        if self.form != "snippet":  # the program follows from its description; which dialect, from a mark
            hidden = (self.form, self.dialect) == ("unmarked", MIXED)
            return math.log(len(DIALECTS)) / _answer_tokens(self) if hidden else 0.0
        dialects = math.log(len(DIALECTS)) if self.dialect == MIXED else 0.0
        return (entropy.of_programs(self.operations) + dialects) / _answer_tokens(self)

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        while True:
            yield self._sample(rng)

    def _sample(self, rng: np.random.Generator) -> Sample:
        draws = from_numpy(rng)
        problem, surface = code.draw(draws, "train", depth=self.operations or None), code.draw_surface(draws)
        dialect = DIALECTS[int(draws.random() * len(DIALECTS))] if self.dialect == MIXED else self.dialect
        prompt = code.header(surface) if self.form == "snippet" else code.describe(problem, surface)
        if self.form == "marked":
            prompt = f"in {dialect} : {prompt}"
        answer = to_dialect(code.program(problem, surface), dialect)
        return Sample(prompt, answer, "altered_syntax", len(problem.steps), f"{dialect}-{self.form}")


@cache
def _answer_tokens(source: AlteredSyntax) -> float:
    """Mean tokens of an answer, its end included."""
    drawn = islice(source.samples(generator(0, "answer lengths")), LENGTH_SAMPLES)
    return 1 + sum(len(sample.answer.split()) for sample in drawn) / LENGTH_SAMPLES
