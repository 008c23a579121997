"""Do two sets of students forget alike? Those taught otherwise, or of another shape, against those of the headline.

    python validation/student_sets.py results/section_4_2-... results/section_4_2_length-...

By size of the second study: log2 of the dose that halves maths at shift 1 (a student that has not lost half at the
last dose counts with that dose, and is counted), retention at one dose at shifts 1 and .5, accuracy at dose 0. What the
first study is compared with is its mean at the same size, or, at sizes that it lacks, the line between its means at the
two sizes beside it over log parameters. Differences are the second minus the first, with 90% intervals by Welch's t
over students; two halving doses are equal where the interval lies within .25 (two one-sided tests at 5%). The mean over
sizes has every size once. Writes ``against.csv`` and ``against.png`` into the second folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from scipy import stats

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from scatter import UNIT, halving_dose, of_arm

from forgetting.analysis.study_folder import open_study
from forgetting.errors import UsageError, run_script

MARGIN = 0.25
POLICY = "-constant"
ARMS = ("dialogue", "dialogue-shift0.5")
STATISTICS = ("log2 half dose", "retention", "retention at shift .5", "accuracy at dose 0")
Part = tuple[float, float, float]  # a mean, its variance, the degrees of freedom of that


def students(folder: Path, dose: int) -> pd.DataFrame:
    """One row a student: what is compared."""
    scores = open_study(folder).scores
    names = {str(name).removesuffix(POLICY): str(name) for name in scores["arm"].unique()}
    if lacking := [name for name in ARMS if name not in names or dose not in set(scores["dose"])]:
        raise UsageError(f"{folder}: must have the arm {lacking[0]}, measured at dose {dose:,}")
    rows = []
    mixed = of_arm(scores, "maths", names[ARMS[1]]).set_index([*UNIT, "dose"])["retention"]
    for whose, run in of_arm(scores, "maths", names[ARMS[0]]).groupby(UNIT):
        half, last, at = halving_dose(run), float(np.log2(run["dose"].max())), run.set_index("dose")
        rows.append({
            **dict(zip(UNIT, whose, strict=True)), "capacity": int(run["capacity"].iloc[0]),
            "beyond": bool(np.isnan(half)), "log2 half dose": last if np.isnan(half) else half,
            "retention": float(at["retention"][dose]), "retention at shift .5": float(mixed[(*whose, dose)]),
            "accuracy at dose 0": float(at["accuracy"][0]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def part(values: pd.Series, weight: float = 1.0) -> Part:
    """A weighted mean of one size's students."""
    return weight * values.mean(), weight**2 * values.var(ddof=1) / len(values), len(values) - 1.0


def added(parts: list[Part]) -> Part:
    """The sum of independent means, its degrees of freedom by Satterthwaite."""
    variance = sum(v for _, v, _ in parts)
    freedom = variance**2 / sum(v**2 / d for _, v, d in parts if v) if variance else sum(d for *_, d in parts)
    return sum(m for m, *_ in parts), variance, freedom


def at_size(first: pd.DataFrame, capacity: int, name: str) -> list[Part]:
    """The first study at that many parameters: its own students there, or the line between its neighbours."""
    sizes = np.array(sorted(first["capacity"].unique()))
    if capacity in sizes:
        return [part(first[first["capacity"] == capacity][name])]
    after = int(np.searchsorted(sizes, capacity))
    if after in (0, len(sizes)):
        return []
    low, high = sizes[after - 1], sizes[after]
    share = np.log(capacity / low) / np.log(high / low)
    return [
        part(first[first["capacity"] == low][name], 1 - share), part(first[first["capacity"] == high][name], share)
    ]  # fmt: skip


def row(of: str, name: str, first: Part, second: Part, beyond: int, count: int) -> dict[str, Any]:
    """One difference with its interval."""
    value, variance, freedom = added([second, (-first[0], *first[1:])])
    reach = float(stats.t.ppf(0.95, freedom)) * float(np.sqrt(variance))
    low, high = value - reach, value + reach
    return {"student": of, "statistic": name, "first": first[0], "second": second[0], "difference": value,
            "low_90": low, "high_90": high, "students": count, "beyond": beyond,
            "equal": bool(low > -MARGIN and high < MARGIN) if name == STATISTICS[0] else None}  # fmt: skip


def compare(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """All differences: size by size, and their mean."""
    rows = []
    for name in STATISTICS:
        sides: list[tuple[Part, Part]] = []
        for capacity, own in second.groupby("capacity"):
            against = at_size(first, int(capacity), name)
            if not against:
                continue
            beyond = int(own["beyond"].sum()) + int(first[first["capacity"] == capacity]["beyond"].sum())
            sides.append((added(against), part(own[name])))
            rows.append(row(str(own["student"].iloc[0]), name, *sides[-1], beyond, len(own)))
        k = len(sides)
        means = [added([(m / k, v / k**2, d) for m, v, d in side]) for side in zip(*sides, strict=True)]
        rows.append(row("mean over sizes", name, means[0], means[1], sum(r["beyond"] for r in rows[-k:]), len(second)))
    return pd.DataFrame(rows)


def drawn(first: pd.DataFrame, second: pd.DataFrame, labels: tuple[str, str], dose: int) -> plt.Figure:
    """Both sets over parameters, a point a student, lines through the means of sizes."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    for axes, name in zip(panels, STATISTICS[:3], strict=True):
        for data, label, colour, shift in ((first, labels[0], "C0", 0.98), (second, labels[1], "C1", 1.02)):
            middle = data.groupby("capacity")[name].mean()
            axes.plot(middle.index, middle.to_numpy(), color=colour, label=f"{label}, {len(data)} students")
            axes.plot(data["capacity"] * shift, data[name], ".", color=colour, alpha=0.5)
        axes.set_xscale("log")
        axes.set_xlabel("parameters")
        axes.set_title({"log2 half dose": "log2 of the dose that halves maths",
                        "retention": f"retention, {dose:,} dialogues",
                        "retention at shift .5": f"retention, {dose:,} at shift .5"}[name], fontsize=10)  # fmt: skip
    panels[2].legend(fontsize=8, loc="lower right")
    return figure


def main() -> None:
    """Read, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--dose", type=int, default=1280)
    given = parser.parse_args()
    first, second = students(given.first, given.dose), students(given.second, given.dose)
    found = compare(first, second)
    found.to_csv(given.second / "against.csv", index=False, float_format="%.4g")
    labels = tuple(folder.resolve().name.rsplit("-", 1)[0] for folder in (given.first, given.second))
    drawn(first, second, (labels[0], labels[1]), given.dose).savefig(given.second / "against.png", dpi=110)
    print(found.to_string(float_format=lambda v: f"{v:.3f}"))


if __name__ == "__main__":
    run_script(main)
