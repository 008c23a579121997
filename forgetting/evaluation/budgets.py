"""Accuracy against thinking budget: a checkpoint, a benchmark and budgets in, one row a budget out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from forgetting.analysis.metrics import wilson
from forgetting.answering.thinking_budget import think
from forgetting.batching import prompt_tokens, texts
from forgetting.contracts import Benchmark, Model
from forgetting.errors import require


def accuracy_by_budget(
    model: Model, benchmark: Benchmark, budgets: Sequence[int], *, max_new_tokens: int, batch_items: int = 128
) -> pd.DataFrame:
    """Greedy answers to the test items under each budget, graded by what follows the thought.

    Columns: ``budget`` in tokens of thought, ``items``, ``accuracy`` with its Wilson interval (95%), ``parsed`` (share
    of answers that parse), ``cut`` (share of thoughts that the budget closed), ``thought_tokens`` (mean).
    """
    require(len(budgets) > 0 and min(budgets) >= 0, "budgets", "one or more numbers of tokens, 0 or more", budgets)
    items = benchmark.items("test")
    asked = prompt_tokens(items, model.tokenizer)
    rows = []
    for budget in sorted(set(budgets)):
        thoughts = think(model, asked, budget=budget, max_new_tokens=max_new_tokens, batch_items=batch_items)
        grades = benchmark.grade(items, texts([t.answer for t in thoughts], model.tokenizer))
        right = sum(g.verdict == "right" for g in grades)
        low, high = wilson(right, len(items))
        rows.append(
            {
                "budget": budget,
                "items": len(items),
                "accuracy": right / len(items),
                "accuracy_low": float(low),
                "accuracy_high": float(high),
                "parsed": sum(g.verdict != "unparsed" for g in grades) / len(items),
                "cut": sum(t.cut for t in thoughts) / len(items),
                "thought_tokens": sum(t.thought_tokens for t in thoughts) / len(items),
            }
        )
    return pd.DataFrame(rows)
