"""Sampled answers, several to each prompt; pass@k is computed from their grades (unbiased, arXiv 2107.03374)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetting.contracts import Answered, Answering, Model, Sampling
from forgetting.errors import require


@dataclass(frozen=True)
class Sampled(Answering):
    """Answers drawn from the student, the same draws at every dose and for every student.

    Args:
        samples: answers to each item
        temperature: divides the logits; 1 samples from the student itself
        top_p: draws come from the likeliest words that together have this probability
        ks: the k of each pass@k, at most ``samples``
        seed: of the draws
    """

    samples: int = 10
    temperature: float = 0.8
    top_p: float = 0.95
    ks: tuple[int, ...] = (1,)
    seed: int = 0

    def __post_init__(self) -> None:
        Sampling(self.temperature, self.top_p, self.seed, samples=self.samples)  # checks them
        rule = f"one or several from 1 to the {self.samples} samples"
        require(bool(self.ks) and all(1 <= k <= self.samples for k in self.ks), "sampled.ks", rule, self.ks)
        require(len(set(self.ks)) == len(self.ks), "sampled.ks", "free of repeats", self.ks)

    @property
    def count(self) -> int:
        """Answers to each prompt."""
        return self.samples

    def passes(self) -> tuple[int, ...]:
        """``ks``."""
        return self.ks

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """``samples`` answers to each prompt."""
        from forgetting.batching import without_end

        how = Sampling(self.temperature, self.top_p, self.seed, samples=self.samples)
        asked = [prompt for prompt in prompts for _ in range(self.samples)]
        written = model.generate([asked], max_new_tokens=max_new_tokens, batch_items=batch_items, sampling=how)[0]
        whole = without_end(written, model.ends)
        flat = [Answered(own, len(w), len(own) == len(w)) for own, w in zip(whole, written, strict=True)]
        return [flat[start : start + self.samples] for start in range(0, len(flat), self.samples)]
