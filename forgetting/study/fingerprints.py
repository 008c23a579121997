"""What every number depends on: a study, or a thing of it, in; its canonical form, and the hash of that, out.

One rule makes a form of settings: a setting at its default is left out, in a spec as in a part. So a new setting moves
no fingerprint until somebody uses it, while a new default of an old setting must come with a new version below.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from forgetting import registry
from forgetting.contracts import Benchmark, Part
from forgetting.models.checkpoint import Checkpoint, check_tokenizers
from forgetting.record.schema import RESULTS_VERSION
from forgetting.spec import Fit, Ladder
from forgetting.study.arms import Arm
from forgetting.study.run import Run
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.study.taught import DistillationStage
from forgetting.world import WORLD_VERSION

# Raised whenever a change of the code, or of a default, changes the students that an unchanged spec gives.
STUDENTS_VERSION = 1
MATCHING_VERSION = 3  # of the search for a matched rate: has a part where rates are matched only

_NOTHING = object()  # equals no value, so that a setting without a default is never left out


def fingerprint(form: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces), first sixteen hexadecimal digits."""
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def study_fingerprint(study: Study) -> str:
    """Sixteen hexadecimal digits that change exactly when a result could change."""
    return fingerprint(canonical(study))


def settings_form(thing: Any, usual: Any = _NOTHING) -> Any:
    """Settings as plain values without those at their defaults; a part also has its name.

    ``usual`` is the default of the setting that ``thing`` is: what it holds is compared with what that holds.
    """
    if isinstance(thing, Part):
        given = thing.form() if isinstance(thing, Benchmark) else thing.settings()
        return {"name": given.pop("name"), **_changed(thing, {n: _inner(thing, v) for n, v in given.items()})}
    if isinstance(thing, Checkpoint):
        return _changed(thing, thing.form())
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        given = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)}
        return _changed(thing, given, usual)
    if isinstance(thing, Mapping):
        return {name: settings_form(value) for name, value in thing.items()}
    return [settings_form(value) for value in thing] if isinstance(thing, list | tuple) else thing


def _changed(thing: Any, given: Mapping[str, Any], usual: Any = _NOTHING) -> dict[str, Any]:
    """Of what is given for a dataclass, the settings that differ from the defaults."""
    usuals = _defaults(type(thing)) if type(usual) is not type(thing) else vars(usual)
    form = {}
    for name, value in given.items():
        default = usuals.get(name, _NOTHING)
        if value != default and settings_form(value) != settings_form(default):
            form[name] = settings_form(value, default)
    return form


def _defaults(kind: type[Any]) -> dict[str, Any]:
    """The defaults of a dataclass's settings, as far as they have any."""
    made = {
        f.name: f.default_factory() for f in dataclasses.fields(kind) if f.default_factory is not dataclasses.MISSING
    }
    return made | {f.name: f.default for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING}


def _inner(part: Part, value: Any) -> Any:
    """A setting of a part; one that holds parts of its family holds them by their own forms."""
    if isinstance(value, list | tuple):
        return [_inner(part, one) for one in value]
    if not isinstance(value, Mapping):
        return value
    if "name" in value and value["name"] in registry.names(part.family):
        return settings_form(registry.build(part.family, value))
    return {name: _inner(part, one) for name, one in value.items()}


def _some(thing: Any, *names: str) -> dict[str, Any]:
    """Of the settings of a dataclass those of these names, as far as they are not at their defaults."""
    form = settings_form(thing)
    return {name: form[name] for name in names if name in form}


def _filled(form: dict[str, Any]) -> dict[str, Any]:
    """A form without groups of which every setting is at its default."""
    return {name: value for name, value in form.items() if value != {} and value is not None}


def canonical(study: Study) -> dict[str, Any]:
    """The canonical form of a study: all that some result of it depends on, as plain values."""
    spec, matched = study.spec, any(map(study.is_matched, study.arms))
    return _filled(
        {
            "students": [settings_form(s) for s in study.students],
            **(_taught_form(study, study.stages) if study.teacher else {}),
            "branches": _branch_forms(study),
            **_some(spec.ladder, "fresh_students"),
            "original": settings_form(study.original) if study.language == "natural" else None,
            "arms": [{"name": a.name, **arm_form(a), "doses": list(study.reached(a))} for a in study.arms],
            "doses": list(spec.doses.values()),
            **_some(spec, "fine_tuning", "seeds", "first_seed"),
            "matching": _matching_settings(study) if matched else None,
            "machine": machine_form(study),
            "evaluation": evaluation_form(study),
            "interventions": intervention_forms(study),
            "results_version": RESULTS_VERSION,
        }
    )


def arm_form(arm: Arm) -> dict[str, Any]:
    """What an arm's numbers depend on; its name has no part in it."""
    return {name: value for name, value in settings_form(arm).items() if name != "name"}


def teacher_form(study: Study) -> dict[str, Any]:
    """What the teacher's weights depend on."""
    assert study.teacher is not None
    ladder = study.spec.ladder
    if isinstance(study.teacher, Checkpoint):
        return {"checkpoint": settings_form(study.teacher)}
    return _filled(
        {
            "world": WORLD_VERSION,
            "architecture": settings_form(study.teacher),
            "original": settings_form(study.original),
            "teaching": _fit_form(ladder.teaching, "teaching"),
            **_some(ladder, "seed"),
            "results_version": STUDENTS_VERSION,
        }
    )


def _taught_form(study: Study, stages: Sequence[DistillationStage]) -> dict[str, Any]:
    """How students are taught in these stages, whichever they are."""
    first, *later = [_stage_form(stage) for stage in stages]
    return {"teacher": teacher_form(study), **first, **({"then": later} if later else {})}


def _branch_forms(study: Study) -> dict[str, Any] | None:
    """By student, in the order of the study: its own stages. None where students do not branch."""
    trunk = len(study.stages)
    own = {name: [_stage_form(stage) for stage in branch.stages[trunk:]] for name, branch in study.branches.items()}
    return own or None


def _stage_form(stage: DistillationStage) -> dict[str, Any]:
    fit = _fit_form(stage.fit, "distilling")
    by = [_stage_form(one) for one in stage.taught_by]
    own = {"distillation": settings_form(stage.method), **({"distilling": fit} if fit else {})}
    return {**own, **({"taught_by": by} if by else {})}


def _fit_form(fit: Fit, name: str) -> dict[str, Any]:
    """A fit of the ladder; the benchmark of its target by what its items and grades depend on."""
    form: dict[str, Any] = settings_form(fit, _defaults(Ladder)[name])
    if fit.until.benchmark:
        target = cast(Benchmark, registry.build("benchmarks", fit.until.benchmark, f"ladder.{name}.until.benchmark"))
        form["until"]["benchmark"] = {**settings_form(target), "version": target.version, **target.made_by()}
    if fit.original:
        form["original"] = settings_form(registry.build("contamination", fit.original))
    if fit.until.answering:
        way = registry.build("answering", fit.until.answering, f"ladder.{name}.until.answering")
        form["until"]["answering"] = settings_form(way)
    return form


def student_form(
    study: Study, student: Student, distillation_seed: int, also: Arm | None = None, stages: int | None = None
) -> dict[str, Any]:
    """What a student's weights depend on; with ``also`` it learns that arm's contamination in its distillation.

    ``stages`` gives the form of the student as it is after the first so many stages: others may share it. The name of a
    branch has no part in it.

    ``UsageError`` where teacher and student are checkpoints of different tokenizers.
    """
    kind = "checkpoint" if isinstance(student, Checkpoint) else "architecture"
    if study.teacher is None:
        return {kind: settings_form(student)}
    taught, rung = _taught_form(study, study.stages_of(student)[:stages]), study.rung(student)
    form = {**taught, kind: settings_form(rung), "distillation_seed": distillation_seed}
    if isinstance(study.teacher, Checkpoint):  # whose form knows nothing of how its students are made
        form |= {"original": settings_form(study.original), **_some(study.spec.ladder, "seed")}
        form["results_version"] = STUDENTS_VERSION
        if isinstance(student, Checkpoint):
            check_tokenizers(study.teacher, student)
    return form if also is None else {**form, "joint": arm_form(also), "dose": study.reached(also)[-1]}


def evaluation_form(study: Study) -> dict[str, Any]:
    """What the scores depend on beside the weights."""
    benchmarks = [{**settings_form(b), "version": b.version, **b.made_by()} for b in study.benchmarks]
    form = {**settings_form(study.spec.evaluation), "benchmarks": benchmarks}
    return {**form, "answering": [settings_form(way) for way in study.answering]} if study.answering else form


def intervention_forms(study: Study) -> list[dict[str, Any]] | None:
    """What is done to finished students: settings, and from the second one on the version."""
    return [
        settings_form(one) | ({"version": one.version} if one.version > 1 else {}) for one in study.interventions
    ] or None


def machine_form(study: Study) -> dict[str, Any]:
    """The layout on the machine, on which rounding depends.

    Where an interpreter and its program lie does not count, nor to whom scores are told.
    """
    form: dict[str, Any] = settings_form(dataclasses.replace(study.spec.machine, loggers=()))
    if command := study.spec.machine.backend.command:
        form["backend"]["command"] = [Path(word).name for word in command]
    return form


def run_form(study: Study, run: Run) -> dict[str, Any]:
    """What one run's rows depend on."""
    return _filled(
        {
            "student": student_form(study, run.student, run.distillation_seed),
            "original": settings_form(study.original) if study.language == "natural" else None,
            "arm": arm_form(run.arm),
            **(matching_form(study, run.arm) if study.is_matched(run.arm) else {}),
            "doses": list(run.doses),
            **_some(study.spec, "fine_tuning"),
            "machine": machine_form(study),
            "evaluation": evaluation_form(study),
            "interventions": intervention_forms(study),
            "seed": run.seed,
            "results_version": RESULTS_VERSION,
        }
    )


def pilot_form(study: Study, student: Student, arm: Arm, rate: float) -> dict[str, Any]:
    """What a pilot's NLL depends on; ``arm`` is a ``pilot_arm``."""
    constant = dataclasses.replace(study.spec.fine_tuning, learning_rate=rate, rate_policy="constant")
    return _filled(
        {
            "pilot": student_form(study, student, study.pilot_seed),
            "original": settings_form(study.original),
            "arm": arm_form(arm),
            "dose": study.pilot_dose(arm),
            "fine_tuning": settings_form(constant),
            "machine": machine_form(study),
            **_some(study.spec.evaluation, "probe_items"),
            "results_version": RESULTS_VERSION,
        }
    )


def matching_form(study: Study, arm: Arm) -> dict[str, Any]:
    """What a matched rate depends on beside its student: how it is searched, and what the reference's pilot does."""
    rate, reference = study.spec.fine_tuning.learning_rate, study.matching_reference
    settings = {**_matching_settings(study), "reference": reference.name}
    return {"matching": settings, "pilot": pilot_form(study, reference, study.pilot_arm(arm), rate)}


def _matching_settings(study: Study) -> dict[str, Any]:
    return {**settings_form(study.spec.matching), "version": MATCHING_VERSION}
