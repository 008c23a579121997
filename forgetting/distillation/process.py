"""Process distillation: the teacher's steps and its final answer learned with weights of their own, or rearranged.

What the steps are good for is seen beside arms that have the same words and no process: steps in another order, after
the answer, or of another problem, or none at all.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from forgetting import seeds
from forgetting.contracts import Batch, Distillation, Model, Sample, Stream
from forgetting.distillation._written import taught
from forgetting.errors import require, unknown

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

ARRANGEMENTS = ("kept", "shuffled", "answer_only", "answer_first", "of_another")
RESULT = re.compile(r"=\s?(\d[\d.,]*)")  # of an equation, as a calculator would insert it


@dataclass(frozen=True)
class Process(Distillation):
    """Cross-entropy on the teacher's greedy answers, tokens weighted; a step's mean weight is 1, as of plain training.

    An answer is split where its last ``mark`` begins: what comes before are steps. An answer without the mark (a
    program, a fact) is all answer. The notes of a step have the share of answers that are split; a teacher that writes
    the mark in none is an error before the first step. The end token counts to the answer. Graders look for the final
    answer at the end: under ``answer_first`` they see it where ``evaluation.max_new_tokens`` lets no step follow.

    Args:
        steps: weight of a token of the steps
        answer: weight of a token of the final answer
        results: factor of the weight of a step's result, behind its ``=``; 0: it is left to a calculator
        arrangement: ``kept``; ``shuffled``: the steps in another order; ``answer_only``: without steps;
            ``answer_first``: the steps after it; ``of_another``: before it as many steps of another sample
        mark: text with which the final answer begins
        separator: text between steps, and between them and the answer
        max_new_tokens: longest answer that the teacher may write, in tokens
        seed: of the other order and the other sample
    """

    stacks: ClassVar[bool] = True

    steps: float = 1.0
    answer: float = 1.0
    results: float = 1.0
    arrangement: Literal["kept", "shuffled", "answer_only", "answer_first", "of_another"] = "kept"
    mark: str = "answer "
    separator: str = " ; "
    max_new_tokens: int = 80
    seed: int = 0

    def __post_init__(self) -> None:
        if self.arrangement not in ARRANGEMENTS:
            raise unknown("process.arrangement", self.arrangement, ARRANGEMENTS)
        require(self.steps >= 0, "process.steps", "a weight, 0 or more", self.steps)
        require(self.answer >= 0, "process.answer", "a weight, 0 or more", self.answer)
        require(self.results >= 0, "process.results", "a factor, 0 or more", self.results)
        require(self.steps + self.answer > 0, "process.answer", "above 0 where process.steps is 0", self.answer)
        require(bool(self.mark), "process.mark", "the text with which the final answer begins", self.mark)
        require(bool(self.separator), "process.separator", "the text between steps", self.separator)
        require(self.max_new_tokens >= 1, "process.max_new_tokens", "at least 1", self.max_new_tokens)
        require(self.seed >= 0, "process.seed", "0 or more", self.seed)

    def batches(self, student: Model, teacher: Model, stream: Stream) -> Iterator[Batch]:
        """The stream's batches with the teacher's answers rearranged; contaminating samples stay as they are."""
        from forgetting.batching import encode

        written = taught(teacher, stream, self.max_new_tokens)
        own = ~stream.contaminating
        split = np.array([bool(self._split(sample.answer)[0]) for sample in written]) & own
        rule = f"a text behind {self.separator!r} in one of the {own.sum():,} answers that the teacher wrote"
        require(split.any(), "process.mark", rule, self.mark)
        arranged = [
            (sample, (0, 0)) if foreign else self._arranged(place, written)
            for place, (sample, foreign) in enumerate(zip(written, stream.contaminating, strict=True))
        ]
        encoded = encode([sample for sample, _ in arranged], student.tokenizer)
        weight_PT = np.ones(encoded.tokens_PT.shape, dtype=np.float32)
        for place, foreign in enumerate(stream.contaminating):
            if not foreign:
                of_row = self._weights(*arranged[place], student.tokenizer)
                learned = encoded.answer_PT[place].numpy().nonzero()[0]
                of_row += [self.answer] * (len(learned) - len(of_row))  # the end
                weight_PT[place, learned] = of_row
        for index in stream:
            notes = {"answers_split": float(split[index].sum() / max(1, own[index].sum()))}
            yield dataclasses.replace(_weighted(encoded.batch(index, stream.batch_size), weight_PT[index]), notes=notes)

    def loss(self, student: Model, teacher: Model, batch: Batch) -> Tensor:
        """Weighted cross-entropy on the answers, ``[R]``."""
        from forgetting import losses

        return losses.cross_entropy(student, batch)

    def _arranged(self, place: int, written: Sequence[Sample]) -> tuple[Sample, tuple[int, int]]:
        """A sample with its answer rearranged, and where in that the final answer is, in characters."""
        sample = written[place]
        steps, final = self._split(sample.answer)
        if not steps:
            return sample, (0, len(sample.answer))
        rng = seeds.generator(self.seed, "process", place)
        if self.arrangement == "shuffled":
            steps = _another_order(steps, rng)
        elif self.arrangement == "of_another":
            steps = self._steps_of_another(place, len(steps), written, rng)
        elif self.arrangement == "answer_only":
            steps = []
        first = self.arrangement == "answer_first"
        text = self.separator.join([final, *steps] if first else [*steps, final])
        start = 0 if first else len(text) - len(final)
        turns = (*sample.turns[:-1], ("assistant", text)) if sample.turns else ()
        return dataclasses.replace(sample, answer=text, turns=turns), (start, start + len(final))

    def _split(self, answer: str) -> tuple[list[str], str]:
        """The steps and the final answer."""
        place = answer.rfind(self.separator + self.mark)
        if place < 0:
            return [], answer
        return answer[:place].split(self.separator), answer[place + len(self.separator) :]

    def _steps_of_another(
        self, place: int, count: int, written: Sequence[Sample], rng: np.random.Generator
    ) -> list[str]:
        """As many steps of another sample of the skill; its own, which teach nothing false, where none has as many."""
        for other in rng.permutation(len(written)):
            if other == place or written[other].skill != written[place].skill:
                continue
            steps, _ = self._split(written[other].answer)
            if len(steps) == count and steps != self._split(written[place].answer)[0]:
                return steps
        return self._split(written[place].answer)[0]

    def _weights(self, sample: Sample, final: tuple[int, int], tokenizer: PreTrainedTokenizerFast) -> list[float]:
        """The weight of each token of an answer, its end left out."""
        offsets = tokenizer.backend_tokenizer.encode(sample.answer, add_special_tokens=False).offsets
        own = [self.answer if final[0] <= start < final[1] else self.steps for start, _ in offsets]
        for found in RESULT.finditer(sample.answer) if self.results != 1 else ():
            for place, (start, end) in enumerate(offsets):
                if start < found.end(1) and end > found.start(1) and not final[0] <= start < final[1]:
                    own[place] *= self.results
        return own


def _another_order(steps: list[str], rng: np.random.Generator) -> list[str]:
    """The steps in an order that differs, where two of them do."""
    order = [steps[i] for i in rng.permutation(len(steps))]
    while order == steps and len(set(steps)) > 1:
        order = [steps[i] for i in rng.permutation(len(steps))]
    return order


def _weighted(batch: Batch, weight_BT: np.ndarray) -> Batch:
    """The batch with weights whose sum is its number of answer tokens, so that the rate means what it always does."""
    import torch

    weight_RBT = torch.from_numpy(weight_BT[:, : batch.tokens_RBT.shape[2]])[None] * batch.answer_RBT
    total = float(weight_RBT.sum())
    scale = int(batch.answer_RBT.sum()) / total if total else 0.0
    return dataclasses.replace(batch, weight_RBT=weight_RBT * scale)
