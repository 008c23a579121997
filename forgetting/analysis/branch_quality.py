"""What students of one trunk are like beside their accuracy: a study in; skill by depth, robustness and effort, out.

Branches may stop at one accuracy and be different students: surer of short problems, of one wording only, or writing as
many steps whatever the problem takes. Effort is how many steps an answer has against how many its problem has (after
arXiv 2601.05019, where students that imitate lose their teacher's profile): the slope of one on the other, 1 where the
answer has the problem's own number, and the share of answers that have exactly that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis.branches import AGAINST, branch_runs, mean_with_interval
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.failures import world_texts
from forgetting.analysis.metrics import Floats
from forgetting.analysis.record_reading import QUALITY_FILE
from forgetting.analysis.robustness import group_shares
from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.table_checks import check_quality
from forgetting.errors import unknown
from forgetting.record.schema import RUN_KEY
from forgetting.world.steps import read

EQUAL_SKILL = 0.02  # accuracies farther apart are not one skill
MARGIN = 0.05  # less is no difference, in shares and in steps for a step of the problem
WRITTEN_OUT = "maths"  # the benchmark whose answers are steps of the embedded world, as many as the item is deep
WHOLE = "all"
DEVICES, REFERENCE = "devices", "renumbered"
# Measures that a verdict is given of, beside accuracy by depth; drops of single devices and the reference are shown.
MAIN = (("drop", DEVICES), ("worst", DEVICES), ("slope", WHOLE), ("own_steps", WHOLE))
RUN_COLUMNS = ["arm", "trunk", "capacity", "branch", "student", "distillation_seed", "seed", "arrived"]
READINGS = [*RUN_COLUMNS, "dose", "measure", "of", "value"]
LOOK = [*RUN_KEY, "dose"]
DIFFERENCES = (
    "arm trunk dose branch against measure of skill trunks mean mean_against value low high low_90 high_90 verdict"
).split()


def readings(study: StudyFolder) -> pd.DataFrame:
    """One row for each run of a branch, dose and measure, at dose 0 and at each arm's last dose; columns ``READINGS``.

    ``accuracy`` of the whole and of each depth; of each group of wordings ``drop``, 1 - perturbed / original, and
    ``worst``, the share of problems right in the original and in every wording of the group; ``steps``, the mean number
    of written steps, and ``own_steps``, the share of answers with exactly the item's own number, of the whole and of
    each depth; ``slope``, least squares of written steps on depth. A step is an equation. ``worst`` and what is of
    steps take the ledger, or ``branch_quality.csv``, which was made from it.
    """
    if "quality" not in study.kept:
        kept = study.table(QUALITY_FILE, check_quality) if study.ledger is None else pd.DataFrame()
        study.kept["quality"] = kept[READINGS].astype({"of": str}) if len(kept) else _readings(study)
    return study.kept["quality"]


def _readings(study: StudyFolder) -> pd.DataFrame:
    runs = branch_runs(study, WRITTEN_OUT)
    if runs.empty:
        return pd.DataFrame(columns=READINGS)
    own = runs[RUN_COLUMNS]
    last = study.scores.groupby("arm")["dose"].max().to_dict()
    frames = [_accuracies(study.scores), _wordings(study)]
    frames += [] if study.ledger is None else [_efforts(study.ledger)]
    found = pd.concat(frames, ignore_index=True)
    found = found[(found["dose"] == 0) | (found["dose"] == found["arm"].map(last))]
    whole = own.merge(found, on=list(RUN_KEY), how="inner")[READINGS]
    return whole[whole["value"].notna()].reset_index(drop=True)


def _accuracies(scores: pd.DataFrame) -> pd.DataFrame:
    rows = scores[(scores["benchmark"] == WRITTEN_OUT) & (scores["variant"] == ORIGINAL)]
    of = [WHOLE if np.isnan(depth) else f"{depth:g}" for depth in rows["depth"].to_numpy(float)]
    return rows[LOOK].assign(measure="accuracy", of=of, value=rows["accuracy"].to_numpy(float))


def _wordings(study: StudyFolder) -> pd.DataFrame:
    shares = group_shares(study)
    shares = shares[shares["benchmark"] == WRITTEN_OUT]
    parts = [
        shares[LOOK].assign(measure=name, of=shares["group"], value=shares[name].to_numpy(float))
        for name in ("drop", "worst")
    ]
    return pd.concat(parts, ignore_index=True)


def _efforts(ledger: pd.DataFrame) -> pd.DataFrame:
    rows = ledger[(ledger["benchmark"] == WRITTEN_OUT) & (ledger["variant"] == ORIGINAL)]
    rows = rows[(rows["dose"] == 0) | (rows["dose"] == rows.groupby("arm", observed=True)["dose"].transform("max"))]
    written = written_steps(list(rows["answer"]))
    looks = rows[[*LOOK, "depth"]].assign(written=written).groupby(LOOK, sort=False, observed=True)
    found = [
        (*key, measure, of, value)
        for key, own in looks
        for measure, of, value in _of_look(own["depth"].to_numpy(float), own["written"].to_numpy(float))
    ]
    return pd.DataFrame(found, columns=[*LOOK, "measure", "of", "value"])


def written_steps(answers: Sequence[Any]) -> Floats:
    """How many equations each answer has, as tokens of the embedded world."""
    rows = [tuple(answer) for answer in answers]
    distinct = list(dict.fromkeys(rows))
    said = world_texts([np.asarray(row, np.int32) for row in distinct])
    counted = {
        row: float(sum(step is not None for step in read(text)[0])) for row, text in zip(distinct, said, strict=True)
    }
    return np.array([counted[row] for row in rows], float)


def _of_look(depth_I: Floats, written_I: Floats) -> Iterator[tuple[str, str, float]]:
    """The measures of effort of one look, each with what it is of."""
    parts = {WHOLE: np.ones(len(depth_I), bool)} | {f"{d:g}": depth_I == d for d in np.unique(depth_I)}
    for of, chosen in parts.items():
        yield "steps", of, float(written_I[chosen].mean())
        yield "own_steps", of, float((written_I == depth_I)[chosen].mean())
    off = depth_I - depth_I.mean()
    if spread := float((off**2).sum()):
        yield "slope", WHOLE, float((off * written_I).sum()) / spread


def quality_differences(found: pd.DataFrame, against: str = AGAINST) -> pd.DataFrame:
    """Each branch less another on the same trunks, a row for each arm, trunk's size, dose, measure and ``skill``.

    ``skill`` is ``equal``: trunks on which both arrived at the skill that was asked for; or ``as made``: all. ``value``
    with ``low`` and ``high`` is the mean over so many ``trunks`` with its 95% interval by Student's t, ``low_90`` and
    ``high_90`` that of two one-sided tests. ``verdict``: ``differs`` where the 95% interval leaves out 0 and the mean
    is .05 or more from it; ``alike`` where the 90% interval lies within .05; else ``open``.

    Args:
        found: as ``readings`` gives them
        against: the branch from which differences are taken

    Raises:
        UsageError: no branch of that name
    """
    names = list(dict.fromkeys(map(str, found["branch"])))
    if names and against not in names:
        raise unknown("against", against, names)
    rows = []
    for (arm, trunk, dose, measure, of), own in found.groupby(
        ["arm", "trunk", "dose", "measure", "of"], sort=False, observed=True
    ):
        values = own.pivot(index=["distillation_seed", "seed"], columns="branch", values="value")
        arrived = own.pivot(index=["distillation_seed", "seed"], columns="branch", values="arrived")
        if against not in values:
            continue
        for branch in (name for name in names if name != against and name in values):
            for skill in ("equal", "as made"):
                both = values[[branch, against]].dropna()
                if skill == "equal":
                    both = both[arrived.loc[both.index, [branch, against]].astype(bool).all(axis=1)]
                head = (arm, trunk, dose, branch, against, measure, of, skill)
                rows.append((*head, *_compared(both[branch].to_numpy(float), both[against].to_numpy(float))))
    return pd.DataFrame(rows, columns=DIFFERENCES)


def _compared(own_S: Floats, other_S: Floats) -> tuple[Any, ...]:
    """Of the trunks of two branches: their number, both means, the difference with its intervals and the verdict."""
    apart_S = own_S - other_S
    value, low, high = mean_with_interval(apart_S, 0.95)
    _, low_90, high_90 = mean_with_interval(apart_S, 0.90)
    means = (mean_with_interval(own_S)[0], mean_with_interval(other_S)[0])
    differs = (low > 0 or high < 0) and abs(value) >= MARGIN
    alike = low_90 > -MARGIN and high_90 < MARGIN
    verdict = "differs" if differs else "alike" if alike else "open"
    return len(apart_S), *means, value, low, high, low_90, high_90, verdict


def judged(differences: pd.DataFrame) -> pd.DataFrame:
    """The rows that a verdict is meant for: at dose 0, accuracy by depth and the measures of ``MAIN``."""
    own = differences[differences["dose"] == 0]
    named = [pair in MAIN for pair in zip(own["measure"], own["of"], strict=True)]
    return own[named | ((own["measure"] == "accuracy") & (own["of"] != WHOLE)).to_numpy()]
