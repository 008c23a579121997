"""What a reader sees first: a study in; one plain sentence and what qualifies it out.

The sentence says what was lost, by whom, from which dose on, with intervals; of a sweep from which size up a level is
kept. Whether all of it is only exploratory is judged by what was measured, never by what came out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forgetting.analysis.curves import ORIGINAL, ForgettingCurve
from forgetting.analysis.metrics import Status
from forgetting.analysis.record_reading import data_name
from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.analysis.thresholds.threshold import Threshold, place_text, told
from forgetting.analysis.tuning_cost import skill_cost
from forgetting.report import tables
from forgetting.report.sweeps.read import LocatedTarget, SweepFolder, read_sweep

FRESH_STUDENTS, ITEMS = 5, 500  # that a published finding takes (docs/protocol.md)
FIRST = ("maths", "code")  # the skills that the question is about, before any others
ALIKE = 0.05  # of retention: students that differ by less are not ranked
KEPT = {0.9: "nine tenths", 0.5: "half"}


@dataclass(frozen=True)
class FirstScreen:
    """``answer`` is the sentence, ``more`` what else belongs to it, ``exploratory`` why it is no more than that."""

    answer: str
    more: tuple[str, ...]
    exploratory: tuple[str, ...]

    def __str__(self) -> str:
        mark = (f"Exploratory: {'; '.join(self.exploratory)}.",) if self.exploratory else ()
        return "\n".join([self.answer, *self.more, *mark])


def first_screen(study: StudyFolder) -> FirstScreen:
    """The answer of a study or sweep."""
    if (sweep := read_sweep(study)) is not None:
        skill = sweep.families[0].skill
        answer, more = _of_sweep(sweep)
        return FirstScreen(answer, (*more, *_remedies(study, skill)), tuple(exploratory(study, [skill])))
    reasons = tuple(exploratory(study))
    if not study.arm_names:
        return FirstScreen("Nothing was measured.", (), reasons)
    arm = main_arm(study)
    found = {skill: learned(arm, skill) for skill in skills_of(study, arm)}
    found = {skill: curves for skill, curves in found.items() if curves}
    if not found:
        return FirstScreen(*_notlearned(arm), reasons)
    answer, more = _of_arm(study, arm, found)
    return FirstScreen(answer, more, reasons)


def main_arm(study: StudyFolder) -> ArmCurves:
    """The first arm that is no control, or else the first."""
    arms = [study.arm(name) for name in study.arm_names]
    return next((arm for arm in arms if not tables.is_control(arm)), arms[0])


def control_arm(study: StudyFolder) -> ArmCurves | None:
    """More of the original distribution in the contamination's place, or noise; None where neither ran."""
    ran = {row.name: row.arms for row in tables.controls(study)}
    name = next((ran[control][0] for control in ("original", "noise") if ran.get(control)), None)
    return None if name is None else study.arm(name)


def instead(control: ArmCurves) -> str:
    """What was trained on in the contamination's place, in words."""
    return {"original": "more of the original data", "noise": "noise text"}.get(
        control.contamination, control.contamination
    )


def exploratory(study: StudyFolder, skills: Sequence[str] = FIRST) -> Iterator[str]:
    """What a published finding about some skills takes and this study lacks, each in a few words."""
    seeds = study.record.get("seeds", {})
    fresh = len(seeds.get("distillation", [])) or 1
    if seeds.get("checkpoints"):
        yield "one checkpoint as it is, so nothing is known of the scatter between students"
    elif seeds.get("shared_students", True):
        yield "seeds share one student a size, so nothing is known of the scatter between students"
    elif fresh < FRESH_STUDENTS:
        yield f"{fresh} fresh students a size of {FRESH_STUDENTS}"
    rows = study.scores[study.scores["depth"].isna() & (study.scores["variant"] == ORIGINAL)]
    rows = rows[rows["skill"].isin(list(skills))]
    least = rows.sort_values("items", kind="stable").head(1)
    for items, skill in zip(least["items"], least["skill"], strict=True):
        if int(items) < ITEMS:
            yield f"{int(items)} items of {ITEMS} for {skill}"
    if control_arm(study) is None:
        yield "no control: what any fine-tuning would have cost was not measured"


def skills_of(study: StudyFolder, arm: ArmCurves) -> list[str]:
    """Maths and code, then what else was measured."""
    known = [skill for skill in tables.skills(study) if tables.main_curves(arm, skill)]
    return sorted(known, key=lambda skill: FIRST.index(skill) if skill in FIRST else len(FIRST))


def learned(arm: ArmCurves, skill: str) -> list[ForgettingCurve]:
    """The curves of a skill in an arm, of the students that had learned it."""
    return [curve for curve in tables.main_curves(arm, skill) if curve.status == Status.ok.name]


def _of_arm(study: StudyFolder, arm: ArmCurves, found: dict[str, list[ForgettingCurve]]) -> tuple[str, tuple[str, ...]]:
    """What was lost in an arm: the skill of which least is kept first, then the others and the control."""
    worst = least_kept(found)
    curves = found[worst]
    losers = [curve for curve in curves if skill_cost(curve).below_from is not None]
    dose = max(int(curve.dose[-1]) for curve in curves)
    if losers:
        answer = _lost(arm, worst, curves, losers, dose)
    else:
        open_loss = max(curves, key=lambda curve: skill_cost(curve).not_excluded)
        answer = (
            f"No loss is shown: after {dose:,} samples of {data_name(arm.settings)} no student's 95% interval of "
            f"{worst} lies below what it was; a loss of {skill_cost(open_loss).not_excluded:.2f} "
            f"({open_loss.student}) is not excluded."
        )
    more = [*_remedies(study, worst), *([_since(worst, losers)] if _differ(losers) else [])]
    others = [f"{skill} {_range(own)}" for skill, own in found.items() if skill != worst]
    if others:
        more.append(f"Of the other skills is kept, least to most by student: {'; '.join(others)}.")
    control = control_arm(study)
    if control is not None and control.name != arm.name and (own := learned(control, worst)):
        more.append(f"With {instead(control)} in its place {worst} is kept at {_range(own)}.")
    return answer, tuple(more)


def least_kept(found: Mapping[str, Sequence[ForgettingCurve]]) -> str:
    """The skill of which least is kept at the last dose, maths and code before others."""
    main = {skill: curves for skill, curves in found.items() if skill in FIRST} or found
    return min(main, key=lambda skill: float(np.mean([curve.retention[-1] for curve in main[skill]])))


def _remedies(study: StudyFolder, skill: str) -> list[str]:
    """Which remedy keeps most of a skill at equal learning; nothing where the study has none."""
    if not study.arm_names or not tables.has_remedies(study):
        return []
    from forgetting.report.front_answer import front_answer, front_lines  # with scipy, which only fronts need

    found = front_answer(study, main_arm(study).name, skill)
    return front_lines(found, data_name(study.arm(found.arms).settings)) if found is not None else []


def _lost(
    arm: ArmCurves, skill: str, curves: Sequence[ForgettingCurve], losers: Sequence[ForgettingCurve], dose: int
) -> str:
    least, most = (pick(curves, key=lambda curve: float(curve.retention[-1])) for pick in (min, max))
    who = f"{least.student} lost" if len(curves) == 1 else f"{len(losers)} of {len(curves)} students lost"
    text = f"{who} {skill} to {data_name(arm.settings)}: after {dose:,} samples "
    if len(curves) == 1:
        text += f"{_kept(least)} of it is kept"
    elif float(most.retention[-1] - least.retention[-1]) < ALIKE:
        low, high = min(float(c.low[-1]) for c in curves), max(float(c.high[-1]) for c in curves)
        kept = f"{least.retention[-1]:.2f} to {most.retention[-1]:.2f}"
        text += f"all keep {kept} of it (95% intervals {low:.2f} to {high:.2f})"
    else:
        text += f"{least.student} keeps {_kept(least)} of it, the least, and {most.student} {_kept(most)}, the most"
    first = min(losers, key=lambda curve: skill_cost(curve).below_from or 0)
    since = f"dose {skill_cost(first).below_from:,} on" + (f" ({first.student} first)" if _differ(losers) else "")
    return f"{text}; it is lower than it was from {since}."


def _differ(losers: Sequence[ForgettingCurve]) -> bool:
    """Whether students lose from different doses on."""
    return len({skill_cost(curve).below_from for curve in losers}) > 1


def _since(skill: str, losers: Sequence[ForgettingCurve]) -> str:
    each = ", ".join(f"{curve.student} from {skill_cost(curve).below_from:,}" for curve in losers[:8])
    more = "" if len(losers) <= 8 else f" and {len(losers) - 8} more"
    return f"Dose from which the whole 95% interval of {skill} lies below what it was: {each}{more}."


def _kept(curve: ForgettingCurve) -> str:
    return f"{curve.retention[-1]:.2f} (95% {curve.low[-1]:.2f} to {curve.high[-1]:.2f})"


def _range(curves: Sequence[ForgettingCurve]) -> str:
    ordered = sorted(curves, key=lambda curve: float(curve.retention[-1]))
    if len(ordered) == 1:
        return _kept(ordered[0])
    least, most = (f"{curve.retention[-1]:.2f} ({curve.student})" for curve in (ordered[0], ordered[-1]))
    return f"{least} to {most}"


def _notlearned(arm: ArmCurves) -> tuple[str, tuple[str, ...]]:
    """Where no skill was learned well enough, the rise of the gold answers' NLL."""
    own = [c for curves in arm.curves.values() for c in curves.values() if c.key == c.skill]
    rises = "; ".join(f"{c.student} {c.skill} {c.delta_nll[-1]:+.2f}" for c in own[:6])
    answer = (
        "No student had learned a skill so well that its loss could be told by accuracy (at least .30 above chance at "
        "dose 0)."
    )
    return answer, (f"Rise of the NLL of gold answers at the last dose of {arm.name}, nats a token: {rises}.",)


def _of_sweep(sweep: SweepFolder) -> tuple[str, tuple[str, ...]]:
    """Thresholds of the first family that was searched; its first level leads."""
    family = sweep.families[0]
    placed = [p for p in family.thresholds if p.threshold.axis == family.axis] or list(family.thresholds)
    lines = [f"{_upper(place_text(p.place))}: {_words(family, p.threshold)}." for p in placed]
    if not lines:
        return f"No threshold was searched ({family.conditions}).", ()
    head = f"{_upper(family.skill)} after {family.dose:,} samples of {family.source}"
    policy = f"Rate policy {family.rate_policy.replace('_', ' ')}; 90% intervals"
    return f"{head}. {lines[0]}", (*lines[1:], f"{policy}{_counted([p.threshold for p in placed])}.")


def _counted(found: Sequence[Threshold]) -> str:
    """What the intervals count, in words; nothing where it was not told."""
    most = max((one.students for one in found), default=0)
    if not most:
        return ""
    scatter = "" if all(one.student_sd is not None for one in found if one.located) else ", whose scatter they exclude"
    return f" of {most} students{scatter}"


def _words(family: LocatedTarget, found: Threshold) -> str:
    """A threshold as a statement on what is kept."""
    share = KEPT.get(found.level, f"{found.level:g}")
    kept, capacity = f"{share} of {family.skill} {'is' if share == 'half' else 'are'} kept", found.axis == "capacity"
    if found.located:
        return f"{kept} " + (f"from {told(found)} parameters up" if capacity else f"up to a shift of {told(found)}")
    everywhere = "below_range" if capacity else "above_range"
    if found.status == everywhere:
        return f"{kept} by every size measured" if capacity else f"{kept} at every shift measured"
    if found.status in ("below_range", "above_range"):
        return f"{kept} by no size measured" if capacity else f"{kept} at no shift measured"
    return f"whether {kept} is open ({told(found)})"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
