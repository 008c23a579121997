"""Greedy decoding: the most probable token, always. Every study measures it; the others stand beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetting.contracts import Answered, Answering, Model


@dataclass(frozen=True)
class Greedy(Answering):
    """The most probable token at every place."""

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt."""
        from forgetting.batching import without_end

        written = model.generate([prompts], max_new_tokens=max_new_tokens, batch_items=batch_items)[0]
        whole = without_end(written, model.ends)
        return [[Answered(own, len(w), len(own) == len(w))] for own, w in zip(whole, written, strict=True)]
