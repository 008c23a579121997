"""As many answers as it takes until some agree: more is computed where the student is unsure.

Source: adaptive self-consistency, arXiv 2305.11860; here it stops at a fixed number of votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetting.answering._shared import answered, samples_of, winner, words_of
from forgetting.contracts import Answered, Answering, Model, Sampling
from forgetting.errors import require


@dataclass(frozen=True)
class Adaptive(Answering):
    """Answers are drawn one by one until ``agree`` of them end alike, at most ``most``; the commonest end wins.

    Args:
        agree: answers with the same end at which it stops
        most: answers drawn at most
        temperature: divides the logits
        top_p: draws come from the likeliest words that together have this probability
        seed: of the draws
    """

    agree: int = 2
    most: int = 8
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        Sampling(self.temperature, self.top_p, self.seed)  # checks them
        require(self.most >= 2, "adaptive.most", "2 or more", self.most)
        require(2 <= self.agree <= self.most, "adaptive.agree", f"from 2 to the {self.most} at most", self.agree)

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt."""
        drawn: list[list[list[int]]] = [[] for _ in prompts]
        place = [0] * len(prompts)
        going = list(range(len(prompts)))
        for step in range(self.most):
            how = Sampling(self.temperature, self.top_p, self.seed, step + 1)
            asked = [prompts[row] for row in going]
            new = samples_of(model, asked, 1, how, limit=max_new_tokens, batch_items=batch_items)
            still = []
            for row, (own,) in zip(going, new, strict=True):
                drawn[row].append(own)
                place[row], votes = winner(words_of(drawn[row], model.tokenizer))
                if votes < self.agree:
                    still.append(row)
            going = still
            if not going:
                break
        return [[answered(own[at], model.ends, sum(map(len, own)))] for own, at in zip(drawn, place, strict=True)]
