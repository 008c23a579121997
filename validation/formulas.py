"""What a checkpoint takes on one core, in processor seconds, beside the formulas by which ``check`` plans.

Two steps of eight dialogues (the last answers learned), and a look at ``--items`` of ``retrieval`` and of ``sums``.

    python validation/formulas.py gemma-3-270m-q4_k_m.gguf dialogues.jsonl
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forgetting import losses, registry, seeds
from forgetting.batching import encode
from forgetting.contamination.conversations import Conversations
from forgetting.evaluation.evaluator import Evaluator
from forgetting.models.checkpoint import Checkpoint
from forgetting.own_model.extent import BATCH_ITEMS, LENGTHS, LONGEST
from forgetting.spec import Evaluation
from forgetting.study.estimates import CORE, ParameterCounts, asking_seconds, training_seconds

EACH, STEPS = 8, 2


def trained(model: Any, counts: ParameterCounts, data: str) -> None:
    """A line for each step."""
    part = Conversations(source=data, turns="last", most_characters=1_000, limit=300)
    rows = encode(list(islice(part.samples(seeds.generator(0, "formulas")), EACH * STEPS)), model.tokenizer)
    adam = torch.optim.AdamW(model.network.parameters(), lr=1e-5)
    for step in range(STEPS):
        index = np.arange(EACH * step, EACH * (step + 1))
        chosen = torch.from_numpy(index)
        tokens, answers = int(rows.end_P[chosen].sum()), int(rows.learned()[chosen].sum())
        start = time.process_time()
        losses.cross_entropy(model, rows.batch(index, EACH)).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
        adam.zero_grad()
        told(f"step of {tokens:,} tokens, {answers} learned", start, training_seconds(counts, 1, tokens, answers, CORE))


def asked(model: Any, counts: ParameterCounts, name: str, items: int) -> None:
    """A line for the look, which reads and writes."""
    benchmark: Any = registry.build("benchmarks", {"name": name, "item_count": items})
    how = Evaluation((name,), "never", max_new_tokens=LONGEST[name], batch_items=BATCH_ITEMS)
    prompt, answer = LENGTHS[name]
    formula = asking_seconds(
        counts, items, CORE, prompt=prompt, answer=answer, longest=LONGEST[name], batch_items=BATCH_ITEMS
    )
    start = time.process_time()
    rows = Evaluator(model, [benchmark], [], "", how).measure(model, perturbed=False)
    told(f"{items} {name}, {int((rows['verdict'] == 'right').sum())} right", start, formula)


def told(what: str, start: float, formula: float) -> None:
    """What was measured, what the formula says, and the former over the latter."""
    took = time.process_time() - start
    print(f"{what}: {took:.1f} s, by formula {formula:.1f} s, {took / formula:.2f} of it", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--items", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = Checkpoint(given.model).load()
    counts = ParameterCounts(model.capacity, model.capacity - model.capacity_non_embedding)
    trained(model, counts, given.data)
    for name in ("sums", "retrieval"):
        asked(model, counts, name, given.items)
