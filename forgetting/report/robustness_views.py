"""What perturbed wordings cost, drawn: the drop against size, before the contamination and after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from forgetting.analysis.mixed_logit import mixed_logit
from forgetting.analysis.robustness import group_shares, half_doses, robustness, table_1
from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.report import drawing, tables
from forgetting.report.topic import Topic

# Of groups with several candidates the mean is drawn full and the worst dashed; references and other skills are hollow.
STYLES = {
    "devices": ("#1f77b4", "o"),
    "words": ("#2ca02c", "s"),
    "2 at once": ("#ff7f0e", "D"),
    "3 at once": ("#d62728", "^"),
    "functional": ("#9467bd", "v"),
    "renumbered": ("black", "X"),
}
FEWEST_SIZES = 2


def kept_robustness(study: StudyFolder) -> pd.DataFrame:
    """The table of a study's perturbed variants, made once for all views; empty where there are none."""
    if "robustness" not in study.kept:
        study.kept["robustness"] = robustness(_shares(study))
    return study.kept["robustness"]


def kept_half_doses(study: StudyFolder) -> pd.DataFrame:
    """The half-doses of accuracy and robustness, made once; empty without perturbed variants along the dose."""
    if "half_doses" not in study.kept:
        study.kept["half_doses"] = half_doses(_shares(study))
    return study.kept["half_doses"]


def kept_mixed_logit(study: StudyFolder) -> pd.DataFrame:
    """The mixed logit at each arm's last dose, made once; empty without a ledger or with one student a size."""
    if "mixed_logit" not in study.kept:
        study.kept["mixed_logit"] = mixed_logit(study)
    return study.kept["mixed_logit"]


def _shares(study: StudyFolder) -> pd.DataFrame:
    if "group_shares" not in study.kept:
        study.kept["group_shares"] = group_shares(study)
    return study.kept["group_shares"]


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """The figure of every arm with perturbed variants at two sizes or more, by file name.

    Controls and other rates apart, as with the other figures of an arm.
    """
    found = {}
    every = kept_robustness(study)
    for name, own in every[every["group"].isin(list(STYLES))].groupby("arm", sort=False):
        arm = study.arm(str(name))
        main = not tables.is_control(arm) and float(arm.settings.get("rate_multiple", 1)) == 1
        if own["student"].nunique() >= FEWEST_SIZES and main:
            found[f"robustness-{name}"] = robustness_figure(arm, own)
    return found


@drawing.styled
def robustness_figure(arm: ArmCurves, own: pd.DataFrame) -> Figure:
    """Relative drop against parameters: a row a benchmark, a column a dose; the worst of several candidates dashed."""
    benchmarks, doses = list(dict.fromkeys(own["benchmark"])), sorted({own["dose"].min(), own["dose"].max()})
    figure, axes = drawing.grid(
        len(benchmarks) * len(doses),
        len(doses),
        f"What perturbed wordings cost: 1 - perturbed / original\n{arm.title}",
        foot=1.05,
    )
    places = [(name, dose) for name in benchmarks for dose in doses]
    for ax, (benchmark, dose) in zip(axes.flat, places, strict=True):
        some = own[(own["benchmark"] == benchmark) & (own["dose"] == dose)].sort_values("capacity")
        for number, (group, (colour, marker)) in enumerate(STYLES.items()):
            rows = some[some["group"] == group]
            if len(rows):
                _line(ax, rows.assign(capacity=rows["capacity"] * 1.02**number), group, colour, marker)
        ax.axhline(0, color=drawing.LEVEL_COLOUR, linewidth=0.9, zorder=1)
        ax.set_title(f"{benchmark}, dose {dose:,}")
        ax.set_xlabel("parameters")
        _sizes(ax, own["capacity"].to_numpy(float))
    drawing.legend(figure, axes, [], 2)
    return figure


def _line(ax: Axes, rows: pd.DataFrame, group: str, colour: str, marker: str) -> None:
    reference = group == "renumbered"
    style: dict[str, Any] = {"color": colour, "marker": marker, "fillstyle": "none" if reference else "full"}
    style |= {"linestyle": ":" if reference else "-", "linewidth": 1.0}
    value = rows["drop"].to_numpy(float)
    candidates = int(rows["candidates"].max())
    words = group.replace("_", " ") + (f", mean of {candidates}" if candidates > 1 else "")
    ax.plot(rows["capacity"], value, label=words, **style)
    error = np.clip([value - rows["drop_low"], rows["drop_high"] - value], 0, None)
    ax.errorbar(rows["capacity"], value, yerr=error, fmt="none", ecolor=colour, elinewidth=0.7, alpha=0.6)
    if candidates > 1 and rows["worst_drop"].notna().any():
        worst = style | {"linestyle": "--", "fillstyle": "none"}
        ax.plot(rows["capacity"], rows["worst_drop"], label=f"{group}, worst of {candidates}", **worst)


def _sizes(ax: Axes, capacities: np.ndarray) -> None:
    """A log axis with ticks in plain figures."""
    low, high = float(capacities.min()), float(capacities.max())
    ax.set_xscale("log")
    ax.set_xlim(low / 1.15, high * 1.3)
    places = [m * 10.0**k for k in range(3, 12) for m in (1, 2, 5) if low / 1.15 <= m * 10.0**k <= high * 1.3]
    ax.xaxis.set_major_locator(FixedLocator(places))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([drawing.short(place) for place in places])


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    every, title = kept_robustness(study), "Original, perturbed and drop in per cent: "
    found = {f"{title}{arm}": table_1(every, arm) for arm in study.arm_names} | {"Every group of wordings": every}
    found |= {"Half-doses of robustness and of accuracy": kept_half_doses(study)}
    return found | {"Mixed logit of dose and wording": kept_mixed_logit(study)}


TOPIC = Topic(
    anchor="robustness",
    title="Perturbed wordings",
    text=(
        "Per cent: means over students that had learned the skill; perturbed is the mean over rephrased, renamed, "
        "reordered and distractor, where the benchmark has them. Worst: share of problems right in the original and "
        "in every wording of the group; both: mean share right in the original and one wording; agreement: mean over "
        "pairs of wordings of the share with the same outcome. Half-doses: where the worst of a group, and accuracy, "
        "stay below half of what they were at dose 0; later is log2 of one over the other by student, and beside it "
        "less the same of as many renumbered problems. Mixed logit: right ~ after x wording + (1|problem) + "
        "(1|student) + (0 + after|student), in logits against the original wording at dose 0."
    ),
    captions={
        "robustness": (
            "Relative drop of accuracy against the original wording: the mean over a group of wordings; dashed, the "
            "worst of them for each problem. Renumbered is the reference: other items of the same kind. Bars: 95%, "
            "Student's t over students."
        ),
    },
    tables=_tables,
    drawn=drawn,
)
