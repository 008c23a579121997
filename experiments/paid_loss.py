"""Which modules pay for what is learned? The first-order loss of maths along the real steps, module by module.

    python experiments/paid_loss.py results/paid_loss/paid_loss.csv

Students and arms of experiments/section_4_1.yaml at the plain rate, up to 1,280 samples; the loss is that of the gold
answers to 128 maths items. Beside what each module paid stand its share of the weights and of the squared change, since
a large module, or one that moved far, pays more without being to blame; ``original`` and ``noise`` are the controls.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from forgetting import losses
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.student_ratios import ratio
from forgetting.batching import encode
from forgetting.benchmarks.maths import Maths
from forgetting.models.checkpoint import load
from forgetting.record.store import Store
from forgetting.report import drawing
from forgetting.stages import distil
from forgetting.stages.stream import laid_out
from forgetting.study.run import Run
from forgetting.study.spec_files import load_spec
from forgetting.study.study import Study, construct
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.paid import PaidLoss, module_of

STUDENTS, SEEDS, DOSE, ITEMS = ("width-32", "width-64"), 5, 1_280, 128
TITLE = "Which modules pay for what is learned? Bars: 95% of the difference"
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


def measured_table() -> pd.DataFrame:
    """All runs, measured."""
    study, store = construct(load_spec("experiments/section_4_1.yaml")), Store(None)
    frames = []
    for run in study.runs():
        if run.arm.name in ARMS and run.student.name in STUDENTS and run.seed < SEEDS:
            frames.append(paid(study, run, store))
            print(f"{run.key}: measured {frames[-1]['measured'].iloc[0]:+.3f}", file=sys.stderr)
    return pd.concat(frames, ignore_index=True).round(6)


def shares(own: pd.DataFrame) -> pd.DataFrame:
    """By module of one size and arm: its share of what was paid, of the squared change, and the difference."""
    each = own.pivot(index="seed", columns="module", values="paid")
    moved = own.pivot(index="seed", columns="module", values="moved")
    moved, whole = moved.div(moved.sum(axis=1), axis=0), each.sum(axis=1)
    rows = []
    for module in own["module"].unique():
        share, apart = ratio(each[module], whole), ratio(each[module] - moved[module] * whole, whole)
        rows.append((module, share, float(moved[module].mean()), apart))
    return pd.DataFrame(rows, columns=["module", "paid", "moved", "apart"])


def figure(table: pd.DataFrame, path: Path) -> None:
    """Shares of what was paid beside those of the squared change, a panel a size and arm."""
    panels = [(key, shares(own)) for key, own in table.groupby(["student", "arm"], sort=False) if key[1] != "original"]
    with matplotlib.rc_context(drawing.STYLE):
        drawn, axes = drawing.grid(len(panels), 3, TITLE, below=0.9, sharey="row", foot=0.4)
        for ax, ((student, arm), own) in zip(axes.flat, panels, strict=True):
            places, value = np.arange(len(own)), np.array([one.value for one in own["paid"]])
            reach = np.array([[one.value - one.low, one.high - one.value] for one in own["apart"]]).T
            ax.errorbar(places, value, yerr=reach, fmt="o", color="#0072b2", elinewidth=0.9, label="of what is paid")
            ax.plot(places, own["moved"], "s", fillstyle="none", color="#8a8a8a", label="of the squared change")
            ax.set_xticks(places, list(own["module"]), rotation=40, ha="right", rotation_mode="anchor", fontsize=7)
            ax.set_title(f"{student}, {arm}")
        for ax in axes[:, 0]:
            ax.set_ylabel("share")
        drawing.legend(drawn, axes, ["of what is paid", "of the squared change"])
    path.write_bytes(drawing.png(drawn))


def main(path: str) -> None:
    """Measure, unless the table is there; write it and a figure, and print means with intervals over students."""
    file = Path(path)
    table = pd.read_csv(file) if file.is_file() else measured_table()
    table.to_csv(file, index=False)
    figure(table, file.with_suffix(".png"))
    for (student, arm), own in table.groupby(["student", "arm"], sort=False):
        by_seed = own.groupby("seed")
        measured = mean_interval(by_seed["measured"].first().to_numpy(float))
        sums = [told(mean_interval(by_seed[name].sum().to_numpy(float))) for name in ("paid", "first_order")]
        print(f"\n{student} {arm}: NLL of maths rose by {told(measured)}; summed {sums[0]}, to first order {sums[1]}")
        size = own.groupby("module")["weights"].sum() / own["weights"].sum()
        for row in shares(own).itertuples():
            mine, apart = row.paid, (row.apart.value, row.apart.low, row.apart.high)
            beside = f"{size[row.module]:.2f} of the weights, {row.moved:.2f} of the squared change"
            print(f"  {row.module}: {mine.value:.2f} of it, {beside}; paid minus moved {told(apart)}")


def told(found: tuple[float, float, float]) -> str:
    """A mean with its interval."""
    return f"{found[0]:+.2f} ({found[1]:+.2f} to {found[2]:+.2f})"


if __name__ == "__main__":
    main(sys.argv[1])
