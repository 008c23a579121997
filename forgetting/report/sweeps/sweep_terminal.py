"""The end of a sweep in a terminal: thresholds, zones and how each search ended, in short."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from forgetting.analysis.thresholds.threshold import number, place_text, status_text
from forgetting.report.sweeps import sweep_tables
from forgetting.report.sweeps.read import LocatedTarget, SweepFolder


def summary(sweep: SweepFolder) -> list[RenderableType]:
    """Thresholds by family, zones, shapes, and why each search ended."""
    parts: list[RenderableType] = []
    begun = [target for target in sweep.targets if len(target.trials)]
    for family in sweep.families:
        own = [target for target in begun if target.family == family.family]
        if own:
            parts += [Text(f"Thresholds · {family.conditions}", style="bold"), threshold_table(own)]
            parts += [Text(f"{target.name}: {_runs(target)}; ended: {target.ended}") for target in own]
            counted = {p.threshold.of_students for t in own for p in t.thresholds if p.threshold.located}
            parts += [Text(text) for text in sorted(counted) if text]
    if len(begun) < len(sweep.targets):
        parts.append(Text(f"{len(sweep.targets) - len(begun)} of {len(sweep.targets)} searches were not begun"))
    remedies = {p.threshold.remedy for t in begun for p in t.thresholds if not p.threshold.located}
    parts += [Text(remedy, style="yellow") for remedy in sorted(remedies)]
    for target, _, by_capacity in sweep_tables.zone_tables(sweep):
        table = Table(title=f"Zones · {target.conditions}", title_justify="left", title_style="bold")
        for name in ("student", "retention at shift .5", "at shift .05", "zone", "probability"):
            table.add_column(name, justify="left" if name == "zone" else "right")
        for row in by_capacity.to_dict("records"):
            shown = [
                f"{row[f'retention_{s}']:.2f}" if row[f"retention_{s}"] == row[f"retention_{s}"] else "-"
                for s in ("0.5", "0.05")
            ]
            table.add_row(str(row["student"]), *shown, str(row["zone"]), f"{row['probability']:.2f}")
        parts.append(table)
    shapes = sweep_tables.shape_table(sweep)
    parts += [
        Text(f"Step or trend · {row['conditions']} · shift {row['shift']}: {row['shape']} ({row['reason']})")
        for row in shapes.to_dict("records")
    ]
    return parts


def threshold_table(targets: Sequence[LocatedTarget]) -> Table:
    """Where each threshold of some targets holds, with its value and interval, or its verdict."""
    table = Table()
    for name in ("threshold on", "at", "level", "value", "90% interval"):
        table.add_column(name, justify="left" if name in ("threshold on", "at") else "right")
    for placed in (placed for target in targets for placed in target.thresholds):
        found = placed.threshold
        verdict = status_text(found.axis, found.verdict)
        value = number(found.axis, found.value) if found.located else "-"
        interval = f"{number(found.axis, found.low)} to {number(found.axis, found.high)}" if found.located else verdict
        if found.located and found.verdict != found.status:
            interval += f", {verdict}"
        table.add_row(found.axis, place_text(placed.place), f"{found.level:g}", value, interval)
    return table


def _runs(target: LocatedTarget) -> str:
    done = int((target.trials["state"] == "complete").sum())
    failed = int((target.trials["state"] == "fail").sum())
    ended = sweep_tables.pruned_text(target)
    text = f"{done} runs of the grid's {target.grid_runs}" + (f", {failed} failed or not learned" if failed else "")
    return text + (f", ended early: {ended}" if ended else "")
