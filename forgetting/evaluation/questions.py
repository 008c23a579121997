"""What a look asks of its student, and who answers: the student, or a stack for all of its replicas at once.

A look is a generator that yields questions and is sent the answers, so that it is written once, for one student.

Shape suffixes: R replicas, B rows, T tokens, N places, V words of the vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from forgetting.contracts import Layers, Model

T = TypeVar("T")
Told = tuple[Tensor, Layers | None]


class Question(ABC):
    """Something that only a student, or a stack of them, can answer."""

    @abstractmethod
    def of(self, student: Model) -> Any:
        """The answer of one student."""

    @staticmethod
    @abstractmethod
    def of_all(stack: Model, asked: Mapping[int, Any]) -> dict[int, Any]:
        """The answers of the replicas that were asked a question of this kind, by replica as the questions are."""


Asking = Generator[Question, Any, T]


@dataclass(frozen=True, eq=False)
class Read(Question):
    """Logits ``[N, V]`` at places of texts, counted through their rows; and, if wanted, what the pass leaves behind."""

    tokens_BT: Tensor
    places_N: Tensor
    going_on: bool

    def of(self, student: Model) -> Told:
        """The answer of one student."""
        if self.going_on:
            return student.read(self.tokens_BT, self.places_N)
        return student.logits_at(self.tokens_BT[None], self.places_N[None])[0], None

    @staticmethod
    def of_all(stack: Model, asked: Mapping[int, Any]) -> dict[int, Told]:
        """The answers of the replicas that were asked; it leaves nothing behind."""
        each = asked.values()
        rows, width = (max(one.tokens_BT.shape[axis] for one in each) for axis in (0, 1))
        device, shape = stack.device, (stack.replicas, rows, width)
        tokens_RBT = torch.full(shape, stack.tokenizer.pad_token_id, dtype=torch.long, device=device)
        places_RN = torch.zeros(shape[0], max(len(one.places_N) for one in each), dtype=torch.long, device=device)
        for replica, one in asked.items():
            own = one.tokens_BT.shape
            tokens_RBT[replica, : own[0], : own[1]] = one.tokens_BT
            places_RN[replica, : len(one.places_N)] = one.places_N // own[1] * width + one.places_N % own[1]
        logits_RNV = stack.logits_at(tokens_RBT, places_RN)
        return {replica: (logits_RNV[replica, : len(one.places_N)], None) for replica, one in asked.items()}


@dataclass(frozen=True, eq=False)
class Write(Question):
    """Greedy answers of up to ``limit`` tokens to prompts; drafts change the cost only."""

    prompts: Sequence[Sequence[int]]
    drafts: Sequence[Sequence[int]]
    limit: int
    batch_items: int

    def of(self, student: Model) -> list[list[int]]:
        """The answers of one student."""
        if not self.prompts:
            return []
        return student.generate(
            [self.prompts], [self.drafts], max_new_tokens=self.limit, batch_items=self.batch_items
        )[0]  # fmt: skip

    @staticmethod
    def of_all(stack: Model, asked: Mapping[int, Any]) -> dict[int, list[list[int]]]:
        """The answers of the replicas that were asked, ``batch_items`` of each together."""
        one = next(iter(asked.values()))
        prompts_RB = [asked[r].prompts if r in asked else [] for r in range(stack.replicas)]
        drafts = [asked[r].drafts if r in asked else [] for r in range(stack.replicas)]
        rows = one.batch_items * stack.replicas
        answers = stack.generate(prompts_RB, drafts, max_new_tokens=one.limit, batch_items=rows)
        return {replica: answers[replica] for replica in asked}


@torch.no_grad()
def alone(student: Model, look: Asking[T]) -> T:
    """What a look finds out, its questions answered by one student at rest."""
    with student.at_rest():
        try:
            question = next(look)
            while True:
                question = look.send(question.of(student))
        except StopIteration as end:
            found: T = end.value
            return found


@torch.no_grad()
def together(stack: Model, looks: Sequence[Asking[T]]) -> list[T]:
    """What one look of each replica finds out, the questions of all answered together by the stack at rest."""
    found: dict[int, T] = {}
    waiting: dict[int, Question] = {}
    told: dict[int, Any] = dict.fromkeys(range(len(looks)))  # nothing is told to a look that begins
    with stack.at_rest():
        while told:
            for replica, answer in told.items():
                try:
                    waiting[replica] = looks[replica].send(answer)
                except StopIteration as end:
                    found[replica] = end.value
            told = {}
            if waiting:
                kind = type(next(iter(waiting.values())))
                asked = {replica: waiting.pop(replica) for replica in list(waiting) if type(waiting[replica]) is kind}
                told = kind.of_all(stack, asked)
    return [found[replica] for replica in range(len(looks))]
