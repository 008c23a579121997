"""Interval evaluation as it was at commit 343d8ed, before it was made cheap: one side of ``interval_evaluation``.

Every answer is decoded from its prompt, in batches from which rows leave as they end; the base is read again at each
look; logits are computed at every token; nothing is kept from look to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache

from forgetting.batching import Encoded
from forgetting.contracts import Model
from forgetting.evaluation.evaluator import Earlier, Evaluator, _probe_rows, _Set


class Before(Evaluator):
    """An evaluator that does all of its work at every look."""

    def measure(self, student: Model, *, perturbed: bool, earlier: Earlier | None = None) -> pd.DataFrame:
        """A look from nothing."""
        self._of_base.clear()
        self._grades.clear()
        self.base.network.to(student.device)
        sets = [self._sets("original"), self._sets("perturbed")] if perturbed else [self._sets("original")]
        frames = [frame for group in sets for frame in self._looked(student, group)]
        for name, samples, traces in self._probes:
            sums = gold_sums(student, self.base, traces.gold, self.evaluation.batch_items)
            frames.append(_probe_rows(name, samples, sums))
        return pd.concat(frames, ignore_index=True)

    def _looked(self, student: Model, sets: Sequence[_Set]) -> list[pd.DataFrame]:
        size, limit = self.evaluation.batch_items, self.evaluation.max_new_tokens
        asked = [prompt for s in sets for prompt in s.prompts]
        answers, frames, start = decoded(student, asked, limit, size), [], 0
        for s in sets:
            sums = gold_sums(student, self.base, s.traces.gold, size)
            frames.append(self._rows(s, answers[start : start + len(s.items)], sums))
            start += len(s.items)
        return frames


@torch.no_grad()
def gold_sums(student: Model, base: Model, gold: Encoded, size: int) -> dict[str, np.ndarray]:
    """The sums of ``GoldTraces.read`` from full logits of both models."""
    out = {name: np.zeros(len(gold)) for name in ("nll_sum", "base_ce_sum", "kl_sum")}
    order = np.argsort(gold.end_P.numpy(), kind="stable")
    with student.at_rest(), base.at_rest():
        for start in range(0, len(gold), size):
            index = order[start : start + size]
            batch = gold.batch(index, len(index))
            chosen, targets = batch.answer_RBT[0, :, 1:], batch.tokens_RBT[0, :, 1:]
            own, reference = (m.logits(batch.tokens_RBT)[0, :, :-1][chosen].log_softmax(-1) for m in (student, base))
            per_token = {
                "nll_sum": functional.nll_loss(own, targets[chosen], reduction="none"),
                "base_ce_sum": functional.nll_loss(own, reference.argmax(-1), reduction="none"),
                "kl_sum": functional.kl_div(own, reference, reduction="none", log_target=True).sum(-1),
            }
            rows = chosen.nonzero()[:, 0].numpy()
            for name, values in per_token.items():
                out[name][index] = np.bincount(rows, weights=values.double().numpy(), minlength=len(index))
    return {"gold_tokens": gold.learned().numpy(), **out}


@torch.no_grad()
def decoded(model: Model, prompts: Sequence[Sequence[int]], limit: int, size: int) -> list[list[int]]:
    """Greedy answers without their end token, in the order of the prompts."""
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    with model.at_rest():
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            for i, answer in zip(chunk, _batch(model, [prompts[i] for i in chunk], limit), strict=True):
                answers[i] = answer[:-1] if answer[-1] in model.ends else answer
    return answers


def _batch(model: Model, rows: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
    network: Any = model.network
    width, pad = max(map(len, rows)), model.tokenizer.pad_token_id
    tokens = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows])
    cache, answers, alive = DynamicCache(config=network.config), [list[int]() for _ in rows], list(range(len(rows)))
    while True:
        chosen = _last_logits(network, tokens, mask, cache).argmax(-1)
        for i, token in zip(alive, chosen.tolist(), strict=True):
            answers[i].append(token)
        going = [j for j, i in enumerate(alive) if answers[i][-1] not in model.ends and len(answers[i]) < limit]
        if not going:
            return answers
        if len(going) < len(alive):
            index = torch.tensor(going)
            cache.batch_select_indices(index)
            chosen, mask, alive = chosen[index], mask[index], [alive[j] for j in going]
        tokens, mask = chosen[:, None], functional.pad(mask, (0, 1), value=True)


def _last_logits(network: Any, tokens: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
    steps, keys = tokens.shape[1], mask.shape[1]
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -steps:]
    allowed = mask[:, None, None, :] & torch.ones(steps, keys, dtype=torch.bool).tril(keys - steps)
    bias = torch.zeros(allowed.shape).masked_fill_(~allowed, torch.finfo(torch.float32).min)
    logits: Tensor = network(
        input_ids=tokens, attention_mask=bias, position_ids=positions, past_key_values=cache, use_cache=True,
        logits_to_keep=1,
    ).logits  # fmt: skip
    return logits[:, -1]
