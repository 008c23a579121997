"""What to do next: a study in; what would make its answer surer, and what would keep the skill, as options out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from forgetting.analysis.learning_paths import Settings, mitigation
from forgetting.analysis.metrics import Status
from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.tuning_cost import skill_cost
from forgetting.report.first_screen import FRESH_STUDENTS, control_arm, main_arm
from forgetting.report.sweeps.read import read_sweep


@dataclass(frozen=True)
class NextStep:
    """``why`` it is worth while, and the ``options`` that do it."""

    why: str
    options: str


def next_steps(study: StudyFolder) -> list[NextStep]:
    """In the order in which they are worth it; nothing of a study whose answer is as sure as a finding has to be."""
    of = "study." if read_sweep(study) is not None else ""
    return [NextStep(why, options.replace("--", f"--{of}")) for why, options in _steps(study)]


def _steps(study: StudyFolder) -> Iterator[tuple[str, str]]:
    if not study.arm_names:
        return
    seeds = study.record.get("seeds", {})
    fresh = 1 if seeds.get("shared_students", True) else len(seeds.get("distillation", []))
    if fresh < FRESH_STUDENTS and not seeds.get("checkpoints"):
        yield "how much students of one size differ", f"--ladder.fresh_students true --seeds {FRESH_STUDENTS}"
    if control_arm(study) is None:
        yield "what any fine-tuning would have cost", "--controls '[original]'"
    curves = [c for own in main_arm(study).curves.values() for c in own.values() if c.status == Status.ok.name]
    if not any(skill_cost(curve).below_from is not None for curve in curves):
        dose = max((int(curve.dose[-1]) for curve in curves), default=0)
        if dose:
            yield "whether more costs something", f"--doses.dose {4 * dose}"
    elif not any(_keeps(arm.settings) for arm in study.arms.values() if arm.settings):
        yield "what would keep it", "--mitigations '[none, {name: replay, share: 0.5}]'"


def _keeps(arm: Settings) -> bool:
    """Whether something old is trained on, or another remedy tried, in an arm."""
    return mitigation(arm)["name"] != "none" or float(arm.get("shift", 1)) < 1
