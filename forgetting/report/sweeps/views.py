"""All views of a sweep for the report: figures by file name, and what the page shows of each family."""

from __future__ import annotations

import json
from typing import Any

from matplotlib.figure import Figure

from forgetting.report.sweeps import doses, sweep_figures, sweep_tables, threshold_evidence
from forgetting.report.sweeps.read import LocatedTarget, SweepFolder

CAPTIONS = {
    "surface": (
        "Colour and lines: a Gaussian process on retention over capacity and dose; pale: where the level may be "
        "crossed (90%). Looks of one run are taken as independent, so the pale stretch errs to the narrow side; the "
        "threshold's own interval is in the next figure."
    ),
    "capacity": (
        "Grey: the runs, in order of their seeds. Diamond and bar: threshold and 90% interval. It covers the gap "
        "between sizes in which the crossing lies, since a boundary may be a step."
    ),
    "shape": (
        "Least squares through the runs; the thick line has the lowest BIC. A step is a logistic that is narrower than "
        "one rung spacing, at 95%; with fewer than 7 sizes or 5 seeds the rule says inconclusive."
    ),
    "policies": (
        "A size threshold can be made by the learning rate alone: here it is under each policy and rate that was "
        "searched."
    ),
    "calibration": (
        "Runs whose points were drawn at random, predicted from all others of their search, seed noise included. Where "
        "intervals are right, the line lies in the grey."
    ),
    "cost": "Operations by the usual count, training and evaluation. Triangles: drawn at random, for the calibration.",
}


def drawn(sweep: SweepFolder) -> dict[str, Figure]:
    """Every figure of a sweep that has something to show, by file name."""
    found: dict[str, Figure | None] = {}
    for target in sweep.families:
        mark = name_of(target)
        found[f"capacity-{mark}"] = sweep_figures.retention_by_capacity(sweep, target)
        found[f"shape-{mark}"] = threshold_evidence.shape(sweep, target)
        for shift in sorted(target.arms, reverse=True):
            found[f"surface-{mark}-shift{shift:g}"] = sweep_figures.surface(sweep, target, shift)
    for shift in sorted({shift for target in sweep.targets for shift in target.arms}, reverse=True):
        found[f"policies-shift{shift:g}"] = threshold_evidence.policies(sweep, shift)
    found["calibration"] = threshold_evidence.calibrations(sweep)
    found["cost"] = threshold_evidence.costs(sweep)
    return {f"sweep-{name}": figure for name, figure in found.items() if figure is not None}


def name_of(target: LocatedTarget) -> str:
    """A family's part of the file names of its figures."""
    text = f"{target.source}-{target.skill}-dose{target.dose}-{target.rate_policy}"
    text += f"-rate{target.rate_multiple:g}" if target.rate_multiple != 1 else ""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in text.replace(" (", "_").replace(")", ""))


def main_arms(sweep: SweepFolder) -> list[str]:
    """The arms whose forgetting curves the report draws: by contamination, the first searched at its largest shift."""
    first: dict[str, str] = {}
    for target in sweep.targets:
        first.setdefault(target.contamination, target.arms[max(target.arms)])
    return list(first.values())


def page(sweep: SweepFolder, inline: dict[str, Any], table: Any) -> dict[str, Any]:
    """What the report's template shows. ``inline`` has the SVG of every figure, ``table`` makes a frame HTML."""
    families, first = [], f"sweep-capacity-{name_of(sweep.families[0])}"
    zones = {target.family: (short, long) for target, short, long in sweep_tables.zone_tables(sweep)}
    for target in sweep.families:
        own = [key for key in inline if _belongs(key, target) and key != first]
        shown = [{"svg": inline[key], "caption": CAPTIONS[key.split("-")[1]]} for key in own]
        short, long = zones.get(target.family, (None, None))
        families.append(
            {
                "title": target.conditions,
                "figures": shown,
                "zones": None if short is None else table(short),
                "by_capacity": None if long is None else table(long),
            }
        )
    others = [
        {"svg": svg, "caption": CAPTIONS[key.split("-")[1]]}
        for key, svg in inline.items()
        if key.startswith("sweep-") and key.split("-")[1] in ("policies", "calibration", "cost")
    ]
    own_words = {name: value for name, value in sweep.spec.items() if name != "study"}
    return {
        "figure": inline.get(first, ""),
        "caption": CAPTIONS["capacity"],
        "fingerprint": sweep.fingerprint,
        "spec": json.dumps(own_words, indent=2, default=str),
        "thresholds": table(sweep_tables.thresholds(sweep)),
        "searches": table(sweep_tables.searches(sweep)),
        "shapes": table(sweep_tables.shape_table(sweep)),
        "doses": table(doses.table(sweep)),
        "families": families,
        "figures": others,
    }


def _belongs(key: str, target: LocatedTarget) -> bool:
    """Whether a figure is of this family, and not of one whose name goes on."""
    first, kind, *_ = [*key.split("-"), "", ""]
    if first != "sweep" or kind not in ("surface", "capacity", "shape"):
        return False
    mark = key.removeprefix(f"sweep-{kind}-")
    return mark == name_of(target) or mark.startswith(f"{name_of(target)}-shift")
