"""Lost, hidden or garbled, and in which modules: a probed study in; figures with their controls, and tables, out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forgetting.analysis.lost_shares import SHARES, lost_shares, probe_effects
from forgetting.analysis.module_effects import module_effects, readings, shapley_values
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing
from forgetting.report.topic import Topic

COLOURS = {"garbled": "#56b4e9", "hidden": "#e69f00", "lost": "#5a5a5a"}  # Okabe and Ito's, but for the last
PROBE_COLOUR, CONTROL_COLOUR = "#0072b2", "#8a8a8a"
CAPTIONS = {
    "shares": (
        "Left: the accuracy lost since dose 0, in three shares that add up: garbled is what the best probe at decoding "
        "brings back beyond its control, hidden what relearning from a few originals adds beyond a student that was "
        "never taught, lost the rest; bars: 95%, Student's t over students, of garbled and of lost. Right: what every "
        "probe brings back (filled) beside its control (hollow), as shares of the loss; bars: 95% of the difference."
    ),
    "modules": (
        "Share of the lost accuracy that comes back with the modules of dose 0 (restore), or is lost with those of the "
        "tuned student in the one of dose 0 (transplant); bars: 95%, Student's t over students. Hollow: the mean of "
        "random sets of as many weights (circle) and of equal squared change (square). Only what lies beyond them says "
        "something of the module."
    ),
}
MOST_MODULES = 14  # of a panel


def kept_tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    """Everything that probes say of a study, made once for all views; nothing of a study without."""
    if "probe shares" not in study.kept:
        makers = {"shares": lost_shares, "probes": probe_effects, "modules": module_effects}
        makers |= {"shapley": shapley_values, "readings": readings}
        study.kept |= {f"probe {name}": maker(study) for name, maker in makers.items()}
    names = ("shares", "probes", "readings", "modules", "shapley")
    found = {name: study.kept[f"probe {name}"] for name in names}
    found["shares"] = found["shares"][found["shares"]["status"] != "probes missing"]
    return {name: table for name, table in found.items() if len(table)}


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """The figures of every arm and benchmark that was probed, by name."""
    if study.probing.empty:
        return {}
    tables, found = kept_tables(study), dict[str, Figure | None]()
    for name, draw in (("shares", shares_figure), ("modules", modules_figure)):
        if name in tables:
            for (arm, benchmark), own in tables[name].groupby(["arm", "benchmark"], sort=False):
                found[f"{name}-{arm}-{benchmark}"] = draw(own, tables.get("probes", pd.DataFrame()))
    return {name: figure for name, figure in found.items() if figure is not None}


@drawing.styled
def shares_figure(shares: pd.DataFrame, probes: pd.DataFrame) -> Figure | None:
    """The three shares of one arm and benchmark by size, and each probe beside its control in a panel a size."""
    shares = shares[shares["status"] == "ok"].sort_values("capacity")
    if shares.empty:
        return None
    first = shares.iloc[0]
    title = f"Lost, hidden or garbled: {first['benchmark']} after {first['arm']}, by students"
    figure, axes = drawing.grid(1 + len(shares), 4, title, below=0.8, sharey="row", foot=0.35)
    _stacked(axes.flat[0], shares)
    for ax, row in zip(axes.flat[1:], shares.itertuples(), strict=False):
        own = probes[(probes["student"] == row.student) & (probes["arm"] == row.arm)]
        _beside_controls(ax, own[own["benchmark"] == row.benchmark], f"{row.student}, {row.students} students")
    for ax in axes[:, 0]:
        ax.set_ylabel("share of the loss")
    drawing.legend(figure, axes, [*SHARES, "with the probe", "its control"])
    return figure


def _stacked(ax: Axes, shares: pd.DataFrame) -> None:
    places, bottom = np.arange(len(shares)), np.zeros(len(shares))
    for name in SHARES:
        value = shares[name].to_numpy(float)
        ax.bar(places, value, 0.72, bottom=bottom, color=COLOURS[name], label=name, zorder=2)
        for place, low, high in zip(places, bottom, value, strict=True):
            colour = "white" if name == "lost" else "black"
            text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5, "color": colour, "zorder": 4}
            ax.annotate(f"{high:.2f}" if high >= 0.06 else "", (place - 0.2, low + high / 2), **text)
        bottom = bottom + value
    style: dict[str, Any] = {"fmt": "none", "ecolor": "black", "elinewidth": 1.0, "capsize": 2.0, "zorder": 3}
    garbled, first = shares["garbled"], [shares[f"garbled_{end}"] for end in ("low", "high")]
    lost, last = shares["lost"], [shares[f"lost_{end}"] for end in ("low", "high")]
    ax.errorbar(places + 0.08, garbled, yerr=_reach(garbled, *first), **style)
    ax.errorbar(places + 0.24, 1 - lost, yerr=_reach(1 - lost, 1 - last[1], 1 - last[0]), **style)
    labels = [f"{s}\nlost {loss:.2f}" for s, loss in zip(shares["student"], shares["loss"], strict=True)]
    ax.set_xticks(places, labels, fontsize=7.5)
    ax.set_xlim(-0.8, max(len(shares) - 0.2, 1.2))
    ax.set_ylim(-0.25, 1.12)
    ax.set_title("shares that add up")


def _reach(value: pd.Series, low: pd.Series, high: pd.Series) -> np.ndarray:
    """How far an interval reaches to either side; nowhere where there is none."""
    return np.asarray(np.nan_to_num(np.array([value - low, high - value], float)).clip(min=0))


def _beside_controls(ax: Axes, own: pd.DataFrame, title: str) -> None:
    places = np.arange(len(own))
    net, low, high = (own[name].to_numpy(float) for name in ("net", "low", "high"))
    value, control = own["recovered"].to_numpy(float), own["control"].to_numpy(float)
    error = np.nan_to_num([net - low, high - net]).clip(min=0)  # of the difference between the two
    ax.errorbar(places, value, yerr=error, fmt="o", color=PROBE_COLOUR, elinewidth=0.9, label="with the probe")
    hollow: dict[str, Any] = {"linestyle": "none", "fillstyle": "none", "color": CONTROL_COLOUR, "marker": "o"}
    ax.plot(places, control, label="its control", **hollow)
    ax.set_xticks(places, list(own["probe"]), rotation=35, ha="right", rotation_mode="anchor", fontsize=7.5)
    ax.axhline(0, color="#b0b0b0", linewidth=0.8, zorder=1)
    ax.set_xlim(-0.6, len(own) - 0.4)
    ax.set_title(title)


@drawing.styled
def modules_figure(effects: pd.DataFrame, _: pd.DataFrame) -> Figure | None:
    """Modules of one arm and benchmark beside their random sets: a panel a size and kind; none without random sets."""
    shown = effects[effects["random_size"].notna()].sort_values(["kind", "capacity"], kind="stable")
    panels = list(shown.groupby(["kind", "capacity"], sort=False))
    if not panels:
        return None
    first = shown.iloc[0]
    title = f"In which modules {first['benchmark']} is lost after {first['arm']}, by students"
    columns, names = shown["capacity"].nunique(), {"size": "random, as many weights", "change": "random, equal change"}
    figure, axes = drawing.grid(len(panels), columns, title, below=0.85, sharey="row", foot=0.5)
    for ax, ((kind, _capacity), own) in zip(axes.flat, panels, strict=False):
        own, places = own.head(MOST_MODULES), np.arange(min(len(own), MOST_MODULES))
        value, low, high = (own[f"share{end}"].to_numpy(float) for end in ("", "_low", "_high"))
        error = np.nan_to_num([value - low, high - value]).clip(min=0)
        ax.errorbar(places, value, yerr=error, fmt="o", color=PROBE_COLOUR, elinewidth=0.9, label="modules")
        for control, marker in (("size", "o"), ("change", "s")):
            hollow: dict[str, Any] = {"linestyle": "none", "fillstyle": "none", "color": CONTROL_COLOUR}
            ax.plot(places + 0.22, own[f"random_{control}"], marker=marker, label=names[control], **hollow)
        ax.set_xticks(
            places, [_short(name) for name in own["modules"]], rotation=40, ha="right", rotation_mode="anchor"
        )
        ax.tick_params(axis="x", labelsize=7)
        ax.axhline(0, color="#b0b0b0", linewidth=0.8, zorder=1)
        ax.set_title(f"{kind}: {own['student'].iloc[0]}, {own['students'].iloc[0]} students")
    for ax in axes[:, 0]:
        ax.set_ylabel("share of the loss")
    drawing.legend(figure, axes, ["modules", *names.values()], columns=2)
    return figure


def _short(modules: str) -> str:
    """Two modules of one kind, or of one block, by what they share."""
    names = [name.split(".") for name in modules.split("+")]
    if len(names) > 1 and all(len(name) == 2 for name in names):
        kinds, blocks = {name[0] for name in names}, {name[1] for name in names}
        if len(kinds) == 1:
            return f"all {kinds.pop()}"
        if len(blocks) == 1:
            return f"block {blocks.pop()}"
    return modules


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    return {} if study.probing.empty else kept_tables(study)


TOPIC = Topic(
    anchor="probes",
    title="Lost, hidden or garbled, and where?",
    text=("Probes of the students after the last dose, each with its control (docs/probes.md)."),
    captions=CAPTIONS,
    tables=_tables,
    drawn=drawn,
)
