"""Gold traces: a set's gold answers in, per look their sums and how far greedy decoding would write them itself, out.

One forward pass of the student serves both: along the gold answer every next token that greedy decoding would choose is
known, up to and including the first that differs. The base never changes, so its log-probabilities are computed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from forgetting.batching import Encoded
from forgetting.contracts import Model

Sums = dict[str, np.ndarray]

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
    """Some rows of a set: their places ``[B]``, tokens ``[B, T]``, and (``[B, T - 1]``) which next tokens are gold."""

    places: np.ndarray
    tokens_BT: Tensor
    chosen: Tensor
    rows: np.ndarray
    reference: Tensor | None = None


class GoldTraces:
    """The gold answers of one set, in batches of similar length, each always of the same rows."""

    def __init__(self, gold: Encoded, base: Model, batch_items: int, budget: Budget) -> None:
        self.gold, self.base, self.budget = gold, base, budget
        order = np.argsort(gold.end_P.numpy(), kind="stable")
        self._chunks = [self._chunk(order[i : i + batch_items]) for i in range(0, len(gold), batch_items)]

    def _chunk(self, places: np.ndarray) -> _Chunk:
        batch = self.gold.batch(places, len(places))
        chosen = batch.answer_RBT[0, :, 1:]
        return _Chunk(places, batch.tokens_RBT[0], chosen, chosen.nonzero()[:, 0].numpy())

    @torch.no_grad()
    def read(self, student: Model) -> tuple[Sums, list[list[int]]]:
        """Per item, sums over the gold answer's tokens in nats, and the token that greedy decoding puts at each place.

        The sums are NLL, L_f and KL(base || student), beside the token count. L_f is the cross-entropy of the student
        against the base's own most probable tokens (arXiv 2401.05605), read along the gold trace. Dropout is off,
        whatever mode the networks are in.
        """
        count = len(self.gold)
        out = {name: np.zeros(count) for name in ("nll_sum", "base_ce_sum", "kl_sum")}
        greedy: list[list[int]] = [[] for _ in range(count)]
        with at_rest(student), at_rest(self.base):
            for chunk in self._chunks:
                self._to(chunk, student.device)
                logits = self._logits(student, chunk)
                own = logits.float().log_softmax(-1)
                reference = own if student is self.base else self._reference(chunk)
                if student is self.base:
                    self._keep(chunk, own)
                per_token = {
                    "nll_sum": functional.nll_loss(own, chunk.tokens_BT[:, 1:][chunk.chosen], reduction="none"),
                    "base_ce_sum": functional.nll_loss(own, reference.argmax(-1), reduction="none"),
                    "kl_sum": functional.kl_div(own, reference, reduction="none", log_target=True).sum(-1),
                }
                for name, values in per_token.items():
                    sums = np.bincount(chunk.rows, weights=values.double().cpu().numpy(), minlength=len(chunk.places))
                    out[name][chunk.places] = sums
                ends = np.cumsum(np.bincount(chunk.rows, minlength=len(chunk.places)))[:-1]
                for place, part in zip(chunk.places, np.split(logits.argmax(-1).cpu().numpy(), ends), strict=True):
                    greedy[place] = part.tolist()
        return {"gold_tokens": self.gold.learned().numpy(), **out}, greedy

    def _logits(self, model: Model, chunk: _Chunk) -> Tensor:
        return model.logits(chunk.tokens_BT[None])[0, :, :-1][chunk.chosen]

    def _reference(self, chunk: _Chunk) -> Tensor:
        if chunk.reference is not None:
            return chunk.reference
        return self._keep(chunk, self._logits(self.base, chunk).float().log_softmax(-1))

    def _keep(self, chunk: _Chunk, reference: Tensor) -> Tensor:
        if chunk.reference is None and self.budget.take(reference):
            chunk.reference = reference
        return reference

    def _to(self, chunk: _Chunk, device: torch.device) -> None:
        chunk.tokens_BT, chunk.chosen = chunk.tokens_BT.to(device), chunk.chosen.to(device)
        if chunk.reference is not None:
            chunk.reference = chunk.reference.to(device)


def gold_sums(student: Model, base: Model, gold: Encoded, batch_items: int) -> Sums:
    """The sums of a look, for once: nothing is kept."""
    return GoldTraces(gold, base, batch_items, Budget(0)).read(student)[0]


@contextmanager
def at_rest(model: Model) -> Iterator[None]:
    """Inside, the network is in evaluation mode; afterwards in the mode it was in."""
    training = model.network.training
    model.network.eval()
    try:
        yield
    finally:
        model.network.train(training)


def known(gold: list[int], greedy: list[int], ends: frozenset[int]) -> list[int]:
    """The first tokens of the greedy answer, given what is greedy at each place of the gold one.

    They go up to the first token that differs from gold, or that ends the answer.
    """
    for place, (right, own) in enumerate(zip(gold, greedy, strict=True)):
        if right != own or own in ends:
            return greedy[: place + 1]
    return greedy
