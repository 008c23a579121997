"""Training without a teacher: the student learns the samples' own answers.

The control of every method that has one: what a teacher is good for, and what it costs, is told against this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from forgetting.contracts import Batch, Distillation, Model, Stream

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Gold(Distillation):
    """Cross-entropy on gold answers, as a teacher is trained."""

    stacks: ClassVar[bool] = True

    def batches(self, student: Model, teacher: Model, stream: Stream) -> Iterator[Batch]:
        """The stream's batches as they are."""
        from forgetting.batching import encode

        encoded = encode(stream.samples, student.tokenizer)
        for index in stream:
            yield encoded.batch(index, stream.batch_size)

    def loss(self, student: Model, teacher: Model, batch: Batch) -> Tensor:
        """Cross-entropy on the answers, ``[R]``."""
        from forgetting import losses

        return losses.cross_entropy(student, batch)
