"""A sweep's findings as tables: thresholds with interval or verdict and remedy, zones, shapes, searches."""

from __future__ import annotations

import math

import pandas as pd

from forgetting.analysis.thresholds.shapes import Shape, judge_shape
from forgetting.analysis.thresholds.threshold import number, place_text, status_text
from forgetting.analysis.thresholds.zones import zone_table
from forgetting.report.sweeps.fits import zones
from forgetting.report.sweeps.read import LocatedTarget, SweepFolder

THRESHOLD_COLUMNS = (
    "contamination skill dose rate_policy rate axis place level threshold low high decades verdict runs students remedy"
).split()


def thresholds(sweep: SweepFolder) -> pd.DataFrame:
    """One row a threshold: where it holds, its value with the 90% interval, or the verdict and what to do about it.

    ``low`` and ``high`` are text, since a side may be open; a capacity is in parameters, a shift a share.
    """
    rows = []
    for target in sweep.targets:
        seen = sweep.observations(target)
        for placed in target.thresholds:
            found, capacity = placed.threshold, placed.threshold.axis == "capacity"
            runs = int((seen["shift" if capacity else "student"] == placed.place).sum())
            rows.append((
                target.source, target.skill, target.dose, target.rate_policy.replace("_", " "),
                f"{target.rate_multiple:g}×", found.axis, place_text(placed.place), f"{found.level:g}",
                number(found.axis, found.value), number(found.axis, found.low), number(found.axis, found.high),
                found.decades if math.isfinite(found.decades) else math.nan,
                status_text(found.axis, found.verdict), runs, found.of_students,
                found.remedy,
            ))  # fmt: skip
    return pd.DataFrame(rows, columns=THRESHOLD_COLUMNS)


def searches(sweep: SweepFolder) -> pd.DataFrame:
    """One row a search: its runs beside the grid's, hours inside them, and why it ended."""
    rows = []
    for target in sweep.targets:
        states = target.trials["state"].value_counts()
        hours = float(pd.to_numeric(target.trials["seconds"]).sum()) / 3600
        teraflops = float(pd.to_numeric(target.trials["flops"]).sum()) / 1e12
        done, failed = int(states.get("complete", 0)), int(states.get("fail", 0))
        rows.append((target.name, done, failed, pruned_text(target) or "none", target.grid_runs, f"{teraflops:,.3g}",
                     f"{hours:.2f}", target.ended))  # fmt: skip
    columns = ["search", "runs", "failed", "ended early", "grid", "teraflop", "hours inside the runs", "ended"]
    return pd.DataFrame(rows, columns=columns)


def pruned_text(target: LocatedTarget) -> str:
    """How many runs the pruning rule ended early, and between which doses; nothing if none."""
    doses = pd.to_numeric(target.trials["pruned_at"]).dropna()
    if doses.empty:
        return ""
    between = f"dose {doses.min():,.0f}" + (f" to {doses.max():,.0f}" if doses.min() < doses.max() else "")
    return f"{len(doses)} at {between}, below the level from there on (censored)"


def shapes(sweep: SweepFolder, target: LocatedTarget) -> list[tuple[float, pd.DataFrame, Shape]]:
    """The shape rule at every shift that has three sizes or more, from the largest shift down, with the runs judged."""
    rows, found = sweep.observations(target), []
    for shift in sorted(target.arms, reverse=True):
        own = rows[rows["shift"] == shift]
        if own["student"].nunique() >= 3:
            found.append((shift, own, judge_shape(own["capacity"], own["retention"])))
    return found


def shape_table(sweep: SweepFolder) -> pd.DataFrame:
    """One row a family and shift: the shape's verdict and why."""
    rows = []
    for target in sweep.families:
        for shift, own, found in shapes(sweep, target):
            high = f"{found.width_high:.2f}" if math.isfinite(found.width_high) else "open"
            width = f"{found.width_decades:.2f} ({found.width_low:.2f} to {high})"
            rows.append((target.conditions, f"{shift:g}", len(own), found.sizes, found.seeds, found.verdict, width,
                         found.reason.replace("_", " "), found.remedy))  # fmt: skip
    columns = ["conditions", "shift", "runs", "sizes", "seeds", "shape", "width in decades", "reason", "remedy"]
    return pd.DataFrame(rows, columns=columns)


def zone_tables(sweep: SweepFolder) -> list[tuple[LocatedTarget, pd.DataFrame, pd.DataFrame]]:
    """By family that has shift .5: section 4.2's table, and the probability of each zone by capacity."""
    found = []
    for target in sweep.families:
        by_capacity = zones(sweep, target)
        if by_capacity is not None:
            table = zone_table(by_capacity)
            table["students"] = [
                ", ".join(by_capacity.loc[by_capacity["zone"] == zone, "student"]) for zone in table["zone"]
            ]
            found.append((target, table, by_capacity))
    return found
