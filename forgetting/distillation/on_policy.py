"""On-policy distillation: the student learns the teacher's distribution on what the student itself writes.

Two choices make four methods (arXiv 2306.13649): who writes the answers on which both are compared, and in which
direction. Answers by the teacher with forward KL are off-policy distillation at word level.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forgetting import seeds
from forgetting.contracts import Batch, Distillation, Model, Sample, Sampling, Stream
from forgetting.distillation._written import taught
from forgetting.errors import require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class OnPolicy(Distillation):
    """JSD_beta / (beta (1 - beta)) of teacher and student at every token of an answer; each step has one writer.

    A student from nothing writes rubbish, on which a teacher has little to say: warm it up off-policy first. No token
    is masked; what goes wrong with own answers (cut at the limit, words that repeat) is in the notes of each step.

    Args:
        student_share: share of the steps whose answers the student writes, as it is then; the teacher writes the others
        beta: 0 is KL(teacher || student), 1 is KL(student || teacher), what lies between is between them
        temperature: of the student's draws; the divergence is that of the models themselves
        max_new_tokens: longest answer, in tokens
        seed: of the draws, and of who writes at which step
    """

    student_share: float = 1.0
    beta: float = 1.0
    temperature: float = 1.0
    max_new_tokens: int = 80
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.student_share <= 1, "on_policy.student_share", "a share from 0 to 1", self.student_share)
        # Nearer to the ends float32 loses the difference that is divided by beta (1 - beta).
        inside = self.beta in (0, 1) or 0.001 <= self.beta <= 0.999
        require(inside, "on_policy.beta", "0, 1, or from .001 to .999", self.beta)
        require(self.temperature > 0, "on_policy.temperature", "above 0", self.temperature)
        require(self.max_new_tokens >= 1, "on_policy.max_new_tokens", "at least 1", self.max_new_tokens)
        require(self.seed >= 0, "on_policy.seed", "0 or more", self.seed)

    @property
    def compares(self) -> bool:
        """Always."""
        return True

    def batches(self, student: Model, teacher: Model, stream: Stream) -> Iterator[Batch]:
        """The stream's batches with answers of their step's writer; contaminating samples keep their own answers."""
        from forgetting.batching import encode, prompt_tokens

        foreign = [i for i, is_foreign in enumerate(stream.contaminating) if is_foreign]
        last_turns = [_last_turn(stream.samples[i]) for i in foreign]
        own = encode(last_turns, student.tokenizer).answers() if foreign else []
        given = dict(zip(foreign, own, strict=True))
        asked = prompt_tokens(stream.samples, student.tokenizer)
        mixed = self.student_share < 1
        encoded = encode(taught(teacher, stream, self.max_new_tokens), student.tokenizer) if mixed else None
        for step, index in enumerate(stream, stream.first_step):
            if encoded and seeds.generator(self.seed, "on policy", step).random() >= self.student_share:
                yield encoded.batch(index, stream.batch_size)
            else:
                yield self._written(student, stream, step, index, asked, given)

    def _written(
        self, student: Model, stream: Stream, step: int, index: np.ndarray, asked: list[list[int]],
        given: dict[int, list[int]],
    ) -> Batch:  # fmt: skip
        """A step on what the student writes now."""
        from forgetting.batching import encode_answers
        from forgetting.distillation._rollouts import told

        own = [place for place, i in enumerate(index) if not stream.contaminating[i]]
        answers = [given.get(int(i), []) for i in index]
        sampling = Sampling(self.temperature, seed=self.seed, step=step)
        drawn = student.generate(
            [[asked[index[place]] for place in own]], max_new_tokens=self.max_new_tokens, sampling=sampling
        )[0]
        for place, answer in zip(own, drawn, strict=True):
            answers[place] = answer
        made = encode_answers([asked[i] for i in index], answers, int(student.tokenizer.pad_token_id))
        notes = told(drawn, student.ends)
        return dataclasses.replace(made.batch(np.arange(len(index)), stream.batch_size), notes=notes)

    def loss(self, student: Model, teacher: Model, batch: Batch) -> Tensor:
        """The divergence on the answers, ``[R]``."""
        from forgetting import losses

        return losses.divergence(student, teacher, batch, beta=self.beta)


def _last_turn(sample: Sample) -> Sample:
    """The sample; of a dialogue only the last turn is learned."""
    return dataclasses.replace(sample, given_turns=max(len(sample.turns) - 1, 0))
