"""A study as matplotlib figures: retention against dose by skill, depth, coverage, perturbation, plasticity, rate.

Every function returns a ``Figure`` that no global state knows of, or None where the study has nothing to draw in it.
Colours go from light (small) to dark (large) by capacity in every figure; each rung also has its own marker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forgetting.analysis.curves import ORIGINAL, ForgettingCurve
from forgetting.analysis.metrics import Status
from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.report import answer_figures, capacity_views, drawing, failure_views, tables, topics
from forgetting.report.drawing import COLUMNS, MARKERS
from forgetting.report.likelihood import likelihood
from forgetting.report.sweeps.read import read_sweep


@drawing.styled
def retention_by_skill(study: StudyFolder, arm: ArmCurves) -> Figure | None:
    """Retention against dose: one panel a skill, one line a student, bands at 95%."""
    skills = [skill for skill in tables.skills(study) if tables.main_curves(arm, skill)]
    panels = [(skill, tables.main_curves(arm, skill)) for skill in skills]
    return _curve_panels(study, panels, f"Retention against dose\n{arm.title}")


@drawing.styled
def retention_by_depth(study: StudyFolder, arm: ArmCurves, skill: str = "maths") -> Figure | None:
    """Retention of one skill against dose: one panel a depth."""
    own = [c for curves in arm.curves.values() for c in curves.values() if c.skill == skill and c.depth is not None]
    depths = sorted({int(c.depth) for c in own if c.depth is not None})
    panels = [(f"{skill}, depth {depth}", [c for c in own if c.depth == depth]) for depth in depths]
    return _curve_panels(study, panels, f"Retention of {skill} by depth\n{arm.title}")


@drawing.styled
def retention_by_coverage(study: StudyFolder, arm: ArmCurves) -> Figure | None:
    """Retention against dose of common and of rare items side by side, for every skill that has both."""
    own = [c for curves in arm.curves.values() for c in curves.values() if c.coverage is not None]
    cells = dict.fromkeys((c.skill, str(c.coverage)) for c in own)
    panels = [
        (f"{skill}, {cover} items", [c for c in own if (c.skill, c.coverage) == (skill, cover)])
        for skill, cover in cells
    ]
    return _curve_panels(study, panels, f"Retention by training coverage\n{arm.title}", columns=2)


@drawing.styled
def perturbation(study: StudyFolder, arm: ArmCurves) -> Figure | None:
    """Accuracy on the original items and on each perturbed variant, at dose 0 and at the last dose."""
    own = [c for s in arm.curves.values() for c in s.values() if c.depth is None and c.coverage is None]
    skills = [s for s in tables.skills(study) if any(c.skill == s and c.variant != ORIGINAL for c in own)]
    if not skills:
        return None
    figure, axes = drawing.grid(2 * len(skills), 2, f"Original against perturbed\n{arm.title}", below=0.75)
    for skill, row in zip(skills, axes.reshape(-1, 2), strict=True):
        some = [c for c in own if c.skill == skill]
        variants = sorted({c.variant for c in some}, key=lambda v: (v != ORIGINAL, v))
        for ax, look in zip(row, (0, -1), strict=True):
            for student in arm.curves:
                _variant_points(ax, study, [c for c in some if c.student == student], variants, look)
            ax.set_xticks(range(len(variants)), variants, rotation=30, ha="right", rotation_mode="anchor")
            ax.set_title(f"{skill}, " + ("dose 0" if look == 0 else f"dose {max(int(c.dose[-1]) for c in some):,}"))
            ax.set_ylim(-0.03, 1.03)
        row[0].set_ylabel("accuracy")
        for ax in row:
            drawing.place_label(ax.yaxis)
    drawing.legend(figure, axes, drawing.students(study))
    return figure


@drawing.styled
def retention_against_plasticity(study: StudyFolder, arm: ArmCurves) -> Figure | None:
    """Retention of each skill against how much of the contaminating task was learned, one point a dose."""
    learnt = tables.plasticity(study)
    learnt = learnt[(learnt["arm"] == arm.name) & learnt["share"].notna()]
    skills = [s for s in tables.skills(study) if any(c.status == Status.ok.name for c in tables.main_curves(arm, s))]
    if learnt.empty or not skills:
        return None
    figure, axes = drawing.grid(
        len(skills), COLUMNS, f"Retention against plasticity, a point a dose\n{arm.title}", below=0.62
    )
    for ax, skill in zip(axes.flat, skills, strict=False):
        for curve in tables.main_curves(arm, skill):
            share = learnt[learnt["student"] == curve.student].set_index("dose")["share"].reindex(curve.dose)
            drawing.line(ax, study, curve, share.to_numpy(float))
        drawing.place_label(ax.xaxis)
        ax.set_title(skill)
        ax.set_xlabel("share of the achievable fall in\nNLL of the contaminating task")
    drawing.retention_axes(axes)
    drawing.legend(figure, axes, drawing.students(study))
    return figure


@drawing.styled
def retention_by_rate(study: StudyFolder, arms: Sequence[ArmCurves], skill: str = "maths") -> Figure | None:
    """Retention of one skill against dose at several multiples of the rate: one panel a student, a line a multiple."""
    ordered = sorted(arms, key=_multiple)
    students = [s for s in drawing.students(study) if any(skill in arm.curves.get(s, {}) for arm in ordered)]
    students = [
        s for s in students if any(arm.curves[s][skill].status == Status.ok.name for arm in ordered if s in arm.curves)
    ]
    if len(ordered) < 2 or not students:
        return None
    policy = str(ordered[0].settings.get("rate_policy", "unknown")).replace("_", " ")
    title = f"Retention of {skill} by multiple of the rate\n{ordered[0].contamination} · rate policy {policy}"
    figure, axes = drawing.grid(len(students), COLUMNS, title)
    shades = matplotlib.colormaps["plasma"](np.linspace(0.0, 0.8, len(ordered)))
    for ax, student in zip(axes.flat, students, strict=False):
        for number, arm in enumerate(ordered):
            if student in arm.curves and skill in arm.curves[student]:
                style = {"color": shades[number], "marker": MARKERS[number % len(MARKERS)]}
                label = f"{_multiple(arm):g}× rate"
                drawing.draw(ax, arm.curves[student][skill], None, style | {"label": label})
        drawing.dose_axis(ax, [arm.curves[student][skill] for arm in ordered if student in arm.curves])
        ax.set_title(student)
    drawing.retention_axes(axes)
    drawing.legend(figure, axes, [])
    return figure


def figures(study: StudyFolder) -> dict[str, Figure]:
    """Every figure that the study has something for, by file name.

    Controls get the first two figures only, and so do all but the one nearest to 1x of arms that differ in their rate.
    Of a sweep, the thresholds come first, and only its main arms have forgetting curves drawn.
    """
    drawn: dict[str, Figure | None] = {}
    if read_sweep(study) is None:
        drawn |= answer_figures.drawn(study)
    if (sweep := read_sweep(study)) is not None:
        from forgetting.report.sweeps import views  # with scipy.stats and all else that only thresholds need

        drawn |= views.drawn(sweep)
        main = [study.arm(name) for name in views.main_arms(sweep) if name in study.arm_names]
        for arm in main:
            drawn[f"retention-{arm.name}"] = retention_by_skill(study, arm)
            drawn[f"likelihood-{arm.name}"] = likelihood(study, arm)
            drawn[f"depth-maths-{arm.name}"] = retention_by_depth(study, arm, "maths")
            drawn[f"plasticity-{arm.name}"] = retention_against_plasticity(study, arm)
            drawn[f"readings-{arm.name}"] = capacity_views.capacity_figure(study, arm.name)
        drawn |= failure_views.drawn(study, main[0]) if main else {}  # of others they would make the page heavy
        drawn |= topics.drawn(study)
        return {name: figure for name, figure in drawn.items() if figure is not None}
    rates = _same_but_rate(study)
    nearest = [min(arms, key=lambda arm: abs(_multiple(arm) - 1)).name for arms in rates.values()]
    brief = {arm.name for arms in rates.values() for arm in arms} - set(nearest)
    for arm in study.arms.values():
        drawn[f"retention-{arm.name}"] = retention_by_skill(study, arm)
        drawn[f"likelihood-{arm.name}"] = likelihood(study, arm)
        if tables.is_control(arm) or arm.name in brief:
            continue
        for skill in ("maths", "code"):
            drawn[f"depth-{skill}-{arm.name}"] = retention_by_depth(study, arm, skill)
        drawn[f"coverage-{arm.name}"] = retention_by_coverage(study, arm)
        drawn[f"perturbation-{arm.name}"] = perturbation(study, arm)
        drawn[f"plasticity-{arm.name}"] = retention_against_plasticity(study, arm)
        drawn[f"readings-{arm.name}"] = capacity_views.capacity_figure(study, arm.name)
        drawn |= failure_views.drawn(study, arm)
    drawn |= topics.drawn(study)
    for name, arms in rates.items():
        for skill in [s for s in tables.skills(study) if s in ("maths", "code")]:
            drawn[f"rates-{skill}-{name}"] = retention_by_rate(study, arms, skill)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _multiple(arm: ArmCurves) -> float:
    """By how much the arm multiplies the learning rate."""
    return float(arm.settings.get("rate_multiple", 1))


def _same_but_rate(study: StudyFolder) -> dict[str, list[ArmCurves]]:
    """Arms that differ in nothing but the multiple of the rate, by the name of the first."""
    groups: dict[str, list[ArmCurves]] = {}
    for arm in study.arms.values():
        if arm.settings:
            rest = {k: v for k, v in arm.settings.items() if k not in ("name", "rate_multiple")}
            groups.setdefault(repr(sorted(rest.items())), []).append(arm)
    return {arms[0].name: arms for arms in groups.values() if len(arms) > 1}


def _curve_panels(
    study: StudyFolder, panels: Iterable[tuple[str, list[ForgettingCurve]]], title: str, columns: int = COLUMNS
) -> Figure | None:
    """Retention against dose in panels of (title, curves)."""
    filled = [(name, found) for name, found in panels if found]
    if not filled:
        return None
    figure, axes = drawing.grid(len(filled), columns, title)
    for ax, (name, found) in zip(axes.flat, filled, strict=False):
        for curve in found:
            drawing.line(ax, study, curve, None)
        drawing.dose_axis(ax, found)
        ax.set_title(name)
        drawing.say_what_is_missing(ax, found)
    drawing.retention_axes(axes)
    drawing.legend(figure, axes, drawing.students(study))
    return figure


def _variant_points(ax: Axes, study: StudyFolder, own: list[ForgettingCurve], variants: list[str], look: int) -> None:
    """Accuracy of one student on each variant at one look, with intervals."""
    found = {curve.variant: curve for curve in own}
    if not found:
        return
    students = drawing.students(study)
    number = students.index(own[0].student)
    places = [
        i + 0.5 * (number - (len(students) - 1) / 2) / len(students) for i, v in enumerate(variants) if v in found
    ]
    value, low, high = (
        np.array([getattr(found[v], name)[look] for v in variants if v in found])
        for name in ("accuracy", "accuracy_low", "accuracy_high")
    )
    error = np.clip([value - low, high - value], 0, None)
    marker, colour = MARKERS[number % len(MARKERS)], drawing.colours(study)[own[0].student]
    ax.errorbar(places, value, yerr=error, fmt=marker, color=colour, elinewidth=0.9, label=own[0].student)
