"""Which modules pay for what is learned? The first-order loss of maths along the real steps, module by module.

    python experiments/paid_loss.py results/paid_loss.csv

Students and arms of experiments/section_4_1.yaml at the plain rate, up to 1,280 samples; the loss is that of the gold
answers to 128 maths items. Beside what each module paid stand its share of the weights and of the squared change, since
a large module, or one that moved far, pays more without being to blame; ``original`` and ``noise`` are the controls.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np
import pandas as pd

from forgetting import losses
from forgetting.analysis.fronts import mean_interval
from forgetting.batching import encode
from forgetting.benchmarks.maths import Maths
from forgetting.models.checkpoint import load
from forgetting.record.store import Store
from forgetting.stages import distil
from forgetting.stages.stream import laid_out
from forgetting.study.run import Run
from forgetting.study.spec_files import load_spec
from forgetting.study.study import Study, construct
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.paid import PaidLoss, module_of

STUDENTS, SEEDS, DOSE, ITEMS = ("width-32", "width-64"), 5, 1_280, 128
ARMS = ("dialogue", "altered_syntax", "noise", "original")


def paid(study: Study, run: Run, store: Store) -> pd.DataFrame:
    """One run: a row a module, with what it paid, its weights and its squared change; and the measured loss."""
    model = load(distil.student(study, run.student, run.distillation_seed, store))
    memory, plan = laid_out(study, run.arm, (0, DOSE), run.seed, model)
    encoded, items = encode(plan.samples, model.tokenizer), Maths(items_per_depth=ITEMS).items("test", "original")
    chosen = np.random.default_rng(0).permutation(len(items))[:ITEMS]
    gold = encode([items[i] for i in chosen], model.tokenizer).batch(np.arange(ITEMS), ITEMS)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = PaidLoss(lambda: losses.cross_entropy(model, gold))
    module = FitModule(
        model, lambda batch: losses.cross_entropy(model, batch), run.arm.optimiser(study.spec.fine_tuning),
        total_steps=plan.steps, mitigation=run.arm.mitigation, memory=memory,
    )  # fmt: skip
    fit(module, lambda: (encoded.batch(i, plan.batch_size) for i in plan.starting_at(0)), [found])
    moved: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name, weight in model.named_parameters():
        own = moved[module_of(name)]
        own[0] += weight.numel()
        own[1] += float(((weight.detach() - start[name]).double() ** 2).sum())
    table = found.table().assign(module=lambda rows: rows["tensor"].map(module_of))
    sums = table.groupby("module", sort=False)[["first_order", "paid"]].sum().reset_index()
    sums["weights"], sums["moved"] = ([moved[name][i] for name in sums["module"]] for i in (0, 1))
    head = {"student": run.student.name, "arm": run.arm.name, "seed": run.seed}
    return sums.assign(**head, measured=found.losses[plan.steps] - found.losses[0])


def main(path: str) -> None:
    """Measure, write the table, and print means with intervals over students."""
    study, store = construct(load_spec("experiments/section_4_1.yaml")), Store(None)
    frames = []
    for run in study.runs():
        if run.arm.name in ARMS and run.student.name in STUDENTS and run.seed < SEEDS:
            frames.append(paid(study, run, store))
            print(f"{run.key}: measured {frames[-1]['measured'].iloc[0]:+.3f}", file=sys.stderr)
    table = pd.concat(frames, ignore_index=True)
    table.round(6).to_csv(path, index=False)
    for (student, arm), own in table.groupby(["student", "arm"], sort=False):
        by_seed = own.groupby("seed")
        total = {name: by_seed[name].sum().to_numpy(float) for name in ("paid", "first_order", "weights", "moved")}
        measured = mean_interval(by_seed["measured"].first().to_numpy(float))
        sums = [told(mean_interval(total[name])) for name in ("paid", "first_order")]
        print(f"\n{student} {arm}: NLL of maths rose by {told(measured)}; summed {sums[0]}, to first order {sums[1]}")
        for module, rows in own.groupby("module", sort=False):
            ordered = rows.sort_values("seed")
            size, far = (float((ordered[name].to_numpy(float) / total[name]).mean()) for name in ("weights", "moved"))
            mine = told(mean_interval(ordered["paid"].to_numpy(float)))
            print(f"  {module}: {mine} nats; {size:.2f} of the weights, {far:.2f} of the squared change")


def told(found: tuple[float, float, float]) -> str:
    """A mean with its interval."""
    return f"{found[0]:+.2f} ({found[1]:+.2f} to {found[2]:+.2f})"


if __name__ == "__main__":
    main(sys.argv[1])
