"""Does an adaptive sweep find what the full grid finds? The folders of both in, a table and a figure out.

Thresholds agree where each lies within the other's interval; statuses without a number agree where they are the same.

    forgetting sweep sweeps/agreement.yaml --output results
    forgetting sweep sweeps/agreement.yaml --output results --study.name quick_grid --search.method grid --stop.runs 0 \
        --stop.width_decades 0 --stop.hours 5
    python validation/agreement.py results/quick_sweep-* results/quick_grid-*

writes results/validation/agreement.md and .png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from forgetting.analysis.study_folder import open_study
from forgetting.analysis.thresholds.threshold import Threshold, place_text, told
from forgetting.errors import UsageError, run_script
from forgetting.record.files import write_atomically
from forgetting.report import drawing
from forgetting.report.sweeps import style
from forgetting.report.sweeps.read import LocatedTarget, SweepFolder, read_sweep
from forgetting.report.sweeps.sweep_figures import capacities

HEAD = """# An adaptive sweep against the full grid

Made by `python validation/agreement.py {adaptive} {grid}`; do not edit. Embedded world, the same spec, students and
seeds. Agree: each value lies within the other's 90% interval, or both have the same verdict.

| target | at | level | adaptive | grid | agree | runs, adaptive | runs, grid |
| --- | --- | ---: | --- | --- | --- | ---: | ---: |
"""


def agree(one: Threshold, other: Threshold) -> bool:
    """Whether each value lies within the other's interval, or neither has one for the same reason."""
    if not (one.located and other.located):
        return one.status == other.status
    return other.low <= one.value <= other.high and one.low <= other.value <= one.high


def rows(adaptive: SweepFolder, grid: SweepFolder) -> list[str]:
    """A row of the table for each threshold that both have."""
    found = []
    for one, other in zip(adaptive.targets, grid.targets, strict=True):
        for placed, beside in zip(one.thresholds, other.thresholds, strict=True):
            a, b = placed.threshold, beside.threshold
            cells = [one.conditions, place_text(placed.place), f"{a.level:g}", told(a), told(b)]
            cells += ["yes" if agree(a, b) else "**no**", str(len(one.trials)), str(len(other.trials))]
            found.append(f"| {' | '.join(cells)} |\n")
    return found


@drawing.styled
def figure(adaptive: SweepFolder, grid: SweepFolder) -> Figure:
    """The runs and thresholds of the first target of both, side by side."""
    title = f"Adaptive sweep against full grid\n{grid.targets[0].conditions}"
    drawn, axes = drawing.grid(2, 2, title, below=0.62)
    for ax, name, sweep in zip(axes.flat, ("adaptive", "grid"), (adaptive, grid), strict=True):
        panel(ax, sweep, sweep.targets[0])
        ax.set_title(f"{name}: {len(sweep.targets[0].trials)} runs")
    axes[0, 0].set_ylabel("retention")
    drawing.legend(drawn, axes, [])
    return drawn


def panel(ax: Axes, sweep: SweepFolder, target: LocatedTarget) -> None:
    """A point a run, and a bar for each threshold with its interval, at the level."""
    own = sweep.observations(target)
    aside = 10 ** (0.015 * (own["seed"] - own["seed"].mean()))
    ax.plot(own["capacity"] * aside, own["retention"], "o", color=style.RUN_COLOUR, markersize=4, label="a run")
    sizes = capacities(own)
    for placed in target.thresholds:
        found = placed.threshold
        colour = style.level_colour(target, found.level)
        ax.axhline(found.level, color=colour, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        if found.located:
            ends = np.clip([found.low, found.high], min(sizes.values()) / 2, max(sizes.values()) * 2)
            label = f"threshold at {found.level:g} (90%)"
            ax.plot(ends, [found.level] * 2, color=colour, linewidth=5, alpha=0.45, solid_capstyle="butt")
            ax.plot(found.value, found.level, "D", color=colour, markeredgecolor="white", markersize=7, label=label)
    style.capacity_axis(ax, sizes)
    ax.set_ylim(-0.05, 1.12)


def swept(folder: Path) -> SweepFolder:
    """The sweep of a folder."""
    if (found := read_sweep(open_study(folder))) is None:
        raise UsageError(f"{folder}: must be the folder of a sweep that has ended")
    return found


def main() -> None:
    """Read both folders and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adaptive", type=Path, help="folder of the adaptive sweep")
    parser.add_argument("grid", type=Path, help="folder of the grid")
    parser.add_argument("--output", type=Path, default=Path("results/validation"))
    given = parser.parse_args()
    adaptive, grid = (swept(folder) for folder in (given.adaptive, given.grid))
    if [one.conditions for one in adaptive.targets] != [one.conditions for one in grid.targets]:
        raise UsageError(f"{given.grid}: must have the targets of {given.adaptive}")
    given.output.mkdir(parents=True, exist_ok=True)
    head = HEAD.format(adaptive=given.adaptive, grid=given.grid)
    tail = "\n![Runs and thresholds of both](agreement.png)\n"
    write_atomically(given.output / "agreement.md", head + "".join(rows(adaptive, grid)) + tail)
    FigureCanvasAgg(figure(adaptive, grid)).print_png(given.output / "agreement.png", metadata={"Software": None})  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    run_script(main)
