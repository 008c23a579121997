"""pass@k of a benchmark: a model, a benchmark and a way of sampling in; every answer's grade and the estimates out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forgetting.batching import prompts, texts, tokens
from forgetting.contracts import Benchmark, Model
from forgetting.errors import require
from forgetting.metrics import pass_at_k
from forgetting.models.sampling import Sampling, sample

Z_95 = 1.959964


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
    before = tokens(prompts(items, model.tokenizer), model.tokenizer)
    greedy = model.generate([before], max_new_tokens=max_new_tokens, batch_items=batch_items)[0]
    drawn = sample(model, before, sampling, max_new_tokens=max_new_tokens, batch_items=batch_items)[0]
    repeated = [item for item in items for _ in range(sampling.samples)]
    written = [own for answers in drawn for own in answers]
    grades = benchmark.grade(repeated, texts(written, model.tokenizer))
    answers = pd.DataFrame({
        "item": [item.id for item in repeated], "sample": list(range(sampling.samples)) * len(items), "tokens": written,
        "verdict": [g.verdict for g in grades], "kind": [g.kind for g in grades],
    })  # fmt: skip
    right = answers.verdict.eq("right").to_numpy().reshape(len(items), sampling.samples).sum(1)
    first = benchmark.grade(items, texts(greedy, model.tokenizer))
    return Passing(
        answers, _estimates(right, sampling.samples, ks), float(np.mean([g.verdict == "right" for g in first]))
    )


def _estimates(right_I: np.ndarray, samples: int, ks: Sequence[int]) -> pd.DataFrame:
    rows = []
    for k in ks:
        value_I = pass_at_k(samples, right_I, k)
        mean, error = (
            float(value_I.mean()),
            float(value_I.std(ddof=1) / np.sqrt(len(value_I))) if len(value_I) > 1 else np.nan,
        )
        low, high = np.clip([mean - Z_95 * error, mean + Z_95 * error], 0, 1)
        rows.append({"k": k, "value": mean, "low": low, "high": high, "items": len(right_I), "samples": samples})
    return pd.DataFrame(rows)
