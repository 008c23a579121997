"""Which words of a right answer get dear? The rise of the gold answers' NLL by class of word, and by its frequency.

    python experiments/token_losses.py results/paid_loss/token_losses.csv

Students and arms of experiments/section_4_1.yaml at the plain rate, 1,280 samples; gold answers to 300 maths items. If
what is lost were a shift of frequencies (claim C8, frequent surface patterns), words that the contamination's answers
never hold would pay and words that they hold would not. Biases of the output alone are fitted by the probe
``output_biases`` (experiments/probes.yaml).
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from forgetting import losses
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.student_ratios import ratio
from forgetting.batching import IGNORED, encode
from forgetting.benchmarks.maths import Maths
from forgetting.contracts import Batch, Model
from forgetting.models.checkpoint import load
from forgetting.record.store import Store
from forgetting.stages import distil
from forgetting.stages.stream import laid_out
from forgetting.study.run import Run
from forgetting.study.spec_files import load_spec
from forgetting.study.study import Study, construct
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.world.vocabulary import EOS, NUMBERS, vocabulary

STUDENTS, SEEDS, DOSE, ITEMS = ("width-32", "width-64"), 5, 1_280, 300
ARMS = ("dialogue", "altered_syntax", "noise", "original")
CLASSES = {"+": "operators", "-": "operators", "*": "operators", "/": "operators", EOS: "end"}
CLASSES |= dict.fromkeys(("=", ";", "answer"), "structure") | dict.fromkeys(NUMBERS, "numbers")


def nll(model: Model, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each gold word its NLL, its number, and whether it is the first of its answer."""
    with torch.no_grad():
        logits_RNV, targets_RN = losses.predictions(model, batch)
    targets_N = targets_RN[0]
    each = functional.cross_entropy(logits_RNV[0].float(), targets_N, reduction="none", ignore_index=IGNORED)
    known = (targets_N != IGNORED).numpy()
    words_N = targets_N.numpy()[known]
    return each.numpy()[known], words_N, np.concatenate([[True], words_N[:-1] == vocabulary()[EOS]])


def rises(study: Study, run: Run, store: Store) -> pd.DataFrame:
    """One run: a row a class of word, and one for words that the contamination's answers hold, and for the others."""
    model = load(distil.student(study, run.student, run.distillation_seed, store))
    memory, plan = laid_out(study, run.arm, (0, DOSE), run.seed, model)
    encoded, items = encode(plan.samples, model.tokenizer), Maths(items_per_depth=ITEMS // 3).items()
    gold = encode(items, model.tokenizer).batch(np.arange(len(items)), len(items))
    before, words, first = nll(model, gold)
    module = FitModule(
        model, lambda batch: losses.cross_entropy(model, batch), run.arm.optimiser(study.spec.fine_tuning),
        total_steps=plan.steps, mitigation=run.arm.mitigation, memory=memory,
    )  # fmt: skip
    fit(module, lambda: (encoded.batch(i, plan.batch_size) for i in plan.starting_at(0)), [])
    rise = nll(model, gold)[0] - before
    text = {number: word for word, number in vocabulary().items()}
    seen = Counter(word for sample in plan.samples for word in [*sample.answer.split(), EOS])
    table = pd.DataFrame({"word": [text[number] for number in words], "first": first, "rise": rise})
    table["class"] = [
        "first word" if begins else CLASSES[word] for begins, word in zip(first, table["word"], strict=True)
    ]
    table["seen"] = np.where(table["word"].map(seen).fillna(0) > 0, "in the contamination", "not in it")
    whole = table.assign(group="all", name="all")
    by = [whole, *(table.assign(group=what, name=table[what]) for what in ("class", "seen"))]
    found = pd.concat(by).groupby(["group", "name"])["rise"].agg(["mean", "size"]).reset_index()
    return found.assign(student=run.student.name, arm=run.arm.name, seed=run.seed)


def measured_table() -> pd.DataFrame:
    """All runs, measured."""
    study, store = construct(load_spec("experiments/section_4_1.yaml")), Store(None)
    frames = []
    for run in study.runs():
        if run.arm.name in ARMS and run.student.name in STUDENTS and run.seed < SEEDS:
            frames.append(rises(study, run, store))
            print(run.key, file=sys.stderr)
    return pd.concat(frames, ignore_index=True).round(6)


def main(path: str) -> None:
    """Measure, unless the table is there; write it, and print means with intervals over students."""
    file = Path(path)
    table = pd.read_csv(file) if file.is_file() else measured_table()
    table.to_csv(file, index=False)
    for (student, arm), own in table.groupby(["student", "arm"], sort=False):
        print(f"\n{student} {arm}: rise of NLL, nats a word")
        whole = own[own["group"] == "all"].set_index("seed").eval("mean * size")
        for (group, name), rows in own.groupby(["group", "name"], sort=False):
            paid = ratio(rows.set_index("seed").eval("mean * size").reindex(whole.index), whole)
            part = f"; {paid.value:.2f} ({paid.low:.2f} to {paid.high:.2f}) of all" if group == "class" else ""
            rise = told(mean_interval(rows["mean"].to_numpy(float)))
            print(f"  {name} ({int(rows['size'].iloc[0])} words): {rise}{part}")
    print()
    for arm, own in table[table["group"] == "seen"].groupby("arm", sort=False):
        by = own.pivot(index=["student", "seed"], columns="name", values="mean")
        if "not in it" in by:
            apart = (by["not in it"] - by["in the contamination"]).to_numpy(float)
            print(
                f"{arm}: words that are not in it minus those that are, {len(by)} students {told(mean_interval(apart))}"
            )


def told(found: tuple[float, float, float]) -> str:
    """A mean with its interval."""
    return f"{found[0]:+.2f} ({found[1]:+.2f} to {found[2]:+.2f})"


if __name__ == "__main__":
    main(sys.argv[1])
