"""What carries a forgetting curve where accuracy cannot: gold-trace delta-NLL, step accuracy and KL against dose."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forgetting.analysis.curves import ORIGINAL, skill_names
from forgetting.analysis.metrics import Status
from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.report import drawing, tables
from forgetting.report.drawing import MARKERS

MEASURES = {
    "delta_nll": "ΔNLL (nats a token)",
    "step_accuracy": "step accuracy",
    "kl": "KL (nats a token)",
}
Z = 1.959963984540054  # the normal distribution's 97.5% point


def not_eligible(study: StudyFolder, arm: ArmCurves) -> list[str]:
    """The skills that some student of the arm had not learned, so that accuracy cannot carry its curve."""
    return [s for s in tables.skills(study) if any(c.status != Status.ok.name for c in tables.main_curves(arm, s))]


@drawing.styled
def likelihood(study: StudyFolder, arm: ArmCurves) -> Figure | None:
    """Delta-NLL, step accuracy and KL against dose: a row a measure, a column a skill that was not learned."""
    skills = not_eligible(study, arm)
    scores = _scores(study, arm.name)
    scores = scores[scores["key"].isin(skills)]
    measures = [m for m in MEASURES if scores[m].notna().any()]
    if scores.empty or not measures:
        return None
    title = f"Where accuracy is not eligible: what the gold answers tell\n{arm.title}"
    figure, axes = drawing.grid(len(measures) * len(skills), len(skills), title, sharey="row")
    for row, measure in zip(axes, measures, strict=True):
        for ax, skill in zip(row, skills, strict=True):
            own = scores[scores["key"] == skill]
            if own[measure].isna().all():
                ax.set_visible(False)
                continue
            for number, student in enumerate(drawing.students(study)):
                mean = own[own["student"] == student].groupby("dose")[measure].mean().dropna()
                if mean.empty:
                    continue
                colour = drawing.colours(study)[student]
                ax.plot(mean.index, mean, color=colour, marker=MARKERS[number % len(MARKERS)], label=student)
                if measure == "delta_nll":
                    half = mean.index.map(_half_widths(study, arm.name, student, skill)).to_numpy(float)
                    ax.fill_between(mean.index, mean - half, mean + half, color=colour, alpha=0.16, linewidth=0)
            drawing.dose_axis(ax, tables.main_curves(arm, skill))
            ax.set_title(skill)
        row[0].set_ylabel(MEASURES[measure])
        if measure == "step_accuracy":
            row[0].set_ylim(-0.03, 1.03)
    drawing.legend(figure, axes, drawing.students(study))
    return figure


def _scores(study: StudyFolder, arm: str) -> pd.DataFrame:
    """Scores on the original items of all depths, with the key of the curve that they belong to."""
    rows = study.scores
    rows = rows[(rows["arm"] == arm) & (rows["variant"] == ORIGINAL) & rows["depth"].isna()]
    return rows.assign(key=rows["benchmark"].map(skill_names(study.scores)))


def _half_widths(study: StudyFolder, arm: str, student: str, skill: str) -> dict[int, float]:
    """By dose: half the 95% interval of delta-NLL a token over the items of the first seed, paired with dose 0.

    A ratio of sums, r = sum(d) / sum(t), has the standard error sqrt(sum((d - r t)^2)) / sum(t) by linearisation.
    Empty where the folder has no ledger: then nothing is known of single items.
    """
    if study.ledger is None:
        return {}
    rows = study.ledger[(study.ledger["arm"] == arm) & (study.ledger["student"] == student)]
    names = skill_names(study.ledger)
    rows = rows[(rows["benchmark"].map(names) == skill) & (rows["variant"] == ORIGINAL)]
    rows = rows[rows["seed"] == rows["seed"].min()]
    nll = rows.pivot(index="item", columns="dose", values="nll_sum")
    tokens = rows.groupby("item")["gold_tokens"].first().reindex(nll.index)
    found = {}
    for dose in nll.columns:
        rise = nll[dose] - nll[nll.columns[0]]
        spread = rise - rise.sum() / tokens.sum() * tokens
        found[int(dose)] = float(Z * np.sqrt((spread**2).sum()) / tokens.sum())
    return found
