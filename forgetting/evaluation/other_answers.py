"""Answers that come about in other ways than greedy decoding: a student and its benchmarks in, ledger rows out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from forgetting.batching import prompt_tokens, texts
from forgetting.contracts import Answering, Benchmark, Model
from forgetting.spec import Evaluation


def other_answers(
    student: Model, ways: Sequence[Answering], benchmarks: Sequence[Benchmark], evaluation: Evaluation
) -> pd.DataFrame:
    """Rows of the unperturbed test items, one for each answer; the losses are those of the gold answers, not asked."""
    wanted = evaluation.answering_benchmarks
    asked = [b for b in benchmarks if not b.asks and (not wanted or b.short_name() in wanted)]
    with student.at_rest():
        return pd.concat([_rows(student, way, b, evaluation) for way in ways for b in asked], ignore_index=True)


def _rows(student: Model, way: Answering, benchmark: Benchmark, evaluation: Evaluation) -> pd.DataFrame:
    items, words = benchmark.items(), student.tokenizer
    found = way.answers(
        student, prompt_tokens(items, words),
        max_new_tokens=evaluation.max_new_tokens, batch_items=evaluation.batch_items,
    )  # fmt: skip
    each = [(item, number, one) for item, own in zip(items, found, strict=True) for number, one in enumerate(own)]
    grades = benchmark.grade([item for item, _, _ in each], texts([one.tokens for _, _, one in each], words))
    columns: dict[str, Any] = {
        "benchmark": benchmark.short_name(),
        "skill": benchmark.skill,
        **{name: [getattr(item, name) for item, _, _ in each] for name in ITEM},
        "item": [item.id for item, _, _ in each],
        "verdict": [g.verdict for g in grades],
        "kind": [g.kind for g in grades],
        "steps_right": [g.steps_right for g in grades],
        "steps_total": [g.steps_total for g in grades],
        "answer": [np.array(one.tokens, dtype=np.int32) for _, _, one in each],
        "gold_tokens": 0,
        **dict.fromkeys(("nll_sum", "base_ce_sum", "kl_sum"), np.nan),
        "answering": way.label,
        "intervention": "",
        "sample": [number for _, number, _ in each],
        "generated": [one.generated for _, _, one in each],
    }
    return pd.DataFrame(columns)


ITEM = ("variant", "problem", "template", "depth", "coverage")
