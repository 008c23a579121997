"""Accuracy against thinking budget as a figure; without torch."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from forgetting.report import drawing


@drawing.styled
def budget_curve(frame: pd.DataFrame, title: str) -> Figure:
    """Accuracy with its band and, dashed, the share of thoughts that the budget closed, against the budget."""
    figure, axes = drawing.grid(1, 1, title)
    ax, at = axes[0, 0], frame["budget"]
    ax.plot(at, frame["accuracy"], marker="o", color="#31688e", label="accuracy")
    ax.fill_between(at, frame["accuracy_low"], frame["accuracy_high"], color="#31688e", alpha=0.16, linewidth=0)
    ax.plot(at, frame["cut"], linestyle="--", color="#888888", label="thoughts closed by the budget")
    ax.set_xscale("symlog", linthresh=8)
    ax.set_xticks(list(at), [f"{b:,}" for b in at])
    ax.set_xlabel("thinking budget (tokens)")
    ax.set_ylim(-0.03, 1.03)
    drawing.legend(figure, axes, [])
    return figure
