"""Where in the network skill was lost: restored and transplanted modules in, what they bring beyond random sets out.

A module's share is (accuracy with it restored - accuracy after) / (accuracy at dose 0 - accuracy after); of a module of
the tuned student in the student of dose 0, the share of the loss that it brings. Beside each stand random sets of as
many weights and of equal squared change, each the mean over its draws; ``beyond`` is (share - random) / (1 - random).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd

from forgetting.analysis.lost_shares import GREEDY, GROUP, LEAST_LOST, TWIN, Probed, probed_runs
from forgetting.analysis.scores import PROBE
from forgetting.analysis.student_ratios import Ratio, mean, ratio
from forgetting.analysis.study_folder import StudyFolder
from forgetting.record.schema import RUN_KEY

KINDS = ("restore", "transplant")
CONTROLS = ("size", "change")


def module_effects(study: StudyFolder) -> pd.DataFrame:
    """One row for each size, arm, benchmark, kind (restore, transplant) and set of modules; intervals by students, 95%.

    ``points`` of accuracy that it brings back or costs. Where at least ``LEAST_LOST`` was lost, ``share`` of the loss,
    and for each control ``random_size`` and ``random_change``, the mean share of ``draws`` random sets, and
    ``beyond_size`` and ``beyond_change``; NaN where a set has no random sets. In an arm of more original data, where
    nothing is lost, the points of transplants are the sham. ``nll`` is that of the new task after it, against
    ``nll_after`` of the tuned student: what is restored may be learning undone.
    """
    rows, learning = [], new_task(study)
    for (student, capacity, arm, benchmark), runs in probed_runs(study).items():
        for kind in KINDS:
            for name in _sets(runs, kind):
                row = {"student": student, "capacity": capacity, "arm": arm, "benchmark": benchmark, "kind": kind}
                row |= {"modules": name, "students": len(runs)} | _effects(runs, kind, name)
                label = f"{kind} {name}"
                row |= {"nll": learning.get((student, arm, label)), "nll_after": learning.get((student, arm, ""))}
                rows.append(row)
    ends = ("points", "points_low", "points_high", "share", "share_low", "share_high", "draws")
    own = [f"{what}_{control}{end}" for control in CONTROLS for what, end in
           (("random", ""), ("beyond", ""), ("beyond", "_low"), ("beyond", "_high"))]  # fmt: skip
    return pd.DataFrame(rows, columns=[*GROUP, "kind", "modules", "students", *ends, *own, "nll", "nll_after"])


def _sets(runs: Sequence[Probed], kind: str) -> list[str]:
    """The sets of modules that were moved in every run, without the random ones."""
    each = [{label for label, way in run.found if way == GREEDY and label.startswith(f"{kind} ")} for run in runs]
    common = set.intersection(*each) if each else set()
    return [label[len(kind) + 1 :] for label in dict.fromkeys(label for label, _ in runs[0].found)
            if label in common and not label.startswith(f"{kind} random ")]  # fmt: skip


def _points(run: Probed, kind: str, label: str) -> float:
    """What a variant brings back (restore) or loses (transplant), in points of accuracy."""
    own = run.found[label, GREEDY]
    return float((own - run.after).mean() if kind == "restore" else (run.before - own).mean())


def _effects(runs: Sequence[Probed], kind: str, name: str) -> dict[str, float]:
    loss = np.array([run.loss for run in runs])
    points = np.array([_points(run, kind, f"{kind} {name}") for run in runs])
    whole = mean(points)
    found = {"points": whole.value, "points_low": whole.low, "points_high": whole.high, "draws": 0}
    if loss.mean() < LEAST_LOST:
        return found
    share = ratio(points, loss)
    found |= {"share": share.value, "share_low": share.low, "share_high": share.high}
    for control in CONTROLS:
        drawn = [_draws(run, kind, f"{kind} random {control} {name} #") for run in runs]
        if not all(len(own) for own in drawn):
            continue
        random = np.array([np.mean(own) for own in drawn])
        beyond = ratio(points - random, loss - random)
        found |= {"draws": min(map(len, drawn)), f"random_{control}": ratio(random, loss).value}
        found |= {f"beyond_{control}": beyond.value}
        found |= {f"beyond_{control}_low": beyond.low, f"beyond_{control}_high": beyond.high}
    return found


def _draws(run: Probed, kind: str, start: str) -> list[float]:
    return [_points(run, kind, label) for label, way in run.found if way == GREEDY and label.startswith(start)]


def whole_points(run: Probed, kind: str, control: str) -> tuple[float, float] | None:
    """Points that all blocks' modules of a kind bring back when restored, and those of random sets; None: not known."""
    wholes = {label: label.split(" ")[1] for label, way in run.found if way == GREEDY and label.startswith("restore ")}
    blocks = {name for name in wholes.values() if re.fullmatch(rf"{kind}\.\d+", name)}
    own = [label for label, name in wholes.items() if set(name.split("+")) == blocks or name == kind]
    if not own:
        return None
    drawn = _draws(run, "restore", f"restore random {control} {wholes[own[0]]} #")
    return (_points(run, "restore", own[0]), float(np.mean(drawn))) if drawn else None


def new_task(study: StudyFolder) -> dict[tuple[str, str, str], float]:
    """NLL of the new task's probe after the last dose, in nats a token, by student, arm and variant ("": none)."""
    table = study.probing
    if table.empty:
        return {}
    rows = table[(table["benchmark"] == PROBE) & (table["answering"] == GREEDY)]
    rows = rows.assign(intervention=rows["intervention"].fillna("").astype(str))
    last = rows.groupby(list(RUN_KEY))["dose"].transform("max")
    means = rows[rows["dose"] == last].groupby(["student", "arm", "intervention"], sort=False)["nll"].mean()
    keys = means.index.to_frame(index=False).astype(str).itertuples(index=False, name=None)
    return dict(zip(keys, means.astype(float), strict=True))


def shapley_values(study: StudyFolder) -> pd.DataFrame:
    """Exact Shapley values of restored modules, where every set of them was: shares of the loss that add up to 1.

    One row for each size, arm, benchmark and module, with its 95% interval by students.
    """
    rows = []
    for (student, capacity, arm, benchmark), runs in probed_runs(study).items():
        loss = np.array([run.loss for run in runs])
        sets = {frozenset(name.split("+")): f"restore {name}" for name in _sets(runs, "restore") if " as " not in name}
        names = [name for own in sets if len(own) == 1 for name in own]
        wanted = {frozenset(own) for size in range(1, len(names)) for own in combinations(names, size)}
        if loss.mean() < LEAST_LOST or len(names) < 2 or not wanted <= sets.keys():
            continue
        for name, points in zip(names, np.array([_shapley(run, names, sets) for run in runs]).T, strict=True):
            found = ratio(points, loss)
            row = {"student": student, "capacity": capacity, "arm": arm, "benchmark": benchmark, "module": name}
            rows.append(row | {"students": len(runs), "share": found.value, "low": found.low, "high": found.high})
    return pd.DataFrame(rows, columns=[*GROUP, "module", "students", "share", "low", "high"])


def _shapley(run: Probed, names: Sequence[str], labels: Mapping[frozenset[str], str]) -> list[float]:
    """Each module's mean gain over all orders in which modules may be restored (Shapley 1953), in points."""
    count, worth = len(names), {frozenset[str](): 0.0, frozenset(names): run.loss}
    for size in range(1, count):
        for own in combinations(names, size):
            worth[frozenset(own)] = _points(run, "restore", labels[frozenset(own)])
    found = []
    for name in names:
        rest, total = [other for other in names if other != name], 0.0
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for before in map(frozenset, combinations(rest, size)):
                total += weight * (worth[before | {name}] - worth[before])
        found.append(total)
    return found


def readings(study: StudyFolder) -> pd.DataFrame:
    """What a linear probe reads, and what follows a wrong step: accuracies by size, arm and benchmark.

    ``what`` is ``running value`` (right last results), ``self-correction`` (right answers after a first step whose
    result is off by one, at depths from 2 on) or ``first step`` (the same depths after the step as it is, beside it).
    ``after`` is at the last dose, ``control`` after shuffled labels or another's step, ``twin`` a student that was
    never taught; intervals of ``after`` by students.
    """
    rows = []
    for (student, capacity, arm, benchmark), runs in probed_runs(study).items():
        for what, way, control in READ:
            if not all(run.has(("", way)) for run in runs):
                continue
            found = mean([_deep(run.found["", way], what) for run in runs])
            row = {"student": student, "capacity": capacity, "arm": arm, "benchmark": benchmark, "what": what}
            row |= {"students": found.students, "after": found.value, "low": found.low, "high": found.high}
            row |= {"control": _mean(runs, "", control, what).value, "twin": _mean(runs, TWIN, way, what).value}
            rows.append(row)
    return pd.DataFrame(rows, columns=[*GROUP, "what", "students", "after", "low", "high", "control", "twin"])


READ = (
    ("running value", "running_value", "running_value shuffled=True"),
    ("self-correction", "wrong_step", ""),
    ("first step", "forced_opening tokens=0", "forced_opening tokens=0 other=True"),
)


def _deep(by_depth: np.ndarray, what: str) -> float:
    return float(by_depth.mean() if what == "running value" else by_depth[1:].mean())


def _mean(runs: Sequence[Probed], label: str, way: str, what: str) -> Ratio:
    if not way or not all(run.has((label, way)) for run in runs):
        return Ratio(np.nan, np.nan, np.nan, 0)
    return mean([_deep(run.found[label, way], what) for run in runs])
