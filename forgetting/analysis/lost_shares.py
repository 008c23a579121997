"""Lost, hidden or garbled: the probes of a study in; what each brings back beyond its control, and three shares, out.

*Garbled* is what the best probe at decoding brings back, *hidden* what relearning from a few originals adds to that,
*lost* the rest: shares of the accuracy that was lost since dose 0, which add up to 1. Each probe is taken minus its
control, which is 0 where the control does worse than plain decoding:

- ``grammar`` (only well-formed answers): what the same mask gives a student that was never taught (the twin);
- ``opening`` (first two gold tokens): the opening of another problem;
- ``first step`` (first gold step): that of another problem, or what one step less to do is worth, the accuracy at one
  depth less, if that is more; at depth 1, where the step is the whole solution, it counts as nothing brought back;
- ``biases`` (output biases fitted on originals): biases fitted on shuffled gold;
- ``relearning`` (originals, at most 50 steps): what the twin gains from the same.

The best probe is the one that brings most back over all students of a size and arm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from forgetting.analysis.probing import accuracies
from forgetting.analysis.student_ratios import Ratio, ratio
from forgetting.analysis.study_folder import StudyFolder

LEAST_LOST = 0.1  # accuracy; of less, shares would be noise
LEARNED = 0.3  # accuracy at dose 0 of a student that counts
GREEDY, TWIN, WRONG = "greedy", "twin", "wrong_step"
DECODING = ("grammar", "opening", "first step", "biases")
RELEARNING = "relearning"
SHARES = ("garbled", "hidden", "lost")
STUDENT = "distillation_seed"
GROUP = ["student", "capacity", "arm", "benchmark"]
WAYS = {
    "grammar": ("grammar", ""),
    "opening": ("forced_opening", "forced_opening other=True"),
    "first step": ("forced_opening tokens=0", "forced_opening tokens=0 other=True"),
    "biases": ("output_biases", "output_biases shuffled=True"),
}


@dataclass(frozen=True, eq=False)
class Probed:
    """One run's accuracies by depth, ``[D]`` each: at dose 0, at the last dose, and after it by (intervention, way)."""

    before: np.ndarray
    after: np.ndarray
    found: dict[tuple[str, str], np.ndarray]
    items: int
    corrected_before: float | None  # right answers after a wrong first step at dose 0, from depth 2 on; None: not asked

    @property
    def corrected(self) -> float:
        """The same after the last dose."""
        return float(self.found["", WRONG][1:].mean())

    @property
    def loss(self) -> float:
        """Accuracy lost, all depths counting alike."""
        return float((self.before - self.after).mean())

    def has(self, *keys: tuple[str, str]) -> bool:
        """Whether all of these were measured."""
        return all(key in self.found for key in keys)


def probed_runs(study: StudyFolder) -> dict[tuple[str, int, str, str], list[Probed]]:
    """The runs of each (student, capacity, arm, benchmark) whose student had learned the benchmark."""
    table, runs = accuracies(study.probing), dict[tuple[str, int, str, str], list[Probed]]()
    for key, rows in table.groupby(GROUP, sort=False):
        for _, own in rows.groupby(STUDENT, sort=False):
            last = own["dose"].max()
            depths = sorted(own["depth"].unique())
            looks = own.pivot_table(index="depth", columns=["dose", "intervention", "answering"], values="accuracy")
            looks = looks.reindex(depths)
            if last == 0 or (0, "", GREEDY) not in looks or (last, "", GREEDY) not in looks:
                continue
            found = _after(pd.DataFrame(looks.xs(last, axis=1, level="dose")), str(key[-1]))
            plain = (own["dose"] == last) & (own["answering"] == GREEDY) & (own["intervention"] == "")
            items = int(own.loc[plain, "items"].sum())
            start = float(looks[0, "", WRONG].to_numpy(float)[1:].mean()) if (0, "", WRONG) in looks else None
            probed = Probed(looks[0, "", GREEDY].to_numpy(float), found["", GREEDY], found, items, start)
            if probed.before.mean() >= LEARNED:
                student, _, arm, benchmark = map(str, key)
                runs.setdefault((student, int(own["capacity"].iloc[0]), arm, benchmark), []).append(probed)
    return runs


def _after(looks: pd.DataFrame, benchmark: str) -> dict[tuple[str, str], np.ndarray]:
    """Accuracies by depth after the last dose, by intervention and way of answering.

    A way that was fitted to the benchmark's own skill stands under the name that it has at the default skill.
    """
    every = {(str(key[0]), str(key[1])): own.to_numpy(float) for key, own in looks.items() if isinstance(key, tuple)}
    return every | {(what, way.replace(f" skill={benchmark}", "")): own for (what, way), own in every.items()
                    if f" skill={benchmark}" in way}  # fmt: skip


def _gain(run: Probed, probe: str) -> tuple[float, float] | None:
    """What a probe at decoding brings back, and its control, in points of accuracy; None: not measured."""
    way, other = WAYS[probe]
    if not run.has(("", way)) or (other and not run.has(("", other))):
        return None
    gain = run.found["", way] - run.after
    if probe == "grammar":
        if not run.has((TWIN, way), (TWIN, GREEDY)):
            return None
        control = run.found[TWIN, way] - run.found[TWIN, GREEDY]
    else:
        control = run.found["", other] - run.after
    control = np.maximum(control, 0.0)
    if probe == "first step":
        control[1:] = np.maximum(control[1:], run.after[:-1] - run.after[1:])
        gain[0] = control[0] = 0.0
    return float(gain.mean()), float(control.mean())


def _relearned(run: Probed, k: int) -> tuple[float, float] | None:
    label = f"{RELEARNING} k={k}"
    if not run.has((label, GREEDY), (f"{label} of the {TWIN}", GREEDY), (TWIN, GREEDY)):
        return None
    control = (run.found[f"{label} of the {TWIN}", GREEDY] - run.found[TWIN, GREEDY]).mean()
    return float((run.found[label, GREEDY] - run.after).mean()), max(0.0, float(control))


def counts_relearned(runs: list[Probed]) -> list[int]:
    """The numbers of originals that were relearned from, with a twin beside."""
    labels = {label for run in runs for label, _ in run.found if label.startswith(f"{RELEARNING} k=")}
    return sorted({int(label.split("=")[1]) for label in labels if label.split("=")[1].isdigit()})


def _points(runs: list[Probed]) -> dict[str, np.ndarray]:
    """Of each probe that every run has: gain and control in points, ``[S, 2]``."""
    found = {probe: [_gain(run, probe) for run in runs] for probe in DECODING}
    found |= {f"{RELEARNING}, {k}": [_relearned(run, k) for run in runs] for k in counts_relearned(runs)}
    return {name: np.array(each, float) for name, each in found.items() if all(one is not None for one in each)}


def probe_effects(study: StudyFolder) -> pd.DataFrame:
    """One row for each size, arm, benchmark and probe: what comes back, as shares of the loss, with the control beside.

    ``recovered``, ``control`` and ``net`` are ratios of means over students, ``low`` and ``high`` the 95% interval of
    ``net`` by students. Only where at least ``LEAST_LOST`` of accuracy was lost.
    """
    rows = []
    for (student, capacity, arm, benchmark), runs in probed_runs(study).items():
        loss = np.array([run.loss for run in runs])
        if loss.mean() < LEAST_LOST:
            continue
        for probe, points in _points(runs).items():
            net = ratio(points[:, 0] - points[:, 1], loss)
            rows.append(
                {
                    "student": student, "capacity": capacity, "arm": arm, "benchmark": benchmark, "probe": probe,
                    "students": net.students, "before": float(np.mean([run.before.mean() for run in runs])),
                    "after": float(np.mean([run.after.mean() for run in runs])),
                    "recovered": ratio(points[:, 0], loss).value, "control": ratio(points[:, 1], loss).value,
                    "net": net.value, "low": net.low, "high": net.high,
                }
            )  # fmt: skip
    names = [*GROUP, "probe", "students", "before", "after", "recovered", "control", "net", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def lost_shares(study: StudyFolder) -> pd.DataFrame:
    """One row for each size, arm and benchmark: the three shares of the loss, each with its 95% interval by students.

    ``probe`` is the best one at decoding, ``k`` how many originals were relearned from (the most). Shares lie from 0 to
    1 and add up to 1: what a probe brings back beyond the loss, or takes away, is cut off from the means. Rows without
    shares say why in ``status``.
    """
    rows = []
    for (student, capacity, arm, benchmark), runs in probed_runs(study).items():
        loss, points = np.array([run.loss for run in runs]), _points(runs)
        row = {"student": student, "capacity": capacity, "arm": arm, "benchmark": benchmark, "students": len(runs)}
        row |= {"before": float(np.mean([run.before.mean() for run in runs])), "loss": float(loss.mean())}
        decoding = {name: own[:, 0] - own[:, 1] for name, own in points.items() if name in DECODING}
        relearned = {name: own[:, 0] - own[:, 1] for name, own in points.items() if name.startswith(RELEARNING)}
        if loss.mean() < LEAST_LOST or not decoding or not relearned:
            why = "too little lost" if loss.mean() < LEAST_LOST else "probes missing"
            rows.append({**row, "status": why})
            continue
        best = max(decoding, key=lambda name: float(decoding[name].mean()))
        last = list(relearned)[-1]
        row |= {"probe": best, "k": int(last.split(", ")[1]), "status": "ok"}
        garbled, hidden = decoding[best], relearned[last] - decoding[best]
        shares = {"garbled": ratio(garbled, loss), "hidden": ratio(hidden, loss)}
        first = float(np.clip(shares["garbled"].value, 0, 1))
        second = float(np.clip(shares["hidden"].value, 0, 1 - first))
        shares["lost"] = ratio(loss - garbled - hidden, loss)
        values = {"garbled": first, "hidden": second, "lost": 1 - first - second}
        for name in SHARES:
            row |= _cut(name, values[name], shares[name])
        rows.append(row)
    names = [*GROUP, "students", "before", "loss", "status", "probe", "k"]
    names += [f"{share}{end}" for share in SHARES for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=names)


def _cut(name: str, value: float, of: Ratio) -> dict[str, float]:
    """A share with its interval, moved with it where it was cut and kept from 0 to 1."""
    shift = value - of.value
    low, high = (float(np.clip(end + shift, 0, 1)) for end in (of.low, of.high))
    return {name: value, f"{name}_low": low, f"{name}_high": high}
