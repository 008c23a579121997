"""From a spec to a study: every part constructed and checked, arms and doses laid out, canonical form and fingerprints.

Nothing here trains or loads weights, and nothing imports torch: a typo dies in the first second.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from forgetting import registry
from forgetting.contracts import Benchmark, Contamination, Distillation, Language
from forgetting.errors import require, unknown
from forgetting.models.checkpoint import Checkpoint, check_tokenizers
from forgetting.spec import Backend, Evaluation, Machine, Sampled, Spec
from forgetting.study.arms import Arm, arms_of
from forgetting.study.students import Student, check_language, students_of, teacher_of
from forgetting.world import WORLD_VERSION

# Raised whenever a change of the code changes what an unchanged spec gives: the students, or the runs on them.
STUDENTS_VERSION = 1
RESULTS_VERSION = 5
MATCHING_VERSION = 2  # of the search for a matched rate: has a part where rates are matched only


@dataclass(frozen=True)
class RunKey:
    """One run: a student in an arm with its two seeds."""

    student: str
    arm: str
    distillation_seed: int
    seed: int

    def __str__(self) -> str:
        return f"{self.student}-{self.arm}-d{self.distillation_seed}-s{self.seed}"


@dataclass(frozen=True)
class Study:
    """A spec with everything constructed. Build it with ``construct``."""

    spec: Spec
    students: tuple[Student, ...]
    teacher: Student | None  # None: the students are checkpoints that are taken as they are
    original: Contamination
    distillation: Distillation
    benchmarks: tuple[Benchmark, ...]
    arms: tuple[Arm, ...]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change exactly when a result could change."""
        return fingerprint(self.canonical())

    def canonical(self) -> dict[str, Any]:
        """The canonical form: every setting that a result depends on, defaults filled in, as plain values."""
        spec = self.spec
        return {
            "students": [_form(s) for s in self.students],
            **(self._taught_form() | {"fresh_students": spec.ladder.fresh_students} if self.teacher else {}),
            **({"original": self.original.settings()} if self.language == "natural" else {}),
            "arms": [{"name": arm.name, **arm.canonical(), "doses": list(self.reached(arm))} for arm in self.arms],
            "doses": list(spec.doses.values()),
            "fine_tuning": dataclasses.asdict(spec.fine_tuning),
            **({"matching": self._matching_settings()} if any(map(self.is_matched, self.arms)) else {}),
            **self.machine_form(),
            "evaluation": self.evaluation_form(),
            "seeds": [spec.first_seed, spec.seeds],
            "results_version": RESULTS_VERSION,
        }

    @property
    def language(self) -> Language:
        """What the students read: the embedded world's words, or (checkpoints and what they teach) natural text."""
        return "natural" if isinstance(self.teacher or self.students[0], Checkpoint) else "world"

    def teacher_form(self) -> dict[str, Any]:
        """What the teacher's weights depend on."""
        assert self.teacher is not None
        ladder = self.spec.ladder
        if isinstance(self.teacher, Checkpoint):
            return {"checkpoint": self.teacher.form()}
        return {
            "world": WORLD_VERSION,
            "architecture": dataclasses.asdict(self.teacher),
            "original": self.original.settings(),
            "teaching": dataclasses.asdict(ladder.teaching),
            "seed": ladder.seed,
            "results_version": STUDENTS_VERSION,
        }

    def _taught_form(self) -> dict[str, Any]:
        """How students are taught, whichever they are."""
        return {
            "teacher": self.teacher_form(),
            "distillation": self.distillation.settings(),
            "distilling": dataclasses.asdict(self.spec.ladder.distilling),
        }

    def student_form(self, student: Student, distillation_seed: int, joint: Arm | None = None) -> dict[str, Any]:
        """What a student's weights depend on; a joint arm's student also learns the arm's contamination.

        ``UsageError`` where teacher and student are checkpoints of different tokenizers.
        """
        kind = "checkpoint" if isinstance(student, Checkpoint) else "architecture"
        if self.teacher is None:
            return {kind: _form(student)}
        form = {**self._taught_form(), kind: _form(student), "distillation_seed": distillation_seed}
        if isinstance(self.teacher, Checkpoint):  # whose form knows nothing of how its students are made
            form |= {"original": self.original.settings(), "seed": self.spec.ladder.seed}
            form["results_version"] = STUDENTS_VERSION
            if isinstance(student, Checkpoint):
                check_tokenizers(self.teacher, student)
        if joint is None:
            return form
        return {**form, "joint": joint.canonical(), "dose": self.reached(joint)[-1]}

    def evaluation_form(self) -> dict[str, Any]:
        """What the scores depend on beside the weights."""
        form = dataclasses.asdict(self.spec.evaluation)
        if self.spec.evaluation.sampling == Sampled():  # off, as before there was any
            del form["sampling"]
        return {**form, "benchmarks": [{**b.form(), "version": b.version, **b.made_by()} for b in self.benchmarks]}

    def machine_form(self) -> dict[str, Any]:
        """The layout on the machine, where it is not the plain one: rounding depends on it."""
        machine, backend = self.spec.machine, self.spec.machine.backend
        if machine == Machine():
            return {}
        form = dataclasses.asdict(machine)
        if not machine.compile:  # as before it could be
            del form["compile"]
        if not machine.graphs:
            del form["graphs"]
        if backend == Backend():  # none, as before there was any
            del form["backend"]
        else:  # where the interpreter and its program lie has no part in it
            form["backend"]["command"] = [Path(word).name for word in backend.command]
        return {"machine": form}

    def run_form(self, key: RunKey) -> dict[str, Any]:
        """What one run's rows depend on."""
        natural = {"original": self.original.settings()} if self.language == "natural" else {}
        return {
            "student": self.student_form(self.architecture(key), key.distillation_seed),
            **natural,
            "arm": self.arm(key.arm).canonical(),
            **(self.matching_form(self.arm(key.arm)) if self.is_matched(self.arm(key.arm)) else {}),
            "doses": list(self.reached(self.arm(key.arm))),
            "fine_tuning": dataclasses.asdict(self.spec.fine_tuning),
            **self.machine_form(),
            "evaluation": self.evaluation_form(),
            "seed": key.seed,
            "results_version": RESULTS_VERSION,
        }

    def is_matched(self, arm: Arm) -> bool:
        """Whether the rates of an arm are matched by plasticity."""
        return not arm.joint and arm.optimiser(self.spec.fine_tuning).rate_policy == "matched_plasticity"

    def pilot_arm(self, arm: Arm) -> Arm:
        """An arm's pilots: at the plain rate, and with something new to learn, which the original data are not."""
        others = (one.contamination for one in self.arms if one.contamination != self.original)
        source = next(others) if arm.contamination == self.original else arm.contamination
        return dataclasses.replace(arm, name="pilot", contamination=source, rate_multiple=1.0, rate_policy=None)

    def pilot_form(self, student: Student, arm: Arm, rate: float) -> dict[str, Any]:
        """What a pilot's two figures depend on; ``arm`` is a ``pilot_arm``."""
        constant = dataclasses.replace(self.spec.fine_tuning, learning_rate=rate, rate_policy="constant")
        return {
            "pilot": self.student_form(student, self.pilot_seed),
            "original": self.original.settings(),
            "arm": arm.canonical(),
            "dose": self.pilot_dose(arm),
            "fine_tuning": dataclasses.asdict(constant),
            **self.machine_form(),
            "probe_items": self.spec.evaluation.probe_items,
            "results_version": RESULTS_VERSION,
        }

    def pilot_dose(self, arm: Arm) -> int:
        """The dose at which shares are compared."""
        return self.spec.matching.dose or self.reached(arm)[-1]

    @property
    def pilot_seed(self) -> int:
        """The distillation seed of the students that pilots are run on."""
        return self.spec.first_seed if self.spec.ladder.fresh_students else 0

    def matching_form(self, arm: Arm) -> dict[str, Any]:
        """What a matched rate depends on: how it is searched, and the pilots of every student at the constant rate."""
        rate, pilots = self.spec.fine_tuning.learning_rate, self.pilot_arm(arm)
        settings = {**self._matching_settings(), "reference": self.matching_reference.name}
        return {"matching": settings, "pilots": [self.pilot_form(s, pilots, rate) for s in self.students]}

    def _matching_settings(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self.spec.matching), "version": MATCHING_VERSION}

    @property
    def matching_reference(self) -> Student:
        """The student whose share of the achievable improvement the others are to make."""
        wanted = self.spec.matching.reference
        return next(s for s in self.students if s.name == wanted) if wanted else self.students[0]

    def architecture(self, key: RunKey) -> Student:
        """A run's student: its architecture, or the checkpoint that it is."""
        return next(s for s in self.students if s.name == key.student)

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(a for a in self.arms if a.name == name)

    def runs(self) -> tuple[RunKey, ...]:
        """All runs in the record's order: student, arm, seed."""
        spec = self.spec
        seeds = range(spec.first_seed, spec.first_seed + spec.seeds)
        return tuple(
            RunKey(s.name, a.name, seed if spec.ladder.fresh_students else 0, seed)
            for s in self.students
            for a in self.arms
            for seed in (seeds if spec.ladder.fresh_students or not a.joint else seeds[:1])
        )

    def reached(self, arm: Arm) -> tuple[int, ...]:
        """The doses of an arm that the stream cap allows."""
        return tuple(d for d in self.spec.doses.values() if d / arm.share() <= self.spec.doses.stream_cap)


def construct(spec: Spec) -> Study:
    """Construct every part of a spec. Raises ``UsageError`` for unknown names and bad settings."""
    ladder, teacher = spec.ladder, teacher_of(spec)
    students = students_of(spec, teacher)
    study = Study(
        spec=spec,
        students=students,
        teacher=teacher,
        original=cast(Contamination, registry.build("contamination", ladder.original, "ladder.original")),
        distillation=cast(Distillation, registry.build("distillation", ladder.distillation, "ladder.distillation")),
        benchmarks=_benchmarks(spec.evaluation),
        arms=arms_of(spec, natural=isinstance(teacher or students[0], Checkpoint)),
    )
    parts: list[tuple[str, Contamination | Benchmark]] = [("ladder.original", study.original)]
    parts += [("contaminations", arm.contamination) for arm in study.arms]
    parts += [(f"evaluation.benchmarks[{i}]", b) for i, b in enumerate(study.benchmarks)]
    check_language(students[0], study.language, parts)
    if spec.machine.devices > 1 and spec.machine.strategy == "fsdp":
        require(spec.keep != "all", "keep", "last or none with strategy fsdp, which keeps one checkpoint", spec.keep)
        plain = all(arm.mitigation.short_name() == "none" for arm in study.arms)
        require(plain, "mitigations", "none with strategy fsdp; with ddp they may be any", list(spec.mitigations))
    if command := spec.machine.backend.command:
        found = shutil.which(command[0]) is not None
        require(found, "machine.backend.command", "a program that can be started here", command[0])
        sharded = spec.machine.devices > 1 and spec.machine.strategy == "fsdp"
        require(not sharded, "machine.strategy", "ddp where another process writes the answers", "fsdp")
        whole = all(arm.mitigation.stacks for arm in study.arms)
        rule = "of those that leave the network's form as it is where another process writes the answers"
        require(whole, "mitigations", rule, list(spec.mitigations))
    _check_matching(study)
    for arm in study.arms:
        rule = f"high enough for the first dose of arm {arm.name} (share {arm.share():g})"
        require(len(study.reached(arm)) > 1, "doses.stream_cap", rule, spec.doses.stream_cap)
    return study


def _check_matching(study: Study) -> None:
    """``UsageError`` where rates are to be matched by plasticity and cannot be."""
    spec, arms = study.spec, [arm for arm in study.arms if study.is_matched(arm)]
    if not arms:
        return
    names = [s.name for s in study.students]
    if spec.matching.reference and spec.matching.reference not in names:
        raise unknown("matching.reference", spec.matching.reference, names)
    where = "with rate policy matched_plasticity"
    require(spec.fine_tuning.learning_rate > 0, "fine_tuning.learning_rate", f"above 0 {where}", 0.0)
    require(spec.machine.devices == 1, "machine.devices", f"1 {where}", spec.machine.devices)
    new = any(arm.contamination != study.original for arm in study.arms)
    require(new, "contaminations", f"one that is not the original distribution, {where}", list(spec.contaminations))
    for arm in arms:
        reached = study.reached(arm)[1:]
        rule = f"a dose that arm {arm.name} reaches, one of {list(reached)}"
        require(spec.matching.dose in (0, *reached), "matching.dose", rule, spec.matching.dose)


def fingerprint(form: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces), first sixteen hexadecimal digits."""
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _benchmarks(evaluation: Evaluation) -> tuple[Benchmark, ...]:
    built = tuple(
        cast(Benchmark, registry.build("benchmarks", value, f"evaluation.benchmarks[{i}]"))
        for i, value in enumerate(evaluation.benchmarks)
    )
    names = [b.short_name() for b in built]
    require(len(set(names)) == len(names), "evaluation.benchmarks", "free of repeats", names)
    written = [b.short_name() for b in built if not b.asks]
    for name in evaluation.sampling.benchmarks:
        if name not in written:
            raise unknown("evaluation.sampling.benchmarks", name, written)
    if evaluation.sampling.samples:
        require(bool(written), "evaluation.benchmarks", "one at least whose answers are written, to be sampled", names)
    return built


def _form(student: Student) -> dict[str, Any]:
    return student.form() if isinstance(student, Checkpoint) else dataclasses.asdict(student)
