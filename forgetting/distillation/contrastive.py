"""Contrastive distillation: pairs of a right and a wrong continuation of the steps that both share.

The wrong one is the student's own: its answer is cut where it first leaves the gold answer's steps, and from there on
the gold one is preferred. Pairs that differ from their first token on push down the likelihood of both (2410.08847).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from forgetting import seeds
from forgetting.contracts import Batch, Distillation, Language, Model, Stream
from forgetting.distillation._rollouts import FIELD, Rollouts, rollouts, told
from forgetting.errors import require, unknown
from forgetting.judges import check_judge

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

OBJECTIVES, NEGATIVES = ("dpo", "simpo", "nll"), ("own", "another")

ContrastPair = tuple[
    list[int], list[int], list[int]
]  # tokens: what both share, the chosen and the rejected continuation


@dataclass(frozen=True)
class Contrastive(Distillation):
    """DPO (arXiv 2305.18290) or SimPO (2405.14734) on steps (as in 2406.18629), with the NLL of what is chosen.

    Without the NLL end tokens die and words repeat. Rows 2i and 2i + 1 of a batch are the chosen and the rejected one
    of pair i; ``reference_RB`` holds their log-probabilities under the student as it was before the first step.

    Args:
        objective: ``dpo``, ``simpo``, or ``nll``: the chosen continuations alone, the control of both
        negatives: ``own``: the student's wrong answers; ``another``: gold answers of another sample, a control
        dpo_beta: how much the log-ratio to the reference counts
        simpo_beta: how much the mean log-probability of a token counts
        simpo_margin: by how much the chosen one is to be better, in units of ``simpo_beta``
        nll: weight of the chosen continuation's mean NLL of a token
        separators: texts that end a step
        samples: answers to each prompt; a try has as many prompts as make a batch
        max_new_tokens: longest answer, in tokens
        judge: how answers are judged: ``world``, or a benchmark whose grader needs no hidden tests
        seed: of the draws, at temperature 1
    """

    kind: ClassVar[Literal["imitates", "rewards"]] = "rewards"
    keeps_start: ClassVar[bool] = True

    objective: Literal["dpo", "simpo", "nll"] = "dpo"
    negatives: Literal["own", "another"] = "own"
    dpo_beta: float = 0.1
    simpo_beta: float = 2.5
    simpo_margin: float = 0.55
    nll: float = 1.0
    separators: tuple[str, ...] = (";", "<nl>", "\n")
    samples: int = 8
    max_new_tokens: int = 80
    judge: str | dict[str, Any] = "world"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise unknown("contrastive.objective", self.objective, OBJECTIVES)
        if self.negatives not in NEGATIVES:
            raise unknown("contrastive.negatives", self.negatives, NEGATIVES)
        for name in ("dpo_beta", "simpo_beta"):
            require(getattr(self, name) > 0, f"contrastive.{name}", "above 0", getattr(self, name))
        for name in ("simpo_margin", "nll", "seed"):
            require(getattr(self, name) >= 0, f"contrastive.{name}", "0 or more", getattr(self, name))
        learns = self.objective != "nll" or self.nll > 0
        require(learns, "contrastive.nll", "above 0 where it is the objective", self.nll)
        require(all(self.separators), "contrastive.separators", "texts that are not empty", self.separators)
        for name in ("samples", "max_new_tokens"):
            require(getattr(self, name) >= 1, f"contrastive.{name}", "at least 1", getattr(self, name))

    def check(self, language: Language) -> None:
        """Natural text takes a benchmark as the judge."""
        check_judge(self.judge, language, FIELD)

    def batches(self, student: Model, teacher: Model, stream: Stream) -> Iterator[Batch]:
        """For each step pairs, as many as half a batch; where there is none, one of weight 0."""
        from forgetting.batching import encode

        reference = copy.deepcopy(student if stream.start is None else stream.start)
        encoded = encode(stream.samples, student.tokenizer)
        gold = {
            id(sample): tokens[learned].tolist()
            for sample, tokens, learned in zip(stream.samples, encoded.tokens_PT, encoded.answer_PT, strict=True)
        }
        steps = rollouts(
            student, stream, samples=self.samples, max_new_tokens=self.max_new_tokens, seed=self.seed, judge=self.judge
        )
        wanted = max(1, stream.batch_size // 2)
        for step, (index, tries) in enumerate(zip(stream, steps, strict=True), stream.first_step):
            seen: list[Rollouts] = []
            pairs: list[ContrastPair] = []
            for found in tries:
                seen += found
                pairs += [pair for one in found for pair in self._pairs(one, gold[id(one.sample)], student.tokenizer)]
                if len(pairs) >= wanted:
                    break
            if self.negatives == "another":
                pairs = _of_others(pairs, [gold[id(one.sample)] for one in seen], seeds.generator(self.seed, step))
            notes = {
                **told([answer for one in seen for answer in one.answers], student.ends),
                "reward": float(np.mean([one.right for one in seen])),
                "pairs": float(len(pairs)),
            }
            first = seen[0]
            none = [(first.prompt, gold[id(first.sample)], gold[id(first.sample)])]
            made = paired(pairs[:wanted] or none, int(student.tokenizer.pad_token_id), weight=1.0 if pairs else 0.0)
            made = dataclasses.replace(made, denominator=made.denominator * stream.batch_size / len(index), notes=notes)
            yield referred(made, student, reference)

    def _pairs(self, one: Rollouts, gold: list[int], tokenizer: PreTrainedTokenizerFast) -> list[ContrastPair]:
        """A pair for each distinct wrong answer: what it shares with the gold one, to the end of a step; both rests."""
        wrong = dict.fromkeys(tuple(a) for a, right in zip(one.answers, one.right, strict=True) if not right)
        found = []
        for answer in map(list, wrong):
            shared = shared_steps(gold, answer, self.separators, tokenizer)
            if answer[shared:]:  # an answer that was cut at the end of a right step has nothing to reject
                found.append(([*one.prompt, *gold[:shared]], gold[shared:], answer[shared:]))
        return found

    def loss(self, student: Model, teacher: Model, batch: Batch) -> Tensor:
        """The objective of each pair and its NLL, over the step's pairs, ``[R]``."""
        import torch
        from torch.nn.functional import logsigmoid

        from forgetting.losses import row_log_probabilities

        own_RB, count_RB = row_log_probabilities(student, batch)
        learned_RB = (count_RB > 0).to(own_RB)
        mean_RB = own_RB / count_RB.clamp(min=1)
        chosen_RP, _ = split(mean_RB)
        loss_RP = -self.nll * chosen_RP
        if self.objective == "dpo":
            assert batch.reference_RB is not None
            better_RP = torch.sub(*split(own_RB - batch.reference_RB))
            loss_RP = loss_RP - logsigmoid(self.dpo_beta * better_RP)
        elif self.objective == "simpo":
            better_RP = torch.sub(*split(mean_RB))
            loss_RP = loss_RP - logsigmoid(self.simpo_beta * (better_RP - self.simpo_margin))
        return (loss_RP * split(learned_RB)[0]).sum(1) / batch.denominator


def shared_steps(
    gold: Sequence[int], answer: Sequence[int], separators: Sequence[str], tokenizer: PreTrainedTokenizerFast
) -> int:
    """How many tokens both begin with, up to the end of a step."""
    from forgetting.batching import texts

    agree = next((i for i, (a, b) in enumerate(zip(gold, answer, strict=False)) if a != b), min(len(gold), len(answer)))
    while agree and not texts([list(gold[:agree])], tokenizer)[0].endswith(tuple(separators)):
        agree -= 1
    return agree


def paired(pairs: Sequence[ContrastPair], pad: int, weight: float = 1.0) -> Batch:
    """Pairs as rows, chosen and rejected in turn; the denominator is their number."""
    import torch

    from forgetting.batching import encode_answers

    before = [shared for shared, _, _ in pairs for _ in range(2)]
    made = encode_answers(before, [tokens for _, *both in pairs for tokens in both], pad).batch(
        np.arange(2 * len(pairs)), 2 * len(pairs)
    )
    weight_RBT = torch.full(made.tokens_RBT.shape, weight)
    return dataclasses.replace(made, denominator=len(pairs), weight_RBT=weight_RBT, group=2)


def split(of_row_RB: Tensor) -> tuple[Tensor, Tensor]:
    """Chosen and rejected, ``[R, pairs]`` each."""
    return of_row_RB[:, 0::2], of_row_RB[:, 1::2]


def referred(batch: Batch, student: Model, reference: Model) -> Batch:
    """The batch with the rows' log-probabilities under the reference, and in its notes where the student is now.

    The notes have the mean log-probability of a token, of chosen and of rejected continuations, and by how much that of
    the chosen ones has changed: where it has fallen, the student learns to write neither (``analysis.displaced``).
    """
    import torch

    from forgetting.losses import row_log_probabilities

    there = dataclasses.replace(
        batch,
        tokens_RBT=batch.tokens_RBT.to(student.device),
        answer_RBT=batch.answer_RBT.to(student.device),
        weight_RBT=None,
    )
    with torch.no_grad(), student.at_rest():
        reference.network.to(student.device).eval()
        own_RB, count_RB = row_log_probabilities(student, there)
        past_RB, _ = row_log_probabilities(reference, there)
    chosen, rejected = (float(one.mean()) for one in split(own_RB / count_RB))
    change = chosen - float(split(past_RB / count_RB)[0].mean())
    notes = {**batch.notes, "chosen": chosen, "rejected": rejected, "chosen_change": change}
    return dataclasses.replace(batch, reference_RB=past_RB.to(batch.tokens_RBT.device), notes=notes)


def _of_others(
    pairs: Sequence[ContrastPair], gold: Sequence[list[int]], rng: np.random.Generator
) -> list[ContrastPair]:
    """The same pairs with the gold answer of another prompt as the rejected continuation."""
    found = []
    for shared, chosen, _ in pairs:
        others = [answer for answer in gold if answer[-len(chosen) :] != chosen]
        if others:
            found.append((shared, chosen, others[int(rng.integers(len(others)))]))
    return found
