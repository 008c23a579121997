"""What precision, compilation and the hand-written pass do to forgetting curves: one study, four ways to train.

    python validation/precision.py

The same students, seeds, streams and items throughout, in this process on one thread: through Hugging Face's modules in
fp32, by the hand-written pass of small students, by ``torch.compile``, and under bfloat16 autocast. Every difference of
retention is that to the modules, paired over runs and items, with a 95% interval of the hierarchical bootstrap. Writes
results/validation/precision.md, .json and .png; minutes, most of them bfloat16's and the compiler's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from forgetting.analysis.statistics import resampling, retention_difference
from forgetting.models import fused_qwen3
from forgetting.record.files import write_atomically, write_json
from forgetting.record.provenance import commit, hardware, versions
from forgetting.report import drawing
from forgetting.report.result import Result
from forgetting.simulate import run_study
from forgetting.spec import Doses, Evaluation, Ladder, Machine, Spec

WAYS = {
    "modules": Machine(),
    "hand-written pass": Machine(),
    "torch.compile": Machine(compile=True),
    "bfloat16_mixed": Machine(precision="bfloat16_mixed"),
}
REFERENCE = "modules"
HEAD = """# Ways to train, and what they do to curves

Made by `python validation/precision.py` at {commit}; do not edit. {student}, {seeds} seeds, fp32 students; beside the
modules in fp32, pair by pair: difference of retention with its 95% interval (points), answers that differ, seconds of
training of a run (the first run of `torch.compile`, which compiles, took {first:.0f} s).

| arm | skill | dose | retention, modules | {ways} |
| --- | --- | ---: | ---: | {bars} |
"""


def spec(seeds: int, dose: int, machine: Machine) -> Spec:
    """The study."""
    return Spec(
        name="precision",
        ladder=Ladder(students=("34k",)),
        contaminations=("dialogue", "altered_syntax"),
        doses=Doses(dose=dose, first=160),
        evaluation=Evaluation(
            benchmarks=tuple({"name": name, "items_per_depth": 50} for name in ("maths", "code")),
            perturbed="never",
            probe_items=1,
        ),
        machine=machine,
        seeds=seeds,
        keep="none",
    )


def trained(way: str, seeds: int, dose: int, store: Path | None) -> tuple[pd.DataFrame, list[float], dict[str, float]]:
    """The ledger of the study trained one way, seconds of training of each run, and the chance of each benchmark."""
    plain = mock.patch.object(fused_qwen3, "suits", return_value=False)
    with tempfile.TemporaryDirectory() as folder:
        made: list[Result] = []
        with plain if way == REFERENCE else nullcontext():
            made.append(
                run_study(spec(seeds, dose, WAYS[way]), output=Path(folder), store=store, workers=0, quiet=True)
            )
        rows = made[0].ledger
        assert rows is not None
        rows = rows[(rows["variant"] == "original") & (rows["benchmark"] != "probe")].copy()
        markers = sorted(Path(folder).rglob("complete.json"), key=lambda file: file.stat().st_mtime)
        seconds = [float(json.loads(file.read_text())["wall_seconds"]["training"]) for file in markers]
        chances = made[0].scores.groupby("benchmark")["chance"].first().to_dict()
    return rows, seconds, chances


def outcomes(rows: pd.DataFrame) -> np.ndarray:
    """What was right, ``[S, D, I]``: runs, doses and items in order."""
    right = rows.assign(right=rows["verdict"] == "right").pivot(index=["seed", "dose"], columns="item", values="right")
    return right.to_numpy(bool).reshape(rows["seed"].nunique(), rows["dose"].nunique(), -1)


def compared(ledgers: dict[str, pd.DataFrame], chances: dict[str, float]) -> list[dict[str, Any]]:
    """One row an arm, skill and dose: retention by the modules, and every other way's difference to it."""
    found = []
    for (arm, benchmark), own in ledgers[REFERENCE].groupby(["arm", "benchmark"], sort=False):
        cells = {way: r[(r["arm"] == arm) & (r["benchmark"] == benchmark)] for way, r in ledgers.items()}
        right = {way: outcomes(cell) for way, cell in cells.items()}
        items = own.drop_duplicates("item").sort_values("item")
        draw = resampling(np.zeros(len(right[REFERENCE])), items["template"])
        chance, doses = float(chances[str(benchmark)]), sorted(own["dose"].unique())
        base = right[REFERENCE][:, 0].mean() - chance
        for place, dose in enumerate(doses):
            retention = (right[REFERENCE][:, place].mean() - chance) / base
            row: dict[str, Any] = {"arm": arm, "skill": own["skill"].iloc[0], "dose": int(dose), "retention": retention}
            for way in WAYS:
                if way != REFERENCE:
                    value, low, high = retention_difference(right[way], right[REFERENCE], chance, draw)
                    row[way] = [float(t[place]) for t in (value, low, high)]
            found.append(row)
    return found


def differing(rows: pd.DataFrame, reference: pd.DataFrame) -> float:
    """The share of answers that are other tokens."""
    key = ["arm", "seed", "dose", "benchmark", "item"]
    both = rows.merge(reference[[*key, "answer"]], on=key, validate="one_to_one", suffixes=("", "_0"))
    return float(np.mean([list(a) != list(b) for a, b in zip(both["answer"], both["answer_0"], strict=True)]))


@drawing.styled
def figure(rows: list[dict[str, Any]]) -> Figure:
    """Retention against dose by every way, one panel an arm and skill."""
    frame = pd.DataFrame(rows)
    panels = list(frame.groupby(["arm", "skill"], sort=False))
    drawn, axes = drawing.grid(len(panels), 2, "Forgetting by four ways to train, one on top of the other", below=0.62)
    for ax, ((arm, skill), own) in zip(axes.flat, panels, strict=False):
        places = np.arange(len(own))
        ax.plot(places, own["retention"], "o-", label=REFERENCE)
        for way in WAYS:
            if way != REFERENCE:
                value, low, high = np.array(own[way].tolist()).T
                ax.errorbar(
                    places, own["retention"] + value, [value - low, high - value], marker=".", linewidth=1,
                    capsize=2, label=way,
                )  # fmt: skip
        ax.set_xticks(places, own["dose"])
        ax.set_title(f"{arm}: {skill}")
        ax.set_xlabel("dose (samples)")
    axes[0, 0].set_ylabel("retention")
    axes[0, 0].legend(fontsize=7)
    return drawn


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dose", type=int, default=5120)
    parser.add_argument("--store", type=Path, help="where students are kept (default: the user's cache)")
    parser.add_argument("--output", type=Path, default=Path("results/validation"))
    given = parser.parse_args()
    ledgers, seconds, chances = {}, {}, {}
    for way in WAYS:
        ledgers[way], seconds[way], chances = trained(way, given.seeds, given.dose, given.store)
        print(
            f"{way}: {np.median(seconds[way]):.2f} s of training a run, the first {seconds[way][0]:.2f} s", flush=True
        )
    rows, others = compared(ledgers, chances), [way for way in WAYS if way != REFERENCE]
    differ = {way: differing(ledgers[way], ledgers[REFERENCE]) for way in others}
    lines = []
    for row in rows:
        cells = [f"{100 * v:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})" for v, low, high in (row[w] for w in others)]
        head = [row["arm"], row["skill"], str(row["dose"]), f"{row['retention']:.3f}"]
        lines.append(f"| {' | '.join([*head, *cells])} |\n")
    lines.append(f"| answers that differ | | | | {' | '.join(f'{100 * differ[w]:.2f}%' for w in others)} |\n")
    times = " | ".join(f"{np.median(seconds[w]):.2f} s" for w in others)
    lines.append(f"| training of a run, median | | | {np.median(seconds[REFERENCE]):.2f} s | {times} |\n")
    head = HEAD.format(
        commit=commit(), student="34k", seeds=given.seeds, first=seconds["torch.compile"][0],
        ways=" | ".join(others), bars=" | ".join(["---:"] * len(others)),
    )  # fmt: skip
    write_atomically(given.output / "precision.md", head + "".join(lines))
    told = {"rows": rows, "answers_that_differ": differ, "training_seconds": seconds}
    write_json(
        given.output / "precision.json", {**told, "commit": commit(), "hardware": hardware(), "versions": versions()}
    )
    FigureCanvasAgg(figure(rows)).print_png(given.output / "precision.png", metadata={"Software": None})  # type: ignore[no-untyped-call]
    print("".join(lines))


if __name__ == "__main__":
    main()
