"""Table 1 of the paper on a study of one's own: original, perturbed and drop by size, with what consistency says.

A *group* is one variant, or several that an adversary may choose among. ``renumbered`` (the same operations on other
numbers) is the reference: what other items of the same kind cost or gain by themselves.

Shapes: S variants, I problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from forgetting.analysis.consistency import pairwise_agreement, performance_drop_rate, worst_of_s
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.metrics import LEARNED_MARGIN
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder
from forgetting.world.maths import DEVICES

KEY = ["arm", "benchmark", "skill", "student", "capacity", "dose"]
RUN = ["distillation_seed", "seed"]
STUDENT = ["arm", "benchmark", "student"]
SHARES = ("original", "perturbed", "drop", "worst", "worst_drop", "both", "agreement")
COLUMNS = (
    *KEY,
    "group",
    "candidates",
    "students",
    *SHARES,
    "drop_low",
    "drop_high",
    "worst_drop_low",
    "worst_drop_high",
)
WORDS, RENUMBERED = "words", "renumbered"
OTHER_DEPTHS = "novel_pair"  # starts at depth 2, so that the original accuracy of all depths is no comparison


def groups(variants: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By name, the variants of each group: each by itself, all devices, other words, several devices at once."""
    single = [name for name in variants if name not in (ORIGINAL, OTHER_DEPTHS)]
    numbered = {kind: [name for name in single if name.startswith(f"{kind}_")] for kind in (WORDS, RENUMBERED)}
    found = {name: (name,) for name in single if "-" not in name and name not in sum(numbered.values(), [])}
    many = {"devices": [name for name in single if name in DEVICES], **numbered}
    for number in (2, 3):
        many[f"{number} at once"] = [name for name in single if name.count("-") == number - 1 and "-" in name]
    return found | {name: tuple(own) for name, own in many.items() if len(own) > 1}


def robustness(study: StudyFolder) -> pd.DataFrame:
    """One row per arm, benchmark, student, dose and group, means over students that had learned the skill.

    ``original`` and ``perturbed`` are accuracies, the latter the mean over the group's variants; ``drop`` is 1 -
    perturbed / original. ``worst`` is the share of problems that are right in the original and in every variant,
    ``worst_drop`` what that is below the original, ``both`` the mean share right in the original and a variant,
    ``agreement`` the mean over pairs of wordings of the share with the same outcome: these take the ledger. Bounds are
    95% by Student's t over students.
    """
    scores = study.common(study.scores)
    whole = scores[(scores["benchmark"] != PROBE) & scores["depth"].isna()]
    asked = whole.groupby("benchmark", observed=True)["variant"].nunique()
    rows = list[dict[str, object]]()
    right, learned = _outcomes(study), _learned(whole)
    for key, own in whole[whole["benchmark"].map(asked) > 1].groupby(KEY, sort=False, observed=True):
        about = dict(zip(KEY, key, strict=True))
        student = tuple(about[name] for name in STUDENT)
        accuracy = dict[tuple[int, int], dict[str, float]]()
        for *run, variant, value in own[[*RUN, "variant", "accuracy"]].itertuples(index=False):
            if (*student, *run) in learned:
                accuracy.setdefault((run[0], run[1]), {})[str(variant)] = float(value)
        variants = sorted({name for one in accuracy.values() for name in one})
        if ORIGINAL not in variants:
            continue
        for group, some in groups(variants).items():
            each = [_run(accuracy[run], right.get((*key, *run)), some) for run in sorted(accuracy)]
            rows.append({**about, **_row(group, some, each)})
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.sort_values(["arm", "benchmark", "dose", "capacity"], kind="stable", ignore_index=True)


def _learned(whole: pd.DataFrame) -> set[tuple[object, ...]]:
    """The runs whose student had learned the skill at dose 0, by arm, benchmark, student and seeds."""
    before = whole[(whole["dose"] == 0) & (whole["variant"] == ORIGINAL)]
    above = before[before["accuracy"] - before["chance"] >= LEARNED_MARGIN - 1e-12]
    return set(above[[*STUDENT, *RUN]].itertuples(index=False, name=None))


def _outcomes(study: StudyFolder) -> dict[tuple[object, ...], dict[str, dict[str, bool]]]:
    """By look and variant, the outcome of every problem; empty without the ledger."""
    if study.ledger is None:
        return {}
    own = study.ledger[study.ledger["benchmark"] != PROBE]
    own = own[own["benchmark"].map(own.groupby("benchmark", observed=True)["variant"].nunique()) > 1]
    place = [item.replace(f"/{variant}/", "/") for item, variant in zip(own["item"], own["variant"], strict=True)]
    found = dict[tuple[object, ...], dict[str, dict[str, bool]]]()
    columns = (own[name].tolist() for name in (*KEY, *RUN, "variant"))
    for *look, variant, problem, right in zip(*columns, place, own["verdict"].eq("right").tolist(), strict=True):
        found.setdefault(tuple(look), {}).setdefault(variant, {})[problem] = right
    return found


def _run(
    accuracy: Mapping[str, float], right: Mapping[str, Mapping[str, bool]] | None, variants: tuple[str, ...]
) -> list[float]:
    """``SHARES`` of one run, over the problems that were asked in all variants."""
    original = accuracy.get(ORIGINAL, np.nan)
    perturbed = float(np.mean([accuracy[name] for name in variants if name in accuracy] or [np.nan]))
    drop = float(performance_drop_rate(perturbed, original))
    if right is None:
        return [original, perturbed, drop, *[np.nan] * 4]
    asked = [right.get(name, {}) for name in (ORIGINAL, *variants)]
    both_asked = set.intersection(*map(set, asked))
    right_SI = np.array([[own[problem] for problem in sorted(both_asked)] for own in asked], bool)
    worst = worst_of_s(right_SI)
    both = float((right_SI[1:] & right_SI[0]).mean())
    lost = float(performance_drop_rate(worst, right_SI[0].mean()))
    return [original, perturbed, drop, worst, lost, both, pairwise_agreement(right_SI)]


def _row(group: str, variants: tuple[str, ...], each: list[list[float]]) -> dict[str, object]:
    values = np.array(each)
    row: dict[str, object] = {"group": group, "candidates": len(variants), "students": len(each)}
    row |= dict(zip(SHARES, values.mean(axis=0).tolist(), strict=True))
    for name in ("drop", "worst_drop"):
        _, row[f"{name}_low"], row[f"{name}_high"] = mean_interval(values[:, SHARES.index(name)])
    return row


def table_1(found: pd.DataFrame, arm: str, group: str = "devices") -> pd.DataFrame:
    """In the paper's form: a row a size and dose, and for each skill original, perturbed and drop in per cent."""
    own = found[(found["arm"] == arm) & (found["group"] == group)]
    rows = []
    for (capacity, student, dose), some in own.groupby(["capacity", "student", "dose"], sort=True, observed=True):
        row: dict[str, object] = {"student": student, "parameters": capacity, "dose": dose}
        for one in some.to_dict("records"):
            row |= {f"{one['benchmark']} {name}": 100 * one[name] for name in ("original", "perturbed", "drop")}
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.sort_values(["dose", "parameters"], kind="stable", ignore_index=True) if rows else table
