"""Gold traces: a set's gold answers in, per look their sums and how far greedy decoding would write them itself, out.

One forward pass of the student serves both: along the gold answer every next token that greedy decoding would choose is
known, up to and including the first that differs. The base never changes, so its log-probabilities are computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from forgetting.batching import Encoded, answer_places
from forgetting.contracts import Layers, Model
from forgetting.evaluation.questions import Asking, Read, alone
from forgetting.models.decoding import rows_together

Sums = dict[str, np.ndarray]
# Some rows of a set, what greedy decoding puts at each place of their gold answers, and what was read of them.
Take = Callable[[np.ndarray, list[list[int]], "Layers | None"], None]

# Most memory that an evaluator keeps for the base's log-probabilities; what does not fit is computed at every look.
REFERENCE_BYTES = 256 * 2**20  # of the benchmarks
PROBE_BYTES = 64 * 2**20  # of the probe


class Budget:
    """Bytes that may still be kept."""

    def __init__(self, limit_bytes: int = REFERENCE_BYTES) -> None:
        self.left_bytes = limit_bytes

    def take(self, tensor: Tensor) -> bool:
        """Whether the tensor may be kept; if so it is counted."""
        size = tensor.numel() * tensor.element_size()
        if size > self.left_bytes:
            return False
        self.left_bytes -= size
        return True


@dataclass
class _Chunk:
    """Some rows ``[B]`` of a set: their tokens, the places that predict gold ones, these, and the row of each."""

    index: np.ndarray
    tokens_BT: Tensor
    places_N: Tensor
    gold_N: Tensor
    rows: np.ndarray
    reference: Tensor | None = None  # the base's log-probabilities there, [N, V]
    most_probable: Tensor | None = None  # and the token that it finds most probable, [N]


class GoldTraces:
    """The gold answers of one set, in batches of similar length, each always of the same rows."""

    def __init__(self, gold: Encoded, base: Model, batch_items: int, budget: Budget) -> None:
        self.gold, self.base, self.budget = gold, base, budget
        self.batch_items = batch_items
        self._laid: list[_Chunk] = []

    def _chunks(self) -> list[_Chunk]:
        """Laid out at the first reading, when the base is where it is read; the same ones from then on."""
        if not self._laid:
            order = np.argsort(self.gold.end_P.numpy(), kind="stable")
            longest, asked = int(self.gold.end_P.max()), int(self.gold.learned().max())
            size = rows_together(self.base.network.config, self.batch_items, longest, self.base.device, asked)
            self._laid = [self._chunk(order[i : i + size]) for i in range(0, len(order), size)]
        return self._laid

    def _chunk(self, index: np.ndarray) -> _Chunk:
        batch = self.gold.batch(index, len(index))
        places_RN, gold_RN = answer_places(batch)
        rows = places_RN[0] // batch.tokens_RBT.shape[2]
        return _Chunk(index, batch.tokens_RBT[0], places_RN[0], gold_RN[0], rows.numpy())

    def read(self, student: Model, take: Take | None = None) -> Sums:
        """What ``reading`` gives, read by the student itself."""
        return alone(student, self.reading(student is self.base, take))

    def reading(self, of_base: bool, take: Take | None = None) -> Asking[Sums]:
        """Per item, sums over the gold answer's tokens in nats; ``take`` gets what greedy decoding puts at each place.

        The sums are NLL, L_f and KL(base || student), beside the token count. L_f is the cross-entropy of the student
        against the base's own most probable tokens (arXiv 2401.05605), read along the gold trace. Dropout is off,
        whatever mode the networks are in. ``of_base`` says that the student is the base itself.
        """
        count = len(self.gold)
        out = {name: np.zeros(count) for name in ("nll_sum", "base_ce_sum", "kl_sum")}
        for chunk in self._chunks():
            self._to(chunk, self.base.device)
            logits, layers = yield Read(chunk.tokens_BT, chunk.places_N, take is not None)
            own = logits.float().log_softmax(-1)
            reference = self._keep(chunk, own) if of_base else self._reference(chunk)
            per_token = torch.stack(
                [
                    functional.nll_loss(own, chunk.gold_N, reduction="none"),
                    functional.nll_loss(own, self._most_probable(chunk, reference), reduction="none"),
                    functional.kl_div(own, reference, reduction="none", log_target=True).sum(-1),
                ]
            )
            for name, values in zip(out, per_token.double().cpu().numpy(), strict=True):
                out[name][chunk.index] = np.bincount(chunk.rows, weights=values, minlength=len(chunk.index))
            if take is not None:
                ends = np.cumsum(np.bincount(chunk.rows, minlength=len(chunk.index)))[:-1]
                greedy = [part.tolist() for part in np.split(logits.argmax(-1).cpu().numpy(), ends)]
                take(chunk.index, greedy, layers)
        return {"gold_tokens": self.gold.learned().numpy(), **out}

    def _reference(self, chunk: _Chunk) -> Tensor:
        if chunk.reference is not None:
            return chunk.reference
        with self.base.at_rest():
            logits_NV = self.base.logits_at(chunk.tokens_BT[None], chunk.places_N[None])[0]
        return self._keep(chunk, logits_NV.float().log_softmax(-1))

    def _most_probable(self, chunk: _Chunk, reference: Tensor) -> Tensor:
        if chunk.most_probable is None:
            chunk.most_probable = reference.argmax(-1)
        return chunk.most_probable

    def _keep(self, chunk: _Chunk, reference: Tensor) -> Tensor:
        if chunk.reference is None and self.budget.take(reference):
            chunk.reference = reference
        return reference

    def _to(self, chunk: _Chunk, device: torch.device) -> None:
        chunk.tokens_BT, chunk.places_N = chunk.tokens_BT.to(device), chunk.places_N.to(device)
        chunk.gold_N = chunk.gold_N.to(device)
        if chunk.reference is not None:
            chunk.reference = chunk.reference.to(device)
        if chunk.most_probable is not None:
            chunk.most_probable = chunk.most_probable.to(device)


def gold_sums(student: Model, base: Model, gold: Encoded, batch_items: int) -> Sums:
    """The sums of a look, for once: nothing is kept."""
    return GoldTraces(gold, base, batch_items, Budget(0)).read(student)


def known(gold: list[int], greedy: list[int], ends: frozenset[int]) -> list[int]:
    """The first tokens of the greedy answer, given what is greedy at each place of the gold one.

    They go up to the first token that differs from gold, or that ends the answer.
    """
    for place, (right, own) in enumerate(zip(gold, greedy, strict=True)):
        if right != own or own in ends:
            return greedy[: place + 1]
    return greedy
