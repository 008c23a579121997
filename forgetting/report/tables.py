"""The tables behind the views: what is left at the last dose, plasticity, statuses, controls, seconds by stage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forgetting.analysis import metrics
from forgetting.analysis.curves import ORIGINAL, ForgettingCurve
from forgetting.analysis.metrics import Floats, Status
from forgetting.analysis.record_reading import part_name, replayed
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import ArmCurves, StudyFolder, new_source
from forgetting.analysis.tuning_cost import new_task
from forgetting.report.sweeps.read import SWEEP_FILE


@dataclass(frozen=True)
class ControlRow:
    """One control of the protocol, and the arms that ran it."""

    name: str
    meaning: str
    arms: tuple[str, ...]


CONTROLS = {
    "sham": "rate 0: nothing may change",
    "rate_quarter": "a quarter of the learning rate",
    "rate_four": "four times the learning rate",
    "original": "the same steps on the original distribution",
    "noise": "noise text of equal length",
    "replay_1": "1% of the stream replayed from the original distribution",
    "replay_5": "5% of the stream replayed from the original distribution",
    "joint": "original and contaminating data trained at once",
}

MOST_LINES = 10  # of one kind, in the terminal and in the report
RISEN = 0.05  # of the new task's NLL at dose 0, above which a rise is told
INSIDE = "runs: "  # what the record puts before the seconds that processes spent inside runs


def _is_control(arm: dict[str, Any], control: str) -> bool:
    """Whether an arm's settings are those of a control."""
    rate, replay = float(arm.get("rate_multiple", 1)), replayed(arm)
    return {
        "sham": rate == 0,
        "rate_quarter": math.isclose(rate, 0.25),
        "rate_four": math.isclose(rate, 4),
        "original": part_name(arm.get("contamination")) == "original" or bool(arm.get("original")),
        "noise": part_name(arm.get("contamination")) == "noise",
        "replay_1": math.isclose(replay, 0.01),
        "replay_5": math.isclose(replay, 0.05),
        "joint": part_name(arm.get("mitigation", "none")) == "joint",
    }[control]


def controls(study: StudyFolder) -> list[ControlRow]:
    """Every control of the protocol with the arms that ran it; an empty tuple says that it did not run."""
    arms = [arm for arm in study.record.get("arms", []) if arm["name"] in study.arm_names]
    return [
        ControlRow(name, meaning, tuple(str(arm["name"]) for arm in arms if _is_control(arm, name)))
        for name, meaning in CONTROLS.items()
    ]


def is_control(arm: ArmCurves) -> bool:
    """Whether an arm is a control only: the original distribution, noise, or the sham."""
    return any(_is_control(arm.settings, name) for name in ("sham", "original", "noise")) if arm.settings else False


def skills(study: StudyFolder) -> list[str]:
    """The skills of a study, in the order in which they were measured."""
    return list(dict.fromkeys(c.skill for arm in study.arms.values() for s in arm.curves.values() for c in s.values()))


def main_curves(arm: ArmCurves, skill: str) -> list[ForgettingCurve]:
    """The curves of one skill over all depths and items, one a student, in order of capacity."""
    return [own[skill] for own in arm.curves.values() if skill in own]


def at_last_dose(study: StudyFolder) -> pd.DataFrame:
    """One row per (arm, student, skill): accuracy at dose 0, and what is left of it at the last dose measured."""
    rows = []
    for arm in study.arms.values():
        for skill in skills(study):
            for curve in main_curves(arm, skill):
                last = curve.to_frame().iloc[-1].to_dict()
                rows.append(last | {"accuracy_0": float(curve.accuracy[0])})
    columns = (
        "arm student capacity skill dose accuracy_0 accuracy retention low high relative_drop drop_points "
        "delta_nll items seeds status"
    )
    return pd.DataFrame(rows, columns=columns.split())


def plasticity(study: StudyFolder) -> pd.DataFrame:
    """How well the contaminating task was learned at each dose: mean over seeds, one row per (arm, student, dose).

    ``plasticity`` is the fall of the new task's validation NLL since dose 0, in nats per token; ``share`` is that fall
    over the achievable one, taken as the lowest NLL that any student reached on the same source in this study;
    ``kl_new`` and ``kl_original`` are forward KL(base || tuned) on new and on original inputs, nats per token (on a
    probe of original samples where there is one, or else the mean over the benchmarks' original items).
    """
    if "plasticity" not in study.kept:
        study.kept["plasticity"] = _plasticity(study)
    return study.kept["plasticity"]


def _plasticity(study: StudyFolder) -> pd.DataFrame:
    keys, frames = ["student", "capacity", "dose"], []
    for name, rows in study.scores[study.scores["depth"].isna()].groupby("arm", sort=False, observed=True):
        source = _settings(study, str(name)).get("contamination", name)
        new = new_source(_settings(study, str(name)), rows[rows["benchmark"] == PROBE])
        probes = rows[(rows["benchmark"] == PROBE) & (rows["variant"] == new)]
        mean = probes.groupby(keys)[["nll", "delta_nll", "kl"]].mean().rename(columns={"kl": "kl_new"})
        mean["kl_original"] = _kl_original(rows, new).groupby(keys)["kl"].mean()
        frames.append(mean.reset_index().assign(arm=name, source=part_name(source), task=repr(source)))
    if not any(len(frame) for frame in frames):
        return pd.DataFrame(columns="student capacity dose nll kl_new kl_original arm source plasticity share".split())
    frame = pd.concat(frames, ignore_index=True)
    frame["plasticity"] = metrics.plasticity(frame.pop("delta_nll"))
    achievable = frame["nll"] + frame["plasticity"] - frame.groupby(frame.pop("task"))["nll"].transform("min")
    frame["share"] = frame["plasticity"] / achievable.where(achievable > 0)
    return frame.sort_values(["arm", "capacity", "dose"], ignore_index=True)


def _kl_original(rows: pd.DataFrame, new: str) -> pd.DataFrame:
    """Rows with KL on original inputs: those of a probe of them, or else of the benchmarks' original items."""
    original = rows[rows["variant"] == ORIGINAL]
    probe = original[(original["benchmark"] == PROBE) & (original["variant"] != new)]
    return probe if len(probe) else original[original["benchmark"] != PROBE]


def statuses(study: StudyFolder) -> pd.DataFrame:
    """Every status that is not ``ok``, where it holds, and its remedy: of the curves, and of doses beyond the cap."""
    rows = []
    for arm in study.arms.values():
        for own in arm.curves.values():
            for curve in own.values():
                if curve.status != Status.ok.name:
                    rows.append((curve.status, f"{curve.student}, {curve.key}", arm.name, curve.remedy))
        for dose in arm.settings.get("not_reached", ()):
            rows.append((Status.not_reached.name, f"dose {dose:,}", arm.name, Status.not_reached.value))
    frame = pd.DataFrame(rows, columns=["status", "where", "arm", "remedy"])
    return frame.groupby(["status", "where", "remedy"], sort=False, as_index=False).agg({"arm": _joined})


def diverged_lines(study: StudyFolder) -> list[str]:
    """A line for each run whose student became no finite numbers; of hundreds the first ones and their count."""
    counted = "; thresholds count it as retention 0 or less" if (study.folder / SWEEP_FILE).is_file() else ""
    found = [
        f"{row.student} in {row.arm}, seeds {row.distillation_seed} and {row.seed}: from dose {int(str(row.dose)):,} "
        "on the student is no finite numbers (NaN), and what is shown of it is not forgetting; its rate is too high"
        f"{counted}"
        for row in study.diverged.itertuples()
    ]
    more = [f"and {len(found) - MOST_LINES:,} more such runs"] if len(found) > MOST_LINES else []
    return found[:MOST_LINES] + more


def rate_lines(study: StudyFolder) -> list[str]:
    """A line for each student whose rate was to be matched by plasticity and could not be."""
    return [
        f"{student} in {arm['name']}: {_learned(own)} at its best rate ({own['learning_rate']:.2g}, {own['pilots']} "
        f"pilots), not the {own['wanted']:.2f} of the reference student"
        for arm in study.record.get("arms", [])
        for student, own in arm.get("rates", {}).items()
        if not own["reached"]
    ]


def risen_lines(study: StudyFolder) -> list[str]:
    """A line for each student and arm where the NLL of what was trained on has risen, as it does at too high a rate."""
    lines = list[str]()
    for arm in study.arms.values():
        for student in arm.curves if not is_control(arm) else ():
            items, before, after = new_task(study, arm, student)
            if items and after > (1 + RISEN) * before:
                what = f"the new task's NLL rose from {before:.2f} to {after:.2f} nats a token"
                lines.append(f"{student} in {arm.title}: {what}, as it does at too high a learning rate")
    return lines


def _learned(own: dict[str, Any]) -> str:
    """What a pilot learned; older records have a share of what can be learned instead."""
    if "share" in own:
        return f"learns {own['share']:.2f} of what can be learned"
    return "diverges" if own["learning"] is None else f"learning is {own['learning']:.2f}"


def wall_seconds(study: StudyFolder) -> pd.DataFrame:
    """Wall seconds of the study by stage, the whole study last; shares are of the whole."""
    spent = {name: value for name, value in _seconds(study).items() if not name.startswith(INSIDE)}
    whole = spent.pop("study", sum(spent.values()))
    return _shares({**spent, "whole study": whole}, whole)


def process_seconds(study: StudyFolder) -> pd.DataFrame:
    """Seconds inside the runs by what they were spent on, added up over processes; empty where none are recorded."""
    spent = {name.removeprefix(INSIDE): v for name, v in _seconds(study).items() if name.startswith(INSIDE)}
    whole = sum(spent.values())
    return _shares({**spent, "all runs": whole} if spent else {}, whole)


def _seconds(study: StudyFolder) -> dict[str, float]:
    return {str(k): float(v) for k, v in study.record.get("seconds", {}).items() if isinstance(v, (int, float))}


def _shares(spent: dict[str, float], whole: float) -> pd.DataFrame:
    rows = [(name, value, value / max(whole, 1e-9)) for name, value in spent.items()]
    return pd.DataFrame(rows, columns=["stage", "seconds", "share"])


def seeds_text(study: StudyFolder) -> str:
    """One sentence: how many seeds, and whether they share one student or distil a fresh one each."""
    known = study.record.get("seeds", {})
    count, shared = len(known.get("contamination", [])) or 1, known.get("shared_students", True)
    if known.get("checkpoints"):
        many = "One contamination seed" if count == 1 else f"{count} contamination seeds"
        return f"{many} on the checkpoint as it is: the noise of its own training is not in the intervals."
    if count == 1:
        student = "the distilled student" if shared else "a fresh student"
        return f"One contamination seed on {student}: the intervals cover items only."
    if shared:
        how = "all of them contaminate the same distilled student, so the noise of distillation is not in the intervals"
    else:
        how = "each distils a fresh student, so the noise of distillation is in the intervals"
    return f"{count} contamination seeds: {how}."


def floor_text(study: StudyFolder) -> str:
    """One sentence with the noise floor: the largest standard error of a difference of nothing, over all cells."""
    floor = study.noise_floor
    if floor.empty:
        return "Noise floor: not available, since the ledger is not in this folder."
    widest, error = floor["difference"].abs().max(), floor["standard_error"].max()
    text = (
        f"Noise floor: two disjoint halves of {int(floor['items'].min())} or more items differ by up to "
        f"{widest:.3f} in accuracy (standard error at most {error:.3f})"
    )
    spread = floor["seed_spread"].max()
    return text + (f"; the spread of seeds is at most {spread:.3f}." if pd.notna(spread) else "; one seed, no spread.")


def short_dose(dose: int) -> str:
    """A dose in few letters: 320, 1.3k, 10k."""
    return str(dose) if dose < 1000 else f"{dose / 1000:.1f}".removesuffix(".0") + "k"


def doses_apart(doses: NDArray[np.int64], positions: Floats, share: float = 0.13) -> list[int]:
    """The doses whose labels have room: the first, the last, and from the left those far enough from both."""
    room = share * float(positions[-1] - positions[0])
    kept, last = [int(doses[0])], float(positions[0])
    for dose, position in zip(doses[1:-1], positions[1:-1], strict=True):
        if position - last >= room and positions[-1] - position >= room:
            kept.append(int(dose))
            last = float(position)
    return [*kept, int(doses[-1])]


def has_remedies(study: StudyFolder) -> bool:
    """Whether arms differ in what is done against forgetting."""
    return len({part_name(arm.get("mitigation", "none")) for arm in study.record.get("arms", [])}) > 1


def _joined(names: pd.Series) -> str:
    return ", ".join(dict.fromkeys(str(name) for name in names if name))


def _settings(study: StudyFolder, arm: str) -> dict[str, Any]:
    return next((dict(a) for a in study.record.get("arms", []) if a["name"] == arm), {})
