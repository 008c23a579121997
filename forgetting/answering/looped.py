"""Answers of a looped student by some of its passes: so many for every token, or as many as each token takes.

Halting by entropy and by change is that of CALM (arXiv 2207.07061), with a threshold in place of a learned exit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetting.answering._shared import answered
from forgetting.contracts import Answered, Answering, Depth, Halt, Model


@dataclass(frozen=True)
class Looped(Answering):
    """Greedy answers by so many passes through a looped student's layers; what counts as generated is its passes.

    Prompts are read with ``loops`` passes; each token that is written takes at most ``written``, and fewer where it
    halts. Students that are not looped are not asked.

    Args:
        loops: passes for prompt and answer, at most; 0: those that the student was taught with
        written: passes for each written token, at most; 0: as many as ``loops``
        halt: what ends them sooner: ``entropy`` of the next token, in nats, or its ``change`` since the pass before
            (total variation), below the threshold; ``never``
        threshold: below which a token halts
    """

    loops: int = 0
    written: int = 0
    halt: Halt = "never"
    threshold: float = 0.0

    def __post_init__(self) -> None:
        self.depth()

    def depth(self) -> Depth:
        """The settings as a model takes them. ``UsageError`` where they are at odds."""
        return Depth(self.loops, self.written, self.halt, self.threshold)

    def suits(self, loops: int) -> bool:
        """Those that pass more than once."""
        return loops > 1

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt."""
        own = model.at_depth(self.depth())
        written = own.generate([prompts], max_new_tokens=max_new_tokens, batch_items=batch_items)[0]
        passes = own.layer_passes(prompts, written)
        return [[answered(one, model.ends, count)] for one, count in zip(written, passes, strict=True)]
