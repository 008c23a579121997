"""The student of ``real_small.yaml``: real text in, an ordinary checkpoint out (tokenizer, chat template, safetensors).

A byte-level BPE tokenizer is trained on GSM8K's training text and on functions of Python's standard library; a Qwen3
architecture of the ladder is then trained from nothing on GSM8K's worked answers and on those functions, half and half,
in chat form. Equal arguments give equal weights on one machine:

    FORGETTING_DATA=data python experiments/real_student.py models/real-1m --samples 40000

GSM8K: Cobbe et al., arXiv 2110.14168, MIT licence; ``gsm8k-train.jsonl.gz`` holds its training rows as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import islice
from pathlib import Path

import torch

from forgetting import losses, seeds
from forgetting.batching import encode
from forgetting.contamination.mixture import Mixture
from forgetting.contracts import Batch, Contamination
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.ladder import architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from forgetting.spec import Fit
from forgetting.training.fit import Progress, fit
from forgetting.training.module import FitModule
from forgetting.training.plan import epochs

ORIGINAL = Mixture(
    parts=(
        {"name": "worked_answers", "source": "$FORGETTING_DATA/gsm8k-train.jsonl.gz"},
        {"name": "altered_python", "dialect": "none"},
    )
)


def make(
    folder: Path, *, rung: str, vocabulary: int, training: Fit, seed: int, original: Contamination = ORIGINAL
) -> None:
    """Tokenizer, fresh weights, training; the loss is printed about once in ten seconds."""
    text = islice(original.samples(seeds.generator(seed, "tokenizer")), 14_000)
    tokenizer = byte_level_bpe((part for sample in text for part in (sample.prompt, sample.answer)), vocabulary)
    fresh_checkpoint(folder, architecture(rung), tokenizer, seed)
    model = Checkpoint(str(folder), local=True).load()
    plan = epochs(
        original, samples=training.samples, pool=training.pool, batch_size=training.batch_size,
        seed=seeds.integer(seed, "real student"),
    )  # fmt: skip
    encoded = encode(plan.samples, tokenizer)
    begin, latest, told = time.perf_counter(), 0.0, 0.0

    def loss(batch: Batch) -> torch.Tensor:
        nonlocal latest
        value = losses.cross_entropy(model, batch)
        latest = value.item()
        return value

    def show(done: int, total: int) -> None:
        nonlocal told
        if (now := time.perf_counter() - begin) - told > 20:
            told = now
            print(f"{now:6.0f} s  step {done} of {total}  loss {latest:.3f} nats a token", flush=True)

    module = FitModule(model, loss, training, total_steps=plan.steps)
    batches = (encoded.batch(index, plan.batch_size) for index in plan)
    fit(module, lambda: batches, [Progress(show, plan.steps)])
    model.save(folder)
    about = {
        "architecture": rung, "capacity": model.capacity, "vocabulary": len(tokenizer), "samples": training.samples,
        "tokens": int(encoded.end_P[torch.from_numpy(plan.index)].sum()), "seed": seed,
        "training_seconds": round(time.perf_counter() - begin), "threads": torch.get_num_threads(),
    }  # fmt: skip
    (folder / "made.json").write_text(json.dumps(about, indent=1) + "\n")
    print(json.dumps(about))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the checkpoint is written")
    parser.add_argument("--rung", default="1m", help="an architecture of the ladder")
    parser.add_argument("--vocabulary", type=int, default=2048, help="tokens of the tokenizer")
    parser.add_argument("--samples", type=int, default=40_000, help="samples trained on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    fitting = Fit(samples=given.samples, pool=14_000, batch_size=32)
    make(given.folder, rung=given.rung, vocabulary=given.vocabulary, training=fitting, seed=given.seed)
