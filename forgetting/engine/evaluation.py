"""Interval evaluation: a student and its base on every benchmark, variant and probe, as ledger rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from forgetting.batching import Encoded, encode, prompts, texts, tokens
from forgetting.contracts import Benchmark, Item, Model, Sample
from forgetting.engine.module import FitModule
from forgetting.spec import Evaluation

Sums = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Set:
    """One benchmark's items of one variant, tokenised once."""

    benchmark: Benchmark
    items: list[Item]
    prompts: list[list[int]]
    gold: Encoded


class Evaluator:
    """Measures students of one base model. Nothing is drawn: one set of weights gives the same rows every time."""

    def __init__(
        self,
        base: Model,
        benchmarks: Sequence[Benchmark],
        probe: Sequence[Sample],
        probe_name: str,
        evaluation: Evaluation,
    ) -> None:
        self.base = base
        self.evaluation = evaluation
        self.probe, self.probe_name = list(probe), probe_name
        self.probe_gold = encode(self.probe, base.tokenizer) if self.probe else None
        self.originals = [self._set(b, "original") for b in benchmarks]
        self._benchmarks = list(benchmarks)
        self._perturbed: list[_Set] | None = None

    def _set(self, benchmark: Benchmark, variant: str) -> _Set:
        items = benchmark.items("test", variant)
        before = tokens(prompts(items, self.base.tokenizer), self.base.tokenizer)
        return _Set(benchmark, items, before, encode(items, self.base.tokenizer))

    def _perturbed_sets(self) -> list[_Set]:
        if self._perturbed is None:
            self._perturbed = [self._set(b, v) for b in self._benchmarks for v in b.variants if v != "original"]
        return self._perturbed

    def measure(self, student: Model, *, perturbed: bool) -> pd.DataFrame:
        """Ledger rows of one look, without the columns that name the run and the dose."""
        self.base.network.to(student.device)
        frames = self._look(student, self.originals)
        if perturbed:
            frames += self._look(student, self._perturbed_sets())
        if self.probe_gold is not None:
            frames.append(self._probe_rows(student, self.probe_gold))
        return pd.concat(frames, ignore_index=True)

    def _look(self, student: Model, sets: Sequence[_Set]) -> list[pd.DataFrame]:
        """Answers to all items of some sets, decoded together; originals always share their batches with originals."""
        asked = [prompt for s in sets for prompt in s.prompts]
        answers = student.generate(
            [asked],
            max_new_tokens=self.evaluation.max_new_tokens,
            batch_items=self.evaluation.batch_items,
        )[0]
        frames, start = [], 0
        for s in sets:
            frames.append(self._rows(student, s, answers[start : start + len(s.items)]))
            start += len(s.items)
        return frames

    def _rows(self, student: Model, s: _Set, answers: list[list[int]]) -> pd.DataFrame:
        grades = s.benchmark.grade(s.items, texts(answers, student.tokenizer))
        sums = gold_sums(student, self.base, s.gold, self.evaluation.batch_items)
        name = s.benchmark.short_name()
        return pd.DataFrame(
            {
                "benchmark": name,
                "skill": s.benchmark.skill,
                "variant": [i.variant for i in s.items],
                "item": [i.id for i in s.items],
                "problem": [i.problem for i in s.items],
                "template": [i.template for i in s.items],
                "depth": [i.depth for i in s.items],
                "coverage": [i.coverage for i in s.items],
                "verdict": [g.verdict for g in grades],
                "kind": [g.kind for g in grades],
                "steps_right": [g.steps_right for g in grades],
                "steps_total": [g.steps_total for g in grades],
                "answer": [np.array(a, dtype=np.int32) for a in answers],
                **sums,
            }
        )

    def _probe_rows(self, student: Model, gold: Encoded) -> pd.DataFrame:
        sums = gold_sums(student, self.base, gold, self.evaluation.batch_items)
        plain: dict[str, Any] = {
            "benchmark": "probe",
            "skill": "plasticity",
            "variant": self.probe_name,
            "item": [f"probe/{i:04d}" for i in range(len(self.probe))],
            "problem": [f"probe/{i:04d}" for i in range(len(self.probe))],
            "template": [s.template for s in self.probe],
            "depth": [s.depth for s in self.probe],
            "coverage": "common",
            "verdict": "",
            "kind": "",
            "steps_right": 0,
            "steps_total": 0,
            "answer": [np.array([], dtype=np.int32) for _ in self.probe],
        }
        return pd.DataFrame({**plain, **sums})


@torch.no_grad()
def gold_sums(student: Model, base: Model, gold: Encoded, batch_items: int) -> Sums:
    """Per item, summed over the gold answer's tokens, in nats: NLL, L_f and KL(base || student); and the token count.

    L_f is the cross-entropy of the student against the base's own most probable tokens (arXiv 2401.05605), read along
    the gold trace. Dropout is off, whatever mode the networks are in.
    """
    modes = [(m.network, m.network.training) for m in (student, base)]
    for network, _ in modes:
        network.eval()
    count = len(gold)
    out = {name: np.zeros(count) for name in ("nll_sum", "base_ce_sum", "kl_sum")}
    order = np.argsort(gold.end_P.numpy(), kind="stable")
    device = student.device
    for start in range(0, count, batch_items):
        index = order[start : start + batch_items]
        batch = gold.batch(index, len(index))
        tokens_BT = batch.tokens_RBT[0].to(device)
        chosen = batch.answer_RBT[0, :, 1:].to(device)
        own = student.logits(tokens_BT[None])[0, :, :-1][chosen].float().log_softmax(-1)
        reference = base.logits(tokens_BT[None])[0, :, :-1][chosen].float().log_softmax(-1)
        per_token = {
            "nll_sum": functional.nll_loss(own, tokens_BT[:, 1:][chosen], reduction="none"),
            "base_ce_sum": functional.nll_loss(own, reference.argmax(-1), reduction="none"),
            "kl_sum": functional.kl_div(own, reference, reduction="none", log_target=True).sum(-1),
        }
        rows = chosen.nonzero()[:, 0].cpu().numpy()
        for name, values in per_token.items():
            out[name][index] = np.bincount(rows, weights=values.double().cpu().numpy(), minlength=len(index))
    for network, training in modes:
        network.train(training)
    return {"gold_tokens": gold.learned().numpy(), **out}


class IntervalEvaluation(lightning.Callback):
    """Calls ``measure(dose)`` whenever a step ends at a dose. ``stops`` maps steps to doses."""

    def __init__(self, stops: Mapping[int, int], measure: Callable[[int], None]) -> None:
        self.stops = stops
        self.measure = measure
        self._last_step = -1

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Once per optimizer step, whatever the number of micro-batches."""
        assert isinstance(pl_module, FitModule)
        step = pl_module.step
        if step != self._last_step and step in self.stops:
            self.measure(self.stops[step])
        self._last_step = step
