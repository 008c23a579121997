"""KL to the base: beside the new task the student is to go on predicting what it predicted at dose 0."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from forgetting import seeds
from forgetting.contracts import Batch, Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation._shared import frozen_copy

if TYPE_CHECKING:
    from torch import Tensor

    from forgetting.batching import Encoded


@dataclass(frozen=True)
class Before:
    """The student of dose 0, the original samples as tokens (where they are asked for), and the steps so far."""

    base: Model
    original: Encoded | None
    steps: Tensor


@dataclass(frozen=True)
class KLToBase(Mitigation):
    """Adds beta x KL(base || student), in nats a token, to the loss of each step.

    On the ``new`` inputs it is learning without forgetting (arXiv 1606.09282), which fights what is to be learned; on
    ``replayed`` samples or on ``noise`` it does not. It costs a second copy of the weights and two passes more a step.

    Args:
        beta: the factor; 0 switches it off
        inputs: the stream's answers (``new``), original ones (``replayed``), or ``noise``: words drawn evenly
        rows: samples of each step, where they are not the stream's
        pool: distinct original samples that the replayed ones are drawn from
        length: of a row of noise, in tokens
        seed: of the draws
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"beta": 0.0}
    beta: float = 1.0
    inputs: Literal["new", "replayed", "noise"] = "new"
    rows: int = 32
    pool: int = 256
    length: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        require(math.isfinite(self.beta) and self.beta >= 0, "kl_to_base.beta", "a finite number, 0 or more", self.beta)
        require(self.inputs in ("new", "replayed", "noise"), "kl_to_base.inputs", "new, replayed or noise", self.inputs)
        for name, least in (("rows", 1), ("pool", 1), ("length", 2), ("seed", 0)):
            require(getattr(self, name) >= least, f"kl_to_base.{name}", f"{least} or more", getattr(self, name))

    def memory_samples(self) -> int:
        """The pool, if the samples are to be replayed."""
        return self.pool if self.beta and self.inputs == "replayed" else 0

    def prepare(self, student: Model, original: Sequence[Sample]) -> Before | None:
        """A copy of the student."""
        import torch

        from forgetting.batching import encode

        if not self.beta:
            return None
        encoded = encode(original, student.tokenizer) if self.inputs == "replayed" else None
        return Before(frozen_copy(student), encoded, torch.zeros((), dtype=torch.int64))

    def loss(self, student: Model, memory: Before | None, batch: Batch, loss: Callable[[Batch], Tensor]) -> Tensor:
        """The divergence beside the loss. Pieces of a step have the same rows, and the mean of theirs is the step's."""
        from forgetting.losses import forward_kl

        if memory is None:
            return loss(batch)
        about = batch if self.inputs == "new" else self.drawn(student, memory)
        return loss(batch) + self.beta * forward_kl(student, memory.base, about)

    def drawn(self, student: Model, memory: Before) -> Batch:
        """The rows of the step, a function of the seed and of how many steps there were."""
        import torch

        rng = seeds.generator(self.seed, "kl to base", int(memory.steps))
        if memory.original is not None:
            size = min(self.rows, len(memory.original))
            one = memory.original.batch(rng.choice(len(memory.original), size, replace=False), size)
        else:
            words = sorted(set(range(len(student.tokenizer))) - set(student.tokenizer.all_special_ids))
            tokens = torch.tensor(words)[torch.from_numpy(rng.integers(len(words), size=(1, self.rows, self.length)))]
            learned = torch.ones_like(tokens, dtype=torch.bool)
            learned[:, :, 0] = False
            one = Batch(tokens, learned, self.rows * (self.length - 1))
        tokens, answer = one.tokens_RBT.to(student.device), one.answer_RBT.to(student.device)
        return dataclasses.replace(one, tokens_RBT=tokens, answer_RBT=answer)

    def after_step(self, student: Model, memory: Before | None) -> None:
        """Count."""
        if memory is not None:
            memory.steps.add_(1)

    def kept(self, memory: Before | None) -> dict[str, Tensor]:
        """The count."""
        return {} if memory is None else {"steps": memory.steps}
