"""How a new skill was learned, and what is left of the others: a study of branches in; tables and a figure out.

    python experiments/new_skill.py results/new_skill-...

writes ``ways.csv`` (accuracy of each branch, seed and skill at dose 0), ``orderings.csv`` (the ordering S4) and the
figure ``ways``, and prints accuracy by way, maths also by depth, with paired differences by trunk.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from forgetting import load
from forgetting.analysis.branches import mean_with_interval
from forgetting.analysis.new_skill import learned_ways
from forgetting.report import drawing

GOLD, TRUNK, SKILL = "gold", "before", "maths"
KEYS = ["branch", "distillation_seed"]


def by_depth(result: Any, ways: pd.DataFrame) -> pd.DataFrame:
    """Accuracy in maths at dose 0, a column a depth and ``all``, a row a branch that arrived, or the trunk."""
    scores = result.scores
    own = scores[(scores["benchmark"] == SKILL) & (scores["dose"] == 0) & (scores["variant"] == "original")]
    names = {one["name"]: one["branch"] for one in result.record["students"]}
    own = own.assign(branch=own["student"].map(names), depth=[f"{d:.0f}" if d == d else "all" for d in own["depth"]])
    table = own.pivot_table("accuracy", KEYS, "depth", sort=False)
    there = ways[ways["arrived"].astype(bool) | (ways["branch"] == TRUNK)]
    return table[[tuple(key) in set(there[KEYS].itertuples(index=False, name=None)) for key in table.index]]


def apart(table: pd.DataFrame, branch: str, against: str) -> pd.DataFrame:
    """Paired by seed: one branch less another, a column a depth."""
    names = set(table.index.get_level_values("branch"))
    if not {branch, against} <= names:
        return table.iloc[:0].droplevel("branch")
    return (table.loc[branch] - table.loc[against]).dropna()


def said(ways: pd.DataFrame, table: pd.DataFrame, taught: pd.DataFrame) -> str:
    """What is worth reading, in lines."""
    means = ways.pivot_table("accuracy", "branch", "skill", sort=False).round(3)
    lines = [
        taught.to_string(index=False),
        means.to_string(),
        table.groupby(level=0, sort=False).mean().round(3).to_string(),
    ]
    for against in (GOLD, TRUNK, "rejection"):
        for branch in dict.fromkeys(table.index.get_level_values("branch")):
            own = apart(table, branch, against)
            if branch != against and len(own):
                told = (
                    "{}: {:+.3f} ({:+.3f} to {:+.3f})".format(d, *mean_with_interval(own[d].to_numpy(float)))
                    for d in own
                )
                lines.append(f"{branch} less {against}, {len(own)} trunks; " + "; ".join(told))
    return "\n".join(lines)


def lessons(record: dict[str, Any]) -> pd.DataFrame:
    """How each branch was taught: steps, why it ended, the last check, processor seconds and how far weights moved."""
    names = ("steps", "why", "accuracy", "processor_seconds", "moved")
    rows = [
        {"branch": one["branch"], "seed": seed} | {name: stages[-1].get(name) for name in names}
        for one in record["students"] for seed, stages in one["taught"].items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


@drawing.styled
def figure(table: pd.DataFrame) -> Figure:
    """A row a way: its accuracy less that of the trunk, on all depths and on the deepest ones, a dot a trunk."""
    columns = ["all", *sorted((c for c in table if c != "all"), key=int)[-2:]]
    drawn, axes = drawing.grid(
        3, 3, "What learning problems of six steps left of shorter ones, less the trunk", below=0.6, sharey="row"
    )
    names = [name for name in dict.fromkeys(table.index.get_level_values("branch")) if name != TRUNK][::-1]
    for ax, column in zip(axes.flat, columns, strict=True):
        ax.axvline(0, color=drawing.LEVEL_COLOUR, linewidth=0.9)
        for place, name in enumerate(names):
            own = apart(table, name, TRUNK)[column].to_numpy(float)
            mean, low, high = mean_with_interval(own)
            ax.errorbar([mean], [place], xerr=[[mean - low], [high - mean]], fmt="o", color="#0072b2", elinewidth=1.2)
            ax.plot(own, [place + 0.2] * len(own), ".", color="#0072b2", alpha=0.6, markersize=4)
        ax.set_xlabel("one to five steps" if column == "all" else f"{column} steps", fontsize=8)
        ax.set_ylim(-0.6, len(names) - 0.4)
    axes[0, 0].set_yticks(range(len(names)), names, fontsize=8)
    drawn.subplots_adjust(left=0.16)
    return drawn


def main() -> None:
    """Read, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    result = load(folder)
    ways = learned_ways(result)
    ways.to_csv(folder / "ways.csv", index=False, float_format="%.6g")
    result.orderings().to_csv(folder / "orderings.csv", index=False, float_format="%.6g")
    table = by_depth(result, ways)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "ways.png").write_bytes(drawing.png(figure(table)))
    print(said(ways, table, lessons(result.record)))
    print(result.orderings().to_string(index=False))


if __name__ == "__main__":
    main()
