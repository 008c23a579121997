"""Answers that come about in other ways than greedy decoding: a student and its benchmarks in, ledger rows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from forgetting.batching import encode, prompt_tokens, texts, without_end
from forgetting.contracts import Answering, Benchmark, Contamination, Model
from forgetting.seeds import generator
from forgetting.spec import Evaluation


def other_answers(
    student: Model,
    ways: Sequence[Answering],
    benchmarks: Sequence[Benchmark],
    evaluation: Evaluation,
    original: Contamination,
    base: Model | None = None,
) -> pd.DataFrame:
    """Rows of the unperturbed test items, one for each answer; the losses are those of the gold answers, not asked.

    A way that learns is fitted to the student by the first samples of the original distribution, always the same ones;
    one that is kept from dose 0 on to ``base``, without which it is to the student itself.
    """
    wanted = evaluation.answering_benchmarks
    asked = [b for b in benchmarks if not b.asks and (not wanted or b.short_name() in wanted)]
    most = max((way.memory_samples() for way in ways), default=0)
    drawn = list(islice(original.samples(generator(0, "answering memory")), most))
    with student.at_rest():
        fitted = {
            way.label: way.fitted((base or student) if way.fitted_to_base else student, drawn[: way.memory_samples()])
            for way in ways
        }
        frames = [
            _rows(student, way, b, evaluation).assign(answering=label) for label, way in fitted.items() for b in asked
        ]
        return pd.concat(frames, ignore_index=True)


def _rows(student: Model, way: Answering, benchmark: Benchmark, evaluation: Evaluation) -> pd.DataFrame:
    items, words, limit = benchmark.items(), student.tokenizer, evaluation.max_new_tokens
    openings = way.openings(without_end(encode(items, words).answers(), student.ends), words)
    asked = [[*prompt, *begun] for prompt, begun in zip(prompt_tokens(items, words), openings, strict=True)]
    found = way.answers(student, asked, max_new_tokens=limit, batch_items=evaluation.batch_items)
    each = [
        (item, number, replace(one, tokens=[*begun, *one.tokens][:limit]))
        for item, begun, own in zip(items, openings, found, strict=True)
        for number, one in enumerate(own)
    ]
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
        "intervention": "",
        "sample": [number for _, number, _ in each],
        "generated": [one.generated for _, _, one in each],
    }
    return pd.DataFrame(columns)


ITEM = ("variant", "problem", "template", "depth", "coverage")
