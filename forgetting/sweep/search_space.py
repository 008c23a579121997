"""A target laid out on its study: the points that may be searched, the run of each, its coordinates and its cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

from forgetting import registry, seeds
from forgetting.contracts import Contamination
from forgetting.errors import UsageError, require, unknown
from forgetting.study.arms import Arm
from forgetting.study.run import Run
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.sweep.sweep_spec import Target
from forgetting.world.vocabulary import vocabulary

SAMPLED = 200  # samples whose lengths stand for a source's
SweepPoint = tuple[str, float]  # student, shift


@dataclass(frozen=True)
class SweepSpace:
    """The points of one target: students x shifts, at one contamination, rate and rate policy.

    A point whose arm does not reach the target's dose within the cap of the stream is no point. Make it with ``space``,
    which checks that the study holds what the target asks for.
    """

    study: Study
    target: Target
    name: str
    students: tuple[str, ...]
    shifts: tuple[float, ...]
    arms: dict[float, Arm]
    benchmark: str
    depth: int | None

    @property
    def dose(self) -> int:
        """The dose at which retention is read."""
        return self.target.dose or self.study.spec.doses.values()[-1]

    @cached_property
    def points(self) -> tuple[SweepPoint, ...]:
        """All points, by student and then by shift."""
        return tuple((student, shift) for student in self.students for shift in self.shifts)

    @property
    def repeats(self) -> int:
        """Seeds of one point."""
        return self.study.spec.seeds

    def coordinates(self, point: SweepPoint) -> tuple[float, float]:
        """log10 of the capacity in parameters, and the shift."""
        return math.log10(self.capacity(point[0])), point[1]

    def capacity(self, student: str) -> int:
        """Total parameters of a student."""
        return self._architecture(student).parameters(len(vocabulary()))

    def run(self, point: SweepPoint, repeat: int) -> Run:
        """The run of a point with its ``repeat``-th seed."""
        seed = self.study.spec.first_seed + repeat
        distillation_seed = seed if self.study.spec.ladder.fresh_students else 0
        arm = self.arms[point[1]]
        return Run(self._architecture(point[0]), arm, self.study.reached(arm), distillation_seed, seed)

    @cached_property
    def runs(self) -> frozenset[Run]:
        """Every run that may be asked for."""
        return frozenset(self.run(point, repeat) for point in self.points for repeat in range(self.repeats))

    def flops(self, point: SweepPoint, last_dose: int = 0) -> float:
        """Floating-point operations of one run, or of one that ended at ``last_dose``; see ``run_flops``."""
        return run_flops(self.study, self.run(point, 0), last_dose)

    def described(self) -> dict[str, Any]:
        """What a view needs to know beside the target's own settings, defaults resolved, as plain values."""
        arm = self.arms[self.shifts[-1]]
        return {
            "dose": self.dose,
            "contamination": arm.contamination.settings(),
            "rate_policy": arm.optimiser(self.study.spec.fine_tuning).rate_policy,
            "benchmark": self.benchmark,
            "depth": self.depth,
            "students": list(self.students),
            "arms": [{"shift": shift, "name": self.arms[shift].name} for shift in self.shifts],
        }

    def _architecture(self, student: str) -> Student:
        return next(s for s in self.study.students if s.name == student)


def space(study: Study, target: Target, number: int = 0) -> SweepSpace:
    """Lay a target out. ``UsageError`` names the target's field that the study does not hold."""
    where, spec = f"targets[{number}]", study.spec
    known = tuple(s.name for s in study.students)
    for student in target.students:
        if student not in known:
            raise unknown(f"{where}.students", student, known)
    rate_rule = f"among the study's rate_multiples {list(spec.rate_multiples)}"
    require(target.rate_multiple in spec.rate_multiples, f"{where}.rate_multiple", rate_rule, target.rate_multiple)
    policies = spec.rate_policies or ("",)
    rule = f"among the study's rate_policies {[*policies]}"
    require(target.rate_policy in policies, f"{where}.rate_policy", rule, target.rate_policy)
    arms = _served(study, target, where)
    for shift in target.shifts:
        known_shifts = sorted(arms if target.mitigation != "none" else spec.shifts, reverse=True)
        require(shift in known_shifts, f"{where}.shifts", f"among the study's shifts {known_shifts}", shift)
    doses = spec.doses.values()
    dose = target.dose or doses[-1]
    require(dose in doses[1:], f"{where}.dose", f"one of the study's doses {list(doses[1:])}", dose)
    wanted = target.shifts or tuple(sorted(arms))
    shifts = tuple(s for s in sorted(wanted) if s in arms and dose in study.reached(arms[s]))
    require(bool(shifts), f"{where}.dose", "reached by some shift within doses.stream_cap", dose)
    students = tuple(s for s in known if not target.students or s in target.students)
    axis = students if target.axis == "capacity" else shifts
    rule = "an axis with at least two points (students for capacity, shifts that reach the dose for shift)"
    require(len(axis) >= 2, f"{where}.axis", rule, f"{target.axis} with {list(axis)}")
    benchmark, depth = _skill(study, target, where)
    arm = arms[shifts[-1]]
    some = "".join(f"-shift{s:g}" for s in target.shifts) + "".join(f"-{s}" for s in target.students)
    if target.mitigation != "none":
        some += "-" + "-".join(str(value) for value in registry.settings_of("mitigation", target.mitigation).values())
    if target.levels != Target().levels:
        some += "-level" + "-".join(f"{level:g}" for level in target.levels)
    name = (
        f"{target.axis}-{arm.name.replace(f'-shift{arm.shift:g}', '')}-{target.skill.replace(':', '')}-dose{dose}{some}"
    )
    return SweepSpace(study, target, name, students, shifts, arms, benchmark, depth)


def _served(study: Study, target: Target, where: str) -> dict[float, Arm]:
    """The arms that a target searches over, by their shift: with a mitigation, by what of their stream contaminates."""
    wanted = target.contamination or study.spec.contaminations[0]
    source = registry.build("contamination", wanted, f"{where}.contamination")
    registry.build("mitigation", target.mitigation, f"{where}.mitigation")
    asked = registry.settings_of("mitigation", target.mitigation)
    own = [arm for arm in study.arms if _serves(arm, target, source.settings())]
    plain = {arm.shift: arm for arm in own if arm.mitigation.short_name() == "none"}
    if not plain:
        given = sorted({a.contamination.short_name() for a in study.arms})
        rule = f"among the study's contaminations {given}, with no mitigation"
        raise UsageError(f"{where}.contamination: must be {rule}, got {target.contamination!r}")
    if asked == {"name": "none"}:
        return plain
    under = [arm for arm in own if asked.items() <= arm.mitigation.settings().items() and arm.shift == 1]
    names = sorted({arm.mitigation.short_name() for arm in own})
    require(bool(under), f"{where}.mitigation", f"one of the study's {names} with these settings", target.mitigation)
    shares = [arm.share() for arm in under]
    rule = "the settings of one arm for each share of the stream"
    require(len(set(shares)) == len(shares), f"{where}.mitigation", rule, target.mitigation)
    return {arm.share(): arm for arm in [*under, *(arm for shift, arm in plain.items() if shift == 1)]}


def _serves(arm: Arm, target: Target, contamination: dict[str, object]) -> bool:
    rates = (arm.rate_multiple, arm.rate_policy or "") == (target.rate_multiple, target.rate_policy)
    return rates and arm.contamination.settings() == contamination


def _skill(study: Study, target: Target, where: str) -> tuple[str, int | None]:
    """The benchmark and the depth of a key such as ``maths:3``."""
    benchmark, _, depth = target.skill.partition(":")
    names = [b.short_name() for b in study.benchmarks]
    if benchmark not in names:
        raise unknown(f"{where}.skill", target.skill, names)
    if not depth:
        return benchmark, None
    depths = sorted({i.depth for i in study.benchmarks[names.index(benchmark)].items("test")})
    keys = [f"{benchmark}:{d}" for d in depths]
    if target.skill not in keys:
        raise unknown(f"{where}.skill", target.skill, [benchmark, *keys])
    return benchmark, int(depth)


def run_flops(study: Study, run: Run, last_dose: int = 0) -> float:
    """Floating-point operations of a run by the usual count: 6 N a token trained on, 2 N a token read or written.

    N is the student's parameters (the tied embedding once, as the output layer); attention over positions is left out,
    which at these lengths is a few percent. Answers are taken to be as long as the gold ones. ``last_dose`` is of a
    run that was ended early; 0: none was.
    """
    evaluation, source = study.spec.evaluation, run.arm.contamination
    doses = [dose for dose in run.doses if dose <= (last_dose or dose)]
    parameters = run.student.parameters(len(vocabulary()))
    stream = doses[-1] / run.arm.share()
    trained = stream_flops(run.student, source, doses[-1])
    trained += stream_flops(run.student, study.original, stream - doses[-1])
    items = [item for benchmark in study.benchmarks for item in benchmark.items("test")]
    read = 0.0 + sum(len(i.prompt.split()) + 3 * len(i.answer.split()) for i in items)
    read += 2 * evaluation.probe_items * length(source)
    variants = sum(len(b.variants) for b in study.benchmarks) / max(len(study.benchmarks), 1)
    looks = {"never": len(doses), "ends": len(doses) + 2 * (variants - 1), "every": len(doses) * variants}
    return trained + 2.0 * parameters * read * looks[evaluation.perturbed]


def stream_flops(student: Student, source: Contamination, samples: float) -> float:
    """Floating-point operations of training on so many samples of a source."""
    return 6.0 * student.parameters(len(vocabulary())) * samples * length(source)


@lru_cache(maxsize=64)
def length(source: Contamination) -> float:
    """Mean length of a source's samples, in words, prompt and answer."""
    drawn = islice(source.samples(seeds.generator(0, "lengths")), SAMPLED)
    return sum(len(s.prompt.split()) + len(s.answer.split()) for s in drawn) / SAMPLED
