"""Off-policy distillation: the student imitates the teacher's written answers, or its distribution over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from forgetting.contracts import Batch, Distillation, Model, Stream
from forgetting.distillation._written import taught
from forgetting.errors import require, unknown

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class OffPolicy(Distillation):
    """Sequence level: cross-entropy on teacher-written answers (arXiv 1606.07947). Word level: KL(teacher || student).

    Args:
        level: ``sequence`` or ``word``; both learn on the teacher's greedy answers
        max_new_tokens: longest answer that the teacher may write, in tokens
    """

    stacks: ClassVar[bool] = True

    level: Literal["sequence", "word"] = "sequence"
    max_new_tokens: int = 80

    def __post_init__(self) -> None:
        if self.level not in ("sequence", "word"):
            raise unknown("off_policy.level", self.level, ("sequence", "word"))
        require(self.max_new_tokens >= 1, "off_policy.max_new_tokens", "at least 1", self.max_new_tokens)

    @property
    def compares(self) -> bool:
        """At word level."""
        return self.level == "word"

    def batches(self, student: Model, teacher: Model, stream: Stream) -> Iterator[Batch]:
        """The stream's batches; the teacher writes the answers of original samples, greedily, before the first step."""
        from forgetting.batching import encode

        encoded = encode(taught(teacher, stream, self.max_new_tokens), student.tokenizer)
        for index in stream:
            yield encoded.batch(index, stream.batch_size)

    def loss(self, student: Model, teacher: Model, batch: Batch) -> Tensor:
        """Cross-entropy or forward KL on the answers, ``[R]``."""
        from forgetting import losses

        return (
            losses.cross_entropy(student, batch)
            if self.level == "sequence"
            else losses.forward_kl(student, teacher, batch)
        )
