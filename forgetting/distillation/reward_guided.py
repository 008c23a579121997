"""Distillation by rewards: the student answers each prompt several times and learns what was better than average."""

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
class RewardGuided(Distillation):
    """GRPO (arXiv 2402.03300) as corrected in arXiv 2503.20783: advantage = reward - mean of the prompt's answers.

    The advantage is not divided by the standard deviation, which would weigh the easiest and the hardest prompts most,
    and the loss is divided by answers x ``max_new_tokens``, a constant, so that a long wrong answer is no cheaper a
    token than a short one. A batch is used for one update, in which every ratio of probabilities is 1: there is nothing
    to clip. No KL term. A cut answer has reward 0. Prompts whose answers are all right or all wrong teach nothing: they
    are counted, others are asked in their place, up to four times, and they are no part of the denominator.

    Args:
        samples: answers to each prompt; a batch has as many prompts as make its size
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
        require(self.samples >= 2, "reward_guided.samples", "at least 2, which can differ", self.samples)
        require(self.max_new_tokens >= 1, "reward_guided.max_new_tokens", "at least 1", self.max_new_tokens)
        require(self.seed >= 0, "reward_guided.seed", "0 or more", self.seed)

    def check(self, language: Language) -> None:
        """Natural text takes a benchmark as the judge."""
        check_judge(self.judge, language, FIELD)

    def batches(self, student: Model, teacher: Model, stream: Stream) -> Iterator[Batch]:
        """For each step the answers to prompts that have right and wrong ones, weighted by their advantage."""
        steps = rollouts(
            student, stream, samples=self.samples, max_new_tokens=self.max_new_tokens, seed=self.seed, judge=self.judge
        )
        wanted = max(1, stream.batch_size // self.samples)
        for index, tries in zip(stream, steps, strict=True):
            seen: list[Rollouts] = []
            useful: list[Rollouts] = []
            for found in tries:
                seen += found
                useful += [one for one in found if any(one.right) and not all(one.right)]
                if len(useful) >= wanted:
                    break
            yield self._batch(student, (useful or seen)[:wanted], seen, stream.batch_size / len(index))

    def _batch(self, student: Model, used: list[Rollouts], seen: list[Rollouts], share: float) -> Batch:
        """Answers weighted by their advantages, which are all 0 where no prompt was useful."""
        import torch

        from forgetting.batching import encode_answers

        prompts = [one.prompt for one in used for _ in one.answers]
        answers = [answer for one in used for answer in one.answers]
        advantage = [right - float(np.mean(one.right)) for one in used for right in one.right]
        made = encode_answers(prompts, answers, int(student.tokenizer.pad_token_id)).batch(
            np.arange(len(answers)), len(answers)
        )
        weight_RBT = torch.tensor(advantage)[None, :, None].expand(made.tokens_RBT.shape).contiguous()
        notes = {
            **told([answer for one in seen for answer in one.answers], student.ends),
            "reward": float(np.mean([one.right for one in seen])),
            "prompts": float(len(seen)),
            "prompts_all_right": float(sum(all(one.right) for one in seen)),
            "prompts_all_wrong": float(sum(not any(one.right) for one in seen)),
        }
        denominator = len(answers) * self.max_new_tokens * share
        return dataclasses.replace(made, denominator=denominator, weight_RBT=weight_RBT, notes=notes)

    def loss(self, student: Model, teacher: Model, batch: Batch) -> Tensor:
        """Minus the log-probability of every answer token times its answer's advantage, ``[R]``."""
        from forgetting import losses

        return losses.cross_entropy(student, batch)
