"""How much replay a size needs, as a figure and a table: the smallest share against parameters, with two laws.

Only of studies in which arms replay; nothing is drawn beyond the sizes that were measured unless that is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from forgetting.analysis.curves import skill_names
from forgetting.analysis.learning_paths import REPLAYS, mitigation
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing
from forgetting.report.topic import Topic

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito's, one a kind of replay
SKILL, FEWEST_SIZES = "maths", 3
# Full fine-tuning of Llama-3.1-8B: a taught format falls from 1 to 0 without replay, and stays with every share that
# was tried, from .01 on (MakazhanAlpamys/Soup#314, August 2026).
OUTSIDE_NAME, OUTSIDE_SIZE, OUTSIDE_SHARE = "Llama-3.1-8B, Soup#314", 8.03e9, 0.01
LEAST_SHOWN = 1e-3  # the end of the axis, where none is needed


def kept_shares(study: StudyFolder) -> pd.DataFrame:
    """The shares that every size needs at the last dose, found once for all views; empty where no arm replays."""
    if "replay shares" not in study.kept:
        arms = [mitigation(arm)["name"] for arm in study.record.get("arms", []) if arm["name"] in study.arm_names]
        told = bool(set(arms) & set(REPLAYS)) and SKILL in skill_names(study.scores).values()
        study.kept["replay shares"] = _found(study) if told else pd.DataFrame()
    return study.kept["replay shares"]


def _found(study: StudyFolder) -> pd.DataFrame:
    from forgetting.analysis.replay_share import replay_shares  # with level sets, which few studies need

    return replay_shares(study, SKILL)


@drawing.styled
def replay_figure(shares: pd.DataFrame, beyond: float = 0.0) -> Figure | None:
    """The smallest share that keeps a level against parameters: a panel a level, a colour a kind of replay.

    Args:
        shares: of one set of arms, as ``replay_shares`` gives them
        beyond: parameters up to which the laws are extrapolated, dashed and labelled so, with an outside measurement
            where it lies within; 0: only between the sizes that were measured
    """
    if shares.empty or shares["student"].nunique() < FEWEST_SIZES:
        return None
    levels, kinds = sorted(shares["level"].unique(), reverse=True), list(dict.fromkeys(shares["replayed"]))
    first = shares.iloc[0]
    title = f"Smallest share of replay that keeps {first['skill']} at dose {first['dose']:,}\n{first['arms']}"
    figure, axes = drawing.grid(len(levels), len(levels), title)
    for ax, level in zip(axes.flat, levels, strict=True):
        said = []
        for number, kind in enumerate(kinds):
            own = shares[(shares["level"] == level) & (shares["replayed"] == kind)].sort_values("capacity")
            if len(own):
                colour = COLOURS[number % len(COLOURS)]
                _points(ax, own.assign(capacity=own["capacity"] * 1.06**number), kind, colour)
                said += _law(ax, own, kind, colour, beyond)
        if beyond >= OUTSIDE_SIZE:
            outside: dict[str, Any] = {"marker": "v", "linestyle": "none", "color": "black"}
            ax.plot([OUTSIDE_SIZE], [OUTSIDE_SHARE], label=f"{OUTSIDE_NAME}: at most", **outside)
        ax.annotate("\n".join(said), (0.97, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=6.5)
        ax.set_title(f"keeps {level:g}")
        ax.set_xlabel("parameters")
        _log_axes(ax)
    axes[0, 0].set_ylabel("share of the stream")
    drawing.legend(figure, axes, [], 4)
    return figure


def _log_axes(ax: Axes) -> None:
    """Ticks in plain figures: the style of figures has no mathematics in text."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(LEAST_SHOWN * 0.7, 4)
    low, high = ax.get_xlim()
    places = [m * 10.0**k for k in range(3, 12) for m in ((1, 3) if high < 100 * low else (1,))]
    sizes = [size for size in places if low <= size <= high]
    for axis, ticks in ((ax.xaxis, sizes), (ax.yaxis, [0.001, 0.01, 0.1, 1.0])):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
    ax.set_xticklabels([drawing.short(size) for size in sizes])
    ax.set_yticklabels(["none", ".01", ".1", "1"])


def _points(ax: Axes, own: pd.DataFrame, kind: str, colour: str) -> None:
    """Located sizes with their intervals; an arrow down where none is needed, up where more than was tried."""
    found = own[own["status"] == "located"]
    value, low, high = (np.clip(found[name].to_numpy(float), LEAST_SHOWN, 1.0) for name in ("share", "low", "high"))
    error = [value - low, high - value]
    ax.errorbar(found["capacity"], value, yerr=error, fmt="o", color=colour, elinewidth=0.9, label=kind)
    for status, at, marker in (("none needed", LEAST_SHOWN, "v"), ("more than was tried", 1.0, "^")):
        sizes = own.loc[own["status"] == status, "capacity"]
        ax.plot(sizes, np.full(len(sizes), at), marker=marker, linestyle="none", color=colour, fillstyle="none")


def _law(ax: Axes, own: pd.DataFrame, kind: str, colour: str, beyond: float) -> list[str]:
    """The law with the smaller error, a line between the sizes and dashed beyond them; what to say of it."""
    from forgetting.analysis.replay_share import share_laws

    laws = share_laws(own)
    if not laws:
        return []
    best = min(laws, key=lambda law: law.error)
    ends = float(own["capacity"].min()), float(own["capacity"].max())
    inside = np.geomspace(*ends, 60)
    ax.plot(inside, np.maximum(best.share(inside), LEAST_SHOWN), color=colour, linewidth=1)
    if beyond > ends[1]:
        outside = np.geomspace(ends[1], beyond, 60)
        shown = np.maximum(best.share(outside), LEAST_SHOWN)
        ax.plot(outside, shown, color=colour, linewidth=1, linestyle=(0, (4, 3)), label="extrapolated")
    what = "a constant" if best.name == "constant" else "(1 + B share) N"
    return [f"{kind}: {what}, {best.error:.2f} decades off"]


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """The figure of every set of arms that replays and has three sizes or more, by file name."""
    shares = kept_shares(study)
    groups = shares.groupby("arms", sort=False) if len(shares) else ()
    found = {f"replay-{arms}": replay_figure(own) for arms, own in groups}
    return {name: figure for name, figure in found.items() if figure is not None}


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    return {"Shares by size, level and dose": kept_shares(study)}


TOPIC = Topic(
    anchor="replay",
    title="How much replay does a size need?",
    text=("The smallest share of the stream that keeps a level of retention at a dose. Low and high bound it at 90%."),
    captions={
        "replay": (
            "Bars: 90%, the level set along log share, by students. Arrows: none is needed, or more than was tried. "
            "Line: the better of two laws, a constant and (1 + B share) N parameters (arXiv 2502.06042), by the mean "
            "distance of sizes from the law fitted to the others."
        ),
    },
    tables=_tables,
    drawn=drawn,
)
