"""The evidence behind a sweep's thresholds as figures: step or trend, rate policy, calibration, and what runs cost.

Every function returns a ``Figure`` that no global state knows of, or None where there is nothing to draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from forgetting.analysis.level_set.calibration import SHARES, Calibration, calibration
from forgetting.analysis.thresholds.shapes import SHAPES, Shape
from forgetting.analysis.thresholds.threshold import Threshold, status_text, told
from forgetting.report import drawing
from forgetting.report.drawing import COLUMNS, DOTS_PER_INCH, MARKERS
from forgetting.report.sweeps import style
from forgetting.report.sweeps.read import LocatedTarget, SweepFolder
from forgetting.report.sweeps.sweep_figures import capacities
from forgetting.report.sweeps.sweep_tables import shapes

SHORT = {"constant": "const.", "line": "line", "logistic": "logist."}
SHAPE_STYLES = {"constant": ("#999999", ":"), "line": ("#0072b2", "--"), "logistic": ("#d55e00", "-")}


@drawing.styled
def shape(sweep: SweepFolder, target: LocatedTarget) -> Figure | None:
    """Is it a step or a trend? The three shapes through the runs of each shift with enough sizes, and the verdict."""
    judged = [(shift, own, found) for shift, own, found in shapes(sweep, target) if found.parameters]
    if not judged:
        return None
    figure, axes = drawing.grid(len(judged), COLUMNS, f"Step or trend?\n{target.conditions}", below=1.55)
    for ax, (shift, own, found) in zip(axes.flat, judged, strict=False):
        x = np.geomspace(own["capacity"].min(), own["capacity"].max(), 240)
        for name in SHAPES:
            colour, dashes = SHAPE_STYLES[name]
            wide = 2.2 if name == found.winner else 1.1
            ax.plot(x, found.predict(name, x), color=colour, linestyle=dashes, linewidth=wide, label=name)
        ax.plot(own["capacity"], own["retention"], "o", color=style.RUN_COLOUR, markersize=2.6, alpha=0.6)
        mean = own.groupby("capacity")["retention"].mean()
        ax.plot(mean.index, mean, "D", color=style.FIT_COLOUR, markersize=4.5, label="mean of the runs")
        style.capacity_axis(ax, capacities(own), room=0.13)
        ax.set_title(f"shift {shift:g}: {found.verdict}", fontweight="bold")
        ax.set_ylim(-0.05, 1.12)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
        ax.annotate(_evidence(found), (0, -0.28), xycoords="axes fraction", va="top", fontsize=6.5, color="#444444")
    for ax in axes[:, 0]:
        ax.set_ylabel("retention")
    drawing.legend(figure, axes, [*SHAPES, "mean of the runs"])
    return figure


@drawing.styled
def policies(sweep: SweepFolder, shift: float) -> Figure | None:
    """Capacity thresholds of everything that differs only in rate policy or rate, at one shift: one panel a source."""
    groups: dict[tuple[str, str, int], dict[str, list[Threshold]]] = {}
    some: dict[tuple[str, str, int], LocatedTarget] = {}
    for target in sweep.targets:
        found = [p.threshold for p in target.thresholds if p.place == shift and p.threshold.axis == "capacity"]
        if found and len(target.trials):
            key = (target.source, target.skill, target.dose)
            name = target.rate_policy.replace("_", " ") + f", {target.rate_multiple:g}× rate"
            groups.setdefault(key, {}).setdefault(name, found)
            some.setdefault(key, target)
    groups = {key: rows for key, rows in groups.items() if len(rows) > 1}
    if not groups:
        return None
    height = 1.1 + sum(0.5 + 0.42 * len(rows) for rows in groups.values())
    figure = Figure(figsize=(6.6, height), dpi=DOTS_PER_INCH, layout="constrained")
    figure.suptitle(f"Capacity threshold by rate policy and rate, shift {shift:g}", x=0.01, ha="left", fontsize=10)
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[len(rows) for rows in groups.values()])
    sizes = {str(s["name"]): int(s["capacity"]) for s in sweep.study.record["students"]}
    for ax, (key, rows) in zip(axes.flat, groups.items(), strict=True):
        own = {student: sizes[student] for student in some[key].students if student in sizes}
        for y, own_thresholds in enumerate(rows.values()):
            for threshold in own_thresholds:
                _bar(ax, some[key], threshold, y, list(own.values()))
        ax.set_yticks(range(len(rows)), list(rows))
        ax.set_ylim(len(rows) - 0.5, -0.5)
        style.capacity_axis(ax, own)
        ax.set_title(f"{key[0]} · {key[1]} at dose {key[2]:,}", loc="left")
    levels = sorted({t.level for rows in groups.values() for own in rows.values() for t in own}, reverse=True)
    target = next(iter(some.values()))
    handles = [
        Line2D([], [], color=style.level_colour(target, level), marker="D", linewidth=3, alpha=0.8)
        for level in levels
        if level in target.levels
    ]
    names = [f"threshold at {level:g}, 90% interval" for level in levels if level in target.levels]
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=7.5)
    return figure


@drawing.styled
def calibrations(sweep: SweepFolder) -> Figure | None:
    """Do the intervals hold? Retention of runs drawn at random against what other runs predict, and the coverage."""
    checked = [(target, found) for target in sweep.targets if (found := calibrated(sweep, target)) is not None]
    if not checked:
        return None
    lines = -(-len(checked) // 2)
    height = 3.5 + 0.17 * lines
    figure = Figure(figsize=(7.4, height), dpi=DOTS_PER_INCH)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(
        left=0.08, right=0.985, bottom=(0.6 + 0.17 * lines) / height, top=1 - 0.38 / height, wspace=0.24
    )
    figure.suptitle("Calibration on runs drawn at random, held out of the fit", x=0.01, ha="left", fontsize=10)
    shades = matplotlib.colormaps["viridis"](np.linspace(0.85, 0.0, len(checked)))
    for number, (target, found) in enumerate(checked):
        left.errorbar(
            found.predicted_T, found.observed_T, xerr=1.6449 * found.sd_T,
            fmt=MARKERS[number % len(MARKERS)], color=shades[number], elinewidth=0.8, markersize=4,
            label=f"{target.conditions}{_only(target)} ({len(found.observed_T)})",
        )  # fmt: skip
    left.plot([0, 1], [0, 1], color="#999999", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    left.set(
        xlabel="predicted retention, 90% interval", ylabel="measured retention", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03)
    )
    count = sum(len(found.observed_T) for _, found in checked)
    pooled = Calibration(
        *(np.concatenate([getattr(c, name) for _, c in checked]) for name in ("predicted_T", "sd_T", "observed_T"))
    )
    shares = (*SHARES, 0.95)
    held = [pooled.coverage(shares)[share] for share in shares]
    spread = [1.96 * np.sqrt(max(s * (1 - s), 1e-9) / count) for s in shares]
    low, high = np.subtract(shares, spread), np.minimum(np.add(shares, spread), 1)
    right.fill_between(shares, low, high, color="#999999", alpha=0.2, linewidth=0, label="95% of luck")
    right.plot([0.45, 1], [0.45, 1], color="#999999", linewidth=0.9, linestyle=(0, (4, 3)))
    right.plot(shares, held, "o-", color="#0072b2", label=f"all {count} held-out runs")
    right.set(xlabel="share that the interval should hold", ylabel="share that it held", xlim=(0.45, 1), ylim=(0, 1.04))
    right.legend(loc="lower right", fontsize=7.5)
    figure.legend(*left.get_legend_handles_labels(), loc="lower left", ncols=2, fontsize=6.3)
    return figure


@drawing.styled
def costs(sweep: SweepFolder) -> Figure | None:
    """What each search cost: operations by trial, in the order asked, and how many of the grid's runs."""
    searched = [target for target in sweep.targets if len(target.trials)]
    if not searched:
        return None
    height = 0.9 + 1.5 * len(searched)
    figure = Figure(figsize=(7.4, height), dpi=DOTS_PER_INCH)
    figure.suptitle("Cost by trial", x=0.01, ha="left", fontsize=10)
    figure.subplots_adjust(left=0.09, right=0.99, bottom=0.8 / height, top=1 - 0.6 / height, hspace=0.62)
    axes = figure.subplots(len(searched), 1, squeeze=False, sharex=True)
    names = list(dict.fromkeys(s for target in searched for s in target.students))
    sizes = {str(s["name"]): int(s["capacity"]) for s in sweep.study.record["students"]}
    names.sort(key=lambda name: sizes.get(name, 0))
    shades = dict(zip(names, matplotlib.colormaps["viridis"](np.linspace(0.85, 0.0, max(len(names), 2))), strict=False))
    for ax, target in zip(axes.flat, searched, strict=True):
        trials = target.trials
        for student, own in trials.groupby("student", sort=False):
            ax.bar(
                own["number"] + 1,
                own["flops"].astype(float) / 1e12,
                color=shades[str(student)],
                width=0.85,
                label=student,
            )
        failed = trials[trials["state"] == "fail"]
        ax.plot(failed["number"] + 1, np.zeros(len(failed)), "x", color="#d55e00", markersize=5, clip_on=False)
        held = trials[trials["holdout"].astype(bool)]
        ax.plot(held["number"] + 1, held["flops"].astype(float) / 1e12, "v", color="#222222", markersize=3)
        whole = float(trials["flops"].astype(float).sum()) / 1e12
        ax.set_title(
            f"{target.conditions}{_only(target)}\n"
            f"{len(trials)} of the grid's {target.grid_runs} runs, {whole:,.1f} teraflop",
            loc="left", fontsize=7.5,
        )  # fmt: skip
        ax.set_ylabel("teraflop")
    axes[-1, 0].set_xlabel("trial, in the order asked")
    handles: dict[str, Any] = {}
    for ax in axes.flat:
        found, labels = ax.get_legend_handles_labels()
        handles |= dict(zip(labels, found, strict=True))
    entries = [(handles[name], name) for name in names if name in handles]
    entries.append((Line2D([], [], marker="v", linestyle="none", color="#222222", markersize=4), "drawn at random"))
    entries.append((Line2D([], [], marker="x", linestyle="none", color="#d55e00"), "failed or not learned"))
    figure.legend(*zip(*entries, strict=True), loc="outside lower center", ncols=5, fontsize=7)
    return figure


def calibrated(sweep: SweepFolder, target: LocatedTarget) -> Calibration | None:
    """The target's held-out trials against the process of its others; None without any, or with too few others."""
    done = target.trials[target.trials["state"] == "complete"]
    held = done["holdout"].to_numpy(bool)
    if held.sum() < 1 or (~held).sum() < 4:
        return None
    sizes = {str(s["name"]): int(s["capacity"]) for s in sweep.study.record["students"]}
    columns = [np.log10(done["student"].map(sizes).to_numpy(float)), done["shift"].to_numpy(float)]
    points = np.stack([column for column in columns if np.ptp(column) > 0], axis=1)
    retention, variance = (done[name].to_numpy(float) for name in ("retention", "variance"))
    return calibration(points, retention, variance, held)


def _bar(ax: Axes, target: LocatedTarget, found: Threshold, y: int, sizes: Sequence[int]) -> None:
    """A threshold with its interval on a line of its own; an arrow at the end of the ladder where it lies beyond."""
    number = target.levels.index(found.level) if found.level in target.levels else 0
    colour, y_at = (
        style.LEVEL_COLOURS[number % len(style.LEVEL_COLOURS)],
        y + 0.2 * (number - (len(target.levels) - 1) / 2),
    )
    if found.located:
        low, high = max(found.low, min(sizes) / 2), min(found.high, max(sizes) * 2)
        ax.plot([low, high], [y_at, y_at], color=colour, linewidth=3, alpha=0.6, solid_capstyle="butt")
        ax.plot(found.value, y_at, "D", color=colour, markeredgecolor="white", markersize=6, label=told(found))
        return
    ends = {"below_range": (min(sizes), "<", "left"), "above_range": (max(sizes), ">", "right")}
    x, marker, side = ends.get(found.status, (float(np.sqrt(min(sizes) * max(sizes))), "x", "left"))
    ax.plot(x, y_at, marker=marker, color=colour, markersize=6, clip_on=False)
    ax.annotate(
        status_text("capacity", found.status), (x, y_at), (9 if side == "left" else -9, 0),
        textcoords="offset points", ha=side, va="center", fontsize=7, color=colour,
    )  # fmt: skip


def _evidence(found: Shape) -> str:
    """The numbers behind a verdict on the shape, in a few lines."""
    least = min(found.bic.values())
    high = f"{found.width_high:.2f}" if math.isfinite(found.width_high) else "open"
    width = f"width (10–90%) {found.width_decades:.2f} decades, 95%: {found.width_low:.2f} to {high}"
    return (
        f"{width}\nrung spacing {found.spacing:.2f}; {found.sizes} sizes × {found.seeds} seeds or more\n"
        f"BIC above the best: {_by_shape(found, {name: value - least for name, value in found.bic.items()}, 1)}\n"
        f"leave one size out: {_by_shape(found, found.leave_one_size_out, 2)}\n"
        f"reason: {found.reason.replace('_', ' ')}"
    )


def _by_shape(found: Shape, values: dict[str, float], digits: int) -> str:
    known = [name for name in found.parameters if math.isfinite(values[name])]
    unknown = [SHORT[name] for name in found.parameters if name not in known]
    text = ", ".join(f"{SHORT[name]} {values[name]:.{digits}f}" for name in known)
    return text + (f" ({', '.join(unknown)}: too few sizes)" if unknown else "")


def _only(target: LocatedTarget) -> str:
    """The shift of a target that was searched at one."""
    return f" · shift {next(iter(target.arms)):g}" if len(target.arms) == 1 else f" · {len(target.arms)} shifts"


def frame_of(found: Calibration) -> pd.DataFrame:
    """Predicted and measured retention of held-out runs, one row each."""
    values = {"predicted": found.predicted_T, "measured": found.observed_T, "z": found.z}
    return pd.DataFrame(values)
