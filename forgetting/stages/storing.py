"""How a model that was taught is stored: it is rounded, the rounded one is measured, and both are in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from forgetting.contracts import Model
from forgetting.errors import UsageError
from forgetting.evaluation.evaluator import Evaluator
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.networks import check_finite
from forgetting.record.store import Store
from forgetting.study.study import Study
from forgetting.training.fit import device
from forgetting.training.stopwatch import Stopwatch


def add(
    study: Study, store: Store, mark: str, model: HuggingFaceModel, about: dict[str, Any], watch: Stopwatch
) -> Path:
    """Round the weights to bfloat16, as real checkpoints are, measure the rounded model, and store it."""
    fit = "teaching" if about["role"] == "teacher" else "distilling"
    try:
        check_finite(model.network, f"the {about['role']} of {model.capacity:,} parameters")
    except UsageError as error:
        raise UsageError(f"{error}: its training diverged; give ladder.{fit} a lower learning_rate") from None

    def fill(folder: Path) -> dict[str, Any]:
        model.network.to(torch.bfloat16)
        model.save(folder)
        with watch("evaluation"):
            stored = HuggingFaceModel.load(folder)
            stored.network.to(device(study.spec.machine.plain))
            accuracy = accuracies(study, stored)
        wall = {name: round(seconds, 1) for name, seconds in watch.wall_seconds.items()}
        processor = {name: round(seconds, 3) for name, seconds in watch.processor_seconds.items()}
        sizes = {"capacity": model.capacity, "capacity_non_embedding": model.capacity_non_embedding}
        return {**about, **sizes, "accuracy": accuracy, "wall_seconds": wall, "processor_seconds": processor}

    return store.add(mark, fill)


def accuracies(study: Study, model: Model) -> dict[str, dict[str, float]]:
    """Accuracy on the unperturbed test items: by benchmark, in all and by depth."""
    ledger = Evaluator(model, study.benchmarks, [], "", study.spec.evaluation).measure(model, perturbed=False)
    ledger["right"] = ledger["verdict"] == "right"
    out: dict[str, dict[str, float]] = {}
    for name, rows in ledger.groupby("benchmark"):
        by_depth = {f"depth {d}": round(float(r), 4) for d, r in rows.groupby("depth")["right"].mean().items()}
        out[str(name)] = {"all": round(float(rows["right"].mean()), 4), **by_depth}
    return out
