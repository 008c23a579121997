"""One training step: the Lightning fit against the same step in a bare torch loop, in pairs, in one process."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from forgetting import losses, registry
from forgetting.batching import encode
from forgetting.contracts import Batch, Contamination
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import architecture
from forgetting.record.files import write_json
from forgetting.record.provenance import commit, hardware, versions
from forgetting.spec import Optimiser
from forgetting.training.adamw import FlatAdamW
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.plan import MixPlan, mixed
from forgetting.world.tokenizer import tokenizer


def _batches(plan: MixPlan, model: HuggingFaceModel) -> Iterator[Batch]:
    encoded = encode(plan.samples, model.tokenizer)
    return (encoded.batch(index, plan.batch_size) for index in plan)


def bare(model: HuggingFaceModel, plan: MixPlan, optimiser: Optimiser) -> float:
    """Wall seconds of the loop that one would write by hand, with the fit's own AdamW: clipping, warm-up."""
    batches = _batches(plan, model)
    model.network.train()
    adam = FlatAdamW(
        list(model.network.parameters()), lr=optimiser.learning_rate, betas=optimiser.betas, weight_decay=0, fused=True
    )
    parameters = adam.param_groups[0]["params"]
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, (step + 1) / optimiser.warmup_steps))
    start = time.perf_counter()
    for batch in batches:
        adam.zero_grad()
        losses.cross_entropy(model, batch).sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, optimiser.clip_norm)
        adam.step()
        schedule.step()
    return time.perf_counter() - start


def lightning(model: HuggingFaceModel, plan: MixPlan, optimiser: Optimiser) -> float:
    """Wall seconds of our fit, with what it costs to start it."""
    batches = _batches(plan, model)
    module = FitModule(model, lambda b: losses.cross_entropy(model, b), optimiser, total_steps=plan.steps)
    start = time.perf_counter()
    fit(module, lambda: batches)
    return time.perf_counter() - start


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="34k", help="a rung of the ladder")
    parser.add_argument("--steps", type=int, default=200, help="steps of each side of a pair")
    parser.add_argument("--pairs", type=int, default=7, help="pairs; the order alternates")
    parser.add_argument("--output", type=Path, default=Path("results/speed/step.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    optimiser = Optimiser()
    sources = [registry.build("contamination", name) for name in ("dialogue", "original")]
    contamination, original = (s for s in sources if isinstance(s, Contamination))
    doses = [0, options.steps * optimiser.batch_size]
    plan = mixed(contamination, original, share=1.0, doses=doses, batch_size=optimiser.batch_size, seed=0)
    sides = {"bare": bare, "lightning": lightning}
    wall_seconds: dict[str, list[float]] = {name: [] for name in sides}
    words = tokenizer()
    for side in sides.values():
        side(HuggingFaceModel.create(architecture(options.student), words, 0), plan, optimiser)
    for pair in range(options.pairs):
        for name in list(sides) if pair % 2 == 0 else list(sides)[::-1]:
            model = HuggingFaceModel.create(architecture(options.student), words, 0)
            wall_seconds[name].append(sides[name](model, plan, optimiser))
    ratios = [ours / theirs for ours, theirs in zip(wall_seconds["lightning"], wall_seconds["bare"], strict=True)]
    milliseconds = {name: 1000 * statistics.median(s) / options.steps for name, s in wall_seconds.items()}
    result = {
        "what": "wall time of a Lightning fit over that of a bare torch loop, same steps",
        "student": options.student,
        "steps": options.steps,
        "ratio_median": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
        "milliseconds_per_step": {name: round(m, 3) for name, m in milliseconds.items()},
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(options.output, result)
    print(f"{options.student}: bare {milliseconds['bare']:.2f} ms, Lightning {milliseconds['lightning']:.2f} ms a step")
    print(f"ratio {result['ratio_median']} (median of {options.pairs} pairs, {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
