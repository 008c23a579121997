"""Several answers are drawn, and a judge chooses: the student's own likelihood, or an exact check of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from forgetting.answering._shared import answered, samples_of, words_of
from forgetting.contracts import Answered, Answering, Model, Sampling
from forgetting.errors import require
from forgetting.world.coherence import share_coherent


@dataclass(frozen=True)
class BestOfN(Answering):
    """The drawn answer that its judge holds for the best; the first of equals. All that was drawn counts as generated.

    Args:
        samples: answers drawn
        judge: ``likelihood``, the student's mean log-probability of the answer's tokens; ``checks``, the share of its
            steps that hold (``verified`` has the same check), then the likelihood; ``random``, a control
        temperature: divides the logits of the draws
        top_p: draws come from the likeliest words that together have this probability
        seed: of the draws
    """

    samples: int = 8
    judge: Literal["likelihood", "checks", "random"] = "likelihood"
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        Sampling(self.temperature, self.top_p, self.seed, samples=self.samples)  # checks them
        require(self.samples >= 2, "best_of_n.samples", "2 or more", self.samples)

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt."""
        how = Sampling(self.temperature, self.top_p, self.seed, samples=self.samples)
        drawn = samples_of(model, prompts, self.samples, how, limit=max_new_tokens, batch_items=batch_items)
        flat = [own for each in drawn for own in each]
        if self.judge == "random":
            scores: list[tuple[float, ...]] = [(0.0,)] * len(flat)  # the first: draws are alike
        else:
            asked = [prompt for prompt in prompts for _ in range(self.samples)]
            scores = [(value,) for value in _mean_log_probability(model, asked, flat, batch_items)]
            if self.judge == "checks":
                texts = words_of(flat, model.tokenizer)
                scores = [(share_coherent(text), *own) for text, own in zip(texts, scores, strict=True)]
        found = []
        for number, own in enumerate(drawn):
            first = number * self.samples
            best = max(range(self.samples), key=lambda place: (scores[first + place], -place))
            found.append([answered(own[best], model.ends, sum(map(len, own)))])
        return found


def _mean_log_probability(
    model: Model, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]], batch_items: int
) -> list[float]:
    """Of each answer's tokens, its end included, at temperature 1; rounded, since batches differ in the last bits."""
    import torch

    from forgetting.batching import answer_places, encode_answers

    pad, found = int(model.tokenizer.pad_token_id), []
    with torch.no_grad(), model.at_rest():
        for start in range(0, len(prompts), batch_items):
            stop = min(start + batch_items, len(prompts))
            rows = encode_answers(prompts[start:stop], written[start:stop], pad)
            batch = rows.batch(np.arange(stop - start), stop - start)
            places, targets = answer_places(batch)
            device = model.device
            logits_NV = model.logits_at(batch.tokens_RBT.to(device), places.to(device))[0].double()
            chosen_N = logits_NV.log_softmax(-1).gather(1, targets[0].to(device)[:, None])[:, 0].cpu()
            ends = np.cumsum([len(answer) for answer in written[start:stop]])[:-1]
            found += [round(float(own.mean()), 4) for own in np.split(chosen_N.numpy(), ends)]
    return found
