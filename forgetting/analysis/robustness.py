"""Table 1 of the paper on a study of one's own: original, perturbed and drop by size, with what consistency says.

A *group* is one variant, or several that an adversary may choose among. ``renumbered`` (the same operations on other
numbers) is the reference: what other items of the same kind cost or gain by themselves.

Shapes: S variants, I problems.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from forgetting.analysis.consistency import pairwise_agreement, performance_drop_rate, right_share, worst_of_s
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.metrics import LEARNED_MARGIN
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder
from forgetting.world.maths import DEVICES

KEY = ["arm", "benchmark", "skill", "student", "capacity", "dose"]
RUN = ["distillation_seed", "seed"]
STUDENT = ["arm", "benchmark", "student"]
GROUP = ["group", "candidates"]
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
HALF_COLUMNS = (
    *(name for name in KEY if name not in ("skill", "dose")), "group", "candidates", "students", "reached",
    "accuracy_dose", "robustness_dose", "later", "later_low", "later_high",
    "later_than_reference", "later_than_reference_low", "later_than_reference_high",
)  # fmt: skip
WORDS, RENUMBERED = "words", "renumbered"
PARTS = ("first", "second", "novel_first", "novel_second")  # of composition: other problems
OTHER_DEPTHS = "novel_pair"  # starts at depth 2, so that the original accuracy of all depths is no comparison


def groups(variants: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By name, the variants of each group: each by itself, all devices, other words, several devices at once."""
    single = [name for name in variants if name not in (ORIGINAL, OTHER_DEPTHS, *PARTS)]
    numbered = {kind: [name for name in single if name.startswith(f"{kind}_")] for kind in (WORDS, RENUMBERED)}
    found = {
        name: (name,)
        for name in single
        if "-" not in name and not name.startswith(tuple(f"{kind}_" for kind in numbered))
    }
    many = {"devices": [name for name in single if name in DEVICES], **numbered}
    for number in (2, 3):
        many[f"{number} at once"] = [name for name in single if name.count("-") == number - 1 and "-" in name]
    return found | {name: tuple(own) for name, own in many.items() if len(own) > 1}


def group_shares(study: StudyFolder) -> pd.DataFrame:
    """One row per arm, benchmark, student, dose, group and run whose student had learned the skill.

    ``original`` and ``perturbed`` are accuracies, the latter the mean over the group's variants; ``drop`` is 1 -
    perturbed / original. ``worst`` is the share of problems that are right in the original and in every variant,
    ``worst_drop`` what that is below the original, ``both`` the mean share right in the original and a variant,
    ``agreement`` the mean over pairs of wordings of the share with the same outcome: these take the ledger.
    """
    scores = study.common(study.scores)
    whole = scores[(scores["benchmark"] != PROBE) & scores["depth"].isna()]
    asked = whole.groupby("benchmark", observed=True)["variant"].nunique()
    columns, varied = [*KEY, *RUN, *GROUP, *SHARES], whole[whole["benchmark"].map(asked) > 1]
    if varied.empty:
        return pd.DataFrame(columns=columns)
    rows = list[tuple[object, ...]]()
    right, learned = _outcomes(study), _learned(whole)
    for key, own in varied.groupby(KEY, sort=False, observed=True):
        student = tuple(dict(zip(KEY, key, strict=True))[name] for name in STUDENT)
        accuracy = dict[tuple[int, int], dict[str, float]]()
        for *run, variant, value in own[[*RUN, "variant", "accuracy"]].itertuples(index=False):
            if (*student, *run) in learned:
                accuracy.setdefault((run[0], run[1]), {})[str(variant)] = float(value)
        variants = sorted({name for one in accuracy.values() for name in one})
        for group, some in groups(variants).items() if ORIGINAL in variants else ():
            for seeds in sorted(accuracy):
                each = _run(accuracy[seeds], right.get((*key, *seeds)), some)
                rows.append((*key, *seeds, group, len(some), *each))
    return pd.DataFrame(rows, columns=columns)


def robustness(shares: pd.DataFrame) -> pd.DataFrame:
    """One row per arm, benchmark, student, dose and group: means over students of what ``group_shares`` gives.

    Bounds of the drops are 95% by Student's t over students.
    """
    rows = list[dict[str, object]]()
    for key, own in _by_student(shares, [*KEY, *GROUP], SHARES).groupby([*KEY, *GROUP], sort=False, observed=True):
        row = dict(zip([*KEY, *GROUP], key, strict=True)) | {"students": len(own)}
        row |= {name: float(own[name].mean(skipna=False)) for name in SHARES}
        for name in ("drop", "worst_drop"):
            _, row[f"{name}_low"], row[f"{name}_high"] = mean_interval(own[name].to_numpy(float))
        rows.append(row)
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.sort_values(["arm", "benchmark", "dose", "capacity"], kind="stable", ignore_index=True)


def half_doses(shares: pd.DataFrame) -> pd.DataFrame:
    """Whether robustness goes before accuracy: one row per arm, benchmark, student and group.

    A student's half-dose is where a share stays below half of what it was at dose 0: of ``original`` (accuracy) and of
    ``worst`` (robustness under the group). ``accuracy_dose`` and ``robustness_dose`` are geometric means in
    contaminating samples over the ``reached`` of ``students``. ``later`` is log2 of the second over the first, below 0
    where robustness goes first, and ``later_than_reference`` that less the same of the group ``renumbered``, as many
    other items of the kind: worst of s falls sooner for any s questions. Bounds are 95%, Student's t over students.

    Args:
        shares: as ``group_shares`` gives them, of a study with a ledger and at least two doses above 0
    """
    student = [*STUDENT, "capacity", "distillation_seed"]
    means = _by_student(shares, [*STUDENT, "capacity", "dose", *GROUP], ("original", "worst"))
    halves = {
        (*key, group, candidates): [_half(own, name) for name in ("original", "worst")]
        for (*key, group, candidates), own in means.groupby([*student, *GROUP], sort=False, observed=True)
        if own["dose"].nunique() > 2 and own["worst"].notna().all()
    }  # fmt: skip
    if not halves:
        return pd.DataFrame(columns=list(HALF_COLUMNS))
    table = pd.DataFrame(list(halves), columns=[*student, *GROUP])
    table[["accuracy", "robustness"]] = np.log2(np.array(list(halves.values())))
    table["later"] = np.where(np.isfinite(table[["accuracy", "robustness"]]).all(axis=1),
                              table["robustness"] - table["accuracy"], np.nan)  # fmt: skip
    reference = table[table["group"] == RENUMBERED].set_index(student)["later"]
    rows = list[dict[str, object]]()
    by = [*STUDENT, "capacity", *GROUP]
    for key, own in table.groupby(by, sort=False, observed=True):
        later = own["later"].to_numpy(float)
        twins = reference.reindex(pd.MultiIndex.from_frame(own[student])).to_numpy(float)
        less = later - twins if own["group"].iloc[0] != RENUMBERED else np.full(len(own), np.nan)
        both = own[own["later"].notna()]
        row = dict(zip(by, key, strict=True)) | {"students": len(own), "reached": len(both)}
        row |= {f"{name}_dose": 2.0 ** both[name].mean() for name in ("accuracy", "robustness")}
        for name, values in (("later", later), ("later_than_reference", less)):
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), mean_interval(values), strict=True))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(HALF_COLUMNS))


def _by_student(shares: pd.DataFrame, by: list[str], names: Sequence[str]) -> pd.DataFrame:
    """Of each student the mean over its runs; NaN where one has no value."""
    runs = shares.groupby([*by, "distillation_seed"], sort=False, observed=True)[list(names)]
    return runs.mean().where(runs.count().eq(runs.size(), axis=0)).reset_index()


def _half(own: pd.DataFrame, share: str) -> float:
    """The half-dose of one student's share; infinite where it keeps more than half, or had nothing."""
    from forgetting.analysis.dose_at import falls_at  # with scipy.stats, which a report of shares does not wait for

    own = own.sort_values("dose")
    value = own[share].to_numpy(float)
    return falls_at(own["dose"].to_numpy(float), value / value[0], 0.5) if value[0] > 0 else math.inf


def _learned(whole: pd.DataFrame) -> set[tuple[object, ...]]:
    """The runs whose student had learned the skill at dose 0, by arm, benchmark, student and seeds."""
    before = whole[(whole["dose"] == 0) & (whole["variant"] == ORIGINAL)]
    above = before[before["accuracy"] - before["chance"] >= LEARNED_MARGIN - 1e-12]
    return set(above[[*STUDENT, *RUN]].itertuples(index=False, name=None))


def place(items: Iterable[str], variants: Iterable[str]) -> list[str]:
    """What twins share: the item's name without its variant."""
    return [item.replace(f"/{variant}/", "/") for item, variant in zip(items, variants, strict=True)]


def _outcomes(study: StudyFolder) -> dict[tuple[object, ...], dict[str, dict[str, bool]]]:
    """By look and variant, the outcome of every problem; empty without the ledger."""
    if study.ledger is None:
        return {}
    own = study.ledger[study.ledger["benchmark"] != PROBE]
    own = own[own["benchmark"].map(own.groupby("benchmark", observed=True)["variant"].nunique()) > 1]
    found = dict[tuple[object, ...], dict[str, dict[str, bool]]]()
    columns, problems = (own[name].tolist() for name in (*KEY, *RUN, "variant")), place(own["item"], own["variant"])
    for *look, variant, problem, right in zip(*columns, problems, own["verdict"].eq("right").tolist(), strict=True):
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
    both = right_share(right_SI[1:] & right_SI[0])
    lost = float(performance_drop_rate(worst, right_share(right_SI[0])))
    return [original, perturbed, drop, worst, lost, both, pairwise_agreement(right_SI)]


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
