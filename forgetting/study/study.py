"""From a spec to a study: every part constructed and checked, arms, doses and runs laid out.

Nothing here trains or loads weights, and nothing imports torch: a typo dies in the first second.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import cast

from forgetting import registry
from forgetting.contracts import Answering, Benchmark, Contamination, Intervention, Language, Mitigation
from forgetting.errors import require, unknown
from forgetting.models.checkpoint import Checkpoint
from forgetting.spec import Evaluation, Fit, Spec
from forgetting.study.arms import Arm, arms_of, warm_up_note
from forgetting.study.run import Run, RunKey
from forgetting.study.students import Student, check_language, students_of, teacher_of
from forgetting.study.taught import (
    Branch,
    DistillationStage,
    branches_of,
    check_stages,
    own_source,
    own_sources,
    trunk_of,
)

PILOT_STUDENTS = 1_000_000  # a seed of distillation that no study gets to from its first one


@dataclass(frozen=True)
class Study:
    """A spec with everything constructed. Build it with ``construct``."""

    spec: Spec
    students: tuple[Student, ...]
    teacher: Student | None  # None: the students are checkpoints that are taken as they are
    original: Contamination
    stages: tuple[DistillationStage, ...]  # of distillation, in order; of trunks where there are branches
    benchmarks: tuple[Benchmark, ...]
    answering: tuple[Answering, ...]
    interventions: tuple[Intervention, ...]
    arms: tuple[Arm, ...]
    branches: Mapping[str, Branch] = dataclasses.field(default_factory=dict)  # by name of the student

    @property
    def language(self) -> Language:
        """What the students read: the embedded world's words, or (checkpoints and what they teach) natural text."""
        return "natural" if isinstance(self.teacher or self.students[0], Checkpoint) else "world"

    @property
    def distils_in_stacks(self) -> bool:
        """Whether students may learn side by side: in one stage, of a length that is known, by a method that stacks."""
        (first, *more) = self.stages
        return not (more or self.branches) and first.method.stacks and not first.fit.until.benchmark

    def stages_of(self, student: Student) -> tuple[DistillationStage, ...]:
        """How a student is taught, from its first stage on."""
        return self.branches[student.name].stages if student.name in self.branches else self.stages

    def taught_in(self, stages: Sequence[DistillationStage], like: Student) -> Student:
        """The student that is taught in these stages, of the capacity of another."""
        own = (s for s in self.students if self.rung(s) == self.rung(like))
        return next(s for s in own if self.stages_of(s) == tuple(stages))

    def warm_up_note(self) -> str:
        """Which doses lie in the warm-up; empty where none does."""
        return warm_up_note(self.spec, self.arms)

    def rung(self, student: Student) -> Student:
        """The capacity or checkpoint that a student is made of, by the name that it has in the spec."""
        return self.branches[student.name].of if student.name in self.branches else student

    def every_stage(self) -> list[DistillationStage]:
        """Those of the trunk, then those of each branch: each is taught once for each trunk."""
        return [*self.stages, *(s for b in self._ways() for s in b.stages[len(self.stages) :])]

    def _ways(self) -> list[Branch]:
        return list({branch.name: branch for branch in self.branches.values()}.values())

    def is_matched(self, arm: Arm) -> bool:
        """Whether the rates of an arm are matched by plasticity."""
        return not arm.at_once and arm.optimiser(self.spec.fine_tuning).rate_policy == "matched_plasticity"

    def pilot_arm(self, arm: Arm) -> Arm:
        """An arm's pilots: at the plain rate, and with something new to learn, which the original data are not."""
        others = (one.contamination for one in self.arms if one.contamination != self.original)
        source = next(others) if arm.contamination == self.original else arm.contamination
        return dataclasses.replace(arm, name="pilot", contamination=source, rate_multiple=1.0, rate_policy=None)

    def pilot_dose(self, arm: Arm) -> int:
        """The dose at which learning is compared."""
        return self.spec.matching.dose or self.reached(arm)[-1]

    @property
    def pilot_seed(self) -> int:
        """The distillation seed of the students that pilots are run on; of fresh ones they are not the study's own."""
        return PILOT_STUDENTS if self.spec.ladder.fresh_students else 0

    @property
    def matching_reference(self) -> Student:
        """The student whose learning the others are to match."""
        wanted = self.spec.matching.reference
        return next(s for s in self.students if s.name == wanted) if wanted else self.students[0]

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(a for a in self.arms if a.name == name)

    def runs(self) -> tuple[Run, ...]:
        """All runs in the record's order: student, arm, seed."""
        spec = self.spec
        seeds = range(spec.first_seed, spec.first_seed + spec.seeds)
        return tuple(
            Run(s, a, self.reached(a), seed if spec.ladder.fresh_students else 0, seed)
            for s in self.students
            for a in self.arms
            for seed in (seeds if spec.ladder.fresh_students or not a.at_once else seeds[:1])
        )

    def run(self, key: RunKey) -> Run:
        """The run of that name."""
        student, arm = next(s for s in self.students if s.name == key.student), self.arm(key.arm)
        return Run(student, arm, self.reached(arm), key.distillation_seed, key.seed)

    def reached(self, arm: Arm) -> tuple[int, ...]:
        """The doses of an arm that the stream cap allows; of a sequence the ends of its phases are among them."""
        ends = accumulate(dose for _, dose in arm.contamination.blocks())
        doses = sorted({*self.spec.doses.values(), *ends})
        return tuple(d for d in doses if d / arm.share() <= self.spec.doses.stream_cap)


def sources(study: Study) -> list[tuple[str, Contamination]]:
    """The sources of samples of a study, each with the field of its spec that it is written in."""
    given = [(f"contaminations[{place}]", value) for place, value in enumerate(study.spec.contaminations)]
    found = [("ladder.original", study.original)]
    found += [(field, cast(Contamination, registry.build("contamination", value, field))) for field, value in given]
    known = [source for _, source in found]
    found += [("controls", arm.contamination) for arm in study.arms if arm.contamination not in known]
    return found + own_sources(study.spec.ladder, study.every_stage())


def taught_from(study: Study, fit: Fit) -> Contamination:
    """The source of the samples of a fit."""
    return own_source(fit) or study.original


def construct(spec: Spec) -> Study:
    """Construct every part of a spec. Raises ``UsageError`` for unknown names and bad settings."""
    ladder, teacher = spec.ladder, teacher_of(spec)
    students = students_of(spec, teacher)
    trunk = trunk_of(ladder)
    branches = branches_of(ladder, students, trunk)
    rule = "empty for checkpoints without a teacher"
    require(not (branches and teacher is None), "ladder.branches", rule, [*branches])
    study = Study(
        spec=spec,
        students=tuple(dataclasses.replace(b.of, name=name) for name, b in branches.items()) or students,
        teacher=teacher,
        original=cast(Contamination, registry.build("contamination", ladder.original, "ladder.original")),
        stages=trunk,
        branches=branches,
        benchmarks=_benchmarks(spec.evaluation),
        answering=_answering(spec.evaluation, students),
        interventions=registry.build_all("intervention", spec.interventions, "interventions"),
        arms=arms_of(spec, natural=isinstance(teacher or students[0], Checkpoint)),
    )
    parts: list[tuple[str, Contamination | Benchmark]] = [*sources(study)]
    parts += [(f"evaluation.benchmarks[{i}]", b) for i, b in enumerate(study.benchmarks)]
    check_language(students[0], study.language, parts)
    check_stages(ladder, study.every_stage(), study.language)
    for i, value in enumerate(spec.mitigations):
        against = cast(Mitigation, registry.build("mitigation", value))
        with registry.told_as(f"mitigations[{i}]", against):
            against.check(study.language)
    plain = len(study.every_stage()) == 1 and study.stages[0].method.kind == "imitates"
    if not plain:
        rule = "free of joint where distillation has several stages or rewards, which learn no contamination beside"
        require(not any(arm.at_once for arm in study.arms), "controls", rule, list(spec.controls))
    if teacher is None:
        rule = "free of joint for checkpoints without a teacher, since joint distils a student"
        field = "controls" if "joint" in spec.controls else "mitigations"
        require(not any(arm.at_once for arm in study.arms), field, rule, list(getattr(spec, field)))
    if spec.machine.devices > 1 and spec.machine.strategy == "fsdp":
        require(spec.keep != "all", "keep", "last or none with strategy fsdp, which keeps one checkpoint", spec.keep)
        plain = all(arm.mitigation.stream_only for arm in study.arms)
        rule = "none, or of the stream alone, with strategy fsdp; with ddp they may be any"
        require(plain, "mitigations", rule, list(spec.mitigations))
    if command := spec.machine.backend.command:
        found = shutil.which(command[0]) is not None
        require(found, "machine.backend.command", "a program that can be started here", command[0])
        sharded = spec.machine.devices > 1 and spec.machine.strategy == "fsdp"
        require(not sharded, "machine.strategy", "ddp where another process writes the answers", "fsdp")
        whole = all(arm.mitigation.stacks for arm in study.arms)
        rule = "of those that leave the network's form as it is where another process writes the answers"
        require(whole, "mitigations", rule, list(spec.mitigations))
    if study.interventions:
        sharded = spec.machine.devices > 1 and spec.machine.strategy == "fsdp"
        require(not sharded, "machine.strategy", "ddp where there are interventions", "fsdp")
        whole = all(arm.mitigation.stacks for arm in study.arms)
        rule = "of those that leave the network's form as it is where there are interventions"
        require(whole, "mitigations", rule, list(spec.mitigations))
    _check_matching(study)
    for arm in study.arms:
        rule = f"high enough for the first dose of arm {arm.name} (share {arm.share():g})"
        require(len(study.reached(arm)) > 1, "doses.stream_cap", rule, spec.doses.stream_cap)
        phases = sum(dose for _, dose in arm.contamination.blocks())
        rule = f"{phases:,} or more, which the phases of arm {arm.name} have"
        require(phases <= spec.doses.dose, "doses.dose", rule, spec.doses.dose)
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


def _benchmarks(evaluation: Evaluation) -> tuple[Benchmark, ...]:
    built: tuple[Benchmark, ...] = registry.build_all("benchmarks", evaluation.benchmarks, "evaluation.benchmarks")
    names = [b.short_name() for b in built]
    require(len(set(names)) == len(names), "evaluation.benchmarks", "free of repeats", names)
    written = [b.short_name() for b in built if not b.asks]
    for name in evaluation.answering_benchmarks:
        if name not in written:
            raise unknown("evaluation.answering_benchmarks", name, written)
    if evaluation.answering:
        require(bool(written), "evaluation.benchmarks", "one at least whose answers are written", names)
    return built


def _answering(evaluation: Evaluation, students: Sequence[Student]) -> tuple[Answering, ...]:
    built: tuple[Answering, ...] = registry.build_all("answering", evaluation.answering, "evaluation.answering")
    labels = [one.label for one in built]
    rule = "free of repeats, and without greedy, which is always measured"
    require(len({*labels, "greedy"}) == len(labels) + 1, "evaluation.answering", rule, labels)
    for i, one in enumerate(built):
        asked = any(isinstance(s, Checkpoint) or one.suits(s.loops) for s in students)
        require(
            asked, f"evaluation.answering[{i}]", "a way for one of the students, as looped is for looped-16", one.label
        )
    return built
