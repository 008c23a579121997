"""A sweep's thresholds as figures: the surface over capacity and dose, and retention against capacity by shift.

Every function returns a ``Figure`` that no global state knows of, or None where there is nothing to draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from forgetting.analysis.statistics import Z_90
from forgetting.analysis.thresholds.threshold import told
from forgetting.report import drawing, tables
from forgetting.report.drawing import COLUMNS, DOTS_PER_INCH
from forgetting.report.sweeps import style
from forgetting.report.sweeps.fits import Fitted, fitted
from forgetting.report.sweeps.read import LocatedTarget, SweepFolder

GRID = 60  # points of a surface along each axis
SURFACE_COLOURS = "cividis"
SURFACE_SIZES, SURFACE_RUNS = 4, 12  # below which a surface would be the process's invention


def capacities(rows: pd.DataFrame) -> dict[str, int]:
    """Total parameters by student, ascending."""
    sizes = rows.drop_duplicates("student").sort_values("capacity")
    return {str(s): int(c) for s, c in zip(sizes["student"], sizes["capacity"], strict=True)}


@drawing.styled
def surface(sweep: SweepFolder, target: LocatedTarget, shift: float) -> Figure | None:
    """Retention over capacity and dose at one shift: fitted surface, level lines with their bands, and the runs."""
    rows = sweep.every_dose(target)
    rows = rows[rows["shift"] == shift]
    points = np.stack([np.log10(rows["capacity"].to_numpy(float)), np.log10(rows["dose"].to_numpy(float))], axis=1)
    enough = (
        rows["dose"].nunique() >= 3 and rows["student"].nunique() >= SURFACE_SIZES and _runs_in(rows) >= SURFACE_RUNS
    )
    fit = fitted(points, rows) if enough else None
    if fit is None:
        return None
    figure = Figure(figsize=(6.4, 4.6), dpi=DOTS_PER_INCH)
    ax = figure.subplots()
    figure.subplots_adjust(left=0.11, right=0.99, bottom=0.2, top=0.86)
    figure.suptitle(
        f"Retention over capacity and dose\n{_at(target, shift, dose=False)}", x=0.01, ha="left", fontsize=10
    )
    x, y = (np.linspace(low, low + width, GRID) for low, width in zip(fit.low_D, fit.width_D, strict=True))
    place = np.stack([a.reshape(-1) for a in np.meshgrid(x, y)], axis=1)
    mean, sd = (values.reshape(GRID, GRID) for values in fit.predict(place))
    shown = np.clip(mean, 0, 1)
    filled = ax.contourf(10**x, 10**y, shown, np.linspace(0, 1, 11), cmap=SURFACE_COLOURS, zorder=0)
    filled.set_rasterized(True)  # colours as a picture, in a tenth of the bytes
    handles = [_level_line(ax, target, level, x, y, mean, sd) for level in target.levels]
    cells = rows.groupby(["capacity", "dose"])["retention"].agg(["mean", "count"]).reset_index()
    ax.scatter(
        cells["capacity"], cells["dose"], c=cells["mean"].clip(0, 1), s=14 + 7 * cells["count"], cmap=SURFACE_COLOURS,
        vmin=0, vmax=1, edgecolors="white", linewidths=1.0, zorder=5, clip_on=False,
    )  # fmt: skip
    ax.axhline(target.dose, color="white", linewidth=0.8, linestyle=(0, (1, 2)), zorder=2)
    style.capacity_axis(ax, capacities(rows))
    doses = sorted(rows["dose"].unique())
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(FixedLocator([float(dose) for dose in doses]))
    ax.yaxis.set_major_formatter(FixedFormatter([tables.short_dose(int(dose)) for dose in doses]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylabel("dose (contaminating samples)")
    ax.grid(visible=False)
    figure.colorbar(filled, ax=ax, label="retention", pad=0.02, ticks=np.linspace(0, 1, 6))
    dot = Line2D([], [], marker="o", linestyle="none", markerfacecolor="#888888", markeredgecolor="#444444")
    handles += [
        (dot, "mean of the runs; larger: more runs"),
        (Line2D([], [], color="#999999", linestyle=":"), "dose searched"),
    ]
    figure.legend(*zip(*handles, strict=True), loc="lower center", ncols=2, frameon=False, fontsize=7.5)
    return figure


@drawing.styled
def retention_by_capacity(sweep: SweepFolder, target: LocatedTarget) -> Figure | None:
    """Retention against capacity at the target's dose: one panel a shift, with thresholds and their intervals."""
    rows = sweep.observations(target)
    shifts = [s for s in sorted(target.arms, reverse=True) if rows.loc[rows["shift"] == s, "student"].nunique() >= 2]
    if not shifts:
        return None
    title = f"Retention against capacity, with the threshold by shift\n{target.conditions}"
    figure, axes = drawing.grid(len(shifts), COLUMNS, title, below=0.95 if len(shifts) < 3 else 0.6)
    sizes, fit = capacities(rows), _whole(sweep, rows)
    for ax, shift in zip(axes.flat, shifts, strict=False):
        own = rows[rows["shift"] == shift]
        _runs(ax, own)
        if fit is not None:
            _band(ax, fit, own, shift)
        for number, level in enumerate(target.levels):
            _threshold(ax, target, level, shift, number)
        style.capacity_axis(ax, sizes, room=0.13)
        ax.set_title(f"shift {shift:g}, {len(own)} runs")
        ax.set_ylim(-0.05, 1.12)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    for ax in axes[:, 0]:
        ax.set_ylabel("retention")
    columns = (2, 3, 5)[min(len(shifts), 3) - 1]
    entries = _capacity_legend(target, fit is not None)
    figure.legend(*entries, loc="outside lower center", ncols=columns, fontsize=7.5)
    return figure


def _runs_in(rows: pd.DataFrame) -> int:
    """How many runs some looks are of."""
    return len(rows[["student", "shift", "distillation_seed", "seed"]].drop_duplicates())


def _at(target: LocatedTarget, shift: float, *, dose: bool) -> str:
    text = target.conditions if dose else target.conditions.replace(f" at dose {target.dose:,}", "")
    return f"{text} · shift {shift:g}"


def _whole(sweep: SweepFolder, rows: pd.DataFrame) -> Fitted | None:
    """The process over capacity and, where there are several, shift."""
    points = sweep.points(rows)
    return fitted(points if rows["shift"].nunique() > 1 else points[:, :1], rows)


def _level_line(ax: Axes, target: LocatedTarget, level: float, x: Any, y: Any, mean: Any, sd: Any) -> tuple[Any, str]:
    """Where the surface crosses a level, with the stretch in which it may; its entry in the legend."""
    colour = style.level_colour(target, level)
    away = (mean - level) / sd
    pale = ax.contourf(10**x, 10**y, np.abs(away), [0, Z_90], colors=["white"], alpha=0.28, zorder=1)
    pale.set_rasterized(True)
    for line in (-Z_90, Z_90):
        ax.contour(10**x, 10**y, away, [line], colors="white", linewidths=0.7, linestyles="dashed", zorder=2)
    for width, shade in ((3.4, "white"), (2.0, colour)):
        ax.contour(10**x, 10**y, mean, [level], colors=[shade], linewidths=width, zorder=3)
    return Line2D([], [], color=colour, linewidth=2.0), f"retention {level:g}; pale: its 90% band"


def _runs(ax: Axes, own: pd.DataFrame) -> None:
    """A point a run, those of one size side by side in order of their seeds."""
    seeds = own["seed"].to_numpy(float)
    aside = (seeds - seeds.mean()) / max(float(np.ptp(seeds)), 1.0)
    ax.plot(
        own["capacity"] * 10 ** (0.022 * aside), own["retention"], "o", color=style.RUN_COLOUR, markersize=3,
        alpha=0.75, zorder=3,
    )  # fmt: skip


def _band(ax: Axes, fit: Fitted, own: pd.DataFrame, shift: float) -> None:
    """The process along capacity at a shift, over the sizes that were measured there."""
    x = np.linspace(np.log10(own["capacity"].min()), np.log10(own["capacity"].max()), GRID)
    place = np.stack([x, np.full(GRID, shift)], axis=1)[:, : len(fit.low_D)]
    mean, low, high = fit.band(place)
    ax.plot(10**x, mean, color=style.FIT_COLOUR, zorder=2)
    ax.fill_between(10**x, low, high, color=style.FIT_COLOUR, alpha=0.14, linewidth=0, zorder=1)


def _threshold(ax: Axes, target: LocatedTarget, level: float, shift: float, number: int) -> None:
    """A level, and the threshold's interval lying on it; where there is none, why."""
    colour = style.level_colour(target, level)
    ax.axhline(level, color=colour, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    own = [p.threshold for p in target.thresholds if p.place == shift and p.threshold.level == level]
    found = next((t for t in own if t.axis == "capacity"), None)
    if found is None:
        return
    ax.annotate(
        f"{level:g}: {told(found)}", (0.98, 0.04 + 0.09 * number), xycoords="axes fraction", ha="right",
        fontsize=6.5, color=colour, zorder=6, bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6},
    )  # fmt: skip
    if not found.located:
        return
    low, high = (max(found.low, 1e-9), min(found.high, 1e12))
    ax.plot([low, high], [level, level], color=colour, linewidth=4.5, alpha=0.45, solid_capstyle="butt", zorder=4)
    ax.plot(found.value, level, marker="D", color=colour, markeredgecolor="white", markersize=6, zorder=5)
    ax.axvline(found.value, ymax=(level + 0.05) / 1.17, color=colour, linewidth=0.8, zorder=1)


def _capacity_legend(target: LocatedTarget, fit: bool) -> tuple[list[Any], list[str]]:
    handles: list[Any] = [Line2D([], [], marker="o", linestyle="none", color=style.RUN_COLOUR, markersize=4)]
    names = ["a run"]
    if fit:
        handles += [Line2D([], [], color=style.FIT_COLOUR), Patch(color=style.FIT_COLOUR, alpha=0.14)]
        names += ["fitted process", "its 90% band"]
    for level in target.levels:
        colour = style.level_colour(target, level)
        handles.append(Line2D([], [], color=colour, linewidth=3, alpha=0.7, marker="D", markeredgecolor="white"))
        names.append(f"threshold at {level:g} (90%)")
    return handles, names
