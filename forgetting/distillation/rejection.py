"""Distillation by rejection: the student learns those of its own answers that are right, with cross-entropy.

The control of ``reward_guided``: the same prompts and draws, and no wrong answer to move away from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from forgetting.contracts import Batch, Distillation, Language, Model, Stream
from forgetting.distillation._rollouts import FIELD, Rollouts, rollouts, told
from forgetting.errors import require
from forgetting.judges import check_judge

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Rejection(Distillation):
    """Rejection-sampling fine-tuning (arXiv 2308.01825), on answers that are drawn anew at every step.

    A step draws until it has half a batch of right answers, up to four times among other prompts, and learns all that
    it found, each once, up to a batch.

    Args:
        samples: answers to each prompt; a try has as many prompts as make a batch
        max_new_tokens: longest answer, in tokens
        judge: how answers are judged: ``world``, or a benchmark whose grader needs no hidden tests
        seed: of the draws, at temperature 1
    """

    kind: ClassVar[Literal["imitates", "rewards"]] = "rewards"

    samples: int = 8
    max_new_tokens: int = 80
    judge: str | dict[str, Any] = "world"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "max_new_tokens"):
            require(getattr(self, name) >= 1, f"rejection.{name}", "at least 1", getattr(self, name))
        require(self.seed >= 0, "rejection.seed", "0 or more", self.seed)

    def check(self, language: Language) -> None:
        """Natural text takes a benchmark as the judge."""
        check_judge(self.judge, language, FIELD)

    def batches(self, student: Model, teacher: Model, stream: Stream) -> Iterator[Batch]:
        """For each step the right answers; where there is none, answers with weight 0."""
        steps = rollouts(
            student, stream, samples=self.samples, max_new_tokens=self.max_new_tokens, seed=self.seed, judge=self.judge
        )
        for index, tries in zip(stream, steps, strict=True):
            seen: list[Rollouts] = []
            for found in tries:
                seen += found
                if 2 * len(_kept(seen)) >= stream.batch_size:
                    break
            yield _batch(student, seen, stream.batch_size, len(index))

    def loss(self, student: Model, teacher: Model, batch: Batch) -> Tensor:
        """Cross-entropy on the answers, ``[R]``."""
        from forgetting import losses

        return losses.cross_entropy(student, batch)


def _kept(seen: list[Rollouts]) -> list[tuple[list[int], list[int]]]:
    """Prompts and right answers, each answer to a prompt once."""
    kept = []
    for one in seen:
        distinct = dict.fromkeys(tuple(a) for a, right in zip(one.answers, one.right, strict=True) if right)
        kept += [(one.prompt, list(answer)) for answer in distinct]
    return kept


def _batch(student: Model, seen: list[Rollouts], full: int, given: int) -> Batch:
    import torch

    from forgetting.batching import encode_answers

    kept = _kept(seen)[:full]
    rows = kept or [(one.prompt, answer) for one in seen for answer in one.answers][:full]
    asked, answered = [prompt for prompt, _ in rows], [answer for _, answer in rows]
    encoded = encode_answers(asked, answered, int(student.tokenizer.pad_token_id))
    made = encoded.batch(np.arange(len(rows)), len(rows))
    weight_RBT = torch.full(made.tokens_RBT.shape, 1.0 if kept else 0.0)
    notes = {
        **told([answer for one in seen for answer in one.answers], student.ends),
        "reward": float(np.mean([one.right for one in seen])),
        "prompts": float(len(seen)),
        "learned": float(len(kept)),
    }
    return dataclasses.replace(made, denominator=made.denominator * full / given, weight_RBT=weight_RBT, notes=notes)
