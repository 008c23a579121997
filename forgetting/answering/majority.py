"""Self-consistency: several answers are drawn, and the commonest final answer wins. Source: arXiv 2203.11171."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetting.answering._shared import answered, samples_of, winner, words_of
from forgetting.contracts import Answered, Answering, Model, Sampling
from forgetting.errors import require


@dataclass(frozen=True)
class Majority(Answering):
    """The first of the drawn answers with the commonest end; all that was drawn counts as generated.

    Args:
        samples: answers drawn
        temperature: divides the logits
        top_p: draws come from the likeliest words that together have this probability
        seed: of the draws
    """

    samples: int = 8
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        Sampling(self.temperature, self.top_p, self.seed, samples=self.samples)  # checks them
        require(self.samples >= 2, "majority.samples", "2 or more", self.samples)

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt."""
        how = Sampling(self.temperature, self.top_p, self.seed, samples=self.samples)
        drawn = samples_of(model, prompts, self.samples, how, limit=max_new_tokens, batch_items=batch_items)
        chosen = [own[winner(words_of(own, model.tokenizer))[0]] for own in drawn]
        spent = [sum(map(len, own)) for own in drawn]
        return [[answered(own, model.ends, count)] for own, count in zip(chosen, spent, strict=True)]
