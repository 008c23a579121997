"""pass@k of a benchmark: a model, a benchmark and a way of sampling in; every answer's grade and the estimates out.

In a study the sampled answers of one look are rows of one file; the estimates are computed from these rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forgetting.analysis.scores import passing
from forgetting.batching import prompt_tokens, texts
from forgetting.contracts import Benchmark, Item, Model
from forgetting.errors import require
from forgetting.models.sampling import Sampling, sample
from forgetting.spec import Evaluation


@dataclass(frozen=True)
class Passing:
    """``answers``: one row per item and sample (item, sample, tokens, verdict, kind). ``estimates``: one row per k
    (k, value, low, high, items, samples), the mean over items with its 95% interval by the standard error over items;
    ``greedy``: the share that greedy decoding gets right.
    """

    answers: pd.DataFrame
    estimates: pd.DataFrame
    greedy: float


def measure_passing(
    model: Model, benchmark: Benchmark, sampling: Sampling, *, ks: Sequence[int] = (1,), variant: str = "original",
    max_new_tokens: int = 256, batch_items: int = 32,
) -> Passing:  # fmt: skip
    """pass@1 of greedy decoding and pass@k of sampled answers (unbiased, arXiv 2107.03374), for a model of R = 1.

    Raises ``UsageError`` where k is more than there are samples: the estimator has no value there.
    """
    require(model.replicas == 1, "pass@k", "of a model of one replica", model.replicas)
    for k in ks:
        require(1 <= k <= sampling.samples, "pass@k", f"k from 1 to the {sampling.samples} samples", k)
    items = benchmark.items("test", variant)
    require(bool(items), "pass@k", "of a benchmark with test items", benchmark.short_name())
    before = prompt_tokens(items, model.tokenizer)
    greedy = model.generate([before], max_new_tokens=max_new_tokens, batch_items=batch_items)[0]
    first = benchmark.grade(items, texts(greedy, model.tokenizer))
    answers = sampled(model, benchmark, items, sampling, max_new_tokens=max_new_tokens, batch_items=batch_items)
    return Passing(answers, passing(answers, ks), float(np.mean([g.verdict == "right" for g in first])))


def sampled(
    model: Model, benchmark: Benchmark, items: list[Item], sampling: Sampling, *, max_new_tokens: int, batch_items: int
) -> pd.DataFrame:  # fmt: skip
    """Sampled answers to items, graded: one row per item and sample (item, sample, tokens, verdict, kind)."""
    before = prompt_tokens(items, model.tokenizer)
    drawn = sample(model, before, sampling, max_new_tokens=max_new_tokens, batch_items=batch_items)[0]
    repeated = [item for item in items for _ in range(sampling.samples)]
    written = [own for answers in drawn for own in answers]
    grades = benchmark.grade(repeated, texts(written, model.tokenizer))
    return pd.DataFrame({
        "item": [item.id for item in repeated], "sample": list(range(sampling.samples)) * len(items), "tokens": written,
        "verdict": [g.verdict for g in grades], "kind": [g.kind for g in grades],
    })  # fmt: skip


def look(model: Model, benchmarks: Sequence[Benchmark], evaluation: Evaluation) -> pd.DataFrame:
    """Rows of one look of a study at the unperturbed test items: ``sampled``'s, with ``benchmark`` and ``skill``."""
    wanted = evaluation.sampling
    how = Sampling(wanted.samples, wanted.temperature, wanted.top_p, wanted.seed)
    frames = []
    for b in benchmarks:
        if b.asks or (wanted.benchmarks and b.short_name() not in wanted.benchmarks):
            continue
        rows = sampled(
            model, b, b.items(), how, max_new_tokens=evaluation.max_new_tokens, batch_items=evaluation.batch_items
        )
        frames.append(rows.assign(benchmark=b.short_name(), skill=b.skill))
    return pd.concat(frames, ignore_index=True)
