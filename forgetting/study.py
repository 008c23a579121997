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
from forgetting.contracts import Benchmark, Contamination, Distillation, Language, Mitigation, Part
from forgetting.errors import UsageError, require, unknown
from forgetting.pretrained import Pretrained, check_tokenizers
from forgetting.spec import Backend, Evaluation, Machine, Optimiser, PartValue, RatePolicy, Sampled, Spec
from forgetting.students import Student, check_language, students_of, teacher_of
from forgetting.world import WORLD_VERSION

# Raised whenever a change of the code changes what an unchanged spec gives: the students, or the runs on them.
STUDENTS_VERSION = 1
RESULTS_VERSION = 3


@dataclass(frozen=True)
class Arm:
    """One condition of a study. ``rate_multiple`` scales the learning rate, ``replay`` is a share of the stream.

    ``rate_policy`` None is the policy of the spec's ``fine_tuning``.
    """

    name: str
    contamination: Contamination
    shift: float = 1.0
    rate_multiple: float = 1.0
    replay: float = 0.0
    mitigation: Mitigation = dataclasses.field(
        default_factory=lambda: cast(Mitigation, registry.build("mitigation", "none"))
    )
    joint: bool = False
    rate_policy: RatePolicy | None = None

    def share(self) -> float:
        """The share of contaminating samples in the stream."""
        return self.mitigation.mix(round(self.shift * (1 - self.replay), 12))

    def canonical(self) -> dict[str, Any]:
        """What the arm's numbers depend on, as plain values."""
        return {
            "contamination": self.contamination.settings(),
            "shift": self.shift,
            "rate_multiple": self.rate_multiple,
            "replay": self.replay,
            "mitigation": self.mitigation.settings(),
            "joint": self.joint,
            **({"rate_policy": self.rate_policy} if self.rate_policy else {}),
        }

    def optimiser(self, fine_tuning: Optimiser) -> Optimiser:
        """The study's optimiser with the arm's rate and rate policy."""
        return dataclasses.replace(
            fine_tuning,
            learning_rate=fine_tuning.learning_rate * self.rate_multiple,
            rate_policy=self.rate_policy or fine_tuning.rate_policy,
        )


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
            **self.machine_form(),
            "evaluation": self.evaluation_form(),
            "seeds": [spec.first_seed, spec.seeds],
            "results_version": RESULTS_VERSION,
        }

    @property
    def language(self) -> Language:
        """What the students read: the embedded world's words, or (checkpoints and what they teach) natural text."""
        return "natural" if isinstance(self.teacher or self.students[0], Pretrained) else "world"

    def teacher_form(self) -> dict[str, Any]:
        """What the teacher's weights depend on."""
        assert self.teacher is not None
        ladder = self.spec.ladder
        if isinstance(self.teacher, Pretrained):
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
        kind = "checkpoint" if isinstance(student, Pretrained) else "architecture"
        if self.teacher is None:
            return {kind: _form(student)}
        form = {**self._taught_form(), kind: _form(student), "distillation_seed": distillation_seed}
        if isinstance(self.teacher, Pretrained):  # whose form knows nothing of how its students are made
            form |= {"original": self.original.settings(), "seed": self.spec.ladder.seed}
            form["results_version"] = STUDENTS_VERSION
            if isinstance(student, Pretrained):
                check_tokenizers(self.teacher, student)
        if joint is None:
            return form
        return {**form, "joint": joint.canonical(), "dose": self.reached(joint)[-1]}

    def evaluation_form(self) -> dict[str, Any]:
        """What the scores depend on beside the weights."""
        form = dataclasses.asdict(self.spec.evaluation)
        if self.spec.evaluation.sampling == Sampled():  # off, as before there was any
            del form["sampling"]
        return {**form, "benchmarks": [{**b.settings(), "version": b.version, **b.made_by()} for b in self.benchmarks]}

    def machine_form(self) -> dict[str, Any]:
        """The layout on the machine, where it is not the plain one: rounding depends on it."""
        machine, backend = self.spec.machine, self.spec.machine.backend
        if machine == Machine():
            return {}
        form = dataclasses.asdict(machine)
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
            "doses": list(self.reached(self.arm(key.arm))),
            "fine_tuning": dataclasses.asdict(self.spec.fine_tuning),
            **self.machine_form(),
            "evaluation": self.evaluation_form(),
            "seed": key.seed,
            "results_version": RESULTS_VERSION,
        }

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
        arms=_arms(spec, natural=isinstance(teacher or students[0], Pretrained)),
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
    for arm in study.arms:
        rule = f"high enough for the first dose of arm {arm.name} (share {arm.share():g})"
        require(len(study.reached(arm)) > 1, "doses.stream_cap", rule, spec.doses.stream_cap)
    return study


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
    return student.form() if isinstance(student, Pretrained) else dataclasses.asdict(student)


def _arms(spec: Spec, *, natural: bool) -> tuple[Arm, ...]:
    """All combinations of the axes, then the controls; a name says only what differs from the defaults."""
    arms = [
        _arm(contamination, shift, rate, replay, mitigation, policy=policy)
        for contamination in spec.contaminations
        for shift in spec.shifts
        for rate in spec.rate_multiples
        for policy in spec.rate_policies or (None,)
        for replay in spec.replays
        for mitigation in spec.mitigations
    ]
    for control in spec.controls:
        if control in ("original", "noise"):
            source: PartValue = spec.ladder.original if natural and control == "original" else control
            arms.append(_arm(source, spec.shifts[0], 1.0, 0.0, "none"))
            continue
        rate = {"sham": 0.0, "rate_quarter": 0.25, "rate_four": 4.0}.get(control, 1.0)
        replay = {"replay_1": 0.01, "replay_5": 0.05}.get(control, 0.0)
        arms += [_arm(c, spec.shifts[0], rate, replay, "none", control == "joint") for c in spec.contaminations]
    unique = {arm.name: arm for arm in arms}
    if len(unique) < len(arms) and not spec.controls:
        raise UsageError(f"contaminations, shifts, ...: must be free of repeats, got arms {[a.name for a in arms]}")
    return tuple(unique.values())


def _arm(
    contamination: PartValue,
    shift: float,
    rate: float,
    replay: float,
    mitigation: PartValue,
    joint: bool = False,
    policy: RatePolicy | None = None,
) -> Arm:
    source = cast(Contamination, registry.build("contamination", contamination, "contaminations"))
    against = cast(Mitigation, registry.build("mitigation", mitigation, "mitigations"))
    name = _part_name(source)
    name += f"-shift{shift:g}" if shift != 1 else ""
    name += f"-rate{rate:g}" if rate != 1 else ""
    name += f"-{policy}" if policy else ""
    name += f"-replay{replay:g}" if replay else ""
    name += f"-{_part_name(against)}" if against.short_name() != "none" else ""
    return Arm(name + ("-joint" if joint else ""), source, shift, rate, replay, against, joint, policy)


def _part_name(part: Part) -> str:
    """The short name, then the settings that differ from their defaults."""
    name = part.short_name().rsplit(".", 1)[-1]
    for f in dataclasses.fields(part):
        value = getattr(part, f.name)
        if value != f.default:
            shown = f"{value:g}" if isinstance(value, float) else _short(value, f.name)
            name += f".{shown}" if isinstance(value, str) else f".{f.name}{shown}"
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)


def _short(value: Any, setting: str) -> str:
    """A setting as a word: of a source its last part without endings, of parts their names."""
    if setting == "source":
        return str(value).rstrip("/").rpartition("/")[2].partition(".")[0].replace("{split}", "").strip("-_")
    if isinstance(value, list | tuple) and any(isinstance(one, dict) for one in value):
        return "-".join(str(one.get("name")) if isinstance(one, dict) else str(one) for one in value)
    return str(value)
